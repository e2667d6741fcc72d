//! One artifact: a folder of files under the hash of its content.

use super::StoreError;
use crate::clock;
use crate::key::{FileError, Hash};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// How old a change must be, in nanoseconds, before its time tells it from a later one.
const AT_REST_NS: i128 = 2_000_000_000;

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFile {
    /// Path below the artifact's folder, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub hash: Hash,
    /// Change time when it was committed, in nanoseconds since 1970: a file whose change time moved is hashed again
    /// before it is believed. Not part of the object's hash.
    pub changed_ns: i128,
}

/// How an artifact in the cache differs from what was committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "damage")]
pub enum Damage {
    /// The record is there, but not as it was written.
    Record,
    /// The folder is gone.
    Missing,
    /// A file is gone.
    FileMissing {
        /// Its path below the artifact's folder.
        path: String,
    },
    /// A file is longer or shorter than it was.
    Size {
        /// Its path below the artifact's folder.
        path: String,
        /// Bytes when committed.
        expected: u64,
        /// Bytes now.
        found: u64,
    },
    /// A file has other bytes than it had.
    Content {
        /// Its path below the artifact's folder.
        path: String,
    },
    /// The disk does not give a file's bytes back.
    Unreadable {
        /// Its path below the artifact's folder.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// There is a file that the stage did not make.
    Unexpected {
        /// Its path below the artifact's folder.
        path: String,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record => write!(f, "its record in the cache is corrupt"),
            Self::Missing => write!(f, "its output is no longer in the cache"),
            Self::FileMissing { path } => write!(f, "`{path}` is missing from its cached output"),
            Self::Size {
                path,
                expected,
                found,
            } => write!(
                f,
                "`{path}` in its cached output has {found} bytes, but was stored with {expected}"
            ),
            Self::Content { path } => {
                write!(
                    f,
                    "`{path}` in its cached output is corrupt (its hash differs)"
                )
            }
            Self::Unreadable { path, reason } => {
                write!(
                    f,
                    "`{path}` in its cached output cannot be read back: {reason}"
                )
            }
            Self::Unexpected { path } => {
                write!(f, "`{path}` was added to its cached output")
            }
        }
    }
}

