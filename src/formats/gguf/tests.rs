//! Headers that lie, and files that are cut.

use super::{Gguf, Value, open};
use crate::formats::FormatError;

/// Writes GGUF files, right or wrong.
struct Builder(Vec<u8>);

impl Builder {
    fn new(version: u32, arrays: u64, keys: u64) -> Self {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(arrays.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        Self(bytes)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.raw(&(text.len() as u64).to_le_bytes())
            .raw(text.as_bytes())
    }

    /// A key with a value of a type.
    fn key(self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.text(key).raw(&kind.to_le_bytes()).raw(value)
    }

    fn array(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        self = self.text(name).raw(&(shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            self = self.raw(&size.to_le_bytes());
        }
        self.raw(&kind.to_le_bytes()).raw(&offset.to_le_bytes())
    }

    /// Padding to the alignment, and data.
    fn data(mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32), 0);
        self.0.extend(bytes);
        self.0
    }
}

fn read(bytes: &[u8]) -> Result<Gguf, FormatError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    fs_err::write(&path, bytes).unwrap();
    open(&path)
}

fn message(bytes: &[u8]) -> String {
    let text = read(bytes).unwrap_err().to_string();
    let at = text.find("m.gguf").unwrap();
    format!("`{}", &text[at..])
}

fn good() -> Vec<u8> {
    let mut list = 8_u32.to_le_bytes().to_vec();
    list.extend(2_u64.to_le_bytes());
    for text in ["ab", "ß"] {
        list.extend((text.len() as u64).to_le_bytes());
        list.extend(text.as_bytes());
    }
    let mut scores = 6_u32.to_le_bytes().to_vec();
    scores.extend(1_u64.to_le_bytes());
    scores.extend((-1.5_f32).to_le_bytes());
    let mut data = Vec::new();
    for x in [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0] {
        data.extend(x.to_le_bytes());
    }
    data.extend([0, 0x3c]);
    data.extend([0x98; 16]);
    Builder::new(3, 2, 6)
        .key("general.architecture", 8, b"\x05\0\0\0\0\0\0\0llama")
        .key("llama.block_count", 4, &7_u32.to_le_bytes())
        .key("x.signed", 5, &(-3_i32).to_le_bytes())
        .key("x.truth", 7, &[1])
        .key("tokens", 9, &list)
        .key("scores", 9, &scores)
        .array("a", &[2, 3], 0, 0)
        .array("q", &[1, 32], 2, 32)
        .data(&data)
}

#[test]
fn values_and_arrays_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    fs_err::write(&path, good()).unwrap();
    let gguf = open(&path).unwrap();
    assert_eq!(gguf.text("general.architecture"), Some("llama"));
    assert_eq!(gguf.whole("llama.block_count"), Some(7));
    assert_eq!(gguf.value("x.signed"), Some(&Value::Signed(-3)));
    assert_eq!(gguf.truth("x.truth"), Some(true));
    assert_eq!(gguf.texts("tokens").unwrap(), ["ab", "ß"]);
    assert_eq!(gguf.numbers("scores").unwrap(), [-1.5]);
    let archive = gguf.into_archive();
    let a = archive.read("a").unwrap();
    assert_eq!(
        (a.shape, a.data),
        (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    );
    let q = archive.read("q").unwrap();
    assert_eq!((q.data[0], q.data[16]), (0.0, 1.0));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = good();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
    insta::assert_snapshot!(message(&bytes[..60]), @"`m.gguf`: says that it has 2 arrays, but only 44 bytes follow");
    insta::assert_snapshot!(message(&bytes[..bytes.len() - 1]), @"`m.gguf`: `q` takes 18 bytes from byte 352, but the file has 369; it is cut short or its header is wrong");
}

