//! What a running stage is given.

use super::{ArtifactKind, StageError};
use crate::progress::Progress;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An artifact that a stage reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputArtifact {
    /// The stage that made it: `phase2[arm=elm]`.
    pub stage: String,
    /// The values of that stage's matrix: `arm` -> `elm`. Empty for a stage without one.
    pub matrix: BTreeMap<String, String>,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where its files are. Read-only.
    pub folder: PathBuf,
}

impl InputArtifact {
    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Everything that a running stage may touch.
pub struct StageContext<'a> {
    /// Artifacts by port, in the order of the pipeline file.
    pub inputs: BTreeMap<String, Vec<InputArtifact>>,
    /// The folder that holds `datasets/`.
    pub project: PathBuf,
    /// An empty folder; what is in it at the end is the artifact. Write a flat `summary.json` (name -> number or
    /// text) with the counts that a person wants to see in `ilm-pipe show`.
    pub output: PathBuf,
    /// Kept between attempts of the same key; for checkpoints.
    pub scratch: PathBuf,
    /// The stage's seed.
    pub seed: Seed,
    /// The device of networks: `cpu`, `cuda` or `cuda:1`. Kinds without networks are given `cpu`.
    pub device: String,
    /// Where to report.
    pub progress: &'a dyn Progress,
}

impl StageContext<'_> {
    /// The artifact of a port that takes one.
    pub fn input(&self, port: &str) -> Result<&InputArtifact, StageError> {
        self.optional(port)
            .ok_or_else(|| StageError::message(format!("the input `{port}` is missing")))
    }

    /// The artifact of a port that may be left out.
    pub fn optional(&self, port: &str) -> Option<&InputArtifact> {
        self.inputs.get(port).and_then(|all| all.first())
    }

    /// The artifacts of a port that takes many.
    pub fn all(&self, port: &str) -> &[InputArtifact] {
        self.inputs.get(port).map_or(&[], Vec::as_slice)
    }

    /// The path of a file of the artifact being made.
    pub fn out(&self, name: &str) -> PathBuf {
        self.output.join(name)
    }

    /// The path of a source file, given relative to the project folder.
    pub fn source(&self, path: &Path) -> PathBuf {
        self.project.join(path)
    }
}
