//! A run that is killed at any moment goes on, and ends in the same bits as one that was not.

use crate::support::{Project, tiny_table3};
use ilm_pipe::clock::Stopwatch;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn has_checkpoint(scratch: &Path) -> bool {
    fs_err::read_dir(scratch)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            fs_err::read_dir(entry.path())
                .into_iter()
                .flatten()
                .flatten()
                .next()
                .is_some()
        })
}

/// Starts a run and kills it with SIGKILL a little after a stage has saved a checkpoint.
/// Returns false when the run ended before that.
fn kill_after_a_checkpoint(project: &Project, arguments: &[&str], wait: Duration) -> bool {
    let mut child = project
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let scratch = project.file("cache/v1/scratch");
    let begun = Stopwatch::start();
    while !has_checkpoint(&scratch) {
        if child.try_wait().expect("waited").is_some() {
            return false;
        }
        assert!(begun.seconds() < 60.0, "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(wait);
    let _ = child.kill();
    !child.wait().expect("ended").success()
}

fn killed_runs_end_like_undisturbed_ones(stage: &str) {
    let (undisturbed, tiny) = tiny_table3();
    let (project, _) = tiny_table3();
    let mut arguments: Vec<&str> = vec!["run", "p.toml", "--json", "--target", stage];
    arguments.extend(tiny.iter().map(String::as_str));
    // Long enough to be killed in the middle, with a checkpoint at every other step.
    let text = fs_err::read_to_string(project.file("p.toml")).expect("read");
    let text = text
        .replace(
            "steps        = \"${phase1_steps}\"",
            "steps = 24\ntraining.checkpoint_every = 2",
        )
        .replace(
            "steps        = \"${phase2_steps}\"",
            "steps = 16\nadapter_steps = 8\ntraining.checkpoint_every = 2",
        )
        .replace(
            "steps   = \"${lm_steps}\"",
            "steps = 24\ntraining.checkpoint_every = 2",
        );
    for project in [&undisturbed, &project] {
        project.write("p.toml", &text);
    }
    let expected = undisturbed.outputs(&arguments[3..]);
    let mut kills = 0;
    for wait in [0, 15, 40] {
        if kill_after_a_checkpoint(&project, &arguments, Duration::from_millis(wait)) {
            kills += 1;
        }
    }
    assert!(kills > 0, "no run was killed in the middle");
    assert_eq!(project.outputs(&arguments[3..]), expected);
    assert!(
        !has_checkpoint(&project.file("cache/v1/scratch")),
        "checkpoints are dropped at the end"
    );
}

#[test]
fn phase_1_killed_at_any_step_ends_in_the_same_bits() {
    killed_runs_end_like_undisturbed_ones("phase1");
}

#[test]
fn both_halves_of_elm_killed_at_any_step_end_in_the_same_bits() {
    killed_runs_end_like_undisturbed_ones("phase2[arm=elm]");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (one, tiny) = tiny_table3();
    let (three, _) = tiny_table3();
    let mut arguments: Vec<&str> = tiny.iter().map(String::as_str).collect();
    arguments.extend(["--target", "generate"]);
    let with = |threads| {
        let mut all = arguments.clone();
        all.extend(["--threads", threads]);
        all
    };
    assert_eq!(one.outputs(&with("1")), three.outputs(&with("3")));
}
