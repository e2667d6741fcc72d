//! `ilm-pipe cache why`: one result, where it comes from and who needs it.

use super::needs::needs;
use crate::artifact::{Cached, Inventory, Kept, Limits, Need, Record, Store};
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::commands::open::open;
use crate::commands::state::plan_of;
use crate::key::Hash;
use crate::plan::Verdict;
use crate::report::{bytes, count, plain};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// An ambiguous beginning is answered with this many results.
const NAMED: usize = 8;

pub(super) fn why(
    store: &Store,
    what: &str,
    pipeline: Option<&PipelineArgs>,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let inventory = store.inventory()?;
    let found = match pipeline {
        Some(args) => of_stage(&inventory, what, args, settings)?,
        None => by_prefix(&inventory, what)?,
    };
    let more: Vec<_> = pipeline.map(|args| args.file.clone()).into_iter().collect();
    let needs = needs(store, settings, &more)?;
    let kept = store.consider_collecting(&Limits::NONE, &needs)?.kept;
    let mut values = Vec::new();
    for cached in found {
        let key = cached.record.key;
        let kept = kept.iter().find(|kept| kept.key == key);
        if json {
            values.push(value(cached, kept, &inventory, store));
        } else {
            printer.result(&render(cached, kept, &inventory, store))?;
        }
    }
    if json {
        printer.json(&values)?;
    }
    Ok(ExitStatus::Done)
}

fn by_prefix<'a>(inventory: &'a Inventory, what: &str) -> Result<Vec<&'a Cached>, Failure> {
    let prefix = what.to_ascii_lowercase();
    let all: Vec<&Cached> = inventory
        .cached
        .iter()
        .filter(|cached| {
            let record = &cached.record;
            record.key.hex().starts_with(&prefix) || record.output.hex().starts_with(&prefix)
        })
        .collect();
    let keys = all
        .iter()
        .any(|cached| cached.record.key.hex().starts_with(&prefix));
    let same_output = all
        .windows(2)
        .all(|pair| pair[0].record.output == pair[1].record.output);
    match all.len() {
        0 => Err(Failure::Usage(
            format!("no key and no output in the cache begins with `{what}`"),
            Some(
                "`ilm-pipe cache ls` lists all; for a stage, name its pipeline with --pipeline"
                    .to_owned(),
            ),
        )),
        1 => Ok(all),
        // Several results with one output, which was asked for.
        _ if !keys && same_output => Ok(all),
        n => {
            let mut names: Vec<String> = all
                .iter()
                .take(NAMED)
                .map(|cached| title(&cached.record))
                .collect();
            if n > NAMED {
                names.push(format!("and {} more", n - NAMED));
            }
            Err(Failure::Usage(
                format!("`{what}` is the beginning of {n} keys and outputs"),
                Some(names.join(", ")),
            ))
        }
    }
}

fn of_stage<'a>(
    inventory: &'a Inventory,
    name: &str,
    args: &PipelineArgs,
    settings: &Settings,
) -> Result<Vec<&'a Cached>, Failure> {
    let opened = open(args)?;
    let ids: Vec<&str> = opened
        .select(name)?
        .into_iter()
        .map(|index| opened.pipeline.stages[index].id.as_str())
        .collect();
    let (store, plan) = plan_of(&opened, settings)?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for planned in plan
        .stages
        .iter()
        .filter(|p| ids.contains(&p.stage.as_str()))
    {
        let key = match &planned.verdict {
            Verdict::Fresh { record } => Some(record.key),
            // Not the result that is wanted now, but what the cache has of this stage.
            _ => store.last_keys(&opened.pipeline.name).get(&planned.stage),
        };
        let cached = inventory
            .cached
            .iter()
            .find(|cached| Some(cached.record.key) == key);
        match cached {
            Some(cached) => found.push(cached),
            None => missing.push(planned.stage.clone()),
        }
    }
    if found.is_empty() {
        return Err(Failure::Usage(
            format!("the cache has no result of `{}`", missing.join("`, `")),
            Some(format!("`ilm-pipe run {}` makes it", args.file.display())),
        ));
    }
    Ok(found)
}

fn title(record: &Record) -> String {
    format!(
        "`{}` of {} ({})",
        record.origin.stage,
        record.origin.pipeline,
        record.key.short()
    )
}

/// The results whose output is an input of this record, by the name of the input.
fn made_from<'a>(
    record: &Record,
    inventory: &'a Inventory,
) -> Vec<(String, String, Option<&'a Record>)> {
    record
        .fingerprint
        .leaves()
        .iter()
        .filter(|(name, _)| name.starts_with("inputs.") && !name.contains("].matrix."))
        .map(|(name, output)| {
            let maker = Hash::parse(output).and_then(|output| {
                let mut all = inventory.cached.iter();
                all.find(|cached| cached.record.output == output)
            });
            (
                name.clone(),
                output.clone(),
                maker.map(|cached| &cached.record),
            )
        })
        .collect()
}

