//! The tokens that are no words: ours, and those of tokenizers of others.

use super::tokenizer::{BOS, CLS, DEC, EOS, ITEM, PAD, SPECIAL_TOKENS};
use super::{TextError, tokenizer::Tokenizer};
use crate::formats::json;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokenizers::AddedToken;

/// The file beside a tokenizer of others that names its special tokens.
pub const SPECIALS_FILE: &str = "special_tokens.json";

/// Names of the tokens that a tokenizer of others is given, and that no text has.
const ADDED: [&str; 2] = ["<item>", "<dec>"];

/// Ids of the tokens that are no words.
///
/// A tokenizer of others keeps its own, and gets `<item>` and `<dec>` behind its last token: they have no row in its model's embedding,
/// because soft tokens stand in the place of the one, and only a Q-Former, whose embedding has a row for every token, writes after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specials {
    /// Fills a batch's short rows.
    pub pad: u32,
    /// Starts a text, if the model was trained so.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: u32,
    /// Stands where an item's vectors go.
    pub item: u32,
    /// Stands where an item's vectors go once they are in their places: a token of the embedding that nothing reads.
    pub filler: u32,
    /// Starts a text that the Q-Former writes.
    pub dec: u32,
    /// Starts a text that the Q-Former reads.
    pub cls: u32,
    /// Tokens that are never written.
    pub forbidden: Vec<u32>,
}

/// `special_tokens.json`: the special tokens of a tokenizer of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSpecials {
    /// Starts a text; none for a model that was trained without.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: u32,
    /// Fills a batch's short rows; the end of a text when absent.
    #[serde(default)]
    pub pad: Option<u32>,
    /// Starts a text that is read as a whole (BERT); the start of a text, or else its end, when absent.
    #[serde(default)]
    pub cls: Option<u32>,
}

impl Specials {
    /// Those of the tokenizers that are trained here.
    pub fn ours() -> Self {
        Self {
            pad: PAD,
            bos: Some(BOS),
            eos: EOS,
            item: ITEM,
            filler: ITEM,
            dec: DEC,
            cls: CLS,
            forbidden: (0..SPECIAL_TOKENS.len() as u32)
                .filter(|&id| id != EOS)
                .collect(),
        }
    }
}

/// What the file beside a tokenizer says, if there is one.
pub(super) fn beside(path: &Path) -> Result<Option<NamedSpecials>, TextError> {
    let file = path.with_file_name(SPECIALS_FILE);
    if file.is_file() {
        Ok(Some(json::read(&file)?))
    } else {
        Ok(None)
    }
}

fn read(path: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    let bytes = fs_err::read(path)?;
    let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| TextError::File {
        path: path.to_owned(),
        message: format!("is no tokenizer: {error}"),
    })?;
    // Files carry the settings of whatever program last used them.
    inner.with_padding(None);
    inner.with_truncation(None).map_err(TextError::Tokenizer)?;
    Ok(inner)
}

/// Opens a tokenizer of others.
pub(super) fn open(
    path: &Path,
    named: &NamedSpecials,
) -> Result<(tokenizers::Tokenizer, Specials), TextError> {
    let wrong = |message: String| TextError::File {
        path: path.to_owned(),
        message,
    };
    let mut inner = read(path)?;
    // The rarest of texts: who has a token for it, or one for the unknown, can encode anything.
    if let Err(error) = inner.encode("\u{10fffd}é\u{1}日🎬", false) {
        return Err(wrong(format!("cannot encode every text: {error}")));
    }
    let known = inner.get_vocab_size(true) as u32;
    let ids = [Some(named.eos), named.bos, named.pad, named.cls];
    if let Some(id) = ids
        .into_iter()
        .flatten()
        .find(|&id| inner.id_to_token(id).is_none())
    {
        return Err(wrong(format!(
            "has no token {id}, which `{SPECIALS_FILE}` names; it has {known}"
        )));
    }
    let tokens = ADDED.map(|token| AddedToken::from(token, true));
    inner.add_special_tokens(&tokens);
    let id = |token: &str| {
        inner
            .token_to_id(token)
            .ok_or_else(|| wrong(format!("takes no token `{token}`")))
    };
    let (item, dec) = (id(ADDED[0])?, id(ADDED[1])?);
    let mut forbidden: Vec<u32> = inner
        .get_added_tokens_decoder()
        .iter()
        .filter(|(id, token)| token.special && **id != named.eos)
        .map(|(id, _)| *id)
        .collect();
    forbidden.sort_unstable();
    let specials = Specials {
        pad: named.pad.unwrap_or(named.eos),
        bos: named.bos,
        eos: named.eos,
        item,
        filler: named.eos,
        dec,
        cls: named.cls.or(named.bos).unwrap_or(named.eos),
        forbidden,
    };
    Ok((inner, specials))
}

/// The token that a tokenizer puts before every text, if it does.
pub fn starts_with_bos(path: &Path) -> Result<Option<u32>, TextError> {
    let inner = read(path)?;
    let ids = |special| -> Result<Vec<u32>, TextError> {
        let encoding = inner.encode("a", special).map_err(TextError::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
    };
    let (with, without) = (ids(true)?, ids(false)?);
    Ok(with
        .first()
        .copied()
        .filter(|first| without.first() != Some(first)))
}

/// The ids of some tokens, where a tokenizer has them.
pub fn token_ids<const N: usize>(
    path: &Path,
    tokens: [&str; N],
) -> Result<[Option<u32>; N], TextError> {
    let inner = read(path)?;
    Ok(tokens.map(|token| inner.token_to_id(token)))
}

impl Tokenizer {
    /// Writes the special tokens of a tokenizer of others beside its `tokenizer.json` in `folder`.
    pub fn save_specials(folder: &Path, specials: &NamedSpecials) -> Result<(), TextError> {
        Ok(json::write(&folder.join(SPECIALS_FILE), specials)?)
    }
}
