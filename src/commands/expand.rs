//! `ilm-pipe expand`: the pipeline with everything resolved.

use super::open::open;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer};
use crate::spec;
use serde_json::{Value, json};

pub(super) fn expand(
    args: &PipelineArgs,
    json: bool,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let opened = open(args)?;
    if !json {
        printer.result(&spec::expand(&opened.pipeline))?;
        return Ok(ExitStatus::Done);
    }
    let stages: Vec<Value> = opened
        .pipeline
        .stages
        .iter()
        .map(|stage| {
            let execution = &stage.execution;
            json!({
                "id": stage.id, "name": stage.name, "kind": stage.kind.name, "matrix": stage.matrix,
                "params": stage.params, "seed": stage.seed, "inputs": stage.inputs,
                "cpus": execution.cpus, "memory": execution.memory, "gpus": execution.gpus,
                "groups": execution.groups, "retries": execution.retries,
                "backoff_seconds": execution.backoff.as_secs_f64(),
                "timeout_seconds": execution.timeout.map(|t| t.as_secs_f64()),
                "slow_seconds": execution.slow.map(|t| t.as_secs_f64()),
            })
        })
        .collect();
    let pipeline = &opened.pipeline;
    printer.json(&json!({
        "name": pipeline.name, "title": pipeline.title, "profile": pipeline.profile,
        "params": pipeline.params, "groups": pipeline.groups, "stages": stages,
    }))?;
    Ok(ExitStatus::Done)
}
