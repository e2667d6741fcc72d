//! What is there of a data set.

use super::catalogue::Entry;
use super::{FetchError, MANIFEST_FILE, Manifest};
use crate::formats::{FormatError, json};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is there of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Nothing.
    Absent,
    /// A download that broke off.
    Part {
        /// Bytes received.
        received: u64,
    },
    /// Installed by this program; every file has the size it had then.
    Installed {
        /// Its manifest.
        #[serde(skip)]
        manifest: Box<Manifest>,
    },
    /// Installed by this program, but files are gone or have another size, or the manifest cannot be read.
    Damaged {
        /// The files.
        files: Vec<String>,
    },
    /// Put there by a person, with every file that must be there.
    ByHand {
        /// Where a link points to.
        link: Option<PathBuf>,
    },
    /// Put there by a person, without files that must be there.
    Incomplete {
        /// Where a link points to.
        link: Option<PathBuf>,
        /// The files that it lacks.
        missing: Vec<String>,
    },
}

impl State {
    /// Whether a pipeline can use it.
    pub fn usable(&self) -> bool {
        matches!(self, Self::Installed { .. } | Self::ByHand { .. })
    }
}

/// Looks at `datasets/NAME`, cheaply: names and sizes, no content.
pub fn status(entry: &Entry, datasets: &Path) -> Result<State, FetchError> {
    let folder = datasets.join(entry.name);
    let link = fs_err::read_link(&folder).ok();
    let there = link.is_some() || folder.exists();
    if !there {
        let received = entry
            .parts()
            .iter()
            .map(|part| received(&datasets.join(super::install::WORKSHOP), part.file))
            .sum();
        return Ok(if received > 0 {
            State::Part { received }
        } else {
            State::Absent
        });
    }
    if link.is_none() && folder.is_dir() {
        match Manifest::read(&folder) {
            Ok(None) => {}
            Ok(Some(manifest)) => {
                let damage = manifest.compare(&folder, false)?;
                if damage.intact() {
                    let manifest = Box::new(manifest);
                    return Ok(State::Installed { manifest });
                }
                let mut files = damage.missing;
                files.extend(damage.changed);
                return Ok(State::Damaged { files });
            }
            Err(FetchError::Format(FormatError::Record { .. })) => {
                let files = vec![MANIFEST_FILE.to_owned()];
                return Ok(State::Damaged { files });
            }
            Err(error) => return Err(error),
        }
        if fs_err::read_dir(&folder)?.next().is_none() {
            return Ok(State::Absent);
        }
    }
    let missing: Vec<String> = entry
        .files
        .iter()
        .filter(|file| !folder.join(file).is_file())
        .map(|&file| file.to_owned())
        .collect();
    Ok(if missing.is_empty() {
        State::ByHand { link }
    } else {
        State::Incomplete { link, missing }
    })
}

/// Bytes of a file that were received: whole, or the part that a broken download left.
fn received(workshop: &Path, file: &str) -> u64 {
    let size = |path: PathBuf| fs_err::metadata(path).map_or(0, |metadata| metadata.len());
    size(workshop.join(file)).max(size(workshop.join(format!("{file}.part"))))
}

/// Reads a small JSON file that only helps; one that cannot be read is the same as none.
pub(super) fn helper<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    path.is_file().then(|| json::read(path).ok()).flatten()
}
