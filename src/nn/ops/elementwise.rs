//! Functions of each number.

use super::{expect, same};
use crate::nn::{Backend, Graph, Matrix, NnError};
use rand::RngCore as _;
use rayon::prelude::*;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `x·Φ(x)` with the normal distribution function Φ (Hendrycks & Gimpel 2016).
    Gelu,
    /// The tanh approximation of GELU, as in GPT-2.
    GeluTanh,
    /// `x·σ(x)`.
    Silu,
    /// `σ(x) = 1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `eˣ`.
    Exp,
    /// Natural logarithm.
    Ln,
    /// `max(x, 0)`, with derivative 0 at 0.
    Relu,
    /// Square root; the derivative is infinite at 0.
    Sqrt,
    /// `x²`.
    Square,
    /// `x·c`.
    Scale(f32),
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a·b`.
    Mul,
    /// `a·σ(a)·b`.
    SiluGate,
}

/// `x·Φ(x)`, Φ through the error function: PyTorch's `gelu`.
pub fn gelu<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Gelu)
}

/// `0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`: PyTorch's `gelu(approximate="tanh")`.
pub fn gelu_tanh<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::GeluTanh)
}

/// `x·σ(x)`.
pub fn silu<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Silu)
}

/// `1 / (1 + e⁻ˣ)`.
pub fn sigmoid<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Sigmoid)
}

/// Hyperbolic tangent.
pub fn tanh<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Tanh)
}

/// `eˣ`.
pub fn exp<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Exp)
}

/// Natural logarithm.
pub fn ln<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Ln)
}

/// `max(x, 0)`.
pub fn relu<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Relu)
}

/// Square root. The derivative is infinite at 0: add something first.
pub fn sqrt<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Sqrt)
}

/// `x²`.
pub fn square<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Square)
}

/// `x·factor`.
pub fn scale<D: Backend>(g: &Graph<D>, x: &Matrix<D>, factor: f32) -> Result<Matrix<D>, NnError> {
    D::unary(g, x, Unary::Scale(factor))
}

/// `a + b`, both of the same shape.
pub fn add<D: Backend>(g: &Graph<D>, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    same("add", a, b)?;
    D::binary(g, a, b, Binary::Add)
}

/// `a − b`, both of the same shape.
pub fn sub<D: Backend>(g: &Graph<D>, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    same("sub", a, b)?;
    D::binary(g, a, b, Binary::Sub)
}

/// `a·b` number by number, both of the same shape.
pub fn mul<D: Backend>(g: &Graph<D>, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    same("mul", a, b)?;
    D::binary(g, a, b, Binary::Mul)
}

/// `gate·σ(gate)·up`: the gate of SwiGLU (Shazeer 2020).
pub fn silu_gate<D: Backend>(
    g: &Graph<D>,
    gate: &Matrix<D>,
    up: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    same("silu_gate", gate, up)?;
    D::binary(g, gate, up, Binary::SiluGate)
}

/// `a + row` for each row of `a` `[R, d]`; `row` is `[1, d]`.
pub fn add_row<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    row: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    expect("add_row", "the row", row, (1, a.columns()))?;
    D::add_row(g, a, row)
}

/// `x / s` with a `[1, 1]` matrix `s`, for instance a learned temperature.
pub fn div_scalar<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    s: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    expect("div_scalar", "the divisor", s, (1, 1))?;
    D::div_scalar(g, x, s)
}

/// Numbers of one random stream of dropout; fixed, so that masks do not depend on the number of threads.
const DROPOUT_CHUNK: usize = 1 << 14;

/// Zeroes each number with probability `p` and scales the rest by `1 / (1 − p)` when the graph trains; otherwise returns `x`.
///
/// The mask follows from the graph's seed and the number of dropouts before this one.
pub fn dropout<D: Backend>(g: &Graph<D>, x: &Matrix<D>, p: f32) -> Result<Matrix<D>, NnError> {
    if !(0.0..1.0).contains(&p) {
        return Err(NnError::setting(
            "dropout",
            format!("is {p}, but must be at least 0 and below 1"),
        ));
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let Some(seed) = g.next_dropout() else {
        return Ok(x.clone());
    };
    let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
    let mut kept = vec![0; x.rows() * x.columns()];
    kept.par_chunks_mut(DROPOUT_CHUNK)
        .enumerate()
        .for_each(|(index, chunk)| {
            let mut rng = seed.rng();
            rng.set_stream(index as u64);
            for kept in chunk {
                *kept = u8::from(rng.next_u32() >= threshold);
            }
        });
    D::keep(g, x, kept, 1.0 / (1.0 - p))
}
