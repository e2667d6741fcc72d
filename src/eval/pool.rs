//! Several runs of one column (seeds) as one.
//!
//! # Where the uncertainty comes from
//!
//! Every run is scored on the same films, so films and runs are crossed: another sample of films would change all runs
//! alike, another set of seeds all films alike. With one run only the films are known to vary, and the interval is the
//! bootstrap over them. With several it has two parts, joined as independent errors (`square_and_add`): the
//! bootstrap over films of the runs' mean, and Student's t over the runs' means. Resampling the runs as well would not
//! do: a bootstrap of two or three values is far too narrow (its variance is short by `1/n`, and it knows no t).
//! Both parts contain the interaction of films and runs, which makes the whole a little too wide, never too narrow (as in
//! two-way clustering without the subtracted term; Cameron, Gelbach & Miller 2011).

use super::interval::square_and_add;
use super::{EvalError, Interval, Scores, TaskScores, TaskValues, bootstrap_mean, t_interval};
use std::collections::BTreeMap;

/// The runs of one column, averaged example by example.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Each task with values averaged over the runs.
    pub tasks: Vec<TaskScores>,
    /// Mean of each task, of each run, in the order given.
    run_tasks: Vec<Vec<f64>>,
    /// Share of generations without any text, averaged over the runs.
    pub empty: f64,
    /// Share of distinct generations, averaged over the runs.
    pub distinct: f64,
    /// Share of distinct targets.
    pub distinct_targets: f64,
    /// Examples of one run.
    pub n: usize,
}

impl Pooled {
    /// Averages runs that were scored on the same examples.
    ///
    /// # Errors
    /// No run, or runs with different tasks or examples.
    pub fn new(runs: &[&Scores]) -> Result<Self, EvalError> {
        let first = *runs.first().ok_or(EvalError::Empty)?;
        let count = runs.len() as f64;
        let mut tasks = first.tasks.clone();
        for run in &runs[1..] {
            let names = |s: &Scores| {
                let all: Vec<&str> = s.tasks.iter().map(|t| t.task.as_str()).collect();
                all.join(", ")
            };
            if names(run) != names(first) {
                return Err(EvalError::Tasks {
                    found: names(run),
                    expected: names(first),
                });
            }
            for (sum, task) in tasks.iter_mut().zip(&run.tasks) {
                if sum.items != task.items {
                    return Err(EvalError::Unaligned {
                        task: task.task.clone(),
                        found: task.n,
                        expected: sum.n,
                    });
                }
                for (total, value) in sum.values.iter_mut().zip(&task.values) {
                    *total += value;
                }
                sum.floor = sum.floor.zip(task.floor).map(|(a, b)| a + b);
                sum.empty += task.empty;
                sum.distinct += task.distinct;
            }
        }
        for task in &mut tasks {
            for value in &mut task.values {
                *value /= count;
            }
            task.mean = task.values.iter().sum::<f64>() / task.values.len() as f64;
            task.floor = task.floor.map(|sum| sum / count);
            task.empty /= count;
            task.distinct /= count;
            // That of the first run alone would mislead; see `Pooled::interval`.
            task.interval = None;
        }
        let mean = |f: &dyn Fn(&Scores) -> f64| runs.iter().map(|run| f(run)).sum::<f64>() / count;
        Ok(Self {
            tasks,
            run_tasks: runs
                .iter()
                .map(|run| run.tasks.iter().map(|task| task.mean).collect())
                .collect(),
            empty: mean(&|s| s.empty),
            distinct: mean(&|s| s.distinct),
            distinct_targets: first.distinct_targets,
            n: first.n,
        })
    }

    /// The scores of one task.
    pub fn task(&self, name: &str) -> Option<&TaskScores> {
        self.tasks.iter().find(|task| task.task == name)
    }

    /// Unweighted mean of the tasks that `keep` lets through; `None` when it lets none.
    pub fn mean(&self, keep: &dyn Fn(&str) -> bool) -> Option<f64> {
        average(self.kept(keep).map(|task| Some(task.mean)))
    }

    /// Unweighted mean of the tasks' floors; `None` when a task has none.
    pub fn floor(&self, keep: &dyn Fn(&str) -> bool) -> Option<f64> {
        average(self.kept(keep).map(|task| task.floor))
    }

    /// The number of runs.
    pub fn runs(&self) -> usize {
        self.run_tasks.len()
    }

    /// Unweighted mean of the tasks that `keep` lets through, of each run in the order given.
    pub fn run_means(&self, keep: &dyn Fn(&str) -> bool) -> Vec<f64> {
        let kept: Vec<bool> = self.tasks.iter().map(|task| keep(&task.task)).collect();
        self.run_tasks
            .iter()
            .filter_map(|means| {
                let means = means.iter().zip(&kept).filter(|(_, kept)| **kept);
                average(means.map(|(mean, _)| Some(*mean)))
            })
            .collect()
    }

    /// 95 % interval of [`Pooled::mean`]: over films, and with several runs over runs as well.
    pub fn interval(&self, keep: &dyn Fn(&str) -> bool, resamples: u32) -> Option<Interval> {
        let films = self.interval_over_films(keep, resamples);
        let runs = t_interval(&self.run_means(keep));
        match (films, runs) {
            (Some(films), Some(runs)) => Some(square_and_add(self.mean(keep)?, [films, runs])),
            (films, runs) => films.or(runs),
        }
    }

