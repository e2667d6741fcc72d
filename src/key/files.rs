//! Content hashes of files outside the cache, remembered so that unchanged files are not read again.
//!
//! A remembered hash is believed when path, device, inode, size, modification time and change time are all as they were,
//! and when the file was already at rest when it was hashed: a file whose change time is younger than [`AT_REST`] at that
//! moment may be written again within the clock's granularity, and is read anew next time. The change time cannot be set
//! by a user, so `touch -r` and `cp -p` do not fool it, and a modification time in the future or the past means nothing.
//! A clock that was set back makes files look young: they are read again, no more. None of this is ever part of a key.

use super::Hash;
use crate::clock;
use crate::formats::checked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How old a file's change time must be before its hash is remembered. The coarsest clock of a common file system (FAT)
/// ticks every two seconds.
const AT_REST: Duration = Duration::from_secs(2);

/// How often a file is read again when it was written meanwhile.
const ATTEMPTS: usize = 3;

/// Files up to this size, in bytes, are hashed on one core and in one read.
const SMALL: u64 = 1 << 20;

/// Bytes of a large file that are read, and then hashed on all cores, at a time.
const CHUNK: usize = 4 << 20;

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
    /// Something writes to the file all the time.
    #[error("`{}` is being written: it changed each of the {ATTEMPTS} times it was read", path.display())]
    Restless {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What the file system says of a file: equal stamps of one path mean that nobody wrote to it in between, as far as the
/// file system's clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let nanos = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The content of a file at a moment, and what the file system said of the file then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// BLAKE3 of the content.
    pub hash: Hash,
    /// The file system's word.
    pub stamp: Stamp,
}

/// The file on disk.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    files: BTreeMap<String, Sighting>,
}

/// Hashes files and remembers what it saw.
#[derive(Debug, Default)]
pub struct FileHashes {
    known: BTreeMap<String, Sighting>,
    changed: bool,
    damaged: bool,
    store: Option<PathBuf>,
}

impl FileHashes {
    /// Starts from what the file `store` remembers; a damaged one is the same as an empty one, and is replaced by
    /// [`FileHashes::save`].
    pub fn load(store: &Path) -> Self {
        let (memory, damaged) = match fs_err::read(store) {
            Ok(bytes) => match checked::from_text::<Memory>(&bytes) {
                Some(memory) => (memory, false),
                None => (Memory::default(), true),
            },
            Err(_) => (Memory::default(), false),
        };
        Self {
            known: memory.files,
            changed: damaged,
            damaged,
            store: Some(store.to_owned()),
        }
    }

    /// Whether what was remembered could not be believed: every file is read anew.
    pub fn was_damaged(&self) -> bool {
        self.damaged
    }

    /// Hashes the file `path`, or remembers its hash.
    pub fn hash(&mut self, path: &Path) -> Result<Sighting, FileError> {
        let name = std::path::absolute(path)?.to_string_lossy().into_owned();
        let mut before = Stamp::of(&fs_err::metadata(path)?);
        if let Some(known) = self.known.get(&name) {
            if known.stamp == before {
                return Ok(*known);
            }
        }
        for _ in 0..ATTEMPTS {
            let hash = hash_file(path)?;
            // Taken before the file is looked at again, so that a pause in between makes it look younger, not older.
            let now = clock::since_epoch_ns();
            let after = Stamp::of(&fs_err::metadata(path)?);
            if before == after {
                let seen = Sighting { hash, stamp: after };
                if now - after.changed_ns > AT_REST.as_nanos() as i128 {
                    self.known.insert(name, seen);
                    self.changed = true;
                } else if self.known.remove(&name).is_some() {
                    self.changed = true;
                }
                return Ok(seen);
            }
            before = after;
        }
        Err(FileError::Restless {
            path: path.to_owned(),
        })
    }

    /// Writes what was learned. Losing it costs time, never truth, so a failure is not an error.
    pub fn save(&mut self) {
        if let (true, Some(store)) = (self.changed, &self.store) {
            // Files that are gone are forgotten, or the list would only ever grow.
            self.known.retain(|path, _| Path::new(path).exists());
            let memory = Memory {
                files: std::mem::take(&mut self.known),
            };
            if let Ok(text) = checked::to_text(&memory) {
                let _ = crate::formats::replace(store, text.as_bytes());
            }
            self.known = memory.files;
            self.changed = false;
        }
    }
}

