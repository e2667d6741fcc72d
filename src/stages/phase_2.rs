//! Phase 2: an adapter, and if wanted the language model, learns to write about items.

use super::device::on_device;
use super::language_io::{read_examples, read_items, read_tokenizer};
use super::training::{Recipe, Training, smoothing_problem, summarise, write_metrics};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::nn::models::adapter::{Adapter, AdapterConfig, NetworkConfig};
use crate::nn::models::item_language::{
    ItemLanguage, ItemLanguageConfig, Sequence, Sequencer, TaskExample, Tuning,
};
use crate::nn::models::language_model::LanguageModel;
use crate::nn::models::llama::{LoraConfig, is_lora, unit_hash};
use crate::nn::models::qformer::{Qformer, QformerConfig, TokenTable};
use crate::nn::training::{self, Ended, Metric, TrainConfig, train};
use crate::nn::{Backend, Module as _, count, weights};
use crate::progress::{Progress, Report, Stopped};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Teaches a language model to read items through an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Phase2 {
    /// The network from item vectors to soft tokens. Default: `qformer` (ILM).
    pub adapter: AdapterKind,
    /// Where a Q-Former's weights come from; an MLP always starts random. Default: `phase-1` (ILM).
    pub adapter_init: AdapterInit,
    /// Which weights learn. Default: `adapter` (ILM: the language model is frozen).
    pub train: Trained,
    /// Low-rank matrices through which the language model learns, its own weights being frozen; with `train` other than `adapter`. For instance
    /// `{ rank = 8, alpha = 16, on = ["q", "v"] }`. Of the Llama family only. Default: none, all its weights learn (ELM).
    pub lora: Option<LoraConfig>,
    /// Soft tokens that an MLP makes of an item. At least 1. Default: 1 (ELM). A Q-Former makes one for each query.
    pub mlp_tokens: usize,
    /// Width between the two layers of an MLP. Default: the width that makes the MLP as large as the Q-Former of the input
    /// `qformer` ("MLP of equal size", ILM), or 4 times the language model's width when that input is left out.
    pub mlp_hidden: Option<usize>,
    /// Steps of the first part of `adapter-then-all`, in which the adapter learns alone; `steps` more follow. At least 1. Default: 60 (ELM:
    /// 20,000 before 300,000).
    pub adapter_steps: u64,
    /// Examples of a step. At least 1. Default: 16.
    pub batch: usize,
    /// Longest sequence in tokens, soft tokens included. A longer target is cut at its end; an example whose prompt leaves no
    /// room for a target is left out; the summary counts both. At least 4. Default: 192.
    pub max_tokens: usize,
    /// Share of the training items whose examples are kept out of training and measured on, chosen by a hash of the item. From
    /// 0 to below 1. Default: 0.1.
    pub held_out: f64,
    /// Held-out examples in an evaluation, at most. Default: 256.
    pub eval_examples: usize,
    /// Training steps. At least 1. Default: 300.
    pub steps: u64,
    /// Steps between evaluations; there is one at the start and one at the end besides. Default: 100.
    pub eval_every: u64,
    /// Label smoothing of the training loss, from 0 to below 1; what is held out is measured without. Default: 0 (ILM trains on the
    /// plain likelihood).
    pub label_smoothing: f64,
    /// How it learns. Either part of `adapter-then-all` has a schedule, an optimiser and a patience of its own; the second goes on from what the first one
    /// kept.
    pub training: Training<Self>,
}

/// The network from item vectors to soft tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// Two layers over all numbers of an item (ELM).
    Mlp,
    /// Queries that read the item by cross-attention (ILM).
    Qformer,
}

/// Where a Q-Former's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterInit {
    /// From the input `qformer`.
    #[serde(rename = "phase-1")]
    Phase1,
    /// Random; only the sizes come from the input `qformer` (ILM-rand).
    Random,
}

/// Which weights learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// The adapter; the language model is frozen (ILM).
    Adapter,
    /// Adapter and language model together.
    All,
    /// First the adapter alone, then both together (ELM).
    AdapterThenAll,
}

