//! Soft tokens in place, gradients through a frozen language model, decoding, learning.

use super::*;
use crate::nn::models::adapter::NetworkConfig;
use crate::nn::models::gpt2::{Gpt2, Gpt2Config};
use crate::nn::models::llama::tests::tiny;
use crate::nn::models::llama::{Llama, LlamaConfig, LoraConfig, Projection};
use crate::nn::models::t5::{T5, T5Config};
use crate::nn::training::{self, Objective as _, TrainConfig};
use crate::nn::{Param, weights};
use crate::progress::Silent;
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use rand::Rng as _;

fn table(count: usize) -> TokenTable {
    let mut rng = Seed::new(3).rng();
    TokenTable {
        count,
        tokens: 2,
        width: 4,
        data: (0..count * 8).map(|_| rng.gen_range(-1.7..1.7)).collect(),
    }
}

fn model(language: &LlamaConfig, soft_tokens: usize) -> ItemLanguage<Cpu> {
    let language = Llama::new(&Cpu::default(), language, Seed::new(11)).unwrap();
    reader(LanguageModel::Llama(language), soft_tokens)
}

/// A decoder with learned positions, an encoder with a decoder, small and random.
fn others() -> [LanguageModel<Cpu>; 2] {
    let device = Cpu::default();
    let gpt2 = Gpt2Config {
        n_embd: 8,
        n_layer: 2,
        n_head: 2,
        n_positions: 64,
        vocab_size: 40,
        n_inner: Some(12),
        activation_function: "gelu_new".to_owned(),
        layer_norm_epsilon: 1e-5,
        // Large weights, so that nothing is nearly linear.
        initializer_range: 0.6,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
        eos_token_id: None,
        pad_token_id: None,
    };
    let t5 = T5Config {
        vocab_size: 40,
        d_model: 8,
        d_kv: 3,
        d_ff: 12,
        num_layers: 2,
        num_decoder_layers: Some(2),
        num_heads: 2,
        relative_attention_num_buckets: 8,
        relative_attention_max_distance: 20,
        layer_norm_epsilon: 1e-6,
        feed_forward_proj: "gated-gelu".to_owned(),
        tie_word_embeddings: false,
        scale_decoder_outputs: None,
        initializer_factor: 1.5,
        decoder_start_token_id: 0,
        eos_token_id: None,
        pad_token_id: None,
    };
    [
        LanguageModel::Gpt2(Gpt2::new(&device, &gpt2, Seed::new(12)).unwrap()),
        LanguageModel::T5(T5::new(&device, &t5, true, Seed::new(13)).unwrap()),
    ]
}

fn reader(language: LanguageModel<Cpu>, soft_tokens: usize) -> ItemLanguage<Cpu> {
    let device = Cpu::default();
    let config = AdapterConfig {
        network: NetworkConfig::Mlp {
            hidden: 6,
            soft_tokens,
        },
        item_tokens: 2,
        d_item: 4,
        d_language: language.width(),
        output_scale: 1.0,
    };
    let mut adapter = Adapter::new(&device, &config, Seed::new(5)).unwrap();
    adapter
        .scale_output_to(&device, &table(10), language.embedding_rms())
        .unwrap();
    ItemLanguage { adapter, language }
}

/// A sequence of given tokens with one item after the first.
fn sequence(item: u32, soft_tokens: usize, prompt: &[u32], target: &[u32]) -> Sequence {
    let mut ids = vec![1];
    ids.extend(std::iter::repeat_n(3, soft_tokens));
    ids.extend(prompt);
    let target_start = ids.len();
    ids.extend(target);
    Sequence {
        ids,
        places: vec![Place { start: 1, item }],
        target_start,
    }
}

