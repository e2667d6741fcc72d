//! Moving rows and columns, and sums over them.

use super::{Flat, Made, Result1, fill, made, record, total};
use crate::nn::{Backend, Graph, Matrix, NnError};
use dfdx::shapes::{Axes2, Axis, HasShape as _, Rank0};
use dfdx::tensor::{Tensor, Trace as _};
use dfdx::tensor_ops::{
    Backward as _, BroadcastTo as _, ChooseFrom as _, GatherTo as _, MaxTo as _, MeanTo as _,
    PermuteTo as _, ReshapeTo as _, SumTo as _, TryConcatAlong as _, TryEq as _, TryMul as _,
};

/// Rows by number.
fn gathered<D: Backend>(x: &Flat<D>, rows: &[usize]) -> Result1<Flat<D>, D> {
    let numbers = x
        .device()
        .try_tensor_from_vec(rows.to_vec(), (rows.len(),))?;
    x.clone().try_gather(numbers)
}

/// Zeros.
fn zeros<D: Backend>(device: &D, shape: (usize, usize)) -> Result1<Flat<D>, D> {
    device.try_zeros_like(&shape)
}

/// `[count, d]` zeros to whose row `rows[i]` row `i` of `values` is added.
///
/// dfdx scatters in the backward step of its `gather` alone, so the gradient of `Σ gather(zeros)·values` is taken.
fn scattered<D: Backend>(values: Flat<D>, rows: &[usize], count: usize) -> Result1<Flat<D>, D> {
    let device = values.device().clone();
    let target = zeros(&device, (count, values.shape().1))?;
    let numbers = device.try_tensor_from_vec(rows.to_vec(), (rows.len(),))?;
    let taken: Tensor<(usize, usize), f32, D, _> = target.leaky_trace().try_gather(numbers)?;
    let sum = taken.try_mul(values)?.try_sum::<Rank0, _>()?;
    Ok(sum.try_backward()?.get(&target))
}

pub(in crate::nn) fn gather_rows<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    rows: &[usize],
) -> Made<D> {
    if rows.is_empty() {
        return made(g, zeros(g.device(), (0, x.columns())), &[]);
    }
    let out = made(g, gathered(x.tensor(), rows), &[x])?;
    if out.needs_gradient() {
        let (of_x, count, rows) = (x.target(), x.rows(), rows.to_vec());
        record(g, &out, move |gy, sums| {
            sums.add(&of_x, scattered(gy, &rows, count)?)
        });
    }
    Ok(out)
}

/// Matrices below one another, in pairs, so that no row is copied more often than the parts can be halved.
fn stacked<D: Backend>(parts: &[Flat<D>]) -> Result1<Flat<D>, D> {
    if let [one] = parts {
        return Ok(one.clone());
    }
    let (above, below) = parts.split_at(parts.len() / 2);
    (stacked(above)?, stacked(below)?).try_concat_along(Axis::<0>)
}

/// Rows `start .. start + count`.
fn cut<D: Backend>(x: &Flat<D>, start: usize, count: usize) -> Result1<Flat<D>, D> {
    let shape = (count, x.shape().1);
    let cut = x.clone().try_slice((start..start + count, ..))?;
    cut.try_reshape_like(&shape)
}

pub(in crate::nn) fn concat_rows<D: Backend>(g: &Graph<D>, parts: &[&Matrix<D>]) -> Made<D> {
    let tensors: Vec<Flat<D>> = parts
        .iter()
        .filter(|part| part.rows() > 0)
        .map(|part| part.tensor().clone())
        .collect();
    let stack = if tensors.is_empty() {
        zeros(g.device(), (0, parts[0].columns()))
    } else {
        stacked(&tensors)
    };
    let out = made(g, stack, parts)?;
    let targets: Vec<_> = parts
        .iter()
        .map(|part| (part.target(), part.rows()))
        .collect();
    record(g, &out, move |gy, sums| {
        let mut start = 0;
        for (target, rows) in targets {
            if target.needs_gradient() && rows > 0 {
                sums.add(&target, cut(&gy, start, rows)?)?;
            }
            start += rows;
        }
        Ok(())
    });
    Ok(out)
}

