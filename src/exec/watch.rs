//! Watching: signals, limits of running stages, waits of others.

use super::event::RunEvent;
use super::limits::{Due, StopReason};
use super::run::Loop;
use super::states::State;
use std::sync::mpsc::{Receiver, TryRecvError};

impl Loop<'_> {
    /// The first Ctrl-C asks running stages to save their state and stop, the second kills them.
    pub(super) fn listen_to_signals(&mut self, signals: &Receiver<()>) {
        loop {
            match signals.try_recv() {
                Ok(()) => {
                    self.stopping = (self.stopping + 1).min(2);
                    let at_once = self.stopping == 2;
                    self.tell(&RunEvent::Stopping { at_once });
                    for running in self.states.running.values_mut() {
                        let now = running.attempt.watch.seconds();
                        running.limits.stop(StopReason::Person, now);
                        running.worker.stop(at_once);
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Holds running stages to their limits.
    pub(super) fn look_at_running(&mut self) {
        let mut slow = Vec::new();
        for (&index, running) in &mut self.states.running {
            let now = running.attempt.watch.seconds();
            match running.limits.look(now) {
                Some(Due::Stop) => running.worker.stop(false),
                Some(Due::Kill) => running.worker.stop(true),
                Some(Due::Tell(slowness)) => slow.push((index, now, slowness)),
                None => {}
            }
        }
        for (index, seconds, slowness) in slow {
            self.tell(&RunEvent::StageSlow {
                stage: self.id(index),
                seconds,
                slowness,
            });
        }
    }

    /// Puts stages back into the queue: those whose wait is over, and those that another process was computing.
    pub(super) fn look_at_waiting(&mut self) {
        let now = self.watch.seconds();
        let due: Vec<usize> = self
            .states
            .retrying
            .iter()
            .filter(|(_, retrying)| retrying.due <= now)
            .map(|(&index, _)| index)
            .collect();
        for index in due {
            if let Some(retrying) = self.states.retrying.remove(&index) {
                self.make_ready(index, retrying.next);
            }
        }
        for index in std::mem::take(&mut self.states.elsewhere) {
            self.enqueue(index);
        }
    }

    /// After an error of the run as a whole, nothing is left running.
    pub(super) fn kill_all(&mut self) {
        while let Some((index, running)) = self.states.running.pop_first() {
            running.worker.stop(true);
            running.worker.join();
            self.states.set(index, State::Stopped);
        }
    }
}
