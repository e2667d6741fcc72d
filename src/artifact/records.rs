//! Action records on disk: one file a key.

use super::{Lookup, Record, StoreError};
use crate::formats::checked;
use crate::key::Hash;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

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

/// Most records are smaller than this, in bytes.
const SMALL: usize = 4 * 1024;

/// Looks for the record of a key.
pub(super) fn look(root: &Path, key: &Hash) -> Lookup {
    let read = |bytes: &[u8]| {
        read(bytes, key).map_or(Lookup::Damaged, |record| Lookup::Found(Box::new(record)))
    };
    match read_small(&path(root, key), read) {
        Ok(lookup) => lookup,
        Err(error) if error.kind() == ErrorKind::NotFound => Lookup::Missing,
        // A disk that cannot read it back, a folder in its place.
        Err(_) => Lookup::Damaged,
    }
}

/// Reads a file that is expected to be small, without asking for its size first and without memory of its own: three system
/// calls instead of six, a thousand times a plan.
fn read_small<T>(path: &Path, then: impl FnOnce(&[u8]) -> T) -> std::io::Result<T> {
    let mut file = fs_err::File::open(path)?.into_parts().0;
    let mut small = [0; SMALL];
    let length = file.read(&mut small)?;
    // A short read of a file is its end.
    if length < SMALL {
        return Ok(then(&small[..length]));
    }
    let mut bytes = small.to_vec();
    file.read_to_end(&mut bytes)?;
    Ok(then(&bytes))
}

fn read(bytes: &[u8], key: &Hash) -> Option<Record> {
    let record: Record = checked::from_text(bytes)?;
    // A record that was copied or edited under another name is not this key's.
    (record.key == *key && record.fingerprint.key() == *key).then_some(record)
}

pub(super) fn text(record: &Record) -> Result<String, StoreError> {
    Ok(checked::to_text(record)?)
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
            (Some(key), Ok(bytes)) => read(&bytes, &key),
            (None, Ok(_)) => None,
            (_, Err(error)) if error.kind() == ErrorKind::NotFound => continue,
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
