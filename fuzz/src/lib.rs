//! What is fuzzed: one function a target, from bytes to no panic.
//!
//! A new parser takes a function here, a row in [`TARGETS`], a file in `src/bin` and a folder of inputs in `corpus`. The
//! program's own tests run the same functions on mutations of the same inputs (`tests/it/mutations.rs`), so this file
//! must not need the fuzzer.

use ilm_pipe::data::raw::{MovieLens, Reading, TagConfig};
use ilm_pipe::data::{Catalog, Filter};
use ilm_pipe::progress::Silent;
use ilm_pipe::spec::{self, LoadOptions};
use ilm_pipe::stages;
use std::cell::OnceCell;
use std::io;
use std::path::Path;

/// A target: the name of its folder in `corpus`, and what eats the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[("pipeline", pipeline), ("movielens", movielens)];

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

/// Reads a MovieLens data set and filters it. The first byte chooses the format; then ratings, films, and for CSV the tags
/// and the two files of the tag genome.
pub fn movielens(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let format = MovieLens::ALL[usize::from(choice) % MovieLens::ALL.len()];
    let tags = TagConfig {
        max_tags: 4,
        min_relevance: 0.5,
    };
    let names = format.required().into_iter();
    let names = names.chain(format.optional(tags).iter().copied());
    in_folder(
        names.zip(rest.split(|&byte| byte == NEXT_FILE)),
        |folder| match format.read(folder, tags, &Reading::strict(&Silent)) {
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
        },
    );
}

/// Writes files to a folder in memory and hands it on.
pub fn in_folder<'a>(
    files: impl Iterator<Item = (&'static str, &'a [u8])>,
    read: impl FnOnce(&Path),
) {
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|cell| {
        let folder = cell
            .get_or_init(|| {
                tempfile::tempdir_in("/dev/shm")
                    .or_else(|_| tempfile::tempdir())
                    .expect("a folder")
            })
            .path();
        for entry in fs_err::read_dir(folder).expect("a folder").flatten() {
            fs_err::remove_file(entry.path()).expect("removed");
        }
        for (name, content) in files {
            fs_err::write(folder.join(name), content).expect("written");
        }
        read(folder);
    });
}
