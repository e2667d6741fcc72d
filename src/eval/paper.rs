//! Numbers that the paper published, as data.
//!
//! Only numbers that were read are here. The main table's per-task values are in the submission's PDF, which was not at
//! hand; a missing value prints as "–". To add one, write it here with its source.

/// A number that the paper published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Column: the paper's name of the arm.
    pub column: &'static str,
    /// Row: a task's name, or [`ALL`], or [`ALL_PUBLISHED`].
    pub row: &'static str,
    /// Semantic consistency × 100.
    pub value: f64,
    /// Mark of a footnote in [`PaperTable::notes`]; empty for none.
    pub mark: &'static str,
}

/// The row of the mean of all 24 tasks.
pub const ALL: &str = "all";

/// The row of the mean of the 23 tasks whose rows the paper prints.
pub const ALL_PUBLISHED: &str = "all but negative review";

/// A published table.
#[derive(Clone, Copy, Debug)]
pub struct PaperTable {
    /// The name in a pipeline file: `table-3`.
    pub name: &'static str,
    /// The paper's columns, in its order.
    pub columns: &'static [&'static str],
    /// The values at hand.
    pub values: &'static [Published],
    /// Footnotes: mark and text.
    pub notes: &'static [(&'static str, &'static str)],
}

/// Every published table that is known.
pub const TABLES: &[PaperTable] = &[PaperTable {
    name: "table-3",
    columns: &[
        "ELM",
        "ILM-MLP",
        "ILM-QFormer-random",
        "ILM-QFormer",
        "ILM-QFormer-fullyfinetune",
    ],
    values: &[
        Published {
            column: "ELM",
            row: ALL,
            value: 82.15,
            mark: "a",
        },
        Published {
            column: "ELM",
            row: ALL_PUBLISHED,
            value: 82.15,
            mark: "",
        },
        Published {
            column: "ILM-MLP",
            row: ALL,
            value: 77.48,
            mark: "b",
        },
        Published {
            column: "ILM-QFormer-random",
            row: ALL,
            value: 78.96,
            mark: "b",
        },
        Published {
            column: "ILM-QFormer",
            row: ALL,
            value: 80.01,
            mark: "b",
        },
    ],
    notes: &[
        (
            "a",
            "printed as \"all\" by the paper; it is the mean of its 23 published rows, which lack negative review",
        ),
        (
            "b",
            "from the paper's first version (arXiv 2406.02844v1), whose set-up differs; the later version's value is not at hand",
        ),
    ],
}];

impl PaperTable {
    /// The table of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The published value of a cell.
    pub fn value(&self, column: &str, row: &str) -> Option<&'static Published> {
        self.values
            .iter()
            .find(|value| value.column == column && value.row == row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Task;

    #[test]
    fn every_published_value_has_a_column_a_row_and_its_footnote() {
        for table in TABLES {
            for value in table.values {
                assert!(table.columns.contains(&value.column), "{value:?}");
                let known = Task::from_name(value.row).is_some()
                    || [ALL, ALL_PUBLISHED].contains(&value.row);
                assert!(known, "{value:?}");
                let noted = table.notes.iter().any(|(mark, _)| *mark == value.mark);
                assert!(value.mark.is_empty() || noted, "{value:?}");
            }
        }
    }
}