impl Default for Phase2 {
    fn default() -> Self {
        Self {
            adapter: AdapterKind::Qformer,
            adapter_init: AdapterInit::Phase1,
            train: Trained::Adapter,
            lora: None,
            mlp_tokens: 1,
            mlp_hidden: None,
            adapter_steps: 60,
            batch: 16,
            max_tokens: 192,
            held_out: 0.1,
            eval_examples: 256,
            steps: 300,
            eval_every: 100,
            label_smoothing: 0.0,
            training: Training::default(),
        }
    }
}

impl Recipe for Phase2 {
    /// BLIP-2 has a learning rate of 1e-4 for models a hundred times as large, and this weight decay.
    fn recipe() -> Training<Self> {
        Training {
            learning_rate: 2e-3,
            weight_decay: 0.05,
            checkpoint_every: 50,
            ..Training::common()
        }
    }
}

impl Stage for Phase2 {
    const NAME: &'static str = "phase-2";
    const ABOUT: &'static str = "teaches a language model to read items through an adapter";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("items", &[ArtifactKind::ItemTokens]),
        Port::one("tasks", &[ArtifactKind::Tasks]),
        Port::one("language_model", &[ArtifactKind::LanguageModel]),
        Port::one(
            "tokenizer",
            &[ArtifactKind::Tokenizer, ArtifactKind::LanguageModel],
        ),
        Port::optional("qformer", &[ArtifactKind::Qformer]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::ItemLanguageModel;
    const SEEDED: bool = true;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if let Some(lora) = &self.lora {
            if self.train == Trained::Adapter {
                found.push(Problem::new(
                    "lora",
                    "needs `train` to be `all` or `adapter-then-all`: with `adapter` the language model learns nothing",
                ));
            }
            for (field, message) in lora.problems() {
                found.push(Problem::new(format!("lora.{field}"), message));
            }
        }
        found.extend(Problem::at_least("mlp_tokens", self.mlp_tokens, 1));
        if let Some(hidden) = self.mlp_hidden {
            found.extend(Problem::at_least("mlp_hidden", hidden, 1));
        }
        found.extend(Problem::at_least("adapter_steps", self.adapter_steps, 1));
        found.extend(Problem::at_least("batch", self.batch, 1));
        found.extend(Problem::at_least("max_tokens", self.max_tokens, 4));
        if !(0.0..1.0).contains(&self.held_out) {
            found.push(Problem::new(
                "held_out",
                format!("is {}, but must be from 0 to below 1", self.held_out),
            ));
        }
        found.extend(Problem::at_least("eval_examples", self.eval_examples, 1));
        found.extend(smoothing_problem("label_smoothing", self.label_smoothing));
        found.extend(self.training.problems(self.steps, self.eval_every));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        on_device!(context, self.batch, |device| self.run_on(device, context))
    }
}

/// Reports of a later part of a training, with steps that go on counting.
struct Shifted<'a>(&'a dyn Progress, u64);

impl Progress for Shifted<'_> {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        self.0.report(match report {
            Report::Metric { step, name, value } => Report::Metric {
                step: step + self.1,
                name,
                value,
            },
            other => other,
        })
    }
}

impl Phase2 {
    /// The settings of a part of `steps` steps; one that is shorter than the rise only rises.
    fn training(&self, steps: u64) -> TrainConfig {
        let config = self.training.config(steps, self.eval_every);
        TrainConfig {
            warmup_steps: config.warmup_steps.min(steps),
            ..config
        }
    }

    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let table = read_items(context)?;
        let mut language = LanguageModel::load(device, &context.input("language_model")?.folder)?;
        let (mut adapter, equal_size) = self.make_adapter(device, context, &table, &language)?;
        adapter.scale_output_to(device, &table, language.embedding_rms())?;

