//! What is remembered: causes with what they compare with, runs and their differences, where artifacts come from,
//! traces, and how little a run writes that has nothing to do.

use crate::support::{Project, Ran, events};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file, a stage that reads it, one with a table and numbers, and one that reads both.
const PIPELINE: &str = r#"
name = "history"

[params]
factor = "2"

[stage.numbers]
kind = "command"
command = ["sh", "-c", "cat datasets/x.txt > $ILM_OUTPUT/n.txt"]
files = ["datasets/x.txt"]

[stage.scores]
kind = "command"
command = ["sh", "-c", """
n=$(cat $ILM_INPUT_0/n.txt)
printf 'row,column,value,low\nall,mlp,%s,1\nall,elm,7,\n' $((n * F)) > $ILM_OUTPUT/table.csv
printf '{"loss": 0.%s, "items": %s}' $F $n > $ILM_OUTPUT/summary.json
"""]
env = { F = "${factor}" }
inputs = { from = ["numbers"] }

[stage.report]
kind = "command"
command = ["sh", "-c", "cat $ILM_INPUT_0/table.csv $ILM_INPUT_1/n.txt > $ILM_OUTPUT/report.txt"]
inputs = { from = ["scores", "numbers"] }
"#;

const FACTOR_3: [&str; 2] = ["--set", "factor=\"3\""];

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("datasets/x.txt", "5");
    project
}

/// Runs `p.toml` and returns the name of the run.
#[track_caller]
fn run(project: &Project, more: &[&str]) -> String {
    let mut arguments = vec!["run", "p.toml", "--json"];
    arguments.extend_from_slice(more);
    let outcome = project.call(&arguments).ok().json();
    outcome["run"].as_str().expect("a run").to_owned()
}

/// The result of a command on standard output.
#[track_caller]
fn said(project: &Project, arguments: &[&str], more: &[&str]) -> String {
    let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
    project.call(&arguments).ok().stdout
}

