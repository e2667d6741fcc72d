//! What can go wrong with the cache.

use std::io;
use std::path::PathBuf;

/// The cache could not be read or written. Nothing that was in it is lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; the message names the path.
    #[error("the cache could not be used")]
    Io(#[from] io::Error),
    /// A stage wrote something that is no artifact.
    #[error("`{}` is {what}, but an artifact holds only files and folders", path.display())]
    NotAFile {
        /// The entry.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A stage ended without writing anything.
    #[error("the stage wrote no file")]
    Empty,
    /// What a person asked to see is not as it was stored.
    #[error("the output of `{stage}` is damaged: {damage}")]
    Damaged {
        /// The stage that made it.
        stage: String,
        /// What is wrong.
        damage: super::Damage,
    },
    /// The limits that were kept for this cache cannot be read.
    #[error("`{}` is not as `ilm-pipe cache limits` wrote it: {what}", path.display())]
    Limits {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file name that is not UTF-8.
    #[error("`{}` is not a UTF-8 file name", path.display())]
    Name {
        /// The entry.
        path: PathBuf,
    },
}

impl StoreError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => hint_of(error.kind()),
            Self::NotAFile { .. } => Some("let the stage write a copy of what it points to"),
            Self::Empty => Some(
                "a stage must leave at least one file in its output folder, which is `$ILM_OUTPUT` for a command",
            ),
            Self::Damaged { .. } => Some("`ilm-pipe run` makes it anew"),
            Self::Limits { .. } => Some("write the limits anew with `ilm-pipe cache limits`"),
            Self::Name { .. } => {
                Some("names of files are part of an artifact's hash and must be UTF-8")
            }
        }
    }
}

fn hint_of(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "make room on the disk, or choose another folder with `--cache`; what is finished is kept",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("the cache must be writable for a run; `--cache` chooses another folder")
        }
        _ => None,
    }
}

impl From<crate::key::FileError> for StoreError {
    fn from(error: crate::key::FileError) -> Self {
        match error {
            crate::key::FileError::Io(error) => Self::Io(error),
            other @ (crate::key::FileError::Missing { .. }
            | crate::key::FileError::Restless { .. }) => {
                Self::Io(io::Error::other(other.to_string()))
            }
        }
    }
}
