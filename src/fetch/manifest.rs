//! What was installed: where it came from, and the BLAKE3 of every file.

use super::FetchError;
use crate::formats::json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// The manifest's name in the folder of a data set.
pub const MANIFEST_FILE: &str = ".ilm-pipe.json";

const FORMAT: u32 = 1;

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The data set.
    pub name: String,
    /// Version of the program that installed it.
    pub version: String,
    /// When, in UTC.
    pub installed: String,
    /// The files that were fetched.
    pub received: Vec<Received>,
    /// The files of the data set, sorted by path.
    pub files: Vec<StoredFile>,
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Its name.
    pub file: String,
    /// Where it came from, without credentials.
    pub from: String,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// What it was compared with: for instance `MD5 c4d9…, published`, or `none is published`.
    pub proof: String,
    /// Whether it was compared with anything.
    pub proven: bool,
}

/// A file of the data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Path in the folder, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its BLAKE3, in hexadecimal.
    pub blake3: String,
}

/// How a data set differs from its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Files that are gone.
    pub missing: Vec<String>,
    /// Files with another size or content.
    pub changed: Vec<String>,
    /// Files that somebody added. They are no damage.
    pub added: Vec<String>,
}

impl Damage {
    /// Whether every file is as it was installed.
    pub fn intact(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty()
    }
}

impl Manifest {
    /// Lists the files of a folder.
    pub(super) fn of(
        name: &str,
        folder: &Path,
        installed: String,
        received: Vec<Received>,
    ) -> Result<Self, FetchError> {
        let mut files = Vec::new();
        for path in files_in(folder)? {
            files.push(stored(folder, path)?);
        }
        Ok(Self {
            format: FORMAT,
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            installed,
            received,
            files,
        })
    }

    /// Reads the manifest of a folder; none where there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, FetchError> {
        let path = folder.join(MANIFEST_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let manifest: Self = json::read(&path)?;
        if manifest.format != FORMAT {
            return Err(FetchError::Wrong {
                message: format!(
                    "`{}` has format {}, but this program knows {FORMAT}",
                    path.display(),
                    manifest.format
                ),
                hint: "a newer ilm-pipe wrote it; use that one, or `data get --force`".to_owned(),
            });
        }
        Ok(Some(manifest))
    }

    /// Compares a folder with the manifest: sizes, and every byte where `content`.
    pub fn compare(&self, folder: &Path, content: bool) -> Result<Damage, FetchError> {
        let mut damage = Damage::default();
        let present: BTreeSet<String> = files_in(folder)?.into_iter().collect();
        for file in &self.files {
            let path = folder.join(&file.path);
            if !present.contains(&file.path) {
                damage.missing.push(file.path.clone());
            } else if fs_err::metadata(&path)?.len() != file.size
                || (content && stored(folder, file.path.clone())? != *file)
            {
                damage.changed.push(file.path.clone());
            }
        }
        let known: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        damage.added = present
            .into_iter()
            .filter(|path| !known.contains(path.as_str()))
            .collect();
        Ok(damage)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

fn stored(folder: &Path, path: String) -> Result<StoredFile, FetchError> {
    let full = folder.join(&path);
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(&full).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("failed to read `{}`: {error}", full.display()),
        )
    })?;
    Ok(StoredFile {
        size: fs_err::metadata(&full)?.len(),
        blake3: hasher.finalize().to_hex().to_string(),
        path,
    })
}

/// Every file below a folder but the manifest, sorted, with `/`.
fn files_in(folder: &Path) -> Result<Vec<String>, FetchError> {
    let mut files = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        for entry in fs_err::read_dir(folder.join(&prefix))? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                open.push(format!("{path}/"));
            } else if path != MANIFEST_FILE {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
