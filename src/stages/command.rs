//! `command`: any program as a stage, for what no kind here does.

use super::{ArtifactKind, Port, Problem, SourceFile, Stage, StageContext, StageError};
use crate::progress::{Progress, Stopped};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Component, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What reaches the program of the caller's environment: what it takes to find programs and to write text. Anything
/// else would change results without being in the key.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// Set by the runner to the devices that the stage has for itself.
const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Names that the stage itself sets.
const RESERVED: &str = "ILM_";

/// The last lines of what a program wrote go into the message about its failure.
const SHOWN_LINES: usize = 10;

/// How often a silent program's stage looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(100);

/// So often a program that ended by a signal is given a reason.
const LOOKS_FOR_STOP: usize = 20;

/// When a program has ended, but something that it left in the background keeps its pipes open, the stage is over after
/// so many looks without a word: long enough for what the program itself wrote to arrive on a busy machine.
const LEFT_OPEN: u32 = 20;

/// `command` runs a program in the project's folder. What it writes to the folder `$ILM_OUTPUT` is the artifact.
///
/// The program sees `PATH`, `HOME`, `LANG` and `TMPDIR` of the caller, `CUDA_VISIBLE_DEVICES` with the devices that the
/// stage's `gpus` brought, what `env` declares, and:
/// `ILM_OUTPUT`, an empty folder; `ILM_SCRATCH`, kept between attempts; `ILM_SEED`; `ILM_INPUT_0`, `ILM_INPUT_1`, …,
/// the folders of the artifacts of the port `from` in the order of the file; `ILM_INPUTS`, the same as a JSON list of
/// `{"folder", "kind", "matrix"}`.
///
/// Both of its output streams go to the stage's log. An exit status other than 0 fails the stage.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramStage {
    /// The program and its arguments. There is no shell unless one is named: `["sh", "-c", "…"]`.
    pub command: Vec<String>,
    /// Files that the program reads, relative to the project's folder; their contents are part of the key. Default: none.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Variables for the program; part of the key. Default: none.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Stage for ProgramStage {
    const NAME: &'static str = "command";
    const ABOUT: &'static str = "Runs a program of your own and keeps the files that it writes";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::any("from", ArtifactKind::ALL)];
    const OUTPUT: ArtifactKind = ArtifactKind::Files;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let empty = self.command.first().is_none_or(String::is_empty);
        let program = empty.then(|| {
            let message = "names no program, but its first word must be one";
            Problem::new("command", message)
        });
        let outside = self.files.iter().enumerate().filter_map(|(at, file)| {
            let inside = file
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            (!inside).then(|| {
                Problem::new(
                    format!("files[{at}]"),
                    format!(
                        "is `{}`, but must be a path inside the project's folder",
                        file.display()
                    ),
                )
            })
        });
        let reserved = self.env.keys().filter_map(|name| {
            let wrong = name.starts_with(RESERVED) || name.is_empty() || name.contains(['=', '\0']);
            wrong.then(|| {
                let message =
                    "is not a name that can be set: names that begin with `ILM_` are taken";
                Problem::new(format!("env.{name}"), message)
            })
        });
        program.into_iter().chain(outside).chain(reserved).collect()
    }

    fn source_files(&self) -> Vec<SourceFile> {
        self.files
            .iter()
            .map(|path| SourceFile {
                path: path.clone(),
                required: true,
                hint: "the stage's `files` names it; paths are relative to the project's folder"
                    .to_owned(),
            })
            .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let program = self.command.first().map_or("", String::as_str);
        let mut command = Command::new(program);
        command.args(self.command.iter().skip(1));
        self.environment(&mut command, context);
        let mut child = command
            .current_dir(&context.project)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let told =
                    StageError::message(format!("`{program}` could not be started: {error}"));
                match error.kind() {
                    ErrorKind::NotFound | ErrorKind::PermissionDenied => told.lasting(),
                    _ => told,
                }
            })?;
        let (sender, lines) = channel();
        if let Some(pipe) = child.stdout.take() {
            read(pipe, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            read(pipe, sender);
        }
        let heard = relay(&lines, context.progress, &mut child);
        let status = child.wait()?;
        let tail = heard?;
        if status.success() {
            return Ok(());
        }
        if is_asking(status) {
            was_asked(context.progress)?;
        }
        let wrote = if tail.is_empty() {
            "; it wrote nothing".to_owned()
        } else {
            format!("; it wrote:\n{}", Vec::from(tail).join("\n"))
        };
        Err(StageError::message(format!(
            "`{program}` ended with {status}{wrote}"
        )))
    }
}

impl ProgramStage {
    fn environment(&self, command: &mut Command, context: &StageContext<'_>) {
        command.env_clear();
        for name in PASSED_ON.into_iter().chain([GPUS]) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let inputs = context.all("from");
        for (index, input) in inputs.iter().enumerate() {
            command.env(format!("ILM_INPUT_{index}"), &input.folder);
        }
        let all: Vec<_> = inputs
            .iter()
            .map(
                |input| json!({"folder": input.folder, "kind": input.kind, "matrix": input.matrix}),
            )
            .collect();
        command
            .env("ILM_INPUTS", json!(all).to_string())
            .env("ILM_OUTPUT", &context.output)
            .env("ILM_SCRATCH", &context.scratch)
            .env("ILM_SEED", context.seed.value().to_string())
            .envs(&self.env);
    }
}

/// Whether a program ended by a signal that asks programs to end.
fn is_asking(status: ExitStatus) -> bool {
    matches!(
        status.signal(),
        Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP)
    )
}

