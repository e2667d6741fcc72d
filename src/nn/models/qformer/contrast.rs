//! Losses over a similarity matrix whose cells are positives, negatives or ignored.

use super::Relation;
use super::text_side::UNIT_EPS;
use crate::nn::ops;
use crate::nn::{Backend, Graph, Matrix, NnError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How two items, or a user and an item, are drawn together and apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PairLoss {
    /// The margin loss of the ILM paper's Eq. 2 on Euclidean distances.
    Margin,
    /// In-batch softmax over similarities divided by a temperature.
    InfoNce,
}

/// How the Q output vectors of an item become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their mean, then unit length.
    Mean,
    /// The first one, at unit length.
    First,
    /// No single vector: the similarity of two items is the greatest cosine between any query of one and any of the other.
    MaxPair,
}

/// A loss, and the value that the best constant predictor would reach on the same cells.
#[derive(Clone, Debug)]
pub struct Scored<D: Backend> {
    /// `[1, 1]`.
    pub loss: Matrix<D>,
    /// In the units of the loss.
    pub constant: f64,
    /// Examples that the loss is a mean of.
    pub examples: usize,
}

/// A similarity matrix whose every cell has a [`Relation`].
pub struct Cells<'a> {
    /// `[rows, columns]`, row-major.
    pub relations: &'a [Relation],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Cells<'_> {
    fn transposed(&self) -> Vec<Relation> {
        (0..self.columns)
            .flat_map(|c| (0..self.rows).map(move |r| self.relations[r * self.columns + c]))
            .collect()
    }
}

/// Cosines between the items of two passes: `[a, b]`.
///
/// # Shapes
/// - `a`: `[a * q, d]`, `b`: `[b * q, d]`
pub fn similarity<D: Backend>(
    g: &Graph<D>,
    a: &Matrix<D>,
    b: &Matrix<D>,
    q: usize,
    pooling: Pooling,
) -> Result<Matrix<D>, NnError> {
    let pooled = |x: &Matrix<D>| -> Result<Matrix<D>, NnError> {
        let one = match pooling {
            Pooling::Mean => ops::mean_groups(g, x, q)?,
            Pooling::First => {
                let first: Vec<usize> = (0..x.rows()).step_by(q).collect();
                ops::gather_rows(g, x, &first)?
            }
            Pooling::MaxPair => x.clone(),
        };
        ops::normalize_rows(g, &one, UNIT_EPS)
    };
    let cosines = ops::matmul_nt(g, &pooled(a)?, &pooled(b)?)?;
    if pooling != Pooling::MaxPair {
        return Ok(cosines);
    }
    let best = ops::max_groups(g, &cosines, q)?;
    let best = ops::max_groups(g, &ops::transpose(g, &best)?, q)?;
    ops::transpose(g, &best)
}

/// Cross-entropy of each row against its positives, mean over the rows that have one.
///
/// The positives of a row share `1 - smoothing` of the target, all open cells share `smoothing` (LAVIS
/// `blip_retrieval`-style soft targets; with one positive a row this is label smoothing). Ignored cells are outside
/// the softmax. `None` when no row has a positive.
///
/// # Shapes
/// - `logits`: `[rows, columns]`
pub fn row_contrast<D: Backend>(
    g: &Graph<D>,
    logits: &Matrix<D>,
    cells: &Cells<'_>,
    smoothing: f32,
) -> Result<Option<Scored<D>>, NnError> {
    // For one-hot c and target t: −Σ t·log softmax(z) = CE(z, c) + (c − t)·z, and the second part is linear in z.
    let (rows, columns) = (cells.rows, cells.columns);
    let mut firsts = vec![None; rows];
    let mut linear = vec![0.0; rows * columns];
    let mut shut = vec![0.0; rows * columns];
    let mut constant = 0.0;
    for (row, target) in firsts.iter_mut().enumerate() {
        let span = row * columns..(row + 1) * columns;
        let relations = &cells.relations[span.clone()];
        let positives = count(relations, Relation::Positive);
        let open = columns - count(relations, Relation::Ignored);
        let Some(first) = relations.iter().position(|&r| r == Relation::Positive) else {
            continue;
        };
        *target = Some(first as u32);
        constant += (open as f64).ln();
        let share = (1.0 - smoothing) / positives as f32;
        let floor = smoothing / open as f32;
        let line = &mut linear[span.clone()];
        for ((value, shut), &relation) in line.iter_mut().zip(&mut shut[span]).zip(relations) {
            *value = match relation {
                Relation::Positive => -share - floor,
                Relation::Negative => -floor,
                Relation::Ignored => {
                    *shut = CLOSED;
                    0.0
                }
            };
        }
        line[first] += 1.0;
    }
    let examples = firsts.iter().flatten().count();
    if examples == 0 {
        return Ok(None);
    }
    let shape = (rows, columns);
    let logits_open = ops::add(g, logits, &g.constant(shut, shape)?)?;
    let hard = ops::cross_entropy(g, &logits_open, &firsts, 0.0)?;
    let soft = ops::sum_all(g, &ops::mul(g, logits, &g.constant(linear, shape)?)?)?;
    let loss = ops::weighted_sum(g, &[(1.0, &hard), (1.0 / examples as f32, &soft)])?;
    Ok(Some(Scored {
        loss,
        constant: constant / examples as f64,
        examples,
    }))
}

