//! The paper's Table 5: sizes of the data sets, of the pairs of phase 1 and of the examples of phase 2.

use super::{Cell, Column, Row, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counts of one data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetStatistics {
    /// What it is called.
    pub dataset: String,
    /// `users`, `items`, `interactions`; `item_text_total`, `item_text_train` and likewise `item_item`, `user_item`; `train`,
    /// `validation`, `test`.
    pub counts: BTreeMap<String, u64>,
}

impl DatasetStatistics {
    /// A count; 0 for one that is not there.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn paper(&self) -> Option<&'static PaperDataset> {
        PAPER
            .iter()
            .find(|paper| paper.names.contains(&self.dataset.as_str()))
    }
}

/// What the paper's Table 5 says of a data set.
struct PaperDataset {
    /// What people call it.
    names: &'static [&'static str],
    /// Count and value.
    counts: &'static [(&'static str, u64)],
}

/// Only numbers that were read are here. The item-item count of ML-1M is not among them.
const PAPER: &[PaperDataset] = &[
    PaperDataset {
        names: &["ml-1m", "openp5-ml-1m", "ML1M", "ML-1M"],
        counts: &[
            ("users", 6_040),
            ("items", 3_416),
            ("item_text_train", 3_079),
            ("user_item_train", 888_696),
            ("train", 19_629_820),
            ("test", 12_080),
        ],
    },
    PaperDataset {
        names: &["openp5-beauty", "amazon-beauty", "Beauty"],
        counts: &[
            ("users", 22_363),
            ("items", 12_101),
            ("item_text_train", 10_879),
            ("item_item_train", 103_268),
            ("user_item_train", 138_521),
            ("train", 2_628_260),
            ("test", 44_726),
        ],
    },
];

/// Share of the pairs that the paper trains on.
const SHARE: f64 = 0.9;

/// Rows: count, label, and whether a rule stands above.
const ROWS: [(&str, &str, bool); 12] = [
    ("users", "users", false),
    ("items", "items", false),
    ("interactions", "interactions", false),
    ("item_text_total", "item-text pairs", true),
    ("item_text_train", "  of them for training", false),
    ("item_item_total", "item-item pairs", true),
    ("item_item_train", "  of them for training", false),
    ("user_item_total", "user-item pairs", true),
    ("user_item_train", "  of them for training", false),
    ("train", "training examples", true),
    ("validation", "validation examples", false),
    ("test", "test examples", false),
];

/// Lays out the statistics, a column a data set.
///
/// Under each count of training pairs stands how far it is from the paper's, in standard deviations of a random cut:
/// `√(n · 0.9 · 0.1)` for `n` pairs.
pub fn statistics_table(title: &str, all: &[DatasetStatistics]) -> Table {
    let any_paper = all.iter().any(|one| one.paper().is_some());
    let mut rows = Vec::new();
    for (name, label, rule) in ROWS {
        let cells: Vec<Cell> = all
            .iter()
            .map(|one| Cell {
                value: Some(one.count(name) as f64),
                interval: None,
                paper: one
                    .published(name)
                    .map(|value| (value as f64, String::new())),
            })
            .collect();
        let published = cells.iter().any(|cell| cell.paper.is_some());
        rows.push(Row {
            label: label.to_owned(),
            cells,
            paper: published,
            rule,
            ..Row::default()
        });
        let Some(set) = name.strip_suffix("_train") else {
            continue;
        };
        let deviations: Vec<Option<f64>> = all.iter().map(|one| one.deviation(set)).collect();
        if deviations.iter().any(Option::is_some) {
            rows.push(Row {
                label: "  off the paper's, in σ".to_owned(),
                cells: deviations
                    .into_iter()
                    .map(|value| Cell {
                        value,
                        ..Cell::default()
                    })
                    .collect(),
                decimals: 1,
                ..Row::default()
            });
        }
    }
    let mut caption = vec![
        "Item-text: one text an item. Item-item: ordered pairs of items that some user's training interactions have one after \
         the other, each once. User-item: training interactions. Training interactions are all but each user's last two."
            .to_owned(),
        "Training examples: every training interaction but a user's first, with every seen prompt of both tasks. Validation \
         and test examples: one a user and task."
            .to_owned(),
    ];
    if any_paper {
        caption.push(
            "The paper's numbers are of its Table 5. Which tenth of the pairs it held out is not known, so that training pairs \
             can agree only within chance: σ = √(n · 0.9 · 0.1) for n pairs."
                .to_owned(),
        );
    }
    Table {
        title: title.to_owned(),
        corner: "count".to_owned(),
        columns: all
            .iter()
            .map(|one| Column {
                label: one.dataset.clone(),
                paper: one.paper().is_some(),
                ..Column::default()
            })
            .collect(),
        rows,
        caption,
        notes: Vec::new(),
    }
}

impl DatasetStatistics {
    fn published(&self, name: &str) -> Option<u64> {
        let counts = self.paper()?.counts.iter();
        let mut found = counts.filter(|(count, _)| *count == name);
        found.next().map(|(_, value)| *value)
    }

    /// How far the training pairs of a set are from the paper's, in standard deviations.
    fn deviation(&self, set: &str) -> Option<f64> {
        let train = format!("{set}_train");
        let published = self.published(&train)? as f64;
        let total = self.count(&format!("{set}_total")) as f64;
        let spread = (total * SHARE * (1.0 - SHARE)).sqrt();
        (spread > 0.0).then(|| (self.count(&train) as f64 - published) / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(dataset: &str, counts: [u64; 12]) -> DatasetStatistics {
        DatasetStatistics {
            dataset: dataset.to_owned(),
            counts: ROWS
                .iter()
                .zip(counts)
                .map(|((name, _, _), count)| ((*name).to_owned(), count))
                .collect(),
        }
    }

    #[test]
    fn the_table_has_the_papers_numbers_and_the_distance_to_them() {
        let beauty = statistics(
            "openp5-beauty",
            [
                22_363, 12_101, 198_502, 12_101, 10_900, 114_582, 103_000, 153_776, 138_600,
                2_628_260, 44_726, 44_726,
            ],
        );
        assert!((beauty.deviation("item_text").unwrap() - 0.6364).abs() < 1e-3);
        let own = statistics(
            "demo",
            [40, 20, 500, 20, 18, 300, 270, 420, 380, 7600, 80, 80],
        );
        let table = statistics_table("Table 5", &[beauty, own]);
        insta::assert_snapshot!(table.text());
        let csv = table.csv();
        assert!(
            csv.contains("training examples,openp5-beauty,2628260,,,false,2628260"),
            "{csv}"
        );
        assert!(table.latex().contains("2,628,260"));
    }

    #[test]
    fn without_the_paper_there_is_nothing_of_it() {
        let own = statistics(
            "demo",
            [40, 20, 500, 20, 18, 300, 270, 420, 380, 7600, 80, 80],
        );
        let text = statistics_table("Sizes", &[own]).text();
        assert!(!text.contains("paper"), "{text}");
        assert!(text.contains("7,600"), "{text}");
    }
}
