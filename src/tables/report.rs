//! The tables of a sweep, one a value, with an overview before them.

use super::{Best, Cell, Column, Row, Table, csv};
use crate::eval::paper::ALL;

/// One table, or the tables of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The swept axes; none for one table.
    axes: Vec<String>,
    overview: Option<Table>,
    /// The values on the axes, and the table.
    panels: Vec<(Vec<String>, Table)>,
}

impl Report {
    /// Puts tables together: `panels` have the values on `axes` and the table with these values, all with one title.
    ///
    /// With axes each table names its values in its title, an overview has the mean of all tasks of each, and what the
    /// captions have in common is said once, below the last.
    pub fn new(axes: Vec<String>, mut panels: Vec<(Vec<String>, Table)>) -> Self {
        if axes.is_empty() {
            return Self {
                axes,
                overview: None,
                panels,
            };
        }
        let overview = overview(&axes, &panels);
        for (values, table) in &mut panels {
            table.title = format!("{} ({})", table.title, shown(&axes, values));
        }
        let same = panels.windows(2).all(|pair| {
            (&pair[0].1.caption, &pair[0].1.notes) == (&pair[1].1.caption, &pair[1].1.notes)
        });
        if same {
            let before_last = panels.len().saturating_sub(1);
            for (_, table) in &mut panels[..before_last] {
                table.caption.clear();
                table.notes.clear();
            }
        }
        Self {
            axes,
            overview: Some(overview),
            panels,
        }
    }

    /// Aligned text for a terminal.
    pub fn text(&self) -> String {
        self.each(Table::text)
    }

    /// GitHub Markdown.
    pub fn markdown(&self) -> String {
        self.each(Table::markdown)
    }

    /// A LaTeX `table` for each table.
    pub fn latex(&self) -> String {
        self.each(Table::latex)
    }

    /// CSV with one line a cell and unrounded numbers; the values on the axes stand in the first columns. The overview
    /// is in it as the rows of the mean.
    pub fn csv(&self) -> String {
        let tables: Vec<(&[String], &Table)> = self
            .panels
            .iter()
            .map(|(values, table)| (values.as_slice(), table))
            .collect();
        csv::render_all(&self.axes, &tables)
    }

    fn each(&self, render: impl Fn(&Table) -> String) -> String {
        let tables = self
            .overview
            .iter()
            .chain(self.panels.iter().map(|(_, table)| table));
        let texts: Vec<String> = tables.map(render).collect();
        texts.join("\n")
    }
}

/// "query_tokens = 4, d_model = 64".
fn shown(axes: &[String], values: &[String]) -> String {
    let all: Vec<String> = axes
        .iter()
        .zip(values)
        .map(|(axis, value)| format!("{axis} = {value}"))
        .collect();
    all.join(", ")
}

/// A row for each table, with the mean of all tasks of each column.
fn overview(axes: &[String], panels: &[(Vec<String>, Table)]) -> Table {
    let mut columns: Vec<Column> = Vec::new();
    for column in panels.iter().flat_map(|(_, table)| &table.columns) {
        if column.competes && columns.iter().all(|known| known.label != column.label) {
            columns.push(Column {
                paper: false,
                ..column.clone()
            });
        }
    }
    let rows = panels
        .iter()
        .map(|(values, table)| {
            let all = table.rows.iter().find(|row| row.label == ALL);
            let cells = columns
                .iter()
                .map(|column| {
                    let at = table
                        .columns
                        .iter()
                        .position(|own| own.label == column.label);
                    let cell = all.and_then(|row| row.cells.get(at?));
                    cell.map_or_else(Cell::default, |cell| Cell {
                        paper: None,
                        ..cell.clone()
                    })
                })
                .collect();
            Row {
                label: values.join(", "),
                cells,
                paper: false,
                best: Best::Largest,
                decimals: all.map_or(2, |row| row.decimals),
                rule: false,
            }
        })
        .collect();
    let title = panels
        .first()
        .map_or_else(String::new, |(_, table)| table.title.clone());
    Table {
        title: format!("{title}: by {}", axes.join(", ")),
        corner: axes.join(", "),
        columns,
        rows,
        caption: vec![format!(
            "Mean of all tasks: the row \"{ALL}\" of each table below, with its 95 % interval."
        )],
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn report() -> Report {
        let mut second = sample();
        second.rows[2].cells[0].value = Some(70.0);
        second.columns.remove(1);
        for row in &mut second.rows {
            row.cells.remove(1);
        }
        Report::new(
            vec!["d_model".to_owned(), "query_tokens".to_owned()],
            vec![
                (vec!["64".to_owned(), "4".to_owned()], sample()),
                (vec!["64".to_owned(), "8".to_owned()], second),
            ],
        )
    }

    #[test]
    fn one_table_is_itself() {
        let report = Report::new(Vec::new(), vec![(Vec::new(), sample())]);
        assert_eq!(report.text(), sample().text());
        assert_eq!(report.markdown(), sample().markdown());
        assert_eq!(report.latex(), sample().latex());
        assert_eq!(report.csv(), sample().csv());
    }

    #[test]
    fn a_sweep_has_an_overview_and_says_the_caption_once() {
        let text = report().text();
        assert_eq!(text.matches("higher is better").count(), 1);
        insta::assert_snapshot!(text);
        let latex = report().latex();
        assert_eq!(latex.matches("\\begin{table}").count(), 3);
        assert_eq!(report().markdown().matches("**Table 3.").count(), 3);
    }

    #[test]
    fn captions_that_differ_stay_with_their_tables() {
        let mut other = sample();
        other.caption[0] = "Another number of films.".to_owned();
        let report = Report::new(
            vec!["films".to_owned()],
            vec![
                (vec!["1".to_owned()], sample()),
                (vec!["2".to_owned()], other),
            ],
        );
        assert!(report.text().contains("higher is better"));
        assert!(report.text().contains("Another number of films"));
    }

    #[test]
    fn csv_has_a_column_an_axis() {
        let csv = report().csv();
        let mut lines = csv.lines();
        assert_eq!(
            lines.next().unwrap(),
            "d_model,query_tokens,row,column,value,low,high,best,paper"
        );
        assert!(lines.all(|line| line.starts_with("64,4,") || line.starts_with("64,8,")));
    }
}
