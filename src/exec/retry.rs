//! Trying again: how long to wait, and whether it can help.

use super::child::Exit;
use super::limits::StopReason;
use super::protocol::WorkerMessage;
use crate::key::Hash;
use crate::seed::Seed;
use crate::spec::Execution;
use rand::Rng as _;
use std::time::Duration;

/// The wait stops growing here, unless the stage's `backoff` is longer.
const LONGEST: Duration = Duration::from_mins(10);

/// The wait after the failure of an attempt, counted from 1: doubled for each, and up to a half shorter, so that
/// stages that failed together do not come back together. The same for the same key.
pub(super) fn wait(execution: &Execution, key: &Hash, attempt: u32) -> Duration {
    let doubled = 2u32
        .checked_pow(attempt.saturating_sub(1))
        .and_then(|factor| execution.backoff.checked_mul(factor))
        .unwrap_or(LONGEST);
    let most = doubled.min(LONGEST.max(execution.backoff));
    let jitter = seed(key).at(u64::from(attempt)).rng().gen_range(0.5..1.0);
    most.mul_f64(jitter)
}

fn seed(key: &Hash) -> Seed {
    let number = key
        .hex()
        .bytes()
        .take(16)
        .filter_map(|digit| char::from(digit).to_digit(16))
        .fold(0u64, |number, digit| number << 4 | u64::from(digit));
    Seed::new(number).child("retry")
}

/// Whether an attempt that made no artifact ended for a reason that may be gone the next time: it failed, crashed or
/// took too long. What a rerun cannot mend is said by the worker; a result that cannot be recorded, because the files
/// that it was made from changed or because it is none, is not made again either.
pub(super) fn may_help(exit: &Exit, stopped: Option<StopReason>) -> bool {
    match (&exit.last, stopped) {
        (Some(WorkerMessage::Done { .. }), _) => false,
        (_, Some(reason)) => reason == StopReason::Timeout,
        (Some(WorkerMessage::Failed { lasting, .. }), None) => !lasting,
        (Some(WorkerMessage::Stopped | WorkerMessage::Report { .. }) | None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Fingerprint;

    fn execution(backoff: Duration) -> Execution {
        Execution {
            backoff,
            ..Execution::default()
        }
    }

    #[test]
    fn waits_double_and_jitter_stays_within_a_half() {
        let key = Fingerprint::default().key();
        let execution = execution(Duration::from_secs(4));
        for (attempt, most) in [(1, 4.0), (2, 8.0), (3, 16.0), (9, 600.0), (90, 600.0)] {
            let seconds = wait(&execution, &key, attempt).as_secs_f64();
            assert!(
                (most / 2.0..=most).contains(&seconds),
                "{attempt}: {seconds}"
            );
            assert_eq!(wait(&execution, &key, attempt).as_secs_f64(), seconds);
        }
        let (first, second) = (wait(&execution, &key, 1), wait(&execution, &key, 2));
        assert_ne!(first * 2, second, "the jitter of each attempt is its own");
    }

    #[test]
    fn a_long_backoff_is_not_cut() {
        let key = Fingerprint::default().key();
        let hour = Duration::from_hours(1);
        assert!(wait(&execution(hour), &key, 5) >= hour / 2);
    }

    #[test]
    fn what_cannot_be_mended_is_not_tried_again() {
        let exit = |last| Exit {
            status: Ok(std::process::ExitStatus::default()),
            last,
            stderr: Vec::new(),
        };
        let failed = |lasting| {
            Some(WorkerMessage::Failed {
                text: "no".to_owned(),
                lasting,
            })
        };
        assert!(may_help(&exit(failed(false)), None));
        assert!(!may_help(&exit(failed(true)), None));
        assert!(may_help(&exit(None), None), "a crash");
        assert!(may_help(&exit(None), Some(StopReason::Timeout)));
        let stopped = || exit(Some(WorkerMessage::Stopped));
        assert!(may_help(&stopped(), Some(StopReason::Timeout)));
        assert!(!may_help(&stopped(), Some(StopReason::Person)));
        assert!(!may_help(&stopped(), Some(StopReason::Failure)));
        let done = WorkerMessage::Done {
            peak_memory: None,
            device: None,
        };
        assert!(!may_help(&exit(Some(done)), None));
    }
}
