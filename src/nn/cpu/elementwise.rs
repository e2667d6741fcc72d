//! Functions of each number with their derivatives.

use super::{Made, math, parallel, storage};
use crate::nn::ops::{Binary, Unary};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

/// `√(2/π)`.
const ROOT_2_OVER_PI: f32 = 0.797_884_6;
/// The cubic coefficient of GELU's tanh approximation.
const CUBIC: f32 = 0.044_715;
/// `1/√(2π)`.
const NORMAL: f32 = 0.398_942_3;

/// Applies `f` and records `gx += gy · derivative(x)`; keeps the input.
fn by_input(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    f: impl Fn(f32) -> f32 + Sync,
    derivative: impl Fn(f32) -> f32 + Sync + 'static,
) -> Made {
    let y = parallel::map(&storage::read(x), f);
    let out = g.output(y, x.shape(), &[x])?;
    let (into, x) = (x.target(), x.clone());
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add2(into, gy, &storage::read(&x), |gy, x| gy * derivative(x));
        Ok(())
    });
    Ok(out)
}

/// Applies `f` and records `gx += gy · derivative(y)`; keeps the result.
fn by_result(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    f: impl Fn(f32) -> f32 + Sync,
    derivative: impl Fn(f32) -> f32 + Sync + 'static,
) -> Made {
    let y = parallel::map(&storage::read(x), f);
    let out = g.output(y, x.shape(), &[x])?;
    let (into, y) = (x.target(), out.clone());
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add2(into, gy, &storage::read(&y), |gy, y| gy * derivative(y));
        Ok(())
    });
    Ok(out)
}

pub(super) fn unary(g: &Graph<Cpu>, x: &Matrix<Cpu>, function: Unary) -> Made {
    match function {
        Unary::Gelu => by_input(
            g,
            x,
            |x| x * normal_cdf(x),
            |x| (x * NORMAL).mul_add(math::exp(-0.5 * x * x), normal_cdf(x)),
        ),
        Unary::GeluTanh => by_input(
            g,
            x,
            |x| 0.5 * x * (1.0 + math::tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x))),
            |x| {
                let t = math::tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x));
                let inner = ROOT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            },
        ),
        Unary::Silu => by_input(
            g,
            x,
            |x| x * math::sigmoid(x),
            |x| {
                let s = math::sigmoid(x);
                s + x * s * (1.0 - s)
            },
        ),
        Unary::Sigmoid => by_result(g, x, math::sigmoid, |y| y * (1.0 - y)),
        Unary::Tanh => by_result(g, x, math::tanh, |y| 1.0 - y * y),
        Unary::Exp => by_result(g, x, math::exp, |y| y),
        Unary::Ln => by_input(g, x, f32::ln, |x| 1.0 / x),
        Unary::Relu => by_input(
            g,
            x,
            // Written so that NaN stays NaN: a broken network must not look healthy.
            |x| if x < 0.0 { 0.0 } else { x },
            |x| if x > 0.0 { 1.0 } else { 0.0 },
        ),
        Unary::Sqrt => by_result(g, x, f32::sqrt, |y| 0.5 / y),
        Unary::Square => by_input(g, x, |x| x * x, |x| 2.0 * x),
        Unary::Scale(factor) => {
            let y = parallel::map(&storage::read(x), |x| x * factor);
            let out = g.output(y, x.shape(), &[x])?;
            let into = x.target();
            storage::record(g, &out, move |mut gy, gradients| {
                parallel::change(&mut gy, |gy| gy * factor);
                storage::place(gradients, &into)?.put(gy);
                Ok(())
            });
            Ok(out)
        }
    }
}

/// The normal distribution function.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `a + sign·b`; keeps neither.
fn sum(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, sign: f32) -> Made {
    let y = parallel::map2(&storage::read(a), &storage::read(b), |a, b| a + sign * b);
    let out = g.output(y, a.shape(), &[a, b])?;
    let (a, b) = (a.target(), b.target());
    storage::record(g, &out, move |gy, gradients| {
        if b.needs_gradient() {
            storage::place(gradients, &b)?.part(
                |_| parallel::map(&gy, |gy| sign * gy),
                |gb| parallel::accumulate(gb, &gy, |gy| sign * gy),
            );
        }
        if a.needs_gradient() {
            storage::place(gradients, &a)?.put(gy);
        }
        Ok(())
    });
    Ok(out)
}