pub(super) fn changed_ns(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

/// Lists a folder's files in the order of their names, hashes them and makes them read-only. With `durable`, they are on
/// disk when this returns.
pub(super) fn seal(folder: &Path, durable: bool) -> Result<Vec<ObjectFile>, StoreError> {
    let mut files = Vec::new();
    seal_below(folder, "", durable, &mut files)?;
    if files.is_empty() {
        return Err(StoreError::Empty);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn seal_below(
    folder: &Path,
    prefix: &str,
    durable: bool,
    files: &mut Vec<ObjectFile>,
) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| StoreError::Name { path: path.clone() })?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            seal_below(&path, &format!("{prefix}{name}/"), durable, files)?;
        } else if kind.is_file() {
            let file = fs_err::File::open(&path)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o444))?;
            if durable {
                file.sync_all()?;
            }
            // Looked at before and after it is hashed: a program that outlived its stage may still be writing.
            let before = file.metadata()?;
            let hash = crate::key::hash_file(&path)?;
            let after = file.metadata()?;
            if changed_ns(&before) != changed_ns(&after) || before.len() != after.len() {
                return Err(StoreError::NotAFile {
                    path,
                    what: "still being written by a program that the stage left behind",
                });
            }
            files.push(ObjectFile {
                path: format!("{prefix}{name}"),
                size: after.len(),
                hash,
                changed_ns: changed_ns(&after),
            });
        } else {
            return Err(StoreError::NotAFile {
                path,
                what: "a link or a device",
            });
        }
    }
    if durable {
        fs_err::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The hash of an artifact: of its files' paths and content hashes.
pub(super) fn content_hash(files: &[ObjectFile]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("ilm-pipe artifact v1");
    for file in files {
        hasher.update(&(file.path.len() as u64).to_le_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(file.hash.hex().as_bytes());
    }
    hasher.finalize().into()
}

/// Removes a folder, a file or a link; none of them is no error.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    let removed = match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Compares sizes and times, and hashes files whose change time moved since they were committed. Where all of those are
/// as they should be, returns the list with the new times.
pub(super) fn glance(
    folder: &Path,
    files: &[ObjectFile],
) -> Result<(Option<Damage>, Option<Vec<ObjectFile>>), StoreError> {
    let mut moved = None;
    for (at, file) in files.iter().enumerate() {
        let metadata = match stat(folder, file)? {
            Ok(metadata) => metadata,
            // Asked only now: it is one question less for each stage of a plan.
            Err(damage) => return Ok((Some(inspect(folder)?.unwrap_or(damage)), None)),
        };
        if changed_ns(&metadata) == file.changed_ns {
            continue;
        }
        if let Some(damage) = compare(folder, file)? {
            return Ok((Some(damage), None));
        }
        // What changed just now may change again within the same tick of the file system's clock.
        if clock::since_epoch_ns() - changed_ns(&metadata) > AT_REST_NS {
            moved.get_or_insert_with(|| files.to_vec())[at].changed_ns = changed_ns(&metadata);
        }
    }
    Ok((None, moved))
}

/// Whether exactly these files are in the folder; then notes the change times that they have there.
pub(super) fn adopt(folder: &Path, files: &mut [ObjectFile]) -> Result<bool, StoreError> {
    if inspect(folder)?.is_some() {
        return Ok(false);
    }
    for file in &mut *files {
        let Ok(metadata) = stat(folder, file)? else {
            return Ok(false);
        };
        if compare(folder, file)?.is_some() {
            return Ok(false);
        }
        file.changed_ns = changed_ns(&metadata);
    }
    Ok(unexpected(folder, "", files)?.is_none())
}

/// Hashes every byte and looks for what does not belong there.
pub(super) fn verify(folder: &Path, files: &[ObjectFile]) -> Result<Option<Damage>, StoreError> {
    if let Some(damage) = inspect(folder)? {
        return Ok(Some(damage));
    }
    for file in files {
        let damage = match stat(folder, file)? {
            Ok(_) => compare(folder, file)?,
            Err(damage) => Some(damage),
        };
        if damage.is_some() {
            return Ok(damage);
        }
    }
    unexpected(folder, "", files)
}

fn inspect(folder: &Path) -> Result<Option<Damage>, StoreError> {
    match fs_err::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(None),
        Ok(_) => Ok(Some(Damage::Missing)),
        Err(error) if is_gone(&error) => Ok(Some(Damage::Missing)),
        Err(error) => Err(error.into()),
    }
}

/// What the system says of a file, when its kind and size are right.
fn stat(folder: &Path, file: &ObjectFile) -> Result<Result<std::fs::Metadata, Damage>, StoreError> {
    let path = file.path.clone();
    match fs_err::symlink_metadata(folder.join(&path)) {
        Ok(metadata) if !metadata.is_file() => Ok(Err(Damage::FileMissing { path })),
        Ok(metadata) if metadata.len() != file.size => Ok(Err(Damage::Size {
            path,
            expected: file.size,
            found: metadata.len(),
        })),
        Ok(metadata) => Ok(Ok(metadata)),
        Err(error) if is_gone(&error) => Ok(Err(Damage::FileMissing { path })),
        Err(error) => Err(error.into()),
    }
}

/// Hashes a file's bytes.
fn compare(folder: &Path, file: &ObjectFile) -> Result<Option<Damage>, StoreError> {
    let path = file.path.clone();
    match crate::key::hash_file(&folder.join(&path)) {
        Ok(hash) if hash == file.hash => Ok(None),
        Ok(_) => Ok(Some(Damage::Content { path })),
        Err(FileError::Io(error)) if is_gone(&error) => Ok(Some(Damage::FileMissing { path })),
        Err(FileError::Io(error)) if is_bad_disk(&error) => Ok(Some(Damage::Unreadable {
            path,
            reason: error.to_string(),
        })),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of one file, when they hash to what was stored.
pub(super) fn read_file(
    folder: &Path,
    files: &[ObjectFile],
    name: &str,
) -> Result<Result<Vec<u8>, Damage>, StoreError> {
    let path = name.to_owned();
    let Some(file) = files.iter().find(|file| file.path == name) else {
        return Ok(Err(Damage::FileMissing { path }));
    };
    match fs_err::read(folder.join(name)) {
        Ok(bytes) if Hash::from(blake3::hash(&bytes)) == file.hash => Ok(Ok(bytes)),
        Ok(_) => Ok(Err(Damage::Content { path })),
        Err(error) if is_gone(&error) => Ok(Err(Damage::FileMissing { path })),
        Err(error) if is_bad_disk(&error) => Ok(Err(Damage::Unreadable {
            path,
            reason: error.to_string(),
        })),
        Err(error) => Err(error.into()),
    }
}

/// The first file below a folder that is not in the list.
fn unexpected(
    folder: &Path,
    prefix: &str,
    files: &[ObjectFile],
) -> Result<Option<Damage>, StoreError> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let damage = if entry.file_type()?.is_dir() {
            unexpected(&entry.path(), &format!("{path}/"), files)?
        } else {
            let known = files
                .binary_search_by(|file| file.path.as_str().cmp(&path))
                .is_ok();
            (!known).then_some(Damage::Unexpected { path })
        };
        if damage.is_some() {
            return Ok(damage);
        }
    }
    Ok(None)
}

/// Nothing of that name is there, or a file is where a folder was.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

/// The disk gave up on the bytes: damage like any other. Everything else (no permission, too many open files) is a fault of the
/// surroundings, and throwing the artifact away would be wrong.
fn is_bad_disk(error: &std::io::Error) -> bool {
    let code = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .unwrap_or(error)
        .raw_os_error();
    matches!(code, Some(libc::EIO | libc::EBADMSG | libc::ESTALE))
}
