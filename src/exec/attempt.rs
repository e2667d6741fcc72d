//! One stage, from its lock to its record.

use super::child::Exit;
use super::event::StageOutcome;
use super::evidence::Evidence;
use super::protocol::{WorkerMessage, WorkerTask};
use crate::artifact::{GitState, KeyLock, Origin, Record, Store, StoreError, Timings};
use crate::clock::{self, Stopwatch};
use crate::formats::json;
use crate::key::{Fingerprint, Hash};
use crate::nn::device::Device;
use crate::plan::Planner;
use crate::spec::{Pipeline, StageSpec};
use crate::stages::InputArtifact;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A stage that is being computed. Holds the lock of its key.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) key: Hash,
    fingerprint: Fingerprint,
    evidence: Evidence,
    output: PathBuf,
    started_ns: i128,
    pub(super) watch: Stopwatch,
    durations: Timings,
    _lock: KeyLock,
}

/// What is the same for every attempt of a run.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) store: &'a Store,
    pub(super) project: &'a Path,
    pub(super) run: &'a str,
    pub(super) command: &'a [String],
    /// Known when the first stage ends.
    pub(super) git: Option<GitState>,
    pub(super) host: String,
    pub(super) threads: usize,
    /// The device of stages with networks, as their worker sees it.
    pub(super) device: Device,
}

impl Attempt {
    /// Makes the folders of an attempt and the task for its worker.
    pub(super) fn begin(
        site: &Site<'_>,
        stage: &StageSpec,
        key: Hash,
        fingerprint: Fingerprint,
        evidence: Evidence,
        inputs: BTreeMap<String, Vec<InputArtifact>>,
        lock: KeyLock,
        before: Timings,
    ) -> Result<(Self, WorkerTask), StoreError> {
        let (output, scratch) = site.store.begin(&key)?;
        evidence.claim(&scratch)?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(StoreError::from);
        let task = WorkerTask {
            stage: stage.id.clone(),
            kind: stage.kind.name.to_owned(),
            params: stage.params.clone(),
            seed: stage.seed,
            inputs,
            project: absolute(site.project)?,
            output: absolute(&output)?,
            scratch: absolute(&scratch)?,
            device: if stage.kind.networks {
                site.device.to_string()
            } else {
                Device::Cpu.to_string()
            },
            runner: std::process::id(),
            lock: lock.file(),
        };
        let attempt = Self {
            key,
            fingerprint,
            evidence,
            output,
            started_ns: clock::since_epoch_ns(),
            watch: Stopwatch::start(),
            durations: before,
            _lock: lock,
        };
        Ok((attempt, task))
    }

    /// Turns the worker's end into a record, or drops what it wrote.
    pub(super) fn finish(
        mut self,
        site: &Site<'_>,
        stage: &StageSpec,
        exit: &Exit,
        planner: &mut Planner<'_>,
        timed_out: bool,
    ) -> Result<(StageOutcome, Option<Arc<Record>>), StoreError> {
        let failed = |message: String| Ok((StageOutcome::Failed { message }, None));
        self.durations.running = self.watch.seconds();
        let (peak_memory, device) = match &exit.last {
            Some(WorkerMessage::Done {
                peak_memory,
                device,
            }) => (*peak_memory, device.clone()),
            other => {
                site.store.abandon(&self.key)?;
                return match other {
                    _ if timed_out => failed(format!(
                        "it took longer than its `timeout` of {}; what it saved is kept, so the next run goes on from there",
                        clock::human(stage.execution.timeout.unwrap_or_default().as_secs_f64())
                    )),
                    Some(WorkerMessage::Stopped) => Ok((StageOutcome::Stopped, None)),
                    Some(WorkerMessage::Failed { text, .. }) => failed(text.clone()),
                    _ => failed(exit.explain()),
                };
            }
        };
        let now = match planner.sources(stage, false) {
            Ok(now) => now,
            Err(error) => {
                site.store.abandon(&self.key)?;
                let why = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                return failed(format!(
                    "{why}, though it was there when the stage started, so the result is not recorded; run again"
                ));
            }
        };
        if let Some(contradiction) = self.evidence.contradiction(&now, site.store)? {
            site.store.abandon(&self.key)?;
            return failed(contradiction);
        }
        let summary = json::read(&self.output.join("summary.json")).unwrap_or_default();
        let watch = Stopwatch::start();
        let (output, files) = match site.store.commit(&self.output, self.watch.seconds()) {
            Ok(committed) => committed,
            Err(
                error @ (StoreError::Empty | StoreError::NotAFile { .. } | StoreError::Name { .. }),
            ) => {
                site.store.abandon(&self.key)?;
                return failed(match error.hint() {
                    Some(hint) => format!("{error}\nhint: {hint}"),
                    None => error.to_string(),
                });
            }
            Err(error) => {
                // On a full disk, what is half-written only makes things worse.
                let _ = site.store.abandon(&self.key);
                return Err(error);
            }
        };
        let seconds = self.watch.seconds();
        self.durations.committing = seconds - self.durations.running;
        let record = Record {
            key: self.key,
            fingerprint: self.fingerprint,
            kind: stage.kind.output,
            output,
            files,
            summary,
            origin: Origin {
                pipeline: site.pipeline.name.clone(),
                stage: stage.id.clone(),
                run: site.run.to_owned(),
                command: site.command.to_vec(),
                profile: site.pipeline.profile.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                git: site.git.clone(),
                host: site.host.clone(),
                device: device.unwrap_or_else(|| Device::Cpu.to_string()),
                threads: site.threads,
                started: clock::timestamp(self.started_ns),
                seconds,
                durations: Some(self.durations),
                peak_memory,
            },
            accepted: Vec::new(),
        };
        site.store.publish(&record)?;
        tracing::debug!(
            stage = stage.id,
            output = %output.short(),
            files = record.files.len(),
            bytes = record.files.iter().map(|file| file.size).sum::<u64>(),
            seconds = watch.seconds(),
            "committed"
        );
        let outcome = StageOutcome::Done {
            output,
            peak_memory,
            summary: record.summary.clone(),
            durations: Some(self.durations),
        };
        Ok((outcome, Some(Arc::new(record))))
    }
}

/// The artifacts that a stage reads, by port. A port that takes one artifact is not told its arm: the arm is not part
/// of the key there, so no result may depend on it.
pub(super) fn inputs_of(
    site: &Site<'_>,
    stage: &StageSpec,
    positions: &[usize],
    records: &[Option<Arc<Record>>],
) -> Result<BTreeMap<String, Vec<InputArtifact>>, StoreError> {
    let mut inputs: BTreeMap<String, Vec<InputArtifact>> = BTreeMap::new();
    let mut positions = positions.iter();
    for (port, ids) in &stage.inputs {
        let many = stage
            .kind
            .port(port)
            .is_some_and(|port| port.arity.takes_many());
        for id in ids {
            let Some((&position, record)) = positions
                .next()
                .and_then(|position| Some((position, records[*position].as_ref()?)))
            else {
                continue;
            };
            let from = &site.pipeline.stages[position];
            inputs.entry(port.clone()).or_default().push(InputArtifact {
                stage: id.clone(),
                matrix: if many {
                    from.matrix.clone()
                } else {
                    BTreeMap::new()
                },
                kind: record.kind,
                folder: std::path::absolute(site.store.object_path(&record.output))?,
            });
        }
    }
    Ok(inputs)
}
