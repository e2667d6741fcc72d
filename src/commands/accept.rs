//! `ilm-pipe accept`: a person declares a change to be cosmetic, on the record.

use super::open::{Opened, open};
use super::state::plan_of;
use crate::artifact::{Accepted, Record, Store};
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::key::{Change, Fingerprint, Hash};
use crate::plan::{Cause, PlannedStage, Verdict};
use crate::report::count;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Accepts, or with no `reason` takes the last acceptance back.
pub(super) fn accept(
    args: &PipelineArgs,
    stage: &str,
    reason: Option<&str>,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    if reason.is_some_and(|reason| reason.trim().is_empty()) {
        return Err(Failure::Usage(
            "`--reason` is empty, but must say why the change cannot change the output".to_owned(),
            None,
        ));
    }
    let opened = open(args)?;
    let ids: Vec<&str> = opened
        .select(stage)?
        .into_iter()
        .map(|index| opened.pipeline.stages[index].id.as_str())
        .collect();
    let (store, plan) = plan_of(&opened, settings)?;
    let planned: Vec<&PlannedStage> = plan
        .stages
        .iter()
        .filter(|planned| ids.contains(&planned.stage.as_str()))
        .collect();
    let store = if store.is_there() {
        store.enter(&format!("accept-{}", std::process::id()))
    } else {
        store
    };
    let done = match reason {
        Some(reason) => accept_all(&opened, &planned, reason, &store, settings)?,
        None => undo_all(&opened, &planned, &store)?,
    };
    if json {
        let values: Vec<&Value> = done.iter().map(|done| &done.value).collect();
        printer.json(&values)?;
    } else {
        for done in &done {
            printer.result(&done.text)?;
        }
    }
    Ok(ExitStatus::Done)
}

/// What happened to one stage.
struct Done {
    text: String,
    value: Value,
}

/// A stage whose change can be accepted.
struct Candidate<'a> {
    stage: &'a str,
    key: Hash,
    fingerprint: &'a Fingerprint,
    before: Record,
    changes: Vec<Change>,
}

/// Accepts for every stage, or for none when one of them cannot be.
fn accept_all(
    opened: &Opened,
    planned: &[&PlannedStage],
    reason: &str,
    store: &Store,
    settings: &Settings,
) -> Result<Vec<Done>, Failure> {
    let mut candidates = Vec::new();
    let mut refusals = Vec::new();
    for planned in planned {
        if let Verdict::Fresh { .. } = planned.verdict {
            continue;
        }
        match candidate(opened, planned, store)? {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => refusals.push(format!("`{}` {why}", planned.stage)),
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::Usage(
            format!("nothing was accepted: {}", refusals.join("; ")),
            Some(format!(
                "`ilm-pipe run {}` computes it",
                opened.pipeline.file.display()
            )),
        ));
    }
    if candidates.is_empty() {
        let names: Vec<&str> = planned.iter().map(|p| p.stage.as_str()).collect();
        return Err(Failure::Usage(
            format!(
                "there is nothing to accept: `{}` is fresh",
                names.join("`, `")
            ),
            None,
        ));
    }
    let mut done = Vec::new();
    for candidate in candidates {
        let Some(_lock) = store.try_lock(&candidate.key)? else {
            return Err(Failure::Usage(
                format!("another process is computing `{}`", candidate.stage),
                None,
            ));
        };
        let from = candidate.before.key;
        let mut record = Record {
            key: candidate.key,
            fingerprint: candidate.fingerprint.clone(),
            ..candidate.before
        };
        record.accepted.push(Accepted {
            reason: reason.trim().to_owned(),
            from,
            changes: candidate.changes.clone(),
            pipeline: opened.pipeline.name.clone(),
            stage: candidate.stage.to_owned(),
            time: clock::timestamp(clock::since_epoch_ns()),
            command: settings.command.clone(),
        });
        store.publish(&record)?;
        store
            .last_keys(&opened.pipeline.name)
            .note(candidate.stage, record.key)?;
        let mut text = format!(
            "accepted: the output of `{}` stands although {} changed\n",
            candidate.stage,
            count(candidate.changes.len(), "thing")
        );
        for change in &candidate.changes {
            let _ = writeln!(text, "  {change}");
        }
        let value = json!({
            "stage": candidate.stage, "from": from, "key": record.key, "output": record.output,
            "reason": reason.trim(), "changes": candidate.changes,
        });
        done.push(Done { text, value });
    }
    Ok(done)
}

