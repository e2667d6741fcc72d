//! Opens a pipeline for a command.

use crate::cli::{Failure, PipelineArgs, ValueArgs};
use crate::graph::StageGraph;
use crate::spec::{self, LoadOptions, Pipeline};

/// A pipeline with its graph.
pub(super) struct Opened {
    pub(super) pipeline: Pipeline,
    pub(super) graph: StageGraph,
}

/// What the options of a command line ask of a pipeline.
pub(super) fn load_options(
    profile: Option<&str>,
    values: &ValueArgs,
) -> Result<LoadOptions, Failure> {
    Ok(LoadOptions {
        profile: profile.map(str::to_owned),
        set: pairs("--set", "name=value", &values.set)?,
        sweep: pairs("--sweep", "name=value,value", &values.sweep)?,
    })
}

fn pairs(option: &str, form: &str, texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    texts
        .iter()
        .map(|text| {
            text.split_once('=')
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .ok_or_else(|| {
                    Failure::Usage(
                        format!("`{option} {text}` has no `=`"),
                        Some(format!("write it as `{option} {form}`")),
                    )
                })
        })
        .collect()
}

pub(super) fn open(args: &PipelineArgs) -> Result<Opened, Failure> {
    let options = load_options(args.profile.as_deref(), &args.values)?;
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
        let nearest = self
            .pipeline
            .stages
            .iter()
            .flat_map(|stage| [stage.id.as_str(), stage.name.as_str()])
            .min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let mut names: Vec<&str> = self
            .pipeline
            .stages
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        names.dedup();
        let hint = nearest.map(|nearest| {
            format!(
                "did you mean `{nearest}`? The stages are `{}`",
                names.join("`, `")
            )
        });
        Err(Failure::Usage(
            format!("`{}` has no stage `{name}`", self.pipeline.file.display()),
            hint,
        ))
    }
}
