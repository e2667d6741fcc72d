//! `ranking-table`: methods as rows, ranking metrics as columns.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::eval::ranking::{PooledRanks, RankMetric, Ranks, UnknownMetric};
use crate::eval::reported::{REPORTED, Reported};
use crate::formats::json;
use crate::tables::panels::{Chosen, Scored, panels};
use crate::tables::{RankedRow, Ranking};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Parameters of `ranking-table`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RankingTable {
    /// One line above the table. Default `Ranking of held-out items`.
    pub title: String,
    /// The rows from top to bottom, at least one. Where a row's arms have several values on an axis that is neither in its
    /// `match` nor in `replicates`, each value is a row of its own.
    pub methods: Vec<TableRow>,
    /// The columns: `HR@k`, `NDCG@k`, `MRR`. Default `["HR@5", "NDCG@5", "HR@10", "NDCG@10"]`.
    pub metrics: Vec<String>,
    /// Axes whose values are repetitions of one experiment: arms that differ on nothing else are averaged. Default
    /// `["seed"]`.
    pub replicates: Vec<String>,
    /// Label of the row that every other is tested against: a two-sided paired t test over users. Default: no test.
    pub compare_with: Option<String>,
    /// The metric of that test. Default `NDCG@10`.
    pub compare_metric: String,
    /// Whose reported numbers stand beside ours: `none`, `openp5-beauty` or `openp5-ml-1m`. Default `none`.
    pub reported: String,
    /// The data, for the caption. Default empty: not named.
    pub data: String,
}

/// One row: which of the rankings it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableRow {
    /// Its label.
    pub label: String,
    /// The arms of this row: those whose matrix has all these values.
    #[serde(rename = "match", default)]
    pub matches: BTreeMap<String, String>,
    /// The reported method beside it. Default: the one named like the label, if there is one.
    #[serde(default)]
    pub reported: Option<String>,
}

/// The value of `reported` without any.
const NONE: &str = "none";

impl Default for RankingTable {
    fn default() -> Self {
        Self {
            title: "Ranking of held-out items".to_owned(),
            methods: Vec::new(),
            metrics: ["HR@5", "NDCG@5", "HR@10", "NDCG@10"]
                .map(str::to_owned)
                .to_vec(),
            replicates: vec!["seed".to_owned()],
            compare_with: None,
            compare_metric: "NDCG@10".to_owned(),
            reported: NONE.to_owned(),
            data: String::new(),
        }
    }
}

