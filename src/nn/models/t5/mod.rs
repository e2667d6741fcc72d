//! T5 (Raffel et al. 2020), v1.0 and v1.1: an encoder that Sentence-T5 uses alone, and a decoder that reads it.
//!
//! Pre-norm blocks with RMS norms and without biases; attention scores are not scaled but get a bias by distance, which the first block of each
//! stack has for all of them; the output layer is tied to the token embeddings (v1.0) or its own (v1.1).

mod block;
mod config;

pub use block::State;
pub use config::T5Config;

use super::llama::rms;
use super::pretrained::open_weights;
use crate::nn::layers::Embedding;
use crate::nn::ops::{self};
use crate::nn::weights::{Source, fill_from};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param, init, join};
use crate::seed::Seed;
use block::{Memory, Stack};
use std::path::Path;

/// The encoder with its token embeddings.
#[derive(Debug)]
pub struct T5Encoder<D: Backend> {
    tokens: Embedding<D>,
    encoder: Stack<D>,
    config: T5Config,
}

crate::module!(T5Encoder {
    tokens: "shared",
    encoder: "encoder",
});

/// Names of the token embeddings beside `shared.weight`, which is the same matrix.
fn is_copy_of_tokens(name: &str) -> bool {
    name == "encoder.embed_tokens.weight" || name == "decoder.embed_tokens.weight"
}

/// Where a parameter is: in checkpoints without `shared.weight` the encoder has the token embeddings.
fn source(name: &str, shared: bool) -> Source {
    if name == "shared.weight" && !shared {
        Source::same("encoder.embed_tokens.weight")
    } else {
        Source::same(name)
    }
}

impl<D: Backend> T5Encoder<D> {
    /// Makes an encoder with random weights.
    pub fn new(device: &D, config: &T5Config, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let std = config.initializer_factor as f32;
        let tokens = Embedding::new(
            device,
            config.vocab_size,
            config.d_model,
            std,
            seed.child("tokens"),
        )?;
        Ok(Self {
            tokens,
            encoder: Stack::new(device, config, false, seed.child("encoder"))?,
            config: config.clone(),
        })
    }

    /// Loads the encoder of a model folder; a decoder in the same file is left out.
    ///
    /// # Errors
    /// As for every pre-trained model: see [`crate::nn::models::llama::Llama::load`].
    pub fn load(device: &D, folder: &Path) -> Result<Self, NnError> {
        let config = T5Config::open(folder)?;
        let archive = open_weights(folder)?;
        let mut model = Self::new(device, &blank(&config), Seed::new(0))?;
        model.config = config;
        let shared = archive.entries().contains_key("shared.weight");
        let ignored = |name: &str| {
            name.starts_with("decoder.") || name == "lm_head.weight" || is_copy_of_tokens(name)
        };
        fill_from(&mut model, &archive, &|name| source(name, shared), &ignored)?;
        Ok(model)
    }

    /// The sizes.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Hidden states `[B·T, d]` after the final norm, of `lengths.len()` texts of `ids`, padded on the right to equal length T;
    /// padding is not seen, and its own rows mean nothing.
    pub fn forward(
        &self,
        g: &Graph<D>,
        ids: &[u32],
        lengths: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        self.read(g, &self.embed(g, ids)?, lengths)
    }

    /// Token embeddings `[n, d]`.
    pub fn embed(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        self.tokens.forward(g, ids)
    }

    /// Like [`T5Encoder::forward`], of token embeddings `[B·T, d]`.
    pub fn read(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        let (batch, config) = (lengths.len(), &self.config);
        self.encoder
            .forward(g, embeddings, batch, Some(lengths), None, config)
    }

    /// Root of the mean square of all token embeddings.
    pub fn embedding_rms(&self) -> f32 {
        rms(&self.tokens.weight.value.to_vec())
    }
}

/// Random numbers would only be overwritten.
fn blank(config: &T5Config) -> T5Config {
    T5Config {
        initializer_factor: 0.0,
        ..config.clone()
    }
}

