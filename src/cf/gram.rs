//! Gramians: `XᵀX` of all rows of a side, whole or some of its rows.

use super::tiles::{Lane, Panels, SIDE, Tile, add_outer, n_lanes, n_tiles};
use crate::formats::tensors::Array;
use rayon::prelude::*;
use std::ops::Range;

/// Blocks that one task takes; a block is what [`Panels`] hold.
const BLOCKS_A_TASK: usize = 8;

/// A tile whose sums run over many blocks.
type WideTile = [[f64; SIDE]; SIDE];

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
    tiles: Vec<WideTile>,
}

impl Gram {
    /// Sums `x xᵀ` over all rows. Blocks of 128 rows are summed in `f32`, blocks in `f64`, both in the order of the rows,
    /// so the result does not depend on the number of threads.
    pub fn of(rows: &Rows) -> Self {
        let lanes = rows.lanes;
        let add = |panels: &Panels, tiles: &mut [Tile]| add_outer(panels, 0..lanes, tiles);
        Self {
            tiles: sum_blocks(rows, n_tiles(lanes), add),
        }
    }

    /// Returns the Gramian times `factor`, rounded to `f32`.
    pub fn scaled(&self, factor: f64) -> Vec<Tile> {
        let mut scaled = vec![[[0.0; SIDE]; SIDE]; self.tiles.len()];
        let from = self.tiles.as_flattened().as_flattened();
        let to = scaled.as_flattened_mut().as_flattened_mut();
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * factor) as f32;
        }
        scaled
    }

    /// Returns the rows of the lanes `block`, with all columns, times `factor`, rounded to `f32`.
    pub fn strip(&self, lanes: usize, block: Range<usize>, factor: f64) -> Strip {
        let mut tiles = Vec::with_capacity(block.len() * lanes);
        for p in block.clone() {
            for q in 0..lanes {
                // Only the lower triangle is filled; the rest is its mirror image.
                let place = n_tiles(p.max(q)) + p.min(q);
                let from = &self.tiles[place];
                tiles.push(std::array::from_fn(|c| {
                    std::array::from_fn(|r| {
                        let below = q < p || (q == p && c <= r);
                        let value = if below { from[c][r] } else { from[r][c] };
                        (value * factor) as f32
                    })
                }));
            }
        }
        Strip {
            lanes,
            block,
            tiles,
        }
    }

    /// Returns the sum over all places of the product of two Gramians: `sum over u and i of <w_u, h_i>²`.
    pub fn inner(&self, other: &Self) -> f64 {
        let mut sum = 0.0;
        let mut place = 0;
        let mut p = 0;
        while place < self.tiles.len() {
            for q in 0..=p {
                // A number off the diagonal stands for its mirror image too; above it, the tiles are not filled.
                for c in 0..SIDE {
                    let first = if q < p { 0 } else { c };
                    for r in first..SIDE {
                        let product = self.tiles[place][c][r] * other.tiles[place][c][r];
                        sum += if q < p || c < r {
                            2.0 * product
                        } else {
                            product
                        };
                    }
                }
                place += 1;
            }
            p += 1;
        }
        sum
    }
}

/// Some rows of a Gramian in `f64`: those of the lanes `block`, with all columns.
#[derive(Clone, Debug)]
pub struct Strip {
    lanes: usize,
    block: Range<usize>,
    /// `[block, lanes]`; `tile[c][r]` is the number in row `r` of the block's lane and column `c` of the other lane.
    tiles: Vec<Tile>,
}

impl Strip {
    /// The rows as tiles: `[block, lanes]`.
    fn rows(&self) -> impl Iterator<Item = &[Tile]> {
        self.tiles.chunks_exact(self.lanes)
    }

    /// Returns the columns of the block: a lower triangle of tiles as [`super::tiles`] lays them out.
    pub fn triangle(&self) -> Vec<Tile> {
        self.rows()
            .enumerate()
            .flat_map(|(p, tiles)| &tiles[self.block.start..=self.block.start + p])
            .copied()
            .collect()
    }

    /// Writes the product with a whole vector (`[lanes]`) to `out` (`[block]`).
    pub fn multiply(&self, vector: &[Lane], out: &mut [Lane]) {
        for (out, tiles) in out.iter_mut().zip(self.rows()) {
            // Four sums: one would wait for each fused multiply-add.
            let mut sums = [[0.0_f32; SIDE]; 4];
            for (tile, values) in tiles.iter().zip(vector) {
                let (columns, _) = tile.as_chunks::<4>();
                let (values, _) = values.as_chunks::<4>();
                for (columns, values) in columns.iter().zip(values) {
                    for ((sum, column), value) in sums.iter_mut().zip(columns).zip(values) {
                        for (total, x) in sum.iter_mut().zip(column) {
                            *total = value.mul_add(*x, *total);
                        }
                    }
                }
            }
            for (r, out) in out.iter_mut().enumerate() {
                *out = (sums[0][r] + sums[1][r]) + (sums[2][r] + sums[3][r]);
            }
        }
    }
}

/// Sums what `add` makes of each block of rows (`add` is given zeros) in the order of the blocks.
fn sum_blocks(
    rows: &Rows,
    n_tiles: usize,
    add: impl Fn(&Panels, &mut [Tile]) + Sync,
) -> Vec<WideTile> {
    let zero = vec![[[0.0_f64; SIDE]; SIDE]; n_tiles];
    let parts: Vec<_> = rows
        .data
        .par_chunks(Panels::MOST * BLOCKS_A_TASK * rows.lanes)
        .map(|task| {
            let mut sum = zero.clone();
            let mut panels = Panels::new(rows.lanes);
            let mut tiles = vec![[[0.0_f32; SIDE]; SIDE]; n_tiles];
            for block in task.chunks(Panels::MOST * rows.lanes) {
                panels.clear();
                block
                    .chunks_exact(rows.lanes)
                    .for_each(|row| panels.push(row));
                tiles.fill([[0.0; SIDE]; SIDE]);
                add(&panels, &mut tiles);
                let blocks = tiles.as_flattened().as_flattened();
                for (value, x) in flat_mut(&mut sum).zip(blocks) {
                    *value += f64::from(*x);
                }
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
    tiles
}

fn flat_mut(tiles: &mut [WideTile]) -> impl Iterator<Item = &mut f64> {
    tiles.as_flattened_mut().as_flattened_mut().iter_mut()
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
