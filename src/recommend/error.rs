//! What can be wrong with a recommender or with what it is measured on.

use crate::cf::CfError;
use crate::data::DataError;
use crate::formats::FormatError;
use crate::nn::NnError;
use crate::progress::Stopped;

/// Why a method could not be fitted, read or measured.
#[derive(Debug, thiserror::Error)]
pub enum RecommendError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A table is damaged.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Vectors or interactions do not fit.
    #[error(transparent)]
    Cf(#[from] CfError),
    /// A network failed.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The work was asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// There is nothing to fit on or to rank.
    #[error("{0}")]
    Empty(&'static str),
    /// An id that the method does not know.
    #[error("the split has the {side} {id}, but the method was fitted for {size} {side}s")]
    Unknown {
        /// `user` or `item`.
        side: &'static str,
        /// The id.
        id: u32,
        /// How many there are.
        size: usize,
    },
    /// A score is NaN or infinite.
    #[error("the score of item {item} for user {user} is {found}, but must be finite")]
    NotFinite {
        /// The user.
        user: u32,
        /// The item.
        item: usize,
        /// The score.
        found: f32,
    },
    /// A file of an artifact contradicts itself.
    #[error("`{}`: {message}", path.display())]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// Found and expected.
        message: String,
    },
}
