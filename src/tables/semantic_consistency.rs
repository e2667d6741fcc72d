//! The layout of the paper's main table: a row a task, a column an arm.

use super::{Best, Cell, Column, Row, Table};
use crate::eval::paper::{ALL, ALL_PUBLISHED, PaperTable, Published};
use crate::eval::{EvalError, Pooled, Scores, paired_t};
use crate::tasks::Task;

/// A column: an arm of the experiment, scored with one or more seeds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Header of the column.
    pub label: String,
    /// The paper's column that stands beside it.
    pub paper: String,
    /// The scores of each seed.
    pub runs: Vec<Scores>,
}

/// What was used in place of the paper's own parts; an empty text is left out of the caption.
#[derive(Clone, Debug, Default)]
pub struct Substitutes {
    /// The sentence encoder.
    pub encoder: String,
    /// The language model.
    pub language_model: String,
    /// The data.
    pub data: String,
}

/// Everything the table is made of.
#[derive(Clone, Debug)]
pub struct SemanticConsistency<'a> {
    /// One line above the table.
    pub title: &'a str,
    /// The columns.
    pub arms: &'a [Arm],
    /// The paper's table, if its values should stand beside ours.
    pub paper: Option<&'static PaperTable>,
    /// Label of the column that every other is tested against.
    pub compare_with: Option<&'a str>,
    /// Bootstrap resamples of the interval.
    pub resamples: u32,
    /// What the caption names.
    pub substitutes: &'a Substitutes,
}

/// Scores are printed times this.
const SCALE: f64 = 100.0;

