//! How long and how fast to train.

use super::Group;
use crate::nn::NnError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates of the parameters, at least 1. Default 1000.
    pub steps: u64,
    /// Peak learning rate, above 0. Default 1e-4 (BLIP-2's pre-training, Li et al. 2023, section 3.4).
    pub learning_rate: f64,
    /// Updates over which the rate rises linearly from 0. Default 100.
    pub warmup_steps: u64,
    /// How the rate falls after the rise. Default: cosine.
    pub schedule: Fall,
    /// The rate at the end as a share of the peak, 0 to 1; a constant rate does not use it.
    /// Default 0.1 (BLIP-2 ends at 5e-5 of 1e-4; Llama at a tenth).
    pub min_lr_ratio: f64,
    /// Decoupled weight decay of matrices; vectors are not decayed. Default 0.05 (BLIP-2).
    pub weight_decay: f64,
    /// Decay of the mean of gradients, 0 to below 1. Default 0.9 (BLIP-2).
    pub beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1. Default 0.98 (BLIP-2's 0.98).
    pub beta2: f64,
    /// Added to the root of the mean of squares. Default 1e-8 (Kingma & Ba 2015).
    pub eps: f64,
    /// Greatest norm of the gradient; longer ones are shortened. 0 switches it off. Default 1.
    pub clip_norm: f64,
    /// Evaluates every so many updates, besides the start and the end. 0: only those. Default 0.
    pub eval_every: u64,
    /// Logs the mean of the training losses every so many updates, at least 1. Default 10.
    pub log_every: u64,
    /// Saves a checkpoint every so many updates, besides the end. 0: only there and when asked to stop. Default 200.
    pub checkpoint_every: u64,
    /// Batches whose gradients make one update, at least 1. Each counts by its targets ([`super::Losses::weight`]), so that the update is that
    /// of one large batch. Default 1.
    pub accumulate: u64,
    /// Evaluations without an improvement after which training ends; 0: it goes on to `steps`. Default 0.
    pub patience: u64,
    /// By how much an evaluation must improve on the last that counted to end the waiting, at least 0. Default 0.
    pub min_delta: f64,
    /// Which parameters training ends with. Default: the last.
    pub keep: Keep,
    /// Parameters that learn otherwise than the rest; of several that match a name the first counts. Default: none.
    pub groups: Vec<Group>,
}

/// How the learning rate falls after the rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fall {
    /// Along half a cosine (Loshchilov & Hutter 2017, eq. 5).
    #[default]
    Cosine,
    /// Along a line.
    Linear,
    /// Not at all.
    Constant,
}

/// Which parameters training ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those after the last step.
    #[default]
    Last,
    /// Those of the best evaluation, the one before the first step among them; of equal ones the first.
    Best,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            learning_rate: 1e-4,
            warmup_steps: 100,
            schedule: Fall::Cosine,
            min_lr_ratio: 0.1,
            weight_decay: 0.05,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            clip_norm: 1.0,
            eval_every: 0,
            log_every: 10,
            checkpoint_every: 200,
            accumulate: 1,
            patience: 0,
            min_delta: 0.0,
            keep: Keep::Last,
            groups: Vec::new(),
        }
    }
}

impl TrainConfig {
    /// Every senseless value: the field and the rest of the sentence about it, for instance `is 0, but must be at least 1`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("steps", self.steps),
            ("log_every", self.log_every),
            ("accumulate", self.accumulate),
        ] {
            if value == 0 {
                problems.push((name.to_owned(), "is 0, but must be at least 1".to_owned()));
            }
        }
        let mut check = |name: &str, value: f64, fits: bool, range: &str| {
            if !(fits && value.is_finite()) {
                problems.push((name.to_owned(), format!("is {value}, but must be {range}")));
            }
        };
        let share = 0.0..1.0;
        let rate = self.learning_rate;
        check("learning_rate", rate, rate > 0.0, "above 0");
        let ratio = self.min_lr_ratio;
        let fits = (0.0..=1.0).contains(&ratio);
        check("min_lr_ratio", ratio, fits, "between 0 and 1");
        let decay = self.weight_decay;
        check("weight_decay", decay, decay >= 0.0, "at least 0");
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            check(name, beta, share.contains(&beta), "at least 0 and below 1");
        }
        check("eps", self.eps, self.eps > 0.0, "above 0");
        let clip = self.clip_norm;
        check("clip_norm", clip, clip >= 0.0, "at least 0");
        let delta = self.min_delta;
        check("min_delta", delta, delta >= 0.0, "at least 0");
        for (index, group) in self.groups.iter().enumerate() {
            let scale = group.lr_scale;
            let name = format!("groups[{index}].lr_scale");
            check(&name, scale, scale >= 0.0, "at least 0");
            let decay = group.weight_decay.unwrap_or(0.0);
            let name = format!("groups[{index}].weight_decay");
            check(&name, decay, decay >= 0.0, "at least 0");
        }
        if self.warmup_steps > self.steps {
            problems.push((
                "warmup_steps".to_owned(),
                format!(
                    "is {}, but must be at most `steps`, {}",
                    self.warmup_steps, self.steps
                ),
            ));
        }
        problems
    }

    /// The first problem as an error.
    pub(super) fn check(&self) -> Result<(), NnError> {
        match self.problems().into_iter().next() {
            Some((name, message)) => Err(NnError::setting(name, message)),
            None => Ok(()),
        }
    }

    /// The schedule of the learning rate.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            peak: self.learning_rate,
            warmup_steps: self.warmup_steps,
            steps: self.steps,
            fall: self.schedule,
            min_ratio: self.min_lr_ratio,
        }
    }
}

