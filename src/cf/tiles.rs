//! Symmetric matrices on 16 x 16 tiles: rank updates, Cholesky, solves.
//!
//! A symmetric matrix of width `d` is kept as its lower triangle of tiles, row of tiles after row of tiles; `d` is padded
//! to a multiple of 16. A tile holds its numbers column by column: `tile[c][r]` is the number in row `16 p + r` and
//! column `16 q + c`. So the numbers that a fused multiply-add touches together lie together, and the tiles of one
//! tile row, read one after another, are the columns of that row of the triangle: the products of the factorisation
//! and of a rank update are one and the same loop ([`product`]).

use std::ops::Range;

/// The side of a tile: two 8-lane registers.
pub const SIDE: usize = 16;

/// Half a lane: one register.
const HALF: usize = SIDE / 2;

/// One column of a tile, or 16 neighbouring numbers of a vector.
pub type Lane = [f32; SIDE];

/// 16 columns.
pub type Tile = [Lane; SIDE];

/// The number of lanes that hold `width` numbers.
pub const fn n_lanes(width: usize) -> usize {
    width.div_ceil(SIDE)
}

/// The number of tiles of a lower triangle that is `lanes` tiles wide.
pub const fn n_tiles(lanes: usize) -> usize {
    lanes * (lanes + 1) / 2
}

/// Where tile row `p` starts.
const fn start(p: usize) -> usize {
    p * (p + 1) / 2
}

/// Returns `sum over k of left[k][c] * right[k][r]` as `[c][r]`.
///
/// The sum runs in the order of `k` with fused multiply-adds; its bits depend on nothing else.
pub fn product(left: &[Lane], right: &[Lane]) -> Tile {
    let mut tile = [[0.0; SIDE]; SIDE];
    let (quarters, _) = tile.as_chunks_mut::<4>();
    quarters[0] = quarter::<0>(left, right);
    quarters[1] = quarter::<4>(left, right);
    quarters[2] = quarter::<8>(left, right);
    quarters[3] = quarter::<12>(left, right);
    tile
}

/// Returns what [`product`] does of a lane with itself, as far as the lower triangle goes: the first eight numbers of the
/// last eight columns are 0. A quarter of the work is left out, and of narrow matrices most tiles are on the diagonal.
fn square(lane: &[Lane]) -> Tile {
    let mut tile = [[0.0; SIDE]; SIDE];
    let (quarters, _) = tile.as_chunks_mut::<4>();
    quarters[0] = quarter::<0>(lane, lane);
    quarters[1] = quarter::<4>(lane, lane);
    let mut sums = [[0.0_f32; HALF]; HALF];
    for values in lane {
        let values: [f32; HALF] = std::array::from_fn(|r| values[HALF + r]);
        for (sum, factor) in sums.iter_mut().zip(values) {
            for (total, value) in sum.iter_mut().zip(&values) {
                *total = factor.mul_add(*value, *total);
            }
        }
    }
    for (column, sum) in tile[HALF..].iter_mut().zip(sums) {
        column[HALF..].copy_from_slice(&sum);
    }
    tile
}

/// Four columns of [`product`]: eight accumulators, which is what hides the latency of a fused multiply-add.
#[inline(always)]
fn quarter<const FIRST: usize>(left: &[Lane], right: &[Lane]) -> [Lane; 4] {
    let mut sums = [[0.0_f32; SIDE]; 4];
    for (a, b) in left.iter().zip(right) {
        for (column, sum) in sums.iter_mut().enumerate() {
            let factor = a[FIRST + column];
            for (total, value) in sum.iter_mut().zip(b) {
                *total = factor.mul_add(*value, *total);
            }
        }
    }
    sums
}

/// Vectors laid out for [`product`]: lane by lane, and in a lane one vector after another.
#[derive(Clone, Debug)]
pub struct Panels {
    n: usize,
    /// `[lanes, STRIDE]`, of which the first `n` of each lane are filled.
    data: Vec<Lane>,
}

impl Panels {
    /// The most vectors at a time: few enough that two lanes of them stay in the L1 cache.
    pub const MOST: usize = 128;
    /// One more than [`Panels::MOST`]: lanes that are a power of two apart would share a set of the cache.
    const STRIDE: usize = Self::MOST + 1;

