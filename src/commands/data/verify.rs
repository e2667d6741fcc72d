//! `ilm-pipe data verify`.

use super::{datasets, state_sentence};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::fetch::catalogue::{self, Entry};
use crate::fetch::{Damage, State, status};
use crate::report::{bytes, count};
use serde::Serialize;
use std::fmt::Write as _;

/// The verdict on a data set.
#[derive(Serialize)]
struct Verdict {
    name: &'static str,
    #[serde(rename = "verdict")]
    word: &'static str,
    /// Whether it makes the command fail.
    wrong: bool,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
}

pub(super) fn verify(
    names: &[String],
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let folder = datasets(settings);
    let mut entries: Vec<&Entry> = Vec::new();
    for name in names {
        entries.push(catalogue::find(name)?);
    }
    let named = !entries.is_empty();
    if !named {
        entries.extend(catalogue::all());
    }
    let mut verdicts = Vec::new();
    for entry in entries {
        let state = status(entry, &folder)?;
        let there = !matches!(state, State::Absent | State::Part { .. });
        if named || there {
            verdicts.push(judge(entry, &state, &folder.join(entry.name), named)?);
        }
    }
    if json {
        printer.json(&verdicts)?;
    } else {
        printer.result(&render(&verdicts))?;
    }
    Ok(if verdicts.iter().any(|verdict| verdict.wrong) {
        ExitStatus::Environment
    } else {
        ExitStatus::Done
    })
}

/// Judges what is there. What cannot be compared is wrong only where it was `named`.
fn judge(
    entry: &Entry,
    state: &State,
    folder: &std::path::Path,
    named: bool,
) -> Result<Verdict, Failure> {
    let again = format!("`ilm-pipe data get {}` fetches it", entry.name);
    let mut verdict = Verdict {
        name: entry.name,
        word: "absent",
        wrong: true,
        words: again.clone(),
        damage: None,
    };
    match state {
        State::Absent | State::Part { .. } => {}
        State::Installed { manifest } => {
            let damage = manifest.compare(folder, true)?;
            verdict.wrong = !damage.intact();
            verdict.word = if verdict.wrong { "damaged" } else { "intact" };
            verdict.words = if verdict.wrong {
                format!("{}; {again} again", damage_words(&damage))
            } else {
                let added = damage.added.len();
                let added = if added == 0 {
                    String::new()
                } else {
                    format!("; {} added since", count(added, "file"))
                };
                format!(
                    "{}, {}{added}",
                    count(manifest.files.len(), "file"),
                    bytes(manifest.size())
                )
            };
            verdict.damage = Some(damage);
        }
        State::Damaged { files } => {
            verdict.word = "damaged";
            verdict.words = format!("`{}`; {again} again", files.join("`, `"));
        }
        State::ByHand { .. } => {
            verdict.word = "unknown";
            verdict.wrong = named;
            let place = state_sentence(state, folder);
            verdict.words = format!("{place}: there is no manifest to compare with");
        }
        State::Incomplete { .. } => {
            verdict.word = "incomplete";
            verdict.words = state_sentence(state, folder);
        }
    }
    Ok(verdict)
}

fn damage_words(damage: &Damage) -> String {
    let mut words = Vec::new();
    for (what, files) in [("gone", &damage.missing), ("changed", &damage.changed)] {
        if !files.is_empty() {
            words.push(format!("{what}: `{}`", files.join("`, `")));
        }
    }
    words.join("; ")
}

fn render(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return "no data set and no model is here\n".to_owned();
    }
    let width = verdicts
        .iter()
        .map(|verdict| verdict.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for verdict in verdicts {
        let _ = writeln!(
            text,
            "{:<width$}  {:<10}  {}",
            verdict.name, verdict.word, verdict.words
        );
    }
    text
}
