//! Promises of the cache: nothing corrupt is served, nothing half-written is left, two processes compute a key once.

use crate::support::{Project, events};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Five stages without a network, a second or so in all.
pub const DATA: &str = r#"
name = "data"

[params]
factors = 8

[stage.catalog]
kind = "ingest"
source = "demo"
demo_films = 60
demo_users = 80

[stage.split]
kind = "split"
inputs = { catalog = "catalog" }

[stage.cf]
kind = "fit-cf"
inputs = { catalog = "catalog", split = "split" }
factors = "${factors}"
epochs = 3

[stage.pairs]
kind = "pairs"
inputs = { catalog = "catalog", split = "split" }

[stage.items]
kind = "combine"
inputs = { behavioural = "cf" }
representation = "behavioural"
"#;

fn overwrite_keeping_mode(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mode = fs_err::metadata(path).expect("a file").permissions();
    let mut bytes = fs_err::read(path).expect("read");
    change(&mut bytes);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("opened");
    fs_err::write(path, bytes).expect("written");
    fs_err::set_permissions(path, mode).expect("closed");
}

#[test]
fn a_second_run_executes_nothing() {
    let project = Project::new(DATA);
    assert_eq!(project.run(&[]).len(), 5);
    assert!(project.run(&[]).is_empty());
}

#[test]
fn a_flipped_bit_is_found_and_repaired_to_the_same_bytes() {
    let project = Project::new(DATA);
    let before = project.outputs(&[]);
    let file = project.artifact("cf").join("factors.safetensors");
    overwrite_keeping_mode(&file, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let plan = project.plan(&[]);
    assert_eq!(plan["cf"].0, "dirty");
    assert_eq!(plan["cf"].1, ["damaged"]);
    assert_eq!(plan["items"].0, "pending");
    let ran: Vec<String> = project
        .run(&[])
        .into_iter()
        .map(|(stage, _)| stage)
        .collect();
    assert_eq!(
        ran,
        ["cf"],
        "its bytes are as before, so nothing after it runs"
    );
    assert_eq!(project.outputs(&[]), before);
}

#[test]
fn a_truncated_and_a_deleted_file_are_repaired() {
    let project = Project::new(DATA);
    let before = project.outputs(&[]);
    let file = project.artifact("cf").join("factors.safetensors");
    overwrite_keeping_mode(&file, |bytes| bytes.truncate(100));
    assert_eq!(project.run(&[]).len(), 1);
    fs_err::remove_file(&file).expect("removed");
    assert_eq!(project.run(&[]).len(), 1);
    assert_eq!(project.outputs(&[]), before);
}

#[test]
fn two_runs_at_once_compute_each_stage_once() {
    let project = Project::new(DATA);
    let mut others: Vec<_> = (0..3)
        .map(|_| {
            project
                .command(&["run", "p.toml", "--quiet"])
                .spawn()
                .expect("the program starts")
        })
        .collect();
    for other in &mut others {
        assert!(other.wait().expect("ended").success());
    }
    let mut started = 0;
    for entry in fs_err::read_dir(project.file("cache/v1/runs")).expect("runs") {
        started += events(&entry.expect("an entry").path())
            .iter()
            .filter(|event| event["event"] == "stage-started")
            .count();
    }
    assert_eq!(started, 5);
}

#[test]
fn pipelines_share_what_they_have_in_common() {
    let project = Project::new(DATA);
    project.run(&[]);
    let other = DATA
        .replace("name = \"data\"", "name = \"other\"")
        .replace("[stage.cf]", "[stage.factors]")
        .replace("\"cf\"", "\"factors\"");
    project.write("p.toml", &other);
    assert!(
        project.run(&[]).is_empty(),
        "names of pipelines and stages are no part of a key"
    );
}

#[test]
fn going_back_to_an_old_value_is_a_hit() {
    let project = Project::new(DATA);
    project.run(&[]);
    assert_eq!(project.run(&["--set", "factors=6"]).len(), 2);
    assert!(project.run(&[]).is_empty());
}
