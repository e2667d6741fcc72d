//! Unpacks archives that may be hostile.
//!
//! Every entry is judged by the archive's directory before the first byte is written: names that leave the folder,
//! links and devices, encrypted entries, names twice, entries that share bytes, sizes and ratios that no honest
//! archive has. While unpacking, bytes are counted again: an entry that holds more than it declared ends it.

use super::FetchError;
use crate::progress::Progress;
use flate2::read::MultiGzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// What an honest archive stays below.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries of an archive.
    pub(super) entries: usize,
    /// Bytes unpacked, in all.
    pub(super) bytes: u64,
    /// Unpacked to packed bytes of an entry above [`SMALL`]; text reaches 10, and deflate cannot exceed 1032.
    pub(super) ratio: u64,
}

/// Entries below this may be packed as tightly as they like.
const SMALL: u64 = 1 << 20;

/// Longer names fail on usual file systems.
const LONGEST_NAME: usize = 1024;

/// What is taken of a zip file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Everything; a single top folder is left out.
    All,
    /// These members, each to a new name.
    Members(&'a [(&'a str, &'a str)]),
}

struct Entry {
    index: usize,
    path: String,
    folder: bool,
    size: u64,
}

/// Unpacks a zip file into `folder`. Returns the bytes written.
pub(super) fn zip(
    archive: &Path,
    name: &str,
    wanted: Wanted<'_>,
    folder: &Path,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<u64, FetchError> {
    let refuse = |reason: String| refused(name, reason);
    let damaged = |error: zip::result::ZipError| {
        refused(name, format!("it is damaged, or no zip file: {error}"))
    };
    let file = BufReader::new(fs_err::File::open(archive)?);
    let mut zip = ZipArchive::new(file).map_err(damaged)?;
    let entries = inspect(&mut zip, limits).map_err(refuse)?;
    let targets = match wanted {
        Wanted::All => without_top_folder(&entries),
        Wanted::Members(members) => {
            let find = |from: &str| {
                entries
                    .iter()
                    .position(|entry| entry.path == from && !entry.folder)
            };
            let missing: Vec<String> = members
                .iter()
                .filter(|(from, _)| find(from).is_none())
                .map(|(from, _)| (*from).to_owned())
                .collect();
            if !missing.is_empty() {
                return Err(FetchError::Lacks {
                    archive: name.to_owned(),
                    missing,
                });
            }
            let targets = members
                .iter()
                .filter_map(|(from, to)| Some((find(from)?, (*to).to_owned())));
            targets.collect()
        }
    };
    let total: u64 = targets
        .iter()
        .filter_map(|(at, _)| Some(entries.get(*at)?.size))
        .sum();
    let mut written = 0;
    for (at, target) in &targets {
        let Some(entry) = entries.get(*at) else {
            continue;
        };
        let place = folder.join(target);
        if entry.folder {
            fs_err::create_dir_all(place)?;
            continue;
        }
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut source = zip.by_index(entry.index).map_err(damaged)?;
        let path = &entry.path;
        let copied = copy(&mut source, &place, entry.size, written, total, progress)?;
        match copied {
            Copied::Bytes(n) if n == entry.size => written += n,
            Copied::Bytes(n) => {
                return Err(refuse(format!(
                    "`{path}` declares {} bytes but holds {n}",
                    entry.size
                )));
            }
            Copied::TooMany => {
                return Err(refuse(format!(
                    "`{path}` declares {} bytes but holds more",
                    entry.size
                )));
            }
            Copied::Damaged(reason) => {
                return Err(refuse(format!("`{path}` is damaged: {reason}")));
            }
        }
    }
    Ok(written)
}

/// Unpacks a gzip file to `place`; it must have so many lines where `lines` says so. Returns the bytes written.
pub(super) fn gzip(
    archive: &Path,
    name: &str,
    place: &Path,
    lines: Option<u64>,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<u64, FetchError> {
    let packed = fs_err::metadata(archive)?.len();
    let at_most = limits
        .bytes
        .min(packed.saturating_mul(limits.ratio).max(SMALL));
    let mut counted = Lines::default();
    let mut source = Counting {
        inner: MultiGzDecoder::new(BufReader::new(fs_err::File::open(archive)?)),
        lines: &mut counted,
    };
    let written = match copy(&mut source, place, at_most, 0, 0, progress)? {
        Copied::Bytes(n) => n,
        Copied::TooMany => {
            return Err(refused(
                name,
                format!("it unpacks to more than {at_most} bytes"),
            ));
        }
        Copied::Damaged(reason) => {
            return Err(refused(
                name,
                format!("it is damaged, or no gzip file: {reason}"),
            ));
        }
    };
    match lines {
        Some(expected) if counted.total() != expected => Err(refused(
            name,
            format!("it has {} lines, but must have {expected}", counted.total()),
        )),
        _ => Ok(written),
    }
}

fn refused(archive: &str, reason: String) -> FetchError {
    FetchError::Archive {
        archive: archive.to_owned(),
        reason,
    }
}

/// Judges every entry; nothing is unpacked.
fn inspect<R: Read + std::io::Seek>(
    zip: &mut ZipArchive<R>,
    limits: Limits,
) -> Result<Vec<Entry>, String> {
    let broken = |error: zip::result::ZipError| format!("it is damaged: {error}");
    if zip.len() > limits.entries {
        return Err(format!(
            "it has {} entries, more than {}",
            zip.len(),
            limits.entries
        ));
    }
    if zip.has_duplicate_names() {
        return Err("it has two entries of the same name".to_owned());
    }
    let mut entries = Vec::with_capacity(zip.len());
    let mut total = 0_u64;
    for index in 0..zip.len() {
        let raw = zip.by_index_raw(index).map_err(broken)?;
        let path = harmless(raw.name_raw())?;
        if raw.encrypted() {
            return Err(format!("`{path}` is encrypted"));
        }
        // The upper half of a Unix mode; 0 where the archive was made on another system.
        let kind = raw.unix_mode().unwrap_or(0) & 0o170_000;
        if raw.is_symlink() || !matches!(kind, 0 | 0o040_000 | 0o100_000) {
            return Err(format!("`{path}` is a link or a device"));
        }
        let (size, packed) = (raw.size(), raw.compressed_size());
        if size > SMALL && size / packed.max(1) > limits.ratio {
            return Err(format!(
                "`{path}` declares {size} bytes in {packed}: more than {} to 1",
                limits.ratio
            ));
        }
        total = total.saturating_add(size);
        if total > limits.bytes {
            return Err(format!("it declares more than {} bytes", limits.bytes));
        }
        let folder = raw.is_dir();
        if folder && size > 0 {
            return Err(format!("`{path}` is a folder with content"));
        }
        // What macOS adds is no part of a data set.
        let ours =
            !path.starts_with("__MACOSX/") && path != "__MACOSX" && !path.ends_with(".DS_Store");
        if ours {
            entries.push(Entry {
                index,
                path,
                folder,
                size,
            });
        }
    }
    clashes(&entries)?;
    if zip.has_overlapping_entries().map_err(broken)? {
        return Err("entries share bytes".to_owned());
    }
    Ok(entries)
}

/// A name as a path below the folder: UTF-8, relative, with `/`, without `..`.
fn harmless(raw: &[u8]) -> Result<String, String> {
    let shown = || String::from_utf8_lossy(raw).escape_debug().to_string();
    let name =
        std::str::from_utf8(raw).map_err(|_| format!("the name `{}` is not UTF-8", shown()))?;
    let path = name.strip_suffix('/').unwrap_or(name);
    if path.is_empty() || path.len() > LONGEST_NAME || path.chars().any(char::is_control) {
        return Err(format!("`{}` is no name of a file", shown()));
    }
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.starts_with('/') || path.contains('\\') || drive {
        return Err(format!(
            "`{}` leaves the folder: it is no relative path with `/`",
            shown()
        ));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("`{}` leaves the folder", shown()));
    }
    if path.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(format!("`{}` is no name of a file", shown()));
    }
    Ok(path.to_owned())
}

