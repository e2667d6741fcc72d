//! Headers that lie, files that are cut, shards that do not fit.

use crate::formats::archive::Archive;
use std::path::Path;

/// A file of a header and `data` zero bytes.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    fs_err::write(&path, bytes).unwrap();
    let error = Archive::open(&path).unwrap_err().to_string();
    error.replace(&folder.path().display().to_string(), "F")
}

#[test]
fn every_width_is_read_as_f32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]},
        "c":{"dtype":"BF16","shape":[],"data_offsets":[12,14]},"d":{"dtype":"F64","shape":[1],"data_offsets":[14,22]},
        "i":{"dtype":"I64","shape":[1],"data_offsets":[22,30]},"e":{"dtype":"F32","shape":[0,4],"data_offsets":[30,30]}}"#;
    let mut bytes = file(header, 0);
    for x in [1.5_f32, -2.0] {
        bytes.extend(x.to_le_bytes());
    }
    bytes.extend([0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f]);
    bytes.extend(0.1_f64.to_le_bytes());
    bytes.extend(7_u64.to_le_bytes());
    fs_err::write(&path, bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    let read = |name| archive.read(name).unwrap();
    assert_eq!(read("a").data, [1.5, -2.0]);
    assert_eq!(
        (read("b").data, read("b").shape),
        (vec![1.0, -2.0], vec![1, 2])
    );
    assert_eq!((read("c").data, read("c").shape), (vec![1.0], vec![]));
    assert_eq!(read("d").data, [0.1]);
    assert_eq!(read("e").shape, [0, 4]);
    let integers = archive.read("i").unwrap_err().to_string();
    assert!(
        integers.ends_with("`i` is I64, which are no weights"),
        "{integers}"
    );
    assert!(
        archive
            .read("z")
            .unwrap_err()
            .to_string()
            .ends_with("has no array `z`")
    );
}

#[test]
fn a_header_that_lies_is_refused_with_every_problem() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"Q9","shape":[1],"data_offsets":[4,8]},
        "c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"d":{"dtype":"F32","shape":[1],"data_offsets":[6,10]},
        "e":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]},
        "f":{"dtype":"F32","shape":[1],"data_offsets":[8,3000000000]},"g":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]},
        "h":{"dtype":"F32","shape":[1]},"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"i":3,
        "j":{"dtype":"F32","shape":[0],"data_offsets":[9,8]}}"#;
    insta::assert_snapshot!(message(&file(header, 12)), @"`F/m.safetensors`: `a` has 4 bytes, but F32 [2] takes 8; `b` has the dtype `Q9`, which is unknown; known are F32, F16, BF16, F64, I64, U64, I32, U32, I16, U16, I8, U8, BOOL, F8_E4M3, F8_E5M2; `e` has the shape [4294967296, 4294967296, 4294967296], too large to be true; `f` lies at bytes 8 to 3000000000, but 12 follow the header; the file is cut short or its header is wrong; `g` has no `shape` of whole numbers; `h` has no two `data_offsets`; `c` is there twice; `i` has no `dtype`; `j` lies at bytes 9 to 8, but 12 follow the header; the file is cut short or its header is wrong");
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    insta::assert_snapshot!(message(&file(header, 12)), @"`F/m.safetensors`: `a` and `b` overlap");
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    insta::assert_snapshot!(message(&file(header, 12)), @"`F/m.safetensors`: its arrays take 8 bytes, but 12 follow the header");
}

#[test]
fn what_is_cut_short_or_no_such_file_is_refused() {
    insta::assert_snapshot!(message(b"abc"), @"`F/m.safetensors`: has 3 bytes, too few for a safetensors file");
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend(b"{}");
    insta::assert_snapshot!(message(&huge), @"`F/m.safetensors`: says that its header has 18446744073709551615 bytes, but the file has 10; it is cut short or no safetensors file");
    insta::assert_snapshot!(message(&file("[1, 2]", 0)), @"`F/m.safetensors`: its header is no JSON object: invalid type: sequence, expected a JSON object at line 1 column 0");
    let whole = file(
        r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
        16,
    );
    for length in 0..whole.len() {
        assert!(!message(&whole[..length]).is_empty(), "{length}");
    }
    // Deep nesting must not end the stack.
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(message(&file(&deep, 0)).contains("no JSON object"));
}

#[test]
fn shards_are_one_archive_and_must_be_what_the_index_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs_err::write(folder.path().join(name), bytes).unwrap();
    let one = |name: &str, value: f32| {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let mut bytes = file(&header, 0);
        bytes.extend(value.to_le_bytes());
        bytes
    };
    write("1.safetensors", &one("a", 1.0));
    write("2.safetensors", &one("b", 2.0));
    let path = folder.path().join("model.safetensors.index.json");
    let open = |map: &str| {
        let text = format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{map}}}"#);
        fs_err::write(&path, text).unwrap();
        Archive::open(Path::new(&path))
    };
    let archive = open(r#"{"a":"1.safetensors","b":"2.safetensors"}"#).unwrap();
    assert_eq!(archive.read("a").unwrap().data, [1.0]);
    assert_eq!(archive.read("b").unwrap().data, [2.0]);
    let wrong = open(r#"{"a":"2.safetensors","c":"1.safetensors","d":"3.safetensors","e":"../x"}"#);
    let wrong = wrong.unwrap_err().to_string();
    let wrong = wrong.replace(&folder.path().display().to_string(), "F");
    insta::assert_snapshot!(wrong, @"`F/model.safetensors.index.json`: `../x` is no name of a file beside the index; `a` is in `1.safetensors`, but the index says `2.safetensors`; `b` of `2.safetensors` is not in the index; the shard `3.safetensors` is missing; `c` is not in `1.safetensors`, where the index says it is");
}
