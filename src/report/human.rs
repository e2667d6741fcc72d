//! Lines and progress bars for people, on standard error.

use super::{Reporter, bytes, count};
use crate::clock::{self, Stopwatch};
use crate::exec::{RunEvent, Slowness, StageOutcome};
use crate::plan::Cause;
use crate::progress::Report;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// Off a terminal, a running stage says how far it is this often, in seconds.
const LINE_EVERY: f64 = 15.0;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// A line a stage that runs.
    Normal,
    /// Fresh stages and notes as well.
    Verbose,
}

/// What is shown of a running stage.
struct Running {
    bar: Option<ProgressBar>,
    watch: Stopwatch,
    last_line: f64,
    metrics: BTreeMap<String, f64>,
}

/// Writes a run for people.
pub struct HumanReporter<W: Write> {
    out: W,
    verbosity: Verbosity,
    colour: bool,
    bars: Option<MultiProgress>,
    running: BTreeMap<String, Running>,
    width: usize,
    log: String,
}

impl<W: Write> HumanReporter<W> {
    /// Makes a reporter. With `bars`, running stages have progress bars on standard error; `width` is the width of the
    /// column of stage names; `log` is the path of the event log, named when something failed.
    pub fn new(
        out: W,
        verbosity: Verbosity,
        colour: bool,
        bars: bool,
        width: usize,
        log: String,
    ) -> Self {
        let bars = (bars && verbosity > Verbosity::Quiet)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self {
            out,
            verbosity,
            colour,
            bars,
            running: BTreeMap::new(),
            width,
            log,
        }
    }

    fn say(&mut self, least: Verbosity, text: &str) {
        if self.verbosity < least {
            return;
        }
        if let Some(bars) = &self.bars {
            let out = &mut self.out;
            bars.suspend(|| {
                let _ = writeln!(out, "{text}");
            });
        } else {
            // Nobody reads any more: not a reason to stop computing.
            let _ = writeln!(self.out, "{text}");
        }
    }

    fn verb(&self, verb: &str, colour: &str) -> String {
        if self.colour {
            format!("\x1b[1;{colour}m{verb:>8}\x1b[0m")
        } else {
            format!("{verb:>8}")
        }
    }

    fn line(&mut self, least: Verbosity, verb: &str, colour: &str, stage: &str, rest: &str) {
        let verb = self.verb(verb, colour);
        let text = if rest.is_empty() {
            format!("{verb} {stage}")
        } else {
            format!("{verb} {stage:<width$}  {rest}", width = self.width)
        };
        self.say(least, text.trim_end());
    }

    fn started(&mut self, stage: &str, causes: &[Cause], attempt: u32, gpus: &[String]) {
        let mut why = match causes {
            _ if attempt > 1 => format!("(attempt {attempt})"),
            [] => String::new(),
            [cause] => format!("({cause})"),
            [first, rest @ ..] => format!("({first}; and {} more)", rest.len()),
        };
        if !gpus.is_empty() {
            let _ = write!(why, "  GPU {}", gpus.join(","));
        }
        self.line(Verbosity::Normal, "Running", "36", stage, &why);
        if let ([_, rest @ ..], 1) = (causes, attempt) {
            for cause in rest {
                self.say(Verbosity::Verbose, &format!("{:>9}{cause}", ""));
            }
        }
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_prefix(stage.to_owned());
            let template = "{spinner} {prefix} {bar:24} {pos}/{len} {msg} [{elapsed}, {eta} left]";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        self.running.insert(
            stage.to_owned(),
            Running {
                bar,
                watch: Stopwatch::start(),
                last_line: 0.0,
                metrics: BTreeMap::new(),
            },
        );
    }