/// Refuses two entries for the same file, also where case does not count, and files that are folders as well.
fn clashes(entries: &[Entry]) -> Result<(), String> {
    let mut kinds: BTreeMap<String, bool> = BTreeMap::new();
    for entry in entries {
        let name = entry.path.to_lowercase();
        let mut parents = name.as_str();
        while let Some((parent, _)) = parents.rsplit_once('/') {
            if kinds.insert(parent.to_owned(), true) == Some(false) {
                return Err(format!("`{}` lies below a file", entry.path));
            }
            parents = parent;
        }
        match kinds.insert(name, entry.folder) {
            None => {}
            Some(true) if entry.folder => {}
            Some(_) => return Err(format!("`{}` is there twice", entry.path)),
        }
    }
    Ok(())
}

/// Index and target of every entry, without the folder that all of them share.
fn without_top_folder(entries: &[Entry]) -> Vec<(usize, String)> {
    let tops: BTreeSet<&str> = entries
        .iter()
        .map(|entry| entry.path.split('/').next().unwrap_or_default())
        .collect();
    let top = match (tops.len(), tops.first()) {
        (1, Some(top))
            if entries
                .iter()
                .all(|entry| entry.folder || entry.path.contains('/')) =>
        {
            format!("{top}/")
        }
        _ => String::new(),
    };
    entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| {
            let target = if top.is_empty() {
                entry.path.as_str()
            } else {
                entry.path.strip_prefix(&top)?
            };
            Some((at, target.to_owned()))
        })
        .collect()
}

enum Copied {
    Bytes(u64),
    TooMany,
    Damaged(String),
}

/// Copies at most `at_most` bytes to a new file and makes it last.
fn copy(
    source: &mut dyn Read,
    place: &Path,
    at_most: u64,
    before: u64,
    total: u64,
    progress: &dyn Progress,
) -> Result<Copied, FetchError> {
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(place)?;
    let (mut buffer, mut n) = (vec![0; 1 << 18], 0_u64);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Copied::Damaged(error.to_string())),
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        n += read as u64;
        if n > at_most {
            return Ok(Copied::TooMany);
        }
        file.write_all(bytes)?;
        progress.tick("unpacking", before + n, total.max(before + n))?;
    }
    file.sync_all()?;
    Ok(Copied::Bytes(n))
}

/// Counts lines; a last one without an end counts.
#[derive(Default)]
struct Lines {
    ends: u64,
    open: bool,
}

impl Lines {
    fn total(&self) -> u64 {
        self.ends + u64::from(self.open)
    }
}

struct Counting<'a, R> {
    inner: R,
    lines: &'a mut Lines,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) {
            let ends = bytes.split(|&byte| byte == b'\n').count() - 1;
            self.lines.ends += ends as u64;
            self.lines.open = bytes.last() != Some(&b'\n');
        }
        Ok(n)
    }
}

/// A path beside another.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests;
