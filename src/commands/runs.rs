//! `ilm-pipe runs`: which runs there were.

use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::clock;
use crate::history::{RunLine, runs as all_runs};
use std::fmt::Write as _;

/// How many runs people are shown unless they say otherwise.
const SHOWN: usize = 20;

/// The longest command that is shown whole, in characters.
const LONGEST: usize = 80;

pub(super) fn runs(
    limit: Option<usize>,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let mut found = all_runs(&Store::at(&settings.cache));
    let all = found.len();
    if json {
        found.truncate(limit.unwrap_or(all));
        printer.json(&found)?;
        return Ok(ExitStatus::Done);
    }
    found.truncate(limit.unwrap_or(SHOWN));
    printer.result(&render(&found, all))?;
    Ok(ExitStatus::Done)
}

fn render(runs: &[RunLine], all: usize) -> String {
    if all == 0 {
        return "no run has been logged in this cache yet".to_owned();
    }
    let header = [
        "run", "began", "pipeline", "profile", "outcome", "took", "command",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(runs.iter().map(row));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if header[column] == "took" {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if all > runs.len() {
        let older = all - runs.len();
        let _ = writeln!(text, "and {older} older; `--limit {all}` shows all");
    }
    text
}

fn row(line: &RunLine) -> [String; 7] {
    let outcome = line.end.map_or_else(
        || "unfinished".to_owned(),
        |end| {
            let mut parts = vec![format!("{} ran", end.ran), format!("{} fresh", end.fresh)];
            for (n, word) in [
                (end.failed, "failed"),
                (end.blocked, "blocked"),
                (end.stopped, "stopped"),
            ] {
                if n > 0 {
                    parts.push(format!("{n} {word}"));
                }
            }
            parts.join(", ")
        },
    );
    // The log is exact to the microsecond; a person counts in seconds.
    let began = clock::parse_timestamp(&line.started).map_or_else(String::new, clock::timestamp);
    [
        line.run.clone(),
        began,
        line.pipeline.clone(),
        line.profile.clone().unwrap_or_else(|| "–".to_owned()),
        outcome,
        line.end
            .map_or_else(|| "–".to_owned(), |end| clock::human(end.seconds)),
        command_text(&line.command),
    ]
}

/// What was typed, without the path of the program, cut when it is long.
pub(super) fn command_text(command: &[String]) -> String {
    let text = command
        .iter()
        .enumerate()
        .map(|(index, word)| match (index, word.rsplit_once('/')) {
            (0, Some((_, program))) => program.to_owned(),
            _ if word.is_empty() || word.contains([' ', '"', '\'', '$', '\n']) => {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
            _ => word.clone(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RunEnd;

    #[test]
    fn runs_are_listed_newest_first_with_what_was_typed() {
        let run = |run: &str, command: &[&str], end: Option<RunEnd>| RunLine {
            run: run.to_owned(),
            started: "2026-11-23T06:00:00.250000Z".to_owned(),
            pipeline: "table3".to_owned(),
            profile: end.map(|_| "small".to_owned()),
            version: "0.1.0".to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            stages: 16,
            end,
            log: "cache/v1/runs/x.jsonl".into(),
        };
        let end = |ran, failed, blocked, seconds| {
            Some(RunEnd {
                ran,
                fresh: 12,
                failed,
                blocked,
                stopped: 0,
                seconds,
            })
        };
        let long = [
            "ilm-pipe",
            "run",
            "p.toml",
            &"--set seeds=[1,2,3] ".repeat(9),
        ];
        let runs = [
            run("20261123T060001Z-97", &long, end(1, 0, 0, 0.4)),
            run(
                "20261123T060000Z-8",
                &["target/release/ilm-pipe", "run", "p.toml", "--set", "x=a b"],
                end(0, 1, 12, 3725.0),
            ),
            run(
                "20261123T055959Z-1234",
                &["ilm-pipe", "run", "p.toml"],
                None,
            ),
        ];
        insta::assert_snapshot!(render(&runs, 5));
        assert_eq!(render(&[], 0), "no run has been logged in this cache yet");
    }
}
