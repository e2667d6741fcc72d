//! Fresh or dirty, and why.
//!
//! One function, [`Planner::decide`], judges one stage once its inputs are known. `plan` calls it on the pipeline as
//! it stands; `run` calls it on each stage when its inputs are there. So what `plan` says is what `run` does. Where a
//! stage before it has yet to run, a verdict is [`Verdict::Pending`]: that stage may rerun to equal bytes.
//!
//! Two stages with one key, or with one damaged artifact, are one piece of work: the first in the order of the graph is
//! dirty, the other is pending on it, in `run` as in `plan`.

mod before;
mod cause;
mod decide;

pub use before::Before;
pub use cause::Cause;
pub use decide::{Planner, Resolved};

use crate::artifact::{Record, StoreError};
use crate::graph::StageGraph;
use crate::key::{FileError, Fingerprint, Hash};
use crate::spec::Pipeline;
use serde::Serialize;
use std::sync::Arc;

/// What will happen to a stage.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The result is in the cache.
    Fresh {
        /// Its record.
        #[serde(serialize_with = "key_only")]
        record: Arc<Record>,
    },
    /// The stage runs.
    Dirty {
        /// Its key.
        key: Hash,
        /// What it depends on.
        fingerprint: Fingerprint,
        /// Every reason.
        causes: Vec<Cause>,
        /// The last success, with which it was compared.
        before: Option<Before>,
    },
    /// Decided once the stages before it have run.
    Pending {
        /// The stages that run first.
        waits_for: Vec<String>,
        /// What it depends on, as far as it is known: artifacts that are yet to be made are not in it.
        fingerprint: Fingerprint,
        /// Changes of its own that are already known; with them it runs unless that result was computed before.
        causes: Vec<Cause>,
        /// The last success, with which it was compared.
        before: Option<Before>,
    },
}

fn key_only<S: serde::Serializer>(record: &Arc<Record>, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct as _;
    let mut out = serializer.serialize_struct("Record", 5)?;
    out.serialize_field("key", &record.key)?;
    out.serialize_field("output", &record.output)?;
    out.serialize_field("fingerprint", &record.fingerprint)?;
    out.serialize_field("origin", &record.origin)?;
    out.serialize_field("accepted", &record.accepted)?;
    out.end()
}

/// One stage of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStage {
    /// The stage's id.
    pub stage: String,
    /// Its kind.
    pub kind: &'static str,
    /// What will happen.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a run would do, in the order in which it would.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Every stage, in topological order.
    pub stages: Vec<PlannedStage>,
}

impl Plan {
    /// How many stages are fresh, dirty and pending.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.stages
            .iter()
            .fold((0, 0, 0), |(fresh, dirty, pending), s| match s.verdict {
                Verdict::Fresh { .. } => (fresh + 1, dirty, pending),
                Verdict::Dirty { .. } => (fresh, dirty + 1, pending),
                Verdict::Pending { .. } => (fresh, dirty, pending + 1),
            })
    }
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file that a stage reads cannot be read.
    #[error("stage `{stage}` reads a file that cannot be read")]
    File {
        /// The stage.
        stage: String,
        /// The file and why.
        #[source]
        source: FileError,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PlanError {
    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::File {
                source: FileError::Missing { hint, .. },
                ..
            } if !hint.is_empty() => Some(hint),
            Self::File {
                source: FileError::Restless { .. },
                ..
            } => Some("wait until it is complete, then run again"),
            Self::File { .. } => None,
            Self::Store(error) => error.hint(),
        }
    }
}

/// Judges every stage of a pipeline. Collects every missing file before it fails.
pub fn plan(
    pipeline: &Pipeline,
    graph: &StageGraph,
    planner: &mut Planner<'_>,
) -> Result<Plan, Vec<PlanError>> {
    let mut resolved: Vec<Option<Resolved>> = vec![None; pipeline.stages.len()];
    let mut stages = Vec::with_capacity(pipeline.stages.len());
    let mut errors = Vec::new();
    for &index in graph.order() {
        let stage = &pipeline.stages[index];
        let verdict = match planner.judge(index, graph.inputs(index), &resolved) {
            Ok(verdict) => verdict,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        if let Verdict::Fresh { record } = &verdict {
            resolved[index] = Some(Resolved::of(record));
        }
        stages.push(PlannedStage {
            stage: stage.id.clone(),
            kind: stage.kind.name,
            verdict,
        });
    }
    if errors.is_empty() {
        Ok(Plan { stages })
    } else {
        Err(errors)
    }
}
