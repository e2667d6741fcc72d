//! The training loop.

use super::groups;
use super::{AdamW, Judge, Judged, Keep, TrainConfig};
use crate::formats::FormatError;
use crate::formats::tensorboard::EventFile;
use crate::nn::{Backend, Graph, Matrix, Module, NnError, ParamGrads};
use crate::progress::{Progress, Stopped};
use crate::seed::Seed;
use std::fmt;
use std::ops::Range;
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

    /// What a person would call the examples of batch number `step`, for the message about a batch that broke the training.
    fn examples(&self, step: u64, seed: Seed) -> Vec<String>;

    /// Numbers about the model on held-out data, logged as `eval.NAME`.
    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError>;

    /// The evaluated number that early stopping and [`Keep::Best`] go by.
    fn judge(&self) -> Judge {
        Judge::LOSS
    }
}

/// The losses of one batch.
pub struct Losses<D: Backend> {
    /// What is minimised, `[1, 1]`.
    pub total: Matrix<D>,
    /// Named parts, logged as `train.NAME`; the same names at every step.
    pub parts: Vec<(&'static str, f64)>,
    /// How much the batch counts among those that make one update, above 0. The loss is a mean, so for an update that equals that of the
    /// large batch this is the number of targets that it is a mean of, not 1. A contrastive loss compares the examples of its batch with one another: no weights
    /// make small batches into a large one, and each counts 1.
    pub weight: f64,
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

/// Adds logged numbers to an event file: `train.loss` as `train/loss`, which draws all of `train` together.
pub fn log_scalars(file: &mut EventFile, metrics: &[Metric]) -> Result<(), FormatError> {
    let tags: Vec<String> = metrics
        .iter()
        .map(|m| m.name.replacen('.', "/", 1))
        .collect();
    let scalars = metrics.iter().zip(&tags);
    file.append(scalars.map(|(metric, tag)| (metric.step, tag.as_str(), metric.value)))
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
    /// Updates after which the model had the parameters that it now has: `steps`, or those of the best evaluation.
    pub kept: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Steps,
    /// As many evaluations as `patience` says brought nothing better.
    Patience,
}

impl Ended {
    /// The name in summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Patience => "patience",
        }
    }
}

impl Trained {
    /// The value logged under `name` at the step whose parameters were kept.
    pub fn kept(&self, name: &str) -> Option<f64> {
        let mut found = self.metrics.iter().rev();
        found
            .find(|metric| metric.step == self.kept && metric.name == name)
            .map(|metric| metric.value)
    }

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
/// started again with the same arguments ends with the same bits. The event file in `scratch` shows all of it to TensorBoard while it trains. A checkpoint that is damaged or of another training is ignored
/// with a warning.
///
/// # Errors
/// [`NnError::NotFinite`] with the step, the examples and the largest gradient when the loss, the gradient or the evaluated number
/// that the training is judged by is not finite; [`NnError::Setting`] when a group matches no parameter, or when `patience` or [`Keep::Best`] is wanted and nothing is
/// evaluated; [`NnError::Stopped`] when asked to stop, after saving a checkpoint.
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
    for pattern in groups::check(model, &config.groups)? {
        progress.note(&format!(
            "the parameters of the group `{pattern}` are frozen here"
        ))?;
    }
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
        judged: Judged::default(),
        best: Vec::new(),
        stopped: None,
        largest: None,
        before: None,
        live: None,
    };
    session.resume()?;
    session.show()?;
    match session.run() {
        Err(NnError::Stopped(Stopped)) => {
            session.save()?;
            Err(NnError::Stopped(Stopped))
        }
        Err(error) => Err(error),
        Ok(ended) => session.finish(ended),
    }
}

/// One session of a training.
pub(super) struct Session<'a, D: Backend, O: Objective<D>> {
    pub(super) objective: &'a O,
    pub(super) model: &'a mut O::Model,
    pub(super) optimiser: AdamW,
    pub(super) config: &'a TrainConfig,
    pub(super) seed: Seed,
    device: &'a D,
    pub(super) scratch: &'a Path,
    pub(super) progress: &'a dyn Progress,
    /// Updates done.
    pub(super) step: u64,
    pub(super) metrics: Vec<Metric>,
    /// Sums since the last log.
    pub(super) sums: Vec<Mean>,
    /// What the evaluations said.
    pub(super) judged: Judged,
    /// The trainable parameters of the best evaluation, when they are wanted.
    pub(super) best: Vec<Vec<f32>>,
    /// Set when a report was answered with the wish to stop.
    stopped: Option<Stopped>,
    /// Name and norm of the largest gradient of the update at hand, or of the last one.
    largest: Option<Largest>,
    /// That of the update before.
    before: Option<Largest>,
    /// What was logged so far, for a person who looks while it trains; and how much of it is in the file.
    live: Option<(EventFile, usize)>,
}

