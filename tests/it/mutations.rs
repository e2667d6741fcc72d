//! The fuzz targets without a fuzzer: thousands of broken versions of good inputs, and nothing panics.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use ilm_pipe::seed::Seed;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use targets::{TARGETS, Target};

/// Mutated inputs of each target.
const COUNT: u64 = 1500;
/// Inputs longer than this are tried as they are and seldom mutated: they cost most and break at the same places.
const LONG: usize = 1500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder in order of name; their content.
fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs_err::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs_err::read(path).expect("read"))
        .collect()
}

/// Pieces that formats are made of.
const PIECES: [&str; 24] = [
    "[stage.",
    "]\n",
    "${",
    "}",
    "$${",
    "\"",
    "'",
    "= ",
    "[",
    "{",
    ",",
    "::",
    "|",
    "\t",
    "\n",
    "\r\n",
    "\u{1e}",
    "-1",
    "1e999",
    "nan",
    "99999999999999999999",
    "é",
    "\u{feff}",
    "kind = \"",
];

/// One to four changes of an input.
fn mutate(input: &[u8], other: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.gen_range(1..=4) {
        let at = random.gen_range(0..=bytes.len());
        let end = (at + random.gen_range(0..20)).min(bytes.len());
        match random.gen_range(0..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = PIECES[random.gen_range(0..PIECES.len())];
                drop(bytes.splice(at..at, piece.bytes()));
            }
            3 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            4 => {
                let from = random.gen_range(0..=other.len());
                let to = (from + random.gen_range(0..60)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            5 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.r#gen();
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.gen_range(0..8);
                }
            }
        }
    }
    bytes
}

/// Runs a target; a panic leaves the input in a file and names it.
fn eat(target: Target, input: &[u8]) {
    let (name, eat) = target;
    if std::panic::catch_unwind(|| eat(input)).is_err() {
        let path = std::env::temp_dir().join(format!("ilm-pipe-{name}-{}", blake3_hex(input)));
        fs_err::write(&path, input).expect("written");
        panic!(
            "the target `{name}` panicked; its input is in {}",
            path.display()
        );
    }
}

fn blake3_hex(input: &[u8]) -> String {
    blake3::hash(input).to_hex()[..12].to_owned()
}

fn try_all(target: Target, corpus: &[Vec<u8>]) {
    assert!(!corpus.is_empty());
    for input in corpus {
        eat(target, input);
    }
    let short: Vec<&Vec<u8>> = corpus.iter().filter(|input| input.len() <= LONG).collect();
    for index in 0..COUNT {
        let mut random = Seed::new(index).child(target.0).rng();
        let input = if index % 50 == 0 {
            &corpus[random.gen_range(0..corpus.len())]
        } else {
            short[random.gen_range(0..short.len())]
        };
        let other = &corpus[random.gen_range(0..corpus.len())];
        eat(target, &mutate(input, other, &mut random));
    }
}

#[test]
fn no_mutation_of_a_pipeline_panics() {
    let mut corpus = inputs(&root().join("fuzz/corpus/pipeline"));
    corpus.extend(inputs(&root().join("tests/fixtures/broken")));
    try_all(target("pipeline"), &corpus);
}

#[test]
fn no_mutation_of_raw_data_panics() {
    for &target in TARGETS.iter().filter(|(name, _)| *name != "pipeline") {
        try_all(target, &inputs(&root().join("fuzz/corpus").join(target.0)));
    }
}

fn target(name: &str) -> Target {
    *TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target")
}

#[test]
fn every_target_has_a_program_and_inputs() {
    for (name, _) in TARGETS {
        assert!(
            root().join(format!("fuzz/src/bin/{name}.rs")).is_file(),
            "{name}"
        );
        assert!(
            !inputs(&root().join("fuzz/corpus").join(name)).is_empty(),
            "{name}"
        );
    }
}
