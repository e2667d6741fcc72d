//! What a kind of stage is, for the code that writes one and for the engine that runs them all.

use super::{StageContext, StageError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use std::path::PathBuf;

/// What a stage makes. Closed: every artifact in the cache is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// `interactions.parquet`, `items.jsonl`, `users.jsonl`: what `ingest` makes.
    Catalog,
    /// `train.parquet`, `validation.parquet`, `test.parquet`.
    Split,
    /// `factors.safetensors`: `users` `[U, d]`, `items` `[I, d]`.
    Factors,
    /// A fitted recommender that is more than vectors: `scorer.json` names the method, the other files are its own.
    Scorer,
    /// `ranks.parquet`: the rank of each user's held-out item. `metrics.json`: hit ratio, NDCG, mean reciprocal rank.
    Ranking,
    /// A fitted text encoder.
    TextEncoder,
    /// `embeddings.safetensors`: `items` `[I, d]`.
    Embeddings,
    /// `item_tokens.safetensors`: `items` `[I, M, d]`, `users` `[U, 1, d]`.
    ItemTokens,
    /// `item_text.jsonl`, `item_item.parquet`, `user_item.parquet`.
    Pairs,
    /// `train.jsonl`, `test.jsonl`, `corpus.jsonl`: prompts with item places, and targets.
    Tasks,
    /// A data folder of OpenP5: `user_sequence.txt`, `user_indexing.txt`, `item_…_indexing….txt` with
    /// `user_sequence_…_indexing….txt`, `prompt.txt`, `item_attributes.tsv`.
    #[serde(rename = "openp5")]
    OpenP5,
    /// OpenP5's examples: counts, and files of them where wanted.
    Prompts,
    /// `statistics.json`: the size of a data set.
    Statistics,
    /// `tokenizer.json`.
    Tokenizer,
    /// A decoder language model: `config.json`, `model.safetensors`.
    LanguageModel,
    /// A Q-Former after phase 1: `config.json`, `model.safetensors`, `metrics.jsonl`.
    Qformer,
    /// An adapter, and the language model or its low-rank matrices where it was tuned, after phase 2.
    ItemLanguageModel,
    /// `generations.jsonl`.
    Generations,
    /// `scores.json`.
    Scores,
    /// `table.txt`, `table.md`, `table.tex`, `table.csv`.
    Table,
    /// Whatever a `command` wrote.
    Files,
}

impl ArtifactKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Catalog,
        Self::Split,
        Self::Factors,
        Self::Scorer,
        Self::Ranking,
        Self::TextEncoder,
        Self::Embeddings,
        Self::ItemTokens,
        Self::Pairs,
        Self::Tasks,
        Self::OpenP5,
        Self::Prompts,
        Self::Statistics,
        Self::Tokenizer,
        Self::LanguageModel,
        Self::Qformer,
        Self::ItemLanguageModel,
        Self::Generations,
        Self::Scores,
        Self::Table,
        Self::Files,
    ];

    /// The name in messages and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Split => "split",
            Self::Factors => "factors",
            Self::Scorer => "scorer",
            Self::Ranking => "ranking",
            Self::TextEncoder => "text-encoder",
            Self::Embeddings => "embeddings",
            Self::ItemTokens => "item-tokens",
            Self::Pairs => "pairs",
            Self::Tasks => "tasks",
            Self::OpenP5 => "openp5",
            Self::Prompts => "prompts",
            Self::Statistics => "statistics",
            Self::Tokenizer => "tokenizer",
            Self::LanguageModel => "language-model",
            Self::Qformer => "qformer",
            Self::ItemLanguageModel => "item-language-model",
            Self::Generations => "generations",
            Self::Scores => "scores",
            Self::Table => "table",
            Self::Files => "files",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many artifacts a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// One or more, for instance every arm of a swept stage.
    Many,
    /// Any number, or none.
    Any,
}

impl Arity {
    /// Whether the port takes more than one artifact.
    pub fn takes_many(self) -> bool {
        matches!(self, Self::Many | Self::Any)
    }

    /// Whether the port may be left out.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::Any)
    }
}

/// A named input of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The name in `inputs = { name = "stage" }`.
    pub name: &'static str,
    /// The kinds of artifact that fit.
    pub accepts: &'static [ArtifactKind],
    /// How many artifacts.
    pub arity: Arity,
}

impl Port {
    /// A port that takes exactly one artifact.
    pub const fn one(name: &'static str, accepts: &'static [ArtifactKind]) -> Self {
        Self {
            name,
            accepts,
            arity: Arity::One,
        }
    }

    /// A port that may be left out.
    pub const fn optional(name: &'static str, accepts: &'static [ArtifactKind]) -> Self {
        Self {
            name,
            accepts,
            arity: Arity::Optional,
        }
    }

    /// A port that takes one or more artifacts.
    pub const fn many(name: &'static str, accepts: &'static [ArtifactKind]) -> Self {
        Self {
            name,
            accepts,
            arity: Arity::Many,
        }
    }

    /// A port that takes any number of artifacts, or none.
    pub const fn any(name: &'static str, accepts: &'static [ArtifactKind]) -> Self {
        Self {
            name,
            accepts,
            arity: Arity::Any,
        }
    }
}

