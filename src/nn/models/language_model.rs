//! A language model of any family that is known here: what an adapter writes its soft tokens for.
//!
//! Decoders ([`Llama`], [`Gpt2`]) read a prompt and go on with it. [`T5`] reads a prompt with its encoder and writes the text with its decoder, as
//! BLIP-2 uses it (Li et al. 2023, section 3.2).

use super::cache::Cache;
use super::gpt2::Gpt2;
use super::llama::{self, Llama, LoraConfig};
use super::pretrained::{is_gguf, read_config, weights_path};
use super::t5::{self, T5};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, Param};
use crate::seed::Seed;
use std::path::Path;

/// A language model.
#[derive(Debug)]
pub enum LanguageModel<D: Backend> {
    /// Llama, SmolLM2, TinyLlama, Mistral, Qwen2.
    Llama(Llama<D>),
    /// GPT-2.
    Gpt2(Gpt2<D>),
    /// T5, Flan-T5.
    T5(T5<D>),
}

/// What a language model has computed of texts that it is writing.
#[derive(Debug)]
pub enum Writing<D: Backend> {
    /// Keys and values of a decoder.
    Decoder(Cache<D>),
    /// What T5's decoder reads and has written.
    T5(t5::State<D>),
}

/// Parameters have the names of their own family.
impl<D: Backend> Module<D> for LanguageModel<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        match self {
            Self::Llama(model) => model.visit(prefix, f),
            Self::Gpt2(model) => model.visit(prefix, f),
            Self::T5(model) => model.visit(prefix, f),
        }
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        match self {
            Self::Llama(model) => model.visit_mut(prefix, f),
            Self::Gpt2(model) => model.visit_mut(prefix, f),
            Self::T5(model) => model.visit_mut(prefix, f),
        }
    }
}

impl<D: Backend> LanguageModel<D> {
    /// Loads a model folder of any family, or a GGUF file of the Llama family.
    ///
    /// # Errors
    /// When `config.json` names another family; else as [`Llama::load`].
    pub fn load(device: &D, place: &Path) -> Result<Self, NnError> {
        let weights = weights_path(place)?;
        if is_gguf(&weights) {
            return Ok(Self::Llama(Llama::load(device, place)?));
        }
        let folder = weights.parent().unwrap_or(Path::new("."));
        let known: Vec<&str> = [&llama::MODEL_TYPES[..], &["gpt2", "t5"]].concat();
        let config = read_config(folder, &known)?;
        Ok(match config["model_type"].as_str() {
            Some("gpt2") => Self::Gpt2(Gpt2::load(device, folder)?),
            Some("t5") => Self::T5(T5::load(device, folder)?),
            _ => Self::Llama(Llama::load(device, place)?),
        })
    }

    /// Numbers of a token's embedding, and so of a soft token.
    pub fn width(&self) -> usize {
        match self {
            Self::Llama(model) => model.config().hidden_size,
            Self::Gpt2(model) => model.config().n_embd,
            Self::T5(model) => model.config().d_model,
        }
    }