/// A snapshot in which what differs from machine to machine is a mark.
macro_rules! assert_said {
    ($text:expr) => {
        insta::with_settings!({filters => vec![
            (r"\d{8}T\d{6}Z-\d+", "<run>"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
            (r"\b[0-9a-f]{64}\b", "<64 digits>"),
            (r"\b[0-9a-f]{12}\b", "<12 digits>"),
            (r"in \d+\.\d\d s", "in <n> s"),
            (r"on \S+ \(cpu, \d+ threads?, [0-9.]+ MiB at most\)", "on <host> (cpu, <n> threads, <n> MiB at most)"),
            (r"(?m)^[ │]*(hashing files|queued|hashing inputs|running|committing) [^\n]*\n", ""),
        ]}, { insta::assert_snapshot!($text) });
    };
}

/// The folder of the record of a stage's result.
fn remove_record(project: &Project, key: &str) {
    let path = project.file(&format!("cache/v1/records/{}/{key}.json", &key[..2]));
    fs_err::remove_file(path).expect("removed");
}

fn key_of(project: &Project, stage: &str) -> String {
    let shown = project.call(&["show", "p.toml", stage, "--json"]).ok();
    shown.json()[0]["key"].as_str().expect("a key").to_owned()
}

#[test]
fn explain_says_everything_in_every_state() {
    let project = project();
    let mut text = String::new();
    let mut explain = |title: &str, stage: &str, more: &[&str]| {
        let said = said(&project, &["explain", "p.toml", stage], more);
        text.push_str(&format!("=== {title}\n{said}\n"));
    };
    explain("never ran", "numbers", &[]);
    explain("never ran, and waits", "report", &[]);
    run(&project, &[]);
    explain("fresh", "scores", &[]);
    explain("a changed value", "scores", &FACTOR_3);
    explain("waits for a change", "report", &FACTOR_3);
    run(&project, &FACTOR_3);
    project.write("datasets/x.txt", "6");
    run(&project, &[]);
    let three = ["--set", "factor=\"3\""];
    explain("tried before with another file", "scores", &three);
    project.write("datasets/x.txt", "5");
    explain("back to what was before", "numbers", &[]);
    run(&project, &[]);

    let key = key_of(&project, "scores");
    let artifact = project.artifact("scores");
    remove_record(&project, &key);
    explain("forgotten", "scores", &[]);
    explain("history gone", "scores", &["--set", "factor=\"9\""]);
    run(&project, &[]);
    fs_err::set_permissions(&artifact, std::fs::Permissions::from_mode(0o755)).expect("opened");
    fs_err::remove_file(artifact.join("table.csv")).expect("removed");
    explain("damaged", "scores", &[]);
    assert_said!(text);
}

#[test]
fn json_has_complete_fingerprints_old_and_new() {
    let project = project();
    let first = run(&project, &[]);
    let mut plan = vec!["plan", "p.toml", "--json"];
    plan.extend(FACTOR_3);
    let plan = project.call(&plan).ok().json();
    let scores = &plan["stages"][1];
    assert_eq!(scores["stage"], "scores");
    assert_eq!(scores["before"]["run"], first.as_str());
    assert_eq!(scores["before"]["key"], key_of(&project, "scores").as_str());
    let (old, new) = (&scores["before"]["fingerprint"], &scores["fingerprint"]);
    assert_eq!(old["params.env.F"], "\"2\"");
    assert_eq!(new["params.env.F"], "\"3\"");
    for name in [
        "format",
        "kind",
        "version",
        "seed",
        "params.command",
        "inputs.from[0]",
    ] {
        assert_eq!(old[name], new[name], "{name}");
        assert!(new[name].is_string(), "{name}");
    }
    let report = &plan["stages"][2];
    assert_eq!(report["verdict"], "pending");
    assert!(report["fingerprint"]["inputs.from[1]"].is_string());
    assert!(report["fingerprint"].get("inputs.from[0]").is_none());

    run(&project, &FACTOR_3);
    project.write("datasets/x.txt", "6");
    run(&project, &[]);
    let mut explain = vec!["explain", "p.toml", "scores", "--json"];
    explain.extend(FACTOR_3);
    let nearest = &project.call(&explain).ok().json()[0]["nearest"];
    assert_eq!(nearest["fingerprint"]["params.env.F"], "\"3\"");
    assert_eq!(nearest["changes"][0]["name"], "inputs.from[0]");
    assert_eq!(
        nearest["changes"][0]["new"].as_str().expect("new").len(),
        64
    );
}

#[test]
fn two_runs_are_compared_down_to_the_cells_of_their_tables() {
    let project = project();
    let first = run(&project, &[]);
    project.write("datasets/x.txt", "6");
    let second = run(&project, &FACTOR_3);
    assert_said!(said(&project, &["diff"], &[]));
    let difference = project
        .call(&["diff", &first, &second, "--json"])
        .ok()
        .json();
    assert_eq!(difference["params"][0]["name"], "params.env.F");
    let file = &difference["inputs"][0];
    assert_eq!(file["name"], "files.datasets/x.txt");
    assert_eq!(file["old"].as_str().expect("old").len(), 64);
    assert_eq!(difference["tables"][0]["changed"][0]["new"], "18");
    let same = said(&project, &["diff", "latest", "latest"], &[]);
    assert!(same.ends_with("\nno difference in 3 stages\n"), "{same}");
}

#[test]
fn what_the_cache_no_longer_has_is_taken_from_logs_or_said_to_be_missing() {
    let project = project();
    run(&project, &[]);
    let fresh = run(&project, &[]);
    run(&project, &FACTOR_3);
    for folder in ["records", "objects"] {
        make_writable(&project.file(&format!("cache/v1/{folder}")));
        fs_err::remove_dir_all(project.file(&format!("cache/v1/{folder}"))).expect("removed");
    }
    let said = said(&project, &["diff", &fresh, "latest"], &[]);
    assert_said!(said);
}

fn make_writable(folder: &Path) {
    for entry in fs_err::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            make_writable(&entry.path());
        }
    }
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("opened");
}

#[test]
fn a_run_is_compared_with_the_pipeline_as_it_stands() {
    let project = project();
    run(&project, &[]);
    assert_said!(said(&project, &["diff", "--plan", "p.toml"], &FACTOR_3));
}

