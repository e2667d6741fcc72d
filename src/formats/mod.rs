//! Open file formats: JSON lines for records, safetensors for arrays, checked JSON for what the cache must believe.
//!
//! Parquet lives in [`crate::data`], beside the schema it stores.

pub mod archive;
pub mod blocks;
pub mod checked;
pub mod gguf;
pub mod half;
pub mod json;
pub mod safetensors;
pub mod tensorboard;
pub mod tensors;

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Writes a file aside and renames it into place, so that a reader sees the old content or the new, never half. After a loss
/// of power it may be cut: for content with a check of its own that can be made again.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("failed to write `{}`: {error}", path.display()),
        )
    })?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| {
        std::io::Error::new(
            error.error.kind(),
            format!("failed to write `{}`: {}", path.display(), error.error),
        )
    })?;
    Ok(())
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A record is not what its type says.
    #[error("`{}`, line {line}: {message}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An array file is damaged or lacks something.
    #[error("`{}`: {message}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}
