//! `table`: scores of many arms as one table, with the paper's numbers beside ours.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::eval::Scores;
use crate::eval::paper::{PaperTable, TABLES};
use crate::formats::json;
use crate::tables::panels::{Chosen, Panel, Scored, panels};
use crate::tables::{Arm, Report, Run, SemanticConsistency, Substitutes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Parameters of `table`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// What the rows and columns are. Default `semantic-consistency`, the only layout so far.
    pub layout: Layout,
    /// One line above the table. Default `Semantic consistency`.
    pub title: String,
    /// The columns from left to right, at least one.
    pub columns: Vec<TableColumn>,
    /// Which published table stands beside ours: `none` or `table-3`. Default `none`.
    pub paper: String,
    /// Label of the column that every other is tested against: a paired t test over equal seeds, or over films where there
    /// are fewer than two. Default: no test.
    pub compare_with: Option<String>,
    /// Axes whose values are repetitions of one experiment: arms that differ on nothing else are averaged. On any other
    /// axis each value makes a table of its own. Default `["seed"]`.
    pub replicates: Vec<String>,
    /// Resamples of the bootstrap over films, from 100 to 100000. Default 1000.
    pub resamples: u32,
    /// The sentence encoder, for the caption. Default empty: not named.
    pub encoder: String,
    /// The language model, for the caption. Default empty: not named.
    pub language_model: String,
    /// The data, for the caption. Default empty: not named.
    pub data: String,
}

/// What the rows and columns of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A row a task, a column an arm: Tables 2, 3, 9 and 10 of the paper.
    #[default]
    SemanticConsistency,
}

/// One column: which of the scores it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableColumn {
    /// The header.
    pub label: String,
    /// The arms of this column: those whose matrix has all these values.
    #[serde(rename = "match")]
    pub matches: BTreeMap<String, String>,
    /// The paper's column beside it. Default: the one named like the label, if there is one.
    #[serde(default)]
    pub paper: Option<String>,
}

/// The value of `paper` without a published table.
const NO_PAPER: &str = "none";

impl Default for Table {
    fn default() -> Self {
        Self {
            layout: Layout::SemanticConsistency,
            title: "Semantic consistency".to_owned(),
            columns: Vec::new(),
            paper: NO_PAPER.to_owned(),
            compare_with: None,
            replicates: vec!["seed".to_owned()],
            resamples: 1000,
            encoder: String::new(),
            language_model: String::new(),
            data: String::new(),
        }
    }
}

