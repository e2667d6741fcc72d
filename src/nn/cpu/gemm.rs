//! Matrix products through the `gemm` crate, with the bounds checked.

use super::narrow;

/// A matrix inside a slice: element `(i, j)` is `data[i·rows + j·columns]`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> View<'a> {
    /// Rows of consecutive numbers, `stride` apart.
    pub(super) fn new(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            rows: stride,
            columns: 1,
        }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            ..self
        }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.rows + (columns - 1) * self.columns < self.data.len()
    }
}

/// How a product is computed.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    /// Factor of the product.
    pub alpha: f32,
    /// Adds to the result instead of overwriting it.
    pub accumulate: bool,
    /// Uses the threads of the current rayon pool; the bits do not depend on how many there are (tested).
    pub parallel: bool,
}

/// `c = alpha·a·b (+ c)`: `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]` in rows `stride` apart.
///
/// # Panics
/// When a matrix does not lie inside its slice.
pub(super) fn product(
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
    stride: usize,
    mode: Mode,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * stride + n <= c.len() && (m == 1 || n <= stride),
        "the product does not fit"
    );
    if k == 0 {
        if !mode.accumulate {
            for row in c.chunks_mut(stride).take(m) {
                row[..n].fill(0.0);
            }
        }
        return;
    }
    assert!(
        a.holds(m, k) && b.holds(k, n),
        "a factor is outside its slice"
    );
    // SAFETY: the assertions above keep every element that the sizes and strides reach inside its slice; `c` is borrowed mutably, so
    // it overlaps neither factor, and its rows do not overlap one another.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        run((m, n, k), a, b, c.as_mut_ptr(), stride, mode);
    }
}

/// `a·b` in new memory, `[m, n]`; uses the threads of the current rayon pool.
pub(super) fn new_product((m, n, k): (usize, usize, usize), a: View<'_>, b: View<'_>) -> Vec<f32> {
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    assert!(
        a.holds(m, k) && b.holds(k, n),
        "a factor is outside its slice"
    );
    if is_narrow(m) && a.columns == 1 && b.rows == 1 {
        return narrow::product((m, n, k), (a.data, a.rows), (b.data, b.columns));
    }
    let mut c = Vec::with_capacity(m * n);
    // SAFETY: the assertion keeps the factors inside their slices; `c` has room for `m·n` numbers, and a product that does not
    // accumulate writes all of them and reads none.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        run((m, n, k), a, b, c.as_mut_ptr(), n, WRITE);
        c.set_len(m * n);
    }
    c
}

/// Whether a product has so few rows that [`new_product`] is faster than adding to what is there.
pub(super) fn is_narrow(rows: usize) -> bool {
    rows <= narrow::NARROW
}

/// `c += a·b`, `c` `[m, n]`; uses the threads of the current rayon pool.
pub(super) fn product_into(
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
) {
    product((m, n, k), a, b, c, n, ADD);
}

const WRITE: Mode = Mode {
    alpha: 1.0,
    accumulate: false,
    parallel: true,
};
const ADD: Mode = Mode {
    accumulate: true,
    ..WRITE
};

/// Calls the gemm crate.
///
/// # Safety
/// `a` and `b` hold `[m, k]` and `[k, n]`, `c` points to `m` rows of `n` numbers `stride` apart that nothing else uses. They may be
/// uninitialised when the mode does not accumulate.
#[expect(unsafe_code, reason = "the gemm crate takes pointers")]
unsafe fn run(
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
    c: *mut f32,
    stride: usize,
    mode: Mode,
) {
    let parallelism = if mode.parallel {
        gemm::Parallelism::Rayon(0)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: as promised by the caller.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            stride as isize,
            mode.accumulate,
            a.data.as_ptr(),
            a.columns as isize,
            a.rows as isize,
            b.data.as_ptr(),
            b.columns as isize,
            b.rows as isize,
            1.0,
            mode.alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
