//! Every operation against finite differences.

use super::*;
use crate::nn::testing::{check_gradients, variable};
use crate::seed::Seed;
use dfdx::tensor::Cpu;

fn inputs(seed: u64, shapes: &[(usize, usize)]) -> Vec<Matrix<Cpu>> {
    shapes
        .iter()
        .enumerate()
        .map(|(index, &shape)| variable(shape, Seed::new(seed).at(index as u64)))
        .collect()
}

/// Inputs moved to `[low, low + 1]`.
fn positive(seed: u64, shape: (usize, usize), low: f32) -> Vec<Matrix<Cpu>> {
    let values = inputs(seed, &[shape])[0].to_vec();
    let values = values.into_iter().map(|x| low + x.abs()).collect();
    vec![Matrix::variable(&Cpu::default(), values, shape).unwrap()]
}

#[test]
fn gradients_of_functions_of_one_number() {
    let one = |seed| inputs(seed, &[(5, 7)]);
    check_gradients("gelu", &one(1), |g, x| gelu(g, &x[0]));
    check_gradients("gelu_tanh", &one(2), |g, x| gelu_tanh(g, &x[0]));
    check_gradients("silu", &one(3), |g, x| silu(g, &x[0]));
    check_gradients("sigmoid", &one(4), |g, x| sigmoid(g, &x[0]));
    check_gradients("tanh", &one(5), |g, x| tanh(g, &x[0]));
    check_gradients("exp", &one(6), |g, x| exp(g, &x[0]));
    check_gradients("square", &one(7), |g, x| square(g, &x[0]));
    check_gradients("scale", &one(8), |g, x| scale(g, &x[0], -2.5));
    check_gradients("dropout", &one(9), |g, x| dropout(g, &x[0], 0.4));
    let away = |seed| positive(seed, (4, 6), 0.5);
    check_gradients("ln", &away(10), |g, x| ln(g, &x[0]));
    check_gradients("sqrt", &away(11), |g, x| sqrt(g, &x[0]));
    check_gradients("relu", &away(12), |g, x| {
        // Half of the numbers on each side of the corner, none near it.
        let shift: Vec<f32> = (0..24)
            .map(|i| if i % 2 == 0 { -2.0 } else { 0.0 })
            .collect();
        relu(g, &add(g, &x[0], &g.constant(shift, (4, 6))?)?)
    });
}

#[test]
fn gradients_of_functions_of_two_numbers() {
    let two = |seed| inputs(seed, &[(4, 9), (4, 9)]);
    check_gradients("add", &two(1), |g, x| add(g, &x[0], &x[1]));
    check_gradients("sub", &two(2), |g, x| sub(g, &x[0], &x[1]));
    check_gradients("mul", &two(3), |g, x| mul(g, &x[0], &x[1]));
    check_gradients("mul of one with itself", &two(4), |g, x| {
        mul(g, &x[0], &x[0])
    });
    check_gradients("silu_gate", &two(5), |g, x| silu_gate(g, &x[0], &x[1]));
    let row = inputs(6, &[(5, 70), (1, 70)]);
    check_gradients("add_row", &row, |g, x| add_row(g, &x[0], &x[1]));
    let mut divided = inputs(7, &[(3, 4)]);
    divided.extend(positive(8, (1, 1), 0.7));
    check_gradients("div_scalar", &divided, |g, x| div_scalar(g, &x[0], &x[1]));
}

#[test]
fn gradients_of_products() {
    let x = inputs(1, &[(6, 5), (4, 5), (1, 4)]);
    check_gradients("linear with bias", &x, |g, x| {
        linear(g, &x[0], &x[1], Some(&x[2]))
    });
    check_gradients("linear", &x[..2], |g, x| linear(g, &x[0], &x[1], None));
    check_gradients("matmul_nt", &x[..2], |g, x| matmul_nt(g, &x[0], &x[1]));
    check_gradients("gram", &x[..1], |g, x| matmul_nt(g, &x[0], &x[0]));
    let x = inputs(2, &[(3, 7), (7, 4)]);
    check_gradients("matmul", &x, |g, x| matmul(g, &x[0], &x[1]));
}

