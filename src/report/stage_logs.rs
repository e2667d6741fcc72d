//! The log of each stage: what every attempt reported, kept beside the result and shown again on a hit.

use super::Reporter;
use crate::clock;
use crate::exec::{RunEvent, StageOutcome};
use crate::formats::checked;
use crate::key::Hash;
use crate::progress::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One line of a stage's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum LogLine {
    /// An attempt begins.
    Begin {
        /// UTC.
        time: String,
        /// The run.
        run: String,
        /// The pipeline.
        pipeline: String,
        /// The stage.
        stage: String,
        /// 1, and one more for each retry of the same run.
        number: u32,
    },
    /// The stage reported something.
    Report {
        /// UTC.
        time: String,
        /// What.
        report: Report,
    },
    /// The attempt is over.
    End {
        /// UTC.
        time: String,
        /// Seconds it took.
        seconds: f64,
        /// `done`, `stopped`, or why it failed.
        outcome: String,
    },
}

/// One attempt to compute a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AttemptLog {
    /// The run; empty when the line that tells it is damaged.
    pub run: String,
    /// The pipeline that asked.
    pub pipeline: String,
    /// The stage of it.
    pub stage: String,
    /// 1, and one more for each retry of the same run.
    pub number: u32,
    /// When it began, UTC.
    pub began: String,
    /// What it reported, each with its time, UTC.
    pub reports: Vec<(String, Report)>,
    /// How it ended; none while it runs, or when its runner was killed.
    pub outcome: Option<String>,
    /// Seconds it took.
    pub seconds: Option<f64>,
    /// Lines that are not as they were written and are left out.
    pub damaged: usize,
}

/// Writes the logs of the stages that run.
pub struct StageLogs<F: Fn(&Hash) -> PathBuf> {
    /// Where the log of a key is.
    place: F,
    run: String,
    pipeline: String,
    open: BTreeMap<String, fs_err::File>,
}

impl<F: Fn(&Hash) -> PathBuf> StageLogs<F> {
    /// Makes a reporter; `place` says where the log of a key is.
    pub fn new(place: F) -> Self {
        Self {
            place,
            run: String::new(),
            pipeline: String::new(),
            open: BTreeMap::new(),
        }
    }

    /// A log that cannot be written must not lose a result.
    fn write(&mut self, stage: &str, line: &LogLine) {
        if let (Some(file), Ok(text)) = (self.open.get_mut(stage), checked::to_text(line)) {
            // One write a line, so that those of two processes do not mix.
            let _ = file.write_all(format!("{text}\n").as_bytes());
        }
    }
}

fn now() -> String {
    clock::timestamp(clock::since_epoch_ns())
}

impl<F: Fn(&Hash) -> PathBuf> Reporter for StageLogs<F> {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { run, pipeline, .. } => {
                self.run.clone_from(run);
                self.pipeline.clone_from(pipeline);
            }
            RunEvent::StageStarted {
                stage,
                key,
                attempt,
                ..
            } => {
                let file = fs_err::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open((self.place)(key));
                if let Ok(file) = file {
                    self.open.insert(stage.clone(), file);
                }
                let line = LogLine::Begin {
                    time: now(),
                    run: self.run.clone(),
                    pipeline: self.pipeline.clone(),
                    stage: stage.clone(),
                    number: *attempt,
                };
                self.write(stage, &line);
            }
            RunEvent::StageRetrying {
                stage,
                reason,
                seconds,
                ..
            } => {
                let line = LogLine::End {
                    time: now(),
                    seconds: *seconds,
                    outcome: format!("failed: {reason}"),
                };
                self.write(stage, &line);
            }
            // Ticks are for the eye.
            RunEvent::StageReport {
                report: Report::Tick { .. },
                ..
            } => {}
            RunEvent::StageReport { stage, report } => {
                let line = LogLine::Report {
                    time: now(),
                    report: report.clone(),
                };
                self.write(stage, &line);
            }
            RunEvent::StageEnded {
                stage,
                outcome,
                seconds,
            } => {
                let line = LogLine::End {
                    time: now(),
                    seconds: *seconds,
                    outcome: match outcome {
                        StageOutcome::Done { .. } => "done".to_owned(),
                        StageOutcome::Stopped => "stopped".to_owned(),
                        StageOutcome::Failed { message } => format!("failed: {message}"),
                    },
                };
                self.write(stage, &line);
                self.open.remove(stage);
            }
            _ => {}
        }
    }
}

