//! What running processes need, so that a sweep in another process leaves it alone.
//!
//! Each process that works with the cache has a file in `uses/`, locked as long as it lives, with the keys and outputs
//! that it looked up or made. It adds to it and looks under a shared lock on `sweep.lock`; a sweep reads every such
//! file and takes entries away under an exclusive one. So an entry that was found is there until the process ends, and
//! one that a sweep took was not found. A file whose lock is free belongs to a process that is gone.

use super::StoreError;
use crate::key::Hash;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The gate between lookups and sweeps.
pub(super) fn gate_path(root: &Path) -> PathBuf {
    root.join("sweep.lock")
}

fn open(path: &Path) -> std::io::Result<fs_err::File> {
    fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
}

/// What one process uses. Dropped, or dead, it uses nothing.
#[derive(Debug)]
pub(super) struct InUse {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    gate: fs_err::File,
    /// Locked by this process.
    list: fs_err::File,
    known: BTreeSet<Hash>,
    /// Bytes of new artifacts.
    grown: u64,
}

impl InUse {
    /// Opens the list of this process under the name `name`.
    pub(super) fn enter(root: &Path, name: &str) -> Result<Self, StoreError> {
        let folder = root.join("uses");
        fs_err::create_dir_all(&folder)?;
        let gate = open(&gate_path(root))?;
        gate.file().lock_shared()?;
        let path = folder.join(name);
        let list = open(&path)?;
        list.file().lock()?;
        gate.file().unlock()?;
        Ok(Self {
            path,
            inner: Mutex::new(Inner {
                gate,
                list,
                known: BTreeSet::new(),
                grown: 0,
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks something up while no sweep goes on; the hashes that `found` names are then safe from sweeps.
    ///
    /// Never an error: a process that cannot write its list works on, and a sweep may cost it a recomputation.
    pub(super) fn look<T>(
        &self,
        key: &Hash,
        look: impl FnOnce() -> T,
        found: impl Fn(&T) -> Vec<Hash>,
    ) -> T {
        let mut inner = self.inner();
        if inner.known.contains(key) {
            return look();
        }
        let locked = inner.gate.file().lock_shared().is_ok();
        let thing = look();
        inner.add(&found(&thing));
        if locked {
            let _ = inner.gate.file().unlock();
        }
        thing
    }

    /// Makes a hash safe from sweeps.
    pub(super) fn add(&self, hash: Hash) {
        self.look(&hash, || (), |()| vec![hash]);
    }

    /// Counts a new artifact.
    pub(super) fn grow(&self, bytes: u64) {
        self.inner().grown += bytes;
    }

    /// Bytes of the artifacts that this process added.
    pub(super) fn grown(&self) -> u64 {
        self.inner().grown
    }
}

impl Inner {
    fn add(&mut self, hashes: &[Hash]) {
        let mut text = String::new();
        for hash in hashes {
            if self.known.insert(*hash) {
                text.push_str(&hash.hex());
                text.push('\n');
            }
        }
        if !text.is_empty() {
            let _ = self.list.write_all(text.as_bytes());
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // The lock is still held, so this is the process's own file.
        let _ = fs_err::remove_file(&self.path);
    }
}

/// The lists of living processes, by name. With `tidy`, what the dead left is removed; the gate must then be held.
pub(super) fn read_all(
    root: &Path,
    tidy: bool,
) -> Result<Vec<(String, BTreeSet<Hash>)>, StoreError> {
    let mut lists = Vec::new();
    for path in super::folder::entries(&root.join("uses"))? {
        let Ok(file) = fs_err::File::open(&path) else {
            continue;
        };
        if file.file().try_lock_shared().is_ok() {
            if tidy {
                super::object::remove_folder(&path)?;
            }
            continue;
        }
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let Ok(text) = fs_err::read_to_string(&path) else {
            continue;
        };
        // A line that is being written is not whole; what it names is looked up after the gate is free.
        lists.push((name, text.lines().filter_map(Hash::parse).collect()));
    }
    Ok(lists)
}

/// The exclusive side of the gate: while it lives, no process looks anything up.
#[derive(Debug)]
pub(super) struct Gate {
    _file: fs_err::File,
}

impl Gate {
    pub(super) fn close(root: &Path) -> Result<Self, StoreError> {
        let file = open(&gate_path(root))?;
        file.file().lock()?;
        Ok(Self { _file: file })
    }
}
