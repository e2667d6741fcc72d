//! Cosines of paired rows, and the floor of unpaired ones.

use super::EvalError;
use crate::formats::tensors::Array;
use std::collections::BTreeMap;

/// Returns the cosine of each row of `generated` with the same row of `targets`.
///
/// Both sides are normalised here, as sentence-transformers' `cos_sim` does. A zero row (an empty text) has cosine 0 with
/// everything.
///
/// # Shapes
/// - `generated`, `targets`: `[n, d]`
/// - returns: `[n]`, from -1 to 1
pub fn cosines(generated: &Array, targets: &Array) -> Result<Vec<f64>, EvalError> {
    let (left, right) = unit_rows(generated, targets)?;
    Ok(left.iter().zip(&right).map(|(a, b)| dot(a, b)).collect())
}

/// Returns the mean cosine of each generated row with the targets of *other* items, or `None` when there is only one item.
///
/// `groups[k]` names the items of example `k`; targets of the same items are left out. It is the average over every
/// derangement by a cyclic shift, in closed form: `(Σᵢ gᵢ · Σⱼ tⱼ − Σ_groups (Σ g)·(Σ t)) / number of pairs`.
///
/// # Shapes
/// - `generated`, `targets`: `[n, d]`; `groups`: `[n]`
pub fn floor<G: Ord>(
    generated: &Array,
    targets: &Array,
    groups: &[G],
) -> Result<Option<f64>, EvalError> {
    let (left, right) = unit_rows(generated, targets)?;
    let d = generated.shape[1];
    let mut all = Sums::new(d);
    let mut by_group: BTreeMap<&G, Sums> = BTreeMap::new();
    for ((g, t), group) in left.iter().zip(&right).zip(groups) {
        all.add(g, t);
        by_group
            .entry(group)
            .or_insert_with(|| Sums::new(d))
            .add(g, t);
    }
    let mut total = dot(&all.generated, &all.target);
    let mut pairs = all.n * all.n;
    for sums in by_group.values() {
        total -= dot(&sums.generated, &sums.target);
        pairs -= sums.n * sums.n;
    }
    Ok((pairs > 0.0).then(|| total / pairs))
}

struct Sums {
    generated: Vec<f64>,
    target: Vec<f64>,
    n: f64,
}

impl Sums {
    fn new(d: usize) -> Self {
        Self {
            generated: vec![0.0; d],
            target: vec![0.0; d],
            n: 0.0,
        }
    }

    fn add(&mut self, generated: &[f64], target: &[f64]) {
        for (sum, x) in self.generated.iter_mut().zip(generated) {
            *sum += x;
        }
        for (sum, x) in self.target.iter_mut().zip(target) {
            *sum += x;
        }
        self.n += 1.0;
    }
}

type Rows = Vec<Vec<f64>>;

fn unit_rows(generated: &Array, targets: &Array) -> Result<(Rows, Rows), EvalError> {
    if generated.shape.len() != 2 || generated.shape != targets.shape {
        return Err(EvalError::Shape {
            what: "embeddings of the targets",
            found: targets.shape.clone(),
            expected: generated.shape.clone(),
        });
    }
    Ok((unit(generated), unit(targets)))
}

fn unit(array: &Array) -> Rows {
    array
        .data
        .chunks_exact(array.shape[1].max(1))
        .map(|row| {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let norm = dot(&row, &row).sqrt();
            if norm == 0.0 {
                row
            } else {
                row.into_iter().map(|x| x / norm).collect()
            }
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;

    fn random(n: usize, d: usize, label: &str) -> Array {
        let mut rng = Seed::new(3).child(label).rng();
        let data = (0..n * d).map(|_| rng.gen_range(-1.0..1.0)).collect();
        Array::new(&[n, d], data)
    }

    #[test]
    fn cosines_are_those_of_hand_computed_rows() {
        let a = Array::new(&[3, 2], vec![3.0, 4.0, 1.0, 0.0, 0.0, 0.0]);
        let b = Array::new(&[3, 2], vec![4.0, 3.0, -2.0, 0.0, 1.0, 0.0]);
        let found = cosines(&a, &b).unwrap();
        assert!((found[0] - 0.96).abs() < 1e-12, "{found:?}");
        assert_eq!(found[1..], [-1.0, 0.0]);
    }

    #[test]
    fn the_floor_is_the_mean_over_every_other_item() {
        let (n, d) = (7, 4);
        let (a, b) = (random(n, d, "a"), random(n, d, "b"));
        // Items 2 and 5 are the same film: their targets never count for each other.
        let groups = [0, 1, 2, 3, 4, 2, 6];
        let mut values = Vec::new();
        for shift in 1..n {
            for i in 0..n {
                let j = (i + shift) % n;
                assert_ne!(i, j, "a shift must be a derangement");
                if groups[i] != groups[j] {
                    let row = |m: &Array, k: usize| {
                        Array::new(&[1, d], m.data[k * d..(k + 1) * d].to_vec())
                    };
                    values.push(cosines(&row(&a, i), &row(&b, j)).unwrap()[0]);
                }
            }
        }
        let naive = values.iter().sum::<f64>() / values.len() as f64;
        let found = floor(&a, &b, &groups).unwrap().unwrap();
        assert!((found - naive).abs() < 1e-12, "{found} and {naive}");
    }

    #[test]
    fn one_item_has_no_floor() {
        let a = random(2, 3, "a");
        assert_eq!(floor(&a, &a, &["x", "x"]).unwrap(), None);
    }

    #[test]
    fn shapes_must_agree() {
        let error = cosines(&random(2, 3, "a"), &random(3, 2, "b")).unwrap_err();
        insta::assert_snapshot!(error, @"the embeddings of the targets have the shape [3, 2], but must have [2, 3]");
    }
}
