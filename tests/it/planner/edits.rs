//! The edits of a random history: to the pipeline, to its files, and to the cache.

use super::Case;
use crate::support::model::State;
use crate::support::world::{self, Artifact, FILES, MODES, rewrite};
use ilm_pipe::formats::checked;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

impl Case {
    /// One random edit, in words.
    pub(super) fn edit(&mut self) -> String {
        let rng = &mut self.rng;
        let at = rng.gen_range(0..self.world.stages.len());
        let name = self.world.stages[at].name.clone();
        match rng.gen_range(0..22) {
            0..=2 => {
                self.world.stages[at].a ^= 1;
                format!("{name}: A = {}", self.world.stages[at].a)
            }
            3 | 4 => {
                self.world.stages[at].b ^= 1;
                format!("{name}: B = {}", self.world.stages[at].b)
            }
            5 => {
                let mode = MODES[rng.gen_range(0..MODES.len())];
                self.world.stages[at].mode = mode;
                format!("{name}: {mode:?}")
            }
            6 => {
                let version = rng.gen_range(1..=2);
                self.world.stages[at].version = version;
                format!("{name}: version {version}")
            }
            7 => {
                self.world.seed ^= 3;
                format!("seed = {}", self.world.seed)
            }
            8 | 9 => {
                let file = FILES[rng.gen_range(0..FILES.len())];
                let content = rng.gen_range(0..2).to_string();
                let keep = rng.gen_ratio(1, 2);
                self.world.set_file(file, &content, keep);
                format!(
                    "{file} = {content}{}",
                    if keep { ", time put back" } else { "" }
                )
            }
            10 => {
                let file = FILES[rng.gen_range(0..FILES.len())];
                let days = Duration::from_hours(24 * rng.gen_range(1..20_000));
                world::set_modified(
                    &self.world.path().join(file),
                    std::time::SystemTime::UNIX_EPOCH + days * 2,
                );
                format!("touch {file}")
            }
            11 => format!("add {}", self.world.add(rng)),
            12 if self.world.stages.len() > 2 => {
                self.world.remove(at);
                format!("remove {name}")
            }
            13 => match self.world.put_back() {
                Some(name) => format!("put {name} back"),
                None => "nothing to put back".to_owned(),
            },
            14 => format!("rename {name} to {}", self.world.rename(at)),
            15 => {
                let before = &self.world.stages[..at];
                let mut inputs: Vec<String> = before
                    .iter()
                    .filter(|_| rng.gen_ratio(1, 2))
                    .map(|stage| stage.name.clone())
                    .collect();
                if rng.gen_ratio(1, 2) {
                    inputs.reverse();
                }
                self.world.stages[at].inputs.clone_from(&inputs);
                format!("{name}: inputs {inputs:?}")
            }
            16 => {
                self.world.comment += 1;
                let name = if rng.gen_ratio(1, 3) { "q" } else { "p" };
                name.clone_into(&mut self.world.name);
                format!("pipeline {}, other comment", self.world.name)
            }
            _ => self.damage(),
        }
    }

    /// Something happens to the cache.
    fn damage(&mut self) -> String {
        let root = self.world.cache().join("v1");
        match self.rng.gen_range(0..12) {
            0..=3 => self.damage_object(&root),
            4..=6 => self.damage_record(&root),
            7 | 8 => self.damage_last(&root),
            9 => {
                let path = root.join("files.json");
                if path.exists() {
                    injure(&path, &mut self.rng);
                }
                "files.json".to_owned()
            }
            10 => {
                for folder in ["logs", "runs", "scratch", "tmp"] {
                    let _ = fs_err::remove_dir_all(root.join(folder));
                }
                "logs, runs, scratch, tmp deleted".to_owned()
            }
            _ if self.rng.gen_ratio(1, 2) => {
                let _ = fs_err::remove_dir_all(root.join("objects"));
                for state in self.model.objects.values_mut() {
                    *state = State::Gone;
                }
                "objects deleted".to_owned()
            }
            _ => {
                let _ = fs_err::remove_dir_all(self.world.cache());
                self.model.lose_everything();
                "cache deleted".to_owned()
            }
        }
    }

