//! Loops in parallel over pieces of fixed size.

use super::storage::Place;
use super::{math, team};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Numbers in a piece. Fixed: results must not depend on the number of threads.
const PIECE: usize = 1 << 13;
/// Columns in a piece of a sum over rows.
const COLUMNS: usize = 64;

/// Makes `n` numbers piece by piece, in room that nobody has filled before: `f(index, piece)` must write every number of its piece.
///
/// A `vec![0.0; n]` would be filled by one thread, long before the numbers are computed.
fn fresh<T: Copy + Send>(
    n: usize,
    piece: usize,
    f: impl for<'a> Fn(usize, Unwritten<'a, T>) -> Written<'a> + Sync,
) -> Vec<T> {
    let mut y: Vec<T> = Vec::with_capacity(n);
    let room = &mut y.spare_capacity_mut()[..n];
    team::pieces(room, piece, |index, room| {
        f(index, Unwritten(room));
    });
    // SAFETY: the pieces are all `n` elements, and for each `f` has given a `Written`, which only a full `Unwritten` turns into.
    #[expect(unsafe_code, reason = "room is filled in parallel")]
    unsafe {
        y.set_len(n);
    }
    y
}

/// Room for numbers.
struct Unwritten<'a, T>(&'a mut [MaybeUninit<T>]);

/// The proof that some room was filled.
struct Written<'a>(PhantomData<&'a mut ()>);

impl<'a> Unwritten<'a, f32> {
    /// Fills the room with numbers, of which there must be enough. Iterators over slices only: their lengths are true.
    fn write(self, values: impl ExactSizeIterator<Item = f32>) -> Written<'a> {
        assert!(values.len() >= self.0.len(), "too few numbers");
        for (place, value) in self.0.iter_mut().zip(values) {
            place.write(value);
        }
        Written(PhantomData)
    }

    /// Fills the room with zeros and lets `f` change them: they are in the cache of this thread.
    fn zeroed(self, f: impl FnOnce(&mut [f32])) -> Written<'a> {
        for place in self.0.iter_mut() {
            place.write(0.0);
        }
        // SAFETY: every element was written above.
        #[expect(unsafe_code, reason = "the elements are known to be written")]
        f(unsafe { self.0.assume_init_mut() });
        Written(PhantomData)
    }
}

/// Zeros.
pub(super) fn zeros(n: usize) -> Vec<f32> {
    fresh(n, 8 * PIECE, |_, y| y.zeroed(|_| ()))
}

/// `f(x)` of each number.
pub(super) fn map(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    fresh(x.len(), PIECE, |index, y| {
        let x = &x[index * PIECE..];
        y.write(x.iter().map(|&x| f(x)))
    })
}

/// `f(a, b)` of each pair.
pub(super) fn map2<A: Copy + Sync, B: Copy + Sync>(
    a: &[A],
    b: &[B],
    f: impl Fn(A, B) -> f32 + Sync,
) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "unequal lengths");
    fresh(a.len(), PIECE, |index, y| {
        let (a, b) = (&a[index * PIECE..], &b[index * PIECE..]);
        y.write(a.iter().zip(b).map(|(&a, &b)| f(a, b)))
    })
}

/// Turns each number into `f(a)`.
pub(super) fn change(a: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    a.par_chunks_mut(PIECE).for_each(|a| {
        for a in a {
            *a = f(*a);
        }
    });
}

/// Turns each number of `a` into `f(a, b, c)`.
pub(super) fn change3(
    a: &mut [f32],
    b: &[f32],
    c: &[f32],
    f: impl Fn(f32, f32, f32) -> f32 + Sync,
) {
    a.par_chunks_mut(PIECE)
        .zip(b.par_chunks(PIECE).zip(c.par_chunks(PIECE)))
        .for_each(|(a, (b, c))| {
            for ((a, &b), &c) in a.iter_mut().zip(b).zip(c) {
                *a = f(*a, b, c);
            }
        });
}

/// Turns each number of `a` into `f(a, b)`.
pub(super) fn change2<B: Copy + Sync>(a: &mut [f32], b: &[B], f: impl Fn(f32, B) -> f32 + Sync) {
    let piece = |a: &mut [f32], b: &[B]| {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = f(*a, b);
        }
    };
    if a.len() <= PIECE {
        piece(a, b);
    } else {
        a.par_chunks_mut(PIECE)
            .zip(b.par_chunks(PIECE))
            .for_each(|(a, b)| piece(a, b));
    }
}

/// Makes `n_rows` rows of `width` numbers: `f(row number, row)` gets zeros to add to.
pub(super) fn new_rows(
    n_rows: usize,
    width: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    if n_rows * width == 0 {
        return Vec::new();
    }
    let together = (PIECE / width).max(1);
    fresh(n_rows * width, together * width, |index, y| {
        y.zeroed(|y| {
            for (offset, y) in y.chunks_exact_mut(width).enumerate() {
                f(index * together + offset, y);
            }
        })
    })
}

/// Like [`new_rows`], with a part of `other`, `each` things a row.
pub(super) fn new_rows_with<T: Send>(
    n_rows: usize,
    width: usize,
    other: &mut [T],
    each: usize,
    f: impl Fn(usize, &mut [f32], &mut [T]) + Sync,
) -> Vec<f32> {
    if n_rows * width == 0 {
        return Vec::new();
    }
    assert_eq!(other.len(), n_rows * each, "things for every row");
    let together = (PIECE / width).max(1);
    let parts: Vec<Mutex<&mut [T]>> = other.chunks_mut(together * each).map(Mutex::new).collect();
    fresh(n_rows * width, together * width, |index, y| {
        y.zeroed(|y| {
            // Each piece has a part of its own: nobody waits here.
            let mut part = parts[index].lock().unwrap_or_else(PoisonError::into_inner);
            let rows = y.chunks_exact_mut(width).zip(part.chunks_exact_mut(each));
            for (offset, (y, other)) in rows.enumerate() {
                f(index * together + offset, y, other);
            }
        })
    })
}

/// Adds to the rows of a gradient: `f(row number, row)` adds.
pub(super) fn add_rows(
    place: Place<'_>,
    n_rows: usize,
    width: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    place.part(|_| new_rows(n_rows, width, &f), |y| rows(y, width, &f));
}

/// Adds `f(gradient, b)` to a gradient; uses up `gradient`.
pub(super) fn add2<B: Copy + Sync>(
    place: Place<'_>,
    mut gradient: Vec<f32>,
    b: &[B],
    f: impl Fn(f32, B) -> f32 + Sync,
) {
    place.part_of(
        &mut gradient,
        |gradient| change2(gradient, b, &f),
        |y, gradient| {
            let piece = |(y, (gradient, b)): (&mut [f32], (&[f32], &[B]))| {
                for ((y, &gradient), &b) in y.iter_mut().zip(gradient).zip(b) {
                    *y += f(gradient, b);
                }
            };
            y.par_chunks_mut(PIECE)
                .zip(gradient.par_chunks(PIECE).zip(b.par_chunks(PIECE)))
                .for_each(piece);
        },
    );
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

/// Calls `f(row number, row)` for each row of `width` numbers.
pub(super) fn rows(y: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if y.is_empty() {
        return;
    }
    let together = (PIECE / width).max(1);
    let piece = |index: usize, y: &mut [f32]| {
        for (offset, y) in y.chunks_exact_mut(width).enumerate() {
            f(index * together + offset, y);
        }
    };
    team::pieces(y, together * width, piece);
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
