//! The stages of a pipeline as one run left them, or as a plan sees them.

use super::{HistoryError, RunLine, RunLog, logged};
use crate::artifact::{GitState, Record, Store};
use crate::exec::{RunEvent, StageOutcome};
use crate::key::{Fingerprint, Hash};
use crate::plan::{Plan, Verdict};
use crate::progress::Report;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is.
    pub of: SideOf,
    /// Its stages, by their ids.
    pub stages: BTreeMap<String, StageState>,
}

/// What one side of a comparison is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideOf {
    /// The run; none for a plan.
    pub run: Option<String>,
    /// When it began; none for a plan.
    pub started: Option<String>,
    /// The pipeline.
    pub pipeline: String,
    /// The profile, when one was chosen.
    pub profile: Option<String>,
    /// Program version.
    pub version: String,
    /// What was typed, word by word; empty for a plan.
    pub command: Vec<String>,
    /// The version of the sources around the pipeline, when a stage ran and git was there.
    pub git: Option<GitState>,
}

/// How a stage came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It ran.
    Ran,
    /// Its result was in the cache.
    Fresh,
    /// It failed.
    Failed,
    /// A person stopped it.
    Stopped,
    /// A stage before it had no result.
    Blocked,
    /// The log breaks off while it runs.
    Unfinished,
    /// A plan says that it will run.
    ToRun,
    /// A plan says that it is decided later.
    Pending,
}

impl State {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Fresh => "fresh",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Blocked => "blocked",
            Self::Unfinished => "unfinished",
            Self::ToRun => "to run",
            Self::Pending => "pending",
        }
    }
}

/// A stage on one side.
#[derive(Clone, Debug)]
pub struct StageState {
    /// How it came out.
    pub state: State,
    /// Its key, once it was decided.
    pub key: Option<Hash>,
    /// Hash of its artifact.
    pub output: Option<Hash>,
    /// What it depended on; none when neither the cache nor a log has it any more.
    pub fingerprint: Option<Fingerprint>,
    /// Its record, when the cache has it.
    pub record: Option<Arc<Record>>,
    /// The counts that it wrote for people, as the log has them.
    pub summary: BTreeMap<String, Value>,
    /// The last value of each metric that the log has.
    pub metrics: BTreeMap<String, f64>,
}

impl StageState {
    fn new(state: State) -> Self {
        Self {
            state,
            key: None,
            output: None,
            fingerprint: None,
            record: None,
            summary: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    /// Whether it has a result.
    pub fn has_result(&self) -> bool {
        self.output.is_some()
    }
}

impl Side {
    /// Reads a run. What its log does not hold is looked up in the cache, and then in the logs of other runs.
    pub fn of_run(line: &RunLine, store: &Store) -> Result<Self, HistoryError> {
        let log = RunLog::read(&line.run, &line.log)?;
        let mut side = Self {
            of: SideOf {
                run: Some(line.run.clone()),
                started: Some(line.started.clone()),
                pipeline: line.pipeline.clone(),
                profile: line.profile.clone(),
                version: line.version.clone(),
                command: line.command.clone(),
                git: None,
            },
            stages: BTreeMap::new(),
        };
        for entry in log.entries {
            side.take(entry.event);
        }
        for stage in side.stages.values_mut() {
            stage.record = stage.key.and_then(|key| store.record(&key)).map(Arc::new);
            if let (None, Some(record)) = (&stage.fingerprint, &stage.record) {
                stage.fingerprint = Some(record.fingerprint.clone());
            }
        }
        side.search_other_logs(store);
        Ok(side)
    }

    fn take(&mut self, event: RunEvent) {
        match event {
            RunEvent::GitRead { git } => self.of.git = Some(git),
            RunEvent::StageFresh {
                stage, key, output, ..
            } => {
                let mut state = StageState::new(State::Fresh);
                state.key = Some(key);
                state.output = Some(output);
                self.stages.insert(stage, state);
            }
            RunEvent::StageStarted {
                stage,
                key,
                fingerprint,
                ..
            } => {
                let mut state = StageState::new(State::Unfinished);
                state.key = Some(key);
                // A log of an older program has none, which reads as an empty one.
                state.fingerprint = (fingerprint.key() == key).then_some(fingerprint);
                self.stages.insert(stage, state);
            }
            RunEvent::StageReport {
                stage,
                report: Report::Metric { name, value, .. },
            } => {
                if let Some(state) = self.stages.get_mut(&stage) {
                    state.metrics.insert(name, value);
                }
            }
            RunEvent::StageEnded { stage, outcome, .. } => {
                let state = self
                    .stages
                    .entry(stage)
                    .or_insert_with(|| StageState::new(State::Unfinished));
                match outcome {
                    StageOutcome::Done {
                        output, summary, ..
                    } => {
                        state.state = State::Ran;
                        state.output = Some(output);
                        state.summary = summary.into_iter().collect();
                    }
                    StageOutcome::Failed { .. } => state.state = State::Failed,
                    StageOutcome::Stopped => state.state = State::Stopped,
                }
            }
            RunEvent::StageBlocked { stage, .. } => {
                self.stages.insert(stage, StageState::new(State::Blocked));
            }
            _ => {}
        }
    }

    /// What the cache no longer has of stages that were fresh in this run stands in the log of the run that computed
    /// them.
    fn search_other_logs(&mut self, store: &Store) {
        let missing = |stage: &StageState| {
            let gone = stage.record.is_none() && stage.state == State::Fresh;
            (gone || stage.fingerprint.is_none()).then_some(stage.key?)
        };
        let keys: BTreeSet<Hash> = self.stages.values().filter_map(missing).collect();
        if keys.is_empty() {
            return;
        }
        let logged = logged(&keys, store);
        for stage in self.stages.values_mut() {
            let Some(logged) = stage.key.and_then(|key| logged.get(&key)) else {
                continue;
            };
            stage
                .fingerprint
                .get_or_insert_with(|| logged.fingerprint.clone());
            if stage.state == State::Fresh {
                stage.summary = logged.summary.clone();
                stage.metrics = logged.metrics.clone();
            }
        }
    }

    /// What a plan says of the pipeline as it stands.
    pub fn of_plan(plan: &Plan, pipeline: &str, profile: Option<&str>) -> Self {
        let stages = plan.stages.iter().map(|planned| {
            let mut state = StageState::new(State::Pending);
            match &planned.verdict {
                Verdict::Fresh { record } => {
                    state.state = State::Fresh;
                    state.key = Some(record.key);
                    state.output = Some(record.output);
                    state.fingerprint = Some(record.fingerprint.clone());
                    state.record = Some(record.clone());
                }
                Verdict::Dirty {
                    key, fingerprint, ..
                } => {
                    state.state = State::ToRun;
                    state.key = Some(*key);
                    state.fingerprint = Some(fingerprint.clone());
                }
                Verdict::Pending { fingerprint, .. } => {
                    state.fingerprint = Some(fingerprint.clone());
                }
            }
            (planned.stage.clone(), state)
        });
        Self {
            of: SideOf {
                run: None,
                started: None,
                pipeline: pipeline.to_owned(),
                profile: profile.map(str::to_owned),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                command: Vec::new(),
                git: None,
            },
            stages: stages.collect(),
        }
    }
}
