//! The layout of the paper's main table: a row a task, a column an arm.

use super::{Best, Cell, Column, Row, Table};
use crate::eval::paper::{ALL, ALL_PUBLISHED, PaperTable, Published};
use crate::eval::{EvalError, Pooled, Scores, paired_t};
use crate::tasks::Task;
use std::collections::{BTreeMap, BTreeSet};

/// A column: an arm of the experiment, scored with one or more seeds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Header of the column.
    pub label: String,
    /// The paper's column that stands beside it.
    pub paper: String,
    /// The scores of each seed.
    pub runs: Vec<Run>,
}

/// One of the repetitions that a column is the mean of.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which one: runs of two columns with the same seed are a pair. Empty when there is only one.
    pub seed: String,
    /// Its scores.
    pub scores: Scores,
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
            .map(|arm| Pooled::new(&arm.runs.iter().map(|run| &run.scores).collect::<Vec<_>>()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<Column> = self
            .arms
            .iter()
            .map(|arm| Column {
                label: arm.label.clone(),
                paper: self.paper.is_some(),
                competes: true,
                best: Best::None,
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
        let seeds = pooled.iter().map(Pooled::runs).max().unwrap_or(0);
        let tests = self.tests(&pooled);
        let mut below = Vec::new();
        if seeds > 1 {
            below.push(extra("± over seeds", 2, &|p| {
                let interval = p.interval_over_runs()?;
                Some((interval.high - interval.low) / 2.0 * SCALE)
            }));
        }
        if !tests.is_empty() {
            below.push(Row {
                label: "p, paired t test".to_owned(),
                cells: tests
                    .iter()
                    .map(|test| cell(test.as_ref().map(|test| test.p)))
                    .chain([Cell::default()])
                    .collect(),
                decimals: 4,
                ..Row::default()
            });
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
            caption: self.caption(&pooled, &tests, used.len()),
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

    /// The paired test of each column against one; empty when there is none to test against.
    ///
    /// Columns that share seeds are compared seed by seed: what training does by chance is then part of the error. Films are
    /// the pairs only where that is not known, with fewer than two seeds in common.
    fn tests(&self, pooled: &[Pooled]) -> Vec<Option<Test>> {
        let base = self
            .compare_with
            .and_then(|label| self.arms.iter().position(|arm| arm.label == label));
        let Some(base) = base else { return Vec::new() };
        let base_films = pooled[base].film_means();
        let base_seeds = self.by_seed(base, &pooled[base]);
        pooled
            .iter()
            .enumerate()
            .map(|(index, other)| {
                if index == base {
                    return None;
                }
                let (first, second): (Vec<f64>, Vec<f64>) = self
                    .by_seed(index, other)
                    .iter()
                    .filter_map(|(seed, mean)| Some((*mean, *base_seeds.get(seed)?)))
                    .unzip();
                if let Some(test) = paired_t(&first, &second) {
                    return Some(Test {
                        p: test.p,
                        seeds: Some(first.len()),
                    });
                }
                let (first, second): (Vec<f64>, Vec<f64>) = other
                    .film_means()
                    .iter()
                    .filter_map(|(film, mean)| Some((*mean, *base_films.get(film)?)))
                    .unzip();
                Some(Test {
                    p: paired_t(&first, &second)?.p,
                    seeds: None,
                })
            })
            .collect()
    }

    /// The mean of all tasks of each seed of a column.
    fn by_seed(&self, column: usize, pooled: &Pooled) -> BTreeMap<&str, f64> {
        let seeds = self.arms[column].runs.iter().map(|run| run.seed.as_str());
        seeds.zip(pooled.run_means(&|_| true)).collect()
    }

    /// What the pairs of the tests are.
    fn test_caption(&self, tests: &[Option<Test>]) -> Option<String> {
        let label = self.compare_with?;
        let done: Vec<&Test> = tests.iter().flatten().collect();
        let pairs: BTreeSet<usize> = done.iter().filter_map(|test| test.seeds).collect();
        let films = done.iter().any(|test| test.seeds.is_none());
        let over = match (pairs.first(), pairs.last()) {
            (Some(least), Some(most)) => {
                let counts = if least < most {
                    format!("{least} to {most}")
                } else {
                    most.to_string()
                };
                let rest = if films {
                    ", or over the films' mean scores where a column has fewer than two seeds in common with it"
                } else {
                    ""
                };
                format!("over the means of equal seeds ({counts} pairs){rest}")
            }
            _ if films => "over the films' mean scores".to_owned(),
            _ => return None,
        };
        Some(format!(
            "p: two-sided paired t test of each column against {label}, {over}; 0.0000 is below 0.00005."
        ))
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

    fn caption(
        &self,
        pooled: &[Pooled],
        tests: &[Option<Test>],
        n_published: usize,
    ) -> Vec<String> {
        let least = pooled.iter().map(Pooled::runs).min().unwrap_or(0);
        let seeds = pooled.iter().map(Pooled::runs).max().unwrap_or(0);
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
            if seeds > 1 {
                format!(
                    "The 95 % interval covers films and seeds: a bootstrap over films of the seeds' mean ({} resamples) and \
                     Student's t over the seeds' means, their distances from the mean squared and added (Zou & Donner 2008).",
                    self.resamples
                )
            } else {
                format!(
                    "The 95 % interval is a bootstrap over films ({} resamples).",
                    self.resamples
                )
            },
        ];
        if seeds > 1 {
            let seeds = if least < seeds {
                format!("{least} to {seeds}")
            } else {
                seeds.to_string()
            };
            all.push(format!(
                "Cells are means of {seeds} seeds; \"± over seeds\" is the half-width of the 95 % interval of Student's t over them alone."
            ));
        }
        all.extend(self.test_caption(tests));
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

/// A paired test of two columns.
struct Test {
    /// Two-sided.
    p: f64,
    /// The number of pairs where they are seeds; otherwise they are films.
    seeds: Option<usize>,
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
                runs: [("1", 0.0), ("2", 0.01)]
                    .map(|(seed, shift)| Run {
                        seed: seed.to_owned(),
                        scores: scores(0.6 + 0.02 * index as f64 + shift * (1.0 + index as f64)),
                    })
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
    fn columns_are_compared_seed_by_seed() {
        let substitutes = Substitutes::default();
        let p = |arms: &[Arm]| {
            let table = layout(arms, &substitutes).table().unwrap();
            let row = table.rows.iter().find(|row| row.label.starts_with("p,"));
            let p = row.unwrap().cells[0].value.unwrap();
            (p, table.caption.join("\n"))
        };
        // The means of ELM are 0.60 and 0.61, of ILM-QFormer-random 0.64 and 0.67 (and a constant): differences 0.04
        // and 0.06, so t = 0.05 / 0.01 = 5 with one degree of freedom, p = 1 - 2 atan(5) / pi.
        let mut arms = arms();
        let expected = 1.0 - 2.0 * 5f64.atan() / std::f64::consts::PI;
        let (by_seed, caption) = p(&arms);
        assert!((by_seed - expected).abs() < 1e-6, "{by_seed}");
        assert!(
            caption.contains("over the means of equal seeds (2 pairs);"),
            "{caption}"
        );
        // Pairs are found by seed, whatever the order.
        arms[0].runs.reverse();
        assert!((p(&arms).0 - expected).abs() < 1e-6);
        // With one seed in common the films are the pairs.
        arms[0].runs.truncate(1);
        let (by_film, caption) = p(&arms);
        assert!(by_film < 0.01, "{by_film}");
        assert!(
            caption.contains("(2 pairs), or over the films' mean scores"),
            "{caption}"
        );
        assert!(caption.contains("means of 1 to 2 seeds"), "{caption}");
        for arm in &mut arms {
            arm.runs.truncate(1);
        }
        assert!(
            p(&arms)
                .1
                .contains("ILM-QFormer-random, over the films' mean scores;")
        );
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
