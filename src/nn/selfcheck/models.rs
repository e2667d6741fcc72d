//! Every model, forward and backward, on both sides.

use super::{Difference, Limits, Parts, Side, difference, trainings};
use crate::nn::models::adapter::{Adapter, AdapterConfig, NetworkConfig};
use crate::nn::models::bert::{Bert, BertConfig};
use crate::nn::models::gpt2::{Gpt2, Gpt2Config};
use crate::nn::models::item_language::{ItemLanguage, Place, Sequence};
use crate::nn::models::language_model::LanguageModel;
use crate::nn::models::llama::{Llama, LlamaConfig, LoraConfig, Projection};
use crate::nn::models::qformer::{QformerConfig, TokenTable};
use crate::nn::models::sasrec::{Padded, Sasrec, SasrecConfig};
use crate::nn::models::t5::{T5, T5Config};
use crate::nn::training::Objective as _;
use crate::nn::{Backend, Graph, Matrix, Module, NnError, ops, set_trainable};
use crate::progress::Progress;
use crate::seed::Seed;

/// Texts of a batch, their tokens, and their true lengths.
const BATCH: usize = 3;
const TOKENS: usize = 10;
const LENGTHS: [usize; BATCH] = [10, 4, 7];
const VOCABULARY: usize = 50;

type Check<D> = fn(&D) -> Result<Parts, NnError>;

fn models<D: Backend>() -> Vec<(&'static str, Check<D>)> {
    vec![
        ("Q-Former, four losses", qformer),
        ("Q-Former as adapter", query_adapter),
        ("MLP adapter", mlp_adapter),
        ("Llama, grouped keys", |device| {
            llama(device, &llama_config())
        }),
        ("Qwen2: biases, own output layer", |device| {
            llama(
                device,
                &LlamaConfig {
                    model_type: "qwen2".to_owned(),
                    tie_word_embeddings: false,
                    ..llama_config()
                },
            )
        }),
        ("Llama, low-rank adaptation", adapted_llama),
        ("Llama, cached decoding", decoding),
        ("item language model", item_language),
        ("GPT-2", gpt2),
        ("T5", t5),
        ("BERT", bert),
        ("SASRec", sasrec),
    ]
}

/// Loss and gradients of every parameter.
fn learn<D: Backend, M: Module<D>>(
    device: &D,
    model: &M,
    loss: impl FnOnce(&Graph<D>, &M) -> Result<Matrix<D>, NnError>,
) -> Result<Parts, NnError> {
    let g = Graph::training(device, Seed::new(3));
    let loss = loss(&g, model)?;
    let mut parts = vec![("loss".to_owned(), loss.to_vec())];
    let mut gradients = g.backward(&loss)?;
    let mut failed = None;
    model.visit("", &mut |name, param| {
        if param.trainable() {
            match gradients.take(&param.value) {
                Ok(gradient) => parts.push((format!("gradient of `{name}`"), gradient)),
                Err(error) => failed = Some(error),
            }
        }
    });
    failed.map_or(Ok(parts), Err)
}

fn ids() -> Vec<u32> {
    trainings::ids(BATCH * TOKENS, VOCABULARY, "ids")
}

/// The cross-entropy of some tokens at every place that is not padding.
fn next_tokens<D: Backend>(g: &Graph<D>, logits: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    let targets: Vec<Option<u32>> = trainings::ids(BATCH * TOKENS, VOCABULARY, "next")
        .into_iter()
        .enumerate()
        .map(|(at, id)| (at % TOKENS < LENGTHS[at / TOKENS]).then_some(id))
        .collect();
    ops::cross_entropy(g, logits, &targets, 0.0)
}

fn qformer<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let (phase1, model) = trainings::qformer(device, super::Extent::Small)?;
    learn(device, &model, |g, model| {
        Ok(phase1.loss(g, model, 0, Seed::new(5))?.total)
    })
}

