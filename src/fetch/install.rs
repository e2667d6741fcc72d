//! Fetches a data set: source, download, proof, unpacking, rename.

use super::catalogue::{Entry, Origin, Part, Unpack};
use super::http::Client;
use super::obtain::{Fetched, obtain};
use super::source::{Source, sources};
use super::unpack::{self, Limits, Wanted, beside};
use super::{
    Checksum, Damage, FetchError, MANIFEST_FILE, Manifest, Network, Registry, State, status,
};
use crate::clock;
use crate::formats::json;
use crate::machine;
use crate::progress::Progress;
use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder in `datasets/` for what is unfinished.
pub(super) const WORKSHOP: &str = ".download";

/// How a data set is to be fetched.
#[derive(Clone, Debug)]
pub struct Order {
    /// The folder `datasets`.
    pub datasets: PathBuf,
    /// A file, folder or address in place of the official one.
    pub url: Option<String>,
    /// A folder or base address that holds files under their official names.
    pub mirror: Option<String>,
    /// The digest to compare with in place of the known one.
    pub checksum: Option<Checksum>,
    /// Fetch it although it is there.
    pub force: bool,
    /// How the network is used.
    pub network: Network,
    /// How the package index is found.
    pub registry: Registry,
}

/// How it went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was there; nothing was done.
    Present(State),
    /// It is there now.
    Installed(Installed),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What is there now.
    pub manifest: Manifest,
    /// Whether a broken download was continued.
    pub continued: bool,
    /// What was damaged before, where it was there.
    pub repaired: Option<Damage>,
}

/// Fetches a data set into `datasets/NAME`, unless it is there.
pub fn get(entry: &Entry, order: &Order, progress: &dyn Progress) -> Result<Outcome, FetchError> {
    let folder = order.datasets.join(entry.name);
    if let Some(present) = present(entry, order, &folder)? {
        return Ok(Outcome::Present(present));
    }
    let parts = match entry.origin {
        Origin::Parts(parts) => parts,
        Origin::ByHand { why, how } => {
            return Err(FetchError::ByHand {
                name: entry.name,
                why,
                how,
            });
        }
    };
    let sources = sources(entry, parts, order.url.as_deref(), order.mirror.as_deref())?;
    if order.checksum.is_some() && parts.len() != 1 {
        return Err(FetchError::Wrong {
            message: format!(
                "`--checksum` is of one file, but `{}` has {}",
                entry.name,
                parts.len()
            ),
            hint: "leave it out".to_owned(),
        });
    }
    let workshop = order.datasets.join(WORKSHOP);
    fs_err::create_dir_all(&workshop)?;
    let lock = lock(&workshop.join(format!("{}.lock", entry.name)), progress)?;
    let done = get_locked(entry, order, &folder, &workshop, parts, &sources, progress);
    fs_err::remove_file(workshop.join(format!("{}.lock", entry.name)))?;
    drop(lock);
    // Fails while a download or another process needs it, as it should.
    let _ = fs_err::remove_dir(&workshop);
    done
}

fn get_locked(
    entry: &Entry,
    order: &Order,
    folder: &Path,
    workshop: &Path,
    parts: &[Part],
    sources: &[Source],
    progress: &dyn Progress,
) -> Result<Outcome, FetchError> {
    let old = workshop.join(format!("{}.old", entry.name));
    if old.exists() {
        // A process died between the two renames, or before it could remove what it had replaced.
        if folder.exists() {
            fs_err::remove_dir_all(&old)?;
        } else {
            fs_err::rename(&old, folder)?;
        }
    }
    // The process that had the lock may have fetched it.
    if let Some(present) = present(entry, order, folder)? {
        return Ok(Outcome::Present(present));
    }
    let repaired = replaceable(folder, order.force)?;
    room(entry, workshop)?;
    let client = Client::new(order.network.clone());
    let mut fetched = Vec::new();
    for (part, source) in parts.iter().zip(sources) {
        fetched.push(obtain(
            entry, part, source, order, &client, workshop, progress,
        )?);
    }
    let built = workshop.join(format!("{}.unpack", entry.name));
    remove(&built)?;
    let unpacked = unpack_all(entry, parts, &fetched, &built, progress);
    if let Err(error) = unpacked {
        remove(&built)?;
        let bad = matches!(error, FetchError::Archive { .. } | FetchError::Lacks { .. });
        for file in fetched.iter().filter(|file| file.ours && bad) {
            fs_err::remove_file(&file.path)?;
        }
        return Err(error);
    }
    let received = fetched.iter().map(|file| file.received.clone()).collect();
    let now = clock::timestamp(clock::since_epoch_ns());
    let manifest = Manifest::of(entry.name, &built, now, received)?;
    json::write(&built.join(MANIFEST_FILE), &manifest)?;
    fs_err::File::open(built.join(MANIFEST_FILE))?.sync_all()?;
    if folder.exists() {
        fs_err::rename(folder, &old)?;
    }
    fs_err::rename(&built, folder)?;
    fs_err::File::open(&order.datasets)?.sync_all()?;
    remove(&old)?;
    for file in fetched.iter().filter(|file| file.ours) {
        fs_err::remove_file(&file.path)?;
    }
    Ok(Outcome::Installed(Installed {
        manifest,
        continued: fetched.iter().any(|file| file.continued),
        repaired,
    }))
}

