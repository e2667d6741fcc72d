//! One block of the decoder: attention and SwiGLU, each after an RMS norm and inside a residual.

use super::{LlamaConfig, Projection};
use crate::module;
use crate::nn::layers::{Linear, RmsNorm};
use crate::nn::models::cache::LayerCache;
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;

/// A pre-norm decoder block with grouped-query attention.
///
/// `h = x + o(attention(rotary(q(n)), rotary(k(n)), v(n)))` with `n = rms(x)`, then `h + down(silu(gate(m)) · up(m))` with
/// `m = rms(h)` (Touvron et al. 2023; grouped queries after Ainslie et al. 2023).
#[derive(Debug)]
pub struct Block<D: Backend> {
    input_layernorm: RmsNorm<D>,
    q_proj: Linear<D>,
    k_proj: Linear<D>,
    v_proj: Linear<D>,
    o_proj: Linear<D>,
    post_attention_layernorm: RmsNorm<D>,
    gate_proj: Linear<D>,
    up_proj: Linear<D>,
    down_proj: Linear<D>,
}

module!(Block {
    input_layernorm: "input_layernorm",
    q_proj: "self_attn.q_proj",
    k_proj: "self_attn.k_proj",
    v_proj: "self_attn.v_proj",
    o_proj: "self_attn.o_proj",
    post_attention_layernorm: "post_attention_layernorm",
    gate_proj: "mlp.gate_proj",
    up_proj: "mlp.up_proj",
    down_proj: "mlp.down_proj",
});

/// Which queries and keys a block works on, and where they stand in their sequences.
pub(super) struct Window<'a> {
    /// Sequences.
    pub batch: usize,
    /// Positions of each sequence in the input.
    pub queries: usize,
    /// Position of every input row, for the rotary embedding.
    pub positions: &'a [u32],
    /// Angle per position of each pair of features of a head.
    pub frequencies: &'a [f32],
    /// Which keys a query sees.
    pub mask: &'a Mask,
    /// Computes the results of one row of each sequence only; keys and values are those of all rows.
    pub only: Option<&'a OneRow>,
}

/// One row of each sequence.
pub(super) struct OneRow {
    /// Rows of the input.
    pub rows: Vec<usize>,
    /// Their positions.
    pub positions: Vec<u32>,
    /// Which keys they see.
    pub mask: Mask,
}

impl<D: Backend> Block<D> {
    /// Makes a block with weights N(0, `initializer_range`²); the two layers that write into the residual stream get a
    /// standard deviation smaller by `sqrt(2·layers)` (Radford et al. 2019, section 2.3).
    pub(super) fn new(device: &D, config: &LlamaConfig, seed: Seed) -> Result<Self, NnError> {
        let (d, ff) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim();
        let keys = config.key_value_width();
        let std = config.initializer_range as f32;
        let residual = std / (2.0 * config.num_hidden_layers as f32).sqrt();
        let eps = config.rms_norm_eps as f32;
        let linear = |name: &str, inputs, outputs, bias, std| {
            Linear::new(device, inputs, outputs, bias, std, seed.child(name))
        };
        let (qkv, out, mlp) = (config.qkv_bias(), config.attention_bias, config.mlp_bias);
        Ok(Self {
            input_layernorm: RmsNorm::new(device, d, eps)?,
            q_proj: linear("q", d, queries, qkv, std)?,
            k_proj: linear("k", d, keys, qkv, std)?,
            v_proj: linear("v", d, keys, qkv, std)?,
            o_proj: linear("o", queries, d, out, residual)?,
            post_attention_layernorm: RmsNorm::new(device, d, eps)?,
            gate_proj: linear("gate", d, ff, mlp, std)?,
            up_proj: linear("up", d, ff, mlp, std)?,
            down_proj: linear("down", ff, d, mlp, residual)?,
        })
    }

    /// One of its projections.
    pub(super) fn projection(&mut self, which: Projection) -> &mut Linear<D> {
        match which {
            Projection::Q => &mut self.q_proj,
            Projection::K => &mut self.k_proj,
            Projection::V => &mut self.v_proj,
            Projection::O => &mut self.o_proj,
            Projection::Gate => &mut self.gate_proj,
            Projection::Up => &mut self.up_proj,
            Projection::Down => &mut self.down_proj,
        }
    }

    /// `[B·T, d]` to `[B·T, d]`, or to `[B, d]` where one row of each sequence is wanted. With a cache, keys and values of the input are put into it and the queries see all that it
    /// holds.
    pub(super) fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        config: &LlamaConfig,
        window: &Window<'_>,
        cache: Option<&mut LayerCache<D>>,
    ) -> Result<Matrix<D>, NnError> {
        let (heads, kv_heads, head_dim) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim(),
        );
        let n = self.input_layernorm.forward(g, x)?;
        let k = self.k_proj.forward(g, &n)?;
        let k = ops::rotary_at(g, &k, kv_heads, window.positions, window.frequencies)?;
        let v = self.v_proj.forward(g, &n)?;
        let (x, n, queries, positions, mask) = match window.only {
            None => (x.clone(), n, window.queries, window.positions, window.mask),
            Some(only) => {
                let x = ops::gather_rows(g, x, &only.rows)?;
                let n = ops::gather_rows(g, &n, &only.rows)?;
                (x, n, 1, only.positions.as_slice(), &only.mask)
            }
        };
        let q = self.q_proj.forward(g, &n)?;
        let q = ops::rotary_at(g, &q, heads, positions, window.frequencies)?;
        let (k, v) = match cache {
            Some(cache) => cache.extend(g, k, v, window.positions)?,
            None => (k, v),
        };
        let shape = AttentionShape {
            batch: window.batch,
            queries,
            keys: k.rows() / window.batch,
            heads,
            kv_heads,
            head_dim,
        };
        let attended = ops::attention(g, &q, &k, &v, &shape, mask)?;
        let h = ops::add(g, &x, &self.o_proj.forward(g, &attended)?)?;
        let n = self.post_attention_layernorm.forward(g, &h)?;
        let gate = self.gate_proj.forward(g, &n)?;
        let up = self.up_proj.forward(g, &n)?;
        let gated = ops::silu_gate(g, &gate, &up)?;
        ops::add(g, &h, &self.down_proj.forward(g, &gated)?)
    }
}
