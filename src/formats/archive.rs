//! Weights of a network in one or several files, of any format: names, shapes, and the numbers of one array at a time as `f32`.

use super::gguf::{self, Gguf};
use super::tensors::Array;
use super::{FormatError, blocks, half, safetensors};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How the numbers of an array are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// 64-bit floating point; rounded to `f32` when read.
    F64,
    /// Blocks of GGUF, several weights with a common scale.
    Block(blocks::Block),
    /// Numbers that are no weights: integers, truth values and formats of 8 bits. Their name and bytes each. They can be in a file,
    /// but not be read as weights.
    Other(&'static str, u64),
}

impl Dtype {
    /// Weights that are stored together, and their bytes.
    pub(super) fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::F64 => (1, 8),
            Self::Block(block) => (block.weights() as u64, block.bytes() as u64),
            Self::Other(_, bytes) => (1, bytes),
        }
    }

    /// Bytes of an array, or nothing when they cannot be counted or its rows are no whole blocks.
    pub(super) fn bytes(self, shape: &[usize]) -> Option<u64> {
        let (weights, bytes) = self.block();
        let row = shape.last().copied().unwrap_or(1) as u64;
        let mut count = 1_u64;
        for &size in shape {
            count = count.checked_mul(size as u64)?;
        }
        if !row.is_multiple_of(weights) {
            return None;
        }
        (count / weights).checked_mul(bytes)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F64 => "F64",
            Self::Block(block) => block.name(),
            Self::Other(name, _) => name,
        })
    }
}

/// Where an array lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// First byte in its file.
    pub(super) start: u64,
    /// Its bytes.
    pub(super) bytes: u64,
    /// Its file's place in the archive.
    pub(super) file: usize,
}

/// The arrays of one or several files, whose headers have been read and checked.
#[derive(Clone, Debug)]
pub struct Archive {
    path: PathBuf,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Opens a `.safetensors` file, a `.safetensors.index.json` with its shards, or a `.gguf` file.
    ///
    /// # Errors
    /// When a file is cut short, or its header names sizes, places or types that cannot be: every problem of a header in one message.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".gguf") {
            Ok(gguf::open(path)?.into_archive())
        } else if name.ends_with(".json") {
            safetensors::open_shards(path)
        } else {
            let entries = safetensors::read_header(path)?;
            Ok(Self::new(path, vec![path.to_owned()], entries))
        }
    }

    pub(super) fn new(path: &Path, files: Vec<PathBuf>, entries: BTreeMap<String, Entry>) -> Self {
        Self {
            path: path.to_owned(),
            files,
            entries,
        }
    }

    /// What was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every array by name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Reads one array as `f32`.
    ///
    /// # Errors
    /// When there is no such array, its numbers are no weights, or the file has shrunk since it was opened.
    pub fn read(&self, name: &str) -> Result<Array, FormatError> {
        let entry = self
            .entries
            .get(name)
            .ok_or_else(|| broken(&self.path, format!("has no array `{name}`")))?;
        let path = &self.files[entry.file];
        let mut file = fs_err::File::open(path)?;
        let length = file.metadata()?.len();
        if entry.start.saturating_add(entry.bytes) > length {
            return Err(broken(
                path,
                format!("`{name}` lies beyond the end: the file has {length} bytes"),
            ));
        }
        file.seek(SeekFrom::Start(entry.start))?;
        let mut bytes = vec![0; entry.bytes as usize];
        file.read_exact(&mut bytes)?;
        let data = numbers(entry.dtype, &bytes).ok_or_else(|| {
            broken(
                path,
                format!("`{name}` is {}, which are no weights", entry.dtype),
            )
        })?;
        Ok(Array::new(&entry.shape, data))
    }
}

/// The numbers of an array, or nothing when they are no weights.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let two = |convert: fn(u16) -> f32| {
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs
            .iter()
            .map(|pair| convert(u16::from_le_bytes(*pair)))
            .collect()
    };
    Some(match dtype {
        Dtype::F32 => {
            let (fours, _) = bytes.as_chunks::<4>();
            fours.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
        Dtype::F64 => {
            let (eights, _) = bytes.as_chunks::<8>();
            eights
                .iter()
                .map(|b| f64::from_le_bytes(*b) as f32)
                .collect()
        }
        Dtype::F16 => two(half::from_f16),
        Dtype::BF16 => two(half::from_bf16),
        Dtype::Block(block) => block.decode(bytes),
        Dtype::Other(..) => return None,
    })
}

impl Gguf {
    /// The arrays alone.
    pub fn into_archive(self) -> Archive {
        let files = vec![self.path.clone()];
        Archive::new(&self.path, files, self.entries)
    }
}

/// An error about a file of arrays.
pub(super) fn broken(path: &Path, message: impl Into<String>) -> FormatError {
    FormatError::Tensors {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// The error with all problems of a header, or none. Long lists are cut: the first twenty tell what happened.
pub(super) fn all_problems(path: &Path, problems: &[String]) -> Result<(), FormatError> {
    const SHOWN: usize = 20;
    if problems.is_empty() {
        return Ok(());
    }
    let mut message = problems[..problems.len().min(SHOWN)].join("; ");
    if problems.len() > SHOWN {
        message += &format!("; and {} more problems", problems.len() - SHOWN);
    }
    Err(broken(path, message))
}

/// Notes every pair of arrays that share bytes: `(start, end, name)`.
pub(super) fn overlaps(mut places: Vec<(u64, u64, &str)>, problems: &mut Vec<String>) {
    places.retain(|(start, end, _)| start < end);
    places.sort_unstable();
    for pair in places.windows(2) {
        if pair[1].0 < pair[0].1 {
            problems.push(format!("`{}` and `{}` overlap", pair[0].2, pair[1].2));
        }
    }
}
