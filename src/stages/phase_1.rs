//! Phase 1: a Q-Former learns what an item, its text and its neighbours have in common.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::formats::tensors::{self, Array};
use crate::nn::models::qformer::{
    ItemBatch, ItemText, Loss, LossWeights, PairLoss, PairSet, Phase1, Phase1Config, Phase1Data,
    Pooling, Qformer, QformerConfig, TokenTable,
};
use crate::nn::training::{Metric, TrainConfig, train};
use crate::nn::{Backend, Graph, count};
use dfdx::tensor::Cpu;
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::Tokenizer;

/// Trains a Q-Former on items, texts and pairs.
///
/// Every step adds the losses of one batch of item-text pairs, one of item-item pairs and one of user-item pairs, of those whose
/// losses are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phase1Stage {
    /// The losses to train with: any of `itc`, `itm`, `itg`, `iic`, `uic`. Default: all but `uic`, which needs user vectors (the ILM paper's
    /// setting for conversations).
    pub losses: Vec<Loss>,
    /// What each loss is multiplied by, at least 0. Default: 1 each (BLIP-2).
    pub loss_weights: LossWeights,
    /// Learned query vectors: the soft tokens of an item. At least 1. Default: 8 (ILM).
    pub query_tokens: usize,
    /// Width of the hidden states. Default: 128 (BERT: 768; sized for two cores).
    pub d_model: usize,
    /// Transformer layers. Default: 4 (ILM v1: 8; sized for two cores).
    pub layers: usize,
    /// Attention heads; must divide `d_model`. Default: 4.
    pub heads: usize,
    /// Width inside a feed-forward block, as a multiple of `d_model`. Default: 4 (BERT).
    pub ff_multiple: usize,
    /// Every how many layers queries read the item, from the first. Default: 2 (BLIP-2).
    pub cross_attention_every: usize,
    /// Longest text in tokens, its two special tokens included; the rest is cut off. Default: 32 (BLIP-2).
    pub max_text_tokens: usize,
    /// Width of the space in which items and texts are compared. Default: 64 (BLIP-2: 256).
    pub projection: usize,
    /// Probability of dropping a hidden value in training, from 0 to below 1. Default: 0.1 (BERT).
    pub dropout: f32,
    /// Standard deviation of the initial weights. Default: 0.02 (BERT).
    pub init_std: f32,
    /// Start of ITC's learned temperature. Default: 0.07 (BLIP-2).
    pub temperature: f32,
    /// Label smoothing of ITC, from 0 to below 1. Default: 0.1 (BLIP-2).
    pub label_smoothing: f32,
    /// Label smoothing of ITG, from 0 to below 1. Default: 0: the paper reports a training loss of 0.0000, which BLIP-2's 0.1 cannot reach.
    pub itg_label_smoothing: f32,
    /// `margin`: Eq. 2 of the paper; `info-nce`: softmax over the batch. For `iic` and `uic`. Default: `margin`.
    pub item_item_loss: PairLoss,
    /// How the query outputs of an item become one vector for `iic` and `uic`: `mean`, `first` or `max-pair`. Default: `mean`.
    pub pooling: Pooling,
    /// m of Eq. 2, the distance that unrelated items should keep; vectors have unit length, so above 0 and at most 2. Default: 1 (the
    /// paper is silent).
    pub margin: f32,
    /// Negatives of a pair that come from its batch, for `margin`. Default: 4.
    pub in_batch_negatives: usize,
    /// Negatives of a pair drawn from the whole catalogue. Default: 1.
    pub sampled_negatives: usize,
    /// Divides similarities in `info-nce`. Above 0. Default: 0.07 (CLIP's start).
    pub pair_temperature: f32,
    /// Item-text pairs of a step. At least 2. Default: 32.
    pub batch: usize,
    /// Item-item or user-item pairs of a step. At least 2. Default: 64.
    pub pair_batch: usize,
    /// Training steps. Default: 150.
    pub steps: u64,
    /// Peak of the learning rate, above 0. Default: 1e-3 (BLIP-2: 1e-4 for a model 60 times as large).
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from 0; at most `steps`. Default: 15.
    pub warmup_steps: u64,
    /// The learning rate at the end of the cosine, as a share of its peak. Default: 0.1 (BLIP-2: 1e-5 of 1e-4).
    pub min_lr_ratio: f64,
    /// AdamW's weight decay, on matrices only. Default: 0.05 (BLIP-2).
    pub weight_decay: f64,
    /// Longest gradient; 0 turns clipping off. Default: 1.
    pub clip_norm: f64,
    /// Steps between evaluations on the held-out examples, besides the start and the end; 0: only those. Default: 50.
    pub eval_every: u64,
    /// Held-out examples of each kind in an evaluation, at most. Default: 512.
    pub eval_examples: usize,
    /// Steps between logged means of the training losses. Default: 5.
    pub log_every: u64,
    /// Steps between checkpoints, from which a killed run continues; 0: only when asked to stop. Default: 25.
    pub checkpoint_every: u64,
}

