//! Phase 1: a Q-Former learns what an item, its text and its neighbours have in common.

mod inputs;

use super::device::on_device;
use super::training::{Recipe, Training, smoothing_problem, write_metrics};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::formats::tensors::{self, Array};
use crate::nn::models::qformer::{
    ItemBatch, Loss, LossWeights, PairLoss, Phase1, Phase1Config, Phase1Data, Pooling, Qformer,
    QformerConfig,
};
use crate::nn::training::{Metric, Trained, train};
use crate::nn::{Backend, Graph, count};
use crate::text::Tokenizer;
use inputs::read_data;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Trains a Q-Former on items, texts and pairs.
///
/// With the port `text_init` (a `pretrained-encoder` of BERT's kind, for instance MiniLM) everything that BERT has starts from its weights, as in
/// BLIP-2; `tokenizer` must then be the same stage, and `d_model`, `heads` and `ff_multiple` those of the encoder.
///
/// Every step adds the losses of one batch of item-text pairs, one of item-item pairs and one of user-item pairs, of those whose
/// losses are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    pub dropout: f64,
    /// Standard deviation of the initial weights, above 0. Default: 0.07. (BERT has 0.02 at width 768; at width 128 losses leave their plateau
    /// two to three times as late with that.)
    pub init_std: f64,
    /// Start of ITC's learned temperature. Default: 0.07 (BLIP-2).
    pub temperature: f64,
    /// Label smoothing of ITC, from 0 to below 1. Default: 0.1 (BLIP-2).
    pub label_smoothing: f64,
    /// Label smoothing of ITG, from 0 to below 1. Default: 0: the paper reports a training loss of 0.0000, which BLIP-2's 0.1 cannot reach.
    pub itg_label_smoothing: f64,
    /// `margin`: Eq. 2 of the paper; `info-nce`: softmax over the batch. For `iic` and `uic`. Default: `margin`.
    pub item_item_loss: PairLoss,
    /// How the query outputs of an item become one vector for `iic` and `uic`: `mean`, `first` or `max-pair`. Default: `mean`.
    pub pooling: Pooling,
    /// m of Eq. 2, the distance that unrelated items should keep; vectors have unit length, so above 0 and at most 2. Default: 1 (the
    /// paper is silent).
    pub margin: f64,
    /// Negatives of a pair that come from its batch, for `margin`. Default: 4.
    pub in_batch_negatives: usize,
    /// Negatives of a pair drawn from the whole catalogue. Default: 1.
    pub sampled_negatives: usize,
    /// Divides similarities in `info-nce`. Above 0. Default: 0.07 (CLIP's start).
    pub pair_temperature: f64,
    /// Item-text pairs of a step. At least 2. Default: 24 (sized for two cores).
    pub batch: usize,
    /// Item-item or user-item pairs of a step. At least 2. Default: 64.
    pub pair_batch: usize,
    /// Training steps, at least 1. Default: 120 (13 passes over the demo's texts; beyond 200 matching starts to learn them by heart).
    pub steps: u64,
    /// Steps between evaluations on the held-out examples, besides the start and the end; 0: only those. Default: 40.
    pub eval_every: u64,
    /// Held-out examples of each kind in an evaluation, at most. Default: 512.
    pub eval_examples: usize,
    /// How it learns. An evaluation is judged by the weighted sum of its losses, `eval.loss`. `accumulate` takes the mean over batches of which each
    /// has its own negatives, which is not the update of one large batch.
    pub training: Training<Self>,
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
            init_std: 0.07,
            temperature: 0.07,
            label_smoothing: 0.1,
            itg_label_smoothing: 0.0,
            item_item_loss: PairLoss::Margin,
            pooling: Pooling::Mean,
            margin: 1.0,
            in_batch_negatives: 4,
            sampled_negatives: 1,
            pair_temperature: 0.07,
            batch: 24,
            pair_batch: 64,
            steps: 120,
            eval_every: 40,
            eval_examples: 512,
            training: Training::default(),
        }
    }
}

