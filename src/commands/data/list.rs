//! `ilm-pipe data list`.

use super::{datasets, state_words};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::fetch::catalogue::{self, Entry, Kind};
use crate::fetch::{State, status};
use crate::report::bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(super) fn list(
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let folder = datasets(settings);
    let mut entries = Vec::new();
    for entry in catalogue::all() {
        entries.push((entry, status(entry, &folder)?));
    }
    if json {
        let values: Vec<Value> = entries
            .iter()
            .map(|(entry, state)| value(entry, state))
            .collect();
        printer.json(&values)?;
    } else {
        printer.result(&render(&entries))?;
    }
    Ok(ExitStatus::Done)
}

fn value(entry: &Entry, state: &State) -> Value {
    json!({
        "name": entry.name,
        "kind": entry.kind,
        "title": entry.title,
        "counts": entry.counts,
        "status": state,
        "usable": state.usable(),
        "licence": entry.licence.name,
        "download_bytes": entry.download(),
        "unpacked_bytes": entry.unpacked,
        "by_hand": entry.parts().is_empty(),
    })
}

fn render(entries: &[(&Entry, State)]) -> String {
    let mut text = String::new();
    let width = entries
        .iter()
        .map(|(entry, _)| entry.name.len())
        .max()
        .unwrap_or(0);
    for (kind, heading) in [(Kind::DataSet, "data set"), (Kind::Model, "model")] {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{heading:<width$}  here        download    on disk  what"
        );
        for (entry, state) in entries.iter().filter(|(entry, _)| entry.kind == kind) {
            let download = if entry.parts().is_empty() {
                "by hand".to_owned()
            } else {
                bytes(entry.download())
            };
            let _ = writeln!(
                text,
                "{:<width$}  {:<10}  {download:>9}  {:>9}  {}",
                entry.name,
                state_words(state),
                bytes(entry.unpacked),
                entry.title
            );
        }
    }
    text.push_str("\n`ilm-pipe data info NAME` says more, `ilm-pipe data get NAME` fetches\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_well() {
        let states = [
            State::ByHand {
                link: Some("/data/ml-100k".into()),
            },
            State::Part { received: 10 },
            State::Damaged { files: Vec::new() },
            State::ByHand { link: None },
            State::Incomplete {
                link: None,
                missing: Vec::new(),
            },
        ];
        let entries: Vec<(&Entry, State)> = catalogue::all()
            .iter()
            .zip(states.into_iter().chain(std::iter::repeat(State::Absent)))
            .collect();
        insta::assert_snapshot!(render(&entries));
    }
}
