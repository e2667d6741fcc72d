//! The operations on the CPU: fused loops that vectorise, rows in parallel.
//!
//! Work is split in pieces whose size never depends on the number of threads, and sums over pieces run in order: the bits of a result
//! are the same on any number of threads.

mod attention;
mod biased;
mod cross_entropy;
mod elementwise;
mod gemm;
mod linear;
mod math;
mod memory;
mod narrow;
mod norm;
mod parallel;
mod rotary;
mod rows;
mod single;
mod storage;
mod team;
#[cfg(test)]
mod tests;

pub(super) use memory::keep_freed;

#[cfg(any(test, feature = "cuda"))]
use super::composed;
use super::ops::{AttentionShape, Binary, Mask, Unary};
use super::{Backend, Grads, Graph, Matrix, NnError};
use dfdx::tensor::Cpu;

type Made = Result<Matrix<Cpu>, NnError>;

/// Runs the fused operation, or the composed one of the same name in a graph that asks for it.
macro_rules! either {
    ($module:ident::$name:ident($g:ident $(, $argument:ident)*)) => {{
        #[cfg(any(test, feature = "cuda"))]
        if $g.composed().is_some() {
            return composed::$name($g $(, $argument)*);
        }
        $module::$name($g $(, $argument)*)
    }};
}

impl Backend for Cpu {
    const FUSED: bool = true;

    #[cfg(any(test, feature = "cuda"))]
    fn composes() -> bool {
        composed::chosen_on_the_cpu()
    }

    fn to_host(x: &Matrix<Self>) -> Vec<f32> {
        storage::read(x).into_owned()
    }

    fn take_gradient(gradients: &mut Grads<Self>, of: &Matrix<Self>) -> Result<Vec<f32>, NnError> {
        #[cfg(any(test, feature = "cuda"))]
        if let Some(composed) = gradients.composed() {
            return Ok(composed.take(of));
        }
        let target = of.target();
        let taken = storage::take(gradients.buffers(), &target).map_err(NnError::device)?;
        Ok(taken.unwrap_or_else(|| vec![0.0; target.count()]))
    }

    fn update(x: &mut Matrix<Self>, change: impl FnOnce(&mut [f32])) -> Result<(), NnError> {
        storage::update(x, change);
        Ok(())
    }

    fn together<R>(rows: usize, work: impl FnOnce() -> R) -> R {
        // Products of more rows go through rayon, which needs its threads for itself.
        if rows > narrow::NARROW {
            return work();
        }
        team::together(work)
    }

    fn linear(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        w: &Matrix<Self>,
        b: Option<&Matrix<Self>>,
    ) -> Made {
        either!(linear::linear(g, x, w, b))
    }

    fn matmul(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, transposed: bool) -> Made {
        either!(linear::matmul(g, a, b, transposed))
    }

    fn unary(g: &Graph<Self>, x: &Matrix<Self>, function: Unary) -> Made {
        either!(elementwise::unary(g, x, function))
    }

    fn binary(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, function: Binary) -> Made {
        either!(elementwise::binary(g, a, b, function))
    }

    fn keep(g: &Graph<Self>, x: &Matrix<Self>, kept: Vec<u8>, factor: f32) -> Made {
        either!(elementwise::keep(g, x, kept, factor))
    }

    fn add_row(g: &Graph<Self>, a: &Matrix<Self>, row: &Matrix<Self>) -> Made {
        either!(elementwise::add_row(g, a, row))
    }

    fn div_scalar(g: &Graph<Self>, x: &Matrix<Self>, s: &Matrix<Self>) -> Made {
        either!(elementwise::div_scalar(g, x, s))
    }

    fn layer_norm(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        eps: f32,
    ) -> Made {
        either!(norm::layer_norm(g, x, weight, bias, eps))
    }

    fn rms_norm(g: &Graph<Self>, x: &Matrix<Self>, weight: &Matrix<Self>, eps: f32) -> Made {
        either!(norm::rms_norm(g, x, weight, eps))
    }

    fn normalize_rows(g: &Graph<Self>, x: &Matrix<Self>, eps: f32) -> Made {
        either!(norm::normalize_rows(g, x, eps))
    }

    fn attention(
        g: &Graph<Self>,
        q: &Matrix<Self>,
        k: &Matrix<Self>,
        v: &Matrix<Self>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Made {
        either!(attention::attention(g, q, k, v, shape, mask))
    }

    fn rotary(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        head_dim: usize,
        positions: &[u32],
        base: f32,
    ) -> Made {
        either!(rotary::rotary(g, x, heads, head_dim, positions, base))
    }

    fn rotary_at(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        positions: &[u32],
        frequencies: &[f32],
    ) -> Made {
        either!(rotary::rotary_at(g, x, heads, positions, frequencies))
    }

    fn biased_attention(
        g: &Graph<Self>,
        q: &Matrix<Self>,
        k: &Matrix<Self>,
        v: &Matrix<Self>,
        bias: &Matrix<Self>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Made {
        either!(biased::biased_attention(g, q, k, v, bias, shape, mask))
    }

    fn cross_entropy(
        g: &Graph<Self>,
        logits: &Matrix<Self>,
        targets: &[Option<u32>],
        smoothing: f32,
    ) -> Made {
        either!(cross_entropy::cross_entropy(g, logits, targets, smoothing))
    }

    fn gather_rows(g: &Graph<Self>, x: &Matrix<Self>, rows: &[usize]) -> Made {
        either!(rows::gather_rows(g, x, rows))
    }

    fn concat_rows(g: &Graph<Self>, parts: &[&Matrix<Self>]) -> Made {
        either!(rows::concat_rows(g, parts))
    }

    fn replace_rows(
        g: &Graph<Self>,
        base: &Matrix<Self>,
        rows: &[usize],
        values: &Matrix<Self>,
    ) -> Made {
        either!(rows::replace_rows(g, base, rows, values))
    }

    fn overwrite_rows(
        base: &mut Matrix<Self>,
        rows: &[usize],
        values: &Matrix<Self>,
    ) -> Result<(), NnError> {
        rows::overwrite_rows(base, rows, values);
        Ok(())
    }

    fn columns(g: &Graph<Self>, x: &Matrix<Self>, start: usize, count: usize) -> Made {
        either!(rows::columns(g, x, start, count))
    }

    fn mean_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made {
        either!(rows::mean_groups(g, x, group))
    }

    fn max_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made {
        either!(rows::max_groups(g, x, group))
    }

    fn transpose(g: &Graph<Self>, x: &Matrix<Self>) -> Made {
        either!(rows::transpose(g, x))
    }

    fn sum_all(g: &Graph<Self>, x: &Matrix<Self>, factor: f32) -> Made {
        either!(rows::sum_all(g, x, factor))
    }

    fn row_distance(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, eps: f32) -> Made {
        either!(norm::row_distance(g, a, b, eps))
    }
}
