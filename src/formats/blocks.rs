//! Weights in blocks with common scales, as GGUF files have them (`ggml-quants.c` of llama.cpp).

use super::half::from_f16;

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// 32 weights of 4 bits: `d·(q − 8)`.
    Q4_0,
    /// 32 weights of 4 bits: `d·q + m`.
    Q4_1,
    /// 32 weights of 5 bits: `d·(q − 16)`.
    Q5_0,
    /// 32 weights of 5 bits: `d·q + m`.
    Q5_1,
    /// 32 weights of 8 bits: `d·q`.
    Q8_0,
    /// 256 weights of 4 bits in 8 groups: `d·scale·q − m·least`.
    Q4K,
    /// 256 weights of 5 bits in 8 groups: `d·scale·q − m·least`.
    Q5K,
    /// 256 weights of 6 bits in 16 groups: `d·scale·(q − 32)`.
    Q6K,
}

/// Weights of a block of the K kinds.
const SUPER: usize = 256;

impl Block {
    /// Weights of a block.
    pub fn weights(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => SUPER,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The name that llama.cpp gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// The weights of whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::with_capacity(bytes.len() / self.bytes() * self.weights());
        for block in bytes.chunks_exact(self.bytes()) {
            match self {
                Self::Q4_0 => nibbles(&mut out, &block[2..], None, half(block, 0), None),
                Self::Q4_1 => {
                    let least = Some(half(block, 2));
                    nibbles(&mut out, &block[4..], None, half(block, 0), least);
                }
                Self::Q5_0 => {
                    let high = Some(word(block, 2));
                    nibbles(&mut out, &block[6..], high, half(block, 0), None);
                }
                Self::Q5_1 => {
                    let (high, least) = (Some(word(block, 4)), Some(half(block, 2)));
                    nibbles(&mut out, &block[8..], high, half(block, 0), least);
                }
                Self::Q8_0 => {
                    let d = half(block, 0);
                    out.extend(block[2..].iter().map(|&q| d * f32::from(q as i8)));
                }
                Self::Q4K => groups(&mut out, block, None, &block[16..]),
                Self::Q5K => groups(&mut out, block, Some(&block[16..48]), &block[48..]),
                Self::Q6K => six(&mut out, block),
            }
        }
        out
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    from_f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// 16 bytes whose low halves are the first 16 weights and whose high halves the other 16; `high` has a fifth bit of each. Without a
/// least value the middle of the range is 0.
fn nibbles(out: &mut Vec<f32>, bytes: &[u8], high: Option<u32>, d: f32, least: Option<f32>) {
    let middle = if high.is_some() { 16 } else { 8 };
    let weight = |index: usize, low: u8| {
        let fifth = high.map_or(0, |bits| (bits >> index & 1) << 4);
        let q = (u32::from(low) | fifth) as i32;
        match least {
            Some(least) => d * q as f32 + least,
            None => d * (q - middle) as f32,
        }
    };
    out.extend(bytes.iter().enumerate().map(|(i, b)| weight(i, b & 15)));
    out.extend(
        bytes
            .iter()
            .enumerate()
            .map(|(i, b)| weight(i + 16, b >> 4)),
    );
}

/// The 6-bit scale and least value of a group of a `Q4_K` or `Q5_K` block.
fn scale_and_least(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4),
            (packed[group + 4] >> 4) | (packed[group] >> 6 << 4),
        )
    };
    (f32::from(scale), f32::from(least))
}

/// `Q4_K` and, with `high` bits, `Q5_K`: 8 groups of 32 weights; 32 bytes hold two groups.
fn groups(out: &mut Vec<f32>, block: &[u8], high: Option<&[u8]>, lows: &[u8]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let packed = &block[4..16];
    for (pair, lows) in lows.chunks_exact(32).enumerate() {
        for upper in 0..2 {
            let group = 2 * pair + upper;
            let (scale, least) = scale_and_least(packed, group);
            let (scale, least) = (d * scale, m * least);
            out.extend(lows.iter().enumerate().map(|(i, byte)| {
                let low = byte >> (4 * upper) & 15;
                let fifth = high.map_or(0, |bits| (bits[i] >> group & 1) << 4);
                scale * f32::from(low | fifth) - least
            }));
        }
    }
}

/// `Q6_K`: low 4 bits, high 2 bits, 16 signed scales and the scale of all.
fn six(out: &mut Vec<f32>, block: &[u8]) {
    let (lows, rest) = block.split_at(128);
    let (highs, rest) = rest.split_at(64);
    let (scales, _) = rest.split_at(16);
    let d = half(block, 208);
    for part in 0..2 {
        let (lows, highs) = (&lows[64 * part..][..64], &highs[32 * part..][..32]);
        let scales = &scales[8 * part..][..8];
        for quarter in 0..4 {
            out.extend((0..32).map(|i| {
                let low = lows[32 * (quarter & 1) + i] >> (4 * (quarter >> 1)) & 15;
                let high = highs[i] >> (2 * quarter) & 3;
                let q = i32::from(low | high << 4) - 32;
                let scale = f32::from(scales[2 * quarter + i / 16] as i8);
                d * scale * q as f32
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_by_hand() {
        // d = 2, m = -1; the first byte holds 3 and 12.
        let mut q4 = vec![0x00, 0x40, 0x00, 0xbc];
        q4.extend([0xc3; 16]);
        let weights = Block::Q4_1.decode(&q4);
        assert_eq!(weights[..16], [5.0; 16]);
        assert_eq!(weights[16..], [23.0; 16]);

        let mut q4 = vec![0x00, 0x40];
        q4.extend([0xc3; 16]);
        assert_eq!(Block::Q4_0.decode(&q4)[15..17], [-10.0, 8.0]);

        let mut q8 = vec![0x00, 0x38];
        q8.extend((0..32_u8).map(|i| i.wrapping_sub(16)));
        let expected: Vec<f32> = (0..32).map(|i| (i - 16) as f32 / 2.0).collect();
        assert_eq!(Block::Q8_0.decode(&q8), expected);

        // Only the fifth bit of weight 17 is set.
        let mut q5 = vec![0x00, 0x3c, 0, 0, 2, 0];
        q5.extend([0; 16]);
        let weights = Block::Q5_0.decode(&q5);
        assert_eq!((weights[16], weights[17]), (-16.0, 0.0));
    }

    #[test]
    fn a_block_has_as_many_weights_as_it_says() {
        for block in [
            Block::Q4_0,
            Block::Q4_1,
            Block::Q5_0,
            Block::Q5_1,
            Block::Q8_0,
            Block::Q4K,
            Block::Q5K,
            Block::Q6K,
        ] {
            let bytes: Vec<u8> = (0..3 * block.bytes()).map(|i| (i % 60) as u8).collect();
            assert_eq!(block.decode(&bytes).len(), 3 * block.weights());
        }
    }
}
