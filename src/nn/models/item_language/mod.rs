//! A language model that reads items: the soft tokens of an adapter stand among token embeddings.
//!
//! | file | idea |
//! | --- | --- |
//! | `examples` | texts with item places -> tokens |
//! | `objective` | the loss of phase 2: targets only |
//! | `decode` | greedy generation |

mod decode;
mod examples;
mod objective;

pub use decode::{Greedy, greedy};
pub use examples::{ExampleError, Place, Sequence, Sequencer, Sequences, TaskExample};
pub use objective::Tuning;

use super::adapter::{Adapter, AdapterConfig};
use super::language_model::LanguageModel;
use super::llama::is_lora;
use super::qformer::TokenTable;
use crate::module;
use crate::nn::{Backend, Graph, Matrix, Module as _, NnError, ops, set_trainable};
use crate::text::PAD;
use serde::{Deserialize, Serialize};

/// An adapter and the language model that reads its soft tokens.
#[derive(Debug)]
pub struct ItemLanguage<D: Backend> {
    /// From items to soft tokens.
    pub adapter: Adapter<D>,
    /// The reader and writer.
    pub language: LanguageModel<D>,
}

module!(ItemLanguage {
    adapter: "adapter",
    language: "language"
});

/// What `config.json` of an item language model says: enough to rebuild it beside its language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLanguageConfig {
    /// Sizes of the adapter.
    pub adapter: AdapterConfig,
    /// Whether the language model was tuned, and so has weights of its own in `language_model.safetensors`.
    pub language_model_tuned: bool,
    /// Whether it learned through low-rank matrices, which are in the folder `lora`.
    #[serde(default)]
    pub lora: bool,
}

/// Sequences of one batch, padded on the right to the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `[B·T]` token ids.
    pub ids: Vec<u32>,
    /// Positions of each sequence that are not padding.
    pub lengths: Vec<usize>,
    /// Padded length, T.
    pub width: usize,
    /// The different items of the batch, ascending.
    pub items: Vec<u32>,
    /// Rows of `ids` that are soft tokens, ascending.
    soft_rows: Vec<usize>,
    /// For each of them, the row of the adapter's output for `items`.
    soft_sources: Vec<usize>,
}

impl Batch {
    /// Pads sequences; each place takes `soft_tokens` rows.
    pub fn new(sequences: &[&Sequence], soft_tokens: usize) -> Self {
        Self::of(sequences, soft_tokens, |sequence| &sequence.ids)
    }

    /// Pads the prompts of sequences, without their targets.
    pub fn prompts(sequences: &[&Sequence], soft_tokens: usize) -> Self {
        Self::of(sequences, soft_tokens, |sequence| {
            &sequence.ids[..sequence.target_start]
        })
    }

    fn of(sequences: &[&Sequence], soft_tokens: usize, ids: impl Fn(&Sequence) -> &[u32]) -> Self {
        let width = sequences.iter().map(|s| ids(s).len()).max().unwrap_or(0);
        let mut items: Vec<u32> = sequences
            .iter()
            .flat_map(|s| s.places.iter().map(|place| place.item))
            .collect();
        items.sort_unstable();
        items.dedup();
        let mut batch = Self {
            ids: Vec::with_capacity(sequences.len() * width),
            lengths: sequences.iter().map(|s| ids(s).len()).collect(),
            width,
            items,
            soft_rows: Vec::new(),
            soft_sources: Vec::new(),
        };
        for sequence in sequences {
            let start = batch.ids.len();
            for place in &sequence.places {
                let source = batch.items.partition_point(|&item| item < place.item);
                for t in 0..soft_tokens {
                    batch.soft_rows.push(start + place.start + t);
                    batch.soft_sources.push(source * soft_tokens + t);
                }
            }
            batch.ids.extend_from_slice(ids(sequence));
            batch.ids.resize(start + width, PAD);
        }
        batch
    }

    /// The rows of the positions before the target tokens of whole sequences.
    fn before_targets(&self, sequences: &[&Sequence]) -> Vec<usize> {
        let all = sequences.iter().enumerate();
        all.flat_map(|(b, s)| (s.target_start..s.ids.len()).map(move |t| (b, t)))
            .map(|(b, position)| b * self.width + position - 1)
            .collect()
    }
}

impl<D: Backend> ItemLanguage<D> {
    /// Freezes or thaws the language model; the adapter always trains. One with low-rank matrices learns through them alone.
    pub fn tune_language(&mut self, tuned: bool) {
        let low_rank = self.language.has_lora();
        self.language.visit_mut("", &mut |name, param| {
            param.set_trainable(tuned && (!low_rank || is_lora(name)));
        });
        set_trainable(&mut self.adapter, true);
    }

    /// Embeddings `[B·T, d]` of a batch: token embeddings with the soft tokens in their places.
    pub fn embed(
        &self,
        g: &Graph<D>,
        table: &TokenTable,
        batch: &Batch,
    ) -> Result<Matrix<D>, NnError> {
        let tokens = self.language.embed(g, &batch.ids)?;
        if batch.items.is_empty() {
            return Ok(tokens);
        }
        let soft = self.adapter.forward(g, table, &batch.items)?;
        let soft = ops::gather_rows(g, &soft, &batch.soft_sources)?;
        ops::replace_rows(g, &tokens, &batch.soft_rows, &soft)
    }

    /// The rows whose logits are to be the target tokens of `sequences`, one after the other, and these tokens.
    pub fn predict(
        &self,
        g: &Graph<D>,
        table: &TokenTable,
        sequences: &[&Sequence],
    ) -> Result<(Matrix<D>, Vec<Option<u32>>), NnError> {
        let soft_tokens = self.adapter.soft_tokens();
        let targets = sequences
            .iter()
            .flat_map(|sequence| &sequence.ids[sequence.target_start..])
            .map(|&id| Some(id))
            .collect();
        let (hidden, rows) = match &self.language {
            LanguageModel::T5(model) => {
                let batch = Batch::prompts(sequences, soft_tokens);
                let prompts = self.embed(g, table, &batch)?;
                let memory = model.encoder.read(g, &prompts, &batch.lengths)?;
                let count = |s: &Sequence| s.ids.len() - s.target_start;
                let width = sequences.iter().map(|s| count(s)).max().unwrap_or(0);
                // Each token is written after those before it.
                let (mut before, mut rows) = (Vec::new(), Vec::new());
                for (b, sequence) in sequences.iter().enumerate() {
                    rows.extend(b * width..b * width + count(sequence));
                    before.push(model.config().decoder_start_token_id);
                    before.extend(&sequence.ids[sequence.target_start..]);
                    before.truncate(before.len() - usize::from(count(sequence) > 0));
                    before.resize((b + 1) * width, PAD);
                }
                (model.decode(g, &before, &memory, &batch.lengths)?, rows)
            }
            LanguageModel::Llama(model) => {
                let batch = Batch::new(sequences, soft_tokens);
                let embeddings = self.embed(g, table, &batch)?;
                let hidden = model.hidden(g, &embeddings, sequences.len())?;
                (hidden, batch.before_targets(sequences))
            }
            LanguageModel::Gpt2(model) => {
                let batch = Batch::new(sequences, soft_tokens);
                let embeddings = self.embed(g, table, &batch)?;
                let hidden = model.read(g, &embeddings, sequences.len())?;
                (hidden, batch.before_targets(sequences))
            }
        };
        Ok((ops::gather_rows(g, &hidden, &rows)?, targets))
    }
}

#[cfg(test)]
mod tests;
