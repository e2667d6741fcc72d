//! One planner: what `plan` says is what `run` does, in every state of a random history.
//!
//! A case is a random graph of stages and a history of random edits: parameters, source files (also with their times put
//! back), seeds, stage versions, stages added, removed, renamed and rewired, artifacts, records and notes of the cache
//! flipped, cut and deleted, and going back to earlier values. After each few edits the plan is taken and the pipeline is run by real
//! workers. Then:
//!
//! - a stage that was planned fresh did not run; a dirty one ran, for exactly the planned causes; a pending one was fresh in
//!   the end or ran, with the causes that were announced among its causes;
//! - each event agrees with a naive model: a stage that was served had a result, a stage that ran had none, with the causes
//!   that comparing two dictionaries gives;
//! - the plan after the run is all fresh, every artifact holds what the stage's definition says, equal definitions have equal
//!   keys and different ones different keys;
//! - at the end of the history, a run from scratch makes the same artifacts.
//!
//! One thing may be less than planned: two results share one damaged artifact and the stage of one makes it anew, so the
//! other, planned to run because of that damage, need not.
//!
//! `ILM_PIPE_CASES=5000` runs more cases than the 500 of every test run, `ILM_PIPE_CASE=17` runs one again.

use crate::support::model::{Model, State};
use crate::support::world::{
    self, Artifact, FILES, Identity, MODES, World, read_artifact, rewrite,
};
use ilm_pipe::artifact::{Record, Store};
use ilm_pipe::exec::{self, OnFailure, RunEvent, RunSettings, Signals, StageOutcome};
use ilm_pipe::graph::StageGraph;
use ilm_pipe::plan::{self, Cause, Plan, Planner, Verdict};
use ilm_pipe::spec::{self, LoadOptions, Pipeline};
use ilm_pipe::stages::{self, Kind};
use ilm_pipe::{clock, seed::Seed};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Cases of every test run.
const CASES: u64 = 500;
/// The cases are dealt to this many tests, which the test runner runs side by side.
const SHARES: u64 = 4;

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment how long it may take"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn share(share: u64) {
    if let Some(case) = number("ILM_PIPE_CASE") {
        if case % SHARES == share {
            run_case(case);
        }
        return;
    }
    let cases = number("ILM_PIPE_CASES").unwrap_or(CASES);
    for case in (0..cases).filter(|case| case % SHARES == share) {
        run_case(case);
    }
}

#[test]
fn a_run_does_what_the_plan_says_in_random_histories_1() {
    share(0);
}

#[test]
fn a_run_does_what_the_plan_says_in_random_histories_2() {
    share(1);
}

#[test]
fn a_run_does_what_the_plan_says_in_random_histories_3() {
    share(2);
}

#[test]
fn a_run_does_what_the_plan_says_in_random_histories_4() {
    share(3);
}

fn run_case(number: u64) {
    let mut case = Case::new(number);
    if let Err(what) = case.play() {
        panic!(
            "case {number}: {what}\nhistory:\n  {}\npipeline:\n{}",
            case.history.join("\n  "),
            fs_err::read_to_string(case.world.pipeline()).unwrap_or_default()
        );
    }
}

struct Case {
    rng: ChaCha8Rng,
    world: World,
    model: Model,
    history: Vec<String>,
}

/// What a run told.
struct Told {
    events: Vec<RunEvent>,
    records: BTreeMap<String, Arc<Record>>,
}

