//! What runs when, with what of the machine: slots, devices, groups, order, choice of stages.

use crate::support::{Project, Ran, events};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A pipeline of shell scripts, written stage by stage.
pub struct Shell(String);

impl Shell {
    pub fn new(top: &str) -> Self {
        Self(format!("{top}\n"))
    }

    /// Adds a stage that runs `script` and then writes its own name as its artifact.
    pub fn stage(mut self, name: &str, keys: &str, script: &str) -> Self {
        let _ = write!(
            self.0,
            "[stage.{name}]\nkind = \"command\"\ncommand = [\"sh\", \"-ec\", '''\n{script}\necho {name} > $ILM_OUTPUT/name''']\n{keys}\n"
        );
        self
    }

    pub fn project(&self) -> Project {
        Project::new(&self.0)
    }
}

/// A script that waits until another stage has come to the same place; it fails after ten seconds.
pub fn meet(own: &str, other: &str) -> String {
    format!("touch {own}; {}", wait_for(other))
}

/// A script that waits for a file.
pub fn wait_for(file: &str) -> String {
    format!("n=0; until [ -e {file} ]; do sleep 0.02; n=$((n+1)); [ $n -lt 500 ] || exit 9; done")
}

/// The events of the newest run.
pub fn log(project: &Project) -> Vec<Value> {
    let mut logs: Vec<PathBuf> = fs_err::read_dir(project.file("cache/v1/runs"))
        .expect("runs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    logs.sort_by_key(|path| {
        fs_err::metadata(path)
            .and_then(|m| m.modified())
            .expect("a time")
    });
    events(logs.last().expect("a run"))
}

/// The stages of the events of one kind, in order.
pub fn stages<'a>(log: &'a [Value], event: &str) -> Vec<&'a str> {
    log.iter()
        .filter(|line| line["event"] == event)
        .filter_map(|line| line["stage"].as_str())
        .collect()
}

/// How many of these stages ran at the same time, at most.
fn most_at_once(log: &[Value], stages: &[&str]) -> usize {
    let mut running = 0;
    let mut most = 0;
    for line in log {
        if !stages.iter().any(|stage| line["stage"] == *stage) {
            continue;
        }
        if line["event"] == "stage-started" {
            running += 1;
        } else if line["event"] == "stage-ended" {
            running -= 1;
        }
        most = most.max(running);
    }
    most
}

fn run(project: &Project, more: &[&str]) -> Ran {
    let mut arguments = vec!["run", "p.toml"];
    arguments.extend_from_slice(more);
    project.call(&arguments)
}

/// Three stages that take long enough to overlap.
fn three(keys: [&str; 3], top: &str) -> Project {
    ["a", "b", "c"]
        .into_iter()
        .zip(keys)
        .fold(Shell::new(top), |shell, (name, keys)| {
            shell.stage(name, keys, "sleep 0.15")
        })
        .project()
}

#[test]
fn stages_run_at_the_same_time_in_as_many_slots_as_asked_for() {
    let project = Shell::new("")
        .stage("a", "", &meet("a.here", "b.here"))
        .stage("b", "", &meet("b.here", "a.here"))
        .project();
    run(&project, &["--jobs", "2"]).ok();
    let project = three([""; 3], "");
    run(&project, &["--jobs", "1"]).ok();
    assert_eq!(most_at_once(&log(&project), &["a", "b", "c"]), 1);
}

#[test]
fn cores_that_a_stage_declares_are_slots_that_others_do_not_get() {
    let project = three(["cpus = 2", "cpus = 2", "cpus = 2"], "");
    run(&project, &["--jobs", "3"]).ok();
    assert_eq!(most_at_once(&log(&project), &["a", "b", "c"]), 1);
    // More than there are: alone, but it runs.
    let project = three(["cpus = 64", "", ""], "");
    run(&project, &["--jobs", "2"]).ok();
}

