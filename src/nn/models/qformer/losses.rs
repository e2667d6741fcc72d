//! The five losses of phase 1 on one batch.
//!
//! ITC, ITM and ITG are those of BLIP-2 (arXiv 2301.12597, §3.1; LAVIS `blip2_qformer.py`); IIC and UIC are the ILM paper's.

use super::contrast::{self, Cells, PairLoss, Pooling, Scored};
use super::sampling::{draw_distinct, draw_negatives};
use super::{ItemBatch, Loss, PairSet, Phase1Data, Qformer, Relation, TextBatch, TokenTable};
use crate::nn::ops;
use crate::nn::{Backend, Graph, Matrix, NnError};
use crate::seed::Seed;

/// Where a batch comes from and what it is for.
pub(super) struct Batch<'a> {
    /// Everything that phase 1 reads.
    pub data: &'a Phase1Data,
    /// For the negatives.
    pub seed: Seed,
    /// Held-out losses: negatives for matching are uniform, so that the yardstick does not move with the model, and every
    /// known pair is a positive.
    pub evaluating: bool,
}

/// The item-text losses among `wanted`.
pub(super) struct TextLosses<'a> {
    /// Which of ITC, ITM and ITG.
    pub wanted: &'a [Loss],
    /// Label smoothing of ITC.
    pub itc_smoothing: f32,
    /// Label smoothing of ITG.
    pub itg_smoothing: f32,
    /// `-ln p` of each token under the token frequencies of the training texts, for ITG's constant predictor.
    pub surprise: &'a [f64],
}

impl TextLosses<'_> {
    /// Computes the wanted losses on the texts `chosen` and their items.
    pub(super) fn of<D: Backend>(
        &self,
        g: &Graph<D>,
        model: &Qformer<D>,
        batch: &Batch<'_>,
        chosen: &[usize],
    ) -> Result<Vec<(Loss, Scored<D>)>, NnError> {
        let wants = |loss| self.wanted.contains(&loss);
        let mut found = Vec::new();
        // Negatives for matching come from the similarities only where ITC trains them.
        let mut similarities = None;
        if wants(Loss::Itc) && chosen.len() > 1 {
            let logits = item_text_logits(g, model, batch.data, chosen)?;
            let cells = Cells {
                relations: &same_cells(batch.data, chosen),
                rows: chosen.len(),
                columns: chosen.len(),
            };
            let scored = contrast::contrast(g, &logits, &cells, self.itc_smoothing)?;
            found.extend(scored.map(|scored| (Loss::Itc, scored)));
            similarities = (!batch.evaluating).then(|| logits.to_vec());
        }
        if wants(Loss::Itm) {
            let pairs = matching_pairs(batch, chosen, similarities.as_deref());
            let scored = matching(g, model, batch.data, chosen, &pairs)?;
            found.extend(scored.map(|scored| (Loss::Itm, scored)));
        }
        if wants(Loss::Itg) {
            found.push((Loss::Itg, self.generation(g, model, batch.data, chosen)?));
        }
        Ok(found)
    }

    /// ITG: the text after `<dec>`, token by token, given the queries that have read the item.
    fn generation<D: Backend>(
        &self,
        g: &Graph<D>,
        model: &Qformer<D>,
        data: &Phase1Data,
        chosen: &[usize],
    ) -> Result<Scored<D>, NnError> {
        let items = items_of(g, data, chosen)?;
        let texts: Vec<&[u32]> = tokens_of(data, chosen);
        let text = TextBatch::new(&texts, data.pad, Some(data.dec));
        let outputs = model.causal_text(g, &items, &text)?;
        let mut rows = Vec::new();
        let mut targets = Vec::new();
        for (index, tokens) in texts.iter().enumerate() {
            for (place, &next) in tokens.iter().skip(1).enumerate() {
                rows.push(index * text.width + place);
                targets.push(Some(next));
            }
        }
        let logits = model
            .texts
            .next_token(g, &ops::gather_rows(g, &outputs, &rows)?)?;
        let surprise: f64 = targets
            .iter()
            .flatten()
            .map(|&token| self.surprise[token as usize])
            .sum();
        Ok(Scored {
            loss: ops::cross_entropy(g, &logits, &targets, self.itg_smoothing)?,
            constant: surprise / targets.len() as f64,
            examples: targets.len(),
        })
    }
}

