//! Trainings of the sizes that benchmarks have, step by step on both sides.

use super::{Extent, Limits, Side};
use crate::clock::Stopwatch;
use crate::nn::layers::Linear;
use crate::nn::models::encoder::Encoder;
use crate::nn::models::llama::{Llama, LlamaConfig};
use crate::nn::models::qformer::{
    ItemText, Loss, LossWeights, PairLoss, PairSet, Phase1, Phase1Config, Phase1Data, Pooling,
    Qformer, QformerConfig, TokenTable,
};
use crate::nn::ops::{self, AttentionShape};
use crate::nn::training::{Losses, Objective, TrainConfig, train};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, set_trainable};
use crate::progress::{Progress, Report, Stopped};
use crate::seed::Seed;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::marker::PhantomData;

/// Steps before the clock counts: kernels are compiled and memory is taken in the first.
const WARM_UP: usize = 5;

/// How fast a training was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Seconds of a step, the first few left out; the median.
    pub seconds_per_step: f64,
    /// Tokens of a batch over that.
    pub tokens_per_second: f64,
    /// Memory of the device, in bytes; `None` where it cannot be known.
    pub peak_memory: Option<u64>,
}

/// A training on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// What was trained.
    pub name: String,
    /// Steps.
    pub steps: u64,
    /// The reference's losses of the first and the last step.
    pub losses: [f64; 2],
    /// The candidate's.
    pub found: [f64; 2],
    /// The candidate's lowest loss after the first step.
    pub lowest: f64,
    /// The difference of the first losses, as a share of the reference's.
    pub first_error: f64,
    /// The greatest that passes.
    pub first_limit: f64,
    /// The greatest difference of all steps, as a share of the reference's.
    pub error: f64,
    /// The greatest that passes.
    pub limit: f64,
    /// Tokens of a batch.
    pub tokens: usize,
    /// The reference's speed.
    pub reference: Speed,
    /// The candidate's.
    pub candidate: Speed,
}

impl Training {
    /// Whether both sides learned alike, and learned.
    pub fn passes(&self) -> bool {
        self.first_error <= self.first_limit
            && self.error <= self.limit
            && self.lowest < self.found[0]
    }
}

pub(super) fn random(count: usize, label: &str) -> Vec<f32> {
    let mut rng = Seed::new(1).child(label).rng();
    (0..count).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

pub(super) fn ids(count: usize, below: usize, label: &str) -> Vec<u32> {
    let mut rng = Seed::new(1).child(label).rng();
    (0..count).map(|_| rng.gen_range(4..below as u32)).collect()
}

/// A loss that a closure says.
struct Task<M, F> {
    loss: F,
    model: PhantomData<M>,
}

impl<D, M, F> Objective<D> for Task<M, F>
where
    D: Backend,
    M: Module<D>,
    F: Fn(&Graph<D>, &M, u64) -> Result<Matrix<D>, NnError>,
{
    type Model = M;

    fn loss(&self, g: &Graph<D>, model: &M, step: u64, _: Seed) -> Result<Losses<D>, NnError> {
        let total = (self.loss)(g, model, step)?;
        Ok(Losses {
            total,
            parts: Vec::new(),
            weight: 1.0,
        })
    }

    fn examples(&self, step: u64, _: Seed) -> Vec<String> {
        vec![format!("batch {step}")]
    }

    fn evaluate(&self, _: &M, _: &D) -> Result<Vec<(String, f64)>, NnError> {
        Ok(Vec::new())
    }
}

/// Notes when each step starts.
struct Ticks {
    watch: Stopwatch,
    steps: RefCell<Vec<f64>>,
}

impl Progress for Ticks {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if matches!(report, Report::Tick { .. }) {
            self.steps.borrow_mut().push(self.watch.seconds());
        }
        Ok(())
    }
}

/// One side of a training.
struct Trained {
    losses: Vec<f64>,
    tokens: usize,
    speed: Speed,
}

fn learn<D: Backend, M: Module<D>>(
    device: &D,
    mut model: M,
    steps: u64,
    tokens: usize,
    peak: Peak<'_>,
    loss: impl Fn(&Graph<D>, &M, u64) -> Result<Matrix<D>, NnError>,
) -> Result<Trained, NnError> {
    let config = TrainConfig {
        steps,
        learning_rate: 1e-3,
        warmup_steps: steps.min(5),
        log_every: 1,
        eval_every: 0,
        checkpoint_every: 0,
        ..TrainConfig::default()
    };
    let task = Task {
        loss,
        model: PhantomData,
    };
    let ticks = Ticks {
        watch: Stopwatch::start(),
        steps: RefCell::default(),
    };
    let scratch = tempfile::tempdir()?;
    peak(true)?;
    let trained = train(
        &task,
        &mut model,
        &config,
        Seed::new(7),
        device,
        scratch.path(),
        &ticks,
    )?;
    let peak_memory = peak(false)?;
    let losses = trained
        .metrics
        .iter()
        .filter(|metric| metric.name == "train.loss");
    let ticks = ticks.steps.into_inner();
    let mut seconds: Vec<f64> = ticks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The last step ends with a checkpoint.
    seconds.pop();
    let mut seconds = seconds.split_off(WARM_UP.min(seconds.len().saturating_sub(1)));
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    Ok(Trained {
        losses: losses.map(|metric| metric.value).collect(),
        tokens,
        speed: Speed {
            seconds_per_step: median,
            tokens_per_second: tokens as f64 / median.max(1e-9),
            peak_memory,
        },
    })
}

