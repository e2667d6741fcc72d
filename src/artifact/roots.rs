//! Pipeline files that ran with this cache, wherever they lie: what they need is not swept.

use super::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A pipeline file that ran with this cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KnownPipeline {
    /// The file, absolute.
    pub file: PathBuf,
    /// The project folder that it ran with, absolute.
    pub project: PathBuf,
    /// The name of the pipeline when it ran last.
    pub name: String,
}

impl Store {
    /// Remembers a pipeline file; costs one small read when it is known.
    pub fn note_pipeline(&self, known: &KnownPipeline) -> Result<(), StoreError> {
        let hash = blake3::hash(known.file.as_os_str().as_encoded_bytes()).to_hex();
        let path = self.pipelines().join(format!("{}.json", &hash[..16]));
        let text = serde_json::to_vec(known).map_err(std::io::Error::from)?;
        if fs_err::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        self.write(&path, &text, false)
    }

    /// The pipeline files that ran with this cache and still exist, sorted. What remembers a file that is gone is
    /// removed by a sweep.
    pub fn known_pipelines(&self) -> Result<Vec<KnownPipeline>, StoreError> {
        let mut known = Vec::new();
        for path in super::folder::entries(&self.pipelines())? {
            if let Some(pipeline) = read(&path) {
                if pipeline.file.exists() {
                    known.push(pipeline);
                }
            }
        }
        known.sort();
        Ok(known)
    }

    /// What remembers pipeline files that are gone.
    pub(super) fn forgotten_pipelines(&self) -> Result<Vec<PathBuf>, StoreError> {
        let all = super::folder::entries(&self.pipelines())?;
        let gone = |path: &PathBuf| !read(path).is_some_and(|known| known.file.exists());
        Ok(all.into_iter().filter(gone).collect())
    }

    fn pipelines(&self) -> PathBuf {
        self.root().join("pipelines")
    }
}

fn read(path: &Path) -> Option<KnownPipeline> {
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing;

    #[test]
    fn a_pipeline_is_known_as_long_as_its_file_exists() {
        let (folder, store) = testing::store();
        let file = folder.path().join("p.toml");
        fs_err::write(&file, "").expect("written");
        let known = KnownPipeline {
            file: file.clone(),
            project: folder.path().to_owned(),
            name: "p".into(),
        };
        store.note_pipeline(&known).expect("noted");
        store.note_pipeline(&known).expect("noted");
        assert_eq!(store.known_pipelines().expect("read"), [known]);
        assert!(store.forgotten_pipelines().expect("read").is_empty());
        fs_err::remove_file(&file).expect("removed");
        assert!(store.known_pipelines().expect("read").is_empty());
        assert_eq!(store.forgotten_pipelines().expect("read").len(), 1);
    }
}
