//! A naive account of a cache: dictionaries, no hashes. It shares nothing with the engine but the names of things.

use super::world::{Artifact, Identity};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a file of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Intact,
    Damaged,
    Gone,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub record: State,
    pub artifact: Artifact,
    /// What the engine calls it.
    pub key: String,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub entries: BTreeMap<Identity, Entry>,
    pub objects: BTreeMap<Artifact, State>,
    /// The engine's hash of each artifact.
    pub hashes: BTreeMap<Artifact, String>,
    /// What is noted of a stage's last success, by pipeline and stage.
    pub last: BTreeMap<(String, String), Identity>,
}

impl Model {
    /// Whether a result can be served.
    pub fn has(&self, identity: &Identity) -> bool {
        self.entries.get(identity).is_some_and(|entry| {
            entry.record == State::Intact && self.objects[&entry.artifact] == State::Intact
        })
    }

    /// Whether a result cannot be served because its artifact, and nothing else, is not as it was.
    pub fn lacks_only_artifact(&self, identity: &Identity) -> bool {
        !self.has(identity)
            && self
                .entries
                .get(identity)
                .is_some_and(|entry| entry.record == State::Intact)
    }

    /// Why a stage without a result runs: names of what changed, or one of the engine's words.
    pub fn causes(&self, pipeline: &str, stage: &str, identity: &Identity) -> BTreeSet<String> {
        let mut causes = BTreeSet::new();
        let damaged = self.lacks_only_artifact(identity)
            || self
                .entries
                .get(identity)
                .is_some_and(|entry| entry.record == State::Damaged);
        if damaged {
            causes.insert("damaged".to_owned());
        }
        match self.last.get(&(pipeline.to_owned(), stage.to_owned())) {
            None => {
                causes.insert("new".to_owned());
            }
            Some(before) if before == identity => {
                if !damaged {
                    causes.insert("forgotten".to_owned());
                }
            }
            Some(before) if self.entries[before].record == State::Intact => {
                for name in before.keys().chain(identity.keys()) {
                    if before.get(name) != identity.get(name) {
                        causes.insert(name.clone());
                    }
                }
            }
            Some(_) => {
                causes.insert("history-gone".to_owned());
            }
        }
        causes
    }

    /// Notes that a stage was found to have a result.
    pub fn succeed(&mut self, pipeline: &str, stage: &str, identity: &Identity) {
        self.last
            .insert((pipeline.to_owned(), stage.to_owned()), identity.clone());
    }

    /// Notes that a result was made.
    pub fn make(&mut self, identity: &Identity, artifact: &Artifact, key: &str) {
        self.entries.insert(
            identity.clone(),
            Entry {
                record: State::Intact,
                artifact: artifact.clone(),
                key: key.to_owned(),
            },
        );
        self.objects.insert(artifact.clone(), State::Intact);
    }

    /// Everything is gone but the memory of which key belongs to what.
    pub fn lose_everything(&mut self) {
        self.last.clear();
        for entry in self.entries.values_mut() {
            entry.record = State::Gone;
        }
        for state in self.objects.values_mut() {
            *state = State::Gone;
        }
    }
}
