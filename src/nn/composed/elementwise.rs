//! Functions of each number.

use super::{Flat, Made, Result1, fill, made, record, spread, sum_of_rows, total};
use crate::nn::ops::{Binary, Unary};
use crate::nn::{Backend, Graph, Matrix, NnError};
use dfdx::shapes::HasShape as _;
use dfdx::tensor_ops::{
    ChooseFrom as _, TryAdd as _, TryDiv as _, TryGt as _, TryMul as _, TrySub as _,
};
use std::f64::consts::PI;

pub(in crate::nn) fn unary<D: Backend>(g: &Graph<D>, x: &Matrix<D>, function: Unary) -> Made<D> {
    let out = made(g, forward(x.tensor(), function), &[x])?;
    let (of_x, x, y) = (x.target(), x.tensor().clone(), out.tensor().clone());
    record(g, &out, move |gy, sums| {
        sums.add(&of_x, backward(x, y, gy, function)?)
    });
    Ok(out)
}

fn forward<D: Backend>(x: &Flat<D>, function: Unary) -> Result1<Flat<D>, D> {
    let x = x.clone();
    match function {
        Unary::Gelu => x.try_accurate_gelu(),
        Unary::GeluTanh => x.try_fast_gelu(),
        Unary::Silu => x.clone().try_sigmoid()?.try_mul(x),
        Unary::Sigmoid => x.try_sigmoid(),
        Unary::Tanh => x.try_tanh(),
        Unary::Exp => x.try_exp(),
        Unary::Ln => x.try_ln(),
        Unary::Relu => x.try_relu(),
        Unary::Sqrt => x.try_sqrt(),
        Unary::Square => x.try_square(),
        Unary::Scale(factor) => x.try_mul(factor),
    }
}

/// The gradient of the input `x` from the result `y` and its gradient.
fn backward<D: Backend>(
    x: Flat<D>,
    y: Flat<D>,
    gy: Flat<D>,
    function: Unary,
) -> Result1<Flat<D>, D> {
    match function {
        Unary::Gelu => slope_of_gelu(x, y)?.try_mul(gy),
        Unary::GeluTanh => slope_of_gelu_tanh(x)?.try_mul(gy),
        Unary::Silu => slope_of_silu(x)?.try_mul(gy),
        // y·(1 − y)
        Unary::Sigmoid => y.clone().try_sub(y.try_square()?)?.try_mul(gy),
        // 1 − y²
        Unary::Tanh => y.try_square()?.try_negate()?.try_add(1.0)?.try_mul(gy),
        Unary::Exp => y.try_mul(gy),
        Unary::Ln => gy.try_div(x),
        Unary::Relu => {
            let zeros = x
                .device()
                .try_zeros_like(x.shape())
                .map(|zeros: Flat<D>| zeros)?;
            x.try_gt(0.0)?.try_choose(gy, zeros)
        }
        Unary::Sqrt => gy.try_div(y)?.try_mul(0.5),
        Unary::Square => x.try_mul(gy)?.try_mul(2.0),
        Unary::Scale(factor) => gy.try_mul(factor),
    }
}

/// `Φ(x) + x·φ(x)`. dfdx's own derivative of its `accurate_gelu` lacks a factor of √½.
///
/// Nothing else in dfdx has the error function, so Φ is the result over `x`, and near 0, where that divides by 0, the first terms of its series:
/// what they leave out at 0.03 is below 1e-9.
fn slope_of_gelu<D: Backend>(x: Flat<D>, y: Flat<D>) -> Result1<Flat<D>, D> {
    const NEAR: f32 = 0.03;
    let root = (1.0 / (2.0 * PI).sqrt()) as f32;
    let square = x.clone().try_square()?;
    // 1/2 + x/√(2π)·(1 − x²/6)
    let near = square
        .clone()
        .try_mul(-root / 6.0)?
        .try_add(root)?
        .try_mul(x.clone())?
        .try_add(0.5)?;
    let is_near = square.try_gt(NEAR * NEAR)?;
    let phi = is_near.try_choose(y.try_div(x.clone())?, near)?;
    let density = square.try_mul(-0.5)?.try_exp()?.try_mul(root)?;
    x.try_mul(density)?.try_add(phi)
}

