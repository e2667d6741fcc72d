//! Decoder language models of the Llama family.
//!
//! RMS norms before each half of a block, rotary positions (rotate-half, as Hugging Face stores the weights), SwiGLU, grouped-query
//! attention, token embeddings that may serve as the output layer; biases where a config has them (Qwen2: queries, keys and
//! values). Parameter names and `config.json` are Hugging Face's, so `transformers` opens what we train, and [`Llama::load`] opens what
//! others publish: folders and GGUF files of Llama, SmolLM2, TinyLlama, Mistral and Qwen2.

mod block;
mod config;
mod corpus;
mod lora;
mod open;
mod pretrain;
mod rope;

pub use super::cache::Cache;
pub use block::Block;
pub use config::LlamaConfig;
pub use corpus::{Corpus, unit_hash};
pub use lora::{LoraConfig, Projection, is_lora};
pub use open::MODEL_TYPES;
pub use pretrain::Pretraining;

use self::block::{OneRow, Window};
use super::cache::last_rows;
use crate::formats::json;
use crate::nn::layers::{Embedding, RmsNorm};
use crate::nn::ops::{self, Mask, MaskKind};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, init, join, weights};
use crate::seed::Seed;
use std::path::Path;

/// A decoder language model.
#[derive(Debug)]
pub struct Llama<D: Backend> {
    config: LlamaConfig,
    /// Angle per position of each pair of features of a head.
    frequencies: Vec<f32>,
    embed_tokens: Embedding<D>,
    layers: Vec<Block<D>>,
    norm: RmsNorm<D>,
    /// Absent when the token embedding is the output layer.
    lm_head: Option<Param<D>>,
}

impl<D: Backend> Module<D> for Llama<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        self.embed_tokens
            .visit(&join(prefix, "model.embed_tokens"), f);
        self.layers.visit(&join(prefix, "model.layers"), f);
        self.norm.visit(&join(prefix, "model.norm"), f);
        self.lm_head.visit(&join(prefix, "lm_head.weight"), f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        self.embed_tokens
            .visit_mut(&join(prefix, "model.embed_tokens"), f);
        self.layers.visit_mut(&join(prefix, "model.layers"), f);
        self.norm.visit_mut(&join(prefix, "model.norm"), f);
        self.lm_head.visit_mut(&join(prefix, "lm_head.weight"), f);
    }
}

impl<D: Backend> Llama<D> {
    /// Makes a model with random weights.
    pub fn new(device: &D, config: &LlamaConfig, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let frequencies = config
            .rope_frequencies()
            .map_err(|message| NnError::setting("rope_scaling", message))?;
        let (vocabulary, width) = (config.vocab_size, config.hidden_size);
        let std = config.initializer_range as f32;
        let layers = (0..config.num_hidden_layers)
            .map(|i| Block::new(device, config, seed.child("layer").at(i as u64)))
            .collect::<Result<_, _>>()?;
        let lm_head = if config.tie_word_embeddings {
            None
        } else {
            let seed = seed.child("lm_head");
            Some(Param::matrix(init::normal(
                device,
                (vocabulary, width),
                std,
                seed,
            )?))
        };
        Ok(Self {
            embed_tokens: Embedding::new(device, vocabulary, width, std, seed.child("embedding"))?,
            layers,
            norm: RmsNorm::new(device, width, config.rms_norm_eps as f32)?,
            lm_head,
            frequencies,
            config: config.clone(),
        })
    }

