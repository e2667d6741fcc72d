//! `evaluate`: semantic consistency of generated texts with their targets.

use super::sentences::Sentences;
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::eval::{Generation, score};
use crate::formats::json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of `evaluate`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Resamples of the bootstrap over films that gives the 95 % intervals, from 100 to 100000. Default 1000 (Efron &
    /// Tibshirani 1993, §13.3).
    pub resamples: u32,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { resamples: 1000 }
    }
}

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";
    const ABOUT: &'static str =
        "Scores generated texts by semantic consistency, with floor and intervals";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("generations", &[ArtifactKind::Generations]),
        Port::one("encoder", &[ArtifactKind::TextEncoder]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Scores;
    const SEEDED: bool = false;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        Problem::within("resamples", self.resamples, 100, 100_000)
            .into_iter()
            .collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let path = context.input("generations")?.file("generations.jsonl");
        let generations: Vec<Generation> = json::read_lines(&path)?;
        let encoder = Sentences::read(context)?;
        context.progress.tick("encode", 0, 2)?;
        let texts = |f: fn(&Generation) -> &str| -> Vec<String> {
            generations.iter().map(|g| f(g).to_owned()).collect()
        };
        let generated = encoder.encode(&texts(|g| &g.generated), context)?;
        context.progress.tick("encode", 1, 2)?;
        let targets = encoder.encode(&texts(|g| &g.target), context)?;
        context.progress.tick("encode", 2, 2)?;
        let scores = score(&generations, &generated, &targets, self.resamples)?;
        json::write(&context.out("scores.json"), &scores)?;
        let percent = |value: f64| (value * 10_000.0).round() / 100.0;
        let mut summary = BTreeMap::from([
            ("semantic_consistency", percent(scores.mean)),
            ("distinct_texts_percent", percent(scores.distinct)),
            ("empty_texts_percent", percent(scores.empty)),
            ("examples", scores.n as f64),
            ("films", scores.n_films as f64),
        ]);
        summary.extend(scores.floor.map(|floor| ("shuffled_floor", percent(floor))));
        if let Some(interval) = scores.interval {
            summary.insert("interval_low", percent(interval.low));
            summary.insert("interval_high", percent(interval.high));
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_resamples_is_checked() {
        let all = Evaluate { resamples: 3 }.problems();
        assert_eq!(all[0].message, "is 3, but must be from 100 to 100000");
        assert!(Evaluate::default().problems().is_empty());
    }
}
