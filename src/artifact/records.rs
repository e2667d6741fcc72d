//! Action records on disk: one file a key, with a check over its bytes.

use super::{Record, StoreError};
use crate::key::Hash;
use std::path::{Path, PathBuf};

/// What stands between a record and its check. The check is the last field, so that the file is plain JSON.
const CHECK: &[u8] = br#","check":""#;
/// `,"check":"`, 64 digits, `"}`.
const CHECK_LENGTH: usize = CHECK.len() + 64 + 2;

/// A record file as it lies on disk.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it was last used, in nanoseconds since 1970: the file's time of modification.
    pub(super) used_ns: i128,
    /// None when the file is no record of the key in its name.
    pub(super) record: Option<Record>,
}

pub(super) fn path(root: &Path, key: &Hash) -> PathBuf {
    let hex = key.hex();
    root.join("records")
        .join(&hex[..2])
        .join(format!("{hex}.json"))
}

/// Reads the record of a key. One that cannot be read, or is another key's, is a miss.
pub(super) fn read(root: &Path, key: &Hash) -> Option<Record> {
    decode(&fs_err::read(path(root, key)).ok()?, key)
}

/// Writes a record aside and renames it into place.
pub(super) fn write(root: &Path, record: &Record) -> Result<(), StoreError> {
    let path = path(root, &record.key);
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    Ok(crate::formats::replace(&path, &encode(record)?)?)
}

fn encode(record: &Record) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec(record).map_err(std::io::Error::from)?;
    let check = blake3::hash(&text).to_hex();
    text.pop();
    text.extend_from_slice(CHECK);
    text.extend_from_slice(check.as_bytes());
    text.extend_from_slice(b"\"}");
    Ok(text)
}

/// Reads a record's bytes. Records of the first version have no check; what identifies them is checked all the same.
fn decode(bytes: &[u8], key: &Hash) -> Option<Record> {
    if let Some(start) = bytes.len().checked_sub(CHECK_LENGTH) {
        let (record, check) = bytes.split_at(start);
        if let Some(check) = check.strip_prefix(CHECK) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(record).update(b"}");
            if hasher.finalize().to_hex().as_bytes() != &check[..64] {
                return None;
            }
        }
    }
    let record: Record = serde_json::from_slice(bytes).ok()?;
    // A record that was copied or edited under another name is not this key's.
    (record.key == *key && record.fingerprint.key() == *key).then_some(record)
}

/// When the record of a key was last used.
pub(super) fn used_ns(root: &Path, key: &Hash) -> Option<i128> {
    let metadata = fs_err::metadata(path(root, key)).ok()?;
    Some(modified_ns(&metadata))
}

/// Notes a use, unless one was noted less than `every_ns` ago. A cache that cannot be written to forgets uses.
pub(super) fn mark_used(root: &Path, key: &Hash, now_ns: i128, every_ns: i128) {
    let path = path(root, key);
    let Ok(metadata) = fs_err::metadata(&path) else {
        return;
    };
    if now_ns - modified_ns(&metadata) >= every_ns {
        if let Ok(file) = fs_err::File::open(&path) {
            let _ = file.file().set_modified(crate::clock::file_time(now_ns));
        }
    }
}

pub(super) fn modified_ns(metadata: &std::fs::Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt as _;
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// Every file below `records/`, sorted by path.
pub(super) fn list(root: &Path) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    for path in super::folder::files_below(&root.join("records"))? {
        let Some(metadata) = super::folder::metadata(&path)? else {
            continue;
        };
        let key = path
            .file_name()
            .and_then(|name| Hash::parse(name.to_str()?.strip_suffix(".json")?));
        let record = match (key, fs_err::read(&path)) {
            (Some(key), Ok(bytes)) => decode(&bytes, &key),
            (None, Ok(_)) => None,
            (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => continue,
            (_, Err(error)) => return Err(error.into()),
        };
        listed.push(Listed {
            bytes: metadata.len(),
            used_ns: modified_ns(&metadata),
            path,
            record,
        });
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing;

    #[test]
    fn every_flipped_bit_of_a_record_is_a_miss_or_changes_nothing() {
        let record = testing::record("one", "0");
        let bytes = encode(&record).expect("encoded");
        assert_eq!(decode(&bytes, &record.key).as_ref(), Some(&record));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Some(read) = decode(&damaged, &record.key) {
                    assert_eq!(read, record, "byte {at}, bit {bit}");
                }
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], &record.key), None, "{length} bytes");
        }
    }

    #[test]
    fn a_record_without_a_check_is_read() {
        let record = testing::record("one", "0");
        let bytes = serde_json::to_vec(&record).expect("json");
        assert_eq!(decode(&bytes, &record.key), Some(record));
    }
}
