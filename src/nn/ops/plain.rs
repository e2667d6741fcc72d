//! The fused operations against plain compositions of dfdx's own operations: results and gradients, on random and on extreme shapes.

use super::*;
use crate::nn::Graph;
use crate::nn::composed::on_the_cpu;
use crate::nn::testing::{Made, backward, random, variable};
use crate::seed::Seed;
use dfdx::shapes::{Axes2, Axes3, Axes5, Axis, HasShape as _, Rank0};
use dfdx::tensor::{
    Cpu, NoneTape, OwnedTape, PutTape as _, SplitTape as _, Tensor, TensorFromVec as _, Trace as _,
};
use dfdx::tensor_ops::{
    Backward as _, BroadcastTo as _, MeanTo as _, PermuteTo as _, ReshapeTo as _, SumTo as _,
    TryMatMul as _,
};
use rand::Rng as _;

/// A dfdx matrix without a tape: data, and every input but the first.
type Plain<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;
/// A dfdx matrix with the tape on which its own operations record their backward steps.
type Taped = Plain<OwnedTape<f32, Cpu>>;

/// Two `f32` computations of the same numbers: 2e-5 of the greatest, plus 2e-6.
#[track_caller]
fn alike(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let greatest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= 2e-6 + 2e-5 * greatest,
            "{name}, number {index}: {a}, but dfdx says {b}"
        );
    }
}

/// Compares results and gradients with those of `plain`, whose first input carries the tape.
#[track_caller]
fn compare(
    name: &str,
    inputs: &[Matrix<Cpu>],
    ours: impl Fn(&Graph<Cpu>, &[Matrix<Cpu>]) -> Made,
    plain: impl Fn(Taped, &[Plain]) -> Taped,
) {
    let tensors: Vec<Plain> = inputs.iter().map(|x| x.tensor().clone()).collect();
    let y = plain(tensors[0].leaky_trace(), &tensors[1..]);
    let result = y.as_vec();
    let weights = random(result.len(), Seed::new(4).child(name));
    let fused = backward(inputs, &weights, &ours);
    let composed = on_the_cpu(|| backward(inputs, &weights, &ours));
    let device: Cpu = y.device().clone();
    let weights = device.tensor_from_vec(weights, *y.shape());
    let expected = (y * weights).sum::<Rank0, _>().backward();
    for (kind, (found, gradients)) in [("fused", fused), ("composed", composed)] {
        alike(&format!("{name}, {kind}"), &found, &result);
        for (index, (tensor, gradient)) in tensors.iter().zip(&gradients).enumerate() {
            let name = format!("{name}, {kind}, gradient of input {index}");
            alike(&name, gradient, &expected.get(tensor).as_vec());
        }
    }
}

fn input(label: &str, shape: (usize, usize)) -> Matrix<Cpu> {
    variable(shape, Seed::new(78).child(label))
}

/// One row, one column, one number; below, at and above the width of a vector register and of a lane; enough for several pieces of
/// work; and a few at random.
fn shapes(label: &str) -> Vec<(usize, usize)> {
    let mut shapes = vec![
        (1, 1),
        (1, 17),
        (19, 1),
        (3, 7),
        (5, 8),
        (2, 16),
        (9, 65),
        (130, 67),
    ];
    let mut rng = Seed::new(32).child(label).rng();
    shapes.extend((0..3).map(|_| (rng.gen_range(1..50), rng.gen_range(1..80))));
    shapes
}

fn constant(values: Vec<f32>, shape: (usize, usize)) -> Plain {
    Cpu::default().tensor_from_vec(values, shape)
}

/// A `[1, d]` input as `rows` equal rows.
fn spread(row: &Plain, rows: usize) -> Taped {
    let width = row.shape().1;
    let row = row.leaky_trace().reshape_like(&(width,));
    row.broadcast_like::<_, Axis<0>>(&(rows, width))
}

/// A column of one number a row as a matrix of `width` equal columns.
fn widen(
    column: Tensor<(usize,), f32, Cpu, OwnedTape<f32, Cpu>>,
    (rows, width): (usize, usize),
) -> Taped {
    column.broadcast_like::<_, Axis<1>>(&(rows, width))
}

/// Starts a second use of a traced matrix.
fn again(x: &Taped) -> Taped {
    x.retaped()
}

