//! What runner and worker say to each other: one task on standard input, one message a line on standard output.

use crate::progress::Report;
use crate::stages::InputArtifact;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a worker is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerTask {
    /// The stage's id, for messages.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// Its parameters, defaults filled in.
    pub params: serde_json::Value,
    /// Its seed.
    pub seed: u64,
    /// Artifacts by port.
    pub inputs: BTreeMap<String, Vec<InputArtifact>>,
    /// The folder that holds `datasets/`.
    pub project: PathBuf,
    /// An empty folder for the artifact.
    pub output: PathBuf,
    /// The folder for checkpoints.
    pub scratch: PathBuf,
    /// The device of networks: `cpu` or `cuda`, the first of those that it may see.
    pub device: String,
    /// Process id of the runner: a worker does not outlive it.
    pub runner: u32,
    /// The open file that holds the lock of the key: locked until runner and worker are both gone.
    pub lock: i32,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum WorkerMessage {
    /// Something happened.
    Report {
        /// What.
        report: Report,
    },
    /// The artifact is written.
    Done {
        /// Largest resident memory, in bytes.
        peak_memory: Option<u64>,
        /// What it computed on, other than the processor, with its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// It could not be done.
    Failed {
        /// Why.
        text: String,
        /// Whether it would fail again for the same reason, whatever else changes.
        #[serde(default)]
        lasting: bool,
    },
    /// It was asked to stop and did.
    Stopped,
}
