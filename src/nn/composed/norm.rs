//! Normalisations and distances of rows.

use super::{Flat, Made, Result1, Tensor1, made, record, spread, sum_of_rows, widen};
use crate::nn::{Backend, Graph, Matrix, NnError};
use dfdx::shapes::{Axis, HasShape as _};
use dfdx::tensor_ops::{
    ChooseFrom as _, MeanTo as _, SumTo as _, TryAdd as _, TryDiv as _, TryGt as _, TryMul as _,
    TrySub as _,
};

/// The mean of each row.
fn mean<D: Backend>(x: Flat<D>) -> Result1<Tensor1<D>, D> {
    x.try_mean::<(usize,), Axis<1>>()
}

/// `1 / √(mean(x²) + eps)` of each row.
fn inverse_root<D: Backend>(x: Flat<D>, eps: f32) -> Result1<Tensor1<D>, D> {
    mean(x.try_square()?)?.try_add(eps)?.try_sqrt()?.try_recip()
}

pub(in crate::nn) fn layer_norm<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    eps: f32,
) -> Made<D> {
    let (rows, width) = x.shape();
    let normed = || {
        let x = x.tensor().clone();
        let centred = x.clone().try_sub(widen(&mean(x)?, width)?)?;
        let scale = inverse_root(centred.clone(), eps)?;
        Ok::<_, D::Err>((centred.try_mul(widen(&scale, width)?)?, scale))
    };
    let (normed, scale): (Flat<D>, Tensor1<D>) = normed().map_err(NnError::device)?;
    let y = || {
        let scaled = normed.clone().try_mul(spread(weight.tensor(), rows)?)?;
        scaled.try_add(spread(bias.tensor(), rows)?)
    };
    let out = made(g, y(), &[x, weight, bias])?;
    let (of_x, of_weight, of_bias) = (x.target(), weight.target(), bias.target());
    let weight = weight.tensor().clone();
    record(g, &out, move |gy, sums| {
        if of_bias.needs_gradient() {
            sums.add(&of_bias, sum_of_rows(gy.clone())?)?;
        }
        if of_weight.needs_gradient() {
            sums.add(
                &of_weight,
                sum_of_rows(gy.clone().try_mul(normed.clone())?)?,
            )?;
        }
        if of_x.needs_gradient() {
            let gn = gy.try_mul(spread(&weight, rows)?)?;
            let along = widen(&mean(gn.clone())?, width)?;
            let across = mean(gn.clone().try_mul(normed.clone())?)?;
            let across = normed.try_mul(widen(&across, width)?)?;
            let gx = gn.try_sub(along)?.try_sub(across)?;
            sums.add(&of_x, gx.try_mul(widen(&scale, width)?)?)?;
        }
        Ok(())
    });
    Ok(out)
}

pub(in crate::nn) fn rms_norm<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    weight: &Matrix<D>,
    eps: f32,
) -> Made<D> {
    let (rows, width) = x.shape();
    let normed = || {
        let scale = inverse_root(x.tensor().clone(), eps)?;
        Ok::<_, D::Err>((x.tensor().clone().try_mul(widen(&scale, width)?)?, scale))
    };
    let (normed, scale): (Flat<D>, Tensor1<D>) = normed().map_err(NnError::device)?;
    let y = spread(weight.tensor(), rows).and_then(|weight| normed.clone().try_mul(weight));
    let out = made(g, y, &[x, weight])?;
    let (of_x, of_weight, weight) = (x.target(), weight.target(), weight.tensor().clone());
    record(g, &out, move |gy, sums| {
        if of_weight.needs_gradient() {
            sums.add(
                &of_weight,
                sum_of_rows(gy.clone().try_mul(normed.clone())?)?,
            )?;
        }
        if of_x.needs_gradient() {
            let gn = gy.try_mul(spread(&weight, rows)?)?;
            let across = mean(gn.clone().try_mul(normed.clone())?)?;
            let gx = gn.try_sub(normed.try_mul(widen(&across, width)?)?)?;
            sums.add(&of_x, gx.try_mul(widen(&scale, width)?)?)?;
        }
        Ok(())
    });
    Ok(out)
}

/// The length of each row.
fn lengths<D: Backend>(x: Flat<D>, eps: f32) -> Result1<Tensor1<D>, D> {
    let squares = x.try_square()?.try_sum::<(usize,), Axis<1>>()?;
    squares.try_add(eps)?.try_sqrt()
}

pub(in crate::nn) fn normalize_rows<D: Backend>(g: &Graph<D>, x: &Matrix<D>, eps: f32) -> Made<D> {
    let width = x.columns();
    let lengths = lengths(x.tensor().clone(), 0.0).map_err(NnError::device)?;
    let divisor = || widen(&lengths.clone().try_clamp(eps, f32::MAX)?, width);
    let divisor = divisor().map_err(NnError::device)?;
    let out = made(g, x.tensor().clone().try_div(divisor.clone()), &[x])?;
    let (of_x, y) = (x.target(), out.tensor().clone());
    record(g, &out, move |gy, sums| {
        let along: Tensor1<D> = gy
            .clone()
            .try_mul(y.clone())?
            .try_sum::<(usize,), Axis<1>>()?;
        // A row shorter than `eps` is only scaled.
        let none = along.device().try_zeros_like(along.shape())?;
        let along = lengths.try_gt(eps)?.try_choose(along, none)?;
        let gx = gy.try_sub(y.try_mul(widen(&along, width)?)?)?;
        sums.add(&of_x, gx.try_div(divisor)?)
    });
    Ok(out)
}

pub(in crate::nn) fn row_distance<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
    eps: f32,
) -> Made<D> {
    let (rows, width) = a.shape();
    let apart = a.tensor().clone().try_sub(b.tensor().clone());
    let apart = apart.map_err(NnError::device)?;
    let y = lengths(apart.clone(), eps);
    let y = y.and_then(|y| dfdx::tensor_ops::ReshapeTo::try_reshape_like(y, &(rows, 1)));
    let out = made(g, y, &[a, b])?;
    let (of_a, of_b, y) = (a.target(), b.target(), out.tensor().clone());
    record(g, &out, move |gy, sums| {
        let share: Flat<D> = gy.try_div(y)?;
        let share = dfdx::tensor_ops::ReshapeTo::try_reshape_like(share, &(rows,))?;
        let ga = apart.try_mul(widen(&share, width)?)?;
        if of_b.needs_gradient() {
            sums.add(&of_b, ga.clone().try_negate()?)?;
        }
        sums.add(&of_a, ga)
    });
    Ok(out)
}