        let tokenizer = read_tokenizer(context)?;
        let sequencer = Sequencer::new(&tokenizer, adapter.soft_tokens(), table.count)
            .apart(language.reads_prompts_apart());
        let examples = read_examples(context, "train.jsonl")?;
        let made = sequencer.training(&examples, self.max_tokens)?;
        let (training, names, held_out) = self.split(&examples, made.sequences, &made.examples);
        context.progress.note(&format!(
            "{} examples, {} held out; {} targets cut and {} examples left out at {} tokens",
            training.len(),
            held_out.len(),
            made.truncated,
            made.dropped,
            self.max_tokens
        ))?;
        let longest = training.iter().map(|s| s.ids.len()).max().unwrap_or(0);
        if let Some(limit) = language.limit().filter(|&limit| longest > limit) {
            return Err(StageError::message(format!(
                "the longest example has {longest} tokens, but the language model reads {limit} at most: set `max_tokens` to {limit}"
            )));
        }
        if let Some(seen) = language.context().filter(|&seen| longest > seen) {
            context.progress.warn(&format!(
                "the longest example has {longest} tokens, but the language model was trained on {seen}"
            ))?;
        }
        let tuning = Tuning::new(&training, &held_out, &table, self.batch)?
            .smoothed(self.label_smoothing as f32)
            .named(names);
        if let Some(lora) = &self.lora {
            language.add_lora(device, lora, context.seed.child("lora"))?;
        }
        let mut model = ItemLanguage { adapter, language };
        let trained = self.tune(device, context, &tuning, &mut model)?;

        let tuned = self.train != Trained::Adapter;
        json::write(
            &context.out("config.json"),
            &ItemLanguageConfig {
                adapter: model.adapter.config().clone(),
                language_model_tuned: tuned && self.lora.is_none(),
                lora: self.lora.is_some(),
            },
        )?;
        weights::save(&model.adapter, &context.out("adapter.safetensors"))?;
        if let Some(lora) = &self.lora {
            model.language.save_lora(lora, &context.out("lora"))?;
        } else if tuned {
            weights::save(&model.language, &context.out("language_model.safetensors"))?;
        }
        write_metrics(context, &trained)?;

