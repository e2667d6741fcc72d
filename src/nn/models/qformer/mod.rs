//! The Q-Former of BLIP-2 (Li et al. 2023, arXiv 2301.12597; LAVIS `blip2_models/Qformer.py`) with an item in the place of the
//! image: learned queries share self-attention with text and read the item's tokens by cross-attention.
//!
//! | file | idea |
//! | --- | --- |
//! | `config` | sizes |
//! | `layer` | attention and feed-forward blocks, post-norm |
//! | `query_side` | item -> soft tokens; all that phase 2 keeps |
//! | `text_side` | text embeddings, text feed-forward blocks, heads |
//! | `batch` `data` `sampling` | what phase 1 reads, and which of it a step sees |
//! | `from_bert` | a start from BERT's weights |
//! | `contrast` | soft contrastive and margin losses over a similarity matrix |
//! | `losses` | ITC, ITM, ITG, IIC and UIC |
//! | `objective` | a training step and the held-out losses |
//!
//! What differs from BLIP-2: attention probabilities are not dropped, queries are held as `[Q, d]`, the loss of
//! text generation runs queries and text in one pass under the mask that LAVIS's `generate` uses (equal to its cached two
//! passes without dropout), and both sides of the in-batch contrast get gradients.

mod batch;
mod config;
mod contrast;
mod data;
mod from_bert;
mod layer;
mod losses;
mod objective;
mod query_side;
mod sampling;
mod text_side;

pub use batch::{TextBatch, TokenTable};
pub use config::QformerConfig;
pub use contrast::{PairLoss, Pooling};
pub use data::{ItemText, PairSet, Phase1Data, Phase1DataError, Relation};
pub use layer::{Attention, FeedForward, Layer, Side};
pub use objective::{Loss, LossWeights, Phase1, Phase1Config};
pub use query_side::{ItemBatch, QuerySide};
pub use text_side::TextSide;

use crate::formats::json;
use crate::nn::ops::{self, Mask, MaskKind};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, weights};
use crate::seed::Seed;
use layer::Rows;
use std::path::Path;

/// A whole Q-Former as phase 1 trains it.
#[derive(Debug)]
pub struct Qformer<D: Backend> {
    /// Item -> soft tokens.
    pub items: QuerySide<D>,
    /// Text embeddings, text feed-forward blocks and heads.
    pub texts: TextSide<D>,
}

impl<D: Backend> Module<D> for Qformer<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        self.items.visit(prefix, f);
        self.texts.visit(prefix, f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        self.items.visit_mut(prefix, f);
        self.texts.visit_mut(prefix, f);
    }
}

