//! Care of the cache: what is swept and what is not, damage found and repaired, logs kept, changes accepted.

use crate::support::{Project, Ran};
use ilm_pipe::clock::{self, Stopwatch};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Two stages; each says something and writes a hundred bytes. `LINE` changes the first one's program in a way that
/// does not change what it writes.
const TWO: &str = r#"
name = "two"

[params]
word = "one"

[profile.other.params]
word = "two"

[stage.a]
kind = "command"
command = ["sh", "-c", "echo making ${word}; printf '%0100d' 1 > $ILM_OUTPUT/a.txt; echo ${word} >> $ILM_OUTPUT/a.txt"]

[stage.b]
kind = "command"
command = ["sh", "-c", "cat $ILM_INPUT_0/a.txt > $ILM_OUTPUT/b.txt"]
inputs = { from = ["a"] }
"#;

fn project() -> Project {
    let project = Project::new(TWO);
    project.call(&["run", "p.toml"]).ok();
    project
}

/// Every record looks as if it was last used this many days ago.
fn used_days_ago(project: &Project, days: u64) {
    let day = 24 * 3600 * 1_000_000_000;
    let then = clock::file_time(clock::since_epoch_ns() - i128::from(days) * day);
    for path in files_below(&project.file("cache/v1/records")) {
        let file = fs_err::File::open(path).expect("opened");
        file.file().set_modified(then).expect("set");
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn results(project: &Project) -> usize {
    files_below(&project.file("cache/v1/records")).len()
}

/// What is different on every run is replaced by marks.
fn plain(project: &Project, text: &str) -> String {
    let text = text.replace(&project.path().display().to_string(), "FOLDER");
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', '(', ')', ',', '`', '/']) {
        let end = word.len()
            - word
                .trim_end_matches([' ', '\n', '(', ')', ',', '`', '/'])
                .len();
        let (body, tail) = word.split_at(word.len() - end);
        let hex = body.len() >= 12 && body.chars().all(|c| c.is_ascii_hexdigit());
        let time = body.len() >= 20 && body.starts_with("20") && body.contains('T');
        let clock = body.len() == 8 && body.matches(':').count() == 2;
        out.push_str(match (hex, time, clock) {
            (true, ..) if body.len() > 20 => "HASH",
            (true, ..) => "KEY",
            (_, true, _) => "TIME",
            (_, _, true) => "hh:mm:ss",
            _ => body,
        });
        out.push_str(tail);
    }
    out
}

fn kept_or_gone(ran: &Ran) -> (usize, usize) {
    let decision = ran.json();
    let list = |name: &str| decision[name].as_array().expect("a list").len();
    let results = decision["removals"].as_array().expect("a list").iter();
    (
        list("kept"),
        results.filter(|removal| !removal["key"].is_null()).count(),
    )
}

#[test]
fn gc_keeps_what_pipelines_need_with_every_profile_and_takes_the_rest() {
    let project = project();
    project.call(&["run", "p.toml", "--profile", "other"]).ok();
    project.call(&["run", "p.toml", "--set", "word=three"]).ok();
    project.call(&["run", "p.toml"]).ok();
    assert_eq!(results(&project), 6);
    used_days_ago(&project, 100);
    let dry = project.call(&["cache", "gc", "--dry-run", "--json"]).ok();
    assert_eq!(kept_or_gone(&dry), (4, 2));
    assert_eq!(results(&project), 6, "a dry run removes nothing");
    let gone = project.call(&["cache", "gc", "--json"]).ok();
    assert_eq!(kept_or_gone(&gone), (4, 2));
    assert_eq!(results(&project), 4);
    for profile in [&[][..], &["--profile", "other"]] {
        assert!(
            project.run(profile).is_empty(),
            "nothing that is needed went"
        );
    }
    assert_eq!(project.run(&["--set", "word=three"]).len(), 2);
}

#[test]
fn a_pipeline_that_is_gone_needs_nothing_and_one_that_is_broken_keeps_its_last_successes() {
    let project = project();
    used_days_ago(&project, 100);
    project.write("p.toml", "this is no pipeline [");
    let dry = project.call(&["cache", "gc", "--dry-run"]).ok();
    assert!(
        dry.stdout.contains("cannot be asked"),
        "it says why they stay:\n{}",
        dry.stdout
    );
    project.call(&["cache", "gc"]).ok();
    assert_eq!(results(&project), 2);
    fs_err::remove_file(project.file("p.toml")).expect("removed");
    project.call(&["cache", "gc"]).ok();
    assert_eq!(results(&project), 0);
    assert!(files_below(&project.file("cache/v1/objects")).is_empty());
    assert!(files_below(&project.file("cache/v1/pipelines")).is_empty());
}

#[test]
fn pipelines_in_the_folder_keep_what_they_need_although_they_never_ran_here() {
    let project = project();
    project.write(
        "pipelines/same.toml",
        &TWO.replace("\"two\"\n\n[params]", "\"same\"\n\n[params]"),
    );
    fs_err::remove_file(project.file("p.toml")).expect("removed");
    used_days_ago(&project, 100);
    project.call(&["cache", "gc"]).ok();
    assert_eq!(results(&project), 2);
}

#[test]
fn what_comes_after_a_stage_that_must_run_again_stays() {
    let project = project();
    used_days_ago(&project, 100);
    // The first stage's result is gone, so nobody can tell the second one's key; it may well be the old one.
    let key = project
        .call(&["cache", "ls", "--stage", "a", "--json"])
        .ok()
        .json();
    let key = key[0]["key"].as_str().expect("a key").to_owned();
    fs_err::remove_file(project.file(&format!("cache/v1/records/{}/{key}.json", &key[..2])))
        .expect("removed");
    let dry = project
        .call(&["cache", "gc", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(dry["kept"][0]["needs"][0]["need"], "perhaps");
    project.call(&["cache", "gc"]).ok();
    assert_eq!(results(&project), 1);
    let ran: Vec<String> = project
        .run(&[])
        .into_iter()
        .map(|(stage, _)| stage)
        .collect();
    assert_eq!(ran, ["a"]);
}

#[test]
fn a_run_that_grew_the_cache_over_its_limit_cleans_it_and_keeps_its_own() {
    let project = project();
    project
        .call(&["cache", "limits", "--max-size", "500B"])
        .ok();
    for word in ["three", "four", "five"] {
        project
            .call(&["run", "p.toml", "--no-gc", "--set", &format!("word={word}")])
            .ok();
    }
    assert_eq!(results(&project), 8);
    let ran = project.call(&["run", "p.toml", "--set", "word=six"]).ok();
    assert!(
        ran.stderr.contains("results removed that nobody needs"),
        "{}",
        ran.stderr
    );
    // Two that the file needs, two that this run made, two with which it compared them.
    assert_eq!(results(&project), 6);
    for set in ["word=one", "word=six"] {
        assert!(project.run(&["--set", set]).is_empty());
    }
}

#[test]
fn a_run_with_nothing_to_do_does_not_look_at_the_cache() {
    let project = project();
    project.call(&["cache", "limits", "--max-size", "1B"]).ok();
    let before = fs_err::metadata(project.file("cache/v1/swept.json"))
        .expect("swept by the first run")
        .modified()
        .expect("a time");
    project.call(&["run", "p.toml"]).ok();
    let after = fs_err::metadata(project.file("cache/v1/swept.json"))
        .expect("there")
        .modified()
        .expect("a time");
    assert_eq!(before, after);
    assert_eq!(files_below(&project.file("cache/v1/uses")).len(), 0);
}

/// Starts a pipeline whose second stage waits until the file `go` is there, and returns when it does.
fn start_waiting(project: &Project) -> Child {
    let child = project
        .command(&["run", "wait.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let begun = Stopwatch::start();
    while !project.file("waiting").exists() {
        assert!(begun.seconds() < 60.0);
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

const WAITING: &str = r#"
[stage.first]
kind = "command"
command = ["sh", "-c", "echo first > $ILM_OUTPUT/a.txt"]

[stage.second]
kind = "command"
command = ["sh", "-c", "touch waiting; while [ ! -e go ]; do sleep 0.02; done; cat $ILM_INPUT_0/a.txt > $ILM_OUTPUT/b.txt"]
inputs = { from = ["first"] }
"#;

#[test]
fn gc_in_another_process_leaves_what_a_running_stage_reads() {
    let project = Project::new(TWO);
    project.write("wait.toml", WAITING);
    let mut child = start_waiting(&project);
    // Nothing but the running process needs it now.
    fs_err::remove_file(project.file("wait.toml")).expect("removed");
    used_days_ago(&project, 100);
    let strict = [
        "cache",
        "gc",
        "--max-size",
        "1B",
        "--max-age",
        "1s",
        "--json",
    ];
    let gone = project.call(&strict).ok();
    assert_eq!(kept_or_gone(&gone), (1, 0));
    assert_eq!(gone.json()["kept"][0]["needs"][0]["need"], "running");
    assert_eq!(
        fs_err::read_dir(project.file("cache/v1/tmp"))
            .expect("tmp")
            .count(),
        1,
        "what the running stage writes is left alone"
    );
    fs_err::write(project.file("go"), "").expect("written");
    assert!(child.wait().expect("ended").success());
    used_days_ago(&project, 100);
    let gone = project.call(&strict).ok();
    assert_eq!(kept_or_gone(&gone), (0, 2), "once it has ended, both go");
    assert!(files_below(&project.file("cache/v1/objects")).is_empty());
}

#[test]
fn what_a_killed_run_used_is_free_again_and_its_leftovers_go() {
    let project = Project::new(TWO);
    project.write("wait.toml", WAITING);
    let mut child = start_waiting(&project);
    child.kill().expect("killed");
    child.wait().expect("ended");
    fs_err::remove_file(project.file("wait.toml")).expect("removed");
    // The worker dies with its runner, and its lock with it; how soon is up to the system.
    let begun = Stopwatch::start();
    while project
        .call(&["cache", "gc", "--max-size", "1B", "--json"])
        .ok()
        .json()["kept"]
        != serde_json::json!([])
        || fs_err::read_dir(project.file("cache/v1/tmp"))
            .expect("tmp")
            .count()
            > 0
    {
        assert!(begun.seconds() < 20.0);
    }
    for folder in ["uses", "locks", "tmp"] {
        assert!(
            files_below(&project.file(&format!("cache/v1/{folder}"))).is_empty(),
            "{folder}"
        );
    }
}

fn damage(path: &Path) {
    let mode = fs_err::metadata(path).expect("a file").permissions();
    let mut bytes = fs_err::read(path).expect("read");
    bytes[0] ^= 1;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("opened");
    fs_err::write(path, bytes).expect("written");
    fs_err::set_permissions(path, mode).expect("closed");
}

#[test]
fn verify_reports_every_damage_and_repairs_by_recomputing() {
    let project = project();
    let before = project.outputs(&[]);
    let clean = project.call(&["cache", "verify"]).ok();
    assert_eq!(
        clean.stdout,
        "2 records and 2 outputs (208 B) verified, no damage\n"
    );
    damage(&project.artifact("a").join("a.txt"));
    let keys = project
        .call(&["cache", "ls", "--stage", "b", "--json"])
        .ok()
        .json();
    let key = keys[0]["key"].as_str().expect("a key").to_owned();
    damage(&project.file(&format!("cache/v1/records/{}/{key}.json", &key[..2])));
    let found = project.call(&["cache", "verify"]).fails(3);
    insta::assert_snapshot!(plain(&project, &(found.stderr + &found.stdout)));
    let json = project.call(&["cache", "verify", "--json"]).fails(3).json();
    assert_eq!(json["findings"].as_array().expect("findings").len(), 2);
    let repaired = project.call(&["cache", "verify", "--repair"]).ok();
    assert!(repaired.stdout.contains("2 removed"), "{}", repaired.stdout);
    project.call(&["cache", "verify"]).ok();
    assert_eq!(project.run(&[]).len(), 2);
    assert_eq!(project.outputs(&[]), before);
}

#[test]
fn cache_commands_read_well() {
    let project = project();
    for word in ["three", "four"] {
        project
            .call(&["run", "p.toml", "--set", &format!("word={word}")])
            .ok();
    }
    used_days_ago(&project, 3);
    let mut text = String::new();
    for arguments in [
        &["cache", "ls"][..],
        &["cache", "ls", "--stage", "a", "--sort", "size"],
        &["cache", "ls", "--kind", "table"],
        &["cache", "ls", "--larger", "1GiB"],
        &["cache", "ls", "--older", "4d"],
        &["cache", "ls", "--unneeded"],
        &["cache", "du"],
        &["cache", "gc", "--dry-run", "--max-age", "2d"],
        &["cache", "limits"],
        &[
            "cache",
            "limits",
            "--max-size",
            "50GiB",
            "--max-age",
            "none",
        ],
        &["cache", "limits", "--reset"],
    ] {
        let ran = project.call(arguments).ok();
        text.push_str(&format!(
            "$ ilm-pipe {}\n{}\n",
            arguments.join(" "),
            ran.stdout
        ));
    }
    // Sizes of records and logs differ with the length of host names and the like.
    let text: Vec<String> = plain(&project, &text)
        .lines()
        .map(|line| match line.rsplit_once("  ") {
            Some((_, what))
                if what.starts_with("records") || what.starts_with("logs") || what == "in all" =>
            {
                format!("      SIZE  {what}")
            }
            _ => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn wrong_cache_commands_say_what_is_right() {
    let project = project();
    let key = project.call(&["cache", "ls", "--json"]).ok().json()[0]["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let mut text = String::new();
    for arguments in [
        &["cache", "why", "zzz"][..],
        &["cache", "why", ""],
        &["cache", "why", "c", "--pipeline", "p.toml"],
        &["cache", "gc", "--max-size", "many"],
        &["cache", "ls", "--older", "long"],
        &["cache", "gc", "--keep", "none.toml"],
        &["logs", "p.toml", "a", "--run", "1999"],
        &["accept", "p.toml", "a", "--reason", " "],
        &["accept", "p.toml", "a", "--reason", "x"],
        &["accept", "p.toml", "a", "--undo"],
    ] {
        let ran = project.call(arguments).fails(2);
        text.push_str(&format!(
            "$ ilm-pipe {}\n{}\n",
            arguments.join(" "),
            ran.stderr
        ));
    }
    let set = project
        .command(&["cache", "gc"])
        .env("ILM_PIPE_CACHE_MAX_AGE", "old")
        .output()
        .expect("the program starts");
    let ran = Ran::from(set).fails(2);
    text.push_str(&format!(
        "$ ILM_PIPE_CACHE_MAX_AGE=old ilm-pipe cache gc\n{}\n",
        ran.stderr
    ));
    insta::assert_snapshot!(plain(&project, &text).replace(&key, "HASH"));
}

#[test]
fn limits_come_from_the_command_line_then_the_environment_then_the_cache() {
    let project = project();
    let limit = |ran: Ran| ran.json()["max_size"]["limit"].as_str().map(str::to_owned);
    let asked = ["cache", "limits", "--json"];
    assert_eq!(limit(project.call(&asked).ok()).as_deref(), Some("20GiB"));
    project
        .call(&["cache", "limits", "--max-size", "7GiB"])
        .ok();
    assert_eq!(limit(project.call(&asked).ok()).as_deref(), Some("7GiB"));
    let output = project
        .command(&asked)
        .env("ILM_PIPE_CACHE_MAX_SIZE", "none")
        .output()
        .expect("the program starts");
    assert_eq!(limit(Ran::from(output)).as_deref(), Some("none"));
}

#[test]
fn why_tells_what_made_a_result_and_who_needs_it() {
    let project = project();
    let shown = project
        .call(&["cache", "why", "b", "--pipeline", "p.toml"])
        .ok();
    let lines: Vec<String> = plain(&project, &shown.stdout)
        .lines()
        .filter(|line| !line.starts_with("  made "))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let rows = project
        .call(&["cache", "ls", "--stage", "a", "--json"])
        .ok()
        .json();
    for name in ["key", "output"] {
        let prefix = &rows[0][name].as_str().expect("a hash")[..10];
        let why = project
            .call(&["cache", "why", prefix, "--json"])
            .ok()
            .json();
        assert_eq!(why[0]["origin"]["stage"], "a");
        assert_eq!(why[0]["read_by"][0]["stage"], "b");
        assert_eq!(why[0]["needs"][0]["need"], "stage");
    }
}

#[test]
fn the_log_of_a_stage_is_shown_on_a_hit_with_every_attempt() {
    let project = Project::new(&TWO.replace("echo making", "test -e ready || exit 3; echo making"));
    let failed = project.call(&["run", "p.toml"]).fails(1);
    assert!(
        failed.stderr.contains("log: ilm-pipe logs p.toml a"),
        "the way to the log is named:\n{}",
        failed.stderr
    );
    let log = project.call(&["logs", "p.toml", "a"]).ok();
    assert!(log.stdout.contains("failed after "), "{}", log.stdout);
    project.write("ready", "");
    project.call(&["run", "p.toml"]).ok();
    project.call(&["run", "p.toml"]).ok();
    let log = project.call(&["logs", "p.toml", "a", "--json"]).ok().json();
    let attempts = log[0]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[1]["attempt"]["outcome"], "done");
    let run = attempts[1]["attempt"]["run"]
        .as_str()
        .expect("a run")
        .to_owned();
    let one = project.call(&["logs", "p.toml", "a", "--run", &run]).ok();
    assert!(one.stdout.contains("making one"), "{}", one.stdout);
    assert!(!one.stdout.contains("failed"), "{}", one.stdout);
}

#[test]
fn a_log_can_be_followed_while_the_stage_runs() {
    let project = Project::new(TWO);
    project.write(
        "wait.toml",
        &WAITING
            .replace("touch waiting", "echo hello; touch waiting")
            .replace("done;", "done; echo goodbye;"),
    );
    let mut child = start_waiting(&project);
    let follower = project
        .command(&["logs", "wait.toml", "second", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    fs_err::write(project.file("go"), "").expect("written");
    let followed = Ran::from(follower.wait_with_output().expect("ended")).ok();
    assert!(child.wait().expect("ended").success());
    for word in ["hello", "goodbye", "done after"] {
        assert_eq!(
            followed.stdout.matches(word).count(),
            1,
            "{word}:\n{}",
            followed.stdout
        );
    }
}

#[test]
fn an_accepted_change_leaves_everything_fresh_and_every_report_says_so() {
    let project = project();
    let before = project.outputs(&[]);
    project.write(
        "p.toml",
        &TWO.replace(
            "sh\", \"-c\", \"echo making",
            "sh\", \"-c\", \"echo  making",
        ),
    );
    assert_eq!(project.plan(&[])["a"].0, "dirty");
    let reason = ["accept", "p.toml", "a", "--reason", "a space more"];
    let accepted = project.call(&reason).ok();
    assert!(
        accepted.stdout.contains("`params.command` changed"),
        "{}",
        accepted.stdout
    );
    assert!(project.run(&[]).is_empty());
    assert_eq!(project.outputs(&[]), before);
    let plan = project.call(&["plan", "p.toml"]).ok();
    assert!(
        plan.stdout.contains("Fresh a  accepted: a space more"),
        "{}",
        plan.stdout
    );
    for arguments in [
        &["show", "p.toml"][..],
        &["show", "p.toml", "a"],
        &["explain", "p.toml", "a"],
        &["cache", "why", "a", "--pipeline", "p.toml"],
        &["cache", "ls"],
    ] {
        let said = project.call(arguments).ok();
        assert!(
            said.stdout.contains("a space more"),
            "{arguments:?}:\n{}",
            said.stdout
        );
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let said = project.call(&arguments).ok();
        assert!(
            said.stdout.contains("a space more"),
            "{arguments:?}:\n{}",
            said.stdout
        );
    }
    let ran = project.call(&["run", "p.toml"]).ok();
    assert!(
        ran.stderr
            .contains("accepted, not computed: `a` (a space more)"),
        "{}",
        ran.stderr
    );
    let json = project.call(&["run", "p.toml", "--json"]).ok().json();
    assert_eq!(json["stages"]["a"]["accepted"][0]["reason"], "a space more");
    let log = project.call(&["logs", "p.toml", "a"]).ok();
    assert!(
        log.stdout.contains("making one"),
        "the log of what was computed"
    );

    project.call(&["accept", "p.toml", "a", "--undo"]).ok();
    let plan = project.plan(&[]);
    assert_eq!(
        plan["a"],
        ("dirty".to_owned(), vec!["params.command".to_owned()])
    );
    assert_eq!(project.run(&[]).len(), 1, "it writes the same bytes");
}

#[test]
fn what_cannot_be_accepted_is_refused_and_nothing_changes() {
    let project = project();
    let accept = |stage: &str| {
        let ran = project
            .call(&["accept", "p.toml", stage, "--reason", "x"])
            .fails(2);
        format!("{stage}: {}", ran.stderr)
    };
    let mut text = String::new();
    let cosmetic = TWO.replace("echo making", "echo  making");
    // Upstream must run first.
    project.write("p.toml", &cosmetic.replace("cat $ILM", "cat  $ILM"));
    text.push_str(&accept("b"));
    // Another input is no cosmetic change of the stage itself.
    project.write("p.toml", &TWO.replace("word = \"one\"", "word = \"six\""));
    project.call(&["run", "p.toml", "--target", "a"]).ok();
    text.push_str(&accept("b"));
    // Nor is another seed.
    project.write(
        "p.toml",
        &TWO.replace("name = \"two\"", "name = \"two\"\nseed = 7"),
    );
    text.push_str(&accept("a"));
    // A stage that never ran.
    project.write(
        "p.toml",
        &TWO.replace("name = \"two\"", "name = \"three\"")
            .replace("one", "new"),
    );
    text.push_str(&accept("a"));
    // An output that is damaged, or gone.
    project.write("p.toml", TWO);
    project.call(&["run", "p.toml"]).ok();
    let folder = project.artifact("a");
    project.write("p.toml", &cosmetic);
    damage(&folder.join("a.txt"));
    text.push_str(&accept("a"));
    fs_err::remove_dir_all(&folder).expect("removed");
    text.push_str(&accept("a"));
    assert_eq!(project.plan(&[])["a"].0, "dirty");
    insta::assert_snapshot!(plain(&project, &text));
}