#[test]
fn activations_and_gates() {
    // No `accurate_gelu` here: its derivative in dfdx 0.13 lacks a factor of √½. `twins` and finite differences check ours.
    for shape in shapes("activations") {
        let one = [input("x", shape)];
        let two = [input("a", shape), input("b", shape)];
        compare(
            "gelu_tanh",
            &one,
            |g, x| gelu_tanh(g, &x[0]),
            |x, _| x.fast_gelu(),
        );
        compare("tanh", &one, |g, x| tanh(g, &x[0]), |x, _| x.tanh());
        compare("exp", &one, |g, x| exp(g, &x[0]), |x, _| x.exp());
        compare(
            "sigmoid",
            &one,
            |g, x| sigmoid(g, &x[0]),
            |x, _| x.sigmoid(),
        );
        compare(
            "silu",
            &one,
            |g, x| silu(g, &x[0]),
            |x, _| again(&x).sigmoid() * x,
        );
        compare(
            "silu_gate",
            &two,
            |g, x| silu_gate(g, &x[0], &x[1]),
            |x, rest| again(&x).sigmoid() * x * rest[0].clone(),
        );
    }
}

#[test]
fn products() {
    for (index, (rows, width)) in shapes("products").into_iter().enumerate() {
        let out = [1, 23, 8, 40][index % 4];
        let product = [input("a", (rows, width)), input("b", (width, out))];
        compare(
            "matmul",
            &product,
            |g, x| matmul(g, &x[0], &x[1]),
            |a, rest| a.matmul(rest[0].clone()),
        );
        let affine = [
            input("a", (rows, width)),
            input("w", (out, width)),
            input("b", (1, out)),
        ];
        let plain =
            |a: Taped, rest: &[Plain]| a.matmul(rest[0].leaky_trace().permute::<_, Axes2<1, 0>>());
        compare(
            "linear",
            &affine[..2],
            |g, x| linear(g, &x[0], &x[1], None),
            plain,
        );
        compare(
            "matmul_nt",
            &affine[..2],
            |g, x| matmul_nt(g, &x[0], &x[1]),
            plain,
        );
        compare(
            "linear with bias",
            &affine,
            |g, x| linear(g, &x[0], &x[1], Some(&x[2])),
            |a, rest| plain(a, rest) + spread(&rest[1], rows),
        );
    }
}

#[test]
fn normalisations() {
    // A row of one number has no variance; a large `eps` keeps what rounding leaves of it small.
    const EPS: f32 = 1e-2;
    for (rows, width) in shapes("normalisations") {
        let x = [
            input("x", (rows, width)),
            input("weight", (1, width)),
            input("bias", (1, width)),
        ];
        compare(
            "layer_norm",
            &x,
            |g, x| layer_norm(g, &x[0], &x[1], &x[2], EPS),
            |x, rest| {
                let x = x.normalize::<Axis<1>>(EPS);
                x * spread(&rest[0], rows) + spread(&rest[1], rows)
            },
        );
        compare(
            "rms_norm",
            &x[..2],
            |g, x| rms_norm(g, &x[0], &x[1], EPS),
            |x, rest| {
                let square = again(&x).square().mean::<_, Axis<1>>();
                let root = widen((square + EPS).sqrt(), (rows, width));
                x / root * spread(&rest[0], rows)
            },
        );
        compare(
            "normalize_rows",
            &x[..1],
            |g, x| normalize_rows(g, &x[0], 1e-6),
            |x, _| {
                let length = again(&x).square().sum::<_, Axis<1>>().sqrt();
                x / widen(length.clamp(1e-6, f32::MAX), (rows, width))
            },
        );
    }
}

/// Attention from reshapes, permutations and batched products: the query heads of a key head are rows of one product.
fn plain_attention(q: Taped, rest: &[Plain], s: &AttentionShape, mask: &Mask) -> Taped {
    let group = s.heads / s.kv_heads;
    let stacked = (s.batch * s.kv_heads, group * s.queries, s.head_dim);
    let q = q
        .reshape_like(&(s.batch, s.queries, s.kv_heads, group, s.head_dim))
        .permute::<_, Axes5<0, 2, 3, 1, 4>>()
        .reshape_like(&stacked);
    let heads = |x: &Plain| {
        x.leaky_trace()
            .reshape_like(&(s.batch, s.keys, s.kv_heads, 1, s.head_dim))
            .permute::<_, Axes5<0, 2, 3, 1, 4>>()
            .reshape_like(&(s.batch * s.kv_heads, s.keys, s.head_dim))
    };
    let (k, v) = (heads(&rest[0]), heads(&rest[1]));
    let scores = q.matmul(k.permute::<_, Axes3<0, 2, 1>>()) / (s.head_dim as f32).sqrt();
    // Hidden keys far below the others, and nothing at all for a query that sees none.
    let (mut hidden, mut kept) = (Vec::new(), Vec::new());
    for row in 0..s.batch {
        for _ in 0..s.heads {
            for query in 0..s.queries {
                let limit = mask.limit(s, row, query);
                hidden.extend((0..s.keys).map(|key| if key < limit { 0.0 } else { -1e9 }));
                kept.extend((0..s.keys).map(|_| if limit == 0 { 0.0 } else { 1.0 }));
            }
        }
    }
    let device = Cpu::default();
    let shape = *scores.shape();
    let scores = scores + device.tensor_from_vec(hidden, shape);
    let weights = scores.softmax::<Axis<2>>() * device.tensor_from_vec(kept, shape);
    weights
        .matmul(v)
        .reshape_like(&(s.batch, s.kv_heads, group, s.queries, s.head_dim))
        .permute::<_, Axes5<0, 3, 1, 2, 4>>()
        .reshape_like(&(s.batch * s.queries, s.heads * s.head_dim))
}

