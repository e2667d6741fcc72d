//! `ilm-pipe cache gc`, and the same at the end of a run.

use super::limits::in_force;
use super::needs::needs;
use crate::artifact::{Decision, Limits, Need, Needs, Removal, SetLimits, Store, Why};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::clock;
use crate::report::{bytes, count};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A dry run names this many results that stay for the same reason.
const NAMED: usize = 20;

pub(super) fn gc(
    store: &Store,
    typed: SetLimits,
    keep: &[PathBuf],
    dry_run: bool,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    for file in keep {
        if !file.is_file() {
            return Err(Failure::Usage(
                format!("`--keep {}` is no file", file.display()),
                None,
            ));
        }
    }
    let limits = in_force(store, typed, settings)?;
    let needs = needs(store, settings, keep)?;
    let decision = if dry_run {
        store.consider_collecting(&limits, &needs)?
    } else {
        store.collect(&limits, &needs)?
    };
    if json {
        printer.json(&decision)?;
    } else {
        printer.result(&render(&decision, &limits, dry_run))?;
    }
    Ok(ExitStatus::Done)
}

/// What a run does with the cache when it has added something. Reads next to nothing unless the cache grew above its
/// limit or a day has passed. `file` is the pipeline that ran.
pub(in crate::commands) fn after_run(
    store: &Store,
    file: &std::path::Path,
    settings: &Settings,
) -> Result<Option<Decision>, Failure> {
    let limits = in_force(store, SetLimits::default(), settings)?;
    if !store.collecting_is_due(&limits) {
        return Ok(None);
    }
    // Pipelines are asked only when their answer matters.
    let needs = if store.collecting_asks_pipelines(&limits)? {
        needs(store, settings, &[file.to_owned()])?
    } else {
        Needs::default()
    };
    Ok(Some(store.collect(&limits, &needs)?))
}

/// One line for the end of a run; none when no result went.
pub(in crate::commands) fn one_line(decision: &Decision) -> Option<String> {
    let results = decision
        .removals
        .iter()
        .filter(|removal| removal.key.is_some());
    let n = results.count();
    (n > 0).then(|| {
        let freed: u64 = decision.removals.iter().map(|removal| removal.bytes).sum();
        format!(
            "cache: {} removed that nobody needs ({}), {} left; `ilm-pipe cache limits` sets how much stays",
            count(n, "result"),
            bytes(freed),
            bytes(decision.bytes_after),
        )
    })
}

fn line(removal: &Removal) -> String {
    format!(
        "  {:>10}  unused {:>7}  {}",
        bytes(removal.bytes),
        clock::ago(removal.unused_seconds),
        removal.what
    )
}

fn render(decision: &Decision, limits: &Limits, dry_run: bool) -> String {
    let mut text = String::new();
    let mut by_why: BTreeMap<Why, Vec<&Removal>> = BTreeMap::new();
    for removal in &decision.removals {
        by_why.entry(removal.why).or_default().push(removal);
    }
    for (why, removals) in by_why {
        let verb = if dry_run { "would go" } else { "removed" };
        let freed: u64 = removals.iter().map(|removal| removal.bytes).sum();
        let _ = writeln!(text, "{verb}, {} ({}): {why}", removals.len(), bytes(freed));
        for removal in removals {
            let _ = writeln!(text, "{}", line(removal));
        }
    }
    if dry_run {
        kept(&mut text, decision);
    }
    let freed: u64 = decision.removals.iter().map(|removal| removal.bytes).sum();
    let limit = limits.max_size.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("limit {}", bytes(limit)),
    );
    let _ = writeln!(
        text,
        "{} {}, {} of outputs and checkpoints left in {} ({limit})",
        if dry_run { "would free" } else { "freed" },
        bytes(freed),
        bytes(decision.bytes_after),
        count(decision.kept.len(), "result"),
    );
    if limits
        .max_size
        .is_some_and(|limit| decision.bytes_after > limit)
    {
        text.push_str("what is left above the limit is needed\n");
    }
    text
}

/// Results that stay, under the first reason of each: who uses them now before who needs them.
fn kept(text: &mut String, decision: &Decision) {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kept in &decision.kept {
        let group = match kept.needs.first() {
            None => "nobody needs it, but it is within the limits".to_owned(),
            Some(Need::Running { run }) => format!("used by the running process {run}"),
            Some(Need::Stage { pipeline, .. }) => format!("an up-to-date result of {pipeline}"),
            Some(Need::Perhaps { pipeline, .. }) => {
                format!("may be a result of {pipeline} once stages before it have run")
            }
            Some(Need::Last {
                pipeline, broken, ..
            }) => broken.as_ref().map_or_else(
                || format!("a last success of {pipeline}"),
                |why| format!("a last success of {pipeline}, which cannot be asked: {why}"),
            ),
        };
        let mut line = format!(
            "  {:>10}  unused {:>7}  {}",
            bytes(kept.bytes),
            clock::ago(kept.unused_seconds),
            kept.what
        );
        for need in kept.needs.iter().take(3) {
            let _ = write!(line, "\n{:>30}{need}", "");
        }
        if kept.needs.len() > 3 {
            let _ = write!(line, "\n{:>30}and {} more", "", kept.needs.len() - 3);
        }
        groups.entry(group).or_default().push(line);
    }
    for (why, lines) in groups {
        let _ = writeln!(text, "stays, {}: {why}", lines.len());
        for line in lines.iter().take(NAMED) {
            let _ = writeln!(text, "{line}");
        }
        if lines.len() > NAMED {
            let _ = writeln!(text, "  … and {} more; --json has all", lines.len() - NAMED);
        }
    }
}