#[test]
fn absurd_counts_take_no_memory() {
    let huge = u64::MAX.to_le_bytes();
    insta::assert_snapshot!(message(&Builder::new(3, u64::MAX, 0).0), @"`m.gguf`: says that it has 18446744073709551615 arrays, but only 8 bytes follow and at most 1048576 are read");
    insta::assert_snapshot!(message(&Builder::new(3, 0, 1 << 40).raw(&[0; 99]).0), @"`m.gguf`: says that it has 1099511627776 keys, but only 99 bytes follow and at most 1048576 are read");
    let long = Builder::new(3, 0, 1).raw(&huge).raw(&[0; 99]).0;
    insta::assert_snapshot!(message(&long), @"`m.gguf`: has a text of 18446744073709551615 bytes in its header, but at most 16777216 are read");
    let long = Builder::new(3, 0, 1)
        .raw(&1_000_u64.to_le_bytes())
        .raw(&[65; 99])
        .0;
    insta::assert_snapshot!(message(&long), @"`m.gguf`: ends within its header; it is cut short, or a count or length in it is wrong");
    let mut list = 8_u32.to_le_bytes().to_vec();
    list.extend(huge);
    insta::assert_snapshot!(message(&Builder::new(3, 0, 1).key("a", 9, &list).0), @"`m.gguf`: says that it has 18446744073709551615 values in a list, but only 0 bytes follow and at most 16777216 are read");
    let nested = Builder::new(3, 0, 1)
        .key("a", 9, &9_u32.to_le_bytes())
        .raw(&[0; 99])
        .0;
    insta::assert_snapshot!(message(&nested), @"`m.gguf`: has a list of lists in its header, which no model has");
}

#[test]
fn every_array_that_cannot_be_is_listed() {
    let bytes = Builder::new(3, 8, 0)
        .array("a", &[2], 0, 0)
        .array("b", &[2], 0, 4)
        .array("c", &[31], 2, 0)
        .array("d", &[u64::MAX, u64::MAX], 0, 0)
        .array("e", &[4], 10, 0)
        .array("f", &[4], 99, 0)
        .array("g", &[64], 0, u64::MAX - 3)
        .array("a", &[0], 0, 0)
        .data(&[0; 64]);
    insta::assert_snapshot!(message(&bytes), @"`m.gguf`: `c` has the shape [31], too large to be true or no whole blocks of Q4_0; `d` has the shape [18446744073709551615, 18446744073709551615], too large to be true or no whole blocks of F32; `e` has the type 10 (Q2_K), which is not read; known are F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K; `f` has the type 99, which is not read; known are F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K; `g` takes 256 bytes from byte 18446744073709551615, but the file has 384; it is cut short or its header is wrong; `a` is there twice; `a` and `b` overlap");
    let axes = Builder::new(3, 1, 0)
        .array("a", &[1, 1, 1, 1, 1], 0, 0)
        .data(&[0; 64]);
    insta::assert_snapshot!(message(&axes), @"`m.gguf`: `a` has 5 axes, but at most 4 are possible");
}

#[test]
fn other_files_and_versions_are_named() {
    insta::assert_snapshot!(message(b"GGML and more than twenty-four bytes"), @"`m.gguf`: is no GGUF file: it does not start with `GGUF` and two counts");
    insta::assert_snapshot!(message(&Builder::new(1, 0, 0).raw(&[0; 32]).0), @"`m.gguf`: is GGUF version 1, but only versions 2 and 3, little endian, are read");
    insta::assert_snapshot!(message(&Builder::new(3_u32.swap_bytes(), 0, 0).raw(&[0; 32]).0), @"`m.gguf`: is GGUF version 50331648, big endian, but only versions 2 and 3, little endian, are read");
    let odd = Builder::new(3, 0, 1).key("general.alignment", 4, &3_u32.to_le_bytes());
    insta::assert_snapshot!(message(&odd.raw(&[0; 32]).0), @"`m.gguf`: `general.alignment` is Unsigned(3), but must be a power of two up to 1048576");
    let twice = Builder::new(3, 0, 2).key("k", 7, &[0]).key("k", 7, &[1]);
    insta::assert_snapshot!(message(&twice.data(&[])), @"`m.gguf`: the key `k` is there twice");
}
