//! Sparse matrices of `f64` and their products with dense ones.

use rayon::prelude::*;

/// A sparse matrix by rows: column ids (ascending) and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    n_columns: usize,
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Sparse {
    /// Makes a matrix of rows whose entries are in column order.
    pub fn from_rows(n_columns: usize, rows: &[Vec<(u32, f64)>]) -> Self {
        let mut starts = vec![0];
        let mut entries = Vec::with_capacity(rows.iter().map(Vec::len).sum());
        for row in rows {
            entries.extend_from_slice(row);
            starts.push(entries.len());
        }
        Self {
            n_columns,
            starts,
            entries,
        }
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// A row's entries.
    pub fn row(&self, row: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }

    /// Exchanges rows and columns.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut starts = vec![0; self.n_columns + 1];
        for &(column, _) in &self.entries {
            starts[column as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for row in 0..self.n_rows() {
            for &(column, value) in self.row(row) {
                entries[next[column as usize]] = (row as u32, value);
                next[column as usize] += 1;
            }
        }
        Self {
            n_columns: self.n_rows(),
            starts,
            entries,
        }
    }

    /// Returns `self * dense`. A row of the result is summed by one thread in the order of the columns.
    ///
    /// # Shapes
    /// - `dense`: `[n_columns, width]`
    /// - returns: `[n_rows, width]`
    pub fn times(&self, dense: &[f64], width: usize) -> Vec<f64> {
        let mut product = vec![0.0; self.n_rows() * width];
        product
            .par_chunks_mut(width)
            .with_min_len(16)
            .enumerate()
            .for_each(|(row, sums)| {
                for &(column, value) in self.row(row) {
                    let factors = &dense[column as usize * width..][..width];
                    for (sum, x) in sums.iter_mut().zip(factors) {
                        *sum = value.mul_add(*x, *sum);
                    }
                }
            });
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_a_matrix_and_its_transpose() {
        let a = Sparse::from_rows(3, &[vec![(0, 1.0), (2, 2.0)], vec![], vec![(1, -1.0)]]);
        assert_eq!(
            a.times(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2),
            [11.0, 14.0, 0.0, 0.0, -3.0, -4.0]
        );
        let turned = a.transpose();
        assert_eq!((turned.n_rows(), turned.n_columns()), (3, 3));
        assert_eq!(turned.times(&[1.0, 10.0, 100.0], 1), [1.0, -100.0, 2.0]);
        assert_eq!(turned.transpose(), a);
    }
}