#[test]
fn soft_tokens_replace_their_places_and_nothing_else() {
    let model = model(&tiny(), 3);
    let table = table(10);
    let g = Graph::inference(&Cpu::default());
    let (a, b) = (sequence(7, 3, &[8, 9], &[]), sequence(2, 3, &[5], &[]));
    let batch = Batch::new(&[&a, &b], 3);
    let embedded = model.embed(&g, &table, &batch).unwrap().to_vec();
    let tokens = model.language.embed(&g, &batch.ids).unwrap().to_vec();
    let soft = model.adapter.forward(&g, &table, &[7, 2]).unwrap().to_vec();
    let d = 8;
    assert_eq!(batch.width, 6);
    for (b, item) in [(0, 0), (1, 1)] {
        for t in 0..batch.width {
            let row = &embedded[(b * batch.width + t) * d..][..d];
            let expected = if (1..4).contains(&t) {
                &soft[(item * 3 + t - 1) * d..][..d]
            } else {
                &tokens[(b * batch.width + t) * d..][..d]
            };
            for (x, y) in row.iter().zip(expected) {
                assert!((x - y).abs() < 1e-6, "{b} {t}");
            }
        }
    }
}

fn tuning<'a>(training: &'a [Sequence], table: &'a TokenTable) -> Tuning<'a> {
    Tuning::new(training, &[], table, 4).unwrap()
}

fn loss(tuning: &Tuning<'_>, model: &ItemLanguage<Cpu>) -> f64 {
    let g = Graph::inference(&Cpu::default());
    let losses = tuning.loss(&g, model, 0, Seed::new(0)).unwrap();
    f64::from(losses.total.item().unwrap())
}

#[test]
fn gradients_flow_through_a_frozen_language_model_into_the_adapter() {
    let table = table(10);
    let training = [
        sequence(7, 2, &[8, 9], &[4, 6, 2]),
        sequence(1, 2, &[5], &[10, 2]),
        sequence(7, 2, &[], &[12, 2]),
    ];
    for mut model in [model(&tiny(), 2)]
        .into_iter()
        .chain(others().map(|language| reader(language, 2)))
    {
        model.tune_language(false);
        gradients_are_those_of_the_adapter(&mut model, &tuning(&training, &table));
    }
}

fn gradients_are_those_of_the_adapter(model: &mut ItemLanguage<Cpu>, tuning: &Tuning<'_>) {
    let device = Cpu::default();
    let g = Graph::training(&device, Seed::new(0));
    let total = tuning.loss(&g, model, 0, Seed::new(0)).unwrap().total;
    let mut gradients = g.backward(&total).unwrap();

    // None flows into the language model: asked for one by one, every gradient is zero.
    model.language.visit("", &mut |name, param| {
        assert!(!param.trainable());
        let gradient = gradients.take(&param.value).unwrap();
        assert!(gradient.iter().all(|&x| x == 0.0), "{name}");
    });
    let gradients = gradients.collect(model).unwrap();
    let mut names = Vec::new();
    model.visit("", &mut |name, param: &Param<Cpu>| {
        if param.trainable() {
            names.push(name.to_owned());
        }
    });
    assert_eq!(
        names,
        [
            "adapter.hidden.weight",
            "adapter.hidden.bias",
            "adapter.language_projection.weight",
            "adapter.language_projection.bias"
        ]
    );
    for (name, analytic) in names.iter().zip(&gradients.values) {
        let entry = (0..analytic.len())
            .max_by(|&a, &b| analytic[a].abs().total_cmp(&analytic[b].abs()))
            .unwrap();
        let mut shifted = |by: f32| {
            model.visit_mut("", &mut |found, param| {
                if found == name {
                    let mut values = param.value.to_vec();
                    values[entry] += by;
                    param.value.overwrite(&values).unwrap();
                }
            });
            loss(tuning, model)
        };
        let step = 2e-3;
        let (up, down) = (shifted(step), shifted(-2.0 * step));
        shifted(step);
        let numeric = (up - down) / (2.0 * f64::from(step));
        let exact = f64::from(analytic[entry]);
        assert!(exact.abs() > 1e-4, "{name}: {exact}");
        // Rounding: 1e-7 of a loss of 3 over a step of 4e-3; truncation: step².
        assert!(
            (numeric - exact).abs() < 6e-4 + 0.02 * exact.abs(),
            "{name}[{entry}]: {numeric} {exact}"
        );
    }
}

