//! Runs as a person sees them: exit codes, the event log, failures, Ctrl-C.

use crate::cache::DATA;
use crate::support::{Project, events};
use ilm_pipe::clock::Stopwatch;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn the_event_log_tells_the_whole_run_in_order() {
    let project = Project::new(DATA);
    let outcome = project.call(&["run", "p.toml", "--json"]).ok().json();
    let run = outcome["run"].as_str().expect("a run");
    let log = events(&project.file(&format!("cache/v1/runs/{run}.jsonl")));
    let kinds: Vec<&str> = log
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(kinds.first(), Some(&"run-started"));
    assert_eq!(kinds.last(), Some(&"run-ended"));
    for stage in ["catalog", "split", "cf", "pairs", "items"] {
        let at = |kind: &str| {
            log.iter()
                .position(|e| e["event"] == kind && e["stage"] == stage)
                .unwrap_or_else(|| panic!("no {kind} of {stage}"))
        };
        assert!(at("stage-started") < at("stage-ended"));
    }
    let ended = log.last().expect("an end");
    assert_eq!(ended["ran"], 5);
    assert_eq!(ended["failed"], 0);
}

#[test]
fn a_failed_stage_blocks_only_what_needs_it() {
    // Nobody has ten thousand interactions: the catalogue is empty after filtering.
    let project = Project::new(&DATA.replace(
        "demo_users = 80",
        "demo_users = 80\nmin_interactions = 10000",
    ));
    let ran = project.call(&["run", "p.toml"]).fails(1);
    assert!(ran.stderr.contains("Failed catalog"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Blocked split"), "{}", ran.stderr);
    assert!(
        !project
            .file("cache/v1/tmp")
            .read_dir()
            .expect("tmp")
            .any(|_| true),
        "nothing half-written is left"
    );
}

#[test]
fn an_unknown_stage_is_answered_with_the_nearest() {
    let project = Project::new(DATA);
    let ran = project.call(&["explain", "p.toml", "splt"]).fails(2);
    assert_eq!(
        ran.stderr.trim(),
        "error: `p.toml` has no stage `splt`\n\
         hint: did you mean `split`?\n\
         hint: stages: `split`, `cf`, `items`, `pairs`, `catalog`"
    );
}

#[test]
fn a_target_runs_with_what_it_needs_and_no_more() {
    let project = Project::new(DATA);
    let ran: Vec<String> = project
        .run(&["--target", "cf"])
        .into_iter()
        .map(|(s, _)| s)
        .collect();
    assert_eq!(ran, ["catalog", "split", "cf"]);
}

#[test]
fn a_terminated_run_stops_its_workers_and_goes_on_later() {
    let project = Project::new(&DATA.replace("epochs = 3", "epochs = 200000"));
    let mut child = project
        .command(&["run", "p.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let begun = Stopwatch::start();
    let runs = project.file("cache/v1/runs");
    while begun.elapsed() < Duration::from_secs(30) {
        let started = fs_err::read_dir(&runs)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| {
                fs_err::read_to_string(entry.path())
                    .is_ok_and(|text| text.contains("stage-started\",\"stage\":\"cf"))
            });
        if started {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status();
    assert!(sent.expect("kill").success());
    let code = child.wait().expect("ended").code();
    assert_eq!(code, Some(130));
}

#[test]
fn a_missing_dataset_is_named_with_what_to_do() {
    let project = Project::new(&DATA.replace("source = \"demo\"", "source = \"ml-latest-small\""));
    let ran = project.call(&["plan", "p.toml"]).fails(3);
    assert!(
        ran.stderr.contains("datasets/ml-latest-small"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("stage `catalog`"), "{}", ran.stderr);
}
