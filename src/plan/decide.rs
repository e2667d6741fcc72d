//! The verdict on one stage.

use super::{Before, Cause, PlanError, Verdict};
use crate::artifact::{Damage, LastKeys, Lookup, Record, Store, StoreError};
use crate::clock;
use crate::key::{FileError, FileHashes, Fingerprint, Hash, InputHash, Sighting, difference};
use crate::spec::{Pipeline, StageSpec};
use crate::stages::ArtifactKind;
use std::collections::{BTreeMap, BTreeSet};
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
    /// What this planner saw of files: each is looked at once, however many stages read it.
    seen: BTreeMap<PathBuf, Sighting>,
    /// Keys of artifacts that were read and found damaged although nothing showed at a glance.
    damaged: BTreeSet<Hash>,
    /// What will be made, and by which stage: two stages that want the same thing run once.
    claims: BTreeMap<Claim, usize>,
    /// The same by stage.
    claimed: BTreeMap<usize, Vec<Claim>>,
    /// Stages that wait for a stage that makes what they want, by the position of that stage.
    followers: BTreeMap<usize, BTreeSet<usize>>,
    /// Damage that changes no verdict, in words.
    notices: Vec<String>,
}

/// What a stage that is dirty will make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// The result of a key.
    Key(Hash),
    /// An artifact in the place of a damaged one, which other keys may share.
    Repair(Hash),
}

impl<'a> Planner<'a> {
    /// Makes a planner for a pipeline. `project` is the folder that holds `datasets/`.
    pub fn new(pipeline: &'a Pipeline, store: &'a Store, project: &'a Path) -> Self {
        let files = store.file_hashes();
        let last = store.last_keys(&pipeline.name);
        let mut notices = Vec::new();
        if files.was_damaged() {
            let text = "`files.json` was corrupt: every source file is hashed anew";
            notices.push(text.to_owned());
        }
        if last.damaged() > 0 {
            notices.push(format!(
                "{} of the notes of last successes of `{}` were corrupt: a stage may be called new, or be compared with an earlier success",
                last.damaged(),
                pipeline.name
            ));
        }
        Self {
            pipeline,
            store,
            project,
            files,
            last,
            seen: BTreeMap::new(),
            damaged: BTreeSet::new(),
            claims: BTreeMap::new(),
            claimed: BTreeMap::new(),
            followers: BTreeMap::new(),
            notices,
        }
    }

    /// Judges the stage at a position, of which perhaps not all inputs are there. `inputs` are the positions of the stages
    /// that it reads, in the order of [`StageSpec::input_ids`].
    pub fn judge(
        &mut self,
        index: usize,
        inputs: &[usize],
        resolved: &[Option<Resolved>],
    ) -> Result<Verdict, PlanError> {
        let watch = clock::Stopwatch::start();
        let verdict = self.verdict(index, inputs, resolved)?;
        let (word, causes) = match &verdict {
            Verdict::Fresh { .. } => ("fresh", 0),
            Verdict::Dirty { causes, .. } => ("dirty", causes.len()),
            Verdict::Pending { causes, .. } => ("pending", causes.len()),
        };
        let stage = &self.pipeline.stages[index].id;
        tracing::debug!(
            stage,
            verdict = word,
            causes,
            seconds = watch.seconds(),
            "judged"
        );
        Ok(verdict)
    }

    fn verdict(
        &mut self,
        index: usize,
        inputs: &[usize],
        resolved: &[Option<Resolved>],
    ) -> Result<Verdict, PlanError> {
        let stage = &self.pipeline.stages[index];
        // An earlier verdict on this stage, whose inputs may have been others.
        self.unclaim(index);
        let fingerprint = self.fingerprint(stage, inputs, resolved)?;
        let mut waits_for: Vec<String> = Vec::new();
        for &input in inputs.iter().filter(|&&input| resolved[input].is_none()) {
            let id = &self.pipeline.stages[input].id;
            if !waits_for.contains(id) {
                waits_for.push(id.clone());
            }
        }
        if waits_for.is_empty() {
            return self.decide(index, fingerprint);
        }
        let before = self.before(stage);
        let causes = match &before {
            None => vec![Cause::New],
            Some(before) => before
                .fingerprint()
                .map(|last| difference(last, &fingerprint))
                .unwrap_or_default()
                .into_iter()
                // An input that is not there yet is not gone.
                .filter(|change| !change.name.starts_with("inputs.") || change.new.is_some())
                .map(Cause::Changed)
                .collect(),
        };
        Ok(Verdict::Pending {
            waits_for,
            fingerprint,
            causes,
            before,
        })
    }

