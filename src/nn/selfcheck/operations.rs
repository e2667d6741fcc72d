//! Every operation, forward and backward, on both sides.

use super::{Difference, Extent, Limits, Parts, Side, difference};
use crate::nn::ops::{self, AttentionShape, Mask, MaskKind};
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::progress::Progress;
use crate::seed::Seed;
use rand::Rng as _;

/// One operation: the shapes of its inputs for `rows` (a multiple of 8) and `width` (a multiple of 8), and how it is called.
struct Operation<D: Backend> {
    name: &'static str,
    /// Whether inputs are above 0.
    positive: bool,
    shapes: fn(usize, usize) -> Vec<(usize, usize)>,
    call: fn(&Graph<D>, &[Matrix<D>]) -> Result<Matrix<D>, NnError>,
}

/// Sequences of an attention.
const BATCH: usize = 2;
/// Heads and key heads.
const HEADS: (usize, usize) = (4, 2);

fn one(n: usize, d: usize) -> Vec<(usize, usize)> {
    vec![(n, d)]
}

fn two(n: usize, d: usize) -> Vec<(usize, usize)> {
    vec![(n, d), (n, d)]
}

fn with_row(n: usize, d: usize) -> Vec<(usize, usize)> {
    vec![(n, d), (1, d)]
}

fn grouped(n: usize, d: usize) -> Vec<(usize, usize)> {
    let keys = d * HEADS.1 / HEADS.0;
    vec![(n, d), (2 * n, keys), (2 * n, keys)]
}

/// The sizes of an attention over inputs of [`grouped`].
fn sizes<D: Backend>(x: &[Matrix<D>], kv_heads: usize) -> AttentionShape {
    AttentionShape {
        batch: BATCH,
        queries: x[0].rows() / BATCH,
        keys: x[1].rows() / BATCH,
        heads: HEADS.0,
        kv_heads,
        head_dim: x[0].columns() / HEADS.0,
    }
}

fn attend<D: Backend>(
    g: &Graph<D>,
    x: &[Matrix<D>],
    kind: MaskKind,
    padded: bool,
) -> Result<Matrix<D>, NnError> {
    let shape = sizes(x, HEADS.1);
    let mask = Mask {
        // One sequence is nothing but padding.
        lengths: padded.then(|| vec![shape.keys - 1, 0]),
        kind,
    };
    ops::attention(g, &x[0], &x[1], &x[2], &shape, &mask)
}

fn bias<D: Backend>(g: &Graph<D>, x: &[Matrix<D>], mask: &Mask) -> Result<Matrix<D>, NnError> {
    let shape = sizes(x, HEADS.0);
    ops::biased_attention(g, &x[0], &x[1], &x[2], &x[3], &shape, mask)
}

fn biased(n: usize, d: usize) -> Vec<(usize, usize)> {
    let (queries, keys) = (n / BATCH, 2 * n / BATCH);
    vec![(n, d), (2 * n, d), (2 * n, d), (queries * keys, HEADS.0)]
}

/// Some rows, the first of them twice.
fn some_rows(count: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..count).step_by(3).collect();
    rows.reverse();
    rows.push(0);
    rows
}

fn positions(count: usize) -> Vec<u32> {
    (0..count as u32).map(|row| row * 5 % 131).collect()
}

macro_rules! operation {
    ($name:literal, $shapes:expr, |$g:ident, $x:ident| $call:expr) => {
        Operation {
            name: $name,
            positive: false,
            shapes: $shapes,
            call: |$g, $x| $call,
        }
    };
}

