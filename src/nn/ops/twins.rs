//! Every operation against a naive loop in double precision, on random shapes.

use super::*;
use crate::nn::Graph;
use crate::nn::testing::{Made, backward, variable};
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use rand::Rng as _;

/// Rows of double-precision numbers.
type Rows = Vec<Vec<f64>>;

fn naive(x: &Matrix<Cpu>) -> Rows {
    let values = x.to_vec();
    let rows = values.chunks(x.columns().max(1));
    rows.map(|row| row.iter().map(|&x| f64::from(x)).collect())
        .collect()
}

/// Random shapes: small, odd, and wide enough for more than one piece of work.
fn shapes(label: &str) -> Vec<(usize, usize)> {
    let mut rng = Seed::new(31).child(label).rng();
    let mut shapes = vec![(1, 1), (131, 173)];
    shapes.extend((0..4).map(|_| (rng.gen_range(1..40), rng.gen_range(1..90))));
    shapes
}

fn input(label: &str, shape: (usize, usize)) -> Matrix<Cpu> {
    variable(shape, Seed::new(77).child(label))
}

/// `f32` sums of up to a few hundred terms near 1 stay within 3e-6 of the greatest result, plus 1e-6.
#[track_caller]
fn close(name: &str, found: Made, expected: &Rows) {
    let found = found.unwrap();
    assert_eq!(found.rows(), expected.len(), "{name}");
    let expected: Vec<f64> = expected.iter().flatten().copied().collect();
    let found = found.to_vec();
    assert_eq!(found.len(), expected.len(), "{name}");
    let greatest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= 1e-6 + 3e-6 * greatest,
            "{name}, number {index}: {found}, expected {expected}"
        );
    }
}

fn each(x: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    x.iter()
        .map(|row| row.iter().map(|&x| f(x)).collect())
        .collect()
}

fn pairs(a: &Rows, b: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    a.iter().zip(b).map(row).collect()
}

fn times(a: &Rows, b: &Rows) -> Rows {
    a.iter()
        .map(|a| {
            (0..b[0].len())
                .map(|j| a.iter().zip(b).map(|(a, b)| a * b[j]).sum())
                .collect()
        })
        .collect()
}

fn turned(a: &Rows) -> Rows {
    (0..a[0].len())
        .map(|j| a.iter().map(|row| row[j]).collect())
        .collect()
}

