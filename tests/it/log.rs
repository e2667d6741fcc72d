//! The engine's log: nothing unless asked for, and then what engine and workers did.

use crate::support::{Project, Ran};
use serde_json::Value;

const TWO: &str = r#"
[stage.a]
kind = "command"
command = ["sh", "-c", "echo hello > $ILM_OUTPUT/x"]
files = ["read.txt"]

[stage.b]
kind = "command"
command = ["sh", "-c", "cat $ILM_INPUT_0/x > $ILM_OUTPUT/y"]
inputs = { from = "a" }
"#;

fn project() -> Project {
    let project = Project::new(TWO);
    project.write("read.txt", "read me");
    project
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

#[test]
fn there_is_no_log_unless_asked_for() {
    let ran = project().call(&["run", "p.toml", "-v"]).ok();
    assert!(!ran.stderr.contains("DEBUG"), "{}", ran.stderr);
}

#[test]
fn a_run_logs_what_engine_and_workers_do_with_durations() {
    let project = project();
    let ran = project
        .call(&["run", "p.toml", "--log-format", "json"])
        .ok();
    let lines = lines(&ran);
    let of = |message: &str, stage: &str| {
        lines
            .iter()
            .find(|line| {
                line["message"]
                    .as_str()
                    .is_some_and(|text| text.split(' ').next() == Some(message))
                    && (stage.is_empty() || line["stage"] == stage)
            })
            .unwrap_or_else(|| panic!("no `{message}` of `{stage}` in\n{}", ran.stderr))
    };
    assert_eq!(of("loaded", "")["stages"], 2);
    let hashed = of("hashed", "");
    assert!(
        hashed["file"]
            .as_str()
            .expect("a file")
            .ends_with("read.txt")
    );
    assert_eq!(hashed["bytes"], 7);
    for stage in ["a", "b"] {
        assert_eq!(of("judged", stage)["verdict"], "dirty");
        assert!(of("started", stage)["worker"].as_u64().is_some());
        assert_eq!(of("committed", stage)["files"], 1);
        assert_eq!(of("ended", stage)["made"], true);
        for message in ["judged", "committed", "ended"] {
            assert!(
                of(message, stage)["seconds"]
                    .as_f64()
                    .is_some_and(|s| s >= 0.0)
            );
        }
        // What the worker itself said.
        assert_eq!(of("running", stage)["target"], "ilm_pipe::worker");
        assert_eq!(of("done", stage)["room"], "ilm_pipe::exec::worker");
    }
    let again = project.call(&["run", "p.toml", "-vv"]).ok();
    assert!(
        again.stderr.contains("DEBUG ilm_pipe::plan"),
        "{}",
        again.stderr
    );
    assert!(
        again.stderr.contains("verdict=\"fresh\""),
        "{}",
        again.stderr
    );
}

#[test]
fn the_variable_chooses_by_room() {
    let project = project();
    let ran: Ran = project
        .command(&["plan", "p.toml"])
        .env("ILM_PIPE_LOG", "ilm_pipe::plan=debug")
        .output()
        .expect("the program starts")
        .into();
    let ran = ran.ok();
    assert!(
        ran.stderr.contains("judged") && !ran.stderr.contains("loaded"),
        "{}",
        ran.stderr
    );
    let ran: Ran = project
        .command(&["plan", "p.toml"])
        .env("ILM_PIPE_LOG", "ilm_pipe=loud")
        .output()
        .expect("the program starts")
        .into();
    let ran = ran.fails(2);
    assert!(
        ran.stderr.contains("`ILM_PIPE_LOG` is `ilm_pipe=loud`"),
        "{}",
        ran.stderr
    );
}
