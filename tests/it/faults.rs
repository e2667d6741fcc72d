//! Fault injection: whatever is killed, damaged, full or read-only, nothing wrong is served and nothing finished is lost.
//!
//! Every test run does a short form. `ILM_PIPE_FAULTS=long cargo test --release --test it faults` does the long one: 240
//! kills at random moments, 108 at named points, and ten bit flips and ten cuts of every file of the cache.

use crate::support::victim::{
    Injury, POINTS, STAGES, assert_clean, files_below, injure, kill, run_events, start, victim,
    wait_for, with_mounts, workers,
};
use crate::support::world::{rewrite, set_modified};
use crate::support::{Project, events};
use ilm_pipe::artifact::{Lookup, Store};
use ilm_pipe::clock::Stopwatch;
use ilm_pipe::formats::checked;
use ilm_pipe::seed::Seed;
use rand::Rng as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment how long it may take"
)]
fn long() -> bool {
    std::env::var("ILM_PIPE_FAULTS").is_ok_and(|form| form == "long")
}

/// What an undisturbed run makes.
fn undisturbed() -> BTreeMap<String, String> {
    victim().outputs(&[])
}

#[test]
fn runs_killed_at_random_moments_end_in_the_same_bits() {
    let expected = undisturbed();
    let project = victim();
    let kills = if long() { 240 } else { 10 };
    let mut rng = Seed::new(1).child("random kills").rng();
    let (mut done, mut of_runners, mut of_workers, mut in_time) = (0, 0, 0, 0);
    while done < kills {
        fs_err::remove_dir_all(project.file("cache")).ok();
        // A run is killed up to three times before one is left alone.
        for _ in 0..rng.gen_range(1..=3) {
            let mut runner = start(&project);
            std::thread::sleep(Duration::from_millis(rng.gen_range(0..400)));
            let alive = runner.try_wait().expect("asked").is_none();
            in_time += usize::from(alive);
            let who = rng.gen_range(0..3);
            let mut victims = if who == 0 {
                Vec::new()
            } else {
                workers(runner.id())
            };
            if who != 1 {
                victims.push(runner.id());
            }
            of_runners += usize::from(who != 1);
            of_workers += usize::from(who != 0);
            for victim in victims {
                kill(victim);
            }
            runner.wait().expect("ended");
            done += 1;
        }
        assert_eq!(project.outputs(&[]), expected);
        assert_clean(&project);
        assert!(project.run(&[]).is_empty(), "everything is fresh");
    }
    println!(
        "{done} kills ({of_runners} of runners, {of_workers} of workers), {in_time} while the run went on"
    );
    assert!(in_time > 0);
}

#[test]
fn runs_killed_at_named_points_end_in_the_same_bits() {
    let expected = undisturbed();
    let project = victim();
    let mut kills = 0;
    for (at, (stage, _)) in STAGES.iter().enumerate() {
        for (point, victim) in POINTS
            .iter()
            .flat_map(|point| ["worker", "runner", "both"].map(|victim| (point, victim)))
        {
            // In the short form each point and each victim once.
            kills += 1;
            if !long() && kills % 6 != at % 6 {
                continue;
            }
            for repeat in 0..if long() { 2 } else { 1 } {
                if repeat == 0 {
                    fs_err::remove_dir_all(project.file("cache")).ok();
                } else {
                    // Upstream stages are there: the stage is the first to run.
                    let record = record_of(&project, stage);
                    fs_err::remove_file(record).expect("removed");
                }
                let order = project.file(&format!("at.{stage}.{point}"));
                fs_err::write(&order, format!("{victim}\n")).expect("written");
                let status = start(&project).wait().expect("ended");
                assert!(!status.success(), "{stage} {point} {victim}");
                assert!(!order.exists(), "{stage} {point} {victim}");
                assert_eq!(project.outputs(&[]), expected, "{stage} {point} {victim}");
                assert_clean(&project);
            }
        }
    }
}

fn store(project: &Project) -> Store {
    Store::at(&project.file("cache"))
}

fn key_of(project: &Project, stage: &str) -> ilm_pipe::key::Hash {
    let shown = project.call(&["show", "p.toml", stage, "--json"]).ok();
    let key = shown.json()[0]["key"].as_str().expect("a key").to_owned();
    ilm_pipe::key::Hash::parse(&key).expect("a hash")
}

