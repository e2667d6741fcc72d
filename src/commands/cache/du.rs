//! `ilm-pipe cache du`: how large the cache is, and why.

use super::limits::in_force;
use super::needs::needs;
use crate::artifact::{Inventory, Limit, Limits, SetLimits, Store};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::report::{bytes, count};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

pub(super) fn du(
    store: &Store,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let inventory = store.inventory()?;
    let limits = in_force(store, SetLimits::default(), settings)?;
    let needs = needs(store, settings, &[])?;
    let kept = store.consider_collecting(&Limits::NONE, &needs)?.kept;
    let needed: BTreeSet<_> = kept
        .iter()
        .filter(|kept| !kept.needs.is_empty())
        .map(|kept| kept.key)
        .collect();

    // Each output counts once, for the kind of the first record that names it; it is needed when one of them is.
    let mut outputs: BTreeMap<_, (String, u64, bool)> = BTreeMap::new();
    for cached in inventory.cached.iter().filter(|cached| cached.has_output) {
        let record = &cached.record;
        let output = outputs
            .entry(record.output)
            .or_insert_with(|| (record.kind.to_string(), record.size(), false));
        output.2 |= needed.contains(&record.key);
    }
    let mut by_kind: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut needed_bytes = 0;
    for (kind, size, needed) in outputs.into_values() {
        let sum = by_kind.entry(kind).or_default();
        sum.0 += 1;
        sum.1 += size;
        needed_bytes += if needed { size } else { 0 };
    }
    let output_bytes = inventory.output_bytes();
    let records: u64 = inventory
        .cached
        .iter()
        .map(|cached| cached.record_bytes)
        .sum();
    let others = [
        ("records", inventory.cached.len(), records),
        (
            "checkpoints",
            inventory.scratch.len(),
            Inventory::bytes_of(&inventory.scratch),
        ),
        (
            "logs",
            inventory.logs.len() + inventory.runs.len(),
            Inventory::bytes_of(&inventory.logs) + Inventory::bytes_of(&inventory.runs),
        ),
        (
            "orphans",
            inventory.orphans.len() + inventory.unreadable.len(),
            Inventory::bytes_of(&inventory.orphans) + Inventory::bytes_of(&inventory.unreadable),
        ),
        (
            "unfinished",
            inventory.temporary.len(),
            Inventory::bytes_of(&inventory.temporary),
        ),
    ];
    let total = output_bytes + others.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
    if json {
        let kinds: BTreeMap<_, _> = by_kind
            .iter()
            .map(|(kind, (n, bytes))| (kind, json!({"outputs": n, "bytes": bytes})))
            .collect();
        let others: BTreeMap<_, _> = others
            .iter()
            .map(|(name, n, bytes)| (name, json!({"entries": n, "bytes": bytes})))
            .collect();
        printer.json(&json!({
            "bytes": total,
            "outputs": {"bytes": output_bytes, "needed_bytes": needed_bytes, "by_kind": kinds},
            "others": others,
            "max_size": limits.max_size,
            "max_age_seconds": limits.max_age.map(|age| age.as_secs()),
        }))?;
        return Ok(ExitStatus::Done);
    }
    let mut text = String::new();
    let mut rows: Vec<_> = by_kind.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.cmp(&a.1.1).then(a.0.cmp(&b.0)));
    for (kind, (n, size)) in rows {
        let _ = writeln!(text, "{:>10}  {kind} ({})", bytes(size), count(n, "output"));
    }
    for (name, n, size) in others {
        if n > 0 {
            let _ = writeln!(text, "{:>10}  {name} ({n})", bytes(size));
        }
    }
    let _ = writeln!(text, "{:>10}  in all", bytes(total));
    let _ = writeln!(
        text,
        "{:>10}  of outputs that pipelines or running processes need",
        bytes(needed_bytes)
    );
    let _ = writeln!(
        text,
        "limits: {} of outputs and checkpoints, {} without use",
        Limit(limits.max_size),
        Limit(limits.max_age)
    );
    printer.result(&text)?;
    Ok(ExitStatus::Done)
}