/// A parameter whose value has the right type but makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The parameter, dotted: `factors`, `source.format`.
    pub field: String,
    /// Continues the sentence "`factors` …": found and expected, lower case, no full stop:
    /// "is 0, but must be at least 1".
    pub message: String,
}

impl Problem {
    /// Makes a problem of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }

    /// "is `found`, but must be at least `least`", when it is not.
    pub fn at_least<T: PartialOrd + fmt::Display + Copy>(
        field: &str,
        found: T,
        least: T,
    ) -> Option<Self> {
        // Negated on purpose: NaN is a problem too.
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must be a problem")]
        let wrong = !(found >= least);
        wrong.then(|| Self::new(field, format!("is {found}, but must be at least {least}")))
    }

    /// "is `found`, but must be above `bound`", when it is not.
    pub fn above<T: PartialOrd + fmt::Display + Copy>(
        field: &str,
        found: T,
        bound: T,
    ) -> Option<Self> {
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must be a problem")]
        let wrong = !(found > bound);
        wrong.then(|| Self::new(field, format!("is {found}, but must be above {bound}")))
    }

    /// "is `found`, but must be from `low` to `high`", when it is not.
    pub fn within<T: PartialOrd + fmt::Display + Copy>(
        field: &str,
        found: T,
        low: T,
        high: T,
    ) -> Option<Self> {
        let right = found >= low && found <= high;
        (!right).then(|| {
            Self::new(
                field,
                format!("is {found}, but must be from {low} to {high}"),
            )
        })
    }
}

/// A file outside the cache that a stage reads. Its content hash is part of the stage's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the folder that holds `datasets/`.
    pub path: PathBuf,
    /// An optional file that is not there is not part of the key; a required one is an error.
    pub required: bool,
    /// What to do when a required file is missing, for the message's hint.
    pub hint: String,
}

/// A kind of stage. `Self` holds the parameters.
pub trait Stage: Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The name in `kind = "…"`.
    const NAME: &'static str;
    /// One line for people.
    const ABOUT: &'static str;
    /// Part of the key: raise it with every change of the code that changes the output.
    const VERSION: u32;
    /// The inputs.
    const PORTS: &'static [Port];
    /// What the stage makes.
    const OUTPUT: ArtifactKind;
    /// Whether the result depends on the seed; a stage without random numbers is shared between seeds.
    const SEEDED: bool;
    /// Whether it computes with networks, on the device that the run was told to use.
    const NETWORKS: bool = false;

    /// Every parameter that makes no sense, all at once.
    fn problems(&self) -> Vec<Problem>;

    /// The files outside the cache that [`Stage::run`] will read.
    fn source_files(&self) -> Vec<SourceFile> {
        Vec::new()
    }

    /// Reads inputs from, and writes the artifact to, the folders of `context`.
    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError>;
}

/// A stage of some kind with its parameters, for code that treats all kinds alike.
pub trait AnyStage {
    /// The parameters with every default filled in.
    fn params(&self) -> serde_json::Value;
    /// See [`Stage::problems`].
    fn problems(&self) -> Vec<Problem>;
    /// See [`Stage::source_files`].
    fn source_files(&self) -> Vec<SourceFile>;
    /// See [`Stage::run`].
    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError>;
}

impl<S: Stage> AnyStage for S {
    fn params(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("parameters are plain data with string keys")
    }

    fn problems(&self) -> Vec<Problem> {
        Stage::problems(self)
    }

    fn source_files(&self) -> Vec<SourceFile> {
        Stage::source_files(self)
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        Stage::run(self, context)
    }
}

/// One row of the registry.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name in `kind = "…"`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// The hand-set version in the key.
    pub version: u32,
    /// The inputs.
    pub ports: &'static [Port],
    /// What it makes.
    pub output: ArtifactKind,
    /// Whether the seed is part of the key.
    pub seeded: bool,
    /// Whether it computes with networks, on the device that the run was told to use.
    pub networks: bool,
    /// Reads parameters from TOML; the error keeps its span.
    pub from_toml:
        fn(toml::de::ValueDeserializer<'_>) -> Result<Box<dyn AnyStage>, toml::de::Error>,
    /// Reads parameters that [`AnyStage::params`] wrote.
    pub from_json: fn(serde_json::Value) -> Result<Box<dyn AnyStage>, serde_json::Error>,
    /// Describes the parameters, with docs and defaults.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.name).finish()
    }
}

impl Kind {
    /// The row of the kind `S`.
    pub const fn of<S: Stage>() -> Self {
        Self {
            name: S::NAME,
            about: S::ABOUT,
            version: S::VERSION,
            ports: S::PORTS,
            output: S::OUTPUT,
            seeded: S::SEEDED,
            networks: S::NETWORKS,
            from_toml: |value| Ok(Box::new(S::deserialize(value)?)),
            from_json: |value| Ok(Box::new(S::deserialize(value)?)),
            schema: S::json_schema,
        }
    }

    /// Returns the port of this name.
    pub fn port(&self, name: &str) -> Option<&'static Port> {
        self.ports.iter().find(|port| port.name == name)
    }
}
