//! Sentence encoders as sentence-transformers publishes them: a BERT or T5 encoder, pooling, dense layers, unit length.
//!
//! MiniLM is BERT with mean pooling (Reimers & Gurevych 2019); Sentence-T5 is T5's encoder with mean pooling and a dense layer without bias
//! (Ni et al. 2022).

mod folder;

pub use folder::{Pooling, SentenceConfig};

use super::batches;
use super::bert::Bert;
use super::pretrained::wrong;
use super::t5::T5Encoder;
use crate::formats::archive::Archive;
use crate::formats::tensors::Array;
use crate::nn::layers::Linear;
use crate::nn::weights::{Source, fill_from};
use crate::nn::{Backend, Graph, Matrix, NnError, count, ops, set_trainable};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::text::PretrainedTokenizer;
use folder::{After, Network};
use std::collections::BTreeMap;
use std::path::Path;

/// Texts that are encoded at the same time. A vector does not depend on its company, up to the rounding of matrix products of another
/// size, and batches follow from the texts alone.
const BATCH: usize = 32;

/// What reads the tokens.
#[derive(Debug)]
enum Encoder<D: Backend> {
    Bert(Box<Bert<D>>),
    T5(Box<T5Encoder<D>>),
}

/// From texts to vectors of unit length.
#[derive(Debug)]
pub struct SentenceEncoder<D: Backend> {
    encoder: Encoder<D>,
    /// Layers, and what follows each.
    dense: Vec<(Linear<D>, Option<After>)>,
    tokenizer: PretrainedTokenizer,
    config: SentenceConfig,
    device: D,
}

impl<D: Backend> SentenceEncoder<D> {
    /// Loads a folder of sentence-transformers, or a plain BERT or T5 folder, which is then pooled by the mean.
    ///
    /// # Errors
    /// When a module, pooling or network is not known here; as for every pre-trained model otherwise.
    pub fn load(device: &D, place: &Path) -> Result<Self, NnError> {
        let config = SentenceConfig::open(place)?;
        let mut width;
        let encoder = match config.network {
            Network::Bert => {
                let mut model = Bert::load(device, place)?;
                set_trainable(&mut model, false);
                width = model.config().hidden_size;
                Encoder::Bert(Box::new(model))
            }
            Network::T5 => {
                let mut model = T5Encoder::load(device, place)?;
                set_trainable(&mut model, false);
                width = model.config().d_model;
                Encoder::T5(Box::new(model))
            }
        };
        let mut dense = Vec::new();
        for layer in &config.dense {
            if layer.inputs != width {
                return Err(wrong(
                    &place.join(&layer.path).join("config.json"),
                    format!("reads {} features, but gets {width}", layer.inputs),
                ));
            }
            width = layer.outputs;
            let archive = Archive::open(&place.join(&layer.path).join("model.safetensors"))?;
            let mut linear =
                Linear::new(device, layer.inputs, width, layer.bias, 0.0, Seed::new(0))?;
            let source = |name: &str| Source::same(format!("linear.{name}"));
            fill_from(&mut linear, &archive, &source, &|_| false)?;
            set_trainable(&mut linear, false);
            dense.push((linear, layer.after));
        }
        let path = place.join("tokenizer.json");
        let tokenizer = PretrainedTokenizer::load(&path, config.limit)
            .map_err(|error| NnError::Other(error.into()))?;
        let rows = match &encoder {
            Encoder::Bert(model) => model.config().vocab_size,
            Encoder::T5(model) => model.config().vocab_size,
        };
        if tokenizer.vocab_size() > rows {
            return Err(wrong(
                &path,
                format!(
                    "has {} tokens, but the model has {rows}",
                    tokenizer.vocab_size()
                ),
            ));
        }
        Ok(Self {
            encoder,
            dense,
            tokenizer,
            config: SentenceConfig {
                dim: width,
                ..config
            },
            device: device.clone(),
        })
    }

    /// The width of the vectors.
    pub fn dim(&self) -> usize {
        self.config.dim
    }

    /// How texts become vectors.
    pub fn config(&self) -> &SentenceConfig {
        &self.config
    }

    /// Numbers of all weights.
    pub fn parameters(&self) -> usize {
        let encoder = match &self.encoder {
            Encoder::Bert(model) => count(model.as_ref()).0,
            Encoder::T5(model) => count(model.as_ref()).0,
        };
        encoder
            + self
                .dense
                .iter()
                .map(|(layer, _)| count(layer).0)
                .sum::<usize>()
    }

    /// One vector a text, `[n, dim]`, of unit length; equal texts are encoded once.
    ///
    /// Space at the ends of a text does not count, and a text longer than the limit is cut. A text without any token has the zero
    /// vector (a model with special tokens has none such).
    pub fn encode(&self, texts: &[String], progress: &dyn Progress) -> Result<Array, NnError> {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for text in texts {
            places.insert(text.trim(), 0);
        }
        for (number, place) in places.values_mut().enumerate() {
            *place = number;
        }
        let different: Vec<String> = places
            .keys()
            .map(|text| {
                if self.config.lower_case {
                    text.to_lowercase()
                } else {
                    (*text).to_owned()
                }
            })
            .collect();
        let tokens = self
            .tokenizer
            .encode_all(&different)
            .map_err(|error| NnError::Other(error.into()))?;
        let dim = self.dim();
        let mut vectors = vec![0.0; different.len() * dim];
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let mut done = 0;
        for batch in batches::by_length(&lengths, BATCH) {
            done += batch.len() as u64;
            let batch: Vec<usize> = batch.into_iter().filter(|&i| lengths[i] > 0).collect();
            if !batch.is_empty() {
                let rows: Vec<&[u32]> = batch.iter().map(|&i| &tokens[i][..]).collect();
                let found = self.encode_batch(&rows)?.to_vec();
                for (row, &i) in found.chunks_exact(dim).zip(&batch) {
                    vectors[i * dim..][..dim].copy_from_slice(row);
                }
            }
            progress.tick("text", done, different.len() as u64)?;
        }
        let mut data = Vec::with_capacity(texts.len() * dim);
        for text in texts {
            let place = places.get(text.trim()).copied().unwrap_or(0);
            data.extend_from_slice(&vectors[place * dim..][..dim]);
        }
        Ok(Array::new(&[texts.len(), dim], data))
    }

    fn encode_batch(&self, texts: &[&[u32]]) -> Result<Matrix<D>, NnError> {
        let g = &Graph::inference(&self.device);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let width = lengths.iter().max().copied().unwrap_or(0);
        let mut ids = Vec::with_capacity(texts.len() * width);
        for text in texts {
            ids.extend_from_slice(text);
            // Nothing sees padding: any token will do.
            ids.resize(ids.len() + width - text.len(), 0);
        }
        let hidden = match &self.encoder {
            Encoder::Bert(model) => model.forward(g, &ids, &lengths)?,
            Encoder::T5(model) => model.forward(g, &ids, &lengths)?,
        };
        let mut x = self.config.pooling.apply(g, &hidden, &lengths)?;
        for (linear, after) in &self.dense {
            x = linear.forward(g, &x)?;
            x = match after {
                None => x,
                Some(After::Tanh) => ops::tanh(g, &x)?,
                Some(After::Named(activation)) => activation.apply(g, &x)?,
            };
        }
        // PyTorch's `normalize`.
        ops::normalize_rows(g, &x, 1e-12)
    }
}
