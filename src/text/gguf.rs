//! The tokenizer inside a GGUF file, as `tokenizer.json`.
//!
//! A file has the tokens, their types and the merges of a byte-level BPE, and the name of the expression that cuts a text into words
//! (`llama-vocab.cpp` of llama.cpp); the rest is as Hugging Face has it for the models of that name. Or it has the tokens of a SentencePiece BPE
//! with their scores, as Llama 2, TinyLlama and Mistral: merges follow from the scores.

use super::{NamedSpecials, TextError};
use crate::formats::gguf::Gguf;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Llama 3's and Qwen 2's expressions differ in how many digits stand together.
fn words(digits: &str) -> String {
    format!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
}

/// How a text is cut into words, for a name of `tokenizer.ggml.pre`.
fn pre_tokenizer(name: &str) -> Option<Value> {
    let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |pattern: String| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
            bytes(false),
        ]})
    };
    Some(match name {
        "gpt-2" | "gpt2" | "default" => bytes(true),
        "smollm" => {
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes(true)]})
        }
        "qwen2" => split(words(r"\p{N}")),
        "llama-bpe" | "llama3" | "llama-v3" => split(words(r"\p{N}{1,3}")),
        _ => return None,
    })
}

/// What a token is, in `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn of(number: f64) -> Self {
        match number as i64 {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// The tokens of a file.
struct Tokens<'a> {
    file: &'a Gguf,
    names: &'a [String],
    kinds: Vec<Kind>,
    vocabulary: BTreeMap<&'a str, usize>,
}

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

fn wrong(file: &Gguf, message: impl Into<String>) -> TextError {
    TextError::File {
        path: file.path().to_owned(),
        message: message.into(),
    }
}

fn lacking(file: &Gguf, name: &str) -> TextError {
    wrong(
        file,
        format!("has no tokenizer: it lacks `tokenizer.ggml.{name}`"),
    )
}

impl<'a> Tokens<'a> {
    fn new(file: &'a Gguf) -> Result<Self, TextError> {
        let tokens = file
            .texts(&key("tokens"))
            .ok_or_else(|| lacking(file, "tokens"))?;
        let types = file.numbers(&key("token_type")).unwrap_or(&[]);
        let mut vocabulary = BTreeMap::new();
        for (id, token) in tokens.iter().enumerate() {
            if vocabulary.insert(token.as_str(), id).is_some() {
                return Err(wrong(file, format!("has the token `{token}` twice")));
            }
        }
        let kind = |id| {
            types
                .get(id)
                .map_or(Kind::Normal, |&number| Kind::of(number))
        };
        Ok(Self {
            file,
            names: tokens,
            kinds: (0..tokens.len()).map(kind).collect(),
            vocabulary,
        })
    }

    /// The tokens that are found in a text before anything else.
    fn added(&self) -> Vec<Value> {
        let all = self.names.iter().zip(&self.kinds).enumerate();
        all.filter_map(|(id, (token, kind))| {
            let special = match kind {
                Kind::Control | Kind::Unknown => true,
                Kind::UserDefined => false,
                Kind::Normal | Kind::Unused | Kind::Byte => return None,
            };
            Some(json!({
                "id": id, "content": token, "special": special, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false,
            }))
        })
        .collect()
    }

    fn id(&self, name: &str) -> Option<u32> {
        let id = self.file.whole(&key(name))?;
        u32::try_from(id).ok()
    }

    /// The special tokens; a text starts with one where the file says so, or else by `default`.
    fn specials(&self, default: bool) -> Result<NamedSpecials, TextError> {
        let bos = self.file.truth(&key("add_bos_token")).unwrap_or(default);
        Ok(NamedSpecials {
            bos: self.id("bos_token_id").filter(|_| bos),
            eos: self
                .id("eos_token_id")
                .ok_or_else(|| lacking(self.file, "eos_token_id"))?,
            pad: self.id("padding_token_id"),
            cls: None,
        })
    }
}

