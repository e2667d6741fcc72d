//! What a Q-Former reads in one pass: items as tokens, texts as padded ids.

/// Vectors of items or users, some tokens each.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenTable {
    /// How many items.
    pub count: usize,
    /// Tokens of an item, M.
    pub tokens: usize,
    /// Width of a token.
    pub width: usize,
    /// `[count, tokens, width]`, row-major.
    pub data: Vec<f32>,
}

impl TokenTable {
    /// The tokens of the named items, one item after the other: `[indices.len() * tokens, width]`.
    ///
    /// # Panics
    /// When an index is out of range; [`Phase1Data`](super::Phase1Data) checks them all on reading.
    pub fn rows(&self, indices: &[u32]) -> Vec<f32> {
        let size = self.tokens * self.width;
        let mut rows = Vec::with_capacity(indices.len() * size);
        for &index in indices {
            let start = index as usize * size;
            rows.extend_from_slice(&self.data[start..start + size]);
        }
        rows
    }
}

/// Texts of one pass, padded on the right to the longest of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBatch {
    /// `[texts * width]` token ids, row-major.
    pub ids: Vec<u32>,
    /// Tokens of each text before its padding.
    pub lengths: Vec<usize>,
    /// Padded length, T.
    pub width: usize,
}

impl TextBatch {
    /// Pads `texts` with `pad`; where `first` is given it replaces the first token of each (`<dec>` for `<cls>`).
    pub fn new(texts: &[&[u32]], pad: u32, first: Option<u32>) -> Self {
        let width = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let mut ids = vec![pad; texts.len() * width];
        for (row, text) in texts.iter().enumerate() {
            let start = row * width;
            ids[start..start + text.len()].copy_from_slice(text);
            if let (Some(first), false) = (first, text.is_empty()) {
                ids[start] = first;
            }
        }
        Self {
            ids,
            lengths: texts.iter().map(|text| text.len()).collect(),
            width,
        }
    }

    /// How many texts.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_padded_to_the_longest() {
        let batch = TextBatch::new(&[&[5, 7, 2], &[5, 2]], 0, Some(4));
        assert_eq!(batch.ids, [4, 7, 2, 4, 2, 0]);
        assert_eq!(batch.lengths, [3, 2]);
        assert_eq!((batch.width, batch.count()), (3, 2));
    }

    #[test]
    fn rows_follow_the_indices() {
        let table = TokenTable {
            count: 3,
            tokens: 1,
            width: 2,
            data: vec![0., 1., 2., 3., 4., 5.],
        };
        assert_eq!(table.rows(&[2, 0, 2]), [4., 5., 0., 1., 4., 5.]);
    }
}
