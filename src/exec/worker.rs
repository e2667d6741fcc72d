//! The worker's side: read the task, run the stage, say what happens.

use super::protocol::{WorkerMessage, WorkerTask};
use super::{signals, tree};
use crate::clock::Stopwatch;
use crate::progress::{Progress, Report, Stopped};
use crate::seed::Seed;
use crate::stages::{self, StageContext, StageError};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::path::Path;

/// Progress is worth a line this often, in seconds; metrics, notes and the last tick are always.
const TICK_EVERY: f64 = 0.05;

/// Memory is reported at most this often, in seconds.
const MEMORY_EVERY: f64 = 2.0;

/// Reads one task from `input`, runs it and writes messages to `output`. Returns whether the artifact was made.
pub fn work(input: &mut dyn Read, output: &mut dyn Write) -> std::io::Result<bool> {
    let task: WorkerTask = serde_json::from_reader(input).map_err(|error| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!(
                "standard input is no task ({error}); `ilm-pipe run` starts workers and hands them one"
            ),
        )
    })?;
    signals::die_with(task.runner)?;
    signals::pass_on(task.lock, false);
    signals::adopt_orphans()?;
    let stop = signals::stop_flag(task.runner)?;
    let progress = LineProgress {
        output: RefCell::new(output),
        stop: &|| stop.load(std::sync::atomic::Ordering::Relaxed),
        stopped: Cell::new(false),
        watch: Stopwatch::start(),
        last_tick: Cell::new(-1.0),
        last_memory: Cell::new(0.0),
    };
    tracing::debug!(
        stage = task.stage,
        kind = task.kind,
        inputs = task.inputs.values().map(Vec::len).sum::<usize>(),
        resumed = has_entries(&task.scratch),
        "running"
    );
    let outcome = run(&task, &progress);
    // What the stage left running must not write to the artifact any more.
    tree::kill_below(std::process::id());
    let asked = stop.load(std::sync::atomic::Ordering::Relaxed);
    let message = match outcome {
        Ok(()) => WorkerMessage::Done {
            peak_memory: peak_memory(),
            device: crate::nn::device::used(),
        },
        Err(_) if progress.stopped.get() || asked => WorkerMessage::Stopped,
        Err(error) => WorkerMessage::Failed {
            text: error.chain(),
            lasting: error.is_lasting(),
        },
    };
    let ended = match &message {
        WorkerMessage::Done { .. } => "done",
        WorkerMessage::Stopped => "stopped",
        _ => "failed",
    };
    tracing::debug!(
        stage = task.stage,
        seconds = progress.watch.seconds(),
        "{ended}"
    );
    progress.send(&message)?;
    Ok(matches!(message, WorkerMessage::Done { .. }))
}

fn run(task: &WorkerTask, progress: &dyn Progress) -> Result<(), StageError> {
    let kind = stages::find(&task.kind).ok_or_else(|| {
        StageError::message(format!(
            "this program ({}) knows no kind `{}`; runner and worker must be the same version",
            env!("CARGO_PKG_VERSION"),
            task.kind
        ))
        .lasting()
    })?;
    let stage = (kind.from_json)(task.params.clone()).map_err(|error| {
        let kind = &task.kind;
        StageError::message(format!(
            "the kind `{kind}` cannot read its parameters: {error}"
        ))
        .lasting()
    })?;
    let context = StageContext {
        inputs: task.inputs.clone(),
        project: task.project.clone(),
        output: task.output.clone(),
        scratch: task.scratch.clone(),
        seed: Seed::new(task.seed),
        device: task.device.clone(),
        progress,
    };
    stage.run(&context)
}

struct LineProgress<'a> {
    output: RefCell<&'a mut dyn Write>,
    stop: &'a dyn Fn() -> bool,
    stopped: Cell<bool>,
    watch: Stopwatch,
    last_tick: Cell<f64>,
    last_memory: Cell<f64>,
}

impl LineProgress<'_> {
    fn send(&self, message: &WorkerMessage) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut output = self.output.borrow_mut();
        output.write_all(&line)?;
        output.flush()
    }
}

impl Progress for LineProgress<'_> {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        let now = self.watch.seconds();
        let worth = match &report {
            Report::Tick { done, total, .. } => {
                done == total || now - self.last_tick.get() >= TICK_EVERY
            }
            _ => true,
        };
        if worth {
            if matches!(report, Report::Tick { .. }) {
                self.last_tick.set(now);
            }
            let mut sent = self.send(&WorkerMessage::Report { report });
            if now - self.last_memory.get() >= MEMORY_EVERY {
                self.last_memory.set(now);
                if let (Ok(()), Some(resident)) = (&sent, status("VmRSS:")) {
                    let report = Report::Memory { resident };
                    sent = self.send(&WorkerMessage::Report { report });
                }
            }
            // A closed pipe means that the runner is gone: stop at the next safe place.
            if sent.is_err() {
                self.stopped.set(true);
                return Err(Stopped);
            }
        }
        if (self.stop)() {
            self.stopped.set(true);
            return Err(Stopped);
        }
        Ok(())
    }
}

/// Whether an earlier attempt left something in the folder.
fn has_entries(folder: &Path) -> bool {
    fs_err::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The most that this process had resident, in bytes.
fn peak_memory() -> Option<u64> {
    status("VmHWM:")
}

/// A line of this process's status, in bytes.
fn status(name: &str) -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