/// Reads a log, attempt by attempt, oldest first. A line that is damaged is counted and left out.
pub fn read_log(path: &Path) -> std::io::Result<Vec<AttemptLog>> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attempts: Vec<AttemptLog> = Vec::new();
    // What stands after the last end of a line is being written.
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") {
            continue;
        }
        match checked::from_text::<LogLine>(line) {
            Some(LogLine::Begin {
                time,
                run,
                pipeline,
                stage,
                number,
            }) => attempts.push(AttemptLog {
                run,
                pipeline,
                stage,
                number,
                began: time,
                ..AttemptLog::default()
            }),
            Some(LogLine::Report { time, report }) => {
                last(&mut attempts).reports.push((time, report));
            }
            Some(LogLine::End {
                seconds, outcome, ..
            }) => {
                let attempt = last(&mut attempts);
                attempt.outcome = Some(outcome);
                attempt.seconds = Some(seconds);
            }
            None => last(&mut attempts).damaged += 1,
        }
    }
    Ok(attempts)
}

fn last(attempts: &mut Vec<AttemptLog>) -> &mut AttemptLog {
    if attempts.is_empty() {
        attempts.push(AttemptLog::default());
    }
    let at = attempts.len() - 1;
    &mut attempts[at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Fingerprint;

    #[test]
    fn attempts_follow_one_another_in_the_log_of_their_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        for (run, message) in [("one", Some("no")), ("two", None)] {
            let mut logs = StageLogs::new(|_: &Hash| path.clone());
            let stage = "cf".to_owned();
            logs.event(&RunEvent::RunStarted {
                format: 1,
                run: run.to_owned(),
                pipeline: "p".to_owned(),
                profile: None,
                version: String::new(),
                command: Vec::new(),
                stages: 1,
            });
            logs.event(&RunEvent::StageStarted {
                stage: stage.clone(),
                kind: "fit-cf".to_owned(),
                key: Fingerprint::default().key(),
                fingerprint: Fingerprint::default(),
                causes: Vec::new(),
                attempt: 1,
                gpus: Vec::new(),
            });
            let reports = [
                Report::Note {
                    text: run.to_owned(),
                },
                Report::Tick {
                    phase: String::new(),
                    done: 1,
                    total: 2,
                },
            ];
            for report in reports {
                logs.event(&RunEvent::StageReport {
                    stage: stage.clone(),
                    report,
                });
            }
            logs.event(&RunEvent::StageEnded {
                stage,
                outcome: message.map_or(StageOutcome::Stopped, |message| StageOutcome::Failed {
                    message: message.to_owned(),
                }),
                seconds: 1.0,
            });
        }
        let attempts = read_log(&path).expect("read");
        let told: Vec<_> = attempts
            .iter()
            .map(|a| (a.run.as_str(), a.reports.len(), a.outcome.as_deref()))
            .collect();
        assert_eq!(
            told,
            [("one", 1, Some("failed: no")), ("two", 1, Some("stopped"))]
        );
    }

    #[test]
    fn a_damaged_line_is_counted_and_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        assert!(read_log(&path).expect("read").is_empty());
        let line = checked::to_text(&LogLine::Report {
            time: String::new(),
            report: Report::Note {
                text: "hello".to_owned(),
            },
        })
        .expect("text");
        let flipped = line.replace("hello", "hellp");
        fs_err::write(&path, format!("{line}\n{flipped}\n{{\"check")).expect("written");
        let attempts = read_log(&path).expect("read");
        assert_eq!(attempts.len(), 1);
        assert_eq!((attempts[0].reports.len(), attempts[0].damaged), (1, 1));
    }
}
