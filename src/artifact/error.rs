//! What can go wrong with the cache.

use std::path::PathBuf;

/// The cache could not be read or written. Nothing that was in it is lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; the message names the path.
    #[error("the cache could not be used")]
    Io(#[from] std::io::Error),
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
    #[error("the output of `{stage}` is damaged: {damage}; `ilm-pipe run` makes it anew")]
    Damaged {
        /// The stage that made it.
        stage: String,
        /// What is wrong.
        damage: super::Damage,
    },
    /// A file name that is not UTF-8.
    #[error("`{}` is not a UTF-8 file name", path.display())]
    Name {
        /// The entry.
        path: PathBuf,
    },
}

impl From<crate::key::FileError> for StoreError {
    fn from(error: crate::key::FileError) -> Self {
        match error {
            crate::key::FileError::Io(error) => Self::Io(error),
            other @ (crate::key::FileError::Missing { .. }
            | crate::key::FileError::Restless { .. }) => {
                Self::Io(std::io::Error::other(other.to_string()))
            }
        }
    }
}
