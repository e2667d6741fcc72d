//! TensorBoard event files: scalars that `tensorboard --logdir` draws.
//!
//! A file is a sequence of records as TensorFlow frames them (`tensorflow/core/lib/io/record_writer.cc`): the length as a little-endian `u64`, its
//! masked CRC-32C, the bytes, theirs. The bytes are a protocol buffer `Event` (`tensorboard/compat/proto/event.proto`); the few fields that
//! a scalar needs are written by hand.
//!
//! The wall time of an event is its step, in seconds: an artifact is stored under the hash of its content, so a clock must not be in it. TensorBoard's
//! "relative" axis then counts steps.

use super::FormatError;
use std::io::Write as _;
use std::path::Path;

/// The name of the file in a folder. TensorBoard reads whatever has `tfevents` in its name; programs that write several add host, process and time, but ours writes
/// one a folder.
pub const FILE_NAME: &str = "events.out.tfevents.ilm-pipe";

/// An event file that is being written.
#[derive(Debug)]
pub struct EventFile {
    file: fs_err::File,
}

impl EventFile {
    /// Starts the event file of a folder, in place of one that is there.
    pub fn create(folder: &Path) -> Result<Self, FormatError> {
        let file = fs_err::File::create(folder.join(FILE_NAME))?;
        let mut events = Self { file };
        let mut first = Vec::new();
        double(&mut first, 1, 0.0);
        bytes(&mut first, 3, b"brain.Event:2");
        events.file.write_all(&record(&first))?;
        Ok(events)
    }

    /// Adds scalars, each a step, a tag and a value.
    pub fn append<'a>(
        &mut self,
        scalars: impl IntoIterator<Item = (u64, &'a str, f64)>,
    ) -> Result<(), FormatError> {
        let mut all = Vec::new();
        for (step, tag, value) in scalars {
            all.extend(record(&scalar(step, tag, value)));
        }
        self.file.write_all(&all)?;
        Ok(())
    }
}

/// An `Event` with one scalar. Its value is single precision, as in every event file.
fn scalar(step: u64, tag: &str, value: f64) -> Vec<u8> {
    let mut one = Vec::new();
    bytes(&mut one, 1, tag.as_bytes());
    key(&mut one, 2, 5);
    one.extend((value as f32).to_le_bytes());
    let mut summary = Vec::new();
    bytes(&mut summary, 1, &one);
    let mut event = Vec::new();
    double(&mut event, 1, step as f64);
    key(&mut event, 2, 0);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    event
}

/// Frames a record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut framed = length.to_vec();
    framed.extend(masked(crc32c(&length)).to_le_bytes());
    framed.extend(data);
    framed.extend(masked(crc32c(data)).to_le_bytes());
    framed
}

/// TensorFlow's mask: the checksum of bytes that hold checksums would be a poor one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The CRC with Castagnoli's polynomial (RFC 3720, appendix B.4).
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    };
    !data.iter().fold(!0, step)
}