    fn report(&mut self, stage: &str, report: &Report) {
        match report {
            Report::Tick { phase, done, total } => {
                let Some(running) = self.running.get_mut(stage) else {
                    return;
                };
                let metrics = metrics_text(&running.metrics);
                if let Some(bar) = &running.bar {
                    bar.set_length(*total);
                    bar.set_position(*done);
                    bar.set_message(format!("{phase}{metrics}"));
                    return;
                }
                let now = running.watch.seconds();
                if now - running.last_line < LINE_EVERY {
                    return;
                }
                running.last_line = now;
                let percent = 100.0 * *done as f64 / (*total).max(1) as f64;
                let rest = format!("{phase} {done} of {total} ({percent:.0} %){metrics}");
                self.line(Verbosity::Normal, "…", "36", stage, &rest);
            }
            Report::Metric { name, value, .. } => {
                if let Some(running) = self.running.get_mut(stage) {
                    running.metrics.insert(name.clone(), *value);
                }
            }
            Report::Memory { .. } => {}
            Report::Note { text } => self.line(Verbosity::Verbose, "Note", "2", stage, text),
            Report::Warning { text } => self.line(Verbosity::Normal, "Warning", "33", stage, text),
        }
    }

    fn clear(&mut self, stage: &str) {
        if let Some(Running { bar: Some(bar), .. }) = self.running.remove(stage) {
            bar.finish_and_clear();
        }
    }

    /// Lines below a stage's own.
    fn below(&mut self, least: Verbosity, text: &str) {
        for line in text.lines() {
            self.say(least, &format!("{:>9}{line}", ""));
        }
    }

    fn slow(&mut self, stage: &str, seconds: f64, slowness: &Slowness) {
        let runs = format!("has run for {}", clock::human(seconds));
        let rest = match slowness {
            Slowness::Limit { seconds } => {
                format!("{runs}; its `slow` is {}", clock::human(*seconds))
            }
            Slowness::Usual { seconds } => {
                format!("{runs}; its last success took {}", clock::human(*seconds))
            }
            Slowness::Silent { seconds } => {
                format!("{runs}, the last {} without a word", clock::human(*seconds))
            }
        };
        self.line(Verbosity::Normal, "Slow", "33", stage, &rest);
    }

    fn ended(&mut self, stage: &str, outcome: &StageOutcome, seconds: f64) {
        self.clear(stage);
        let time = clock::human(seconds);
        match outcome {
            StageOutcome::Done {
                peak_memory,
                summary,
                ..
            } => {
                let memory = peak_memory.map_or_else(String::new, |n| format!(", {}", bytes(n)));
                let rest = format!("{time}{memory}{}", summary_text(summary));
                self.line(Verbosity::Normal, "Done", "32", stage, &rest);
            }
            StageOutcome::Failed { message } => {
                self.line(
                    Verbosity::Quiet,
                    "Failed",
                    "31",
                    stage,
                    &format!("after {time}"),
                );
                self.below(Verbosity::Quiet, message);
            }
            StageOutcome::Stopped => {
                let rest = format!("after {time}; the next run goes on from its last checkpoint");
                self.line(Verbosity::Quiet, "Stopped", "33", stage, &rest);
            }
        }
    }
}

/// At most three numbers: evaluation before training, as that is what a person waits for.
fn metrics_text(metrics: &BTreeMap<String, f64>) -> String {
    let mut text = String::new();
    for (name, value) in metrics.iter().take(3) {
        let _ = write!(text, "  {name} {value:.4}");
    }
    text
}

/// At most four of the counts that a stage wrote.
fn summary_text(summary: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in summary.iter().take(4) {
        let _ = write!(text, "  {name} {}", plain(value));
    }
    text
}

/// A value of a summary: numbers short, texts without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            if number.abs() >= 1000.0 {
                format!("{number:.1}")
            } else {
                format!("{number:.4}")
            }
        }
        other => other.to_string(),
    }
}

