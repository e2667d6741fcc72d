//! Greedy generation with a cache of keys and values.

use super::{Batch, ItemLanguage, Sequence};
use crate::nn::models::batches;
use crate::nn::models::qformer::TokenTable;
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::progress::Progress;

/// Settings of greedy generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greedy {
    /// Tokens after which a text ends by itself.
    pub max_new_tokens: usize,
    /// Prompts that are continued at the same time.
    pub batch: usize,
    /// Ends a text.
    pub eos: u32,
    /// Tokens that are never written: the special tokens other than `eos`.
    pub forbidden: Vec<u32>,
}

/// Continues every prompt with the most likely token, again and again; ties go to the smaller id.
///
/// Returns for each prompt, in the order given, the new tokens without `<eos>`; a text also ends where the model has no more positions. Prompts of similar length run together, padded on
/// the right; each row has its own positions and sees its own keys only, so its text depends on its prompt alone, up to the
/// rounding of matrix products of another size.
pub fn greedy<D: Backend>(
    model: &ItemLanguage<D>,
    table: &TokenTable,
    prompts: &[Sequence],
    settings: &Greedy,
    device: &D,
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>, NnError> {
    if settings.batch == 0 {
        return Err(NnError::setting("batch", "is 0, but must be at least 1"));
    }
    let lengths: Vec<usize> = prompts.iter().map(|p| p.ids.len()).collect();
    let mut texts = vec![Vec::new(); prompts.len()];
    let mut done = 0;
    for numbers in batches::by_length(&lengths, settings.batch) {
        let batch: Vec<&Sequence> = numbers.iter().map(|&i| &prompts[i]).collect();
        let continued = continue_batch(model, table, &batch, settings, device)?;
        done += numbers.len();
        for (number, text) in numbers.into_iter().zip(continued) {
            texts[number] = text;
        }
        progress.tick("text", done as u64, prompts.len() as u64)?;
    }
    Ok(texts)
}

fn continue_batch<D: Backend>(
    model: &ItemLanguage<D>,
    table: &TokenTable,
    prompts: &[&Sequence],
    settings: &Greedy,
    device: &D,
) -> Result<Vec<Vec<u32>>, NnError> {
    let mut texts = vec![Vec::new(); prompts.len()];
    if settings.max_new_tokens == 0 {
        return Ok(texts);
    }
    let g = Graph::inference(device);
    let batch = Batch::new(prompts, model.adapter.soft_tokens());
    let embeddings = model.embed(&g, table, &batch)?;
    let (mut hidden, mut writing) = model.language.start(&g, &embeddings, &batch.lengths)?;
    let limit = model.language.limit().unwrap_or(usize::MAX);
    // Row r of `hidden` and of what is being written belongs to prompt `running[r]`.
    let mut running: Vec<usize> = (0..prompts.len()).collect();
    D::together(prompts.len(), || {
        loop {
            let next = most_likely(&g, model, &hidden, &settings.forbidden)?;
            let mut kept = Vec::with_capacity(running.len());
            for (row, (&prompt, &token)) in running.iter().zip(&next).enumerate() {
                if token == settings.eos {
                    continue;
                }
                texts[prompt].push(token);
                let written = texts[prompt].len();
                if written < settings.max_new_tokens && batch.lengths[prompt] + written <= limit {
                    kept.push(row);
                }
            }
            if kept.is_empty() {
                return Ok(texts);
            }
            let tokens: Vec<u32> = kept.iter().map(|&row| next[row]).collect();
            if kept.len() < running.len() {
                writing.keep(&g, &kept)?;
                running = kept.iter().map(|&row| running[row]).collect();
            }
            hidden = model.language.step(&g, &tokens, &mut writing)?;
        }
    })
}

/// The most likely next token of each row.
fn most_likely<D: Backend>(
    g: &Graph<D>,
    model: &ItemLanguage<D>,
    hidden: &Matrix<D>,
    forbidden: &[u32],
) -> Result<Vec<u32>, NnError> {
    let logits = model.language.logits(g, hidden)?;
    let vocabulary = logits.columns();
    let mut values = logits.to_vec();
    let mut tokens = Vec::with_capacity(hidden.rows());
    for row in values.chunks_mut(vocabulary) {
        for &token in forbidden {
            if let Some(logit) = row.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let mut best = 0;
        for (token, &logit) in row.iter().enumerate() {
            // Strictly greater: the first of equals wins.
            if logit > row[best] {
                best = token;
            }
        }
        if !row[best].is_finite() {
            let message = format!("the logits hold {}, so there is no next token", row[best]);
            return Err(NnError::Other(message.into()));
        }
        tokens.push(best as u32);
    }
    Ok(tokens)
}