/// `-ln p` of every token of the vocabulary by its frequency after the first place in the training texts, one added to each
/// count: what the best predictor that ignores item and context pays.
pub(super) fn token_surprise(data: &Phase1Data, vocab: usize) -> Vec<f64> {
    let mut counts = vec![1.0f64; vocab];
    for text in data.texts.iter().filter(|text| !text.held_out) {
        for &token in text.tokens.iter().skip(1) {
            counts[token as usize] += 1.0;
        }
    }
    let total: f64 = counts.iter().sum();
    counts.iter().map(|count| (total / count).ln()).collect()
}

/// ITC's logits: the greatest cosine between any query of an item and the text's first token, over the temperature.
/// Rows are items, columns texts.
pub(super) fn item_text_logits<D: Backend>(
    g: &Graph<D>,
    model: &Qformer<D>,
    data: &Phase1Data,
    chosen: &[usize],
) -> Result<Matrix<D>, NnError> {
    let text = TextBatch::new(&tokens_of(data, chosen), data.pad, None);
    let queries = model.items.forward(g, &items_of(g, data, chosen)?)?;
    let words = model.text(g, &text)?;
    let first: Vec<usize> = (0..chosen.len()).map(|row| row * text.width).collect();
    let z_text = model
        .texts
        .project_texts(g, &ops::gather_rows(g, &words, &first)?)?;
    let z_item = model.texts.project_items(g, &queries)?;
    let cosines = ops::matmul_nt(g, &z_text, &z_item)?;
    let best = ops::max_groups(g, &cosines, model.config().queries)?;
    model.texts.sharpen(g, &ops::transpose(g, &best)?)
}

/// Items and texts to be told apart: positions in the batch, and whether they match.
struct Candidates {
    items: Vec<usize>,
    texts: Vec<usize>,
    matching: Vec<bool>,
}

/// Every pair, then a negative item for each text, then a negative text for each item.
fn matching_pairs(batch: &Batch<'_>, chosen: &[usize], logits: Option<&[f32]>) -> Candidates {
    let n = chosen.len();
    let flat = vec![0.0; n * n];
    let item_to_text = logits.unwrap_or(&flat);
    let text_to_item: Vec<f32> = (0..n)
        .flat_map(|text| (0..n).map(move |item| item_to_text[item * n + text]))
        .collect();
    let other = |a: usize, b: usize| !batch.data.same(chosen[a], chosen[b]);
    let seed = batch.seed.child("matching");
    let items = draw_negatives(&text_to_item, n, other, seed.child("items"));
    let texts = draw_negatives(item_to_text, n, other, seed.child("texts"));
    let mut found = Candidates {
        items: (0..n).collect(),
        texts: (0..n).collect(),
        matching: vec![true; n],
    };
    let drawn = (0..n)
        .filter_map(|text| items[text].map(|item| (item, text)))
        .chain((0..n).filter_map(|item| texts[item].map(|text| (item, text))));
    for (item, text) in drawn {
        found.items.push(item);
        found.texts.push(text);
        found.matching.push(false);
    }
    found
}

/// ITM: two-class cross-entropy of match or no match. With all negatives found, a constant predictor pays
/// `-(1/3)·ln(1/3) - (2/3)·ln(2/3) = 0.6365`.
fn matching<D: Backend>(
    g: &Graph<D>,
    model: &Qformer<D>,
    data: &Phase1Data,
    chosen: &[usize],
    pairs: &Candidates,
) -> Result<Option<Scored<D>>, NnError> {
    let (all, positives) = (pairs.matching.len(), chosen.len());
    if all == positives {
        return Ok(None);
    }
    let item_texts: Vec<usize> = pairs.items.iter().map(|&i| chosen[i]).collect();
    let text_texts: Vec<usize> = pairs.texts.iter().map(|&t| chosen[t]).collect();
    let items = items_of(g, data, &item_texts)?;
    let text = TextBatch::new(&tokens_of(data, &text_texts), data.pad, None);
    let queries = model.joint_queries(g, &items, &text)?;
    let logits = model.texts.matches(g, &queries, model.config().queries)?;
    let targets: Vec<Option<u32>> = pairs.matching.iter().map(|&m| Some(u32::from(m))).collect();
    let share = positives as f64 / all as f64;
    Ok(Some(Scored {
        loss: ops::cross_entropy(g, &logits, &targets, 0.0)?,
        constant: -share * share.ln() - (1.0 - share) * (1.0 - share).ln(),
        examples: all,
    }))
}

/// How pairs of items, or of a user and an item, are drawn together.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairLosses {
    /// Which loss.
    pub loss: PairLoss,
    /// How Q vectors become one.
    pub pooling: Pooling,
    /// m of Eq. 2.
    pub margin: f32,
    /// Negatives of a pair from its batch (margin loss only: InfoNCE uses the whole batch).
    pub in_batch_negatives: usize,
    /// Negatives of a pair from the whole catalogue.
    pub sampled_negatives: usize,
    /// Divides InfoNCE's similarities.
    pub temperature: f32,
}

