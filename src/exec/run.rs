//! The loop of a run: decide, start, listen, until nothing is left to do.

use super::attempt::{Attempt, Site, host, inputs_of};
use super::child::{FromWorker, Worker};
use super::event::{RunEvent, StageOutcome};
use super::git::GitProbe;
use super::schedule::{Resources, Taken, machine_memory};
use super::signals::Signals;
use crate::artifact::{Durations, Record, Store, StoreError};
use crate::clock::Stopwatch;
use crate::graph::StageGraph;
use crate::key::{Fingerprint, Hash};
use crate::plan::{Cause, PlanError, Planner, Resolved, Verdict};
use crate::spec::Pipeline;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

/// How often a stage looks whether another process has finished its key, and the loop looks at time limits.
const POLL: Duration = Duration::from_millis(50);

/// How a run is done; nothing here changes a result.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// This program, to start workers.
    pub program: PathBuf,
    /// The folder that holds `datasets/`.
    pub project: PathBuf,
    /// Name of the run.
    pub run: String,
    /// What was typed, for the log.
    pub command: Vec<String>,
    /// Slots for stages.
    pub jobs: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Run what can still run after a stage failed.
    pub keep_going: bool,
    /// Only these stages and what they need; empty for all.
    pub targets: Vec<usize>,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunSummary {
    /// The record of each stage that has a result, by position.
    pub records: Vec<Option<Arc<Record>>>,
    /// Stages that ran.
    pub ran: usize,
    /// Stages whose result was in the cache.
    pub fresh: usize,
    /// Stages that failed.
    pub failed: usize,
    /// Stages that could not run.
    pub blocked: usize,
    /// Stages that were stopped.
    pub stopped: usize,
    /// A person asked the run to stop.
    pub interrupted: bool,
}

/// What ends a run as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The cache cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stage could not be judged.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A worker could not be started.
    #[error("a worker process could not be started")]
    Start(#[source] std::io::Error),
}

enum State {
    /// Not wanted in this run.
    Unwanted,
    /// Waits for its inputs, or to be judged.
    Waiting,
    /// To be started.
    Ready {
        key: Hash,
        fingerprint: Box<Fingerprint>,
        causes: Vec<Cause>,
        /// Since when, and how long the verdict took.
        since: Stopwatch,
        judging: f64,
        /// Another process has the key's lock, and a person was told.
        told: bool,
    },
    Running(Box<Attempt>, Worker, Taken, Limit),
    Done,
    Failed,
    Stopped,
}

struct Limit {
    seconds: Option<f64>,
    reached: bool,
}

struct Loop<'a> {
    site: Site<'a>,
    settings: &'a RunSettings,
    graph: &'a StageGraph,
    planner: Planner<'a>,
    states: Vec<State>,
    records: Vec<Option<Arc<Record>>>,
    resolved: Vec<Option<Resolved>>,
    /// Whether this process hashed every byte of the stage's artifact, or made it.
    verified: Vec<bool>,
    /// Each stage is counted once, as ran or as fresh, also when damage made it run twice.
    ran: Vec<bool>,
    /// Stages on the longest way from each stage to the end.
    priorities: Vec<f64>,
    resources: Resources,
    events: &'a mut dyn FnMut(&RunEvent),
    sender: Sender<FromWorker>,
    receiver: Receiver<FromWorker>,
    /// 0: going on; 1: running stages save and stop; 2: they are killed.
    stopping: u8,
    git: GitProbe,
    saved_seconds: f64,
}

