//! What the kinds that train a network have in common: the parameters of their `training` table, and what they write about it.

use super::{Problem, StageContext, StageError};
use crate::formats::json;
use crate::formats::tensorboard::EventFile;
use crate::nn::training::{Fall, Group, Keep, TrainConfig, Trained, log_scalars};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// How a network of the kind `K` learns: the optimiser, its schedule, when to stop and what to keep. What it learns from and for how long are
/// parameters of the kind itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct Training<K: Recipe> {
    /// Peak of the learning rate. Above 0.
    pub learning_rate: f64,
    /// How the learning rate falls after its rise: `cosine`, `linear` or `constant`.
    pub schedule: Fall,
    /// Steps over which the learning rate rises from 0; at most all steps. Default: a tenth of the steps.
    pub warmup_steps: Option<u64>,
    /// The learning rate at the end as a share of its peak, from 0 to 1; not used where the schedule is `constant`. Default: 0.1
    /// (Llama).
    pub min_lr_ratio: f64,
    /// AdamW's decoupled weight decay, on matrices only: biases and norms are never decayed. At least 0.
    pub weight_decay: f64,
    /// AdamW's decay of the mean of gradients, from 0 to below 1. Default: 0.9 (BLIP-2).
    pub beta1: f64,
    /// AdamW's decay of the mean of squared gradients, from 0 to below 1. Default: 0.98 (BLIP-2).
    pub beta2: f64,
    /// What AdamW adds to the root of the mean of squares, above 0. Default: 1e-8 (Kingma & Ba 2015).
    pub eps: f64,
    /// Longest gradient over all parameters; longer ones are shortened to it. 0 turns clipping off.
    pub clip_norm: f64,
    /// Batches whose gradients make one update, at least 1; each counts by its targets, so that the update is that of one batch as large as all of
    /// them. (Contrastive losses are an exception: a batch gets its negatives from itself.) Default: 1.
    pub accumulate: u64,
    /// Parameters that learn otherwise than the rest: `{ match = "language.*", lr_scale = 0.1, weight_decay = 0.0 }`. `*` and `?` stand
    /// for letters of a parameter's name; the first group that matches counts. Default: none.
    pub groups: Vec<Group>,
    /// Evaluations without an improvement after which training ends early; 0: never. Default: 0.
    pub patience: u64,
    /// By how much an evaluation must improve on the last improvement to be one, for `patience`. At least 0. Default: 0.
    pub min_delta: f64,
    /// The parameters that the artifact holds: those of the `last` step, or of the `best` evaluation.
    pub keep: Keep,
    /// Steps between logged means of the training losses, at least 1.
    pub log_every: u64,
    /// Steps between checkpoints, from which a killed run continues; 0: only when asked to stop.
    pub checkpoint_every: u64,
    /// Nothing: only says whose defaults these are.
    #[serde(skip)]
    pub(super) kind: PhantomData<K>,
}

/// A kind with a `training` table.
pub trait Recipe: Sized {
    /// The defaults of the kind.
    fn recipe() -> Training<Self>;
}

impl<K: Recipe> Default for Training<K> {
    fn default() -> Self {
        K::recipe()
    }
}

impl<K: Recipe> Training<K> {
    /// What most kinds have, to start a recipe from.
    pub(super) fn common() -> Self {
        let common = TrainConfig::default();
        Self {
            learning_rate: common.learning_rate,
            schedule: common.schedule,
            warmup_steps: None,
            min_lr_ratio: common.min_lr_ratio,
            weight_decay: common.weight_decay,
            beta1: common.beta1,
            beta2: common.beta2,
            eps: common.eps,
            clip_norm: common.clip_norm,
            accumulate: common.accumulate,
            groups: common.groups,
            patience: common.patience,
            min_delta: common.min_delta,
            keep: common.keep,
            log_every: common.log_every,
            checkpoint_every: common.checkpoint_every,
            kind: PhantomData,
        }
    }

    /// The settings of a training of `steps` steps that is evaluated every `eval_every`.
    pub(super) fn config(&self, steps: u64, eval_every: u64) -> TrainConfig {
        TrainConfig {
            steps,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup_steps: self.warmup_steps.unwrap_or(steps / 10),
            min_lr_ratio: self.min_lr_ratio,
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            clip_norm: self.clip_norm,
            eval_every,
            log_every: self.log_every,
            checkpoint_every: self.checkpoint_every,
            accumulate: self.accumulate,
            patience: self.patience,
            min_delta: self.min_delta,
            keep: self.keep,
            groups: self.groups.clone(),
        }
    }

