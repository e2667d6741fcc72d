//! Texts for pre-training: tokens, in two parts.

use crate::text::Tokenizer;

/// Documents as tokens, `<bos>` … `<eos>` each, split by content into those to learn from and those to measure on.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Documents, or parts of long ones, to learn from.
    pub training: Vec<Vec<u32>>,
    /// Which document each of them is of, from 0 in the order in which they came.
    pub training_sources: Vec<usize>,
    /// The same to measure on.
    pub held_out: Vec<Vec<u32>>,
    /// Documents in `training`.
    pub training_documents: usize,
    /// Documents in `held_out`.
    pub held_out_documents: usize,
}

/// Whether the document `text` is held out when `fraction` of all documents are.
///
/// Decided by the text alone: a corpus that grows does not move a document from one side to the other, and two equal
/// texts never end on both sides.
pub fn is_held_out(text: &str, fraction: f64) -> bool {
    unit_hash("ilm-pipe held-out document v1", text.as_bytes()) < fraction
}

/// A number in `[0, 1)` that depends on `bytes` alone, uniform over different bytes.
pub fn unit_hash(context: &str, bytes: &[u8]) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // 53 bits: every value is an exact f64 below 1.
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Adds a document's tokens to `parts`: whole when it has at most `length + 1` tokens, else in parts of that many that overlap
/// by one, so that each token but the first is predicted once.
fn cut(tokens: Vec<u32>, length: usize, parts: &mut Vec<Vec<u32>>) {
    if tokens.len() <= length + 1 {
        parts.push(tokens);
        return;
    }
    let mut start = 0;
    while start + 1 < tokens.len() {
        let end = (start + length + 1).min(tokens.len());
        parts.push(tokens[start..end].to_vec());
        start = end - 1;
    }
}

impl Corpus {
    /// Tokenises texts; documents longer than `length` tokens are cut into parts.
    pub fn new<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        tokenizer: &Tokenizer,
        length: usize,
        held_out: f64,
    ) -> Self {
        let specials = tokenizer.specials();
        let mut corpus = Self::default();
        for (source, text) in texts.into_iter().enumerate() {
            let mut tokens: Vec<u32> = specials.bos.into_iter().collect();
            tokens.extend(tokenizer.encode(text));
            tokens.push(specials.eos);
            let (parts, documents) = if is_held_out(text, held_out) {
                (&mut corpus.held_out, &mut corpus.held_out_documents)
            } else {
                (&mut corpus.training, &mut corpus.training_documents)
            };
            *documents += 1;
            cut(tokens, length, parts);
            corpus
                .training_sources
                .resize(corpus.training.len(), source);
        }
        corpus
    }

    /// Tokens to learn from.
    pub fn training_tokens(&self) -> usize {
        self.training.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_but_the_first_is_predicted_once() {
        for n in 2..30 {
            let mut parts = Vec::new();
            cut((0..n).collect(), 5, &mut parts);
            let targets: Vec<u32> = parts.iter().flat_map(|part| part[1..].to_vec()).collect();
            assert_eq!(targets, (1..n).collect::<Vec<_>>());
            assert!(parts.iter().all(|part| (2..=6).contains(&part.len())));
        }
    }

    #[test]
    fn about_the_asked_fraction_is_held_out() {
        let held_out = (0..10_000)
            .filter(|i| is_held_out(&format!("document {i}"), 0.1))
            .count();
        // Binomial(10000, 0.1): standard deviation 30.
        assert!((850..1150).contains(&held_out), "{held_out}");
        assert!(!is_held_out("x", 0.0));
        assert!(is_held_out("x", 1.0));
    }
}
