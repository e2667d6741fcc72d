//! What a person sees of a download.

use crate::cli::{Printer, Settings};
use crate::clock::Stopwatch;
use crate::progress::{Progress, Report, Stopped};
use crate::report::{Verbosity, bytes};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Off a terminal, a download says how far it is this often, in seconds.
const LINE_EVERY: f64 = 15.0;

/// Shows progress on standard error, and stops when Ctrl-C was pressed.
pub(super) struct Shown {
    stop: Arc<AtomicBool>,
    verbosity: Verbosity,
    bars: bool,
    printer: Printer,
    phase: RefCell<Option<Phase>>,
}

struct Phase {
    name: String,
    bar: Option<ProgressBar>,
    since_line: Stopwatch,
}

impl Shown {
    /// Takes over the signals of this process.
    pub(super) fn new(settings: &Settings, printer: Printer) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&stop);
        ctrlc::set_handler(move || set.store(true, Ordering::Relaxed))
            .map_err(std::io::Error::other)?;
        Ok(Self {
            stop,
            verbosity: settings.verbosity,
            bars: settings.bars && settings.verbosity > Verbosity::Quiet,
            printer,
            phase: RefCell::new(None),
        })
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(Phase { bar: Some(bar), .. }) = self.phase.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    /// Says a sentence above the bar.
    pub(super) fn say(&self, least: Verbosity, text: &str) {
        if self.verbosity < least {
            return;
        }
        match &*self.phase.borrow() {
            Some(Phase { bar: Some(bar), .. }) => bar.suspend(|| self.printer.talk(text)),
            _ => self.printer.talk(text),
        }
    }

    fn tick(&self, name: &str, done: u64, total: u64) {
        let other = self
            .phase
            .borrow()
            .as_ref()
            .is_none_or(|phase| phase.name != name);
        if other {
            self.clear();
            let bar = self.bars.then(|| bar(name, total));
            *self.phase.borrow_mut() = Some(Phase {
                name: name.to_owned(),
                bar,
                since_line: Stopwatch::start(),
            });
        }
        let mut phase = self.phase.borrow_mut();
        let Some(phase) = phase.as_mut() else { return };
        if let Some(bar) = &phase.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if phase.since_line.seconds() >= LINE_EVERY && self.verbosity > Verbosity::Quiet {
            phase.since_line = Stopwatch::start();
            let percent = 100.0 * done as f64 / total.max(1) as f64;
            let text = format!(
                "{name}: {} of {} ({percent:.0} %)",
                bytes(done),
                bytes(total)
            );
            self.printer.talk(&text);
        }
    }
}

fn bar(name: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    bar.set_prefix(name.to_owned());
    let template = "{prefix} {bar:24} {binary_bytes} of {binary_total_bytes} at {binary_bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl Progress for Shown {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        match report {
            Report::Tick { phase, done, total } if !phase.is_empty() => {
                self.tick(&phase, done, total);
            }
            Report::Tick { .. } | Report::Metric { .. } | Report::Memory { .. } => {}
            Report::Note { text } => self.say(Verbosity::Normal, &text),
            Report::Warning { text } => self.say(Verbosity::Quiet, &text),
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        Ok(())
    }
}