impl Default for Phase1Stage {
    fn default() -> Self {
        Self {
            losses: vec![Loss::Itc, Loss::Itm, Loss::Itg, Loss::Iic],
            loss_weights: LossWeights::default(),
            query_tokens: 8,
            d_model: 128,
            layers: 4,
            heads: 4,
            ff_multiple: 4,
            cross_attention_every: 2,
            max_text_tokens: 32,
            projection: 64,
            dropout: 0.1,
            init_std: 0.02,
            temperature: 0.07,
            label_smoothing: 0.1,
            itg_label_smoothing: 0.0,
            item_item_loss: PairLoss::Margin,
            pooling: Pooling::Mean,
            margin: 1.0,
            in_batch_negatives: 4,
            sampled_negatives: 1,
            pair_temperature: 0.07,
            batch: 32,
            pair_batch: 64,
            steps: 150,
            learning_rate: 1e-3,
            warmup_steps: 15,
            min_lr_ratio: 0.1,
            weight_decay: 0.05,
            clip_norm: 1.0,
            eval_every: 50,
            eval_examples: 512,
            log_every: 5,
            checkpoint_every: 25,
        }
    }
}

impl Stage for Phase1Stage {
    const NAME: &'static str = "phase-1";
    const ABOUT: &'static str = "trains a Q-Former on items, their texts and their neighbours";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[
        Port::one("items", &[ArtifactKind::ItemTokens]),
        Port::one("pairs", &[ArtifactKind::Pairs]),
        Port::one("tokenizer", &[ArtifactKind::Tokenizer]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Qformer;
    const SEEDED: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.losses.is_empty() {
            found.push(Problem::new(
                "losses",
                "is empty, but must name at least one loss",
            ));
        }
        for (index, loss) in self.losses.iter().enumerate() {
            if self.losses[..index].contains(loss) {
                let message = format!("names `{}` twice", loss.name());
                found.push(Problem::new("losses", message));
            }
            let weight = self.loss_weights.of(*loss);
            if !(weight >= 0.0 && weight.is_finite()) {
                let field = format!("loss_weights.{}", loss.name());
                found.push(Problem::new(
                    field,
                    format!("is {weight}, but must be at least 0 and finite"),
                ));
            }
        }
        // The model checks its own sizes; what comes from the inputs is taken as right here.
        for (field, message) in self.model(1, 1).problems() {
            let field = match field {
                "queries" => "query_tokens",
                "d_ff" => "ff_multiple",
                other => other,
            };
            found.push(Problem::new(field, message));
        }
        for (field, value) in [
            ("label_smoothing", self.label_smoothing),
            ("itg_label_smoothing", self.itg_label_smoothing),
        ] {
            if !(0.0..1.0).contains(&value) {
                let message = format!("is {value}, but must be from 0 to below 1");
                found.push(Problem::new(field, message));
            }
        }
        if !(self.margin > 0.0 && self.margin <= 2.0) {
            let message = format!("is {}, but must be above 0 and at most 2", self.margin);
            found.push(Problem::new("margin", message));
        }
        if self.in_batch_negatives + self.sampled_negatives == 0 {
            found.push(Problem::new(
                "in_batch_negatives",
                "and `sampled_negatives` are both 0, but a pair needs at least one negative",
            ));
        }
        found.extend(Problem::above(
            "pair_temperature",
            self.pair_temperature,
            0.0,
        ));
        found.extend(Problem::at_least("batch", self.batch, 2));
        found.extend(Problem::at_least("pair_batch", self.pair_batch, 2));
        for (field, message) in self.training().problems() {
            found.push(Problem::new(field, message));
        }
        found.extend(Problem::at_least("eval_examples", self.eval_examples, 1));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        if context.device != "cpu" {
            return Err(StageError::message(format!(
                "`{}` is not a device of this build, which has `cpu`",
                context.device
            )));
        }
        self.run_on(&Cpu::default(), context)
    }
}