    /// Rows of the token embedding.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Llama(model) => model.config().vocab_size,
            Self::Gpt2(model) => model.config().vocab_size,
            Self::T5(model) => model.config().vocab_size,
        }
    }

    /// Blocks: of T5, those of the decoder.
    pub fn layers(&self) -> usize {
        match self {
            Self::Llama(model) => model.config().num_hidden_layers,
            Self::Gpt2(model) => model.config().n_layer,
            Self::T5(model) => model.config().decoder_layers(),
        }
    }

    /// The longest text of its training, in tokens, where its config says so.
    pub fn context(&self) -> Option<usize> {
        match self {
            Self::Llama(model) => Some(model.config().max_position_embeddings),
            Self::Gpt2(model) => Some(model.config().n_positions),
            Self::T5(_) => None,
        }
    }

    /// The longest text that it can read and write at all, in tokens: GPT-2 has a vector for each position.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Gpt2(model) => Some(model.config().n_positions),
            Self::Llama(_) | Self::T5(_) => None,
        }
    }

    /// The token that ends a text, and the one in places that nothing reads, where its config names them.
    pub fn special_tokens(&self) -> (Option<u32>, Option<u32>) {
        match self {
            Self::Llama(model) => (model.config().eos_token_id, model.config().pad_token_id),
            Self::Gpt2(model) => (model.config().eos_token_id, model.config().pad_token_id),
            Self::T5(model) => (model.config().eos_token_id, model.config().pad_token_id),
        }
    }

    /// Whether prompts are read by an encoder: they end with the token that ends a text, and texts start afresh.
    pub fn reads_prompts_apart(&self) -> bool {
        matches!(self, Self::T5(_))
    }

    /// Token embeddings `[n, d]`.
    pub fn embed(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        match self {
            Self::Llama(model) => model.embed(g, ids),
            Self::Gpt2(model) => model.embed(g, ids),
            Self::T5(model) => model.encoder.embed(g, ids),
        }
    }

    /// Root of the mean square of all token embeddings: the size of what the blocks are used to reading.
    pub fn embedding_rms(&self) -> f32 {
        match self {
            Self::Llama(model) => model.embedding_rms(),
            Self::Gpt2(model) => model.embedding_rms(),
            Self::T5(model) => model.encoder.embedding_rms(),
        }
    }

    /// Logits `[R, vocabulary]` of rows that [`LanguageModel::start`], [`LanguageModel::step`] and training give.
    pub fn logits(&self, g: &Graph<D>, rows: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        match self {
            Self::Llama(model) => model.logits(g, rows),
            Self::Gpt2(model) => model.logits(g, rows),
            Self::T5(model) => model.logits(g, rows),
        }
    }

    /// Reads prompts, right-padded to equal length T, of `embeddings` `[B·T, d]`: the rows `[B, d]` whose logits are those of the
    /// first token of each text, and what [`LanguageModel::step`] goes on from.
    pub fn start(
        &self,
        g: &Graph<D>,
        embeddings: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<(Matrix<D>, Writing<D>), NnError> {
        Ok(match self {
            Self::Llama(model) => {
                let (rows, cache) = model.prefill(g, embeddings, lengths)?;
                (rows, Writing::Decoder(cache))
            }
            Self::Gpt2(model) => {
                let (rows, cache) = model.prefill(g, embeddings, lengths)?;
                (rows, Writing::Decoder(cache))
            }
            Self::T5(model) => {
                let memory = model.encoder.read(g, embeddings, lengths)?;
                let mut state = model.open(g, &memory, lengths)?;
                let first = vec![model.config().decoder_start_token_id; lengths.len()];
                let rows = model.step(g, &first, &mut state)?;
                (rows, Writing::T5(state))
            }
        })
    }

    /// Takes one more token of each text: the rows `[B, d]` whose logits are those of the next.
    ///
    /// # Errors
    /// When `writing` is of a model of another family.
    pub fn step(
        &self,
        g: &Graph<D>,
        tokens: &[u32],
        writing: &mut Writing<D>,
    ) -> Result<Matrix<D>, NnError> {
        match (self, writing) {
            (Self::Llama(model), Writing::Decoder(cache)) => {
                model.step(g, &model.embed(g, tokens)?, cache)
            }
            (Self::Gpt2(model), Writing::Decoder(cache)) => {
                model.step(g, &model.embed(g, tokens)?, cache)
            }
            (Self::T5(model), Writing::T5(state)) => model.step(g, tokens, state),
            _ => Err(NnError::shape("step", "the texts are of another model")),
        }
    }
}

impl<D: Backend> Writing<D> {
    /// Keeps only the given texts, in the given order.
    pub fn keep(&mut self, g: &Graph<D>, texts: &[usize]) -> Result<(), NnError> {
        match self {
            Self::Decoder(cache) => cache.keep(g, texts),
            Self::T5(state) => state.keep(g, texts),
        }
    }
}

/// Low-rank adaptation: of the Llama family only. PEFT's files for GPT-2 adapt queries, keys and values as one.
impl<D: Backend> LanguageModel<D> {
    fn adaptable(&mut self) -> Result<&mut Llama<D>, NnError> {
        let family = match self {
            Self::Llama(model) => return Ok(model),
            Self::Gpt2(_) => "GPT-2",
            Self::T5(_) => "T5",
        };
        Err(NnError::setting(
            "lora",
            format!("is for the Llama family, but the language model is {family}"),
        ))
    }

    /// See [`Llama::add_lora`].
    ///
    /// # Errors
    /// When the model is of another family; a senseless setting.
    pub fn add_lora(&mut self, device: &D, config: &LoraConfig, seed: Seed) -> Result<(), NnError> {
        self.adaptable()?.add_lora(device, config, seed)
    }

    /// Whether it has low-rank matrices.
    pub fn has_lora(&self) -> bool {
        match self {
            Self::Llama(model) => model.has_lora(),
            Self::Gpt2(_) | Self::T5(_) => false,
        }
    }

    /// See [`Llama::merge_lora`].
    ///
    /// # Errors
    /// When the model is of another family.
    pub fn merge_lora(&mut self, device: &D) -> Result<(), NnError> {
        self.adaptable()?.merge_lora(device)
    }

    /// See [`Llama::save_lora`].
    ///
    /// # Errors
    /// When the model is of another family, or a file cannot be written.
    pub fn save_lora(&mut self, config: &LoraConfig, folder: &Path) -> Result<(), NnError> {
        self.adaptable()?.save_lora(config, folder)
    }

    /// See [`Llama::load_lora`].
    ///
    /// # Errors
    /// When the model is of another family; else as there.
    pub fn load_lora(&mut self, device: &D, folder: &Path) -> Result<LoraConfig, NnError> {
        self.adaptable()?.load_lora(device, folder)
    }
}
