//! Recommenders: fitted methods that score every item for a user, and the full ranking that compares them.
//!
//! A [`Scorer`] turns a user and their history into one score an item. There are four: [`Popularity`], [`Knn`],
//! [`FactorScorer`] (inner products of vectors: iALS, BPR-MF) and [`SasrecScorer`] (a network over the history).
//! [`rank_all`] ranks each user's held-out item by any of them, so that all are measured by the same code.
//!
//! In an artifact, `scorer.json` says which method the folder holds ([`Method`]); a folder with `factors.safetensors`
//! alone holds vectors. [`load`] reads either.

pub mod bpr;
mod error;
mod factors;
mod history;
mod knn;
mod popularity;
mod rank;
mod sasrec;

pub use error::RecommendError;
pub use factors::FactorScorer;
pub use history::{Histories, Part};
pub use knn::{Knn, KnnConfig};
pub use popularity::Popularity;
pub use rank::{Ranked, rank_all};
pub use sasrec::{SasrecConfig, SasrecScorer, TrainSasrec, train_sasrec};

use crate::formats::json;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A user whose items are to be scored.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The user.
    pub user: u32,
    /// What they chose so far, oldest first.
    pub history: &'a [u32],
}

/// A fitted method.
pub trait Scorer {
    /// The number of items that it scores.
    fn n_items(&self) -> usize;

    /// Scores every item for some users; the greater the better.
    ///
    /// # Shapes
    /// - `scores`: `[queries.len(), n_items]`, row-major; what is in it before does not matter
    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError>;
}

/// What `scorer.json` says: which method the folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// [`Popularity`]: `popularity.parquet`.
    Popularity,
    /// [`Knn`]: `neighbours.parquet` and `config.json`.
    ItemKnn,
    /// [`SasrecScorer`]: `model.safetensors` and `config.json`.
    Sasrec,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    method: Method,
}

/// Writes `scorer.json`.
fn write_label(folder: &Path, method: Method) -> Result<(), RecommendError> {
    Ok(json::write(&folder.join("scorer.json"), &Label { method })?)
}

/// Reads whatever method a folder holds.
pub fn load(folder: &Path) -> Result<Box<dyn Scorer>, RecommendError> {
    let label = folder.join("scorer.json");
    if !label.exists() {
        return Ok(Box::new(FactorScorer::load(folder)?));
    }
    let label: Label = json::read(&label)?;
    Ok(match label.method {
        Method::Popularity => Box::new(Popularity::load(folder)?),
        Method::ItemKnn => Box::new(Knn::load(folder)?),
        Method::Sasrec => Box::new(SasrecScorer::load(folder)?),
    })
}