/// The tokenizer of a file, to be written as `tokenizer.json`, and its special tokens.
///
/// # Errors
/// When the file has neither kind of BPE, or cuts texts in a way that is not known here.
pub fn tokenizer(file: &Gguf) -> Result<(Value, NamedSpecials), TextError> {
    match file.text(&key("model")).unwrap_or("") {
        "gpt2" => byte_level(&Tokens::new(file)?),
        "llama" => sentence_piece(&Tokens::new(file)?),
        model => Err(wrong(
            file,
            format!(
                "has a tokenizer of the model `{model}`, but only `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE) are read; name the \
                 model's `tokenizer.json`"
            ),
        )),
    }
}

/// A SentencePiece BPE, as Hugging Face converts Llama's (`LlamaTokenizer` of transformers): spaces become `▁`, with one more at the start of a
/// text; what has no token becomes bytes.
///
/// SentencePiece merges the pair whose whole has the highest score. Two pairs of the same whole, which have the same score, get an order here,
/// that of transformers; and as there, a text that starts with a space gets no second one.
fn sentence_piece(tokens: &Tokens<'_>) -> Result<(Value, NamedSpecials), TextError> {
    let file = tokens.file;
    let scores = file
        .numbers(&key("scores"))
        .filter(|scores| scores.len() == tokens.names.len())
        .ok_or_else(|| lacking(file, "scores"))?;
    if file.truth(&key("remove_extra_whitespaces")) == Some(true) {
        return Err(wrong(
            file,
            "removes spaces from texts, which is not known here; name the model's `tokenizer.json`",
        ));
    }
    let mergeable = |piece: &str| {
        let id = *tokens.vocabulary.get(piece)?;
        matches!(tokens.kinds[id], Kind::Normal | Kind::Unused).then_some(id)
    };
    // The score of the whole, the lengths of the parts, and the parts.
    let mut merges: Vec<(f64, usize, usize, &str, &str)> = Vec::new();
    for (token, &score) in tokens.names.iter().zip(scores) {
        if mergeable(token).is_none() {
            continue;
        }
        if score.is_nan() {
            return Err(wrong(file, format!("has no score for the token `{token}`")));
        }
        let length = token.chars().count();
        let mut pairs: Vec<_> = token
            .char_indices()
            .enumerate()
            .skip(1)
            .filter_map(|(before, (at, _))| {
                let (left, right) = token.split_at(at);
                let ids = (mergeable(left)?, mergeable(right)?);
                Some((ids, (score, before, length - before, left, right)))
            })
            .collect();
        pairs.sort_by_key(|(ids, _)| *ids);
        merges.extend(pairs.into_iter().map(|(_, pair)| pair));
    }
    merges.sort_by(|a, b| {
        let by_score = b.0.total_cmp(&a.0);
        by_score.then((b.1, b.2).cmp(&(a.1, a.2)))
    });
    let merges: Vec<[&str; 2]> = merges.iter().map(|merge| [merge.3, merge.4]).collect();
    let unknown = tokens.kinds.iter().position(|&kind| kind == Kind::Unknown);
    let bytes = tokens.kinds.iter().filter(|&&kind| kind == Kind::Byte);
    let bytes = bytes.count() == 256;
    let prefix = file.truth(&key("add_space_prefix")).unwrap_or(true);
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let text = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": if prefix { "first" } else { "never" }, "split": false,
        },
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.map(|id| &tokens.names[id]), "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": bytes, "ignore_merges": false,
            "vocab": tokens.vocabulary, "merges": merges,
        },
    });
    Ok((text, tokens.specials(true)?))
}

/// A byte-level BPE.
fn byte_level(tokens: &Tokens<'_>) -> Result<(Value, NamedSpecials), TextError> {
    let file = tokens.file;
    let pre = file.text(&key("pre")).unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(pre).ok_or_else(|| {
        let message = format!(
            "cuts texts into words as `{pre}`, but known are `gpt-2`, `smollm`, `qwen2` and `llama-bpe`; name the model's \
             `tokenizer.json`"
        );
        wrong(file, message)
    })?;
    let merges = file
        .texts(&key("merges"))
        .ok_or_else(|| lacking(file, "merges"))?;
    let normalizer = if pre == "qwen2" {
        json!({"type": "NFC"})
    } else {
        Value::Null
    };
    let text = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": pre.starts_with("llama"), "vocab": tokens.vocabulary, "merges": merges,
        },
    });
    // Llama 3 was trained with a first token; files of GPT-2's descendants say so when they were.
    Ok((text, tokens.specials(pre.starts_with("llama"))?))
}
