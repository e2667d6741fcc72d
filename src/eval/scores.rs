//! Scores of generated texts, task by task.

use super::{EvalError, Interval, TaskValues, bootstrap_mean, cosines, floor};
use crate::formats::tensors::Array;
use crate::tasks::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One generated text beside its target: a line of `generations.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Name of the task.
    pub task: String,
    /// The items in the prompt's places, in order.
    pub items: Vec<u32>,
    /// The prompt.
    pub prompt: String,
    /// The text that should have been written.
    pub target: String,
    /// The text that was written.
    pub generated: String,
}

/// The scores of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// Name of the task.
    pub task: String,
    /// Mean cosine of generated text and target.
    pub mean: f64,
    /// 95 % bootstrap interval of the mean, over films; absent with fewer than two.
    pub interval: Option<Interval>,
    /// Mean cosine with the targets of other items; absent when there is only one item.
    pub floor: Option<f64>,
    /// Examples.
    pub n: usize,
    /// Share of generations without any text.
    pub empty: f64,
    /// Number of different generations over the number of generations; low where the model says the same of every film.
    pub distinct: f64,
    /// The same for the targets: what `distinct` could reach.
    pub distinct_targets: f64,
    /// The items of each example.
    pub items: Vec<Vec<u32>>,
    /// The cosine of each example, in the same order.
    pub values: Vec<f64>,
}

impl TaskScores {
    /// The film that each value counts for when films are resampled: the first item.
    pub fn films(&self) -> Vec<u32> {
        self.items.iter().map(|items| items[0]).collect()
    }
}

/// The scores of one arm: `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Each task, in the order of the 24.
    pub tasks: Vec<TaskScores>,
    /// Unweighted mean of the tasks' means.
    pub mean: f64,
    /// 95 % bootstrap interval of `mean`, over films.
    pub interval: Option<Interval>,
    /// Unweighted mean of the tasks' floors.
    pub floor: Option<f64>,
    /// Examples in all.
    pub n: usize,
    /// Films that head an example.
    pub n_films: usize,
    /// Share of generations without any text.
    pub empty: f64,
    /// Unweighted mean of the tasks' shares of distinct generations.
    pub distinct: f64,
    /// The same for the targets.
    pub distinct_targets: f64,
}