/// All of them.
fn operations<D: Backend>() -> Vec<Operation<D>> {
    let of_positive = |operation: Operation<D>| Operation {
        positive: true,
        ..operation
    };
    vec![
        operation!("gelu", one, |g, x| ops::gelu(g, &x[0])),
        operation!("gelu_tanh", one, |g, x| ops::gelu_tanh(g, &x[0])),
        operation!("silu", one, |g, x| ops::silu(g, &x[0])),
        operation!("sigmoid", one, |g, x| ops::sigmoid(g, &x[0])),
        operation!("tanh", one, |g, x| ops::tanh(g, &x[0])),
        operation!("exp", one, |g, x| ops::exp(g, &x[0])),
        of_positive(operation!("ln", one, |g, x| ops::ln(g, &x[0]))),
        operation!("relu", one, |g, x| ops::relu(g, &x[0])),
        of_positive(operation!("sqrt", one, |g, x| ops::sqrt(g, &x[0]))),
        operation!("square", one, |g, x| ops::square(g, &x[0])),
        operation!("scale", one, |g, x| ops::scale(g, &x[0], -1.7)),
        operation!("add", two, |g, x| ops::add(g, &x[0], &x[1])),
        operation!("add to itself", one, |g, x| ops::add(g, &x[0], &x[0])),
        operation!("sub", two, |g, x| ops::sub(g, &x[0], &x[1])),
        operation!("mul", two, |g, x| ops::mul(g, &x[0], &x[1])),
        operation!("silu_gate", two, |g, x| ops::silu_gate(g, &x[0], &x[1])),
        operation!("add_row", with_row, |g, x| ops::add_row(g, &x[0], &x[1])),
        of_positive(operation!(
            "div_scalar",
            |n, d| vec![(n, d), (1, 1)],
            |g, x| { ops::div_scalar(g, &x[0], &x[1]) }
        )),
        operation!("dropout", one, |g, x| ops::dropout(g, &x[0], 0.3)),
        operation!("linear", |n, d| vec![(n, d), (2 * n, d)], |g, x| {
            ops::linear(g, &x[0], &x[1], None)
        }),
        operation!(
            "linear, bias",
            |n, d| vec![(n, d), (24, d), (1, 24)],
            |g, x| { ops::linear(g, &x[0], &x[1], Some(&x[2])) }
        ),
        operation!("matmul", |n, d| vec![(n, d), (d, n + 1)], |g, x| {
            ops::matmul(g, &x[0], &x[1])
        }),
        operation!("matmul_nt", |n, d| vec![(n, d), (n + 1, d)], |g, x| {
            ops::matmul_nt(g, &x[0], &x[1])
        }),
        operation!("layer_norm", |n, d| vec![(n, d), (1, d), (1, d)], |g, x| {
            ops::layer_norm(g, &x[0], &x[1], &x[2], 1e-5)
        }),
        operation!("rms_norm", with_row, |g, x| ops::rms_norm(
            g, &x[0], &x[1], 1e-5
        )),
        operation!("normalize_rows", one, |g, x| ops::normalize_rows(
            g, &x[0], 1e-6
        )),
        operation!("row_distance", two, |g, x| ops::row_distance(
            g, &x[0], &x[1]
        )),
        operation!("attention", grouped, |g, x| attend(
            g,
            x,
            MaskKind::Full,
            false
        )),
        operation!("attention, padding", grouped, |g, x| {
            attend(g, x, MaskKind::Full, true)
        }),
        operation!("attention, causal", grouped, |g, x| {
            attend(g, x, MaskKind::Causal, false)
        }),
        operation!("attention, causal, padding", grouped, |g, x| {
            attend(g, x, MaskKind::Causal, true)
        }),
        operation!("attention, prefix", grouped, |g, x| {
            attend(g, x, MaskKind::PrefixCausal { prefix: 5 }, false)
        }),
        operation!("biased_attention", biased, |g, x| bias(g, x, &Mask::full())),
        operation!("biased_attention, causal", biased, |g, x| bias(
            g,
            x,
            &Mask::causal()
        )),
        operation!("rotary", one, |g, x| {
            ops::rotary(
                g,
                &x[0],
                2,
                x[0].columns() / 2,
                &positions(x[0].rows()),
                1e4,
            )
        }),
        operation!("rotary_at", one, |g, x| {
            let half = x[0].columns() / 2;
            let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / (1.0 + i as f32)).collect();
            ops::rotary_at(g, &x[0], 1, &positions(x[0].rows()), &frequencies)
        }),
        operation!("cross_entropy", one, |g, x| {
            let target = |row: usize| Some((row * 5 % x[0].columns()) as u32);
            let targets: Vec<_> = (0..x[0].rows()).map(target).collect();
            ops::cross_entropy(g, &x[0], &targets, 0.0)
        }),
        operation!("cross_entropy, ignored rows, smoothing", one, |g, x| {
            let target = |row: usize| (row % 4 != 2).then_some((row * 5 % x[0].columns()) as u32);
            let targets: Vec<_> = (0..x[0].rows()).map(target).collect();
            ops::cross_entropy(g, &ops::scale(g, &x[0], 9.0)?, &targets, 0.1)
        }),
        operation!("gather_rows", one, |g, x| {
            ops::gather_rows(g, &x[0], &some_rows(x[0].rows()))
        }),
        operation!("embedding", one, |g, x| {
            let ids: Vec<u32> = (0..100).map(|i| (i * i % x[0].rows()) as u32).collect();
            ops::embedding(g, &x[0], &ids)
        }),
        operation!(
            "concat_rows",
            |n, d| vec![(n, d), (1, d), (3, d)],
            |g, x| { ops::concat_rows(g, &[&x[0], &x[1], &x[2], &x[1]]) }
        ),
        operation!("replace_rows", |n, d| vec![(n, d), (2, d)], |g, x| {
            ops::replace_rows(g, &x[0], &[x[0].rows() - 1, 1], &x[1])
        }),
        operation!("overwrite_rows", |n, d| vec![(n, d), (2, d)], |_g, x| {
            let mut base = x[0].detached();
            ops::overwrite_rows(&mut base, &[0, x[0].rows() - 2], &x[1])?;
            Ok(base)
        }),
        operation!("columns", one, |g, x| {
            ops::columns(g, &x[0], 3, x[0].columns() - 5)
        }),
        operation!("mean_groups", one, |g, x| ops::mean_groups(g, &x[0], 4)),
        operation!("max_groups", one, |g, x| {
            // Equals, too: the gradient goes to the first.
            let halves = ops::concat_rows(g, &[&x[0], &ops::scale(g, &x[0], 0.0)?])?;
            ops::max_groups(g, &halves, 8)
        }),
        operation!("transpose", one, |g, x| ops::transpose(g, &x[0])),
        operation!("sum_all", one, |g, x| ops::sum_all(g, &x[0])),
        operation!("mean_all", one, |g, x| ops::mean_all(g, &x[0])),
        operation!("two uses of one result", one, |g, x| {
            let y = ops::tanh(g, &x[0])?;
            ops::add(g, &ops::mul(g, &y, &y)?, &ops::gelu(g, &y)?)
        }),
    ]
}

