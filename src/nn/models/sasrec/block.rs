//! One block: causal self-attention and a feed-forward layer, each after a norm and inside a residual.

use super::SasrecConfig;
use crate::module;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;

/// `h = x + drop(o(attention(q(n), k(n), v(n))))` with `n = norm(x)`, then `h + drop(down(gelu(up(norm(h)))))`.
#[derive(Debug)]
pub(super) struct Block<D: Backend> {
    attention_norm: LayerNorm<D>,
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    output: Linear<D>,
    ffn_norm: LayerNorm<D>,
    up: Linear<D>,
    down: Linear<D>,
}

module!(Block {
    attention_norm: "attention.norm",
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    output: "attention.output",
    ffn_norm: "ffn.norm",
    up: "ffn.up",
    down: "ffn.down",
});

/// How much wider the feed-forward layer is (Vaswani et al. 2017).
const WIDER: usize = 4;

impl<D: Backend> Block<D> {
    pub(super) fn new(device: &D, config: &SasrecConfig, seed: Seed) -> Result<Self, NnError> {
        let d = config.width;
        let linear = |name: &str, inputs, outputs| {
            let seed = seed.child(name);
            Linear::new(device, inputs, outputs, true, config.init_std, seed)
        };
        Ok(Self {
            attention_norm: LayerNorm::new(device, d, 1e-5)?,
            query: linear("query", d, d)?,
            key: linear("key", d, d)?,
            value: linear("value", d, d)?,
            output: linear("output", d, d)?,
            ffn_norm: LayerNorm::new(device, d, 1e-5)?,
            up: linear("up", d, WIDER * d)?,
            down: linear("down", WIDER * d, d)?,
        })
    }

    /// `[B·T, d]` to `[B·T, d]`, `batch` sequences of equal padded length.
    pub(super) fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        config: &SasrecConfig,
        batch: usize,
    ) -> Result<Matrix<D>, NnError> {
        let width = x.rows() / batch.max(1);
        let shape = AttentionShape {
            batch,
            queries: width,
            keys: width,
            heads: config.heads,
            kv_heads: config.heads,
            head_dim: config.width / config.heads,
        };
        let n = self.attention_norm.forward(g, x)?;
        let (q, k, v) = (
            self.query.forward(g, &n)?,
            self.key.forward(g, &n)?,
            self.value.forward(g, &n)?,
        );
        let attended = ops::attention(g, &q, &k, &v, &shape, &Mask::causal())?;
        let attended = self.output.forward(g, &attended)?;
        let h = ops::add(g, x, &ops::dropout(g, &attended, config.dropout)?)?;
        let n = self.ffn_norm.forward(g, &h)?;
        let wide = ops::gelu(g, &self.up.forward(g, &n)?)?;
        let narrow = self.down.forward(g, &wide)?;
        ops::add(g, &h, &ops::dropout(g, &narrow, config.dropout)?)
    }
}
