//! What a killed training needs to go on as if nothing had happened.
//!
//! One file: a line that names the format, a line of JSON (the step, the settings, the logged numbers as bits, the names and shapes of the
//! arrays), the arrays as little-endian `f32`, and the BLAKE3 hash of everything before it. It is written aside, synced and renamed.

use super::run::Mean;
use super::{Judged, Metric};
use crate::nn::NnError;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Names the format; a change of it makes older checkpoints unreadable on purpose.
const FORMAT: &[u8] = b"ilm-pipe checkpoint v2\n";

/// The state of a training after some updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What must be the same for the checkpoint to be of use: settings and seed.
    pub identity: String,
    /// Updates done.
    pub step: u64,
    /// What was logged so far.
    pub metrics: Vec<Metric>,
    /// Means since the last log.
    pub sums: Vec<Mean>,
    /// What the evaluations said so far.
    pub judged: Judged,
    /// Named arrays: parameters and moments, and the parameters of the best evaluation where they are wanted.
    pub arrays: Vec<(String, Vec<f32>)>,
}

/// The line of JSON. Numbers are bits: decimal text must not change one.
#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    step: u64,
    metrics: Vec<(u64, String, u64)>,
    /// Name, bits of the sum, count.
    sums: Vec<(String, u64, u64)>,
    /// Step and bits of the value.
    best: Option<(u64, u64)>,
    reference: Option<u64>,
    waited: u64,
    arrays: Vec<(String, usize)>,
}

impl Checkpoint {
    /// The file inside a scratch folder.
    pub fn path(scratch: &Path) -> PathBuf {
        scratch.join("training.checkpoint")
    }

    /// Writes the checkpoint in place of the one before.
    pub fn save(&self, scratch: &Path) -> Result<(), NnError> {
        let path = Self::path(scratch);
        let aside = path.with_extension("aside");
        let mut file = fs_err::File::create(&aside)?;
        file.write_all(&self.to_bytes()?)?;
        file.sync_all()?;
        drop(file);
        fs_err::rename(&aside, &path)?;
        // The rename itself lasts only once the folder is on disk.
        fs_err::File::open(scratch)?.sync_all()?;
        Ok(())
    }

    /// Reads the checkpoint of a scratch folder: `Ok(None)` when there is none, and the reason when there is one that cannot be used.
    pub fn load(scratch: &Path, identity: &str) -> Result<Option<Self>, String> {
        let path = Self::path(scratch);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let checkpoint =
            Self::from_bytes(&bytes).ok_or_else(|| format!("`{}` is damaged", path.display()))?;
        if checkpoint.identity != identity {
            return Err(format!("`{}` is of another training", path.display()));
        }
        Ok(Some(checkpoint))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, NnError> {
        let header = Header {
            identity: self.identity.clone(),
            step: self.step,
            metrics: self
                .metrics
                .iter()
                .map(|metric| (metric.step, metric.name.clone(), metric.value.to_bits()))
                .collect(),
            sums: self
                .sums
                .iter()
                .map(|mean| (mean.name.clone(), mean.sum.to_bits(), mean.count))
                .collect(),
            best: self
                .judged
                .best
                .map(|(step, value)| (step, value.to_bits())),
            reference: self.judged.reference.map(f64::to_bits),
            waited: self.judged.waited,
            arrays: self
                .arrays
                .iter()
                .map(|(name, values)| (name.clone(), values.len()))
                .collect(),
        };
        let mut bytes = FORMAT.to_vec();
        serde_json::to_writer(&mut bytes, &header).map_err(std::io::Error::from)?;
        bytes.push(b'\n');
        for (_, values) in &self.arrays {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, hash) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>()?;
        if blake3::hash(bytes) != blake3::Hash::from_bytes(*hash) {
            return None;
        }
        let bytes = bytes.strip_prefix(FORMAT)?;
        let line = bytes.iter().position(|&byte| byte == b'\n')?;
        let (header, bytes) = bytes.split_at(line);
        let header: Header = serde_json::from_slice(header).ok()?;
        let mut numbers = bytes[1..].as_chunks::<4>().0;
        let mut arrays = Vec::with_capacity(header.arrays.len());
        for (name, length) in header.arrays {
            let (mine, rest) = numbers.split_at_checked(length)?;
            numbers = rest;
            let values = mine.iter().map(|bytes| f32::from_le_bytes(*bytes));
            arrays.push((name, values.collect()));
        }
        Some(Self {
            identity: header.identity,
            step: header.step,
            metrics: header
                .metrics
                .into_iter()
                .map(|(step, name, bits)| Metric {
                    step,
                    name,
                    value: f64::from_bits(bits),
                })
                .collect(),
            sums: header
                .sums
                .into_iter()
                .map(|(name, bits, count)| Mean {
                    name,
                    sum: f64::from_bits(bits),
                    count,
                })
                .collect(),
            judged: Judged {
                best: header.best.map(|(step, bits)| (step, f64::from_bits(bits))),
                reference: header.reference.map(f64::from_bits),
                waited: header.waited,
            },
            arrays,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        Checkpoint {
            identity: "settings".to_owned(),
            step: 17,
            metrics: vec![Metric {
                step: 10,
                name: "train.loss".to_owned(),
                value: 0.1 + 0.2,
            }],
            sums: vec![Mean {
                name: "train.loss".to_owned(),
                sum: 1.0 / 3.0,
                count: 3,
            }],
            judged: Judged {
                best: Some((5, 0.1 + 0.2)),
                reference: Some(1.0 / 3.0),
                waited: 2,
            },
            arrays: vec![
                ("a".to_owned(), vec![1.5, -0.0, 1e-40]),
                ("b".to_owned(), vec![f32::MAX]),
            ],
        }
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::load(folder.path(), "settings"), Ok(None));
        example().save(folder.path()).unwrap();
        let back = Checkpoint::load(folder.path(), "settings")
            .unwrap()
            .unwrap();
        assert_eq!(back, example());
        assert_eq!(back.arrays[0].1[1].to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn a_cut_or_changed_file_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        example().save(folder.path()).unwrap();
        let path = Checkpoint::path(folder.path());
        let bytes = fs_err::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs_err::write(&path, &bytes[..length]).unwrap();
            assert!(Checkpoint::load(folder.path(), "settings").is_err());
        }
        for index in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[index] ^= 1;
            fs_err::write(&path, bytes).unwrap();
            assert!(Checkpoint::load(folder.path(), "settings").is_err());
        }
    }

    #[test]
    fn a_checkpoint_of_another_training_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        example().save(folder.path()).unwrap();
        let error = Checkpoint::load(folder.path(), "others").unwrap_err();
        assert!(error.ends_with("is of another training"));
    }
}
