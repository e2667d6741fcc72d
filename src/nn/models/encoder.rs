//! BERT's blocks without its embeddings: what `torch.nn.TransformerEncoderLayer` computes with `activation="gelu"`.
//!
//! What benchmarks and `gpu-check` train.

use crate::module;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;

/// Attention and feed-forward, each followed by a norm over the sum with its input.
struct Block<D: Backend> {
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    output: Linear<D>,
    norm1: LayerNorm<D>,
    up: Linear<D>,
    down: Linear<D>,
    norm2: LayerNorm<D>,
}

module!(Block {
    query: "query",
    key: "key",
    value: "value",
    output: "output",
    norm1: "norm1",
    up: "up",
    down: "down",
    norm2: "norm2",
});

impl<D: Backend> Block<D> {
    fn new(device: &D, d: usize, seed: Seed) -> Result<Self, NnError> {
        let linear = |label: &str, inputs, outputs| {
            Linear::new(device, inputs, outputs, true, 0.04, seed.child(label))
        };
        Ok(Self {
            query: linear("query", d, d)?,
            key: linear("key", d, d)?,
            value: linear("value", d, d)?,
            output: linear("output", d, d)?,
            norm1: LayerNorm::new(device, d, 1e-5)?,
            up: linear("up", d, 4 * d)?,
            down: linear("down", 4 * d, d)?,
            norm2: LayerNorm::new(device, d, 1e-5)?,
        })
    }

    fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        shape: &AttentionShape,
    ) -> Result<Matrix<D>, NnError> {
        let q = self.query.forward(g, x)?;
        let k = self.key.forward(g, x)?;
        let v = self.value.forward(g, x)?;
        let y = ops::attention(g, &q, &k, &v, shape, &Mask::full())?;
        let x = ops::add(g, x, &self.output.forward(g, &y)?)?;
        let x = self.norm1.forward(g, &x)?;
        let y = ops::gelu(g, &self.up.forward(g, &x)?)?;
        self.norm2
            .forward(g, &ops::add(g, &x, &self.down.forward(g, &y)?)?)
    }
}

/// Some blocks over one another.
pub struct Encoder<D: Backend> {
    blocks: Vec<Block<D>>,
}

module!(Encoder { blocks: "blocks" });

impl<D: Backend> Encoder<D> {
    /// `blocks` of width `d` with random weights; `d` is a multiple of the heads of its use.
    pub fn new(device: &D, blocks: usize, d: usize, seed: Seed) -> Result<Self, NnError> {
        let blocks = (0..blocks).map(|i| Block::new(device, d, seed.at(i as u64)));
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
        })
    }

    /// Turns `[batch · tokens, d]` into the same.
    pub fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        shape: &AttentionShape,
    ) -> Result<Matrix<D>, NnError> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(g, &x, shape)?;
        }
        Ok(x)
    }
}
