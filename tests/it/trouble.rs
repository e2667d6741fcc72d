//! Stages that fail, hang, crash or take long; Ctrl-C; exit codes.

use crate::schedule::{Shell, log, stages, wait_for};
use crate::support::{Project, Ran};
use ilm_pipe::clock::Stopwatch;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn run(project: &Project, more: &[&str]) -> Ran {
    let mut arguments = vec!["run", "p.toml"];
    arguments.extend_from_slice(more);
    project.call(&arguments)
}

/// Counts the attempts in a file of the project's folder: `$n` is the attempt, from 1.
const COUNT: &str = "echo >> count; n=$(wc -l < count); echo this is attempt $n;";

#[track_caller]
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !there() {
        assert!(watch.seconds() < 20.0, "{what} in 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the process whose number is in a file has ended.
fn is_gone(file: &Path) -> bool {
    let process = fs_err::read_to_string(file).expect("a number");
    let stat = fs_err::read_to_string(Path::new("/proc").join(process.trim()).join("stat"));
    stat.map_or(true, |stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

/// A process in a session of its own that would run for ten minutes; its number is in the file `outsider`.
const OUTSIDER: &str =
    "setsid sh -c 'echo $$ > outsider.new; mv outsider.new outsider; exec sleep 600' &";

fn start(project: &Project) -> Child {
    project
        .command(&["run", "p.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_failed_stage_is_tried_again_and_its_log_has_every_attempt() {
    let project = Shell::new("")
        .stage(
            "flaky",
            "retries = 2\nbackoff = \"20ms\"",
            &format!("{COUNT} [ $n -ge 3 ]"),
        )
        .project();
    let ran = run(&project, &[]).ok();
    assert!(
        ran.stderr.contains("attempt 1 of 3 failed after"),
        "{}",
        ran.stderr
    );
    let log = log(&project);
    assert_eq!(stages(&log, "stage-started").len(), 3);
    let retrying: Vec<_> = log
        .iter()
        .filter(|line| line["event"] == "stage-retrying")
        .collect();
    assert_eq!(retrying.len(), 2);
    assert_eq!(
        (&retrying[1]["attempt"], &retrying[1]["attempts"]),
        (&2.into(), &3.into())
    );
    let reason = retrying[0]["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("`sh` ended with exit status: 1"),
        "{reason}"
    );
    let waits: Vec<f64> = retrying
        .iter()
        .filter_map(|line| line["wait_seconds"].as_f64())
        .collect();
    assert!(
        (0.01..=0.02).contains(&waits[0]) && (0.02..=0.04).contains(&waits[1]),
        "{waits:?}"
    );
    let logs: Vec<_> = fs_err::read_dir(project.file("cache/v1/logs"))
        .expect("logs")
        .flatten()
        .collect();
    assert_eq!(logs.len(), 1);
    let text = fs_err::read_to_string(logs[0].path()).expect("a log");
    for said in [
        "this is attempt 1",
        "attempt 2",
        "this is attempt 2",
        "this is attempt 3",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn while_a_stage_waits_for_its_retry_others_run() {
    let project = Shell::new("")
        .stage(
            "flaky",
            "retries = 1\nbackoff = \"400ms\"",
            &format!("{COUNT} [ $n -ge 2 ]"),
        )
        .stage("other", "", "true")
        .project();
    run(&project, &["--jobs", "1"]).ok();
    assert_eq!(
        stages(&log(&project), "stage-started"),
        ["flaky", "other", "flaky"]
    );
}

#[test]
fn a_stage_that_fails_every_time_has_failed() {
    let project = Shell::new("")
        .stage(
            "flaky",
            "retries = 1\nbackoff = \"10ms\"",
            &format!("{COUNT} exit 4"),
        )
        .project();
    let ran = run(&project, &[]).fails(1);
    assert!(ran.stderr.contains("this is attempt 2"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("attempt 2 was the last"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_crashed_worker_is_tried_again_and_what_it_started_ends() {
    let project = Shell::new("")
        .stage(
            "crash",
            "retries = 1\nbackoff = \"10ms\"",
            &format!(
                "{COUNT} if [ $n = 1 ]; then {OUTSIDER} {}; kill -9 $PPID; sleep 600; fi",
                wait_for("outsider")
            ),
        )
        .project();
    let ran = run(&project, &[]).ok();
    assert!(
        ran.stderr.contains("was killed (signal 9)"),
        "{}",
        ran.stderr
    );
    assert!(is_gone(&project.file("outsider")));
}

#[test]
fn what_a_rerun_cannot_mend_is_not_tried_again() {
    let project = Project::new(
        "[stage.a]\nkind = \"command\"\ncommand = [\"no-such-program\"]\nretries = 5\nbackoff = \"10ms\"",
    );
    let ran = run(&project, &[]).fails(1);
    assert!(
        ran.stderr
            .contains("not tried again, because that cannot mend it"),
        "{}",
        ran.stderr
    );
    assert_eq!(stages(&log(&project), "stage-retrying").len(), 0);
}

#[test]
fn a_stage_that_waits_for_its_retry_has_failed_when_the_run_ends() {
    let project = Shell::new("")
        .stage(
            "flaky",
            "retries = 1\nbackoff = \"10m\"",
            "touch here; exit 3",
        )
        .stage(
            "fails",
            "",
            &format!("{}; sleep 0.3; exit 4", wait_for("here")),
        )
        .project();
    let ran = run(&project, &["--jobs", "2"]).fails(1);
    assert!(
        ran.stderr.contains("not tried again, because the run ends"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("2 failed"), "{}", ran.stderr);
}

#[test]
fn a_stage_that_takes_too_long_ends_with_everything_that_it_started() {
    let project = Shell::new("")
        .stage(
            "slow",
            "timeout = \"700ms\"",
            &format!("{OUTSIDER} sleep 600 & {}; sleep 600", wait_for("outsider")),
        )
        .project();
    let ran = run(&project, &[]).fails(1);
    assert!(
        ran.stderr.contains("longer than its `timeout` of 0.70 s"),
        "{}",
        ran.stderr
    );
    assert!(is_gone(&project.file("outsider")));
}

#[test]
fn a_stage_that_took_too_long_is_tried_again() {
    let project = Shell::new("")
        .stage(
            "hangs",
            "timeout = \"1s\"\nretries = 1\nbackoff = \"10ms\"",
            &format!("{COUNT} if [ $n = 1 ]; then sleep 600; fi"),
        )
        .project();
    run(&project, &[]).ok();
    assert_eq!(stages(&log(&project), "stage-retrying"), ["hangs"]);
}

#[test]
fn what_a_stage_leaves_in_the_background_ends_with_it() {
    let project = Shell::new("")
        .stage(
            "daemon",
            "",
            &format!("{OUTSIDER} {}", wait_for("outsider")),
        )
        .project();
    run(&project, &[]).ok();
    assert!(is_gone(&project.file("outsider")));
}

#[test]
fn a_slow_stage_is_told_of_once() {
    let project = Shell::new("")
        .stage("slow", "slow = \"100ms\"", "sleep 0.5")
        .project();
    let ran = run(&project, &[]).ok();
    assert_eq!(
        ran.stderr.matches("    Slow slow").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("its `slow` is 0.10 s"),
        "{}",
        ran.stderr
    );
    assert_eq!(stages(&log(&project), "stage-slow"), ["slow"]);
}

#[test]
fn the_first_ctrl_c_lets_a_stage_save_what_it_has() {
    let project = Shell::new("")
        .stage(
            "train",
            "",
            "trap 'sleep 0.3; echo step 7 > $ILM_SCRATCH/checkpoint; exit 1' TERM; touch here; while true; do sleep 0.05; done",
        )
        .project();
    let mut child = start(&project);
    until("the stage runs", || project.file("here").exists());
    send("-INT", child.id());
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    let saved = fs_err::read_dir(project.file("cache/v1/scratch"))
        .expect("scratch")
        .flatten()
        .any(|folder| folder.path().join("checkpoint").exists());
    assert!(saved, "the checkpoint is kept");
    let log = log(&project);
    assert_eq!(
        log.iter()
            .filter(|line| line["event"] == "stopping")
            .count(),
        1
    );
    assert_eq!(log.last().expect("an end")["stopped"], 1);
}

#[test]
fn the_second_ctrl_c_kills_everything() {
    let project = Shell::new("")
        .stage(
            "stubborn",
            "",
            &format!(
                "trap '' TERM; {OUTSIDER} {}; touch here; while true; do sleep 0.05; done",
                wait_for("outsider")
            ),
        )
        .project();
    let mut child = start(&project);
    until("the stage runs", || project.file("here").exists());
    send("-INT", child.id());
    until("the first Ctrl-C is heard", || {
        log(&project).iter().any(|line| line["event"] == "stopping")
    });
    assert_eq!(child.try_wait().expect("asked"), None);
    send("-INT", child.id());
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    assert!(is_gone(&project.file("outsider")));
}

#[test]
fn nothing_outlives_a_killed_runner() {
    let project = Shell::new("")
        .stage(
            "long",
            "",
            &format!(
                "{OUTSIDER} {}; [ -e again ] || sleep 600",
                wait_for("outsider")
            ),
        )
        .project();
    let mut child = start(&project);
    until("the stage runs", || project.file("outsider").exists());
    child.kill().expect("killed");
    child.wait().expect("ended");
    let outsider = project.file("outsider");
    // The next run gets the key only when the old worker and what it started are gone.
    project.write("again", "");
    fs_err::copy(&outsider, project.file("before")).expect("copied");
    run(&project, &[]).ok();
    assert!(is_gone(&project.file("before")));
}

#[test]
fn exit_codes_say_what_happened() {
    let project = Shell::new("")
        .stage("a", "", "exit 3")
        .stage("b", "", "true")
        .project();
    run(&project, &["--target", "b"]).ok();
    run(&project, &[]).fails(1);
    run(&project, &["--target", "c"]).fails(2);
    run(&project, &["--no-such-option"]).fails(2);
    project.call(&["plan", "p.toml", "--exit-code"]).fails(2);
    project.write("wrong.toml", "[stage.a]\nkind = \"comand\"");
    project.call(&["run", "wrong.toml"]).fails(2);
    project.write("file", "");
    run(&project, &["--cache", "file"]).fails(3);
    project.write(
        "missing.toml",
        "[stage.a]\nkind = \"command\"\ncommand = [\"true\"]\nfiles = [\"no/such/file\"]",
    );
    project.call(&["run", "missing.toml"]).fails(3);
    let help = project.call(&["--help"]).ok().stdout;
    for (code, _) in [
        (0, "done"),
        (1, "failed"),
        (2, "wrong"),
        (3, "files"),
        (70, "bug"),
        (130, "interrupted"),
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{code}  "))),
            "{code}: {help}"
        );
    }
}
