//! Attention of one query of each sequence, as in writing a text: keys and values are read once, as they lie.

use super::attention::softmax;
use super::memory::{LINE, fetch};
use super::team::{self, Shared};
use super::{math, parallel};
use crate::nn::ops::AttentionShape;

/// Keys that are compared with a query at the same time.
const KEYS: usize = 8;
/// Features of a value that are summed at the same time.
const FEATURES: usize = 32;
/// How many positions are asked for before they are wanted: those of one head are not next to each other.
const AHEAD: usize = 16;

/// `q` `[batch, heads·head_dim]`, `k` and `v` `[batch·keys, kv_heads·head_dim]`, result like `q`. Sequence b sees its first `limits[b]` keys.
pub(super) fn attention(
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    limits: &[usize],
) -> Vec<f32> {
    let s = *shape;
    let group = s.heads / s.kv_heads;
    let (width, k_width) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
    let scale = 1.0 / (s.head_dim as f32).sqrt();
    let mut y = parallel::zeros(s.batch * width);
    let shared = Shared::new(&mut y);
    team::for_each(s.batch * s.kv_heads, |task| {
        let (b, key_head) = (task / s.kv_heads, task % s.kv_heads);
        let head = Head {
            width: k_width,
            at: b * s.keys * k_width + key_head * s.head_dim,
            dim: s.head_dim,
            limit: limits[b],
        };
        let start = b * width + key_head * group * s.head_dim;
        let queries = &q[start..][..group * s.head_dim];
        // SAFETY: the query heads of one key head belong to one task.
        #[expect(unsafe_code, reason = "tasks write columns of one matrix")]
        let y = unsafe { shared.part(start, group * s.head_dim) };
        let mut weights = vec![0.0; head.limit];
        for (y, q) in y
            .chunks_exact_mut(s.head_dim)
            .zip(queries.chunks_exact(s.head_dim))
        {
            head.scores(q, k, scale, &mut weights);
            softmax(&mut weights);
            head.mean(&weights, v, y);
        }
    });
    y
}

/// Where keys and values of one head of one sequence lie.
struct Head {
    /// Numbers from one key to the next.
    width: usize,
    /// The first number.
    at: usize,
    dim: usize,
    /// Keys that are seen.
    limit: usize,
}

impl Head {
    /// The `count` numbers of position `t` from feature `first` on.
    #[inline(always)]
    fn row<'a>(&self, numbers: &'a [f32], t: usize, first: usize, count: usize) -> &'a [f32] {
        let row = &numbers[self.at + t * self.width + first..][..count];
        for line in row.chunks(LINE) {
            fetch(line.as_ptr(), AHEAD * self.width);
        }
        row
    }

    fn scores(&self, q: &[f32], k: &[f32], scale: f32, scores: &mut [f32]) {
        let mut t = 0;
        while t + KEYS <= self.limit {
            let keys: [&[f32]; KEYS] =
                std::array::from_fn(|offset| self.row(k, t + offset, 0, self.dim));
            let dots = math::dots(q, keys);
            for (score, dot) in scores[t..].iter_mut().zip(dots) {
                *score = dot * scale;
            }
            t += KEYS;
        }
        for (t, score) in scores.iter_mut().enumerate().skip(t) {
            let [dot] = math::dots(q, [self.row(k, t, 0, self.dim)]);
            *score = dot * scale;
        }
    }

    fn mean(&self, weights: &[f32], v: &[f32], y: &mut [f32]) {
        let (full, rest) = y.as_chunks_mut::<FEATURES>();
        for (index, y) in full.iter_mut().enumerate() {
            let mut sums = [0.0; FEATURES];
            for (t, &weight) in weights.iter().enumerate() {
                let row = self.row(v, t, index * FEATURES, FEATURES);
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum = weight.mul_add(x, *sum);
                }
            }
            *y = sums;
        }
        let first = full.len() * FEATURES;
        for (t, &weight) in weights.iter().enumerate() {
            for (sum, &x) in rest.iter_mut().zip(self.row(v, t, first, self.dim - first)) {
                *sum = weight.mul_add(x, *sum);
            }
        }
    }
}