#[test]
fn the_loss_counts_targets_only_and_ignores_padding() {
    let table = table(10);
    let model = model(&tiny(), 2);
    let (short, long) = (
        sequence(3, 2, &[5], &[4, 2]),
        sequence(4, 2, &[5, 6, 7, 8, 9], &[10, 11, 2]),
    );
    let one = loss(&tuning(std::slice::from_ref(&short), &table), &model);
    let two = loss(&tuning(std::slice::from_ref(&long), &table), &model);
    let both = loss(&tuning(&[short.clone(), long], &table), &model);
    assert!((both - (2.0 * one + 3.0 * two) / 5.0).abs() < 1e-5);
    // Another target changes the loss, another place for the same prompt tokens' labels cannot.
    let other = Sequence {
        target_start: short.target_start + 1,
        ..short.clone()
    };
    assert_ne!(
        loss(&tuning(std::slice::from_ref(&other), &table), &model),
        one
    );
}

#[test]
fn small_batches_with_unequal_targets_make_the_update_of_the_large_one() {
    let table = table(10);
    // One, two, four and seven targets, in some order of two batches of two, or in one of four.
    let training: Vec<Sequence> = [1, 2, 4, 7]
        .into_iter()
        .zip(0..)
        .map(|(n, item)| sequence(item, 2, &[5, 6], &vec![4 + item; n]))
        .collect();
    let train = |batch: usize, accumulate: u64| {
        let mut model = model(&tiny(), 2);
        model.tune_language(true);
        let config = TrainConfig {
            steps: 5,
            learning_rate: 1e-2,
            warmup_steps: 0,
            log_every: 1,
            accumulate,
            ..TrainConfig::default()
        };
        let tuning = Tuning::new(&training, &[], &table, batch).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let (seed, device, path) = (Seed::new(1), Cpu::default(), scratch.path());
        let trained =
            training::train(&tuning, &mut model, &config, seed, &device, path, &Silent).unwrap();
        (weights::to_arrays(&model), trained.metrics)
    };
    let ((large, logged), (small, logged_too)) = (train(4, 1), train(2, 2));
    for (a, b) in logged.iter().zip(&logged_too) {
        // Sums of f32 in another order: 1e-7 each of some hundred of size 1.
        assert!((a.value - b.value).abs() < 1e-5, "{a:?} and {b:?}");
    }
    let mut worst = 0.0_f32;
    for (name, array) in &large {
        for (a, b) in array.data.iter().zip(&small[name].data) {
            worst = worst.max((a - b).abs());
        }
    }
    // Adam divides a gradient by its own size, which blows rounding up where a gradient is nearly 0: of 5 updates of 1e-2, a part in 1e3.
    assert!(worst < 5e-5, "{worst}");
}

#[test]
fn only_low_rank_matrices_and_the_adapter_learn() {
    let (table, device) = (table(10), Cpu::default());
    let training = [
        sequence(7, 2, &[8, 9], &[4, 6, 2]),
        sequence(1, 2, &[5], &[10, 2]),
    ];
    let tuning = tuning(&training, &table);
    let mut model = model(&tiny(), 2);
    let lora = LoraConfig {
        rank: 3,
        dropout: 0.1,
        on: Projection::ALL.to_vec(),
        ..LoraConfig::default()
    };
    model
        .language
        .add_lora(&device, &lora, Seed::new(8))
        .unwrap();
    let train = |model: &mut ItemLanguage<Cpu>, tuned: bool| {
        model.tune_language(tuned);
        let config = TrainConfig {
            steps: 4,
            warmup_steps: 0,
            learning_rate: 1e-2,
            ..TrainConfig::default()
        };
        let scratch = tempfile::tempdir().unwrap();
        let (seed, path) = (Seed::new(1), scratch.path());
        training::train(&tuning, model, &config, seed, &device, path, &Silent).unwrap();
    };
    for tuned in [false, true] {
        let before = weights::to_arrays(&model);
        train(&mut model, tuned);
        let after = weights::to_arrays(&model);
        for (name, array) in &before {
            let learns = name.starts_with("adapter.") || (tuned && is_lora(name));
            assert_eq!(*array != after[name], learns, "{name}");
        }
        assert_eq!(
            before.keys().filter(|name| is_lora(name)).count(),
            2 * 7 * 2
        );
    }
    // Merged, it is the same model.
    let apart = loss(&tuning, &model);
    model.language.merge_lora(&device).unwrap();
    assert!((loss(&tuning, &model) - apart).abs() < 1e-5);
}