/// [`row_contrast`] in both directions, half each; a direction without positives is left out.
pub fn contrast<D: Backend>(
    g: &Graph<D>,
    logits: &Matrix<D>,
    cells: &Cells<'_>,
    smoothing: f32,
) -> Result<Option<Scored<D>>, NnError> {
    let Some(forth) = row_contrast(g, logits, cells, smoothing)? else {
        return Ok(None);
    };
    let turned = Cells {
        relations: &cells.transposed(),
        rows: cells.columns,
        columns: cells.rows,
    };
    let Some(back) = row_contrast(g, &ops::transpose(g, logits)?, &turned, smoothing)? else {
        return Ok(Some(forth));
    };
    Ok(Some(Scored {
        loss: ops::weighted_sum(g, &[(0.5, &forth.loss), (0.5, &back.loss)])?,
        constant: 0.5 * (forth.constant + back.constant),
        examples: forth.examples,
    }))
}

/// The margin loss of the ILM paper, Eq. 2: `1/(2N) Σ y·d² + (1 − y)·max(0, m − d)²` over the N cells that are not
/// ignored, with `d` the Euclidean distance of two unit vectors, `d² = 2 − 2·cosine`.
///
/// The paper leaves open how long the vectors are; unit length gives the margin a scale (distances lie in 0 to 2). The best
/// constant predictor puts every pair at `d = m·(1 − a)`, `a` the share of positives, and reaches `m²·a·(1 − a)/2`.
///
/// # Shapes
/// - `cosines`: `[rows, columns]`
pub fn margin<D: Backend>(
    g: &Graph<D>,
    cosines: &Matrix<D>,
    cells: &Cells<'_>,
    margin: f32,
) -> Result<Option<Scored<D>>, NnError> {
    let shape = (cells.rows, cells.columns);
    let size = cells.rows * cells.columns;
    let positives = count(cells.relations, Relation::Positive);
    let negatives = count(cells.relations, Relation::Negative);
    let pairs = positives + negatives;
    if positives == 0 {
        return Ok(None);
    }
    let indicator = |wanted: Relation| {
        let is = |&r: &Relation| if r == wanted { 1.0 } else { 0.0 };
        g.constant(cells.relations.iter().map(is).collect(), shape)
    };
    // Rounding can take 2 − 2·cosine below 0, and the square root has no slope at 0.
    let offset = g.constant(vec![2.0; size], shape)?;
    let squared = ops::relu(g, &ops::add(g, &ops::scale(g, cosines, -2.0)?, &offset)?)?;
    let crumb = g.constant(vec![SQUARED_CRUMB; size], shape)?;
    let distance = ops::sqrt(g, &ops::add(g, &squared, &crumb)?)?;
    let reach = g.constant(vec![margin; size], shape)?;
    let gap = ops::relu(g, &ops::add(g, &ops::scale(g, &distance, -1.0)?, &reach)?)?;
    let together = ops::mul(g, &squared, &indicator(Relation::Positive)?)?;
    let apart = ops::mul(g, &ops::square(g, &gap)?, &indicator(Relation::Negative)?)?;
    let half_mean = 0.5 / pairs as f32;
    let loss = ops::weighted_sum(
        g,
        &[
            (half_mean, &ops::sum_all(g, &together)?),
            (half_mean, &ops::sum_all(g, &apart)?),
        ],
    )?;
    let share = positives as f64 / pairs as f64;
    Ok(Some(Scored {
        loss,
        constant: f64::from(margin * margin) * share * (1.0 - share) / 2.0,
        examples: pairs,
    }))
}

fn count(relations: &[Relation], wanted: Relation) -> usize {
    relations.iter().filter(|&&r| r == wanted).count()
}

/// Added to the logit of an ignored cell; the reference adds the same to masked attention scores.
const CLOSED: f32 = -10_000.0;