#[test]
fn runs_are_listed_and_named_by_their_beginnings() {
    let project = project();
    let none = project.call(&["diff"]).fails(2);
    assert!(
        none.stderr.contains("no run has been logged"),
        "{}",
        none.stderr
    );
    let first = run(&project, &[]);
    let second = run(&project, &FACTOR_3);
    let broken = project
        .call(&["run", "p.toml", "--set", "factor=\"x\""])
        .fails(1);
    drop(broken);
    let runs = project.call(&["runs", "--json"]).ok().json();
    let runs = runs.as_array().expect("runs");
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0]["end"]["failed"], 1);
    assert_eq!(runs[0]["end"]["blocked"], 1);
    assert_eq!(runs[1]["run"], second.as_str());
    assert_eq!(runs[1]["end"]["ran"], 2);
    assert_eq!(runs[1]["end"]["fresh"], 1);
    assert_eq!(runs[2]["run"], first.as_str());
    assert_eq!(runs[2]["command"][1], "run");
    let one = project.call(&["runs", "-n", "1", "--json"]).ok().json();
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let text = said(&project, &["runs"], &[]);
    assert_eq!(text.lines().count(), 4, "{text}");

    let trace = |run: &str| project.call(&["trace", run]);
    assert_eq!(trace("latest~2").ok().stdout, trace(&first).ok().stdout);
    let ambiguous = trace("20").fails(2);
    assert!(
        ambiguous.stderr.contains("3 runs begin with `20`"),
        "{}",
        ambiguous.stderr
    );
    let unknown = trace("lastest").fails(2);
    assert!(
        unknown.stderr.contains("did you mean `latest`?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_result_knows_everything_that_it_came_from() {
    let project = project();
    let run = run(&project, &[]);
    let mut tree = said(&project, &["show", "p.toml", "report", "--provenance"], &[]);
    tree = tree.replace(env!("CARGO_BIN_EXE_ilm-pipe"), "ilm-pipe");
    assert_said!(tree);

    let graph = project.call(&["show", "p.toml", "report", "--provenance", "--json"]);
    let graph = graph.ok().json();
    let things = |kind: &str| graph[kind].as_object().expect(kind).clone();
    let (entities, activities, agents) = (things("entity"), things("activity"), things("agent"));
    assert_eq!((entities.len(), activities.len(), agents.len()), (4, 3, 1));
    let expected = blake3::hash(b"5").to_hex().to_string();
    assert_eq!(
        entities["file:datasets/x.txt"]["ilm:hash"],
        expected.as_str()
    );
    for activity in activities.values() {
        let origin = &activity["ilm:origin"];
        assert_eq!(origin["run"], run.as_str());
        assert_eq!(origin["command"][2], "p.toml");
        for part in [
            "hashing_files",
            "queued",
            "hashing_inputs",
            "running",
            "committing",
        ] {
            assert!(
                origin["durations"][part].as_f64().expect(part) >= 0.0,
                "{part}"
            );
        }
        assert!(origin["durations"]["running"].as_f64() > Some(0.0));
        assert!(origin["peak_memory"].as_u64() > Some(1 << 20));
        assert!(!origin["host"].as_str().expect("a host").is_empty());
    }
    // Every relation leads from something that is there to something that is there.
    for (relation, from, to, n) in [
        ("used", "activity", "entity", 4),
        ("wasGeneratedBy", "entity", "activity", 3),
        ("wasDerivedFrom", "generatedEntity", "usedEntity", 4),
        ("wasAssociatedWith", "activity", "agent", 3),
    ] {
        let relations = things(relation);
        assert_eq!(relations.len(), n, "{relation}");
        for ends in relations.values() {
            for end in [from, to] {
                let name = ends[format!("prov:{end}")].as_str().expect(end);
                let known = [&entities, &activities, &agents];
                assert!(
                    known.iter().any(|k| k.contains_key(name)),
                    "{relation}: {name}"
                );
            }
        }
    }
}

/// A slice on a track: begin, end, name.
type Slice = (u64, u64, String);

/// The slices of each track of a trace; fails when two of a track overlap without one lying in the other.
#[track_caller]
fn nested(trace: &Value) -> BTreeMap<u64, Vec<Slice>> {
    let mut tracks: BTreeMap<u64, Vec<Slice>> = BTreeMap::new();
    let events = trace["traceEvents"].as_array().expect("events");
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let number = |name: &str| event[name].as_u64().expect(name);
        let (begin, dur) = (number("ts"), number("dur"));
        let name = event["name"].as_str().expect("a name").to_owned();
        tracks
            .entry(number("tid"))
            .or_default()
            .push((begin, begin + dur, name));
    }
    for slices in tracks.values_mut() {
        // The longer of two that begin together is the outer one.
        slices.sort_by_key(|(begin, end, _)| (*begin, std::cmp::Reverse(*end)));
        let mut open: Vec<&Slice> = Vec::new();
        for slice in slices.iter() {
            while open.last().is_some_and(|outer| outer.1 <= slice.0) {
                open.pop();
            }
            if let Some(outer) = open.last() {
                assert!(slice.1 <= outer.1, "{slice:?} sticks out of {outer:?}");
            }
            open.push(slice);
        }
    }
    tracks
}

