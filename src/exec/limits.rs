//! What is watched while a stage runs: its time limit, whether it is slower than usual, whether it is silent, and that
//! it ends when it was asked to.

use super::event::Slowness;
use crate::spec::Execution;

/// A stage that was asked to stop has this long to save what it has, in seconds; then it is killed.
const GRACE: f64 = 5.0;

/// A stage is slow when it takes this many times as long as its last success …
const SLOW_FACTOR: f64 = 3.0;
/// … and at least this long, in seconds.
const SLOW_LEAST: f64 = 60.0;

/// A stage that has said nothing for so long is worth a word, in seconds.
const SILENT: f64 = 600.0;

/// What one attempt is held to. Times are seconds since its start.
#[derive(Debug)]
pub(super) struct Limits {
    timeout: Option<f64>,
    slow: Option<(f64, Slowness)>,
    /// When it last reported something.
    heard: f64,
    told_silent: bool,
    stop: Option<Stop>,
}

/// Why a running stage was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A person stopped the run.
    Person,
    /// Another stage failed.
    Failure,
    /// It took longer than its `timeout`.
    Timeout,
}

#[derive(Debug)]
struct Stop {
    reason: StopReason,
    /// When it is killed. A person decides that with a second Ctrl-C.
    kill_at: Option<f64>,
}

/// What is to be done about a running stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Due {
    /// Ask it to stop.
    Stop,
    /// Kill it.
    Kill,
    /// Tell a person.
    Tell(Slowness),
}

impl Limits {
    /// The limits of an attempt. `usual` is how long the stage's last success took.
    pub(super) fn new(execution: &Execution, usual: Option<f64>) -> Self {
        let slow = match (execution.slow, usual) {
            (Some(limit), _) => {
                let limit = limit.as_secs_f64();
                Some((limit, Slowness::Limit { seconds: limit }))
            }
            (None, Some(usual)) => Some((
                (SLOW_FACTOR * usual).max(SLOW_LEAST),
                Slowness::Usual { seconds: usual },
            )),
            (None, None) => None,
        };
        Self {
            timeout: execution.timeout.map(|time| time.as_secs_f64()),
            slow,
            heard: 0.0,
            told_silent: false,
            stop: None,
        }
    }

    /// Notes that the stage reported something.
    pub(super) fn heard(&mut self, now: f64) {
        self.heard = now;
        self.told_silent = false;
    }

    /// Notes that the stage is asked to stop. The first reason stands.
    pub(super) fn stop(&mut self, reason: StopReason, now: f64) {
        let kill_at = (reason != StopReason::Person).then_some(now + GRACE);
        self.stop.get_or_insert(Stop { reason, kill_at });
    }

    /// Why it was asked to stop, if it was.
    pub(super) fn stopped(&self) -> Option<StopReason> {
        self.stop.as_ref().map(|stop| stop.reason)
    }

    /// What is due now. Each thing is said once; silence again after the stage was heard of.
    pub(super) fn look(&mut self, now: f64) -> Option<Due> {
        if let Some(stop) = &mut self.stop {
            stop.kill_at.filter(|&at| now >= at)?;
            stop.kill_at = None;
            return Some(Due::Kill);
        }
        if self.timeout.is_some_and(|limit| now > limit) {
            self.stop(StopReason::Timeout, now);
            return Some(Due::Stop);
        }
        if let Some((_, slowness)) = self.slow.take_if(|(after, _)| now > *after) {
            return Some(Due::Tell(slowness));
        }
        let silent = now - self.heard;
        if silent > SILENT && !self.told_silent {
            self.told_silent = true;
            return Some(Due::Tell(Slowness::Silent { seconds: silent }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_stage_without_a_past_is_never_slow() {
        let mut limits = Limits::new(&Execution::default(), None);
        limits.heard(99_999.0);
        assert_eq!(limits.look(100_000.0), None);
    }

    #[test]
    fn three_times_the_last_success_is_slow_but_less_than_a_minute_never() {
        let mut short = Limits::new(&Execution::default(), Some(2.0));
        assert_eq!(short.look(59.0), None);
        let usual = Slowness::Usual { seconds: 2.0 };
        assert_eq!(short.look(61.0), Some(Due::Tell(usual)));
        assert_eq!(short.look(62.0), None, "it is said once");
        let mut long = Limits::new(&Execution::default(), Some(100.0));
        long.heard(250.0);
        assert_eq!(long.look(299.0), None);
        assert!(long.look(301.0).is_some());
    }

    #[test]
    fn a_limit_of_its_own_stands_in_place_of_the_past() {
        let execution = Execution {
            slow: Some(Duration::from_secs(10)),
            ..Execution::default()
        };
        let mut limits = Limits::new(&execution, Some(1000.0));
        assert_eq!(limits.look(9.0), None);
        let due = Due::Tell(Slowness::Limit { seconds: 10.0 });
        assert_eq!(limits.look(11.0), Some(due));
    }

    #[test]
    fn silence_is_told_again_after_a_word() {
        let mut limits = Limits::new(&Execution::default(), None);
        assert_eq!(limits.look(599.0), None);
        let due = Due::Tell(Slowness::Silent { seconds: 601.0 });
        assert_eq!(limits.look(601.0), Some(due));
        assert_eq!(limits.look(700.0), None);
        limits.heard(700.0);
        assert_eq!(limits.look(1300.0), None);
        assert!(limits.look(1301.0).is_some());
    }

    #[test]
    fn a_stage_that_does_not_stop_at_its_time_limit_is_killed() {
        let execution = Execution {
            timeout: Some(Duration::from_secs(10)),
            ..Execution::default()
        };
        let mut limits = Limits::new(&execution, None);
        assert_eq!(limits.look(10.0), None);
        assert_eq!(limits.look(10.1), Some(Due::Stop));
        assert_eq!(limits.stopped(), Some(StopReason::Timeout));
        assert_eq!(limits.look(15.0), None);
        assert_eq!(limits.look(15.2), Some(Due::Kill));
        assert_eq!(limits.look(30.0), None);
    }

    #[test]
    fn a_person_decides_when_to_kill() {
        let execution = Execution {
            timeout: Some(Duration::from_secs(10)),
            ..Execution::default()
        };
        let mut limits = Limits::new(&execution, None);
        limits.stop(StopReason::Person, 1.0);
        assert_eq!(limits.look(1000.0), None);
        assert_eq!(limits.stopped(), Some(StopReason::Person));
    }
}