// The wire format of protocol buffers: a key is the field's number and how its value is written.

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A field of a message: its number and its value.
    enum Field<'a> {
        Whole(u64),
        Bytes(&'a [u8]),
    }

    /// Reads a message, independently of what writes it.
    fn fields(mut data: &[u8]) -> Vec<(u64, Field<'_>)> {
        fn number(data: &mut &[u8]) -> u64 {
            let end = data.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            let (mine, rest) = data.split_at(end);
            *data = rest;
            let parts = mine.iter().rev();
            parts.fold(0, |n, byte| n << 7 | u64::from(byte & 0x7f))
        }
        let mut found = Vec::new();
        while !data.is_empty() {
            let key = number(&mut data);
            let length = match key & 7 {
                0 => {
                    found.push((key >> 3, Field::Whole(number(&mut data))));
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => number(&mut data) as usize,
                other => panic!("wire type {other}"),
            };
            let (mine, rest) = data.split_at(length);
            found.push((key >> 3, Field::Bytes(mine)));
            data = rest;
        }
        found
    }

    fn only<'a>(fields: &'a [(u64, Field<'a>)], number: u64) -> &'a [u8] {
        let mut found = fields.iter().filter(|field| field.0 == number);
        match (found.next(), found.next()) {
            (Some((_, Field::Bytes(bytes))), None) => bytes,
            _ => panic!("not one field {number} of bytes"),
        }
    }

    /// A table-driven CRC-32C, unlike the one that writes.
    fn checksum(data: &[u8]) -> u32 {
        let table: Vec<u32> = (0..256_u32)
            .map(|byte| {
                (0..8).fold(byte, |c, _| {
                    if c & 1 == 1 {
                        0x82f6_3b78 ^ (c >> 1)
                    } else {
                        c >> 1
                    }
                })
            })
            .collect();
        let crc = data.iter().fold(u32::MAX, |crc, &byte| {
            table[((crc ^ u32::from(byte)) & 255) as usize] ^ (crc >> 8)
        });
        let crc = crc ^ u32::MAX;
        crc.rotate_left(17).wrapping_add(0xa282_ead8)
    }

    /// The scalars of a file: step, wall time, tag, value.
    pub(crate) fn read(path: &Path) -> Vec<(u64, f64, String, f32)> {
        let file = fs_err::read(path).unwrap();
        let (mut rest, mut found, mut version) = (&file[..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let (check, after) = after.split_at(4);
            assert_eq!(checksum(length).to_le_bytes(), check);
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let (data, after) = after.split_at(length);
            let (check, after) = after.split_at(4);
            assert_eq!(checksum(data).to_le_bytes(), check);
            rest = after;
            let event = fields(data);
            let time = f64::from_le_bytes(only(&event, 1).try_into().unwrap());
            if event.iter().any(|field| field.0 == 3) {
                version.push(String::from_utf8(only(&event, 3).to_vec()).unwrap());
                continue;
            }
            let step = event.iter().find_map(|field| match field {
                (2, Field::Whole(step)) => Some(*step),
                _ => None,
            });
            let summary = fields(only(&event, 5));
            let value = fields(only(&summary, 1));
            let tag = String::from_utf8(only(&value, 1).to_vec()).unwrap();
            let number = f32::from_le_bytes(only(&value, 2).try_into().unwrap());
            found.push((step.unwrap(), time, tag, number));
        }
        assert_eq!(version, ["brain.Event:2"]);
        found
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    #[test]
    fn scalars_come_back_through_another_reader() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        file.append([(0, "eval/loss", 2.5), (0, "eval/ndcg@10", 1e-9)])
            .unwrap();
        file.append([(300, "train/loss", -0.1), (1 << 40, "ü", f64::INFINITY)])
            .unwrap();
        let path = folder.path().join(FILE_NAME);
        let expected = [
            (0, 0.0, "eval/loss".to_owned(), 2.5),
            (0, 0.0, "eval/ndcg@10".to_owned(), 1e-9),
            (300, 300.0, "train/loss".to_owned(), -0.1),
            (1 << 40, (1_u64 << 40) as f64, "ü".to_owned(), f32::INFINITY),
        ];
        assert_eq!(read(&path), expected);
        // The same numbers make the same bytes: an artifact is stored under the hash of its content.
        let bytes = fs_err::read(&path).unwrap();
        let mut again = EventFile::create(folder.path()).unwrap();
        let scalars = expected
            .iter()
            .map(|(step, _, tag, value)| (*step, tag.as_str(), f64::from(*value)));
        again.append(scalars).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), bytes);
    }
    /// The Python package reads what we write.
    #[test]
    #[ignore = "needs Python's tensorboard; see tests/reference/read_events.py"]
    #[expect(clippy::disallowed_methods, reason = "a setting of this test alone")]
    fn python_tensorboard_reads_the_same_scalars() {
        let python = std::env::var("ILM_PIPE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/read_events.py");
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        let mut expected = std::collections::BTreeMap::<&str, Vec<(u64, f64, f64)>>::new();
        for step in (0..2000_u64).step_by(10) {
            for (tag, value) in [
                ("train/loss", 3.0 / (1.0 + step as f64)),
                ("eval/ndcg@10", -1e-3 * step as f64),
            ] {
                file.append([(step, tag, value)]).unwrap();
                let seen = (step, step as f64, f64::from(value as f32));
                expected.entry(tag).or_default().push(seen);
            }
        }
        let mut command = std::process::Command::new(python);
        let ran = command.arg(script).arg(folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{errors}");
        let found: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(found, serde_json::to_value(expected).unwrap());
    }
}
