//! Runs a plan: worker processes, their schedule, and the events of a run.
//!
//! Each stage runs in a process of its own, this program started again as `ilm-pipe worker`. A crash, an
//! out-of-memory kill or a leak in a stage never takes the runner down, and a stage can be stopped with everything
//! that it started. The runner is one loop over messages; only it touches the cache.

mod attempt;
mod child;
mod event;
mod git;
mod protocol;
mod run;
mod schedule;
mod signals;
mod worker;

pub use event::{RunEvent, StageOutcome};
pub use protocol::{WorkerMessage, WorkerTask};
pub use run::{ExecError, RunSettings, RunSummary, execute};
pub use signals::Signals;
pub use worker::work;
