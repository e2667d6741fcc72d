//! Attention, its masks, and rotary positions.

use super::{Composed, Flat, Made, Result1, made, record};
use crate::nn::ops::{AttentionShape, Mask};
use crate::nn::{Backend, Graph, Matrix, NnError};
use dfdx::shapes::{Axes2, Axes3, Axes5, Axis, HasShape as _};
use dfdx::tensor::Tensor;
use dfdx::tensor_ops::{
    BroadcastTo as _, PermuteTo as _, ReshapeTo as _, SumTo as _, TryAdd as _, TryConcatAlong as _,
    TryMatMul as _, TryMul as _, TrySub as _,
};
use std::rc::Rc;

type Tensor3<D> = Tensor<(usize, usize, usize), f32, D>;
type Tensor4<D> = Tensor<(usize, usize, usize, usize), f32, D>;

/// How many masks and tables of angles a graph keeps.
const KEPT: usize = 8;

/// A mask on the device.
#[derive(Clone, Debug)]
pub(super) struct Hidden<D: Backend> {
    shape: AttentionShape,
    mask: Mask,
    /// What is added to the scores `[sequences, queries, keys]`; one sequence when all are alike, `None` when nothing is hidden.
    scores: Option<Tensor3<D>>,
    /// Zero for queries that see no key, `[sequences, queries]`; `None` when there are none.
    seeing: Option<Flat<D>>,
}

impl<D: Backend> Hidden<D> {
    /// The mask of an attention, made or as it was made before.
    fn of(g: &Graph<D>, shape: &AttentionShape, mask: &Mask) -> Result1<Self, D> {
        let kept = g.composed().map(|composed| &composed.hidden);
        // Heads do not change a mask.
        let shape = AttentionShape {
            heads: 1,
            kv_heads: 1,
            head_dim: 1,
            ..*shape
        };
        if let Some(kept) = kept
            && let Some(found) = kept
                .borrow()
                .iter()
                .find(|hidden| hidden.shape == shape && hidden.mask == *mask)
        {
            return Ok(found.clone());
        }
        let made = Self::make(g.device(), shape, mask.clone())?;
        if let Some(kept) = kept {
            let mut kept = kept.borrow_mut();
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push(made.clone());
        }
        Ok(made)
    }

    fn make(device: &D, shape: AttentionShape, mask: Mask) -> Result1<Self, D> {
        // Far below every score, so that its exponential is 0, and far from the end of the range.
        const FAR: f32 = -1e30;
        let s = &shape;
        let sequences = if mask.lengths.is_some() { s.batch } else { 1 };
        let limits: Vec<usize> = (0..sequences)
            .flat_map(|row| (0..s.queries).map(move |query| (row, query)))
            .map(|(row, query)| mask.limit(s, row, query))
            .collect();
        let scores = if limits.iter().all(|&limit| limit == s.keys) {
            None
        } else {
            let each = |&limit: &usize| {
                // A query that sees nothing keeps its scores; its weights become 0 afterwards.
                let limit = if limit == 0 { s.keys } else { limit };
                (0..s.keys).map(move |key| if key < limit { 0.0 } else { FAR })
            };
            let values = limits.iter().flat_map(each).collect();
            Some(device.try_tensor_from_vec(values, (sequences, s.queries, s.keys))?)
        };
        let seeing = if limits.contains(&0) {
            let values = limits.iter().map(|&limit| f32::from(u8::from(limit > 0)));
            Some(device.try_tensor_from_vec(values.collect(), (sequences, s.queries))?)
        } else {
            None
        };
        Ok(Self {
            shape,
            mask,
            scores,
            seeing,
        })
    }

    /// The weights of the scores `[batch, heads, queries, keys]`.
    fn weights(&self, mut scores: Tensor4<D>) -> Result1<Tensor4<D>, D> {
        let shape = *scores.shape();
        let (batch, heads, queries, keys) = shape;
        if let Some(hidden) = &self.scores {
            let hidden = if self.mask.lengths.is_some() {
                let hidden = hidden.clone().try_reshape_like(&(batch, queries, keys))?;
                hidden.try_broadcast_like::<_, Axis<1>>(&shape)?
            } else {
                let hidden = hidden.clone().try_reshape_like(&(queries, keys))?;
                hidden.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?
            };
            scores = scores.try_add(hidden)?;
        }
        let weights = scores.try_softmax::<Axis<3>>()?;
        let Some(seeing) = &self.seeing else {
            return Ok(weights);
        };
        let seeing = seeing
            .clone()
            .try_broadcast_like::<_, Axes2<1, 3>>(&(batch, heads, queries, keys))?;
        weights.try_mul(seeing)
    }
}

