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

mod edits;

use crate::support::model::Model;
use crate::support::world::{Artifact, Identity, World, read_artifact};
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
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
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
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| case.play()));
    if let Err(what) = played.unwrap_or_else(|_| Err("a panic, see above".to_owned())) {
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
            log: None,
            program: PathBuf::from(env!("CARGO_BIN_EXE_ilm-pipe")),
            project: self.world.path().to_owned(),
            run: "r".to_owned(),
            command: Vec::new(),
            jobs: self.rng.gen_range(1..=3),
            threads: 1,
            gpus: Vec::new(),
            device: ilm_pipe::nn::device::Device::Cpu,
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
            1 => clock::shifted_back(Duration::from_hours(24), || self.check_now()),
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
            RunEvent::StageStarted { stage, .. } if ran.contains_key(stage) => {
                return Err(format!("`{stage}` ran twice"));
            }
            RunEvent::StageStarted { stage, causes, .. } => {
                ran.insert(stage.clone(), causes.clone());
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
            Verdict::Pending {
                waits_for, causes, ..
            } => {
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