#[test]
fn a_trace_nests_and_has_every_stage_once() {
    // Three stages that wait for one another's files run side by side; two more follow.
    let wait = "echo > \\\"$ILM_SCRATCH/../$ME\\\"; until [ -e \\\"$ILM_SCRATCH/../a\\\" ] && \
                [ -e \\\"$ILM_SCRATCH/../b\\\" ] && [ -e \\\"$ILM_SCRATCH/../c\\\" ]; do sleep 0.01; done; \
                echo $ME > $ILM_OUTPUT/x";
    let mut text = String::new();
    for name in ["a", "b", "c"] {
        text.push_str(&format!(
            "[stage.{name}]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"{wait}\"]\nenv = {{ ME = \"{name}\" }}\n"
        ));
    }
    for (name, inputs) in [("d", "\"a\", \"b\""), ("e", "\"d\"")] {
        text.push_str(&format!(
            "[stage.{name}]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo {name} > $ILM_OUTPUT/x\"]\n\
             inputs = {{ from = [{inputs}] }}\n"
        ));
    }
    let project = Project::new(&text);
    project.call(&["run", "p.toml", "--jobs", "3"]).ok();
    project.call(&["trace", "latest", "-o", "trace.json"]).ok();
    let text = fs_err::read_to_string(project.file("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&text).expect("json");

    let tracks = nested(&trace);
    assert_eq!(
        tracks.keys().copied().collect::<Vec<_>>(),
        [1, 2, 3],
        "three slots"
    );
    let mut names: Vec<&str> = tracks.values().flatten().map(|s| s.2.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in ["a", "b", "c", "d", "e", "run", "commit"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let stages = |name: &str| tracks.values().flatten().filter(|s| s.2 == name).count();
    assert_eq!((stages("a"), stages("e"), stages("run")), (1, 1, 5));

    let events = trace["traceEvents"].as_array().expect("events");
    let mut waiting: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for event in events.iter().filter(|e| e["ph"] == "b" || e["ph"] == "e") {
        let text = |name: &str| event[name].as_str().expect(name).to_owned();
        let at = event["ts"].as_u64().expect("a time");
        waiting
            .entry((text("id"), text("name")))
            .or_default()
            .push(at);
    }
    assert!(!waiting.is_empty());
    for (name, times) in waiting {
        assert!(
            matches!(times[..], [from, to] if from <= to),
            "{name:?}: {times:?}"
        );
    }
    // Each arrow has two ends, and points forward.
    let mut arrows: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
    for event in events.iter().filter(|e| e["ph"] == "s" || e["ph"] == "f") {
        let end = event["ph"].as_str().expect("a phase").to_owned();
        let at = event["ts"].as_u64().expect("a time");
        arrows
            .entry(event["id"].as_u64().expect("an id"))
            .or_default()
            .push((end, at));
    }
    assert_eq!(arrows.len(), 3, "a -> d, b -> d, d -> e");
    for ends in arrows.values() {
        assert!(
            ends[0].0 == "s" && ends[1].0 == "f" && ends[0].1 <= ends[1].1,
            "{ends:?}"
        );
    }
}

/// Path -> inode, size, time of modification of every file below a folder.
fn files_below(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs_err::symlink_metadata(&path).expect("metadata");
        if metadata.is_dir() {
            found.extend(files_below(&path));
        } else {
            let stamp = (
                metadata.ino(),
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            );
            found.insert(path, stamp);
        }
    }
    found
}

/// A program named `git` that notes that it was started and says what git would say.
fn with_fake_git(project: &Project) -> String {
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nprintf '# branch.oid {}\\0# branch.head main\\0001 .M N... 1 1 1 a b p.toml\\000'\n",
        project.file("asked").display(),
        "0123456789".repeat(4),
    );
    project.write("bin/git", &script);
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(project.file("bin/git"), mode).expect("made executable");
    fs_err::create_dir_all(project.file(".git")).expect("made");
    format!("{}:/usr/bin:/bin", project.file("bin").display())
}

#[test]
fn a_run_with_nothing_to_do_writes_its_log_and_nothing_else_and_asks_no_git() {
    let project = project();
    let path = with_fake_git(&project);
    let run = || -> Ran {
        let mut command = project.command(&["run", "p.toml", "--json"]);
        command
            .env("PATH", &path)
            .output()
            .expect("the program starts")
            .into()
    };
    run().ok();
    let asked = fs_err::read_to_string(project.file("asked")).expect("git was asked");
    assert_eq!(asked.lines().count(), 1, "once, for three stages: {asked}");
    assert!(asked.starts_with("--no-optional-locks "), "{asked}");
    let shown = project
        .call(&["show", "p.toml", "report", "--json"])
        .ok()
        .json();
    let git = &shown[0]["origin"]["git"];
    assert_eq!(git["commit"], "0123456789".repeat(4).as_str());
    assert_eq!(git["dirty"], true);

    // Hashes of files are remembered once the files are at rest; that is not what this is about.
    let ignored = project.file("cache/v1/files.json");
    let listed = || {
        let mut files = files_below(project.path());
        files.remove(&ignored);
        files
    };
    let before = listed();
    let outcome = run().ok().json();
    let after = listed();
    let log = project.file(&format!(
        "cache/v1/runs/{}.jsonl",
        outcome["run"].as_str().expect("a run")
    ));
    let changed: BTreeSet<&PathBuf> = after
        .iter()
        .filter(|(path, stamp)| before.get(*path) != Some(stamp))
        .map(|(path, _)| path)
        .chain(before.keys().filter(|path| !after.contains_key(*path)))
        .collect();
    assert_eq!(changed, BTreeSet::from([&log]));
    let kinds: Vec<String> = events(&log)
        .iter()
        .map(|event| event["event"].as_str().expect("a kind").to_owned())
        .collect();
    let fresh = "stage-fresh";
    assert_eq!(kinds, ["run-started", fresh, fresh, fresh, "run-ended"]);
    let bytes = fs_err::metadata(&log).expect("a log").len();
    assert!(bytes < 2500, "{bytes} bytes for three fresh stages");
}

#[test]
fn git_is_read_and_not_written_to() {
    let project = project();
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e"])
            .args(arguments)
            .current_dir(project.path())
            .output()
            .expect("this test needs git");
        assert!(done.status.success(), "git {arguments:?}");
        String::from_utf8(done.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "p.toml"]);
    git(&["commit", "--quiet", "-m", "one"]);
    let commit = git(&["rev-parse", "HEAD"]);
    // The index now remembers a wrong time: `git status` on its own would write it anew.
    project.write("p.toml", PIPELINE);
    let before = files_below(&project.file(".git"));
    run(&project, &[]);
    assert_eq!(files_below(&project.file(".git")), before);
    let origin = |stage: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["show", "p.toml", stage, "--json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        project.call(&arguments).ok().json()[0]["origin"]["git"].clone()
    };
    let clean = origin("report", &[]);
    assert_eq!(clean["commit"], commit.as_str());
    assert_eq!(clean["dirty"], false, "data and cache are not the pipeline");
    project.write("p.toml", &format!("{PIPELINE}# changed\n"));
    run(&project, &FACTOR_3);
    assert_eq!(origin("report", &FACTOR_3)["dirty"], true);
}
