//! Records read ahead on a second core, while the first one judges.

use super::{Lookup, Record, records};
use crate::key::Hash;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Fewer records than this are read faster than a thread is started.
const WORTH_IT: usize = 64;

/// Reads records that will probably be asked for: those of the last successes. Whoever judges goes through them from the first,
/// the thread from the last; they meet.
///
/// Only what was found is kept, and handed out once: whatever is looked for again is read again.
#[derive(Debug)]
pub struct Ahead {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    found: Mutex<BTreeMap<Hash, Box<Record>>>,
    /// How many records were asked for.
    asked: AtomicUsize,
}

impl Ahead {
    /// Begins to read the records of `keys`, which are in the order in which they will be asked for. None where that would not
    /// be faster.
    pub(super) fn start(root: &Path, keys: Vec<Hash>) -> Option<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if keys.len() < WORTH_IT || cores < 2 {
            return None;
        }
        let shared = Arc::new(Shared::default());
        let (root, mine) = (root.to_owned(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            for (position, key) in keys.iter().enumerate().rev() {
                if position <= mine.asked.load(Ordering::Relaxed) {
                    return;
                }
                if let Lookup::Found(record) = records::look(&root, key) {
                    let mut found = mine.found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.insert(*key, record);
                }
            }
        });
        Some(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The record of a key, when it is there already.
    pub(super) fn take(&self, key: &Hash) -> Option<Box<Record>> {
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        let mut found = self
            .shared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        found.remove(key)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.asked.store(usize::MAX, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing::{commit, store};

    #[test]
    fn what_is_read_ahead_is_the_record_and_is_handed_out_once() {
        let (_folder, store) = store();
        let records: Vec<Record> = (0..WORTH_IT + 10)
            .map(|n| commit(&store, &n.to_string()))
            .collect();
        let mut keys: Vec<Hash> = records.iter().map(|record| record.key).collect();
        // One that is not there is no record.
        keys.push(crate::key::Fingerprint::default().key());
        let mut ahead = Ahead::start(store.root(), keys.clone()).expect("two cores");
        if let Some(thread) = ahead.thread.take() {
            thread.join().expect("read");
        }
        // The first is left to whoever asks.
        for record in &records[1..] {
            assert_eq!(ahead.take(&record.key).as_deref(), Some(record));
            assert_eq!(ahead.take(&record.key), None);
        }
        assert_eq!(ahead.take(&keys[keys.len() - 1]), None);
        assert!(Ahead::start(store.root(), keys[..5].to_vec()).is_none());
    }
}
