//! What the cache knows of one key.

use super::ObjectFile;
use crate::key::{Change, Fingerprint, Hash};
use crate::stages::ArtifactKind;
use serde::{Deserialize, Serialize};

/// Where the time of a stage went, in seconds, in this order and without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Judging the stage, which hashes the files that it reads unless their hashes are remembered.
    pub hashing_files: f64,
    /// Waiting for a slot, or for another process with the same key.
    pub queued: f64,
    /// Hashing the artifacts that it reads, unless this run has done so or made them, and looking at its files again.
    pub hashing_inputs: f64,
    /// The worker.
    pub running: f64,
    /// Hashing its files again, hashing its artifact and moving it into the cache.
    pub committing: f64,
}

/// The version of the sources around a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit, 40 or 64 hexadecimal digits.
    pub commit: String,
    /// In the pipeline's folder, a file differs from the commit, or a TOML file is not known to git.
    pub dirty: bool,
}

/// The circumstances of a result. None of this is part of a key. What a record of an older program lacks is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Pipeline that asked first.
    pub pipeline: String,
    /// Stage of it: `phase2[arm=elm]`.
    pub stage: String,
    /// Run that made it.
    pub run: String,
    /// What was typed, word by word.
    #[serde(default)]
    pub command: Vec<String>,
    /// The profile, when one was chosen.
    #[serde(default)]
    pub profile: Option<String>,
    /// Program version.
    pub version: String,
    /// Version of the sources around the pipeline, where there is git.
    #[serde(default)]
    pub git: Option<GitState>,
    /// Host name.
    pub host: String,
    /// What networks were computed on: `cpu`, or `cuda` and the GPU's name.
    pub device: String,
    /// Threads the stage could use.
    pub threads: usize,
    /// When it started, UTC.
    pub started: String,
    /// Seconds it took from there.
    pub seconds: f64,
    /// Where the time went.
    #[serde(default)]
    pub durations: Option<Timings>,
    /// Largest resident memory of the worker, in bytes.
    pub peak_memory: Option<u64>,
}

/// An action record: a key, its fingerprint, and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub key: Hash,
    /// What it was made from.
    pub fingerprint: Fingerprint,
    /// Kind of artifact.
    pub kind: ArtifactKind,
    /// Hash of the artifact's content.
    pub output: Hash,
    /// Its files.
    pub files: Vec<ObjectFile>,
    /// The counts that the stage wrote for people (`summary.json`).
    pub summary: serde_json::Map<String, serde_json::Value>,
    /// Where it came from.
    pub origin: Origin,
    /// Changes after which a person let the output stand in place of computing it anew, oldest first. Empty for a
    /// result that was computed from exactly the fingerprint above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
}

/// A change that a person declared to be cosmetic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Why, in that person's words.
    pub reason: String,
    /// The key whose output was let stand.
    pub from: Hash,
    /// What changed from that key to the next.
    pub changes: Vec<Change>,
    /// Pipeline.
    pub pipeline: String,
    /// Stage.
    pub stage: String,
    /// When, UTC.
    pub time: String,
    /// What was typed.
    pub command: Vec<String>,
}

impl Record {
    /// Bytes of the output.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The reason of the last change that a person accepted; none for a result that was computed.
    pub fn accepted_reason(&self) -> Option<&str> {
        self.accepted
            .last()
            .map(|accepted| accepted.reason.as_str())
    }
}

/// What the cache has under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// Nothing.
    Missing,
    /// Something that is not as it was written.
    Damaged,
    /// The record.
    Found(Box<Record>),
}