#[test]
fn memory_that_a_stage_declares_is_not_promised_twice() {
    let project = three(["memory = \"500TiB\"", "memory = \"500TiB\"", ""], "");
    run(&project, &["--jobs", "3"]).ok();
    let log = log(&project);
    assert_eq!(most_at_once(&log, &["a", "b"]), 1);
    assert_eq!(most_at_once(&log, &["a", "b", "c"]), 2);
}

#[test]
fn a_group_has_as_many_places_as_its_limit() {
    let group = "groups = [\"download\"]";
    let project = three([group, group, ""], "[groups]\ndownload = 1");
    run(&project, &["--jobs", "3"]).ok();
    let log = log(&project);
    assert_eq!(most_at_once(&log, &["a", "b"]), 1);
    assert_eq!(most_at_once(&log, &["a", "b", "c"]), 2);
}

#[test]
fn each_stage_sees_the_devices_that_it_has_for_itself_and_no_others() {
    let tell = "echo \"$${CUDA_VISIBLE_DEVICES-unset}\" > $ILM_OUTPUT/gpus; ";
    let project = Shell::new("")
        .stage(
            "a",
            "gpus = 1",
            &(tell.to_owned() + &meet("a.here", "b.here")),
        )
        .stage(
            "b",
            "gpus = 1",
            &(tell.to_owned() + &meet("b.here", "a.here")),
        )
        .stage("both", "gpus = 2", tell)
        .stage("none", "", tell)
        .project();
    run(&project, &["--jobs", "4", "--gpus", "4, GPU-8f6a"]).ok();
    let seen = |stage: &str| {
        let text = fs_err::read_to_string(project.artifact(stage).join("gpus"));
        text.expect("written").trim().to_owned()
    };
    let mut pair = [seen("a"), seen("b")];
    pair.sort();
    assert_eq!(pair, ["4", "GPU-8f6a"]);
    assert_eq!(seen("both"), "4,GPU-8f6a");
    assert_eq!(seen("none"), "");
    let log = log(&project);
    assert_eq!(most_at_once(&log, &["a", "b", "both"]), 2);
    let told = log
        .iter()
        .find(|line| line["event"] == "stage-started" && line["stage"] == "both");
    assert_eq!(
        told.expect("it started")["gpus"],
        serde_json::json!(["4", "GPU-8f6a"])
    );
}

#[test]
fn devices_are_those_that_the_caller_may_see() {
    let project = Shell::new("")
        .stage(
            "a",
            "gpus = 1",
            "echo $CUDA_VISIBLE_DEVICES > $ILM_OUTPUT/gpus",
        )
        .project();
    let mut command = project.command(&["run", "p.toml"]);
    let ran: Ran = command
        .env("CUDA_VISIBLE_DEVICES", "6,7")
        .output()
        .expect("run")
        .into();
    ran.ok();
    let text = fs_err::read_to_string(project.artifact("a").join("gpus")).expect("written");
    assert_eq!(text, "6\n");
}

#[test]
fn a_stage_that_asks_for_more_devices_than_there_are_is_told_before_anything_runs() {
    let project = Shell::new("")
        .stage("first", "", "touch first.ran")
        .stage("train", "gpus = 3\ninputs = { from = \"first\" }", "true")
        .stage("tune", "gpus = 2", "true")
        .project();
    let ran = run(&project, &["--gpus", "0"]).fails(3);
    assert!(
        ran.stderr.contains(
            "error: not enough GPUs: stage `train` asks for 3, stage `tune` asks for 2, but there is 1\nhint: "
        ),
        "{}",
        ran.stderr
    );
    assert!(!project.file("first.ran").exists());
    let ran = run(&project, &["--gpus", "0,0"]).fails(2);
    assert!(
        ran.stderr.contains("the GPU `0` is listed twice"),
        "{}",
        ran.stderr
    );
    // What needs no run needs no device, and what is not asked for does not count.
    run(&project, &["--gpus", "", "--target", "first"]).ok();
    run(&project, &["--gpus", "0,1,2"]).ok();
    run(&project, &["--gpus", ""]).ok();
}

