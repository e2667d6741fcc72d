//! Kinds of stage and pipelines in memory, for tests.

use super::{LoadOptions, Pipeline, SpecErrors, load_with};
use crate::stages::{ArtifactKind, Kind, Port, Problem, Stage, StageContext, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

pub(crate) static KINDS: &[Kind] = &[
    Kind::of::<Ingest>(),
    Kind::of::<Fit>(),
    Kind::of::<Embed>(),
    Kind::of::<Train>(),
    Kind::of::<Table>(),
];

/// Loads the first of `files` (name, text).
pub(crate) fn load_files(
    files: &[(&str, &str)],
    options: &LoadOptions,
) -> Result<Pipeline, SpecErrors> {
    load_with(Path::new(files[0].0), options, KINDS, &|path| {
        files
            .iter()
            .find(|(name, _)| Path::new(name) == path)
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })
}

pub(crate) fn load_text(text: &str) -> Result<Pipeline, SpecErrors> {
    load_files(&[("p.toml", text)], &LoadOptions::default())
}

/// What a person sees of the problems of a text.
pub(crate) fn problems_of(text: &str) -> String {
    match load_text(text) {
        Ok(_) => "no problems".to_owned(),
        Err(errors) => errors.render(false),
    }
}

/// A file of `count` stages in chains of a hundred.
pub(crate) fn long(count: usize) -> String {
    let mut text = String::from(
        "[params]\nsteps = 3\n[stage.catalog]\nkind = 'ingest'\nsource = 'x'\n[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\n",
    );
    for at in 0..count {
        let start = if at % 100 == 0 {
            String::new()
        } else {
            format!(", start = \"train{}\"", at - 1)
        };
        let _ = write!(
            text,
            "[stage.train{at}]\nkind = \"phase-1\"\nsteps = \"${{steps}}\"\nlosses = [\"als\", \"bpr\"]\ninputs = {{ items = \"cf\"{start} }}\n"
        );
    }
    text
}

macro_rules! kind {
    ($kind:ty, $name:literal, $output:ident, $seeded:literal, [$($port:expr),*], |$this:ident| $problems:expr) => {
        impl Stage for $kind {
            const NAME: &'static str = $name;
            const ABOUT: &'static str = "a kind for tests";
            const VERSION: u32 = 1;
            const PORTS: &'static [Port] = &[$($port),*];
            const OUTPUT: ArtifactKind = ArtifactKind::$output;
            const SEEDED: bool = $seeded;

            fn problems(&self) -> Vec<Problem> {
                let $this = self;
                $problems
            }

            fn run(&self, _context: &StageContext<'_>) -> Result<(), StageError> {
                Ok(())
            }
        }
    };
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ingest {
    source: String,
    #[serde(default = "ten")]
    rows: u32,
}

fn ten() -> u32 {
    10
}

kind!(Ingest, "ingest", Catalog, false, [], |this| {
    Problem::at_least("rows", this.rows, 1)
        .into_iter()
        .collect()
});

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fit {
    factors: usize,
    regularisation: f32,
    loss: Loss,
    model: Model,
    offset: i64,
    verbose: bool,
    cut: Option<u8>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    Als,
    Bpr,
    #[serde(rename = "warp-loss")]
    Warp,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Model {
    width: usize,
    heads: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            width: 64,
            heads: 4,
        }
    }
}

impl Default for Fit {
    fn default() -> Self {
        Self {
            factors: 8,
            regularisation: 0.1,
            loss: Loss::Als,
            model: Model::default(),
            offset: 0,
            verbose: false,
            cut: None,
        }
    }
}

kind!(
    Fit,
    "fit-cf",
    Factors,
    true,
    [Port::one("interactions", &[ArtifactKind::Catalog])],
    |this| {
        let mut problems: Vec<Problem> = Problem::at_least("factors", this.factors, 1)
            .into_iter()
            .chain(Problem::above("regularisation", this.regularisation, 0.0))
            .collect();
        if this.model.heads == 0 || !this.model.width.is_multiple_of(this.model.heads) {
            problems.push(Problem::new(
                "model.heads",
                format!(
                    "is {}, but must divide `model.width`, which is {}",
                    this.model.heads, this.model.width
                ),
            ));
        }
        problems
    }
);

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Embed {
    layers: Vec<u32>,
    names: std::collections::BTreeMap<String, f64>,
    depth: usize,
}

impl Default for Embed {
    fn default() -> Self {
        Self {
            layers: vec![1, 2],
            names: std::collections::BTreeMap::new(),
            depth: 0,
        }
    }
}

kind!(
    Embed,
    "embed-text",
    Embeddings,
    false,
    [Port::one("catalog", &[ArtifactKind::Catalog])],
    |this| {
        this.layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| **layer == 0)
            .map(|(at, _)| Problem::new(format!("layers[{at}]"), "is 0, but must be at least 1"))
            .chain((this.depth > 100).then(|| {
                Problem::new(
                    "depth",
                    format!("is {}, but must be at most 100", this.depth),
                )
            }))
            .collect()
    }
);

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Train {
    losses: Vec<Loss>,
    adapter: String,
    steps: u64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            losses: vec![Loss::Als],
            adapter: "mlp".into(),
            steps: 0,
        }
    }
}

kind!(
    Train,
    "phase-1",
    Qformer,
    true,
    [
        Port::one("items", &[ArtifactKind::Factors, ArtifactKind::Embeddings]),
        Port::optional("start", &[ArtifactKind::Qformer])
    ],
    |this| Problem::at_least("steps", this.steps, 1)
        .into_iter()
        .collect()
);

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    bold: bool,
}

kind!(
    Table,
    "table",
    Table,
    false,
    [Port::many("rows", &[ArtifactKind::Qformer])],
    |_this| Vec::new()
);