type Peak<'a> = &'a dyn Fn(bool) -> Result<Option<u64>, NnError>;

fn encoder<D: Backend>(
    device: &D,
    extent: Extent,
    steps: u64,
    peak: Peak<'_>,
) -> Result<Trained, NnError> {
    let (blocks, batch, tokens, d, heads) = match extent {
        Extent::Small => (2, 3, 6, 32, 2),
        Extent::Full => (4, 32, 40, 256, 4),
    };
    let shape = AttentionShape {
        batch,
        queries: tokens,
        keys: tokens,
        heads,
        kv_heads: heads,
        head_dim: d / heads,
    };
    let rows = batch * tokens;
    let model = Encoder::new(device, blocks, d, Seed::new(2))?;
    let x = Matrix::constant(device, random(rows * d, "x"), (rows, d))?;
    let y = Matrix::constant(device, random(rows * d, "y"), (rows, d))?;
    learn(device, model, steps, rows, peak, move |g, model, _| {
        let state = model.forward(g, &x, &shape)?;
        ops::mean_all(g, &ops::square(g, &ops::sub(g, &state, &y)?)?)
    })
}

/// The Q-Former with its four losses, and what it learns from.
pub(super) fn qformer<D: Backend>(
    device: &D,
    extent: Extent,
) -> Result<(Phase1<D>, Qformer<D>), NnError> {
    let small = extent == Extent::Small;
    let config = QformerConfig {
        d_model: if small { 24 } else { 256 },
        layers: if small { 2 } else { 4 },
        heads: if small { 2 } else { 4 },
        d_ff: if small { 48 } else { 1024 },
        vocab: if small { 60 } else { 2048 },
        max_text_tokens: if small { 6 } else { 32 },
        ..QformerConfig::default()
    };
    let count = if small { 24 } else { 1024 };
    let items = TokenTable {
        count,
        tokens: 2,
        width: config.d_item,
        data: random(count * 2 * config.d_item, "items"),
    };
    let none = TokenTable {
        count: 0,
        data: Vec::new(),
        ..items.clone()
    };
    let texts = (0..count).map(|item| ItemText {
        item: item as u32,
        tokens: ids(config.max_text_tokens, config.vocab, &item.to_string()),
        held_out: false,
    });
    let pairs = PairSet::new((0..count as u32).map(|i| (i, (i * 7 + 1) % count as u32, false)));
    let data = Phase1Data::new(
        items,
        none,
        texts.collect(),
        pairs,
        PairSet::default(),
        0,
        3,
    )
    .map_err(|error| NnError::Other(error.into()))?;
    let batch = if small { 6 } else { 64 };
    let settings = Phase1Config {
        losses: vec![Loss::Itc, Loss::Itm, Loss::Itg, Loss::Iic],
        weights: LossWeights::default(),
        batch,
        pair_batch: batch,
        itc_smoothing: 0.1,
        itg_smoothing: 0.1,
        pair_loss: PairLoss::Margin,
        pooling: Pooling::Mean,
        margin: 1.0,
        in_batch_negatives: 4,
        sampled_negatives: 1,
        pair_temperature: 0.07,
        eval_examples: batch,
    };
    let model = Qformer::new(&config, device, Seed::new(3))?;
    Ok((Phase1::new(data, settings, &config, Seed::new(4))?, model))
}

fn train_qformer<D: Backend>(
    device: &D,
    extent: Extent,
    steps: u64,
    peak: Peak<'_>,
) -> Result<Trained, NnError> {
    let (phase1, model) = qformer(device, extent)?;
    let tokens = match extent {
        Extent::Small => 6 * 6,
        Extent::Full => 64 * 32,
    };
    learn(device, model, steps, tokens, peak, move |g, model, step| {
        Ok(phase1.loss(g, model, step, Seed::new(5))?.total)
    })
}

fn llama_config(extent: Extent) -> (LlamaConfig, usize, usize) {
    match extent {
        Extent::Small => {
            let config = LlamaConfig {
                hidden_size: 32,
                intermediate_size: 56,
                num_hidden_layers: 2,
                vocab_size: 60,
                ..LlamaConfig::default()
            };
            (config, 3, 8)
        }
        Extent::Full => {
            let config = LlamaConfig {
                hidden_size: 384,
                intermediate_size: 1024,
                num_hidden_layers: 6,
                num_attention_heads: 6,
                num_key_value_heads: 2,
                vocab_size: 4096,
                max_position_embeddings: 256,
                ..LlamaConfig::default()
            };
            (config, 16, 128)
        }
    }
}

