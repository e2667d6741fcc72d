//! Folders of the cache, read while other processes may change them: what is gone meanwhile is no error.

use super::StoreError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The entries of a folder, sorted; none when it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = match fs_err::read_dir(folder) {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let mut entries = Vec::new();
    for entry in read {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

/// Every file below a folder, sorted.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        match metadata(&path)? {
            Some(metadata) if metadata.is_dir() => files.extend(files_below(&path)?),
            Some(_) => files.push(path),
            None => {}
        }
    }
    Ok(files)
}

/// What the system knows of a path itself, not of what a link points at; none when it is gone.
pub(super) fn metadata(path: &Path) -> Result<Option<std::fs::Metadata>, StoreError> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Bytes of a file, or of all files below a folder, and the youngest time of modification, in nanoseconds since 1970.
pub(super) fn weigh(path: &Path) -> Result<(u64, i128), StoreError> {
    let Some(found) = metadata(path)? else {
        return Ok((0, 0));
    };
    let own = super::records::modified_ns(&found);
    if !found.is_dir() {
        return Ok((found.len(), own));
    }
    let mut sum = (0, own);
    for path in entries(path)? {
        let (bytes, changed) = weigh(&path)?;
        sum = (sum.0 + bytes, sum.1.max(changed));
    }
    Ok(sum)
}
