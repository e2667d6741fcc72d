//! `pairs`: what phase 1 learns to bring together.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::{Interactions, read_items};
use crate::formats::json;
use crate::pairs::{self, HeldOut, PairSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of `pairs`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pairs {
    /// Share of each set that is held out, at least 0 and below 1. Default 0.1: the ILM paper's Table 5 counts are nine
    /// tenths of the pairs.
    pub held_out: f64,
    /// Another number holds out other pairs. Not the stage's seed, so that a sweep over seeds trains and measures on
    /// the same pairs. Default 0.
    pub held_out_seed: u64,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            held_out: 0.1,
            held_out_seed: 0,
        }
    }
}

impl Stage for Pairs {
    const NAME: &'static str = "pairs";
    const ABOUT: &'static str = "Makes item-text, item-item and user-item pairs";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one("split", &[ArtifactKind::Split]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Pairs;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let wrong = !(0.0..1.0).contains(&self.held_out);
        let message = format!("is {}, but must be at least 0 and below 1", self.held_out);
        wrong
            .then(|| Problem::new("held_out", message))
            .into_iter()
            .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let items = read_items(&context.input("catalog")?.file("items.jsonl"))?;
        let train = Interactions::read(&context.input("split")?.file("train.parquet"))?;
        let held_out = HeldOut {
            share: self.held_out,
            seed: self.held_out_seed,
        };
        let mut summary = BTreeMap::new();
        let mut count = |name: &str, total: usize, held: usize| {
            summary.insert(format!("{name}_total"), total);
            summary.insert(format!("{name}_train"), total - held);
            summary.insert(format!("{name}_held_out"), held);
        };
        let texts = pairs::item_text(&items, held_out);
        count(
            "item_text",
            texts.len(),
            texts.iter().filter(|text| text.held_out).count(),
        );
        json::write_lines(&context.out("item_text.jsonl"), &texts)?;
        let make: [(&str, fn(&Interactions, HeldOut) -> PairSet); 2] = [
            ("item_item", pairs::item_item),
            ("user_item", pairs::user_item),
        ];
        for (name, make) in make {
            let set = make(&train, held_out);
            count(name, set.len(), set.side(true).count());
            set.write(&context.out(&format!("{name}.parquet")))?;
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