/// The results that have this output as an input.
fn read_by<'a>(record: &Record, inventory: &'a Inventory) -> Vec<&'a Record> {
    let output = record.output.hex();
    inventory
        .cached
        .iter()
        .map(|cached| &cached.record)
        .filter(|other| {
            let mut leaves = other.fingerprint.leaves().iter();
            leaves.any(|(name, value)| name.starts_with("inputs.") && *value == output)
        })
        .collect()
}

fn render(cached: &Cached, kept: Option<&Kept>, inventory: &Inventory, store: &Store) -> String {
    let record = &cached.record;
    let origin = &record.origin;
    let mut text = format!("{}\n", title(record));
    let now = clock::since_epoch_ns();
    let seconds = (now - cached.used_ns).max(0) as f64 / 1e9;
    let _ = writeln!(text, "  key     {}", record.key);
    let _ = writeln!(text, "  output  {} ({})", record.output, record.kind);
    let _ = writeln!(
        text,
        "  folder  {}",
        store.object_path(&record.output).display()
    );
    let _ = writeln!(
        text,
        "  size    {} in {}{}",
        bytes(record.size()),
        count(record.files.len(), "file"),
        if cached.has_output {
            ""
        } else {
            ", but the output is gone"
        }
    );
    let _ = writeln!(
        text,
        "  used    {} ({} ago)",
        clock::timestamp(cached.used_ns),
        clock::ago(seconds)
    );
    let _ = writeln!(
        text,
        "  made    {} in {} on {} ({}, ilm-pipe {}), run {}",
        origin.started,
        clock::human(origin.seconds),
        origin.host,
        origin.device,
        origin.version,
        origin.run
    );
    for (name, value) in record.summary.iter().take(6) {
        let _ = writeln!(text, "  {name} = {}", plain(value));
    }
    text.push_str(&crate::commands::accept::told(record));
    text.push_str("made from\n");
    let inputs = made_from(record, inventory);
    for (name, value) in record.fingerprint.leaves() {
        if let Some((_, output, maker)) = inputs.iter().find(|input| input.0 == *name) {
            let by = maker.map_or_else(
                || "made by something that the cache no longer has".to_owned(),
                title,
            );
            let _ = writeln!(
                text,
                "  {name} = {}, {by}",
                output.get(..12).unwrap_or(output)
            );
        } else {
            let short = if name.starts_with("files.") {
                value.get(..12)
            } else {
                None
            };
            let _ = writeln!(text, "  {name} = {}", short.unwrap_or(value));
        }
    }
    let readers = read_by(record, inventory);
    if !readers.is_empty() {
        text.push_str("read by\n");
        for reader in readers {
            let _ = writeln!(text, "  {}", title(reader));
        }
    }
    match kept.map(|kept| kept.needs.as_slice()) {
        Some(needs) if !needs.is_empty() => {
            text.push_str("it stays, because it\n");
            for need in needs {
                let _ = writeln!(text, "  {need}");
            }
        }
        _ => text.push_str(
            "nobody needs it; it stays until it is older or the cache larger than its limits\n",
        ),
    }
    text
}

fn value(cached: &Cached, kept: Option<&Kept>, inventory: &Inventory, store: &Store) -> Value {
    let record = &cached.record;
    let needs: &[Need] = kept.map_or(&[], |kept| &kept.needs);
    let inputs: Vec<Value> = made_from(record, inventory)
        .into_iter()
        .map(|(name, output, maker)| {
            json!({
                "name": name, "output": output, "key": maker.map(|record| record.key),
                "pipeline": maker.map(|record| &record.origin.pipeline),
                "stage": maker.map(|record| &record.origin.stage),
            })
        })
        .collect();
    let readers: Vec<Value> = read_by(record, inventory)
        .into_iter()
        .map(|reader| {
            json!({
                "key": reader.key, "pipeline": reader.origin.pipeline, "stage": reader.origin.stage,
            })
        })
        .collect();
    json!({
        "key": record.key, "output": record.output, "kind": record.kind,
        "folder": store.object_path(&record.output), "bytes": record.size(),
        "has_output": cached.has_output, "used": clock::timestamp(cached.used_ns),
        "origin": record.origin, "summary": record.summary, "fingerprint": record.fingerprint,
        "accepted": record.accepted, "inputs": inputs, "read_by": readers, "needs": needs,
    })
}
