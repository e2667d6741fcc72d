//! Starts a worker on this machine and turns its pipes into messages.

use super::protocol::{WorkerMessage, WorkerTask};
use super::signals::{ask_group, kill_group, pass_on, wait_for_end};
use super::tree::kill_tree;
use super::worker_log;
use crate::progress::Report;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
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
    Report(usize, Report),
    /// The process is gone.
    Exit(usize, Exit),
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    process: u32,
    /// Whether the process is gone, so that its number may be another's. Signals are sent under this lock.
    gone: Arc<Mutex<bool>>,
    watcher: Option<JoinHandle<()>>,
}

/// How one attempt is started.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// This program.
    pub(super) program: &'a Path,
    /// Threads of the worker.
    pub(super) threads: usize,
    /// The devices that it has for itself.
    pub(super) gpus: &'a [String],
    /// What it logs to its standard error; nothing when off.
    pub(super) engine_log: Option<&'a str>,
}

impl Worker {
    /// Starts a worker for the stage at `position`.
    pub(super) fn start(
        setting: &Setting<'_>,
        task: &WorkerTask,
        position: usize,
        sender: Sender<FromWorker>,
    ) -> std::io::Result<Self> {
        // The worker holds the lock of its key, too. No other thread starts processes, so no other worker gets it.
        pass_on(task.lock, true);
        let child = Command::new(setting.program)
            .arg("worker")
            .envs(
                setting
                    .engine_log
                    .map(|filter| (worker_log::VARIABLE, filter)),
            )
            .env("RAYON_NUM_THREADS", setting.threads.to_string())
            // A stage that asked for no device sees none: it must not take what another has for itself.
            .env("CUDA_VISIBLE_DEVICES", setting.gpus.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the terminal reaches the runner only, which decides what stops how.
            .process_group(0)
            .spawn();
        pass_on(task.lock, false);
        let mut child = child?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = serde_json::to_vec(task).map_err(std::io::Error::from)?;
            // A worker that died at once is told by its exit, not by a broken pipe here.
            let _ = stdin.write_all(&text);
        }
        let process = child.id();
        let gone = Arc::new(Mutex::new(false));
        let watched = Arc::clone(&gone);
        let stage = task.stage.clone();
        let watcher = std::thread::spawn(move || watch(child, position, stage, &watched, &sender));
        Ok(Self {
            process,
            gone,
            watcher: Some(watcher),
        })
    }

    /// Asks the worker to save its state and stop, or kills it with everything that it started.
    pub(super) fn stop(&self, kill: bool) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if *gone {
            return;
        }
        if kill {
            kill_tree(self.process);
            kill_group(self.process);
        } else {
            ask_group(self.process);
        }
    }

    /// The number of the process.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// Waits for the thread that read its pipes.
    pub(super) fn join(mut self) {
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn watch(
    mut child: Child,
    position: usize,
    stage: String,
    gone: &Mutex<bool>,
    sender: &Sender<FromWorker>,
) {
    let stderr = child.stderr.take();
    let to_log = sender.clone();
    let errors = std::thread::spawn(move || {
        let mut lines = VecDeque::new();
        for line in stderr
            .into_iter()
            .flat_map(|pipe| BufReader::new(pipe).lines())
        {
            let Ok(line) = line else { break };
            if worker_log::relay(&stage, &line) {
                continue;
            }
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            let text = line.clone();
            let _ = to_log.send(FromWorker::Report(position, Report::Note { text }));
            lines.push_back(line);
        }
        Vec::from(lines)
    });
    let mut last = None;
    for line in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|pipe| BufReader::new(pipe).lines())
    {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(WorkerMessage::Report { report }) => {
                let _ = sender.send(FromWorker::Report(position, report));
            }
            Ok(message) => last = Some(message),
            // Something in the worker wrote to its standard output: for the log.
            Err(_) => {
                let _ = sender.send(FromWorker::Report(position, Report::Note { text: line }));
            }
        }
    }
    let stderr = errors.join().unwrap_or_default();
    wait_for_end(child.id());
    let status = {
        let mut gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
        // What the stage left behind in its process group ends with it.
        kill_group(child.id());
        *gone = true;
        child.wait()
    };
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
