//! One artifact: a folder of files under the hash of its content.

use super::StoreError;
use crate::key::Hash;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

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
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
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
        }
    }
}

pub(super) fn changed_ns(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

/// Lists a folder's files in the order of their names, hashes them, makes them read-only and puts them on disk.
pub(super) fn seal(folder: &Path) -> Result<Vec<ObjectFile>, StoreError> {
    let mut files = Vec::new();
    seal_below(folder, "", &mut files)?;
    if files.is_empty() {
        return Err(StoreError::Empty);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn seal_below(folder: &Path, prefix: &str, files: &mut Vec<ObjectFile>) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| StoreError::Name { path: path.clone() })?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            seal_below(&path, &format!("{prefix}{name}/"), files)?;
        } else if kind.is_file() {
            let hash = crate::key::hash_file(&path)?;
            let file = fs_err::File::open(&path)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o444))?;
            file.sync_all()?;
            let metadata = file.metadata()?;
            files.push(ObjectFile {
                path: format!("{prefix}{name}"),
                size: metadata.len(),
                hash,
                changed_ns: changed_ns(&metadata),
            });
        } else {
            return Err(StoreError::NotAFile {
                path,
                what: "a link or a device",
            });
        }
    }
    fs_err::File::open(folder)?.sync_all()?;
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

/// Compares a folder with its list of files. With `read`, every byte is hashed; without, only files whose change
/// time moved since they were committed.
pub(super) fn inspect(
    folder: &Path,
    files: &[ObjectFile],
    read: bool,
) -> Result<Option<Damage>, StoreError> {
    for file in files {
        let path = folder.join(&file.path);
        let metadata = match fs_err::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !folder.is_dir() {
                    return Ok(Some(Damage::Missing));
                }
                return Ok(Some(Damage::FileMissing {
                    path: file.path.clone(),
                }));
            }
            Err(error) => return Err(error.into()),
        };
        if metadata.len() != file.size {
            return Ok(Some(Damage::Size {
                path: file.path.clone(),
                expected: file.size,
                found: metadata.len(),
            }));
        }
        let moved = changed_ns(&metadata) != file.changed_ns;
        if (read || moved) && crate::key::hash_file(&path)? != file.hash {
            return Ok(Some(Damage::Content {
                path: file.path.clone(),
            }));
        }
    }
    Ok(None)
}
