//! Baselines as rows, ranking metrics as columns.

use super::{Best, Cell, Column, Row, Table};
use crate::eval::ranking::{PooledRanks, RankMetric};
use crate::eval::reported::{NOTES, Reported, ReportedRow, SOURCE};

/// A row: a method with the ranks of its runs.
#[derive(Clone, Debug)]
pub struct RankedRow {
    /// Its label.
    pub label: String,
    /// The reported method beside it; none has the one that is named like the label, if there is one.
    pub reported: Option<String>,
    /// The ranks.
    pub ranks: PooledRanks,
}

/// Everything the table is made of.
#[derive(Clone, Debug)]
pub struct Ranking<'a> {
    /// One line above the table.
    pub title: &'a str,
    /// The rows.
    pub rows: &'a [RankedRow],
    /// The columns.
    pub metrics: &'a [RankMetric],
    /// Numbers of others, beside ours and in rows of their own.
    pub reported: Option<&'static Reported>,
    /// Label of the row that every other is tested against, and the metric of the test.
    pub compare_with: Option<(&'a str, RankMetric)>,
    /// The data, for the caption; empty: not named.
    pub data: &'a str,
}

impl Ranking<'_> {
    /// Lays out the table.
    pub fn table(&self) -> Table {
        let base = self.compare_with.and_then(|(label, metric)| {
            let row = self.rows.iter().find(|row| row.label == label)?;
            Some((row, metric))
        });
        let used: Vec<&ReportedRow> = self.reported.map_or_else(Vec::new, |all| {
            let rows = all.rows.iter();
            rows.filter(|row| self.metrics.iter().any(|m| value(row, *m).is_some()))
                .collect()
        });
        let beside = |row: &RankedRow| {
            let method = row.reported.as_ref().unwrap_or(&row.label);
            used.iter().copied().find(|known| known.method == method)
        };
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .map(|row| self.row(row, beside(row), base))
            .collect();
        let taken: Vec<&str> = self
            .rows
            .iter()
            .filter_map(|row| Some(beside(row)?.method))
            .collect();
        let others = used.iter().filter(|row| !taken.contains(&row.method));
        rows.extend(others.enumerate().map(|(index, row)| Row {
            label: row.method.to_owned(),
            cells: self.cells(|metric| Cell {
                paper: published(row, metric),
                ..Cell::default()
            }),
            decimals: 4,
            rule: index == 0,
            ..Row::default()
        }));
        let mut columns: Vec<Column> = self
            .metrics
            .iter()
            .map(|metric| Column {
                label: metric.to_string(),
                paper: used.iter().any(|row| value(row, *metric).is_some()),
                competes: true,
                best: Best::Largest,
            })
            .collect();
        if base.is_some() {
            columns.push(Column {
                label: "p".to_owned(),
                ..Column::default()
            });
        }
        let notes = NOTES
            .iter()
            .filter(|(mark, _)| used.iter().any(|row| row.mark == *mark));
        Table {
            title: self.title.to_owned(),
            corner: "method".to_owned(),
            columns,
            rows,
            caption: self.caption(
                !used.is_empty(),
                base.map(|(row, metric)| (&*row.label, metric)),
            ),
            notes: notes
                .map(|(mark, text)| ((*mark).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }

    fn cells(&self, cell: impl Fn(RankMetric) -> Cell) -> Vec<Cell> {
        let test = self.compare_with.map(|_| Cell::default());
        self.metrics.iter().map(|&m| cell(m)).chain(test).collect()
    }

    fn row(
        &self,
        row: &RankedRow,
        reported: Option<&ReportedRow>,
        base: Option<(&RankedRow, RankMetric)>,
    ) -> Row {
        let mut cells = self.cells(|metric| Cell {
            value: Some(row.ranks.mean(metric)),
            interval: row.ranks.interval(metric).map(|i| (i.low, i.high)),
            paper: reported.and_then(|known| published(known, metric)),
        });
        if let (Some((base, metric)), Some(last)) = (base, cells.last_mut())
            && base.label != row.label
        {
            last.value = row.ranks.test(&base.ranks, metric).map(|test| test.p);
        }
        Row {
            label: row.label.clone(),
            cells,
            decimals: 4,
            ..Row::default()
        }
    }

    fn caption(&self, reported: bool, base: Option<(&str, RankMetric)>) -> Vec<String> {
        let users = self.rows.iter().map(|row| row.ranks.n_users()).max();
        let runs = self.rows.iter().map(|row| row.ranks.n_runs());
        let (least, most) = (runs.clone().min().unwrap_or(0), runs.max().unwrap_or(0));
        let mut all = vec![format!(
            "Leave-one-out: each user's held-out item ({} users) is ranked among all items, none sampled; of equal scores the \
             lower item id is the better. The best of a column is marked (* or bold).",
            users.unwrap_or(0)
        )];
        if most > 1 {
            let runs = if least < most {
                format!("{least} to {most}")
            } else {
                most.to_string()
            };
            all.push(format!(
                "Cells are means of {runs} seeds. The 95 % interval covers users and seeds: Student's t over users and over \
                 the seeds' means, their distances from the mean squared and added (Zou & Donner 2008)."
            ));
        } else {
            all.push("The 95 % interval is Student's t over users.".to_owned());
        }
        if let Some((label, metric)) = base {
            all.push(format!(
                "p: two-sided paired t test of {metric} over users against {label}; 0.0000 is below 0.00005."
            ));
        }
        if !self.data.is_empty() {
            all.push(format!("Data: {}.", self.data));
        }
        if reported {
            all.push(format!("paper: as reported by {SOURCE}."));
        }
        all
    }
}

fn value(row: &ReportedRow, metric: RankMetric) -> Option<f64> {
    row.value(&metric.to_string())
}

fn published(row: &ReportedRow, metric: RankMetric) -> Option<(f64, String)> {
    Some((value(row, metric)?, row.mark.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ranking::Ranks;

    fn row(label: &str, runs: &[u32]) -> RankedRow {
        let users: Vec<u32> = (0..40).collect();
        let runs = runs
            .iter()
            .map(|&step| Ranks {
                users: users.clone(),
                targets: users.clone(),
                ranks: users.iter().map(|user| 1 + user * step % 37).collect(),
            })
            .collect();
        RankedRow {
            label: label.to_owned(),
            reported: None,
            ranks: PooledRanks::new(runs).unwrap(),
        }
    }

    fn metrics(names: &[&str]) -> Vec<RankMetric> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn baselines_are_rows_with_what_others_reported() {
        let mut last = row("SASRec, d 64", &[1, 3]);
        last.reported = Some("SASRec".to_owned());
        let rows = [row("MostPop", &[5]), row("item-kNN", &[2]), last];
        let table = Ranking {
            title: "Baselines",
            rows: &rows,
            metrics: &metrics(&["HR@5", "NDCG@5", "HR@10", "NDCG@10", "MRR"]),
            reported: Reported::find("openp5-beauty"),
            compare_with: Some(("item-kNN", RankMetric::Ndcg(10))),
            data: "made up",
        }
        .table();
        insta::assert_snapshot!(table.text());
        let csv = table.csv();
        assert!(csv.contains("OpenP5-T5-S,HR@5,,,,false,0.0457"), "{csv}");
        assert!(table.markdown().contains("**") && table.latex().contains(r"\textbf{"));
    }

    #[test]
    fn without_tests_and_reports_there_is_nothing_of_them() {
        let table = Ranking {
            title: "Baselines",
            rows: &[row("MostPop", &[5])],
            metrics: &metrics(&["HR@1"]),
            reported: None,
            compare_with: None,
            data: "",
        }
        .table();
        insta::assert_snapshot!(table.text());
    }
}
