//! Every operation against finite differences.

use super::*;
use crate::nn::Graph;
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

#[test]
fn rows_are_overwritten_in_place_and_clones_keep_the_old_ones() {
    let x = inputs(1, &[(5, 3), (2, 3)]);
    let g = Graph::inference(&Cpu::default());
    let mut base = x[0].detached();
    let before = x[0].to_vec();
    overwrite_rows(&mut base, &[4, 1], &x[1]).unwrap();
    let expected = replace_rows(&g, &x[0], &[4, 1], &x[1]).unwrap().to_vec();
    assert_eq!(base.to_vec(), expected);
    assert_eq!(x[0].to_vec(), before);
    assert_eq!(
        overwrite_rows(&mut base, &[5, 1], &x[1])
            .unwrap_err()
            .to_string(),
        "`overwrite_rows`: row 5, but there are 5 rows"
    );
}

#[test]
fn matrices_that_do_not_fit_are_errors_that_say_so() {
    let g = &Graph::inference(&Cpu::default());
    let x = &inputs(1, &[(4, 6), (3, 5), (1, 6), (1, 1)]);
    let says = |made: Result<Matrix<Cpu>, NnError>| made.unwrap_err().to_string();
    assert_eq!(
        says(linear(g, &x[0], &x[1], None)),
        "`linear`: the input is (4, 6), but the weight is (3, 5)"
    );
    assert_eq!(
        says(add(g, &x[0], &x[1])),
        "`add`: the matrices are (4, 6) and (3, 5), but must be alike"
    );
    assert_eq!(
        says(layer_norm(g, &x[0], &x[2], &x[3], 1e-5)),
        "`layer_norm`: the bias is (1, 1), but must be (1, 6)"
    );
    assert_eq!(
        says(embedding(g, &x[0], &[1, 4])),
        "`embedding`: row 4, but there are 4 rows"
    );
    assert_eq!(
        says(replace_rows(g, &x[0], &[2, 2], &inputs(2, &[(2, 6)])[0])),
        "`replace_rows`: row 2 is replaced twice"
    );
    assert_eq!(
        says(cross_entropy(g, &x[2], &[None], 0.0)),
        "`cross_entropy`: no row has a target"
    );
    assert_eq!(
        says(cross_entropy(g, &x[2], &[Some(6)], 0.0)),
        "`cross_entropy`: target 6, but there are 6 classes"
    );
    assert_eq!(
        says(dropout(g, &x[0], 1.0)),
        "`dropout` is 1, but must be at least 0 and below 1"
    );
    for made in [
        matmul(g, &x[0], &x[1]),
        matmul_nt(g, &x[0], &x[1]),
        mean_groups(g, &x[0], 3),
        max_groups(g, &x[0], 4),
        columns(g, &x[0], 4, 3),
        concat_rows(g, &[&x[0], &x[1]]),
        concat_rows(g, &[]),
        weighted_sum(g, &[]),
        div_scalar(g, &x[0], &x[2]),
        rotary(g, &x[0], 2, 3, &[0; 4], 1e4),
    ] {
        assert!(matches!(made, Err(NnError::Shape { .. })));
    }
    let shape = AttentionShape {
        batch: 1,
        queries: 4,
        keys: 4,
        heads: 2,
        kv_heads: 2,
        head_dim: 3,
    };
    let q = &x[0];
    assert!(attention(g, q, q, q, &shape, &Mask::padding(vec![5])).is_err());
    assert!(attention(g, q, q, q, &shape, &Mask::padding(vec![1, 1])).is_err());
    let wrong = AttentionShape { heads: 3, ..shape };
    assert!(attention(g, q, q, q, &wrong, &Mask::full()).is_err());
}

#[test]
fn dropout_keeps_the_mean_and_differs_from_call_to_call() {
    let device = Cpu::default();
    let ones = Matrix::variable(&device, vec![1.0; 200_000], (400, 500)).unwrap();
    let idle = Graph::inference(&device);
    assert_eq!(dropout(&idle, &ones, 0.3).unwrap().to_vec(), ones.to_vec());
    let run = |seed| {
        let g = Graph::training(&device, Seed::new(seed));
        let first = dropout(&g, &ones, 0.3).unwrap().to_vec();
        (first, dropout(&g, &ones, 0.3).unwrap().to_vec())
    };
    let (first, second) = run(1);
    assert_ne!(first, second);
    assert_ne!(first, run(2).0);
    assert_eq!((first.clone(), second), run(1));
    let dropped = first.iter().filter(|&&x| x == 0.0).count() as f64 / 200_000.0;
    // Four deviations of a mean of 200,000 draws.
    assert!((dropped - 0.3).abs() < 4.0 * (0.21_f64 / 200_000.0).sqrt());
    assert!(first.iter().all(|&x| x == 0.0 || x == 1.0 / 0.7));
}

#[test]
fn gradients_go_where_they_can_flow_only() {
    let device = Cpu::default();
    let g = Graph::training(&device, Seed::new(1));
    let data = g.constant(vec![1.0, 2.0], (1, 2)).unwrap();
    let x = inputs(1, &[(1, 2)]).remove(0);
    assert!(square(&g, &data).unwrap().is_constant());
    assert!(square(&g, &x.detached()).unwrap().is_constant());
    let y = mul(&g, &square(&g, &x).unwrap(), &data).unwrap();
    // A branch that the loss does not use gives nothing.
    let unused = exp(&g, &x).unwrap();
    assert!(!unused.is_constant());
    let loss = sum_all(&g, &add(&g, &y, &x.detached()).unwrap()).unwrap();
    let mut grads = g.backward(&loss).unwrap();
    let expected: Vec<f32> = x
        .to_vec()
        .iter()
        .zip([1.0, 2.0])
        .map(|(x, d)| 2.0 * x * d)
        .collect();
    assert_eq!(grads.take(&x).unwrap(), expected);
    assert_eq!(grads.take(&data).unwrap(), [0.0, 0.0]);
    let idle = Graph::inference(&device);
    let loss = sum_all(&idle, &x).unwrap();
    assert!(loss.is_constant() && idle.backward(&loss).is_err());
}
