//! `fit-popularity`, `fit-knn` and `fit-bpr`: the baselines that need no network.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::cf::Csr;
use crate::data::{Interactions, User, read_items};
use crate::formats::json;
use crate::recommend::bpr::{self, BprConfig};
use crate::recommend::{Knn, KnnConfig, Popularity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every fit takes: the catalogue for the numbers of users and items (one without training history has a row too),
/// and the split for its training part.
pub(super) const FIT_PORTS: &[Port] = &[
    Port::one("catalog", &[ArtifactKind::Catalog]),
    Port::one("split", &[ArtifactKind::Split]),
];

fn n_items(context: &StageContext<'_>) -> Result<usize, StageError> {
    Ok(read_items(&context.input("catalog")?.file("items.jsonl"))?.len())
}

fn train(context: &StageContext<'_>) -> Result<Interactions, StageError> {
    Ok(Interactions::read(
        &context.input("split")?.file("train.parquet"),
    )?)
}

fn matrix(context: &StageContext<'_>) -> Result<Csr, StageError> {
    let users = json::read_lines::<User>(&context.input("catalog")?.file("users.jsonl"))?.len();
    let train = train(context)?;
    let pairs = train.users.iter().copied().zip(train.items.iter().copied());
    Ok(Csr::from_pairs(users, n_items(context)?, pairs)?)
}

/// `fit-popularity` has no parameters: an item's score is its number of training interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitPopularity {}

impl Stage for FitPopularity {
    const NAME: &'static str = "fit-popularity";
    const ABOUT: &'static str = "Counts how often each item was chosen (MostPop)";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = FIT_PORTS;
    const OUTPUT: ArtifactKind = ArtifactKind::Scorer;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let train = train(context)?;
        let popularity = Popularity::fit(n_items(context)?, &train.items)?;
        popularity.save(&context.output)?;
        let counts = popularity.counts();
        let summary = serde_json::json!({
            "items": counts.len(),
            "training_pairs": train.len(),
            "most_chosen": counts.iter().max(),
            "items_without_history": counts.iter().filter(|&&count| count == 0).count(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

/// Parameters of `fit-knn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitKnn {
    /// Neighbours kept of each item, the most similar ones; 0 keeps all, up to the square of the number of items. Default 0.
    pub neighbours: usize,
    /// Added to the denominator of the cosine, so that items which few people chose count less; at least 0. Default 0.
    pub shrink: f64,
    /// What an item of the history weighs as a share of the one after it, above 0 to 1; 1 forgets the order. Default 0.8.
    pub decay: f64,
    /// How many items of the history count, from its end, at least 1. Default 20.
    pub last: usize,
}

impl Default for FitKnn {
    fn default() -> Self {
        let config = KnnConfig::default();
        Self {
            neighbours: config.neighbours,
            shrink: config.shrink,
            decay: config.decay,
            last: config.last,
        }
    }
}

impl Stage for FitKnn {
    const NAME: &'static str = "fit-knn";
    const ABOUT: &'static str =
        "Finds the items that the same people choose (item-kNN, cosine of co-occurrence)";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = FIT_PORTS;
    const OUTPUT: ArtifactKind = ArtifactKind::Scorer;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let decay = Problem::above("decay", self.decay, 0.0)
            .or_else(|| Problem::within("decay", self.decay, 0.0, 1.0));
        [
            Problem::at_least("shrink", self.shrink, 0.0),
            decay,
            Problem::at_least("last", self.last, 1),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let users = matrix(context)?;
        let config = KnnConfig {
            neighbours: self.neighbours,
            shrink: self.shrink,
            decay: self.decay,
            last: self.last,
        };
        let knn = Knn::fit(&users, config);
        knn.save(&context.output)?;
        let summary = serde_json::json!({
            "items": users.n_columns(),
            "training_pairs": users.n_entries(),
            "neighbour_pairs": knn.n_pairs(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

/// Parameters of `fit-bpr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitBpr {
    /// The width of the vectors, at least 1. Default 64.
    pub factors: usize,
    /// How often every training pair is used, at least 1. Default 100.
    pub epochs: usize,
    /// The size of a step, above 0. Default 0.05 (`LibRec` and `MyMediaLite`).
    pub learning_rate: f32,
    /// The weight of the squared vectors, at least 0. Default 0.01.
    pub regularization: f32,
    /// Vectors start normal with this standard deviation, above 0. Default 0.1.
    pub init_std: f32,
}

impl Default for FitBpr {
    fn default() -> Self {
        Self {
            factors: 64,
            epochs: 100,
            learning_rate: 0.05,
            regularization: 0.01,
            init_std: 0.1,
        }
    }
}

impl Stage for FitBpr {
    const NAME: &'static str = "fit-bpr";
    const ABOUT: &'static str =
        "Fits vectors that put chosen items before others (BPR matrix factorisation)";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = FIT_PORTS;
    const OUTPUT: ArtifactKind = ArtifactKind::Factors;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        [
            Problem::at_least("factors", self.factors, 1),
            Problem::at_least("epochs", self.epochs, 1),
            Problem::above("learning_rate", self.learning_rate, 0.0),
            Problem::at_least("regularization", self.regularization, 0.0),
            Problem::above("init_std", self.init_std, 0.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let users = matrix(context)?;
        let config = BprConfig {
            factors: self.factors,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            regularization: self.regularization,
            init_std: self.init_std,
        };
        let fit = bpr::fit(&users, &config, context.seed, context.progress)?;
        fit.factors.save(&context.out("factors.safetensors"))?;
        let summary = serde_json::json!({
            "users": users.n_rows(),
            "items": users.n_columns(),
            "factors": self.factors,
            "training_pairs": users.n_entries(),
            "loss_first": fit.losses.first(),
            "loss_last": fit.losses.last(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
