//! GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, biases everywhere, the output layer tied to the token embeddings.
//!
//! Hugging Face keeps the matrices of a block as `Conv1D`, `[in, out]`, and queries, keys and values in one; here they are `[out, in]`
//! and apart.

use super::activation::Activation;
use super::pretrained::{check, open_weights, parse, read_config, zeros};
use crate::module;
use crate::nn::layers::{Embedding, LayerNorm, Linear};
use crate::nn::ops::{self, AttentionShape, Mask};
use crate::nn::weights::{Form, Source, fill_from};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `config.json` of a GPT-2 decoder. Reading ignores what does not change the computation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpt2Config {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Blocks.
    pub n_layer: usize,
    /// Heads of attention; they divide the width.
    pub n_head: usize,
    /// Longest text.
    pub n_positions: usize,
    /// Tokens.
    pub vocab_size: usize,
    /// Width inside the feed-forward blocks; four times the width when absent.
    #[serde(default)]
    pub n_inner: Option<usize>,
    /// Between the layers of a feed-forward block.
    #[serde(default = "gelu_new")]
    pub activation_function: String,
    /// Added to variances.
    #[serde(default = "eps")]
    pub layer_norm_epsilon: f64,
    /// Standard deviation of random weights.
    #[serde(default = "std")]
    pub initializer_range: f64,
    /// Must be true: scores are divided by the root of a head's width.
    #[serde(default = "yes")]
    pub scale_attn_weights: bool,
    /// Must be false.
    #[serde(default)]
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Must be true: the output layer is the token embedding.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
}

fn gelu_new() -> String {
    "gelu_new".to_owned()
}

fn eps() -> f64 {
    1e-5
}

fn std() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

impl Gpt2Config {
    /// Reads `config.json` of a model folder.
    pub fn open(folder: &Path) -> Result<Self, NnError> {
        let config: Self = parse(read_config(folder, &["gpt2"])?, folder)?;
        check(config.problems(), folder)?;
        Ok(config)
    }

    fn inner(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }

    /// Every field that no network can be built from: its name, and the rest of the sentence.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = zeros(&[
            ("n_embd", self.n_embd),
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
            ("n_positions", self.n_positions),
            ("vocab_size", self.vocab_size),
            ("n_inner", self.inner()),
        ]);
        if self.n_head > 0 && !self.n_embd.is_multiple_of(self.n_head) {
            problems.push((
                "n_head",
                format!(
                    "is {}, but must divide the width {}",
                    self.n_head, self.n_embd
                ),
            ));
        }
        if Activation::named(&self.activation_function).is_none() {
            let message = Activation::unknown(&self.activation_function);
            problems.push(("activation_function", message));
        }
        for (field, value) in [
            ("scale_attn_weights", self.scale_attn_weights),
            ("tie_word_embeddings", self.tie_word_embeddings),
        ] {
            if !value {
                problems.push((field, "is false, but must be true".to_owned()));
            }
        }
        if self.scale_attn_by_inverse_layer_idx {
            problems.push((
                "scale_attn_by_inverse_layer_idx",
                "is true, but must be false".to_owned(),
            ));
        }
        problems
    }
}

/// A GPT-2 decoder.
#[derive(Debug)]
pub struct Gpt2<D: Backend> {
    tokens: Embedding<D>,
    positions: Embedding<D>,
    layers: Vec<Block<D>>,
    norm: LayerNorm<D>,
    config: Gpt2Config,
}

module!(Gpt2 {
    tokens: "wte",
    positions: "wpe",
    layers: "h",
    norm: "ln_f",
});

/// Attention and a feed-forward block, each after a norm and inside a residual.
#[derive(Debug)]
struct Block<D: Backend> {
    attention_norm: LayerNorm<D>,
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    attention_output: Linear<D>,
    norm: LayerNorm<D>,
    up: Linear<D>,
    down: Linear<D>,
}

module!(Block {
    attention_norm: "ln_1",
    query: "attn.query",
    key: "attn.key",
    value: "attn.value",
    attention_output: "attn.c_proj",
    norm: "ln_2",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
});

impl<D: Backend> Block<D> {
    fn new(device: &D, config: &Gpt2Config, seed: Seed) -> Result<Self, NnError> {
        let (d, inner) = (config.n_embd, config.inner());
        let std = config.initializer_range as f32;
        let residual = std / (2.0 * config.n_layer as f32).sqrt();
        let eps = config.layer_norm_epsilon as f32;
        let linear = |name: &str, inputs, outputs, std| {
            Linear::new(device, inputs, outputs, true, std, seed.child(name))
        };
        Ok(Self {
            attention_norm: LayerNorm::new(device, d, eps)?,
            query: linear("query", d, d, std)?,
            key: linear("key", d, d, std)?,
            value: linear("value", d, d, std)?,
            attention_output: linear("attention_output", d, d, residual)?,
            norm: LayerNorm::new(device, d, eps)?,
            up: linear("up", d, inner, std)?,
            down: linear("down", inner, d, residual)?,
        })
    }

    fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        activation: Activation,
        shape: &AttentionShape,
    ) -> Result<Matrix<D>, NnError> {
        let n = self.attention_norm.forward(g, x)?;
        let query = self.query.forward(g, &n)?;
        let key = self.key.forward(g, &n)?;
        let value = self.value.forward(g, &n)?;
        let read = ops::attention(g, &query, &key, &value, shape, &Mask::causal())?;
        let x = ops::add(g, x, &self.attention_output.forward(g, &read)?)?;
        let n = self.norm.forward(g, &x)?;
        let inner = activation.apply(g, &self.up.forward(g, &n)?)?;
        ops::add(g, &x, &self.down.forward(g, &inner)?)
    }
}

/// Where a parameter is in a checkpoint.
fn source(name: &str, prefix: &str, width: usize) -> Source {
    for (index, part) in ["query", "key", "value"].into_iter().enumerate() {
        if let Some((block, kind)) = name.split_once(&format!(".attn.{part}.")) {
            return Source {
                name: format!("{prefix}{block}.attn.c_attn.{kind}"),
                form: Form::TransposedRows {
                    start: index * width,
                    of: 3 * width,
                },
            };
        }
    }
    let matrix = name.ends_with("c_proj.weight") || name.ends_with("c_fc.weight");
    Source {
        name: format!("{prefix}{name}"),
        form: if matrix { Form::Transposed } else { Form::Same },
    }
}

impl<D: Backend> Gpt2<D> {
    /// Makes a decoder with random weights.
    pub fn new(device: &D, config: &Gpt2Config, seed: Seed) -> Result<Self, NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(field, message));
        }
        let (d, std) = (config.n_embd, config.initializer_range as f32);
        let layers = (0..config.n_layer)
            .map(|i| Block::new(device, config, seed.child("layer").at(i as u64)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tokens: Embedding::new(device, config.vocab_size, d, std, seed.child("tokens"))?,
            positions: Embedding::new(device, config.n_positions, d, std, seed.child("positions"))?,
            layers,
            norm: LayerNorm::new(device, d, config.layer_norm_epsilon as f32)?,
            config: config.clone(),
        })
    }

    /// Loads a model folder: `config.json` and safetensors, with or without `transformer.` before the names.
    ///
    /// # Errors
    /// As for every pre-trained model: see [`crate::nn::models::llama::Llama::load`].
    pub fn load(device: &D, folder: &Path) -> Result<Self, NnError> {
        const PREFIX: &str = "transformer.";
        let config = Gpt2Config::open(folder)?;
        let archive = open_weights(folder)?;
        let blank = Gpt2Config {
            initializer_range: 0.0,
            ..config.clone()
        };
        let mut model = Self::new(device, &blank, Seed::new(0))?;
        let prefix = archive
            .entries()
            .keys()
            .any(|name| name.starts_with(PREFIX));
        let prefix = if prefix { PREFIX } else { "" };
        let width = config.n_embd;
        model.config = config;
        // Causal masks that older versions saved, and the output layer, which is the token embedding.
        let ignored = |name: &str| {
            name.ends_with(".attn.bias")
                || name.ends_with(".attn.masked_bias")
                || name == "lm_head.weight"
        };
        fill_from(
            &mut model,
            &archive,
            &|name| source(name, prefix, width),
            &ignored,
        )?;
        Ok(model)
    }

    /// The sizes.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// Hidden states `[B·T, d]` after the final norm, of `batch` texts of `ids`, padded on the right to equal length T.
    pub fn hidden(&self, g: &Graph<D>, ids: &[u32], batch: usize) -> Result<Matrix<D>, NnError> {
        let width = ids.len() / batch.max(1);
        if width > self.config.n_positions || width * batch != ids.len() {
            return Err(NnError::shape(
                "gpt2",
                format!(
                    "{} tokens of {batch} texts, but a text has at most {}",
                    ids.len(),
                    self.config.n_positions
                ),
            ));
        }
        let places: Vec<u32> = (0..batch).flat_map(|_| 0..width as u32).collect();
        let tokens = self.tokens.forward(g, ids)?;
        let mut x = ops::add(g, &tokens, &self.positions.forward(g, &places)?)?;
        let shape = AttentionShape {
            batch,
            queries: width,
            keys: width,
            heads: self.config.n_head,
            kv_heads: self.config.n_head,
            head_dim: self.config.n_embd / self.config.n_head,
        };
        let name = &self.config.activation_function;
        let activation = Activation::named(name)
            .ok_or_else(|| NnError::setting("activation_function", Activation::unknown(name)))?;
        for layer in &self.layers {
            x = layer.forward(g, &x, activation, &shape)?;
        }
        self.norm.forward(g, &x)
    }

    /// Logits `[R, vocabulary]` of rows of [`Gpt2::hidden`].
    pub fn logits(&self, g: &Graph<D>, hidden: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::linear(g, hidden, &self.tokens.weight.value, None)
    }
}
