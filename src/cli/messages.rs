//! Every error of the engine as a person reads it. A variant without a sample does not compile.

use super::Failure;
use crate::artifact::{Damage, StoreError};
use crate::exec::ExecError;
use crate::fetch::{Checksum, FetchError, WrongFile};
use crate::formats::FormatError;
use crate::graph::GraphError;
use crate::key::{Change, FileError};
use crate::nn::device::{Device, without_cuda};
use crate::plan::{Cause, PlanError};
use crate::progress::Stopped;
use crate::spec::{self, LoadOptions};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// A sample of every variant with its name. The match has no `_`: a new variant must be added, and its sample must be
/// of that variant.
macro_rules! every {
    ($type:ty { $($pattern:pat => $sample:expr,)+ }) => {{
        fn name(value: &$type) -> &'static str {
            match value { $($pattern => stringify!($pattern),)+ }
        }
        let samples: Vec<(&'static str, $type)> = vec![$((stringify!($pattern), $sample)),+];
        for (pattern, sample) in &samples {
            assert_eq!(name(sample), *pattern, "the sample is of another variant");
        }
        samples
    }};
}

fn denied() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "failed to open file `cache/v1/records/ab/abcd.json`: Permission denied (os error 13)",
    )
}

fn full() -> io::Error {
    let source = io::Error::from_raw_os_error(libc::ENOSPC);
    io::Error::new(
        source.kind(),
        format!("failed to write `cache/v1/tmp/abcd/x`: {source}"),
    )
}

fn read_only() -> io::Error {
    let source = io::Error::from_raw_os_error(libc::EROFS);
    io::Error::new(
        source.kind(),
        format!("failed to create directory `cache/v1`: {source}"),
    )
}

fn store_errors() -> Vec<(&'static str, StoreError)> {
    every!(StoreError {
        StoreError::Io(_) => StoreError::Io(denied()),
        StoreError::NotAFile { .. } => StoreError::NotAFile { path: "cache/v1/tmp/abcd/link".into(), what: "a link" },
        StoreError::Empty => StoreError::Empty,
        StoreError::Damaged { .. } => StoreError::Damaged { stage: "cf".to_owned(), damage: Damage::Missing },
        StoreError::Limits { .. } => StoreError::Limits { path: "cache/limits.json".into(), what: "`size` is 3".to_owned() },
        StoreError::Name { .. } => StoreError::Name { path: "cache/v1/tmp/abcd/caf\u{fffd}".into() },
    })
}

fn file_errors() -> Vec<(&'static str, FileError)> {
    every!(FileError {
        FileError::Missing { .. } => FileError::Missing {
            path: "datasets/ml-1m/ratings.dat".into(),
            hint: "put `ratings.dat` and `movies.dat` into `datasets/ml-1m`".to_owned(),
        },
        FileError::Restless { .. } => FileError::Restless { path: "datasets/ml-1m/ratings.dat".into() },
        FileError::Io(_) => FileError::Io(denied()),
    })
}

fn plan_errors() -> Vec<(&'static str, PlanError)> {
    let mut samples = every!(PlanError {
        PlanError::File { .. } => PlanError::File { stage: "catalog".to_owned(), source: FileError::Io(denied()) },
        PlanError::Store(_) => PlanError::Store(StoreError::Io(denied())),
    });
    for (name, source) in file_errors() {
        let stage = "catalog".to_owned();
        samples.push((name, PlanError::File { stage, source }));
    }
    samples
}

fn exec_errors() -> Vec<(&'static str, ExecError)> {
    every!(ExecError {
        ExecError::Store(_) => ExecError::Store(StoreError::Io(full())),
        ExecError::Plan(_) => ExecError::Plan(PlanError::Store(StoreError::Io(denied()))),
        ExecError::Start(_) => ExecError::Start(io::Error::from_raw_os_error(libc::EAGAIN)),
        ExecError::Gpus { .. } => ExecError::Gpus { stages: vec![("phase1".to_owned(), 2)], there: 1 },
    })
}

