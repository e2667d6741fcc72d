//! The store: look up, begin, commit.

use super::in_use::InUse;
use super::{Damage, KeyLock, LastKeys, Lookup, Record, StoreError, leftovers, object, records};
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

/// What took this long to make, in seconds, is on disk before it is a hit.
const DURABLE_FROM: f64 = 1.0;

/// Whether a loss of power must not lose a result. Five waits for the disk would cost more than most short stages; after a
/// loss of power, what is missing or cut is noticed like every damage and computed again.
fn is_durable(seconds: f64) -> bool {
    seconds >= DURABLE_FROM
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

    /// Whether anything was ever stored.
    pub fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes of the artifacts that this process added, where it entered.
    pub(super) fn grown(&self) -> u64 {
        self.in_use.as_ref().map_or(0, |in_use| in_use.grown())
    }

    /// Removes what killed runs left half-written, and the checkpoints of keys that have a result. Never touches what a
    /// living process is writing. Nothing is lost where it fails, so a cache that cannot be written to is no error.
    pub fn sweep(&self) {
        let _ = leftovers::sweep(&self.root.join("tmp"), &self.root.join("locks"));
        for entry in fs_err::read_dir(self.root.join("scratch"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let key = entry.file_name().to_str().and_then(Hash::parse);
            if let Some(key) = key.filter(|key| self.record(key).is_some()) {
                if let Ok(Some(_lock)) = self.try_lock(&key) {
                    let _ = object::remove_folder(&self.scratch_path(&key));
                }
            }
        }
    }

    /// Writes a file of the cache aside and renames it into place.
    pub(super) fn write(
        &self,
        path: &Path,
        content: &[u8],
        durable: bool,
    ) -> Result<(), StoreError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        leftovers::replace(&self.root.join("tmp"), path, content, durable)
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

    /// The folder of the event logs of runs.
    pub fn runs_path(&self) -> PathBuf {
        self.root.join("runs")
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

    /// Looks for the record of a key. Where this process entered, what is found counts as used.
    pub fn look(&self, key: &Hash) -> Lookup {
        let look = || records::look(&self.root, key);
        let Some(in_use) = &self.in_use else {
            return look();
        };
        let lookup = in_use.look(key, look, |lookup| match lookup {
            Lookup::Found(record) => vec![record.key, record.output],
            Lookup::Missing | Lookup::Damaged => Vec::new(),
        });
        if let Lookup::Found(_) = &lookup {
            records::mark_used(&self.root, key, clock::since_epoch_ns(), NOTE_USES_EVERY_NS);
        }
        lookup
    }

    /// Reads the record of a key. One that cannot be read is a miss.
    pub fn record(&self, key: &Hash) -> Option<Record> {
        match self.look(key) {
            Lookup::Found(record) => Some(*record),
            Lookup::Missing | Lookup::Damaged => None,
        }
    }

    /// Every key that has a record file, in the order of the keys.
    pub fn keys(&self) -> Vec<Hash> {
        let list = |folder: &Path| {
            let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let mut keys: Vec<Hash> = list(&self.root.join("records"))
            .iter()
            .flat_map(|folder| list(folder))
            .filter_map(|path| Hash::parse(path.file_name()?.to_str()?.strip_suffix(".json")?))
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Looks for damage of a record's artifact, cheaply: sizes and times, and content where a time moved.
    pub fn glance(&self, record: &Record) -> Result<Option<Damage>, StoreError> {
        let (damage, moved) = object::glance(&self.object_path(&record.output), &record.files)?;
        if let (None, Some(files)) = (&damage, moved) {
            // The cache was copied, or touched: its bytes are right, so the next glance need not read them. A cache that
            // cannot be written to is read again each time.
            let record = Record {
                files,
                ..record.clone()
            };
            let _ = self.write_record(&record);
        }
        Ok(damage)
    }

    /// Looks for damage of a record's artifact by hashing every byte.
    pub fn verify(&self, record: &Record) -> Result<Option<Damage>, StoreError> {
        object::verify(&self.object_path(&record.output), &record.files)
    }

    /// The bytes of one file of a record's artifact, proven to be those that were stored.
    pub fn read_file(&self, record: &Record, name: &str) -> Result<Vec<u8>, StoreError> {
        object::read_file(&self.object_path(&record.output), &record.files, name)?.map_err(
            |damage| StoreError::Damaged {
                stage: record.origin.stage.clone(),
                damage,
            },
        )
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
        leftovers::remove_attempt(&output)?;
        fs_err::create_dir_all(&output)?;
        let scratch = self.scratch_path(key);
        fs_err::create_dir_all(&scratch)?;
        Ok((output, scratch))
    }

    /// Drops a half-written artifact; its scratch folder stays for the next attempt.
    pub fn abandon(&self, key: &Hash) -> Result<(), StoreError> {
        object::remove_folder(&self.unfinished_path(key))
    }

    /// Hashes and seals a finished artifact, which took `seconds` to make, and moves it to its place. Returns its hash and
    /// files.
    pub fn commit(
        &self,
        folder: &Path,
        seconds: f64,
    ) -> Result<(Hash, Vec<super::ObjectFile>), StoreError> {
        let durable = is_durable(seconds);
        let mut files = object::seal(folder, durable)?;
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
        if object::adopt(&place, &mut files)? {
            object::remove_folder(folder)?;
            return Ok((output, files));
        }
        self.set_aside(&place)?;
        if let Err(error) = fs_err::rename(folder, &place) {
            // Another stage that makes the same bytes was faster.
            if !object::adopt(&place, &mut files)? {
                return Err(error.into());
            }
            object::remove_folder(folder)?;
        } else if let Some(in_use) = &self.in_use {
            in_use.grow(files.iter().map(|file| file.size).sum());
        }
        if let Some(parent) = place.parent().filter(|_| durable) {
            fs_err::File::open(parent)?.sync_all()?;
        }
        Ok((output, files))
    }

    /// Takes something away in one step, so that no reader meets half of it.
    pub(super) fn set_aside(&self, place: &Path) -> Result<(), StoreError> {
        if fs_err::symlink_metadata(place).is_err() {
            return Ok(());
        }
        let aside = tempfile::Builder::new()
            .suffix(leftovers::DAMAGED)
            .tempdir_in(self.root.join("tmp"))
            .map_err(StoreError::Io)?;
        fs_err::rename(place, aside.path().join("it"))?;
        Ok(aside.close()?)
    }

    /// Writes the record of a key; from here on it is a hit. Its scratch folder is no longer needed.
    pub fn publish(&self, record: &Record) -> Result<(), StoreError> {
        self.write_record(record)?;
        object::remove_folder(&self.scratch_path(&record.key))
    }

    fn write_record(&self, record: &Record) -> Result<(), StoreError> {
        let text = records::text(record)?;
        let path = records::path(&self.root, &record.key);
        self.write(&path, text.as_bytes(), is_durable(record.origin.seconds))
    }

    /// Forgets a key whose artifact is damaged, and removes the artifact.
    pub fn discard(&self, record: &Record) -> Result<(), StoreError> {
        self.forget(&record.key)?;
        self.set_aside(&self.object_path(&record.output))
    }

    /// Removes the record of a key; its artifact stays.
    pub fn forget(&self, key: &Hash) -> Result<(), StoreError> {
        object::remove_folder(&records::path(&self.root, key))
    }

    /// The keys of the last successes of a pipeline's stages.
    pub fn last_keys(&self, pipeline: &str) -> LastKeys {
        LastKeys::load(&self.root.join("last"), &self.root.join("tmp"), pipeline)
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
        let mut keys = [one.key, two.key];
        keys.sort_unstable();
        assert_eq!(store.keys(), keys);
        fs_err::copy(
            records::path(&store.root, &one.key),
            records::path(&store.root, &two.key),
        )
        .expect("copied");
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
    fn a_use_is_noted_once_a_day() {
        let (_folder, store) = store();
        let key = commit(&store, "one").key;
        let path = records::path(&store.root, &key);
        let now = clock::since_epoch_ns();
        let age = |store: &Store| (now - store.used_ns(&key).expect("a time")) / 3_600_000_000_000;
        let working = store.enter("run-1");
        for (hours_ago, expected) in [(2, 2), (30, 0)] {
            let file = fs_err::File::open(&path).expect("opened");
            let then = clock::file_time(now - hours_ago * 3_600_000_000_000);
            file.file().set_modified(then).expect("set");
            assert!(store.record(&key).is_some() && working.record(&key).is_some());
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
