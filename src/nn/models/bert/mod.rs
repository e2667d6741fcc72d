//! BERT's encoder (Devlin et al. 2019), as MiniLM and many sentence encoders have it.
//!
//! Word, position and segment embeddings, then post-norm blocks. Parameter names are Hugging Face's without their `bert.`.

mod config;

pub use config::BertConfig;

use super::activation::Activation;
use super::pretrained::{check, open_weights, parse, read_config};
use crate::module;
use crate::nn::layers::{Embedding, LayerNorm, Linear};
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::weights::{Source, fill_from};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;
use std::path::Path;

/// An encoder of texts.
#[derive(Debug)]
pub struct Bert<D: Backend> {
    words: Embedding<D>,
    positions: Embedding<D>,
    segments: Embedding<D>,
    norm: LayerNorm<D>,
    layers: Vec<Block<D>>,
    config: BertConfig,
}

module!(Bert {
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    segments: "embeddings.token_type_embeddings",
    norm: "embeddings.LayerNorm",
    layers: "encoder.layer",
});

/// Self-attention and a feed-forward block, each followed by a residual and a norm.
#[derive(Debug)]
struct Block<D: Backend> {
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    attention_output: Linear<D>,
    attention_norm: LayerNorm<D>,
    intermediate: Linear<D>,
    output: Linear<D>,
    output_norm: LayerNorm<D>,
}

module!(Block {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
});

/// The names before which checkpoints put the encoder's names, and what belongs to heads that are not used here.
const PREFIX: &str = "bert.";

impl<D: Backend> Block<D> {
    fn new(device: &D, config: &BertConfig, seed: Seed) -> Result<Self, NnError> {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let (std, eps) = (
            config.initializer_range as f32,
            config.layer_norm_eps as f32,
        );
        let linear = |name: &str, inputs, outputs| {
            Linear::new(device, inputs, outputs, true, std, seed.child(name))
        };
        Ok(Self {
            query: linear("query", d, d)?,
            key: linear("key", d, d)?,
            value: linear("value", d, d)?,
            attention_output: linear("attention_output", d, d)?,
            attention_norm: LayerNorm::new(device, d, eps)?,
            intermediate: linear("intermediate", d, inner)?,
            output: linear("output", inner, d)?,
            output_norm: LayerNorm::new(device, d, eps)?,
        })
    }

    fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        activation: Activation,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Result<Matrix<D>, NnError> {
        let query = self.query.forward(g, x)?;
        let key = self.key.forward(g, x)?;
        let value = self.value.forward(g, x)?;
        let read = ops::attention(g, &query, &key, &value, shape, mask)?;
        let read = self.attention_output.forward(g, &read)?;
        let x = self.attention_norm.forward(g, &ops::add(g, x, &read)?)?;
        let inner = activation.apply(g, &self.intermediate.forward(g, &x)?)?;
        let outer = self.output.forward(g, &inner)?;
        self.output_norm.forward(g, &ops::add(g, &x, &outer)?)
    }
}

impl<D: Backend> Bert<D> {
    /// Makes an encoder with random weights.
    pub fn new(device: &D, config: &BertConfig, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let std = config.initializer_range as f32;
        let d = config.hidden_size;
        let table = |rows, name: &str| Embedding::new(device, rows, d, std, seed.child(name));
        let layers = (0..config.num_hidden_layers)
            .map(|i| Block::new(device, config, seed.child("layer").at(i as u64)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            words: table(config.vocab_size, "words")?,
            positions: table(config.max_position_embeddings, "positions")?,
            segments: table(config.type_vocab_size, "segments")?,
            norm: LayerNorm::new(device, d, config.layer_norm_eps as f32)?,
            layers,
            config: config.clone(),
        })
    }

    /// Loads a model folder: `config.json` and safetensors. Heads (`pooler`, `cls`) are left out.
    ///
    /// # Errors
    /// As for every pre-trained model: see [`crate::nn::models::llama::Llama::load`].
    pub fn load(device: &D, folder: &Path) -> Result<Self, NnError> {
        let config = BertConfig::open(folder)?;
        let archive = open_weights(folder)?;
        let blank = BertConfig {
            initializer_range: 0.0,
            ..config.clone()
        };
        let mut model = Self::new(device, &blank, Seed::new(0))?;
        model.config = config;
        let prefix = archive
            .entries()
            .keys()
            .any(|name| name.starts_with(PREFIX));
        let prefix = if prefix { PREFIX } else { "" };
        let source = |name: &str| Source::same(format!("{prefix}{name}"));
        let ignored = |name: &str| {
            let inner = name.strip_prefix(prefix).unwrap_or(name);
            inner == "embeddings.position_ids"
                || inner.starts_with("pooler.")
                || name.starts_with("cls.")
        };
        fill_from(&mut model, &archive, &source, &ignored)?;
        Ok(model)
    }

    /// The sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The last hidden states `[B·T, d]` of `lengths.len()` texts of `ids`, padded on the right to equal length T; padding is
    /// not seen, and its own rows mean nothing. All tokens are of the first segment.
    pub fn forward(
        &self,
        g: &Graph<D>,
        ids: &[u32],
        lengths: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        let batch = lengths.len();
        let width = ids.len() / batch.max(1);
        if width > self.config.max_position_embeddings || width * batch != ids.len() {
            return Err(NnError::shape(
                "bert",
                format!(
                    "{} tokens of {batch} texts, but a text has at most {}",
                    ids.len(),
                    self.config.max_position_embeddings
                ),
            ));
        }
        let places: Vec<u32> = (0..batch).flat_map(|_| 0..width as u32).collect();
        let x = self.words.forward(g, ids)?;
        let x = ops::add(g, &x, &self.segments.forward(g, &vec![0; ids.len()])?)?;
        let x = ops::add(g, &x, &self.positions.forward(g, &places)?)?;
        let mut x = self.norm.forward(g, &x)?;
        let shape = AttentionShape {
            batch,
            queries: width,
            keys: width,
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_attention_heads,
            head_dim: self.config.hidden_size / self.config.num_attention_heads,
        };
        let mask = Mask::padding(lengths.to_vec());
        let activation = self.config.activation()?;
        for layer in &self.layers {
            x = layer.forward(g, &x, activation, &shape, &mask)?;
        }
        Ok(x)
    }
}

impl BertConfig {
    /// Reads `config.json` of a model folder.
    pub fn open(folder: &Path) -> Result<Self, NnError> {
        let config: Self = parse(read_config(folder, &["bert"])?, folder)?;
        check(config.problems(), folder)?;
        Ok(config)
    }
}