fn graph_errors() -> Vec<(&'static str, GraphError)> {
    every!(GraphError {
        GraphError::RepeatedId { .. } => GraphError::RepeatedId { id: "cf".to_owned() },
        GraphError::UnknownStage { .. } => GraphError::UnknownStage {
            stage: "table".to_owned(), port: "rows".to_owned(), input: "gone".to_owned(),
        },
        GraphError::Cycle { .. } => GraphError::Cycle { stage: "cf".to_owned() },
    })
}

fn fetch_errors() -> Vec<(&'static str, FetchError)> {
    let url = || "https://files.example/ml-1m.zip".to_owned();
    let archive = || "ml-1m.zip".to_owned();
    every!(FetchError {
        FetchError::Io(_) => FetchError::Io(full()),
        FetchError::Format(_) => FetchError::Format(FormatError::Record {
            path: "datasets/ml-1m/.ilm-pipe.json".into(), line: 3, message: "expected value at column 1".to_owned(),
        }),
        FetchError::Stopped(_) => FetchError::Stopped(Stopped),
        FetchError::Unknown { .. } => FetchError::Unknown { name: "ml1m".to_owned(), known: vec!["ml-1m", "ml-100k"] },
        FetchError::Wrong { .. } => FetchError::Wrong {
            message: "`--url` names one place, but 2 data sets are asked for".to_owned(),
            hint: "fetch them one after the other".to_owned(),
        },
        FetchError::ByHand { .. } => FetchError::ByHand {
            name: "yelp", why: "its licence has to be accepted on its page", how: "get it from its page",
        },
        FetchError::Network { .. } => FetchError::Network { url: url(), reason: "timed out".to_owned(), kept: 1024 },
        FetchError::Status { .. } => FetchError::Status { url: url(), status: "404 Not Found".to_owned() },
        FetchError::NoFile { .. } => FetchError::NoFile { path: "/media/mirror/ml-1m.zip".into() },
        FetchError::Size { .. } => FetchError::Size {
            url: url(), file: archive(), found: 10, expected: "5917549".to_owned(),
        },
        FetchError::Checksum(_) => FetchError::Checksum(Box::new(WrongFile {
            from: url(), file: archive(), found: "0123".to_owned(), looks: Some("; it looks like a web page".to_owned()),
            expected: Checksum::parse("md5:c4d9eecfca2ab87c1945afe126590906").expect("a checksum"),
        })),
        FetchError::Archive { .. } => FetchError::Archive { archive: archive(), reason: "it leads outside".to_owned() },
        FetchError::Lacks { .. } => FetchError::Lacks { archive: archive(), missing: vec!["ratings.dat".to_owned()] },
        FetchError::Occupied { .. } => FetchError::Occupied {
            folder: "datasets/ml-1m".into(), problem: "holds files of somebody else".to_owned(), hint: "move it away".to_owned(),
        },
        FetchError::Room { .. } => FetchError::Room { folder: "datasets".into(), free: 10, needed: 20 },
        FetchError::Registry { .. } => FetchError::Registry { file: "x.whl".to_owned(), reason: "timed out".to_owned() },
    })
}

fn spec_failure() -> Failure {
    let read = |_: &Path| Ok(b"[stage.a]\nkind = 'ingst'".to_vec());
    let kinds = crate::stages::registry();
    match spec::load_with(Path::new("p.toml"), &LoadOptions::default(), kinds, &read) {
        Err(errors) => errors.into(),
        Ok(_) => unreachable!("the kind is unknown"),
    }
}