        let mut summary: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        let mut put = |name: &str, value: usize| summary.insert(name.to_owned(), value.into());
        put("examples", training.len());
        put("held_out_examples", held_out.len());
        put("truncated_targets", made.truncated);
        put("dropped_examples", made.dropped);
        put("soft_tokens", model.adapter.soft_tokens());
        put("adapter_parameters", model.adapter.parameters());
        if let Some(parameters) = equal_size {
            put("qformer_adapter_parameters", parameters);
        }
        let mut low_rank = 0;
        model.language.visit("", &mut |name, param| {
            if is_lora(name) {
                low_rank += param.value.rows() * param.value.columns();
            }
        });
        put(
            "language_model_parameters",
            count(&model.language).0 - low_rank,
        );
        if self.lora.is_some() {
            put("lora_parameters", low_rank);
        }
        put("trained_parameters", count(&model).1);
        summarise(&trained, &mut summary);
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }

    /// Makes the adapter, and counts the numbers of the Q-Former adapter of the same pipeline where its sizes are known.
    fn make_adapter<D: Backend>(
        &self,
        device: &D,
        context: &StageContext<'_>,
        table: &TokenTable,
        language: &LanguageModel<D>,
    ) -> Result<(Adapter<D>, Option<usize>), StageError> {
        let seed = context.seed.child("adapter");
        let d_language = language.width();
        let qformer = context.optional("qformer");
        let with = |network| AdapterConfig {
            network,
            item_tokens: table.tokens,
            d_item: table.width,
            d_language,
            output_scale: 1.0,
        };
        let sizes: Option<QformerConfig> = qformer
            .map(|artifact| json::read(&artifact.file("config.json")))
            .transpose()?;
        let random = |config: QformerConfig| {
            Adapter::new(device, &with(NetworkConfig::Qformer(config)), seed)
        };
        match self.adapter {
            AdapterKind::Mlp => {
                let equal_size = sizes
                    .map(|config| random(config).map(|adapter| adapter.parameters()))
                    .transpose()?;
                let mut config = with(NetworkConfig::Mlp {
                    hidden: 4 * d_language,
                    soft_tokens: self.mlp_tokens,
                });
                let matching = equal_size.map(|n| config.matching_hidden(n, self.mlp_tokens));
                if let Some(hidden) = self.mlp_hidden.or(matching) {
                    config.network = NetworkConfig::Mlp {
                        hidden,
                        soft_tokens: self.mlp_tokens,
                    };
                }
                Ok((Adapter::new(device, &config, seed)?, equal_size))
            }
            AdapterKind::Qformer => {
                let (Some(artifact), Some(config)) = (qformer, sizes) else {
                    return Err(StageError::message(
                        "the input `qformer` is missing: `adapter = \"qformer\"` takes its weights from it, and with \
                         `adapter_init = \"random\"` its sizes",
                    ));
                };
                let adapter = match self.adapter_init {
                    AdapterInit::Random => random(config)?,
                    AdapterInit::Phase1 => {
                        let trained = Qformer::load(&artifact.folder, device)?;
                        Adapter::from_queries(
                            device,
                            trained.items,
                            table.tokens,
                            d_language,
                            seed,
                        )?
                    }
                };
                let parameters = adapter.parameters();
                Ok((adapter, Some(parameters)))
            }
        }
    }

    /// Trains in one part or two; the second part of `adapter-then-all` starts from the first one's end with a fresh optimiser.
    fn tune<D: Backend>(
        &self,
        device: &D,
        context: &StageContext<'_>,
        tuning: &Tuning<'_>,
        model: &mut ItemLanguage<D>,
    ) -> Result<training::Trained, StageError> {
        let parts: &[(&str, bool, u64)] = match self.train {
            Trained::Adapter => &[("adapter", false, self.steps)],
            Trained::All => &[("all", true, self.steps)],
            Trained::AdapterThenAll => &[
                ("adapter", false, self.adapter_steps),
                ("all", true, self.steps),
            ],
        };
        let mut all = training::Trained {
            metrics: Vec::new(),
            steps: 0,
            kept: 0,
            ended: Ended::Steps,
        };
        for &(name, tuned, steps) in parts {
            let scratch = context.scratch.join(name);
            fs_err::create_dir_all(&scratch)?;
            model.tune_language(tuned);
            let trained = train(
                tuning,
                model,
                &self.training(steps),
                context.seed.child("training").child(name),
                device,
                &scratch,
                &Shifted(context.progress, all.steps),
            )?;
            let before = all.steps;
            all.metrics
                .extend(trained.metrics.into_iter().map(|metric| Metric {
                    step: metric.step + before,
                    ..metric
                }));
            all.steps += trained.steps;
            all.kept = before + trained.kept;
            all.ended = trained.ended;
        }
        Ok(all)
    }

    /// Splits sequences into those to learn from and those to measure on. An example is held out when any of its items is, so
    /// that training sees nothing of a held-out item. Those to learn from come with a name each.
    fn split(
        &self,
        examples: &[TaskExample],
        sequences: Vec<Sequence>,
        positions: &[usize],
    ) -> (Vec<Sequence>, Vec<String>, Vec<Sequence>) {
        let hash = |item: u32| unit_hash("ilm-pipe held-out item v1", &item.to_le_bytes());
        let (mut training, mut names, mut held_out) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, &position) in sequences.into_iter().zip(positions) {
            let example = &examples[position];
            if example.items.iter().any(|&item| hash(item) < self.held_out) {
                let order = unit_hash(
                    "ilm-pipe evaluation order v1",
                    format!("{} {:?} {}", example.task, example.items, example.prompt).as_bytes(),
                );
                held_out.push((order, sequence));
            } else {
                training.push(sequence);
                let items: Vec<String> = example.items.iter().map(u32::to_string).collect();
                names.push(match items.as_slice() {
                    [] => format!("`{}`", example.task),
                    [one] => format!("`{}` of item {one}", example.task),
                    several => format!("`{}` of items {}", example.task, several.join(", ")),
                });
            }
        }
        held_out.sort_by(|a, b| a.0.total_cmp(&b.0));
        held_out.truncate(self.eval_examples);
        (
            training,
            names,
            held_out.into_iter().map(|(_, s)| s).collect(),
        )
    }
}