fn record_of(project: &Project, stage: &str) -> std::path::PathBuf {
    let hex = key_of(project, stage).hex();
    project.file(&format!("cache/v1/records/{}/{hex}.json", &hex[..2]))
}

#[test]
fn every_state_that_a_kill_can_leave_behind_is_cleared_up() {
    let project = victim();
    let expected = project.outputs(&[]);
    let root = project.file("cache/v1");
    let key = key_of(&project, "d").hex();
    let record = record_of(&project, "d");
    let states: [(&str, &dyn Fn()); 6] = [
        ("half an artifact", &|| {
            fs_err::remove_file(&record).expect("removed");
            fs_err::create_dir_all(root.join("tmp").join(&key)).expect("made");
            fs_err::write(root.join("tmp").join(&key).join("out"), "half").expect("written");
        }),
        ("an artifact without a record", &|| {
            fs_err::remove_file(&record).expect("removed");
        }),
        (
            "half an artifact of a key that nobody asks for any more",
            &|| {
                let other = "0".repeat(64);
                fs_err::create_dir_all(root.join("tmp").join(other)).expect("made");
            },
        ),
        ("half a record, half a list", &|| {
            fs_err::write(root.join("tmp/abc.writing"), "{\"check\":").expect("written");
        }),
        ("a record, but not yet the end of its checkpoints", &|| {
            let scratch = root.join("scratch").join(&key);
            fs_err::create_dir_all(&scratch).expect("made");
            fs_err::write(scratch.join("state"), "d 1\n").expect("written");
        }),
        (
            "a lock of a process that is gone, no note of the success",
            &|| {
                fs_err::write(root.join("locks").join(&key), "").expect("written");
                fs_err::remove_dir_all(root.join("last")).expect("removed");
            },
        ),
    ];
    for (what, leave) in states {
        leave();
        assert_eq!(project.outputs(&[]), expected, "{what}");
        assert_clean(&project);
    }
}

/// What of the cache is damaged on purpose here.
fn damageable(project: &Project) -> Vec<std::path::PathBuf> {
    ["records", "objects", "last", "files.json", "logs", "runs"]
        .into_iter()
        .flat_map(|part| {
            let path = project.file("cache/v1").join(part);
            if path.is_file() {
                vec![path]
            } else {
                files_below(&path)
            }
        })
        .filter(|path| fs_err::metadata(path).is_ok_and(|found| found.len() > 0))
        .collect()
}

#[test]
fn every_flip_cut_and_deletion_in_the_cache_is_found_told_and_repaired() {
    let project = victim();
    let expected = project.outputs(&[]);
    // Old enough to be remembered, so that `files.json` holds something; runs of a clean cache are few.
    std::thread::sleep(Duration::from_millis(2100));
    project.run(&[]);
    assert!(project.file("cache/v1/files.json").exists());
    let mut rng = Seed::new(2).child("damage").rng();
    let rounds = if long() { 10 } else { 1 };
    let mut injuries = 0;
    for path in damageable(&project) {
        let part = path.strip_prefix(project.file("cache/v1")).expect("below");
        let part = part.to_string_lossy().into_owned();
        for injury in [Injury::Flip, Injury::Cut, Injury::Delete] {
            for _ in 0..if injury == Injury::Delete { 1 } else { rounds } {
                let what = format!("{injury:?} of {part}");
                if part.starts_with("runs") || part.starts_with("logs") {
                    // Never read again to make a result: whoever reads a line can tell that it is damaged.
                    assert!(intact_lines(&path), "{part}");
                    let before = fs_err::read(&path).expect("read");
                    injure(&path, injury, &mut rng);
                    let lost = !path.exists() || !intact_lines(&path) || is_cut(&path, &before);
                    assert!(lost, "{what}");
                    assert!(project.run(&[]).is_empty(), "{what}: no result is lost");
                    rewrite(&path, &before, false);
                    continue;
                }
                injure(&path, injury, &mut rng);
                injuries += 1;
                let told = run_events(&project, &[]);
                let mentions = |name: &str| told.iter().any(|event| event["event"] == name);
                if part.starts_with("records") || part.starts_with("objects") {
                    assert!(mentions("stage-started"), "{what}: {told:?}");
                } else if injury == Injury::Flip {
                    assert!(mentions("cache-repaired"), "{what}: {told:?}");
                }
                assert_eq!(project.outputs(&[]), expected, "{what}");
                assert_eq!(damaged_parts(&project), [""; 0], "{what}");
            }
        }
    }
    assert!(injuries >= 3 * 2 * STAGES.len());
}

