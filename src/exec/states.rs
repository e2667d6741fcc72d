//! Where each stage of a run stands.

use super::attempt::Attempt;
use super::child::Worker;
use super::limits::Limits;
use super::resources::Taken;
use crate::clock::Stopwatch;
use crate::graph::StageGraph;
use crate::key::{Fingerprint, Hash};
use crate::plan::Cause;
use std::collections::{BTreeMap, BTreeSet};

/// Where one stage stands. What a state needs beside its name is in the tables of [`States`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not wanted in this run.
    Unwanted,
    /// Waits for its inputs, or to be judged.
    Waiting,
    /// To be started: in the queue, or another process is computing its key.
    Ready,
    Running,
    /// An attempt failed; the next one comes after a wait.
    Retrying,
    Done,
    Failed,
    Stopped,
}

/// What is known of a stage that is to be started.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) key: Hash,
    pub(super) fingerprint: Fingerprint,
    pub(super) causes: Vec<Cause>,
    /// Since when it is in the queue, and how many seconds the verdict took.
    pub(super) since: Stopwatch,
    pub(super) judging: f64,
    /// Another process has the key's lock, and a person was told.
    pub(super) told: bool,
    /// The attempt that comes, from 1.
    pub(super) attempt: u32,
}

/// A stage with a worker.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) attempt: Box<Attempt>,
    pub(super) worker: Worker,
    pub(super) taken: Taken,
    pub(super) limits: Limits,
    /// The attempt, from 1.
    pub(super) number: u32,
    /// The next attempt, when there is to be one after a failure.
    pub(super) next: Option<Box<Ready>>,
}

/// A stage between two attempts.
#[derive(Debug)]
pub(super) struct Retrying {
    pub(super) next: Box<Ready>,
    /// Seconds since the start of the run at which it is to be tried again.
    pub(super) due: f64,
    /// Why the last attempt failed, and how long it took.
    pub(super) message: String,
    pub(super) seconds: f64,
}

/// All stages of a run. Nothing here looks at all of them while the run goes on.
#[derive(Debug)]
pub(super) struct States {
    all: Vec<State>,
    pub(super) ready: BTreeMap<usize, Box<Ready>>,
    pub(super) running: BTreeMap<usize, Running>,
    pub(super) retrying: BTreeMap<usize, Retrying>,
    /// Ready stages whose key another process is computing.
    pub(super) elsewhere: BTreeSet<usize>,
    failed: usize,
}

impl States {
    /// All stages wait, or only the `targets` and what they need.
    pub(super) fn new(graph: &StageGraph, targets: Option<&[usize]>) -> Self {
        let all = match targets {
            None => vec![State::Waiting; graph.len()],
            Some(targets) => {
                let mut all = vec![State::Unwanted; graph.len()];
                for stage in graph.ancestors(targets).iter().chain(targets) {
                    all[*stage] = State::Waiting;
                }
                all
            }
        };
        Self {
            all,
            ready: BTreeMap::new(),
            running: BTreeMap::new(),
            retrying: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            failed: 0,
        }
    }

    pub(super) fn of(&self, stage: usize) -> State {
        self.all[stage]
    }

    pub(super) fn set(&mut self, stage: usize, state: State) {
        if state == State::Failed {
            self.failed += 1;
        }
        self.all[stage] = state;
    }

    /// Every stage with its state, by position.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, State)> {
        self.all.iter().copied().enumerate()
    }

    /// How many stages the run covers.
    pub(super) fn wanted(&self) -> usize {
        self.all
            .iter()
            .filter(|state| **state != State::Unwanted)
            .count()
    }

    /// Whether the run covers a stage and it has no result yet.
    pub(super) fn is_open(&self, stage: usize) -> bool {
        !matches!(self.all[stage], State::Unwanted | State::Done)
    }

    /// Whether any stage failed.
    pub(super) fn any_failed(&self) -> bool {
        self.failed > 0
    }
}