impl Phase1Stage {
    /// The sizes of the model for item tokens of width `d_item` and a tokenizer of `vocab` entries.
    fn model(&self, d_item: usize, vocab: usize) -> QformerConfig {
        QformerConfig {
            d_model: self.d_model,
            layers: self.layers,
            heads: self.heads,
            d_ff: self.ff_multiple * self.d_model,
            queries: self.query_tokens,
            cross_attention_every: self.cross_attention_every,
            d_item,
            vocab,
            max_text_tokens: self.max_text_tokens,
            projection: self.projection,
            dropout: self.dropout,
            init_std: self.init_std,
            temperature: self.temperature,
            ..QformerConfig::default()
        }
    }

    fn training(&self) -> TrainConfig {
        TrainConfig {
            steps: self.steps,
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            min_lr_ratio: self.min_lr_ratio,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            eval_every: self.eval_every,
            log_every: self.log_every,
            checkpoint_every: self.checkpoint_every,
            ..TrainConfig::default()
        }
    }

    fn objective(&self) -> Phase1Config {
        Phase1Config {
            losses: self.losses.clone(),
            weights: self.loss_weights,
            batch: self.batch,
            pair_batch: self.pair_batch,
            itc_smoothing: self.label_smoothing,
            itg_smoothing: self.itg_label_smoothing,
            pair_loss: self.item_item_loss,
            pooling: self.pooling,
            margin: self.margin,
            in_batch_negatives: self.in_batch_negatives,
            sampled_negatives: self.sampled_negatives,
            pair_temperature: self.pair_temperature,
            eval_examples: self.eval_examples,
        }
    }

    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let tokenizer = TextReader::open(
            &context.input("tokenizer")?.file("tokenizer.json"),
            self.max_text_tokens,
        )?;
        let data = read_data(context, &tokenizer)?;
        let config = self.model(data.items.width, tokenizer.vocab);
        let seed = context.seed;
        let mut model = Qformer::new(&config, device, seed.child("model"))?;
        let phase1 = Phase1::new(data, self.objective(), &config, seed.child("examples"))?;
        let data = phase1.data();
        context.progress.note(&format!(
            "{} items, {} texts ({} held out), {} item pairs ({} held out), {} user pairs ({} held out)",
            data.items.count,
            data.texts.len(),
            data.text_indices(true).len(),
            data.item_item.train().len() + data.item_item.held_out().len(),
            data.item_item.held_out().len(),
            data.user_item.train().len() + data.user_item.held_out().len(),
            data.user_item.held_out().len(),
        ))?;

        let trained = train(
            &phase1,
            &mut model,
            &self.training(),
            seed.child("training"),
            device,
            &context.scratch,
            context.progress,
        )?;
        model.save(&context.output)?;
        let mut metrics = trained.metrics;
        let constants = phase1.constants(&model, device)?;
        for (loss, value) in &constants {
            let name = format!("constant.{}", loss.name());
            context.progress.metric(0, &name, *value)?;
            metrics.push(Metric {
                step: 0,
                name,
                value: *value,
            });
        }
        json::write_lines(&context.out("metrics.jsonl"), &metrics)?;
        write_outputs(
            &context.out("query_outputs.safetensors"),
            &model,
            phase1.data(),
            device,
        )?;
        json::write(
            &context.out("summary.json"),
            &summary(phase1.data(), &model, &metrics, &constants),
        )?;
        Ok(())
    }
}