/// `[B·T, kv_heads·group·head_dim]` as `[B·kv_heads, group·T, head_dim]`: the query heads of a key head are rows of one product.
fn split<D: Backend>(
    x: &Flat<D>,
    s: &AttentionShape,
    group: usize,
    count: usize,
) -> Result1<Tensor3<D>, D> {
    x.clone()
        .try_reshape_like(&(s.batch, count, s.kv_heads, group, s.head_dim))?
        .try_permute::<_, Axes5<0, 2, 3, 1, 4>>()?
        .try_reshape_like(&(s.batch * s.kv_heads, group * count, s.head_dim))
}

/// The inverse of [`split`].
fn join<D: Backend>(
    x: Tensor3<D>,
    s: &AttentionShape,
    group: usize,
    count: usize,
) -> Result1<Flat<D>, D> {
    x.try_reshape_like(&(s.batch, s.kv_heads, group, count, s.head_dim))?
        .try_permute::<_, Axes5<0, 3, 1, 2, 4>>()?
        .try_reshape_like(&(s.batch * count, s.kv_heads * group * s.head_dim))
}

fn turned<D: Backend>(x: &Tensor3<D>) -> Result1<Tensor3<D>, D> {
    x.clone().try_permute::<_, Axes3<0, 2, 1>>()
}