    /// Room for vectors of this many lanes.
    pub fn new(lanes: usize) -> Self {
        Self {
            n: 0,
            data: vec![[0.0; SIDE]; lanes * Self::STRIDE],
        }
    }

    /// Forgets the vectors.
    pub fn clear(&mut self) {
        self.n = 0;
    }

    /// Adds a vector.
    ///
    /// # Panics
    /// When there are [`Panels::MOST`] already.
    #[inline]
    pub fn push(&mut self, vector: &[Lane]) {
        assert!(self.n < Self::MOST, "the panels are full");
        for (lane, values) in self.data.chunks_exact_mut(Self::STRIDE).zip(vector) {
            lane[self.n] = *values;
        }
        self.n += 1;
    }

    /// One lane of every vector.
    pub fn lane(&self, lane: usize) -> &[Lane] {
        &self.data[lane * Self::STRIDE..][..self.n]
    }
}

/// Adds `sum over k of x_k x_kᵀ`, with `x_k` the given lanes of a vector, to a lower triangle of tiles, [`n_tiles`] of their
/// number. Above the diagonal of the matrix the tiles on it are left undefined.
pub fn add_outer(panels: &Panels, lanes: Range<usize>, tiles: &mut [Tile]) {
    let mut place = 0;
    for p in lanes.clone() {
        for q in lanes.start..=p {
            let update = if q < p {
                product(panels.lane(q), panels.lane(p))
            } else {
                square(panels.lane(p))
            };
            add(&mut tiles[place], &update);
            place += 1;
        }
    }
}

/// Adds to `sums[k]` the inner product of `vector` with the given lanes of vector k.
pub fn add_products(panels: &Panels, lanes: Range<usize>, vector: &[Lane], sums: &mut [f32]) {
    for (group, sums) in sums.chunks_mut(HALF).enumerate() {
        // Eight vectors at a time: as many accumulators hide the latency of a fused multiply-add. What a last group reads
        // past the end is left from before and is thrown away.
        let mut totals = [[0.0_f32; HALF]; HALF];
        for (lane, factors) in lanes.clone().zip(vector) {
            let values = &panels.data[lane * Panels::STRIDE + group * HALF..][..HALF];
            let (factors, _) = factors.as_chunks::<HALF>();
            for (total, values) in totals.iter_mut().zip(values) {
                let (values, _) = values.as_chunks::<HALF>();
                for (values, factors) in values.iter().zip(factors) {
                    for ((total, x), factor) in total.iter_mut().zip(values).zip(factors) {
                        *total = factor.mul_add(*x, *total);
                    }
                }
            }
        }
        for (sum, total) in sums.iter_mut().zip(sums_of(&totals)) {
            *sum += total;
        }
    }
}

/// Returns the sum of each of eight registers: a tree in which every step adds whole registers.
#[inline]
fn sums_of(x: &[[f32; HALF]; HALF]) -> [f32; HALF] {
    let halves = |a: &[f32; 8], b: &[f32; 8]| {
        let low = [a[0], b[0], a[1], b[1], a[4], b[4], a[5], b[5]];
        let high = [a[2], b[2], a[3], b[3], a[6], b[6], a[7], b[7]];
        sum_of(&low, &high)
    };
    let quarters = |a: &[f32; 8], b: &[f32; 8]| {
        let low = [a[0], a[1], b[0], b[1], a[4], a[5], b[4], b[5]];
        let high = [a[2], a[3], b[2], b[3], a[6], a[7], b[6], b[7]];
        sum_of(&low, &high)
    };
    let a = quarters(&halves(&x[0], &x[1]), &halves(&x[2], &x[3]));
    let b = quarters(&halves(&x[4], &x[5]), &halves(&x[6], &x[7]));
    let low = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
    let high = [a[4], a[5], a[6], a[7], b[4], b[5], b[6], b[7]];
    sum_of(&low, &high)
}

#[inline]
fn sum_of(a: &[f32; HALF], b: &[f32; HALF]) -> [f32; HALF] {
    std::array::from_fn(|r| a[r] + b[r])
}

