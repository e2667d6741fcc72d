//! Gramians: `XᵀX` of all rows of a side.

use super::tiles::{Lane, SIDE, Tile, add_outer, n_lanes, n_tiles};
use crate::formats::tensors::Array;
use rayon::prelude::*;

/// Rows whose products are summed in `f32` before they join the `f64` sum.
const BLOCK: usize = 128;

/// Blocks that one task takes.
const BLOCKS_A_TASK: usize = 8;

/// Vectors of equal width, each padded with zeros to whole lanes.
#[derive(Clone, Debug)]
pub struct Rows {
    width: usize,
    lanes: usize,
    /// `[n, lanes]`.
    data: Vec<Lane>,
}

impl Rows {
    /// `n` zero vectors of `width` numbers.
    pub fn zeros(n: usize, width: usize) -> Self {
        let lanes = n_lanes(width);
        Self {
            width,
            lanes,
            data: vec![[0.0; SIDE]; n * lanes],
        }
    }

    /// Copies the rows of a `[n, width]` array.
    pub fn from_array(array: &Array) -> Self {
        let mut rows = Self::zeros(array.shape[0], array.shape[1]);
        for (row, values) in array.data.chunks_exact(array.shape[1]).enumerate() {
            rows.row_mut(row).as_flattened_mut()[..values.len()].copy_from_slice(values);
        }
        rows
    }

    /// Returns the rows without their padding: `[n, width]`.
    pub fn to_array(&self) -> Array {
        let data = self
            .data
            .chunks_exact(self.lanes)
            .flat_map(|row| &row.as_flattened()[..self.width])
            .copied()
            .collect();
        Array::new(&[self.len(), self.width], data)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.lanes
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The lanes of a row.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[Lane] {
        &self.data[row * self.lanes..][..self.lanes]
    }

    /// One row, to be written.
    pub fn row_mut(&mut self, row: usize) -> &mut [Lane] {
        &mut self.data[row * self.lanes..][..self.lanes]
    }

    /// All lanes, row after row, to be split between threads.
    pub fn lanes_mut(&mut self) -> &mut [Lane] {
        &mut self.data
    }
}

/// A Gramian in `f64`: the lower triangle of tiles as [`super::tiles`] lays them out.
#[derive(Clone, Debug)]
pub struct Gram {
    tiles: Vec<[[f64; SIDE]; SIDE]>,
}

impl Gram {
    /// Sums `x xᵀ` over all rows. Blocks of 128 rows are summed in `f32`, blocks in `f64`, both in the order of the rows,
    /// so the result does not depend on the number of threads.
    pub fn of(rows: &Rows) -> Self {
        let size = n_tiles(rows.lanes);
        let zero = vec![[[0.0_f64; SIDE]; SIDE]; size];
        let parts: Vec<_> = rows
            .data
            .par_chunks(BLOCK * BLOCKS_A_TASK * rows.lanes)
            .map(|task| {
                let mut sum = zero.clone();
                let mut panels = Vec::new();
                let mut tiles = vec![[[0.0_f32; SIDE]; SIDE]; size];
                for block in task.chunks(BLOCK * rows.lanes) {
                    let n = block.len() / rows.lanes;
                    panels.clear();
                    for lane in 0..rows.lanes {
                        panels.extend(block.iter().skip(lane).step_by(rows.lanes));
                    }
                    tiles.fill([[0.0; SIDE]; SIDE]);
                    add_outer(&panels, n, &mut tiles);
                    add_wide(&mut sum, &tiles);
                }
                sum
            })
            .collect();
        let mut tiles = zero;
        for part in parts {
            for (value, x) in flat_mut(&mut tiles).zip(part.as_flattened().as_flattened()) {
                *value += x;
            }
        }
        Self { tiles }
    }

    /// Returns the Gramian times `factor`, rounded to `f32`.
    pub fn scaled(&self, factor: f64) -> Vec<Tile> {
        let mut tiles = vec![[[0.0; SIDE]; SIDE]; self.tiles.len()];
        let from = self.tiles.as_flattened().as_flattened();
        let to = tiles.as_flattened_mut().as_flattened_mut();
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * factor) as f32;
        }
        tiles
    }

    /// Returns the sum over all places of the product of two Gramians: `sum over u and i of <w_u, h_i>²`.
    pub fn inner(&self, other: &Self) -> f64 {
        let mut sum = 0.0;
        let mut place = 0;
        let mut p = 0;
        while place < self.tiles.len() {
            for q in 0..=p {
                let product: f64 = self.tiles[place]
                    .as_flattened()
                    .iter()
                    .zip(other.tiles[place].as_flattened())
                    .map(|(a, b)| a * b)
                    .sum();
                // A tile off the diagonal stands for its mirror image too; one on it is whole.
                sum += if q < p { 2.0 * product } else { product };
                place += 1;
            }
            p += 1;
        }
        sum
    }
}

fn flat_mut(tiles: &mut [[[f64; SIDE]; SIDE]]) -> impl Iterator<Item = &mut f64> {
    tiles.as_flattened_mut().as_flattened_mut().iter_mut()
}

fn add_wide(sum: &mut [[[f64; SIDE]; SIDE]], tiles: &[Tile]) {
    for (value, x) in flat_mut(sum).zip(tiles.as_flattened().as_flattened()) {
        *value += f64::from(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;

    #[test]
    fn the_inner_product_of_gramians_is_the_sum_of_squared_scores() {
        let mut rng = Seed::new(2).rng();
        let width = 19;
        let mut side = |n: usize| {
            let data = (0..n * width).map(|_| rng.gen_range(-1.0..1.0)).collect();
            Array::new(&[n, width], data)
        };
        let (users, items) = (side(300), side(1100));
        let mut naive = 0.0;
        for w in users.data.chunks(width) {
            for h in items.data.chunks(width) {
                let score: f64 = w
                    .iter()
                    .zip(h)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum();
                naive += score * score;
            }
        }
        let fast = Gram::of(&Rows::from_array(&users)).inner(&Gram::of(&Rows::from_array(&items)));
        // Blocks of 128 are summed in f32.
        assert!((fast - naive).abs() < 1e-6 * naive, "{fast} and {naive}");
    }

    #[test]
    fn padding_comes_and_goes() {
        let array = Array::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let rows = Rows::from_array(&array);
        assert_eq!((rows.len(), rows.width(), rows.lanes()), (2, 3, 1));
        assert_eq!(rows.to_array(), array);
    }
}
