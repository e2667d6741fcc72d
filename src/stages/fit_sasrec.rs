//! `fit-sasrec`: a network that predicts the next item from those before.

use super::baselines::FIT_PORTS;
use super::device::on_device;
use super::training::{Recipe, Training, smoothing_problem, summarise, write_metrics};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::{Split, read_items};
use crate::formats::json;
use crate::nn::models::sasrec::Sasrec;
use crate::nn::training::Keep;
use crate::nn::{Backend, count};
use crate::recommend::{SasrecConfig, SasrecScorer, TrainSasrec, train_sasrec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of `fit-sasrec`.
///
/// Trained with the cross-entropy over all items, judged by NDCG@10 on validation items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitSasrec {
    /// Width of every vector, at least 1. Default 64 (the paper: 50).
    pub width: usize,
    /// Blocks, at least 1. Default 2 (the paper's).
    pub blocks: usize,
    /// Heads of attention; must divide `width`. Default 2 (`RecBole`; the paper has 1).
    pub heads: usize,
    /// Items of a history that the model sees, from its end, at least 1. Default 50 (the paper's for sparse data; 200 for
    /// MovieLens).
    pub max_length: usize,
    /// Share of numbers dropped in training, from 0 to below 1. Default 0.5 (the paper's for sparse data; 0.2 for MovieLens).
    pub dropout: f32,
    /// Standard deviation of the first weights, above 0. Default 0.02 (BERT).
    pub init_std: f32,
    /// Passes over the training histories, at least 1. Default 20.
    pub epochs: u64,
    /// Histories of a step, at least 1. Default 128 (the paper's).
    pub batch: usize,
    /// Passes between evaluations, at least 1; there is one at the end besides. Default 1.
    pub eval_every: u64,
    /// Users whose validation item is ranked at an evaluation, evenly spread over all; 0 takes all. Default 4000.
    pub eval_users: usize,
    /// Label smoothing of the training loss, from 0 to below 1. Default 0 (the paper's).
    pub label_smoothing: f32,
    /// How it learns. By default the weights of the best evaluation are kept.
    pub training: Training<Self>,
}

impl Default for FitSasrec {
    fn default() -> Self {
        Self {
            width: 64,
            blocks: 2,
            heads: 2,
            max_length: 50,
            dropout: 0.5,
            init_std: 0.02,
            epochs: 20,
            batch: 128,
            eval_every: 1,
            eval_users: 4000,
            label_smoothing: 0.0,
            training: Training::default(),
        }
    }
}

impl Recipe for FitSasrec {
    /// The paper's learning rate and no decay.
    fn recipe() -> Training<Self> {
        Training {
            learning_rate: 1e-3,
            warmup_steps: Some(100),
            weight_decay: 0.0,
            clip_norm: 5.0,
            keep: Keep::Best,
            ..Training::common()
        }
    }
}

impl Stage for FitSasrec {
    const NAME: &'static str = "fit-sasrec";
    const ABOUT: &'static str =
        "Trains a self-attentive network that predicts the next item (SASRec)";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = FIT_PORTS;
    const OUTPUT: ArtifactKind = ArtifactKind::Scorer;
    const SEEDED: bool = true;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut found: Vec<Problem> = self
            .model(1)
            .problems()
            .into_iter()
            .map(|(field, message)| Problem::new(field, message))
            .collect();
        found.extend(Problem::at_least("epochs", self.epochs, 1));
        found.extend(Problem::at_least("batch", self.batch, 1));
        found.extend(Problem::at_least("eval_every", self.eval_every, 1));
        let smoothing = f64::from(self.label_smoothing);
        found.extend(smoothing_problem("label_smoothing", smoothing));
        // How many steps there are is known only with the data.
        found.extend(self.training.problems(u64::MAX, self.eval_every));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        on_device!(context, self.batch, |device| self.run_on(device, context))
    }
}

impl FitSasrec {
    fn model(&self, items: usize) -> SasrecConfig {
        SasrecConfig {
            items,
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            max_length: self.max_length,
            dropout: self.dropout,
            init_std: self.init_std,
        }
    }

    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let items = read_items(&context.input("catalog")?.file("items.jsonl"))?.len();
        let split = Split::read(&context.input("split")?.folder)?;
        let mut model = Sasrec::new(device, &self.model(items), context.seed.child("model"))?;
        let fit = train_sasrec(
            &split,
            &mut model,
            &TrainSasrec {
                epochs: self.epochs,
                eval_every: self.eval_every,
                batch: self.batch,
                eval_users: self.eval_users,
                smoothing: self.label_smoothing,
                optimiser: self.training.config(u64::MAX, 0),
            },
            context.seed.child("training"),
            device,
            &context.scratch,
            context.progress,
        )?;
        SasrecScorer::save(&model, &context.output)?;
        write_metrics(context, &fit.trained)?;
        let mut summary: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        summary.insert("items".to_owned(), items.into());
        summary.insert("targets".to_owned(), fit.targets.into());
        summary.insert("parameters".to_owned(), count(&model).0.into());
        summary.insert("validation_ndcg@10".to_owned(), fit.kept.into());
        summarise(&fit.trained, &mut summary);
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
