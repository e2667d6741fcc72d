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
    /// More pairs than a place of 32 bits can count.
    #[error(
        "there are {entries} different pairs, but at most {} can be fitted",
        u32::MAX
    )]
    TooMany {
        /// How many there are.
        entries: usize,
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
    /// Two sources of item vectors do not have the same items.
    #[error("`{first}` has {first_items} items, but `{second}` has {second_items}")]
    ItemCounts {
        /// One source.
        first: &'static str,
        /// Its items.
        first_items: usize,
        /// The other source.
        second: &'static str,
        /// Its items.
        second_items: usize,
    },
    /// A vector is cut into more tokens than it has numbers.
    #[error("`chunks` is {chunks}, but the `{source_name}` vectors have only {width} numbers")]
    Chunks {
        /// Asked for.
        chunks: usize,
        /// Whose vectors.
        source_name: &'static str,
        /// Their width.
        width: usize,
    },
    /// All vectors of a source are zero or not finite, so they have no scale.
    #[error(
        "the `{source_name}` vectors have the root mean square {rms}, so they cannot be scaled to 1"
    )]
    NoScale {
        /// Whose vectors.
        source_name: &'static str,
        /// What was found.
        rms: f64,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
