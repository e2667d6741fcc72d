//! What can go wrong with texts.

use crate::formats::FormatError;
use crate::progress::Stopped;
use std::path::PathBuf;

/// A fit, an encoding or a file that failed.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// There is nothing to learn from.
    #[error("there are no texts to fit on")]
    NoTexts,
    /// Filters left no feature.
    #[error(
        "no word is left of {texts} texts: `min_df` is {min_df} and `max_df` is {max_df}, so a word must be in \
         {min_df} to {most} texts"
    )]
    NoFeatures {
        /// Texts given.
        texts: usize,
        /// Fewest texts that a feature must be in.
        min_df: usize,
        /// Largest share of texts that a feature may be in.
        max_df: f64,
        /// The same as a number of texts.
        most: usize,
    },
    /// The vocabulary cannot hold bytes and special tokens.
    #[error(
        "`vocab_size` is {found}, but must be at least {least}: 256 bytes and {specials} special tokens"
    )]
    Vocabulary {
        /// Asked for.
        found: usize,
        /// Smallest possible.
        least: usize,
        /// Special tokens.
        specials: usize,
    },
    /// The tokenizer library refused.
    #[error("the tokenizer: {0}")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file is not what this program writes.
    #[error("`{}`: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Found and expected.
        message: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
