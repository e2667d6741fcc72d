//! What the event logs of earlier runs say.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// What became of the stages of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// The name of the run.
    pub run: String,
    /// How many stages it covered.
    pub stages: usize,
    /// Stages with a result at its end.
    pub finished: BTreeSet<String>,
    /// Stages that were begun or told of, but have no result: failed, stopped, blocked, or cut off with the run.
    pub unfinished: BTreeSet<String>,
    /// Whether the run came to its end; one that was killed could not tell which stages it left out.
    pub ended: bool,
}

/// The part of an event that counts here.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    pipeline: String,
    profile: Option<String>,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    stages: usize,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    outcome: String,
}

/// Reads the newest log in `folder` of a run of this pipeline and profile.
pub fn last_run(
    folder: &Path,
    pipeline: &str,
    profile: Option<&str>,
) -> io::Result<Option<LastRun>> {
    for path in newest_first(folder)? {
        let mut lines = BufReader::new(fs_err::File::open(&path)?).lines();
        let Some(first) = lines.next().and_then(|line| read(&line.ok()?)) else {
            continue;
        };
        if first.event == "run-started"
            && first.pipeline == pipeline
            && first.profile.as_deref() == profile
        {
            let rest = lines.map_while(Result::ok);
            return Ok(Some(told(&first, rest)));
        }
    }
    Ok(None)
}

fn newest_first(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut logs = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            logs.push((entry.metadata()?.modified()?, path));
        }
    }
    logs.sort_unstable();
    Ok(logs.into_iter().rev().map(|(_, path)| path).collect())
}

/// The last line of a killed run may be half a line.
fn read(line: &str) -> Option<Line> {
    serde_json::from_str(line).ok()
}

fn told(first: &Line, rest: impl Iterator<Item = String>) -> LastRun {
    let mut ended = false;
    let mut finished: BTreeMap<String, bool> = BTreeMap::new();
    for line in rest {
        // Reports of stages are most of a log and say nothing about their ends.
        if line.contains("\"event\":\"stage-report\"") {
            continue;
        }
        let Some(line) = read(&line) else { continue };
        let done = match line.event.as_str() {
            "run-ended" => {
                ended = true;
                continue;
            }
            "stage-fresh" => true,
            "stage-ended" => line.outcome.is_some_and(|end| end.outcome == "done"),
            "stage-started" | "stage-damaged" | "stage-waiting" | "stage-blocked" => false,
            _ => continue,
        };
        finished.insert(line.stage, done);
    }
    let with = |wanted: bool| {
        finished
            .iter()
            .filter(|(_, done)| **done == wanted)
            .map(|(stage, _)| stage.clone())
            .collect()
    };
    LastRun {
        run: first.run.clone(),
        stages: first.stages,
        finished: with(true),
        unfinished: with(false),
        ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, lines: &[&str]) {
        fs_err::write(folder.join(name), lines.join("\n")).expect("written");
    }

    const STARTED: &str = r#"{"time":"t","event":"run-started","format":1,"run":"r1","pipeline":"p","profile":null,"version":"0","command":[],"stages":4}"#;

    #[test]
    fn the_last_word_on_each_stage_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = [
            STARTED,
            r#"{"event":"stage-fresh","stage":"a"}"#,
            r#"{"event":"stage-started","stage":"b"}"#,
            r#"{"event":"stage-report","stage":"b","report":{"event":"note","text":"x"}}"#,
            r#"{"event":"stage-retrying","stage":"b"}"#,
            r#"{"event":"stage-started","stage":"b"}"#,
            r#"{"event":"stage-ended","stage":"b","outcome":{"outcome":"done"}}"#,
            r#"{"event":"stage-ended","stage":"c","outcome":{"outcome":"failed","message":"no"}}"#,
            r#"{"event":"stage-blocked","stage":"d"}"#,
            r#"{"event":"run-ended","ran":1}"#,
        ];
        write(folder.path(), "1.jsonl", &lines);
        let last = last_run(folder.path(), "p", None)
            .expect("read")
            .expect("a run");
        assert_eq!(
            (last.run.as_str(), last.stages, last.ended),
            ("r1", 4, true)
        );
        assert_eq!(last.finished, ["a", "b"].map(str::to_owned).into());
        assert_eq!(last.unfinished, ["c", "d"].map(str::to_owned).into());
    }

    #[test]
    fn other_pipelines_and_profiles_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = last_run(&folder.path().join("nothing"), "p", None);
        assert_eq!(none.expect("no folder"), None);
        write(folder.path(), "1.jsonl", &[STARTED]);
        let small = STARTED.replace("null", "\"small\"").replace("r1", "r2");
        write(folder.path(), "2.jsonl", &[&small, "{\"event\":\"stage-st"]);
        write(folder.path(), "3.jsonl", &["half a li"]);
        let run = |pipeline: &str, profile: Option<&str>| {
            let last = last_run(folder.path(), pipeline, profile).expect("read");
            last.map(|last| (last.run, last.ended))
        };
        assert_eq!(run("p", None), Some(("r1".to_owned(), false)));
        assert_eq!(run("p", Some("small")), Some(("r2".to_owned(), false)));
        assert_eq!(run("q", None), None);
    }
}