impl Stage for RankingTable {
    const NAME: &'static str = "ranking-table";
    const ABOUT: &'static str =
        "Lays out ranking metrics of methods as text, Markdown, LaTeX and CSV";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[Port::many("rows", &[ArtifactKind::Ranking])];
    const OUTPUT: ArtifactKind = ArtifactKind::Table;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.methods.is_empty() {
            found.push(Problem::new(
                "methods",
                "is empty, but must have at least one row",
            ));
        }
        if self.metrics.is_empty() {
            found.push(Problem::new(
                "metrics",
                "is empty, but must have at least one column",
            ));
        }
        let mut check = |field: String, text: &str| {
            if let Err(error) = text.parse::<RankMetric>() {
                found.push(Problem::new(field, error.to_string()));
            }
        };
        for (index, metric) in self.metrics.iter().enumerate() {
            check(format!("metrics[{index}]"), metric);
        }
        check("compare_metric".to_owned(), &self.compare_metric);
        let mut metrics = BTreeSet::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            if !metrics.insert(metric) {
                let message = format!("is `{metric}`, which an earlier column already is");
                found.push(Problem::new(format!("metrics[{index}]"), message));
            }
        }
        let reported = Reported::find(&self.reported);
        if reported.is_none() && self.reported != NONE {
            let known: Vec<String> = REPORTED.iter().map(|r| format!("`{}`", r.name)).collect();
            let message = format!(
                "is `{}`, but must be `{NONE}` or one of {}",
                self.reported,
                known.join(", ")
            );
            found.push(Problem::new("reported", message));
        }
        let mut labels = BTreeSet::new();
        for (index, row) in self.methods.iter().enumerate() {
            let field = |name: &str| format!("methods[{index}].{name}");
            if row.label.trim().is_empty() {
                let message = "is empty, but must name the row";
                found.push(Problem::new(field("label"), message));
            } else if !labels.insert(row.label.as_str()) {
                let message = format!("is `{}`, which an earlier row already has", row.label);
                found.push(Problem::new(field("label"), message));
            }
            if row.matches.is_empty() && self.methods.len() > 1 {
                let message = "is empty, but must choose the arms of this row";
                found.push(Problem::new(field("match"), message));
            }
            match (&row.reported, reported) {
                (Some(name), Some(known)) if known.row(name).is_none() => {
                    let names: Vec<&str> = known.rows.iter().map(|row| row.method).collect();
                    let message = format!(
                        "is `{name}`, but `{}` has the rows `{}`",
                        known.name,
                        names.join("`, `")
                    );
                    found.push(Problem::new(field("reported"), message));
                }
                (Some(_), None) if self.reported == NONE => {
                    let message = "is set, but `reported` of the table is `none`";
                    found.push(Problem::new(field("reported"), message));
                }
                _ => {}
            }
        }
        if let Some(label) = &self.compare_with {
            if !labels.contains(label.as_str()) {
                let message = format!("is `{label}`, but must be the label of a row");
                found.push(Problem::new("compare_with", message));
            }
        }
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let rows = self.rows(context)?;
        let metrics: Vec<RankMetric> = self
            .metrics
            .iter()
            .map(|metric| metric.parse())
            .collect::<Result<_, UnknownMetric>>()?;
        let test: RankMetric = self.compare_metric.parse()?;
        let table = Ranking {
            title: &self.title,
            rows: &rows,
            metrics: &metrics,
            reported: Reported::find(&self.reported),
            compare_with: self.compare_with.as_deref().map(|label| (label, test)),
            data: &self.data,
        }
        .table();
        for (name, text) in [
            ("table.txt", table.text()),
            ("table.md", table.markdown()),
            ("table.tex", table.latex()),
            ("table.csv", table.csv()),
        ] {
            fs_err::write(context.out(name), text)?;
        }
        let summary: BTreeMap<String, f64> = rows
            .iter()
            .map(|row| {
                let value = (row.ranks.mean(metrics[0]) * 10_000.0).round() / 10_000.0;
                (format!("{}, {}", row.label, metrics[0]), value)
            })
            .collect();
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

impl RankingTable {
    /// The rows with the ranks of their runs.
    fn rows(&self, context: &StageContext<'_>) -> Result<Vec<RankedRow>, StageError> {
        let inputs = context.all("rows");
        let arms: Vec<Scored<'_>> = inputs
            .iter()
            .map(|row| Scored {
                stage: &row.stage,
                matrix: &row.matrix,
            })
            .collect();
        let mut rows = Vec::new();
        let mut used = BTreeSet::new();
        for row in &self.methods {
            let chosen = Chosen {
                label: &row.label,
                matches: &row.matches,
            };
            let found = panels(&[chosen], &arms, &self.replicates)?;
            for panel in found.panels {
                let axes: Vec<String> = found
                    .axes
                    .iter()
                    .zip(&panel.values)
                    .map(|(axis, value)| format!("{axis} {value}"))
                    .collect();
                let label = if axes.is_empty() {
                    row.label.clone()
                } else {
                    format!("{} ({})", row.label, axes.join(", "))
                };
                let mut runs = Vec::new();
                for (_, index) in panel.columns.iter().flatten() {
                    used.insert(*index);
                    runs.push(Ranks::read(&inputs[*index].file("ranks.parquet"))?);
                }
                rows.push(RankedRow {
                    label,
                    reported: row.reported.clone().or_else(|| Some(row.label.clone())),
                    ranks: PooledRanks::new(runs)?,
                });
            }
        }
        for (index, arm) in arms.iter().enumerate() {
            if !used.contains(&index) {
                context
                    .progress
                    .warn(&format!("`{}` is in no row of the table", arm.stage))?;
            }
        }
        Ok(rows)
    }
}
