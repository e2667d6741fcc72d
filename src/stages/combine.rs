//! The stage that makes item tokens of behavioural and semantic vectors.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::cf::{Factors, Source, combine};
use crate::formats::json;
use crate::formats::tensors;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes the tokens that stand for an item (see [`crate::cf::ItemTokens`]).
///
/// Each kind of vector is scaled to unit root mean square over the catalogue. With `behavioural` connected, user vectors
/// are written too, at the scale of the items' behavioural vectors, whatever the representation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Combine {
    /// Which vectors become tokens; each must be connected. Default `combined`: two tokens, behavioural first.
    pub representation: Representation,
    /// Into how many tokens each vector is cut, at least 1 and at most its width. Default 1, as in the paper. More than 1
    /// makes attention over a single kind of vector real.
    pub chunks: usize,
}

/// What stands for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Representation {
    /// Both, as tokens of their own.
    Combined,
    /// The collaborative vector.
    Behavioural,
    /// The vector of title and tags.
    Semantic,
}

impl Representation {
    fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Behavioural => "behavioural",
            Self::Semantic => "semantic",
        }
    }

    fn has_behavioural(self) -> bool {
        matches!(self, Self::Combined | Self::Behavioural)
    }

    fn has_semantic(self) -> bool {
        matches!(self, Self::Combined | Self::Semantic)
    }
}

impl Default for Combine {
    fn default() -> Self {
        Self {
            representation: Representation::Combined,
            chunks: 1,
        }
    }
}

impl Stage for Combine {
    const NAME: &'static str = "combine";
    const ABOUT: &'static str = "Makes item tokens of behavioural and semantic vectors";
    const VERSION: u32 = 1;
    // Optional, because a representation needs one or both; the stage says which one is missing.
    const PORTS: &'static [Port] = &[
        Port::optional("behavioural", &[ArtifactKind::Factors]),
        Port::optional("semantic", &[ArtifactKind::Embeddings]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::ItemTokens;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        Problem::at_least("chunks", self.chunks, 1)
            .into_iter()
            .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let representation = self.representation;
        for (port, needed) in [
            ("behavioural", representation.has_behavioural()),
            ("semantic", representation.has_semantic()),
        ] {
            if needed && context.optional(port).is_none() {
                return Err(StageError::message(format!(
                    "`representation` is `{}`, but the input `{port}` is missing",
                    representation.name()
                )));
            }
        }
        let factors = context
            .optional("behavioural")
            .map(|input| Factors::load(&input.file("factors.safetensors")))
            .transpose()?;
        let embeddings = context
            .optional("semantic")
            .filter(|_| representation.has_semantic())
            .map(|input| tensors::read_one(&input.file("embeddings.safetensors"), "items", 2))
            .transpose()?;

        let behavioural = factors.as_ref().map(|factors| Source {
            name: "behavioural",
            items: &factors.items,
        });
        let semantic = embeddings.as_ref().map(|items| Source {
            name: "semantic",
            items,
        });
        let sources: Vec<Source<'_>> = behavioural
            .filter(|_| representation.has_behavioural())
            .into_iter()
            .chain(semantic)
            .collect();
        let users = behavioural.zip(factors.as_ref().map(|factors| &factors.users));
        let tokens = combine(&sources, users, self.chunks)?;
        tokens.save(&context.out("item_tokens.safetensors"))?;

        let mut summary = serde_json::Map::new();
        summary.insert("representation".to_owned(), representation.name().into());
        for (name, size) in ["items", "tokens_per_item", "width"]
            .iter()
            .zip(&tokens.items.shape)
        {
            summary.insert((*name).to_owned(), (*size).into());
        }
        let n_users = tokens.users.as_ref().map_or(0, |users| users.shape[0]);
        summary.insert("users".to_owned(), n_users.into());
        for source in &sources {
            summary.insert(format!("{}_scale", source.name), source.scale()?.into());
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
