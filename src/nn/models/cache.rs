//! Keys and values that decoding has already computed.

use crate::nn::{Backend, Graph, Matrix, NnError, ops};

/// The room for positions is a multiple of this.
const GROWTH: usize = 32;

/// Keys and values of every block for a batch of sequences of different lengths.
///
/// Sequence b owns rows `b·room .. b·room + lengths[b]` of each block's matrices: its positions stand next to each other
/// whatever the other sequences' lengths, so that no attention ever runs over padding in the middle.
#[derive(Debug)]
pub struct Cache<D: Backend> {
    pub(in crate::nn::models) layers: Vec<LayerCache<D>>,
    /// Positions held of each sequence.
    lengths: Vec<usize>,
}

/// Keys and values of one block.
#[derive(Debug)]
pub(in crate::nn::models) struct LayerCache<D: Backend> {
    /// `[B·room, key_value_width]` each; `None` before the first positions.
    held: Option<(Matrix<D>, Matrix<D>)>,
    batch: usize,
    room: usize,
}

impl<D: Backend> Cache<D> {
    /// Makes an empty cache for `batch` sequences and `blocks` blocks.
    pub(in crate::nn::models) fn new(blocks: usize, batch: usize) -> Self {
        let layers = (0..blocks)
            .map(|_| LayerCache {
                held: None,
                batch,
                room: 0,
            })
            .collect();
        Self {
            layers,
            lengths: vec![0; batch],
        }
    }

    /// Positions held of each sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Makes room for one more position of every sequence. Growing copies everything, so the room grows by half at least.
    pub(in crate::nn::models) fn reserve(&mut self, g: &Graph<D>) -> Result<(), NnError> {
        let need = self.longest() + 1;
        for layer in &mut self.layers {
            if need > layer.room {
                let sequences: Vec<usize> = (0..layer.batch).collect();
                let room = need.max(layer.room + layer.room / 2);
                layer.rearrange(g, &sequences, room.next_multiple_of(GROWTH))?;
            }
        }
        Ok(())
    }

    /// Notes that sequence b now holds `added[b]` more positions.
    pub(in crate::nn::models) fn advance(&mut self, added: &[usize]) {
        for (length, added) in self.lengths.iter_mut().zip(added) {
            *length += added;
        }
    }

    /// Keeps only the given sequences, in the given order.
    pub fn keep(&mut self, g: &Graph<D>, sequences: &[usize]) -> Result<(), NnError> {
        self.lengths = sequences.iter().map(|&b| self.lengths[b]).collect();
        let room = (self.longest() + 1).next_multiple_of(GROWTH);
        for layer in &mut self.layers {
            layer.rearrange(g, sequences, room)?;
        }
        Ok(())
    }

    fn longest(&self) -> usize {
        self.lengths.iter().max().copied().unwrap_or(0)
    }
}

impl<D: Backend> LayerCache<D> {
    /// Takes keys and values `[B·T, width]` of the given positions and returns all that are held, `[B·room, width]`.
    ///
    /// The first call takes the matrices as they are: their positions are 0 to T − 1 and the room is T.
    pub(in crate::nn::models) fn extend(
        &mut self,
        g: &Graph<D>,
        keys: Matrix<D>,
        values: Matrix<D>,
        positions: &[u32],
    ) -> Result<(Matrix<D>, Matrix<D>), NnError> {
        let queries = positions.len() / self.batch;
        let held = match self.held.take() {
            None => {
                self.room = queries;
                (keys, values)
            }
            Some((mut held_keys, mut held_values)) => {
                let rows: Vec<usize> = positions
                    .iter()
                    .enumerate()
                    .map(|(row, &position)| row / queries * self.room + position as usize)
                    .collect();
                if g.is_training() {
                    held_keys = ops::replace_rows(g, &held_keys, &rows, &keys)?;
                    held_values = ops::replace_rows(g, &held_values, &rows, &values)?;
                } else {
                    ops::overwrite_rows(&mut held_keys, &rows, &keys)?;
                    ops::overwrite_rows(&mut held_values, &rows, &values)?;
                }
                (held_keys, held_values)
            }
        };
        self.held = Some(held.clone());
        Ok(held)
    }

    /// Copies the given sequences into matrices with another room.
    fn rearrange(&mut self, g: &Graph<D>, sequences: &[usize], room: usize) -> Result<(), NnError> {
        let Some((keys, values)) = &self.held else {
            return Ok(());
        };
        // Rows past the old room repeat its last one: they are beyond every sequence's length, so nothing sees them.
        let rows: Vec<usize> = sequences
            .iter()
            .flat_map(|&b| (0..room).map(move |t| (b, t)))
            .map(|(b, t)| b * self.room + t.min(self.room - 1))
            .collect();
        self.held = Some((
            ops::gather_rows(g, keys, &rows)?,
            ops::gather_rows(g, values, &rows)?,
        ));
        self.batch = sequences.len();
        self.room = room;
        Ok(())
    }
}

/// The row of the last position of each of some right-padded texts in `embeddings` `[B·T, d]`.
///
/// # Errors
/// When a text has no position, or more than T.
pub(in crate::nn::models) fn last_rows<D: Backend>(
    embeddings: &Matrix<D>,
    lengths: &[usize],
) -> Result<Vec<usize>, NnError> {
    let width = embeddings.rows() / lengths.len().max(1);
    if lengths.iter().any(|&length| length == 0 || length > width) {
        return Err(NnError::shape(
            "prefill",
            format!("the lengths are {lengths:?}, but must be from 1 to {width}"),
        ));
    }
    let rows = lengths.iter().enumerate();
    Ok(rows.map(|(b, &length)| b * width + length - 1).collect())
}
