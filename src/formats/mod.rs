//! Open file formats: JSON lines for records, safetensors for arrays.
//!
//! Parquet lives in [`crate::data`], beside the schema it stores.

pub mod json;
pub mod tensors;

use std::path::PathBuf;

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
