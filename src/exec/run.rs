//! A run: what it is told, how it ends, and the loop between.
//!
//! The loop decides ([`super::judge`]), starts ([`super::start`]), listens ([`super::hear`]) and watches
//! ([`super::watch`]), until nothing is left to do.

use super::attempt::Site;
use super::child::FromWorker;
use super::durations::Durations;
use super::event::RunEvent;
use super::git::GitProbe;
use super::ready::ReadyQueue;
use super::resources::{Resources, machine_memory};
use super::signals::Signals;
use super::states::States;
use crate::artifact::{Record, Store, StoreError};
use crate::clock::Stopwatch;
use crate::graph::StageGraph;
use crate::nn::device::Device;
use crate::plan::{PlanError, Planner, Resolved};
use crate::spec::Pipeline;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the loop looks at signals, time limits, waits and keys that other processes compute.
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
    /// What workers log to their standard error, as in the variable `ILM_PIPE_LOG`; nothing when off.
    pub log: Option<String>,
    /// What was typed, for the log.
    pub command: Vec<String>,
    /// Slots for stages.
    pub jobs: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Ids of the GPUs that stages may get.
    pub gpus: Vec<String>,
    /// The device of stages with networks.
    pub device: Device,
    /// What a failure means for the rest.
    pub on_failure: OnFailure,
    /// Only these stages and what they need; all without it.
    pub targets: Option<Vec<usize>>,
}

/// What happens to the rest of a run when a stage fails. As with Make, nothing new is started unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// What runs goes on to its end; nothing new starts.
    #[default]
    Finish,
    /// What does not need the failed stage runs all the same.
    KeepGoing,
    /// What runs saves its state and stops at once.
    Stop,
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
    /// Stages ask for more GPUs than there are.
    #[error("{}", gpus_message(stages, *there))]
    Gpus {
        /// The stages and how many they ask for.
        stages: Vec<(String, usize)>,
        /// How many there are.
        there: usize,
    },
}

fn gpus_message(stages: &[(String, usize)], there: usize) -> String {
    let asked: Vec<String> = stages
        .iter()
        .map(|(stage, gpus)| format!("stage `{stage}` asks for {gpus}"))
        .collect();
    let there = match there {
        0 => "there is none".to_owned(),
        1 => "there is 1".to_owned(),
        n => format!("there are {n}"),
    };
    format!("not enough GPUs: {}, but {there}", asked.join(", "))
}

impl ExecError {
    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Gpus { .. } => Some(
                "devices are those of `--gpus 0,1`, or else of CUDA_VISIBLE_DEVICES, or else all of the machine's",
            ),
            Self::Store(error) => error.hint(),
            Self::Start(_) => Some(
                "each stage runs in a process of its own: the program's file must still be there, and the limits on \
                 processes and memory must leave room for one more; `--jobs 1` needs the least",
            ),
        }
    }
}

/// The state of the loop.
pub(super) struct Loop<'a> {
    pub(super) site: Site<'a>,
    pub(super) settings: &'a RunSettings,
    pub(super) graph: &'a StageGraph,
    pub(super) planner: Planner<'a>,
    pub(super) states: States,
    pub(super) queue: ReadyQueue,
    pub(super) resources: Resources,
    pub(super) durations: Durations<'a>,
    /// How urgent each stage is: seconds of the longest chain that starts with it. Known once there is a choice.
    pub(super) priorities: Option<Vec<f64>>,
    pub(super) records: Vec<Option<Arc<Record>>>,
    pub(super) resolved: Vec<Option<Resolved>>,
    /// Whether this process hashed every byte of the stage's artifact, or made it.
    pub(super) verified: Vec<bool>,
    /// Each stage is counted once, as ran or as fresh, also when damage made it run twice.
    pub(super) ran: Vec<bool>,
    events: &'a mut dyn FnMut(&RunEvent),
    pub(super) sender: Sender<FromWorker>,
    receiver: Receiver<FromWorker>,
    /// 0: going on; 1: running stages save and stop; 2: they are killed.
    pub(super) stopping: u8,
    /// Whether every child of this process is a worker or was left behind by one.
    pub(super) adopts: bool,
    /// Whether to look for stages that ask for more GPUs than there are before another one starts.
    pub(super) check_gpus: bool,
    pub(super) watch: Stopwatch,
    pub(super) git: GitProbe,
    pub(super) saved_seconds: f64,
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
    let (signals, adopts) = signals.into_parts();
    let memory = machine_memory();
    let gpus = settings.gpus.clone();
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
            device: settings.device,
        },
        settings,
        graph,
        planner: Planner::new(pipeline, store, &settings.project),
        states: States::new(graph, settings.targets.as_deref()),
        queue: ReadyQueue::default(),
        resources: Resources::new(settings.jobs, memory, gpus, &pipeline.groups),
        durations: Durations::new(pipeline, store),
        priorities: None,
        records: vec![None; n],
        resolved: vec![None; n],
        verified: vec![false; n],
        ran: vec![false; n],
        events,
        sender,
        receiver,
        stopping: 0,
        adopts,
        check_gpus: true,
        watch: Stopwatch::start(),
        git: GitProbe::default(),
        saved_seconds: 0.0,
    };
    this.tell(&RunEvent::RunStarted {
        format: 1,
        run: settings.run.clone(),
        pipeline: pipeline.name.clone(),
        profile: pipeline.profile.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: settings.command.clone(),
        stages: this.states.wanted(),
    });
    for text in this.planner.take_notices() {
        this.tell(&RunEvent::CacheRepaired { text });
    }
    let outcome = this.go(&signals);
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
        seconds: this.watch.seconds(),
        saved_seconds: this.saved_seconds,
    });
    Ok(summary)
}

impl Loop<'_> {
    pub(super) fn tell(&mut self, event: &RunEvent) {
        (self.events)(event);
    }

    pub(super) fn id(&self, index: usize) -> String {
        self.site.pipeline.stages[index].id.clone()
    }

    fn go(&mut self, signals: &Receiver<()>) -> Result<(), ExecError> {
        let mut to_judge: Vec<usize> = self.graph.order().to_vec();
        let mut looked = Stopwatch::start();
        loop {
            self.listen_to_signals(signals);
            while !to_judge.is_empty() {
                let store = self.site.store;
                let _many = store.many_looks();
                for index in std::mem::take(&mut to_judge) {
                    self.judge(index, &mut to_judge)?;
                }
            }
            self.planner.stop_reading_ahead();
            to_judge = self.start_ready()?;
            if !to_judge.is_empty() {
                continue;
            }
            if !self.may_start() {
                self.give_up_retries();
            }
            if self.is_over() {
                return Ok(());
            }
            match self.receiver.recv_timeout(POLL) {
                Ok(message) => to_judge = self.hear(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // By the clock: a stage that talks without a pause must not outrun its limits.
            if looked.elapsed() >= POLL {
                looked = Stopwatch::start();
                self.look_at_running();
                self.look_at_waiting();
            }
        }
    }

    /// Whether new stages may still be started.
    pub(super) fn may_start(&self) -> bool {
        let keep_going = self.settings.on_failure == OnFailure::KeepGoing;
        self.stopping == 0 && (keep_going || !self.states.any_failed())
    }

    fn is_over(&self) -> bool {
        let states = &self.states;
        let to_come =
            !self.queue.is_empty() || !states.elsewhere.is_empty() || !states.retrying.is_empty();
        states.running.is_empty() && !(to_come && self.may_start())
    }
}

fn host() -> String {
    fs_err::read_to_string(Path::new("/proc/sys/kernel/hostname"))
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
