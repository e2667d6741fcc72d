//! Spectral clustering of a weighted graph, as scikit-learn's `SpectralClustering` with `assign_labels="cluster_qr"`.
//!
//! 1. `N = D^-½ A D^-½` for the adjacency `A` without its diagonal; a node without edges has a row of zeros.
//! 2. The eigenvectors of its `k` largest eigenvalues, each row divided by `√d` of its node.
//! 3. `cluster_qr` (Damle, Minden & Ying 2019, *Simple, direct and efficient multi-way spectral clustering*): `k` rows by
//!    QR with pivoting, the orthogonal matrix nearest to them by polar decomposition; a node belongs to the column of
//!    its largest entry.
//!
//! The labels depend on the *space* of the eigenvectors, not on the basis, so another eigen-solver than scikit-learn's
//! gives the same clusters wherever eigenvalue `k` is clearly above `k + 1`. Of the 180 clusters of all levels in the index file
//! that `OpenP5` ships for Beauty (500 tokens, 20 clusters), 175 come out with the very same items, 20 of 20 at the first level.
//!
//! The solver is block subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago & Chelikowsky 2006), which, unlike a
//! single Lanczos vector, finds eigenvalues that occur several times: a graph of several components has several ones.

use crate::progress::{Progress, Stopped};
use crate::seed::Seed;
use crate::text::eigen;
use crate::text::sparse::Sparse;
use crate::text::svd::{dot, orthonormalize, transpose};
use rand::Rng as _;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Graphs of at most this many nodes are solved densely.
const DENSE: usize = 160;
/// Degree of the filter's polynomial.
const DEGREE: usize = 24;
/// Most filters.
const ROUNDS: usize = 80;
/// Greatest residual `‖N v − λ v‖` of a vector that is done.
const TOLERANCE: f64 = 1e-10;