/// Asks for a while whether this process was asked to stop, too. The runner asks both with one call, but the program may
/// have ended before this process looked.
fn was_asked(progress: &dyn Progress) -> Result<(), Stopped> {
    for _ in 0..LOOKS_FOR_STOP {
        progress.tick("running", 0, 0)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Sends every line of a pipe, until the program and whatever it started have closed it.
fn read(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                .is_err()
            {
                return;
            }
        }
    });
}

/// Passes lines on as notes until both pipes are closed; returns the last of them. A program that is asked to stop may
/// take its time to save what it has. What it leaves in the background keeps nobody waiting.
fn relay(
    lines: &Receiver<String>,
    progress: &dyn Progress,
    program: &mut Child,
) -> Result<VecDeque<String>, Stopped> {
    let mut tail = VecDeque::new();
    let mut heard = Ok(());
    let mut told = false;
    let mut silent_since_end = 0;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                silent_since_end = 0;
                heard = heard.and(progress.note(&line));
                if tail.len() == SHOWN_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => {
                // A tick of nothing asks whether to stop.
                heard = heard.and(progress.tick("running", 0, 0));
                if matches!(program.try_wait(), Ok(Some(_)) | Err(_)) {
                    silent_since_end += 1;
                    if silent_since_end == LEFT_OPEN {
                        return heard.map(|()| tail);
                    }
                } else if heard.is_err() && !told {
                    told = ask_outsider(program);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return heard.map(|()| tail),
        }
    }
}

/// Asks a program to stop that is not in this process group, and returns whether it is not: the runner asks everything
/// in the group itself.
#[expect(
    unsafe_code,
    reason = "getpgid and kill have no safe wrapper in the standard library"
)]
fn ask_outsider(program: &Child) -> bool {
    let Ok(process) = i32::try_from(program.id()) else {
        return false;
    };
    // SAFETY: both only look at and signal a child that has not been waited for, so its number is its own.
    unsafe {
        let outside = libc::getpgid(process) != libc::getpgid(0);
        if outside {
            libc::kill(process, libc::SIGTERM);
        }
        outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::stages::InputArtifact;
    use std::path::Path;

    fn context<'a>(folder: &Path, progress: &'a dyn Progress) -> StageContext<'a> {
        for name in ["out", "scratch"] {
            fs_err::create_dir_all(folder.join(name)).unwrap();
        }
        StageContext {
            inputs: BTreeMap::new(),
            project: folder.to_owned(),
            output: folder.join("out"),
            scratch: folder.join("scratch"),
            seed: crate::seed::Seed::new(7),
            device: "cpu".to_owned(),
            progress,
        }
    }

    fn shell(script: &str) -> ProgramStage {
        ProgramStage {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            files: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    #[test]
    fn a_program_sees_what_is_declared_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = shell(
            "cat \"$ILM_INPUT_0/x\" > $ILM_OUTPUT/x; env | cut -d= -f1 | sort > $ILM_OUTPUT/names; echo $GREETING $ILM_SEED > $ILM_OUTPUT/said",
        );
        stage.env.insert("GREETING".into(), "hello".into());
        let mut context = context(folder.path(), &Silent);
        let input = folder.path().join("in");
        fs_err::create_dir_all(&input).unwrap();
        fs_err::write(input.join("x"), "42").unwrap();
        context.inputs.insert(
            "from".into(),
            vec![InputArtifact {
                stage: "a".into(),
                matrix: BTreeMap::new(),
                kind: ArtifactKind::Files,
                folder: input,
            }],
        );
        stage.run(&context).unwrap();
        let read = |name| fs_err::read_to_string(context.out(name)).unwrap();
        assert_eq!(read("x"), "42");
        assert_eq!(read("said"), "hello 7\n");
        let allowed = [
            "GREETING",
            "HOME",
            "CUDA_VISIBLE_DEVICES",
            "ILM_INPUTS",
            "ILM_INPUT_0",
            "ILM_OUTPUT",
            "ILM_SCRATCH",
            "ILM_SEED",
            "LANG",
            "PATH",
            "TMPDIR",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
        ];
        for name in read("names").lines() {
            assert!(allowed.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_failure_shows_what_the_program_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let error = shell("echo one; echo two >&2; exit 3")
            .run(&context(folder.path(), &Silent))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`sh` ended with exit status: 3; it wrote:\n"),
            "{error}"
        );
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = shell("");
        stage.command = vec!["no-such-program".into()];
        let error = stage.run(&context(folder.path(), &Silent)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`no-such-program` could not be started: ")
        );
    }

    #[test]
    fn being_asked_to_stop_ends_the_program() {
        struct StopAtOnce;
        impl Progress for StopAtOnce {
            fn report(&self, _: crate::progress::Report) -> Result<(), Stopped> {
                Err(Stopped)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut stage = shell("");
        // In a session of its own: nobody else asks it to stop here.
        stage.command = ["setsid", "sleep", "100"].map(str::to_owned).into();
        let watch = crate::clock::Stopwatch::start();
        let error = stage.run(&context(folder.path(), &StopAtOnce)).unwrap_err();
        assert_eq!(error.to_string(), Stopped.to_string());
        assert!(watch.seconds() < 50.0);
    }

    #[test]
    fn what_a_program_leaves_in_the_background_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let watch = crate::clock::Stopwatch::start();
        shell("echo before; sleep 20 & echo after > $ILM_OUTPUT/x")
            .run(&context(folder.path(), &Silent))
            .unwrap();
        assert!(watch.seconds() < 15.0);
    }

    #[test]
    fn senseless_values_are_named() {
        let mut stage = shell("");
        stage.command.clear();
        stage.files = vec!["../x".into(), "/etc/passwd".into(), "a/b".into()];
        stage.env.insert("ILM_SEED".into(), String::new());
        let fields: Vec<String> = stage.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["command", "files[0]", "files[1]", "env.ILM_SEED"]);
    }
}
