//! The sub-blocks of a layer, post-norm as in BERT: `LN(x + dropout(block(x)))`.

use super::QformerConfig;
use crate::module;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, join};
use crate::seed::Seed;

/// Multi-head attention with its output projection and norm; self-attention and cross-attention alike.
#[derive(Debug)]
pub struct Attention<D: Backend> {
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    output: Linear<D>,
    norm: LayerNorm<D>,
    heads: usize,
    dropout: f32,
}

module!(Attention {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    output: "output.dense",
    norm: "output.LayerNorm",
});

/// How the rows of one attention are grouped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    /// Sequences.
    pub batch: usize,
    /// Positions that ask.
    pub queries: usize,
    /// Positions that answer.
    pub keys: usize,
}

impl<D: Backend> Attention<D> {
    /// Makes the block; `memory` is the width of what keys and values are made from.
    pub(super) fn new(
        config: &QformerConfig,
        memory: usize,
        device: &D,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let d = config.d_model;
        let linear = |inputs, label: &str| {
            Linear::new(device, inputs, d, true, config.init_std, seed.child(label))
        };
        Ok(Self {
            query: linear(d, "query")?,
            key: linear(memory, "key")?,
            value: linear(memory, "value")?,
            output: linear(d, "output")?,
            norm: LayerNorm::new(device, d, config.eps)?,
            heads: config.heads,
            dropout: config.dropout,
        })
    }

    /// Lets the rows of `x` read the rows of `memory`.
    ///
    /// BLIP-2 also drops attention probabilities; here dropout acts on the block's output alone.
    ///
    /// # Shapes
    /// - `x`: `[batch * queries, d]`
    /// - `memory`: `[batch * keys, d_memory]`
    /// - returns: `[batch * queries, d]`
    pub(super) fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        memory: &Matrix<D>,
        rows: Rows,
        mask: &Mask,
    ) -> Result<Matrix<D>, NnError> {
        let query = self.query.forward(g, x)?;
        let key = self.key.forward(g, memory)?;
        let value = self.value.forward(g, memory)?;
        let shape = AttentionShape {
            batch: rows.batch,
            queries: rows.queries,
            keys: rows.keys,
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: query.columns() / self.heads,
        };
        let read = ops::attention(g, &query, &key, &value, &shape, mask)?;
        let read = self.output.forward(g, &read)?;
        let read = ops::dropout(g, &read, self.dropout)?;
        self.norm.forward(g, &ops::add(g, x, &read)?)
    }
}

/// Which positions a feed-forward block serves; decides its names in weight files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Query positions: `intermediate_query`, `output_query`.
    Queries,
    /// Text positions: `intermediate`, `output`.
    Text,
}

/// Two linear layers with an exact GELU between them.
#[derive(Debug)]
pub struct FeedForward<D: Backend> {
    intermediate: Linear<D>,
    output: Linear<D>,
    norm: LayerNorm<D>,
    dropout: f32,
    side: Side,
}

impl<D: Backend> FeedForward<D> {
    /// Makes the block. The same `seed` gives the same weights on both sides: the query block starts as a copy of the
    /// text block, as in BLIP-2.
    pub(super) fn new(
        config: &QformerConfig,
        side: Side,
        device: &D,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let (d, inner, std) = (config.d_model, config.d_ff, config.init_std);
        Ok(Self {
            intermediate: Linear::new(device, d, inner, true, std, seed.child("intermediate"))?,
            output: Linear::new(device, inner, d, true, std, seed.child("output"))?,
            norm: LayerNorm::new(device, d, config.eps)?,
            dropout: config.dropout,
            side,
        })
    }

    /// `[R, d]` to `[R, d]`.
    pub(super) fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let inner = ops::gelu(g, &self.intermediate.forward(g, x)?)?;
        let outer = ops::dropout(g, &self.output.forward(g, &inner)?, self.dropout)?;
        self.norm.forward(g, &ops::add(g, x, &outer)?)
    }

    fn names(&self, prefix: &str) -> [String; 3] {
        let suffix = match self.side {
            Side::Queries => "_query",
            Side::Text => "",
        };
        [
            join(prefix, &format!("intermediate{suffix}.dense")),
            join(prefix, &format!("output{suffix}.dense")),
            join(prefix, &format!("output{suffix}.LayerNorm")),
        ]
    }
}

impl<D: Backend> Module<D> for FeedForward<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        let [intermediate, output, norm] = self.names(prefix);
        self.intermediate.visit(&intermediate, f);
        self.output.visit(&output, f);
        self.norm.visit(&norm, f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        let [intermediate, output, norm] = self.names(prefix);
        self.intermediate.visit_mut(&intermediate, f);
        self.output.visit_mut(&output, f);
        self.norm.visit_mut(&norm, f);
    }
}

/// One layer, without its text feed-forward block, which [`TextSide`](super::TextSide) owns.
#[derive(Debug)]
pub struct Layer<D: Backend> {
    pub(super) attention: Attention<D>,
    pub(super) crossattention: Option<Attention<D>>,
    pub(super) feed_forward: FeedForward<D>,
}

impl<D: Backend> Module<D> for Layer<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        self.attention.visit(&join(prefix, "attention"), f);
        self.crossattention
            .visit(&join(prefix, "crossattention"), f);
        self.feed_forward.visit(prefix, f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        self.attention.visit_mut(&join(prefix, "attention"), f);
        self.crossattention
            .visit_mut(&join(prefix, "crossattention"), f);
        self.feed_forward.visit_mut(prefix, f);
    }
}

impl<D: Backend> Layer<D> {
    pub(super) fn new(
        config: &QformerConfig,
        index: usize,
        device: &D,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let crossattention = if config.has_cross_attention(index) {
            let seed = seed.child("crossattention");
            Some(Attention::new(config, config.d_item, device, seed)?)
        } else {
            None
        };
        Ok(Self {
            attention: Attention::new(config, config.d_model, device, seed.child("attention"))?,
            crossattention,
            feed_forward: FeedForward::new(
                config,
                Side::Queries,
                device,
                seed.child("feed_forward"),
            )?,
        })
    }

    /// What happens to query positions after self-attention: they read the item, then their feed-forward block.
    pub(super) fn read_item(
        &self,
        g: &Graph<D>,
        queries: &Matrix<D>,
        item: &Matrix<D>,
        rows: Rows,
    ) -> Result<Matrix<D>, NnError> {
        match &self.crossattention {
            None => self.feed_forward.forward(g, queries),
            Some(cross) => {
                let read = cross.forward(g, queries, item, rows, &Mask::full())?;
                self.feed_forward.forward(g, &read)
            }
        }
    }
}
