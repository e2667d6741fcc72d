//! One event log, read back.

use super::HistoryError;
use crate::clock;
use crate::exec::RunEvent;
use crate::formats::checked;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// One event and when it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Seconds since the log began.
    pub at: f64,
    /// What happened.
    pub event: RunEvent,
}

/// A run, as its log tells it.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// Name of the run.
    pub run: String,
    /// When the log began, UTC: `2026-11-23T06:00:00.123456Z`.
    pub started: String,
    /// What happened, in order; the first is [`RunEvent::RunStarted`].
    pub entries: Vec<Entry>,
    /// Lines that say nothing to this version of the program, and half a line where the run was killed.
    pub skipped: usize,
}

/// A line of a log. Logs of older programs have no `at`.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) time: String,
    at: Option<f64>,
    #[serde(flatten)]
    pub(super) event: RunEvent,
}

/// Reads a line. One whose check says that it is not as it was written is not believed; those of older programs have
/// none.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let checked = line.starts_with(b"{\"check\":");
    if checked && !checked::is_intact(line) {
        return None;
    }
    serde_json::from_slice(line).ok()
}

impl RunLog {
    /// Reads the log of the run `run` at `path`.
    pub fn read(run: &str, path: &Path) -> Result<Self, HistoryError> {
        let mut log = Self {
            run: run.to_owned(),
            started: String::new(),
            entries: Vec::new(),
            skipped: 0,
        };
        let mut began_ns = 0;
        for line in BufReader::new(fs_err::File::open(path)?).split(b'\n') {
            let Some(line) = parse::<Line>(&line?) else {
                log.skipped += 1;
                continue;
            };
            let time_ns = clock::parse_timestamp(&line.time).unwrap_or(began_ns);
            if log.entries.is_empty() {
                began_ns = time_ns;
                log.started = line.time;
            }
            let since = (time_ns - began_ns) as f64 / 1e9;
            log.entries.push(Entry {
                at: line.at.unwrap_or(since).max(0.0),
                event: line.event,
            });
        }
        match log.entries.first() {
            Some(Entry {
                event: RunEvent::RunStarted { .. },
                ..
            }) => Ok(log),
            _ => Err(HistoryError::Unreadable {
                run: run.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::runs_in;
    use crate::progress::Report;

    const STARTED: &str = r#"{"time":"2026-11-23T06:00:00.250000Z","at":0.001,"event":"run-started","format":1,"run":"r","pipeline":"p","profile":null,"version":"0.1.0","command":["ilm-pipe"],"stages":1}"#;

    #[test]
    fn a_log_of_a_killed_run_of_another_version_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.jsonl");
        let metric = r#"{"time":"2026-11-23T06:00:01.250000Z","event":"stage-report","stage":"a","report":{"event":"metric","step":3,"name":"train.loss","value":0.5}}"#;
        let new = r#"{"time":"2026-11-23T06:00:02Z","event":"stage-teleported","stage":"a"}"#;
        let text = format!("{STARTED}\n{metric}\n{new}\n{{\"time\":\"2026");
        fs_err::write(&path, text).expect("written");
        let log = RunLog::read("r", &path).expect("a log");
        assert_eq!((log.entries.len(), log.skipped), (2, 2));
        assert_eq!(
            log.entries[1].at, 1.0,
            "without `at`, the time of day tells"
        );
        let RunEvent::StageReport { report, .. } = &log.entries[1].event else {
            panic!("{:?}", log.entries[1]);
        };
        let expected = Report::Metric {
            step: 3,
            name: "train.loss".to_owned(),
            value: 0.5,
        };
        assert_eq!(report, &expected);
        assert_eq!(runs_in(folder.path()).len(), 1);
    }

    #[test]
    fn a_line_that_is_not_as_it_was_written_is_not_believed() {
        let text = checked::to_text(&serde_json::json!({"a": 1})).expect("text");
        let read = |text: &str| parse::<serde_json::Value>(text.as_bytes());
        assert!(read(&text).is_some());
        assert_eq!(read(&text.replace("\"a\":1", "\"a\":2")), None);
        assert!(read("{\"a\":2}").is_some(), "an older log has no checks");
    }

    #[test]
    fn what_does_not_begin_like_a_log_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.jsonl");
        fs_err::write(&path, "{}\n").expect("written");
        let error = RunLog::read("r", &path).expect_err("no log");
        assert_eq!(
            error.to_string(),
            "the log of run `r` has no readable beginning"
        );
        assert!(runs_in(folder.path()).is_empty(), "nor is it listed");
    }
}