impl<D: Backend> Qformer<D> {
    /// Makes a Q-Former with random weights; the text feed-forward blocks start equal to those of the queries.
    pub fn new(config: &QformerConfig, device: &D, seed: Seed) -> Result<Self, NnError> {
        Ok(Self {
            items: QuerySide::new(config, device, seed)?,
            texts: TextSide::new(config, device, seed)?,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &QformerConfig {
        self.items.config()
    }

    /// Writes `config.json` and `model.safetensors` into `folder`.
    pub fn save(&self, folder: &Path) -> Result<(), NnError> {
        json::write(&folder.join("config.json"), self.config())?;
        weights::save(self, &folder.join("model.safetensors"))
    }

    /// Reads what [`Qformer::save`] wrote.
    pub fn load(folder: &Path, device: &D) -> Result<Self, NnError> {
        let config: QformerConfig = json::read(&folder.join("config.json"))?;
        let mut model = Self::new(&config, device, Seed::new(0))?;
        weights::load(&mut model, &folder.join("model.safetensors"))?;
        Ok(model)
    }

    /// The text alone, bidirectional, its padding unseen: `[texts * T, d]`.
    pub fn text(&self, g: &Graph<D>, text: &TextBatch) -> Result<Matrix<D>, NnError> {
        let mut x = self.texts.embed(g, text, &self.items.norm)?;
        let rows = Rows {
            batch: text.count(),
            queries: text.width,
            keys: text.width,
        };
        let mask = Mask {
            lengths: Some(text.lengths.clone()),
            kind: MaskKind::Full,
        };
        for (layer, feed_forward) in self.items.layers.iter().zip(&self.texts.feed_forwards) {
            x = layer.attention.forward(g, &x, &x, rows, &mask)?;
            x = feed_forward.forward(g, &x)?;
        }
        Ok(x)
    }

    /// Queries and text together, all seeing all but padding (the pass of ITM): the outputs of the queries, `[n * Q, d]`.
    pub fn joint_queries(
        &self,
        g: &Graph<D>,
        items: &ItemBatch<D>,
        text: &TextBatch,
    ) -> Result<Matrix<D>, NnError> {
        self.joint(g, items, text, MaskKind::Full, Side::Queries)
    }

    /// Queries and text together, where queries see queries, and a text position sees all queries and the text up to
    /// itself (the pass of ITG): the outputs of the text, `[n * T, d]`.
    pub fn causal_text(
        &self,
        g: &Graph<D>,
        items: &ItemBatch<D>,
        text: &TextBatch,
    ) -> Result<Matrix<D>, NnError> {
        let kind = MaskKind::PrefixCausal {
            prefix: self.config().queries,
        };
        self.joint(g, items, text, kind, Side::Text)
    }

    /// One pass over `[queries; text]` of each pair; `wanted` says whose outputs to return, so that the last layer need not
    /// compute the other's.
    fn joint(
        &self,
        g: &Graph<D>,
        items: &ItemBatch<D>,
        text: &TextBatch,
        kind: MaskKind,
        wanted: Side,
    ) -> Result<Matrix<D>, NnError> {
        let (n, q, t) = (items.count, self.config().queries, text.width);
        if text.count() != n {
            return Err(NnError::shape(
                "qformer",
                format!("{n} items were paired with {} texts", text.count()),
            ));
        }
        let length = q + t;
        // Rows of [all queries; all texts] in the order of the pairs, and back.
        let woven: Vec<usize> = (0..n)
            .flat_map(|pair| {
                (pair * q..(pair + 1) * q).chain(n * q + pair * t..n * q + (pair + 1) * t)
            })
            .collect();
        let query_rows: Vec<usize> = (0..n)
            .flat_map(|pair| pair * length..pair * length + q)
            .collect();
        let text_rows: Vec<usize> = (0..n)
            .flat_map(|pair| pair * length + q..(pair + 1) * length)
            .collect();
        let mask = Mask {
            lengths: Some(text.lengths.iter().map(|&length| q + length).collect()),
            kind,
        };
        let rows = Rows {
            batch: n,
            queries: length,
            keys: length,
        };

        let item = self.items.item_memory(g, items)?;
        let mut queries = self.items.embed_queries(g, n)?;
        let mut texts = self.texts.embed(g, text, &self.items.norm)?;
        let last = self.config().layers - 1;
        for (index, layer) in self.items.layers.iter().enumerate() {
            let x = ops::gather_rows(g, &ops::concat_rows(g, &[&queries, &texts])?, &woven)?;
            let x = layer.attention.forward(g, &x, &x, rows, &mask)?;
            if index < last || wanted == Side::Queries {
                let x = ops::gather_rows(g, &x, &query_rows)?;
                queries = layer.read_item(g, &x, &item, self.items.to_item(items))?;
            }
            if index < last || wanted == Side::Text {
                let x = ops::gather_rows(g, &x, &text_rows)?;
                texts = self.texts.feed_forwards[index].forward(g, &x)?;
            }
        }
        Ok(match wanted {
            Side::Queries => queries,
            Side::Text => texts,
        })
    }
}

#[cfg(test)]
mod tests;