/// Returns the sum of the lanes, each times its factor. Four sums, as one would wait for each fused multiply-add.
#[inline(never)]
pub fn weighted_sum(lanes: &[Lane], factors: &[f32]) -> Lane {
    let mut sums = [[0.0_f32; SIDE]; 4];
    let (groups, rest) = lanes.as_chunks::<4>();
    let (group_factors, rest_factors) = factors.as_chunks::<4>();
    for (group, factors) in groups.iter().zip(group_factors) {
        for ((sum, lane), factor) in sums.iter_mut().zip(group).zip(factors) {
            for (total, x) in sum.iter_mut().zip(lane) {
                *total = factor.mul_add(*x, *total);
            }
        }
    }
    for (lane, factor) in rest.iter().zip(rest_factors) {
        for (total, x) in sums[0].iter_mut().zip(lane) {
            *total = factor.mul_add(*x, *total);
        }
    }
    std::array::from_fn(|r| (sums[0][r] + sums[1][r]) + (sums[2][r] + sums[3][r]))
}

/// Adds the lanes of one vector or tile to another's.
#[inline]
pub fn add(lanes: &mut [Lane], other: &[Lane]) {
    for (column, update) in lanes.iter_mut().zip(other) {
        for (value, x) in column.iter_mut().zip(update) {
            *value += x;
        }
    }
}

/// Adds `value` to the first `width` places of the diagonal and makes the padding's diagonal 1, so that the padding
/// neither changes the solution nor stops the factorisation.
pub fn add_diagonal(tiles: &mut [Tile], width: usize, value: f32) {
    for place in 0..n_lanes(width) * SIDE {
        let (p, r) = (place / SIDE, place % SIDE);
        let entry = &mut tiles[start(p) + p][r][r];
        if place < width {
            *entry += value;
        } else {
            *entry = 1.0;
        }
    }
}

/// The factorisation met a pivot that is not positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPositiveDefinite;

/// Replaces a symmetric positive definite matrix by its Cholesky factor `L` (`A = L Lᵀ`), tile column by tile column,
/// looking left. `inverse_diagonal` receives `1 / L[k][k]`.
pub fn factorize(
    tiles: &mut [Tile],
    inverse_diagonal: &mut [Lane],
) -> Result<(), NotPositiveDefinite> {
    let lanes = inverse_diagonal.len();
    for q in 0..lanes {
        for p in q..lanes {
            let columns = tiles.as_flattened();
            let left = &columns[start(q) * SIDE..][..q * SIDE];
            let right = &columns[start(p) * SIDE..][..q * SIDE];
            let update = product(left, right);
            for (column, x) in tiles[start(p) + q].iter_mut().zip(&update) {
                for (value, x) in column.iter_mut().zip(x) {
                    *value -= x;
                }
            }
        }
        let diagonal = &mut tiles[start(q) + q];
        factorize_tile(diagonal, &mut inverse_diagonal[q])?;
        let diagonal = *diagonal;
        for p in q + 1..lanes {
            solve_tile(&mut tiles[start(p) + q], &diagonal, &inverse_diagonal[q]);
        }
    }
    Ok(())
}

fn factorize_tile(tile: &mut Tile, inverse: &mut Lane) -> Result<(), NotPositiveDefinite> {
    for c in 0..SIDE {
        let pivot = tile[c][c];
        // Also refuses NaN.
        if !(pivot > 0.0 && pivot.is_finite()) {
            return Err(NotPositiveDefinite);
        }
        inverse[c] = 1.0 / pivot.sqrt();
        let mut column = tile[c];
        for (r, value) in column.iter_mut().enumerate() {
            *value = if r < c { 0.0 } else { *value * inverse[c] };
        }
        tile[c] = column;
        let (left, right) = tile.split_at_mut(HALF);
        for (next, target) in left.iter_mut().enumerate().skip(c + 1) {
            let factor = -column[next];
            for (value, x) in target.iter_mut().zip(&column) {
                *value = factor.mul_add(*x, *value);
            }
        }
        // The right columns are above the diagonal in their first half: nothing reads them there.
        for (next, target) in right
            .iter_mut()
            .enumerate()
            .skip((c + 1).saturating_sub(HALF))
        {
            let factor = -column[HALF + next];
            for (value, x) in target[HALF..].iter_mut().zip(&column[HALF..]) {
                *value = factor.mul_add(*x, *value);
            }
        }
    }
    Ok(())
}

