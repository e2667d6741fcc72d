//! What is measured: training steps and greedy decoding, at the sizes that `nn.py` has, too.

use dfdx::tensor::Cpu;
use ilm_pipe::nn::layers::Linear;
use ilm_pipe::nn::models::encoder::Encoder;
use ilm_pipe::nn::models::llama::{Llama, LlamaConfig};
use ilm_pipe::nn::models::qformer::{
    ItemText, Loss, LossWeights, PairLoss, PairSet, Phase1, Phase1Config, Phase1Data, Pooling,
    Qformer, QformerConfig, TokenTable,
};
use ilm_pipe::nn::ops::{self, AttentionShape};
use ilm_pipe::nn::training::{AdamW, Objective as _, TrainConfig};
use ilm_pipe::nn::{Backend as _, Graph, Matrix, Module, NnError, count, set_trainable, weights};
use ilm_pipe::seed::Seed;
use rand::Rng as _;
use std::path::Path;

pub type Failure = Box<dyn std::error::Error>;

/// The cases, in the order of the table.
pub const NAMES: [&str; 6] = [
    "encoder",
    "qformer",
    "llama",
    "llama-frozen",
    "greedy",
    "sgemm",
];

const ENCODER: AttentionShape = AttentionShape {
    batch: 32,
    queries: 40,
    keys: 40,
    heads: 4,
    kv_heads: 4,
    head_dim: 64,
};
const ENCODER_BLOCKS: usize = 4;

/// Rows and tokens of a batch of the decoder.
const LLAMA_BATCH: (usize, usize) = (16, 128);
/// Width of the vectors that become soft tokens of the frozen decoder.
const SOFT: usize = 64;
/// Tokens of a prompt, and tokens written after it.
const PROMPT: usize = 64;
const NEW: usize = 64;
/// Rows and columns of the large product.
const SQUARE: usize = 2048;

/// One thing to run again and again.
pub struct Case {
    round: Box<dyn FnMut() -> Result<String, Failure>>,
    numbers: usize,
}

impl Case {
    /// Makes a case and leaves what its peer needs in `folder`.
    pub fn new(name: &str, folder: &Path) -> Result<Self, Failure> {
        match name {
            "encoder" => encoder(folder),
            "qformer" => qformer(),
            "llama" => llama(folder),
            "llama-frozen" => llama_frozen(folder),
            "greedy" => greedy(folder),
            "sgemm" => sgemm(),
            _ => Err(format!("`{name}` is not one of {NAMES:?}").into()),
        }
    }

    /// Numbers that the model has.
    pub fn numbers(&self) -> usize {
        self.numbers
    }

    /// One round: a training step, or all prompts continued. Returns the loss, or the ids.
    pub fn run(&mut self) -> Result<String, Failure> {
        (self.round)()
    }

    fn new_training<M: Module<Cpu> + 'static>(
        mut model: M,
        loss: impl Fn(&Graph<Cpu>, &M, u64) -> Result<Matrix<Cpu>, NnError> + 'static,
    ) -> Self {
        let config = TrainConfig {
            weight_decay: 0.01,
            beta2: 0.999,
            ..TrainConfig::default()
        };
        let mut optimiser = AdamW::new(&model, &config);
        let numbers = count(&model).0;
        let mut step = 0;
        let round = move || {
            let g = Graph::training(&Cpu::default(), Seed::new(7).at(step));
            let total = loss(&g, &model, step)?;
            let value = total.item()?;
            let gradients = g.backward(&total)?.collect(&model)?;
            optimiser.step(&mut model, &gradients, 1e-3)?;
            step += 1;
            Ok(value.to_string())
        };
        Self {
            round: Box::new(round),
            numbers,
        }
    }
}

fn random(count: usize, label: &str) -> Vec<f32> {
    let mut rng = Seed::new(1).child(label).rng();
    (0..count).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

fn ids(count: usize, below: usize, label: &str) -> Vec<u32> {
    let mut rng = Seed::new(1).child(label).rng();
    (0..count).map(|_| rng.gen_range(4..below as u32)).collect()
}

/// Leaves numbers where the peer reads them, as little-endian bytes.
fn leave<T: Copy, const N: usize>(
    folder: &Path,
    name: &str,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<(), Failure> {
    let all: Vec<u8> = values.iter().flat_map(|&value| bytes(value)).collect();
    Ok(fs_err::write(folder.join(name), all)?)
}

fn encoder(folder: &Path) -> Result<Case, Failure> {
    let device = Cpu::default();
    let (rows, d) = (ENCODER.batch * ENCODER.queries, 256);
    let model = Encoder::new(&device, ENCODER_BLOCKS, d, Seed::new(2))?;
    let (x, y) = (random(rows * d, "x"), random(rows * d, "y"));
    weights::save(&model, &folder.join("model.safetensors"))?;
    leave(folder, "x.f32", &x, f32::to_le_bytes)?;
    leave(folder, "y.f32", &y, f32::to_le_bytes)?;
    let x = Matrix::constant(&device, x, (rows, d))?;
    let y = Matrix::constant(&device, y, (rows, d))?;
    Ok(Case::new_training(model, move |g, model, _| {
        let error = ops::sub(g, &model.forward(g, &x, &ENCODER)?, &y)?;
        ops::mean_all(g, &ops::square(g, &error)?)
    }))
}

/// The Q-Former with its four losses: 64 texts of 32 tokens, 64 pairs of items, items of two tokens.
fn qformer() -> Result<Case, Failure> {
    let config = QformerConfig {
        d_model: 256,
        layers: 4,
        heads: 4,
        d_ff: 1024,
        ..QformerConfig::default()
    };
    let count = 1024;
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
    )?;
    let settings = Phase1Config {
        losses: vec![Loss::Itc, Loss::Itm, Loss::Itg, Loss::Iic],
        weights: LossWeights::default(),
        batch: 64,
        pair_batch: 64,
        itc_smoothing: 0.1,
        itg_smoothing: 0.1,
        pair_loss: PairLoss::Margin,
        pooling: Pooling::Mean,
        margin: 1.0,
        in_batch_negatives: 4,
        sampled_negatives: 1,
        pair_temperature: 0.07,
        eval_examples: 64,
    };
    let model = Qformer::new(&config, &Cpu::default(), Seed::new(3))?;
    let phase1 = Phase1::new(data, settings, &config, Seed::new(4))?;
    Ok(Case::new_training(model, move |g, model, step| {
        Ok(phase1.loss(g, model, step, Seed::new(5))?.total)
    }))
}

fn llama_config() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 384,
        intermediate_size: 1024,
        num_hidden_layers: 6,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        vocab_size: 4096,
        max_position_embeddings: 256,
        ..LlamaConfig::default()
    }
}

