//! CSV with one line a cell and unrounded numbers.

use super::Table;
use csv::WriterBuilder;

/// The header.
const HEADER: [&str; 7] = ["row", "column", "value", "low", "high", "best", "paper"];

pub(super) fn render(table: &Table) -> String {
    render_all(&[], &[(&[], table)])
}

/// Several tables in one, told apart by the values of these axes in the first columns.
pub(super) fn render_all(axes: &[String], tables: &[(&[String], &Table)]) -> String {
    let mut out = WriterBuilder::new().from_writer(Vec::new());
    let number = |value: Option<f64>| value.map(|x| x.to_string()).unwrap_or_default();
    let mut write = |first: &[String], rest: [String; 7]| {
        out.write_record(first.iter().chain(&rest))
            .expect("writing to memory cannot fail");
    };
    write(axes, HEADER.map(str::to_owned));
    for (values, table) in tables {
        for row in &table.rows {
            let best = table.best(row);
            for ((cell, column), best) in row.cells.iter().zip(&table.columns).zip(best) {
                if cell.value.is_none() && cell.paper.is_none() {
                    continue;
                }
                write(
                    values,
                    [
                        row.label.clone(),
                        column.label.clone(),
                        number(cell.value),
                        number(cell.interval.map(|(low, _)| low)),
                        number(cell.interval.map(|(_, high)| high)),
                        best.to_string(),
                        number(cell.paper.as_ref().map(|(value, _)| *value)),
                    ],
                );
            }
        }
    }
    let bytes = out.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("the fields are strings")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;

    #[test]
    fn csv_reads_back_to_the_same_numbers() {
        let mut table = sample();
        table.rows[0].label = "with, comma and \"quotes\"".to_owned();
        let text = table.csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(&rows[0][0], "with, comma and \"quotes\"");
        assert_eq!(rows[0][2].parse::<f64>().unwrap(), 61.004);
        assert_eq!(&rows[0][5], "true");
        assert_eq!(rows[0][6].parse::<f64>().unwrap(), 85.3);
        let all = rows.iter().find(|row| &row[0] == "all").unwrap();
        assert_eq!(all[3].parse::<f64>().unwrap(), 30.0);
    }

    #[test]
    fn csv_has_one_line_a_cell() {
        insta::assert_snapshot!(sample().csv());
    }
}