#[test]
fn how_a_stage_is_run_is_no_part_of_its_key() {
    let project = three([""; 3], "");
    run(&project, &[]).ok();
    let keys = "cpus = 2\nmemory = \"1GiB\"\ngpus = 1\ngroups = [\"g\"]\ntimeout = \"1m\"\nslow = \"1s\"\nretries = 3\nbackoff = \"2s\"";
    let other = three([keys; 3], "[groups]\ng = 2");
    let text = fs_err::read_to_string(other.file("p.toml")).expect("read");
    project.write("p.toml", &text);
    for (stage, (verdict, _)) in project.plan(&[]) {
        assert_eq!(verdict, "fresh", "{stage}");
    }
}

#[test]
fn the_stages_that_most_depends_on_come_first() {
    let pipeline = |version: u32| {
        let keys = format!("env = {{ VERSION = \"{version}\" }}");
        Shell::new("")
            .stage("short", &keys, "sleep 0.01")
            .stage("long", &keys, "sleep 0.3")
            .stage("start", &keys, "sleep 0.1")
            .stage("after", "inputs = { from = \"start\" }", "sleep 0.5")
    };
    let project = pipeline(1).project();
    run(&project, &["--jobs", "1"]).ok();
    // Without a past the longest chain comes first, and then the order of the file.
    assert_eq!(
        stages(&log(&project), "stage-started"),
        ["start", "short", "long", "after"]
    );
    project.write("p.toml", &pipeline(2).0);
    run(&project, &["--jobs", "1"]).ok();
    // `after` is fresh once `start` has made the same bytes.
    assert_eq!(
        stages(&log(&project), "stage-started"),
        ["start", "long", "short"]
    );
}

/// `d` needs `a`, which fails once `b` runs; `c` needs nobody, but there are two slots only.
fn failing(b: &str) -> Project {
    Shell::new("")
        .stage("a", "", &format!("{}; exit 3", wait_for("b.here")))
        .stage("b", "", &format!("touch b.here; {b}"))
        .stage("c", "", "true")
        .stage("d", "inputs = { from = \"a\" }", "true")
        .project()
}

fn outcomes(project: &Project) -> Vec<(String, String)> {
    let mut outcomes: Vec<(String, String)> = log(project)
        .iter()
        .filter_map(|line| {
            let outcome = match line["event"].as_str()? {
                "stage-ended" => line["outcome"]["outcome"].as_str()?,
                "stage-blocked" => "blocked",
                _ => return None,
            };
            Some((line["stage"].as_str()?.to_owned(), outcome.to_owned()))
        })
        .collect();
    outcomes.sort();
    outcomes
}

fn all(a: &str, b: &str, c: &str, d: &str) -> Vec<(String, String)> {
    [("a", a), ("b", b), ("c", c), ("d", d)]
        .map(|(stage, outcome)| (stage.to_owned(), outcome.to_owned()))
        .into()
}

#[test]
fn after_a_failure_nothing_new_starts_and_what_runs_goes_on() {
    let project = failing("sleep 0.4");
    run(&project, &["--jobs", "2"]).fails(1);
    assert_eq!(
        outcomes(&project),
        all("failed", "done", "blocked", "blocked")
    );
}

#[test]
fn keep_going_runs_what_does_not_need_the_failed_stage() {
    let project = failing("sleep 0.4");
    run(&project, &["--jobs", "2", "--keep-going"]).fails(1);
    assert_eq!(outcomes(&project), all("failed", "done", "done", "blocked"));
}