impl<W: Write> Reporter for HumanReporter<W> {
    fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted {
                pipeline,
                profile,
                stages,
                ..
            } => {
                let profile = profile
                    .as_ref()
                    .map_or_else(String::new, |name| format!(", profile `{name}`"));
                let text = format!("{pipeline}{profile}: {}", count(*stages, "stage"));
                self.say(Verbosity::Normal, &text);
            }
            RunEvent::GitRead { .. } => {}
            RunEvent::StageFresh {
                stage,
                saved_seconds,
                ..
            } => {
                let rest = format!("(took {} when it ran)", clock::human(*saved_seconds));
                self.line(Verbosity::Verbose, "Fresh", "32", stage, &rest);
            }
            RunEvent::StageDamaged { stage, damage } => {
                let rest = format!("{damage}; it runs again");
                self.line(Verbosity::Quiet, "Damaged", "33", stage, &rest);
            }
            RunEvent::CacheRepaired { text } => {
                self.line(Verbosity::Quiet, "Damaged", "33", "cache", text);
            }
            RunEvent::StageWaiting { stage, .. } => {
                let rest = "another process is computing it; its result will be used";
                self.line(Verbosity::Normal, "Waiting", "36", stage, rest);
            }
            RunEvent::StageStarted {
                stage,
                causes,
                attempt,
                gpus,
                ..
            } => self.started(stage, causes, *attempt, gpus),
            RunEvent::StageSlow {
                stage,
                seconds,
                slowness,
            } => self.slow(stage, *seconds, slowness),
            RunEvent::StageRetrying {
                stage,
                attempt,
                attempts,
                reason,
                seconds,
                wait_seconds,
            } => {
                self.clear(stage);
                let rest = format!(
                    "in {}: attempt {attempt} of {attempts} failed after {}",
                    clock::human(*wait_seconds),
                    clock::human(*seconds)
                );
                self.line(Verbosity::Normal, "Retrying", "33", stage, &rest);
                self.below(Verbosity::Normal, reason);
            }
            RunEvent::StageReport { stage, report } => self.report(stage, report),
            RunEvent::StageEnded {
                stage,
                outcome,
                seconds,
            } => self.ended(stage, outcome, *seconds),
            RunEvent::StageBlocked { stage, by } => {
                let rest = if by.is_empty() {
                    "not started".to_owned()
                } else {
                    format!("needs `{}`", by.join("`, `"))
                };
                self.line(Verbosity::Normal, "Blocked", "33", stage, &rest);
            }
            RunEvent::FailingFast { stage } => {
                let text = format!("Stopping: `{stage}` failed. Running stages save their state.");
                self.say(Verbosity::Quiet, &text);
            }
            RunEvent::Stopping { at_once } => {
                let text = if *at_once {
                    "Stopping now."
                } else {
                    "Stopping: running stages save their state. Press Ctrl-C again to kill them."
                };
                self.say(Verbosity::Quiet, text);
            }
            RunEvent::RunEnded {
                ran,
                fresh,
                failed,
                blocked,
                stopped,
                seconds,
                saved_seconds,
            } => {
                let mut parts = vec![format!("{ran} ran"), format!("{fresh} fresh")];
                for (n, word) in [
                    (failed, "failed"),
                    (blocked, "blocked"),
                    (stopped, "stopped"),
                ] {
                    if *n > 0 {
                        parts.push(format!("{n} {word}"));
                    }
                }
                let saved = if *saved_seconds >= 1.0 {
                    format!(", {} saved", clock::human(*saved_seconds))
                } else {
                    String::new()
                };
                let text = format!("{} in {}{saved}", parts.join(", "), clock::human(*seconds));
                self.say(Verbosity::Normal, &text);
                if *failed > 0 {
                    let text = format!("events: {}", self.log);
                    self.say(Verbosity::Quiet, &text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Damage;
    use crate::key::{Change, Fingerprint, Hash};
    use serde_json::json;

    fn hash() -> Hash {
        Fingerprint::default().key()
    }

    /// Every kind of event that a person can meet.
    fn events() -> Vec<RunEvent> {
        let stage = |name: &str| name.to_owned();
        let changed = |name: &str, old: &str, new: &str| {
            Cause::Changed(Change {
                name: name.to_owned(),
                old: Some(old.to_owned()),
                new: Some(new.to_owned()),
            })
        };
        let summary = json!({"items": 240, "loss": 0.27084, "format": "demo"});
        let started = |name: &str, causes| RunEvent::StageStarted {
            stage: stage(name),
            kind: "fit-cf".to_owned(),
            key: hash(),
            fingerprint: Fingerprint::default(),
            causes,
            attempt: 1,
            gpus: Vec::new(),
        };
        let report = |name: &str, report| RunEvent::StageReport {
            stage: stage(name),
            report,
        };
        let ended = |name: &str, outcome| RunEvent::StageEnded {
            stage: stage(name),
            outcome,
            seconds: 75.04,
        };
        let slow = |seconds, slowness| RunEvent::StageSlow {
            stage: stage("lm"),
            seconds,
            slowness,
        };
        vec![
            RunEvent::RunStarted {
                format: 1,
                run: "r".to_owned(),
                pipeline: "table3".to_owned(),
                profile: Some("small".to_owned()),
                version: "0.1.0".to_owned(),
                command: Vec::new(),
                stages: 8,
            },
            RunEvent::StageFresh {
                stage: stage("catalog"),
                key: hash(),
                output: hash(),
                saved_seconds: 1.25,
            },
            RunEvent::StageDamaged {
                stage: stage("split"),
                damage: Damage::Content {
                    path: "train.parquet".to_owned(),
                },
            },
            RunEvent::StageWaiting {
                stage: stage("pairs"),
                key: hash(),
            },
            started("cf", vec![changed("params.factors", "64", "128")]),
            started(
                "phase2[arm=elm]",
                vec![changed("seed", "1", "2"), changed("version", "1", "2")],
            ),
            report(
                "cf",
                Report::Warning {
                    text: "two users have no history".to_owned(),
                },
            ),
            report(
                "cf",
                Report::Note {
                    text: "12 epochs".to_owned(),
                },
            ),
            ended(
                "cf",
                StageOutcome::Done {
                    output: hash(),
                    peak_memory: Some(52_428_800),
                    summary: summary.as_object().cloned().unwrap_or_default(),
                    durations: None,
                },
            ),
            ended(
                "phase2[arm=elm]",
                StageOutcome::Failed {
                    message: "the loss is NaN at step 7\nlower `learning_rate`".to_owned(),
                },
            ),
            RunEvent::StageStarted {
                stage: stage("lm"),
                kind: "backbone".to_owned(),
                key: hash(),
                fingerprint: Fingerprint::default(),
                causes: vec![Cause::New],
                attempt: 1,
                gpus: vec!["0".to_owned(), "3".to_owned()],
            },
            slow(40.0, Slowness::Limit { seconds: 30.0 }),
            slow(125.0, Slowness::Usual { seconds: 38.2 }),
            slow(700.0, Slowness::Silent { seconds: 600.0 }),
            RunEvent::StageRetrying {
                stage: stage("lm"),
                attempt: 1,
                attempts: 3,
                reason: "the worker was killed (signal 9)".to_owned(),
                seconds: 701.5,
                wait_seconds: 0.83,
            },
            RunEvent::StageStarted {
                stage: stage("lm"),
                kind: "backbone".to_owned(),
                key: hash(),
                fingerprint: Fingerprint::default(),
                causes: vec![Cause::New],
                attempt: 2,
                gpus: vec!["1".to_owned()],
            },
            RunEvent::FailingFast {
                stage: stage("phase2[arm=elm]"),
            },
            ended("lm", StageOutcome::Stopped),
            RunEvent::StageBlocked {
                stage: stage("table"),
                by: vec![stage("sc[arm=elm]"), stage("lm")],
            },
            RunEvent::StageBlocked {
                stage: stage("items"),
                by: Vec::new(),
            },
            RunEvent::Stopping { at_once: false },
            RunEvent::Stopping { at_once: true },
            RunEvent::RunEnded {
                ran: 1,
                fresh: 1,
                failed: 1,
                blocked: 2,
                stopped: 1,
                seconds: 75.3,
                saved_seconds: 1.25,
            },
        ]
    }

    fn told(verbosity: Verbosity) -> String {
        let mut out = Vec::new();
        let mut reporter = HumanReporter::new(
            &mut out,
            verbosity,
            false,
            false,
            15,
            "runs/r.jsonl".to_owned(),
        );
        for event in events() {
            reporter.event(&event);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_run_reads_well() {
        insta::assert_snapshot!(told(Verbosity::Verbose));
    }

    #[test]
    fn quiet_says_what_went_wrong_and_no_more() {
        insta::assert_snapshot!(told(Verbosity::Quiet));
    }
}
