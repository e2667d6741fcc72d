//! `fit-sasrec`: a network that predicts the next item from those before.

use super::baselines::FIT_PORTS;
use super::device::on_device;
use super::language_io::{last_metrics, training_problems};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::{Split, read_items};
use crate::formats::json;
use crate::nn::models::sasrec::Sasrec;
use crate::nn::training::TrainConfig;
use crate::nn::{Backend, count};
use crate::recommend::{SasrecConfig, SasrecScorer, TrainSasrec, train_sasrec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of `fit-sasrec`.
///
/// Trained with the cross-entropy over all items; the weights with the best NDCG@10 on validation items are kept.
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
    /// Peak of the learning rate, above 0. Default 1e-3 (the paper's).
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from 0; at most those of the training. Default 100.
    pub warmup_steps: u64,
    /// The learning rate at the end of the cosine, as a share of its peak, from 0 to 1. Default 0.1.
    pub min_lr_ratio: f64,
    /// `AdamW`'s weight decay, on matrices only; at least 0. Default 0 (the paper's).
    pub weight_decay: f64,
    /// Longest gradient; 0 turns clipping off. Default 5.
    pub clip_norm: f64,
    /// Passes between evaluations, at least 1; there is one at the end besides. Default 1.
    pub eval_every: u64,
    /// Users whose validation item is ranked at an evaluation, evenly spread over all; 0 takes all. Default 4000.
    pub eval_users: usize,
    /// Steps between checkpoints, from which a killed run continues. Default 200.
    pub checkpoint_every: u64,
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
            learning_rate: 1e-3,
            warmup_steps: 100,
            min_lr_ratio: 0.1,
            weight_decay: 0.0,
            clip_norm: 5.0,
            eval_every: 1,
            eval_users: 4000,
            checkpoint_every: 200,
        }
    }
}

impl Stage for FitSasrec {
    const NAME: &'static str = "fit-sasrec";
    const ABOUT: &'static str =
        "Trains a self-attentive network that predicts the next item (SASRec)";
    const VERSION: u32 = 1;
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
        // How many steps there are is known only with the data.
        let training = TrainConfig {
            steps: u64::MAX,
            ..self.training()
        };
        found.extend(training_problems(&training));
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

    fn training(&self) -> TrainConfig {
        TrainConfig {
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            min_lr_ratio: self.min_lr_ratio,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            checkpoint_every: self.checkpoint_every,
            ..TrainConfig::default()
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
                optimiser: self.training(),
            },
            context.seed.child("training"),
            device,
            &context.scratch,
            context.progress,
        )?;
        SasrecScorer::save(&model, &context.output)?;
        json::write_lines(&context.out("metrics.jsonl"), &fit.trained.metrics)?;
        let mut summary: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        summary.insert("items".to_owned(), items.into());
        summary.insert("targets".to_owned(), fit.targets.into());
        summary.insert("steps".to_owned(), fit.trained.steps.into());
        summary.insert("parameters".to_owned(), count(&model).0.into());
        summary.insert("best_validation_ndcg@10".to_owned(), fit.best.into());
        last_metrics(&fit.trained.metrics, &mut summary);
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