#[test]
fn gradients_of_normalisations() {
    let x = inputs(1, &[(4, 19), (1, 19), (1, 19)]);
    check_gradients("layer_norm", &x, |g, x| {
        layer_norm(g, &x[0], &x[1], &x[2], 1e-3)
    });
    check_gradients("rms_norm", &x[..2], |g, x| rms_norm(g, &x[0], &x[1], 1e-3));
    check_gradients("normalize_rows", &x[..1], |g, x| {
        normalize_rows(g, &x[0], 1e-6)
    });
    check_gradients("normalize_rows below eps", &x[..1], |g, x| {
        normalize_rows(g, &x[0], 1e3)
    });
    let x = inputs(2, &[(5, 18), (5, 18)]);
    check_gradients("row_distance", &x, |g, x| row_distance(g, &x[0], &x[1]));
}

#[test]
fn gradients_of_attention_under_every_mask() {
    let shape = AttentionShape {
        batch: 2,
        queries: 4,
        keys: 5,
        heads: 4,
        kv_heads: 2,
        head_dim: 3,
    };
    let x = inputs(1, &[(8, 12), (10, 6), (10, 6)]);
    let masks = [
        Mask::full(),
        Mask::causal(),
        Mask::padding(vec![5, 2]),
        Mask::padding(vec![0, 3]),
        Mask {
            lengths: Some(vec![4, 5]),
            kind: MaskKind::PrefixCausal { prefix: 2 },
        },
    ];
    for mask in masks {
        let name = format!("attention, {mask:?}");
        check_gradients(&name, &x, |g, x| {
            attention(g, &x[0], &x[1], &x[2], &shape, &mask)
        });
    }
    let same = AttentionShape {
        batch: 1,
        queries: 4,
        keys: 4,
        heads: 2,
        kv_heads: 2,
        head_dim: 2,
    };
    check_gradients(
        "attention of one with itself",
        &inputs(2, &[(4, 4)]),
        |g, x| attention(g, &x[0], &x[0], &x[0], &same, &Mask::causal()),
    );
}

#[test]
fn gradients_of_rotary_positions() {
    let x = inputs(1, &[(4, 12)]);
    check_gradients("rotary", &x, |g, x| {
        rotary(g, &x[0], 2, 6, &[0, 3, 1, 3], 100.0)
    });
}

#[test]
fn gradients_of_cross_entropy() {
    let x = inputs(1, &[(5, 19)]);
    let targets = [Some(3), None, Some(0), Some(18), None];
    check_gradients("cross_entropy", &x, |g, x| {
        cross_entropy(g, &x[0], &targets, 0.0)
    });
    check_gradients("smoothed cross_entropy", &x, |g, x| {
        cross_entropy(g, &x[0], &targets, 0.1)
    });
}

#[test]
fn gradients_of_moves_and_sums() {
    let x = inputs(1, &[(6, 4), (2, 4)]);
    check_gradients("embedding", &x[..1], |g, x| {
        embedding(g, &x[0], &[5, 0, 5, 2])
    });
    check_gradients("gather_rows", &x[..1], |g, x| {
        gather_rows(g, &x[0], &[1, 1, 1])
    });
    check_gradients("concat_rows", &x, |g, x| {
        concat_rows(g, &[&x[0], &x[1], &x[0]])
    });
    check_gradients("replace_rows", &x, |g, x| {
        replace_rows(g, &x[0], &[4, 1], &x[1])
    });
    check_gradients("columns", &x[..1], |g, x| columns(g, &x[0], 1, 2));
    check_gradients("mean_groups", &x[..1], |g, x| mean_groups(g, &x[0], 3));
    check_gradients("max_groups", &x[..1], |g, x| max_groups(g, &x[0], 2));
    check_gradients("transpose", &x[..1], |g, x| transpose(g, &x[0]));
    check_gradients("sum_all", &x[..1], |g, x| sum_all(g, &x[0]));
    check_gradients("mean_all", &x[..1], |g, x| mean_all(g, &x[0]));
    check_gradients("weighted_sum", &x, |g, x| {
        let (a, b) = (sum_all(g, &x[0])?, mean_all(g, &x[1])?);
        weighted_sum(g, &[(0.5, &a), (-2.0, &b)])
    });
}
