//! What people and logs see of a run. Reporters know events and nothing else.

mod history;
mod human;
mod jsonl;
mod stage_logs;

pub use history::{LastRun, last_run};
pub(crate) use human::plain;
pub use human::{HumanReporter, Verbosity};
pub use jsonl::JsonLines;
pub use stage_logs::{AttemptLog, LogLine, StageLogs, read_log};

use crate::exec::RunEvent;

/// Takes the events of a run, in order.
pub trait Reporter {
    /// Takes one event.
    fn event(&mut self, event: &RunEvent);
}

/// `1 stage`, `2 stages`.
pub fn count(n: usize, thing: &str) -> String {
    if n == 1 {
        format!("1 {thing}")
    } else {
        format!("{n} {thing}s")
    }
}

/// A number of bytes for people: `512 B`, `3.4 MiB`.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{n} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_sizes_read_well() {
        assert_eq!(count(1, "stage"), "1 stage");
        assert_eq!(count(0, "stage"), "0 stages");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
