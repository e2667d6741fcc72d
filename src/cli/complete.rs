//! What shells complete: pipeline files, and the names in the pipeline and the cache that the line already has.
//!
//! The shell starts the program for every press of a key, so files are read for their names only; nothing is planned.

use super::Args;
use crate::fetch::catalogue;
use crate::spec::{self, LoadOptions, Outline};
use clap::{Command, CommandFactory as _};
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The variable by which a shell asks for candidates.
pub const VARIABLE: &str = "COMPLETE";

/// Files that end in `.toml`, and folders on the way to them.
pub(super) fn pipelines(current: &OsStr) -> Vec<CompletionCandidate> {
    let wanted = |path: &Path| path.extension().is_some_and(|ending| ending == "toml");
    PathCompleter::any().filter(wanted).complete(current)
}

/// Folders.
pub(super) fn folders(current: &OsStr) -> Vec<CompletionCandidate> {
    PathCompleter::dir().complete(current)
}

/// The profiles of the pipeline.
pub(super) fn profiles(current: &OsStr) -> Vec<CompletionCandidate> {
    let outline = Line::typed().outline();
    starting(
        current,
        outline
            .profiles
            .into_iter()
            .map(|name| (name, String::new())),
    )
}

/// `name=` of every parameter of the pipeline, with the value that the file gives it.
pub(super) fn parameters(current: &OsStr) -> Vec<CompletionCandidate> {
    let outline = Line::typed().outline();
    let names = outline.params.into_iter();
    starting(
        current,
        names.map(|(name, value)| (format!("{name}="), format!("now {value}"))),
    )
}

/// The stages of the pipeline; once a bracket is typed, the arms of a swept stage.
pub(super) fn stages(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = Line::typed();
    let typed = current.to_string_lossy();
    if let (Some((name, _)), Some(file)) = (typed.split_once('['), line.pipeline()) {
        // Arms depend on values, so the file has to be right.
        let arms = spec::load(&file, &LoadOptions::default()).map_or_else(
            |_| Vec::new(),
            |pipeline| {
                pipeline
                    .stages
                    .into_iter()
                    .filter(|stage| stage.name == name)
                    .map(|stage| (stage.id, stage.kind.name.to_owned()))
                    .collect()
            },
        );
        return starting(current, arms);
    }
    starting(current, line.outline().stages)
}

/// Data sets and models that can be fetched.
pub(super) fn data_sets(current: &OsStr) -> Vec<CompletionCandidate> {
    let known = catalogue::all().iter();
    starting(
        current,
        known.map(|entry| (entry.name.to_owned(), entry.title.to_owned())),
    )
}

fn starting(
    current: &OsStr,
    candidates: impl IntoIterator<Item = (String, String)>,
) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    candidates
        .into_iter()
        .filter(|(name, _)| name.starts_with(&*typed))
        .map(|(name, help)| {
            let help = (!help.is_empty()).then(|| help.into());
            CompletionCandidate::new(name).help(help)
        })
        .collect()
}

/// The options of all commands after which the next word is a value and no pipeline.
fn with_value(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter(|option| option.get_action().takes_values())
        .flat_map(|option| {
            let long = option.get_long().map(|name| format!("--{name}"));
            let short = option.get_short().map(|letter| format!("-{letter}"));
            long.into_iter().chain(short)
        });
    own.chain(command.get_subcommands().flat_map(with_value))
        .collect()
}

/// The words on the line so far.
struct Line {
    words: Vec<String>,
}

impl Line {
    /// The shell passes the line after `--`.
    fn typed() -> Self {
        let words = std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .skip_while(|word| word != "--")
            .skip(2)
            .collect();
        Self { words }
    }

    /// The first word that is a file and not the value of an option.
    fn pipeline(&self) -> Option<PathBuf> {
        let options = with_value(&Args::command());
        let mut before = "";
        for word in &self.words {
            let is_value = options.contains(before);
            before = word;
            if !is_value && !word.starts_with('-') && Path::new(word).is_file() {
                return Some(PathBuf::from(word));
            }
        }
        None
    }

    fn outline(&self) -> Outline {
        self.pipeline()
            .map_or_else(Outline::default, |file| spec::outline(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Line {
        Line {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    #[test]
    fn the_value_of_an_option_is_no_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs_err::write(&path, "").unwrap();
            path.display().to_string()
        };
        let (value, pipeline) = (file("a.toml"), file("b.toml"));
        let line = line(&["run", "--target", &value, &pipeline]);
        assert_eq!(line.pipeline(), Some(pipeline.into()));
    }
}
