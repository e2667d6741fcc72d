//! Reads what phase 1 learns from.

use crate::cf::ItemTokens;
use crate::formats::json;
use crate::formats::tensors::Array;
use crate::nn::models::qformer::{ItemText, PairSet, Phase1Data, TokenTable};
use crate::pairs;
use crate::stages::{StageContext, StageError};
use crate::text::Tokenizer;
use std::path::Path;

/// Reads items, users, texts and pairs from the stage's inputs. Texts have at most `limit` tokens.
pub(super) fn read_data(
    context: &StageContext<'_>,
    tokenizer: &Tokenizer,
    limit: usize,
) -> Result<Phase1Data, StageError> {
    let path = context.input("items")?.file("item_tokens.safetensors");
    let tokens = ItemTokens::load(&path)?;
    let items = table(&path, "items", tokens.items)?;
    let users = match tokens.users {
        Some(users) => table(&path, "users", users)?,
        None => TokenTable {
            count: 0,
            tokens: 1,
            width: items.width,
            data: Vec::new(),
        },
    };
    let pairs = context.input("pairs")?;
    let texts = json::read_lines::<pairs::ItemText>(&pairs.file("item_text.jsonl"))?
        .into_iter()
        .map(|line| ItemText {
            item: line.item,
            tokens: tokens_of(tokenizer, &line.text, limit),
            held_out: line.held_out,
        })
        .collect();
    Ok(Phase1Data::new(
        items,
        users,
        texts,
        read_pairs(&pairs.file("item_item.parquet"))?,
        read_pairs(&pairs.file("user_item.parquet"))?,
        tokenizer.specials().pad,
        tokenizer.specials().dec,
    )?)
}

/// `<cls>`, as much of the text as fits, `<eos>`.
fn tokens_of(tokenizer: &Tokenizer, text: &str, limit: usize) -> Vec<u32> {
    let mut body = tokenizer.encode(text);
    body.truncate(limit - 2);
    let specials = tokenizer.specials();
    [&[specials.cls], &body[..], &[specials.eos]].concat()
}

fn table(path: &Path, name: &str, array: Array) -> Result<TokenTable, StageError> {
    let [count, tokens, width] = array.shape[..] else {
        return Err(StageError::message(format!(
            "`{}`: `{name}` has the shape {:?}, but must have 3 axes",
            path.display(),
            array.shape
        )));
    };
    Ok(TokenTable {
        count,
        tokens,
        width,
        data: array.data,
    })
}

fn read_pairs(path: &Path) -> Result<PairSet, StageError> {
    let pairs = pairs::PairSet::read(path)?;
    let sides = pairs.left.into_iter().zip(pairs.right);
    Ok(PairSet::new(
        sides.zip(pairs.held_out).map(|((l, r), held)| (l, r, held)),
    ))
}
