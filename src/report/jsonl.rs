//! The event log of a run: one JSON object a line, each with a check of its bytes; the last is `run-ended`, unless the
//! runner was killed.

use super::Reporter;
use crate::clock::{self, Stopwatch};
use crate::exec::RunEvent;
use crate::formats::checked;
use crate::progress::Report;
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes events to a file as they come.
pub struct JsonLines {
    out: Option<BufWriter<fs_err::File>>,
    watch: Stopwatch,
}

#[derive(Serialize)]
struct Line<'a> {
    /// UTC, to the microsecond.
    time: String,
    /// Seconds since the log began, on a clock that nobody sets back.
    at: f64,
    #[serde(flatten)]
    event: &'a RunEvent,
}

impl JsonLines {
    /// Starts the log. A cache that cannot be written to has no log; the run goes on.
    pub fn create(path: &Path) -> Self {
        Self {
            out: fs_err::File::create(path).ok().map(BufWriter::new),
            watch: Stopwatch::start(),
        }
    }
}

impl Reporter for JsonLines {
    fn event(&mut self, event: &RunEvent) {
        // Ticks are for the eye; the stage's own log and this one keep what can be used later.
        if let RunEvent::StageReport {
            report: Report::Tick { .. },
            ..
        } = event
        {
            return;
        }
        let Some(out) = &mut self.out else { return };
        let line = Line {
            time: clock::precise_timestamp(clock::since_epoch_ns()),
            at: self.watch.seconds(),
            event,
        };
        let written = checked::to_text(&line).and_then(|text| writeln!(out, "{text}"));
        // Fresh stages come by the thousand and are flushed together; anything else is worth seeing at once.
        let flushed = match event {
            RunEvent::StageFresh { .. } => Ok(()),
            _ => out.flush(),
        };
        if written.and(flushed).is_err() {
            self.out = None;
        }
    }
}
