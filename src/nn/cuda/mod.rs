//! CUDA: every operation is composed of dfdx's own, see [`super::composed`].

mod device;
mod libraries;

pub use device::{CudaDevice, count, open, peak_memory, reset_peak};

use super::ops::{AttentionShape, Binary, Mask, Unary};
use super::{Backend, Grads, Graph, Matrix, NnError, composed};
use dfdx::tensor::Cuda;

type Made = Result<Matrix<Cuda>, NnError>;

impl Backend for Cuda {
    const FUSED: bool = false;

    fn to_host(x: &Matrix<Self>) -> Vec<f32> {
        x.tensor().as_vec()
    }

    fn take_gradient(gradients: &mut Grads<Self>, of: &Matrix<Self>) -> Result<Vec<f32>, NnError> {
        Ok(gradients
            .composed()
            .map_or_else(|| vec![0.0; of.rows() * of.columns()], |all| all.take(of)))
    }

    fn linear(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        w: &Matrix<Self>,
        b: Option<&Matrix<Self>>,
    ) -> Made {
        composed::linear(g, x, w, b)
    }

    fn matmul(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, transposed: bool) -> Made {
        composed::matmul(g, a, b, transposed)
    }

    fn unary(g: &Graph<Self>, x: &Matrix<Self>, function: Unary) -> Made {
        composed::unary(g, x, function)
    }

    fn binary(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, function: Binary) -> Made {
        composed::binary(g, a, b, function)
    }

    fn keep(g: &Graph<Self>, x: &Matrix<Self>, kept: Vec<u8>, factor: f32) -> Made {
        composed::keep(g, x, kept, factor)
    }

    fn add_row(g: &Graph<Self>, a: &Matrix<Self>, row: &Matrix<Self>) -> Made {
        composed::add_row(g, a, row)
    }

    fn div_scalar(g: &Graph<Self>, x: &Matrix<Self>, s: &Matrix<Self>) -> Made {
        composed::div_scalar(g, x, s)
    }

    fn layer_norm(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        eps: f32,
    ) -> Made {
        composed::layer_norm(g, x, weight, bias, eps)
    }

    fn rms_norm(g: &Graph<Self>, x: &Matrix<Self>, weight: &Matrix<Self>, eps: f32) -> Made {
        composed::rms_norm(g, x, weight, eps)
    }

    fn normalize_rows(g: &Graph<Self>, x: &Matrix<Self>, eps: f32) -> Made {
        composed::normalize_rows(g, x, eps)
    }

    fn attention(
        g: &Graph<Self>,
        q: &Matrix<Self>,
        k: &Matrix<Self>,
        v: &Matrix<Self>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Made {
        composed::attention(g, q, k, v, shape, mask)
    }

    fn rotary(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        head_dim: usize,
        positions: &[u32],
        base: f32,
    ) -> Made {
        composed::rotary(g, x, heads, head_dim, positions, base)
    }

    fn rotary_at(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        positions: &[u32],
        frequencies: &[f32],
    ) -> Made {
        composed::rotary_at(g, x, heads, positions, frequencies)
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
        composed::biased_attention(g, q, k, v, bias, shape, mask)
    }

    fn cross_entropy(
        g: &Graph<Self>,
        logits: &Matrix<Self>,
        targets: &[Option<u32>],
        smoothing: f32,
    ) -> Made {
        composed::cross_entropy(g, logits, targets, smoothing)
    }

    fn gather_rows(g: &Graph<Self>, x: &Matrix<Self>, rows: &[usize]) -> Made {
        composed::gather_rows(g, x, rows)
    }

    fn concat_rows(g: &Graph<Self>, parts: &[&Matrix<Self>]) -> Made {
        composed::concat_rows(g, parts)
    }

    fn replace_rows(
        g: &Graph<Self>,
        base: &Matrix<Self>,
        rows: &[usize],
        values: &Matrix<Self>,
    ) -> Made {
        composed::replace_rows(g, base, rows, values)
    }

    fn columns(g: &Graph<Self>, x: &Matrix<Self>, start: usize, count: usize) -> Made {
        composed::columns(g, x, start, count)
    }

    fn mean_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made {
        composed::mean_groups(g, x, group)
    }

    fn max_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made {
        composed::max_groups(g, x, group)
    }

    fn transpose(g: &Graph<Self>, x: &Matrix<Self>) -> Made {
        composed::transpose(g, x)
    }

    fn sum_all(g: &Graph<Self>, x: &Matrix<Self>, factor: f32) -> Made {
        composed::sum_all(g, x, factor)
    }

    fn row_distance(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, eps: f32) -> Made {
        composed::row_distance(g, a, b, eps)
    }
}
