//! Whether a sweep is due, known without looking at the cache: what it held after the last one, and what runs added.

use super::{Limits, Store, StoreError};
use crate::clock;
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// A sweep a day finds what has become old.
const EVERY_NS: i128 = 24 * 3600 * 1_000_000_000;
/// Where everything above the limit is needed, the next sweep comes after this part of the limit was added.
const PATIENCE: u64 = 20;

#[derive(Serialize, Deserialize)]
struct LastSweep {
    time_ns: i128,
    /// Bytes of outputs and checkpoints that were left.
    bytes: u64,
}

impl Store {
    /// Adds what this process made to the count. Losing it costs a late sweep.
    pub fn note_growth(&self) {
        let grown = self.grown();
        if grown > 0 {
            // A short line is appended as a whole, whatever other processes write.
            let _ = fs_err::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.root().join("growth"))
                .and_then(|mut file| file.write_all(format!("{grown}\n").as_bytes()));
        }
    }

    /// Whether a sweep may find something: the cache grew over its limit, or the last sweep was a day ago.
    pub fn collecting_is_due(&self, limits: &Limits) -> bool {
        let last = fs_err::read(self.root().join("swept.json")).ok();
        let Some(last) = last.and_then(|bytes| serde_json::from_slice::<LastSweep>(&bytes).ok())
        else {
            return true;
        };
        if (clock::since_epoch_ns() - last.time_ns).abs() >= EVERY_NS {
            return true;
        }
        let Some(limit) = limits.max_size else {
            return false;
        };
        let grown = fs_err::read_to_string(self.root().join("growth")).unwrap_or_default();
        let grown = grown
            .lines()
            .filter_map(|line| line.parse::<u64>().ok())
            .fold(0, u64::saturating_add);
        let least = if last.bytes > limit - limit / PATIENCE {
            limit / PATIENCE
        } else {
            0
        };
        last.bytes.saturating_add(grown) > limit && grown > least
    }

    /// Starts the count anew after a sweep that left `bytes`.
    pub(super) fn note_collected(&self, bytes: u64) -> Result<(), StoreError> {
        super::object::remove_folder(&self.root().join("growth"))?;
        let last = LastSweep {
            time_ns: clock::since_epoch_ns(),
            bytes,
        };
        let text = serde_json::to_vec(&last).map_err(std::io::Error::from)?;
        self.write(&self.root().join("swept.json"), &text, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing;

    fn due(store: &Store, max_size: u64) -> bool {
        store.collecting_is_due(&Limits {
            max_size: Some(max_size),
            max_age: None,
        })
    }

    #[test]
    fn a_sweep_is_due_when_the_cache_grew_over_its_limit() {
        let (_folder, store) = testing::store();
        assert!(due(&store, 1000), "never swept");
        store.note_collected(100).expect("noted");
        assert!(!due(&store, 1000));
        let working = store.enter("one");
        testing::commit(&working, &"x".repeat(950));
        working.note_growth();
        assert!(due(&store, 1000));
        assert!(!due(&store, 2000));
        assert!(!store.collecting_is_due(&Limits::NONE));
    }

    #[test]
    fn above_a_limit_that_cannot_be_kept_not_every_run_sweeps() {
        let (_folder, store) = testing::store();
        store.note_collected(5000).expect("noted");
        let working = store.enter("one");
        testing::commit(&working, &"x".repeat(30));
        working.note_growth();
        assert!(!due(&store, 1000), "a few bytes are no reason");
        testing::commit(&working, &"y".repeat(100));
        working.note_growth();
        assert!(due(&store, 1000));
    }

    #[test]
    fn a_sweep_is_due_once_a_day() {
        let (_folder, store) = testing::store();
        store.note_collected(0).expect("noted");
        let path = store.root().join("swept.json");
        let yesterday = clock::since_epoch_ns() - EVERY_NS;
        let text = format!(r#"{{"time_ns":{yesterday},"bytes":0}}"#);
        fs_err::write(path, text).expect("written");
        assert!(due(&store, 1000));
    }
}