/// Puts the nodes of a symmetric graph with weights of at least zero into at most `k` clusters.
///
/// # Shapes
/// - `adjacency`: `[n, n]`; its diagonal must be empty
/// - returns: `[n]`, labels below `k`
pub fn cluster(
    adjacency: &Sparse,
    k: usize,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Vec<usize>, Stopped> {
    let n = adjacency.n_rows();
    let k = k.min(n);
    if k < 2 {
        return Ok(vec![0; n]);
    }
    let roots: Vec<f64> = (0..n)
        .map(|node| {
            let degree: f64 = adjacency.row(node).iter().map(|(_, weight)| weight).sum();
            if degree > 0.0 { degree.sqrt() } else { 1.0 }
        })
        .collect();
    let rows: Vec<Vec<(u32, f64)>> = (0..n)
        .map(|node| {
            let row = adjacency.row(node).iter();
            row.map(|&(other, weight)| (other, weight / (roots[node] * roots[other as usize])))
                .collect()
        })
        .collect();
    let normal = Sparse::from_rows(n, &rows);
    let mut vectors = leading(&normal, k, seed, progress)?;
    for (node, row) in vectors.chunks_mut(k).enumerate() {
        // A lone node is nowhere; rounding would put it anywhere (scikit-learn lets it).
        let lone = adjacency.row(node).is_empty();
        for x in row {
            *x = if lone { 0.0 } else { *x / roots[node] };
        }
    }
    Ok(labels(&vectors, k))
}

/// The eigenvectors of the `k` largest eigenvalues of a symmetric matrix whose eigenvalues are from -1 to 1: `[n, k]`.
fn leading(
    matrix: &Sparse,
    k: usize,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Vec<f64>, Stopped> {
    let n = matrix.n_rows();
    let width = k + (k / 2).max(10);
    if n <= DENSE.max(2 * width) {
        let mut dense = vec![0.0; n * n];
        for (row, line) in dense.chunks_mut(n).enumerate() {
            for &(column, value) in matrix.row(row) {
                line[column as usize] = value;
            }
        }
        let solved = eigen::symmetric(&dense, n);
        return Ok(transpose(&solved.vectors[..k * n], k, n));
    }
    let mut rng = seed.rng();
    let mut basis: Vec<f64> = (0..width * n).map(|_| rng.sample(StandardNormal)).collect();
    orthonormalize(&mut basis, n);
    let mut rows = transpose(&basis, width, n);
    for round in 0..ROUNDS {
        // Rayleigh-Ritz: the best vectors within the basis.
        let product = matrix.times(&rows, width);
        let columns = transpose(&rows, n, width);
        let images = transpose(&product, n, width);
        let small: Vec<f64> = (0..width * width)
            .into_par_iter()
            .map(|at| {
                let (i, j) = (at / width, at % width);
                let (i, j) = (i.min(j), i.max(j));
                dot(&columns[i * n..][..n], &images[j * n..][..n])
            })
            .collect();
        let ritz = eigen::symmetric(&small, width);
        rows = rotate(&rows, &ritz.vectors, width);
        let images = rotate(&product, &ritz.vectors, width);
        let worst = residual(&rows, &images, &ritz.values, width, k);
        progress.tick("eigenvectors", round as u64 + 1, ROUNDS as u64)?;
        if worst < TOLERANCE {
            break;
        }
        // Everything from -1 to the smallest value in the basis is damped.
        let top = ritz.values[width - 1].clamp(-0.99, 0.999);
        rows = filter(matrix, rows, width, top);
        basis = transpose(&rows, n, width);
        orthonormalize(&mut basis, n);
        rows = transpose(&basis, width, n);
    }
    Ok(rows
        .chunks(width)
        .flat_map(|row| &row[..k])
        .copied()
        .collect())
}

/// Each row times the vectors (given as rows): `[n, width]`.
fn rotate(rows: &[f64], vectors: &[f64], width: usize) -> Vec<f64> {
    let mut turned = vec![0.0; rows.len()];
    turned
        .par_chunks_mut(width)
        .zip(rows.par_chunks(width))
        .with_min_len(64)
        .for_each(|(out, row)| {
            for (x, vector) in out.iter_mut().zip(vectors.chunks(width)) {
                *x = dot(row, vector);
            }
        });
    turned
}

/// The largest `‖N v − λ v‖` of the first `k` columns.
fn residual(rows: &[f64], images: &[f64], values: &[f64], width: usize, k: usize) -> f64 {
    let mut sums = vec![0.0; k];
    for (row, image) in rows.chunks(width).zip(images.chunks(width)) {
        for (sum, ((x, y), value)) in sums.iter_mut().zip(row.iter().zip(image).zip(values)) {
            *sum += (y - value * x).powi(2);
        }
    }
    sums.into_iter().fold(0.0, f64::max).sqrt()
}

/// Applies the Chebyshev polynomial that is small on [-1, `top`] and 1 at 1.
fn filter(matrix: &Sparse, rows: Vec<f64>, width: usize, top: f64) -> Vec<f64> {
    let (half, middle) = (f64::midpoint(top, 1.0), f64::midpoint(top, -1.0));
    let first = half / (1.0 - middle);
    let mut sigma = first;
    let mut before = rows;
    let mut now = combine(&matrix.times(&before, width), &before, &[], |y, x, _| {
        (y - middle * x) * (sigma / half)
    });
    for _ in 1..DEGREE {
        let next = 1.0 / (2.0 / first - sigma);
        let later = combine(&matrix.times(&now, width), &now, &before, |y, x, old| {
            (y - middle * x) * (2.0 * next / half) - sigma * next * old
        });
        before = std::mem::replace(&mut now, later);
        sigma = next;
    }
    now
}

fn combine(
    product: &[f64],
    now: &[f64],
    before: &[f64],
    value: impl Fn(f64, f64, f64) -> f64 + Sync,
) -> Vec<f64> {
    (0..product.len())
        .into_par_iter()
        .with_min_len(1 << 14)
        .map(|at| {
            let old = before.get(at).copied().unwrap_or(0.0);
            value(product[at], now[at], old)
        })
        .collect()
}

/// `cluster_qr`: the label of each row of `[n, k]`.
fn labels(rows: &[f64], k: usize) -> Vec<usize> {
    let chosen = pivots(rows, k);
    // M: the chosen rows as columns. Its polar factor U = M (MᵀM)^-½ turns rows towards the axes.
    let m: Vec<f64> = (0..k * k)
        .map(|at| rows[chosen[at % k] * k + at / k])
        .collect();
    let entry = |i: usize, j: usize| -> f64 { (0..k).map(|t| m[t * k + i] * m[t * k + j]).sum() };
    let square: Vec<f64> = (0..k * k)
        .map(|at| {
            let (i, j) = (at / k, at % k);
            entry(i.min(j), i.max(j))
        })
        .collect();
    let solved = eigen::symmetric(&square, k);
    let floor = solved.values[0].max(0.0) * 1e-24;
    let inverse: Vec<f64> = (0..k * k)
        .map(|at| {
            let (i, j) = (at / k, at % k);
            (0..k)
                .filter(|&t| solved.values[t] > floor)
                .map(|t| {
                    solved.vectors[t * k + i] * solved.vectors[t * k + j] / solved.values[t].sqrt()
                })
                .sum()
        })
        .collect();
    let polar: Vec<f64> = (0..k * k)
        .map(|at| {
            let (i, j) = (at / k, at % k);
            (0..k).map(|t| m[i * k + t] * inverse[t * k + j]).sum()
        })
        .collect();
    rows.par_chunks(k)
        .map(|row| {
            let mut best = (0, -1.0);
            for j in 0..k {
                let value: f64 = (0..k).map(|t| row[t] * polar[t * k + j]).sum();
                // The first of equals, as NumPy's argmax.
                if value.abs() > best.1 {
                    best = (j, value.abs());
                }
            }
            best.0
        })
        .collect()
}

/// The first `k` pivots of a QR decomposition with column pivoting of the transposed rows: each time the row that is
/// longest without its part along those chosen before (the first of equals).
fn pivots(rows: &[f64], k: usize) -> Vec<usize> {
    let mut left = rows.to_vec();
    let mut chosen = Vec::with_capacity(k);
    for _ in 0..k {
        let (mut best, mut longest) = (0, -1.0);
        for (index, row) in left.chunks(k).enumerate() {
            let length = dot(row, row);
            if length > longest {
                (best, longest) = (index, length);
            }
        }
        chosen.push(best);
        let axis: Vec<f64> = left[best * k..][..k].to_vec();
        if longest > 0.0 {
            left.par_chunks_mut(k).with_min_len(256).for_each(|row| {
                let share = dot(row, &axis) / longest;
                for (x, y) in row.iter_mut().zip(&axis) {
                    *x -= share * y;
                }
            });
        }
        left[best * k..][..k].fill(0.0);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    /// `groups` rings of `size` nodes with chords, joined by weak edges; node `v` is in group `v % groups`.
    fn rings(groups: usize, size: usize, between: f64) -> Sparse {
        let n = groups * size;
        let mut dense = vec![0.0; n * n];
        let mut edge = |a: usize, b: usize, weight: f64| {
            dense[a * n + b] += weight;
            dense[b * n + a] += weight;
        };
        for group in 0..groups {
            for place in 0..size {
                let node = |place: usize| place % size * groups + group;
                for reach in 1..4 {
                    edge(node(place), node(place + reach), 1.0 + 0.01 * group as f64);
                }
            }
            if between > 0.0 {
                edge(group, (group + 1) % groups + groups, between);
            }
        }
        let rows: Vec<Vec<(u32, f64)>> = dense
            .chunks(n)
            .map(|row| {
                let row = row.iter().enumerate();
                row.filter(|(_, weight)| **weight > 0.0)
                    .map(|(column, weight)| (column as u32, *weight))
                    .collect()
            })
            .collect();
        Sparse::from_rows(n, &rows)
    }

    fn finds_groups(groups: usize, size: usize, between: f64) {
        let graph = rings(groups, size, between);
        let labels = cluster(&graph, groups, Seed::new(1), &Silent).unwrap();
        for (node, label) in labels.iter().enumerate() {
            assert_eq!(*label, labels[node % groups], "node {node}");
        }
        let distinct: std::collections::BTreeSet<&usize> = labels.iter().collect();
        assert_eq!(distinct.len(), groups);
    }

    #[test]
    fn groups_are_found_by_the_dense_and_by_the_filtered_solver() {
        finds_groups(3, 20, 0.2);
        finds_groups(5, 60, 0.2);
        // Five components: the eigenvalue 1 occurs five times.
        finds_groups(5, 60, 0.0);
    }

    #[test]
    fn the_filtered_solver_agrees_with_the_dense_one() {
        let graph = rings(4, 50, 0.5);
        let n = graph.n_rows();
        let scaled: Vec<Vec<(u32, f64)>> = (0..n)
            .map(|row| {
                let row = graph.row(row).iter();
                row.map(|&(column, weight)| (column, weight / 8.0))
                    .collect()
            })
            .collect();
        let matrix = Sparse::from_rows(n, &scaled);
        let found = leading(&matrix, 4, Seed::new(2), &Silent).unwrap();
        let mut dense = vec![0.0; n * n];
        for row in 0..n {
            for &(column, value) in matrix.row(row) {
                dense[row * n + column as usize] = value;
            }
        }
        let exact = eigen::symmetric(&dense, n);
        let columns = transpose(&found, n, 4);
        for k in 0..4 {
            // The same space: the vector's length within the first four exact ones is 1.
            let inside: f64 = (0..4)
                .map(|t| dot(&columns[k * n..][..n], &exact.vectors[t * n..][..n]).powi(2))
                .sum();
            assert!((inside - 1.0).abs() < 1e-9, "{k}: {inside}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_label_and_lone_nodes_do_no_harm() {
        let mut rows: Vec<Vec<(u32, f64)>> = {
            let graph = rings(4, 60, 0.3);
            (0..graph.n_rows())
                .map(|row| graph.row(row).to_vec())
                .collect()
        };
        rows.extend([vec![], vec![]]);
        let graph = Sparse::from_rows(rows.len(), &rows);
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| cluster(&graph, 6, Seed::new(1), &Silent).unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(3));
        assert_eq!(one[240..], [0, 0]);
        assert_eq!(
            cluster(&Sparse::from_rows(1, &[vec![]]), 5, Seed::new(1), &Silent),
            Ok(vec![0])
        );
    }
}