#[test]
fn attention_under_every_mask_with_grouped_keys() {
    let mut rng = Seed::new(33).rng();
    for round in 0..24 {
        let keys = [1, 2, 8, 17, 40][round % 5];
        let kv_heads = rng.gen_range(1..3);
        let s = AttentionShape {
            batch: rng.gen_range(1..4),
            queries: if round % 4 == 0 {
                keys
            } else {
                rng.gen_range(1..=keys)
            },
            keys,
            heads: kv_heads * rng.gen_range(1..4),
            kv_heads,
            head_dim: [1, 5, 8, 16, 19][rng.gen_range(0..5)],
        };
        let kind = [
            MaskKind::Full,
            MaskKind::Causal,
            MaskKind::PrefixCausal {
                prefix: rng.gen_range(0..=keys),
            },
        ][round % 3];
        // Every other time with padding; the first sequence is then nothing but padding.
        let padded = |row: usize| if row == 0 { 0 } else { 1 + (row * 7) % keys };
        let mask = Mask {
            lengths: (round % 2 == 1).then(|| (0..s.batch).map(padded).collect()),
            kind,
        };
        let x = [
            input("q", (s.batch * s.queries, s.heads * s.head_dim)),
            input("k", (s.batch * keys, kv_heads * s.head_dim)),
            input("v", (s.batch * keys, kv_heads * s.head_dim)),
        ];
        compare(
            &format!("attention {s:?} {mask:?}"),
            &x,
            |g, x| attention(g, &x[0], &x[1], &x[2], &s, &mask),
            |q, rest| plain_attention(q, rest, &s, &mask),
        );
    }
}

#[test]
fn rotary_positions() {
    for (rows, heads, half) in [(1, 1, 1), (1, 2, 8), (7, 3, 5), (33, 2, 16)] {
        let (dim, width) = (2 * half, heads * 2 * half);
        let positions: Vec<u32> = (0..rows as u32).map(|row| row * 5 % 13).collect();
        // `x·cos + turn(x)·sin`, where `turn` swaps the halves of a head and negates one.
        let angle = |row: usize, column: usize| {
            let frequency = 1e4_f64.powf(-((column % half) as f64) / half as f64) as f32;
            f64::from(positions[row] as f32 * frequency)
        };
        let each = |f: fn(f64) -> f64| -> Vec<f32> {
            (0..rows * width)
                .map(|at| f(angle(at / width, at % dim)) as f32)
                .collect()
        };
        let mut turn = vec![0.0; width * width];
        for column in 0..width {
            let place = column % dim;
            let (other, sign) = if place < half {
                (column + half, -1.0)
            } else {
                (column - half, 1.0)
            };
            turn[other * width + column] = sign;
        }
        let (cos, sin) = (each(f64::cos), each(f64::sin));
        compare(
            "rotary",
            &[input("x", (rows, width))],
            |g, x| rotary(g, &x[0], heads, dim, &positions, 1e4),
            |x, _| {
                let turned = again(&x).matmul(constant(turn.clone(), (width, width)));
                x * constant(cos.clone(), (rows, width))
                    + turned * constant(sin.clone(), (rows, width))
            },
        );
    }
}