fn intact_lines(path: &Path) -> bool {
    fs_err::read(path)
        .expect("read")
        .split_inclusive(|&byte| byte == b'\n')
        .all(checked::is_intact)
}

/// Cut at the end of a line: the lines are whole, but the last one, which ends the log, is missing.
fn is_cut(path: &Path, before: &[u8]) -> bool {
    let after = fs_err::read(path).expect("read");
    after.len() < before.len() && before.starts_with(&after)
}

/// Whatever in the cache is not as it was written.
fn damaged_parts(project: &Project) -> Vec<String> {
    let store = store(project);
    let mut wrong = Vec::new();
    for (stage, _) in STAGES {
        let key = key_of(project, stage);
        match store.look(&key) {
            Lookup::Found(record) => match store.verify(&record).expect("verified") {
                None => {}
                Some(damage) => wrong.push(format!("{stage}: {damage}")),
            },
            other => wrong.push(format!("{stage}: {other:?}")),
        }
    }
    for name in ["files.json", "last/victim.jsonl"] {
        let path = project.file("cache/v1").join(name);
        let text = fs_err::read(&path).expect("there");
        let whole = text
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .all(checked::is_intact);
        if !whole {
            wrong.push(name.to_owned());
        }
    }
    wrong
}

/// Flips a bit and makes the record believe that the file has not been touched since: what a disk does that loses a bit.
fn rot(project: &Project, stage: &str) {
    let mut rng = Seed::new(3).rng();
    let file = project.artifact(stage).join("out");
    let path = record_of(project, stage);
    injure(&file, Injury::Flip, &mut rng);
    let text = fs_err::read(&path).expect("read");
    let mut record: ilm_pipe::artifact::Record = checked::from_text(&text).expect("a record");
    record.files[0].changed_ns = changed_ns(&file);
    fs_err::write(path, checked::to_text(&record).expect("text")).expect("written");
}

#[test]
fn a_bit_lost_by_the_disk_reaches_no_stage_and_every_reader_waits_for_the_repair() {
    let project = victim();
    let expected = project.outputs(&[]);
    for repeat in 0..3 {
        rot(&project, "a");
        assert!(
            project.run(&[]).is_empty(),
            "nothing reads it, nothing shows"
        );
        // Three stages read it, two at a time.
        for reader in ["b", "c", "f"] {
            fs_err::remove_file(record_of(&project, reader)).expect("removed");
        }
        let told = run_events(&project, &["--jobs", if repeat == 0 { "1" } else { "3" }]);
        let of = |name: &str| -> Vec<&str> {
            let found = told.iter().filter(|event| event["event"] == name);
            found.filter_map(|event| event["stage"].as_str()).collect()
        };
        assert_eq!(of("stage-damaged"), ["a"]);
        let mut started = of("stage-started");
        assert_eq!(started.remove(0), "a", "before any stage that reads it");
        started.sort_unstable();
        assert_eq!(started, ["b", "c", "f"]);
        assert_eq!(project.outputs(&[]), expected);
    }
}

#[test]
fn what_is_added_to_an_artifact_reaches_no_stage() {
    let project = victim();
    let expected = project.outputs(&[]);
    fs_err::write(project.artifact("a").join("extra"), "x").expect("written");
    fs_err::remove_file(record_of(&project, "b")).expect("removed");
    let told = run_events(&project, &[]);
    assert!(told.iter().any(|event| event["event"] == "stage-damaged"));
    assert!(!project.artifact("a").join("extra").exists());
    assert_eq!(project.outputs(&[]), expected);
}

/// One stage that copies a file before and after it is told to go on, and would resume from a checkpoint.
const READER: &str = r#"
name = "reader"

[stage.copy]
kind = "command"
files = ["in.txt"]
command = ["sh", "-c", """
set -e
[ -e "$ILM_SCRATCH/half" ] || cp in.txt "$ILM_SCRATCH/half"
: > started
while ! [ -e go ]; do sleep 0.01; done
cat "$ILM_SCRATCH/half" in.txt > "$ILM_OUTPUT/out"
"""]
"#;

