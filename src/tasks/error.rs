//! Why tasks could not be made.

/// What is wrong with the films or their vectors.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A part has too few films for tasks on pairs.
    #[error(
        "the {part} part has {found} of {films} films, but must have at least 2; change `test_share` or take more films"
    )]
    TooFew {
        /// `train` or `test`.
        part: &'static str,
        /// Its films.
        found: usize,
        /// Films in all.
        films: usize,
    },
    /// The vectors are not those of the films.
    #[error("the neighbours have {found} item vectors, but the catalog has {expected} items")]
    Vectors {
        /// Rows of the vectors.
        found: usize,
        /// Films.
        expected: usize,
    },
}
