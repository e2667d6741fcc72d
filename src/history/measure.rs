//! What came out of a stage, in numbers: its metrics and the cells of its tables.

use super::StageState;
use super::log::parse;
use crate::artifact::{Record, Store};
use crate::formats::json;
use crate::progress::Report;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Tables larger than this are data, not something that a person compares cell by cell; in bytes.
const LARGEST_TABLE: u64 = 4 << 20;

/// A cell of a table that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellChange {
    /// Label of its row.
    pub row: String,
    /// Label of its column.
    pub column: String,
    /// Before; none where there was no such cell.
    pub old: Option<String>,
    /// Now; none where there is no such cell.
    pub new: Option<String>,
}

/// A table that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// The stage that made it.
    pub stage: String,
    /// Its file in the artifact.
    pub file: String,
    /// How many cells there are on both sides together.
    pub cells: usize,
    /// Those that differ, in the order of the new table, then of the old.
    pub changed: Vec<CellChange>,
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Metric {
    name: String,
    value: f64,
}

/// The final numbers of a stage: its summary, and the last value of each metric, from the artifact while the cache has
/// it, otherwise from the stage's log and the run's.
pub(super) fn metrics(stage: &StageState, store: &Store) -> BTreeMap<String, Value> {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    let mut add = |name: String, value: f64| {
        found.insert(name, Value::from(value));
    };
    if let Some(key) = stage.key {
        // A log says more than metrics; what it says otherwise is passed over line by line.
        let log = fs_err::read_to_string(store.log_path(&key)).unwrap_or_default();
        for line in log.lines() {
            if let Some(Report::Metric { name, value, .. }) = parse(line.as_bytes()) {
                add(name, value);
            }
        }
    }
    for (name, value) in &stage.metrics {
        add(name.clone(), *value);
    }
    if let Some(record) = intact(stage, store) {
        let path = store.object_path(&record.output).join("metrics.jsonl");
        for Metric { name, value } in json::read_lines(&path).unwrap_or_default() {
            add(name, value);
        }
    }
    let summary = stage.record.as_ref().map(|record| &record.summary);
    match summary {
        Some(summary) => found.extend(summary.iter().map(|(k, v)| (k.clone(), v.clone()))),
        None => found.extend(stage.summary.iter().map(|(k, v)| (k.clone(), v.clone()))),
    }
    found
}

/// The record of a stage's artifact, when the artifact is in the cache as it was stored.
pub(super) fn intact<'a>(stage: &'a StageState, store: &Store) -> Option<&'a Record> {
    let record = stage.record.as_deref()?;
    matches!(store.glance(record), Ok(None)).then_some(record)
}

/// Whether an artifact has no tables that could be compared.
pub(super) fn no_table(record: &Record) -> bool {
    !record.files.iter().any(|file| is_table(&file.path))
}

fn is_table(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "csv")
}

/// The tables of two artifacts that differ, cell by cell. Files on one side only are not among them.
pub(super) fn tables(stage: &str, old: &Record, new: &Record, store: &Store) -> Vec<TableChange> {
    let mut changes = Vec::new();
    for file in &new.files {
        let Some(before) = old.files.iter().find(|before| before.path == file.path) else {
            continue;
        };
        if !is_table(&file.path)
            || before.hash == file.hash
            || before.size.max(file.size) > LARGEST_TABLE
        {
            continue;
        }
        let read = |record: &Record| cells(&store.object_path(&record.output).join(&file.path));
        let (Some(old), Some(new)) = (read(old), read(new)) else {
            continue;
        };
        changes.push(compare_cells(stage, &file.path, &old, &new));
    }
    changes
}

/// The cells of a table by row and column, in the order of the file.
#[derive(Debug, Default)]
struct Cells {
    order: Vec<(String, String)>,
    values: BTreeMap<(String, String), String>,
}

