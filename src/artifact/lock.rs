//! One process computes a key at a time.

use super::StoreError;
use std::fs::TryLockError;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// An operating-system lock on a key. It dies with its process, so nobody ever unlocks by hand; its file goes when it
/// is dropped, and with the next sweep when its process was killed.
#[derive(Debug)]
pub struct KeyLock {
    path: PathBuf,
    file: fs_err::File,
}

impl KeyLock {
    /// The open file: the lock is held until every process that has it is gone.
    pub fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Takes the lock, or returns none when another process has it.
    pub(super) fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        loop {
            let file = fs_err::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            match file.file().try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Whoever held the lock may have removed the file after it was opened here: then this lock is on nothing,
            // and a third process may hold the one on the new file of the same name.
            let own = file.metadata()?;
            let still_there = super::folder::metadata(path)?
                .is_some_and(|now| now.ino() == own.ino() && now.dev() == own.dev());
            if still_there {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    file,
                }));
            }
        }
    }
}

/// Whether a process has the lock. Takes it for a moment where nobody has: a process that tries then tries again.
pub(super) fn is_taken(path: &Path) -> bool {
    fs_err::File::open(path)
        .is_ok_and(|file| matches!(file.file().try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Before the lock is given up, so it is this process's own file. After a panic the worker may still live and hold
        // the lock, too: then its file must stay.
        if !std::thread::panicking() {
            let _ = fs_err::remove_file(&self.path);
        }
    }
}
