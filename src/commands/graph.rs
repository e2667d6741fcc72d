//! `ilm-pipe graph`: a drawing of the pipeline.

use super::open::open;
use crate::cli::{ExitStatus, Failure, GraphFormat, PipelineArgs, Printer};
use crate::graph::draw::{self, Detail};

pub(super) fn graph(
    args: &PipelineArgs,
    format: GraphFormat,
    arms: bool,
    json: bool,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let opened = open(args)?;
    let detail = if arms { Detail::Arms } else { Detail::Stages };
    if json {
        printer.json(&draw::describe(&opened.pipeline, &opened.graph))?;
    } else {
        printer.result(&match format {
            GraphFormat::Mermaid => draw::mermaid(&opened.pipeline, &opened.graph, detail),
            GraphFormat::Dot => draw::dot(&opened.pipeline, &opened.graph, detail),
        })?;
    }
    Ok(ExitStatus::Done)
}
