//! `ilm-pipe explain`: one stage, everything that its result depends on, and what changed.

use super::open::{Opened, open};
use super::plan::compared_with;
use super::provenance::made;
use super::state::plan_of;
use crate::artifact::{LastKeys, Record, Store};
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::history::logged;
use crate::key::{Change, Fingerprint, Hash, difference, shortened};
use crate::plan::{Before, Cause, PlannedStage, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Everything about one stage.
#[derive(Serialize)]
struct Explanation<'a> {
    #[serde(flatten)]
    planned: &'a PlannedStage,
    /// For a fresh stage whose last success had another key: that success, and what changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
    /// Another result in the cache that is like the one that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<Nearest>,
    /// The last success, when the cache has dropped its record but a log still has what it depended on.
    #[serde(skip_serializing_if = "Option::is_none")]
    logged: Option<FromLog>,
}

#[derive(Serialize)]
struct FromLog {
    run: String,
    started: String,
    changes: Vec<Change>,
    fingerprint: Fingerprint,
}

#[derive(Serialize)]
struct Since {
    before: Before,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Nearest {
    key: Hash,
    pipeline: String,
    stage: String,
    run: String,
    started: String,
    /// From that result to the one that is asked for.
    changes: Vec<Change>,
    fingerprint: Fingerprint,
}

pub(super) fn explain(
    args: &PipelineArgs,
    stage: &str,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let opened = open(args)?;
    let ids: Vec<&str> = opened
        .select(stage)?
        .into_iter()
        .map(|index| opened.pipeline.stages[index].id.as_str())
        .collect();
    let (store, plan) = plan_of(&opened, settings)?;
    let last = store.last_keys(&opened.pipeline.name);
    let mut records = None;
    let explanations: Vec<Explanation<'_>> = plan
        .stages
        .iter()
        .filter(|planned| ids.contains(&planned.stage.as_str()))
        .map(|planned| {
            let nearest = match &planned.verdict {
                Verdict::Dirty {
                    key,
                    fingerprint,
                    causes,
                    before,
                } => {
                    let records = records.get_or_insert_with(|| every_record(&store));
                    nearest(records, key, fingerprint, causes, before.as_ref())
                }
                _ => None,
            };
            Explanation {
                planned,
                logged: from_log(planned, &store),
                since: since(planned, &last, &store),
                nearest,
            }
        })
        .collect();
    if json {
        printer.json(&explanations)?;
        return Ok(ExitStatus::Done);
    }
    let texts: Vec<String> = explanations
        .iter()
        .map(|explanation| render(explanation, &makers(&opened, &explanation.planned.stage)))
        .collect();
    printer.result(&texts.join("\n"))?;
    Ok(ExitStatus::Done)
}

fn every_record(store: &Store) -> Vec<Record> {
    let keys = store.keys();
    keys.iter().filter_map(|key| store.record(key)).collect()
}

fn since(planned: &PlannedStage, last: &LastKeys, store: &Store) -> Option<Since> {
    let Verdict::Fresh { record } = &planned.verdict else {
        return None;
    };
    let key = last.get(&planned.stage)?;
    if key == record.key {
        return None;
    }
    let before = store.record(&key)?;
    Some(Since {
        changes: difference(&before.fingerprint, &record.fingerprint),
        before: Before {
            key,
            record: Some(before.into()),
        },
    })
}

fn from_log(planned: &PlannedStage, store: &Store) -> Option<FromLog> {
    let Verdict::Dirty {
        fingerprint,
        causes,
        before: Some(before),
        ..
    } = &planned.verdict
    else {
        return None;
    };
    if !causes.contains(&Cause::HistoryGone) {
        return None;
    }
    let logged = logged(&BTreeSet::from([before.key]), store).remove(&before.key)?;
    Some(FromLog {
        changes: difference(&logged.fingerprint, fingerprint),
        run: logged.run,
        // The log is exact to the microsecond; records, which stand beside it, to the second.
        started: clock::parse_timestamp(&logged.started).map_or(logged.started, clock::timestamp),
        fingerprint: logged.fingerprint,
    })
}

/// The record that differs least from what is asked for, the newest of several. After a change it must have one of the
/// new values, so that it answers "was this tried before?"; without a last success any of the kind will do.
fn nearest(
    records: &[Record],
    key: &Hash,
    fingerprint: &Fingerprint,
    causes: &[Cause],
    before: Option<&Before>,
) -> Option<Nearest> {
    let new_values: Vec<(&String, &String)> = causes
        .iter()
        .filter_map(|cause| match cause {
            Cause::Changed(change) => Some((&change.name, change.new.as_ref()?)),
            _ => None,
        })
        .collect();
    let kind = fingerprint.leaves().get("kind");
    let best = records
        .iter()
        .filter(|record| record.key != *key && before.is_none_or(|before| before.key != record.key))
        .filter(|record| record.fingerprint.leaves().get("kind") == kind)
        .filter(|record| {
            let leaves = record.fingerprint.leaves();
            new_values.is_empty()
                || new_values
                    .iter()
                    .any(|(name, value)| leaves.get(*name) == Some(value))
        })
        .map(|record| (difference(&record.fingerprint, fingerprint), record))
        .min_by(|(a, x), (b, y)| {
            let newest = y.origin.started.cmp(&x.origin.started);
            a.len().cmp(&b.len()).then(newest)
        });
    // What was lost or damaged is not looked for elsewhere.
    let search = causes
        .iter()
        .any(|cause| matches!(cause, Cause::New | Cause::Changed(_) | Cause::HistoryGone));
    let (changes, record) = best.filter(|_| search)?;
    let origin = &record.origin;
    Some(Nearest {
        key: record.key,
        pipeline: origin.pipeline.clone(),
        stage: origin.stage.clone(),
        run: origin.run.clone(),
        started: origin.started.clone(),
        changes,
        fingerprint: record.fingerprint.clone(),
    })
}

/// The stage behind each input leaf of a stage: `inputs.items[0]` -> `items`.
fn makers(opened: &Opened, id: &str) -> BTreeMap<String, String> {
    let inputs = opened
        .pipeline
        .stage(id)
        .map(|stage| stage.inputs.as_slice());
    inputs
        .unwrap_or_default()
        .iter()
        .flat_map(|(port, ids)| {
            ids.iter()
                .enumerate()
                .map(move |(index, id)| (format!("inputs.{port}[{index}]"), id.clone()))
        })
        .collect()
}

fn render(explanation: &Explanation<'_>, makers: &BTreeMap<String, String>) -> String {
    let planned = explanation.planned;
    let mut text = format!("{} ({})\n", planned.stage, planned.kind);
    let named = |name: &String| match makers.get(name) {
        Some(stage) => format!(" ({stage})"),
        None => String::new(),
    };
    let list = |text: &mut String, causes: &[Cause]| {
        for cause in causes {
            let (cause, stage) = match cause {
                Cause::Changed(change) => (cause.to_string(), named(&change.name)),
                Cause::New => (
                    "it is new: this pipeline has not run it, and nobody has made its result"
                        .to_owned(),
                    String::new(),
                ),
                _ => (cause.to_string(), String::new()),
            };
            let _ = writeln!(text, "  - {cause}{stage}");
        }
    };
    let compared = |text: &mut String, before: Option<&Before>| {
        if let Some(before) = before {
            let _ = writeln!(text, "{}", compared_with(before));
        }
        if let Some(logged) = &explanation.logged {
            let _ = writeln!(
                text,
                "the log of run {} of {} still has what it depended on, since which",
                logged.run, logged.started
            );
            for change in &logged.changes {
                let _ = writeln!(text, "  - {change}{}", named(&change.name));
            }
        }
    };
    let mut changed: BTreeSet<&str> = BTreeSet::new();
    let (title, fingerprint) = match &planned.verdict {
        Verdict::Fresh { record } => {
            let _ = writeln!(text, "fresh: {}", made(record));
            if let Some(since) = &explanation.since {
                text.push_str("computed before this stage's last success, since which\n");
                for change in &since.changes {
                    let _ = writeln!(text, "  - {change}{}", named(&change.name));
                }
                compared(&mut text, Some(&since.before));
            }
            text.push_str(&super::accept::told(record));
            let _ = writeln!(text, "output {}", record.output);
            let key = format!("key {}, made from", record.key);
            (key, &record.fingerprint)
        }
        Verdict::Dirty {
            key,
            fingerprint,
            causes,
            before,
        } => {
            text.push_str("will run, because\n");
            list(&mut text, causes);
            match before {
                // The same key: nothing that the result depends on has changed.
                Some(Before {
                    key: last,
                    record: Some(record),
                }) if last == key => {
                    let _ = writeln!(text, "it was {}", made(record));
                }
                Some(before) if before.key == *key => {}
                before => compared(&mut text, before.as_ref()),
            }
            changed.extend(changed_names(causes));
            (format!("key {key}, made from"), fingerprint)
        }
        Verdict::Pending {
            waits_for,
            fingerprint,
            causes,
            before,
        } => {
            let _ = writeln!(text, "pending: decided after `{}`", waits_for.join("`, `"));
            if causes.is_empty() {
                text.push_str(
                    "nothing of its own has changed: it stays fresh if its inputs come out as before\n",
                );
            } else {
                text.push_str("already known is\n");
                list(&mut text, causes);
            }
            compared(&mut text, before.as_ref());
            changed.extend(changed_names(causes));
            let title = "depends on what it waits for, and on".to_owned();
            (title, fingerprint)
        }
    };
    if let Some(nearest) = &explanation.nearest {
        let _ = writeln!(
            text,
            "nearest other result: `{}` of {}, run {} of {}, key {}, from which",
            nearest.stage,
            nearest.pipeline,
            nearest.run,
            nearest.started,
            nearest.key.short()
        );
        for change in &nearest.changes {
            let _ = writeln!(text, "  - {change}{}", named(&change.name));
        }
    }
    let _ = writeln!(text, "{title}");
    for (name, value) in fingerprint.leaves() {
        let mark = if changed.contains(name.as_str()) {
            '*'
        } else {
            ' '
        };
        let _ = writeln!(text, "{mark} {name} = {}{}", shortened(value), named(name));
    }
    text
}

fn changed_names(causes: &[Cause]) -> impl Iterator<Item = &str> {
    causes.iter().filter_map(|cause| match cause {
        Cause::Changed(change) => Some(change.name.as_str()),
        _ => None,
    })
}
