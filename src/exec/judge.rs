//! Fresh or to be started: the planner's verdicts in a run.

use super::event::RunEvent;
use super::run::{ExecError, Loop};
use super::states::{Ready, State};
use crate::artifact::Record;
use crate::clock::Stopwatch;
use crate::plan::{Resolved, Verdict};
use std::sync::Arc;

impl Loop<'_> {
    /// Judges a stage whose inputs are all there; the stages after a fresh one are then to be judged.
    pub(super) fn judge(
        &mut self,
        index: usize,
        to_judge: &mut Vec<usize>,
    ) -> Result<(), ExecError> {
        if self.states.of(index) != State::Waiting {
            return Ok(());
        }
        let inputs = self.graph.inputs(index);
        if inputs.iter().any(|&input| self.resolved[input].is_none()) {
            return Ok(());
        }
        let watch = Stopwatch::start();
        match self.planner.judge(index, inputs, &self.resolved)? {
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
                let ready = Ready {
                    key,
                    fingerprint,
                    causes,
                    since: Stopwatch::start(),
                    judging: watch.seconds(),
                    told: false,
                    attempt: 1,
                };
                self.make_ready(index, Box::new(ready));
            }
            // Every input is there, so another stage is about to make the same thing; the planner names this one when
            // that is done.
            Verdict::Pending { .. } => {}
        }
        Ok(())
    }

    /// Puts a stage into the queue.
    pub(super) fn make_ready(&mut self, index: usize, mut ready: Box<Ready>) {
        ready.since = Stopwatch::start();
        self.states.set(index, State::Ready);
        self.states.ready.insert(index, ready);
        self.enqueue(index);
    }

    pub(super) fn enqueue(&mut self, index: usize) {
        let execution = &self.site.pipeline.stages[index].execution;
        let demand = self.resources.demand(execution);
        let priority = self.priorities.as_ref().map_or(0.0, |all| all[index]);
        self.queue.push(index, priority, demand);
    }

    /// Notes a stage's result.
    pub(super) fn complete(
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
        self.states.set(index, State::Done);
        to_judge.extend(self.planner.made(index));
        to_judge.extend_from_slice(self.graph.dependents(index));
        Ok(())
    }

    /// Hashes the artifacts that a stage is about to read. The stages whose artifacts are damaged run again.
    pub(super) fn check_inputs(&mut self, index: usize) -> Result<Vec<usize>, ExecError> {
        let mut damaged = Vec::new();
        for &input in self.graph.inputs(index) {
            let Some(record) = self.records[input].clone() else {
                continue;
            };
            // What was hashed an hour ago is looked at again, cheaply.
            let damage = if self.verified[input] {
                self.site.store.glance(&record)?
            } else {
                let watch = Stopwatch::start();
                let damage = self.site.store.verify(&record)?;
                tracing::debug!(
                    stage = self.site.pipeline.stages[input].id,
                    output = %record.output.short(),
                    intact = damage.is_none(),
                    seconds = watch.seconds(),
                    "verified"
                );
                damage
            };
            match damage {
                None => self.verified[input] = true,
                Some(damage) => {
                    self.tell(&RunEvent::StageDamaged {
                        stage: self.id(input),
                        damage,
                    });
                    self.planner.doubt(record.key);
                    self.verified[input] = false;
                    self.resolved[input] = None;
                    self.records[input] = None;
                    self.states.set(input, State::Waiting);
                    self.check_gpus = true;
                    damaged.push(input);
                }
            }
        }
        Ok(damaged)
    }
}