fn sigma(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn functions_of_numbers() {
    let g = &Graph::inference(&Cpu::default());
    for shape in shapes("functions") {
        let x = &scale(g, &input("x", shape), 3.0).unwrap();
        let (y, n) = (&input("y", shape), &naive(x));
        let m = &naive(y);
        let phi = |x: f64| 0.5 * (1.0 + statrs::function::erf::erf(x / 2.0_f64.sqrt()));
        close("gelu", gelu(g, x), &each(n, |x| x * phi(x)));
        let inner = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        let expected = each(n, |x| 0.5 * x * (1.0 + inner(x).tanh()));
        close("gelu_tanh", gelu_tanh(g, x), &expected);
        close("silu", silu(g, x), &each(n, |x| x * sigma(x)));
        close("sigmoid", sigmoid(g, x), &each(n, sigma));
        close("tanh", tanh(g, x), &each(n, f64::tanh));
        close("exp", exp(g, x), &each(n, f64::exp));
        close("relu", relu(g, x), &each(n, |x| x.max(0.0)));
        close("square", square(g, x), &each(n, |x| x * x));
        let positive = square(g, x).unwrap();
        close("sqrt", sqrt(g, &positive), &each(n, f64::abs));
        let above = exp(g, x).unwrap();
        close("ln", ln(g, &above), n);
        close("add", add(g, x, y), &pairs(n, m, |a, b| a + b));
        close("sub", sub(g, x, y), &pairs(n, m, |a, b| a - b));
        close("mul", mul(g, x, y), &pairs(n, m, |a, b| a * b));
        let expected = pairs(n, m, |a, b| a * sigma(a) * b);
        close("silu_gate", silu_gate(g, x, y), &expected);
        let s = g.constant(vec![0.07], (1, 1)).unwrap();
        let divisor = f64::from(0.07_f32);
        close(
            "div_scalar",
            div_scalar(g, x, &s),
            &each(n, |x| x / divisor),
        );
        let row = &input("row", (1, shape.1));
        let expected = n
            .iter()
            .map(|x| x.iter().zip(&naive(row)[0]).map(|(x, r)| x + r).collect())
            .collect();
        close("add_row", add_row(g, x, row), &expected);
    }
}

#[test]
fn products_and_normalisations() {
    let g = &Graph::inference(&Cpu::default());
    for (index, (rows, width)) in shapes("products").into_iter().enumerate() {
        let out = 1 + (index * 29) % 67;
        let x = &input("x", (rows, width));
        let (w, b) = (&input("w", (out, width)), &input("b", (1, out)));
        let (n, v) = (&naive(x), &naive(w));
        let product = &times(n, &turned(v));
        let shift = &naive(b)[0];
        let biased = product
            .iter()
            .map(|row| row.iter().zip(shift).map(|(y, b)| y + b).collect())
            .collect();
        close("linear", linear(g, x, w, Some(b)), &biased);
        close("linear without bias", linear(g, x, w, None), product);
        close("matmul_nt", matmul_nt(g, x, w), product);
        let right = transpose(g, w).unwrap();
        close("transpose", Ok(right.clone()), &turned(v));
        close("matmul", matmul(g, x, &right), product);

        let (weight, bias) = (&input("weight", (1, width)), &input("bias", (1, width)));
        let (nw, nb) = (&naive(weight)[0], &naive(bias)[0]);
        let count = width as f64;
        let normed = n
            .iter()
            .map(|row| {
                let mean = row.iter().sum::<f64>() / count;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                let scaled = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
                scaled
                    .zip(nw)
                    .zip(nb)
                    .map(|((x, w), b)| x * w + b)
                    .collect()
            })
            .collect();
        close("layer_norm", layer_norm(g, x, weight, bias, 1e-5), &normed);
        let normed = n
            .iter()
            .map(|row| {
                let square = row.iter().map(|x| x * x).sum::<f64>() / count;
                let scaled = row.iter().map(|x| x / (square + 1e-5).sqrt());
                scaled.zip(nw).map(|(x, w)| x * w).collect()
            })
            .collect();
        close("rms_norm", rms_norm(g, x, weight, 1e-5), &normed);
        let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit = n
            .iter()
            .map(|row| row.iter().map(|x| x / length(row).max(1e-6)).collect())
            .collect();
        close("normalize_rows", normalize_rows(g, x, 1e-6), &unit);
        let other = &input("other", (rows, width));
        let apart = pairs(n, &naive(other), |a, b| a - b);
        let distances = apart.iter().map(|row| vec![length(row)]).collect();
        close("row_distance", row_distance(g, x, other), &distances);
    }
}

#[test]
fn moves_and_sums() {
    let g = &Graph::inference(&Cpu::default());
    for (rows, width) in shapes("moves") {
        let x = &input("x", (rows, width));
        let n = &naive(x);
        let mut rng = Seed::new(3).rng();
        let chosen: Vec<usize> = (0..17).map(|_| rng.gen_range(0..rows)).collect();
        let expected: Rows = chosen.iter().map(|&row| n[row].clone()).collect();
        close("gather_rows", gather_rows(g, x, &chosen), &expected);
        let ids: Vec<u32> = chosen.iter().map(|&row| row as u32).collect();
        close("embedding", embedding(g, x, &ids), &expected);
        let stacked = [n.clone(), expected.clone()].concat();
        let below = gather_rows(g, x, &chosen).unwrap();
        close("concat_rows", concat_rows(g, &[x, &below]), &stacked);
        let mut places: Vec<usize> = (0..rows).step_by(2).collect();
        places.reverse();
        let values = input("values", (places.len(), width));
        let mut replaced = n.clone();
        for (place, value) in places.iter().zip(naive(&values)) {
            replaced[*place] = value;
        }
        close(
            "replace_rows",
            replace_rows(g, x, &places, &values),
            &replaced,
        );
        let start = width / 3;
        let cut = n.iter().map(|row| row[start..].to_vec()).collect();
        close("columns", columns(g, x, start, width - start), &cut);
        let sum = n.iter().flatten().sum::<f64>();
        close("sum_all", sum_all(g, x), &vec![vec![sum]]);
        let mean = sum / (rows * width) as f64;
        close("mean_all", mean_all(g, x), &vec![vec![mean]]);

        let tall = &input("tall", (rows * 3, width));
        let means = naive(tall)
            .chunks(3)
            .map(|group| {
                let group = turned(&group.to_vec());
                group.iter().map(|x| x.iter().sum::<f64>() / 3.0).collect()
            })
            .collect();
        close("mean_groups", mean_groups(g, tall, 3), &means);
        let wide = &input("wide", (rows, width * 5));
        let greatest = naive(wide)
            .iter()
            .map(|row| {
                let groups = row.chunks(5);
                groups
                    .map(|x| x.iter().copied().fold(f64::MIN, f64::max))
                    .collect()
            })
            .collect();
        close("max_groups", max_groups(g, wide, 5), &greatest);
    }
}

/// Attention of one head by the definition, with a predicate for the mask.
fn attend(q: &Rows, k: &Rows, v: &Rows, sees: impl Fn(usize, usize) -> bool) -> Rows {
    q.iter()
        .enumerate()
        .map(|(t, q)| {
            let scale = (q.len() as f64).sqrt();
            let weight = |j: usize| -> f64 {
                let score = q.iter().zip(&k[j]).map(|(a, b)| a * b).sum::<f64>() / scale;
                if sees(t, j) { score.exp() } else { 0.0 }
            };
            let weights: Vec<f64> = (0..k.len()).map(weight).collect();
            let sum = weights.iter().sum::<f64>();
            let share = if sum > 0.0 { 1.0 / sum } else { 0.0 };
            (0..v[0].len())
                .map(|c| weights.iter().zip(v).map(|(w, v)| w * share * v[c]).sum())
                .collect()
        })
        .collect()
}

/// Rows `row·count ..` and columns `head·width ..`.
fn block(x: &Rows, row: usize, count: usize, head: usize, width: usize) -> Rows {
    x[row * count..(row + 1) * count]
        .iter()
        .map(|x| x[head * width..(head + 1) * width].to_vec())
        .collect()
}

#[test]
fn attention_is_its_definition_under_every_mask() {
    let g = &Graph::inference(&Cpu::default());
    let mut rng = Seed::new(12).rng();
    for round in 0..12 {
        let kv_heads = rng.gen_range(1..3);
        let keys = rng.gen_range(2..20);
        let s = AttentionShape {
            batch: rng.gen_range(1..4),
            queries: rng.gen_range(1..=keys),
            keys,
            heads: kv_heads * rng.gen_range(1..4),
            kv_heads,
            head_dim: rng.gen_range(1..19),
        };
        let lengths: Vec<usize> = (0..s.batch).map(|_| rng.gen_range(0..=keys)).collect();
        let prefix = rng.gen_range(0..keys);
        let kind = [
            MaskKind::Full,
            MaskKind::Causal,
            MaskKind::PrefixCausal { prefix },
        ][round % 3];
        let mask = Mask {
            lengths: (round % 2 == 0).then(|| lengths.clone()),
            kind,
        };
        let q = input("q", (s.batch * s.queries, s.heads * s.head_dim));
        let k = input("k", (s.batch * keys, kv_heads * s.head_dim));
        let v = input("v", (s.batch * keys, kv_heads * s.head_dim));
        let mut expected = vec![vec![0.0; q.columns()]; q.rows()];
        for row in 0..s.batch {
            for head in 0..s.heads {
                let key_head = head * kv_heads / s.heads;
                let sees = |t: usize, j: usize| {
                    let at = t + keys - s.queries;
                    let allowed = match kind {
                        MaskKind::Full => true,
                        MaskKind::Causal => j <= at,
                        MaskKind::PrefixCausal { prefix } => {
                            j < prefix || (at >= prefix && j <= at)
                        }
                    };
                    allowed && mask.lengths.as_ref().is_none_or(|lengths| j < lengths[row])
                };
                let part = attend(
                    &block(&naive(&q), row, s.queries, head, s.head_dim),
                    &block(&naive(&k), row, keys, key_head, s.head_dim),
                    &block(&naive(&v), row, keys, key_head, s.head_dim),
                    sees,
                );
                for (t, part) in part.into_iter().enumerate() {
                    let into = &mut expected[row * s.queries + t];
                    into[head * s.head_dim..][..s.head_dim].copy_from_slice(&part);
                }
            }
        }
        let name = format!("attention {s:?} {mask:?}");
        close(&name, attention(g, &q, &k, &v, &s, &mask), &expected);
    }
}

#[test]
fn rotary_is_a_rotation_of_complex_numbers() {
    let g = &Graph::inference(&Cpu::default());
    for (heads, half) in [(1, 1), (3, 4), (2, 33)] {
        let positions: Vec<u32> = (0..50).map(|row| row * 7 % 61).collect();
        let x = input("x", (50, heads * half * 2));
        let mut expected = naive(&x);
        for (row, position) in expected.iter_mut().zip(&positions) {
            for head in row.chunks_mut(2 * half) {
                for i in 0..half {
                    let frequency = 10_000.0_f64.powf(-(i as f64) / half as f64) as f32;
                    let angle = f64::from(*position as f32 * frequency);
                    let (a, b) = (head[i], head[i + half]);
                    head[i] = a * angle.cos() - b * angle.sin();
                    head[i + half] = a * angle.sin() + b * angle.cos();
                }
            }
        }
        let found = rotary(g, &x, heads, 2 * half, &positions, 10_000.0);
        close("rotary", found, &expected);
    }
}

#[test]
fn cross_entropy_is_its_definition() {
    let g = &Graph::inference(&Cpu::default());
    for (index, (rows, classes)) in shapes("cross entropy").into_iter().enumerate() {
        let smoothing = [0.0, 0.1_f32][index % 2];
        let x = scale(g, &input("x", (rows, classes)), 20.0).unwrap();
        let target = |row: usize| (row % 3 != 1).then_some((row * 5 % classes) as u32);
        let targets: Vec<Option<u32>> = (0..rows).map(target).collect();
        let (mut sum, mut count) = (0.0, 0.0);
        for (row, target) in naive(&x).iter().zip(&targets) {
            let Some(target) = target else { continue };
            let greatest = row.iter().copied().fold(f64::MIN, f64::max);
            let total = row.iter().map(|x| (x - greatest).exp()).sum::<f64>();
            let losses: Vec<f64> = row.iter().map(|x| total.ln() + greatest - x).collect();
            let s = f64::from(smoothing);
            let mean = losses.iter().sum::<f64>() / classes as f64;
            sum += (1.0 - s) * losses[*target as usize] + s * mean;
            count += 1.0;
        }
        let found = cross_entropy(g, &x, &targets, smoothing);
        close("cross_entropy", found, &vec![vec![sum / count]]);
    }
}

/// `Φ(x) + x·φ(x)`, away from and near 0, in both tails.
#[test]
fn the_derivative_of_gelu_is_its_definition() {
    for shape in shapes("gelu") {
        let count = shape.0 * shape.1;
        let values: Vec<f32> = (0..count)
            .map(|i| (i as f32 - count as f32 / 2.0) / (count as f32 / 12.0))
            .collect();
        let x = Matrix::variable(&Cpu::default(), values, shape).unwrap();
        let n = naive(&x);
        let (_, gradients) = backward(&[x], &vec![1.0; count], |g, x| gelu(g, &x[0]));
        for (found, x) in gradients[0].iter().zip(n.iter().flatten()) {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let phi = 0.5 * (1.0 + statrs::function::erf::erf(x / 2.0_f64.sqrt()));
            let expected = phi + x * density;
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-6, "at {x}: {found}, expected {expected}");
        }
    }
}
