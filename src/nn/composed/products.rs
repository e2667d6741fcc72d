//! Matrix products and the cross-entropy.

use super::{Flat, Made, Result1, Tensor1, made, record, spread, total, widen};
use crate::nn::{Backend, Graph, Matrix, NnError};
use dfdx::shapes::{Axes2, Axis};
use dfdx::tensor::Tensor;
use dfdx::tensor_ops::{
    BroadcastTo as _, ChooseFrom as _, MeanTo as _, PermuteTo as _, ReshapeTo as _, SelectTo as _,
    TryAdd as _, TryEq as _, TryMatMul as _, TryMul as _, TrySub as _,
};

/// The transpose, without a copy.
fn turned<D: Backend>(x: &Flat<D>) -> Result1<Flat<D>, D> {
    x.clone().try_permute::<_, Axes2<1, 0>>()
}

pub(in crate::nn) fn linear<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    w: &Matrix<D>,
    b: Option<&Matrix<D>>,
) -> Made<D> {
    let y = matmul(g, x, w, true)?;
    match b {
        Some(b) => super::add_row(g, &y, b),
        None => Ok(y),
    }
}

pub(in crate::nn) fn matmul<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
    transposed: bool,
) -> Made<D> {
    let right = if transposed {
        turned(b.tensor())
    } else {
        Ok(b.tensor().clone())
    };
    let y = right.and_then(|right| a.tensor().clone().try_matmul(right));
    let out = made(g, y, &[a, b])?;
    let (of_a, of_b) = (a.target(), b.target());
    // Each is kept for the gradient of the other: nothing keeps the inputs of a frozen layer.
    let a = of_b.needs_gradient().then(|| a.tensor().clone());
    let b = of_a.needs_gradient().then(|| b.tensor().clone());
    record(g, &out, move |gy, sums| {
        if let Some(a) = a {
            let gb = if transposed {
                turned(&gy)?.try_matmul(a)?
            } else {
                turned(&a)?.try_matmul(gy.clone())?
            };
            sums.add(&of_b, gb)?;
        }
        if let Some(b) = b {
            let right = if transposed { b } else { turned(&b)? };
            sums.add(&of_a, gy.try_matmul(right)?)?;
        }
        Ok(())
    });
    Ok(out)
}

pub(in crate::nn) fn cross_entropy<D: Backend>(
    g: &Graph<D>,
    logits: &Matrix<D>,
    targets: &[Option<u32>],
    smoothing: f32,
) -> Made<D> {
    let (rows, classes) = logits.shape();
    let count = targets.iter().flatten().count() as f32;
    let device = logits.tensor().device().clone();
    // The share of each row in the loss.
    let shares = targets
        .iter()
        .map(|target| if target.is_some() { 1.0 / count } else { 0.0 });
    let numbers = targets
        .iter()
        .map(|target| target.map_or(0, |target| target as usize));
    let forward = || {
        let shares: Tensor1<D> = device.try_tensor_from_vec(shares.collect(), (rows,))?;
        let numbers: Tensor<(usize,), usize, D> =
            device.try_tensor_from_vec(numbers.clone().collect(), (rows,))?;
        let likely = logits.tensor().clone().try_log_softmax::<Axis<1>>()?;
        let hit: Tensor1<D> = likely.clone().try_select(numbers)?;
        let mean = likely.clone().try_mean::<(usize,), Axis<1>>()?;
        let mixed = hit
            .try_mul(1.0 - smoothing)?
            .try_add(mean.try_mul(smoothing)?)?;
        let lost = mixed
            .try_mul(shares.clone())?
            .try_reshape_like(&(rows, 1))?;
        let loss = total(lost)?.try_negate()?;
        Ok::<_, D::Err>((loss, likely, shares))
    };
    let (loss, likely, shares) = forward().map_err(NnError::device)?;
    let out = made(g, Ok(loss), &[logits])?;
    let of_logits = logits.target();
    // Class numbers are exact as `f32`: there are fewer than 2²⁴.
    let numbers: Vec<f32> = numbers.map(|number| number as f32).collect();
    record(g, &out, move |gy, sums| {
        let numbers: Tensor1<D> = device.try_tensor_from_vec(numbers, (rows,))?;
        let each = (0..classes).map(|class| class as f32).collect();
        let each: Flat<D> = device.try_tensor_from_vec(each, (1, classes))?;
        let hit = widen(&numbers, classes)?.try_eq(&spread(&each, rows)?)?;
        let constant = |value: f32| {
            let value: Tensor<(), f32, D> = device.try_tensor_from_vec(vec![value], ())?;
            value.try_broadcast_like::<_, Axes2<0, 1>>(&(rows, classes))
        };
        let rest = smoothing / classes as f32;
        let wanted = hit.try_choose(constant(1.0 - smoothing + rest)?, constant(rest)?)?;
        let wrong = likely.try_exp()?.try_sub(wanted)?;
        let gy = dfdx::tensor_ops::ReshapeTo::try_reshape_like(gy, &())?
            .try_broadcast_like::<_, Axis<0>>(&(rows,))?;
        let shares = shares.try_mul(gy)?;
        sums.add(&of_logits, wrong.try_mul(widen(&shares, classes)?)?)
    });
    Ok(out)
}
