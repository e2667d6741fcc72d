//! What the stages of the language model share: reading their inputs, checking their training settings.

use super::{Problem, StageContext, StageError};
use crate::formats::{json, tensors};
use crate::nn::models::item_language::TaskExample;
use crate::nn::models::qformer::TokenTable;
use crate::nn::training::{Metric, TrainConfig};
use crate::text::Tokenizer;
use std::collections::BTreeMap;

/// Reads the tokenizer of the port `tokenizer`.
pub(super) fn read_tokenizer(context: &StageContext<'_>) -> Result<Tokenizer, StageError> {
    let path = context.input("tokenizer")?.file("tokenizer.json");
    Ok(Tokenizer::load(&path)?)
}

/// Reads the item vectors of the port `items`.
pub(super) fn read_items(context: &StageContext<'_>) -> Result<TokenTable, StageError> {
    let path = context.input("items")?.file("item_tokens.safetensors");
    let array = tensors::read_one(&path, "items", 3)?;
    Ok(TokenTable {
        count: array.shape[0],
        tokens: array.shape[1],
        width: array.shape[2],
        data: array.data,
    })
}

/// Reads a file of examples of the port `tasks`.
pub(super) fn read_examples(
    context: &StageContext<'_>,
    file: &str,
) -> Result<Vec<TaskExample>, StageError> {
    Ok(json::read_lines(&context.input("tasks")?.file(file))?)
}

/// Every senseless setting of a training.
pub(super) fn training_problems(training: &TrainConfig) -> Vec<Problem> {
    training
        .problems()
        .into_iter()
        .map(|(field, message)| Problem::new(field, message))
        .collect()
}

/// Puts the last value of every metric into a summary.
pub(super) fn last_metrics(metrics: &[Metric], summary: &mut BTreeMap<String, serde_json::Value>) {
    for metric in metrics {
        summary.insert(metric.name.clone(), metric.value.into());
    }
}
