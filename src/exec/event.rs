//! Everything that can be known about a run, in order. Reporters and the event log see nothing else.

use crate::artifact::{Damage, GitState, Timings};
use crate::key::{Fingerprint, Hash};
use crate::plan::Cause;
use crate::progress::Report;
use serde::{Deserialize, Serialize};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// The run begins.
    RunStarted {
        /// Version of this list of events.
        format: u32,
        /// Name of the run.
        run: String,
        /// Name of the pipeline.
        pipeline: String,
        /// The profile, when one was chosen.
        profile: Option<String>,
        /// Program version.
        version: String,
        /// What was typed.
        command: Vec<String>,
        /// How many stages the run covers.
        stages: usize,
    },
    /// What git says of the pipeline's folder; asked for when the first stage starts.
    GitRead {
        /// Commit, and whether something differs from it.
        git: GitState,
    },
    /// A stage's result was in the cache.
    StageFresh {
        /// The stage.
        stage: String,
        /// Its key.
        key: Hash,
        /// Hash of its artifact.
        output: Hash,
        /// Seconds that it took when it ran.
        saved_seconds: f64,
    },
    /// An artifact in the cache is damaged; the stage that makes it runs again.
    StageDamaged {
        /// The stage that makes it.
        stage: String,
        /// What is wrong.
        damage: Damage,
    },
    /// Something in the cache was damaged that is no result. It is not believed, and replaced.
    CacheRepaired {
        /// What was wrong, in words.
        text: String,
    },
    /// Another process is computing the same key; this one waits and then reuses the result.
    StageWaiting {
        /// The stage.
        stage: String,
        /// Its key.
        key: Hash,
    },
    /// A worker started.
    StageStarted {
        /// The stage.
        stage: String,
        /// Its kind.
        kind: String,
        /// Its key.
        key: Hash,
        /// What it depends on: a log tells what ran also when the cache no longer has the record.
        #[serde(default)]
        fingerprint: Fingerprint,
        /// Every reason.
        causes: Vec<Cause>,
        /// 1, and one more for each retry.
        #[serde(default = "first")]
        attempt: u32,
        /// The devices that it has for itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gpus: Vec<String>,
    },
    /// A worker reported something.
    StageReport {
        /// The stage.
        stage: String,
        /// What.
        report: Report,
    },
    /// A running stage takes long, or has said nothing for long.
    StageSlow {
        /// The stage.
        stage: String,
        /// Seconds since its start.
        seconds: f64,
        /// By what measure.
        slowness: Slowness,
    },
    /// An attempt failed; the stage starts again after a wait, unless the run ends before.
    StageRetrying {
        /// The stage.
        stage: String,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Attempts in all, when each fails.
        attempts: u32,
        /// Why it failed.
        reason: String,
        /// Seconds that the attempt took.
        seconds: f64,
        /// Seconds until the next one.
        wait_seconds: f64,
    },
    /// A stage ended.
    StageEnded {
        /// The stage.
        stage: String,
        /// How.
        outcome: StageOutcome,
        /// Seconds it took.
        seconds: f64,
    },
    /// A stage will not run, because one before it has no result.
    StageBlocked {
        /// The stage.
        stage: String,
        /// The stages that it needed.
        by: Vec<String>,
    },
    /// Running stages save their state and stop, because a stage failed and that was asked for.
    FailingFast {
        /// The stage that failed.
        stage: String,
    },
    /// A person asked the run to stop.
    Stopping {
        /// False: running stages save their state. True: they are killed.
        at_once: bool,
    },
    /// The run is over.
    RunEnded {
        /// Stages that ran.
        ran: usize,
        /// Stages whose result was in the cache.
        fresh: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages that could not run.
        blocked: usize,
        /// Stages that were stopped.
        stopped: usize,
        /// Seconds in all.
        seconds: f64,
        /// Seconds that fresh stages took when they ran.
        saved_seconds: f64,
    },
}

fn first() -> u32 {
    1
}

/// By what measure a running stage is slow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case")]
pub enum Slowness {
    /// It has run for longer than its `slow`.
    Limit {
        /// That time.
        seconds: f64,
    },
    /// It takes far longer than its last success.
    Usual {
        /// What that took.
        seconds: f64,
    },
    /// It has not reported anything.
    Silent {
        /// For so long.
        seconds: f64,
    },
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum StageOutcome {
    /// Its artifact is in the cache.
    Done {
        /// Hash of the artifact.
        output: Hash,
        /// Largest resident memory, in bytes.
        peak_memory: Option<u64>,
        /// The counts that the stage wrote for people.
        summary: serde_json::Map<String, serde_json::Value>,
        /// Where the time went.
        #[serde(default)]
        durations: Option<Timings>,
    },
    /// It said why it could not.
    Failed {
        /// Why.
        message: String,
    },
    /// It was asked to stop; its checkpoints are kept.
    Stopped,
}
