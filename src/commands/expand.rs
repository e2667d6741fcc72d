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
            json!({
                "id": stage.id, "name": stage.name, "kind": stage.kind.name, "matrix": stage.matrix,
                "params": stage.params, "seed": stage.seed, "inputs": stage.inputs,
                "cpus": stage.cpus, "memory": stage.memory,
                "timeout_seconds": stage.timeout.map(|t| t.as_secs_f64()),
            })
        })
        .collect();
    let pipeline = &opened.pipeline;
    printer.json(&json!({
        "name": pipeline.name, "title": pipeline.title, "profile": pipeline.profile,
        "params": pipeline.params, "stages": stages,
    }))?;
    Ok(ExitStatus::Done)
}
