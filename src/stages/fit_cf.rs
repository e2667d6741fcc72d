//! The stage that fits vectors of users and items to who chose what.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::cf::ials::{self, BLOCK_STEP, Solver};
use crate::cf::{Csr, IalsConfig};
use crate::data::{Interactions, User, read_items};
use crate::formats::json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fits collaborative vectors on training interactions.
///
/// The defaults of `epochs`, `regularization` and `alpha0` are those of the authors' MovieLens-1M row, which has the
/// same protocol (the last item of each user held out); `factors` there is 192.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitCf {
    /// The algorithm: `ials` (exact, by Cholesky) or `ials++` (a block of columns at a time). Default `ials`.
    pub method: Method,
    /// Columns that `ials++` improves at a time, a multiple of 16; the cost of an epoch grows with it. Default 16 for
    /// `ials++` (of 16, 32 and 64 the soonest at an objective for 64 and 128 factors; the authors' program has 128, for a
    /// thousand); `ials` has none.
    pub block: Option<usize>,
    /// The width of the vectors, at least 1. Default 64.
    pub factors: usize,
    /// How often all users and then all items are solved, at least 1. Default 12 (google-research `ials/README.md`,
    /// MovieLens-1M).
    pub epochs: usize,
    /// The weight of the squared vectors, above 0. Default 0.007 (the same row).
    pub regularization: f64,
    /// The exponent of a row's frequency in its regularisation, at least 0: 0 for none, 1 for proportional. Default 1
    /// (Rendle et al. 2022, section 3.3).
    pub nu: f64,
    /// The weight of every user-item pair, observed or not, above 0. Default 0.3 (the same row).
    pub alpha0: f64,
    /// Vectors start normal with this standard deviation divided by `sqrt(factors)`; above 0. Default 0.1 (the same
    /// program's `--stddev`).
    pub init_std: f64,
}

/// How vectors are fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Implicit alternating least squares, each row solved exactly, see [`crate::cf::ials`].
    Ials,
    /// The same objective by subspace optimisation: Newton steps in blocks of columns.
    #[serde(rename = "ials++")]
    IalsPlusPlus,
}

/// `block` when it is not given.
const DEFAULT_BLOCK: usize = 16;

impl Default for FitCf {
    fn default() -> Self {
        Self {
            method: Method::Ials,
            block: None,
            factors: 64,
            epochs: 12,
            regularization: 0.007,
            nu: 1.0,
            alpha0: 0.3,
            init_std: 0.1,
        }
    }
}

impl FitCf {
    fn block_problem(&self) -> Option<Problem> {
        let block = self.block?;
        if self.method == Method::Ials {
            return Some(Problem::new("block", "is only for `method = \"ials++\"`"));
        }
        (block == 0 || block % BLOCK_STEP != 0).then(|| {
            let message = format!("is {block}, but must be a multiple of {BLOCK_STEP}");
            Problem::new("block", message)
        })
    }
}

impl Stage for FitCf {
    const NAME: &'static str = "fit-cf";
    const ABOUT: &'static str =
        "Fits collaborative vectors of users and items on training interactions";
    const VERSION: u32 = 3;
    const PORTS: &'static [Port] = &[
        // For the numbers of users and items: one without training history has a row too.
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one("split", &[ArtifactKind::Split]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Factors;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        [
            self.block_problem(),
            Problem::at_least("factors", self.factors, 1),
            Problem::at_least("epochs", self.epochs, 1),
            Problem::above("regularization", self.regularization, 0.0),
            Problem::within("nu", self.nu, 0.0, 2.0),
            Problem::above("alpha0", self.alpha0, 0.0),
            Problem::above("init_std", self.init_std, 0.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let catalog = context.input("catalog")?;
        let n_items = read_items(&catalog.file("items.jsonl"))?.len();
        let n_users = json::read_lines::<User>(&catalog.file("users.jsonl"))?.len();
        let train = Interactions::read(&context.input("split")?.file("train.parquet"))?;
        let pairs = train.users.iter().copied().zip(train.items.iter().copied());
        let interactions = Csr::from_pairs(n_users, n_items, pairs)?;

        let config = IalsConfig {
            solver: match self.method {
                Method::Ials => Solver::Exact,
                Method::IalsPlusPlus => Solver::Subspace {
                    block: self.block.unwrap_or(DEFAULT_BLOCK),
                },
            },
            factors: self.factors,
            epochs: self.epochs,
            regularization: self.regularization,
            nu: self.nu,
            alpha0: self.alpha0,
            init_std: self.init_std,
        };
        let fit = ials::fit(&interactions, &config, context.seed, context.progress)?;
        fit.factors.save(&context.out("factors.safetensors"))?;
        let summary = serde_json::json!({
            "users": n_users,
            "items": n_items,
            "factors": self.factors,
            "training_pairs": interactions.n_entries(),
            "users_without_history": interactions.n_empty_rows(),
            "items_without_history": interactions.transpose().n_empty_rows(),
            "objective_first": fit.objective[0],
            "objective_last": fit.objective[self.epochs],
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