#[test]
fn every_error_of_the_engine_says_what_and_what_next() {
    let mut failures: Vec<(String, Failure)> = every!(Failure {
        Failure::Spec(_) => spec_failure(),
        Failure::Graph(_) => Failure::Graph(GraphError::Cycle { stage: "cf".to_owned() }),
        Failure::Device(..) => Failure::Device(
            without_cuda(Device::Cuda(0)).to_string(),
            None,
        ),
        Failure::Usage(..) => Failure::Usage("`--jobs` is 0, but must be at least 1".to_owned(), None),
        Failure::Plan(_) => Failure::Plan(plan_errors().into_iter().map(|(_, error)| error).collect()),
        Failure::Exec(_) => Failure::Exec(ExecError::Start(io::Error::from_raw_os_error(libc::ENOENT))),
        Failure::Store(_) => Failure::Store(StoreError::Io(read_only())),
        Failure::Fetch(_) => Failure::Fetch(FetchError::NoFile { path: "/media/mirror/ml-1m.zip".into() }),
        Failure::Io(_) => Failure::Io(io::Error::other("failed to write whole buffer")),
    })
    .into_iter()
    .map(|(name, failure)| (name.to_owned(), failure))
    .collect();
    for (name, error) in store_errors() {
        failures.push((format!("Failure::Store({name})"), Failure::Store(error)));
    }
    for (name, error) in exec_errors() {
        failures.push((format!("Failure::Exec({name})"), Failure::Exec(error)));
    }
    for (name, error) in fetch_errors() {
        failures.push((format!("Failure::Fetch({name})"), Failure::Fetch(error)));
    }
    for (name, error) in graph_errors() {
        failures.push((format!("Failure::Graph({name})"), Failure::Graph(error)));
    }
    let mut text = String::new();
    for (name, failure) in failures {
        let code = failure.status().code();
        let _ = write!(
            text,
            "=== {name}, exit code {code}\n{}\n\n",
            failure.render(false)
        );
    }
    insta::assert_snapshot!(text);
}

fn damages() -> Vec<(&'static str, Damage)> {
    let path = || "factors.safetensors".to_owned();
    every!(Damage {
        Damage::Record => Damage::Record,
        Damage::Missing => Damage::Missing,
        Damage::FileMissing { .. } => Damage::FileMissing { path: path() },
        Damage::Size { .. } => Damage::Size { path: path(), expected: 2048, found: 1024 },
        Damage::Content { .. } => Damage::Content { path: path() },
        Damage::Unreadable { .. } => Damage::Unreadable {
            path: path(), reason: "Input/output error (os error 5)".to_owned(),
        },
        Damage::Unexpected { .. } => Damage::Unexpected { path: "notes.txt".to_owned() },
    })
}

#[test]
fn every_cause_and_every_damage_reads_well() {
    let change = |old: Option<&str>, new: Option<&str>| {
        Cause::Changed(Change {
            name: "params.factors".to_owned(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        })
    };
    let mut causes = every!(Cause {
        Cause::New => Cause::New,
        Cause::Changed(_) => change(Some("64"), Some("128")),
        Cause::Damaged(_) => Cause::Damaged(Damage::Missing),
        Cause::Forgotten => Cause::Forgotten,
        Cause::HistoryGone => Cause::HistoryGone,
    });
    causes.push(("Cause::Changed(_)", change(None, Some("128"))));
    causes.push(("Cause::Changed(_)", change(Some("64"), None)));
    for (name, damage) in damages() {
        causes.push((name, Cause::Damaged(damage)));
    }
    let lines: Vec<String> = causes
        .iter()
        .map(|(name, cause)| format!("{name}: {cause}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_error_of_a_stored_file_names_the_file() {
    let path = || "cache/v1/objects/ab/abcd/factors.safetensors".into();
    let errors = every!(FormatError {
        FormatError::Io(_) => FormatError::Io(denied()),
        FormatError::Record { .. } => FormatError::Record {
            path: path(), line: 3, message: "expected `,` or `}` at column 9".to_owned(),
        },
        FormatError::Tensors { .. } => FormatError::Tensors { path: path(), message: "header too large".to_owned() },
    });
    let lines: Vec<String> = errors
        .iter()
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
