//! The stage that fits a sentence encoder on the pipeline's own texts.

use super::texts::{descriptions, examples, unexpected};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::text::tfidf::Filter;
use crate::text::words::{Features, SHORTEST_CHARS};
use crate::text::{EncoderConfig, TextEncoder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Fits a TF-IDF and SVD encoder (see [`TextEncoder`]).
///
/// It learns from the descriptions of a catalogue's items and from the targets of training examples, each different
/// text once; never from test targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitEncoder {
    /// The width of the vectors, at least 1. Default 64: a few hundred films span little more. (Landauer et al. 1998 find
    /// 100 to 300 best for general text.)
    pub dim: usize,
    /// At most this many features, the most frequent; at least 1. Default 20,000.
    pub max_features: usize,
    /// A feature must be in at least this many texts, at least 1. Default 2: a word of one text tells nothing about
    /// another. (scikit-learn's `TfidfVectorizer`: 1.)
    pub min_df: usize,
    /// A feature may be in at most this share of the texts, above 0, at most 1. Default 0.5: drops the words that every
    /// description has (`is`, `film`). (scikit-learn: 1.)
    pub max_df: f64,
    /// Runs of up to this many words are features, from 1 to 5. Default 1 (as scikit-learn).
    pub word_ngrams: usize,
    /// Runs of 3 up to this many characters of a word are features too, from 3 to 8, or 0 for none. Default 0.
    pub char_ngrams: usize,
}

impl Default for FitEncoder {
    fn default() -> Self {
        Self {
            dim: 64,
            max_features: 20_000,
            min_df: 2,
            max_df: 0.5,
            word_ngrams: 1,
            char_ngrams: 0,
        }
    }
}

impl Stage for FitEncoder {
    const NAME: &'static str = "fit-encoder";
    const ABOUT: &'static str =
        "Fits a sentence encoder (TF-IDF, truncated SVD) on the pipeline's own texts";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::many(
        "texts",
        &[ArtifactKind::Catalog, ArtifactKind::Tasks],
    )];
    const OUTPUT: ArtifactKind = ArtifactKind::TextEncoder;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = [
            Problem::at_least("dim", self.dim, 1),
            Problem::at_least("max_features", self.max_features, 1),
            Problem::at_least("min_df", self.min_df, 1),
            Problem::within("word_ngrams", self.word_ngrams, 1, 5),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !(self.max_df > 0.0 && self.max_df <= 1.0) {
            problems.push(Problem::new(
                "max_df",
                format!("is {}, but must be above 0 and at most 1", self.max_df),
            ));
        }
        if self.char_ngrams != 0 && !(SHORTEST_CHARS..=8).contains(&self.char_ngrams) {
            problems.push(Problem::new(
                "char_ngrams",
                format!(
                    "is {}, but must be 0 or from {SHORTEST_CHARS} to 8",
                    self.char_ngrams
                ),
            ));
        }
        problems
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let mut texts = BTreeSet::new();
        for artifact in context.all("texts") {
            match artifact.kind {
                ArtifactKind::Catalog => texts.extend(descriptions(artifact)?),
                ArtifactKind::Tasks => {
                    texts.extend(examples(artifact)?.into_iter().map(|line| line.target));
                }
                _ => return Err(unexpected(artifact)),
            }
        }
        let texts: Vec<String> = texts.into_iter().collect();
        let config = EncoderConfig {
            dim: self.dim,
            features: Features {
                word_ngrams: self.word_ngrams,
                char_ngrams: self.char_ngrams,
            },
            filter: Filter {
                min_df: self.min_df,
                max_df: self.max_df,
                max_features: self.max_features,
            },
        };
        let encoder = TextEncoder::fit(&texts, &config, context.seed, context.progress)?;
        encoder.save(&context.output)?;
        let summary = serde_json::json!({
            "texts": texts.len(),
            "features": encoder.n_features(),
            "dim": encoder.dim(),
            "explained": encoder.explained(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