/// Scores generations whose texts were encoded.
///
/// # Shapes
/// - `generated`, `targets`: `[n, d]`, row `k` belongs to `generations[k]`
///
/// # Errors
/// No generations, an example without items, other shapes, or a cosine that is not finite.
pub fn score(
    generations: &[Generation],
    generated: &Array,
    targets: &Array,
    resamples: u32,
) -> Result<Scores, EvalError> {
    if generations.is_empty() {
        return Err(EvalError::Empty);
    }
    if generated.shape.first() != Some(&generations.len()) {
        return Err(EvalError::Shape {
            what: "embeddings of the generated texts",
            found: generated.shape.clone(),
            expected: vec![
                generations.len(),
                generated.shape.last().copied().unwrap_or(0),
            ],
        });
    }
    let values = cosines(generated, targets)?;
    for (example, (generation, value)) in generations.iter().zip(&values).enumerate() {
        if !value.is_finite() {
            return Err(EvalError::NotFinite {
                example,
                task: generation.task.clone(),
                found: *value,
            });
        }
        if generation.items.is_empty() {
            return Err(EvalError::NoItems {
                example,
                task: generation.task.clone(),
            });
        }
    }
    // Known tasks in their order, then any other by name.
    let names: BTreeSet<(usize, &str)> = generations
        .iter()
        .map(|g| {
            let place = Task::from_name(&g.task).map_or(usize::MAX, |task| task as usize);
            (place, g.task.as_str())
        })
        .collect();
    let tasks = names
        .into_iter()
        .map(|(_, name)| {
            let rows: Vec<usize> = (0..generations.len())
                .filter(|k| generations[*k].task == name)
                .collect();
            score_task(
                name,
                &rows,
                generations,
                &values,
                generated,
                targets,
                resamples,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;

    let mean_of =
        |f: &dyn Fn(&TaskScores) -> f64| tasks.iter().map(f).sum::<f64>() / tasks.len() as f64;
    let floors: Option<Vec<f64>> = tasks.iter().map(|task| task.floor).collect();
    let films: Vec<Vec<u32>> = tasks.iter().map(TaskScores::films).collect();
    let all: Vec<TaskValues<'_>> = tasks
        .iter()
        .zip(&films)
        .map(|(task, films)| TaskValues {
            films,
            values: &task.values,
        })
        .collect();
    let n_empty = generations
        .iter()
        .filter(|g| is_empty(&g.generated))
        .count();
    Ok(Scores {
        mean: mean_of(&|task| task.mean),
        interval: bootstrap_mean(&all, resamples),
        floor: floors.map(|all| all.iter().sum::<f64>() / all.len() as f64),
        n: generations.len(),
        n_films: films.iter().flatten().collect::<BTreeSet<_>>().len(),
        empty: n_empty as f64 / generations.len() as f64,
        distinct: mean_of(&|task| task.distinct),
        distinct_targets: mean_of(&|task| task.distinct_targets),
        tasks,
    })
}

fn score_task(
    name: &str,
    rows: &[usize],
    generations: &[Generation],
    values: &[f64],
    generated: &Array,
    targets: &Array,
    resamples: u32,
) -> Result<TaskScores, EvalError> {
    let n = rows.len() as f64;
    let items: Vec<Vec<u32>> = rows.iter().map(|k| generations[*k].items.clone()).collect();
    let values: Vec<f64> = rows.iter().map(|k| values[*k]).collect();
    let texts = |f: &dyn Fn(&Generation) -> &str| {
        let distinct: BTreeSet<&str> = rows.iter().map(|k| f(&generations[*k]).trim()).collect();
        distinct.len() as f64 / n
    };
    let mut scores = TaskScores {
        task: name.to_owned(),
        mean: values.iter().sum::<f64>() / n,
        interval: None,
        floor: floor(&pick(generated, rows), &pick(targets, rows), &items)?,
        n: rows.len(),
        empty: rows
            .iter()
            .filter(|k| is_empty(&generations[**k].generated))
            .count() as f64
            / n,
        distinct: texts(&|g| &g.generated),
        distinct_targets: texts(&|g| &g.target),
        items,
        values,
    };
    scores.interval = bootstrap_mean(
        &[TaskValues {
            films: &scores.films(),
            values: &scores.values,
        }],
        resamples,
    );
    Ok(scores)
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

fn pick(array: &Array, rows: &[usize]) -> Array {
    let d = array.shape[1];
    let data = rows
        .iter()
        .flat_map(|k| array.data[k * d..(k + 1) * d].iter().copied())
        .collect();
    Array::new(&[rows.len(), d], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(task: &str, item: u32, target: &str, generated: &str) -> Generation {
        Generation {
            task: task.to_owned(),
            items: vec![item],
            prompt: "Say it of <item>.".to_owned(),
            target: target.to_owned(),
            generated: generated.to_owned(),
        }
    }

    #[test]
    fn scores_are_means_of_tasks_in_their_order() {
        let all = [
            generation("pitch", 0, "a", "x"),
            generation("pitch", 1, "b", "x"),
            generation("pitch", 2, "c", " "),
            generation("summary", 0, "d", "d"),
            generation("summary", 1, "e", "e"),
        ];
        let generated = Array::new(&[5, 2], vec![1., 0., 1., 0., 0., 0., 1., 0., 0., 1.]);
        let targets = Array::new(&[5, 2], vec![1., 0., 0., 1., 1., 0., 1., 0., 0., 1.]);
        let found = score(&all, &generated, &targets, 200).unwrap();
        let names: Vec<&str> = found.tasks.iter().map(|t| t.task.as_str()).collect();
        assert_eq!(names, ["summary", "pitch"]);
        assert_eq!(found.tasks[0].mean, 1.0);
        assert_eq!(found.tasks[0].floor, Some(0.0));
        assert!((found.tasks[1].mean - 1.0 / 3.0).abs() < 1e-12);
        assert!((found.mean - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.empty - 0.2).abs() < 1e-12);
        assert!((found.tasks[1].distinct - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found.tasks[1].distinct_targets, 1.0);
        assert_eq!(found.n_films, 3);
        let interval = found.interval.unwrap();
        assert!(interval.low <= found.mean && found.mean <= interval.high);
    }

    #[test]
    fn scores_survive_json() {
        let all = [generation("summary", 0, "a", "a")];
        let row = Array::new(&[1, 2], vec![0.6, 0.8]);
        let scores = score(&all, &row, &row, 10).unwrap();
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(serde_json::from_str::<Scores>(&text).unwrap(), scores);
        assert_eq!(scores.floor, None);
    }

    #[test]
    fn bad_input_is_named() {
        let none = Array::new(&[0, 2], vec![]);
        let error = score(&[], &none, &none, 10).unwrap_err();
        insta::assert_snapshot!(error, @"there are no generations to score");
        let nan = Array::new(&[1, 1], vec![f32::NAN]);
        let error = score(&[generation("pitch", 0, "a", "a")], &nan, &nan, 10).unwrap_err();
        insta::assert_snapshot!(error, @"the score of example 0 (task `pitch`) is NaN, but must be finite");
        let mut bare = generation("pitch", 0, "a", "a");
        bare.items.clear();
        let one = Array::new(&[1, 1], vec![1.0]);
        let error = score(&[bare], &one, &one, 10).unwrap_err();
        insta::assert_snapshot!(error, @"example 0 (task `pitch`) has no items, but must have one or two");
        let error = score(&[generation("pitch", 0, "a", "a")], &none, &none, 10).unwrap_err();
        insta::assert_snapshot!(error, @"the embeddings of the generated texts have the shape [0, 2], but must have [1, 2]");
    }
}