#[test]
fn fail_fast_stops_what_runs() {
    let project = failing("sleep 30");
    let ran = run(&project, &["--jobs", "2", "--fail-fast"]).fails(1);
    assert_eq!(
        outcomes(&project),
        all("failed", "stopped", "blocked", "blocked")
    );
    assert!(
        ran.stderr.contains("Stopping: `a` failed"),
        "{}",
        ran.stderr
    );
    run(&project, &["--fail-fast", "--keep-going"]).fails(2);
}

/// `a` -> `b` -> `c`, `b` and `x` -> `y`.
fn diamond() -> Project {
    let from = |names: &str| format!("inputs = {{ from = [{names}] }}");
    Shell::new("")
        .stage("a", "", "true")
        .stage("b", &from("'a'"), "if [ -e broken ]; then exit 3; fi")
        .stage("c", &from("'b'"), "true")
        .stage("x", "", "true")
        .stage("y", &from("'b', 'x'"), "true")
        .stage("z", "", "true")
        .project()
}

fn ran(project: &Project, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["--jobs", "1"];
    arguments.extend_from_slice(more);
    run(project, &arguments);
    let log = log(project);
    let mut ran: Vec<String> = stages(&log, "stage-started")
        .into_iter()
        .map(str::to_owned)
        .collect();
    ran.sort();
    ran
}

#[test]
fn a_target_brings_what_it_needs_and_downstream_also_what_needs_it() {
    assert_eq!(ran(&diamond(), &["--target", "c"]), ["a", "b", "c"]);
    assert_eq!(
        ran(&diamond(), &["--downstream", "b"]),
        ["a", "b", "c", "x", "y"]
    );
    assert_eq!(
        ran(&diamond(), &["--downstream", "x", "--target", "z"]),
        ["a", "b", "x", "y", "z"]
    );
    let unknown = run(&diamond(), &["--downstream", "bb"]).fails(2);
    assert!(
        unknown.stderr.contains("did you mean `b`?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn only_what_failed_or_was_blocked_is_retried() {
    let project = diamond();
    let never = run(&project, &["--retry-failed"]).fails(2);
    assert!(
        never.stderr.contains("`p` was not run before"),
        "{}",
        never.stderr
    );
    project.write("broken", "");
    assert_eq!(ran(&project, &["--keep-going"]), ["a", "b", "x", "z"]);
    fs_err::remove_file(project.file("broken")).expect("removed");
    // Something else would have to run, too, but it did not fail.
    let text = fs_err::read_to_string(project.file("p.toml")).expect("read");
    project.write("p.toml", &text.replace("echo z >", "echo zz >"));
    assert_eq!(ran(&project, &["--retry-failed"]), ["b", "c", "y"]);
    let nothing = run(&project, &["--retry-failed"]).ok();
    assert!(
        nothing.stderr.contains("left nothing to retry"),
        "{}",
        nothing.stderr
    );
    assert_eq!(ran(&project, &[]), ["z"]);
    run(&project, &["--retry-failed", "--target", "a"]).fails(2);
}

#[test]
fn networks_run_where_the_command_line_says_and_what_is_not_there_is_told() {
    let project = three([""; 3], "");
    // Without networks the device changes nothing.
    run(&project, &["--device", "auto", "--gpus", ""]).ok();
    let ran = run(&project, &["--device", "gpu"]).fails(2);
    assert!(
        ran.stderr
            .contains("`gpu` is no device; there are `cpu`, `cuda` and `cuda:1`, and `auto`"),
        "{}",
        ran.stderr
    );
    let ran = run(&project, &["--device", "cuda:1", "--gpus", "0"]).fails(3);
    let told = if cfg!(feature = "cuda") {
        "error: `cuda:1` is not there: 1 of the GPUs are visible\nhint: "
    } else {
        "error: `cuda:1` is not in this program, which was built without CUDA; use `--device cpu`, or build it with"
    };
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    let ran = project.call(&["gpu-check"]).fails(3);
    assert!(ran.stderr.starts_with("error: `cuda` "), "{}", ran.stderr);
}
