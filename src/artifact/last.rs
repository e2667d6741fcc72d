//! The key of each stage's last success: a content-addressed store has no memory of "before".

use super::StoreError;
use crate::formats::checked;
use crate::key::Hash;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Stage names hold `[`, `=` and `,`, and values may hold anything: whatever is not plain is written as `%2f`.
fn file_name(text: &str) -> String {
    text.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.[]=,".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
        name
    })
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

/// What is known of a stage's last success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It never succeeded in this pipeline, or that is forgotten.
    Never,
    /// This was its key.
    Key(Hash),
    /// Something was noted, but cannot be believed.
    Damaged,
}

impl Last {
    /// The key, where it is known.
    pub fn key(self) -> Option<Hash> {
        match self {
            Self::Key(key) => Some(key),
            Self::Never | Self::Damaged => None,
        }
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Pointer {
    key: Hash,
    /// The stage that it is of: a file under another stage's name would give wrong reasons.
    stage: String,
    pipeline: String,
}

pub(super) fn path(root: &Path, pipeline: &str, stage: &str) -> PathBuf {
    root.join(file_name(pipeline)).join(file_name(stage))
}

pub(super) fn read(root: &Path, pipeline: &str, stage: &str) -> Last {
    match fs_err::read(path(root, pipeline, stage)) {
        Ok(bytes) => match checked::from_text::<Pointer>(&bytes) {
            Some(pointer) if pointer.stage == stage && pointer.pipeline == pipeline => {
                Last::Key(pointer.key)
            }
            _ => Last::Damaged,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Last::Never,
        Err(_) => Last::Damaged,
    }
}

pub(super) fn text(pipeline: &str, stage: &str, key: &Hash) -> Result<String, StoreError> {
    Ok(checked::to_text(&Pointer {
        key: *key,
        stage: stage.to_owned(),
        pipeline: pipeline.to_owned(),
    })?)
}

/// A file of the memory, as it lies on disk.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) path: PathBuf,
    pub(super) pipeline: String,
    pub(super) stage: String,
    pub(super) key: Hash,
}

/// Everything that is noted and can be believed, sorted by file name.
pub(super) fn list(root: &Path) -> Result<Vec<Noted>, StoreError> {
    let mut noted = Vec::new();
    for path in super::folder::files_below(root)? {
        let pointer = fs_err::read(&path)
            .ok()
            .and_then(|bytes| checked::from_text::<Pointer>(&bytes));
        if let Some(pointer) = pointer {
            noted.push(Noted {
                path,
                pipeline: pointer.pipeline,
                stage: pointer.stage,
                key: pointer.key,
            });
        }
    }
    Ok(noted)
}
