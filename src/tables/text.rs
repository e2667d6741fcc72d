//! Aligned text for a terminal.

use super::{Table, lines};

/// Widest line of the caption.
const WIDTH: usize = 110;
/// Least width of a column that shows the paper's value.
const PAIR: usize = 15;
/// Least width of another column.
const SINGLE: usize = 7;
const GAP: &str = "  ";

pub(super) fn render(table: &Table) -> String {
    let first = table
        .rows
        .iter()
        .map(|row| width(&row.label))
        .chain([width(&table.corner), width("  95 % interval")])
        .max()
        .unwrap_or(0);
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|index| column_width(table, index))
        .collect();
    let headers: Vec<Vec<String>> = table
        .columns
        .iter()
        .zip(&widths)
        .map(|(column, width)| wrap_label(&column.label, *width))
        .collect();
    let line = |label: &str, cells: &[String]| {
        let mut line = left(label, first);
        for cell in cells {
            line.push_str(GAP);
            line.push_str(cell);
        }
        line
    };

    let mut out = vec![table.title.clone(), String::new()];
    let height = headers.iter().map(Vec::len).max().unwrap_or(0);
    for depth in 0..height {
        let cells: Vec<String> = headers
            .iter()
            .zip(&widths)
            .map(|(header, width)| {
                // Short headers stand on the last line.
                let skipped = height - header.len();
                let part = depth.checked_sub(skipped).map_or("", |at| &header[at]);
                right(part, *width)
            })
            .collect();
        out.push(line("", &cells));
    }
    let paper = table.columns.iter().any(|column| column.paper);
    let under: Vec<String> = table
        .columns
        .iter()
        .zip(&widths)
        .map(|(column, width)| {
            let text = match (paper, column.paper) {
                (true, true) => pair("ours ", "paper", *width),
                (true, false) => "ours ".to_owned(),
                (false, _) => String::new(),
            };
            right(&text, *width)
        })
        .collect();
    out.push(line(&table.corner, &under));
    let rule = "─".repeat(first + widths.iter().map(|w| w + GAP.len()).sum::<usize>());
    out.push(rule.clone());
    for row in &table.rows {
        if row.rule {
            out.push(rule.clone());
        }
        let best = table.best(row);
        let cells: Vec<String> = row
            .cells
            .iter()
            .zip(&best)
            .zip(table.columns.iter().zip(&widths))
            .map(|((cell, best), (column, width))| {
                let ours = if cell.value.is_none() && !row.paper {
                    String::new()
                } else {
                    format!("{}{}", row.ours(cell), if *best { '*' } else { ' ' })
                };
                let text = if column.paper {
                    let (value, mark) = row.published(column, cell);
                    pair(&ours, &format!("{value}{mark}"), *width)
                } else {
                    ours
                };
                right(&text, *width)
            })
            .collect();
        out.push(line(&row.label, &cells));
        if row.has_intervals() {
            let cells: Vec<String> = row
                .cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| right(&row.range(cell).unwrap_or_default(), *width))
                .collect();
            out.push(line("  95 % interval", &cells));
        }
    }
    out.push(rule);
    for sentence in table.below() {
        out.extend(wrap(&sentence, WIDTH));
    }
    lines(&out)
}

/// Our value, right-aligned before a place for the paper's.
fn pair(ours: &str, paper: &str, width: usize) -> String {
    let place = width / 2;
    format!("{}{}", right(ours, width - place), right(paper, place))
}

fn column_width(table: &Table, index: usize) -> usize {
    let column = &table.columns[index];
    let least = if column.paper {
        // Two halves, each as wide as the widest number in either and a gap.
        let widest = table.rows.iter().filter_map(|row| {
            let cell = row.cells.get(index)?;
            let (value, mark) = row.published(column, cell);
            Some(width(&row.ours(cell)).max(width(&value) + width(&mark)))
        });
        PAIR.max(2 * (widest.max().unwrap_or(0) + 1))
    } else {
        SINGLE
    };
    let ranges = table.rows.iter().filter_map(|row| {
        let range = row.range(row.cells.get(index)?)?;
        Some(width(&range))
    });
    let words = pieces(&column.label).into_iter().map(|part| width(&part));
    ranges.chain(words).fold(least, usize::max)
}

/// A label cut after hyphens and spaces.
fn pieces(label: &str) -> Vec<String> {
    label
        .split_inclusive(['-', ' '])
        .map(|part| part.trim().to_owned())
        .collect()
}

fn wrap_label(label: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in label.split_inclusive(['-', ' ']) {
        match all.last_mut() {
            Some(last) if width(last) + width(part.trim_end()) <= limit => last.push_str(part),
            _ => all.push(part.to_owned()),
        }
    }
    all.iter().map(|part| part.trim().to_owned()).collect()
}

fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match all.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => all.push(word.to_owned()),
        }
    }
    all
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn left(text: &str, size: usize) -> String {
    format!("{text}{}", " ".repeat(size.saturating_sub(width(text))))
}

fn right(text: &str, size: usize) -> String {
    format!("{}{text}", " ".repeat(size.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn text_is_aligned_and_fits_a_terminal() {
        let text = sample().text();
        assert!(text.lines().all(|line| width(line) <= 120));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn without_the_paper_there_is_one_number_a_column() {
        let mut table = sample();
        for column in &mut table.columns {
            column.paper = false;
        }
        for row in &mut table.rows {
            row.paper = false;
        }
        insta::assert_snapshot!(table.text());
    }
}
