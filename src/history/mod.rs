//! Runs that are over, read back from their event logs.
//!
//! [`runs`] lists them, [`find()`] takes what a person types (`latest`, `latest~1`, the beginning of a name), [`RunLog`]
//! is one of them whole. [`Side`] is the state of a pipeline's stages in one run, or in a plan; [`compare()`] says what
//! differs between two. [`trace()`] draws one run for a trace viewer. Logs of other versions of the program are read as
//! far as they are understood; a log that breaks off, because its run was killed, is as good as what it says.

mod compare;
mod find;
mod log;
mod logged;
mod measure;
mod side;
mod trace;

pub use compare::{Comparison, Difference, MetricChange, OutcomeChange, StageChange, compare};
#[cfg(test)]
use find::runs_in;
pub use find::{RunEnd, RunLine, find, runs};
pub use log::{Entry, RunLog};
pub use logged::{Logged, logged};
pub use measure::{CellChange, TableChange};
pub use side::{Side, SideOf, StageState, State};
pub use trace::trace;

/// Why a run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No run has left a log.
    #[error("no run has been logged in this cache yet")]
    Empty,
    /// Nothing has this name.
    #[error("no run is called `{name}`")]
    Unknown {
        /// What was typed.
        name: String,
        /// The name that is most like it.
        nearest: String,
    },
    /// Several names begin like this.
    #[error("{} runs begin with `{name}`: `{}`", names.len(), names.join("`, `"))]
    Ambiguous {
        /// What was typed.
        name: String,
        /// The newest of them.
        names: Vec<String>,
    },
    /// `latest~N` goes back too far.
    #[error("`{name}` goes back further than the {known} runs that are known")]
    TooFar {
        /// What was typed.
        name: String,
        /// How many runs there are.
        known: usize,
    },
    /// The log does not begin like one.
    #[error("the log of run `{run}` has no readable beginning")]
    Unreadable {
        /// The run.
        run: String,
    },
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl HistoryError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("`ilm-pipe run PIPELINE` makes one".to_owned()),
            Self::Unknown { nearest, .. } => Some(format!(
                "did you mean `{nearest}`? `latest` is the newest run, `latest~1` the one before it, `ilm-pipe runs` lists all"
            )),
            Self::Ambiguous { .. } => {
                Some("type more of the name, or `latest`, `latest~1`, …".to_owned())
            }
            Self::TooFar { .. } => Some("`ilm-pipe runs` lists all".to_owned()),
            Self::Unreadable { .. } | Self::Io(_) => None,
        }
    }
}
