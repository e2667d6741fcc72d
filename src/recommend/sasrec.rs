//! The network as a scorer, and its training with the validation items as the judge.

use super::{Histories, Method, Part, Query, RecommendError, Scorer, rank_all, write_label};
use crate::data::Split;
use crate::eval::ranking::RankMetric;
use crate::nn::models::sasrec::{NextItem, Sasrec};
use crate::nn::training::{TrainConfig, Trained, train};
use crate::nn::{Backend, Graph, NnError};
use crate::progress::{Progress, Silent};
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use std::path::Path;

pub use crate::nn::models::sasrec::SasrecConfig;

/// A trained [`Sasrec`].
pub struct SasrecScorer {
    model: Sasrec<Cpu>,
}

impl SasrecScorer {
    /// Reads `config.json` and `model.safetensors` of a folder.
    pub fn load(folder: &Path) -> Result<Self, RecommendError> {
        let model = Sasrec::load(&Cpu::default(), folder)?;
        Ok(Self { model })
    }

    /// Writes a model and `scorer.json` into a folder.
    pub fn save<D: Backend>(model: &Sasrec<D>, folder: &Path) -> Result<(), RecommendError> {
        model.save(folder)?;
        write_label(folder, Method::Sasrec)
    }
}

impl Scorer for SasrecScorer {
    fn n_items(&self) -> usize {
        self.model.config().items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        On {
            model: &self.model,
            device: &Cpu::default(),
        }
        .score(queries, scores)
    }
}

/// A model on its device, while it is being trained or after.
struct On<'a, D: Backend> {
    model: &'a Sasrec<D>,
    device: &'a D,
}

impl<D: Backend> Scorer for On<'_, D> {
    fn n_items(&self) -> usize {
        self.model.config().items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        let histories: Vec<&[u32]> = queries.iter().map(|query| query.history).collect();
        let g = Graph::inference(self.device);
        scores.copy_from_slice(&self.model.next(&g, &histories)?.to_vec());
        Ok(())
    }
}

/// How a training is judged while it runs.
pub const MEASURE: RankMetric = RankMetric::Ndcg(10);

/// What a training needs besides the model.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSasrec {
    /// Passes over the training histories, at least 1.
    pub epochs: u64,
    /// Passes between evaluations, at least 1.
    pub eval_every: u64,
    /// Histories of a batch, at least 1.
    pub batch: usize,
    /// Users whose validation item is ranked at an evaluation, evenly spread; 0 for all.
    pub eval_users: usize,
    /// Label smoothing, at least 0 and below 1.
    pub smoothing: f32,
    /// The optimiser; its `steps` and `eval_every` are set from the passes, and `warmup_steps` is cut to `steps`.
    pub optimiser: TrainConfig,
}

/// What a training left.
#[derive(Clone, Debug, PartialEq)]
pub struct SasrecFit {
    /// What was logged.
    pub trained: Trained,
    /// [`MEASURE`] of the weights that were kept.
    pub kept: f64,
    /// Steps of one pass.
    pub steps_per_epoch: u64,
    /// Targets of one pass.
    pub targets: usize,
}

