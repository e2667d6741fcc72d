//! Matrix products with their backward steps.

use super::gemm::{View, is_narrow, new_product, product_into};
use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

pub(super) fn linear(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    w: &Matrix<Cpu>,
    b: Option<&Matrix<Cpu>>,
) -> Made {
    let (rows, inputs) = x.shape();
    let outputs = w.rows();
    let sizes = (rows, outputs, inputs);
    let y = {
        let (x, w) = (storage::read(x), storage::read(w));
        let (x, w) = (View::new(&x, inputs), View::new(&w, inputs).t());
        match b {
            None => new_product(sizes, x, w),
            Some(b) if is_narrow(rows) => {
                let b = storage::read(b);
                let mut y = new_product(sizes, x, w);
                parallel::rows(&mut y, outputs, |_, y| {
                    for (y, b) in y.iter_mut().zip(b.iter()) {
                        *y += b;
                    }
                });
                y
            }
            Some(b) => {
                let b = storage::read(b);
                let mut y = parallel::new_rows(rows, outputs, |_, y| y.copy_from_slice(&b));
                product_into(sizes, x, w, &mut y);
                y
            }
        }
    };
    let constant = w.detached();
    let out = g.output(y, (rows, outputs), &[x, w, b.unwrap_or(&constant)])?;
    let (of_x, of_w) = (x.target(), w.target());
    let of_b = b
        .map(Matrix::target)
        .filter(crate::nn::matrix::Target::needs_gradient);
    let kept_x = of_w.needs_gradient().then(|| x.clone());
    let kept_w = of_x.needs_gradient().then(|| w.clone());
    storage::record(g, &out, move |gy, gradients| {
        if let Some(w) = kept_w {
            let w = storage::read(&w);
            let (gy, w) = (View::new(&gy, outputs), View::new(&w, inputs));
            let sizes = (rows, inputs, outputs);
            storage::place(gradients, &of_x)?.part(
                |_| new_product(sizes, gy, w),
                |gx| product_into(sizes, gy, w, gx),
            );
        }
        if let Some(x) = kept_x {
            let x = storage::read(&x);
            let (gy, x) = (View::new(&gy, outputs).t(), View::new(&x, inputs));
            let sizes = (outputs, inputs, rows);
            storage::place(gradients, &of_w)?.part(
                |_| new_product(sizes, gy, x),
                |gw| product_into(sizes, gy, x, gw),
            );
        }
        if let Some(b) = of_b {
            let gb = storage::place(gradients, &b)?.sum();
            parallel::column_sums(gb, rows, |row, columns, sums| {
                let gy = &gy[row * outputs..][columns];
                for (sum, gy) in sums.iter_mut().zip(gy) {
                    *sum += gy;
                }
            });
        }
        Ok(())
    });
    Ok(out)
}

pub(super) fn matmul(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, transposed: bool) -> Made {
    if transposed {
        return linear(g, a, b, None);
    }
    let (m, k) = a.shape();
    let n = b.columns();
    let y = new_product(
        (m, n, k),
        View::new(&storage::read(a), k),
        View::new(&storage::read(b), n),
    );
    let out = g.output(y, (m, n), &[a, b])?;
    let (of_a, of_b) = (a.target(), b.target());
    let kept_a = of_b.needs_gradient().then(|| a.clone());
    let kept_b = of_a.needs_gradient().then(|| b.clone());
    storage::record(g, &out, move |gy, gradients| {
        let gy = View::new(&gy, n);
        if let Some(b) = kept_b {
            let b = storage::read(&b);
            let b = View::new(&b, n).t();
            storage::place(gradients, &of_a)?.part(
                |_| new_product((m, k, n), gy, b),
                |ga| product_into((m, k, n), gy, b, ga),
            );
        }
        if let Some(a) = kept_a {
            let a = storage::read(&a);
            let a = View::new(&a, k).t();
            storage::place(gradients, &of_b)?.part(
                |_| new_product((k, n, m), a, gy),
                |gb| product_into((k, n, m), a, gy, gb),
            );
        }
        Ok(())
    });
    Ok(out)
}
