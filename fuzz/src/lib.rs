//! What is fuzzed: one function a target, from bytes to no panic.
//!
//! A new parser takes a function here, a row in [`TARGETS`], a file in `src/bin` and a folder of inputs in `corpus`. The
//! program's own tests run the same functions on mutations of the same inputs (`tests/it/mutations.rs`), so this file
//! must not need the fuzzer.

use ilm_pipe::data::raw::{
    Input, MovieLens, OnError, Reading, TagConfig, TagFiles, add_tags, amazon, openp5,
};
use ilm_pipe::data::{Catalog, DataError, Filter, RawCatalog};
use ilm_pipe::formats::archive::Archive;
use ilm_pipe::formats::gguf;
use ilm_pipe::nn::models::llama::LlamaConfig;
use ilm_pipe::progress::Silent;
use ilm_pipe::spec::{self, LoadOptions};
use ilm_pipe::stages;
use ilm_pipe::text;
use std::io;
use std::path::Path;

/// A target: the name of its folder in `corpus`, and what eats the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("pipeline", pipeline),
    ("movielens", movielens),
    ("amazon", amazon),
    ("openp5", openp5),
    ("weights", weights),
];

/// Stands between the files of an input.
pub const NEXT_FILE: u8 = 0x1e;

/// Loads a pipeline, and what loads must load again once it is written out. The input is the pipeline file, then an included
/// file `common.toml`, then options a line: `--profile NAME`, `--sweep NAME=VALUES`, `NAME=VALUE`.
pub fn pipeline(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == NEXT_FILE);
    let main = parts.next().unwrap_or_default();
    let common = parts.next();
    let mut options = LoadOptions::default();
    for line in String::from_utf8_lossy(parts.next().unwrap_or_default()).lines() {
        if let Some(profile) = line.strip_prefix("--profile ") {
            options.profile = Some(profile.to_owned());
        } else if let Some((name, values)) = line
            .strip_prefix("--sweep ")
            .and_then(|sweep| sweep.split_once('='))
        {
            options.sweep.push((name.to_owned(), values.to_owned()));
        } else if let Some((name, value)) = line.split_once('=') {
            options.set.push((name.to_owned(), value.to_owned()));
        }
    }
    let read = |path: &Path| {
        let found = match path.to_str() {
            Some("p.toml") => Some(main),
            Some("common.toml") => common,
            _ => None,
        };
        found
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    match spec::load_with(Path::new("p.toml"), &options, stages::registry(), &read) {
        Err(errors) => {
            assert!(!errors.problems().is_empty(), "an error without a problem");
            for problem in errors.problems() {
                assert!(problem.location.line > 0 && problem.location.column > 0);
            }
            assert!(!errors.render(false).is_empty());
            errors.render(true);
            serde_json::to_value(errors.problems()).expect("problems are JSON");
        }
        Ok(pipeline) => {
            let text = spec::expand(&pipeline);
            let again = spec::load_with(
                Path::new("p.toml"),
                &LoadOptions::default(),
                stages::registry(),
                &|_| Ok(text.clone().into_bytes()),
            );
            let again = again.unwrap_or_else(|errors| panic!("{text}\n{errors}"));
            assert_eq!(again.stages.len(), pipeline.stages.len(), "{text}");
            for (one, two) in pipeline.stages.iter().zip(&again.stages) {
                assert_eq!(
                    (&one.id, &one.params, one.seed),
                    (&two.id, &two.params, two.seed)
                );
                assert_eq!(one.inputs, two.inputs);
            }
        }
    }
}

/// The policy of a file's wrong lines, and the files after the first byte.
fn files(data: &[u8]) -> Option<(u8, OnError, impl Iterator<Item = &[u8]>)> {
    let (&choice, rest) = data.split_first()?;
    let on_error = if choice & 0x80 == 0 {
        OnError::Fail
    } else {
        OnError::Skip
    };
    let files = rest.split(|&byte| byte == NEXT_FILE);
    Some((choice & 0x7f, on_error, files))
}

