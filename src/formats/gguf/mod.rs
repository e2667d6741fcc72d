//! GGUF: a model in one file, with its sizes and its tokenizer (`docs/gguf.md` of ggml; versions 2 and 3, little endian).
//!
//! The header is a list of keys with values and a list of arrays. It is read without believing it: no count is believed before
//! the file is known to be long enough for it, and what a header may hold in memory is limited.

mod read;
#[cfg(test)]
mod tests;

use super::FormatError;
use super::archive::Entry;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any whole number at least 0, of any width.
    Unsigned(u64),
    /// Any whole number below 0, of any width.
    Signed(i64),
    /// A number of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// Texts, for instance the tokens.
    Texts(Vec<String>),
    /// Numbers, for instance the scores of the tokens.
    Numbers(Vec<f64>),
}

/// The header of a file.
#[derive(Clone, Debug)]
pub struct Gguf {
    pub(super) path: PathBuf,
    pub(super) entries: BTreeMap<String, Entry>,
    values: BTreeMap<String, Value>,
}

/// Reads and checks the header of a file.
///
/// # Errors
/// When the file is cut short or no GGUF file of a known version, or its header names sizes, places or types that cannot be.
pub fn open(path: &Path) -> Result<Gguf, FormatError> {
    read::open(path)
}

impl Gguf {
    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.values.get(key) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// A list of numbers.
    pub fn numbers(&self, key: &str) -> Option<&[f64]> {
        match self.values.get(key) {
            Some(Value::Numbers(numbers)) => Some(numbers),
            _ => None,
        }
    }

    /// A whole number at least 0.
    pub fn whole(&self, key: &str) -> Option<u64> {
        match self.values.get(key) {
            Some(Value::Unsigned(number)) => Some(*number),
            _ => None,
        }
    }

    /// A number.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.values.get(key)? {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// True or false.
    pub fn truth(&self, key: &str) -> Option<bool> {
        match self.values.get(key) {
            Some(Value::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// The arrays, by name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
