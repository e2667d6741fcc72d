//! Seeds: the only source of random numbers.
//!
//! A [`Seed`] gives child seeds by label, so that two parts of a stage never share a stream and adding a part does not
//! move the numbers of another.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// A 64-bit seed from which named child seeds and random streams are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Makes a seed from the number that a person wrote.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the seed for the part named `label`.
    #[must_use]
    pub fn child(self, label: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ilm-pipe seed child v1");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(label.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// Returns the seed for position `index` of a sequence (a step, an epoch, an item).
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        self.child(&format!("#{index}"))
    }

    /// Starts a random stream. ChaCha8 is portable: the same numbers on every platform and in every release.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }

    /// Returns the number itself.
    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore as _;

    #[test]
    fn children_differ_by_label_and_are_stable() {
        let seed = Seed::new(7);
        assert_ne!(seed.child("a"), seed.child("b"));
        assert_ne!(seed.child("a"), Seed::new(8).child("a"));
        assert_eq!(
            seed.child("a").rng().next_u64(),
            seed.child("a").rng().next_u64()
        );
    }
}
