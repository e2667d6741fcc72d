//! 95 % intervals: bootstrap over films, and Student's t over seeds.

use crate::seed::Seed;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use std::collections::BTreeMap;

/// A range of plausible values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The values of one task, each with the film it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct TaskValues<'a> {
    /// Film of each value.
    pub films: &'a [u32],
    /// The values, in the same order.
    pub values: &'a [f64],
}

/// Returns the 95 % percentile bootstrap interval of the mean of task means, or `None` with fewer than two films.
///
/// Films are drawn with replacement, and all values of a film go together, because the texts of one film share what
/// the model knows of it (cluster bootstrap; Davison & Hinkley 1997, §3.8). The resamples depend on the set of films
/// only, so that two columns over the same films are resampled alike.
pub fn bootstrap_mean(tasks: &[TaskValues<'_>], resamples: u32) -> Option<Interval> {
    let mut position: BTreeMap<u32, usize> = tasks
        .iter()
        .flat_map(|task| task.films.iter().map(|film| (*film, 0)))
        .collect();
    for (index, place) in position.values_mut().enumerate() {
        *place = index;
    }
    let n_films = position.len();
    if n_films < 2 || resamples == 0 {
        return None;
    }
    let per_film: Vec<Vec<(f64, f64)>> = tasks
        .iter()
        .map(|task| {
            let mut sums = vec![(0.0, 0.0); n_films];
            for (film, value) in task.films.iter().zip(task.values) {
                let sum = &mut sums[position[film]];
                sum.0 += value;
                sum.1 += 1.0;
            }
            sums
        })
        .collect();

    let mut rng = Seed::new(0).child("bootstrap over films").rng();
    let mut means = Vec::with_capacity(resamples as usize);
    let mut weights = vec![0.0; n_films];
    for _ in 0..resamples {
        weights.fill(0.0);
        for _ in 0..n_films {
            weights[rng.gen_range(0..n_films)] += 1.0;
        }
        let mut total = 0.0;
        let mut n_tasks = 0.0;
        for sums in &per_film {
            let (mut value, mut weight) = (0.0, 0.0);
            for ((sum, count), w) in sums.iter().zip(&weights) {
                value += sum * w;
                weight += count * w;
            }
            // A task whose films were all missed says nothing in this resample.
            if weight > 0.0 {
                total += value / weight;
                n_tasks += 1.0;
            }
        }
        if n_tasks > 0.0 {
            means.push(total / n_tasks);
        }
    }
    means.sort_by(f64::total_cmp);
    Some(Interval {
        low: quantile(&means, 0.025),
        high: quantile(&means, 0.975),
    })
}

/// Returns the 95 % interval of the mean by Student's t, or `None` with fewer than two values.
pub fn t_interval(values: &[f64]) -> Option<Interval> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let (mean, deviation) = mean_and_deviation(values);
    let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?.inverse_cdf(0.975);
    let half = t * deviation / n.sqrt();
    Some(Interval {
        low: mean - half,
        high: mean + half,
    })
}

/// The interval of an estimate whose error has two independent parts with an interval each.
///
/// "Square and add" (MOVER; Zou & Donner 2008, Statistics in Medicine 27, eq. 1): the distances of each end from the
/// estimate add as standard errors do, and lopsided intervals stay lopsided. An interval may be centred elsewhere than
/// at the estimate; an end on the wrong side of it counts as no distance.
pub(super) fn square_and_add(estimate: f64, parts: [Interval; 2]) -> Interval {
    let root = |distances: [f64; 2]| {
        distances
            .map(|d| d.max(0.0).powi(2))
            .iter()
            .sum::<f64>()
            .sqrt()
    };
    Interval {
        low: estimate - root(parts.map(|part| estimate - part.low)),
        high: estimate + root(parts.map(|part| part.high - estimate)),
    }
}

/// Mean and sample standard deviation (`n − 1`).
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// Quantile of sorted values by linear interpolation (NumPy's default).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = place.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_t_interval_is_the_textbook_one() {
        // Mean 3, deviation √2.5, t(0.975, 4) = 2.776445: half-width 1.963243.
        let found = t_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((found.low - 1.036757).abs() < 1e-5, "{found:?}");
        assert!((found.high - 4.963243).abs() < 1e-5, "{found:?}");
        assert_eq!(t_interval(&[1.0]), None);
    }

    #[test]
    fn independent_errors_add_as_squares() {
        let part = |low, high| Interval { low, high };
        let joined = square_and_add(1.0, [part(0.7, 1.4), part(0.6, 1.3)]);
        assert!((joined.low - 0.5).abs() < 1e-12 && (joined.high - 1.5).abs() < 1e-12);
        // A part without any width changes nothing.
        let joined = square_and_add(1.0, [part(0.7, 1.4), part(1.0, 1.0)]);
        assert!((joined.low - 0.7).abs() < 1e-12 && (joined.high - 1.4).abs() < 1e-12);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.0), 1.0);
    }

    #[test]
    fn the_bootstrap_agrees_with_the_normal_interval_of_many_films() {
        let films: Vec<u32> = (0..400).collect();
        let values: Vec<f64> = films.iter().map(|film| f64::from(film % 20)).collect();
        let task = TaskValues {
            films: &films,
            values: &values,
        };
        let found = bootstrap_mean(&[task], 2000).unwrap();
        // Mean 9.5, deviation 5.7735, 1.96·s/√n = 0.5658; the bootstrap's own noise is a few per cent of that.
        assert!((found.low - (9.5 - 0.5658)).abs() < 0.05, "{found:?}");
        assert!((found.high - (9.5 + 0.5658)).abs() < 0.05, "{found:?}");
        assert_eq!(bootstrap_mean(&[task], 2000), Some(found));
    }

    #[test]
    fn values_of_one_film_are_not_independent() {
        // Ten copies of each value carry no more knowledge than one.
        let films: Vec<u32> = (0..40).collect();
        let values: Vec<f64> = films.iter().map(|film| f64::from(film % 8)).collect();
        let once = bootstrap_mean(
            &[TaskValues {
                films: &films,
                values: &values,
            }],
            500,
        );
        let many_films = films.repeat(10);
        let many_values = values.repeat(10);
        let tenfold = bootstrap_mean(
            &[TaskValues {
                films: &many_films,
                values: &many_values,
            }],
            500,
        );
        let (once, tenfold) = (once.unwrap(), tenfold.unwrap());
        assert!((once.low - tenfold.low).abs() < 1e-9);
        assert!((once.high - tenfold.high).abs() < 1e-9);
    }

    #[test]
    fn one_film_has_no_interval() {
        let task = TaskValues {
            films: &[4, 4],
            values: &[0.1, 0.2],
        };
        assert_eq!(bootstrap_mean(&[task], 100), None);
    }
}