impl Case {
    fn new(number: u64) -> Self {
        let mut rng = Seed::new(number).child("planner cases").rng();
        Self {
            world: World::random(&mut rng),
            rng,
            model: Model::default(),
            history: Vec::new(),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        self.check_round()?;
        for _ in 0..self.rng.gen_range(2..=3) {
            for _ in 0..self.rng.gen_range(1..=3) {
                let edit = self.edit();
                self.history.push(edit);
            }
            self.check_round()?;
        }
        self.check_from_scratch()
    }

    /// The pipeline as it stands, with the versions of the world.
    fn load(&self) -> (Pipeline, StageGraph) {
        self.world.write();
        let mut pipeline = spec::load(&self.world.pipeline(), &LoadOptions::default())
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        for stage in &mut pipeline.stages {
            stage.kind = version_of(stage.kind, self.world.stage(&stage.id).version);
        }
        let graph = StageGraph::build(&pipeline).expect("a graph");
        (pipeline, graph)
    }

    fn plan(&self, store: &Store) -> Result<Plan, String> {
        let (pipeline, graph) = self.load();
        let mut planner = Planner::new(&pipeline, store, self.world.path());
        let plan = plan::plan(&pipeline, &graph, &mut planner).map_err(|e| format!("{e:?}"))?;
        planner.save();
        Ok(plan)
    }

    fn run(&mut self, store: &Store) -> Result<Told, String> {
        let (pipeline, graph) = self.load();
        store.prepare().map_err(|error| format!("{error:?}"))?;
        store.sweep();
        let settings = RunSettings {
            program: PathBuf::from(env!("CARGO_BIN_EXE_ilm-pipe")),
            project: self.world.path().to_owned(),
            run: "r".to_owned(),
            command: Vec::new(),
            jobs: self.rng.gen_range(1..=3),
            threads: 1,
            gpus: Vec::new(),
            on_failure: OnFailure::Finish,
            targets: None,
        };
        let mut events = Vec::new();
        let summary = exec::execute(
            &pipeline,
            &graph,
            store,
            &settings,
            Signals::none(),
            &mut |event| events.push(event.clone()),
        )
        .map_err(|error| format!("{error:?}"))?;
        let records = pipeline
            .stages
            .iter()
            .zip(summary.records)
            .filter_map(|(stage, record)| Some((stage.id.clone(), record?)))
            .collect();
        Ok(Told { events, records })
    }

    /// Plans and runs, perhaps with a clock that is wrong, and checks everything.
    fn check_round(&mut self) -> Result<(), String> {
        let clock = self.rng.gen_range(0..4);
        self.history.push(match clock {
            0 => "plan and run, clock ten seconds ahead".to_owned(),
            1 => "plan and run, clock set back a day".to_owned(),
            _ => "plan and run".to_owned(),
        });
        match clock {
            0 => clock::shifted(Duration::from_secs(10), || self.check_now()),
            1 => clock::shifted_back(Duration::from_secs(86_400), || self.check_now()),
            _ => self.check_now(),
        }
    }

    fn check_now(&mut self) -> Result<(), String> {
        let store = Store::at(&self.world.cache());
        let plan = self.plan(&store)?;
        let told = self.run(&store)?;
        let repaired = self.replay(&told)?;
        check_plan(&plan, &told.events, &repaired)?;
        self.check_artifacts(&store, &told)?;
        let after = self.plan(&store)?;
        for stage in &after.stages {
            if !matches!(stage.verdict, Verdict::Fresh { .. }) {
                return Err(format!(
                    "`{}` is not fresh after the run: {:?}",
                    stage.stage, stage.verdict
                ));
            }
        }
        Ok(())
    }

    /// Goes through the events with the model. Returns the stages that had a result in the end because another stage made
    /// their damaged artifact anew.
    fn replay(&mut self, told: &Told) -> Result<BTreeSet<String>, String> {
        let pipeline = self.world.name.clone();
        let mut artifacts: BTreeMap<String, Artifact> = BTreeMap::new();
        let mut lacked: BTreeSet<Identity> = BTreeSet::new();
        let mut repaired = BTreeSet::new();
        let before = self.model.clone();
        for identity in self.model.entries.keys() {
            if self.model.lacks_only_artifact(identity) {
                lacked.insert(identity.clone());
            }
        }
        for event in &told.events {
            match event {
                RunEvent::StageFresh { stage, .. } => {
                    let identity = self.identity(stage, &artifacts)?;
                    if !self.model.has(&identity) {
                        return Err(format!("`{stage}` was served, but there is no result"));
                    }
                    if lacked.contains(&identity) {
                        repaired.insert(stage.clone());
                    }
                    self.model.succeed(&pipeline, stage, &identity);
                    let artifact = self.model.entries[&identity].artifact.clone();
                    artifacts.insert(stage.clone(), artifact);
                }
                RunEvent::StageStarted { stage, causes, .. } => {
                    let identity = self.identity(stage, &artifacts)?;
                    if self.model.has(&identity) {
                        return Err(format!("`{stage}` ran, but there was a result"));
                    }
                    // The verdict may be older than the event: another stage may have made a record anew since, with which
                    // more can be told of what changed.
                    let expected = [
                        before.causes(&pipeline, stage, &identity),
                        self.model.causes(&pipeline, stage, &identity),
                    ];
                    if !expected.contains(&names(causes)) {
                        return Err(format!(
                            "`{stage}` ran because of {causes:?}, but the model says {expected:?}"
                        ));
                    }
                }
                RunEvent::StageEnded { stage, outcome, .. } => {
                    let StageOutcome::Done { .. } = outcome else {
                        return Err(format!("`{stage}` failed: {outcome:?}"));
                    };
                    let identity = self.identity(stage, &artifacts)?;
                    let artifact = self.world.make(self.world.stage(stage), &artifacts);
                    let key = told.records[stage].key.hex();
                    self.check_key(&identity, &key)?;
                    self.model.make(&identity, &artifact, &key);
                    self.model.succeed(&pipeline, stage, &identity);
                    artifacts.insert(stage.clone(), artifact);
                }
                RunEvent::StageDamaged { stage, damage } => {
                    return Err(format!("`{stage}` was found damaged only now: {damage}"));
                }
                _ => {}
            }
        }
        if artifacts.len() == self.world.stages.len() {
            Ok(repaired)
        } else {
            Err(format!("only {:?} have a result", artifacts.keys()))
        }
    }

    fn identity(
        &self,
        stage: &str,
        artifacts: &BTreeMap<String, Artifact>,
    ) -> Result<Identity, String> {
        self.world
            .identity(self.world.stage(stage), artifacts)
            .ok_or_else(|| format!("`{stage}` was taken up before its inputs were there"))
    }

    /// One identity, one key.
    fn check_key(&self, identity: &Identity, key: &str) -> Result<(), String> {
        for (other, entry) in &self.model.entries {
            if (other == identity) != (entry.key == key) {
                return Err(format!(
                    "{identity:?} has the key {key}, and {other:?} has {}",
                    entry.key
                ));
            }
        }
        Ok(())
    }

    /// What lies in the cache is what the definitions say.
    fn check_artifacts(&mut self, store: &Store, told: &Told) -> Result<(), String> {
        let mut artifacts = BTreeMap::new();
        for stage in &self.world.stages {
            let expected = self.world.make(stage, &artifacts);
            let record = &told.records[&stage.name];
            let found = read_artifact(&store.object_path(&record.output));
            if found != expected {
                return Err(format!("`{}` is {found:?}, not {expected:?}", stage.name));
            }
            self.model
                .hashes
                .insert(expected.clone(), record.output.hex());
            artifacts.insert(stage.name.clone(), expected);
        }
        Ok(())
    }

    fn check_from_scratch(&mut self) -> Result<(), String> {
        self.history.push("run from scratch".to_owned());
        let (used, fresh) = (
            Store::at(&self.world.cache()),
            Store::at(&self.world.path().join("other")),
        );
        let (used, fresh) = (self.run(&used)?.records, self.run(&fresh)?.records);
        for (stage, record) in &used {
            let other = &fresh[stage];
            if (record.key, record.output) != (other.key, other.output) {
                return Err(format!("`{stage}` differs from a run from scratch"));
            }
        }
        Ok(())
    }

    /// One random edit, in words.
    fn edit(&mut self) -> String {
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
                let days = Duration::from_secs(86_400 * rng.gen_range(1..20_000));
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
                self.world.name = if rng.gen_ratio(1, 3) { "q" } else { "p" }.to_owned();
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
                fs_err::remove_dir_all(root.join("objects")).expect("removed");
                for state in self.model.objects.values_mut() {
                    *state = State::Gone;
                }
                "objects deleted".to_owned()
            }
            _ => {
                fs_err::remove_dir_all(self.world.cache()).expect("removed");
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
        let Ok(before) = fs_err::read_to_string(&path) else {
            return "no notes to damage".to_owned();
        };
        if before.is_empty() {
            return "no notes to damage".to_owned();
        }
        let how = injure(&path, &mut self.rng);
        let after = fs_err::read(&path).unwrap_or_default();
        let whole: BTreeSet<&[u8]> = before.as_bytes().split(|&byte| byte == b'\n').collect();
        self.model.last.retain(|(of, _), _| *of != pipeline);
        for line in after.split(|&byte| byte == b'\n') {
            if line.is_empty() || !whole.contains(line) {
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

/// The plan against what happened.
fn check_plan(plan: &Plan, events: &[RunEvent], repaired: &BTreeSet<String>) -> Result<(), String> {
    let mut fresh = BTreeSet::new();
    let mut ran = BTreeMap::new();
    for event in events {
        match event {
            RunEvent::StageFresh { stage, .. } => {
                fresh.insert(stage.clone());
            }
            RunEvent::StageStarted { stage, causes, .. } => {
                if ran.insert(stage.clone(), causes.clone()).is_some() {
                    return Err(format!("`{stage}` ran twice"));
                }
            }
            _ => {}
        }
    }
    for planned in &plan.stages {
        let stage = &planned.stage;
        match &planned.verdict {
            Verdict::Fresh { .. } => {
                if ran.contains_key(stage) || !fresh.contains(stage) {
                    return Err(format!("`{stage}` was planned fresh"));
                }
            }
            Verdict::Dirty { causes, .. } => match ran.get(stage) {
                Some(real) if real == causes => {}
                None if repaired.contains(stage) && names(causes).contains("damaged") => {}
                real => {
                    return Err(format!(
                        "`{stage}` was planned to run because of {causes:?}, but ran because of {real:?}"
                    ));
                }
            },
            Verdict::Pending { waits_for, causes } => {
                if waits_for.is_empty() {
                    return Err(format!("`{stage}` waits for nothing"));
                }
                match ran.get(stage) {
                    Some(real) if causes.iter().all(|cause| real.contains(cause)) => {}
                    None if fresh.contains(stage) => {}
                    real => {
                        return Err(format!(
                            "`{stage}` was announced with {causes:?}, but ran because of {real:?}"
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The names of what changed, and the engine's words for the rest.
fn names(causes: &[Cause]) -> BTreeSet<String> {
    causes
        .iter()
        .map(|cause| {
            let value = serde_json::to_value(cause).expect("json");
            let name = value["name"].as_str().or(value["cause"].as_str());
            name.expect("a name").to_owned()
        })
        .collect()
}

/// The kind at another version. What is leaked is one row for each version.
fn version_of(kind: &'static Kind, version: u32) -> &'static Kind {
    static KINDS: Mutex<BTreeMap<(&str, u32), &'static Kind>> = Mutex::new(BTreeMap::new());
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    kinds.entry((kind.name, version)).or_insert_with(|| {
        let known = stages::find(kind.name).expect("a kind");
        Box::leak(Box::new(Kind { version, ..*known }))
    })
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
