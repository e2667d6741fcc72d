//! `rank`: where a fitted method puts each user's held-out item.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::Split;
use crate::eval::ranking::RankMetric;
use crate::formats::json;
use crate::recommend::{self, Histories, Part, rank_all};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of `rank`.
///
/// Each user's held-out item is ranked among *all* items, none sampled; of equal scores the lower item id is the better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rank {
    /// Which held-out items: `validation` (for choosing settings) or `test`. Default `test`.
    pub part: Part,
    /// Leaves the items of the user's history out of the ranking; the held-out item itself always stays. Default true (as in
    /// `SASRec` and most toolkits; `OpenP5` does not).
    pub exclude_seen: bool,
    /// The cut-offs of hit ratio and NDCG in `metrics.json`, each at least 1. Default `[1, 5, 10, 20]`.
    pub cutoffs: Vec<u32>,
}

impl Default for Rank {
    fn default() -> Self {
        Self {
            part: Part::Test,
            exclude_seen: true,
            cutoffs: vec![1, 5, 10, 20],
        }
    }
}

impl Rank {
    fn metrics(&self) -> impl Iterator<Item = RankMetric> + '_ {
        let cut = self
            .cutoffs
            .iter()
            .flat_map(|&k| [RankMetric::Hr(k), RankMetric::Ndcg(k)]);
        cut.chain([RankMetric::Mrr])
    }
}

impl Stage for Rank {
    const NAME: &'static str = "rank";
    const ABOUT: &'static str =
        "Ranks each user's held-out item among all items, by any fitted method";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("split", &[ArtifactKind::Split]),
        Port::one("scorer", &[ArtifactKind::Scorer, ArtifactKind::Factors]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Ranking;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.cutoffs.is_empty() {
            found.push(Problem::new(
                "cutoffs",
                "is empty, but must have at least one number",
            ));
        }
        for (index, &k) in self.cutoffs.iter().enumerate() {
            found.extend(Problem::at_least(&format!("cutoffs[{index}]"), k, 1));
        }
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let split = Split::read(&context.input("split")?.folder)?;
        let histories = Histories::new(&split, self.part);
        let scorer = recommend::load(&context.input("scorer")?.folder)?;
        let ranked = rank_all(
            scorer.as_ref(),
            &histories,
            self.exclude_seen,
            context.progress,
        )?;
        ranked.ranks.write(&context.out("ranks.parquet"))?;
        let metrics: BTreeMap<String, f64> = self
            .metrics()
            .map(|metric| (metric.to_string(), metric.mean(&ranked.ranks.ranks)))
            .collect();
        let described = serde_json::json!({
            "part": self.part,
            "exclude_seen": self.exclude_seen,
            "users": ranked.ranks.users.len(),
            "items": ranked.n_items,
            "metrics": metrics,
        });
        json::write(&context.out("metrics.json"), &described)?;
        let mut summary: BTreeMap<String, serde_json::Value> = metrics
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        summary.insert("users".to_owned(), ranked.ranks.users.len().into());
        summary.insert("items".to_owned(), ranked.n_items.into());
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
