//! A project in a temporary folder, and the program run in it.

pub mod model;
pub mod server;
pub mod victim;
pub mod world;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with pipelines, datasets and a cache of its own.
pub struct Project {
    folder: tempfile::TempDir,
}

/// What a run of the program left.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Project {
    /// A project with one pipeline, `p.toml`.
    pub fn new(pipeline: &str) -> Self {
        let project = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        project.write("p.toml", pipeline);
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs_err::write(path, text).expect("written");
    }

    /// The program with these arguments, ready to start in the project.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ilm-pipe"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("NO_COLOR", "1");
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Ran {
        self.command(arguments)
            .output()
            .expect("the program starts")
            .into()
    }

    /// Runs `p.toml` and returns which stages ran, in order of their start, with their causes.
    #[track_caller]
    pub fn run(&self, more: &[&str]) -> Vec<(String, Vec<String>)> {
        let mut arguments = vec!["run", "p.toml", "--json"];
        arguments.extend_from_slice(more);
        let outcome = self.call(&arguments).ok().json();
        let log = self.file(&format!(
            "cache/v1/runs/{}.jsonl",
            outcome["run"].as_str().expect("a run")
        ));
        events(&log)
            .into_iter()
            .filter(|event| event["event"] == "stage-started")
            .map(|event| {
                let causes = event["causes"].as_array().expect("causes");
                let names = causes
                    .iter()
                    .map(|cause| {
                        cause["name"]
                            .as_str()
                            .or(cause["cause"].as_str())
                            .expect("a cause")
                            .to_owned()
                    })
                    .collect();
                (event["stage"].as_str().expect("a stage").to_owned(), names)
            })
            .collect()
    }

    /// The hash of every stage's artifact.
    #[track_caller]
    pub fn outputs(&self, more: &[&str]) -> BTreeMap<String, String> {
        let mut arguments = vec!["run", "p.toml", "--json"];
        arguments.extend_from_slice(more);
        let outcome = self.call(&arguments).ok().json();
        outcome["stages"]
            .as_object()
            .expect("stages")
            .iter()
            .map(|(stage, value)| {
                (
                    stage.clone(),
                    value["output"].as_str().expect("a hash").to_owned(),
                )
            })
            .collect()
    }

    /// What `plan` says: the verdict on each stage, and the names of its causes.
    #[track_caller]
    pub fn plan(&self, more: &[&str]) -> BTreeMap<String, (String, Vec<String>)> {
        let mut arguments = vec!["plan", "p.toml", "--json"];
        arguments.extend_from_slice(more);
        let plan = self.call(&arguments).ok().json();
        plan["stages"]
            .as_array()
            .expect("stages")
            .iter()
            .map(|stage| {
                let causes = stage["causes"].as_array().cloned().unwrap_or_default();
                let names = causes
                    .iter()
                    .map(|cause| {
                        cause["name"]
                            .as_str()
                            .or(cause["cause"].as_str())
                            .expect("a cause")
                            .to_owned()
                    })
                    .collect();
                (
                    stage["stage"].as_str().expect("a stage").to_owned(),
                    (
                        stage["verdict"].as_str().expect("a verdict").to_owned(),
                        names,
                    ),
                )
            })
            .collect()
    }

    /// The files of a stage's artifact.
    #[track_caller]
    pub fn artifact(&self, stage: &str) -> PathBuf {
        let shown = self.call(&["show", "p.toml", stage, "--json"]).ok().json();
        self.file(shown[0]["folder"].as_str().expect("a folder"))
    }
}

/// The lines of an event log.
pub fn events(path: &Path) -> Vec<Value> {
    fs_err::read_to_string(path)
        .expect("a log")
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect()
}

/// A project with the shipped Table 3 pipeline, and the arguments that make every part of it tiny.
pub fn tiny_table3() -> (Project, Vec<String>) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/table3.toml");
    let project = Project::new(&fs_err::read_to_string(shipped).expect("the shipped pipeline"));
    let tiny = [
        "films=60",
        "users=80",
        "factors=8",
        "query_tokens=4",
        "d_model=16",
        "vocab_size=400",
        "max_train_films=12",
        "max_test_films=6",
        "lm_steps=2",
        "phase1_steps=2",
        "phase2_steps=2",
        "generated_per_task=2",
    ];
    let arguments = tiny
        .into_iter()
        .flat_map(|value| ["--set".to_owned(), value.to_owned()])
        .collect();
    (project, arguments)
}
