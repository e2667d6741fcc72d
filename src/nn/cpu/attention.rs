//! Multi-head attention, one task for each sequence of the batch.

use super::gemm::{Mode, View, product};
use super::{Made, math, parallel, single, storage};
use crate::nn::matrix::Target;
use crate::nn::ops::{AttentionShape, Mask};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;
use rayon::prelude::*;

const ADD: Mode = Mode {
    alpha: 1.0,
    accumulate: true,
    parallel: false,
};

/// The sizes of one sequence, in numbers.
#[derive(Clone, Copy)]
struct Sizes {
    shape: AttentionShape,
    /// Numbers of a row of queries.
    q_width: usize,
    /// Numbers of a row of keys.
    k_width: usize,
    /// `1/√head_dim`.
    scale: f32,
}

impl Sizes {
    fn new(shape: AttentionShape) -> Self {
        Self {
            shape,
            q_width: shape.heads * shape.head_dim,
            k_width: shape.kv_heads * shape.head_dim,
            scale: 1.0 / (shape.head_dim as f32).sqrt(),
        }
    }

    fn queries(&self) -> usize {
        self.shape.queries * self.q_width
    }

    fn keys(&self) -> usize {
        self.shape.keys * self.k_width
    }

    /// Numbers of the weights of one head.
    fn weights(&self) -> usize {
        self.shape.queries * self.shape.keys
    }

    /// Where the features of a query head, and of its key head, start in a row.
    fn offsets(&self, head: usize) -> (usize, usize) {
        let s = &self.shape;
        let key_head = head / (s.heads / s.kv_heads);
        (head * s.head_dim, key_head * s.head_dim)
    }
}

/// For each sequence and query, how many keys it sees.
pub(super) fn limits(shape: &AttentionShape, mask: &Mask) -> Vec<usize> {
    let mut limits = Vec::with_capacity(shape.batch * shape.queries);
    for row in 0..shape.batch {
        for query in 0..shape.queries {
            limits.push(mask.limit(shape, row, query));
        }
    }
    limits
}

pub(super) fn attention(
    g: &Graph<Cpu>,
    q: &Matrix<Cpu>,
    k: &Matrix<Cpu>,
    v: &Matrix<Cpu>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Made {
    let sizes = Sizes::new(*shape);
    let limits = limits(shape, mask);
    if shape.queries == 1 && [q, k, v].iter().all(|x| x.is_constant()) {
        let (qv, k, v) = (storage::read(q), storage::read(k), storage::read(v));
        let y = single::attention(shape, &qv, &k, &v, &limits);
        return g.output(y, q.shape(), &[]);
    }
    let mut y = parallel::zeros(shape.batch * sizes.queries());
    let mut weights = parallel::zeros(shape.batch * shape.heads * sizes.weights());
    {
        let (q, k, v) = (storage::read(q), storage::read(k), storage::read(v));
        y.par_chunks_mut(sizes.queries())
            .zip(weights.par_chunks_mut(shape.heads * sizes.weights()))
            .zip(q.par_chunks(sizes.queries()))
            .zip(k.par_chunks(sizes.keys()).zip(v.par_chunks(sizes.keys())))
            .zip(limits.par_chunks(shape.queries))
            .for_each(|((((y, weights), q), (k, v)), limits)| {
                forward(&sizes, y, weights, q, k, v, limits);
            });
    }
    let out = g.output(y, q.shape(), &[q, k, v])?;
    let (of_q, of_k, of_v) = (q.target(), k.target(), v.target());
    let (q, k, v) = (q.clone(), k.clone(), v.clone());
    storage::record(g, &out, move |gy, gradients| {
        let room = |of: &Target<Cpu>| of.needs_gradient().then(|| parallel::zeros(of.count()));
        let (mut gq, mut gk, mut gv) = (room(&of_q), room(&of_k), room(&of_v));
        {
            let (q, k, v) = (storage::read(&q), storage::read(&k), storage::read(&v));
            let batch = sizes.shape.batch;
            let mut tasks: Vec<Gradients<'_>> = parts(&mut gq, sizes.queries(), batch)
                .into_iter()
                .zip(parts(&mut gk, sizes.keys(), batch))
                .zip(parts(&mut gv, sizes.keys(), batch))
                .map(|((q, k), v)| Gradients { q, k, v })
                .collect();
            tasks
                .par_iter_mut()
                .zip(weights.par_chunks(sizes.shape.heads * sizes.weights()))
                .zip(q.par_chunks(sizes.queries()))
                .zip(k.par_chunks(sizes.keys()).zip(v.par_chunks(sizes.keys())))
                .zip(gy.par_chunks(sizes.queries()))
                .zip(limits.par_chunks(sizes.shape.queries))
                .for_each(|(((((into, weights), q), (k, v)), gy), limits)| {
                    backward(&sizes, into, weights, q, k, v, gy, limits);
                });
        }
        // One after the other: the three may be one matrix.
        for (of, gradient) in [(of_q, gq), (of_k, gk), (of_v, gv)] {
            if let Some(gradient) = gradient {
                storage::place(gradients, &of)?.put(gradient);
            }
        }
        Ok(())
    });
    Ok(out)
}

/// Where the gradients of one sequence go; `None` for constants.
struct Gradients<'a> {
    q: Option<&'a mut [f32]>,
    k: Option<&'a mut [f32]>,
    v: Option<&'a mut [f32]>,
}