/// What reads must be usable, and what does not must say why.
fn use_up(read: Result<RawCatalog, DataError>) {
    match read {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(raw) => {
            let filter = Filter {
                min_rating: 1.0,
                min_interactions: 2,
            };
            if let Ok(catalog) = Catalog::new(raw, filter) {
                catalog.summary();
            }
        }
    }
}

/// Reads a MovieLens data set and filters it. The first byte chooses the format; then ratings, films, and for CSV the tags
/// and the two files of the tag genome.
pub fn movielens(data: &[u8]) {
    let Some((choice, on_error, mut files)) = files(data) else {
        return;
    };
    let format = MovieLens::ALL[usize::from(choice) % MovieLens::ALL.len()];
    let mut next = |name| files.next().map(|bytes| Input::bytes(name, bytes));
    let (Some(ratings), Some(films)) = (next("ratings"), next("films")) else {
        return;
    };
    let tags = TagFiles {
        user_tags: next("tags"),
        genome_scores: next("genome-scores"),
        genome_tags: next("genome-tags"),
    };
    let config = TagConfig {
        max_tags: 4,
        min_relevance: 0.5,
    };
    let reading = Reading::new(on_error, &Silent);
    use_up(format.parse(ratings, films, &reading).and_then(|mut raw| {
        add_tags(&mut raw.films, tags, config, Path::new("films"), &reading)?;
        Ok(raw)
    }));
}

/// Reads Amazon reviews (JSON or Python literals) or ratings, and metadata where there is a second file.
pub fn amazon(data: &[u8]) {
    let Some((choice, on_error, mut files)) = files(data) else {
        return;
    };
    let parse = if choice % 2 == 0 {
        amazon::parse_review
    } else {
        amazon::parse_rating
    };
    let Some(reviews) = files.next() else { return };
    let metadata = files.next().map(|bytes| Input::bytes("meta", bytes));
    let reading = Reading::new(on_error, &Silent);
    let reviews = Input::bytes("reviews", reviews);
    use_up(amazon::read(reviews, parse, metadata, &reading));
}

/// Reads the files of OpenP5: sequences, items' texts, an index, prompts.
pub fn openp5(data: &[u8]) {
    let Some((_, on_error, mut files)) = files(data) else {
        return;
    };
    let mut next = |name| files.next().map(|bytes| Input::bytes(name, bytes));
    let reading = Reading::new(on_error, &Silent);
    let Some(sequences) = next("sequences") else {
        return;
    };
    use_up(openp5::read_catalog(
        sequences,
        next("attributes"),
        &reading,
    ));
    if let Some(Err(error)) = next("index").map(|input| openp5::read_index(input, &reading)) {
        assert!(!error.to_string().is_empty());
    }
    if let Some(Err(error)) = next("prompts").map(|input| openp5::read_prompts(input, &reading)) {
        assert!(!error.to_string().is_empty());
    }
}

/// Opens weights and reads every array, and what a GGUF file says of its model and its tokenizer. The first byte chooses the format.
pub fn weights(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let ending = ["safetensors", "gguf"][usize::from(choice) % 2];
    let place = tempfile::Builder::new()
        .suffix(&format!(".{ending}"))
        .tempfile_in("/dev/shm");
    let place = place.or_else(|_| {
        tempfile::Builder::new()
            .suffix(&format!(".{ending}"))
            .tempfile()
    });
    let path = place.expect("a file").into_temp_path();
    fs_err::write(&path, rest).expect("written");
    match Archive::open(&path) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(archive) => {
            for (name, entry) in archive.entries() {
                if let Ok(array) = archive.read(name) {
                    assert_eq!(array.shape, entry.shape);
                }
            }
        }
    }
    if let Ok(file) = gguf::open(&path) {
        if let Err(error) = LlamaConfig::from_gguf(&file) {
            assert!(!error.to_string().is_empty());
        }
        if let Err(error) = text::gguf::tokenizer(&file) {
            assert!(!error.to_string().is_empty());
        }
    }
}
