//! Loops in parallel over pieces of fixed size.

use super::math;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers in a piece. Fixed: results must not depend on the number of threads.
const PIECE: usize = 1 << 13;
/// Columns in a piece of a sum over rows.
const COLUMNS: usize = 64;

/// `f(x)` of each number.
pub(super) fn map(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    let piece = |y: &mut [f32], x: &[f32]| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    };
    if x.len() <= PIECE {
        piece(&mut y, x);
    } else {
        y.par_chunks_mut(PIECE)
            .zip(x.par_chunks(PIECE))
            .for_each(|(y, x)| piece(y, x));
    }
    y
}

/// `f(a, b)` of each pair.
pub(super) fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    let piece = |y: &mut [f32], a: &[f32], b: &[f32]| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    };
    if a.len() <= PIECE {
        piece(&mut y, a, b);
    } else {
        y.par_chunks_mut(PIECE)
            .zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE)))
            .for_each(|(y, (a, b))| piece(y, a, b));
    }
    y
}

/// Adds `f(a)` to each number of `y`.
pub(super) fn accumulate(y: &mut [f32], a: &[f32], f: impl Fn(f32) -> f32 + Sync) {
    let piece = |y: &mut [f32], a: &[f32]| {
        for (y, &a) in y.iter_mut().zip(a) {
            *y += f(a);
        }
    };
    if y.len() <= PIECE {
        piece(y, a);
    } else {
        y.par_chunks_mut(PIECE)
            .zip(a.par_chunks(PIECE))
            .for_each(|(y, a)| piece(y, a));
    }
}

/// Adds `f(a, b, c)` to each number of `y`.
pub(super) fn accumulate3(
    y: &mut [f32],
    a: &[f32],
    b: &[f32],
    c: &[f32],
    f: impl Fn(f32, f32, f32) -> f32 + Sync,
) {
    let piece = |y: &mut [f32], a: &[f32], b: &[f32], c: &[f32]| {
        for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
            *y += f(a, b, c);
        }
    };
    if y.len() <= PIECE {
        piece(y, a, b, c);
    } else {
        y.par_chunks_mut(PIECE)
            .zip(a.par_chunks(PIECE))
            .zip(b.par_chunks(PIECE).zip(c.par_chunks(PIECE)))
            .for_each(|((y, a), (b, c))| piece(y, a, b, c));
    }
}

/// Calls `f(row number, row)` for each row of `width` numbers.
pub(super) fn rows(y: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    rows_with(y, width, &mut [(); 0], 0, |row, y, _| f(row, y));
}

/// Calls `f(row number, row, its part of other)` for each row of `width` numbers; `other` has `each` things a row.
pub(super) fn rows_with<T: Send>(
    y: &mut [f32],
    width: usize,
    other: &mut [T],
    each: usize,
    f: impl Fn(usize, &mut [f32], &mut [T]) + Sync,
) {
    if y.is_empty() {
        return;
    }
    let together = (PIECE / width).max(1);
    if each == 0 {
        let piece = |index: usize, y: &mut [f32]| {
            for (offset, y) in y.chunks_exact_mut(width).enumerate() {
                f(index * together + offset, y, &mut []);
            }
        };
        if y.len() <= together * width {
            piece(0, y);
        } else {
            y.par_chunks_mut(together * width)
                .enumerate()
                .for_each(|(index, y)| piece(index, y));
        }
        return;
    }
    let piece = |index: usize, y: &mut [f32], other: &mut [T]| {
        let pairs = y.chunks_exact_mut(width).zip(other.chunks_exact_mut(each));
        for (offset, (y, other)) in pairs.enumerate() {
            f(index * together + offset, y, other);
        }
    };
    if y.len() <= together * width {
        piece(0, y, other);
    } else {
        y.par_chunks_mut(together * width)
            .zip(other.par_chunks_mut(together * each))
            .enumerate()
            .for_each(|(index, (y, other))| piece(index, y, other));
    }
}

/// Adds a sum over rows to each column: `f(row, columns, sums)` adds what `row` gives to `columns`. Rows are added in order.
pub(super) fn column_sums(
    y: &mut [f32],
    n_rows: usize,
    f: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) {
    let width = y.len();
    let piece = |index: usize, y: &mut [f32]| {
        let start = index * COLUMNS;
        let mut sums = [0.0; COLUMNS];
        let sums = &mut sums[..y.len()];
        for row in 0..n_rows {
            f(row, start..start + y.len(), sums);
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y += *sum;
        }
    };
    if width * n_rows <= PIECE {
        for (index, y) in y.chunks_mut(COLUMNS).enumerate() {
            piece(index, y);
        }
    } else {
        y.par_chunks_mut(COLUMNS)
            .enumerate()
            .for_each(|(index, y)| piece(index, y));
    }
}

/// The sum of `f(a, b)` over all pairs; pieces are added in order in `f64`.
pub(super) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> f64 {
    let piece = |(a, b): (&[f32], &[f32])| f64::from(math::sum2(a, b, &f));
    if a.len() <= PIECE {
        return piece((a, b));
    }
    a.par_chunks(PIECE)
        .zip(b.par_chunks(PIECE))
        .map(piece)
        .collect::<Vec<_>>()
        .into_iter()
        .sum()
}
