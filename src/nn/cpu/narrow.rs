//! Products of a few rows with the rows of a weight matrix, read once and as they lie in memory.
//!
//! Generating text multiplies a few rows with every weight; the gemm crate would first copy all weights into another order. Here the rows of the
//! input are the lanes: they are turned into columns, `[k, lanes]`, and each weight, read once, is multiplied with a whole column. Every
//! result is one chain of fused multiplications and additions in the order of `k`: its bits depend on its own row of input and of
//! weights alone, not on the rows beside it, the lanes, the tasks or the threads.

use super::memory::{LINE, fetch};
use super::team::{self, Shared};

/// The most rows for which reading the weights as they lie is faster than packing them.
pub(super) const NARROW: usize = 32;
/// Rows of weights of one task: even the smallest matrices make some tasks.
const TASK: usize = 24;

/// `x·wᵀ`: `x` `[m, k]` in rows `stride` apart, `w` `[n, k]` in rows `w_stride` apart, result `[m, n]`.
///
/// # Panics
/// When a matrix does not lie inside its slice, or `m` is above [`NARROW`].
pub(super) fn product(
    (m, n, k): (usize, usize, usize),
    (x, stride): (&[f32], usize),
    (w, w_stride): (&[f32], usize),
) -> Vec<f32> {
    let mut y = vec![0.0; m * n];
    // Tiles that keep eight sums of eight lanes or more going, and leave registers for the column.
    match m {
        0 => {}
        1..=8 => lanes::<8, 8>((m, n, k), (x, stride), (w, w_stride), &mut y),
        9..=16 => lanes::<4, 16>((m, n, k), (x, stride), (w, w_stride), &mut y),
        17..=24 => lanes::<4, 24>((m, n, k), (x, stride), (w, w_stride), &mut y),
        _ => lanes::<2, 32>((m, n, k), (x, stride), (w, w_stride), &mut y),
    }
    y
}

fn lanes<const ROWS: usize, const LANES: usize>(
    (m, n, k): (usize, usize, usize),
    (x, stride): (&[f32], usize),
    (w, w_stride): (&[f32], usize),
    y: &mut [f32],
) {
    assert!(m <= LANES, "more rows than lanes");
    let columns = turned::<LANES>(m, k, x, stride);
    let y = Shared::new(y);
    team::for_each(n.div_ceil(TASK), |task| {
        let end = n.min((task + 1) * TASK);
        let mut first = task * TASK;
        while first < end {
            let rows = ROWS.min(end - first);
            let sums = if rows == ROWS {
                tile::<ROWS, LANES>(&w[first * w_stride..], w_stride, &columns)
            } else {
                let mut sums = [[0.0; LANES]; ROWS];
                for (row, sums) in sums.iter_mut().enumerate().take(rows) {
                    [*sums] = tile::<1, LANES>(&w[(first + row) * w_stride..], w_stride, &columns);
                }
                sums
            };
            for i in 0..m {
                // SAFETY: the columns `first..first + rows` of `y` belong to this task alone, and this is its only part at this time.
                #[expect(unsafe_code, reason = "tasks write columns of one matrix")]
                let y = unsafe { y.part(i * n + first, rows) };
                for (y, sums) in y.iter_mut().zip(&sums) {
                    *y = sums[i];
                }
            }
            first += rows;
        }
    });
}

/// `x` `[m, k]` as columns `[k, lanes]`; lanes without a row are 0.
fn turned<const LANES: usize>(m: usize, k: usize, x: &[f32], stride: usize) -> Vec<[f32; LANES]> {
    let mut columns = vec![[0.0; LANES]; k];
    let rows: Vec<&[f32]> = (0..m).map(|i| &x[i * stride..][..k]).collect();
    for (at, column) in columns.iter_mut().enumerate() {
        for (value, row) in column.iter_mut().zip(&rows) {
            *value = row[at];
        }
    }
    columns
}

/// The sums of products of some rows of weights with every lane.
#[inline(always)]
fn tile<const ROWS: usize, const LANES: usize>(
    w: &[f32],
    stride: usize,
    columns: &[[f32; LANES]],
) -> [[f32; LANES]; ROWS] {
    let k = columns.len();
    let (lines, rest) = columns.as_chunks::<LINE>();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &w[row * stride..][..k]);
    let mut sums = [[0.0; LANES]; ROWS];
    let full = rows.map(|row| &row.as_chunks::<LINE>().0[..lines.len()]);
    for (at, columns) in lines.iter().enumerate() {
        // The next tile, in time for it: several rows at once are too many streams for the processor to foresee by itself.
        for row in full {
            fetch(row[at].as_ptr(), ROWS * stride);
        }
        for (line, column) in columns.iter().enumerate() {
            for row in 0..ROWS {
                add(&mut sums[row], full[row][at][line], column);
            }
        }
    }
    let done = lines.len() * LINE;
    for (at, column) in rest.iter().enumerate() {
        for row in 0..ROWS {
            add(&mut sums[row], rows[row][done + at], column);
        }
    }
    sums
}

#[inline(always)]
fn add<const LANES: usize>(sums: &mut [f32; LANES], weight: f32, column: &[f32; LANES]) {
    for (sum, &x) in sums.iter_mut().zip(column) {
        *sum = weight.mul_add(x, *sum);
    }
}
