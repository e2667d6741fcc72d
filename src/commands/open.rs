//! Opens a pipeline for a command.

use crate::cli::{Failure, PipelineArgs};
use crate::graph::StageGraph;
use crate::spec::{self, LoadOptions, Pipeline};

/// A pipeline with its graph.
pub(super) struct Opened {
    pub(super) pipeline: Pipeline,
    pub(super) graph: StageGraph,
}

pub(super) fn open(args: &PipelineArgs) -> Result<Opened, Failure> {
    let set = args
        .set
        .iter()
        .map(|text| {
            text.split_once('=')
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .ok_or_else(|| {
                    Failure::Usage(
                        format!("`--set {text}` has no `=`"),
                        Some("write it as `--set name=value`".to_owned()),
                    )
                })
        })
        .collect::<Result<_, _>>()?;
    let options = LoadOptions {
        profile: args.profile.clone(),
        set,
    };
    let pipeline = spec::load(&args.file, &options)?;
    let graph = StageGraph::build(&pipeline).map_err(Failure::Graph)?;
    Ok(Opened { pipeline, graph })
}

impl Opened {
    /// The positions of a stage or of every arm of a swept stage.
    pub(super) fn select(&self, name: &str) -> Result<Vec<usize>, Failure> {
        let found: Vec<usize> = self
            .pipeline
            .stages
            .iter()
            .enumerate()
            .filter(|(_, stage)| stage.id == name || stage.name == name)
            .map(|(index, _)| index)
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // Arms are only listed for a name that has one: a sweep of a thousand would hide the rest.
        let known = self.pipeline.stages.iter().map(|stage| {
            if name.contains('[') {
                stage.id.as_str()
            } else {
                stage.name.as_str()
            }
        });
        Err(Failure::Usage(
            format!("`{}` has no stage `{name}`", self.pipeline.file.display()),
            Some(spec::suggest(name, "stages", known).join("\nhint: ")),
        ))
    }
}