/// Encoder, decoder and output layer.
#[derive(Debug)]
pub struct T5<D: Backend> {
    /// Reads; owns the token embeddings, which the decoder uses too.
    pub encoder: T5Encoder<D>,
    decoder: Stack<D>,
    /// Absent when the token embedding is the output layer.
    lm_head: Option<Param<D>>,
}

impl<D: Backend> Module<D> for T5<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        self.encoder.visit(prefix, f);
        self.decoder.visit(&join(prefix, "decoder"), f);
        self.lm_head.visit(&join(prefix, "lm_head.weight"), f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        self.encoder.visit_mut(prefix, f);
        self.decoder.visit_mut(&join(prefix, "decoder"), f);
        self.lm_head.visit_mut(&join(prefix, "lm_head.weight"), f);
    }
}

impl<D: Backend> T5<D> {
    /// Makes a model with random weights; `head` gives it an output layer of its own.
    pub fn new(device: &D, config: &T5Config, head: bool, seed: Seed) -> Result<Self, NnError> {
        let shape = (config.vocab_size, config.d_model);
        let std = config.initializer_factor as f32;
        Ok(Self {
            encoder: T5Encoder::new(device, config, seed)?,
            decoder: Stack::new(device, config, true, seed.child("decoder"))?,
            lm_head: if head {
                let head = init::normal(device, shape, std, seed.child("lm_head"))?;
                Some(Param::matrix(head))
            } else {
                None
            },
        })
    }

    /// Loads a model folder.
    ///
    /// # Errors
    /// As for every pre-trained model: see [`crate::nn::models::llama::Llama::load`].
    pub fn load(device: &D, folder: &Path) -> Result<Self, NnError> {
        let config = T5Config::open(folder)?;
        let archive = open_weights(folder)?;
        let has = |name| archive.entries().contains_key(name);
        // A file says more surely than a config whether it has an output layer: transformers 5 calls v1.1 tied, too.
        let mut model = Self::new(device, &blank(&config), has("lm_head.weight"), Seed::new(0))?;
        model.encoder.config = config;
        let shared = has("shared.weight");
        fill_from(
            &mut model,
            &archive,
            &|name| source(name, shared),
            &is_copy_of_tokens,
        )?;
        Ok(model)
    }

    /// The sizes.
    pub fn config(&self) -> &T5Config {
        &self.encoder.config
    }

    /// The decoder's hidden states `[B·S, d]` after its final norm, of `ids` padded on the right to equal length S, reading
    /// `memory` `[B·T, d]`, the encoder's hidden states of texts of `lengths` tokens.
    pub fn decode(
        &self,
        g: &Graph<D>,
        ids: &[u32],
        memory: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        let x = self.encoder.embed(g, ids)?;
        let memory = Memory {
            states: memory,
            lengths,
        };
        self.decoder
            .forward(g, &x, lengths.len(), None, Some(&memory), self.config())
    }

    /// Prepares to write texts that read `memory`, as in [`T5::decode`]. The first token of each is the config's
    /// `decoder_start_token_id`.
    pub fn open(
        &self,
        g: &Graph<D>,
        memory: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<State<D>, NnError> {
        let memory = Memory {
            states: memory,
            lengths,
        };
        self.decoder.open(g, &memory)
    }

    /// Runs one more token of each text: the rows of [`T5::decode`] at these tokens, `[B, d]`.
    pub fn step(
        &self,
        g: &Graph<D>,
        tokens: &[u32],
        state: &mut State<D>,
    ) -> Result<Matrix<D>, NnError> {
        let x = self.encoder.embed(g, tokens)?;
        self.decoder.step(g, &x, state, self.config())
    }

    /// Logits `[R, vocabulary]` of rows of [`T5::decode`].
    pub fn logits(&self, g: &Graph<D>, hidden: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let scale = (self.config().d_model as f32).powf(-0.5);
        let scaled = if self.config().scales_logits() {
            ops::scale(g, hidden, scale)?
        } else {
            hidden.clone()
        };
        let head = self.lm_head.as_ref().unwrap_or(&self.encoder.tokens.weight);
        ops::linear(g, &scaled, &head.value, None)
    }
}
