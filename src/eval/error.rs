//! What can be wrong with texts and scores.

/// Why scores could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// There is nothing to score.
    #[error("there are no generations to score")]
    Empty,
    /// Two arrays that must have the same shape do not.
    #[error("the {what} have the shape {found:?}, but must have {expected:?}")]
    Shape {
        /// Which array: `embeddings of the targets`.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it must have.
        expected: Vec<usize>,
    },
    /// A cosine is NaN or infinite.
    #[error("the score of example {example} (task `{task}`) is {found}, but must be finite")]
    NotFinite {
        /// Position in the generations, from 0.
        example: usize,
        /// Its task.
        task: String,
        /// The value.
        found: f64,
    },
    /// A generation without items cannot be grouped by film.
    #[error("example {example} (task `{task}`) has no items, but must have one or two")]
    NoItems {
        /// Position in the generations, from 0.
        example: usize,
        /// Its task.
        task: String,
    },
    /// Two runs of one column were scored on different examples.
    #[error(
        "the runs of one column were scored on different examples of the task `{task}`: they have {found} and {expected}"
    )]
    Unaligned {
        /// The task.
        task: String,
        /// Examples of the later run.
        found: usize,
        /// Examples of the first run.
        expected: usize,
    },
    /// Two runs of one column have different tasks.
    #[error("the runs of one column have different tasks: `{found}` and `{expected}`")]
    Tasks {
        /// Tasks of the later run, joined.
        found: String,
        /// Tasks of the first run, joined.
        expected: String,
    },
    /// There is nothing to take a mean of.
    #[error("there are no ranks: no user has a held-out item")]
    NoRanks,
    /// Two runs of one method ranked different users or items.
    #[error("the runs of one row ranked different items: they have {found} and {expected} users")]
    OtherItems {
        /// Users of the later run.
        found: usize,
        /// Users of the first run.
        expected: usize,
    },
}
