//! The state of a training on its way to a checkpoint and back.

use super::run::{Objective, Session};
use super::{Checkpoint, Keep};
use crate::nn::{Backend, Module as _, NnError};

impl<D: Backend, O: Objective<D>> Session<'_, D, O> {
    /// The trainable parameters, in the order of the model's visit.
    pub(super) fn trainable(&self) -> Vec<Vec<f32>> {
        let mut values = Vec::new();
        self.model.visit("", &mut |_, param| {
            if param.trainable() {
                values.push(param.value.to_vec());
            }
        });
        values
    }

    /// Overwrites the trainable parameters, in the order of the model's visit.
    pub(super) fn fill<'a>(
        &mut self,
        mut values: impl Iterator<Item = &'a [f32]>,
    ) -> Result<(), NnError> {
        let mut result = Ok(());
        self.model.visit_mut("", &mut |_, param| {
            if param.trainable()
                && result.is_ok()
                && let Some(values) = values.next()
            {
                result = param.value.overwrite(values);
            }
        });
        result
    }

    /// What a checkpoint must have been made with to be of use here.
    fn identity(&self) -> Result<String, NnError> {
        let config = serde_json::to_string(self.config).map_err(std::io::Error::from)?;
        Ok(format!("seed {}, {config}", self.seed.value()))
    }

    pub(super) fn save(&self) -> Result<(), NnError> {
        let mut arrays = Vec::new();
        self.model.visit("", &mut |name, param| {
            if param.trainable() {
                arrays.push((name.to_owned(), param.value.to_vec()));
            }
        });
        for (kind, values) in [
            ("first", &self.optimiser.first),
            ("second", &self.optimiser.second),
            ("best", &self.best),
        ] {
            for values in values {
                arrays.push((kind.to_owned(), values.clone()));
            }
        }
        let checkpoint = Checkpoint {
            identity: self.identity()?,
            step: self.step,
            metrics: self.metrics.clone(),
            sums: self.sums.clone(),
            judged: self.judged.clone(),
            arrays,
        };
        checkpoint.save(self.scratch)
    }

    /// Takes over the checkpoint, if there is one that can be used.
    pub(super) fn resume(&mut self) -> Result<(), NnError> {
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
        let has_best = self.config.keep == Keep::Best && checkpoint.judged.best.is_some();
        let kinds = ["first", "second", "best"];
        for kind in &kinds[..2 + usize::from(has_best)] {
            expected.extend(lengths.iter().map(|&length| ((*kind).to_owned(), length)));
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
        let count = self.optimiser.first.len();
        let arrays = &checkpoint.arrays;
        self.fill(arrays.iter().map(|array| array.1.as_slice()))?;
        let mut arrays = checkpoint.arrays.into_iter().map(|array| array.1);
        let mut next = || -> Vec<Vec<f32>> { arrays.by_ref().take(count).collect() };
        let _parameters = next();
        self.optimiser.first = next();
        self.optimiser.second = next();
        self.best = next();
        self.optimiser.steps = checkpoint.step;
        self.step = checkpoint.step;
        self.metrics = checkpoint.metrics;
        self.sums = checkpoint.sums;
        self.judged = checkpoint.judged;
        Ok(())
    }
}
