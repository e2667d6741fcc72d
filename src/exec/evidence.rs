//! Evidence that a stage read what its key says: what it reads, as it was before, compared with what it is after.

use crate::artifact::{Record, Store, StoreError};
use crate::formats::checked;
use crate::key::Sighting;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// In a scratch folder: the source files that its checkpoints were made from.
const MADE_FROM: &str = ".made-from.json";

/// What a stage reads, as it was when the stage was about to start.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// Files outside the cache.
    pub(super) sources: Vec<(PathBuf, Sighting)>,
    /// Artifacts, each hashed by then.
    pub(super) artifacts: Vec<Arc<Record>>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct MadeFrom {
    sources: Vec<(PathBuf, Sighting)>,
}

impl Evidence {
    /// Says what changed since, when something did. `now` are the source files as they are.
    ///
    /// A file that was edited and put back has its old content, but the file system remembers that it was written to.
    pub(super) fn contradiction(
        &self,
        now: &[(PathBuf, Sighting)],
        store: &Store,
    ) -> Result<Option<String>, StoreError> {
        const SO: &str = "so the result is not recorded; run again";
        for (path, before) in &self.sources {
            let name = path.display();
            let message = match now.iter().find(|(other, _)| other == path) {
                Some((_, after)) if after == before => continue,
                Some((_, after)) if after.hash == before.hash => format!(
                    "`{name}` was written to while the stage read it, though its content is as before, {SO}"
                ),
                Some(_) => format!("`{name}` changed while the stage read it, {SO}"),
                None => format!("`{name}` was removed while the stage read it, {SO}"),
            };
            return Ok(Some(message));
        }
        if let Some((path, _)) = now
            .iter()
            .find(|(path, _)| !self.sources.iter().any(|(before, _)| before == path))
        {
            return Ok(Some(format!(
                "`{}` appeared while the stage ran, {SO}",
                path.display()
            )));
        }
        for record in &self.artifacts {
            if let Some(damage) = store.glance(record)? {
                return Ok(Some(format!(
                    "the cache was damaged while the stage read the output of `{}`: {damage}; {SO}",
                    record.origin.stage
                )));
            }
        }
        Ok(None)
    }

    /// Drops the checkpoints in a scratch folder unless they were made from these very source files, and notes what the
    /// next ones are made from. A stage that is killed cannot say whether a file was edited under it.
    pub(super) fn claim(&self, scratch: &Path) -> Result<(), StoreError> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let made_from = MadeFrom {
            sources: self.sources.clone(),
        };
        let note = scratch.join(MADE_FROM);
        let same = fs_err::read(&note)
            .ok()
            .and_then(|text| checked::from_text::<MadeFrom>(&text))
            .is_some_and(|before| before == made_from);
        if !same {
            fs_err::remove_dir_all(scratch)?;
            fs_err::create_dir_all(scratch)?;
            crate::formats::replace(&note, checked::to_text(&made_from)?.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::FileHashes;

    fn evidence(path: &Path) -> Evidence {
        let sighting = FileHashes::default().hash(path).expect("hashed");
        Evidence {
            sources: vec![(path.to_owned(), sighting)],
            artifacts: Vec::new(),
        }
    }

    #[test]
    fn checkpoints_of_an_edited_file_are_dropped_even_when_the_file_was_put_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, scratch) = (folder.path().join("a"), folder.path().join("scratch"));
        fs_err::create_dir(&scratch).expect("made");
        fs_err::write(&file, "one").expect("written");
        let before = evidence(&file);
        before.claim(&scratch).expect("claimed");
        fs_err::write(scratch.join("checkpoint"), "of one").expect("written");
        before.claim(&scratch).expect("claimed again");
        assert!(scratch.join("checkpoint").exists());

        let mut after = evidence(&file);
        while after.sources[0].1.stamp == before.sources[0].1.stamp {
            fs_err::write(&file, "two").expect("written");
            fs_err::write(&file, "one").expect("put back");
            after = evidence(&file);
        }
        assert_eq!(after.sources[0].1.hash, before.sources[0].1.hash);
        let store = Store::at(folder.path());
        let message = before.contradiction(&after.sources, &store).expect("told");
        assert!(message.is_some_and(|text| text.contains("was written to")));
        after.claim(&scratch).expect("claimed");
        assert!(!scratch.join("checkpoint").exists());
    }
}
