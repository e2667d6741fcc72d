//! `statistics` and `statistics-table`: how large a data set is, in the terms of the paper's Table 5.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::tables::{DatasetStatistics, statistics_table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Parameters of `statistics`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statistics {
    /// The data set: the column's header, and which of the paper's columns stands beside it (`ml-1m`, `ML1M`, `openp5-beauty`,
    /// `amazon-beauty`, `Beauty`). Default empty.
    pub dataset: String,
}

impl Stage for Statistics {
    const NAME: &'static str = "statistics";
    const ABOUT: &'static str = "Counts users, items, pairs and examples of a data set";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one("pairs", &[ArtifactKind::Pairs]),
        Port::one("prompts", &[ArtifactKind::Prompts]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Statistics;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let empty = self.dataset.trim().is_empty();
        let message = "is empty, but must name the data set";
        let problem = empty.then(|| Problem::new("dataset", message));
        problem.into_iter().collect()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        // Each of these stages counts what it makes; a number that is not there is a bug of theirs, and told.
        let mut counts = BTreeMap::new();
        for (port, names) in [
            ("catalog", &["users", "items", "interactions"][..]),
            (
                "pairs",
                &[
                    "item_text_total",
                    "item_text_train",
                    "item_item_total",
                    "item_item_train",
                    "user_item_total",
                    "user_item_train",
                ],
            ),
            ("prompts", &["train", "validation", "test"]),
        ] {
            let path = context.input(port)?.file("summary.json");
            for &name in names {
                counts.insert(name, count(&path, name)?);
            }
        }
        let statistics = DatasetStatistics {
            dataset: self.dataset.clone(),
            counts: counts
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        };
        json::write(&context.out("statistics.json"), &statistics)?;
        json::write(&context.out("summary.json"), &statistics.counts)?;
        Ok(())
    }
}

fn count(path: &Path, name: &str) -> Result<u64, StageError> {
    let summary: BTreeMap<String, serde_json::Value> = json::read(path)?;
    let value = summary.get(name).and_then(serde_json::Value::as_u64);
    value.ok_or_else(|| {
        StageError::message(format!("`{}` has no whole number `{name}`", path.display()))
    })
}

/// Parameters of `statistics-table`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatisticsTable {
    /// One line above the table. Default `Statistics of the data sets`.
    pub title: String,
}

impl Default for StatisticsTable {
    fn default() -> Self {
        Self {
            title: "Statistics of the data sets".to_owned(),
        }
    }
}

impl Stage for StatisticsTable {
    const NAME: &'static str = "statistics-table";
    const ABOUT: &'static str = "Lays out the statistics of data sets, beside the paper's";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::many("rows", &[ArtifactKind::Statistics])];
    const OUTPUT: ArtifactKind = ArtifactKind::Table;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let mut all: Vec<DatasetStatistics> = Vec::new();
        for input in context.all("rows") {
            all.push(json::read(&input.file("statistics.json"))?);
        }
        let table = statistics_table(&self.title, &all);
        for (name, text) in [
            ("table.txt", table.text()),
            ("table.md", table.markdown()),
            ("table.tex", table.latex()),
            ("table.csv", table.csv()),
        ] {
            fs_err::write(context.out(name), text)?;
        }
        let summary: BTreeMap<&str, u64> = all
            .iter()
            .map(|one| (one.dataset.as_str(), one.count("train")))
            .collect();
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