impl Stage for Table {
    const NAME: &'static str = "table";
    const ABOUT: &'static str =
        "Lays out scores as text, Markdown, LaTeX and CSV, beside the paper's";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[Port::many("rows", &[ArtifactKind::Scores])];
    const OUTPUT: ArtifactKind = ArtifactKind::Table;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.columns.is_empty() {
            found.push(Problem::new(
                "columns",
                "is empty, but must have at least one column",
            ));
        }
        let paper = PaperTable::find(&self.paper);
        if paper.is_none() && self.paper != NO_PAPER {
            let known: Vec<String> = TABLES.iter().map(|t| format!("`{}`", t.name)).collect();
            let message = format!(
                "is `{}`, but must be `{NO_PAPER}` or one of {}",
                self.paper,
                known.join(", ")
            );
            found.push(Problem::new("paper", message));
        }
        let mut labels = BTreeSet::new();
        for (index, column) in self.columns.iter().enumerate() {
            let field = |name: &str| format!("columns[{index}].{name}");
            if column.label.trim().is_empty() {
                found.push(Problem::new(
                    field("label"),
                    "is empty, but must name the column",
                ));
            } else if !labels.insert(column.label.as_str()) {
                let message = format!("is `{}`, which an earlier column already has", column.label);
                found.push(Problem::new(field("label"), message));
            }
            if column.matches.is_empty() && self.columns.len() > 1 {
                let message = "is empty, but must choose the arms of this column";
                found.push(Problem::new(field("match"), message));
            }
            if let (Some(name), Some(paper)) = (&column.paper, paper) {
                if !paper.columns.contains(&name.as_str()) {
                    let message = format!(
                        "is `{name}`, but `{}` has the columns `{}`",
                        paper.name,
                        paper.columns.join("`, `")
                    );
                    found.push(Problem::new(field("paper"), message));
                }
            }
            if column.paper.is_some() && self.paper == NO_PAPER {
                let message = "is set, but `paper` of the table is `none`";
                found.push(Problem::new(field("paper"), message));
            }
        }
        if let Some(label) = &self.compare_with {
            if !labels.contains(label.as_str()) {
                let message = format!("is `{label}`, but must be the label of a column");
                found.push(Problem::new("compare_with", message));
            }
        }
        found.extend(Problem::within("resamples", self.resamples, 100, 100_000));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let rows = context.all("rows");
        let arms: Vec<Scored<'_>> = rows
            .iter()
            .map(|row| Scored {
                stage: &row.stage,
                matrix: &row.matrix,
            })
            .collect();
        let columns: Vec<Chosen<'_>> = self
            .columns
            .iter()
            .map(|column| Chosen {
                label: &column.label,
                matches: &column.matches,
            })
            .collect();
        let found = panels(&columns, &arms, &self.replicates)?;
        for arm in arms
            .iter()
            .filter(|arm| !columns.iter().any(|column| column.fits(arm)))
        {
            context
                .progress
                .warn(&format!("`{}` is in no column of the table", arm.stage))?;
        }
        let read = |index: usize| -> Result<Scores, StageError> {
            Ok(json::read(&rows[index].file("scores.json"))?)
        };
        let mut tables = Vec::new();
        let mut summary = BTreeMap::new();
        for panel in found.panels {
            let arms = self.arms(&panel, &read)?;
            let suffix: String = found
                .axes
                .iter()
                .zip(&panel.values)
                .map(|(axis, value)| format!(" {axis}={value}"))
                .collect();
            summary.extend(arms.iter().map(|arm| {
                let sum: f64 = arm.runs.iter().map(|run| run.scores.mean).sum();
                let mean = sum / arm.runs.len() as f64;
                let percent = (mean * 10_000.0).round() / 100.0;
                (format!("{}{suffix}", arm.label), percent)
            }));
            tables.push((panel.values, self.layout(&arms)?));
        }
        let report = Report::new(found.axes, tables);
        for (name, text) in [
            ("table.txt", report.text()),
            ("table.md", report.markdown()),
            ("table.tex", report.latex()),
            ("table.csv", report.csv()),
        ] {
            fs_err::write(context.out(name), text)?;
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

impl Table {
    /// The columns of one table with their scores. A column without any is left out.
    fn arms(
        &self,
        panel: &Panel,
        read: &dyn Fn(usize) -> Result<Scores, StageError>,
    ) -> Result<Vec<Arm>, StageError> {
        let mut arms = Vec::new();
        for (column, runs) in self.columns.iter().zip(&panel.columns) {
            if runs.is_empty() {
                continue;
            }
            let runs = runs
                .iter()
                .map(|(seed, row)| {
                    Ok(Run {
                        seed: seed.clone(),
                        scores: read(*row)?,
                    })
                })
                .collect::<Result<_, StageError>>()?;
            arms.push(Arm {
                label: column.label.clone(),
                paper: column.paper.clone().unwrap_or_else(|| column.label.clone()),
                runs,
            });
        }
        Ok(arms)
    }

    fn layout(&self, arms: &[Arm]) -> Result<crate::tables::Table, StageError> {
        let substitutes = Substitutes {
            encoder: self.encoder.clone(),
            language_model: self.language_model.clone(),
            data: self.data.clone(),
        };
        let Layout::SemanticConsistency = self.layout;
        Ok(SemanticConsistency {
            title: &self.title,
            arms,
            paper: PaperTable::find(&self.paper),
            compare_with: self.compare_with.as_deref(),
            resamples: self.resamples,
            substitutes: &substitutes,
        }
        .table()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Generation, score};
    use crate::formats::tensors::Array;
    use crate::progress::Silent;
    use crate::seed::Seed;
    use crate::stages::InputArtifact;
    use crate::tasks::Task;
    use std::path::Path;

    fn column(label: &str, arm: &str) -> TableColumn {
        TableColumn {
            label: label.to_owned(),
            matches: BTreeMap::from([("arm".to_owned(), arm.to_owned())]),
            paper: None,
        }
    }

    /// Scores of four films on every task, of `quality` from 0 to 1.
    fn write_scores(folder: &Path, quality: f32) {
        let (mut generations, mut generated, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for task in Task::ALL {
            for film in 0..4_u32 {
                generations.push(Generation {
                    task: task.name().to_owned(),
                    items: vec![film],
                    prompt: String::new(),
                    target: format!("t{film}"),
                    generated: format!("g{film}"),
                });
                let mut target = [0.0; 5];
                target[film as usize] = 1.0;
                targets.extend(target);
                target[film as usize] = quality + 0.01 * film as f32;
                target[4] = 1.0 - quality;
                generated.extend(target);
            }
        }
        let n = generations.len();
        let scores = score(
            &generations,
            &Array::new(&[n, 5], generated),
            &Array::new(&[n, 5], targets),
            100,
        )
        .unwrap();
        fs_err::create_dir_all(folder).unwrap();
        json::write(&folder.join("scores.json"), &scores).unwrap();
    }

    fn run(table: &Table, root: &Path, arms: &[(&str, &str)]) -> Result<String, StageError> {
        let rows = arms
            .iter()
            .map(|(arm, seed)| InputArtifact {
                stage: format!("sc[arm={arm},seed={seed}]"),
                matrix: BTreeMap::from([
                    ("arm".to_owned(), (*arm).to_owned()),
                    ("seed".to_owned(), (*seed).to_owned()),
                ]),
                kind: ArtifactKind::Scores,
                folder: root.join(format!("{arm}-{seed}")),
            })
            .collect();
        run_rows(table, root, rows)
    }

    fn run_rows(
        table: &Table,
        root: &Path,
        rows: Vec<InputArtifact>,
    ) -> Result<String, StageError> {
        let context = StageContext {
            inputs: BTreeMap::from([("rows".to_owned(), rows)]),
            project: root.to_owned(),
            output: root.join("out"),
            scratch: root.to_owned(),
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress: &Silent,
        };
        fs_err::create_dir_all(&context.output).unwrap();
        table.run(&context)?;
        Ok(fs_err::read_to_string(context.out("table.txt")).unwrap())
    }

    #[test]
    fn arms_go_to_their_columns_and_seeds_are_averaged() {
        let root = tempfile::tempdir().unwrap();
        let arms = [
            ("mlp", "1"),
            ("mlp", "2"),
            ("qformer", "1"),
            ("qformer", "2"),
        ];
        for (index, (arm, seed)) in arms.iter().enumerate() {
            let folder = root.path().join(format!("{arm}-{seed}"));
            write_scores(&folder, 0.5 + 0.1 * index as f32);
        }
        let table = Table {
            title: "Table 3. Semantic consistency of ILM with different adapters".to_owned(),
            columns: vec![column("ILM-MLP", "mlp"), column("ILM-QFormer", "qformer")],
            paper: "table-3".to_owned(),
            compare_with: Some("ILM-MLP".to_owned()),
            encoder: "TF-IDF with truncated SVD".to_owned(),
            language_model: "Llama, 2 layers".to_owned(),
            data: "demo".to_owned(),
            ..Table::default()
        };
        assert!(table.problems().is_empty());
        let text = run(&table, root.path(), &arms).unwrap();
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("summary "))
                .count(),
            1
        );
        insta::assert_snapshot!(text);
        for name in ["table.md", "table.tex", "table.csv", "summary.json"] {
            assert!(root.path().join("out").join(name).exists());
        }
    }

    #[test]
    fn each_value_of_a_swept_axis_is_a_table_with_an_overview() {
        let root = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        for (index, (arm, tokens)) in [
            ("mlp", "4"),
            ("mlp", "8"),
            ("qformer", "4"),
            ("qformer", "8"),
        ]
        .into_iter()
        .enumerate()
        {
            let folder = root.path().join(format!("{arm}-{tokens}"));
            write_scores(&folder, 0.5 + 0.1 * index as f32);
            rows.push(InputArtifact {
                stage: format!("sc[arm={arm},query_tokens={tokens}]"),
                matrix: BTreeMap::from([
                    ("arm".to_owned(), arm.to_owned()),
                    ("query_tokens".to_owned(), tokens.to_owned()),
                ]),
                kind: ArtifactKind::Scores,
                folder,
            });
        }
        let table = Table {
            columns: vec![column("ILM-MLP", "mlp"), column("ILM-QFormer", "qformer")],
            compare_with: Some("ILM-MLP".to_owned()),
            resamples: 100,
            ..Table::default()
        };
        let text = run_rows(&table, root.path(), rows).unwrap();
        let overview: Vec<&str> = text.lines().take(9).collect();
        insta::assert_snapshot!(overview.join("\n"));
        let titles: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("Semantic consistency") && !line.contains("cosine"))
            .collect();
        assert_eq!(
            titles,
            [
                "Semantic consistency: by query_tokens",
                "Semantic consistency (query_tokens = 4)",
                "Semantic consistency (query_tokens = 8)"
            ]
        );
        let csv = fs_err::read_to_string(root.path().join("out/table.csv")).unwrap();
        assert!(csv.starts_with("query_tokens,row,column,"), "{csv}");
        let summary: BTreeMap<String, f64> =
            json::read(&root.path().join("out/summary.json")).unwrap();
        assert_eq!(summary.len(), 4);
        assert!(summary.contains_key("ILM-QFormer query_tokens=8"));
    }

    #[test]
    fn a_column_without_arms_is_an_error_that_lists_the_arms() {
        let root = tempfile::tempdir().unwrap();
        write_scores(&root.path().join("mlp-1"), 0.5);
        let table = Table {
            columns: vec![column("ILM-MLP", "mpl")],
            ..Table::default()
        };
        let error = run(&table, root.path(), &[("mlp", "1")]).unwrap_err();
        insta::assert_snapshot!(error, @"`ILM-MLP` wants `arm=mpl`, but `rows` has `sc[arm=mlp,seed=1]`");
    }

    #[test]
    fn every_senseless_parameter_is_named() {
        let mut lost = column("ELM", "elm");
        lost.matches.clear();
        let mut wrong = column("", "mlp");
        wrong.paper = Some("ILM".to_owned());
        let table = Table {
            columns: vec![column("ELM", "elm"), lost, wrong],
            paper: "table-3".to_owned(),
            compare_with: Some("x".to_owned()),
            resamples: 1,
            ..Table::default()
        };
        let mut all = table.problems();
        all.extend(
            Table {
                paper: "table-99".to_owned(),
                ..Table::default()
            }
            .problems(),
        );
        let all: Vec<String> = all
            .into_iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect();
        insta::assert_snapshot!(all.join("\n"));
    }
}