/// A linear rise and a fall of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The greatest rate.
    pub peak: f64,
    /// Updates of the rise.
    pub warmup_steps: u64,
    /// Updates in all.
    pub steps: u64,
    /// The way down.
    pub fall: Fall,
    /// The last rate as a share of the greatest.
    pub min_ratio: f64,
}

impl Schedule {
    /// The rate of update `step`, from 0: `peak·(step + 1) / warmup_steps` in the rise, then
    /// `peak·(r + (1 − r)·f)` with `f = (1 + cos(π·p)) / 2` or `f = 1 − p`, and `p` from 0 to 1 over the remaining updates; or `peak` to
    /// the end.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let rest = self.steps.saturating_sub(self.warmup_steps + 1).max(1);
        let progress = ((step - self.warmup_steps) as f64 / rest as f64).min(1.0);
        let fall = match self.fall {
            Fall::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * progress).cos()),
            Fall::Linear => 1.0 - progress,
            Fall::Constant => return self.peak,
        };
        self.peak * (self.min_ratio + (1.0 - self.min_ratio) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_the_peak_and_falls_to_the_ratio() {
        let config = TrainConfig {
            steps: 101,
            warmup_steps: 20,
            learning_rate: 0.5,
            min_lr_ratio: 0.2,
            ..TrainConfig::default()
        };
        let schedule = config.schedule();
        assert_eq!(schedule.rate(0), 0.025);
        assert_eq!(schedule.rate(19), 0.5);
        assert_eq!(schedule.rate(20), 0.5);
        assert!((schedule.rate(60) - 0.3).abs() < 1e-12);
        assert!((schedule.rate(100) - 0.1).abs() < 1e-12);
        for step in 21..101 {
            assert!(schedule.rate(step) < schedule.rate(step - 1));
        }
        let linear = Schedule {
            fall: Fall::Linear,
            ..schedule
        };
        assert_eq!(linear.rate(9), 0.25);
        assert_eq!(linear.rate(20), 0.5);
        assert!((linear.rate(40) - 0.4).abs() < 1e-12);
        assert!((linear.rate(100) - 0.1).abs() < 1e-12);
        let constant = Schedule {
            fall: Fall::Constant,
            ..schedule
        };
        assert_eq!(constant.rate(9), 0.25);
        assert_eq!((constant.rate(20), constant.rate(100)), (0.5, 0.5));
    }

    #[test]
    fn every_senseless_value_is_named() {
        assert!(TrainConfig::default().problems().is_empty());
        let config = TrainConfig {
            steps: 0,
            learning_rate: f64::NAN,
            warmup_steps: 5,
            min_lr_ratio: 1.5,
            weight_decay: -1.0,
            beta1: 1.0,
            beta2: -0.1,
            eps: 0.0,
            clip_norm: f64::INFINITY,
            log_every: 0,
            accumulate: 0,
            min_delta: -1.0,
            groups: vec![Group {
                lr_scale: -1.0,
                weight_decay: Some(f64::NAN),
                ..Group::of("*")
            }],
            ..TrainConfig::default()
        };
        let names: Vec<_> = config.problems().into_iter().map(|p| p.0).collect();
        assert_eq!(
            names,
            [
                "steps",
                "log_every",
                "accumulate",
                "learning_rate",
                "min_lr_ratio",
                "weight_decay",
                "beta1",
                "beta2",
                "eps",
                "clip_norm",
                "min_delta",
                "groups[0].lr_scale",
                "groups[0].weight_decay",
                "warmup_steps"
            ]
        );
    }
}
