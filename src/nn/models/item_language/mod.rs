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
use super::llama::{Llama, is_lora};
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
    pub language: Llama<D>,
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
        let width = sequences.iter().map(|s| s.ids.len()).max().unwrap_or(0);
        let mut items: Vec<u32> = sequences
            .iter()
            .flat_map(|s| s.places.iter().map(|place| place.item))
            .collect();
        items.sort_unstable();
        items.dedup();
        let mut batch = Self {
            ids: Vec::with_capacity(sequences.len() * width),
            lengths: sequences.iter().map(|s| s.ids.len()).collect(),
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
            batch.ids.extend_from_slice(&sequence.ids);
            batch.ids.resize(start + width, PAD);
        }
        batch
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
}

#[cfg(test)]
mod tests;
