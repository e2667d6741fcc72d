//! How long stages took when they last succeeded: what to start first, and what is slow.

use crate::artifact::{LastKeys, Store};
use crate::graph::StageGraph;
use crate::spec::Pipeline;
use std::cell::OnceCell;

/// Reads each duration when it is first asked for: a run with nothing to do reads none.
#[derive(Debug)]
pub(super) struct Durations<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    last: Option<LastKeys>,
    known: Vec<OnceCell<Option<f64>>>,
}

/// What a stage counts for when no stage has a past, in seconds.
const UNKNOWN: f64 = 1.0;

impl<'a> Durations<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, store: &'a Store) -> Self {
        Self {
            pipeline,
            store,
            last: None,
            known: vec![OnceCell::new(); pipeline.stages.len()],
        }
    }

    /// Seconds of the last success of the stage at a position, when its record is still there.
    pub(super) fn of(&mut self, stage: usize) -> Option<f64> {
        if let Some(known) = self.known[stage].get() {
            return *known;
        }
        let seconds = self.read(stage);
        self.known[stage] = seconds.into();
        seconds
    }

    fn read(&mut self, stage: usize) -> Option<f64> {
        let id = &self.pipeline.stages[stage].id;
        let last = self
            .last
            .get_or_insert_with(|| self.store.last_keys(&self.pipeline.name));
        let key = last.get(id)?;
        Some(self.store.record(&key)?.origin.seconds)
    }

    /// For each stage the seconds of the longest chain of `open` stages that starts with it. A stage without a past
    /// counts as the mean of those with one.
    pub(super) fn critical_path(
        &mut self,
        graph: &StageGraph,
        open: impl Fn(usize) -> bool,
    ) -> Vec<f64> {
        let durations: Vec<Option<f64>> = (0..graph.len())
            .map(|stage| open(stage).then(|| self.of(stage)).flatten())
            .collect();
        let known: Vec<f64> = durations.iter().copied().flatten().collect();
        let mean = if known.is_empty() {
            UNKNOWN
        } else {
            known.iter().sum::<f64>() / known.len() as f64
        };
        graph.critical_path(|stage| {
            if open(stage) {
                durations[stage].unwrap_or(mean)
            } else {
                0.0
            }
        })
    }
}
