//! A project whose stages can be killed at named points, and ways to kill a run.

use super::{Project, Ran, events};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Four checkpoints, then the artifact in two halves. The file `at.NAME.POINT` in the project's folder names who is killed there.
const SCRIPT: &str = r#"
set -e
point() {
  at="at.$NAME.$1"
  [ -e "$at" ] || return 0
  read -r victim < "$at"
  rm "$at"
  read -r _ _ _ runner _ < "/proc/$PPID/stat"
  case $victim in
    worker) kill -9 "$PPID" ;;
    runner) kill -9 "$runner" ;;
    both) kill -9 "$runner" "$PPID" ;;
  esac
  # Nobody may believe what a program writes that outlived its stage.
  while :; do
    sleep 0.01
    if [ -d "$ILM_OUTPUT" ]; then echo late > "$ILM_OUTPUT/out"; fi
  done
}
point start
state=$ILM_SCRATCH/state
[ -e "$state" ] || : > "$state"
n=$(wc -l < "$state")
while [ "$n" -lt 4 ]; do
  n=$((n + 1))
  { cat "$state"; echo "$NAME $n"; } > "$state.new"
  mv "$state.new" "$state"
  sleep 0.01
done
point half
echo begin > "$ILM_OUTPUT/out"
sleep 0.01
cat "$state" "$@" >> "$ILM_OUTPUT/out"
for d in $ILM_INPUT_0 $ILM_INPUT_1; do cat "$d/out" >> "$ILM_OUTPUT/out"; done
echo "$NAME is done"
point end
"#;

pub const STAGES: [(&str, &[&str]); 6] = [
    ("a", &[]),
    ("b", &["a"]),
    ("c", &["a"]),
    ("d", &["b", "c"]),
    ("e", &["d"]),
    ("f", &["a"]),
];

/// Where a stage can be killed.
pub const POINTS: [&str; 3] = ["start", "half", "end"];

/// A project of six stages, each a few dozen milliseconds.
pub fn victim() -> Project {
    let mut text = "name = \"victim\"\n".to_owned();
    for (name, inputs) in STAGES {
        let files = if name == "a" { "\"in.txt\"" } else { "" };
        let script = serde_json::to_string(SCRIPT).expect("text");
        let script = script.replace("${", "$${");
        text += &format!(
            "\n[stage.{name}]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", {script}, \"sh\", {files}]\nfiles = [{files}]\nenv = {{ NAME = \"{name}\" }}\n"
        );
        if !inputs.is_empty() {
            text += &format!("inputs = {{ from = {inputs:?} }}\n");
        }
    }
    let project = Project::new(&text);
    project.write("in.txt", "input\n");
    project
}

/// Starts a run without waiting for it.
pub fn start(project: &Project) -> Child {
    project
        .command(&["run", "p.toml", "--quiet", "--jobs", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// The living workers of a runner.
pub fn workers(runner: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").expect("Linux").flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs_err::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(runner.to_string().as_str()) {
            found.push(process);
        }
    }
    found
}

/// Sends SIGKILL.
pub fn kill(process: u32) {
    let status = Command::new("kill")
        .args(["-9", &process.to_string()])
        .stderr(Stdio::null())
        .status();
    // A process that is gone already is as good as killed.
    status.expect("`kill` is there");
}

/// What must hold after any kill and one undisturbed run.
#[track_caller]
pub fn assert_clean(project: &Project) {
    for folder in ["tmp", "scratch"] {
        let left: Vec<PathBuf> = fs_err::read_dir(project.file(&format!("cache/v1/{folder}")))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert!(left.is_empty(), "left in {folder}: {left:?}");
    }
}

/// Every file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injury {
    Flip,
    Cut,
    Delete,
}

/// Damages a file; its mode and modification time stay as they were.
pub fn injure(path: &Path, injury: Injury, rng: &mut ChaCha8Rng) {
    let mode = fs_err::metadata(path).expect("there").permissions();
    let mut bytes = fs_err::read(path).expect("read");
    match injury {
        Injury::Delete => return fs_err::remove_file(path).expect("removed"),
        Injury::Cut => bytes.truncate(rng.gen_range(0..bytes.len())),
        Injury::Flip => {
            let at = rng.gen_range(0..bytes.len());
            bytes[at] ^= 1 << rng.gen_range(0..8);
        }
    }
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("opened");
    super::world::rewrite(path, &bytes, true);
    fs_err::set_permissions(path, mode).expect("closed");
}

/// Runs `p.toml` and returns the events of the run.
#[track_caller]
pub fn run_events(project: &Project, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["run", "p.toml", "--json"];
    arguments.extend_from_slice(more);
    let outcome = project.call(&arguments).ok().json();
    let run = outcome["run"].as_str().expect("a run");
    events(&project.file(&format!("cache/v1/runs/{run}.jsonl")))
}

/// Waits until a file is there.
#[track_caller]
pub fn wait_for(path: &Path) {
    let watch = ilm_pipe::clock::Stopwatch::start();
    while !path.exists() {
        assert!(watch.seconds() < 60.0, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a shell script with its own view of what is mounted where, as root of a user namespace where that is allowed; none where
/// it is not, with the reason printed.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub fn with_mounts(project: &Project, script: &str) -> Option<Ran> {
    let allowed = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    match allowed {
        Ok(output) if output.status.success() => {}
        other => {
            println!("skipped: nothing can be mounted here ({other:?})");
            return None;
        }
    }
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_ilm-pipe"))
        .env("NO_COLOR", "1")
        .current_dir(project.path())
        .output();
    Some(output.expect("started").into())
}