impl SemanticConsistency<'_> {
    /// Lays out the table.
    ///
    /// # Errors
    /// When the runs of one column were not scored on the same examples.
    pub fn table(&self) -> Result<Table, EvalError> {
        let pooled = self
            .arms
            .iter()
            .map(|arm| Pooled::new(&arm.runs.iter().collect::<Vec<_>>()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<Column> = self
            .arms
            .iter()
            .map(|arm| Column {
                label: arm.label.clone(),
                paper: self.paper.is_some(),
                competes: true,
            })
            .collect();
        columns.push(Column {
            label: "floor".to_owned(),
            ..Column::default()
        });

        let mut rows = Vec::new();
        for task in Task::ALL {
            let keep = |name: &str| name == task.name();
            rows.push(self.scores_row(task.name(), &pooled, &keep));
        }
        let mut all = self.scores_row(ALL, &pooled, &|_| true);
        self.add_intervals(&mut all, &pooled, &|_| true);
        all.rule = true;
        rows.push(all);
        let published = |name: &str| name != Task::NegativeReview.name();
        rows.push(self.scores_row(ALL_PUBLISHED, &pooled, &published));

        let extra = |label: &str, decimals, f: &dyn Fn(&Pooled) -> Option<f64>| Row {
            label: label.to_owned(),
            cells: pooled
                .iter()
                .map(|p| cell(f(p)))
                .chain([Cell::default()])
                .collect(),
            decimals,
            ..Row::default()
        };
        let seeds = pooled.iter().map(|p| p.run_means.len()).max().unwrap_or(0);
        let mut below = Vec::new();
        if seeds > 1 {
            below.push(extra("± over seeds", 2, &|p| {
                let interval = p.interval_over_runs()?;
                Some((interval.high - interval.low) / 2.0 * SCALE)
            }));
        }
        if let Some(row) = self.test_row(&pooled) {
            below.push(row);
        }
        below.push(extra("floor of the column", 2, &|p| {
            Some(p.floor(&|_| true)? * SCALE)
        }));
        below.push(extra("distinct texts, %", 1, &|p| Some(p.distinct * 100.0)));
        below.push(extra("empty texts, %", 1, &|p| Some(p.empty * 100.0)));
        below[0].rule = true;
        rows.extend(below);

        let used = self.published_values();
        let notes = self.paper.map_or_else(Vec::new, |paper| {
            paper
                .notes
                .iter()
                .filter(|(mark, _)| used.iter().any(|value| value.mark == *mark))
                .map(|(mark, text)| ((*mark).to_owned(), (*text).to_owned()))
                .collect()
        });
        Ok(Table {
            title: self.title.to_owned(),
            corner: "task".to_owned(),
            columns,
            caption: self.caption(&pooled, seeds, used.len()),
            rows,
            notes,
        })
    }

    fn scores_row(&self, label: &str, pooled: &[Pooled], keep: &dyn Fn(&str) -> bool) -> Row {
        let mut cells: Vec<Cell> = self
            .arms
            .iter()
            .zip(pooled)
            .map(|(arm, pooled)| Cell {
                paper: self
                    .published(&arm.paper, label)
                    .map(|p| (p.value, p.mark.to_owned())),
                ..cell(pooled.mean(keep).map(|mean| mean * SCALE))
            })
            .collect();
        let floors: Option<Vec<f64>> = pooled.iter().map(|pooled| pooled.floor(keep)).collect();
        let floor = floors
            .filter(|all| !all.is_empty())
            .map(|all| all.iter().sum::<f64>() / all.len() as f64 * SCALE);
        cells.push(cell(floor));
        Row {
            label: label.to_owned(),
            cells,
            paper: true,
            best: Best::Largest,
            decimals: 2,
            rule: false,
        }
    }

    fn add_intervals(&self, row: &mut Row, pooled: &[Pooled], keep: &dyn Fn(&str) -> bool) {
        for (cell, pooled) in row.cells.iter_mut().zip(pooled) {
            cell.interval = pooled
                .interval(keep, self.resamples)
                .map(|interval| (interval.low * SCALE, interval.high * SCALE));
        }
    }

    /// The p-values of the paired test of each column against one, over the films that both have.
    fn test_row(&self, pooled: &[Pooled]) -> Option<Row> {
        let label = self.compare_with?;
        let base = self.arms.iter().position(|arm| arm.label == label)?;
        let base_means = pooled[base].film_means();
        let cells = pooled
            .iter()
            .enumerate()
            .map(|(index, other)| {
                if index == base {
                    return Cell::default();
                }
                let (first, second): (Vec<f64>, Vec<f64>) = other
                    .film_means()
                    .iter()
                    .filter_map(|(film, mean)| Some((*mean, *base_means.get(film)?)))
                    .unzip();
                cell(paired_t(&first, &second).map(|test| test.p))
            })
            .chain([Cell::default()])
            .collect();
        Some(Row {
            label: "p, paired t test".to_owned(),
            cells,
            decimals: 4,
            ..Row::default()
        })
    }

    fn published(&self, column: &str, row: &str) -> Option<&'static Published> {
        self.paper?.value(column, row)
    }

    fn published_values(&self) -> Vec<&'static Published> {
        let rows = Task::ALL
            .iter()
            .map(|task| task.name())
            .chain([ALL, ALL_PUBLISHED]);
        rows.flat_map(|row| {
            self.arms
                .iter()
                .filter_map(move |arm| self.published(&arm.paper, row))
        })
        .collect()
    }

    fn caption(&self, pooled: &[Pooled], seeds: usize, n_published: usize) -> Vec<String> {
        let n = pooled.iter().map(|p| p.n).max().unwrap_or(0);
        let n_tasks = pooled.iter().map(|p| p.tasks.len()).max().unwrap_or(0);
        let n_films = pooled
            .iter()
            .map(|p| p.film_means().len())
            .max()
            .unwrap_or(0);
        let mut all = vec![
            format!(
                "Semantic consistency: cosine of the sentence embeddings of generated and target text × 100; higher is better, \
                 the best of a row is marked (* or bold). {n} generated texts on {n_films} test films a seed; films of the test part are in no training text."
            ),
            format!(
                "\"{ALL}\" is the unweighted mean of the {n_tasks} tasks, \"{ALL_PUBLISHED}\" that of those whose rows the paper prints (23 of 24)."
            ),
            "\"floor\": the same generated texts against the targets of other films, mean of the columns.".to_owned(),
            format!(
                "The 95 % interval is a bootstrap over films ({} resamples){}.",
                self.resamples,
                if seeds > 1 { " of the seeds' mean" } else { "" }
            ),
        ];
        if seeds > 1 {
            all.push(format!(
                "Cells are means of {seeds} seeds; \"± over seeds\" is the half-width of the 95 % interval of Student's t over them."
            ));
        }
        if let Some(label) = self.compare_with {
            all.push(format!(
                "p: two-sided paired t test of each column against {label}, over the films' mean scores; 0.0000 is below 0.00005."
            ));
        }
        if let Some(first) = pooled.first() {
            all.push(format!(
                "Distinct texts: different generations over generations, mean of tasks; the targets have {:.1} %.",
                first.distinct_targets * 100.0
            ));
        }
        all.push(
            "Targets are written by templates from each film's metadata: the paper's own targets, written by PaLM 2, were never \
             published."
                .to_owned(),
        );
        let named = [
            (
                "Encoder",
                &self.substitutes.encoder,
                " (paper: Sentence-T5 11B)",
            ),
            (
                "Language model",
                &self.substitutes.language_model,
                " (paper: PaLM 2)",
            ),
            ("Data", &self.substitutes.data, ""),
        ];
        for (name, value, paper) in named {
            if !value.is_empty() {
                all.push(format!("{name}: {value}{paper}."));
            }
        }
        if self.paper.is_some() {
            all.push(
                "With other targets, encoder and language model, ours and the paper's numbers are comparable in order only, not \
                 in size."
                    .to_owned(),
            );
            all.push(format!(
                "–: the paper's value is not at hand{}.",
                if n_published == 0 {
                    " (none is, for these columns)"
                } else {
                    ""
                }
            ));
        }
        all
    }
}

