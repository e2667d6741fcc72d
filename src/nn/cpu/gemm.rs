//! Matrix products through the `gemm` crate, with the bounds checked.

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
    let parallelism = if mode.parallel {
        gemm::Parallelism::Rayon(0)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: the assertions above keep every element that the sizes and strides reach inside its slice; `c` is borrowed mutably, so
    // it overlaps neither factor, and its rows do not overlap one another.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
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
