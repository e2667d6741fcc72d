//! The largest singular values of a sparse matrix, by randomised subspace iteration.
//!
//! Halko, Martinsson & Tropp 2011 (*Finding structure with randomness*, algorithm 4.4), on `AᵀA`: a random subspace of
//! a few more dimensions than wanted is multiplied by `AᵀA` and made orthonormal again, several times; the small Gram
//! matrix `(AQ)ᵀ(AQ)` is then diagonalised (Rayleigh-Ritz), which gives the right singular vectors.

use super::eigen;
use super::sparse::Sparse;
use crate::progress::Progress;
use crate::progress::Stopped;
use crate::seed::Seed;
use rand::Rng as _;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Dimensions that the subspace has more than asked for (Halko et al. recommend 5 to 10).
const OVERSAMPLING: usize = 10;

/// Multiplications by `AᵀA`. Each squares the ratio between a singular value that is wanted and one that is not; text
/// spectra fall slowly, so this is more than the 2 to 4 that scikit-learn's solver takes.
const ITERATIONS: usize = 8;

/// Rows that one task sums.
const CHUNK: usize = 1024;

/// A direction whose length falls below this part of what it was is in the span of the earlier ones.
const DEPENDENT: f64 = 1e-10;

/// The right singular vectors with the largest singular values.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Descending, `[dim]`; zero beyond the rank.
    pub singular_values: Vec<f64>,
    /// `[n_columns, dim]`: column `k` belongs to `singular_values[k]`. Its entry of largest size is positive (the first
    /// of equals). Zero beyond the rank.
    pub vectors: Vec<f64>,
}

