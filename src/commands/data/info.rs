//! `ilm-pipe data info`.

use super::{datasets, state_sentence, uses};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::fetch::catalogue::{self, Entry, Origin, Part, Place, Size};
use crate::fetch::{State, status};
use crate::report::bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;
use uses::Use;

pub(super) fn info(
    name: &str,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let entry = catalogue::find(name)?;
    let folder = datasets(settings);
    let state = status(entry, &folder)?;
    let uses = uses::uses(&settings.project, entry);
    if json {
        printer.json(&value(entry, &state, &uses))?;
    } else {
        let sentence = state_sentence(&state, &folder.join(name));
        printer.result(&render(entry, &state, &sentence, &uses))?;
    }
    Ok(ExitStatus::Done)
}

fn place(part: &Part) -> String {
    match part.place {
        Place::Url(url) => url.to_owned(),
        Place::Wheel { package, version } => {
            format!("the Python package index that pip is set up for, {package} {version}")
        }
    }
}

fn value(entry: &Entry, state: &State, uses: &[Use]) -> Value {
    let manifest = match state {
        State::Installed { manifest } => Some(manifest),
        _ => None,
    };
    let parts: Vec<Value> = entry
        .parts()
        .iter()
        .map(|part| json!({"file": part.file, "from": place(part), "bytes": part.size.bytes(), "checksum": part.proof.words()}))
        .collect();
    let by_hand = match entry.origin {
        Origin::ByHand { how, .. } => Some(how),
        Origin::Parts(_) => None,
    };
    let uses: Vec<Value> = uses
        .iter()
        .map(|found| {
            json!({"pipeline": found.file, "profile": found.profile, "on_request": found.on_request,
                   "command": found.command(entry.name)})
        })
        .collect();
    json!({
        "name": entry.name,
        "kind": entry.kind,
        "title": entry.title,
        "counts": entry.counts,
        "enables": entry.enables,
        "home": entry.home,
        "licence": {"name": entry.licence.name, "terms": entry.licence.terms},
        "citation": entry.citation,
        "sources": parts,
        "by_hand": by_hand,
        "required_files": entry.files,
        "unpacked_bytes": entry.unpacked,
        "status": state,
        "manifest": manifest,
        "uses": uses,
    })
}

fn render(entry: &Entry, state: &State, sentence: &str, uses: &[Use]) -> String {
    let name = entry.name;
    let mut text = format!("{name}: {}\n{}\n", entry.title, entry.counts);
    let mut line = |label: &str, words: &str| {
        let _ = writeln!(text, "{label:<10}{words}");
    };
    line("here", sentence);
    line("enables", entry.enables);
    line("licence", entry.licence.name);
    for term in entry.licence.terms {
        line("", &format!("- {term}"));
    }
    line("cite", entry.citation);
    line("home", entry.home);
    for part in entry.parts() {
        let about = if matches!(part.size, Size::About(_)) {
            "about "
        } else {
            ""
        };
        line(
            "file",
            &format!("{}, {about}{}", part.file, bytes(part.size.bytes())),
        );
        line("", &format!("from {}", place(part)));
        line("", &format!("checksum: {}", part.proof.words()));
    }
    if let Origin::ByHand { how, .. } = entry.origin {
        line("by hand", how);
    }
    line(
        "on disk",
        &format!(
            "about {}: `{}`",
            bytes(entry.unpacked),
            entry.files.join("`, `")
        ),
    );
    if let State::Installed { manifest } = state {
        for received in &manifest.received {
            line(
                "received",
                &format!("{} from {}", received.file, received.from),
            );
            line(
                "",
                &format!(
                    "SHA-256 {}; compared with: {}",
                    received.sha256, received.proof
                ),
            );
        }
        for file in &manifest.files {
            line("", &format!("{:<28} {:>10}", file.path, bytes(file.size)));
        }
    }
    for found in uses {
        let profile = found
            .profile
            .as_ref()
            .map_or_else(String::new, |profile| format!(", profile `{profile}`"));
        let request = if found.on_request {
            ", when it is asked to"
        } else {
            ""
        };
        line(
            "used by",
            &format!("{}{profile}{request}", found.file.display()),
        );
    }
    for command in next(name, state, uses) {
        line("next", &command);
    }
    text
}

/// What to type next.
pub(super) fn next(name: &str, state: &State, uses: &[Use]) -> Vec<String> {
    if !state.usable() {
        let by_hand = catalogue::find(name).is_ok_and(|entry| entry.parts().is_empty());
        return if by_hand {
            Vec::new()
        } else {
            vec![format!("ilm-pipe data get {name}")]
        };
    }
    let own: Vec<&Use> = uses.iter().filter(|found| !found.on_request).collect();
    let best = if own.is_empty() {
        uses.iter().take(1).collect()
    } else {
        own
    };
    best.iter().map(|found| found.command(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_reads_well() {
        let found = |file: &str, profile: Option<&str>, on_request| Use {
            file: file.into(),
            profile: profile.map(str::to_owned),
            on_request,
        };
        let small = [found("pipelines/table3.toml", Some("small"), false)];
        let asked = [found("pipelines/table3.toml", None, true)];
        let text: Vec<String> = [
            ("ml-1m", State::Absent, &asked[..]),
            ("ml-latest-small", State::ByHand { link: None }, &small[..]),
            ("openp5-beauty", State::Absent, &[]),
            ("smollm2-135m", State::Part { received: 1 << 20 }, &[]),
        ]
        .into_iter()
        .map(|(name, state, uses)| {
            let entry = catalogue::find(name).unwrap();
            let sentence = state_sentence(&state, &std::path::Path::new("datasets").join(name));
            render(entry, &state, &sentence, uses)
        })
        .collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