/// Splits an optional buffer in the parts of the sequences.
fn parts(buffer: &mut Option<Vec<f32>>, each: usize, batch: usize) -> Vec<Option<&mut [f32]>> {
    match buffer {
        Some(buffer) => buffer.chunks_mut(each).map(Some).collect(),
        None => (0..batch).map(|_| None).collect(),
    }
}

/// One sequence: fills the softmax weights `[heads, queries, keys]` and the result.
fn forward(
    sizes: &Sizes,
    y: &mut [f32],
    weights: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    limits: &[usize],
) {
    let s = &sizes.shape;
    let seen = limits.iter().copied().max().unwrap_or(0);
    let scores = Mode {
        alpha: sizes.scale,
        accumulate: false,
        parallel: false,
    };
    for (head, weights) in weights.chunks_exact_mut(sizes.weights()).enumerate() {
        let (at, key_at) = sizes.offsets(head);
        product(
            (s.queries, seen, s.head_dim),
            View::new(&q[at..], sizes.q_width),
            View::new(&k[key_at..], sizes.k_width).t(),
            weights,
            s.keys,
            scores,
        );
        for (row, &limit) in weights.chunks_exact_mut(s.keys).zip(limits) {
            let (row, hidden) = row.split_at_mut(limit);
            softmax(row);
            hidden.fill(0.0);
        }
        product(
            (s.queries, s.head_dim, seen),
            View::new(weights, s.keys),
            View::new(&v[key_at..], sizes.k_width),
            &mut y[at..],
            sizes.q_width,
            ADD,
        );
    }
}

/// Softmax in place.
pub(super) fn softmax(row: &mut [f32]) {
    let greatest = math::max(row);
    for x in row.iter_mut() {
        *x = math::exp(*x - greatest);
    }
    let share = 1.0 / math::sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= share;
    }
}

/// One sequence: adds to the gradients.
fn backward(
    sizes: &Sizes,
    into: &mut Gradients<'_>,
    weights: &[f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    gy: &[f32],
    limits: &[usize],
) {
    let s = &sizes.shape;
    let seen = limits.iter().copied().max().unwrap_or(0);
    let scaled = Mode {
        alpha: sizes.scale,
        ..ADD
    };
    let mut gs = vec![0.0; sizes.weights()];
    for (head, weights) in weights.chunks_exact(sizes.weights()).enumerate() {
        let (at, key_at) = sizes.offsets(head);
        let gy = View::new(&gy[at..], sizes.q_width);
        if let Some(gv) = &mut into.v {
            product(
                (seen, s.head_dim, s.queries),
                View::new(weights, s.keys).t(),
                gy,
                &mut gv[key_at..],
                sizes.k_width,
                ADD,
            );
        }
        if into.q.is_none() && into.k.is_none() {
            continue;
        }
        // The gradient of the weights, then of the scores: `w·(g − Σ w·g)`; hidden keys have weight 0.
        product(
            (s.queries, seen, s.head_dim),
            gy,
            View::new(&v[key_at..], sizes.k_width).t(),
            &mut gs,
            s.keys,
            Mode {
                accumulate: false,
                ..ADD
            },
        );
        for (gs, weights) in gs
            .chunks_exact_mut(s.keys)
            .zip(weights.chunks_exact(s.keys))
        {
            let (gs, weights) = (&mut gs[..seen], &weights[..seen]);
            let mean = math::dot(gs, weights);
            for (gs, weight) in gs.iter_mut().zip(weights) {
                *gs = weight * (*gs - mean);
            }
        }
        if let Some(gq) = &mut into.q {
            product(
                (s.queries, s.head_dim, seen),
                View::new(&gs, s.keys),
                View::new(&k[key_at..], sizes.k_width),
                &mut gq[at..],
                sizes.q_width,
                scaled,
            );
        }
        if let Some(gk) = &mut into.k {
            product(
                (seen, s.head_dim, s.queries),
                View::new(&gs, s.keys).t(),
                View::new(&q[at..], sizes.q_width),
                &mut gk[key_at..],
                sizes.k_width,
                scaled,
            );
        }
    }
}
