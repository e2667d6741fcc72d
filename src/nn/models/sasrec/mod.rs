//! SASRec: self-attention over the items that a user chose, to predict the next one.
//!
//! Kang & `McAuley`, *Self-Attentive Sequential Recommendation*, ICDM 2018. Items and positions have learned vectors; blocks
//! of causal self-attention and a feed-forward layer turn them into one vector a position, and the item whose vector has
//! the largest inner product with the last position's is the prediction (item vectors are shared between input and output).
//!
//! Differs from the paper where later work found better: norms stand before both halves of a block and once at the end,
//! the feed-forward layer is four times as wide with GELU, attention has several heads, and the loss is the cross-entropy over
//! *all* items, not one sampled negative (Klenitskiy & Vasilev, *Turning Dross Into Gold Loss*, `RecSys` 2023;
//! Petrov & Macdonald, *gSASRec*, `RecSys` 2023, on why sampling makes it overconfident).

mod block;
mod objective;

pub use objective::{Measure, NextItem};

use self::block::Block;
use crate::formats::json;
use crate::module;
use crate::nn::layers::{Embedding, LayerNorm};
use crate::nn::ops;
use crate::nn::{Backend, Graph, Matrix, NnError, weights};
use crate::seed::Seed;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SasrecConfig {
    /// Items.
    pub items: usize,
    /// Width of every vector; a multiple of `heads`.
    pub width: usize,
    /// Blocks, at least 1.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Items of a history that the model sees, from its end; at least 1.
    pub max_length: usize,
    /// Share of numbers that training drops from the input and from both halves of a block; 0 to below 1.
    pub dropout: f32,
    /// Standard deviation of the first weights; above 0.
    pub init_std: f32,
}

impl SasrecConfig {
    /// Every senseless value: the field and the rest of the sentence about it.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (name, value) in [
            ("items", self.items),
            ("width", self.width),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("max_length", self.max_length),
        ] {
            if value == 0 {
                found.push((name, "is 0, but must be at least 1".to_owned()));
            }
        }
        if self.heads > 0 && !self.width.is_multiple_of(self.heads) {
            found.push((
                "heads",
                format!("is {}, but must divide `width`, {}", self.heads, self.width),
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            found.push((
                "dropout",
                format!("is {}, but must be from 0 to below 1", self.dropout),
            ));
        }
        if !(self.init_std > 0.0 && self.init_std.is_finite()) {
            found.push((
                "init_std",
                format!("is {}, but must be above 0", self.init_std),
            ));
        }
        found
    }
}

/// A next-item model.
#[derive(Debug)]
pub struct Sasrec<D: Backend> {
    config: SasrecConfig,
    items: Embedding<D>,
    positions: Embedding<D>,
    blocks: Vec<Block<D>>,
    norm: LayerNorm<D>,
}

module!(Sasrec {
    items: "items",
    positions: "positions",
    blocks: "blocks",
    norm: "norm",
});

impl<D: Backend> Sasrec<D> {
    /// Makes a model with random weights.
    pub fn new(device: &D, config: &SasrecConfig, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let (d, std) = (config.width, config.init_std);
        let blocks = (0..config.blocks)
            .map(|i| Block::new(device, config, seed.child("block").at(i as u64)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            items: Embedding::new(device, config.items, d, std, seed.child("items"))?,
            positions: Embedding::new(device, config.max_length, d, std, seed.child("positions"))?,
            blocks,
            norm: LayerNorm::new(device, d, 1e-5)?,
            config: config.clone(),
        })
    }

    /// Loads `config.json` and `model.safetensors` of a folder.
    pub fn load(device: &D, folder: &Path) -> Result<Self, NnError> {
        let config: SasrecConfig = json::read(&folder.join("config.json"))?;
        let mut model = Self::new(device, &config, Seed::new(0))?;
        weights::load(&mut model, &folder.join("model.safetensors"))?;
        Ok(model)
    }

    /// Saves `config.json` and `model.safetensors` into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), NnError> {
        json::write(&folder.join("config.json"), &self.config)?;
        weights::save(self, &folder.join("model.safetensors"))
    }

    /// The sizes.
    pub fn config(&self) -> &SasrecConfig {
        &self.config
    }

    /// A vector for some positions of some histories: `[rows.len(), d]`.
    ///
    /// `histories` are cut to their last `max_length` items and padded at the end to the longest, T; `rows` count over the
    /// padded `[histories.len()·T]` positions. A causal query never sees what is behind it, so padding needs no mask.
    pub fn vectors(
        &self,
        g: &Graph<D>,
        histories: &Padded,
        rows: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        let x = self.items.forward(g, &histories.items)?;
        let x = ops::add(g, &x, &self.positions.forward(g, &histories.positions)?)?;
        let mut x = ops::dropout(g, &x, self.config.dropout)?;
        for block in &self.blocks {
            x = block.forward(g, &x, &self.config, histories.batch)?;
        }
        let x = ops::gather_rows(g, &x, rows)?;
        self.norm.forward(g, &x)
    }

    /// The score of every item for each vector: `[R, d]` to `[R, items]`.
    pub fn scores(&self, g: &Graph<D>, vectors: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::linear(g, vectors, &self.items.weight.value, None)
    }

    /// The score of every item as the next of each history: `[histories.len(), items]`. Someone without a history gets zeros.
    pub fn next(&self, g: &Graph<D>, histories: &[&[u32]]) -> Result<Matrix<D>, NnError> {
        let padded = Padded::new(histories, self.config.max_length);
        let last: Vec<usize> = padded
            .lengths()
            .map(|(start, n)| start + n.max(1) - 1)
            .collect();
        let scores = self.scores(g, &self.vectors(g, &padded, &last)?)?;
        if histories.iter().all(|history| !history.is_empty()) {
            return Ok(scores);
        }
        let mut values = scores.to_vec();
        for (row, history) in values.chunks_mut(self.config.items).zip(histories) {
            if history.is_empty() {
                row.fill(0.0);
            }
        }
        g.constant(values, scores.shape())
    }
}

/// Histories of one batch, cut to their ends and padded at the end to the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padded {
    /// Histories.
    pub batch: usize,
    /// Positions of each, at least 1.
    pub width: usize,
    /// The item at each of the `batch · width` positions; item 0 in the padding.
    pub items: Vec<u32>,
    /// Its place in its history as cut, from 0.
    pub positions: Vec<u32>,
    lengths: Vec<usize>,
}

impl Padded {
    /// Takes at most the last `max_length` items of each history.
    pub fn new(histories: &[&[u32]], max_length: usize) -> Self {
        let cut: Vec<&[u32]> = histories
            .iter()
            .map(|history| &history[history.len().saturating_sub(max_length)..])
            .collect();
        let width = cut.iter().map(|h| h.len()).max().unwrap_or(0).max(1);
        let mut items = Vec::with_capacity(cut.len() * width);
        for (row, history) in cut.iter().enumerate() {
            items.extend_from_slice(history);
            items.resize((row + 1) * width, 0);
        }
        Self {
            batch: cut.len(),
            width,
            items,
            positions: (0..cut.len()).flat_map(|_| 0..width as u32).collect(),
            lengths: cut.iter().map(|h| h.len()).collect(),
        }
    }

    /// Where each history starts among the positions, and its length.
    pub fn lengths(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = (0..self.batch).map(|row| row * self.width);
        starts.zip(self.lengths.iter().copied())
    }
}

#[cfg(test)]
mod tests;
