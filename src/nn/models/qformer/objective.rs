//! Phase 1 as an objective of the training loop: what a step computes, and the held-out losses.

use super::contrast::{PairLoss, Pooling, Scored};
use super::losses::{Batch, PairLosses, TextLosses, token_surprise};
use super::sampling::epoch_batch;
use super::{PairSet, Phase1Data, Qformer, QformerConfig, TokenTable};
use crate::nn::training::{Losses, Objective};
use crate::nn::{Backend, Graph, NnError, ops};
use crate::seed::Seed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// A loss of phase 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Item-text contrast.
    Itc,
    /// Item-text matching.
    Itm,
    /// Item-grounded text generation.
    Itg,
    /// Item-item contrast.
    Iic,
    /// User-item contrast.
    Uic,
}

impl Loss {
    /// Every loss, in the order of the paper.
    pub const ALL: [Self; 5] = [Self::Itc, Self::Itm, Self::Itg, Self::Iic, Self::Uic];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Itc => "itc",
            Self::Itm => "itm",
            Self::Itg => "itg",
            Self::Iic => "iic",
            Self::Uic => "uic",
        }
    }

    const fn is_item_text(self) -> bool {
        matches!(self, Self::Itc | Self::Itm | Self::Itg)
    }
}

/// What each loss is multiplied by before they are added. All 1 by default (BLIP-2 adds its three losses unweighted).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Of ITC.
    pub itc: f32,
    /// Of ITM.
    pub itm: f32,
    /// Of ITG.
    pub itg: f32,
    /// Of IIC.
    pub iic: f32,
    /// Of UIC.
    pub uic: f32,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            itc: 1.0,
            itm: 1.0,
            itg: 1.0,
            iic: 1.0,
            uic: 1.0,
        }
    }
}

impl LossWeights {
    /// The weight of `loss`.
    pub const fn of(&self, loss: Loss) -> f32 {
        match loss {
            Loss::Itc => self.itc,
            Loss::Itm => self.itm,
            Loss::Itg => self.itg,
            Loss::Iic => self.iic,
            Loss::Uic => self.uic,
        }
    }
}

/// The settings of phase 1's losses and batches; the stage's parameters document ranges and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase1Config {
    /// Which losses.
    pub losses: Vec<Loss>,
    /// Their weights.
    pub weights: LossWeights,
    /// Item-text pairs of a step.
    pub batch: usize,
    /// Item-item or user-item pairs of a step.
    pub pair_batch: usize,
    /// Label smoothing of ITC.
    pub itc_smoothing: f32,
    /// Label smoothing of ITG.
    pub itg_smoothing: f32,
    /// The loss of IIC and UIC.
    pub pair_loss: PairLoss,
    /// How the Q vectors of an item become one for IIC and UIC.
    pub pooling: Pooling,
    /// m of Eq. 2.
    pub margin: f32,
    /// Negatives of a pair from its batch, for the margin loss.
    pub in_batch_negatives: usize,
    /// Negatives of a pair from the catalogue.
    pub sampled_negatives: usize,
    /// Divides the similarities of InfoNCE.
    pub pair_temperature: f32,
    /// Held-out examples of each kind that an evaluation looks at, at most.
    pub eval_examples: usize,
}

/// A kind of example; every step takes a batch of each kind that a wanted loss needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    ItemText,
    ItemItem,
    UserItem,
}

/// The objective of phase 1.
///
/// Every step takes one batch of item-text pairs, one of item-item pairs and one of user-item pairs, of those whose losses are
/// wanted, and adds the losses. (The first version of the paper alternates such batches; adding them gives every update
/// all losses, so that Adam's moments and the logged means do not swing between kinds.) A step's examples and negatives are a pure
/// function of the seed and the step.
///
/// The contrastive losses take negatives from their batch. With `accumulate` above 1 an update is the mean over its batches, each with its own negatives: fewer than
/// those of one large batch, and so not the same update.
pub struct Phase1<D: Backend> {
    data: Phase1Data,
    config: Phase1Config,
    parts: Vec<Part>,
    text_losses: Vec<Loss>,
    train_texts: Vec<usize>,
    held_out_texts: Vec<usize>,
    surprise: Vec<f64>,
    seed: Seed,
    device: PhantomData<D>,
}

