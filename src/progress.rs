//! How long work reports what it does, and how it is asked to stop.
//!
//! Domain rooms take a `&dyn Progress`; they know neither terminals nor processes.

use std::fmt;

/// One thing that happened inside a stage.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Report {
    /// `done` of `total` units of the part named `phase` are finished.
    Tick {
        /// What is being counted, for instance `epoch` or `step`.
        phase: String,
        /// Units finished.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// A named number at a step, for instance a loss.
    Metric {
        /// Step of the number, from 0.
        step: u64,
        /// Dotted name, for instance `eval.itc`.
        name: String,
        /// The value.
        value: f64,
    },
    /// How much memory the process that runs the stage has resident. Work itself does not report it.
    Memory {
        /// Bytes.
        resident: u64,
    },
    /// A sentence for the stage's log.
    Note {
        /// The sentence.
        text: String,
    },
    /// A sentence that a person should see.
    Warning {
        /// The sentence.
        text: String,
    },
}

/// The work was asked to stop; what was saved in scratch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked to stop")
    }
}

impl std::error::Error for Stopped {}

/// Where work sends its reports.
pub trait Progress {
    /// Takes one report. Returns [`Stopped`] when the work should end at the next safe place.
    fn report(&self, report: Report) -> Result<(), Stopped>;

    /// Reports `done` of `total` units of `phase`.
    fn tick(&self, phase: &str, done: u64, total: u64) -> Result<(), Stopped> {
        self.report(Report::Tick {
            phase: phase.to_owned(),
            done,
            total,
        })
    }

    /// Reports a named number.
    fn metric(&self, step: u64, name: &str, value: f64) -> Result<(), Stopped> {
        self.report(Report::Metric {
            step,
            name: name.to_owned(),
            value,
        })
    }

    /// Writes a sentence to the stage's log.
    fn note(&self, text: &str) -> Result<(), Stopped> {
        self.report(Report::Note {
            text: text.to_owned(),
        })
    }

    /// Shows a sentence to the person who runs the pipeline.
    fn warn(&self, text: &str) -> Result<(), Stopped> {
        self.report(Report::Warning {
            text: text.to_owned(),
        })
    }
}

/// Takes every report and does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _report: Report) -> Result<(), Stopped> {
        Ok(())
    }
}
