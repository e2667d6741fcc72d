//! Matrix products with their backward steps.

use super::gemm::{Mode, View, product};
use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

const WRITE: Mode = Mode {
    alpha: 1.0,
    accumulate: false,
    parallel: true,
};
const ADD: Mode = Mode {
    accumulate: true,
    ..WRITE
};

pub(super) fn linear(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    w: &Matrix<Cpu>,
    b: Option<&Matrix<Cpu>>,
) -> Made {
    let (rows, inputs) = x.shape();
    let outputs = w.rows();
    let mut y = vec![0.0; rows * outputs];
    let mode = if let Some(b) = b {
        let b = storage::read(b);
        parallel::rows(&mut y, outputs, |_, y| y.copy_from_slice(&b));
        ADD
    } else {
        WRITE
    };
    product(
        (rows, outputs, inputs),
        View::new(&storage::read(x), inputs),
        View::new(&storage::read(w), inputs).t(),
        &mut y,
        outputs,
        mode,
    );
    let constant = w.detached();
    let out = g.output(y, (rows, outputs), &[x, w, b.unwrap_or(&constant)])?;
    if out.needs_gradient() {
        let (x, w, b, y) = (x.clone(), w.clone(), b.cloned(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            if x.needs_gradient() {
                product(
                    (rows, inputs, outputs),
                    View::new(&gy, outputs),
                    View::new(&storage::read(&w), inputs),
                    storage::gradient(gradients, &x)?,
                    inputs,
                    ADD,
                );
            }
            if w.needs_gradient() {
                product(
                    (outputs, inputs, rows),
                    View::new(&gy, outputs).t(),
                    View::new(&storage::read(&x), inputs),
                    storage::gradient(gradients, &w)?,
                    inputs,
                    ADD,
                );
            }
            if let Some(b) = b.filter(Matrix::needs_gradient) {
                parallel::column_sums(
                    storage::gradient(gradients, &b)?,
                    rows,
                    |row, columns, sums| {
                        let gy = &gy[row * outputs..][columns];
                        for (sum, gy) in sums.iter_mut().zip(gy) {
                            *sum += gy;
                        }
                    },
                );
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn matmul(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, transposed: bool) -> Made {
    let (m, k) = a.shape();
    let width = b.columns();
    let n = if transposed { b.rows() } else { width };
    let mut y = vec![0.0; m * n];
    {
        let b = storage::read(b);
        let b = View::new(&b, width);
        let b = if transposed { b.t() } else { b };
        product(
            (m, n, k),
            View::new(&storage::read(a), k),
            b,
            &mut y,
            n,
            WRITE,
        );
    }
    let out = g.output(y, (m, n), &[a, b])?;
    if out.needs_gradient() {
        let (a, b, y) = (a.clone(), b.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let gy = View::new(&gy, n);
            if a.needs_gradient() {
                let b = storage::read(&b);
                let b = View::new(&b, width);
                let b = if transposed { b } else { b.t() };
                product((m, k, n), gy, b, storage::gradient(gradients, &a)?, k, ADD);
            }
            if b.needs_gradient() {
                let a = storage::read(&a);
                let a = View::new(&a, k);
                let into = storage::gradient(gradients, &b)?;
                if transposed {
                    product((n, k, m), gy.t(), a, into, width, ADD);
                } else {
                    product((k, n, m), a.t(), gy, into, width, ADD);
                }
            }
            Ok(())
        });
    }
    Ok(out)
}