#[test]
fn cross_entropy_with_ignored_rows_and_smoothing() {
    for (index, (rows, classes)) in shapes("cross entropy").into_iter().enumerate() {
        let smoothing = [0.0, 0.1, 0.3][index % 3];
        // The first row always counts, or nothing might.
        let target = |row: usize| (row % 4 != 2).then_some((row * 5 % classes) as u32);
        let targets: Vec<Option<u32>> = (0..rows).map(target).collect();
        let count = targets.iter().flatten().count() as f32;
        let mut wanted = vec![0.0; rows * classes];
        for (row, target) in wanted.chunks_mut(classes).zip(&targets) {
            if let Some(target) = target {
                row.fill(smoothing / classes as f32);
                row[*target as usize] += 1.0 - smoothing;
            }
        }
        compare(
            &format!("cross_entropy of {rows} rows, {classes} classes"),
            &[input("x", (rows, classes))],
            |g, x| cross_entropy(g, &scale(g, &x[0], 9.0)?, &targets, smoothing),
            |x, _| {
                let losses =
                    (x * 9.0).log_softmax::<Axis<1>>() * constant(wanted.clone(), (rows, classes));
                (losses.sum::<Rank0, _>() * (-1.0 / count)).reshape_like(&(1, 1))
            },
        );
    }
}

#[test]
fn embedding_lookup() {
    for (index, (rows, width)) in shapes("embedding").into_iter().enumerate() {
        let mut rng = Seed::new(34).at(index as u64).rng();
        // Repeated ids: their gradients add up.
        let ids: Vec<u32> = (0..21).map(|_| rng.gen_range(0..rows as u32)).collect();
        let mut hot = vec![0.0; ids.len() * rows];
        for (hot, &id) in hot.chunks_mut(rows).zip(&ids) {
            hot[id as usize] = 1.0;
        }
        compare(
            "embedding",
            &[input("table", (rows, width))],
            |g, x| embedding(g, &x[0], &ids),
            |x, _| {
                let (x, tape) = x.split_tape();
                let hot = constant(hot.clone(), (ids.len(), rows));
                hot.put_tape(tape).matmul(x)
            },
        );
    }
}

#[test]
fn dropout_is_a_product_with_its_mask() {
    for shape in shapes("dropout") {
        // The seed of `backward`'s graph: the first dropout of such a graph has this mask.
        let g = Graph::training(&Cpu::default(), Seed::new(5));
        let ones = g.constant(vec![1.0; shape.0 * shape.1], shape).unwrap();
        let mask = dropout(&g, &ones, 0.3).unwrap().to_vec();
        compare(
            "dropout",
            &[input("x", shape)],
            |g, x| dropout(g, &x[0], 0.3),
            |x, _| x * constant(mask.clone(), shape),
        );
    }
}

/// Two networks whose inputs hold the same numbers: `turned` came from a permuted, `copied` from a broadcast dfdx tensor.
#[test]
fn permuted_and_broadcast_tensors_are_inputs_like_any_other() {
    let device = Cpu::default();
    let g = &Graph::inference(&device);
    for (rows, width) in [(1, 6), (6, 1), (5, 18), (33, 40)] {
        let stored: Plain = device.tensor_from_vec(
            random(rows * width, Seed::new(3).child("stored")),
            (width, rows),
        );
        let turned = stored.clone().permute::<_, Axes2<1, 0>>();
        let line: Tensor<(usize,), f32, Cpu> =
            device.tensor_from_vec(random(width, Seed::new(3).child("line")), (width,));
        let copied = line.clone().broadcast_like::<_, Axis<0>>(&(rows, width));
        let views = [turned, copied].map(|view| Matrix::from_tensor(&view).unwrap());
        let flat = views
            .each_ref()
            .map(|view| Matrix::constant(&device, view.to_vec(), (rows, width)).unwrap());
        for place in 0..rows * width {
            let (row, column) = (place / width, place % width);
            assert_eq!(views[0].to_vec()[place], stored[[column, row]]);
            assert_eq!(views[1].to_vec()[place], line[[column]]);
        }
        let shape = AttentionShape {
            batch: 1,
            queries: rows,
            keys: rows,
            heads: 1,
            kv_heads: 1,
            head_dim: width,
        };
        let all = |[a, b]: &[Matrix<Cpu>; 2]| -> Vec<Vec<f32>> {
            let one = &gather_rows(g, b, &[0]).unwrap();
            [
                linear(g, a, b, None),
                attention(g, a, b, a, &shape, &Mask::causal()),
                layer_norm(g, a, one, one, 1e-5),
                rms_norm(g, a, one, 1e-5),
                gelu(g, a),
                silu_gate(g, a, b),
                normalize_rows(g, a, 1e-6),
                embedding(g, a, &[0, rows as u32 - 1]),
                cross_entropy(g, a, &vec![Some(0); rows], 0.1),
                transpose(g, a),
                add_row(g, a, one),
            ]
            .map(|made| made.unwrap().to_vec())
            .into()
        };
        assert!(all(&views) == all(&flat), "{rows} rows of {width}");
    }
}
