//! GitHub Markdown.

use super::{Table, lines};

pub(super) fn render(table: &Table) -> String {
    let paper = table.columns.iter().any(|column| column.paper);
    let corner = if paper {
        format!("{} (paper in brackets)", table.corner)
    } else {
        table.corner.clone()
    };
    let mut header = vec![escape(&corner)];
    header.extend(table.columns.iter().map(|column| escape(&column.label)));
    let mut out = vec![
        format!("**{}**", escape(&table.title)),
        String::new(),
        format!("| {} |", header.join(" | ")),
        format!("| :--- |{}", " ---: |".repeat(table.columns.len())),
    ];
    for row in &table.rows {
        let best = table.best(row);
        let mut cells = vec![escape(&row.label)];
        for ((cell, column), best) in row.cells.iter().zip(&table.columns).zip(best) {
            let mut text = if cell.value.is_none() && !row.paper {
                String::new()
            } else {
                row.ours(cell)
            };
            if best {
                text = format!("**{text}**");
            }
            let (value, mark) = row.published(column, cell);
            if !value.is_empty() {
                let mark = if mark.is_empty() {
                    mark
                } else {
                    format!("<sup>{mark}</sup>")
                };
                text = format!("{text} ({value}{mark})");
            }
            if let Some(range) = row.range(cell) {
                text = format!("{text}<br>{range}");
            }
            cells.push(text);
        }
        out.push(format!("| {} |", cells.join(" | ")));
    }
    out.push(String::new());
    out.extend(
        table
            .below()
            .iter()
            .map(|sentence| format!("- {}", escape(sentence))),
    );
    lines(&out)
}

/// Escapes what Markdown would take for markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '|' | '*' | '_' | '`' | '<' | '>' | '\\' | '#' | '[' | ']'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;

    #[test]
    fn markdown_has_the_paper_in_brackets() {
        insta::assert_snapshot!(sample().markdown());
    }
}
