//! What is in a cache.

use super::{LastKeys, Record, Store, StoreError, folder, last, records};
use crate::key::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A result: a record and its output.
#[derive(Clone, Debug)]
pub struct Cached {
    /// The record.
    pub record: Record,
    /// Bytes of the record itself.
    pub record_bytes: u64,
    /// When it was last used, in nanoseconds since 1970.
    pub used_ns: i128,
    /// Whether the folder of its output is there.
    pub has_output: bool,
}

/// A file or folder of the cache that is no result.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Where it is.
    pub path: PathBuf,
    /// Its name: a key, a run, or the file's name.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When its youngest file was modified, in nanoseconds since 1970.
    pub changed_ns: i128,
    /// Whether a process computes the key in its name.
    pub busy: bool,
}

impl Thing {
    fn at(path: PathBuf) -> Result<Self, StoreError> {
        let (bytes, changed_ns) = folder::weigh(&path)?;
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self {
            path,
            name,
            bytes,
            changed_ns,
            busy: false,
        })
    }

    /// The hash in its name.
    pub fn hash(&self) -> Option<Hash> {
        Hash::parse(self.name.split('.').next()?)
    }
}

/// Everything in a cache.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Results, sorted by key.
    pub cached: Vec<Cached>,
    /// Files below `records/` that are no records.
    pub unreadable: Vec<Thing>,
    /// Folders below `objects/` that no record names.
    pub orphans: Vec<Thing>,
    /// Checkpoints of stages that did not finish, by key.
    pub scratch: Vec<Thing>,
    /// Logs of stages, by key.
    pub logs: Vec<Thing>,
    /// Event logs of runs.
    pub runs: Vec<Thing>,
    /// Artifacts being written, and what is being removed.
    pub temporary: Vec<Thing>,
    /// Files of locks.
    pub locks: Vec<Thing>,
    /// Memory of stages' last successes, by pipeline.
    pub(super) lasts: Vec<(String, LastKeys)>,
}

impl Store {
    /// Lists what is in the cache. Reads every record and no output.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut inventory = Inventory {
            scratch: self.things("scratch")?,
            logs: self.things("logs")?,
            runs: self.things("runs")?,
            temporary: self.things("tmp")?,
            locks: self.things("locks")?,
            lasts: last::list(&self.root().join("last"), &self.root().join("tmp"))?,
            ..Inventory::default()
        };
        // Outputs before records: one that is published meanwhile has no record here and one there, and is then
        // neither an orphan nor a record without output.
        let mut outputs: BTreeMap<Hash, PathBuf> = BTreeMap::new();
        let mut strange = Vec::new();
        for folder in folder::entries(&self.root().join("objects"))? {
            for path in folder::entries(&folder)? {
                let hash = path
                    .file_name()
                    .and_then(|name| Hash::parse(name.to_str()?));
                match hash {
                    Some(hash) if self.object_path(&hash) == path => {
                        outputs.insert(hash, path);
                    }
                    _ => strange.push(path),
                }
            }
        }
        for listed in records::list(self.root())? {
            match listed.record {
                Some(record) => {
                    let has_output = outputs.contains_key(&record.output)
                        || self.object_path(&record.output).is_dir();
                    inventory.cached.push(Cached {
                        record,
                        record_bytes: listed.bytes,
                        used_ns: listed.used_ns,
                        has_output,
                    });
                }
                None => inventory.unreadable.push(Thing::at(listed.path)?),
            }
        }
        inventory.cached.sort_by_key(|cached| cached.record.key);
        for cached in &inventory.cached {
            outputs.remove(&cached.record.output);
        }
        for path in outputs.into_values().chain(strange) {
            inventory.orphans.push(Thing::at(path)?);
        }
        Ok(inventory)
    }

    fn things(&self, folder: &str) -> Result<Vec<Thing>, StoreError> {
        let mut things = Vec::new();
        for path in folder::entries(&self.root().join(folder))? {
            let mut thing = Thing::at(path)?;
            thing.busy = match thing.hash() {
                Some(key) => self.is_locked(&key),
                // Whoever writes a file holds a lock on it.
                None => super::lock::is_taken(&thing.path),
            };
            things.push(thing);
        }
        Ok(things)
    }
}

impl Inventory {
    /// Bytes of all outputs, each counted once however many records name it.
    pub fn output_bytes(&self) -> u64 {
        let mut seen = BTreeSet::new();
        self.cached
            .iter()
            .filter(|cached| cached.has_output && seen.insert(cached.record.output))
            .map(|cached| cached.record.size())
            .sum()
    }

    /// Bytes of a list of things.
    pub fn bytes_of(things: &[Thing]) -> u64 {
        things.iter().map(|thing| thing.bytes).sum()
    }
}
