//! Honest archives, and every hostile one that we could think of.

use super::*;
use crate::progress::Silent;
use std::io::Cursor;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const LIMITS: Limits = Limits {
    entries: 10,
    bytes: 10 << 20,
    ratio: 100,
};

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if let Some(folder) = name.strip_suffix('/') {
            writer
                .add_directory(folder, SimpleFileOptions::default())
                .unwrap();
        } else {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces every occurrence.
fn patched(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let places: Vec<usize> = (0..=bytes.len() - old.len())
        .filter(|&at| bytes[at..].starts_with(old))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

/// Where the entry number `n` of the central directory starts.
fn central(bytes: &[u8], n: usize) -> usize {
    (0..bytes.len() - 4)
        .filter(|&at| bytes[at..].starts_with(b"PK\x01\x02"))
        .nth(n)
        .unwrap()
}

/// Unpacks all of an archive; returns the files, or what is wrong. Nothing may be written outside the folder.
fn unpacked(archive: &[u8], wanted: Wanted<'_>) -> Result<Vec<String>, String> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.zip");
    fs_err::write(&path, archive).unwrap();
    let folder = root.path().join("deep/er");
    fs_err::create_dir_all(&folder).unwrap();
    let done = zip(&path, "a.zip", wanted, &folder, LIMITS, &Silent);
    let files = files_below(root.path());
    assert!(
        files
            .iter()
            .all(|file| file == "a.zip" || file.starts_with("deep/er/")),
        "{files:?}"
    );
    done.map_err(|error| error.to_string())?;
    Ok(files
        .iter()
        .filter_map(|file| Some(file.strip_prefix("deep/er/")?.to_owned()))
        .collect())
}

fn files_below(root: &Path) -> Vec<String> {
    let (mut files, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

#[track_caller]
fn refused_with(archive: &[u8], words: &str) {
    let error = unpacked(archive, Wanted::All).unwrap_err();
    assert!(
        error.starts_with("`a.zip` is refused: ") && error.contains(words),
        "{error}"
    );
}

#[test]
fn a_single_top_folder_is_left_out_and_two_are_kept() {
    let honest = zip_of(&[
        ("ml/", b""),
        ("ml/a.csv", b"a"),
        ("ml/sub/b.csv", b"b"),
        ("__MACOSX/ml/._a.csv", b"x"),
    ]);
    assert_eq!(
        unpacked(&honest, Wanted::All).unwrap(),
        ["a.csv", "sub/b.csv"]
    );
    let two = zip_of(&[("x/a", b"a"), ("y/b", b"b")]);
    assert_eq!(unpacked(&two, Wanted::All).unwrap(), ["x/a", "y/b"]);
    let file = zip_of(&[("x", b"a")]);
    assert_eq!(unpacked(&file, Wanted::All).unwrap(), ["x"]);
}

#[test]
fn members_are_taken_by_name_and_missing_ones_are_told() {
    let archive = zip_of(&[("p/w.gguf", b"w"), ("p/x.py", b"x")]);
    assert_eq!(
        unpacked(&archive, Wanted::Members(&[("p/w.gguf", "weights.gguf")])).unwrap(),
        ["weights.gguf"]
    );
    let error = unpacked(
        &archive,
        Wanted::Members(&[("p/w.gguf", "w"), ("p/v", "v"), ("p/u", "u")]),
    )
    .unwrap_err();
    assert_eq!(error, "`a.zip` lacks `p/v`, `p/u`");
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let good: [&[u8]; 4] = [b"a", b"a/b.csv", b"a/", "é/ü".as_bytes()];
    for name in good {
        assert!(harmless(name).is_ok(), "{name:?}");
    }
    let climbing: [&[u8]; 9] = [
        b"../a",
        b"a/../../b",
        b"a/..",
        b"..",
        b"/etc/passwd",
        b"C:/a",
        b"c:a",
        b"..\\a",
        b"a\\..\\b",
    ];
    for name in climbing {
        assert!(
            harmless(name).unwrap_err().contains("leaves the folder"),
            "{name:?}"
        );
    }
    let senseless: [&[u8]; 7] = [b"", b"/", b"a//b", b"./a", b"a/./b", b"a\0b", b"a\nb"];
    for name in senseless {
        assert!(harmless(name).is_err(), "{name:?}");
    }
    assert!(
        harmless(b"caf\xe9.csv")
            .unwrap_err()
            .contains("is not UTF-8")
    );
    assert!(harmless(&[b'a'; 2000]).is_err());
    // As whole archives: before anything is written.
    refused_with(
        &zip_of(&[("ok", b"a"), ("../evil", b"x")]),
        "`../evil` leaves the folder",
    );
    refused_with(
        &patched(zip_of(&[("xetc/passwd", b"x")]), b"xetc", b"/etc"),
        "`/etc/passwd` leaves the folder",
    );
    refused_with(
        &patched(zip_of(&[("cafe.csv", b"x")]), b"cafe", b"caf\xe9"),
        "is not UTF-8",
    );
}

#[test]
fn links_and_encrypted_entries_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("a", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    refused_with(
        &writer.finish().unwrap().into_inner(),
        "`a` is a link or a device",
    );
    let device = zip_of(&[("a", b"x")]);
    let at = central(&device, 0);
    let mut device = device;
    device[at + 38..at + 42].copy_from_slice(&(0o060_644_u32 << 16).to_le_bytes());
    refused_with(&device, "`a` is a link or a device");
    let mut secret = zip_of(&[("a", b"x")]);
    let at = central(&secret, 0);
    secret[at + 8] |= 1;
    secret[6] |= 1;
    refused_with(&secret, "`a` is encrypted");
}

#[test]
fn the_same_file_twice_is_refused() {
    let twice = patched(
        zip_of(&[("aaa.txt", b"1"), ("bbb.txt", b"2")]),
        b"bbb.txt",
        b"aaa.txt",
    );
    refused_with(&twice, "two entries of the same name");
    refused_with(
        &zip_of(&[("a.txt", b"1"), ("A.TXT", b"2")]),
        "`A.TXT` is there twice",
    );
    refused_with(
        &zip_of(&[("a", b"1"), ("a/b", b"2")]),
        "`a/b` lies below a file",
    );
    refused_with(&zip_of(&[("a/b", b"2"), ("a", b"1")]), "`a` is there twice");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    refused_with(&zip_of(&[("a", &vec![0; 8 << 20])]), "more than 100 to 1");
    let noise: Vec<u8> = (0..600_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let many: Vec<(&str, &[u8])> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|&name| (name, &noise[..]))
        .collect();
    refused_with(&zip_of(&many), "declares more than 10485760 bytes");
    let names: Vec<String> = (0..11).map(|i| i.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    refused_with(&zip_of(&many), "it has 11 entries, more than 10");
    // Declares less than it holds: to pass the checks above.
    for declared in [10_u32, 0] {
        let mut liar = zip_of(&[("a", &vec![0; 8 << 20])]);
        let at = central(&liar, 0);
        liar[at + 24..at + 28].copy_from_slice(&declared.to_le_bytes());
        refused_with(&liar, "`a`");
    }
    // Declares more than it holds.
    let mut liar = zip_of(&[("a", b"abc")]);
    let at = central(&liar, 0);
    liar[at + 24..at + 28].copy_from_slice(&1000_u32.to_le_bytes());
    refused_with(&liar, "`a`");
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let mut shared = zip_of(&[("a", &[b'a'; 300]), ("b", &[b'a'; 300])]);
    let at = central(&shared, 1);
    shared[at + 42..at + 46].copy_from_slice(&0_u32.to_le_bytes());
    refused_with(&shared, "entries share bytes");
}

#[test]
fn damage_is_refused() {
    let noise: Vec<u8> = (0..1000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let archive = zip_of(&[("a", &noise)]);
    let mut flipped = archive.clone();
    flipped[2000] ^= 1;
    refused_with(&flipped, "`a` is damaged");
    refused_with(&archive[..archive.len() - 30], "no zip file");
    refused_with(b"<html>not found</html>", "no zip file");
    refused_with(b"", "no zip file");
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn gunzipped(archive: &[u8], lines: Option<u64>) -> Result<Vec<u8>, String> {
    let root = tempfile::tempdir().unwrap();
    let (path, place) = (root.path().join("a.gz"), root.path().join("a"));
    fs_err::write(&path, archive).unwrap();
    gzip(&path, "a.gz", &place, lines, LIMITS, &Silent).map_err(|error| error.to_string())?;
    Ok(fs_err::read(place).unwrap())
}

#[test]
fn gzip_files_are_unpacked_whole_or_refused() {
    let archive = gzipped(b"one\ntwo");
    assert_eq!(gunzipped(&archive, Some(2)).unwrap(), b"one\ntwo");
    assert_eq!(
        gunzipped(&gzipped(b"one\ntwo\n"), Some(2)).unwrap(),
        b"one\ntwo\n"
    );
    let twice = [archive.clone(), gzipped(b"\nthree")].concat();
    assert_eq!(gunzipped(&twice, Some(3)).unwrap(), b"one\ntwo\nthree");
    for (archive, lines, words) in [
        (&archive[..], Some(3), "it has 2 lines, but must have 3"),
        (&archive[..archive.len() - 3], None, "it is damaged"),
        (b"<html>", None, "no gzip file"),
        (&gzipped(&vec![0; 8 << 20]), None, "it unpacks to more than"),
    ] {
        let error = gunzipped(archive, lines).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