/// The stage with what it was made from before, or why nothing can be accepted.
fn candidate<'a>(
    opened: &Opened,
    planned: &'a PlannedStage,
    store: &Store,
) -> Result<Result<Candidate<'a>, String>, Failure> {
    let (key, fingerprint, causes) = match &planned.verdict {
        Verdict::Pending { waits_for, .. } => {
            return Ok(Err(format!(
                "is decided after `{}`, which must run first",
                waits_for.join("`, `")
            )));
        }
        Verdict::Dirty {
            key,
            fingerprint,
            causes,
            ..
        } => (*key, fingerprint, causes),
        Verdict::Fresh { .. } => return Ok(Err("is fresh".to_owned())),
    };
    let mut changes = Vec::new();
    for cause in causes {
        match cause {
            Cause::Changed(change) if may_be_cosmetic(&change.name) => changes.push(change.clone()),
            Cause::Changed(change) => {
                return Ok(Err(format!(
                    "has another input, seed or kind: {change}; only changes of `params`, `version` and `files` can be accepted"
                )));
            }
            Cause::New => return Ok(Err("has no output yet".to_owned())),
            other => return Ok(Err(format!("has no output that could stand: {other}"))),
        }
    }
    let last = store.last_keys(&opened.pipeline.name).get(&planned.stage);
    let Some(before) = last.and_then(|key| store.record(&key)) else {
        return Ok(Err("has no output yet".to_owned()));
    };
    if let Some(damage) = store.verify(&before)? {
        return Ok(Err(format!("has no output that could stand: {damage}")));
    }
    Ok(Ok(Candidate {
        stage: &planned.stage,
        key,
        fingerprint,
        before,
        changes,
    }))
}

fn may_be_cosmetic(name: &str) -> bool {
    name == "version" || name.starts_with("params.") || name.starts_with("files.")
}

/// Takes the last acceptance of every stage back; stages without one are left alone, unless none has one.
fn undo_all(
    opened: &Opened,
    planned: &[&PlannedStage],
    store: &Store,
) -> Result<Vec<Done>, Failure> {
    let mut done = Vec::new();
    for planned in planned {
        let Verdict::Fresh { record } = &planned.verdict else {
            continue;
        };
        let Some(accepted) = record.accepted.last() else {
            continue;
        };
        store.forget(&record.key)?;
        // Another stage may have shared the result; what this one's last success was is known.
        store
            .last_keys(&opened.pipeline.name)
            .note(&planned.stage, accepted.from)?;
        let value = json!({
            "stage": planned.stage, "from": accepted.from, "key": record.key,
            "reason": accepted.reason, "undone": true,
        });
        let text = format!(
            "taken back: `{}` runs again ({} was accepted: {})\n",
            planned.stage,
            count(accepted.changes.len(), "change"),
            accepted.reason
        );
        done.push(Done { text, value });
    }
    if done.is_empty() {
        let names: Vec<&str> = planned.iter().map(|p| p.stage.as_str()).collect();
        return Err(Failure::Usage(
            format!("nothing is accepted of `{}`", names.join("`, `")),
            None,
        ));
    }
    Ok(done)
}

/// Every change that was accepted for an output, for reports; empty for one that was computed.
pub(super) fn told(record: &Record) -> String {
    let mut text = String::new();
    for accepted in &record.accepted {
        let _ = writeln!(
            text,
            "  accepted, not computed: {} ({}, from key {})",
            accepted.reason,
            accepted.time,
            accepted.from.short()
        );
        for change in &accepted.changes {
            let _ = writeln!(text, "    {change}");
        }
    }
    text
}
