//! What can go wrong while factors are fitted.

use crate::formats::FormatError;
use crate::progress::Stopped;

/// A fit that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CfError {
    /// An id is beyond the size of the matrix.
    #[error("the {side} id {id} is out of range: there are {size} {side}s")]
    OutOfRange {
        /// `user` or `item`.
        side: &'static str,
        /// The id.
        id: u32,
        /// How many there are; ids are below this.
        size: usize,
    },
    /// There is nothing to learn from.
    #[error("there are no training interactions")]
    Empty,
    /// The system of one row has no unique solution in `f32`.
    #[error(
        "the normal equations of {side} {row} are not positive definite; a larger `regularization` makes them so"
    )]
    NotPositiveDefinite {
        /// `user` or `item`.
        side: &'static str,
        /// The row.
        row: usize,
    },
    /// The factors are no longer numbers.
    #[error("the objective is {value} after epoch {epoch}")]
    NotFinite {
        /// From 1; 0 is the initial state.
        epoch: usize,
        /// What it became.
        value: f64,
    },
    /// Users and items have vectors of different widths.
    #[error("`{path}`: `users` has {users} columns, but `items` has {items}", path = path.display())]
    Widths {
        /// The file.
        path: std::path::PathBuf,
        /// Columns of `users`.
        users: usize,
        /// Columns of `items`.
        items: usize,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