    /// Every senseless parameter of a training of `steps` steps that is evaluated every `eval_every`.
    pub(super) fn problems(&self, steps: u64, eval_every: u64) -> Vec<Problem> {
        let mut problems = self.config(steps, eval_every).problems();
        if self.patience > 0 && eval_every == 0 {
            let message = format!(
                "is {}, but `eval_every` is 0: nothing is evaluated on the way",
                self.patience
            );
            problems.push(("patience".to_owned(), message));
        }
        let named = |(field, message): (String, String)| match field.as_str() {
            "steps" => Problem::new(field, message),
            _ => Problem::new(format!("training.{field}"), message),
        };
        problems.into_iter().map(named).collect()
    }
}

/// A problem with a label smoothing that is not from 0 to below 1.
pub(super) fn smoothing_problem(field: &str, smoothing: f64) -> Option<Problem> {
    let wrong = !(0.0..1.0).contains(&smoothing);
    wrong.then(|| {
        Problem::new(
            field,
            format!("is {smoothing}, but must be from 0 to below 1"),
        )
    })
}

/// Writes what a training logged into the artifact: lines of JSON and an event file of TensorBoard, which names `train.loss` `train/loss` to
/// draw all of `train` together.
pub(super) fn write_metrics(
    context: &StageContext<'_>,
    trained: &Trained,
) -> Result<(), StageError> {
    json::write_lines(&context.out("metrics.jsonl"), &trained.metrics)?;
    log_scalars(&mut EventFile::create(&context.output)?, &trained.metrics)?;
    Ok(())
}

/// Puts what a training came to into a summary: the last value of each metric, those of evaluations from the step whose
/// parameters were kept; and which step that was, and why training ended.
pub(super) fn summarise(trained: &Trained, summary: &mut BTreeMap<String, Value>) {
    for metric in &trained.metrics {
        summary.insert(metric.name.clone(), metric.value.into());
    }
    for name in trained.metrics.iter().map(|metric| &metric.name) {
        if let (true, Some(value)) = (name.starts_with("eval."), trained.kept(name)) {
            summary.insert(name.clone(), value.into());
        }
    }
    summary.insert("steps".to_owned(), trained.steps.into());
    summary.insert("training_kept_step".to_owned(), trained.kept.into());
    summary.insert("training_ended_by".to_owned(), trained.ended.name().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::backbone::Backbone;
    use crate::stages::phase_2::Phase2;
    use serde_json::json;

    #[test]
    fn every_parameter_reaches_the_training() {
        let written = json!({
            "learning_rate": 0.5, "schedule": "linear", "warmup_steps": 3, "min_lr_ratio": 0.25, "weight_decay": 0.75,
            "beta1": 0.125, "beta2": 0.375, "eps": 0.0625, "clip_norm": 2.0, "accumulate": 4,
            "groups": [{"match": "a.*", "lr_scale": 0.5, "weight_decay": 0.0}],
            "patience": 5, "min_delta": 0.03125, "keep": "best", "log_every": 6, "checkpoint_every": 7,
        });
        let table: Training<Phase2> = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&table).unwrap(), written);
        let mut config = serde_json::to_value(table.config(90, 8)).unwrap();
        let config = config.as_object_mut().unwrap();
        let numbers = (config.remove("steps"), config.remove("eval_every"));
        assert_eq!(numbers, (Some(json!(90)), Some(json!(8))));
        assert_eq!(Value::from(config.clone()), written);
    }

    #[test]
    fn a_table_that_says_little_has_the_defaults_of_its_kind() {
        let of = |rate: f64| json!({ "learning_rate": rate });
        let table: Training<Backbone> = serde_json::from_value(of(0.5)).unwrap();
        assert_eq!((table.learning_rate, table.weight_decay), (0.5, 0.1));
        let table: Training<Phase2> = serde_json::from_value(of(0.5)).unwrap();
        assert_eq!((table.learning_rate, table.weight_decay), (0.5, 0.05));
        assert_eq!(table.config(300, 0).warmup_steps, 30);
    }
}
