//! Reads what phase 1 learns from.

use crate::formats::{json, tensors};
use crate::nn::models::qformer::{ItemText, PairSet, Phase1Data, TokenTable};
use crate::stages::{StageContext, StageError};
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use serde::Deserialize;
use std::path::Path;
use tokenizers::Tokenizer;

/// Reads items, users, texts and pairs from the stage's inputs.
pub(super) fn read_data(
    context: &StageContext<'_>,
    texts: &TextReader,
) -> Result<Phase1Data, StageError> {
    let items = context.input("items")?.file("item_tokens.safetensors");
    let mut arrays = tensors::read(&items)?;
    let mut table = |name: &str| -> Result<Option<TokenTable>, StageError> {
        let Some(array) = arrays.remove(name) else {
            return Ok(None);
        };
        let [count, tokens, width] = array.shape[..] else {
            return Err(StageError::message(format!(
                "`{}`: `{name}` has the shape {:?}, but must have 3 axes",
                items.display(),
                array.shape
            )));
        };
        Ok(Some(TokenTable {
            count,
            tokens,
            width,
            data: array.data,
        }))
    };
    let vectors = table("items")?.ok_or_else(|| {
        StageError::message(format!("`{}`: has no array `items`", items.display()))
    })?;
    let users = table("users")?.unwrap_or(TokenTable {
        count: 0,
        tokens: 1,
        width: vectors.width,
        data: Vec::new(),
    });
    let pairs = context.input("pairs")?;
    let mut described = Vec::new();
    for line in json::read_lines::<TextLine>(&pairs.file("item_text.jsonl"))? {
        described.push(ItemText {
            item: line.item,
            tokens: texts.tokens(&line.text)?,
            held_out: line.held_out,
        });
    }
    Ok(Phase1Data::new(
        vectors,
        users,
        described,
        read_pairs(&pairs.file("item_item.parquet"))?,
        read_pairs(&pairs.file("user_item.parquet"))?,
        texts.pad,
        texts.dec,
    )?)
}

/// A line of `item_text.jsonl`.
#[derive(Debug, Deserialize)]
struct TextLine {
    item: u32,
    text: String,
    held_out: bool,
}

/// Reads the columns `left`, `right` and `held_out`.
fn read_pairs(path: &Path) -> Result<PairSet, StageError> {
    let frame = ParquetReader::new(fs_err::File::open(path)?.into_parts().0)
        .finish()
        .map_err(|error| StageError::message(format!("`{}`: {error}", path.display())))?;
    let wrong = |name: &str, kind: &str| {
        let text = format!(
            "`{}`: must have a column `{name}` of {kind} without nulls",
            path.display()
        );
        StageError::message(text)
    };
    let numbers = |frame: &DataFrame, name: &str| -> Result<Vec<u32>, StageError> {
        let column = frame.column(name).map_err(|_| wrong(name, "u32"))?;
        let column = column.u32().map_err(|_| wrong(name, "u32"))?;
        column
            .iter()
            .map(|x| x.ok_or_else(|| wrong(name, "u32")))
            .collect()
    };
    let (left, right) = (numbers(&frame, "left")?, numbers(&frame, "right")?);
    let held_out = frame
        .column("held_out")
        .map_err(|_| wrong("held_out", "bool"))?;
    let held_out = held_out.bool().map_err(|_| wrong("held_out", "bool"))?;
    let mut pairs = Vec::with_capacity(left.len());
    for ((left, right), held_out) in left.into_iter().zip(right).zip(held_out.iter()) {
        pairs.push((
            left,
            right,
            held_out.ok_or_else(|| wrong("held_out", "bool"))?,
        ));
    }
    Ok(PairSet::new(pairs))
}

/// Turns texts into ids with the special tokens that phase 1 needs.
pub(super) struct TextReader {
    tokenizer: Tokenizer,
    /// Entries of the tokenizer.
    pub vocab: usize,
    limit: usize,
    pad: u32,
    dec: u32,
    cls: u32,
    eos: u32,
}

impl TextReader {
    /// Reads `tokenizer.json`; texts will have at most `limit` tokens.
    pub fn open(path: &Path, limit: usize) -> Result<Self, StageError> {
        let wrong = |what: &dyn std::fmt::Display| {
            StageError::message(format!("`{}`: {what}", path.display()))
        };
        let mut tokenizer = Tokenizer::from_file(path).map_err(|error| wrong(&error))?;
        // A tokenizer file may carry its own truncation and padding, which would end up in the texts.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| wrong(&error))?;
        let special = |name: &str| {
            tokenizer
                .token_to_id(name)
                .ok_or_else(|| wrong(&format!("has no token `{name}`")))
        };
        Ok(Self {
            vocab: tokenizer.get_vocab_size(true),
            limit,
            pad: special("<pad>")?,
            dec: special("<dec>")?,
            cls: special("<cls>")?,
            eos: special("<eos>")?,
            tokenizer,
        })
    }

    /// `<cls>`, as much of the text as fits, `<eos>`.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, StageError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| StageError::message(error.to_string()))?;
        let body = encoding.get_ids();
        let body = &body[..body.len().min(self.limit - 2)];
        Ok([&[self.cls], body, &[self.eos]].concat())
    }
}