impl<D: Backend> Phase1<D> {
    /// Prepares the objective; `seed` is that of the held-out losses' negatives.
    ///
    /// # Errors
    /// When a wanted loss has nothing to train on, or a text does not fit `model`.
    pub fn new(
        data: Phase1Data,
        config: Phase1Config,
        model: &QformerConfig,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let wants = |loss: Loss| config.losses.contains(&loss);
        let text_losses: Vec<Loss> = Loss::ALL
            .into_iter()
            .filter(|&loss| loss.is_item_text() && wants(loss))
            .collect();
        let mut parts = Vec::new();
        if !text_losses.is_empty() {
            parts.push(Part::ItemText);
        }
        if wants(Loss::Iic) {
            parts.push(Part::ItemItem);
        }
        if wants(Loss::Uic) {
            parts.push(Part::UserItem);
        }
        let train_texts = data.text_indices(false);
        let held_out_texts = data.text_indices(true);
        for &part in &parts {
            let (have, need, what) = match part {
                Part::ItemText => (train_texts.len(), 2, "item-text pairs"),
                Part::ItemItem => (data.item_item.train().len(), 1, "item-item pairs"),
                Part::UserItem if data.users.count == 0 => (0, 1, "user vectors"),
                Part::UserItem => (data.user_item.train().len(), 1, "user-item pairs"),
            };
            if have < need {
                let message =
                    format!("needs at least {need} {what} to train on, but there are {have}");
                return Err(NnError::setting("losses", message));
            }
        }
        if parts.is_empty() {
            return Err(NnError::setting(
                "losses",
                "is empty, but must name at least one loss",
            ));
        }
        for text in &data.texts {
            let length = text.tokens.len();
            if !(2..=model.max_text_tokens).contains(&length) {
                let limit = model.max_text_tokens;
                let message =
                    format!("a text has {length} tokens, but must have from 2 to {limit}");
                return Err(NnError::shape("phase 1", message));
            }
            if let Some(token) = text.tokens.iter().find(|&&t| t as usize >= model.vocab) {
                let message = format!("token {token} is outside the vocabulary of {}", model.vocab);
                return Err(NnError::shape("phase 1", message));
            }
        }
        let surprise = token_surprise(&data, model.vocab);
        Ok(Self {
            data,
            config,
            parts,
            text_losses,
            train_texts,
            held_out_texts,
            surprise,
            seed,
            device: PhantomData,
        })
    }

    /// The data.
    pub fn data(&self) -> &Phase1Data {
        &self.data
    }

    /// The best constant predictor's value of each loss on the held-out examples, by name: ITC `ln B`, ITM 0.6365, ITG the
    /// cross-entropy under the training texts' token frequencies, IIC and UIC see
    /// [`margin`](super::contrast::margin) and `ln` of the open columns.
    pub fn constants(&self, model: &Qformer<D>, device: &D) -> Result<Vec<(Loss, f64)>, NnError> {
        let scores = self.held_out(model, device)?;
        Ok(scores.into_iter().map(|(loss, _, c)| (loss, c)).collect())
    }

    /// Each wanted loss on its held-out examples with the constant predictor's value, without dropout, on fixed batches.
    pub fn held_out(
        &self,
        model: &Qformer<D>,
        device: &D,
    ) -> Result<Vec<(Loss, f64, f64)>, NnError> {
        let mut means: Vec<(Loss, Mean)> = Vec::new();
        let mut keep = |scores: Vec<(Loss, Scored<D>)>| -> Result<(), NnError> {
            for (loss, scored) in scores {
                let value = f64::from(scored.loss.item()?);
                if let Some((_, mean)) = means.iter_mut().find(|(known, _)| *known == loss) {
                    mean.add(value, &scored);
                } else {
                    let mut mean = Mean::default();
                    mean.add(value, &scored);
                    means.push((loss, mean));
                }
            }
            Ok(())
        };
        for &part in &self.parts {
            let (all, size) = match part {
                Part::ItemText => (self.held_out_texts.len(), self.config.batch),
                Part::ItemItem => (self.data.item_item.held_out().len(), self.config.pair_batch),
                Part::UserItem => (self.data.user_item.held_out().len(), self.config.pair_batch),
            };
            for (number, chosen) in even_batches(all, self.config.eval_examples, size)
                .into_iter()
                .enumerate()
            {
                let g = Graph::inference(device);
                let batch = Batch {
                    data: &self.data,
                    seed: self.seed.child("held-out").at(number as u64),
                    evaluating: true,
                };
                keep(self.scores(&g, model, &batch, part, &chosen)?)?;
            }
        }
        means.sort_by_key(|(loss, _)| *loss);
        Ok(means
            .into_iter()
            .map(|(loss, mean)| (loss, mean.value(mean.losses), mean.value(mean.constants)))
            .collect())
    }

    /// The losses of a kind on the examples numbered `chosen`.
    fn scores(
        &self,
        g: &Graph<D>,
        model: &Qformer<D>,
        batch: &Batch<'_>,
        part: Part,
        chosen: &[usize],
    ) -> Result<Vec<(Loss, Scored<D>)>, NnError> {
        let pick = |set: &PairSet| -> Vec<(u32, u32)> {
            let pairs = if batch.evaluating {
                set.held_out()
            } else {
                set.train()
            };
            chosen.iter().map(|&index| pairs[index]).collect()
        };
        let pairs = |set: &PairSet, lefts: &TokenTable, items: bool, loss: Loss| {
            let scored = self
                .pair_losses()
                .of(g, model, batch, set, lefts, items, &pick(set))?;
            Ok(scored.map(|scored| (loss, scored)).into_iter().collect())
        };
        let data = &self.data;
        match part {
            Part::ItemText => {
                let texts = if batch.evaluating {
                    &self.held_out_texts
                } else {
                    &self.train_texts
                };
                let chosen: Vec<usize> = chosen.iter().map(|&index| texts[index]).collect();
                let losses = TextLosses {
                    wanted: &self.text_losses,
                    itc_smoothing: self.config.itc_smoothing,
                    itg_smoothing: self.config.itg_smoothing,
                    surprise: &self.surprise,
                };
                losses.of(g, model, batch, &chosen)
            }
            Part::ItemItem => pairs(&data.item_item, &data.items, true, Loss::Iic),
            Part::UserItem => pairs(&data.user_item, &data.users, false, Loss::Uic),
        }
    }