/// Brings a pipeline's stages up to date.
pub fn execute(
    pipeline: &Pipeline,
    graph: &StageGraph,
    store: &Store,
    settings: &RunSettings,
    signals: Signals,
    events: &mut dyn FnMut(&RunEvent),
) -> Result<RunSummary, ExecError> {
    let n = pipeline.stages.len();
    let (sender, receiver) = channel();
    let watch = Stopwatch::start();
    let mut this = Loop {
        site: Site {
            pipeline,
            store,
            project: &settings.project,
            run: &settings.run,
            command: &settings.command,
            git: None,
            host: host(),
            threads: settings.threads,
        },
        settings,
        graph,
        planner: Planner::new(pipeline, store, &settings.project),
        states: wanted(graph, n, &settings.targets),
        records: vec![None; n],
        resolved: vec![None; n],
        verified: vec![false; n],
        ran: vec![false; n],
        priorities: graph.critical_path(|_| 1.0),
        resources: Resources::new(settings.jobs, machine_memory()),
        events,
        sender,
        receiver,
        stopping: 0,
        git: GitProbe::default(),
        saved_seconds: 0.0,
    };
    let stages = this
        .states
        .iter()
        .filter(|s| !matches!(s, State::Unwanted))
        .count();
    this.tell(&RunEvent::RunStarted {
        format: 1,
        run: settings.run.clone(),
        pipeline: pipeline.name.clone(),
        profile: pipeline.profile.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: settings.command.clone(),
        stages,
    });
    let outcome = this.go(&signals.into_receiver());
    if outcome.is_err() {
        this.kill_all();
    }
    this.planner.save();
    outcome?;
    let summary = this.summarise();
    this.tell(&RunEvent::RunEnded {
        ran: summary.ran,
        fresh: summary.fresh,
        failed: summary.failed,
        blocked: summary.blocked,
        stopped: summary.stopped,
        seconds: watch.seconds(),
        saved_seconds: this.saved_seconds,
    });
    Ok(summary)
}