/// Solves `X Dᵀ = tile` for the tile below a factorised diagonal tile `D`.
fn solve_tile(tile: &mut Tile, diagonal: &Tile, inverse: &Lane) {
    for c in 0..SIDE {
        let mut column = tile[c];
        for m in 0..c {
            let factor = -diagonal[m][c];
            for (value, x) in column.iter_mut().zip(&tile[m]) {
                *value = factor.mul_add(*x, *value);
            }
        }
        for value in &mut column {
            *value *= inverse[c];
        }
        tile[c] = column;
    }
}

/// Replaces `b` by the solution of `L Lᵀ x = b`, given what [`factorize`] left.
pub fn solve(tiles: &[Tile], inverse_diagonal: &[Lane], b: &mut [Lane]) {
    let lanes = b.len();
    for p in 0..lanes {
        let (done, rest) = b.split_at_mut(p);
        let mut lane = rest[0];
        let columns = tiles[start(p)..start(p) + p].as_flattened();
        for (column, z) in columns.iter().zip(done.as_flattened()) {
            for (value, x) in lane.iter_mut().zip(column) {
                *value = (-z).mul_add(*x, *value);
            }
        }
        let diagonal = &tiles[start(p) + p];
        for c in 0..SIDE {
            let z = lane[c] * inverse_diagonal[p][c];
            for r in c + 1..SIDE {
                lane[r] = (-z).mul_add(diagonal[c][r], lane[r]);
            }
            lane[c] = z;
        }
        rest[0] = lane;
    }
    for q in (0..lanes).rev() {
        let mut lane = b[q];
        for p in q + 1..lanes {
            let tile = &tiles[start(p) + q];
            for (value, column) in lane.iter_mut().zip(tile) {
                *value -= dot(std::slice::from_ref(column), &b[p..=p]);
            }
        }
        let diagonal = &tiles[start(q) + q];
        for c in (0..SIDE).rev() {
            let mut x = lane[c];
            for r in c + 1..SIDE {
                x = (-diagonal[c][r]).mul_add(lane[r], x);
            }
            lane[c] = x * inverse_diagonal[q][c];
        }
        b[q] = lane;
    }
}

/// Adds `factor` times one vector to another.
#[inline]
pub fn add_scaled(vector: &mut [Lane], factor: f32, other: &[Lane]) {
    for (lane, other) in vector.iter_mut().zip(other) {
        for (value, x) in lane.iter_mut().zip(other) {
            *value = factor.mul_add(*x, *value);
        }
    }
}