/// `a·b`; keeps a factor only where the other takes a gradient.
fn product(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>) -> Made {
    let y = parallel::map2(&storage::read(a), &storage::read(b), |a, b| a * b);
    let out = g.output(y, a.shape(), &[a, b])?;
    let (of_a, of_b) = (a.target(), b.target());
    let kept_a = of_b.needs_gradient().then(|| a.clone());
    let kept_b = of_a.needs_gradient().then(|| b.clone());
    storage::record(g, &out, move |gy, gradients| {
        if let Some(a) = kept_a {
            let gb = parallel::map2(&gy, &storage::read(&a), |gy, a| gy * a);
            storage::place(gradients, &of_b)?.put(gb);
        }
        if let Some(b) = kept_b {
            let into = storage::place(gradients, &of_a)?;
            parallel::add2(into, gy, &storage::read(&b), |gy, b| gy * b);
        }
        Ok(())
    });
    Ok(out)
}

/// `a·σ(a)·b`; keeps both.
fn silu_gate(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>) -> Made {
    let y = parallel::map2(&storage::read(a), &storage::read(b), |a, b| {
        a * math::sigmoid(a) * b
    });
    let out = g.output(y, a.shape(), &[a, b])?;
    let (of_a, of_b) = (a.target(), b.target());
    let (a, b) = (a.clone(), b.clone());
    storage::record(g, &out, move |mut gy, gradients| {
        let (a, b) = (storage::read(&a), storage::read(&b));
        if of_b.needs_gradient() {
            let gb = parallel::map2(&gy, &a, |gy, a| gy * (a * math::sigmoid(a)));
            storage::place(gradients, &of_b)?.put(gb);
        }
        if of_a.needs_gradient() {
            parallel::change3(&mut gy, &a, &b, |gy, a, b| {
                let s = math::sigmoid(a);
                gy * (b * s * (1.0 + a * (1.0 - s)))
            });
            storage::place(gradients, &of_a)?.put(gy);
        }
        Ok(())
    });
    Ok(out)
}

pub(super) fn binary(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, function: Binary) -> Made {
    match function {
        Binary::Add => sum(g, a, b, 1.0),
        Binary::Sub => sum(g, a, b, -1.0),
        Binary::Mul => product(g, a, b),
        Binary::SiluGate => silu_gate(g, a, b),
    }
}

/// `x·factor` where `kept` is 1, `x·0` where it is 0; keeps a byte a number.
pub(super) fn keep(g: &Graph<Cpu>, x: &Matrix<Cpu>, kept: Vec<u8>, factor: f32) -> Made {
    let by = move |x: f32, kept: u8| x * (f32::from(kept) * factor);
    let y = parallel::map2(&storage::read(x), &kept, by);
    let out = g.output(y, x.shape(), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        parallel::add2(storage::place(gradients, &into)?, gy, &kept, by);
        Ok(())
    });
    Ok(out)
}

pub(super) fn add_row(g: &Graph<Cpu>, a: &Matrix<Cpu>, row: &Matrix<Cpu>) -> Made {
    let (rows, width) = a.shape();
    let y = {
        let (a, row) = (storage::read(a), storage::read(row));
        parallel::new_rows(rows, width, |at, y| {
            let sums = a[at * width..][..width].iter().zip(row.iter());
            for (y, (a, row)) in y.iter_mut().zip(sums) {
                *y = a + row;
            }
        })
    };
    let out = g.output(y, a.shape(), &[a, row])?;
    let (a, row) = (a.target(), row.target());
    storage::record(g, &out, move |gy, gradients| {
        if row.needs_gradient() {
            let grow = storage::place(gradients, &row)?.sum();
            parallel::column_sums(grow, rows, |row, columns, sums| {
                for (sum, gy) in sums.iter_mut().zip(&gy[row * width..][columns]) {
                    *sum += gy;
                }
            });
        }
        if a.needs_gradient() {
            storage::place(gradients, &a)?.put(gy);
        }
        Ok(())
    });
    Ok(out)
}

pub(super) fn div_scalar(g: &Graph<Cpu>, x: &Matrix<Cpu>, s: &Matrix<Cpu>) -> Made {
    let divisor = storage::read(s)[0];
    let y = parallel::map(&storage::read(x), |x| x / divisor);
    let out = g.output(y, x.shape(), &[x, s])?;
    let (of_x, of_s) = (x.target(), s.target());
    let y = of_s.needs_gradient().then(|| out.clone());
    storage::record(g, &out, move |mut gy, gradients| {
        if let Some(y) = y {
            let sum = parallel::sum2(&gy, &storage::read(&y), |gy, y| gy * y);
            storage::place(gradients, &of_s)?.sum()[0] -= (sum / f64::from(divisor)) as f32;
        }
        if of_x.needs_gradient() {
            parallel::change(&mut gy, |gy| gy / divisor);
            storage::place(gradients, &of_x)?.put(gy);
        }
        Ok(())
    });
    Ok(out)
}
