//! The texts that a text encoder or a tokenizer may learn from.
//!
//! Of a `Tasks` artifact only what is made of training films: never a line of `test.jsonl`.

use super::{ArtifactKind, InputArtifact, StageError};
use crate::data::{describe, read_items};
use crate::formats::json;
use serde::Deserialize;

/// A line of a records file with a text.
#[derive(Deserialize)]
struct Text {
    text: String,
}

/// The texts of a line of `train.jsonl`.
#[derive(Deserialize)]
pub(super) struct Example {
    /// What is asked.
    pub prompt: String,
    /// What is to be answered.
    pub target: String,
}

/// The description of every item of a catalogue.
pub(super) fn descriptions(catalog: &InputArtifact) -> Result<Vec<String>, StageError> {
    let items = read_items(&catalog.file("items.jsonl"))?;
    Ok(items.iter().map(describe).collect())
}

/// The `text` of every line of a records file.
pub(super) fn lines(artifact: &InputArtifact, file: &str) -> Result<Vec<String>, StageError> {
    let lines: Vec<Text> = json::read_lines(&artifact.file(file))?;
    Ok(lines.into_iter().map(|line| line.text).collect())
}

/// The training examples of a set of tasks.
pub(super) fn examples(tasks: &InputArtifact) -> Result<Vec<Example>, StageError> {
    Ok(json::read_lines(&tasks.file("train.jsonl"))?)
}

/// The error for an artifact that the port should have refused.
pub(super) fn unexpected(artifact: &InputArtifact) -> StageError {
    let kind: ArtifactKind = artifact.kind;
    StageError::message(format!(
        "the input `texts` has the stage `{}`, whose artifact `{kind}` has no texts to learn from",
        artifact.stage
    ))
}
