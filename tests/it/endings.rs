//! Every way in which a worker can end without an artifact, and what a person reads of it.

use crate::support::{Project, events};
use serde_json::json;
use std::io::Write as _;
use std::process::Stdio;

/// Stages that fail, each in a way of its own. `$PPID` of the shell is the worker.
const FAILING: &str = r#"
[stage.exits]
kind = "command"
command = ["sh", "-c", "echo first; echo second >&2; exit 3"]

[stage.exits-silently]
kind = "command"
command = ["false"]

[stage.no-such-program]
kind = "command"
command = ["no-such-program"]

[stage.killed]
kind = "command"
command = ["sh", "-c", "kill -9 $PPID; sleep 5"]

[stage.crashed]
kind = "command"
command = ["sh", "-c", "kill -ABRT $PPID; sleep 5"]

[stage.too-slow]
kind = "command"
command = ["sleep", "60"]
timeout = "200ms"

[stage.nothing-written]
kind = "command"
command = ["true"]

[stage.link-written]
kind = "command"
command = ["sh", "-c", "ln -s /etc/passwd $ILM_OUTPUT/link"]

[stage.name-that-is-no-text]
kind = "command"
command = ["sh", "-c", "touch $ILM_OUTPUT/$(printf 'caf\\351')"]

[stage.file-changed-meanwhile]
kind = "command"
command = ["sh", "-c", "echo changed > read.txt; echo x > $ILM_OUTPUT/x"]
files = ["read.txt"]

[stage.file-gone-meanwhile]
kind = "command"
command = ["sh", "-c", "rm gone.txt; echo x > $ILM_OUTPUT/x"]
files = ["gone.txt"]
"#;

#[test]
fn every_end_of_a_worker_is_explained() {
    let project = Project::new(FAILING);
    project.write("read.txt", "as it was");
    project.write("gone.txt", "still here");
    let ran = project
        .call(&["run", "p.toml", "--keep-going", "--json"])
        .fails(1);
    let run = ran.json()["run"].as_str().expect("a run").to_owned();
    let mut told: Vec<String> = events(&project.file(&format!("cache/v1/runs/{run}.jsonl")))
        .into_iter()
        .filter(|event| event["event"] == "stage-ended")
        .map(|event| {
            let message = event["outcome"]["message"].as_str().expect("a failure");
            // Which of the two streams is read first is chance.
            let message = message.replace("\nsecond\nfirst", "\nfirst\nsecond");
            format!(
                "=== {}\n{message}\n",
                event["stage"].as_str().expect("a stage")
            )
        })
        .collect();
    told.sort();
    assert_eq!(told.len(), 11, "{told:?}");
    let text = told
        .join("\n")
        .replace(&project.path().display().to_string(), "[PROJECT]");
    insta::with_settings!({filters => vec![("tmp/[0-9a-f]{64}", "tmp/[KEY]")]}, {
        insta::assert_snapshot!(text);
    });
}

/// What the worker answers to a task.
fn worker(task: &str) -> (i32, String) {
    let project = Project::new("");
    let mut child = project
        .command(&["worker"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let task = task.replace("[PROJECT]", &project.path().display().to_string());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(task.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let both = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&both).trim().to_owned(),
    )
}

#[test]
fn a_task_that_makes_no_sense_is_refused() {
    let task = |kind: &str, params: serde_json::Value| {
        json!({
            "stage": "a", "kind": kind, "params": params, "seed": 1, "inputs": {},
            "project": "[PROJECT]", "output": "[PROJECT]", "scratch": "[PROJECT]",
            "device": "cpu", "runner": std::process::id(), "lock": -1,
        })
        .to_string()
    };
    let mut text = String::new();
    for (title, task) in [
        ("no task", String::new()),
        ("a task that is cut off", "{\"stage\": \"a\"".to_owned()),
        ("an unknown kind", task("fit-fc", json!({}))),
        ("unknown parameters", task("split", json!({"share": 0.5}))),
        ("a missing input", task("split", json!({}))),
    ] {
        let (code, said) = worker(&task);
        text.push_str(&format!("=== {title} (exit code {code})\n{said}\n\n"));
    }
    insta::assert_snapshot!(text);
}
