//! The stage that gives each item a semantic vector.

use super::sentences::Sentences;
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::{Item, read_items};
use crate::formats::json;
use crate::formats::tensors;
use crate::text::embed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Encodes an item's title and each of its tags apart and averages the vectors, as the ILM paper does with Sentence-T5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbedText {
    /// Whether genres count as tags. Default true: MovieLens has few other tags for most films.
    pub genres: bool,
    /// Whether the values of traits (demo catalogue) count as tags. Default true.
    pub traits: bool,
    /// Whether the mean is scaled to length 1 again. Default true: the mean of unit vectors is shorter the less they agree
    /// (the paper does not say).
    pub renormalize: bool,
}

impl Default for EmbedText {
    fn default() -> Self {
        Self {
            genres: true,
            traits: true,
            renormalize: true,
        }
    }
}

impl EmbedText {
    /// The texts of an item that are encoded apart.
    fn texts(&self, item: &Item) -> Vec<String> {
        let mut texts = vec![item.title.clone()];
        if self.genres {
            texts.extend(item.genres.iter().cloned());
        }
        texts.extend(item.tags.iter().cloned());
        if self.traits {
            texts.extend(item.traits.values().flatten().cloned());
        }
        texts
    }
}

impl Stage for EmbedText {
    const NAME: &'static str = "embed-text";
    const ABOUT: &'static str = "Gives each item the mean vector of its title and tags";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one("encoder", &[ArtifactKind::TextEncoder]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Embeddings;
    const SEEDED: bool = false;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let items = read_items(&context.input("catalog")?.file("items.jsonl"))?;
        let encoder = Sentences::read(context)?;
        let texts: Vec<Vec<String>> = items.iter().map(|item| self.texts(item)).collect();
        let encoded = encoder.encode(&texts.concat(), context)?;
        let dim = encoded.shape[1];
        let vectors = embed::mean_of_texts(&encoded, &texts, self.renormalize);
        let n_zero = vectors
            .data
            .chunks_exact(dim)
            .filter(|row| row.iter().all(|&x| x == 0.0))
            .count();
        if n_zero > 0 {
            context.progress.warn(&format!(
                "{n_zero} of {} items have no word that the encoder knows; their vectors are zero",
                items.len()
            ))?;
        }
        let summary = serde_json::json!({
            "items": items.len(),
            "dim": dim,
            "texts": texts.iter().map(Vec::len).sum::<usize>(),
            "items_without_known_words": n_zero,
        });
        let arrays = BTreeMap::from([("items".to_owned(), vectors)]);
        tensors::write(&context.out("embeddings.safetensors"), &arrays)?;
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
