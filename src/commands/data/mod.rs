//! `ilm-pipe data`: data sets and models from their official places.

mod get;
mod info;
mod list;
mod progress;
mod verify;

use super::uses;
use crate::cli::{DataCommand, ExitStatus, Failure, Printer, Settings};
use crate::fetch::State;
use crate::report::{bytes, count};
use std::path::{Path, PathBuf};

pub(super) fn data(
    command: DataCommand,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    match command {
        DataCommand::List { json } => list::list(json, settings, printer),
        DataCommand::Get {
            names,
            url,
            checksum,
            force,
            retries,
            timeout,
            json,
        } => {
            let options = get::GetOptions {
                names,
                url,
                checksum,
                force,
                retries,
                timeout,
                json,
            };
            get::get(&options, settings, printer)
        }
        DataCommand::Verify { names, json } => verify::verify(&names, json, settings, printer),
        DataCommand::Info { name, json } => info::info(&name, json, settings, printer),
    }
}

/// The folder of data sets.
pub(in crate::commands) fn datasets(settings: &Settings) -> PathBuf {
    if settings.project == Path::new(".") {
        return "datasets".into();
    }
    settings.project.join("datasets")
}

/// What is there, in one word or a few.
pub(in crate::commands) fn state_words(state: &State) -> String {
    match state {
        State::Absent => "-".to_owned(),
        State::Part { .. } => "begun".to_owned(),
        State::Installed { .. } => "installed".to_owned(),
        State::Damaged { .. } => "damaged".to_owned(),
        State::ByHand { link: None } => "by hand".to_owned(),
        State::ByHand { link: Some(_) } => "linked".to_owned(),
        State::Incomplete { .. } => "incomplete".to_owned(),
    }
}

/// What is there, in a sentence.
pub(super) fn state_sentence(state: &State, folder: &Path) -> String {
    let folder = folder.display();
    match state {
        State::Absent => "not here".to_owned(),
        State::Part { received } => format!("not here; {} of it were received", bytes(*received)),
        State::Installed { manifest } => format!(
            "installed in {folder} on {}: {}, {}",
            manifest.installed.get(..10).unwrap_or_default(),
            count(manifest.files.len(), "file"),
            bytes(manifest.size())
        ),
        State::Damaged { files } => {
            format!("damaged in {folder}: `{}`", files.join("`, `"))
        }
        State::ByHand { link: None } => format!("in {folder}, put there by hand"),
        State::ByHand { link: Some(link) } => format!("{folder} is a link to {}", link.display()),
        State::Incomplete { missing, .. } => {
            format!("in {folder}, but without `{}`", missing.join("`, `"))
        }
    }
}