fn next_token(
    g: &Graph<Cpu>,
    model: &Llama<Cpu>,
    embeddings: &Matrix<Cpu>,
    targets: &[Option<u32>],
) -> Result<Matrix<Cpu>, NnError> {
    let hidden = model.hidden(g, embeddings, LLAMA_BATCH.0)?;
    ops::cross_entropy(g, &model.logits(g, &hidden)?, targets, 0.0)
}

fn llama(folder: &Path) -> Result<Case, Failure> {
    let config = llama_config();
    let model = Llama::new(&Cpu::default(), &config, Seed::new(6))?;
    model.save(folder)?;
    let n = LLAMA_BATCH.0 * LLAMA_BATCH.1;
    let (inputs, next) = (
        ids(n, config.vocab_size, "in"),
        ids(n, config.vocab_size, "next"),
    );
    leave(folder, "inputs.u32", &inputs, u32::to_le_bytes)?;
    leave(folder, "targets.u32", &next, u32::to_le_bytes)?;
    let targets: Vec<Option<u32>> = next.into_iter().map(Some).collect();
    Ok(Case::new_training(model, move |g, model, _| {
        next_token(g, model, &model.embed(g, &inputs)?, &targets)
    }))
}

/// A linear layer makes every input of a frozen decoder, as phase 2 does with its soft tokens.
fn llama_frozen(folder: &Path) -> Result<Case, Failure> {
    let (device, config) = (Cpu::default(), llama_config());
    let mut model = Llama::new(&device, &config, Seed::new(6))?;
    set_trainable(&mut model, false);
    model.save(folder)?;
    let std = model.embedding_rms() / (SOFT as f32 / 3.0).sqrt();
    let adapter = Linear::new(&device, SOFT, config.hidden_size, true, std, Seed::new(8))?;
    weights::save(&adapter, &folder.join("adapter.safetensors"))?;
    let n = LLAMA_BATCH.0 * LLAMA_BATCH.1;
    let (soft, next) = (random(n * SOFT, "soft"), ids(n, config.vocab_size, "next"));
    leave(folder, "soft.f32", &soft, f32::to_le_bytes)?;
    leave(folder, "targets.u32", &next, u32::to_le_bytes)?;
    let soft = Matrix::constant(&device, soft, (n, SOFT))?;
    let targets: Vec<Option<u32>> = next.into_iter().map(Some).collect();
    Ok(Case::new_training(adapter, move |g, adapter, _| {
        next_token(g, &model, &adapter.forward(g, &soft)?, &targets)
    }))
}

/// Sixteen prompts, each continued by the most likely tokens.
fn greedy(folder: &Path) -> Result<Case, Failure> {
    let (device, config) = (Cpu::default(), llama_config());
    let model = Llama::new(&device, &config, Seed::new(6))?;
    model.save(folder)?;
    let batch = LLAMA_BATCH.0;
    let prompts = ids(batch * PROMPT, config.vocab_size, "prompts");
    leave(folder, "prompts.u32", &prompts, u32::to_le_bytes)?;
    let numbers = count(&model).0;
    let round = move || {
        let g = Graph::inference(&device);
        let embeddings = model.embed(&g, &prompts)?;
        let (mut hidden, mut cache) = model.prefill(&g, &embeddings, &vec![PROMPT; batch])?;
        let mut written = Vec::with_capacity(batch * NEW);
        Cpu::together(batch, || {
            loop {
                let logits = model.logits(&g, &hidden)?.to_vec();
                let next: Vec<u32> = logits.chunks(config.vocab_size).map(most_likely).collect();
                written.extend_from_slice(&next);
                if written.len() == batch * NEW {
                    let words: Vec<String> = written.iter().map(u32::to_string).collect();
                    return Ok(words.join(" "));
                }
                hidden = model.step(&g, &model.embed(&g, &next)?, &mut cache)?;
            }
        })
    };
    Ok(Case {
        round: Box::new(round),
        numbers,
    })
}

fn most_likely(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// One large product: what the machine can do.
fn sgemm() -> Result<Case, Failure> {
    let device = Cpu::default();
    let square =
        |label: &str| Matrix::constant(&device, random(SQUARE * SQUARE, label), (SQUARE, SQUARE));
    let (a, b) = (square("a")?, square("b")?);
    Ok(Case {
        round: Box::new(move || {
            let product = ops::matmul(&Graph::inference(&Cpu::default()), &a, &b)?;
            Ok(product.shape().0.to_string())
        }),
        numbers: 0,
    })
}