    fn damage_object(&mut self, root: &Path) -> String {
        let rng = &mut self.rng;
        let present: Vec<(&Artifact, &mut State)> = self
            .model
            .objects
            .iter_mut()
            .filter(|(artifact, state)| {
                **state == State::Intact && self.model.hashes.contains_key(*artifact)
            })
            .collect();
        if present.is_empty() {
            return "no object to damage".to_owned();
        }
        let which = rng.gen_range(0..present.len());
        let (artifact, state) = present.into_iter().nth(which).expect("in range");
        let hash = &self.model.hashes[artifact];
        let folder = root.join("objects").join(&hash[..2]).join(hash);
        let short = &hash[..8];
        let file = folder.join("out");
        match rng.gen_range(0..4) {
            0 => {
                fs_err::remove_dir_all(folder).expect("removed");
                *state = State::Gone;
                format!("object {short} deleted")
            }
            1 => {
                let content = fs_err::read(&file).expect("read");
                writable(&file);
                rewrite(&file, &content, rng.gen_ratio(1, 2));
                format!("object {short} touched")
            }
            _ => {
                let how = injure(&file, rng);
                *state = State::Damaged;
                format!("object {short} {how}")
            }
        }
    }

    fn damage_record(&mut self, root: &Path) -> String {
        let rng = &mut self.rng;
        let present: Vec<_> = self
            .model
            .entries
            .values_mut()
            .filter(|entry| entry.record == State::Intact)
            .collect();
        if present.is_empty() {
            return "no record to damage".to_owned();
        }
        let which = rng.gen_range(0..present.len());
        let entry = present.into_iter().nth(which).expect("in range");
        let path = root
            .join("records")
            .join(&entry.key[..2])
            .join(format!("{}.json", entry.key));
        let how = injure(&path, rng);
        entry.record = if path.exists() {
            State::Damaged
        } else {
            State::Gone
        };
        format!("record {} {how}", &entry.key[..8])
    }

    /// Lines that are not as they were written do not count; of the others, the last of each stage does.
    fn damage_last(&mut self, root: &Path) -> String {
        let pipeline = self.world.name.clone();
        let path = root.join("last").join(format!("{pipeline}.jsonl"));
        let Ok(before) = fs_err::read(&path) else {
            return "no notes to damage".to_owned();
        };
        if before.is_empty() {
            return "no notes to damage".to_owned();
        }
        let how = injure(&path, &mut self.rng);
        let after = fs_err::read(&path).unwrap_or_default();
        // It may have been damaged before.
        let whole: BTreeSet<&[u8]> = before
            .split(|&byte| byte == b'\n')
            .filter(|line| checked::is_intact(line))
            .collect();
        self.model.last.retain(|(of, _), _| *of != pipeline);
        for line in after.split(|&byte| byte == b'\n') {
            if !whole.contains(line) {
                continue;
            }
            let line: serde_json::Value = serde_json::from_slice(line).expect("a whole line");
            let (stage, key) = (line["stage"].as_str(), line["key"].as_str());
            let identity = self
                .model
                .entries
                .iter()
                .find(|(_, entry)| Some(entry.key.as_str()) == key)
                .map(|(identity, _)| identity.clone());
            let place = (pipeline.clone(), stage.expect("a stage").to_owned());
            self.model
                .last
                .insert(place, identity.expect("a known key"));
        }
        format!("last of {pipeline} {how}")
    }
}

fn writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("opened");
}

/// Flips a bit of a file, cuts it, lengthens it or deletes it; mode kept, modification time perhaps.
fn injure(path: &Path, rng: &mut ChaCha8Rng) -> &'static str {
    let mode = fs_err::metadata(path).expect("there").permissions();
    let mut bytes = fs_err::read(path).expect("read");
    let how = match rng.gen_range(0..5) {
        0 => {
            fs_err::remove_file(path).expect("removed");
            return "deleted";
        }
        1 => {
            bytes.truncate(rng.gen_range(0..bytes.len()));
            "cut"
        }
        2 => {
            bytes.push(b' ');
            "lengthened"
        }
        _ => {
            let at = rng.gen_range(0..bytes.len());
            bytes[at] ^= 1 << rng.gen_range(0..8);
            "flipped"
        }
    };
    writable(path);
    rewrite(path, &bytes, rng.gen_ratio(1, 2));
    fs_err::set_permissions(path, mode).expect("closed");
    how
}
