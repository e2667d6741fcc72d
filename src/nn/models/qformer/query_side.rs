//! The half of a Q-Former that turns an item into soft tokens; phase 2 keeps only this.

use super::layer::{Layer, Rows};
use super::{QformerConfig, TokenTable};
use crate::module;
use crate::nn::layers::LayerNorm;
use crate::nn::ops::{self, Mask};
use crate::nn::{Backend, Graph, Matrix, NnError, Param, init};
use crate::seed::Seed;

/// Items of one pass on the device.
#[derive(Clone, Debug)]
pub struct ItemBatch<D: Backend> {
    /// `[count * tokens, d_item]`.
    pub rows: Matrix<D>,
    /// Items.
    pub count: usize,
    /// Tokens of an item, M.
    pub tokens: usize,
}

impl<D: Backend> ItemBatch<D> {
    /// Puts the named items of `table` on the device.
    pub fn new(device: &D, table: &TokenTable, indices: &[u32]) -> Result<Self, NnError> {
        let shape = (indices.len() * table.tokens, table.width);
        Ok(Self {
            rows: Matrix::constant(device, table.rows(indices), shape)?,
            count: indices.len(),
            tokens: table.tokens,
        })
    }
}

/// Learned queries, the layers they share with text, and their way to the item.
///
/// With one token an item (M = 1) cross-attention has one key, its softmax is 1 whatever the query, and its query and key weights
/// get no gradient: the item is then *added* to every query. Two or more tokens make attention real.
#[derive(Debug)]
pub struct QuerySide<D: Backend> {
    pub(super) query_tokens: Param<D>,
    /// Norm of the item tokens before cross-attention (`ln_vision` in BLIP-2).
    item_norm: LayerNorm<D>,
    /// Norm of query and text embeddings.
    pub(super) norm: LayerNorm<D>,
    pub(super) layers: Vec<Layer<D>>,
    config: QformerConfig,
}

module!(QuerySide {
    query_tokens: "query_tokens",
    item_norm: "item_layernorm",
    norm: "qformer.layernorm",
    layers: "qformer.encoder.layer",
});

impl<D: Backend> QuerySide<D> {
    /// Makes the query side with random weights: normal with `init_std`, zero biases, norms at the identity.
    pub fn new(config: &QformerConfig, device: &D, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let seed = seed.child("layer").at(index as u64);
            layers.push(Layer::new(config, index, device, seed)?);
        }
        let shape = (config.queries, config.d_model);
        let queries = init::normal(device, shape, config.init_std, seed.child("query_tokens"))?;
        Ok(Self {
            query_tokens: Param::matrix(queries),
            item_norm: LayerNorm::new(device, config.d_item, config.eps)?,
            norm: LayerNorm::new(device, config.d_model, config.eps)?,
            layers,
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &QformerConfig {
        &self.config
    }

    /// Turns items into soft tokens: the queries pass alone, all seeing all.
    ///
    /// # Shapes
    /// - returns: `[count * Q, d]`, the Q outputs of an item beside one another
    pub fn forward(&self, g: &Graph<D>, items: &ItemBatch<D>) -> Result<Matrix<D>, NnError> {
        let item = self.item_memory(g, items)?;
        let mut x = self.embed_queries(g, items.count)?;
        for layer in &self.layers {
            x = layer
                .attention
                .forward(g, &x, &x, self.alone(items.count), &Mask::full())?;
            x = layer.read_item(g, &x, &item, self.to_item(items))?;
        }
        Ok(x)
    }

    /// The item tokens as keys and values see them.
    pub(super) fn item_memory(
        &self,
        g: &Graph<D>,
        items: &ItemBatch<D>,
    ) -> Result<Matrix<D>, NnError> {
        let width = items.rows.columns();
        if width != self.config.d_item {
            return Err(NnError::shape(
                "qformer",
                format!(
                    "an item token has {width} values, but the model reads {}",
                    self.config.d_item
                ),
            ));
        }
        self.item_norm.forward(g, &items.rows)
    }

    /// The queries before the first layer, once for each item: `[count * Q, d]`.
    pub(super) fn embed_queries(&self, g: &Graph<D>, count: usize) -> Result<Matrix<D>, NnError> {
        let queries = self.norm.forward(g, &self.query_tokens.value)?;
        let rows: Vec<usize> = (0..count).flat_map(|_| 0..self.config.queries).collect();
        let queries = ops::gather_rows(g, &queries, &rows)?;
        ops::dropout(g, &queries, self.config.dropout)
    }

    pub(super) fn to_item(&self, items: &ItemBatch<D>) -> Rows {
        Rows {
            batch: items.count,
            queries: self.config.queries,
            keys: items.tokens,
        }
    }

    fn alone(&self, batch: usize) -> Rows {
        Rows {
            batch,
            queries: self.config.queries,
            keys: self.config.queries,
        }
    }
}
