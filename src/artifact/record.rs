//! What the cache knows of one key.

use super::ObjectFile;
use crate::key::{Change, Fingerprint, Hash};
use crate::stages::ArtifactKind;
use serde::{Deserialize, Serialize};

/// The circumstances of a result. None of this is part of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Pipeline that asked first.
    pub pipeline: String,
    /// Stage of it: `phase2[arm=elm]`.
    pub stage: String,
    /// Run that made it.
    pub run: String,
    /// Program version.
    pub version: String,
    /// Host name.
    pub host: String,
    /// The device: `cpu`.
    pub device: String,
    /// Threads the stage could use.
    pub threads: usize,
    /// When it started, UTC.
    pub started: String,
    /// Seconds it took.
    pub seconds: f64,
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
