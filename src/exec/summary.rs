//! The end of a run: what became of each stage.

use super::event::RunEvent;
use super::run::{Loop, RunSummary};
use super::states::State;

impl Loop<'_> {
    /// Counts, and tells which stages were kept from running by which.
    pub(super) fn summarise(&mut self) -> RunSummary {
        let mut summary = RunSummary {
            records: self.records.clone(),
            ran: 0,
            fresh: 0,
            failed: 0,
            blocked: 0,
            stopped: 0,
            interrupted: self.stopping > 0,
        };
        let mut blocked = Vec::new();
        for (index, state) in self.states.iter() {
            match state {
                State::Unwanted => {}
                State::Done if self.ran[index] => summary.ran += 1,
                State::Done => summary.fresh += 1,
                State::Failed => summary.failed += 1,
                State::Stopped => summary.stopped += 1,
                State::Waiting | State::Ready | State::Running | State::Retrying => {
                    summary.blocked += 1;
                    blocked.push(index);
                }
            }
        }
        for index in blocked {
            let by = self
                .graph
                .inputs(index)
                .iter()
                .copied()
                .filter(|&input| self.resolved[input].is_none())
                .chain(self.planner.maker_for(index))
                .map(|input| self.id(input))
                .collect();
            self.tell(&RunEvent::StageBlocked {
                stage: self.id(index),
                by,
            });
        }
        summary
    }
}