impl Recipe for Phase1Stage {
    /// BLIP-2 has a learning rate of 1e-4 for a model a hundred times as large, and this weight decay.
    fn recipe() -> Training<Self> {
        Training {
            learning_rate: 2e-3,
            weight_decay: 0.05,
            log_every: 5,
            checkpoint_every: 20,
            ..Training::common()
        }
    }
}

impl Stage for Phase1Stage {
    const NAME: &'static str = "phase-1";
    const ABOUT: &'static str = "trains a Q-Former on items, their texts and their neighbours";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("items", &[ArtifactKind::ItemTokens]),
        Port::one("pairs", &[ArtifactKind::Pairs]),
        Port::one(
            "tokenizer",
            &[ArtifactKind::Tokenizer, ArtifactKind::TextEncoder],
        ),
        Port::optional("text_init", &[ArtifactKind::TextEncoder]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Qformer;
    const SEEDED: bool = true;
    const NETWORKS: bool = true;

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
            found.extend(smoothing_problem(field, value));
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
        found.extend(self.training.problems(self.steps, self.eval_every));
        found.extend(Problem::at_least("eval_examples", self.eval_examples, 1));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        on_device!(context, self.batch, |device| self.run_on(device, context))
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
            dropout: self.dropout as f32,
            init_std: self.init_std as f32,
            temperature: self.temperature as f32,
            ..QformerConfig::default()
        }
    }

    fn objective(&self) -> Phase1Config {
        Phase1Config {
            losses: self.losses.clone(),
            weights: self.loss_weights,
            batch: self.batch,
            pair_batch: self.pair_batch,
            itc_smoothing: self.label_smoothing as f32,
            itg_smoothing: self.itg_label_smoothing as f32,
            pair_loss: self.item_item_loss,
            pooling: self.pooling,
            margin: self.margin as f32,
            in_batch_negatives: self.in_batch_negatives,
            sampled_negatives: self.sampled_negatives,
            pair_temperature: self.pair_temperature as f32,
            eval_examples: self.eval_examples,
        }
    }

    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let tokenizer = Tokenizer::load(&context.input("tokenizer")?.file("tokenizer.json"))?;
        let data = read_data(context, &tokenizer, self.max_text_tokens)?;
        let config = self.model(data.items.width, tokenizer.vocab_size());
        let seed = context.seed;
        let mut model = Qformer::new(&config, device, seed.child("model"))?;
        if let Some(encoder) = context.optional("text_init") {
            let taken = model.start_from_bert(device, &encoder.folder)?;
            context.progress.note(&format!(
                "{taken} of {} numbers start from the encoder of `{}`",
                count(&model).0,
                encoder.stage
            ))?;
        }
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

        let mut trained = train(
            &phase1,
            &mut model,
            &self.training.config(self.steps, self.eval_every),
            seed.child("training"),
            device,
            &context.scratch,
            context.progress,
        )?;
        model.save(&context.output)?;
        let constants = phase1.constants(&model, device)?;
        for (loss, value) in &constants {
            let name = format!("constant.{}", loss.name());
            context.progress.metric(0, &name, *value)?;
            trained.metrics.push(Metric {
                step: 0,
                name,
                value: *value,
            });
        }
        write_metrics(context, &trained)?;
        write_outputs(
            &context.out("query_outputs.safetensors"),
            &model,
            phase1.data(),
            device,
        )?;
        json::write(
            &context.out("summary.json"),
            &summary(phase1.data(), &model, &trained, &constants),
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
    trained: &Trained,
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
        let start = trained.metrics.iter().find(|m| m.name == logged);
        if let (Some(start), Some(end)) = (start, trained.kept(&logged)) {
            put(&format!("{name}_start"), start.value.into());
            put(&format!("{name}_end"), end.into());
            put(&format!("{name}_constant"), (*constant).into());
        }
    }
    put("training_kept_step", trained.kept.into());
    put("training_ended_by", trained.ended.name().into());
    found
}

#[cfg(test)]
mod tests;
