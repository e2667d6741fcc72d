//! The training loop.

use super::{AdamW, Checkpoint, TrainConfig};
use crate::nn::{Backend, Graph, Matrix, Module, NnError, ParamGrads};
use crate::progress::{Progress, Stopped};
use crate::seed::Seed;
use std::path::Path;

/// What a model is trained for.
pub trait Objective<D: Backend> {
    /// The model.
    type Model: Module<D>;

    /// The loss on batch number `step`.
    ///
    /// The batch must follow from `seed` and `step` alone, for instance from `seed.at(step)`: a resumed training then sees the same
    /// batches. `seed` is the same at every step. With `accumulate` above 1, each update takes that many consecutive numbers.
    fn loss(
        &self,
        g: &Graph<D>,
        model: &Self::Model,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError>;

    /// Numbers about the model on held-out data, logged as `eval.NAME`.
    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError>;
}

/// The losses of one batch.
pub struct Losses<D: Backend> {
    /// What is minimised, `[1, 1]`.
    pub total: Matrix<D>,
    /// Named parts, logged as `train.NAME`; the same names at every step.
    pub parts: Vec<(&'static str, f64)>,
}

/// A logged number.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metric {
    /// Updates done when it was taken.
    pub step: u64,
    /// `train.…` or `eval.…`.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// A mean that is being taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// Name under which it will be logged.
    pub name: String,
    /// The sum so far.
    pub sum: f64,
    /// How many numbers were added.
    pub count: u64,
}

/// The outcome of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Every logged number, in order, of all sessions of this training.
    pub metrics: Vec<Metric>,
    /// Updates done.
    pub steps: u64,
}

impl Trained {
    /// The last value logged under `name`.
    pub fn last(&self, name: &str) -> Option<f64> {
        let mut backwards = self.metrics.iter().rev();
        backwards
            .find(|metric| metric.name == name)
            .map(|metric| metric.value)
    }
}