pub(in crate::nn) fn attention<D: Backend>(
    g: &Graph<D>,
    q: &Matrix<D>,
    k: &Matrix<D>,
    v: &Matrix<D>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Made<D> {
    let scale = 1.0 / (shape.head_dim as f32).sqrt();
    attend(g, [q, k, v], None, scale, shape, mask)
}

pub(in crate::nn) fn biased_attention<D: Backend>(
    g: &Graph<D>,
    q: &Matrix<D>,
    k: &Matrix<D>,
    v: &Matrix<D>,
    bias: &Matrix<D>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Made<D> {
    attend(g, [q, k, v], Some(bias), 1.0, shape, mask)
}

fn attend<D: Backend>(
    g: &Graph<D>,
    [q, k, v]: [&Matrix<D>; 3],
    bias: Option<&Matrix<D>>,
    scale: f32,
    shape: &AttentionShape,
    mask: &Mask,
) -> Made<D> {
    let s = *shape;
    let group = s.heads / s.kv_heads;
    let stacked = (s.batch * s.kv_heads, group * s.queries, s.keys);
    let by_head = (s.batch, s.heads, s.queries, s.keys);
    let forward = || {
        let tq = split(q.tensor(), &s, group, s.queries)?.try_mul(scale)?;
        let tk = split(k.tensor(), &s, 1, s.keys)?;
        let tv = split(v.tensor(), &s, 1, s.keys)?;
        let scores = tq.clone().try_matmul(turned(&tk)?)?;
        let mut scores = scores.try_reshape_like(&by_head)?;
        if let Some(bias) = bias {
            let bias = bias
                .tensor()
                .clone()
                .try_reshape_like(&(s.queries, s.keys, s.heads))?
                .try_permute::<_, Axes3<2, 0, 1>>()?
                .try_broadcast_like::<_, Axis<0>>(&by_head)?;
            scores = scores.try_add(bias)?;
        }
        let weights = Hidden::of(g, &s, mask)?.weights(scores)?;
        let weights = weights.try_reshape_like(&stacked)?;
        let y = join(
            weights.clone().try_matmul(tv.clone())?,
            &s,
            group,
            s.queries,
        )?;
        Ok::<_, D::Err>((y, [tq, tk, tv], weights))
    };
    let (y, [tq, tk, tv], weights) = forward().map_err(NnError::device)?;
    let mut inputs = vec![q, k, v];
    inputs.extend(bias);
    let out = made(g, Ok(y), &inputs)?;
    let (of_q, of_k, of_v) = (q.target(), k.target(), v.target());
    let of_bias = bias.map(Matrix::target);
    record(g, &out, move |gy, sums| {
        let gy = split(&gy, &s, group, s.queries)?;
        if of_v.needs_gradient() {
            let gv = turned(&weights)?.try_matmul(gy.clone())?;
            sums.add(&of_v, join(gv, &s, 1, s.keys)?)?;
        }
        let biased = of_bias.as_ref().is_some_and(super::Target::needs_gradient);
        if !biased && !of_q.needs_gradient() && !of_k.needs_gradient() {
            return Ok(());
        }
        let shares: Tensor3<D> = gy.try_matmul(turned(&tv)?)?.try_mul(weights.clone())?;
        let along = shares.clone().try_sum::<(usize, usize), Axis<2>>()?;
        let along = along.try_broadcast_like::<_, Axis<2>>(&stacked)?;
        let gs = shares.try_sub(weights.try_mul(along)?)?;
        if let Some(of_bias) = of_bias.filter(super::Target::needs_gradient) {
            let each: Tensor4<D> = gs.clone().try_reshape_like(&by_head)?;
            let each = each.try_sum::<(usize, usize, usize), Axis<0>>()?;
            let each = each.try_permute::<_, Axes3<1, 2, 0>>()?;
            sums.add(
                &of_bias,
                each.try_reshape_like(&(s.queries * s.keys, s.heads))?,
            )?;
        }
        if of_k.needs_gradient() {
            // The scale is in `tq`.
            let gk = turned(&gs)?.try_matmul(tq)?;
            sums.add(&of_k, join(gk, &s, 1, s.keys)?)?;
        }
        if of_q.needs_gradient() {
            let gq = gs.try_matmul(tk)?.try_mul(scale)?;
            sums.add(&of_q, join(gq, &s, group, s.queries)?)?;
        }
        Ok(())
    });
    Ok(out)
}

/// Cosines and sines of rotary positions.
#[derive(Debug)]
pub(super) struct Angles<D: Backend> {
    positions: Vec<u32>,
    frequencies: Vec<f32>,
    /// `[rows, half]`.
    cosines: Flat<D>,
    sines: Flat<D>,
}

impl<D: Backend> Angles<D> {
    /// The table of these positions, made or as it was made before.
    fn of(
        g: &Graph<D>,
        composed: Option<&Composed<D>>,
        positions: &[u32],
        frequencies: &[f32],
    ) -> Result1<Rc<Self>, D> {
        let kept = composed.map(|composed| &composed.angles);
        if let Some(kept) = kept
            && let Some(found) = kept
                .borrow()
                .iter()
                .find(|angles| angles.positions == positions && angles.frequencies == frequencies)
        {
            return Ok(Rc::clone(found));
        }
        let table = |f: fn(f64) -> f64| {
            // Angles are rounded to f32, as Hugging Face's Llama does.
            let angles = positions.iter().flat_map(|&position| {
                frequencies
                    .iter()
                    .map(move |frequency| position as f32 * frequency)
            });
            let values = angles.map(|angle| f(f64::from(angle)) as f32).collect();
            let shape = (positions.len(), frequencies.len());
            g.device().try_tensor_from_vec(values, shape)
        };
        let made = Rc::new(Self {
            positions: positions.to_vec(),
            frequencies: frequencies.to_vec(),
            cosines: table(f64::cos)?,
            sines: table(f64::sin)?,
        });
        if let Some(kept) = kept {
            let mut kept = kept.borrow_mut();
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push(Rc::clone(&made));
        }
        Ok(made)
    }

    /// Turns each pair of features by its angle, or back.
    fn turn(&self, x: &Flat<D>, heads: usize, back: bool) -> Result1<Flat<D>, D> {
        let shape = *x.shape();
        let half = self.frequencies.len();
        let pairs = x.clone().try_reshape_like(&(shape.0, heads, 2 * half))?;
        let part = (shape.0, heads, half);
        let a: Tensor3<D> = pairs
            .clone()
            .try_slice((.., .., 0..half))?
            .try_reshape_like(&part)?;
        let b: Tensor3<D> = pairs
            .try_slice((.., .., half..2 * half))?
            .try_reshape_like(&part)?;
        let cosines = self
            .cosines
            .clone()
            .try_broadcast_like::<_, Axis<1>>(&part)?;
        let sines = if back {
            self.sines.clone().try_negate()?
        } else {
            self.sines.clone()
        };
        let sines = sines.try_broadcast_like::<_, Axis<1>>(&part)?;
        let first = a.clone().try_mul(cosines.clone())?;
        let first = first.try_sub(b.clone().try_mul(sines.clone())?)?;
        let second = b.try_mul(cosines)?.try_add(a.try_mul(sines)?)?;
        let both: Tensor3<D> = (first, second).try_concat_along(Axis::<2>)?;
        both.try_reshape_like(&shape)
    }
}

pub(in crate::nn) fn rotary<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    heads: usize,
    head_dim: usize,
    positions: &[u32],
    base: f32,
) -> Made<D> {
    let half = head_dim / 2;
    let frequency = |i: usize| f64::from(base).powf(-(i as f64) / half as f64) as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    rotary_at(g, x, heads, positions, &frequencies)
}

pub(in crate::nn) fn rotary_at<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    heads: usize,
    positions: &[u32],
    frequencies: &[f32],
) -> Made<D> {
    let composed = g.composed().map(Rc::as_ref);
    let angles = Angles::of(g, composed, positions, frequencies).map_err(NnError::device)?;
    let out = made(g, angles.turn(x.tensor(), heads, false), &[x])?;
    let of_x = x.target();
    record(g, &out, move |gy, sums| {
        sums.add(&of_x, angles.turn(&gy, heads, true)?)
    });
    Ok(out)
}
