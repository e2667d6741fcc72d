//! What pre-training minimises: the cross-entropy of every next token.

use super::Llama;
use super::packing::{self, Corpus};
use crate::nn::training::{Losses, Objective};
use crate::nn::{Backend, Graph, Matrix, NnError, ops};
use crate::seed::Seed;
use std::sync::{Mutex, PoisonError};

/// Learns to continue text, from documents packed into blocks without padding.
///
/// A block may hold the end of one document and the start of the next; attention crosses the border, as in most
/// pre-training, and `<bos>` and `<eos>` mark it.
#[derive(Debug)]
pub struct Pretraining {
    corpus: Corpus,
    /// Tokens of a block.
    length: usize,
    /// Blocks of a step.
    batch: usize,
    /// Blocks of one pass over the training documents.
    per_epoch: u64,
    held_out: Vec<Vec<u32>>,
    /// The blocks of the epoch that was asked for last; only saves making them again.
    epoch: Mutex<Option<(Seed, u64, Vec<Vec<u32>>)>>,
}

impl Pretraining {
    /// Prepares to learn from a corpus, `batch` blocks of `length` tokens at a time, and to measure on at most `evaluated`
    /// blocks of its held-out documents.
    pub fn new(
        corpus: Corpus,
        length: usize,
        batch: usize,
        evaluated: usize,
    ) -> Result<Self, NnError> {
        if length == 0 || batch == 0 {
            return Err(NnError::setting(
                "context",
                "or `batch` is 0, but each must be at least 1",
            ));
        }
        let tokens: usize = corpus.training.iter().map(Vec::len).sum();
        let per_epoch = tokens.saturating_sub(1) / length;
        if per_epoch == 0 {
            return Err(NnError::setting(
                "context",
                format!("is {length}, but the training text has only {tokens} tokens"),
            ));
        }
        let mut held_out = packing::blocks(&corpus.held_out, length);
        held_out.truncate(evaluated);
        Ok(Self {
            corpus,
            length,
            batch,
            per_epoch: per_epoch as u64,
            held_out,
            epoch: Mutex::new(None),
        })
    }

    /// Blocks that are measured on.
    pub fn held_out_blocks(&self) -> usize {
        self.held_out.len()
    }

    /// Blocks of one pass over the training documents.
    pub fn blocks_per_epoch(&self) -> u64 {
        self.per_epoch
    }

    /// The blocks of a step: a pure function of seed and step. A step may reach into the next epoch.
    fn at_step(&self, seed: Seed, step: u64) -> Vec<Vec<u32>> {
        let first = step * self.batch as u64;
        (first..first + self.batch as u64)
            .map(|number| self.block(seed, number / self.per_epoch, number % self.per_epoch))
            .collect()
    }

    fn block(&self, seed: Seed, epoch: u64, position: u64) -> Vec<u32> {
        // A thread that panicked while holding the lock left a whole epoch or none.
        let mut held = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = match held.take() {
            Some((s, e, blocks)) if (s, e) == (seed, epoch) => blocks,
            _ => packing::epoch(&self.corpus.training, self.length, seed, epoch),
        };
        let block = blocks[position as usize].clone();
        *held = Some((seed, epoch, blocks));
        block
    }
}

/// Mean cross-entropy of the next token over blocks of equal length.
fn loss_of<D: Backend>(
    g: &Graph<D>,
    model: &Llama<D>,
    blocks: &[Vec<u32>],
) -> Result<Matrix<D>, NnError> {
    let inputs: Vec<u32> = blocks
        .iter()
        .flat_map(|block| &block[..block.len() - 1])
        .copied()
        .collect();
    let targets: Vec<Option<u32>> = blocks
        .iter()
        .flat_map(|block| &block[1..])
        .map(|&id| Some(id))
        .collect();
    let embeddings = model.embed(g, &inputs)?;
    let hidden = model.hidden(g, &embeddings, blocks.len())?;
    let logits = model.logits(g, &hidden)?;
    ops::cross_entropy(g, &logits, &targets, 0.0)
}

impl<D: Backend> Objective<D> for Pretraining {
    type Model = Llama<D>;

    fn loss(
        &self,
        g: &Graph<D>,
        model: &Self::Model,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError> {
        Ok(Losses {
            total: loss_of(g, model, &self.at_step(seed, step))?,
            parts: Vec::new(),
        })
    }

    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut sum = 0.0;
        for blocks in self.held_out.chunks(self.batch) {
            let loss = loss_of(&Graph::inference(device), model, blocks)?;
            sum += f64::from(loss.item()?) * blocks.len() as f64;
        }
        let loss = sum / self.held_out.len() as f64;
        Ok(vec![
            ("loss".to_owned(), loss),
            ("perplexity".to_owned(), loss.exp()),
        ])
    }
}
