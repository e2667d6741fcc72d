//! Content hashes of files outside the cache, remembered so that unchanged files are not read again.
//!
//! A remembered hash is believed when path, size, modification time, change time and inode are all as they were, and
//! when the file was already at rest when it was hashed: a file younger than [`AT_REST`] at that moment may be
//! written again within the clock's granularity and is read anew next time. The change time cannot be set by a user,
//! so `touch -r` and `cp -p` do not fool it. None of this is ever part of a key.

use super::Hash;
use crate::clock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How old a file must be before its hash is remembered.
const AT_REST: Duration = Duration::from_secs(2);

/// A file that could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A required source file is not there.
    #[error("`{}` is missing", path.display())]
    Missing {
        /// The file, relative to the project folder.
        path: PathBuf,
        /// What to do.
        hint: String,
    },
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let nanos = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            size: metadata.size(),
            modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    hash: Hash,
}

/// Hashes files and remembers what it saw.
#[derive(Debug, Default)]
pub struct FileHashes {
    known: BTreeMap<String, Remembered>,
    changed: bool,
    store: Option<PathBuf>,
}

impl FileHashes {
    /// Starts from what the file `store` remembers; an unreadable one is the same as an empty one.
    pub fn load(store: &Path) -> Self {
        let known = fs_err::read(store)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            known,
            changed: false,
            store: Some(store.to_owned()),
        }
    }

    /// Hashes the file `path`, or remembers its hash.
    pub fn hash(&mut self, path: &Path) -> Result<Hash, FileError> {
        let name = path.to_string_lossy().into_owned();
        let before = Stamp::of(&fs_err::metadata(path)?);
        if let Some(known) = self.known.get(&name) {
            if known.stamp == before {
                tracing::trace!(file = name, "unchanged since it was hashed");
                return Ok(known.hash);
            }
        }
        let watch = clock::Stopwatch::start();
        let hash = hash_file(path)?;
        tracing::debug!(
            file = name,
            bytes = before.size,
            seconds = watch.seconds(),
            "hashed"
        );
        let after = Stamp::of(&fs_err::metadata(path)?);
        let age = clock::since_epoch_ns() - after.modified_ns.max(after.changed_ns);
        if before == after && age > AT_REST.as_nanos() as i128 {
            self.known.insert(name, Remembered { stamp: after, hash });
            self.changed = true;
        } else if self.known.remove(&name).is_some() {
            self.changed = true;
        }
        Ok(hash)
    }

    /// Writes what was learned. Losing it costs time, never truth, so a failure is not an error.
    pub fn save(&mut self) {
        if let (true, Some(store)) = (self.changed, &self.store) {
            if let Ok(text) = serde_json::to_vec(&self.known) {
                let _ = crate::formats::replace(store, &text);
            }
            self.changed = false;
        }
    }
}

/// BLAKE3 of a file's content, on all cores when it is large.
pub fn hash_file(path: &Path) -> Result<Hash, FileError> {
    let mut hasher = blake3::Hasher::new();
    let size = fs_err::metadata(path)?.len();
    if size > 1 << 20 {
        hasher.update_mmap_rayon(path)?;
    } else {
        hasher.update(&fs_err::read(path)?);
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_file_is_read_again_and_an_edit_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let mut hashes = FileHashes::default();
        fs_err::write(&path, "one").expect("written");
        let one = hashes.hash(&path).expect("hashed");
        assert!(hashes.known.is_empty(), "too young to remember");
        fs_err::write(&path, "two").expect("written");
        assert_ne!(hashes.hash(&path).expect("hashed"), one);
    }
}