impl PairLosses {
    /// Computes the loss on `pairs` of `known`, whose left members are rows of `lefts`; `items` says that they are items, so that
    /// an item is never its own negative.
    pub(super) fn of<D: Backend>(
        &self,
        g: &Graph<D>,
        model: &Qformer<D>,
        batch: &Batch<'_>,
        known: &PairSet,
        lefts: &TokenTable,
        items: bool,
        pairs: &[(u32, u32)],
    ) -> Result<Option<Scored<D>>, NnError> {
        let relation = |left: u32, right: u32| {
            if items && left == right {
                Relation::Ignored
            } else {
                known.relation(left, right, batch.evaluating)
            }
        };
        // Columns: the right members, then the sampled items, each with the row that drew it.
        let mut columns: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
        let mut owners = Vec::new();
        for (row, &(left, _)) in pairs.iter().enumerate() {
            let seed = batch.seed.child("sampled").at(row as u64);
            let open = |item: usize| relation(left, item as u32) == Relation::Negative;
            for item in draw_distinct(self.sampled_negatives, batch.data.items.count, open, seed) {
                columns.push(item as u32);
                owners.push(row);
            }
        }
        let left_ids: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
        let left = model
            .items
            .forward(g, &ItemBatch::new(g.device(), lefts, &left_ids)?)?;
        let right = model
            .items
            .forward(g, &ItemBatch::new(g.device(), &batch.data.items, &columns)?)?;
        let q = model.config().queries;
        let cosines = contrast::similarity(g, &left, &right, q, self.pooling)?;

        let mut relations: Vec<Relation> = left_ids
            .iter()
            .flat_map(|&left| columns.iter().map(move |&right| (left, right)))
            .map(|(left, right)| relation(left, right))
            .collect();
        let width = columns.len();
        for row in 0..pairs.len() {
            // The pair itself is a positive whatever the tables say.
            relations[row * width + row] = Relation::Positive;
        }
        if self.loss == PairLoss::Margin {
            relations = self.labelled(&relations, pairs.len(), &owners, batch.seed);
        }
        let cells = Cells {
            relations: &relations,
            rows: pairs.len(),
            columns: width,
        };
        match self.loss {
            PairLoss::Margin => contrast::margin(g, &cosines, &cells, self.margin),
            PairLoss::InfoNce => {
                let logits = ops::scale(g, &cosines, 1.0 / self.temperature)?;
                contrast::contrast(g, &logits, &cells, 0.0)
            }
        }
    }

    /// Keeps, of all cells, those that Eq. 2 labels: each row's own pair, its drawn in-batch negatives and its sampled ones.
    fn labelled(
        &self,
        relations: &[Relation],
        rows: usize,
        owners: &[usize],
        seed: Seed,
    ) -> Vec<Relation> {
        let width = rows + owners.len();
        let mut kept = vec![Relation::Ignored; relations.len()];
        for row in 0..rows {
            let line = row * width;
            kept[line + row] = Relation::Positive;
            let open = |column: usize| relations[line + column] == Relation::Negative;
            let seed = seed.child("in-batch").at(row as u64);
            for column in draw_distinct(self.in_batch_negatives, rows, open, seed) {
                kept[line + column] = Relation::Negative;
            }
            for (index, _) in owners
                .iter()
                .enumerate()
                .filter(|(_, owner)| **owner == row)
            {
                kept[line + rows + index] = Relation::Negative;
            }
        }
        kept
    }
}

fn same_cells(data: &Phase1Data, chosen: &[usize]) -> Vec<Relation> {
    chosen
        .iter()
        .flat_map(|&a| chosen.iter().map(move |&b| (a, b)))
        .map(|(a, b)| {
            if data.same(a, b) {
                Relation::Positive
            } else {
                Relation::Negative
            }
        })
        .collect()
}

fn items_of<D: Backend>(
    g: &Graph<D>,
    data: &Phase1Data,
    chosen: &[usize],
) -> Result<ItemBatch<D>, NnError> {
    let items: Vec<u32> = chosen.iter().map(|&index| data.texts[index].item).collect();
    ItemBatch::new(g.device(), &data.items, &items)
}

fn tokens_of<'a>(data: &'a Phase1Data, chosen: &[usize]) -> Vec<&'a [u32]> {
    chosen
        .iter()
        .map(|&index| data.texts[index].tokens.as_slice())
        .collect()
}
