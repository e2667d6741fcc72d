//! `ilm-pipe explain`: one stage, everything that its result depends on, and what changed.

use super::open::open;
use super::state::plan_of;
use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::key::Fingerprint;
use crate::plan::{PlannedStage, Verdict};
use std::fmt::Write as _;

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
    let planned: Vec<&PlannedStage> = plan
        .stages
        .iter()
        .filter(|planned| ids.contains(&planned.stage.as_str()))
        .collect();
    if json {
        printer.json(&planned)?;
        return Ok(ExitStatus::Done);
    }
    for planned in planned {
        printer.result(&render(planned, &opened.pipeline.name, &store))?;
    }
    Ok(ExitStatus::Done)
}

fn render(planned: &PlannedStage, pipeline: &str, store: &Store) -> String {
    let mut text = format!("{} ({})\n", planned.stage, planned.kind);
    let fingerprint = match &planned.verdict {
        Verdict::Fresh { record } => {
            let origin = &record.origin;
            let _ = writeln!(
                text,
                "fresh: made {} by `{}` of {} (run {})",
                origin.started, origin.stage, origin.pipeline, origin.run
            );
            text.push_str(&super::accept::told(record));
            let _ = writeln!(text, "key {}", record.key);
            Some(&record.fingerprint)
        }
        Verdict::Dirty {
            key,
            fingerprint,
            causes,
        } => {
            text.push_str("will run, because\n");
            for cause in causes {
                let _ = writeln!(text, "  - {cause}");
            }
            compared_with(&mut text, pipeline, &planned.stage, store);
            let _ = writeln!(text, "key {key}");
            Some(fingerprint)
        }
        Verdict::Pending { waits_for, causes } => {
            let _ = writeln!(text, "decided after `{}`", waits_for.join("`, `"));
            for cause in causes {
                let _ = writeln!(text, "  - {cause}");
            }
            compared_with(&mut text, pipeline, &planned.stage, store);
            None
        }
    };
    for (name, value) in fingerprint.map(Fingerprint::leaves).into_iter().flatten() {
        let _ = writeln!(text, "  {name} = {value}");
    }
    text
}

fn compared_with(text: &mut String, pipeline: &str, stage: &str, store: &Store) {
    if let Some(last) = store
        .last_keys(pipeline)
        .get(stage)
        .and_then(|key| store.record(&key))
    {
        let _ = writeln!(
            text,
            "compared with its last success: run {}, {}",
            last.origin.run, last.origin.started
        );
    }
}