/// With `t = tanh(√(2/π)·(x + 0.044715·x³))`: `(1 + t)/2 + x/2·(1 − t²)·√(2/π)·(1 + 3·0.044715·x²)`.
fn slope_of_gelu_tanh<D: Backend>(x: Flat<D>) -> Result1<Flat<D>, D> {
    const CUBE: f32 = 0.044715;
    let root = (2.0 / PI).sqrt() as f32;
    let square = x.clone().try_square()?;
    let inner = square
        .clone()
        .try_mul(CUBE * root)?
        .try_add(root)?
        .try_mul(x.clone())?;
    let t = inner.try_tanh()?;
    let steep = t.clone().try_square()?.try_negate()?.try_add(1.0)?;
    let inner = square.try_mul(3.0 * CUBE * root)?.try_add(root)?;
    let second = x.try_mul(steep)?.try_mul(inner)?;
    t.try_add(1.0)?.try_add(second)?.try_mul(0.5)
}

/// `σ(x)·(1 + x·(1 − σ(x)))`.
fn slope_of_silu<D: Backend>(x: Flat<D>) -> Result1<Flat<D>, D> {
    let sigma = x.clone().try_sigmoid()?;
    let rest = sigma.clone().try_negate()?.try_add(1.0)?;
    x.try_mul(rest)?.try_add(1.0)?.try_mul(sigma)
}

pub(in crate::nn) fn binary<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
    function: Binary,
) -> Made<D> {
    let (ta, tb) = (a.tensor().clone(), b.tensor().clone());
    let y = match function {
        Binary::Add => ta.try_add(tb),
        Binary::Sub => ta.try_sub(tb),
        Binary::Mul => ta.try_mul(tb),
        Binary::SiluGate => forward(&ta, Unary::Silu).and_then(|gate| gate.try_mul(tb)),
    };
    let out = made(g, y, &[a, b])?;
    let (of_a, of_b) = (a.target(), b.target());
    match function {
        Binary::Add => record(g, &out, move |gy, sums| {
            sums.add(&of_a, gy.clone())?;
            sums.add(&of_b, gy)
        }),
        Binary::Sub => record(g, &out, move |gy, sums| {
            sums.add(&of_a, gy.clone())?;
            sums.add(&of_b, gy.try_negate()?)
        }),
        Binary::Mul | Binary::SiluGate => {
            let (a, b) = (a.tensor().clone(), b.tensor().clone());
            record(g, &out, move |gy, sums| {
                let gate = function == Binary::SiluGate;
                if of_b.needs_gradient() {
                    let factor = if gate {
                        forward(&a, Unary::Silu)?
                    } else {
                        a.clone()
                    };
                    sums.add(&of_b, gy.clone().try_mul(factor)?)?;
                }
                if of_a.needs_gradient() {
                    let part = gy.try_mul(b)?;
                    let part = if gate {
                        part.try_mul(slope_of_silu(a)?)?
                    } else {
                        part
                    };
                    sums.add(&of_a, part)?;
                }
                Ok(())
            });
        }
    }
    Ok(out)
}

pub(in crate::nn) fn keep<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    kept: Vec<u8>,
    factor: f32,
) -> Made<D> {
    let factors = kept.into_iter().map(|kept| f32::from(kept) * factor);
    let device = x.tensor().device();
    let factors: Flat<D> = device
        .try_tensor_from_vec(factors.collect(), x.shape())
        .map_err(NnError::device)?;
    let out = made(g, x.tensor().clone().try_mul(factors.clone()), &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        sums.add(&of_x, gy.try_mul(factors)?)
    });
    Ok(out)
}

pub(in crate::nn) fn add_row<D: Backend>(g: &Graph<D>, a: &Matrix<D>, row: &Matrix<D>) -> Made<D> {
    let y = spread(row.tensor(), a.rows()).and_then(|row| a.tensor().clone().try_add(row));
    let out = made(g, y, &[a, row])?;
    let (of_a, of_row) = (a.target(), row.target());
    record(g, &out, move |gy, sums| {
        if of_row.needs_gradient() {
            sums.add(&of_row, sum_of_rows(gy.clone())?)?;
        }
        sums.add(&of_a, gy)
    });
    Ok(out)
}

pub(in crate::nn) fn div_scalar<D: Backend>(g: &Graph<D>, x: &Matrix<D>, s: &Matrix<D>) -> Made<D> {
    let divisor = fill(s.tensor(), x.shape()).map_err(NnError::device)?;
    let out = made(g, x.tensor().clone().try_div(divisor.clone()), &[x, s])?;
    let (of_x, of_s, y) = (x.target(), s.target(), out.tensor().clone());
    record(g, &out, move |gy, sums| {
        let gx = gy.try_div(divisor)?;
        if of_s.needs_gradient() {
            sums.add(&of_s, total(gx.clone().try_mul(y)?)?.try_negate()?)?;
        }
        sums.add(&of_x, gx)
    });
    Ok(out)
}
