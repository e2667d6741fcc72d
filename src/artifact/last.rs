//! The key of each stage's last success: a content-addressed store has no memory of "before".

use super::StoreError;
use crate::key::Hash;
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

/// Reads what [`file_name`] wrote.
fn plain_name(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A pointer: pipeline, stage, and the key of the stage's last success where the file holds one.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) path: PathBuf,
    pub(super) pipeline: String,
    pub(super) stage: String,
    pub(super) key: Option<Hash>,
}

/// Every pointer, sorted by file name.
pub(super) fn list(root: &Path) -> Result<Vec<Pointer>, StoreError> {
    let mut pointers = Vec::new();
    let name = |path: &Path| plain_name(path.file_name()?.to_str()?);
    for folder in super::folder::entries(root)? {
        let Some(pipeline) = name(&folder) else {
            continue;
        };
        if !folder.is_dir() {
            continue;
        }
        for path in super::folder::entries(&folder)? {
            if let Some(stage) = name(&path) {
                pointers.push(Pointer {
                    key: fs_err::read_to_string(&path)
                        .ok()
                        .and_then(|text| Hash::parse(text.trim())),
                    pipeline: pipeline.clone(),
                    stage,
                    path,
                });
            }
        }
    }
    Ok(pointers)
}

fn path(root: &Path, pipeline: &str, stage: &str) -> PathBuf {
    root.join(file_name(pipeline)).join(file_name(stage))
}

pub(super) fn read(root: &Path, pipeline: &str, stage: &str) -> Option<Hash> {
    let text = fs_err::read_to_string(path(root, pipeline, stage)).ok()?;
    Hash::parse(text.trim())
}

pub(super) fn write(
    root: &Path,
    pipeline: &str,
    stage: &str,
    key: &Hash,
) -> Result<(), StoreError> {
    let path = path(root, pipeline, stage);
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    // No fsync: losing it costs a reason in `plan`, never a result.
    fs_err::write(&path, key.hex())?;
    Ok(())
}

pub(super) fn remove(root: &Path, pipeline: &str, stage: &str) -> Result<(), StoreError> {
    super::folder::remove(&path(root, pipeline, stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["cf", "phase2[arm=elm,seed=1]", "a/b c%41ä", ""] {
            assert_eq!(plain_name(&file_name(name)).as_deref(), Some(name));
        }
        assert_eq!(plain_name("a%4"), None);
    }
}