#[test]
fn an_input_edited_while_its_stage_runs_is_not_recorded() {
    let edits: [(&str, &dyn Fn(&Path)); 6] = [
        ("edited", &|path| rewrite(path, b"two\n", false)),
        ("edited, time put back", &|path| {
            rewrite(path, b"two\n", true);
        }),
        ("edited and put back", &|path| {
            rewrite(path, b"two\n", false);
            rewrite(path, b"one\n", false);
        }),
        ("edited and put back with its time", &|path| {
            let time = fs_err::metadata(path)
                .expect("there")
                .modified()
                .expect("a time");
            rewrite(path, b"two\n", false);
            rewrite(path, b"one\n", false);
            set_modified(path, time);
        }),
        ("replaced by an equal file", &|path| {
            let other = path.with_extension("new");
            fs_err::write(&other, "one\n").expect("written");
            fs_err::rename(&other, path).expect("renamed");
        }),
        ("removed", &|path| {
            fs_err::remove_file(path).expect("removed");
        }),
    ];
    for (what, edit) in edits {
        for killed in [false, true] {
            let project = Project::new(READER);
            let path = project.file("in.txt");
            project.write("in.txt", "one\n");
            let mut runner = project
                .command(&["run", "p.toml"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("started");
            wait_for(&project.file("started"));
            edit(&path);
            if killed {
                // The checkpoint may be of either content, and nobody was there to tell.
                kill(runner.id());
                runner.wait().expect("ended");
            } else {
                fs_err::write(project.file("go"), "").expect("written");
                let output = runner.wait_with_output().expect("ended");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(1), "{what}: {said}");
                assert!(said.contains("in.txt"), "{what}: {said}");
                assert!(
                    files_below(&project.file("cache/v1/records")).is_empty(),
                    "{what}"
                );
            }
            fs_err::write(project.file("go"), "").expect("written");
            for content in ["one\n", "two\n"] {
                project.write("in.txt", content);
                project.call(&["run", "p.toml", "--quiet"]).ok();
                let made = project.artifact("copy").join("out");
                let made = fs_err::read_to_string(made).expect("read");
                assert_eq!(made, content.repeat(2), "{what}, killed: {killed}");
            }
        }
    }
}

/// Limits the size of every file that the program and its workers write: what a full disk does, for anyone.
fn with_little_room(project: &Project, bytes: u64, arguments: &[&str]) -> crate::support::Ran {
    let mut command = project.command(arguments);
    #[expect(
        unsafe_code,
        reason = "setrlimit has no safe wrapper in the standard library"
    )]
    // SAFETY: both calls are allowed between fork and exec, and only change the new process.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: bytes,
            };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    command.output().expect("started").into()
}

#[test]
fn files_that_cannot_be_written_end_in_a_clear_error_and_lose_nothing() {
    let expected = undisturbed();
    for bytes in [0, 100, 600, 1500] {
        let project = victim();
        let ran = with_little_room(&project, bytes, &["run", "p.toml", "--jobs", "1"]);
        assert!(
            ran.code == 1 || ran.code == 3,
            "{bytes}: {} {}",
            ran.code,
            ran.stderr
        );
        assert!(
            ran.stderr.contains("File too large") || ran.stderr.contains("I/O error"),
            "{bytes}: {}",
            ran.stderr
        );
        let whole = files_below(&project.file("cache/v1/records")).len();
        let ran_then = project.run(&[]).len();
        assert_eq!(
            ran_then,
            STAGES.len() - whole,
            "{bytes}: what was finished is kept"
        );
        assert_eq!(project.outputs(&[]), expected);
        assert_clean(&project);
    }
}

#[test]
fn a_full_disk_ends_in_a_clear_error_and_loses_nothing() {
    let project = victim();
    let script = r#"
        set -e
        mkdir cache
        mount -t tmpfs -o size=64k none cache
        code=0; "$PROGRAM" run p.toml --quiet 2> told || code=$?
        echo "$code"
        grep -q "No space left on device" told || { cat told >&2; exit 9; }
        find cache/v1/records -name '*.json' | wc -l
        mount -o remount,size=20m cache
        "$PROGRAM" run p.toml --json > second
        find cache/v1/tmp cache/v1/scratch -mindepth 1 | wc -l
    "#;
    let Some(ran) = with_mounts(&project, script) else {
        return;
    };
    let ran = ran.ok();
    let mut lines = ran
        .stdout
        .lines()
        .map(|line| line.trim().parse::<usize>().expect("a number"));
    let code = lines.next().expect("an exit code");
    assert!(code == 1 || code == 3, "{}", ran.stdout);
    let whole = lines.next().expect("a number of records");
    assert!(whole < STAGES.len(), "the disk was full before the end");
    let second = fs_err::read_to_string(project.file("second")).expect("read");
    let second: Value = serde_json::from_str(&second).expect("json");
    assert_eq!(second["ran"], STAGES.len() - whole);
    assert_eq!(lines.next(), Some(0), "left behind");
    for (stage, output) in undisturbed() {
        assert_eq!(second["stages"][&stage]["output"], output, "{stage}");
    }
}

