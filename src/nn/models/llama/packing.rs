//! Texts packed end to end into blocks of one length, for pre-training without padding.

use crate::seed::Seed;
use rand::seq::SliceRandom as _;

/// Documents as tokens, `<bos>` … `<eos>` each, split by content into training and held-out documents.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Documents to learn from.
    pub training: Vec<Vec<u32>>,
    /// Documents to measure on.
    pub held_out: Vec<Vec<u32>>,
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

/// Cuts the documents, joined in the given order, into blocks of `length + 1` tokens that overlap by one: position t
/// of a block predicts position t + 1. What is left at the end and fills no block is dropped.
pub fn blocks(
    documents: impl IntoIterator<Item = impl AsRef<[u32]>>,
    length: usize,
) -> Vec<Vec<u32>> {
    let mut stream = Vec::new();
    for document in documents {
        stream.extend_from_slice(document.as_ref());
    }
    let mut blocks = Vec::new();
    let mut start = 0;
    while start + length < stream.len() {
        blocks.push(stream[start..=start + length].to_vec());
        start += length;
    }
    blocks
}

/// The blocks of one pass over the training documents, in a random order of documents.
pub fn epoch(documents: &[Vec<u32>], length: usize, seed: Seed, epoch: u64) -> Vec<Vec<u32>> {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.shuffle(&mut seed.child("documents").at(epoch).rng());
    let mut blocks = blocks(order.iter().map(|&i| &documents[i]), length);
    blocks.shuffle(&mut seed.child("blocks").at(epoch).rng());
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_but_the_tail_is_predicted_once() {
        let documents: Vec<Vec<u32>> =
            vec![(0..7).collect(), (7..10).collect(), (10..24).collect()];
        let blocks = blocks(&documents, 5);
        assert_eq!(blocks.len(), 4);
        let targets: Vec<u32> = blocks.iter().flat_map(|b| b[1..].to_vec()).collect();
        assert_eq!(targets, (1..21).collect::<Vec<_>>());
        assert!(blocks.iter().all(|b| b.len() == 6));
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let documents: Vec<Vec<u32>> = (0..20).map(|i| vec![i; 7]).collect();
        let seed = Seed::new(1);
        assert_eq!(epoch(&documents, 4, seed, 0), epoch(&documents, 4, seed, 0));
        assert_ne!(epoch(&documents, 4, seed, 0), epoch(&documents, 4, seed, 1));
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