/// Trains the trainable parameters of `model`, or goes on from the checkpoint in `scratch`.
///
/// Logs the means of `train.loss` and its parts, `train.gradient_norm` and `train.learning_rate` every
/// `log_every` updates, and `eval.…` at the start, every `eval_every` updates and at the end. A training that was stopped or killed and is
/// started again with the same arguments ends with the same bits. A checkpoint that is damaged or of another training is ignored
/// with a warning.
///
/// # Errors
/// [`NnError::NotFinite`] with the step when the loss or the gradient is not finite; [`NnError::Stopped`] when asked to stop, after
/// saving a checkpoint.
pub fn train<D: Backend, O: Objective<D>>(
    objective: &O,
    model: &mut O::Model,
    config: &TrainConfig,
    seed: Seed,
    device: &D,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Trained, NnError> {
    config.check()?;
    let mut session = Session {
        objective,
        optimiser: AdamW::new(model, config),
        model,
        config,
        seed,
        device,
        scratch,
        progress,
        step: 0,
        metrics: Vec::new(),
        sums: Vec::new(),
        stopped: None,
    };
    session.resume()?;
    match session.run() {
        Err(NnError::Stopped(Stopped)) => {
            session.save()?;
            Err(NnError::Stopped(Stopped))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(Trained {
            metrics: session.metrics,
            steps: session.step,
        }),
    }
}

/// One session of a training.
struct Session<'a, D: Backend, O: Objective<D>> {
    objective: &'a O,
    model: &'a mut O::Model,
    optimiser: AdamW,
    config: &'a TrainConfig,
    seed: Seed,
    device: &'a D,
    scratch: &'a Path,
    progress: &'a dyn Progress,
    /// Updates done.
    step: u64,
    metrics: Vec<Metric>,
    /// Sums since the last log.
    sums: Vec<Mean>,
    /// Set when a report was answered with the wish to stop.
    stopped: Option<Stopped>,
}

impl<D: Backend, O: Objective<D>> Session<'_, D, O> {
    /// Trains to the end. Asked to stop, it ends between updates, with everything due after the last update done.
    fn run(&mut self) -> Result<(), NnError> {
        let steps = self.config.steps;
        let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
        if self.step == 0 && self.metrics.is_empty() {
            self.evaluate()?;
        }
        loop {
            if let Some(stopped) = self.stopped {
                return Err(stopped.into());
            }
            self.progress.tick("step", self.step, steps)?;
            if self.step == steps {
                return Ok(());
            }
            self.update()?;
            if due(self.config.log_every, self.step) || self.step == steps {
                self.log();
            }
            if due(self.config.eval_every, self.step) || self.step == steps {
                self.evaluate()?;
            }
            if due(self.config.checkpoint_every, self.step) || self.step == steps {
                self.save()?;
            }
        }
    }

    /// One update of the parameters from `accumulate` batches.
    fn update(&mut self) -> Result<(), NnError> {
        let count = self.config.accumulate;
        let mut sum: Option<ParamGrads> = None;
        for batch in self.step * count..(self.step + 1) * count {
            let g = Graph::training(self.device, self.seed.child("graph").at(batch));
            let batches = self.seed.child("batches");
            let losses = self.objective.loss(&g, self.model, batch, batches)?;
            let loss = f64::from(losses.total.item()?);
            self.finite("loss", loss)?;
            self.add("train.loss", loss);
            for (name, value) in losses.parts {
                self.add(&format!("train.{name}"), value);
            }
            let gradients = g.backward(&losses.total)?.collect(self.model)?;
            match &mut sum {
                None => sum = Some(gradients),
                Some(sum) => sum.accumulate(&gradients),
            }
        }
        let mut gradients = sum.expect("`accumulate` is at least 1, checked at the start");
        if count > 1 {
            gradients.scale(1.0 / count as f32);
        }
        let norm = if self.config.clip_norm > 0.0 {
            gradients.clip(self.config.clip_norm)
        } else {
            gradients.norm()
        };
        self.finite("the norm of the gradient", norm)?;
        self.add("train.gradient_norm", norm);
        let rate = self.config.schedule().rate(self.step);
        self.optimiser.step(self.model, &gradients, rate)?;
        self.step += 1;
        Ok(())
    }

    fn finite(&self, what: &str, value: f64) -> Result<(), NnError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(NnError::NotFinite {
            step: self.step,
            what: what.to_owned(),
            value,
        })
    }

    /// Adds to a mean that will be logged.
    fn add(&mut self, name: &str, value: f64) {
        match self.sums.iter_mut().find(|mean| mean.name == name) {
            Some(mean) => {
                mean.sum += value;
                mean.count += 1;
            }
            None => self.sums.push(Mean {
                name: name.to_owned(),
                sum: value,
                count: 1,
            }),
        }
    }

    /// Logs the means since the last log.
    fn log(&mut self) {
        for mean in std::mem::take(&mut self.sums) {
            self.metric(mean.name, mean.sum / mean.count as f64);
        }
        let rate = self.config.schedule().rate(self.step - 1);
        self.metric("train.learning_rate".to_owned(), rate);
    }

    fn evaluate(&mut self) -> Result<(), NnError> {
        for (name, value) in self.objective.evaluate(self.model, self.device)? {
            self.metric(format!("eval.{name}"), value);
        }
        Ok(())
    }

    /// Logs a number. A wish to stop is kept for the end of the update: a resumed training must not lack what was due.
    fn metric(&mut self, name: String, value: f64) {
        if let Err(stopped) = self.progress.metric(self.step, &name, value) {
            self.stopped = Some(stopped);
        }
        self.metrics.push(Metric {
            step: self.step,
            name,
            value,
        });
    }

    /// What a checkpoint must have been made with to be of use here.
    fn identity(&self) -> Result<String, NnError> {
        let config = serde_json::to_string(self.config).map_err(std::io::Error::from)?;
        Ok(format!("seed {}, {config}", self.seed.value()))
    }

    fn save(&self) -> Result<(), NnError> {
        let mut arrays = Vec::new();
        self.model.visit("", &mut |name, param| {
            if param.trainable() {
                arrays.push((name.to_owned(), param.value.to_vec()));
            }
        });
        for (kind, moments) in [
            ("first", &self.optimiser.first),
            ("second", &self.optimiser.second),
        ] {
            for values in moments {
                arrays.push((kind.to_owned(), values.clone()));
            }
        }
        let checkpoint = Checkpoint {
            identity: self.identity()?,
            step: self.step,
            metrics: self.metrics.clone(),
            sums: self.sums.clone(),
            arrays,
        };
        checkpoint.save(self.scratch)
    }

    /// Takes over the checkpoint, if there is one that can be used.
    fn resume(&mut self) -> Result<(), NnError> {
        match Checkpoint::load(self.scratch, &self.identity()?) {
            Ok(None) => Ok(()),
            Ok(Some(checkpoint)) if self.fits(&checkpoint) => {
                let step = checkpoint.step;
                self.take_over(checkpoint)?;
                let total = self.config.steps;
                let text = format!("training goes on after step {step} of {total}");
                Ok(self.progress.note(&text)?)
            }
            Ok(Some(_)) => self.start_over("the checkpoint is of another model"),
            Err(reason) => self.start_over(&reason),
        }
    }

    fn start_over(&self, reason: &str) -> Result<(), NnError> {
        let text = format!("{reason}; training starts from the beginning");
        Ok(self.progress.warn(&text)?)
    }

    /// Whether the arrays of a checkpoint are those of this model.
    fn fits(&self, checkpoint: &Checkpoint) -> bool {
        let mut expected = Vec::new();
        self.model.visit("", &mut |name, param| {
            if param.trainable() {
                expected.push((name.to_owned(), param.value.rows() * param.value.columns()));
            }
        });
        let lengths: Vec<usize> = expected.iter().map(|array| array.1).collect();
        for kind in ["first", "second"] {
            expected.extend(lengths.iter().map(|&length| (kind.to_owned(), length)));
        }
        checkpoint.step <= self.config.steps
            && checkpoint.arrays.len() == expected.len()
            && checkpoint
                .arrays
                .iter()
                .zip(&expected)
                .all(|(have, want)| have.0 == want.0 && have.1.len() == want.1)
    }

    /// Overwrites the state with that of a checkpoint that fits.
    fn take_over(&mut self, checkpoint: Checkpoint) -> Result<(), NnError> {
        let mut arrays = checkpoint.arrays.into_iter().map(|array| array.1);
        let mut result = Ok(());
        self.model.visit_mut("", &mut |_, param| {
            if param.trainable()
                && result.is_ok()
                && let Some(values) = arrays.next()
            {
                result = param.value.overwrite(&values);
            }
        });
        result?;
        let count = self.optimiser.first.len();
        self.optimiser.first = arrays.by_ref().take(count).collect();
        self.optimiser.second = arrays.collect();
        self.optimiser.steps = checkpoint.step;
        self.step = checkpoint.step;
        self.metrics = checkpoint.metrics;
        self.sums = checkpoint.sums;
        Ok(())
    }
}
