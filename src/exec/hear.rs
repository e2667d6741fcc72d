//! Listening: what workers report, and how attempts end.

use super::child::{Exit, FromWorker};
use super::event::{RunEvent, StageOutcome};
use super::limits::StopReason;
use super::protocol::WorkerMessage;
use super::run::{ExecError, Loop, OnFailure};
use super::states::{Ready, Retrying, Running, State};
use super::{retry, tree};

impl Loop<'_> {
    /// Takes a worker's message. Returns stages that have to be judged.
    pub(super) fn hear(&mut self, message: FromWorker) -> Result<Vec<usize>, ExecError> {
        match message {
            FromWorker::Report(index, report) => {
                if let Some(running) = self.states.running.get_mut(&index) {
                    running.limits.heard(running.attempt.watch.seconds());
                }
                self.tell(&RunEvent::StageReport {
                    stage: self.id(index),
                    report,
                });
                Ok(Vec::new())
            }
            FromWorker::Exit(index, exit) => self.ended(index, &exit),
        }
    }

    /// An attempt is over: its result is recorded, or it is tried again, or the stage failed.
    fn ended(&mut self, index: usize, exit: &Exit) -> Result<Vec<usize>, ExecError> {
        let Some(running) = self.states.running.remove(&index) else {
            return Ok(Vec::new());
        };
        let Running {
            attempt,
            worker,
            taken,
            limits,
            number,
            next,
        } = running;
        worker.join();
        self.end_strays(exit);
        self.resources.give_back(&taken);
        let stage = &self.site.pipeline.stages[index];
        let stopped = limits.stopped();
        let seconds = attempt.watch.seconds();
        if let Some(git) = self.git.news() {
            self.site.git = Some(git.clone());
            self.tell(&RunEvent::GitRead { git });
        }
        let timed_out = stopped == Some(StopReason::Timeout);
        tracing::debug!(
            stage = stage.id,
            made = matches!(exit.last, Some(WorkerMessage::Done { .. })),
            seconds,
            "ended"
        );
        let (outcome, record) =
            attempt.finish(&self.site, stage, exit, &mut self.planner, timed_out)?;
        // Killed, when it was asked to stop and did not.
        let killed = stopped.is_some() && !timed_out && exit.last.is_none();
        let outcome = match outcome {
            StageOutcome::Failed { .. } if killed => StageOutcome::Stopped,
            StageOutcome::Failed { message } => match next {
                Some(next) if retry::may_help(exit, stopped) => {
                    return Ok(self.retry(index, next, message, seconds));
                }
                Some(_) if number == 1 && stopped.is_none() => StageOutcome::Failed {
                    message: format!("{message}\nnot tried again, because that cannot mend it"),
                },
                _ if number > 1 => StageOutcome::Failed {
                    message: format!("{message}\nattempt {number} was the last"),
                },
                _ => StageOutcome::Failed { message },
            },
            other => other,
        };
        let state = match &outcome {
            StageOutcome::Done { .. } => State::Done,
            StageOutcome::Failed { .. } => State::Failed,
            StageOutcome::Stopped => State::Stopped,
        };
        self.states.set(index, state);
        self.tell(&RunEvent::StageEnded {
            stage: self.id(index),
            outcome,
            seconds,
        });
        if state == State::Failed {
            self.fail_fast(index);
        }
        let mut to_judge = Vec::new();
        if let Some(record) = record {
            self.verified[index] = true;
            self.ran[index] = true;
            self.complete(index, record, &mut to_judge)?;
        }
        Ok(to_judge)
    }

    /// A worker that died on its own could not end what it had started.
    fn end_strays(&self, exit: &Exit) {
        if self.adopts && exit.last.is_none() {
            let running = self.states.running.values();
            tree::end_strays(&running.map(|running| running.worker.process()).collect());
        }
    }

    /// Puts a stage aside until its next attempt.
    fn retry(
        &mut self,
        index: usize,
        next: Box<Ready>,
        message: String,
        seconds: f64,
    ) -> Vec<usize> {
        let execution = &self.site.pipeline.stages[index].execution;
        let attempt = next.attempt - 1;
        let wait = retry::wait(execution, &next.key, attempt).as_secs_f64();
        self.states.set(index, State::Retrying);
        if self.may_start() {
            self.tell(&RunEvent::StageRetrying {
                stage: self.id(index),
                attempt,
                attempts: execution.retries + 1,
                reason: message.clone(),
                seconds,
                wait_seconds: wait,
            });
        }
        let due = self.watch.seconds() + wait;
        let retrying = Retrying {
            next,
            due,
            message,
            seconds,
        };
        self.states.retrying.insert(index, retrying);
        Vec::new()
    }

    /// When nothing new is started any more, stages between two attempts have failed.
    pub(super) fn give_up_retries(&mut self) {
        while let Some((index, retrying)) = self.states.retrying.pop_first() {
            self.states.set(index, State::Failed);
            let why = "not tried again, because the run ends";
            self.tell(&RunEvent::StageEnded {
                stage: self.id(index),
                outcome: StageOutcome::Failed {
                    message: format!("{}\n{why}", retrying.message),
                },
                seconds: retrying.seconds,
            });
        }
    }

    /// With `--fail-fast`, what runs saves its state and stops.
    fn fail_fast(&mut self, failed: usize) {
        if self.settings.on_failure != OnFailure::Stop || self.states.running.is_empty() {
            return;
        }
        self.tell(&RunEvent::FailingFast {
            stage: self.id(failed),
        });
        for running in self.states.running.values_mut() {
            if running.limits.stopped().is_none() {
                let now = running.attempt.watch.seconds();
                running.limits.stop(StopReason::Failure, now);
                running.worker.stop(false);
            }
        }
    }
}
