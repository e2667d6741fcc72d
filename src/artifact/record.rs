//! What the cache knows of one key.

use super::ObjectFile;
use crate::key::{Fingerprint, Hash};
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