/// BLAKE3 of a file's content, on all cores when it is large.
///
/// Large files are read, not mapped into memory: whoever shortens a mapped file ends the process that reads it.
pub fn hash_file(path: &Path) -> Result<Hash, FileError> {
    let mut file = fs_err::File::open(path)?;
    let size = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    if size <= SMALL {
        let mut content = Vec::with_capacity(size as usize + 1);
        file.read_to_end(&mut content)?;
        hasher.update(&content);
    } else {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut filled = 0;
            while filled < CHUNK {
                match file.read(&mut chunk[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            hasher.update_rayon(&chunk[..filled]);
            if filled < CHUNK {
                break;
            }
        }
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;
    use std::time::SystemTime;

    fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs_err::write(&path, content).expect("written");
        (folder, path)
    }

    fn set_modified(path: &Path, time: SystemTime) {
        let file = fs_err::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("opened");
        file.file().set_modified(time).expect("set");
    }

    #[test]
    fn a_young_file_is_read_again_and_an_edit_is_seen() {
        let (_folder, path) = file("one");
        let mut hashes = FileHashes::default();
        let one = hashes.hash(&path).expect("hashed");
        assert!(hashes.known.is_empty(), "too young to remember");
        fs_err::write(&path, "two").expect("written");
        assert_ne!(hashes.hash(&path).expect("hashed").hash, one.hash);
    }

    #[test]
    fn an_edit_within_one_tick_of_the_clock_with_its_times_put_back_is_seen() {
        // Size, inode and modification time are as before, and often the change time too: the kernel's clock for files
        // ticks every few milliseconds, and a thousand rounds fit into a second.
        let (_folder, path) = file("0000");
        let mut hashes = FileHashes::default();
        let time = fs_err::metadata(&path)
            .expect("there")
            .modified()
            .expect("a time");
        let writer = fs_err::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("opened");
        for round in 0..1000 {
            let text = format!("{round:04}");
            writer
                .file()
                .write_all_at(text.as_bytes(), 0)
                .expect("written");
            set_modified(&path, time);
            let seen = hashes.hash(&path).expect("hashed");
            assert_eq!(
                seen.hash,
                Hash::from(blake3::hash(text.as_bytes())),
                "round {round}"
            );
        }
    }

    #[test]
    fn a_file_at_rest_is_remembered_and_read_again_after_any_write() {
        let (folder, path) = file("one");
        let mut hashes = FileHashes::load(&folder.path().join("files.json"));
        // A clock that runs ahead stands for the two seconds that this test does not wait.
        let ahead = clock::shifted(Duration::from_secs(10), || hashes.hash(&path)).expect("hashed");
        assert_eq!(hashes.known.len(), 1);
        hashes.save();
        let mut hashes = FileHashes::load(&folder.path().join("files.json"));
        assert!(!hashes.was_damaged());
        assert_eq!(hashes.hash(&path).expect("remembered"), ahead);
        let before = Stamp::of(&fs_err::metadata(&path).expect("there"));
        while Stamp::of(&fs_err::metadata(&path).expect("there")).changed_ns == before.changed_ns {
            fs_err::write(&path, "two").expect("written");
            set_modified(
                &path,
                SystemTime::UNIX_EPOCH + Duration::from_nanos(before.modified_ns as u64),
            );
        }
        assert_ne!(hashes.hash(&path).expect("hashed").hash, ahead.hash);
    }

    #[test]
    fn a_clock_that_was_set_back_or_a_time_in_the_future_only_costs_reading() {
        let (_folder, path) = file("one");
        let hash = Hash::from(blake3::hash(b"one"));
        let mut hashes = FileHashes::default();
        let back = clock::shifted_back(Duration::from_hours(24), || hashes.hash(&path));
        assert_eq!(back.expect("hashed").hash, hash);
        assert!(hashes.known.is_empty(), "it looks younger than now");
        let year = Duration::from_hours(8760);
        for time in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + 100 * year] {
            set_modified(&path, time);
            let seen = clock::shifted(Duration::from_secs(10), || hashes.hash(&path));
            assert_eq!(seen.expect("hashed").hash, hash);
            assert_eq!(hashes.known.len(), 1, "the modification time means nothing");
        }
    }

    #[test]
    fn damaged_memory_is_noticed_and_not_believed() {
        let (folder, path) = file("one");
        let store = folder.path().join("files.json");
        let mut hashes = FileHashes::load(&store);
        clock::shifted(Duration::from_secs(10), || hashes.hash(&path)).expect("hashed");
        hashes.save();
        let text = fs_err::read_to_string(&store).expect("read");
        let hash = Hash::from(blake3::hash(b"one")).hex();
        // Still JSON, still a hash, but another file's.
        let other = Hash::from(blake3::hash(b"two")).hex();
        fs_err::write(&store, text.replace(&hash, &other)).expect("written");
        let mut hashes = FileHashes::load(&store);
        assert!(hashes.was_damaged());
        assert_eq!(hashes.hash(&path).expect("hashed").hash.hex(), hash);
        hashes.save();
        assert!(!FileHashes::load(&store).was_damaged(), "repaired");
    }

    #[test]
    fn large_files_hash_as_their_bytes_do() {
        let (_folder, path) = file("");
        for size in [SMALL as usize + 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7] {
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            fs_err::write(&path, &content).expect("written");
            let hash = hash_file(&path).expect("hashed");
            assert_eq!(hash, Hash::from(blake3::hash(&content)), "{size} bytes");
        }
    }
}
