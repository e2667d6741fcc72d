//! Eigenvalues of small symmetric matrices.

/// Sweeps after which the rotations must have converged; a hundredth of this is usual.
const MAX_SWEEPS: usize = 60;

/// Eigenvalues with their vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// Descending.
    pub values: Vec<f64>,
    /// `[n, n]`: row `k` is the unit eigenvector of `values[k]`.
    pub vectors: Vec<f64>,
}

/// Returns the eigenvalues and eigenvectors of a symmetric matrix `[n, n]` by cyclic Jacobi rotations (Golub & Van Loan,
/// *Matrix Computations*, 8.5). The order of the rotations is fixed, so the result is too.
///
/// The rotations are as accurate as `f64` allows; the cost is a few dozen `n³`, which suits `n` up to a few hundred.
pub fn symmetric(matrix: &[f64], n: usize) -> Eigen {
    assert_eq!(matrix.len(), n * n, "the matrix must be square");
    let mut a = matrix.to_vec();
    // Row k of `v` becomes the k-th eigenvector: rotating rows keeps the memory accesses contiguous.
    let mut v = vec![0.0; n * n];
    for k in 0..n {
        v[k * n + k] = 1.0;
    }
    let total: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..n)
            .map(|p| {
                a[p * n + p + 1..(p + 1) * n]
                    .iter()
                    .map(|x| x * x)
                    .sum::<f64>()
            })
            .sum();
        if off <= 1e-30 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]).then(i.cmp(&j)));
    Eigen {
        values: order.iter().map(|&k| a[k * n + k]).collect(),
        vectors: order
            .iter()
            .flat_map(|&k| &v[k * n..(k + 1) * n])
            .copied()
            .collect(),
    }
}

/// Makes `a[p][q]` zero.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let (app, aqq) = (a[p * n + p], a[q * n + q]);
    let tau = (aqq - app) / (2.0 * apq);
    let t = if tau == 0.0 {
        1.0
    } else {
        tau.signum() / (tau.abs() + tau.hypot(1.0))
    };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    rotate_rows(a, n, p, q, c, s);
    rotate_rows(v, n, p, q, c, s);
    // The rows are done; the columns follow from symmetry, except where they cross.
    for k in 0..n {
        if k != p && k != q {
            a[k * n + p] = a[p * n + k];
            a[k * n + q] = a[q * n + k];
        }
    }
    a[p * n + p] = app - t * apq;
    a[q * n + q] = aqq + t * apq;
    a[p * n + q] = 0.0;
    a[q * n + p] = 0.0;
}

fn rotate_rows(m: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (head, tail) = m.split_at_mut(q * n);
    let row_p = &mut head[p * n..(p + 1) * n];
    let row_q = &mut tail[..n];
    for (x, y) in row_p.iter_mut().zip(row_q) {
        let (old_x, old_y) = (*x, *y);
        *x = c * old_x - s * old_y;
        *y = s * old_x + c * old_y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;

    #[test]
    fn a_known_matrix() {
        let eigen = symmetric(&[2.0, 1.0, 1.0, 2.0], 2);
        assert!((eigen.values[0] - 3.0).abs() < 1e-15);
        assert!((eigen.values[1] - 1.0).abs() < 1e-15);
        let empty = symmetric(&[0.0; 9], 3);
        assert_eq!(empty.values, [0.0; 3]);
    }

    #[test]
    fn vectors_are_orthonormal_and_rebuild_the_matrix() {
        let mut rng = Seed::new(3).rng();
        for n in [1, 4, 15, 40] {
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    a[i * n + j] = rng.gen_range(-1.0..1.0);
                    a[j * n + i] = a[i * n + j];
                }
            }
            let eigen = symmetric(&a, n);
            let row = |k: usize| &eigen.vectors[k * n..(k + 1) * n];
            for i in 0..n {
                for j in 0..n {
                    let inner: f64 = row(i).iter().zip(row(j)).map(|(x, y)| x * y).sum();
                    let unit = if i == j { 1.0 } else { 0.0 };
                    assert!((inner - unit).abs() < 1e-12, "n {n}: {inner}");
                    let rebuilt: f64 = (0..n)
                        .map(|k| eigen.values[k] * row(k)[i] * row(k)[j])
                        .sum();
                    assert!((rebuilt - a[i * n + j]).abs() < 1e-12, "n {n}, {i}, {j}");
                }
            }
            assert!(eigen.values.windows(2).all(|pair| pair[0] >= pair[1]));
        }
    }
}