/// The pooled-by-nobody outputs of the queries for every item: `items` `[I, Q, d]`.
fn write_outputs<D: Backend>(
    path: &Path,
    model: &Qformer<D>,
    data: &Phase1Data,
    device: &D,
) -> Result<(), StageError> {
    const AT_ONCE: usize = 256;
    let all: Vec<u32> = (0..data.items.count as u32).collect();
    let mut outputs = Vec::new();
    for some in all.chunks(AT_ONCE) {
        let items = ItemBatch::new(device, &data.items, some)?;
        outputs.extend(
            model
                .items
                .forward(&Graph::inference(device), &items)?
                .to_vec(),
        );
    }
    let config = model.config();
    let array = Array::new(&[all.len(), config.queries, config.d_model], outputs);
    tensors::write(path, &BTreeMap::from([("items".to_owned(), array)]))?;
    Ok(())
}

/// The numbers that people see of the artifact.
fn summary<D: Backend>(
    data: &Phase1Data,
    model: &Qformer<D>,
    metrics: &[Metric],
    constants: &[(Loss, f64)],
) -> BTreeMap<String, serde_json::Value> {
    let mut found = BTreeMap::new();
    let mut put = |name: &str, value: serde_json::Value| found.insert(name.to_owned(), value);
    put("parameters", count(model).0.into());
    put("items", data.items.count.into());
    put("tokens_per_item", data.items.tokens.into());
    put("texts_train", data.text_indices(false).len().into());
    put("texts_held_out", data.text_indices(true).len().into());
    put("item_item_train", data.item_item.train().len().into());
    put("item_item_held_out", data.item_item.held_out().len().into());
    put("user_item_train", data.user_item.train().len().into());
    put("user_item_held_out", data.user_item.held_out().len().into());
    for (loss, constant) in constants {
        let name = loss.name();
        let logged = format!("eval.{name}");
        let mut values = metrics.iter().filter(|m| m.name == logged).map(|m| m.value);
        if let Some(first) = values.next() {
            put(&format!("{name}_start"), first.into());
            put(
                &format!("{name}_end"),
                values.last().unwrap_or(first).into(),
            );
            put(&format!("{name}_constant"), (*constant).into());
        }
    }
    found
}

fn read_data(context: &StageContext<'_>, texts: &TextReader) -> Result<Phase1Data, StageError> {
    let items = context.input("items")?.file("item_tokens.safetensors");
    let mut arrays = tensors::read(&items)?;
    let mut table = |name: &str| -> Result<Option<TokenTable>, StageError> {
        let Some(array) = arrays.remove(name) else {
            return Ok(None);
        };
        let [count, tokens, width] = array.shape[..] else {
            return Err(StageError::message(format!(
                "`{}`: `{name}` has the shape {:?}, but must have 3 axes",
                items.display(),
                array.shape
            )));
        };
        Ok(Some(TokenTable {
            count,
            tokens,
            width,
            data: array.data,
        }))
    };
    let vectors = table("items")?.ok_or_else(|| {
        StageError::message(format!("`{}`: has no array `items`", items.display()))
    })?;
    let users = table("users")?.unwrap_or(TokenTable {
        count: 0,
        tokens: 1,
        width: vectors.width,
        data: Vec::new(),
    });
    let pairs = context.input("pairs")?;
    let mut described = Vec::new();
    for line in json::read_lines::<TextLine>(&pairs.file("item_text.jsonl"))? {
        described.push(ItemText {
            item: line.item,
            tokens: texts.tokens(&line.text)?,
            held_out: line.held_out,
        });
    }
    Ok(Phase1Data::new(
        vectors,
        users,
        described,
        read_pairs(&pairs.file("item_item.parquet"))?,
        read_pairs(&pairs.file("user_item.parquet"))?,
        texts.pad,
        texts.dec,
    )?)
}

/// A line of `item_text.jsonl`.
#[derive(Debug, Deserialize)]
struct TextLine {
    item: u32,
    text: String,
    held_out: bool,
}

