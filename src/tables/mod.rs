//! Tables as text, Markdown, LaTeX and CSV.
//!
//! [`Table`] is what a table says; each format is one file. A cell may carry the paper's value, which every format shows
//! beside ours. [`SemanticConsistency`] lays out the paper's main table from scores. [`panels`](panels::panels) finds which
//! scores go into which column, and [`Report`] is what a sweep makes of a table: one for each value, with an overview.

mod csv;
mod dataset_statistics;
mod latex;
mod markdown;
pub mod panels;
mod ranking;
mod report;
mod semantic_consistency;
mod text;

pub use dataset_statistics::{DatasetStatistics, statistics_table};
pub use ranking::{RankedRow, Ranking};
pub use report::Report;
pub use semantic_consistency::{Arm, Run, SemanticConsistency, Substitutes};

use std::fmt::Write as _;

/// A table of numbers with the paper's numbers beside them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table {
    /// One line, without a full stop.
    pub title: String,
    /// What the rows are, above the row labels.
    pub corner: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Sentences below the table.
    pub caption: Vec<String>,
    /// Footnotes: mark and text.
    pub notes: Vec<(String, String)>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Column {
    /// Its header.
    pub label: String,
    /// Whether the paper's values stand beside ours.
    pub paper: bool,
    /// Whether its cells can be the best of their row.
    pub competes: bool,
    /// Which cell of the column is the best, where rows compete instead of columns.
    pub best: Best,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Its label.
    pub label: String,
    /// One cell a column.
    pub cells: Vec<Cell>,
    /// Whether the paper has such a row: then a missing value of the paper prints as "–", otherwise as nothing.
    pub paper: bool,
    /// Which cell is the best.
    pub best: Best,
    /// Digits after the point.
    pub decimals: usize,
    /// Whether a rule separates it from the row above.
    pub rule: bool,
}

/// Which value of a row, or of a column, is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Best {
    /// None is.
    #[default]
    None,
    /// The largest, as printed; ties share the mark.
    Largest,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Cell {
    /// Our value.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// The paper's value and the mark of its footnote (may be empty).
    pub paper: Option<(f64, String)>,
}

/// The sign of a value that is not at hand.
pub(crate) const MISSING: &str = "–";

impl Table {
    /// Aligned text for a terminal.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// GitHub Markdown.
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// A LaTeX `table` with `booktabs` rules.
    pub fn latex(&self) -> String {
        latex::render(self)
    }

    /// CSV with one line a cell and unrounded numbers.
    pub fn csv(&self) -> String {
        csv::render(self)
    }

    /// Which cells of a row are the best of the row or of their column, judged by what is printed.
    pub(crate) fn best(&self, row: &Row) -> Vec<bool> {
        let printed: Vec<Option<f64>> = row
            .cells
            .iter()
            .zip(&self.columns)
            .map(|(cell, column)| column.competes.then(|| row.printed(cell)).flatten())
            .collect();
        printed
            .iter()
            .zip(&self.columns)
            .enumerate()
            .map(|(index, (value, column))| {
                let below = self
                    .rows
                    .iter()
                    .map(|row| row.printed(row.cells.get(index)?));
                value.is_some()
                    && (row.best == Best::Largest && is_greatest(*value, printed.iter().copied())
                        || column.best == Best::Largest && is_greatest(*value, below))
            })
            .collect()
    }

    /// The sentences of the caption, then the footnotes.
    pub(crate) fn below(&self) -> Vec<String> {
        let notes = self
            .notes
            .iter()
            .map(|(mark, text)| format!("({mark}) {text}."));
        self.caption.iter().cloned().chain(notes).collect()
    }
}

/// Whether a value is the greatest of several.
fn is_greatest(value: Option<f64>, all: impl Iterator<Item = Option<f64>>) -> bool {
    let all: Vec<f64> = all.flatten().collect();
    all.len() > 1 && value == all.into_iter().max_by(f64::total_cmp)
}

impl Row {
    /// The number that is printed for a cell of ours.
    fn printed(&self, cell: &Cell) -> Option<f64> {
        self.shown(cell.value?).replace(',', "").parse().ok()
    }