    /// Judges a stage whose inputs are all there.
    fn decide(&mut self, index: usize, fingerprint: Fingerprint) -> Result<Verdict, PlanError> {
        let stage = &self.pipeline.stages[index];
        let key = fingerprint.key();
        let mut claims = vec![Claim::Key(key)];
        let damage = match self.store.look(&key) {
            Lookup::Missing => None,
            Lookup::Damaged => Some(Damage::Record),
            Lookup::Found(record) => match self.damage(&record)? {
                None => {
                    return Ok(Verdict::Fresh {
                        record: Arc::from(record),
                    });
                }
                Some(damage) => {
                    claims.push(Claim::Repair(record.output));
                    Some(damage)
                }
            },
        };
        let before = self.before(stage);
        let causes = causes(&key, &fingerprint, before.as_ref(), damage);
        if let Some(&maker) = claims.iter().find_map(|claim| self.claims.get(claim)) {
            self.followers.entry(maker).or_default().insert(index);
            return Ok(Verdict::Pending {
                waits_for: vec![self.pipeline.stages[maker].id.clone()],
                fingerprint,
                causes,
                before,
            });
        }
        self.claims
            .extend(claims.iter().map(|&claim| (claim, index)));
        self.claimed.insert(index, claims);
        Ok(Verdict::Dirty {
            key,
            fingerprint,
            causes,
            before,
        })
    }

    /// Looks for damage: at a glance, or thoroughly where it matters.
    fn damage(&mut self, record: &Record) -> Result<Option<Damage>, PlanError> {
        let doubtful = self.damaged.contains(&record.key);
        // A table is what people read and it is small: every byte of it is checked.
        if !doubtful && record.kind != ArtifactKind::Table {
            return Ok(self.store.glance(record)?);
        }
        let damage = self.store.verify(record)?;
        if doubtful && damage.is_none() {
            // Another process has made it anew.
            self.damaged.remove(&record.key);
        }
        Ok(damage)
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
        for (path, sighting) in self.sources(stage, true)? {
            fingerprint.add_file(&path.to_string_lossy(), sighting.hash);
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

    /// The files that a stage reads, as they are. With `remembered`, a file that this planner has hashed is not looked at
    /// again; without, each is, as before and after a stage has run, and the next verdict knows it.
    pub fn sources(
        &mut self,
        stage: &StageSpec,
        remembered: bool,
    ) -> Result<Vec<(PathBuf, Sighting)>, PlanError> {
        let mut sources = Vec::new();
        for file in stage.stage().source_files() {
            if let (true, Some(sighting)) = (remembered, self.seen.get(&file.path)) {
                sources.push((file.path, *sighting));
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
                self.seen.remove(&file.path);
                continue;
            }
            let sighting = self.files.hash(&path).map_err(|source| PlanError::File {
                stage: stage.id.clone(),
                source,
            })?;
            self.seen.insert(file.path.clone(), sighting);
            sources.push((file.path, sighting));
        }
        Ok(sources)
    }

    /// Notes that the artifact of a key was read and found damaged: it is not believed at a glance again.
    pub fn doubt(&mut self, key: Hash) {
        self.damaged.insert(key);
    }

    /// Notes that a stage has a result. Returns the stages that waited because they want the same; they are to be judged
    /// again.
    pub fn made(&mut self, index: usize) -> Vec<usize> {
        self.unclaim(index);
        let followers = self.followers.remove(&index).unwrap_or_default();
        followers.into_iter().collect()
    }

    fn unclaim(&mut self, index: usize) {
        for claim in self.claimed.remove(&index).unwrap_or_default() {
            self.claims.remove(&claim);
        }
    }

    /// The stage that makes what this one wants, when that is another one.
    pub fn maker_for(&self, index: usize) -> Option<usize> {
        self.followers
            .iter()
            .find(|(_, followers)| followers.contains(&index))
            .map(|(maker, _)| *maker)
    }

    /// Damage that was found and changes no verdict, in words; each is told once.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
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

/// Every reason why a stage runs that has no intact result.
fn causes(
    key: &Hash,
    fingerprint: &Fingerprint,
    before: Option<&Before>,
    damage: Option<Damage>,
) -> Vec<Cause> {
    let unexplained = damage.is_none();
    let mut causes: Vec<Cause> = damage.into_iter().map(Cause::Damaged).collect();
    match before {
        // Said beside damage, too: a stage that waits for others was announced with it.
        None => causes.push(Cause::New),
        Some(last) if last.key == *key => causes.extend(unexplained.then_some(Cause::Forgotten)),
        Some(last) => match last.fingerprint() {
            None => causes.push(Cause::HistoryGone),
            Some(last) => {
                let changes = difference(last, fingerprint);
                causes.extend(changes.into_iter().map(Cause::Changed));
            }
        },
    }
    causes
}
