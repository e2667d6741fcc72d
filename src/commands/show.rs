//! `ilm-pipe show`: what stages made.

use super::open::{Opened, open};
use super::provenance::{Ancestry, facts};
use super::state::plan_of;
use crate::artifact::{Record, Store};
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::plan::{Plan, Verdict};
use crate::report::{bytes, plain};
use crate::stages::ArtifactKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was typed after `show`.
pub(super) struct ShowOptions {
    pub(super) provenance: bool,
    pub(super) json: bool,
}

pub(super) fn show(
    args: &PipelineArgs,
    stage: Option<&str>,
    options: &ShowOptions,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let json = options.json;
    let opened = open(args)?;
    let (store, plan) = plan_of(&opened, settings)?;
    let verdicts: BTreeMap<&str, &Verdict> = plan
        .stages
        .iter()
        .map(|stage| (stage.stage.as_str(), &stage.verdict))
        .collect();
    let Some(name) = stage else {
        if json {
            printer.json(&overview_json(&opened, &verdicts))?;
        } else {
            printer.result(&overview(&opened, &plan, &verdicts))?;
        }
        return Ok(ExitStatus::Done);
    };
    let ancestry = Ancestry::new(&opened, &plan);
    let mut fresh = Vec::new();
    let mut values = Vec::new();
    let mut missing = Vec::new();
    for index in opened.select(name)? {
        let id = &opened.pipeline.stages[index].id;
        match verdicts.get(id.as_str()) {
            Some(Verdict::Fresh { .. }) if options.provenance => {
                if !json {
                    printer.result(&ancestry.tree(id))?;
                }
                fresh.push(id.clone());
            }
            Some(Verdict::Fresh { record }) => {
                if json {
                    values.push(record_json(id, record, &store));
                } else {
                    printer.result(&artifact(id, record, &store)?)?;
                }
            }
            _ => missing.push(id.clone()),
        }
    }
    if json && options.provenance {
        printer.json(&ancestry.graph(&fresh))?;
    } else if json {
        printer.json(&values)?;
    }
    if missing.is_empty() {
        return Ok(ExitStatus::Done);
    }
    Err(Failure::Usage(
        format!("no up-to-date result of `{}`", missing.join("`, `")),
        Some(format!(
            "`ilm-pipe plan {0}` says why, `ilm-pipe run {0}` makes it",
            args.file.display()
        )),
    ))
}

fn overview(opened: &Opened, plan: &Plan, verdicts: &BTreeMap<&str, &Verdict>) -> String {
    let stages = &opened.pipeline.stages;
    let width = stages.iter().map(|s| s.id.len()).max().unwrap_or(0);
    let kinds = stages.iter().map(|s| s.kind.name.len()).max().unwrap_or(0);
    let mut text = format!("{}\n", opened.pipeline.title);
    for stage in stages {
        let state = match verdicts.get(stage.id.as_str()) {
            Some(Verdict::Fresh { record }) => {
                let size: u64 = record.files.iter().map(|file| file.size).sum();
                let mut text = format!(
                    "{:>11} {:>10}",
                    clock::human(record.origin.seconds),
                    bytes(size)
                );
                if let Some(reason) = record.accepted_reason() {
                    let _ = write!(text, "  accepted: {reason}");
                }
                for (name, value) in record.summary.iter().take(4) {
                    let _ = write!(text, "  {name} {}", plain(value));
                }
                text
            }
            Some(Verdict::Dirty { .. }) => "to run".to_owned(),
            _ => "pending".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<width$}  {:<kinds$}  {state}",
            stage.id, stage.kind.name
        );
    }
    let (fresh, dirty, pending) = plan.counts();
    let _ = writeln!(text, "{fresh} fresh, {dirty} to run, {pending} pending");
    text
}

fn overview_json(opened: &Opened, verdicts: &BTreeMap<&str, &Verdict>) -> Value {
    let stages: Vec<Value> = opened
        .pipeline
        .stages
        .iter()
        .map(|stage| match verdicts.get(stage.id.as_str()) {
            Some(Verdict::Fresh { record }) => json!({
                "stage": stage.id, "kind": stage.kind.name, "state": "fresh", "key": record.key,
                "output": record.output, "summary": record.summary, "origin": record.origin,
                "accepted": record.accepted,
            }),
            Some(Verdict::Dirty { .. }) => {
                json!({"stage": stage.id, "kind": stage.kind.name, "state": "dirty"})
            }
            _ => json!({"stage": stage.id, "kind": stage.kind.name, "state": "pending"}),
        })
        .collect();
    json!({"name": opened.pipeline.name, "title": opened.pipeline.title, "stages": stages})
}

fn record_json(id: &str, record: &Record, store: &Store) -> Value {
    json!({
        "stage": id, "kind": record.kind, "key": record.key, "output": record.output,
        "folder": store.object_path(&record.output), "files": record.files,
        "summary": record.summary, "fingerprint": record.fingerprint, "origin": record.origin,
        "accepted": record.accepted,
    })
}

fn artifact(id: &str, record: &Record, store: &Store) -> Result<String, Failure> {
    let folder = store.object_path(&record.output);
    let mut text = format!("{id}: {}\n", record.kind);
    let _ = writeln!(text, "  folder  {}", folder.display());
    let _ = writeln!(text, "  key     {}", record.key);
    for (index, line) in facts(record).into_iter().enumerate() {
        let name = if index == 0 { "origin" } else { "" };
        let _ = writeln!(text, "  {name:<7} {line}");
    }
    for file in &record.files {
        let _ = writeln!(text, "  file    {:<28} {:>10}", file.path, bytes(file.size));
    }
    for (name, value) in &record.summary {
        let _ = writeln!(text, "  {name} = {}", plain(value));
    }
    if record.kind == ArtifactKind::Table {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(
            &store.read_file(record, "table.txt")?,
        ));
    }
    Ok(text)
}