    /// A value as printed in this row. Whole numbers have commas between thousands.
    pub(crate) fn shown(&self, value: f64) -> String {
        let text = format!("{value:.*}", self.decimals);
        if self.decimals == 0 {
            return thousands(&text);
        }
        // "-0.00" says no more than "0.00".
        match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
            _ => text,
        }
    }

    /// Our value, or the sign of a missing one.
    pub(crate) fn ours(&self, cell: &Cell) -> String {
        cell.value
            .map_or_else(|| MISSING.to_owned(), |value| self.shown(value))
    }

    /// The paper's value with its mark; nothing where the paper has no such row or column.
    pub(crate) fn published(&self, column: &Column, cell: &Cell) -> (String, String) {
        match &cell.paper {
            Some((value, mark)) => (self.shown(*value), mark.clone()),
            None if self.paper && column.paper => (MISSING.to_owned(), String::new()),
            None => (String::new(), String::new()),
        }
    }

    /// The interval as `low–high`.
    pub(crate) fn range(&self, cell: &Cell) -> Option<String> {
        let (low, high) = cell.interval?;
        Some(format!("{}–{}", self.shown(low), self.shown(high)))
    }

    /// Whether any cell has an interval.
    pub(crate) fn has_intervals(&self) -> bool {
        self.cells.iter().any(|cell| cell.interval.is_some())
    }
}

/// `-1234567` -> `-1,234,567`.
fn thousands(text: &str) -> String {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text), |digits| ("-", digits));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits == "0" {
        return digits.to_owned();
    }
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Joins lines, each with its newline.
pub(crate) fn lines(all: &[String]) -> String {
    all.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{}", line.trim_end()).expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small table with everything a table can have.
    pub(crate) fn sample() -> Table {
        let cell = |value: f64, paper: Option<(f64, &str)>| Cell {
            value: Some(value),
            interval: None,
            paper: paper.map(|(value, mark)| (value, mark.to_owned())),
        };
        let with = |mut cell: Cell, low: f64, high: f64| {
            cell.interval = Some((low, high));
            cell
        };
        let column = |label: &str, paper: bool| Column {
            label: label.to_owned(),
            paper,
            competes: paper,
            best: Best::None,
        };
        let row = |label: &str, cells: Vec<Cell>| Row {
            label: label.to_owned(),
            cells,
            paper: true,
            best: Best::Largest,
            decimals: 2,
            rule: false,
        };
        Table {
            title: "Table 3. Semantic consistency × 100 & more".to_owned(),
            corner: "task".to_owned(),
            columns: vec![
                column("ELM", true),
                column("ILM-QFormer-fullyfinetune", true),
                column("floor", false),
            ],
            rows: vec![
                row(
                    "five_pos #1",
                    vec![
                        cell(61.004, Some((85.3, ""))),
                        cell(60.996, None),
                        cell(30.0, None),
                    ],
                ),
                row(
                    "pitch",
                    vec![cell(1.5, None), cell(70.0, None), Cell::default()],
                ),
                Row {
                    rule: true,
                    ..row(
                        "all",
                        vec![
                            with(cell(31.252, Some((82.15, "a"))), 30.0, 32.5),
                            with(cell(65.498, None), 64.1, 66.9),
                            cell(30.0, None),
                        ],
                    )
                },
                Row {
                    paper: false,
                    best: Best::None,
                    decimals: 4,
                    ..row(
                        "p vs. ELM",
                        vec![Cell::default(), cell(-0.00001, None), Cell::default()],
                    )
                },
            ],
            caption: vec![
                "Cosine × 100, higher is better.".to_owned(),
                "Targets are written by templates, 50% of them; the paper's own targets were never published, so that the two \
                 columns cannot be compared number by number."
                    .to_owned(),
            ],
            notes: vec![("a".to_owned(), "mean of 23 rows".to_owned())],
        }
    }

    #[test]
    fn ties_as_printed_share_the_mark() {
        let table = sample();
        assert_eq!(table.best(&table.rows[0]), [true, true, false]);
        assert_eq!(table.best(&table.rows[1]), [false, true, false]);
        assert_eq!(table.best(&table.rows[3]), [false, false, false]);
    }

    #[test]
    fn thousands_are_apart() {
        for (value, shown) in [
            (0.0, "0"),
            (-0.2, "0"),
            (999.0, "999"),
            (-1000.0, "-1,000"),
            (19_629_820.0, "19,629,820"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Row::default().shown(value), shown);
        }
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(sample().rows[3].shown(-0.00001), "0.0000");
        assert_eq!(sample().rows[3].shown(-0.5), "-0.5000");
    }
}