/// The result of an operation and the gradients of its inputs, from `Σ weights·result`.
fn evaluate<D: Backend>(
    device: &D,
    operation: &Operation<D>,
    (rows, width): (usize, usize),
) -> Result<Parts, NnError> {
    let seed = Seed::new(11).child(operation.name);
    let low = if operation.positive { 0.2 } else { -1.5 };
    let random = |label: &str, count: usize, low: f32| -> Vec<f32> {
        let mut rng = seed.child(label).rng();
        (0..count).map(|_| rng.gen_range(low..1.5)).collect()
    };
    let inputs = (operation.shapes)(rows, width)
        .into_iter()
        .enumerate()
        .map(|(index, shape)| {
            let values = random(&index.to_string(), shape.0 * shape.1, low);
            Matrix::variable(device, values, shape)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let g = Graph::training(device, Seed::new(5));
    let y = (operation.call)(&g, &inputs)?;
    let mut parts = vec![("result".to_owned(), y.to_vec())];
    if y.is_constant() {
        return Ok(parts);
    }
    let weights = random("weights", y.rows() * y.columns(), -1.5);
    let weights = g.constant(weights, y.shape())?;
    let loss = ops::sum_all(&g, &ops::mul(&g, &y, &weights)?)?;
    let mut gradients = g.backward(&loss)?;
    for (index, input) in inputs.iter().enumerate() {
        let place = format!("gradient of input {index}");
        parts.push((place, gradients.take(input)?));
    }
    Ok(parts)
}

pub(super) fn compare<R: Backend, C: Backend>(
    reference: &Side<'_, R>,
    candidate: &Side<'_, C>,
    limits: &Limits,
    extent: Extent,
    progress: &dyn Progress,
) -> Result<Vec<Difference>, NnError> {
    let sizes: &[(usize, usize)] = match extent {
        Extent::Small => &[(8, 8), (24, 40)],
        Extent::Full => &[(8, 8), (24, 40), (256, 192)],
    };
    let (ours, theirs) = (operations::<R>(), operations::<C>());
    let mut found = Vec::new();
    for (done, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        progress.tick("operation", done as u64, ours.len() as u64)?;
        let mut worst: Option<Difference> = None;
        for &size in sizes {
            let expected = reference.run(|device| evaluate(device, a, size))?;
            let got = candidate.run(|device| evaluate(device, b, size))?;
            let mut here = difference(a.name, &expected, &got, limits.operation);
            here.place = format!("{}, {} x {}", here.place, size.0, size.1);
            if worst.as_ref().is_none_or(|worst| here.error > worst.error) {
                worst = Some(here);
            }
        }
        found.extend(worst);
    }
    Ok(found)
}
