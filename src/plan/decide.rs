//! The verdict on one stage.

use super::{Before, Cause, PlanError, Verdict};
use crate::artifact::{Damage, LastKeys, Record, Store, StoreError};
use crate::key::{FileError, FileHashes, Fingerprint, Hash, InputHash, difference};
use crate::spec::{Pipeline, StageSpec};
use crate::stages::ArtifactKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An input that is there.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Content hash of the artifact.
    pub output: Hash,
}

impl Resolved {
    /// The artifact of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            output: record.output,
        }
    }
}

/// Judges stages against a cache.
pub struct Planner<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    project: &'a Path,
    files: FileHashes,
    last: LastKeys,
    /// Hashes of this run: a file is looked at once, however many stages read it.
    seen: BTreeMap<PathBuf, Hash>,
    /// Artifacts that were read and found damaged although nothing showed at a glance.
    damaged: BTreeMap<Hash, Damage>,
}

impl<'a> Planner<'a> {
    /// Makes a planner for a pipeline. `project` is the folder that holds `datasets/`.
    pub fn new(pipeline: &'a Pipeline, store: &'a Store, project: &'a Path) -> Self {
        Self {
            pipeline,
            store,
            project,
            files: store.file_hashes(),
            last: store.last_keys(&pipeline.name),
            seen: BTreeMap::new(),
            damaged: BTreeMap::new(),
        }
    }

    /// Judges a stage of which perhaps not all inputs are there. `inputs` are the positions of the stages that it
    /// reads, in the order of [`StageSpec::input_ids`].
    pub fn judge(
        &mut self,
        stage: &StageSpec,
        inputs: &[usize],
        resolved: &[Option<Resolved>],
    ) -> Result<Verdict, PlanError> {
        let mut waits_for: Vec<String> = inputs
            .iter()
            .filter(|&&input| resolved[input].is_none())
            .map(|&input| self.pipeline.stages[input].id.clone())
            .collect();
        if waits_for.is_empty() {
            return self.decide(stage, inputs, resolved);
        }
        waits_for.dedup();
        let now = self.fingerprint(stage, inputs, resolved)?;
        let before = self.before(stage);
        let causes = match &before {
            None => vec![Cause::New],
            Some(before) => before
                .fingerprint()
                .map(|last| difference(last, &now))
                .unwrap_or_default()
                .into_iter()
                .filter(|change| !change.name.starts_with("inputs.") || change.new.is_some())
                .map(Cause::Changed)
                .collect(),
        };
        Ok(Verdict::Pending {
            waits_for,
            fingerprint: now,
            causes,
            before,
        })
    }

    /// Judges a stage whose inputs are all there.
    fn decide(
        &mut self,
        stage: &StageSpec,
        inputs: &[usize],
        resolved: &[Option<Resolved>],
    ) -> Result<Verdict, PlanError> {
        let fingerprint = self.fingerprint(stage, inputs, resolved)?;
        let key = fingerprint.key();
        let mut causes = Vec::new();
        let record = self.store.record(&key).map(Arc::new);
        if let Some(record) = &record {
            // A table is what people read and it is small: every byte of it is checked.
            let damage = if let Some(damage) = self.damaged.get(&key) {
                Some(damage.clone())
            } else if record.kind == ArtifactKind::Table {
                self.store.verify(record)?
            } else {
                self.store.glance(record)?
            };
            match damage {
                None => {
                    return Ok(Verdict::Fresh {
                        record: Arc::clone(record),
                    });
                }
                Some(damage) => causes.push(Cause::Damaged(damage)),
            }
        }
        let before = self.before(stage);
        match &before {
            None if record.is_none() => causes.push(Cause::New),
            None => {}
            Some(last) if last.key == key && record.is_none() => causes.push(Cause::Forgotten),
            Some(last) if last.key == key => {}
            Some(last) => match last.fingerprint() {
                None => causes.push(Cause::HistoryGone),
                Some(last) => causes.extend(
                    difference(last, &fingerprint)
                        .into_iter()
                        .map(Cause::Changed),
                ),
            },
        }
        Ok(Verdict::Dirty {
            key,
            fingerprint,
            causes,
            before,
        })
    }

    fn before(&self, stage: &StageSpec) -> Option<Before> {
        let key = self.last.get(&stage.id)?;
        let record = self.store.record(&key).map(Arc::new);
        Some(Before { key, record })
    }

    fn fingerprint(
        &mut self,
        stage: &StageSpec,
        inputs: &[usize],
        resolved: &[Option<Resolved>],
    ) -> Result<Fingerprint, PlanError> {
        let mut fingerprint = Fingerprint::of_stage(stage.kind, &stage.params, stage.seed);
        for (path, hash) in self.source_hashes(stage, true)? {
            fingerprint.add_file(&path.to_string_lossy(), hash);
        }
        let mut position = 0;
        for (port, ids) in &stage.inputs {
            let arity = stage
                .kind
                .port(port)
                .map_or(crate::stages::Arity::One, |port| port.arity);
            for index in 0..ids.len() {
                let input = inputs[position];
                position += 1;
                if let Some(resolved) = &resolved[input] {
                    let matrix = &self.pipeline.stages[input].matrix;
                    let content = resolved.output;
                    fingerprint.add_input(port, arity, index, &InputHash { content, matrix });
                }
            }
        }
        Ok(fingerprint)
    }

    /// The content hashes of the files that a stage reads. With `remembered`, a file that this planner has hashed is
    /// not looked at again; without, each is, as after a stage has run.
    pub fn source_hashes(
        &mut self,
        stage: &StageSpec,
        remembered: bool,
    ) -> Result<Vec<(PathBuf, Hash)>, PlanError> {
        let mut hashes = Vec::new();
        for file in stage.stage().source_files() {
            if let (true, Some(hash)) = (remembered, self.seen.get(&file.path)) {
                hashes.push((file.path, *hash));
                continue;
            }
            let path = self.project.join(&file.path);
            if !path.exists() {
                if file.required {
                    return Err(PlanError::File {
                        stage: stage.id.clone(),
                        source: FileError::Missing {
                            path: file.path,
                            hint: file.hint,
                        },
                    });
                }
                continue;
            }
            let hash = self.files.hash(&path).map_err(|source| PlanError::File {
                stage: stage.id.clone(),
                source,
            })?;
            if remembered {
                self.seen.insert(file.path.clone(), hash);
            }
            hashes.push((file.path, hash));
        }
        Ok(hashes)
    }

    /// Notes that the artifact of a key was read and found damaged, or that it was made anew.
    pub fn note_damage(&mut self, key: Hash, damage: Option<Damage>) {
        match damage {
            Some(damage) => self.damaged.insert(key, damage),
            None => self.damaged.remove(&key),
        };
    }

    /// Notes the key of a stage's success.
    pub fn note_last(&mut self, stage: &str, key: Hash) -> Result<(), StoreError> {
        self.last.note(stage, key)
    }

    /// Writes what was learned of files outside the cache.
    pub fn save(&mut self) {
        self.files.save();
    }
}
