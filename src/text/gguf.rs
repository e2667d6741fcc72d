//! The tokenizer inside a GGUF file, as `tokenizer.json`.
//!
//! A file has the tokens, their types and the merges of a byte-level BPE, and the name of the expression that cuts a text into words
//! (`llama-vocab.cpp` of llama.cpp); the rest is as Hugging Face has it for the models of that name.

use super::{NamedSpecials, TextError};
use crate::formats::gguf::Gguf;
use serde_json::{Map, Value, json};

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

/// The tokenizer of a file, to be written as `tokenizer.json`, and its special tokens.
///
/// # Errors
/// When the file has no byte-level BPE, or cuts texts in a way that is not known here.
pub fn tokenizer(file: &Gguf) -> Result<(Value, NamedSpecials), TextError> {
    let wrong = |message: String| TextError::File {
        path: file.path().to_owned(),
        message,
    };
    let lacking = |key: &str| wrong(format!("has no tokenizer: it lacks `{key}`"));
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let model = file.text(&key("model")).unwrap_or("");
    if model != "gpt2" {
        return Err(wrong(format!(
            "has a tokenizer of the model `{model}`, but only `gpt2` (byte-level BPE) is read; name the model's `tokenizer.json`"
        )));
    }
    let pre = file.text(&key("pre")).unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(pre).ok_or_else(|| {
        wrong(format!(
            "cuts texts into words as `{pre}`, but known are `gpt-2`, `smollm`, `qwen2` and `llama-bpe`; name the model's \
             `tokenizer.json`"
        ))
    })?;
    let tokens = file
        .texts(&key("tokens"))
        .ok_or_else(|| lacking("tokenizer.ggml.tokens"))?;
    let merges = file
        .texts(&key("merges"))
        .ok_or_else(|| lacking("tokenizer.ggml.merges"))?;
    let types = file.numbers(&key("token_type")).unwrap_or(&[]);
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        // 3: control; 4: defined by the user.
        let kind = types.get(id).copied().unwrap_or(1.0) as i64;
        if kind == 3 || kind == 4 {
            added.push(json!({
                "id": id, "content": token, "special": kind == 3, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false,
            }));
        }
        if vocabulary.insert(token.clone(), id.into()).is_some() {
            return Err(wrong(format!("has the token `{token}` twice")));
        }
    }
    let normalizer = if pre == "qwen2" {
        json!({"type": "NFC"})
    } else {
        Value::Null
    };
    let text = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": pre.starts_with("llama"), "vocab": vocabulary, "merges": merges,
        },
    });
    let id = |name: &str| file.whole(&key(name)).and_then(|id| u32::try_from(id).ok());
    // Llama 3 was trained with a first token; files of GPT-2's descendants say so when they were.
    let bos = file
        .truth(&key("add_bos_token"))
        .unwrap_or(pre.starts_with("llama"));
    let specials = NamedSpecials {
        bos: id("bos_token_id").filter(|_| bos),
        eos: id("eos_token_id").ok_or_else(|| lacking("tokenizer.ggml.eos_token_id"))?,
        pad: id("padding_token_id"),
        cls: None,
    };
    Ok((text, specials))
}
