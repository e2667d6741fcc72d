//! A LaTeX table with booktabs rules.

use super::{Table, lines};

pub(super) fn render(table: &Table) -> String {
    let paper = table.columns.iter().any(|column| column.paper);
    let spec: String = table
        .columns
        .iter()
        .map(|column| if column.paper { "rr" } else { "r" })
        .collect();
    let mut out = vec![
        "% Needs \\usepackage{booktabs}.".to_owned(),
        "\\begin{table}".to_owned(),
        "\\centering".to_owned(),
        "\\small".to_owned(),
        format!("\\caption{{{}}}", escape(&caption(table))),
        format!("\\begin{{tabular}}{{l{spec}}}"),
        "\\toprule".to_owned(),
    ];
    let mut head = vec![String::new()];
    let mut under = vec![escape(&table.corner)];
    let mut rules = Vec::new();
    let mut at = 2;
    for column in &table.columns {
        let label = escape(&column.label);
        if column.paper {
            head.push(format!("\\multicolumn{{2}}{{c}}{{{label}}}"));
            under.extend(["ours".to_owned(), "paper".to_owned()]);
            rules.push(format!("\\cmidrule(lr){{{at}-{}}}", at + 1));
            at += 2;
        } else {
            head.push(format!("\\multicolumn{{1}}{{c}}{{{label}}}"));
            under.push(if paper {
                "ours".to_owned()
            } else {
                String::new()
            });
            at += 1;
        }
    }
    if paper {
        out.push(format!("{} \\\\", head.join(" & ")));
        out.push(rules.concat());
        out.push(format!("{} \\\\", under.join(" & ")));
    } else {
        head[0] = escape(&table.corner);
        out.push(format!("{} \\\\", head.join(" & ")));
    }
    out.push("\\midrule".to_owned());
    for row in &table.rows {
        if row.rule {
            out.push("\\midrule".to_owned());
        }
        let best = table.best(row);
        let mut cells = vec![escape(&row.label)];
        for ((cell, column), best) in row.cells.iter().zip(&table.columns).zip(best) {
            let mut ours = if cell.value.is_none() && !row.paper {
                String::new()
            } else {
                escape(&row.ours(cell))
            };
            if best {
                ours = format!("\\textbf{{{ours}}}");
            }
            cells.push(ours);
            if column.paper {
                let (value, mark) = row.published(column, cell);
                let mark = if mark.is_empty() {
                    mark
                } else {
                    format!("$^{{{}}}$", escape(&mark))
                };
                cells.push(format!("{}{mark}", escape(&value)));
            }
        }
        out.push(format!("{} \\\\", cells.join(" & ")));
        if row.has_intervals() {
            let mut cells = vec!["\\quad 95\\,\\% interval".to_owned()];
            for (cell, column) in row.cells.iter().zip(&table.columns) {
                let range = escape(&row.range(cell).unwrap_or_default());
                cells.push(if column.paper {
                    format!("\\multicolumn{{2}}{{c}}{{\\footnotesize {range}}}")
                } else {
                    format!("{{\\footnotesize {range}}}")
                });
            }
            out.push(format!("{} \\\\", cells.join(" & ")));
        }
    }
    out.extend([
        "\\bottomrule".to_owned(),
        "\\end{tabular}".to_owned(),
        "\\end{table}".to_owned(),
    ]);
    lines(&out)
}

fn caption(table: &Table) -> String {
    let mut parts = vec![format!("{}.", table.title)];
    parts.extend(table.below());
    parts.join(" ")
}

/// Escapes LaTeX's ten special characters, and writes signs outside ASCII as commands.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\\' => out.push_str("\\textbackslash{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '"' => out.push_str("''"),
            '×' => out.push_str("$\\times$"),
            '±' => out.push_str("$\\pm$"),
            '–' => out.push_str("--"),
            'σ' => out.push_str("$\\sigma$"),
            '√' => out.push_str("$\\surd$"),
            '·' => out.push_str("$\\cdot$"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(
            escape(r"50% of a_b & $1 #2 {x} ~^\ <y> 3×4–5"),
            r"50\% of a\_b \& \$1 \#2 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} \textless{}y\textgreater{} 3$\times$4--5"
        );
    }

    #[test]
    fn latex_has_booktabs_rules_and_as_many_cells_as_columns() {
        let latex = sample().latex();
        for line in latex.lines().filter(|line| line.ends_with("\\\\")) {
            let spans = line.matches("\\multicolumn{2}").count();
            let cells = line.replace("\\&", "").matches('&').count() + 1;
            assert_eq!(cells + spans, 6, "{line}");
        }
        insta::assert_snapshot!(latex);
    }
}
