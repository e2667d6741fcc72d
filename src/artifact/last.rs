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
