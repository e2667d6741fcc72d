//! GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, biases everywhere, the output layer tied to the token embeddings.
//!
//! Hugging Face keeps the matrices of a block as `Conv1D`, `[in, out]`, and queries, keys and values in one; here they are `[out, in]`
//! and apart.

use super::activation::Activation;
use super::cache::{Cache, LayerCache, last_rows};
use super::llama::rms;
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
    /// Token after every text.
    #[serde(default)]
    pub eos_token_id: Option<u32>,
    /// Token in places that nothing reads.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
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

    /// `[B·T, d]` to `[B·T, d]`. With a cache, keys and values of the input are put into it and the queries see all that it holds.
    fn forward(
        &self,
        g: &Graph<D>,
        x: &Matrix<D>,
        window: &Window<'_>,
        cache: Option<&mut LayerCache<D>>,
    ) -> Result<Matrix<D>, NnError> {
        let n = self.attention_norm.forward(g, x)?;
        let query = self.query.forward(g, &n)?;
        let key = self.key.forward(g, &n)?;
        let value = self.value.forward(g, &n)?;
        let (key, value) = match cache {
            Some(cache) => cache.extend(g, key, value, window.positions)?,
            None => (key, value),
        };
        let shape = AttentionShape {
            batch: window.batch,
            queries: window.positions.len() / window.batch,
            keys: key.rows() / window.batch,
            heads: window.heads,
            kv_heads: window.heads,
            head_dim: x.columns() / window.heads,
        };
        let read = ops::attention(g, &query, &key, &value, &shape, window.mask)?;
        let x = ops::add(g, x, &self.attention_output.forward(g, &read)?)?;
        let n = self.norm.forward(g, &x)?;
        let inner = window.activation.apply(g, &self.up.forward(g, &n)?)?;
        ops::add(g, &x, &self.down.forward(g, &inner)?)
    }
}

/// Which queries and keys the blocks work on.
struct Window<'a> {
    batch: usize,
    /// Position of every row.
    positions: &'a [u32],
    mask: &'a Mask,
    heads: usize,
    activation: Activation,
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

    /// Token embeddings `[n, d]`, without positions.
    pub fn embed(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        self.tokens.forward(g, ids)
    }

    /// Root of the mean square of all token embeddings.
    pub fn embedding_rms(&self) -> f32 {
        rms(&self.tokens.weight.value.to_vec())
    }

    /// Hidden states `[B·T, d]` after the final norm, of `batch` texts of `ids`, padded on the right to equal length T.
    pub fn hidden(&self, g: &Graph<D>, ids: &[u32], batch: usize) -> Result<Matrix<D>, NnError> {
        self.read(g, &self.embed(g, ids)?, batch)
    }

    /// Like [`Gpt2::hidden`], of token embeddings `[B·T, d]`.
    pub fn read(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        batch: usize,
    ) -> Result<Matrix<D>, NnError> {
        let x = self.run_causal(g, embeddings, batch, None)?;
        self.norm.forward(g, &x)
    }

    /// The row of [`Gpt2::read`] of each text's last position, `[B, d]`, and keys and values of its first `lengths[b]` positions, of which
    /// there must be one at least.
    pub fn prefill(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<(Matrix<D>, Cache<D>), NnError> {
        let last = last_rows(embeddings, lengths)?;
        let mut cache = Cache::new(self.layers.len(), lengths.len());
        let x = self.run_causal(g, embeddings, lengths.len(), Some(&mut cache))?;
        cache.advance(lengths);
        let x = ops::gather_rows(g, &x, &last)?;
        Ok((self.norm.forward(g, &x)?, cache))
    }

    /// Runs one more position of each text: `embeddings` `[B, d]` to `[B, d]`, after the final norm.
    pub fn step(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        cache: &mut Cache<D>,
    ) -> Result<Matrix<D>, NnError> {
        let positions: Vec<u32> = cache.lengths().iter().map(|&n| n as u32).collect();
        cache.reserve(g)?;
        cache.advance(&vec![1; positions.len()]);
        let mask = Mask::padding(cache.lengths().to_vec());
        let batch = positions.len();
        let x = self.run(g, embeddings, batch, &positions, &mask, Some(cache))?;
        self.norm.forward(g, &x)
    }

    fn run_causal(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        batch: usize,
        cache: Option<&mut Cache<D>>,
    ) -> Result<Matrix<D>, NnError> {
        let width = embeddings.rows() / batch.max(1);
        let positions: Vec<u32> = (0..batch).flat_map(|_| 0..width as u32).collect();
        self.run(g, embeddings, batch, &positions, &Mask::causal(), cache)
    }

    /// Runs the blocks, before the final norm.
    fn run(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        batch: usize,
        positions: &[u32],
        mask: &Mask,
        mut cache: Option<&mut Cache<D>>,
    ) -> Result<Matrix<D>, NnError> {
        let last = positions.iter().max().map_or(0, |&last| last as usize);
        if last >= self.config.n_positions || positions.len() != embeddings.rows() {
            return Err(NnError::shape(
                "gpt2",
                format!(
                    "{} rows of {batch} texts, the longest of {} tokens, but a text has at most {}",
                    embeddings.rows(),
                    last + 1,
                    self.config.n_positions
                ),
            ));
        }
        let name = &self.config.activation_function;
        let activation = Activation::named(name)
            .ok_or_else(|| NnError::setting("activation_function", Activation::unknown(name)))?;
        let window = Window {
            batch,
            positions,
            mask,
            heads: self.config.n_head,
            activation,
        };
        let mut x = ops::add(g, embeddings, &self.positions.forward(g, positions)?)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = cache.as_mut().map(|cache| &mut cache.layers[index]);
            x = layer.forward(g, &x, &window, cache)?;
        }
        Ok(x)
    }

    /// Logits `[R, vocabulary]` of rows of [`Gpt2::hidden`].
    pub fn logits(&self, g: &Graph<D>, hidden: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::linear(g, hidden, &self.tokens.weight.value, None)
    }
}