#[test]
fn a_read_only_cache_serves_what_it_has_and_says_what_it_cannot_do() {
    let project = victim();
    let expected = project.outputs(&[]);
    let script = r#"
        set -e
        mount --bind cache cache
        mount -o remount,bind,ro cache
        "$PROGRAM" plan p.toml
        "$PROGRAM" run p.toml 2>&1
        "$PROGRAM" show p.toml d
        echo changed > in.txt
        code=0; "$PROGRAM" run p.toml 2> told || code=$?
        echo "exit $code"
        cat told
        echo input > in.txt
    "#;
    let Some(ran) = with_mounts(&project, script) else {
        return;
    };
    let ran = ran.ok();
    assert!(ran.stdout.contains("exit 3"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("Read-only file system"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("cache"), "{}", ran.stdout);
    assert_eq!(project.outputs(&[]), expected);
    assert!(project.run(&[]).is_empty());
}

#[test]
fn eight_processes_compute_each_stage_once_also_after_damage() {
    let project = victim();
    let together = || {
        fs_err::remove_dir_all(project.file("cache/v1/runs")).ok();
        let runs: Vec<_> = (0..8).map(|_| start(&project)).collect();
        for mut run in runs {
            assert!(run.wait().expect("ended").success());
        }
        let mut started = Vec::new();
        for log in files_below(&project.file("cache/v1/runs")) {
            for event in events(&log) {
                if event["event"] == "stage-started" {
                    started.push(event["stage"].as_str().expect("a stage").to_owned());
                }
            }
        }
        started.sort();
        started
    };
    assert_eq!(together(), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(together(), [""; 0]);
    rot(&project, "a");
    fs_err::remove_file(record_of(&project, "b")).expect("removed");
    assert_eq!(together(), ["a", "b"]);
    assert_clean(&project);
}

#[test]
fn times_of_files_change_nothing() {
    let project = victim();
    project.run(&[]);
    let year = Duration::from_hours(8760);
    let now = fs_err::metadata(project.file("in.txt")).expect("there");
    let now = now.modified().expect("a time");
    for time in [now + year, now - year, SystemTime::UNIX_EPOCH, now] {
        set_modified(&project.file("in.txt"), time);
        for path in files_below(&project.file("cache/v1/objects")) {
            set_modified(&path, time);
        }
        let plan = project.plan(&[]);
        assert!(
            plan.values().all(|(verdict, _)| verdict == "fresh"),
            "{plan:?}"
        );
        assert!(project.run(&[]).is_empty());
    }
}

#[test]
fn a_run_of_a_copied_cache_reads_it_once_and_then_no_more() {
    let project = victim();
    project.run(&[]);
    // Other inodes, other change times, as after a restored backup.
    let copied = std::process::Command::new("sh")
        .args(["-c", "cp -a cache other && rm -rf cache && mv other cache"])
        .current_dir(project.path())
        .status();
    assert!(copied.expect("started").success());
    let noted = || {
        STAGES.iter().all(|(stage, _)| {
            let Lookup::Found(record) = store(&project).look(&key_of(&project, stage)) else {
                panic!("no record of `{stage}`");
            };
            let file = store(&project).object_path(&record.output).join("out");
            record.files[0].changed_ns == changed_ns(&file)
        })
    };
    assert!(!noted());
    let watch = Stopwatch::start();
    while !noted() {
        assert!(project.run(&[]).is_empty());
        assert!(watch.seconds() < 30.0, "the new times are never noted");
    }
    assert_eq!(damaged_parts(&project), [""; 0]);
}

fn changed_ns(path: &Path) -> i128 {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs_err::metadata(path).expect("there");
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}