/// Returns the `dim` largest singular values of `matrix` and their right vectors.
///
/// The same bits for any number of threads: every sum is over fixed parts in a fixed order.
pub fn truncated(
    matrix: &Sparse,
    dim: usize,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Svd, Stopped> {
    let n = matrix.n_columns();
    let width = (dim + OVERSAMPLING).min(n);
    let turned = matrix.transpose();
    let mut rng = seed.rng();
    // Columns one after another: `[width, n]`.
    let mut basis: Vec<f64> = (0..width * n).map(|_| rng.sample(StandardNormal)).collect();
    orthonormalize(&mut basis, n);
    let steps = ITERATIONS as u64 + 1;
    for step in 0..ITERATIONS {
        let forward = matrix.times(&transpose(&basis, width, n), width);
        basis = transpose(&turned.times(&forward, width), n, width);
        orthonormalize(&mut basis, n);
        progress.tick("svd", step as u64 + 1, steps)?;
    }
    let basis_rows = transpose(&basis, width, n);
    let projected = matrix.times(&basis_rows, width);
    let ritz = eigen::symmetric(&gram(&projected, width), width);
    progress.tick("svd", steps, steps)?;

    // Squared values below this are rounding noise of the largest.
    let floor = ritz.values[0].max(0.0) * 1e-14;
    let mut vectors = vec![0.0; n * dim];
    let mut singular_values = vec![0.0; dim];
    for k in 0..dim.min(width) {
        if ritz.values[k] <= floor {
            break;
        }
        singular_values[k] = ritz.values[k].sqrt();
        let weights = &ritz.vectors[k * width..][..width];
        let column: Vec<f64> = basis_rows
            .par_chunks(width)
            .with_min_len(CHUNK)
            .map(|row| dot(row, weights))
            .collect();
        let sign = sign_of_largest(&column);
        for (place, x) in column.iter().enumerate() {
            vectors[place * dim + k] = sign * x;
        }
    }
    Ok(Svd {
        singular_values,
        vectors,
    })
}

/// 1 or -1: the sign of the entry of largest size, of the first among equals.
fn sign_of_largest(column: &[f64]) -> f64 {
    let mut largest = 0.0_f64;
    for &x in column {
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    if largest < 0.0 { -1.0 } else { 1.0 }
}

/// Makes columns (`[width, n]`, one after another) orthonormal: modified Gram-Schmidt, done twice, because once loses
/// digits when columns are nearly dependent. A column in the span of the earlier ones becomes zero.
pub(crate) fn orthonormalize(columns: &mut [f64], n: usize) {
    let width = columns.len() / n;
    for _ in 0..2 {
        let before: Vec<f64> = columns
            .chunks_exact(n)
            .map(|column| dot(column, column).sqrt())
            .collect();
        for k in 0..width {
            let (head, rest) = columns.split_at_mut((k + 1) * n);
            let column = &mut head[k * n..];
            let length = dot(column, column).sqrt();
            if length <= DEPENDENT * before[k] {
                column.fill(0.0);
                continue;
            }
            for x in column.iter_mut() {
                *x /= length;
            }
            let column = &*column;
            rest.par_chunks_exact_mut(n).for_each(|other| {
                let share = dot(column, other);
                for (x, y) in other.iter_mut().zip(column) {
                    *x = (-share).mul_add(*y, *x);
                }
            });
        }
    }
}

/// `XᵀX` of `[n, width]`: parts of 1,024 rows, added in order.
fn gram(rows: &[f64], width: usize) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = rows
        .par_chunks(CHUNK * width)
        .map(|part| {
            let mut sum = vec![0.0; width * width];
            for row in part.chunks_exact(width) {
                for (x, line) in row.iter().zip(sum.chunks_exact_mut(width)) {
                    for (total, y) in line.iter_mut().zip(row) {
                        *total = x.mul_add(*y, *total);
                    }
                }
            }
            sum
        })
        .collect();
    let mut sum = vec![0.0; width * width];
    for part in parts {
        for (total, x) in sum.iter_mut().zip(part) {
            *total += x;
        }
    }
    sum
}

/// `[rows, columns]` -> `[columns, rows]`.
pub(crate) fn transpose(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut turned = vec![0.0; matrix.len()];
    for row in 0..rows {
        for column in 0..columns {
            turned[column * rows + row] = matrix[row * columns + column];
        }
    }
    turned
}

/// Eight running sums, added in order.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum = x.mul_add(*y, *sum);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    /// A sparse matrix of random places and values.
    fn random(n: usize, m: usize, seed: u64) -> Sparse {
        let mut rng = Seed::new(seed).rng();
        let rows: Vec<Vec<(u32, f64)>> = (0..n)
            .map(|_| {
                (0..m as u32)
                    .map(|column| (column, rng.gen_range(-1.0..1.0_f64)))
                    .filter(|(_, value)| value.abs() < 0.3)
                    .collect()
            })
            .collect();
        Sparse::from_rows(m, &rows)
    }

    fn dense(matrix: &Sparse) -> Vec<f64> {
        let mut unit = vec![0.0; matrix.n_columns() * matrix.n_columns()];
        for k in 0..matrix.n_columns() {
            unit[k * matrix.n_columns() + k] = 1.0;
        }
        matrix.times(&unit, matrix.n_columns())
    }

    #[test]
    fn agrees_with_the_dense_eigen_decomposition() {
        let (n, m, dim) = (60, 45, 8);
        let matrix = random(n, m, 1);
        let svd = truncated(&matrix, dim, Seed::new(2), &Silent).unwrap();
        let exact = eigen::symmetric(&gram(&dense(&matrix), m), m);
        for k in 0..dim {
            let wanted = exact.values[k].sqrt();
            // A random matrix has a flat spectrum, the hard case: the values converge first, then the vectors.
            assert!(
                (svd.singular_values[k] - wanted).abs() < 1e-4 * wanted,
                "{k}: {} and {wanted}",
                svd.singular_values[k]
            );
        }
        // The part of the matrix that the vectors do not explain is as small as the best one (Eckart & Young).
        let best: f64 = exact.values[dim..].iter().sum();
        let scores = matrix.times(&svd.vectors, dim);
        let rebuilt: f64 = dense(&matrix)
            .chunks(m)
            .zip(scores.chunks(dim))
            .map(|(row, score)| -> f64 {
                (0..m)
                    .map(|j| (row[j] - dot(&svd.vectors[j * dim..][..dim], score)).powi(2))
                    .sum()
            })
            .sum();
        assert!(
            rebuilt >= best * (1.0 - 1e-9) && rebuilt < best * (1.0 + 1e-4),
            "{rebuilt} and {best}"
        );
    }

    #[test]
    fn beyond_the_rank_everything_is_zero() {
        // Rank 2 in five columns.
        let rows = [
            vec![(0, 1.0), (1, 2.0)],
            vec![(3, 1.0)],
            vec![(0, 2.0), (1, 4.0)],
        ];
        let matrix = Sparse::from_rows(5, &rows);
        let svd = truncated(&matrix, 4, Seed::new(2), &Silent).unwrap();
        assert!((svd.singular_values[0] - 5.0).abs() < 1e-12);
        assert!((svd.singular_values[1] - 1.0).abs() < 1e-12);
        assert_eq!(svd.singular_values[2..], [0.0, 0.0]);
        let (a, b) = (1.0 / 5.0_f64.sqrt(), 2.0 / 5.0_f64.sqrt());
        let wanted = [[a, 0.0], [b, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
        for (row, wanted) in svd.vectors.chunks(4).zip(wanted) {
            assert!((row[0] - wanted[0]).abs() < 1e-10 && (row[1] - wanted[1]).abs() < 1e-10);
            assert_eq!(row[2..], [0.0, 0.0]);
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let matrix = random(3000, 40, 4);
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| truncated(&matrix, 6, Seed::new(1), &Silent).unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(7));
    }
}
