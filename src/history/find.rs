//! Which runs there are, and which one a person means.

use super::HistoryError;
use super::log::{Line, parse};
use crate::artifact::Store;
use crate::exec::RunEvent;
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The newest run, in a command.
const LATEST: &str = "latest";

/// How many names an ambiguous beginning is answered with.
const SHOWN: usize = 5;

/// The last event of a log is shorter than this, in bytes.
const TAIL: u64 = 4096;

/// What a list of runs says of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunLine {
    /// Its name.
    pub run: String,
    /// When it began, UTC.
    pub started: String,
    /// The pipeline.
    pub pipeline: String,
    /// The profile, when one was chosen.
    pub profile: Option<String>,
    /// Program version.
    pub version: String,
    /// What was typed, word by word.
    pub command: Vec<String>,
    /// How many stages it covered.
    pub stages: usize,
    /// How it ended; none while it goes on, or when it was killed.
    pub end: Option<RunEnd>,
    /// Its event log.
    pub log: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunEnd {
    /// Stages that ran.
    pub ran: usize,
    /// Stages whose result was in the cache.
    pub fresh: usize,
    /// Stages that failed.
    pub failed: usize,
    /// Stages that could not run.
    pub blocked: usize,
    /// Stages that were stopped.
    pub stopped: usize,
    /// Seconds in all.
    pub seconds: f64,
}

/// Every run with a readable log, the newest first.
pub fn runs(store: &Store) -> Vec<RunLine> {
    store
        .run_path("x")
        .parent()
        .map(runs_in)
        .unwrap_or_default()
}

/// The runs whose logs lie in `folder`.
pub(super) fn runs_in(folder: &Path) -> Vec<RunLine> {
    let mut found: Vec<RunLine> = fs_err::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| line(&entry.path()))
        .collect();
    // Names have whole seconds; the time in the log tells two runs of one second apart.
    found.sort_by(|a, b| (&b.started, &b.run).cmp(&(&a.started, &a.run)));
    found
}

/// Reads the first and the last line of a log, which say what a list needs; a log of ten thousand stages is long.
fn line(path: &Path) -> Option<RunLine> {
    let run = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    let mut file = BufReader::new(fs_err::File::open(path).ok()?);
    let mut first = Vec::new();
    file.read_until(b'\n', &mut first).ok()?;
    let first: Line = parse(first.trim_ascii_end())?;
    let RunEvent::RunStarted {
        pipeline,
        profile,
        version,
        command,
        stages,
        ..
    } = first.event
    else {
        return None;
    };
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let end = tail
        .split(|&byte| byte == b'\n')
        .rfind(|line| !line.is_empty())
        .and_then(parse::<Line>)
        .and_then(|line| match line.event {
            RunEvent::RunEnded {
                ran,
                fresh,
                failed,
                blocked,
                stopped,
                seconds,
                ..
            } => Some(RunEnd {
                ran,
                fresh,
                failed,
                blocked,
                stopped,
                seconds,
            }),
            _ => None,
        });
    Some(RunLine {
        run: run.to_owned(),
        started: first.time,
        pipeline,
        profile,
        version,
        command,
        stages,
        end,
        log: path.to_owned(),
    })
}

/// The run that a person means by `name`: `latest`, `latest~2`, a name or the beginning of one name only.
pub fn find(runs: &[RunLine], name: &str) -> Result<RunLine, HistoryError> {
    if runs.is_empty() {
        return Err(HistoryError::Empty);
    }
    if let Some(back) = back(name) {
        return runs.get(back).cloned().ok_or_else(|| HistoryError::TooFar {
            name: name.to_owned(),
            known: runs.len(),
        });
    }
    let fitting: Vec<&RunLine> = runs
        .iter()
        .filter(|line| !name.is_empty() && line.run.starts_with(name))
        .collect();
    let exact = fitting.iter().find(|line| line.run == name);
    match (exact, fitting.as_slice()) {
        (Some(line), _) | (None, [line]) => Ok((*line).clone()),
        (None, []) => Err(HistoryError::Unknown {
            name: name.to_owned(),
            nearest: runs
                .iter()
                .map(|line| line.run.as_str())
                .chain([LATEST])
                .min_by_key(|known| strsim::damerau_levenshtein(known, name))
                .unwrap_or(LATEST)
                .to_owned(),
        }),
        (None, several) => Err(HistoryError::Ambiguous {
            name: name.to_owned(),
            names: several
                .iter()
                .take(SHOWN)
                .map(|line| line.run.clone())
                .collect(),
        }),
    }
}

/// How many runs before the newest.
fn back(name: &str) -> Option<usize> {
    let rest = name.strip_prefix(LATEST)?;
    if rest.is_empty() {
        return Some(0);
    }
    let rest = rest.strip_prefix('~')?;
    if rest.is_empty() {
        return Some(1);
    }
    rest.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<RunLine> {
        [
            "20261123T060500Z-9",
            "20261123T060000Z-12",
            "20261122T060000Z-7",
        ]
        .map(|run| RunLine {
            run: run.to_owned(),
            started: String::new(),
            pipeline: String::new(),
            profile: None,
            version: String::new(),
            command: Vec::new(),
            stages: 0,
            end: None,
            log: PathBuf::new(),
        })
        .to_vec()
    }

    #[test]
    fn runs_are_named_by_latest_and_by_the_beginning_of_their_names() {
        let runs = runs();
        for (name, expected) in [
            ("latest", 0),
            ("latest~", 1),
            ("latest~2", 2),
            ("20261122", 2),
            ("20261123T0600", 1),
            ("20261123T060500Z-9", 0),
        ] {
            assert_eq!(find(&runs, name).expect(name), runs[expected], "{name}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_name_of_a_run_is_said() {
        let runs = runs();
        let mut text = String::new();
        for (runs, name) in [
            (&[] as &[RunLine], "latest"),
            (&runs, "lastest"),
            (&runs, "20261122T060000Z-8"),
            (&runs, "20261123"),
            (&runs, "latest~3"),
            (&runs, ""),
        ] {
            let error = find(runs, name).expect_err("no run");
            let hint = error.hint().expect("a hint");
            text.push_str(&format!("error: {error}\nhint: {hint}\n\n"));
        }
        insta::assert_snapshot!(text);
    }
}
