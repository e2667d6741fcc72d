//! What the model must obey whatever it learned.

use super::*;
use crate::nn::testing::random;
use dfdx::tensor::Cpu;

fn config() -> SasrecConfig {
    SasrecConfig {
        items: 9,
        width: 8,
        blocks: 2,
        heads: 2,
        max_length: 4,
        dropout: 0.3,
        init_std: 0.3,
    }
}

fn model() -> Sasrec<Cpu> {
    Sasrec::new(&Cpu::default(), &config(), Seed::new(3)).unwrap()
}

fn next(model: &Sasrec<Cpu>, histories: &[&[u32]]) -> Vec<Vec<f32>> {
    let g = Graph::inference(&Cpu::default());
    let scores = model.next(&g, histories).unwrap().to_vec();
    scores.chunks(9).map(<[f32]>::to_vec).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5)
}

#[test]
fn a_history_scores_alike_alone_and_among_longer_ones() {
    let model = model();
    let alone = next(&model, &[&[3, 1]]);
    let among = next(&model, &[&[3, 1], &[5, 2, 8, 0], &[], &[7]]);
    assert!(close(&alone[0], &among[0]));
    assert!(among[2].iter().all(|&score| score == 0.0));
    assert!(!close(&among[1], &among[3]));
}

#[test]
fn only_the_end_of_a_long_history_counts_and_its_order_does() {
    let model = model();
    let scores = next(&model, &[&[6, 5, 2, 8, 0], &[5, 2, 8, 0], &[2, 5, 8, 0]]);
    assert!(close(&scores[0], &scores[1]));
    assert!(!close(&scores[1], &scores[2]));
}

#[test]
fn a_position_never_sees_what_comes_later() {
    let model = model();
    let g = Graph::inference(&Cpu::default());
    let at = |history: &[u32]| {
        let padded = Padded::new(&[history], 4);
        model.vectors(&g, &padded, &[0, 1]).unwrap().to_vec()
    };
    assert!(close(&at(&[4, 1, 7, 2]), &at(&[4, 1, 0, 5])));
}

#[test]
fn the_network_equals_a_plain_twin() {
    let model = model();
    let history = [4_usize, 1, 7];
    let arrays = weights::to_arrays(&model);
    let array = |name: &str| &arrays[name].data;
    let d = 8;
    let row = |name: &str, at: usize| array(name)[at * d..][..d].to_vec();
    let linear = |name: &str, x: &[f32]| -> Vec<f32> {
        let (w, b) = (
            array(&format!("{name}.weight")),
            array(&format!("{name}.bias")),
        );
        let rows = w.chunks(x.len()).zip(b);
        rows.map(|(w, b)| b + w.iter().zip(x).map(|(a, b)| a * b).sum::<f32>())
            .collect()
    };
    let norm = |name: &str, x: &[f32]| -> Vec<f32> {
        let n = x.len() as f32;
        let mean = x.iter().sum::<f32>() / n;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
        let (w, b) = (
            array(&format!("{name}.weight")),
            array(&format!("{name}.bias")),
        );
        let scaled = x.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt());
        scaled
            .zip(w.iter().zip(b))
            .map(|(v, (w, b))| v * w + b)
            .collect()
    };
    let sum = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(x, y)| x + y).collect() };
    let gelu = |x: f32| {
        let z = f64::from(x) / 2f64.sqrt();
        (f64::from(x) * 0.5 * (1.0 + statrs::function::erf::erf(z))) as f32
    };

    let mut x: Vec<Vec<f32>> = (0..3)
        .map(|t| {
            sum(
                &row("items.weight", history[t]),
                &row("positions.weight", t),
            )
        })
        .collect();
    for block in 0..2 {
        let name = |part: &str| format!("blocks.{block}.{part}");
        let n: Vec<Vec<f32>> = x.iter().map(|x| norm(&name("attention.norm"), x)).collect();
        let each =
            |part: &str| -> Vec<Vec<f32>> { n.iter().map(|n| linear(&name(part), n)).collect() };
        let (q, k, v) = (
            each("attention.query"),
            each("attention.key"),
            each("attention.value"),
        );
        for t in 0..3 {
            let mut attended = vec![0.0; d];
            for head in 0..2 {
                let own = head * 4..head * 4 + 4;
                let weights: Vec<f32> = (0..=t)
                    .map(|s| {
                        let dots = own.clone().map(|i| q[t][i] * k[s][i]).sum::<f32>();
                        (dots / 2.0).exp()
                    })
                    .collect();
                let total: f32 = weights.iter().sum();
                for (s, weight) in weights.iter().enumerate() {
                    for i in own.clone() {
                        attended[i] += weight / total * v[s][i];
                    }
                }
            }
            x[t] = sum(&x[t], &linear(&name("attention.output"), &attended));
            let wide = linear(&name("ffn.up"), &norm(&name("ffn.norm"), &x[t]));
            let wide: Vec<f32> = wide.into_iter().map(gelu).collect();
            x[t] = sum(&x[t], &linear(&name("ffn.down"), &wide));
        }
    }
    let last = norm("norm", &x[2]);
    let expected: Vec<f32> = (0..9)
        .map(|item| {
            row("items.weight", item)
                .iter()
                .zip(&last)
                .map(|(a, b)| a * b)
                .sum()
        })
        .collect();
    let found = &next(&model, &[&[4, 1, 7]])[0];
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-4, "{found:?} and {expected:?}");
    }
}

#[test]
fn every_parameter_learns() {
    let model = model();
    let g = Graph::training(&Cpu::default(), Seed::new(1));
    let padded = Padded::new(&[&[4, 1, 7, 2], &[3, 5]], 4);
    let vectors = model.vectors(&g, &padded, &[0, 1, 2, 3, 4, 5]).unwrap();
    let scores = model.scores(&g, &vectors).unwrap();
    let weights = g.constant(random(54, Seed::new(2)), (6, 9)).unwrap();
    let loss = ops::sum_all(&g, &ops::mul(&g, &scores, &weights).unwrap()).unwrap();
    let gradients = g.backward(&loss).unwrap().collect(&model).unwrap();
    let mut names = Vec::new();
    crate::nn::Module::visit(&model, "", &mut |name, _| names.push(name.to_owned()));
    for (name, gradient) in names.iter().zip(&gradients.values) {
        // A bias of the keys shifts all scores of a query alike, which softmax does not see.
        let none = gradient.iter().all(|g| g.abs() < 1e-6);
        assert_eq!(none, name.ends_with("key.bias"), "{name}: {gradient:?}");
    }
}

#[test]
fn models_survive_the_folder_and_senseless_sizes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    model.save(folder.path()).unwrap();
    let again = Sasrec::load(&Cpu::default(), folder.path()).unwrap();
    assert_eq!(next(&again, &[&[1, 2]]), next(&model, &[&[1, 2]]));
    let wrong = SasrecConfig {
        blocks: 0,
        heads: 3,
        dropout: 1.0,
        init_std: 0.0,
        ..config()
    };
    let names: Vec<&str> = wrong.problems().iter().map(|p| p.0).collect();
    assert_eq!(names, ["blocks", "heads", "dropout", "init_std"]);
    let error = Sasrec::new(&Cpu::default(), &wrong, Seed::new(1)).unwrap_err();
    insta::assert_snapshot!(error, @"`blocks` is 0, but must be at least 1");
}
