//! Starting: what is ready and fits, the most urgent first.

use super::attempt::{Attempt, inputs_of};
use super::child::{Setting, Worker};
use super::event::RunEvent;
use super::evidence::Evidence;
use super::limits::Limits;
use super::resources::Taken;
use super::run::{ExecError, Loop};
use super::states::{Ready, Running, State};
use crate::artifact::Timings;
use crate::clock::Stopwatch;
use crate::plan::Verdict;

impl Loop<'_> {
    /// Starts what is ready and fits. Returns stages that have to be judged again.
    pub(super) fn start_ready(&mut self) -> Result<Vec<usize>, ExecError> {
        if !self.may_start() || self.queue.is_empty() {
            return Ok(Vec::new());
        }
        self.check_gpus()?;
        self.order_by_urgency();
        while let Some((index, taken)) = self.queue.pop(&mut self.resources) {
            let Some(ready) = self.states.ready.remove(&index) else {
                self.resources.give_back(&taken);
                continue;
            };
            let watch = Stopwatch::start();
            let damaged = self.check_inputs(index)?;
            if !damaged.is_empty() {
                self.resources.give_back(&taken);
                self.states.set(index, State::Waiting);
                return Ok(damaged);
            }
            if let Some(again) = self.start(index, ready, taken, watch)? {
                return Ok(vec![again]);
            }
        }
        Ok(Vec::new())
    }

    /// Before the first stage starts, every stage that may still have to run must be able to. A stage that is made
    /// ready later was fresh then and turned out to be damaged.
    fn check_gpus(&mut self) -> Result<(), ExecError> {
        if !std::mem::replace(&mut self.check_gpus, false) {
            return Ok(());
        }
        let there = self.resources.gpus();
        let stages: Vec<(String, usize)> = self
            .site
            .pipeline
            .stages
            .iter()
            .enumerate()
            .filter(|(index, stage)| stage.execution.gpus > there && self.states.is_open(*index))
            .map(|(_, stage)| (stage.id.clone(), stage.execution.gpus))
            .collect();
        if stages.is_empty() {
            Ok(())
        } else {
            Err(ExecError::Gpus { stages, there })
        }
    }

    /// As soon as there is a choice, the stages that most depends on come first.
    fn order_by_urgency(&mut self) {
        if self.priorities.is_some() || self.queue.len() < 2 {
            return;
        }
        let states = &self.states;
        let priorities = self
            .durations
            .critical_path(self.graph, |index| states.is_open(index));
        self.queue.reprioritise(&priorities);
        self.priorities = Some(priorities);
    }

    /// Starts one stage, whose inputs are being checked since `checking`. Returns it when it has to be judged again, because another process made its result.
    fn start(
        &mut self,
        index: usize,
        mut ready: Box<Ready>,
        taken: Taken,
        checking: Stopwatch,
    ) -> Result<Option<usize>, ExecError> {
        let stage = &self.site.pipeline.stages[index];
        let Some(lock) = self.site.store.try_lock(&ready.key)? else {
            self.resources.give_back(&taken);
            if !ready.told {
                self.tell(&RunEvent::StageWaiting {
                    stage: self.id(index),
                    key: ready.key,
                });
                ready.told = true;
            }
            self.states.ready.insert(index, ready);
            self.states.elsewhere.insert(index);
            return Ok(None);
        };
        // Between the verdict and the lock another process may have made the result.
        let inputs = self.graph.inputs(index);
        // A file may have been edited since, and an artifact that it reads be found damaged.
        let sources = self.planner.sources(stage, false)?;
        match self.planner.judge(index, inputs, &self.resolved)? {
            Verdict::Dirty { key, .. } if key == ready.key => {}
            _ => {
                self.resources.give_back(&taken);
                self.states.set(index, State::Waiting);
                return Ok(Some(index));
            }
        }
        let next = (ready.attempt <= stage.execution.retries).then(|| {
            Box::new(Ready {
                attempt: ready.attempt + 1,
                judging: 0.0,
                told: false,
                ..(*ready).clone()
            })
        });
        let Ready {
            key,
            fingerprint,
            causes,
            attempt: number,
            since,
            judging,
            ..
        } = *ready;
        let evidence = Evidence {
            sources,
            artifacts: inputs
                .iter()
                .filter_map(|&input| self.records[input].clone())
                .collect(),
        };
        let input_artifacts = inputs_of(&self.site, stage, inputs, &self.records)?;
        let hashing_inputs = checking.seconds();
        let before = Timings {
            hashing_files: judging,
            queued: (since.seconds() - hashing_inputs).max(0.0),
            hashing_inputs,
            ..Timings::default()
        };
        let (attempt, task) = Attempt::begin(
            &self.site,
            stage,
            key,
            fingerprint.clone(),
            evidence,
            input_artifacts,
            lock,
            before,
        )?;
        self.git.begin(&self.site.pipeline.file);
        let gpus = self.resources.gpu_ids(&taken);
        let setting = Setting {
            program: &self.settings.program,
            threads: self.settings.threads,
            gpus: &gpus,
            engine_log: self.settings.log.as_deref(),
        };
        let worker =
            Worker::start(&setting, &task, index, self.sender.clone()).map_err(ExecError::Start)?;
        tracing::debug!(
            stage = stage.id,
            key = %key.short(),
            worker = worker.process(),
            threads = self.settings.threads,
            attempt = number,
            "started"
        );
        let limits = Limits::new(&stage.execution, self.durations.of(index));
        let running = Running {
            attempt: Box::new(attempt),
            worker,
            taken,
            limits,
            number,
            next,
        };
        self.states.set(index, State::Running);
        self.states.running.insert(index, running);
        self.tell(&RunEvent::StageStarted {
            stage: stage.id.clone(),
            kind: stage.kind.name.to_owned(),
            key,
            fingerprint,
            causes,
            attempt: number,
            gpus,
        });
        Ok(None)
    }
}
