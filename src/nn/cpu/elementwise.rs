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

/// Applies `f` and records `gx += gy · derivative(x, y)`.
fn apply(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    f: impl Fn(f32) -> f32 + Sync,
    derivative: impl Fn(f32, f32) -> f32 + Sync + 'static,
) -> Made {
    let y = parallel::map(&storage::read(x), f);
    let out = g.output(y, x.shape(), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let gx = storage::gradient(gradients, &x)?;
            let (x, y) = (storage::read(&x), storage::read(&y));
            parallel::accumulate3(gx, &gy, &x, &y, |gy, x, y| gy * derivative(x, y));
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn unary(g: &Graph<Cpu>, x: &Matrix<Cpu>, function: Unary) -> Made {
    match function {
        Unary::Gelu => apply(
            g,
            x,
            |x| x * normal_cdf(x),
            |x, _| (x * NORMAL).mul_add(math::exp(-0.5 * x * x), normal_cdf(x)),
        ),
        Unary::GeluTanh => apply(
            g,
            x,
            |x| 0.5 * x * (1.0 + math::tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x))),
            |x, _| {
                let t = math::tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x));
                let inner = ROOT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            },
        ),
        Unary::Silu => apply(
            g,
            x,
            |x| x * math::sigmoid(x),
            |x, y| {
                let s = math::sigmoid(x);
                s + y * (1.0 - s)
            },
        ),
        Unary::Sigmoid => apply(g, x, math::sigmoid, |_, y| y * (1.0 - y)),
        Unary::Tanh => apply(g, x, math::tanh, |_, y| 1.0 - y * y),
        Unary::Exp => apply(g, x, math::exp, |_, y| y),
        Unary::Ln => apply(g, x, f32::ln, |x, _| 1.0 / x),
        Unary::Relu => apply(
            g,
            x,
            // Written so that NaN stays NaN: a broken network must not look healthy.
            |x| if x < 0.0 { 0.0 } else { x },
            |x, _| if x > 0.0 { 1.0 } else { 0.0 },
        ),
        Unary::Sqrt => apply(g, x, f32::sqrt, |_, y| 0.5 / y),
        Unary::Square => apply(g, x, |x| x * x, |x, _| 2.0 * x),
        Unary::Scale(factor) => apply(g, x, |x| x * factor, move |_, _| factor),
    }
}

/// The normal distribution function.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Applies `f` and records `ga += gy · da(a, b)`, `gb += gy · db(a, b)`.
fn apply2(
    g: &Graph<Cpu>,
    a: &Matrix<Cpu>,
    b: &Matrix<Cpu>,
    f: impl Fn(f32, f32) -> f32 + Sync,
    da: impl Fn(f32, f32) -> f32 + Sync + 'static,
    db: impl Fn(f32, f32) -> f32 + Sync + 'static,
) -> Made {
    let y = parallel::map2(&storage::read(a), &storage::read(b), f);
    let out = g.output(y, a.shape(), &[a, b])?;
    if out.needs_gradient() {
        let (a, b, y) = (a.clone(), b.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let (av, bv) = (storage::read(&a), storage::read(&b));
            if a.needs_gradient() {
                let ga = storage::gradient(gradients, &a)?;
                parallel::accumulate3(ga, &gy, &av, &bv, |gy, a, b| gy * da(a, b));
            }
            if b.needs_gradient() {
                let gb = storage::gradient(gradients, &b)?;
                parallel::accumulate3(gb, &gy, &av, &bv, |gy, a, b| gy * db(a, b));
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn binary(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, function: Binary) -> Made {
    match function {
        Binary::Add => apply2(g, a, b, |a, b| a + b, |_, _| 1.0, |_, _| 1.0),
        Binary::Sub => apply2(g, a, b, |a, b| a - b, |_, _| 1.0, |_, _| -1.0),
        Binary::Mul => apply2(g, a, b, |a, b| a * b, |_, b| b, |a, _| a),
        Binary::SiluGate => apply2(
            g,
            a,
            b,
            |a, b| a * math::sigmoid(a) * b,
            |a, b| {
                let s = math::sigmoid(a);
                b * s * (1.0 + a * (1.0 - s))
            },
            |a, _| a * math::sigmoid(a),
        ),
    }
}

pub(super) fn add_row(g: &Graph<Cpu>, a: &Matrix<Cpu>, row: &Matrix<Cpu>) -> Made {
    let (rows, width) = a.shape();
    let mut y = storage::read(a).into_owned();
    {
        let row = storage::read(row);
        parallel::rows(&mut y, width, |_, y| {
            for (y, row) in y.iter_mut().zip(row.iter()) {
                *y += row;
            }
        });
    }
    let out = g.output(y, a.shape(), &[a, row])?;
    if out.needs_gradient() {
        let (a, row, y) = (a.clone(), row.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            if a.needs_gradient() {
                parallel::accumulate(storage::gradient(gradients, &a)?, &gy, |gy| gy);
            }
            if row.needs_gradient() {
                let grow = storage::gradient(gradients, &row)?;
                parallel::column_sums(grow, rows, |row, columns, sums| {
                    for (sum, gy) in sums.iter_mut().zip(&gy[row * width..][columns]) {
                        *sum += gy;
                    }
                });
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn div_scalar(g: &Graph<Cpu>, x: &Matrix<Cpu>, s: &Matrix<Cpu>) -> Made {
    let divisor = storage::read(s)[0];
    let y = parallel::map(&storage::read(x), |x| x / divisor);
    let out = g.output(y, x.shape(), &[x, s])?;
    if out.needs_gradient() {
        let (x, s, y) = (x.clone(), s.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            if x.needs_gradient() {
                let gx = storage::gradient(gradients, &x)?;
                parallel::accumulate(gx, &gy, |gy| gy / divisor);
            }
            if s.needs_gradient() {
                let sum = parallel::sum2(&gy, &storage::read(&y), |gy, y| gy * y);
                storage::gradient(gradients, &s)?[0] -= (sum / f64::from(divisor)) as f32;
            }
            Ok(())
        });
    }
    Ok(out)
}