/// Reads the columns `left`, `right` and `held_out`.
fn read_pairs(path: &Path) -> Result<PairSet, StageError> {
    let frame = ParquetReader::new(fs_err::File::open(path)?.into_parts().0)
        .finish()
        .map_err(|error| StageError::message(format!("`{}`: {error}", path.display())))?;
    let wrong = |name: &str, kind: &str| {
        let text = format!(
            "`{}`: must have a column `{name}` of {kind} without nulls",
            path.display()
        );
        StageError::message(text)
    };
    let numbers = |frame: &DataFrame, name: &str| -> Result<Vec<u32>, StageError> {
        let column = frame.column(name).map_err(|_| wrong(name, "u32"))?;
        let column = column.u32().map_err(|_| wrong(name, "u32"))?;
        column
            .iter()
            .map(|x| x.ok_or_else(|| wrong(name, "u32")))
            .collect()
    };
    let (left, right) = (numbers(&frame, "left")?, numbers(&frame, "right")?);
    let held_out = frame
        .column("held_out")
        .map_err(|_| wrong("held_out", "bool"))?;
    let held_out = held_out.bool().map_err(|_| wrong("held_out", "bool"))?;
    let mut pairs = Vec::with_capacity(left.len());
    for ((left, right), held_out) in left.into_iter().zip(right).zip(held_out.iter()) {
        pairs.push((
            left,
            right,
            held_out.ok_or_else(|| wrong("held_out", "bool"))?,
        ));
    }
    Ok(PairSet::new(pairs))
}

/// Turns texts into ids with the special tokens that phase 1 needs.
struct TextReader {
    tokenizer: Tokenizer,
    vocab: usize,
    limit: usize,
    pad: u32,
    dec: u32,
    cls: u32,
    eos: u32,
}

impl TextReader {
    fn open(path: &Path, limit: usize) -> Result<Self, StageError> {
        let wrong = |what: &dyn std::fmt::Display| {
            StageError::message(format!("`{}`: {what}", path.display()))
        };
        let mut tokenizer = Tokenizer::from_file(path).map_err(|error| wrong(&error))?;
        // A tokenizer file may carry its own truncation and padding, which would end up in the texts.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| wrong(&error))?;
        let special = |name: &str| {
            tokenizer
                .token_to_id(name)
                .ok_or_else(|| wrong(&format!("has no token `{name}`")))
        };
        Ok(Self {
            vocab: tokenizer.get_vocab_size(true),
            limit,
            pad: special("<pad>")?,
            dec: special("<dec>")?,
            cls: special("<cls>")?,
            eos: special("<eos>")?,
            tokenizer,
        })
    }

    /// `<cls>`, as much of the text as fits, `<eos>`.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, StageError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| StageError::message(error.to_string()))?;
        let body = encoding.get_ids();
        let body = &body[..body.len().min(self.limit - 2)];
        Ok([&[self.cls], body, &[self.eos]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::seed::Seed;
    use crate::stages::InputArtifact;
    use polars::prelude::{NamedFrom as _, ParquetWriter, Series};
    use serde_json::json;

    fn small() -> Phase1Stage {
        Phase1Stage {
            losses: Loss::ALL.to_vec(),
            d_model: 16,
            layers: 2,
            heads: 2,
            query_tokens: 3,
            projection: 8,
            steps: 4,
            warmup_steps: 1,
            eval_every: 2,
            log_every: 1,
            batch: 6,
            pair_batch: 5,
            ..Phase1Stage::default()
        }
    }

    /// Writes a catalogue of ten items into `folder` as the stages before this one do.
    fn inputs(folder: &Path) {
        let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let arrays = BTreeMap::from([
            ("items".to_owned(), Array::new(&[10, 2, 4], wave(80))),
            ("users".to_owned(), Array::new(&[4, 1, 4], wave(16))),
        ]);
        tensors::write(&folder.join("item_tokens.safetensors"), &arrays).expect("writable");
        let words = ["red", "green", "blue", "old", "new"];
        let lines = (0..10usize).map(|item| {
            let text = format!("{} {}", words[item % 3], words[3 + item % 2]);
            json!({"item": item, "text": text, "held_out": item % 5 == 0})
        });
        json::write_lines(&folder.join("item_text.jsonl"), lines).expect("writable");
        for (name, lefts) in [("item_item", 10), ("user_item", 4)] {
            let left: Vec<u32> = (0..30).map(|i| i % lefts).collect();
            let right: Vec<u32> = (0..30).map(|i| (i * 7 + 3) % 10).collect();
            let held_out: Vec<bool> = (0..30).map(|i| i % 6 == 0).collect();
            let columns = vec![
                Series::new("left".into(), left).into(),
                Series::new("right".into(), right).into(),
                Series::new("held_out".into(), held_out).into(),
            ];
            let mut frame = DataFrame::new(30, columns).expect("equal heights");
            let file = fs_err::File::create(folder.join(format!("{name}.parquet")));
            ParquetWriter::new(file.expect("writable"))
                .finish(&mut frame)
                .expect("writable");
        }
        let vocab: serde_json::Map<_, _> = ["<pad>", "<bos>", "<eos>", "<item>", "<dec>", "<cls>"]
            .iter()
            .chain(&words)
            .enumerate()
            .map(|(id, word)| ((*word).to_owned(), id.into()))
            .collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<pad>"}
        });
        json::write(&folder.join("tokenizer.json"), &tokenizer).expect("writable");
    }