#[test]
fn another_family_than_llama_takes_no_low_rank_matrices() {
    let device = Cpu::default();
    let said = others().map(|mut language| {
        let lora = LoraConfig::default();
        let error = language.add_lora(&device, &lora, Seed::new(8)).unwrap_err();
        assert!(!language.has_lora());
        error.to_string()
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    `lora` is for the Llama family, but the language model is GPT-2
    `lora` is for the Llama family, but the language model is T5
    ");
}

/// Greedy generation that runs the whole sequence again for every token.
fn decode_naively(
    model: &ItemLanguage<Cpu>,
    table: &TokenTable,
    prompt: &Sequence,
    settings: &Greedy,
) -> Vec<u32> {
    let mut sequence = prompt.clone();
    let mut text = Vec::new();
    while text.len() < settings.max_new_tokens {
        let g = Graph::inference(&Cpu::default());
        // Whatever the next token is, it is not read.
        sequence.ids.push(0);
        let (rows, _) = model.predict(&g, table, &[&sequence]).unwrap();
        sequence.ids.pop();
        let logits = model.language.logits(&g, &rows).unwrap().to_vec();
        let vocabulary = model.language.vocab_size();
        let row = &logits[logits.len() - vocabulary..];
        let next = (0..vocabulary as u32)
            .filter(|id| !settings.forbidden.contains(id))
            .max_by(|&a, &b| row[a as usize].total_cmp(&row[b as usize]).then(b.cmp(&a)))
            .unwrap();
        if next == settings.eos {
            break;
        }
        text.push(next);
        sequence.ids.push(next);
    }
    text
}

#[test]
fn cached_decoding_is_decoding_again_whatever_the_batch() {
    let llama = LlamaConfig {
        num_hidden_layers: 3,
        vocab_size: 40,
        // A tied model repeats its last token for ever.
        tie_word_embeddings: false,
        ..tiny()
    };
    cached_decoding_is_decoding_again(&model(&llama, 2));
    for language in others() {
        cached_decoding_is_decoding_again(&reader(language, 2));
    }
}

fn cached_decoding_is_decoding_again(model: &ItemLanguage<Cpu>) {
    let table = table(10);
    let mut rng = Seed::new(9).rng();
    let prompts: Vec<Sequence> = (0..12)
        .map(|i| {
            let length = rng.gen_range(0..20);
            let words: Vec<u32> = (0..length).map(|_| rng.gen_range(6..40)).collect();
            sequence(i % 10, 2, &words, &[])
        })
        .collect();
    let device = Cpu::default();
    let mut settings = Greedy {
        max_new_tokens: 40,
        batch: 1,
        eos: u32::MAX,
        forbidden: vec![0, 1, 3, 4, 5],
    };
    let endless: Vec<Vec<u32>> = prompts
        .iter()
        .map(|prompt| decode_naively(model, &table, prompt, &settings))
        .collect();
    // As the end, a word that some texts hold and some do not, so that a batch loses rows one by one.
    let holding = |eos: u32| endless.iter().filter(|text| text.contains(&eos)).count();
    settings.eos = (6..40).min_by_key(|&eos| holding(eos).abs_diff(7)).unwrap();
    assert!((4..11).contains(&holding(settings.eos)));
    let expected: Vec<Vec<u32>> = endless
        .iter()
        .map(|text| {
            text.split(|&token| token == settings.eos)
                .next()
                .unwrap()
                .to_vec()
        })
        .collect();
    for batch in [1, 5, 12] {
        settings.batch = batch;
        let texts = greedy(model, &table, &prompts, &settings, &device, &Silent).unwrap();
        assert_eq!(texts, expected, "batch {batch}");
    }
}

#[test]
fn a_text_ends_where_the_model_has_no_more_positions() {
    let table = table(10);
    let [gpt2, _] = others();
    let model = reader(gpt2, 2);
    let prompts = [sequence(1, 2, &[7; 50], &[]), sequence(2, 2, &[8; 20], &[])];
    let settings = Greedy {
        max_new_tokens: 30,
        batch: 2,
        eos: u32::MAX,
        forbidden: vec![],
    };
    let device = Cpu::default();
    let texts = greedy(&model, &table, &prompts, &settings, &device, &Silent).unwrap();
    // 53 of 64 positions are the prompt's; the last token that is written need not be read.
    assert_eq!(texts[0].len(), 12);
    assert_eq!(texts[1].len(), 30);
}