/// Trains a model on the training part of a split, judged by how it ranks the validation items.
///
/// # Errors
/// Nobody with two training interactions, or with a validation item; an item that is not below `items` of `config`; whatever
/// [`train`] says.
pub fn train_sasrec<D: Backend>(
    split: &Split,
    model: &mut Sasrec<D>,
    config: &TrainSasrec,
    seed: Seed,
    device: &D,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<SasrecFit, RecommendError> {
    let items = model.config().items;
    if let Some(&id) = split.train.items.iter().find(|&&id| id as usize >= items) {
        return Err(RecommendError::Unknown {
            side: "item",
            id,
            size: items,
        });
    }
    let all = Histories::new(split, Part::Validation);
    if all.is_empty() {
        return Err(RecommendError::Empty(
            "no user has a validation item, by which weights could be chosen",
        ));
    }
    let judged = if config.eval_users == 0 {
        all
    } else {
        all.only((0..all.len()).step_by(all.len().div_ceil(config.eval_users)))
    };
    let measure = move |model: &Sasrec<D>, device: &D| {
        rank_all(&On { model, device }, &judged, true, &Silent)
            .map(|ranked| MEASURE.mean(&ranked.ranks.ranks))
            .map_err(|error| match error {
                RecommendError::Nn(error) => error,
                other => NnError::Other(Box::new(other)),
            })
    };
    let histories = split
        .train
        .by_user()
        .map(|(user, run)| (user, split.train.items[run].to_vec()));
    let objective = NextItem::new(
        histories,
        model.config().max_length,
        config.batch,
        "ndcg@10",
        Box::new(measure),
    )?
    .smoothed(config.smoothing);
    let batches = objective.steps_per_epoch();
    let per_epoch = batches.div_ceil(config.optimiser.accumulate.max(1));
    let steps = per_epoch * config.epochs;
    let optimiser = TrainConfig {
        steps,
        eval_every: per_epoch * config.eval_every,
        warmup_steps: config.optimiser.warmup_steps.min(steps),
        ..config.optimiser.clone()
    };
    progress.note(&format!(
        "{} targets an epoch in {per_epoch} steps, {} epochs",
        objective.n_targets(),
        config.epochs
    ))?;
    let trained = train(
        &objective, model, &optimiser, seed, device, scratch, progress,
    )?;
    let kept = trained.kept("eval.ndcg@10").ok_or_else(|| {
        NnError::setting(
            "eval_every",
            "left no evaluation of the weights that were kept",
        )
    })?;
    Ok(SasrecFit {
        trained,
        kept,
        steps_per_epoch: per_epoch,
        targets: objective.n_targets(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::split;
    use super::*;
    use crate::nn::training::Keep;
    use crate::progress::{Report, Stopped};
    use std::cell::Cell;

    fn config() -> SasrecConfig {
        SasrecConfig {
            items: 12,
            width: 16,
            blocks: 1,
            heads: 2,
            max_length: 6,
            dropout: 0.1,
            init_std: 0.1,
        }
    }

    fn training() -> TrainSasrec {
        TrainSasrec {
            epochs: 12,
            eval_every: 3,
            batch: 8,
            eval_users: 0,
            smoothing: 0.0,
            optimiser: TrainConfig {
                learning_rate: 0.01,
                warmup_steps: 5,
                checkpoint_every: 7,
                weight_decay: 0.0,
                keep: Keep::Best,
                ..TrainConfig::default()
            },
        }
    }

    /// Everyone walks round the circle of items, each from a place of their own: the last item alone says what follows.
    fn circle() -> Split {
        let users: Vec<Vec<u32>> = (0..40_u32)
            .map(|user| {
                (0..6 + user % 3)
                    .map(|step| (user * 5 + step) % 12)
                    .collect()
            })
            .collect();
        let users: Vec<&[u32]> = users.iter().map(Vec::as_slice).collect();
        split(&users)
    }

    fn fit(
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<(Sasrec<Cpu>, SasrecFit), RecommendError> {
        let device = Cpu::default();
        let mut model = Sasrec::new(&device, &config(), Seed::new(1))?;
        let (split, training) = (circle(), training());
        let fit = train_sasrec(
            &split,
            &mut model,
            &training,
            Seed::new(2),
            &device,
            scratch,
            progress,
        )?;
        Ok((model, fit))
    }

    #[test]
    fn what_follows_is_learned_and_the_scorer_ranks_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let (model, fit) = fit(folder.path(), &Silent).unwrap();
        assert!(fit.kept > 0.95, "{fit:?}");
        let greatest = fit
            .trained
            .metrics
            .iter()
            .filter(|m| m.name == "eval.ndcg@10");
        let greatest = greatest.map(|m| m.value).fold(0.0, f64::max);
        assert_eq!(fit.kept, greatest);
        SasrecScorer::save(&model, folder.path()).unwrap();
        let scorer = super::super::load(folder.path()).unwrap();
        let test = Histories::new(&circle(), Part::Test);
        let ranked = rank_all(scorer.as_ref(), &test, true, &Silent).unwrap();
        assert!(RankMetric::Hr(1).mean(&ranked.ranks.ranks) > 0.9);
    }

    /// Stops at a report.
    struct StopAt(Cell<u32>);

    impl Progress for StopAt {
        fn report(&self, _: Report) -> Result<(), Stopped> {
            self.0.set(self.0.get().saturating_sub(1));
            if self.0.get() == 0 {
                Err(Stopped)
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn a_stopped_training_ends_with_the_same_bits() {
        let (whole, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (model, at_once) = fit(whole.path(), &Silent).unwrap();
        for reports in [9, 25, 40] {
            let stopped = fit(pieces.path(), &StopAt(Cell::new(reports)));
            assert!(stopped.is_err());
        }
        let (resumed, later) = fit(pieces.path(), &Silent).unwrap();
        assert_eq!(at_once.kept, later.kept);
        let arrays = crate::nn::weights::to_arrays;
        assert_eq!(arrays(&model), arrays(&resumed));
    }

    #[test]
    fn what_cannot_be_trained_is_named() {
        let device = Cpu::default();
        let scratch = tempfile::tempdir().unwrap();
        let said = |users: &[&[u32]]| {
            let mut model = Sasrec::new(&device, &config(), Seed::new(1)).unwrap();
            let (split, training) = (split(users), training());
            train_sasrec(
                &split,
                &mut model,
                &training,
                Seed::new(2),
                &device,
                scratch.path(),
                &Silent,
            )
            .unwrap_err()
            .to_string()
        };
        insta::assert_snapshot!(said(&[&[1, 2, 3, 12, 5, 6]]), @"the split has the item 12, but the method was fitted for 12 items");
        insta::assert_snapshot!(said(&[&[1, 2]]), @"no user has a validation item, by which weights could be chosen");
        insta::assert_snapshot!(said(&[&[1, 2, 3]]), @"`split` has no user with two training interactions, but needs one to learn what follows");
    }
}