fn next_token<D: Backend>(
    g: &Graph<D>,
    model: &Llama<D>,
    embeddings: &Matrix<D>,
    targets: &[Option<u32>],
    batch: usize,
) -> Result<Matrix<D>, NnError> {
    let hidden = model.hidden(g, embeddings, batch)?;
    ops::cross_entropy(g, &model.logits(g, &hidden)?, targets, 0.0)
}

fn llama<D: Backend>(
    device: &D,
    extent: Extent,
    steps: u64,
    peak: Peak<'_>,
) -> Result<Trained, NnError> {
    let (config, batch, tokens) = llama_config(extent);
    let model = Llama::new(device, &config, Seed::new(6))?;
    let n = batch * tokens;
    let inputs = ids(n, config.vocab_size, "in");
    let targets: Vec<Option<u32>> = ids(n, config.vocab_size, "next")
        .into_iter()
        .map(Some)
        .collect();
    learn(device, model, steps, n, peak, move |g, model, _| {
        next_token(g, model, &model.embed(g, &inputs)?, &targets, batch)
    })
}

/// A linear layer makes every input of a frozen decoder, as phase 2 does with its soft tokens.
fn frozen_llama<D: Backend>(
    device: &D,
    extent: Extent,
    steps: u64,
    peak: Peak<'_>,
) -> Result<Trained, NnError> {
    const SOFT: usize = 64;
    let (config, batch, tokens) = llama_config(extent);
    let mut model = Llama::new(device, &config, Seed::new(6))?;
    set_trainable(&mut model, false);
    let std = model.embedding_rms() / (SOFT as f32 / 3.0).sqrt();
    let adapter = Linear::new(device, SOFT, config.hidden_size, true, std, Seed::new(8))?;
    let n = batch * tokens;
    let soft = Matrix::constant(device, random(n * SOFT, "soft"), (n, SOFT))?;
    let targets: Vec<Option<u32>> = ids(n, config.vocab_size, "next")
        .into_iter()
        .map(Some)
        .collect();
    learn(device, adapter, steps, n, peak, move |g, adapter, _| {
        next_token(g, &model, &adapter.forward(g, &soft)?, &targets, batch)
    })
}

type Case<D> = fn(&D, Extent, u64, Peak<'_>) -> Result<Trained, NnError>;

fn cases<D: Backend>() -> [(&'static str, Case<D>); 4] {
    [
        ("encoder blocks", encoder),
        ("Q-Former, four losses", train_qformer),
        ("Llama", llama),
        ("Llama, frozen", frozen_llama),
    ]
}

pub(super) fn compare<R: Backend, C: Backend>(
    reference: &Side<'_, R>,
    candidate: &Side<'_, C>,
    limits: &Limits,
    extent: Extent,
    steps: u64,
    progress: &dyn Progress,
) -> Result<Vec<Training>, NnError> {
    let (ours, theirs) = (cases::<R>(), cases::<C>());
    let mut found = Vec::new();
    for (done, ((name, a), (_, b))) in ours.iter().zip(&theirs).enumerate() {
        progress.tick("training", done as u64, ours.len() as u64)?;
        let expected = reference.run(|device| a(device, extent, steps, reference.peak))?;
        let got = candidate.run(|device| b(device, extent, steps, candidate.peak))?;
        found.push(judge(name, steps, expected, got, limits));
    }
    Ok(found)
}

fn judge(name: &str, steps: u64, expected: Trained, got: Trained, limits: &Limits) -> Training {
    let error = |(a, b): (&f64, &f64)| {
        let error = (a - b).abs() / a.abs().max(f64::MIN_POSITIVE);
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let errors: Vec<f64> = expected.losses.iter().zip(&got.losses).map(error).collect();
    let ends = |losses: &[f64]| match losses {
        [first, .., last] => [*first, *last],
        _ => [f64::NAN; 2],
    };
    let complete = expected.losses.len() == got.losses.len();
    Training {
        name: name.to_owned(),
        steps,
        losses: ends(&expected.losses),
        found: ends(&got.losses),
        lowest: got
            .losses
            .iter()
            .skip(1)
            .copied()
            .fold(f64::INFINITY, f64::min),
        first_error: errors.first().copied().unwrap_or(f64::INFINITY),
        first_limit: limits.first_step,
        error: if complete {
            errors.iter().copied().fold(0.0, f64::max)
        } else {
            f64::INFINITY
        },
        limit: limits.training,
        tokens: expected.tokens,
        reference: expected.speed,
        candidate: got.speed,
    }
}