fn cell(value: Option<f64>) -> Cell {
    Cell {
        value,
        ..Cell::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::TaskScores;

    /// Scores of six films on all tasks, spread around `level`.
    fn scores(level: f64) -> Scores {
        let n = 6;
        let tasks: Vec<TaskScores> = Task::ALL
            .iter()
            .enumerate()
            .map(|(index, task)| {
                let values: Vec<f64> = (0..n)
                    .map(|film| {
                        level + 0.001 * index as f64 + 0.01 * ((film * 7 + index) % 5) as f64
                    })
                    .collect();
                TaskScores {
                    task: task.name().to_owned(),
                    mean: values.iter().sum::<f64>() / n as f64,
                    interval: None,
                    floor: Some(level / 2.0),
                    n,
                    empty: 0.0,
                    distinct: 0.5,
                    distinct_targets: 1.0,
                    items: (0..n as u32).map(|film| vec![film]).collect(),
                    values,
                }
            })
            .collect();
        Scores {
            mean: tasks.iter().map(|task| task.mean).sum::<f64>() / 24.0,
            interval: None,
            floor: Some(level / 2.0),
            n: 24 * n,
            n_films: n,
            empty: 0.0,
            distinct: 0.5,
            distinct_targets: 1.0,
            tasks,
        }
    }

    fn arms() -> Vec<Arm> {
        PaperTable::find("table-3")
            .unwrap()
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| Arm {
                label: (*column).to_owned(),
                paper: (*column).to_owned(),
                runs: [0.0, 0.01]
                    .map(|seed| scores(0.6 + 0.02 * index as f64 + seed * (1.0 + index as f64)))
                    .to_vec(),
            })
            .collect()
    }

    fn layout<'a>(arms: &'a [Arm], substitutes: &'a Substitutes) -> SemanticConsistency<'a> {
        SemanticConsistency {
            title: "Table 3. Semantic consistency of ILM with different adapters",
            arms,
            paper: PaperTable::find("table-3"),
            compare_with: Some("ILM-QFormer-random"),
            resamples: 200,
            substitutes,
        }
    }

    #[test]
    fn the_table_has_24_tasks_the_means_and_the_papers_values() {
        let arms = arms();
        let substitutes = Substitutes {
            encoder: "TF-IDF with truncated SVD, 64 dimensions".to_owned(),
            language_model: "Llama, 4 layers".to_owned(),
            data: "demo catalogue".to_owned(),
        };
        let table = layout(&arms, &substitutes).table().unwrap();
        let text = table.text();
        assert!(text.lines().all(|line| line.chars().count() <= 120));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_mean_row_is_the_mean_of_the_rows() {
        let arms = arms();
        let table = layout(&arms, &Substitutes::default()).table().unwrap();
        let mean: f64 = table.rows[..24]
            .iter()
            .map(|row| row.cells[1].value.unwrap())
            .sum::<f64>()
            / 24.0;
        assert!((table.rows[24].cells[1].value.unwrap() - mean).abs() < 1e-9);
        let published: f64 = table.rows[..24]
            .iter()
            .filter(|row| row.label != "negative review")
            .map(|row| row.cells[1].value.unwrap())
            .sum::<f64>()
            / 23.0;
        assert!((table.rows[25].cells[1].value.unwrap() - published).abs() < 1e-9);
    }

    #[test]
    fn one_seed_without_the_paper_makes_a_plain_table() {
        let mut arms = arms();
        arms.truncate(2);
        for arm in &mut arms {
            arm.runs.truncate(1);
        }
        let table = SemanticConsistency {
            paper: None,
            compare_with: None,
            ..layout(&arms, &Substitutes::default())
        }
        .table()
        .unwrap();
        let text = table.text();
        assert!(!text.contains("over seeds") && !text.contains("paper's value is not at hand"));
        assert!(!text.contains("p, paired"));
        assert!(text.contains("95 % interval"));
    }
}
