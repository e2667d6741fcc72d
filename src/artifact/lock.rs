//! One process computes a key at a time.

use super::StoreError;
use std::fs::TryLockError;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::Path;

/// An operating-system lock on a key. It dies with its process, so nobody ever unlocks by hand.
#[derive(Debug)]
pub struct KeyLock {
    file: fs_err::File,
}

impl KeyLock {
    /// The open file: the lock is held until every process that has it is gone.
    pub fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Takes the lock, or returns none when another process has it.
    pub(super) fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.file().try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