fn items() -> TokenTable {
    TokenTable {
        count: 6,
        tokens: 2,
        width: 12,
        data: trainings::random(6 * 2 * 12, "items"),
    }
}

fn adapter<D: Backend>(device: &D, network: NetworkConfig) -> Result<Adapter<D>, NnError> {
    let config = AdapterConfig {
        network,
        item_tokens: 2,
        d_item: 12,
        d_language: llama_config().hidden_size,
        output_scale: 0.3,
    };
    Adapter::new(device, &config, Seed::new(8))
}

fn adapted<D: Backend>(device: &D, network: NetworkConfig) -> Result<Parts, NnError> {
    learn(device, &adapter(device, network)?, |g, model| {
        let soft = model.forward(g, &items(), &[4, 0, 4, 5])?;
        ops::mean_all(g, &ops::square(g, &soft)?)
    })
}

fn mlp_adapter<D: Backend>(device: &D) -> Result<Parts, NnError> {
    adapted(
        device,
        NetworkConfig::Mlp {
            hidden: 40,
            soft_tokens: 3,
        },
    )
}

fn query_adapter<D: Backend>(device: &D) -> Result<Parts, NnError> {
    adapted(
        device,
        NetworkConfig::Qformer(QformerConfig {
            d_model: 24,
            layers: 2,
            heads: 2,
            d_ff: 48,
            queries: 3,
            d_item: 12,
            vocab: VOCABULARY,
            ..QformerConfig::default()
        }),
    )
}

fn llama_config() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 32,
        intermediate_size: 56,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        vocab_size: VOCABULARY,
        max_position_embeddings: 64,
        initializer_range: 0.2,
        ..LlamaConfig::default()
    }
}

fn llama<D: Backend>(device: &D, config: &LlamaConfig) -> Result<Parts, NnError> {
    let model = Llama::new(device, config, Seed::new(6))?;
    learn(device, &model, |g, model| {
        let hidden = model.hidden(g, &model.embed(g, &ids())?, BATCH)?;
        next_tokens(g, &model.logits(g, &hidden)?)
    })
}

fn adapted_llama<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let mut model = Llama::new(device, &llama_config(), Seed::new(6))?;
    set_trainable(&mut model, false);
    let config = LoraConfig {
        rank: 3,
        alpha: 6.0,
        dropout: 0.1,
        on: Projection::ALL.to_vec(),
    };
    model.add_lora(device, &config, Seed::new(9))?;
    learn(device, &model, |g, model| {
        let hidden = model.hidden(g, &model.embed(g, &ids())?, BATCH)?;
        next_tokens(g, &model.logits(g, &hidden)?)
    })
}

/// Logits after a padded prompt, and after two more tokens through the cache.
fn decoding<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let model = Llama::new(device, &llama_config(), Seed::new(6))?;
    let g = Graph::inference(device);
    let (mut hidden, mut cache) = model.prefill(&g, &model.embed(&g, &ids())?, &LENGTHS)?;
    let mut parts = vec![("logits".to_owned(), model.logits(&g, &hidden)?.to_vec())];
    for next in [[5, 6, 7], [8, 9, 10]] {
        hidden = model.step(&g, &model.embed(&g, &next)?, &mut cache)?;
        let place = format!("logits after token {}", next[0]);
        parts.push((place, model.logits(&g, &hidden)?.to_vec()));
    }
    Ok(parts)
}

fn item_language<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let network = NetworkConfig::Mlp {
        hidden: 16,
        soft_tokens: 3,
    };
    let model = ItemLanguage {
        adapter: adapter(device, network)?,
        language: LanguageModel::Llama(Llama::new(device, &llama_config(), Seed::new(6))?),
    };
    let all = ids();
    let sequences: Vec<Sequence> = (0..BATCH)
        .map(|row| Sequence {
            ids: all[row * TOKENS..][..TOKENS].to_vec(),
            places: vec![Place {
                start: row + 1,
                item: (row as u32 * 2) % 6,
            }],
            target_start: 7,
        })
        .collect();
    learn(device, &model, |g, model| {
        let chosen: Vec<&Sequence> = sequences.iter().collect();
        let (rows, targets) = model.predict(g, &items(), &chosen)?;
        ops::cross_entropy(g, &model.language.logits(g, &rows)?, &targets, 0.0)
    })
}

