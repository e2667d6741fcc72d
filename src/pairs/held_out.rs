//! Which pairs are kept from training.

/// Holds out a share of the pairs, each decided by a hash of its kind and ids.
///
/// A pair is held out when the first eight bytes of its keyed BLAKE3 hash, as a fraction of 2⁶⁴, are below `share`; the key
/// is derived from kind and seed. So the cut does not change when other pairs come or go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Share held out, 0 to 1.
    pub share: f64,
    /// Another number gives another cut.
    pub seed: u64,
}

impl HeldOut {
    /// The cut of the set `kind`.
    pub fn cut(self, kind: &str) -> Cut {
        let material = [self.seed.to_le_bytes().as_slice(), kind.as_bytes()].concat();
        Cut {
            key: blake3::derive_key("ilm-pipe held-out pair v1", &material),
            share: self.share,
        }
    }
}

/// Tells the held-out pairs of one set.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    key: [u8; blake3::KEY_LEN],
    share: f64,
}

impl Cut {
    /// Whether the pair (`left`, `right`) is held out.
    pub fn holds_out(&self, left: u32, right: u32) -> bool {
        let pair = u64::from(left) << 32 | u64::from(right);
        let hash = blake3::keyed_hash(&self.key, &pair.to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        // 53 bits: exact in an f64, and below 1.
        let fraction = (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64;
        fraction < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(share: f64, seed: u64) -> usize {
        let cut = HeldOut { share, seed }.cut("item-item");
        (0..20_000)
            .filter(|&pair| cut.holds_out(pair / 141, pair % 141))
            .count()
    }

    #[test]
    fn the_share_is_met_and_the_cut_is_stable() {
        // 2000 expected; five standard deviations are 212.
        assert!(count(0.1, 0).abs_diff(2000) < 212, "{}", count(0.1, 0));
        assert_eq!(count(0.0, 0), 0);
        assert_eq!(count(1.0, 0), 20_000);
        let cut = HeldOut {
            share: 0.1,
            seed: 0,
        }
        .cut("item-item");
        let first: Vec<u32> = (0..60).filter(|&pair| cut.holds_out(pair, 0)).collect();
        // Written down: a change would move pairs between training and measuring.
        assert_eq!(first, [12, 14, 28, 38, 45, 52]);
    }

    #[test]
    fn kind_and_seed_change_the_cut() {
        let cut = |kind: &str, seed| -> Vec<u32> {
            let cut = HeldOut { share: 0.5, seed }.cut(kind);
            (0..64).filter(|&id| cut.holds_out(id, id)).collect()
        };
        assert_ne!(cut("item-item", 0), cut("user-item", 0));
        assert_ne!(cut("item-item", 0), cut("item-item", 1));
    }
}