impl Cells {
    fn add(&mut self, row: &str, column: &str, value: &str) {
        let place = (row.to_owned(), column.to_owned());
        if self
            .values
            .insert(place.clone(), value.to_owned())
            .is_none()
        {
            self.order.push(place);
        }
    }
}

fn compare_cells(stage: &str, file: &str, old: &Cells, new: &Cells) -> TableChange {
    let gone = old
        .order
        .iter()
        .filter(|place| !new.values.contains_key(place));
    let places: Vec<&(String, String)> = new.order.iter().chain(gone).collect();
    let changed = places
        .iter()
        .map(|place| CellChange {
            row: place.0.clone(),
            column: place.1.clone(),
            old: old.values.get(*place).cloned(),
            new: new.values.get(*place).cloned(),
        })
        .filter(|cell| cell.old != cell.new)
        .collect();
    TableChange {
        stage: stage.to_owned(),
        file: file.to_owned(),
        cells: places.len(),
        changed,
    }
}

/// Reads a CSV file with a header. A table with one line a cell (`row,column,value,…`) has the cells that it names, and
/// what it says of them otherwise (`low`, `paper`) beside them; in any other, a row is named by its first field where
/// those are all different, and otherwise by its number.
fn cells(path: &Path) -> Option<Cells> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .ok()?;
    let header = reader.headers().ok()?.clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().ok()?;
    let mut cells = Cells::default();
    if header.iter().take(3).eq(["row", "column", "value"]) {
        for row in &rows {
            let (label, column) = (row.get(0)?, row.get(1)?);
            cells.add(label, column, row.get(2)?);
            for (name, value) in header.iter().zip(row).skip(3) {
                cells.add(label, &format!("{column} ({name})"), value);
            }
        }
        return Some(cells);
    }
    let labels: BTreeSet<&str> = rows.iter().filter_map(|row| row.get(0)).collect();
    let named = labels.len() == rows.len();
    for (index, row) in rows.iter().enumerate() {
        let number = format!("line {}", index + 2);
        let label = if named { row.get(0)? } else { &number };
        for (column, value) in header.iter().zip(row).skip(usize::from(named)) {
            cells.add(label, column, value);
        }
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> (usize, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs_err::write(&path, text).expect("written");
            cells(&path).expect("a table")
        };
        let change = compare_cells("s", "t.csv", &read("old", old), &read("new", new));
        let dash = || "–".to_owned();
        let lines = change
            .changed
            .into_iter()
            .map(|cell| {
                let (old, new) = (cell.old.unwrap_or_else(dash), cell.new.unwrap_or_else(dash));
                format!("{} | {} | {old} | {new}", cell.row, cell.column)
            })
            .collect();
        (change.cells, lines)
    }

    #[test]
    fn tables_are_compared_by_the_names_of_rows_and_columns() {
        let old = "row,column,value,low\nall,mlp,0.5,0.4\nall,elm,0.25,\nold,mlp,1,\n";
        let new = "row,column,value,low\nall,elm,0.25,\nall,mlp,0.75,0.4\nnew,mlp,2,\n";
        let (cells, lines) = changes(old, new);
        assert_eq!(cells, 8);
        assert_eq!(
            lines,
            [
                "all | mlp | 0.5 | 0.75",
                "new | mlp | – | 2",
                "new | mlp (low) | – | ",
                "old | mlp | 1 | –",
                "old | mlp (low) |  | –",
            ]
        );
    }

    #[test]
    fn a_table_of_any_shape_is_compared_by_its_first_field_or_by_line() {
        let (cells, lines) = changes("arm,loss\na,1\nb,2\n", "arm,loss\nb,3\na,1\n");
        assert_eq!((cells, lines), (2, vec!["b | loss | 2 | 3".to_owned()]));
        let (_, lines) = changes("x,y\n1,1\n1,2\n", "x,y\n1,1\n1,3\n");
        assert_eq!(lines, ["line 3 | y | 2 | 3"]);
    }
}
