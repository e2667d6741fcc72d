//! `ilm-pipe data get`.

use super::progress::Shown;
use super::{datasets, info, state_sentence, uses};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::clock::{self, Stopwatch};
use crate::fetch::catalogue::{self, Entry};
use crate::fetch::{self, Checksum, Installed, Network, Order, Outcome, Registry, State};
use crate::report::{Verbosity, bytes, count};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What was typed after `data get`.
pub(super) struct GetOptions {
    pub(super) names: Vec<String>,
    pub(super) url: Option<String>,
    pub(super) checksum: Option<String>,
    pub(super) force: bool,
    pub(super) retries: u32,
    pub(super) timeout: f64,
    pub(super) json: bool,
}

pub(super) fn get(
    options: &GetOptions,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let mut entries = Vec::new();
    for name in &options.names {
        entries.push(catalogue::find(name)?);
    }
    let order = order(options, settings)?;
    let shown = Shown::new(settings, printer)?;
    let mut outcomes = Vec::new();
    for entry in entries {
        let watch = Stopwatch::start();
        let folder = order.datasets.join(entry.name);
        shown.say(
            Verbosity::Verbose,
            &format!("{}: {}", entry.name, entry.title),
        );
        let outcome = fetch::get(entry, &order, &shown);
        shown.clear();
        match outcome? {
            Outcome::Present(state) => {
                outcomes.push(json!({"name": entry.name, "outcome": "present", "folder": folder, "status": state}));
                if !options.json {
                    printer.result(&format!(
                        "{}: {}; nothing to do",
                        entry.name,
                        kept(&state, &folder)
                    ))?;
                }
            }
            Outcome::Installed(installed) => {
                outcomes.push(value(entry, &installed, &folder, watch.seconds()));
                if !options.json {
                    printer.result(&done(entry, &installed, &folder, watch.seconds()))?;
                }
                tell(entry, &installed, settings, &shown);
            }
        }
    }
    if options.json {
        printer.json(&outcomes)?;
    }
    Ok(ExitStatus::Done)
}

fn order(options: &GetOptions, settings: &Settings) -> Result<Order, Failure> {
    let usage = |message: String, hint: &str| Failure::Usage(message, Some(hint.to_owned()));
    for (option, given) in [
        ("--url", options.url.is_some()),
        ("--checksum", options.checksum.is_some()),
    ] {
        if given && options.names.len() != 1 {
            return Err(usage(
                format!(
                    "`{option}` is of one data set, but {} are named",
                    options.names.len()
                ),
                "name one at a time",
            ));
        }
    }
    let checksum = match &options.checksum {
        None => None,
        Some(text) => Some(Checksum::parse(text).ok_or_else(|| {
            usage(
                format!("`--checksum` is `{text}`, which is no digest"),
                "write `sha256:` and 64 hexadecimal digits, or `md5:` and 32",
            )
        })?),
    };
    if !(options.timeout.is_finite() && (0.1..=86_400.0).contains(&options.timeout)) {
        return Err(usage(
            format!(
                "`--timeout` is {}, but must be from 0.1 to 86400",
                options.timeout
            ),
            "leave it out for 30 seconds",
        ));
    }
    Ok(Order {
        datasets: datasets(settings),
        url: options.url.clone(),
        mirror: settings.fetch.mirror.clone(),
        checksum,
        force: options.force,
        network: Network {
            retries: options.retries,
            timeout: Duration::from_secs_f64(options.timeout),
            backoff: Duration::from_millis(500),
            certificates: settings.fetch.certificates.clone(),
        },
        registry: Registry {
            index: settings.fetch.index.clone(),
            pythons: vec!["python3".into(), "python".into()],
        },
    })
}

fn kept(state: &State, folder: &Path) -> String {
    match state {
        State::Installed { .. } => format!("{}, intact", state_sentence(state, folder)),
        _ => format!(
            "{}, with every file that is needed",
            state_sentence(state, folder)
        ),
    }
}

fn done(entry: &Entry, installed: &Installed, folder: &Path, seconds: f64) -> String {
    let manifest = &installed.manifest;
    let again = if installed.repaired.is_some() {
        " again"
    } else {
        ""
    };
    format!(
        "{}: installed{again} in {}: {}, {}, in {}",
        entry.name,
        folder.display(),
        count(manifest.files.len(), "file"),
        bytes(manifest.size()),
        clock::human(seconds)
    )
}

/// Licence, doubts and what to do next, for people.
fn tell(entry: &Entry, installed: &Installed, settings: &Settings, shown: &Shown) {
    for received in &installed.manifest.received {
        if !received.proven {
            let text = format!(
                "warning: no checksum of `{}` is published, so it was compared with nothing; its SHA-256 is {}",
                received.file, received.sha256
            );
            shown.say(Verbosity::Quiet, &text);
        }
    }
    if installed.continued {
        shown.say(Verbosity::Normal, "an unfinished download was continued");
    }
    let text = format!(
        "licence: {} (`ilm-pipe data info {}`)",
        entry.licence.name, entry.name
    );
    shown.say(Verbosity::Normal, &text);
    let state = State::Installed {
        manifest: Box::new(installed.manifest.clone()),
    };
    let uses = uses::uses(&settings.project, entry);
    for command in info::next(entry.name, &state, &uses) {
        shown.say(Verbosity::Normal, &format!("next: {command}"));
    }
}

fn value(entry: &Entry, installed: &Installed, folder: &Path, seconds: f64) -> Value {
    json!({
        "name": entry.name,
        "outcome": "installed",
        "folder": folder,
        "seconds": seconds,
        "continued": installed.continued,
        "repaired": installed.repaired,
        "licence": entry.licence.name,
        "manifest": installed.manifest,
    })
}