    /// 95 % bootstrap interval over films of [`Pooled::mean`], with the runs averaged first.
    pub fn interval_over_films(
        &self,
        keep: &dyn Fn(&str) -> bool,
        resamples: u32,
    ) -> Option<Interval> {
        let films: Vec<Vec<u32>> = self.kept(keep).map(TaskScores::films).collect();
        let tasks: Vec<TaskValues<'_>> = self
            .kept(keep)
            .zip(&films)
            .map(|(task, films)| TaskValues {
                films,
                values: &task.values,
            })
            .collect();
        bootstrap_mean(&tasks, resamples)
    }

    /// 95 % interval over runs (Student's t of the runs' means over all tasks); `None` with one run.
    pub fn interval_over_runs(&self) -> Option<Interval> {
        t_interval(&self.run_means(&|_| true))
    }

    /// The mean of all values of each film, over tasks and runs, by film.
    pub fn film_means(&self) -> BTreeMap<u32, f64> {
        let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for task in &self.tasks {
            for (items, value) in task.items.iter().zip(&task.values) {
                let sum = sums.entry(items[0]).or_default();
                sum.0 += value;
                sum.1 += 1.0;
            }
        }
        sums.into_iter()
            .map(|(film, (sum, n))| (film, sum / n))
            .collect()
    }

    fn kept(&self, keep: &dyn Fn(&str) -> bool) -> impl Iterator<Item = &TaskScores> {
        self.tasks.iter().filter(move |task| keep(&task.task))
    }
}

fn average(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;
    use std::ops::Sub as _;

    fn scores(values: &[f64]) -> Scores {
        let n = values.len();
        let task = TaskScores {
            task: "pitch".to_owned(),
            mean: values.iter().sum::<f64>() / n as f64,
            interval: None,
            floor: Some(0.1),
            n,
            empty: 0.0,
            distinct: 1.0,
            distinct_targets: 1.0,
            items: (0..n as u32).map(|item| vec![item]).collect(),
            values: values.to_vec(),
        };
        Scores {
            mean: task.mean,
            interval: None,
            floor: task.floor,
            n,
            n_films: n,
            empty: 0.0,
            distinct: 1.0,
            distinct_targets: 1.0,
            tasks: vec![task],
        }
    }

    #[test]
    fn runs_are_averaged_example_by_example() {
        let (a, b) = (scores(&[0.2, 0.4]), scores(&[0.4, 0.8]));
        let pooled = Pooled::new(&[&a, &b]).unwrap();
        let means: Vec<f64> = pooled.film_means().into_values().collect();
        assert!((means[0] - 0.3).abs() < 1e-12 && (means[1] - 0.6).abs() < 1e-12);
        assert!((pooled.mean(&|_| true).unwrap() - 0.45).abs() < 1e-12);
        assert!((pooled.floor(&|_| true).unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(pooled.mean(&|_| false), None);
        let over_runs = pooled.interval_over_runs().unwrap();
        // Means .3 and .6: t(.975, 1) = 12.7062, deviation .212132, half-width 1.905930.
        assert!(
            (over_runs.high - (0.45 + 1.905930)).abs() < 1e-4,
            "{over_runs:?}"
        );
    }

    #[test]
    fn the_interval_of_several_runs_covers_films_and_runs() {
        // A true mean of 0.5; films, seeds and their interaction vary around it.
        let mut rng = Seed::new(5).child("coverage").rng();
        let mut normal = |deviation: f64| {
            // The sum of twelve uniform numbers, less six, is close enough to normal.
            (0..12)
                .map(|_| rng.gen_range(0.0..1.0))
                .sum::<f64>()
                .sub(6.0)
                * deviation
        };
        let (simulations, n_films, n_runs) = (300, 30, 3);
        let (mut both, mut films_only) = (0, 0);
        for _ in 0..simulations {
            let films: Vec<f64> = (0..n_films).map(|_| normal(0.1)).collect();
            let runs: Vec<Scores> = (0..n_runs)
                .map(|_| {
                    let seed = normal(0.05);
                    let values: Vec<f64> = films
                        .iter()
                        .map(|film| 0.5 + film + seed + normal(0.05))
                        .collect();
                    scores(&values)
                })
                .collect();
            let pooled = Pooled::new(&runs.iter().collect::<Vec<_>>()).unwrap();
            let covers = |interval: Interval| interval.low <= 0.5 && 0.5 <= interval.high;
            both += usize::from(covers(pooled.interval(&|_| true, 200).unwrap()));
            films_only += usize::from(covers(pooled.interval_over_films(&|_| true, 200).unwrap()));
        }
        let rate = |covered: usize| covered as f64 / f64::from(simulations);
        assert!(rate(both) > 0.93, "{}", rate(both));
        assert!(rate(films_only) < 0.85, "{}", rate(films_only));
    }

    #[test]
    fn one_run_has_the_interval_over_films() {
        let run = scores(&[0.2, 0.4, 0.9]);
        let pooled = Pooled::new(&[&run]).unwrap();
        assert_eq!(
            pooled.interval(&|_| true, 300),
            pooled.interval_over_films(&|_| true, 300)
        );
        assert_eq!(pooled.interval_over_runs(), None);
        assert_eq!(pooled.run_means(&|name| name == "pitch").len(), 1);
        assert!(pooled.run_means(&|_| false).is_empty());
    }

    #[test]
    fn runs_on_other_examples_are_refused() {
        let (a, b) = (scores(&[0.2, 0.4]), scores(&[0.4]));
        let error = Pooled::new(&[&a, &b]).unwrap_err();
        insta::assert_snapshot!(error, @"the runs of one column were scored on different examples of the task `pitch`: they have 1 and 2");
        let mut other = scores(&[0.2, 0.4]);
        other.tasks[0].task = "summary".to_owned();
        let error = Pooled::new(&[&a, &other]).unwrap_err();
        insta::assert_snapshot!(error, @"the runs of one column have different tasks: `summary` and `pitch`");
    }
}
