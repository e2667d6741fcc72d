//! Runs a plan: worker processes, their schedule, and the events of a run.
//!
//! Each stage runs in a process of its own, this program started again as `ilm-pipe worker`. A crash, an
//! out-of-memory kill or a leak in a stage never takes the runner down, and a stage can be stopped with everything
//! that it started. The runner is one loop over messages; only it touches the cache.
//!
//! The loop is in `run`; each of its four parts has a file: `judge`, `start`, `hear`, `watch`. What they work on:
//! `states` (where each stage stands), `ready` (what can start, in order), `resources` (what is free), `durations` (what
//! is urgent), `limits` and `retry` (what happens when a stage takes too long or fails). `child` is the runner's end of a
//! worker, `worker` the other one, `protocol` what they say; `tree` and `signals` end processes.

mod attempt;
mod child;
mod durations;
mod event;
mod evidence;
mod git;
mod gpus;
mod hear;
mod judge;
mod limits;
mod protocol;
mod ready;
mod resources;
mod retry;
mod run;
mod signals;
mod start;
mod states;
mod summary;
mod tree;
mod watch;
mod worker;
mod worker_log;

pub use event::{RunEvent, Slowness, StageOutcome};
pub use gpus::{listed_gpus, machine_gpus};
pub use protocol::{WorkerMessage, WorkerTask};
pub use run::{ExecError, OnFailure, RunSettings, RunSummary, execute};
pub use signals::Signals;
pub use worker::work;
pub use worker_log::VARIABLE as LOG_VARIABLE;
