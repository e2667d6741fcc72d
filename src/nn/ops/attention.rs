//! Attention, its masks and rotary positions.

use super::expect;
use crate::nn::{Backend, Graph, Matrix, NnError};

/// Sizes of one attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Sequences in the batch.
    pub batch: usize,
    /// Queries of each sequence.
    pub queries: usize,
    /// Keys and values of each sequence.
    pub keys: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values; divides `heads` (grouped-query attention).
    pub kv_heads: usize,
    /// Features of a head.
    pub head_dim: usize,
}

/// Which keys a query sees.
///
/// Every mask lets query `t` see a run of keys from the first: [`Mask::limit`] says how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Valid keys of each sequence of the batch (padding is at the end); `None`: all.
    pub lengths: Option<Vec<usize>>,
    /// Which of the valid keys.
    pub kind: MaskKind,
}

/// Which of the valid keys a query sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskKind {
    /// All.
    #[default]
    Full,
    /// Query `t` sees keys up to `t + keys − queries`: the last query sees all.
    Causal,
    /// The first `prefix` positions see one another only; the rest see the prefix and earlier positions. Positions count from the
    /// first key; query `t` stands at position `t + keys − queries`.
    PrefixCausal {
        /// Positions of the prefix.
        prefix: usize,
    },
}

impl Mask {
    /// Every query sees every key.
    pub fn full() -> Self {
        Self::default()
    }

    /// Every query sees the valid keys.
    pub fn padding(lengths: Vec<usize>) -> Self {
        Self {
            lengths: Some(lengths),
            kind: MaskKind::Full,
        }
    }

    /// Queries see earlier keys and their own.
    pub fn causal() -> Self {
        Self {
            lengths: None,
            kind: MaskKind::Causal,
        }
    }

    /// How many keys query `query` of sequence `row` sees: keys `0 .. limit`.
    pub fn limit(&self, shape: &AttentionShape, row: usize, query: usize) -> usize {
        let valid = self
            .lengths
            .as_ref()
            .map_or(shape.keys, |lengths| lengths[row]);
        let position = query + shape.keys - shape.queries.min(shape.keys);
        match self.kind {
            MaskKind::Full => valid,
            MaskKind::Causal => valid.min(position + 1),
            MaskKind::PrefixCausal { prefix } if position < prefix => valid.min(prefix),
            MaskKind::PrefixCausal { .. } => valid.min(position + 1),
        }
    }
}

/// `softmax(q·kᵀ / √head_dim)·v` in each head (Vaswani et al. 2017, eq. 1), masked.
///
/// `q` `[B·queries, heads·head_dim]`, `k` and `v` `[B·keys, kv_heads·head_dim]`, result like `q`. Query head `h` uses key head
/// `h / (heads / kv_heads)`. A query that sees no key gets zeros.
pub fn attention<D: Backend>(
    g: &Graph<D>,
    q: &Matrix<D>,
    k: &Matrix<D>,
    v: &Matrix<D>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Result<Matrix<D>, NnError> {
    check("attention", q, k, v, shape, mask)?;
    D::attention(g, q, k, v, shape, mask)
}

/// Whether queries, keys, values and mask fit the sizes that are said.
pub(super) fn check<D: Backend>(
    operation: &'static str,
    q: &Matrix<D>,
    k: &Matrix<D>,
    v: &Matrix<D>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Result<(), NnError> {
    let s = shape;
    if s.kv_heads == 0 || !s.heads.is_multiple_of(s.kv_heads) || s.head_dim == 0 {
        return Err(NnError::shape(
            operation,
            format!(
                "{} heads of {} features over {} key heads",
                s.heads, s.head_dim, s.kv_heads
            ),
        ));
    }
    if s.batch == 0 || s.queries == 0 || s.keys == 0 {
        return Err(NnError::shape(
            operation,
            format!(
                "{} sequences of {} queries and {} keys",
                s.batch, s.queries, s.keys
            ),
        ));
    }
    let keys = (s.batch * s.keys, s.kv_heads * s.head_dim);
    let queries = (s.batch * s.queries, s.heads * s.head_dim);
    expect(operation, "the query", q, queries)?;
    expect(operation, "the key", k, keys)?;
    expect(operation, "the value", v, keys)?;
    if mask.kind != MaskKind::Full && s.queries > s.keys {
        return Err(NnError::shape(
            operation,
            format!(
                "{} queries over {} keys under a causal mask",
                s.queries, s.keys
            ),
        ));
    }
    if let Some(lengths) = &mask.lengths {
        if lengths.len() != s.batch || lengths.iter().any(|&length| length > s.keys) {
            return Err(NnError::shape(
                operation,
                format!(
                    "{} lengths up to {}, but there are {} sequences of {} keys",
                    lengths.len(),
                    lengths.iter().max().unwrap_or(&0),
                    s.batch,
                    s.keys
                ),
            ));
        }
    }
    Ok(())
}

/// Rotates pairs of features by angles that grow with the position (Su et al. 2021), with the halves of a head as the pairs, as in
/// Hugging Face's Llama: features `i` and `i + head_dim/2` turn by `position·base^(−2i/head_dim)`.
///
/// `x` `[R, heads·head_dim]`, one position a row.
pub fn rotary<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    heads: usize,
    head_dim: usize,
    positions: &[u32],
    base: f32,
) -> Result<Matrix<D>, NnError> {
    expect(
        "rotary",
        "the input",
        x,
        (positions.len(), heads * head_dim),
    )?;
    if !head_dim.is_multiple_of(2) {
        return Err(NnError::shape(
            "rotary",
            format!("`head_dim` is {head_dim}, but must be even"),
        ));
    }
    D::rotary(g, x, heads, head_dim, positions, base)
}