/// The largest gradient of an update.
struct Largest {
    /// Its parameter.
    name: String,
    norm: f64,
    /// How many gradients are not finite, and how many there are.
    broken: (usize, usize),
}

impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.norm.is_finite() {
            write!(f, "{:.3e}, of `{}`", self.norm, self.name)
        } else {
            let (broken, all) = self.broken;
            write!(
                f,
                "{}, of `{}` and {} of {} others",
                self.norm,
                self.name,
                broken - 1,
                all - 1
            )
        }
    }
}

impl<D: Backend, O: Objective<D>> Session<'_, D, O> {
    /// Trains to the end. Asked to stop, it ends between updates, with everything due after the last update done.
    fn run(&mut self) -> Result<Ended, NnError> {
        let config = self.config;
        let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
        if self.step == 0 && self.metrics.is_empty() {
            self.evaluate()?;
        }
        self.needs_judge()?;
        loop {
            if let Some(stopped) = self.stopped {
                return Err(stopped.into());
            }
            self.progress.tick("step", self.step, config.steps)?;
            if self.step == config.steps {
                return Ok(Ended::Steps);
            }
            if config.patience > 0 && self.judged.waited >= config.patience {
                return Ok(Ended::Patience);
            }
            self.update()?;
            let last = self.step == config.steps;
            if due(config.log_every, self.step) || last {
                self.log()?;
            }
            if due(config.eval_every, self.step) || last {
                self.evaluate()?;
            }
            let tired = config.patience > 0 && self.judged.waited >= config.patience;
            if tired && !self.sums.is_empty() {
                self.log()?;
            }
            if due(config.checkpoint_every, self.step) || last || tired {
                self.save()?;
            }
        }
    }

    /// Fills the model with the parameters to keep.
    fn finish(mut self, ended: Ended) -> Result<Trained, NnError> {
        let mut kept = self.step;
        if let (Keep::Best, Some((step, _))) = (self.config.keep, self.judged.best) {
            kept = step;
            if kept != self.step {
                let best = std::mem::take(&mut self.best);
                self.fill(best.iter().map(Vec::as_slice))?;
            }
        }
        if ended == Ended::Patience {
            self.progress.note(&format!(
                "training ends at step {}: {} evaluations brought nothing better",
                self.step, self.judged.waited
            ))?;
        }
        if kept != self.step {
            self.progress
                .note(&format!("the parameters of step {kept} are kept"))?;
        }
        Ok(Trained {
            metrics: self.metrics,
            steps: self.step,
            kept,
            ended,
        })
    }

    /// One update of the parameters from `accumulate` batches.
    fn update(&mut self) -> Result<(), NnError> {
        let count = self.config.accumulate;
        let (mut sum, mut weights): (Option<ParamGrads>, f64) = (None, 0.0);
        // Weighted sums over the batches of this update.
        let mut means: Vec<(String, f64)> = Vec::new();
        let mut add = |name: &str, value: f64| match means.iter_mut().find(|mean| mean.0 == name) {
            Some(mean) => mean.1 += value,
            None => means.push((name.to_owned(), value)),
        };
        let batches = self.step * count..(self.step + 1) * count;
        for batch in batches.clone() {
            let g = Graph::training(self.device, self.seed.child("graph").at(batch));
            let losses = self.objective.loss(&g, self.model, batch, self.batches())?;
            let loss = f64::from(losses.total.item()?);
            let mut gradients = g.backward(&losses.total)?.collect(self.model)?;
            if !loss.is_finite() {
                self.look_for_largest(&gradients.squares());
                return Err(self.broken("loss", loss, batch..batch + 1));
            }
            let weight = if count > 1 { losses.weight } else { 1.0 };
            weights += weight;
            add("train.loss", weight * loss);
            for (name, value) in losses.parts {
                add(&format!("train.{name}"), weight * value);
            }
            if count > 1 {
                gradients.scale(weight as f32);
            }
            match &mut sum {
                None => sum = Some(gradients),
                Some(sum) => sum.accumulate(&gradients),
            }
        }
        let mut gradients = sum.expect("`accumulate` is at least 1, checked at the start");
        if count > 1 {
            gradients.scale((1.0 / weights) as f32);
        }
        for (name, sum) in means {
            self.add(&name, sum / weights);
        }
        let squares = gradients.squares();
        let norm = squares.iter().sum::<f64>().sqrt();
        self.look_for_largest(&squares);
        if !norm.is_finite() {
            return Err(self.broken("the norm of the gradient", norm, batches));
        }
        let limit = self.config.clip_norm;
        if limit > 0.0 && norm > limit {
            gradients.scale((limit / norm) as f32);
        }
        self.add("train.gradient_norm", norm);
        let rate = self.config.schedule().rate(self.step);
        self.optimiser.step(self.model, &gradients, rate)?;
        self.step += 1;
        Ok(())
    }

    /// The seed of the order of the batches.
    fn batches(&self) -> Seed {
        self.seed.child("batches")
    }

    /// Remembers which trainable parameter has the largest gradient; one that is not finite is larger than any.
    fn look_for_largest(&mut self, squares: &[f64]) {
        let size = |square: f64| {
            if square.is_finite() {
                square
            } else {
                f64::INFINITY
            }
        };
        let broken = squares.iter().filter(|square| !square.is_finite()).count();
        let broken = (broken, squares.len());
        let mut largest: Option<(String, f64)> = None;
        let mut squares = squares.iter();
        self.model.visit("", &mut |name, param| {
            if !param.trainable() {
                return;
            }
            if let Some(&square) = squares.next() {
                if largest
                    .as_ref()
                    .is_none_or(|old| size(square) > size(old.1))
                {
                    largest = Some((name.to_owned(), square));
                }
            }
        });
        self.before = self.largest.take();
        self.largest = largest.map(|(name, square)| Largest {
            name,
            norm: square.sqrt(),
            broken,
        });
    }

    /// The error about a number that is not finite. All examples go to the log, the first ones into the message.
    fn broken(&self, what: &str, value: f64, batches: Range<u64>) -> NnError {
        let seed = self.batches();
        let examples: Vec<String> = batches
            .flat_map(|batch| self.objective.examples(batch, seed))
            .collect();
        if !examples.is_empty() {
            let all = format!(
                "the examples of the batch that broke: {}",
                examples.join("; ")
            );
            if let Err(stopped) = self.progress.note(&all) {
                return stopped.into();
            }
        }
        let gradient = match (&self.largest, &self.before) {
            (Some(now), Some(before)) if !now.norm.is_finite() => {
                format!("the largest gradient is {now} (the update before: {before})")
            }
            (Some(now), _) => format!("the largest gradient is {now}"),
            (None, _) => "nothing has a gradient yet".to_owned(),
        };
        NnError::NotFinite {
            step: self.step,
            what: what.to_owned(),
            value,
            examples,
            gradient,
        }
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
    fn log(&mut self) -> Result<(), NnError> {
        for mean in std::mem::take(&mut self.sums) {
            self.metric(mean.name, mean.sum / mean.count as f64);
        }
        let rate = self.config.schedule().rate(self.step - 1);
        self.metric("train.learning_rate".to_owned(), rate);
        self.show()
    }

    /// Adds what is new to the event file in scratch. It is added to, not replaced: TensorBoard goes on reading where it was.
    fn show(&mut self) -> Result<(), NnError> {
        let (mut file, shown) = match self.live.take() {
            Some(live) => live,
            None => (EventFile::create(self.scratch)?, 0),
        };
        log_scalars(&mut file, &self.metrics[shown..])?;
        self.live = Some((file, self.metrics.len()));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), NnError> {
        let judge = self.objective.judge();
        let mut judged = None;
        for (name, value) in self.objective.evaluate(self.model, self.device)? {
            if name == judge.name {
                judged = Some(value);
            }
            self.metric(format!("eval.{name}"), value);
        }
        self.show()?;
        let Some(value) = judged else {
            return Ok(());
        };
        if !value.is_finite() {
            return Err(self.broken(&format!("`eval.{}`", judge.name), value, 0..0));
        }
        let delta = self.config.min_delta;
        let best = self.judged.note(self.step, value, judge.better, delta);
        if best && self.config.keep == Keep::Best {
            self.best = self.trainable();
        }
        Ok(())
    }

    /// Refuses to go by evaluations when there are none.
    fn needs_judge(&self) -> Result<(), NnError> {
        let (patience, keep) = (self.config.patience, self.config.keep);
        if self.judged.best.is_some() || (patience == 0 && keep == Keep::Last) {
            return Ok(());
        }
        let name = self.objective.judge().name;
        let missing = format!("needs `eval.{name}`, but nothing is held out to evaluate");
        Err(if patience > 0 {
            NnError::setting("patience", format!("is {patience}, which {missing}"))
        } else {
            NnError::setting("keep", format!("is `best`, which {missing}"))
        })
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
}