/// The inner product of two vectors: a sum for each place of a lane, added pairwise at the end.
// As a call it costs twice the product of a narrow block.
#[inline(always)]
pub fn dot(a: &[Lane], b: &[Lane]) -> f32 {
    let mut products = [0.0_f32; SIDE];
    for (a, b) in a.iter().zip(b) {
        for ((product, x), y) in products.iter_mut().zip(a).zip(b) {
            *product = x.mul_add(*y, *product);
        }
    }
    // Pairwise, so that it stays in registers.
    for half in [8, 4, 2, 1] {
        for place in 0..half {
            products[place] += products[place + half];
        }
    }
    products[0]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;

    /// The textbook solution in `f64`: Gaussian elimination with partial pivoting.
    pub(crate) fn naive_solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
        let n = b.len();
        for k in 0..n {
            let best = (k..n)
                .max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))
                .unwrap();
            a.swap(k, best);
            b.swap(k, best);
            for i in k + 1..n {
                let factor = a[i][k] / a[k][k];
                let pivot_row = a[k].clone();
                for (x, y) in a[i].iter_mut().zip(&pivot_row) {
                    *x -= factor * y;
                }
                b[i] -= factor * b[k];
            }
        }
        for k in (0..n).rev() {
            for j in k + 1..n {
                b[k] -= a[k][j] * b[j];
            }
            b[k] /= a[k][k];
        }
        b
    }

    fn padded(values: &[f32]) -> Vec<Lane> {
        let mut lanes = vec![[0.0; SIDE]; n_lanes(values.len())];
        lanes.as_flattened_mut()[..values.len()].copy_from_slice(values);
        lanes
    }

    #[test]
    fn products_and_weighted_sums_are_those_of_the_vectors_there_are() {
        let mut rng = Seed::new(4).rng();
        let width = 40;
        let mut panels = Panels::new(n_lanes(width));
        // Fewer vectors each time: what is left behind them must not be seen.
        for n in [Panels::MOST, 17, 8, 3] {
            let rows: Vec<Vec<f32>> = (0..n)
                .map(|_| (0..width).map(|_| rng.gen_range(-1.0..1.0)).collect())
                .collect();
            panels.clear();
            for row in &rows {
                panels.push(&padded(row));
            }
            // The last two lanes: columns 16 to 39.
            let vector: Vec<f32> = (16..width).map(|_| rng.gen_range(-1.0..1.0)).collect();
            let mut sums = vec![1.0; n];
            add_products(&panels, 1..3, &padded(&vector), &mut sums);
            for (row, sum) in rows.iter().zip(&sums) {
                let product: f32 = row[16..].iter().zip(&vector).map(|(a, b)| a * b).sum();
                assert!(
                    (1.0 + product - sum).abs() < 1e-5,
                    "{n}: {product} and {sum}"
                );
            }
            let weighted = weighted_sum(panels.lane(1), &sums);
            for (column, value) in weighted.iter().enumerate() {
                let naive: f32 = rows
                    .iter()
                    .zip(&sums)
                    .map(|(row, x)| row[16 + column] * x)
                    .sum();
                // Up to 128 numbers of about 1.
                assert!((naive - value).abs() < 1e-4, "{n}: {naive} and {value}");
            }
        }
    }

    #[test]
    fn solves_agree_with_gaussian_elimination() {
        let mut rng = Seed::new(1).rng();
        for (width, n) in [(1, 3), (5, 2), (16, 40), (17, 9), (64, 100), (70, 30)] {
            let rows: Vec<Vec<f32>> = (0..n)
                .map(|_| (0..width).map(|_| rng.gen_range(-1.0..1.0)).collect())
                .collect();
            let ridge = 0.5_f32;
            let b: Vec<f32> = (0..width).map(|_| rng.gen_range(-1.0..1.0)).collect();

            let lanes = n_lanes(width);
            let mut tiles = vec![[[0.0; SIDE]; SIDE]; n_tiles(lanes)];
            let mut panels = Panels::new(lanes);
            for row in &rows {
                panels.push(&padded(row));
            }
            add_outer(&panels, 0..lanes, &mut tiles);
            add_diagonal(&mut tiles, width, ridge);
            let mut inverse = vec![[0.0; SIDE]; lanes];
            factorize(&mut tiles, &mut inverse).unwrap();
            let mut x = padded(&b);
            solve(&tiles, &inverse, &mut x);

            let a = (0..width)
                .map(|i| {
                    (0..width)
                        .map(|j| {
                            let sum: f64 = rows
                                .iter()
                                .map(|row| f64::from(row[i]) * f64::from(row[j]))
                                .sum();
                            sum + if i == j { f64::from(ridge) } else { 0.0 }
                        })
                        .collect()
                })
                .collect();
            let wanted = naive_solve(a, b.iter().map(|&x| f64::from(x)).collect());
            let scale = wanted.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (i, (x, wanted)) in x.as_flattened().iter().zip(&wanted).enumerate() {
                // The condition number is below 200; f32 carries seven digits.
                assert!(
                    (f64::from(*x) - wanted).abs() < 2e-5 * scale,
                    "width {width}, place {i}: {x} and {wanted}"
                );
            }
            assert!(x.as_flattened()[width..].iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn indefinite_and_nan_matrices_are_refused() {
        for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let mut tiles = vec![[[0.0; SIDE]; SIDE]; 1];
            add_diagonal(&mut tiles, 3, 1.0);
            tiles[0][1][1] = wrong;
            let mut inverse = vec![[0.0; SIDE]; 1];
            assert_eq!(
                factorize(&mut tiles, &mut inverse),
                Err(NotPositiveDefinite)
            );
        }
    }
}