    /// The label of the order and the examples of a kind in batch number `step`.
    fn chosen(&self, part: Part, step: u64) -> (&'static str, Vec<usize>) {
        let (count, size, order) = match part {
            Part::ItemText => (self.train_texts.len(), self.config.batch, "item-text"),
            Part::ItemItem => (
                self.data.item_item.train().len(),
                self.config.pair_batch,
                "item-item",
            ),
            Part::UserItem => (
                self.data.user_item.train().len(),
                self.config.pair_batch,
                "user-item",
            ),
        };
        let chosen = epoch_batch(count, size, step, self.seed.child(order));
        (order, chosen)
    }

    fn pair_losses(&self) -> PairLosses {
        PairLosses {
            loss: self.config.pair_loss,
            pooling: self.config.pooling,
            margin: self.config.margin,
            in_batch_negatives: self.config.in_batch_negatives,
            sampled_negatives: self.config.sampled_negatives,
            temperature: self.config.pair_temperature,
        }
    }
}

impl<D: Backend> Objective<D> for Phase1<D> {
    type Model = Qformer<D>;

    fn loss(
        &self,
        g: &Graph<D>,
        model: &Qformer<D>,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError> {
        let seed = seed.child("negatives").at(step);
        let mut scores = Vec::new();
        for &part in &self.parts {
            let (order, chosen) = self.chosen(part, step);
            let batch = Batch {
                data: &self.data,
                seed: seed.child(order),
                evaluating: false,
            };
            scores.extend(self.scores(g, model, &batch, part, &chosen)?);
        }
        let weighted: Vec<_> = scores
            .iter()
            .map(|(loss, scored)| (self.config.weights.of(*loss), &scored.loss))
            .collect();
        if weighted.is_empty() {
            // Every text of the batch belongs to one item: nothing to tell apart, nothing to learn.
            return Ok(Losses {
                total: g.constant(vec![0.0], (1, 1))?,
                parts: Vec::new(),
                weight: 1.0,
            });
        }
        let mut parts = Vec::with_capacity(scores.len());
        for (loss, scored) in &scores {
            parts.push((loss.name(), f64::from(scored.loss.item()?)));
        }
        Ok(Losses {
            total: ops::weighted_sum(g, &weighted)?,
            parts,
            weight: 1.0,
        })
    }

    fn examples(&self, step: u64, _: Seed) -> Vec<String> {
        let mut names = Vec::new();
        for &part in &self.parts {
            names.extend(self.chosen(part, step).1.into_iter().map(|index| {
                let data = &self.data;
                match part {
                    Part::ItemText => format!("item {}", data.texts[self.train_texts[index]].item),
                    Part::ItemItem => {
                        let (left, right) = data.item_item.train()[index];
                        format!("items {left} and {right}")
                    }
                    Part::UserItem => {
                        let (user, item) = data.user_item.train()[index];
                        format!("user {user} and item {item}")
                    }
                }
            }));
        }
        names
    }

    fn evaluate(&self, model: &Qformer<D>, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        let scores = self.held_out(model, device)?;
        let weighted =
            |&(loss, value, _): &(Loss, f64, f64)| f64::from(self.config.weights.of(loss)) * value;
        let total: f64 = scores.iter().map(weighted).sum();
        let mut values: Vec<(String, f64)> = scores
            .into_iter()
            .map(|(loss, value, _)| (loss.name().to_owned(), value))
            .collect();
        if !values.is_empty() {
            values.push(("loss".to_owned(), total));
        }
        Ok(values)
    }
}

/// A mean over batches, weighted by their examples.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    losses: f64,
    constants: f64,
    examples: f64,
}

impl Mean {
    fn add<D: Backend>(&mut self, value: f64, scored: &Scored<D>) {
        let examples = scored.examples as f64;
        self.losses += value * examples;
        self.constants += scored.constant * examples;
        self.examples += examples;
    }

    fn value(self, sum: f64) -> f64 {
        sum / self.examples
    }
}

/// Up to `limit` of `0..all`, evenly spread, cut into batches of nearly equal size, at most `size`: a last batch of one example
/// would have no negatives.
fn even_batches(all: usize, limit: usize, size: usize) -> Vec<Vec<usize>> {
    let count = all.min(limit);
    let batches = count.div_ceil(size.max(1));
    let example = |index: usize| index * all / count;
    (0..batches)
        .map(|batch| {
            let (start, end) = (batch * count / batches, (batch + 1) * count / batches);
            (start..end).map(example).collect()
        })
        .collect()
}
