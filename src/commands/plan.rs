//! `ilm-pipe plan`: what would run, and why.

use super::open::open;
use super::state::plan_of;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::plan::{Before, Cause, Plan, Verdict};
use crate::report::{Verbosity, count};
use std::fmt::Write as _;

pub(super) fn plan(
    args: &PipelineArgs,
    exit_code: bool,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let opened = open(args)?;
    let (_, plan) = plan_of(&opened, settings)?;
    if json {
        printer.json(&plan)?;
    } else {
        printer.result(&render(&plan, settings.verbosity == Verbosity::Verbose))?;
    }
    let (_, dirty, pending) = plan.counts();
    Ok(if exit_code && dirty + pending > 0 {
        ExitStatus::Wrong
    } else {
        ExitStatus::Done
    })
}

/// One line a stage that would run, every cause below it, the success with which it is compared, and the counts. Fresh stages are only counted unless `all`.
fn render(plan: &Plan, all: bool) -> String {
    let mut text = String::new();
    let width = plan.stages.iter().map(|s| s.stage.len()).max().unwrap_or(0);
    for stage in &plan.stages {
        let id = &stage.stage;
        let (verb, causes): (&str, Vec<String>) = match &stage.verdict {
            // What was accepted and not computed is never passed over in silence.
            Verdict::Fresh { record } => match record.accepted_reason() {
                Some(reason) => ("Fresh", vec![format!("accepted: {reason}")]),
                None if all => ("Fresh", Vec::new()),
                None => continue,
            },
            Verdict::Dirty {
                key,
                causes,
                before,
                ..
            } => {
                let mut lines: Vec<String> = causes.iter().map(Cause::to_string).collect();
                let before = before.as_ref().filter(|before| before.key != *key);
                lines.extend(before.map(compared_with));
                ("Run", lines)
            }
            Verdict::Pending {
                waits_for,
                causes,
                before,
                ..
            } => {
                let mut lines = vec![format!("decided after `{}`", waits_for.join("`, `"))];
                lines.extend(causes.iter().map(Cause::to_string));
                // Without a change of its own there is nothing that was compared.
                let before = before.as_ref().filter(|_| !causes.is_empty());
                lines.extend(before.map(compared_with));
                ("Pending", lines)
            }
        };
        let mut causes = causes.into_iter();
        let first = causes.next().unwrap_or_default();
        let line = format!("{verb:>8} {id:<width$}  {first}");
        let _ = writeln!(text, "{}", line.trim_end());
        for cause in causes {
            let _ = writeln!(text, "{:>8} {:<width$}  {cause}", "", "");
        }
    }
    let (fresh, dirty, pending) = plan.counts();
    if dirty + pending == 0 {
        let _ = writeln!(text, "{} fresh, nothing to run", count(fresh, "stage"));
    } else {
        let _ = writeln!(text, "{dirty} to run, {pending} pending, {fresh} fresh");
    }
    text
}

/// The last success, in words.
pub(super) fn compared_with(before: &Before) -> String {
    let key = before.key.short();
    match &before.record {
        Some(record) => {
            let origin = &record.origin;
            format!(
                "compared with run {} of {}, key {key}",
                origin.run, origin.started
            )
        }
        None => format!("compared with key {key}, of which no more is known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Damage, Origin, Record};
    use crate::key::{Change, Fingerprint};
    use crate::plan::PlannedStage;

    #[test]
    fn a_plan_lists_every_cause() {
        let fingerprint = Fingerprint::default();
        let stage = |name: &str, verdict| PlannedStage {
            stage: name.to_owned(),
            kind: "fit-cf",
            verdict,
        };
        let dirty = |causes| Verdict::Dirty {
            key: fingerprint.key(),
            fingerprint: fingerprint.clone(),
            causes,
            before: None,
        };
        let earlier = Fingerprint::of_stage(
            crate::stages::find("fit-cf").expect("a kind"),
            &serde_json::Value::Null,
            1,
        );
        let before = |record| {
            Some(Before {
                key: earlier.key(),
                record,
            })
        };
        let record = Record {
            key: fingerprint.key(),
            fingerprint: fingerprint.clone(),
            kind: crate::stages::ArtifactKind::Factors,
            output: fingerprint.key(),
            files: Vec::new(),
            summary: serde_json::Map::new(),
            accepted: Vec::new(),
            origin: Origin {
                run: "20261123T060000Z-41".to_owned(),
                started: "2026-11-23T06:00:03Z".to_owned(),
                ..Origin::default()
            },
        };
        let record = Some(std::sync::Arc::new(record));
        let compared = |verdict, record| match verdict {
            Verdict::Dirty {
                key,
                fingerprint,
                causes,
                ..
            } => Verdict::Dirty {
                key,
                fingerprint,
                causes,
                before: before(record),
            },
            other => other,
        };
        let changed = |name: &str, old: Option<&str>, new: Option<&str>| {
            Cause::Changed(Change {
                name: name.to_owned(),
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
            })
        };
        let digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let other = digits.replace('0', "f");
        let list = |n: usize| {
            let words: Vec<String> = (0..n).map(|i| format!("word-{i}")).collect();
            format!("{words:?}").replace(' ', "")
        };
        let plan = Plan {
            stages: vec![
                stage("catalog", dirty(vec![Cause::New])),
                stage(
                    "cf",
                    compared(
                        dirty(vec![
                            changed("files.datasets/x/ratings.csv", Some(digits), Some(&other)),
                            changed("params.factors", Some("64"), Some("128")),
                            changed("params.nu", None, Some("1.0")),
                            changed("params.old", Some("true"), None),
                            changed("params.words", Some(&list(9)), Some(&list(30))),
                        ]),
                        record.clone(),
                    ),
                ),
                stage("split", dirty(vec![Cause::Forgotten])),
                stage("pairs", compared(dirty(vec![Cause::HistoryGone]), None)),
                stage("lm", dirty(vec![Cause::Damaged(Damage::Missing)])),
                stage(
                    "items",
                    dirty(vec![Cause::Damaged(Damage::Size {
                        path: "item_tokens.safetensors".to_owned(),
                        expected: 10,
                        found: 7,
                    })]),
                ),
                stage(
                    "phase2[arm=elm]",
                    Verdict::Pending {
                        waits_for: vec!["lm".to_owned(), "items".to_owned()],
                        fingerprint: fingerprint.clone(),
                        before: before(record),
                        causes: vec![changed("params.steps", Some("300"), Some("600"))],
                    },
                ),
            ],
        };
        insta::assert_snapshot!(render(&plan, false));
    }
}
