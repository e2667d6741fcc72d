//! Starts a worker on this machine and turns its pipes into messages.

use super::protocol::{WorkerMessage, WorkerTask};
use super::signals::signal_group;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

/// Lines of standard error that are kept for the message about a crash.
const KEPT_LINES: usize = 20;

/// How a worker process ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) status: std::io::Result<ExitStatus>,
    /// The last message that was not a report.
    pub(super) last: Option<WorkerMessage>,
    /// The end of its standard error.
    pub(super) stderr: Vec<String>,
}

/// What a worker sends to the loop.
#[derive(Debug)]
pub(super) enum FromWorker {
    /// A message of the stage at this position.
    Report(usize, crate::progress::Report),
    /// The process is gone.
    Exit(usize, Exit),
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    process: u32,
    watcher: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker for the stage at `position`. `program` is this program.
    pub(super) fn start(
        program: &PathBuf,
        task: &WorkerTask,
        threads: usize,
        position: usize,
        log: PathBuf,
        sender: Sender<FromWorker>,
    ) -> std::io::Result<Self> {
        let mut child = Command::new(program)
            .arg("worker")
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the terminal reaches the runner only, which decides what stops how.
            .process_group(0)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = serde_json::to_vec(task).map_err(std::io::Error::from)?;
            // A worker that died at once is told by its exit, not by a broken pipe here.
            let _ = stdin.write_all(&text);
        }
        let process = child.id();
        let watcher = std::thread::spawn(move || watch(child, position, &log, &sender));
        Ok(Self {
            process,
            watcher: Some(watcher),
        })
    }

    /// Asks the worker to save its state and stop, or kills it with everything that it started.
    pub(super) fn stop(&self, kill: bool) {
        signal_group(self.process, kill);
    }

    /// Waits for the thread that read its pipes.
    pub(super) fn join(mut self) {
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn watch(mut child: Child, position: usize, log: &PathBuf, sender: &Sender<FromWorker>) {
    let stderr = child.stderr.take();
    let errors = std::thread::spawn(move || {
        let mut lines = VecDeque::new();
        for line in stderr
            .into_iter()
            .flat_map(|pipe| BufReader::new(pipe).lines())
        {
            let Ok(line) = line else { break };
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
        Vec::from(lines)
    });
    let mut last = None;
    // A log that cannot be written must not lose the result.
    let mut log = fs_err::File::create(log).ok();
    for line in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|pipe| BufReader::new(pipe).lines())
    {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(WorkerMessage::Report { report }) => {
                if let (Some(log), false) = (
                    &mut log,
                    matches!(report, crate::progress::Report::Tick { .. }),
                ) {
                    let _ = writeln!(
                        log,
                        "{}",
                        crate::formats::checked::to_text(&report).unwrap_or_default()
                    );
                }
                let _ = sender.send(FromWorker::Report(position, report));
            }
            Ok(message) => last = Some(message),
            Err(_) => {
                if let Some(log) = &mut log {
                    let _ = writeln!(log, "{line}");
                }
            }
        }
    }
    let stderr = errors.join().unwrap_or_default();
    let status = child.wait();
    // What the stage left behind in its process group ends with it.
    signal_group(child.id(), true);
    let _ = sender.send(FromWorker::Exit(
        position,
        Exit {
            status,
            last,
            stderr,
        },
    ));
}

impl Exit {
    /// Why the worker ended without a message of its own.
    pub(super) fn explain(&self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        let how = match &self.status {
            Ok(status) => match status.signal() {
                Some(9) => {
                    "was killed (signal 9); if nobody killed it, the machine ran out of memory"
                        .to_owned()
                }
                Some(signal) => format!("ended by signal {signal}"),
                None => format!("ended with {status} without saying why"),
            },
            Err(error) => format!("could not be waited for: {error}"),
        };
        if self.stderr.is_empty() {
            format!("the worker {how}")
        } else {
            format!("the worker {how}; it wrote:\n{}", self.stderr.join("\n"))
        }
    }
}
