//! `ilm-pipe cache ls`: results, one a line.

use super::needs::needs;
use crate::artifact::{Limit, Limits, Needs, Store};
use crate::cli::{ExitStatus, Failure, Printer, Settings, SortBy};
use crate::clock;
use crate::report::{bytes, count};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// Which results are listed.
pub(super) struct Filter {
    stage: Option<String>,
    kind: Option<String>,
    larger: Option<u64>,
    older: Option<Duration>,
}

impl Filter {
    pub(super) fn read(
        stage: Option<String>,
        kind: Option<String>,
        larger: Option<&str>,
        older: Option<&str>,
    ) -> Result<Self, Failure> {
        let wrong = |name: &str, what: String| Failure::Usage(format!("`{name}`: {what}"), None);
        let larger = larger.map(|text| Limit::size(text).map_err(|what| wrong("--larger", what)));
        let older = older.map(|text| Limit::age(text).map_err(|what| wrong("--older", what)));
        Ok(Self {
            stage,
            kind,
            larger: larger.transpose()?.and_then(|limit| limit.0),
            older: older.transpose()?.and_then(|limit| limit.0),
        })
    }

    fn takes(&self, row: &Row) -> bool {
        let named = |name: &String| {
            row.stage == *name || row.stage.split('[').next() == Some(name.as_str())
        };
        self.stage.as_ref().is_none_or(named)
            && self.kind.as_ref().is_none_or(|kind| row.kind == *kind)
            && self.larger.is_none_or(|least| row.bytes >= least)
            && self
                .older
                .is_none_or(|least| row.unused_seconds >= least.as_secs_f64())
    }
}

#[derive(Serialize)]
struct Row {
    key: String,
    output: String,
    kind: String,
    pipeline: String,
    stage: String,
    bytes: u64,
    unused_seconds: f64,
    used: String,
    /// The reason, when the output was accepted and not computed.
    accepted: Option<String>,
    /// Whether the output is there.
    has_output: bool,
}

pub(super) fn ls(
    store: &Store,
    filter: &Filter,
    unneeded: bool,
    sort: SortBy,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let inventory = store.inventory()?;
    let now = clock::since_epoch_ns();
    let mut rows: Vec<Row> = inventory
        .cached
        .iter()
        .map(|cached| {
            let record = &cached.record;
            Row {
                key: record.key.hex(),
                output: record.output.hex(),
                kind: record.kind.to_string(),
                pipeline: record.origin.pipeline.clone(),
                stage: record.origin.stage.clone(),
                bytes: if cached.has_output { record.size() } else { 0 },
                unused_seconds: (now - cached.used_ns).max(0) as f64 / 1e9,
                used: clock::timestamp(cached.used_ns),
                accepted: record.accepted_reason().map(str::to_owned),
                has_output: cached.has_output,
            }
        })
        .filter(|row| filter.takes(row))
        .collect();
    if unneeded {
        let needed = needed_keys(store, &needs(store, settings, &[])?)?;
        rows.retain(|row| needed.binary_search(&row.key).is_err());
    }
    // The rows are in the order of keys: equal ones stay so.
    match sort {
        SortBy::Used => rows.sort_by(|a, b| b.unused_seconds.total_cmp(&a.unused_seconds)),
        SortBy::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.bytes)),
        SortBy::Stage => rows.sort_by(|a, b| a.stage.cmp(&b.stage)),
        SortBy::Kind => rows.sort_by(|a, b| a.kind.cmp(&b.kind)),
    }
    if json {
        printer.json(&rows)?;
    } else {
        printer.result(&render(&rows))?;
    }
    Ok(ExitStatus::Done)
}

/// The keys that somebody needs, sorted.
fn needed_keys(store: &Store, needs: &Needs) -> Result<Vec<String>, Failure> {
    let decision = store.consider_collecting(&Limits::NONE, needs)?;
    let needed = decision
        .kept
        .into_iter()
        .filter(|kept| !kept.needs.is_empty());
    let mut keys: Vec<String> = needed.map(|kept| kept.key.hex()).collect();
    keys.sort();
    Ok(keys)
}

fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    let kinds = rows.iter().map(|row| row.kind.len()).max().unwrap_or(0);
    for row in rows {
        let mut note = String::new();
        if !row.has_output {
            note.push_str("  output is gone");
        }
        if let Some(reason) = &row.accepted {
            let _ = write!(note, "  accepted: {reason}");
        }
        let _ = writeln!(
            text,
            "{}  {:>10}  unused {:>7}  {:<kinds$}  {} of {}{note}",
            &row.key[..12],
            bytes(row.bytes),
            clock::ago(row.unused_seconds),
            row.kind,
            row.stage,
            row.pipeline,
        );
    }
    let sum = rows.iter().map(|row| row.bytes).sum();
    let _ = writeln!(text, "{}, {}", count(rows.len(), "result"), bytes(sum));
    text
}