    /// Saves `config.json` and `model.safetensors` into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), NnError> {
        json::write(&folder.join("config.json"), &self.config)?;
        weights::save(self, &folder.join("model.safetensors"))
    }

    /// The sizes.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Token embeddings `[n, d]`.
    pub fn embed(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        self.embed_tokens.forward(g, ids)
    }

    /// Root of the mean square of all token embeddings: the size of what the blocks are used to reading.
    pub fn embedding_rms(&self) -> f32 {
        rms(&self.embed_tokens.weight.value.to_vec())
    }

    /// Runs the blocks over `batch` right-padded sequences of equal padded length T, `[B·T, d]` to `[B·T, d]`, before the
    /// final norm.
    ///
    /// A causal query never sees what is behind it, so padding at the end needs no mask; its own rows mean nothing.
    pub fn hidden(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        batch: usize,
    ) -> Result<Matrix<D>, NnError> {
        self.run_causal(g, embeddings, batch, None, None)
    }

    /// The row of [`Llama::hidden`] of each sequence's last position, `[B, d]`, and keys and values of its first `lengths[b]` positions,
    /// of which there must be one at least. The last block does not compute the other rows.
    pub fn prefill(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<(Matrix<D>, Cache<D>), NnError> {
        let mut cache = Cache::new(self.layers.len(), lengths.len());
        let batch = lengths.len();
        let last = OneRow {
            rows: last_rows(embeddings, lengths)?,
            positions: lengths.iter().map(|&n| n as u32 - 1).collect(),
            mask: Mask {
                lengths: Some(lengths.to_vec()),
                kind: MaskKind::Full,
            },
        };
        let hidden = self.run_causal(g, embeddings, batch, Some(&mut cache), Some(&last))?;
        cache.advance(lengths);
        Ok((hidden, cache))
    }

    /// Runs one more position of each sequence: `embeddings` `[B, d]` to `[B, d]`, before the final norm.
    pub fn step(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        cache: &mut Cache<D>,
    ) -> Result<Matrix<D>, NnError> {
        let positions: Vec<u32> = cache.lengths().iter().map(|&n| n as u32).collect();
        cache.reserve(g)?;
        cache.advance(&vec![1; positions.len()]);
        let mask = Mask {
            lengths: Some(cache.lengths().to_vec()),
            kind: MaskKind::Full,
        };
        let batch = positions.len();
        let window = Window {
            batch,
            queries: 1,
            positions: &positions,
            frequencies: &self.frequencies,
            mask: &mask,
            only: None,
        };
        self.run(g, embeddings, &window, Some(cache), None)
    }

    /// Rows of [`Llama::hidden`] after the final norm: what Hugging Face calls the last hidden state.
    pub fn normed(&self, g: &Graph<D>, rows: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        self.norm.forward(g, rows)
    }

    /// Logits `[R, vocabulary]` of rows of [`Llama::hidden`]: the final norm and the output layer.
    pub fn logits(&self, g: &Graph<D>, rows: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let normed = self.normed(g, rows)?;
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens.weight);
        ops::linear(g, &normed, &head.value, None)
    }

    fn run_causal(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        batch: usize,
        cache: Option<&mut Cache<D>>,
        last: Option<&OneRow>,
    ) -> Result<Matrix<D>, NnError> {
        let queries = embeddings.rows() / batch.max(1);
        let positions: Vec<u32> = (0..batch).flat_map(|_| 0..queries as u32).collect();
        let window = Window {
            batch,
            queries,
            positions: &positions,
            frequencies: &self.frequencies,
            mask: &Mask {
                lengths: None,
                kind: MaskKind::Causal,
            },
            only: None,
        };
        self.run(g, embeddings, &window, cache, last)
    }

    /// Runs the blocks; the last computes the rows of `last` only, where there are such.
    fn run(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        window: &Window<'_>,
        mut cache: Option<&mut Cache<D>>,
        last: Option<&OneRow>,
    ) -> Result<Matrix<D>, NnError> {
        let mut x = embeddings.clone();
        for (index, block) in self.layers.iter().enumerate() {
            let layer = cache.as_mut().map(|cache| &mut cache.layers[index]);
            let only = last.filter(|_| index + 1 == self.layers.len());
            let window = Window { only, ..*window };
            x = block.forward(g, &x, &self.config, &window, layer)?;
        }
        Ok(x)
    }
}

/// Root of the mean square; 0 for no numbers.
pub(in crate::nn::models) fn rms(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / values.len().max(1) as f64).sqrt() as f32
}

#[cfg(test)]
pub(in crate::nn::models) mod tests;