pub(in crate::nn) fn replace_rows<D: Backend>(
    g: &Graph<D>,
    base: &Matrix<D>,
    rows: &[usize],
    values: &Matrix<D>,
) -> Made<D> {
    if rows.is_empty() {
        return Ok(base.clone());
    }
    let (count, width) = base.shape();
    let mut from: Vec<usize> = (0..count).collect();
    for (number, &row) in rows.iter().enumerate() {
        from[row] = count + number;
    }
    let both = stacked(&[base.tensor().clone(), values.tensor().clone()]);
    let out = made(
        g,
        both.and_then(|both| gathered(&both, &from)),
        &[base, values],
    )?;
    if out.needs_gradient() {
        let (of_base, of_values, rows) = (base.target(), values.target(), rows.to_vec());
        record(g, &out, move |gy, sums| {
            if of_values.needs_gradient() {
                sums.add(&of_values, gathered(&gy, &rows)?)?;
            }
            if of_base.needs_gradient() {
                let mut kept = vec![1.0; count];
                for row in rows {
                    kept[row] = 0.0;
                }
                let kept = gy.device().try_tensor_from_vec(kept, (count,))?;
                sums.add(&of_base, gy.try_mul(super::widen(&kept, width)?)?)?;
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(in crate::nn) fn columns<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    start: usize,
    count: usize,
) -> Made<D> {
    let (rows, width) = x.shape();
    let y = || {
        let cut = x.tensor().clone().try_slice((.., start..start + count))?;
        cut.try_reshape_like(&(rows, count))
    };
    let out = made(g, y(), &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        let device = gy.device().clone();
        let mut gx = gy;
        if start > 0 {
            gx = (zeros(&device, (rows, start))?, gx).try_concat_along(Axis::<1>)?;
        }
        let right = width - start - count;
        if right > 0 {
            gx = (gx, zeros(&device, (rows, right))?).try_concat_along(Axis::<1>)?;
        }
        sums.add(&of_x, gx)
    });
    Ok(out)
}

pub(in crate::nn) fn mean_groups<D: Backend>(g: &Graph<D>, x: &Matrix<D>, group: usize) -> Made<D> {
    let (rows, width) = x.shape();
    let shape = (rows / group, group, width);
    let y = || {
        let groups = x.tensor().clone().try_reshape_like(&shape)?;
        groups.try_mean::<_, Axis<1>>()
    };
    let out = made(g, y(), &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        let gy = gy.try_mul(1.0 / group as f32)?;
        let gx = gy.try_broadcast_like::<_, Axis<1>>(&shape)?;
        sums.add(&of_x, gx.try_reshape_like(&(rows, width))?)
    });
    Ok(out)
}

pub(in crate::nn) fn max_groups<D: Backend>(g: &Graph<D>, x: &Matrix<D>, group: usize) -> Made<D> {
    let (rows, width) = x.shape();
    let shape = (rows * width / group, group);
    let grouped = x.tensor().clone().try_reshape_like(&shape);
    let grouped = grouped.map_err(NnError::device)?;
    let greatest = grouped.clone().try_max::<(usize,), Axis<1>>();
    let greatest = greatest.map_err(NnError::device)?;
    let y = greatest.clone().try_reshape_like(&(rows, width / group));
    let out = made(g, y, &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        let device = gy.device().clone();
        let none = zeros(&device, shape)?;
        // The first of equals has the greatest rank among those that are greatest.
        let ranks: Vec<f32> = (0..group).rev().map(|rank| rank as f32 + 1.0).collect();
        let ranks = device.try_tensor_from_vec(ranks, (1, group))?;
        let ranks = super::spread(&ranks, shape.0)?;
        let is_greatest = grouped.try_eq(&super::widen(&greatest, group)?)?;
        let ranks = is_greatest.try_choose(ranks, none.clone())?;
        let best = ranks.clone().try_max::<(usize,), Axis<1>>()?;
        let first = ranks.try_eq(&super::widen(&best, group)?)?;
        let gy = gy.try_reshape_like(&(shape.0,))?;
        let gx = first.try_choose(super::widen(&gy, group)?, none)?;
        sums.add(&of_x, gx.try_reshape_like(&(rows, width))?)
    });
    Ok(out)
}

pub(in crate::nn) fn transpose<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Made<D> {
    let out = made(g, x.tensor().clone().try_permute::<_, Axes2<1, 0>>(), &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        sums.add(&of_x, gy.try_permute::<_, Axes2<1, 0>>()?)
    });
    Ok(out)
}

pub(in crate::nn) fn sum_all<D: Backend>(g: &Graph<D>, x: &Matrix<D>, factor: f32) -> Made<D> {
    let sum = total(x.tensor().clone()).and_then(|sum| sum.try_mul(factor));
    let out = made(g, sum, &[x])?;
    let (of_x, shape) = (x.target(), x.shape());
    record(g, &out, move |gy, sums| {
        sums.add(&of_x, fill(&gy.try_mul(factor)?, shape)?)
    });
    Ok(out)
}
