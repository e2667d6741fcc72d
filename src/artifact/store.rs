//! The store: look up, begin, commit.

use super::in_use::InUse;
use super::{Damage, KeyLock, Record, StoreError, folder, last, object, records};
use crate::clock;
use crate::key::{FileHashes, Hash};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION_FOLDER: &str = "v1";
/// A use is noted when the last note is older than this, so that a run that computes nothing writes next to nothing.
const NOTE_USES_EVERY_NS: i128 = 24 * 3600 * 1_000_000_000;

/// A cache folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    in_use: Option<Arc<InUse>>,
}

impl Store {
    /// Names the cache in the folder `cache`; nothing is written.
    pub fn at(cache: &Path) -> Self {
        Self {
            root: cache.join(VERSION_FOLDER),
            in_use: None,
        }
    }

    /// The same cache for a process that works with it: what it finds or makes is safe from sweeps of other processes
    /// until it ends. `name` is its run. On a cache that cannot be written to nothing is kept safe, as nothing is swept.
    #[must_use]
    pub fn enter(&self, name: &str) -> Self {
        Self {
            root: self.root.clone(),
            in_use: InUse::enter(&self.root, name).ok().map(Arc::new),
        }
    }

    /// Makes the folders that a run writes to.
    pub fn prepare(&self) -> Result<(), StoreError> {
        for folder in [
            "records", "objects", "last", "scratch", "logs", "runs", "locks", "tmp",
        ] {
            fs_err::create_dir_all(self.root.join(folder))?;
        }
        if let Some(cache) = self.root.parent() {
            let tag = cache.join("CACHEDIR.TAG");
            if !tag.exists() {
                fs_err::write(tag, "Signature: 8a477f597d28d172789f06886806bc55\n")?;
            }
        }
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes of the artifacts that this process added, where it entered.
    pub(super) fn grown(&self) -> u64 {
        self.in_use.as_ref().map_or(0, |in_use| in_use.grown())
    }

    /// The remembered hashes of files outside the cache.
    pub fn file_hashes(&self) -> FileHashes {
        FileHashes::load(&self.root.join("files.json"))
    }

    /// The folder of an artifact.
    pub fn object_path(&self, output: &Hash) -> PathBuf {
        let hex = output.hex();
        self.root.join("objects").join(&hex[..2]).join(hex)
    }

    /// The folder for checkpoints of a key.
    pub fn scratch_path(&self, key: &Hash) -> PathBuf {
        self.root.join("scratch").join(key.hex())
    }

    /// The log of a key: every attempt, one after another.
    pub fn log_path(&self, key: &Hash) -> PathBuf {
        self.root.join("logs").join(format!("{}.jsonl", key.hex()))
    }

    /// The event log of a run.
    pub fn run_path(&self, run: &str) -> PathBuf {
        self.root.join("runs").join(format!("{run}.jsonl"))
    }

    fn lock_path(&self, key: &Hash) -> PathBuf {
        self.root.join("locks").join(key.hex())
    }

    fn unfinished_path(&self, key: &Hash) -> PathBuf {
        self.root.join("tmp").join(key.hex())
    }

    /// Reads the record of a key. One that cannot be read is a miss.
    pub fn record(&self, key: &Hash) -> Option<Record> {
        let read = || records::read(&self.root, key);
        match &self.in_use {
            None => read(),
            Some(in_use) => in_use.look(key, read, |record| [record.key, record.output]),
        }
    }

    /// Looks for damage of a record's artifact, cheaply: sizes and times, and content where a time moved.
    pub fn glance(&self, record: &Record) -> Result<Option<Damage>, StoreError> {
        object::inspect(&self.object_path(&record.output), &record.files, false)
    }

    /// Looks for damage of a record's artifact by hashing every byte.
    pub fn verify(&self, record: &Record) -> Result<Option<Damage>, StoreError> {
        object::inspect(&self.object_path(&record.output), &record.files, true)
    }

    /// Takes the lock of a key, or returns none when another process is computing it.
    pub fn try_lock(&self, key: &Hash) -> Result<Option<KeyLock>, StoreError> {
        KeyLock::try_take(&self.lock_path(key))
    }

    /// Whether a process is computing a key.
    pub fn is_locked(&self, key: &Hash) -> bool {
        super::lock::is_taken(&self.lock_path(key))
    }

    /// Makes an empty folder for the artifact of a key, and its scratch folder.
    pub fn begin(&self, key: &Hash) -> Result<(PathBuf, PathBuf), StoreError> {
        // The lock of the key is held, so what another attempt left here is dead.
        let output = self.unfinished_path(key);
        folder::remove(&output)?;
        fs_err::create_dir_all(&output)?;
        let scratch = self.scratch_path(key);
        fs_err::create_dir_all(&scratch)?;
        Ok((output, scratch))
    }

    /// Drops a half-written artifact; its scratch folder stays for the next attempt.
    pub fn abandon(&self, key: &Hash) -> Result<(), StoreError> {
        folder::remove(&self.unfinished_path(key))
    }

    /// Hashes and seals a finished artifact and moves it to its place. Returns its hash and files.
    pub fn commit(&self, folder: &Path) -> Result<(Hash, Vec<super::ObjectFile>), StoreError> {
        let mut files = object::seal(folder)?;
        let output = object::content_hash(&files);
        // No record names it yet: without this a sweep would take it for an orphan.
        if let Some(in_use) = &self.in_use {
            in_use.add(output);
        }
        let place = self.object_path(&output);
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)?;
        }
        // Another key may have made the same bytes. What is there is replaced unless it is proven intact: a corrupt
        // object under the right name must not survive a recomputation.
        if place.exists() {
            let damage = object::inspect(&place, &files, true)?;
            if damage.is_none() {
                folder::remove(folder)?;
                Self::restamp(&place, &mut files)?;
                return Ok((output, files));
            }
            self.take_away(&place)?;
        }
        if let Err(error) = fs_err::rename(folder, &place) {
            // Another stage that makes the same bytes was faster.
            if object::inspect(&place, &files, true)?.is_some() {
                return Err(error.into());
            }
            folder::remove(folder)?;
        } else if let Some(in_use) = &self.in_use {
            in_use.grow(files.iter().map(|file| file.size).sum());
        }
        if let Some(parent) = place.parent() {
            fs_err::File::open(parent)?.sync_all()?;
        }
        Self::restamp(&place, &mut files)?;
        Ok((output, files))
    }

    /// Writes the change times that the files have at their place.
    fn restamp(place: &Path, files: &mut [super::ObjectFile]) -> Result<(), StoreError> {
        for file in files {
            file.changed_ns = object::changed_ns(&fs_err::metadata(place.join(&file.path))?);
        }
        Ok(())
    }

    /// Writes the record of a key; from here on it is a hit. Its scratch folder is no longer needed.
    pub fn publish(&self, record: &Record) -> Result<(), StoreError> {
        records::write(&self.root, record)?;
        folder::remove(&self.scratch_path(&record.key))
    }

    /// Forgets a key whose artifact is damaged, and removes the artifact.
    pub fn discard(&self, record: &Record) -> Result<(), StoreError> {
        self.forget(&record.key)?;
        self.take_away(&self.object_path(&record.output))
    }

    /// Removes the record of a key; its artifact stays.
    pub fn forget(&self, key: &Hash) -> Result<(), StoreError> {
        folder::remove(&records::path(&self.root, key))
    }

    /// Removes a folder so that nobody ever sees a part of it: under another name first.
    pub(super) fn take_away(&self, path: &Path) -> Result<(), StoreError> {
        let trash = self.root.join("tmp");
        fs_err::create_dir_all(&trash)?;
        let trash = tempfile::Builder::new().prefix("gone-").tempdir_in(trash)?;
        let aside = trash.path().join("it");
        match fs_err::rename(path, &aside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => folder::remove(&aside),
        }
    }

    /// The key of a stage's last success.
    pub fn last(&self, pipeline: &str, stage: &str) -> Option<Hash> {
        last::read(&self.root.join("last"), pipeline, stage)
    }

    /// Notes a stage's success and that its result was used; costs nothing when both are known.
    pub fn note_last(&self, pipeline: &str, stage: &str, key: &Hash) -> Result<(), StoreError> {
        records::mark_used(&self.root, key, clock::since_epoch_ns(), NOTE_USES_EVERY_NS);
        if self.last(pipeline, stage).as_ref() == Some(key) {
            return Ok(());
        }
        last::write(&self.root.join("last"), pipeline, stage, key)
    }

    /// Takes a stage's last success back to the one before, or to none.
    pub fn take_back_last(
        &self,
        pipeline: &str,
        stage: &str,
        before: Option<&Hash>,
    ) -> Result<(), StoreError> {
        let last = self.root.join("last");
        match before {
            Some(key) => last::write(&last, pipeline, stage, key),
            None => last::remove(&last, pipeline, stage),
        }
    }

    /// Every stage of a pipeline with the key of its last success, sorted.
    pub fn lasts(&self, pipeline: &str) -> Result<Vec<(String, Hash)>, StoreError> {
        let pointers = last::list(&self.root.join("last"))?;
        Ok(pointers
            .into_iter()
            .filter(|pointer| pointer.pipeline == pipeline)
            .filter_map(|pointer| Some((pointer.stage, pointer.key?)))
            .collect())
    }

    /// When a key's result was last used, in nanoseconds since 1970.
    pub fn used_ns(&self, key: &Hash) -> Option<i128> {
        records::used_ns(&self.root, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing::{commit, force_write, store};

    #[test]
    fn what_is_committed_is_found_again() {
        let (_folder, store) = store();
        let record = commit(&store, "one");
        assert_eq!(store.record(&record.key), Some(record.clone()));
        assert_eq!(store.glance(&record).expect("glanced"), None);
        assert_eq!(store.verify(&record).expect("verified"), None);
        let text = fs_err::read_to_string(store.object_path(&record.output).join("sub/b.txt"));
        assert_eq!(text.expect("read"), "b");
    }

    #[test]
    fn every_kind_of_damage_is_seen_even_when_size_and_mode_are_kept() {
        let (_folder, store) = store();
        let record = commit(&store, "one");
        let path = store.object_path(&record.output).join("a.txt");
        force_write(&path, "oNe");
        let damage = Some(Damage::Content {
            path: "a.txt".into(),
        });
        assert_eq!(store.glance(&record).expect("glanced"), damage);
        assert_eq!(store.verify(&record).expect("verified"), damage);
        force_write(&path, "on");
        assert!(matches!(
            store.glance(&record),
            Ok(Some(Damage::Size { .. }))
        ));
        fs_err::remove_file(&path).expect("removed");
        assert!(matches!(
            store.glance(&record),
            Ok(Some(Damage::FileMissing { .. }))
        ));
        fs_err::remove_dir_all(store.object_path(&record.output)).expect("removed");
        assert_eq!(
            store.glance(&record).expect("glanced"),
            Some(Damage::Missing)
        );
    }

    #[test]
    fn recomputing_replaces_a_corrupt_object() {
        let (_folder, store) = store();
        let record = commit(&store, "one");
        force_write(&store.object_path(&record.output).join("a.txt"), "bad");
        let again = commit(&store, "one");
        assert_eq!(again.output, record.output);
        assert_eq!(store.verify(&again).expect("verified"), None);
    }

    #[test]
    fn a_record_under_a_wrong_name_is_a_miss() {
        let (_folder, store) = store();
        let (one, two) = (commit(&store, "one"), commit(&store, "two"));
        fs_err::copy(records::path(&store.root, &one.key), records::path(&store.root, &two.key)).expect("copied");
        assert_eq!(store.record(&two.key), None);
        fs_err::write(records::path(&store.root, &two.key), "{").expect("written");
        assert_eq!(store.record(&two.key), None);
    }

    #[test]
    fn a_lock_is_exclusive_until_it_is_dropped() {
        let (_folder, store) = store();
        let key = commit(&store, "one").key;
        let lock = store.try_lock(&key).expect("tried");
        assert!(lock.is_some());
        assert!(store.try_lock(&key).expect("tried").is_none());
        drop(lock);
        assert!(store.try_lock(&key).expect("tried").is_some());
    }

    #[test]
    fn last_success_is_remembered_by_stage() {
        let (_folder, store) = store();
        let key = commit(&store, "one").key;
        assert_eq!(store.last("p", "s[a=b/c]"), None);
        store.note_last("p", "s[a=b/c]", &key).expect("noted");
        assert_eq!(store.last("p", "s[a=b/c]"), Some(key));
        assert_eq!(store.last("p", "s[a=b,c]"), None);
    }

    #[test]
    fn a_use_is_noted_once_a_day() {
        let (_folder, store) = store();
        let key = commit(&store, "one").key;
        let path = records::path(&store.root, &key);
        let now = clock::since_epoch_ns();
        let age = |store: &Store| (now - store.used_ns(&key).expect("a time")) / 3_600_000_000_000;
        for (hours_ago, expected) in [(2, 2), (30, 0)] {
            let file = fs_err::File::open(&path).expect("opened");
            let then = clock::file_time(now - hours_ago * 3_600_000_000_000);
            file.file().set_modified(then).expect("set");
            store.note_last("p", "s", &key).expect("noted");
            assert_eq!(age(&store), expected, "noted {hours_ago} hours ago");
        }
    }

    #[test]
    fn a_lock_leaves_no_file_and_a_waiting_process_does_not_lock_a_removed_one() {
        let (_folder, store) = store();
        let key = commit(&store, "one").key;
        let first = store.try_lock(&key).expect("tried");
        assert!(first.is_some() && store.lock_path(&key).exists());
        drop(first);
        assert!(!store.lock_path(&key).exists());
        // A process that died left its file; it is free.
        fs_err::write(store.lock_path(&key), "").expect("written");
        assert!(store.try_lock(&key).expect("tried").is_some());
    }
}
