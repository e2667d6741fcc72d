//! What a device must be able to do.

use super::ops::{AttentionShape, Binary, Mask, Unary};
use super::{Grads, Graph, Matrix, NnError};
use dfdx::tensor_ops::Device;

type Made<D> = Result<Matrix<D>, NnError>;

/// A dfdx device with the operations of networks, each recording its own backward step.
///
/// Callers use [`super::ops`], which checks shapes before it comes here; the formulas are documented there.
pub trait Backend: Device<f32> {
    /// Whether the device has operations of its own. Where it has not, all are composed of dfdx's.
    const FUSED: bool;
    /// Whether graphs that start now are composed of dfdx's own operations.
    #[cfg(any(test, feature = "cuda"))]
    fn composes() -> bool {
        !Self::FUSED
    }
    /// Copies the numbers to the host, row-major.
    fn to_host(x: &Matrix<Self>) -> Vec<f32>;
    /// Changes the numbers of a matrix, row-major; its identity stays.
    fn update(x: &mut Matrix<Self>, change: impl FnOnce(&mut [f32])) -> Result<(), NnError> {
        let mut values = Self::to_host(x);
        change(&mut values);
        x.overwrite(&values)
    }
    /// Takes a gradient out to the host, row-major; zeros where none flowed.
    fn take_gradient(gradients: &mut Grads<Self>, of: &Matrix<Self>) -> Result<Vec<f32>, NnError>;
    /// Runs a chain of operations on `rows` rows each, for instance the steps of writing some texts. A device may keep its threads awake
    /// meanwhile where the operations are small; results are the same without.
    fn together<R>(rows: usize, work: impl FnOnce() -> R) -> R {
        let _ = rows;
        work()
    }
    /// `x·wᵀ + b`.
    fn linear(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        w: &Matrix<Self>,
        b: Option<&Matrix<Self>>,
    ) -> Made<Self>;
    /// `a·b`, or `a·bᵀ` when `transposed`.
    fn matmul(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, transposed: bool) -> Made<Self>;
    /// A function of each number.
    fn unary(g: &Graph<Self>, x: &Matrix<Self>, function: Unary) -> Made<Self>;
    /// A function of two matrices, number by number.
    fn binary(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, function: Binary) -> Made<Self>;
    /// `x·factor` where `kept`, and 0 elsewhere; one byte a number, 1 or 0.
    fn keep(g: &Graph<Self>, x: &Matrix<Self>, kept: Vec<u8>, factor: f32) -> Made<Self>;
    /// `a + row` for each row.
    fn add_row(g: &Graph<Self>, a: &Matrix<Self>, row: &Matrix<Self>) -> Made<Self>;
    /// `x / s`, `s` a `[1, 1]` matrix.
    fn div_scalar(g: &Graph<Self>, x: &Matrix<Self>, s: &Matrix<Self>) -> Made<Self>;
    /// Layer normalisation.
    fn layer_norm(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        eps: f32,
    ) -> Made<Self>;
    /// Root-mean-square normalisation.
    fn rms_norm(g: &Graph<Self>, x: &Matrix<Self>, weight: &Matrix<Self>, eps: f32) -> Made<Self>;
    /// Rows of unit length.
    fn normalize_rows(g: &Graph<Self>, x: &Matrix<Self>, eps: f32) -> Made<Self>;
    /// Multi-head attention.
    fn attention(
        g: &Graph<Self>,
        q: &Matrix<Self>,
        k: &Matrix<Self>,
        v: &Matrix<Self>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Made<Self>;
    /// Rotary positions.
    fn rotary(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        head_dim: usize,
        positions: &[u32],
        base: f32,
    ) -> Made<Self>;
    /// Rotary positions with given frequencies.
    fn rotary_at(
        g: &Graph<Self>,
        x: &Matrix<Self>,
        heads: usize,
        positions: &[u32],
        frequencies: &[f32],
    ) -> Made<Self>;
    /// Attention with a bias in the place of the scale.
    fn biased_attention(
        g: &Graph<Self>,
        q: &Matrix<Self>,
        k: &Matrix<Self>,
        v: &Matrix<Self>,
        bias: &Matrix<Self>,
        shape: &AttentionShape,
        mask: &Mask,
    ) -> Made<Self>;
    /// Mean cross-entropy over the rows that have a target.
    fn cross_entropy(
        g: &Graph<Self>,
        logits: &Matrix<Self>,
        targets: &[Option<u32>],
        smoothing: f32,
    ) -> Made<Self>;
    /// Rows by number.
    fn gather_rows(g: &Graph<Self>, x: &Matrix<Self>, rows: &[usize]) -> Made<Self>;
    /// Matrices below one another.
    fn concat_rows(g: &Graph<Self>, parts: &[&Matrix<Self>]) -> Made<Self>;
    /// `base` with some rows replaced.
    fn replace_rows(
        g: &Graph<Self>,
        base: &Matrix<Self>,
        rows: &[usize],
        values: &Matrix<Self>,
    ) -> Made<Self>;
    /// Like [`Backend::replace_rows`], in place and without a backward step.
    fn overwrite_rows(
        base: &mut Matrix<Self>,
        rows: &[usize],
        values: &Matrix<Self>,
    ) -> Result<(), NnError> {
        let g = Graph::inference(base.tensor().device());
        *base = Self::replace_rows(&g, base, rows, values)?;
        Ok(())
    }
    /// A range of columns.
    fn columns(g: &Graph<Self>, x: &Matrix<Self>, start: usize, count: usize) -> Made<Self>;
    /// Mean of every `group` consecutive rows.
    fn mean_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made<Self>;
    /// Greatest of every `group` consecutive columns.
    fn max_groups(g: &Graph<Self>, x: &Matrix<Self>, group: usize) -> Made<Self>;
    /// The transpose.
    fn transpose(g: &Graph<Self>, x: &Matrix<Self>) -> Made<Self>;
    /// The sum of all numbers times `factor`.
    fn sum_all(g: &Graph<Self>, x: &Matrix<Self>, factor: f32) -> Made<Self>;
    /// Euclidean distance row by row.
    fn row_distance(g: &Graph<Self>, a: &Matrix<Self>, b: &Matrix<Self>, eps: f32) -> Made<Self>;
}
