//! What the stages of the language model share: reading their inputs.

use super::{StageContext, StageError};
use crate::formats::{json, tensors};
use crate::nn::models::item_language::TaskExample;
use crate::nn::models::qformer::TokenTable;
use crate::text::Tokenizer;

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