impl Loop<'_> {
    fn tell(&mut self, event: &RunEvent) {
        (self.events)(event);
    }

    fn id(&self, index: usize) -> String {
        self.site.pipeline.stages[index].id.clone()
    }

    fn go(&mut self, signals: &Receiver<()>) -> Result<(), ExecError> {
        let mut to_judge: Vec<usize> = self.graph.order().to_vec();
        loop {
            self.listen_to_signals(signals);
            while !to_judge.is_empty() {
                for index in std::mem::take(&mut to_judge) {
                    self.judge(index, &mut to_judge)?;
                }
            }
            to_judge = self.start_ready()?;
            if !to_judge.is_empty() {
                continue;
            }
            let busy = self.states.iter().any(|s| matches!(s, State::Running(..)));
            let waiting =
                self.may_start() && self.states.iter().any(|s| matches!(s, State::Ready { .. }));
            if !busy && !waiting {
                return Ok(());
            }
            match self.receiver.recv_timeout(POLL) {
                Ok(message) => to_judge = self.hear(message)?,
                Err(RecvTimeoutError::Timeout) => self.watch_limits(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn may_start(&self) -> bool {
        let failed = self.states.iter().any(|s| matches!(s, State::Failed));
        self.stopping == 0 && (self.settings.keep_going || !failed)
    }

    fn listen_to_signals(&mut self, signals: &Receiver<()>) {
        loop {
            match signals.try_recv() {
                Ok(()) => {
                    self.stopping = (self.stopping + 1).min(2);
                    let at_once = self.stopping == 2;
                    self.tell(&RunEvent::Stopping { at_once });
                    for state in &self.states {
                        if let State::Running(_, worker, ..) = state {
                            worker.stop(at_once);
                        }
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Judges a stage whose inputs are all there; the stages after a fresh one are then to be judged.
    fn judge(&mut self, index: usize, to_judge: &mut Vec<usize>) -> Result<(), ExecError> {
        if !matches!(self.states[index], State::Waiting) {
            return Ok(());
        }
        let inputs = self.graph.inputs(index);
        if inputs.iter().any(|&input| self.resolved[input].is_none()) {
            return Ok(());
        }
        let stage = &self.site.pipeline.stages[index];
        let watch = Stopwatch::start();
        match self.planner.judge(stage, inputs, &self.resolved)? {
            Verdict::Fresh { record } => {
                self.saved_seconds += record.origin.seconds;
                self.tell(&RunEvent::StageFresh {
                    stage: self.id(index),
                    key: record.key,
                    output: record.output,
                    saved_seconds: record.origin.seconds,
                });
                self.complete(index, record, to_judge)?;
            }
            Verdict::Dirty {
                key,
                fingerprint,
                causes,
                ..
            } => {
                self.states[index] = State::Ready {
                    key,
                    fingerprint: Box::new(fingerprint),
                    causes,
                    since: Stopwatch::start(),
                    judging: watch.seconds(),
                    told: false,
                };
            }
            // Every input is resolved.
            Verdict::Pending { .. } => {}
        }
        Ok(())
    }

    fn complete(
        &mut self,
        index: usize,
        record: Arc<Record>,
        to_judge: &mut Vec<usize>,
    ) -> Result<(), ExecError> {
        let stage = &self.site.pipeline.stages[index];
        // On a read-only cache a fresh pipeline can still be read; only the memory of "before" is lost.
        let noted = self.planner.note_last(&stage.id, record.key);
        if self.ran[index] {
            noted?;
        }
        self.resolved[index] = Some(Resolved::of(&record));
        self.records[index] = Some(record);
        self.states[index] = State::Done;
        to_judge.extend_from_slice(self.graph.dependents(index));
        Ok(())
    }

    /// Starts what is ready and fits. Returns stages that have to be judged again.
    fn start_ready(&mut self) -> Result<Vec<usize>, ExecError> {
        if !self.may_start() {
            return Ok(Vec::new());
        }
        let mut ready: Vec<usize> = (0..self.states.len())
            .filter(|&index| matches!(self.states[index], State::Ready { .. }))
            .collect();
        ready.sort_by(|&a, &b| {
            self.priorities[b]
                .total_cmp(&self.priorities[a])
                .then(a.cmp(&b))
        });
        for index in ready {
            let stage = &self.site.pipeline.stages[index];
            let Some(taken) = self.resources.take(stage) else {
                continue;
            };
            let watch = Stopwatch::start();
            let damaged = self.check_inputs(index)?;
            if !damaged.is_empty() {
                self.resources.give_back(&taken);
                return Ok(damaged);
            }
            if let Some(again) = self.start(index, taken, watch.seconds())? {
                return Ok(vec![again]);
            }
        }
        Ok(Vec::new())
    }

    /// Hashes the artifacts that a stage is about to read. The stages whose artifacts are damaged run again.
    fn check_inputs(&mut self, index: usize) -> Result<Vec<usize>, ExecError> {
        let mut damaged = Vec::new();
        for &input in self.graph.inputs(index) {
            if self.verified[input] {
                continue;
            }
            let Some(record) = self.records[input].clone() else {
                continue;
            };
            match self.site.store.verify(&record)? {
                None => self.verified[input] = true,
                Some(damage) => {
                    self.tell(&RunEvent::StageDamaged {
                        stage: self.id(input),
                        damage: damage.clone(),
                    });
                    self.planner.note_damage(record.key, Some(damage));
                    self.resolved[input] = None;
                    self.records[input] = None;
                    self.states[input] = State::Waiting;
                    damaged.push(input);
                }
            }
        }
        if !damaged.is_empty() {
            self.states[index] = State::Waiting;
        }
        Ok(damaged)
    }

    /// Starts one stage, whose inputs took `hashing` seconds to hash just now. Returns it when it has to be judged
    /// again, because another process made its result.
    fn start(
        &mut self,
        index: usize,
        taken: Taken,
        hashing: f64,
    ) -> Result<Option<usize>, ExecError> {
        let State::Ready {
            key,
            fingerprint,
            causes,
            since,
            judging,
            told,
        } = std::mem::replace(&mut self.states[index], State::Waiting)
        else {
            return Ok(None);
        };
        let stage = &self.site.pipeline.stages[index];
        let Some(lock) = self.site.store.try_lock(&key)? else {
            self.resources.give_back(&taken);
            if !told {
                self.tell(&RunEvent::StageWaiting {
                    stage: self.id(index),
                    key,
                });
            }
            self.states[index] = State::Ready {
                key,
                fingerprint,
                causes,
                since,
                judging,
                told: true,
            };
            return Ok(None);
        };
        // Between the verdict and the lock another process may have made the result.
        let inputs = self.graph.inputs(index);
        if let Verdict::Fresh { .. } = self.planner.judge(stage, inputs, &self.resolved)? {
            self.resources.give_back(&taken);
            return Ok(Some(index));
        }
        let sources = self.planner.source_hashes(stage, true)?;
        let input_artifacts = inputs_of(&self.site, stage, inputs, &self.records)?;
        let before = Durations {
            hashing_files: judging,
            queued: (since.seconds() - hashing).max(0.0),
            hashing_inputs: hashing,
            ..Durations::default()
        };
        let (attempt, task) = Attempt::begin(
            &self.site,
            stage,
            key,
            (*fingerprint).clone(),
            sources,
            input_artifacts,
            lock,
            before,
        )?;
        self.git.begin(&self.site.pipeline.file);
        let worker = Worker::start(
            &self.settings.program,
            &task,
            self.settings.threads,
            index,
            self.site.store.log_path(&key),
            self.sender.clone(),
        )
        .map_err(ExecError::Start)?;
        let limit = Limit {
            seconds: stage.timeout.map(|time| time.as_secs_f64()),
            reached: false,
        };
        self.states[index] = State::Running(Box::new(attempt), worker, taken, limit);
        self.tell(&RunEvent::StageStarted {
            stage: stage.id.clone(),
            kind: stage.kind.name.to_owned(),
            key,
            fingerprint: *fingerprint,
            causes,
        });
        Ok(None)
    }

    /// Takes a worker's message. Returns stages that have to be judged.
    fn hear(&mut self, message: FromWorker) -> Result<Vec<usize>, ExecError> {
        let mut to_judge = Vec::new();
        match message {
            FromWorker::Report(index, report) => self.tell(&RunEvent::StageReport {
                stage: self.id(index),
                report,
            }),
            FromWorker::Exit(index, exit) => {
                let State::Running(attempt, worker, taken, limit) =
                    std::mem::replace(&mut self.states[index], State::Failed)
                else {
                    return Ok(to_judge);
                };
                worker.join();
                self.resources.give_back(&taken);
                let stage = &self.site.pipeline.stages[index];
                let key = attempt.key;
                let watch = attempt.watch;
                if let Some(git) = self.git.news() {
                    self.site.git = Some(git.clone());
                    self.tell(&RunEvent::GitRead { git });
                }
                let killed = self.stopping > 0 && exit.last.is_none();
                let (outcome, record) =
                    attempt.finish(&self.site, stage, &exit, &mut self.planner, limit.reached)?;
                let outcome = if killed {
                    StageOutcome::Stopped
                } else {
                    outcome
                };
                if outcome == StageOutcome::Stopped {
                    self.states[index] = State::Stopped;
                }
                self.tell(&RunEvent::StageEnded {
                    stage: self.id(index),
                    outcome,
                    seconds: watch.seconds(),
                });
                if let Some(record) = record {
                    self.planner.note_damage(key, None);
                    self.verified[index] = true;
                    self.ran[index] = true;
                    self.complete(index, record, &mut to_judge)?;
                }
            }
        }
        Ok(to_judge)
    }

    fn watch_limits(&mut self) {
        for state in &mut self.states {
            if let State::Running(attempt, worker, _, limit) = state {
                if !limit.reached && limit.seconds.is_some_and(|s| attempt.watch.seconds() > s) {
                    limit.reached = true;
                    worker.stop(true);
                }
            }
        }
    }

    fn kill_all(&mut self) {
        for state in &mut self.states {
            if let State::Running(_, worker, ..) = std::mem::replace(state, State::Stopped) {
                worker.stop(true);
                worker.join();
            }
        }
    }

    fn summarise(&mut self) -> RunSummary {
        let mut summary = RunSummary {
            records: self.records.clone(),
            ran: 0,
            fresh: 0,
            failed: 0,
            blocked: 0,
            stopped: 0,
            interrupted: self.stopping > 0,
        };
        let mut blocked = BTreeMap::new();
        for (index, state) in self.states.iter().enumerate() {
            match state {
                State::Unwanted => {}
                State::Done if self.ran[index] => summary.ran += 1,
                State::Done => summary.fresh += 1,
                State::Failed => summary.failed += 1,
                State::Stopped => summary.stopped += 1,
                State::Waiting | State::Ready { .. } | State::Running(..) => {
                    summary.blocked += 1;
                    let by = self
                        .graph
                        .inputs(index)
                        .iter()
                        .filter(|&&input| self.resolved[input].is_none())
                        .map(|&input| self.site.pipeline.stages[input].id.clone())
                        .collect::<Vec<_>>();
                    blocked.insert(index, by);
                }
            }
        }
        for (index, by) in blocked {
            self.tell(&RunEvent::StageBlocked {
                stage: self.id(index),
                by,
            });
        }
        summary
    }
}

/// All stages wait, or only the targets and what they need.
fn wanted(graph: &StageGraph, n: usize, targets: &[usize]) -> Vec<State> {
    if targets.is_empty() {
        return (0..n).map(|_| State::Waiting).collect();
    }
    let mut states: Vec<State> = (0..n).map(|_| State::Unwanted).collect();
    for index in graph
        .ancestors(targets)
        .into_iter()
        .chain(targets.iter().copied())
    {
        states[index] = State::Waiting;
    }
    states
}
