//! Gradients against finite differences, masks, the structural trap of one token, learning and resuming.

mod gradients;
mod learning;
mod masks;

use super::*;
use crate::nn::set_trainable;
use dfdx::tensor::Cpu;
use rand::Rng as _;
use rand_distr::StandardNormal;

/// A model small enough for finite differences, with weights large enough that every path matters.
fn tiny() -> QformerConfig {
    QformerConfig {
        d_model: 8,
        layers: 2,
        heads: 2,
        d_ff: 12,
        queries: 3,
        cross_attention_every: 2,
        d_item: 4,
        vocab: 12,
        max_text_tokens: 6,
        projection: 5,
        dropout: 0.0,
        eps: 1e-5,
        init_std: 0.4,
        temperature: 0.5,
    }
}

fn normal_table(count: usize, tokens: usize, width: usize, seed: u64) -> TokenTable {
    let mut rng = Seed::new(seed).rng();
    TokenTable {
        count,
        tokens,
        width,
        data: (0..count * tokens * width)
            .map(|_| rng.sample(StandardNormal))
            .collect(),
    }
}

fn text(item: u32, body: &[u32], held_out: bool) -> ItemText {
    // <cls> = 5, <eos> = 2.
    let tokens = [&[5], body, &[2]].concat();
    ItemText {
        item,
        tokens,
        held_out,
    }
}

/// Six items of two tokens, three users, a text an item; items 0 and 3 share a text.
fn small_data() -> Phase1Data {
    let texts = vec![
        text(0, &[6, 7], false),
        text(1, &[8], false),
        text(2, &[9, 10, 11], false),
        text(3, &[6, 7], false),
        text(4, &[10, 8], true),
        text(5, &[11, 6, 9], true),
    ];
    let item_item = [
        (0, 1, false),
        (1, 2, false),
        (2, 3, false),
        (3, 0, true),
        (4, 5, true),
    ];
    let user_item = [
        (0, 1, false),
        (0, 2, false),
        (1, 3, false),
        (2, 0, true),
        (1, 4, true),
    ];
    Phase1Data::new(
        normal_table(6, 2, 4, 1),
        normal_table(3, 1, 4, 2),
        texts,
        PairSet::new(item_item),
        PairSet::new(user_item),
        0,
        4,
    )
    .expect("the parts fit")
}

fn settings(losses: &[Loss]) -> Phase1Config {
    Phase1Config {
        losses: losses.to_vec(),
        weights: LossWeights::default(),
        batch: 4,
        pair_batch: 3,
        itc_smoothing: 0.1,
        itg_smoothing: 0.0,
        pair_loss: PairLoss::Margin,
        pooling: Pooling::Mean,
        margin: 1.0,
        in_batch_negatives: 2,
        sampled_negatives: 1,
        pair_temperature: 0.2,
        eval_examples: 100,
    }
}

#[test]
fn names_are_those_of_hugging_face() {
    let model = Qformer::new(&tiny(), &Cpu::default(), Seed::new(1)).expect("valid");
    let mut names = Vec::new();
    model.visit("", &mut |name, param| {
        names.push(format!("{name} {:?}", param.saved_shape()));
    });
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn the_query_block_starts_as_a_copy_of_the_text_block() {
    let model = Qformer::new(&tiny(), &Cpu::default(), Seed::new(1)).expect("valid");
    let arrays = weights::to_arrays(&model);
    let layer = "qformer.encoder.layer.1";
    assert_eq!(
        arrays[&format!("{layer}.intermediate.dense.weight")],
        arrays[&format!("{layer}.intermediate_query.dense.weight")]
    );
}

#[test]
fn a_saved_model_is_the_same_when_loaded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = Cpu::default();
    let model = Qformer::new(&tiny(), &device, Seed::new(1)).expect("valid");
    model.save(folder.path()).expect("writable");
    let loaded = Qformer::load(folder.path(), &device).expect("readable");
    assert_eq!(loaded.config(), model.config());
    assert_eq!(weights::to_arrays(&loaded), weights::to_arrays(&model));
}

#[test]
fn a_senseless_size_is_refused() {
    let config = QformerConfig {
        queries: 0,
        ..tiny()
    };
    let error = Qformer::new(&config, &Cpu::default(), Seed::new(1)).expect_err("no queries");
    assert_eq!(error.to_string(), "`queries` is 0, but must be at least 1");
}
