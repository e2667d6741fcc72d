//! The stage that trains a tokenizer on the pipeline's own texts.

use super::texts::{descriptions, examples, lines, unexpected};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::text::{LEAST_VOCABULARY, Tokenizer, TokenizerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trains a byte-level BPE tokenizer (see [`Tokenizer`]).
///
/// It counts the items' descriptions (catalogue), the item texts (pairs), and the corpus and the training prompts and targets
/// (tasks); never a test example. A text that several artifacts have counts as often as they have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainTokenizer {
    /// Tokens in all, at least 262: 256 bytes and 6 special tokens. Default 2,048: the texts of a small catalogue have few
    /// words, and every token is a row of a small model's embedding.
    pub vocab_size: usize,
    /// How often a pair of tokens must be neighbours to become one, at least 1. Default 2.
    pub min_frequency: u64,
}

impl Default for TrainTokenizer {
    fn default() -> Self {
        Self {
            vocab_size: 2048,
            min_frequency: 2,
        }
    }
}

impl Stage for TrainTokenizer {
    const NAME: &'static str = "tokenizer";
    const ABOUT: &'static str = "Trains a byte-level BPE tokenizer on the pipeline's own texts";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::many(
        "texts",
        &[
            ArtifactKind::Catalog,
            ArtifactKind::Pairs,
            ArtifactKind::Tasks,
        ],
    )];
    const OUTPUT: ArtifactKind = ArtifactKind::Tokenizer;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        [
            Problem::at_least("vocab_size", self.vocab_size, LEAST_VOCABULARY),
            Problem::at_least("min_frequency", self.min_frequency, 1),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let mut texts = Vec::new();
        for artifact in context.all("texts") {
            match artifact.kind {
                ArtifactKind::Catalog => texts.extend(descriptions(artifact)?),
                ArtifactKind::Pairs => texts.extend(lines(artifact, "item_text.jsonl")?),
                ArtifactKind::Tasks => {
                    texts.extend(lines(artifact, "corpus.jsonl")?);
                    for example in examples(artifact)? {
                        texts.push(example.prompt);
                        texts.push(example.target);
                    }
                }
                _ => return Err(unexpected(artifact)),
            }
        }
        let config = TokenizerConfig {
            vocab_size: self.vocab_size,
            min_frequency: self.min_frequency,
        };
        let tokenizer = Tokenizer::train(&texts, &config)?;
        tokenizer.save(&context.out("tokenizer.json"))?;
        let n_tokens: usize = tokenizer.encode_all(&texts).iter().map(Vec::len).sum();
        let n_bytes: usize = texts.iter().map(String::len).sum();
        let summary = serde_json::json!({
            "texts": texts.len(),
            "vocab_size": tokenizer.vocab_size(),
            "tokens_in_texts": n_tokens,
            "bytes_per_token": n_bytes as f64 / n_tokens as f64,
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
