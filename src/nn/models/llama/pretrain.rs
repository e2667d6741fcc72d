//! What pre-training minimises: the cross-entropy of every next token.

use super::{Corpus, Llama};
use crate::nn::models::batches::{Batches, by_length};
use crate::nn::training::{Losses, Objective};
use crate::nn::{Backend, Graph, Matrix, NnError, ops};
use crate::seed::Seed;
use crate::text::PAD;

/// Learns to continue text.
///
/// A row of a batch is one document from its `<bos>` on, as in generation; rows of similar length stand together and are padded to
/// the longest. Packing documents end to end into blocks would waste no padding, but cuts most of them away from their start, and what
/// the model must learn here is to use the start (a description) for the end.
#[derive(Debug)]
pub struct Pretraining {
    training: Vec<Vec<u32>>,
    held_out: Vec<Vec<u32>>,
    batch: usize,
    batches: Batches,
    /// The document of each training part, from 0.
    documents: Vec<usize>,
    smoothing: f32,
}

impl Pretraining {
    /// Prepares to learn from a corpus, `batch` documents at a time, and to measure on at most `evaluated` held-out ones.
    pub fn new(corpus: Corpus, batch: usize, evaluated: usize) -> Result<Self, NnError> {
        if batch == 0 {
            return Err(NnError::setting("batch", "is 0, but must be at least 1"));
        }
        if corpus.training.is_empty() {
            return Err(NnError::setting("tasks", "has no text to learn from"));
        }
        let mut held_out = corpus.held_out;
        held_out.truncate(evaluated);
        let lengths = corpus.training.iter().map(Vec::len).collect();
        Ok(Self {
            training: corpus.training,
            held_out,
            batch,
            batches: Batches::new(lengths, batch),
            documents: corpus.training_sources,
            smoothing: 0.0,
        })
    }

    /// Trains with label smoothing, at least 0 and below 1. What is held out is measured without.
    #[must_use]
    pub fn smoothed(self, smoothing: f32) -> Self {
        Self { smoothing, ..self }
    }

    /// Steps of one pass over the training documents.
    pub fn steps_per_epoch(&self) -> u64 {
        self.batches.per_epoch()
    }
}

/// Mean cross-entropy of the next token over documents, and the number of tokens.
fn loss_of<D: Backend>(
    g: &Graph<D>,
    model: &Llama<D>,
    documents: &[&[u32]],
    smoothing: f32,
) -> Result<(Matrix<D>, usize), NnError> {
    // The last token predicts nothing.
    let width = documents.iter().map(|d| d.len() - 1).max().unwrap_or(0);
    let mut inputs = Vec::with_capacity(documents.len() * width);
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for document in documents {
        let start = inputs.len();
        rows.extend(start..start + document.len() - 1);
        targets.extend(document[1..].iter().map(|&id| Some(id)));
        inputs.extend_from_slice(&document[..document.len() - 1]);
        inputs.resize(start + width, PAD);
    }
    let embeddings = model.embed(g, &inputs)?;
    let hidden = model.hidden(g, &embeddings, documents.len())?;
    let predicting = ops::gather_rows(g, &hidden, &rows)?;
    let logits = model.logits(g, &predicting)?;
    Ok((
        ops::cross_entropy(g, &logits, &targets, smoothing)?,
        rows.len(),
    ))
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
        let chosen = self.batches.at_step(seed, step);
        let documents: Vec<&[u32]> = chosen.iter().map(|&i| &self.training[i][..]).collect();
        let (total, targets) = loss_of(g, model, &documents, self.smoothing)?;
        Ok(Losses {
            total,
            parts: Vec::new(),
            weight: targets as f64,
        })
    }

    fn examples(&self, step: u64, seed: Seed) -> Vec<String> {
        let name = |i: usize| match self.documents.get(i) {
            Some(document) => format!("document {}", document + 1),
            None => format!("part {i}"),
        };
        let chosen = self.batches.at_step(seed, step);
        chosen.into_iter().map(name).collect()
    }

    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let lengths: Vec<usize> = self.held_out.iter().map(Vec::len).collect();
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in by_length(&lengths, self.batch) {
            let documents: Vec<&[u32]> = batch.iter().map(|&i| &self.held_out[i][..]).collect();
            let (loss, n) = loss_of(&Graph::inference(device), model, &documents, 0.0)?;
            sum += f64::from(loss.item()?) * n as f64;
            tokens += n;
        }
        let loss = sum / tokens as f64;
        Ok(vec![
            ("loss".to_owned(), loss),
            // JSON has no infinity.
            ("perplexity".to_owned(), loss.exp().min(f64::MAX)),
        ])
    }
}
