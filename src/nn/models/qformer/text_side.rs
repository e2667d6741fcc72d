//! The half of a Q-Former that phase 1 needs beside the queries: text embeddings, text feed-forward blocks and heads.

use super::layer::{FeedForward, Side};
use super::{QformerConfig, TextBatch};
use crate::module;
use crate::nn::layers::{Embedding, LayerNorm, Linear};
use crate::nn::ops;
use crate::nn::{Backend, Graph, Matrix, NnError, Param, init};
use crate::seed::Seed;

/// Text embeddings, text feed-forward blocks, and the heads of the losses.
#[derive(Debug)]
pub struct TextSide<D: Backend> {
    words: Embedding<D>,
    positions: Embedding<D>,
    pub(super) feed_forwards: Vec<FeedForward<D>>,
    head_dense: Linear<D>,
    head_norm: LayerNorm<D>,
    head_bias: Param<D>,
    item_projection: Linear<D>,
    text_projection: Linear<D>,
    itm_head: Linear<D>,
    temperature: Param<D>,
    dropout: f32,
    limit: usize,
}

module!(TextSide {
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    feed_forwards: "qformer.encoder.layer",
    head_dense: "cls.predictions.transform.dense",
    head_norm: "cls.predictions.transform.LayerNorm",
    head_bias: "cls.predictions.bias",
    item_projection: "item_projection",
    text_projection: "text_projection",
    itm_head: "itm_head",
    temperature: "temp",
});

impl<D: Backend> TextSide<D> {
    pub(super) fn new(config: &QformerConfig, device: &D, seed: Seed) -> Result<Self, NnError> {
        let (d, std) = (config.d_model, config.init_std);
        let linear =
            |outputs, label: &str| Linear::new(device, d, outputs, true, std, seed.child(label));
        let table = |rows, label: &str| Embedding::new(device, rows, d, std, seed.child(label));
        let mut feed_forwards = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let seed = seed.child("layer").at(index as u64).child("feed_forward");
            feed_forwards.push(FeedForward::new(config, Side::Text, device, seed)?);
        }
        Ok(Self {
            words: table(config.vocab, "words")?,
            positions: table(config.max_text_tokens, "positions")?,
            feed_forwards,
            head_dense: linear(d, "head")?,
            head_norm: LayerNorm::new(device, d, config.eps)?,
            head_bias: Param::vector(init::zeros(device, (1, config.vocab))?),
            item_projection: linear(config.projection, "item_projection")?,
            text_projection: linear(config.projection, "text_projection")?,
            itm_head: linear(2, "itm_head")?,
            temperature: Param::vector(init::filled(device, (1, 1), config.temperature)?),
            dropout: config.dropout,
            limit: config.max_text_tokens,
        })
    }

    /// Texts before the first layer: word and position vectors (positions from 0), normed by `norm`.
    pub(super) fn embed(
        &self,
        g: &Graph<D>,
        text: &TextBatch,
        norm: &LayerNorm<D>,
    ) -> Result<Matrix<D>, NnError> {
        if text.width > self.limit {
            return Err(NnError::shape(
                "qformer",
                format!(
                    "a text has {} tokens, but the model reads at most {}",
                    text.width, self.limit
                ),
            ));
        }
        let places: Vec<u32> = (0..text.count())
            .flat_map(|_| 0..text.width as u32)
            .collect();
        let words = self.words.forward(g, &text.ids)?;
        let places = self.positions.forward(g, &places)?;
        let x = norm.forward(g, &ops::add(g, &words, &places)?)?;
        ops::dropout(g, &x, self.dropout)
    }

    /// Logits of the next token: `[R, d]` to `[R, V]`; the decoder is tied to the word embeddings.
    pub fn next_token(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let x = ops::gelu(g, &self.head_dense.forward(g, x)?)?;
        let x = self.head_norm.forward(g, &x)?;
        ops::linear(g, &x, &self.words.weight.value, Some(&self.head_bias.value))
    }

    /// Query outputs in the space of comparison, unit rows: `[R, d]` to `[R, p]`.
    pub fn project_items(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::normalize_rows(g, &self.item_projection.forward(g, x)?, UNIT_EPS)
    }

    /// First-token outputs in the space of comparison, unit rows: `[R, d]` to `[R, p]`.
    pub fn project_texts(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::normalize_rows(g, &self.text_projection.forward(g, x)?, UNIT_EPS)
    }

    /// Match logits of joint query outputs, their mean over the queries: `[n * Q, d]` to `[n, 2]`; column 1 is "match".
    pub fn matches(
        &self,
        g: &Graph<D>,
        queries: &Matrix<D>,
        per_item: usize,
    ) -> Result<Matrix<D>, NnError> {
        ops::mean_groups(g, &self.itm_head.forward(g, queries)?, per_item)
    }

    /// Divides similarities by the learned temperature.
    pub fn sharpen(&self, g: &Graph<D>, similarity: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::div_scalar(g, similarity, &self.temperature.value)
    }
}

/// Added to the length of a row before dividing by it (PyTorch's `normalize`: 1e-12).
pub(super) const UNIT_EPS: f32 = 1e-12;