/// Added to a squared distance below the root: distances start at 0.001.
const SQUARED_CRUMB: f32 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use Relation::{Ignored, Negative, Positive};
    use dfdx::tensor::Cpu;

    const RELATIONS: [Relation; 6] = [Positive, Negative, Ignored, Negative, Positive, Positive];
    const VALUES: [f32; 6] = [0.9, -0.3, 0.99, 0.2, 0.5, -0.8];

    fn on_values(
        loss: impl Fn(&Graph<Cpu>, &Matrix<Cpu>, &Cells<'_>) -> Result<Option<Scored<Cpu>>, NnError>,
    ) -> (f64, f64) {
        let g = Graph::inference(&Cpu::default());
        let cells = Cells {
            relations: &RELATIONS,
            rows: 2,
            columns: 3,
        };
        let values = g.constant(VALUES.to_vec(), (2, 3)).expect("fits");
        let scored = loss(&g, &values, &cells).expect("fits").expect("positives");
        (
            f64::from(scored.loss.item().expect("a scalar")),
            scored.constant,
        )
    }

    /// The definition, word by word, in `f64`.
    fn naive_row(values: &[f32], relations: &[Relation], smoothing: f64) -> f64 {
        let open: Vec<usize> = (0..values.len())
            .filter(|&c| relations[c] != Ignored)
            .collect();
        let positives = count(relations, Positive) as f64;
        let total: f64 = open.iter().map(|&c| f64::from(values[c]).exp()).sum();
        open.iter()
            .map(|&c| {
                let hard = if relations[c] == Positive {
                    1.0 / positives
                } else {
                    0.0
                };
                let target = (1.0 - smoothing) * hard + smoothing / open.len() as f64;
                -target * (f64::from(values[c]).exp() / total).ln()
            })
            .sum()
    }

    #[test]
    fn contrast_is_the_cross_entropy_with_shared_targets() {
        let rows = |smoothing| {
            (0..2)
                .map(|r| {
                    naive_row(
                        &VALUES[3 * r..3 * r + 3],
                        &RELATIONS[3 * r..3 * r + 3],
                        smoothing,
                    )
                })
                .sum::<f64>()
                / 2.0
        };
        for smoothing in [0.0, 0.1] {
            let (found, constant) =
                on_values(|g, x, cells| row_contrast(g, x, cells, smoothing as f32));
            assert!((found - rows(smoothing)).abs() < 1e-5, "{found}");
            assert!((constant - f64::midpoint(2f64.ln(), 3f64.ln())).abs() < 1e-12);
        }
        let column = |c: usize| {
            let pick = |all: &[f32]| vec![all[c], all[3 + c]];
            naive_row(&pick(&VALUES), &[RELATIONS[c], RELATIONS[3 + c]], 0.0)
        };
        let back = (column(0) + column(1) + column(2)) / 3.0;
        let (found, _) = on_values(|g, x, cells| contrast(g, x, cells, 0.0));
        assert!(
            (found - f64::midpoint(rows(0.0), back)).abs() < 1e-5,
            "{found}"
        );
    }

    #[test]
    fn margin_is_equation_two() {
        let m = 1.2;
        let mut expected = 0.0;
        for (value, relation) in VALUES.into_iter().zip(RELATIONS) {
            let squared = 2.0 - 2.0 * f64::from(value);
            expected += match relation {
                Positive => squared,
                Negative => (m - squared.sqrt()).max(0.0).powi(2),
                Ignored => 0.0,
            };
        }
        expected /= 2.0 * 5.0;
        let (found, constant) = on_values(|g, x, cells| margin(g, x, cells, m as f32));
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
        // A constant predictor's best distance, found by trying them all: 3 positives, 2 negatives.
        let best = (0..=1200)
            .map(|i| f64::from(i) / 1000.0)
            .map(|d| (3.0 * d * d + 2.0 * (m - d).powi(2)) / 10.0)
            .fold(f64::MAX, f64::min);
        assert!((constant - best).abs() < 1e-6, "{constant} and {best}");
    }

    #[test]
    fn pooling_by_pairs_takes_the_nearest_queries() {
        let g = Graph::inference(&Cpu::default());
        // Two items of two queries each, at right angles but for the second queries.
        let a = g
            .constant(vec![1., 0., 0., 1., 1., 0., -1., 0.], (4, 2))
            .expect("fits");
        let b = g.constant(vec![0., 2., -3., 0.], (2, 2)).expect("fits");
        let best = similarity(&g, &a, &b, 2, Pooling::MaxPair).expect("fits");
        assert_eq!((best.shape(), best.to_vec()), ((2, 1), vec![1.0, 1.0]));
        let first = similarity(&g, &a, &b, 2, Pooling::First).expect("fits");
        assert_eq!(first.to_vec(), [0.0, 0.0]);
    }
}