    fn run(stage: &Phase1Stage, inputs: &Path) -> Result<tempfile::TempDir, StageError> {
        let made = tempfile::tempdir().expect("a temporary folder");
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let artifact = |kind| InputArtifact {
            stage: "before".to_owned(),
            matrix: BTreeMap::new(),
            kind,
            folder: inputs.to_owned(),
        };
        let context = StageContext {
            inputs: BTreeMap::from([
                ("items".to_owned(), vec![artifact(ArtifactKind::ItemTokens)]),
                ("pairs".to_owned(), vec![artifact(ArtifactKind::Pairs)]),
                ("tokenizer".to_owned(), vec![artifact(ArtifactKind::Tokenizer)]),
            ]),
            project: inputs.to_owned(),
            output: made.path().to_owned(),
            scratch: scratch.path().to_owned(),
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress: &Silent,
        };
        stage.run(&context)?;
        Ok(made)
    }

    #[test]
    fn the_artifact_is_whole_and_the_same_every_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        inputs(folder.path());
        let made = run(&small(), folder.path()).expect("trains");
        let model = Qformer::load(made.path(), &Cpu::default()).expect("loads");
        assert_eq!((model.config().d_item, model.config().vocab), (4, 11));
        let outputs = made.path().join("query_outputs.safetensors");
        let outputs = tensors::read_one(&outputs, "items", 3).expect("is there");
        assert_eq!(outputs.shape, [10, 3, 16]);
        let summary: BTreeMap<String, serde_json::Value> =
            json::read(&made.path().join("summary.json")).expect("is there");
        insta::assert_snapshot!(summary.keys().cloned().collect::<Vec<_>>().join(" "));
        assert_eq!(summary["texts_held_out"], 2);
        let metrics: Vec<Metric> =
            json::read_lines(&made.path().join("metrics.jsonl")).expect("is there");
        let starts_middle_end = metrics.iter().filter(|m| m.name == "eval.itg").count();
        assert_eq!(starts_middle_end, 3);

        let again = run(&small(), folder.path()).expect("trains");
        for file in ["model.safetensors", "metrics.jsonl", "query_outputs.safetensors"] {
            let bytes = |made: &tempfile::TempDir| fs_err::read(made.path().join(file)).expect("is there");
            assert!(bytes(&made) == bytes(&again), "`{file}`");
        }
    }

    #[test]
    fn what_is_wrong_with_the_inputs_is_said() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let failure = || {
            let text = run(&small(), path).err().expect("fails").chain();
            text.replace(&path.display().to_string(), "…")
        };
        let mut said = Vec::new();
        inputs(path);
        let broken = r#"{"item":0,"text":"red"}"#;
        fs_err::write(path.join("item_text.jsonl"), broken).expect("writable");
        said.push(failure());
        inputs(path);
        fs_err::write(path.join("item_item.parquet"), "no parquet").expect("writable");
        said.push(failure());
        inputs(path);
        let line = r#"{"item":99,"text":"red","held_out":false}"#;
        fs_err::write(path.join("item_text.jsonl"), line).expect("writable");
        said.push(failure());
        inputs(path);
        fs_err::write(path.join("item_text.jsonl"), "").expect("writable");
        said.push(failure());
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn senseless_parameters_are_all_named() {
        let stage = Phase1Stage {
            losses: vec![],
            query_tokens: 0,
            heads: 3,
            learning_rate: -1e-3,
            dropout: 1.0,
            margin: 0.0,
            batch: 1,
            steps: 0,
            warmup_steps: 0,
            pair_temperature: f32::NAN,
            ..Phase1Stage::default()
        };
        let said: Vec<String> = Stage::problems(&stage)
            .into_iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
        assert_eq!(Stage::problems(&Phase1Stage::default()), []);
    }
}
