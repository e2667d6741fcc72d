//! The decoder against a naive twin, finite differences and the promises of its doc.

use super::*;
use crate::nn::weights::to_arrays;
use dfdx::tensor::Cpu;

/// A decoder small enough for finite differences, with grouped queries.
pub(in crate::nn::models) fn tiny() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        vocab_size: 17,
        // Large weights, so that nothing is nearly linear.
        initializer_range: 0.4,
        ..LlamaConfig::default()
    }
}

fn model(config: &LlamaConfig) -> Llama<Cpu> {
    Llama::new(&Cpu::default(), config, Seed::new(11)).unwrap()
}

pub(super) fn logits(model: &Llama<Cpu>, ids: &[u32], batch: usize) -> Vec<f32> {
    let g = Graph::inference(&Cpu::default());
    let hidden = model
        .hidden(&g, &model.embed(&g, ids).unwrap(), batch)
        .unwrap();
    model.logits(&g, &hidden).unwrap().to_vec()
}

/// The formulas of one sequence, with loops, in `f64`.
fn naive(config: &LlamaConfig, weights: &Llama<Cpu>, ids: &[u32]) -> Vec<f64> {
    let arrays = to_arrays(weights);
    let w = |name: &str| -> Vec<f64> { arrays[name].data.iter().map(|&x| x.into()).collect() };
    let times = |w: &[f64], x: &[f64]| -> Vec<f64> {
        w.chunks(x.len())
            .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect()
    };
    let norm = |w: &[f64], x: &[f64]| -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + config.rms_norm_eps).sqrt();
        x.iter().zip(w).map(|(v, w)| v * scale * w).collect()
    };
    let (d, dh) = (config.hidden_size, config.head_dim());
    let rotate = |x: &[f64], position: usize| -> Vec<f64> {
        let mut out = x.to_vec();
        for head in out.chunks_mut(dh) {
            for j in 0..dh / 2 {
                let angle = position as f64 * config.rope_theta.powf(-2.0 * j as f64 / dh as f64);
                let (a, b) = (head[j], head[j + dh / 2]);
                head[j] = a * angle.cos() - b * angle.sin();
                head[j + dh / 2] = b * angle.cos() + a * angle.sin();
            }
        }
        out
    };
    let table = w("model.embed_tokens.weight");
    let mut xs: Vec<Vec<f64>> = ids
        .iter()
        .map(|&id| table[id as usize * d..][..d].to_vec())
        .collect();
    for layer in 0..config.num_hidden_layers {
        let w = |name: &str| w(&format!("model.layers.{layer}.{name}.weight"));
        let ns: Vec<_> = xs.iter().map(|x| norm(&w("input_layernorm"), x)).collect();
        let project = |name: &str| -> Vec<Vec<f64>> {
            ns.iter()
                .map(|n| times(&w(&format!("self_attn.{name}_proj")), n))
                .collect()
        };
        let turned = |rows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            rows.iter()
                .enumerate()
                .map(|(t, row)| rotate(row, t))
                .collect()
        };
        let (q, k, v) = (turned(project("q")), turned(project("k")), project("v"));
        let group = config.num_attention_heads / config.num_key_value_heads;
        for t in 0..xs.len() {
            let mut attended = Vec::new();
            for head in 0..config.num_attention_heads {
                let (qh, kh) = (head * dh, head / group * dh);
                let scores: Vec<f64> = (0..=t)
                    .map(|s| {
                        let dot: f64 = (0..dh).map(|j| q[t][qh + j] * k[s][kh + j]).sum();
                        (dot / (dh as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for j in 0..dh {
                    attended.push((0..=t).map(|s| scores[s] / total * v[s][kh + j]).sum());
                }
            }
            let out = times(&w("self_attn.o_proj"), &attended);
            for (x, o) in xs[t].iter_mut().zip(out) {
                *x += o;
            }
        }
        for x in &mut xs {
            let n = norm(&w("post_attention_layernorm"), x);
            let (gate, up) = (times(&w("mlp.gate_proj"), &n), times(&w("mlp.up_proj"), &n));
            let mixed: Vec<f64> = gate
                .iter()
                .zip(&up)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            for (x, o) in x.iter_mut().zip(times(&w("mlp.down_proj"), &mixed)) {
                *x += o;
            }
        }
    }
    let last = w("model.norm.weight");
    xs.iter()
        .flat_map(|x| times(&table, &norm(&last, x)))
        .collect()
}

#[test]
fn logits_are_those_of_the_formulas() {
    let config = tiny();
    let model = model(&config);
    let ids = [3, 1, 4, 1, 5, 9, 2];
    let expected = naive(&config, &model, &ids);
    for (found, expected) in logits(&model, &ids, 1).iter().zip(&expected) {
        // f32 sums of a few hundred terms of size 1.
        assert!(
            (f64::from(*found) - expected).abs() < 2e-4,
            "{found} {expected}"
        );
    }
}

#[test]
fn a_position_sees_no_later_token() {
    let config = tiny();
    let model = model(&config);
    let whole = logits(&model, &[3, 1, 4, 1, 5], 1);
    let changed = logits(&model, &[3, 1, 4, 8, 0], 1);
    let seen = 3 * config.vocab_size;
    assert_eq!(whole[..seen], changed[..seen]);
    assert_ne!(whole[seen..], changed[seen..]);
}

#[test]
fn sequences_of_a_batch_do_not_mix() {
    let model = model(&tiny());
    let (a, b) = ([3, 1, 4, 1], [2, 7, 1, 8]);
    let both = logits(&model, &[a, b].concat(), 2);
    let apart = [logits(&model, &a, 1), logits(&model, &b, 1)].concat();
    for (x, y) in both.iter().zip(&apart) {
        assert!((x - y).abs() < 1e-5, "{x} {y}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let config = tiny();
    let device = Cpu::default();
    let mut model = model(&config);
    let ids = [3, 1, 4, 1, 5, 9, 2, 6];
    let targets: Vec<Option<u32>> = ids[1..].iter().chain(&[5]).map(|&id| Some(id)).collect();
    let loss = |model: &Llama<Cpu>, g: &Graph<Cpu>| {
        let hidden = model.hidden(g, &model.embed(g, &ids).unwrap(), 2).unwrap();
        let logits = model.logits(g, &hidden).unwrap();
        ops::cross_entropy(g, &logits, &targets, 0.0).unwrap()
    };
    let g = Graph::training(&device, Seed::new(0));
    let total = loss(&model, &g);
    let gradients = g.backward(&total).unwrap().collect(&model).unwrap();

    let mut names = Vec::new();
    model.visit("", &mut |name, _| names.push(name.to_owned()));
    assert_eq!(names.len(), gradients.values.len());
    for (number, name) in names.iter().enumerate() {
        let analytic = &gradients.values[number];
        // The largest entry and one more: small ones drown in the rounding of the loss.
        let largest = (0..analytic.len())
            .max_by(|&a, &b| analytic[a].abs().total_cmp(&analytic[b].abs()))
            .unwrap();
        for entry in [largest, analytic.len() / 2] {
            let mut shifted = |by: f32| {
                model.visit_mut("", &mut |found, param| {
                    if found == name {
                        let mut values = param.value.to_vec();
                        values[entry] += by;
                        param.value.overwrite(&values).unwrap();
                    }
                });
                f64::from(loss(&model, &Graph::inference(&device)).item().unwrap())
            };
            let step = 4e-3;
            let up = shifted(step);
            let down = shifted(-2.0 * step);
            shifted(step);
            let numeric = (up - down) / (2.0 * f64::from(step));
            let exact = f64::from(analytic[entry]);
            // Rounding: 1e-7 of a loss of 3 over a step of 8e-3; truncation: step².
            let tolerance = 6e-4 + 0.02 * exact.abs();
            assert!(
                (numeric - exact).abs() < tolerance,
                "{name}[{entry}]: {numeric} {exact}"
            );
        }
    }
}

#[test]
fn a_saved_model_comes_back_with_hugging_face_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&tiny());
    model.save(folder.path()).unwrap();
    let loaded = Llama::load(&Cpu::default(), folder.path()).unwrap();
    let arrays = to_arrays(&loaded);
    assert_eq!(arrays, to_arrays(&model));
    let names: Vec<&str> = arrays.keys().map(String::as_str).collect();
    insta::assert_snapshot!(names[..10].join("\n"), @"
    model.embed_tokens.weight
    model.layers.0.input_layernorm.weight
    model.layers.0.mlp.down_proj.weight
    model.layers.0.mlp.gate_proj.weight
    model.layers.0.mlp.up_proj.weight
    model.layers.0.post_attention_layernorm.weight
    model.layers.0.self_attn.k_proj.weight
    model.layers.0.self_attn.o_proj.weight
    model.layers.0.self_attn.q_proj.weight
    model.layers.0.self_attn.v_proj.weight
    ");
    assert_eq!(names.len(), 2 * 9 + 2);
}

#[test]
fn an_untied_model_has_a_head_of_its_own() {
    let config = LlamaConfig {
        tie_word_embeddings: false,
        ..tiny()
    };
    let arrays = to_arrays(&model(&config));
    assert_eq!(arrays["lm_head.weight"].shape, [17, 8]);
}

#[test]
fn residual_layers_start_smaller() {
    let config = LlamaConfig::default();
    let arrays = to_arrays(&model(&config));
    let size = |name: &str| rms(&arrays[name].data);
    assert!((size("model.layers.1.self_attn.q_proj.weight") / 0.02 - 1.0).abs() < 0.03);
    let residual = 0.02 / (8.0_f32).sqrt();
    for name in ["self_attn.o_proj", "mlp.down_proj"] {
        let found = size(&format!("model.layers.1.{name}.weight"));
        assert!((found / residual - 1.0).abs() < 0.03, "{found}");
    }
}

/// Logits after each of `ids`, the first `start` of which are read at once and the others one by one.
fn step_by_step(model: &Llama<Cpu>, sequences: &[&[u32]], start: usize) -> Vec<Vec<f32>> {
    let g = Graph::inference(&Cpu::default());
    let columns = |t: usize| -> Vec<u32> { sequences.iter().map(|ids| ids[t]).collect() };
    let prompt: Vec<u32> = sequences
        .iter()
        .flat_map(|ids| &ids[..start])
        .copied()
        .collect();
    let lengths = vec![start; sequences.len()];
    let (mut hidden, mut cache) = model
        .prefill(&g, &model.embed(&g, &prompt).unwrap(), &lengths)
        .unwrap();
    Cpu::together(sequences.len(), || {
        let mut all = vec![model.logits(&g, &hidden).unwrap().to_vec()];
        for t in start..sequences[0].len() {
            let embeddings = model.embed(&g, &columns(t)).unwrap();
            hidden = model.step(&g, &embeddings, &mut cache).unwrap();
            all.push(model.logits(&g, &hidden).unwrap().to_vec());
        }
        all
    })
}

#[test]
fn steps_compute_what_the_whole_sequence_does_on_any_number_of_threads() {
    // Wide enough for several tasks of each product, and no multiple of what is computed at once.
    let config = LlamaConfig {
        hidden_size: 60,
        intermediate_size: 70,
        num_hidden_layers: 3,
        num_attention_heads: 6,
        num_key_value_heads: 3,
        vocab_size: 50,
        ..tiny()
    };
    let model = model(&config);
    let ids: Vec<u32> = (0..5 * 40).map(|i| i * 31 % 50).collect();
    let sequences: Vec<&[u32]> = ids.chunks(40).collect();
    let start = 7;
    let one = step_by_step(&model, &sequences, start);
    for (row, sequence) in sequences.iter().enumerate() {
        let whole = logits(&model, sequence, 1);
        for (t, found) in one.iter().enumerate() {
            let found = &found[row * 50..][..50];
            for (a, b) in found.iter().zip(&whole[(start - 1 + t) * 50..]) {
                assert!(
                    (a - b).abs() < 2e-4 * b.abs().max(1.0),
                    "{row} {t}: {a} {b}"
                );
            }
        }
    }
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let other = pool
            .build()
            .unwrap()
            .install(|| step_by_step(&model, &sequences, start));
        assert!(one == other, "{threads} threads");
    }
}

#[test]
fn a_prompt_without_a_token_is_refused() {
    let model = model(&tiny());
    let g = Graph::inference(&Cpu::default());
    let embeddings = model.embed(&g, &[1, 2, 3, 4]).unwrap();
    let error = model.prefill(&g, &embeddings, &[2, 0]).unwrap_err();
    assert!(error.to_string().contains("[2, 0]"), "{error}");
}