/// What is there, if it is to be left alone; an error if it is in the way.
fn present(entry: &Entry, order: &Order, folder: &Path) -> Result<Option<State>, FetchError> {
    let occupied = |problem: String, hint: &str| FetchError::Occupied {
        folder: folder.to_owned(),
        problem,
        hint: hint.to_owned(),
    };
    let state = status(entry, &order.datasets)?;
    match &state {
        State::Absent | State::Part { .. } | State::Damaged { .. } => Ok(None),
        State::Installed { manifest } => {
            let intact = !order.force && manifest.compare(folder, true)?.intact();
            Ok(intact.then_some(state))
        }
        State::ByHand { link } if order.force => Err(occupied(
            if link.is_some() {
                "is a link, which is never written to".to_owned()
            } else {
                "was not put there by `data get`, and is not replaced".to_owned()
            },
            "move it away first",
        )),
        State::ByHand { .. } => Ok(Some(state)),
        State::Incomplete { link, missing } => Err(occupied(
            format!(
                "{} lacks `{}`",
                link.as_ref().map_or_else(
                    || "is there, but".to_owned(),
                    |link| format!("is a link to `{}`, which", link.display())
                ),
                missing.join("`, `")
            ),
            "add the files, or move it away and fetch it again",
        )),
    }
}

/// Sees that nothing but our own files would be replaced. Returns how they differ from what was installed.
fn replaceable(folder: &Path, force: bool) -> Result<Option<Damage>, FetchError> {
    if !folder.exists() {
        return Ok(None);
    }
    let manifest = match Manifest::read(folder) {
        Ok(manifest) => manifest,
        Err(_) if force => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(manifest) = manifest else {
        // An empty folder that a person made.
        return Ok(None);
    };
    let damage = manifest.compare(folder, true)?;
    if !damage.added.is_empty() {
        return Err(FetchError::Occupied {
            folder: folder.to_owned(),
            problem: format!(
                "holds files that `data get` did not put there: `{}`",
                damage.added.join("`, `")
            ),
            hint: "move them away first".to_owned(),
        });
    }
    Ok(Some(damage))
}

/// Sees that the disk has room for what is still to come and for what it becomes.
fn room(entry: &Entry, workshop: &Path) -> Result<(), FetchError> {
    let Some(free) = machine::free_disk(workshop) else {
        return Ok(());
    };
    let needed = entry.unpacked + entry.download();
    if free < needed {
        return Err(FetchError::Room {
            folder: workshop.to_owned(),
            free,
            needed,
        });
    }
    Ok(())
}

fn unpack_all(
    entry: &Entry,
    parts: &[Part],
    fetched: &[Fetched],
    built: &Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    fs_err::create_dir_all(built)?;
    // Archives of one data set grow slowly; a bomb does not.
    let mut limits = Limits {
        entries: 10_000,
        bytes: 4 * entry.unpacked + (64 << 20),
        ratio: 100,
    };
    for (part, file) in parts.iter().zip(fetched) {
        let written = match part.unpack {
            Unpack::Zip => {
                unpack::zip(&file.path, part.file, Wanted::All, built, limits, progress)?
            }
            Unpack::Members(members) => {
                let wanted = Wanted::Members(members);
                unpack::zip(&file.path, part.file, wanted, built, limits, progress)?
            }
            Unpack::Nested(member) => {
                let inner = "inner.zip";
                let folder = beside(built, ".inner");
                remove(&folder)?;
                fs_err::create_dir_all(&folder)?;
                let wanted = [(member, inner)];
                let wanted = Wanted::Members(&wanted);
                let nested = unpack::zip(&file.path, part.file, wanted, &folder, limits, progress)
                    .and_then(|_| {
                        let name = format!("{}!{member}", part.file);
                        unpack::zip(
                            &folder.join(inner),
                            &name,
                            Wanted::All,
                            built,
                            limits,
                            progress,
                        )
                    });
                remove(&folder)?;
                nested?
            }
            Unpack::Gzip(name, lines) => unpack::gzip(
                &file.path,
                part.file,
                &built.join(name),
                lines,
                limits,
                progress,
            )?,
        };
        limits.bytes = limits.bytes.saturating_sub(written);
    }
    let missing: Vec<String> = entry
        .files
        .iter()
        .filter(|file| !built.join(file).is_file())
        .map(|&file| file.to_owned())
        .collect();
    if !missing.is_empty() {
        let files: Vec<&str> = parts.iter().map(|part| part.file).collect();
        return Err(FetchError::Lacks {
            archive: files.join("`, `"),
            missing,
        });
    }
    Ok(())
}

/// Takes the lock of a data set; waits for a process that has it.
fn lock(path: &Path, progress: &dyn Progress) -> Result<fs_err::File, FetchError> {
    let mut told = false;
    loop {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.file().try_lock() {
            Ok(()) => {
                // The one that had it removed the file: a lock on a file that is gone keeps nobody out.
                let same = fs_err::metadata(path)
                    .is_ok_and(|at| at.ino() == file.metadata().map_or(0, |m| m.ino()));
                if same {
                    return Ok(file);
                }
            }
            Err(TryLockError::WouldBlock) => {
                if !told {
                    progress.note("another process is fetching it; waiting for that one")?;
                    told = true;
                }
                super::http::wait(Duration::from_millis(200), progress)?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

pub(super) fn remove(folder: &Path) -> Result<(), FetchError> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    Ok(())
}
