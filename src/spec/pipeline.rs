//! What a pipeline file says once everything in it is resolved.

use super::Execution;
use crate::stages::{AnyStage, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A checked pipeline: every name known, every value typed, every default filled in, no cycle.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `name`, or the file's name without its ending.
    pub name: String,
    /// `title`, or the name.
    pub title: String,
    /// The file as it was given.
    pub file: PathBuf,
    /// The profile that was chosen.
    pub profile: Option<String>,
    /// The parameters of the file with the profile and `--set` applied, interpolation done.
    pub params: BTreeMap<String, serde_json::Value>,
    /// `[groups]`: how many stages of a group may run at the same time.
    pub groups: BTreeMap<String, usize>,
    /// Every stage, each arm of a swept stage by itself, in the order of the file; what an `include` brings stands first.
    pub stages: Vec<StageSpec>,
}

impl Pipeline {
    /// The stage of this id (`phase2[arm=elm]`). A linear search; `graph` has an index.
    pub fn stage(&self, id: &str) -> Option<&StageSpec> {
        self.stages.iter().find(|stage| stage.id == id)
    }
}

/// One stage, or one arm of a swept stage.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Unique in the pipeline: `cf`, `phase2[adapter=mlp,seed=1]`.
    pub id: String,
    /// The id without the arm: `phase2`.
    pub name: String,
    /// The arm: axis -> value as text. Empty for a stage without a matrix.
    pub matrix: BTreeMap<String, String>,
    /// The axes in the order of the file, which is their order in the id.
    pub axes: Vec<String>,
    /// The kind of stage.
    pub kind: &'static Kind,
    /// What [`AnyStage::params`] returns: the parameters with every default filled in.
    pub params: serde_json::Value,
    /// The stage's own `seed`, or else the pipeline's.
    pub seed: u64,
    /// The ports that are connected, in the order of the kind; the ids of the stages in the order of the file.
    pub inputs: Vec<(String, Vec<String>)>,
    /// How it is run; nothing of this is part of its key.
    pub execution: Execution,
    /// Where the stage is declared.
    pub location: Location,
}

impl StageSpec {
    /// The stage as code that can run.
    ///
    /// # Panics
    /// If the kind cannot read the parameters that it wrote; loading has tried it.
    pub fn stage(&self) -> Box<dyn AnyStage> {
        (self.kind.from_json)(self.params.clone())
            .expect("a kind reads the parameters that it wrote")
    }

    /// The ids of every input, port after port.
    pub fn input_ids(&self) -> impl Iterator<Item = &str> {
        self.inputs
            .iter()
            .flat_map(|(_, ids)| ids.iter().map(String::as_str))
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file as it was named, or `--set` or `--profile`.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
