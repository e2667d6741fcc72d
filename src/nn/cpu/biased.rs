//! Attention whose scores are not scaled but get a bias by query, key and head.

use super::attention::{limits, softmax};
use super::gemm::{Mode, View, product};
use super::{Made, math, parallel, storage};
use crate::nn::ops::{AttentionShape, Mask};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;
use rayon::prelude::*;

const SET: Mode = Mode {
    alpha: 1.0,
    accumulate: false,
    parallel: false,
};

const ADD: Mode = Mode {
    accumulate: true,
    ..SET
};

/// Numbers of a row, of a sequence and of a sequence's weights; all heads have keys of their own.
#[derive(Clone, Copy)]
struct Sizes {
    shape: AttentionShape,
    width: usize,
    queries: usize,
    keys: usize,
    weights: usize,
}

pub(super) fn biased_attention(
    g: &Graph<Cpu>,
    q: &Matrix<Cpu>,
    k: &Matrix<Cpu>,
    v: &Matrix<Cpu>,
    bias: &Matrix<Cpu>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Made {
    let width = shape.heads * shape.head_dim;
    let sizes = Sizes {
        shape: *shape,
        width,
        queries: shape.queries * width,
        keys: shape.keys * width,
        weights: shape.heads * shape.queries * shape.keys,
    };
    let limits = limits(shape, mask);
    let mut y = parallel::zeros(shape.batch * sizes.queries);
    let mut weights = parallel::zeros(shape.batch * sizes.weights);
    {
        let (q, k, v) = (storage::read(q), storage::read(k), storage::read(v));
        let bias = storage::read(bias);
        y.par_chunks_mut(sizes.queries)
            .zip(weights.par_chunks_mut(sizes.weights))
            .zip(q.par_chunks(sizes.queries))
            .zip(k.par_chunks(sizes.keys).zip(v.par_chunks(sizes.keys)))
            .zip(limits.par_chunks(shape.queries))
            .for_each(|((((y, weights), q), (k, v)), limits)| {
                forward(&sizes, y, weights, (q, k, v), &bias, limits);
            });
    }
    let out = g.output(y, q.shape(), &[q, k, v, bias])?;
    let targets = [q, k, v, bias].map(Matrix::target);
    let inputs = [q, k, v].map(Clone::clone);
    storage::record(g, &out, move |gy, gradients| {
        let batch = sizes.shape.batch;
        let mut gq = parallel::zeros(batch * sizes.queries);
        let mut gk = parallel::zeros(batch * sizes.keys);
        let mut gv = parallel::zeros(batch * sizes.keys);
        {
            let [q, k, v] = inputs.each_ref().map(storage::read);
            gq.par_chunks_mut(sizes.queries)
                .zip(gk.par_chunks_mut(sizes.keys))
                .zip(gv.par_chunks_mut(sizes.keys))
                .zip(weights.par_chunks_mut(sizes.weights))
                .zip(q.par_chunks(sizes.queries))
                .zip(k.par_chunks(sizes.keys).zip(v.par_chunks(sizes.keys)))
                .zip(gy.par_chunks(sizes.queries))
                .for_each(|((((((gq, gk), gv), weights), q), (k, v)), gy)| {
                    backward(&sizes, (gq, gk, gv), weights, (q, k, v), gy);
                });
        }
        // One after the other: the three may be one matrix.
        let [of_q, of_k, of_v, of_bias] = targets;
        for (of, gradient) in [(of_q, gq), (of_k, gk), (of_v, gv)] {
            if of.needs_gradient() {
                storage::place(gradients, &of)?.put(gradient);
            }
        }
        if of_bias.needs_gradient() {
            // `weights` now holds the gradients of the scores; sequences are added in order.
            let heads = sizes.shape.heads;
            let pairs = sizes.shape.queries * sizes.shape.keys;
            let place = storage::place(gradients, &of_bias)?;
            parallel::add_rows(place, pairs, heads, |pair, row| {
                for sequence in weights.chunks_exact(sizes.weights) {
                    for (head, sum) in row.iter_mut().enumerate() {
                        *sum += sequence[head * pairs + pair];
                    }
                }
            });
        }
        Ok(())
    });
    Ok(out)
}

/// One sequence: fills the softmax weights `[heads, queries, keys]` and the result.
fn forward(
    sizes: &Sizes,
    y: &mut [f32],
    weights: &mut [f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    bias: &[f32],
    limits: &[usize],
) {
    let (s, width) = (&sizes.shape, sizes.width);
    for (head, weights) in weights.chunks_exact_mut(s.queries * s.keys).enumerate() {
        let at = head * s.head_dim;
        product(
            (s.queries, s.keys, s.head_dim),
            View::new(&q[at..], width),
            View::new(&k[at..], width).t(),
            weights,
            s.keys,
            SET,
        );
        for (query, (row, &limit)) in weights.chunks_exact_mut(s.keys).zip(limits).enumerate() {
            let (row, hidden) = row.split_at_mut(limit);
            for (key, score) in row.iter_mut().enumerate() {
                *score += bias[(query * s.keys + key) * s.heads + head];
            }
            softmax(row);
            hidden.fill(0.0);
        }
        product(
            (s.queries, s.head_dim, s.keys),
            View::new(weights, s.keys),
            View::new(&v[at..], width),
            &mut y[at..],
            width,
            ADD,
        );
    }
}

/// One sequence: fills the gradients, and turns the weights into the gradients of the scores.
fn backward(
    sizes: &Sizes,
    (gq, gk, gv): (&mut [f32], &mut [f32], &mut [f32]),
    weights: &mut [f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    gy: &[f32],
) {
    let (s, width) = (&sizes.shape, sizes.width);
    let mut gs = vec![0.0; s.queries * s.keys];
    for (head, weights) in weights.chunks_exact_mut(s.queries * s.keys).enumerate() {
        let at = head * s.head_dim;
        let gy = View::new(&gy[at..], width);
        product(
            (s.keys, s.head_dim, s.queries),
            View::new(weights, s.keys).t(),
            gy,
            &mut gv[at..],
            width,
            ADD,
        );
        product(
            (s.queries, s.keys, s.head_dim),
            gy,
            View::new(&v[at..], width).t(),
            &mut gs,
            s.keys,
            SET,
        );
        // `w·(g − Σ w·g)`; hidden keys have weight 0.
        for (gs, weights) in gs
            .chunks_exact(s.keys)
            .zip(weights.chunks_exact_mut(s.keys))
        {
            let mean = math::dot(gs, weights);
            for (weight, gs) in weights.iter_mut().zip(gs) {
                *weight *= gs - mean;
            }
        }
        product(
            (s.queries, s.head_dim, s.keys),
            View::new(weights, s.keys),
            View::new(&k[at..], width),
            &mut gq[at..],
            width,
            ADD,
        );
        product(
            (s.keys, s.head_dim, s.queries),
            View::new(weights, s.keys).t(),
            View::new(&q[at..], width),
            &mut gk[at..],
            width,
            ADD,
        );
    }
}