/// The sizes of a model, from what its `config.json` says.
fn config<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> Result<T, NnError> {
    serde_json::from_value(json).map_err(|error| NnError::Other(error.into()))
}

fn gpt2<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let config: Gpt2Config = config(serde_json::json!({
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16, "vocab_size": VOCABULARY, "initializer_range": 0.2,
    }))?;
    let model = Gpt2::new(device, &config, Seed::new(2))?;
    learn(device, &model, |g, model| {
        next_tokens(g, &model.logits(g, &model.hidden(g, &ids(), BATCH)?)?)
    })
}

fn t5<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let config: T5Config = config(serde_json::json!({
        "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": VOCABULARY,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": true, "initializer_factor": 0.2,
    }))?;
    let model = T5::new(device, &config, true, Seed::new(2))?;
    learn(device, &model, |g, model| {
        let memory = model.encoder.forward(g, &ids(), &LENGTHS)?;
        let written = trainings::ids(BATCH * TOKENS, VOCABULARY, "written");
        let hidden = model.decode(g, &written, &memory, &LENGTHS)?;
        next_tokens(g, &model.logits(g, &hidden)?)
    })
}

fn bert<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let config: BertConfig = config(serde_json::json!({
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": VOCABULARY,
        "max_position_embeddings": 16, "initializer_range": 0.2,
    }))?;
    let model = Bert::new(device, &config, Seed::new(2))?;
    learn(device, &model, |g, model| {
        let hidden = model.forward(g, &ids(), &LENGTHS)?;
        // Padding means nothing.
        let rows = (0..BATCH * TOKENS).filter(|at| at % TOKENS < LENGTHS[at / TOKENS]);
        let told = ops::gather_rows(g, &hidden, &rows.collect::<Vec<_>>())?;
        let wanted = trainings::random(told.rows() * told.columns(), "wanted");
        let wanted = g.constant(wanted, told.shape())?;
        ops::mean_all(g, &ops::square(g, &ops::sub(g, &told, &wanted)?)?)
    })
}

fn sasrec<D: Backend>(device: &D) -> Result<Parts, NnError> {
    let config = SasrecConfig {
        items: 20,
        width: 16,
        blocks: 2,
        heads: 2,
        max_length: 8,
        dropout: 0.2,
        init_std: 0.2,
    };
    let model = Sasrec::new(device, &config, Seed::new(2))?;
    learn(device, &model, |g, model| {
        let histories: [&[u32]; 3] = [&[1, 5, 7, 2], &[4], &[9, 8, 7, 6, 5]];
        let padded = Padded::new(&histories, config.max_length);
        let rows: Vec<usize> = padded
            .lengths()
            .flat_map(|(start, n)| start..start + n)
            .collect();
        let targets: Vec<Option<u32>> = (0..rows.len() as u32).map(Some).collect();
        let scores = model.scores(g, &model.vectors(g, &padded, &rows)?)?;
        ops::cross_entropy(g, &scores, &targets, 0.0)
    })
}

pub(super) fn compare<R: Backend, C: Backend>(
    reference: &Side<'_, R>,
    candidate: &Side<'_, C>,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Vec<Difference>, NnError> {
    let (ours, theirs) = (models::<R>(), models::<C>());
    let mut found = Vec::new();
    for (done, ((name, a), (_, b))) in ours.iter().zip(&theirs).enumerate() {
        progress.tick("model", done as u64, ours.len() as u64)?;
        let expected = reference.run(a)?;
        let got = candidate.run(b)?;
        found.push(difference(name, &expected, &got, limits.model));
    }
    Ok(found)
}
