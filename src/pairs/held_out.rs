//! Which pairs are kept from training.

/// Holds out a share of the pairs, each decided by a hash of its kind and ids.
///
/// A pair is held out when the first eight bytes of BLAKE3(kind, seed, left, right), as a fraction of 2⁶⁴, are below
/// `share`. So the cut does not change when other pairs come or go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Share held out, 0 to 1.
    pub share: f64,
    /// Another number gives another cut.
    pub seed: u64,
}

impl HeldOut {
    /// Whether the pair (`left`, `right`) of the set `kind` is held out.
    pub fn contains(self, kind: &str, left: u32, right: u32) -> bool {
        let mut hasher = blake3::Hasher::new_derive_key("ilm-pipe held-out pair v1");
        hasher.update(kind.as_bytes());
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&left.to_le_bytes());
        hasher.update(&right.to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        // 53 bits: exact in an f64, and below 1.
        let fraction = (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64;
        fraction < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(share: f64, seed: u64) -> usize {
        let held = HeldOut { share, seed };
        (0..20_000)
            .filter(|&pair| held.contains("item-item", pair / 141, pair % 141))
            .count()
    }

    #[test]
    fn the_share_is_met_and_the_cut_is_stable() {
        // 2000 expected; five standard deviations are 212.
        assert!(count(0.1, 0).abs_diff(2000) < 212, "{}", count(0.1, 0));
        assert_eq!(count(0.0, 0), 0);
        assert_eq!(count(1.0, 0), 20_000);
        let first: Vec<u32> = (0..60)
            .filter(|&pair| {
                HeldOut {
                    share: 0.1,
                    seed: 0,
                }
                .contains("item-item", pair, 0)
            })
            .collect();
        // Written down: a change would move pairs between training and measuring.
        assert_eq!(first, [17, 18, 19, 27, 33]);
    }

    #[test]
    fn kind_and_seed_change_the_cut() {
        let cut = |kind: &str, seed| -> Vec<u32> {
            let held = HeldOut { share: 0.5, seed };
            (0..64).filter(|&id| held.contains(kind, id, id)).collect()
        };
        assert_ne!(cut("item-item", 0), cut("user-item", 0));
        assert_ne!(cut("item-item", 0), cut("item-item", 1));
    }
}
