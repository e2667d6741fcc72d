//! Reads a header.

use super::{Gguf, Value};
use crate::formats::FormatError;
use crate::formats::archive::{Dtype, Entry, all_problems, broken, overlaps};
use crate::formats::blocks::Block;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek as _};
use std::path::Path;

/// Values of all lists together, at most: 40 times the largest vocabulary with its merges.
const MOST_VALUES: u64 = 1 << 24;
/// Keys, and arrays, at most.
const MOST_ENTRIES: u64 = 1 << 20;
/// The longest text, in bytes.
const LONGEST_TEXT: u64 = 1 << 24;
/// Bytes of a header, at most.
const LONGEST_HEADER: u64 = 1 << 30;
/// The most axes of an array.
const MOST_AXES: u32 = 4;
/// Where arrays start, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Bytes of a header that are still to come; every read is counted against the length of the file.
struct Bytes<'a, R> {
    path: &'a Path,
    inner: R,
    /// Left in the file, or of what a header may have.
    left: u64,
    /// Values of lists that may still come.
    values: u64,
}

impl<R: Read> Bytes<'_, R> {
    fn broken(&self, message: impl Into<String>) -> FormatError {
        broken(self.path, message)
    }

    fn cut(&self) -> FormatError {
        self.broken("ends within its header; it is cut short, or a count or length in it is wrong")
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn claim(&mut self, bytes: u64) -> Result<(), FormatError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.cut()),
        }
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String, FormatError> {
        let length = self.u64()?;
        if length > LONGEST_TEXT {
            return Err(self.broken(format!(
                "has a text of {length} bytes in its header, but at most {LONGEST_TEXT} are read"
            )));
        }
        self.claim(length)?;
        let mut bytes = vec![0; length as usize];
        self.inner.read_exact(&mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|_| self.broken("has a text in its header that is no UTF-8"))
    }

    /// A count of things of at least `least` bytes each.
    fn count(&mut self, what: &str, least: u64, most: u64) -> Result<u64, FormatError> {
        let count = self.u64()?;
        if count > most || count.saturating_mul(least) > self.left {
            return Err(self.broken(format!(
                "says that it has {count} {what}, but only {} bytes follow{}",
                self.left,
                if count > most {
                    format!(" and at most {most} are read")
                } else {
                    String::new()
                }
            )));
        }
        Ok(count)
    }

    /// A number, truth or text of the type `kind`.
    fn scalar(&mut self, kind: u32) -> Result<Value, FormatError> {
        let signed = |number: i64| match u64::try_from(number) {
            Ok(number) => Value::Unsigned(number),
            Err(_) => Value::Signed(number),
        };
        Ok(match kind {
            0 => Value::Unsigned(self.take::<1>()?[0].into()),
            1 => signed(i8::from_le_bytes(self.take()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.take()?).into()),
            3 => signed(i16::from_le_bytes(self.take()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => signed(i32::from_le_bytes(self.take()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.take()?).into()),
            7 => Value::Bool(self.take::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            10 => Value::Unsigned(self.u64()?),
            11 => signed(i64::from_le_bytes(self.take()?)),
            12 => Value::Float(f64::from_le_bytes(self.take()?)),
            _ => return Err(self.broken(format!("has a value of the unknown type {kind}"))),
        })
    }

    fn value(&mut self) -> Result<Value, FormatError> {
        const LIST: u32 = 9;
        let kind = self.u32()?;
        if kind != LIST {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            LIST => {
                return Err(self.broken("has a list of lists in its header, which no model has"));
            }
            _ => return Err(self.broken(format!("has a list of the unknown type {kind}"))),
        };
        let count = self.count("values in a list", least, self.values)?;
        self.values -= count;
        if kind == 8 {
            let mut texts = Vec::new();
            for _ in 0..count {
                texts.push(self.text()?);
            }
            return Ok(Value::Texts(texts));
        }
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(match self.scalar(kind)? {
                Value::Unsigned(number) => number as f64,
                Value::Signed(number) => number as f64,
                Value::Float(number) => number,
                Value::Bool(truth) => f64::from(u8::from(truth)),
                Value::Text(_) | Value::Texts(_) | Value::Numbers(_) => 0.0,
            });
        }
        Ok(Value::Numbers(numbers))
    }
}

/// The type of an array by its number.
fn dtype(number: u32) -> Result<Dtype, String> {
    Ok(match number {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Block(Block::Q4_0),
        3 => Dtype::Block(Block::Q4_1),
        6 => Dtype::Block(Block::Q5_0),
        7 => Dtype::Block(Block::Q5_1),
        8 => Dtype::Block(Block::Q8_0),
        12 => Dtype::Block(Block::Q4K),
        13 => Dtype::Block(Block::Q5K),
        14 => Dtype::Block(Block::Q6K),
        24 => Dtype::Other("I8", 1),
        25 => Dtype::Other("I16", 2),
        26 => Dtype::Other("I32", 4),
        27 => Dtype::Other("I64", 8),
        28 => Dtype::F64,
        30 => Dtype::BF16,
        _ => {
            return Err(format!(
                "has the type {number}{}, which is not read; known are F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, \
                 Q8_0, Q4_K, Q5_K, Q6_K",
                match number {
                    9 => " (Q8_1)",
                    10 => " (Q2_K)",
                    11 => " (Q3_K)",
                    15 => " (Q8_K)",
                    16..=23 | 29 => " (of the IQ kinds)",
                    _ => "",
                }
            ));
        }
    })
}

/// An array as the header describes it, before it is known where arrays start.
struct Described {
    name: String,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

pub(super) fn open(path: &Path) -> Result<Gguf, FormatError> {
    let file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Bytes {
        path,
        inner: BufReader::new(file),
        left: length.min(LONGEST_HEADER),
        values: MOST_VALUES,
    };
    if length < 24 || bytes.take::<4>()? != *b"GGUF" {
        return Err(broken(
            path,
            "is no GGUF file: it does not start with `GGUF` and two counts",
        ));
    }
    let version = bytes.u32()?;
    if !(2..=3).contains(&version) {
        let swapped = (2..=3).contains(&version.swap_bytes());
        let why = if swapped { ", big endian" } else { "" };
        return Err(broken(
            path,
            format!(
                "is GGUF version {version}{why}, but only versions 2 and 3, little endian, are read"
            ),
        ));
    }
    // Name, axes, type and offset; key, type and a byte.
    let n_arrays = bytes.count("arrays", 8 + 4 + 4 + 8, MOST_ENTRIES)?;
    let n_values = bytes.count("keys", 8 + 4 + 1, MOST_ENTRIES)?;
    let mut problems = Vec::new();
    let mut values = BTreeMap::new();
    for _ in 0..n_values {
        let key = bytes.text()?;
        let value = bytes.value()?;
        if values.insert(key.clone(), value).is_some() {
            problems.push(format!("the key `{key}` is there twice"));
        }
    }
    let mut described = Vec::new();
    for _ in 0..n_arrays {
        let name = bytes.text()?;
        let axes = bytes.u32()?;
        if axes > MOST_AXES {
            return Err(broken(
                path,
                format!("`{name}` has {axes} axes, but at most {MOST_AXES} are possible"),
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(bytes.u64()?);
        }
        // The file counts axes from the innermost.
        shape.reverse();
        let (kind, offset) = (bytes.u32()?, bytes.u64()?);
        described.push(Described {
            name,
            shape,
            kind,
            offset,
        });
    }
    let alignment = match values.get("general.alignment") {
        None => ALIGNMENT,
        Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => *n,
        Some(other) => {
            return Err(broken(
                path,
                format!(
                    "`general.alignment` is {other:?}, but must be a power of two up to 1048576"
                ),
            ));
        }
    };
    let data = bytes.inner.stream_position()?.next_multiple_of(alignment);
    let entries = place(described, data, length, &mut problems);
    all_problems(path, &problems)?;
    Ok(Gguf {
        path: path.to_owned(),
        entries,
        values,
    })
}

/// Arrays in a file of `length` bytes whose arrays start at `data`.
fn place(
    described: Vec<Described>,
    data: u64,
    length: u64,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for array in described {
        match entry(&array, data, length) {
            Err(problem) => problems.push(format!("`{}` {problem}", array.name)),
            Ok(_) if entries.contains_key(&array.name) => {
                problems.push(format!("`{}` is there twice", array.name));
            }
            Ok(entry) => {
                entries.insert(array.name, entry);
            }
        }
    }
    let places = entries
        .iter()
        .map(|(name, e): (&String, &Entry)| (e.start, e.start + e.bytes, name.as_str()))
        .collect();
    overlaps(places, problems);
    entries
}

fn entry(array: &Described, data: u64, length: u64) -> Result<Entry, String> {
    let dtype = dtype(array.kind)?;
    let shape = array
        .shape
        .iter()
        .map(|&size| usize::try_from(size))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| {
            format!(
                "has the shape {:?}, too large for this machine",
                array.shape
            )
        })?;
    let bytes = dtype.bytes(&shape).ok_or_else(|| {
        format!("has the shape {shape:?}, too large to be true or no whole blocks of {dtype}")
    })?;
    let start = data.saturating_add(array.offset);
    if start.saturating_add(bytes) > length {
        return Err(format!(
            "takes {bytes} bytes from byte {start}, but the file has {length}; it is cut short or its header is wrong"
        ));
    }
    Ok(Entry {
        shape,
        dtype,
        start,
        bytes,
        file: 0,
    })
}
