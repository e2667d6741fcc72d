//! Matrix products, normalisations and losses.

use super::{expect, same};
use crate::nn::{Backend, Graph, Matrix, NnError};

/// `x·wᵀ + b`: `x` `[R, in]`, `w` `[out, in]`, `b` `[1, out]`, result `[R, out]`.
pub fn linear<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    w: &Matrix<D>,
    b: Option<&Matrix<D>>,
) -> Result<Matrix<D>, NnError> {
    if x.columns() != w.columns() {
        return Err(NnError::shape(
            "linear",
            format!(
                "the input is {:?}, but the weight is {:?}",
                x.shape(),
                w.shape()
            ),
        ));
    }
    if let Some(b) = b {
        expect("linear", "the bias", b, (1, w.rows()))?;
    }
    D::linear(g, x, w, b)
}

/// `a·b`: `[n, k]` times `[k, m]`.
pub fn matmul<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    if a.columns() != b.rows() {
        return Err(NnError::shape(
            "matmul",
            format!("{:?} times {:?}", a.shape(), b.shape()),
        ));
    }
    D::matmul(g, a, b, false)
}

/// `a·bᵀ`: `[n, k]` times the transpose of `[m, k]`.
pub fn matmul_nt<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    if a.columns() != b.columns() {
        return Err(NnError::shape(
            "matmul_nt",
            format!("{:?} times the transpose of {:?}", a.shape(), b.shape()),
        ));
    }
    D::matmul(g, a, b, true)
}

/// `(x − mean) / √(variance + eps)·weight + bias` row by row; the variance divides by `d` (Ba, Kiros & Hinton 2016, eq. 4).
///
/// `x` `[R, d]`, `weight` and `bias` `[1, d]`.
pub fn layer_norm<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    eps: f32,
) -> Result<Matrix<D>, NnError> {
    expect("layer_norm", "the weight", weight, (1, x.columns()))?;
    expect("layer_norm", "the bias", bias, (1, x.columns()))?;
    D::layer_norm(g, x, weight, bias, eps)
}

/// `x / √(mean(x²) + eps)·weight` row by row (Zhang & Sennrich 2019, eq. 4). `x` `[R, d]`, `weight` `[1, d]`.
pub fn rms_norm<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    weight: &Matrix<D>,
    eps: f32,
) -> Result<Matrix<D>, NnError> {
    expect("rms_norm", "the weight", weight, (1, x.columns()))?;
    D::rms_norm(g, x, weight, eps)
}

/// `x / max(‖x‖, eps)` row by row: PyTorch's `normalize`.
pub fn normalize_rows<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    eps: f32,
) -> Result<Matrix<D>, NnError> {
    D::normalize_rows(g, x, eps)
}

/// Mean over the rows with a target of the cross-entropy of `softmax(logits)`; `[1, 1]`.
///
/// `logits` `[R, classes]`, one target a row; rows with `None` count for nothing. With `smoothing` s the target distribution is
/// `(1 − s)` on the target plus `s / classes` on every class (Szegedy et al. 2016, section 7): PyTorch's `label_smoothing`.
///
/// # Errors
/// When no row has a target, or a target is not a class.
pub fn cross_entropy<D: Backend>(
    g: &Graph<D>,
    logits: &Matrix<D>,
    targets: &[Option<u32>],
    smoothing: f32,
) -> Result<Matrix<D>, NnError> {
    if targets.len() != logits.rows() {
        return Err(NnError::shape(
            "cross_entropy",
            format!("{} targets for {} rows", targets.len(), logits.rows()),
        ));
    }
    if let Some(wrong) = targets
        .iter()
        .flatten()
        .find(|&&target| target as usize >= logits.columns())
    {
        return Err(NnError::shape(
            "cross_entropy",
            format!("target {wrong}, but there are {} classes", logits.columns()),
        ));
    }
    if targets.iter().all(Option::is_none) {
        return Err(NnError::shape("cross_entropy", "no row has a target"));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(NnError::setting(
            "smoothing",
            format!("is {smoothing}, but must be at least 0 and below 1"),
        ));
    }
    D::cross_entropy(g, logits, targets, smoothing)
}

/// `√(Σ (a − b)² + 1e-12)` row by row: `[R, d]` and `[R, d]` to `[R, 1]`. The small number keeps the derivative finite.
pub fn row_distance<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    same("row_distance", a, b)?;
    D::row_distance(g, a, b, 1e-12)
}
