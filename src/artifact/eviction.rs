//! Which entries a sweep takes, and why it leaves the others. Reads no disk: what is there and what is needed is given.

use super::inventory::{Inventory, Thing};
use super::{Limits, Record};
use crate::key::{Fingerprint, Hash};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// Event logs of this many runs stay at most.
pub const RUNS_KEPT: usize = 100;
/// Event logs of runs, logs of stages without a result, and checkpoints stay this long at most.
pub const TRACES_KEPT_DAYS: u64 = 30;

const DAY_NS: i128 = 24 * 3600 * 1_000_000_000;
/// A sweep goes down to this part of the limit, so that the next run does not sweep again.
const DOWN_TO: (u64, u64) = (9, 10);

/// Who needs an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum Need {
    /// A process that is running found or made it.
    Running {
        /// Its run.
        run: String,
    },
    /// It is the up-to-date result of a stage.
    Stage {
        /// The pipeline's name.
        pipeline: String,
        /// The profile, when one was chosen.
        profile: Option<String>,
        /// The stage.
        stage: String,
    },
    /// It may be the result of a stage once the stages before it have run.
    Perhaps {
        /// The pipeline's name.
        pipeline: String,
        /// The profile, when one was chosen.
        profile: Option<String>,
        /// The stage.
        stage: String,
    },
    /// It is a stage's last success, with which changes are compared.
    Last {
        /// The pipeline's name.
        pipeline: String,
        /// The stage.
        stage: String,
        /// Why the pipeline could not be asked what it needs, when it could not.
        broken: Option<String>,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |pipeline: &str, profile: &Option<String>, stage: &str| match profile {
            Some(profile) => format!("`{stage}` of {pipeline}, profile `{profile}`"),
            None => format!("`{stage}` of {pipeline}"),
        };
        match self {
            Self::Stage {
                pipeline,
                profile,
                stage,
            } => write!(f, "is the result of {}", place(pipeline, profile, stage)),
            Self::Perhaps {
                pipeline,
                profile,
                stage,
            } => write!(
                f,
                "may be the result of {}, which is decided once the stages before it have run",
                place(pipeline, profile, stage)
            ),
            Self::Last {
                pipeline,
                stage,
                broken: None,
            } => write!(f, "is the last success of `{stage}` of {pipeline}"),
            Self::Last {
                pipeline,
                stage,
                broken: Some(why),
            } => write!(
                f,
                "is the last success of `{stage}` of {pipeline}, which cannot be asked what it needs: {why}"
            ),
            Self::Running { run } => write!(f, "is used by the running process {run}"),
        }
    }
}

/// What pipelines need, as far as it can be known.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// By key.
    pub keys: BTreeMap<Hash, BTreeSet<Need>>,
    /// Keys that stages would compute in the next run: their checkpoints and logs stay.
    pub wanted: BTreeSet<Hash>,
    /// Names of the pipelines that exist.
    pub pipelines: BTreeSet<String>,
}

/// A hash of a fingerprint without its inputs and files.
pub fn own_part(fingerprint: &Fingerprint) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("ilm-pipe own part of a fingerprint v1");
    for (name, value) in fingerprint.leaves() {
        if !name.starts_with("inputs.") && !name.starts_with("files.") {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value.as_bytes());
        }
    }
    hasher.finalize().into()
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Its last use is longer ago than the limit.
    Age,
    /// The cache is larger than its limit, and this was unused for longest.
    Size,
    /// A file that is no record.
    Unreadable,
    /// A record whose output is gone.
    OutputGone,
    /// An output that no record names.
    NoRecord,
    /// Checkpoints of a stage that nobody asked for again.
    OldCheckpoints,
    /// A log of a stage that has no result.
    OldLog,
    /// An event log beyond the number or age that is kept.
    OldRun,
    /// Left by a process that is gone.
    Leftover,
    /// Memory of a pipeline that is gone.
    Forgotten,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "unused for longer than the limit",
            Self::Size => "unused for longest in a cache above its limit",
            Self::Unreadable => "no readable record",
            Self::OutputGone => "its output is gone",
            Self::NoRecord => "an output that no record names",
            Self::OldCheckpoints => "checkpoints of a stage that was not asked for again",
            Self::OldLog => "the log of a stage without a result",
            Self::OldRun => "the event log of an old run",
            Self::Leftover => "left by a process that is gone",
            Self::Forgotten => "memory of a pipeline that is gone",
        })
    }
}

/// One thing that goes.
#[derive(Clone, Debug, Serialize)]
pub struct Removal {
    /// Why.
    pub why: Why,
    /// For people: the stage and key of a result, or what else it is.
    pub what: String,
    /// Key of a result.
    pub key: Option<Hash>,
    /// Bytes that this frees; 0 for a record whose output another one still names.
    pub bytes: u64,
    /// Seconds since it was last used or changed.
    pub unused_seconds: f64,
    /// What is removed, in this order.
    #[serde(skip)]
    pub(super) paths: Vec<PathBuf>,
    /// The lock without which it must not be touched.
    #[serde(skip)]
    pub(super) lock: Option<Hash>,
}

/// One result that stays.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Its key.
    pub key: Hash,
    /// The stage that made it.
    pub what: String,
    /// Bytes of its output.
    pub bytes: u64,
    /// Seconds since it was last used.
    pub unused_seconds: f64,
    /// Who needs it. Empty: nobody, but it is young and the cache is below its limit.
    pub needs: Vec<Need>,
}

/// What a sweep does.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decision {
    /// What goes.
    pub removals: Vec<Removal>,
    /// Results that stay.
    pub kept: Vec<Kept>,
    /// Bytes of outputs and checkpoints before.
    pub bytes_before: u64,
    /// Bytes of outputs and checkpoints after.
    pub bytes_after: u64,
}

/// What is needed and by whom, put together for one sweep.
pub(super) struct Demand<'a> {
    pub(super) needs: &'a Needs,
    /// Hashes that running processes use, by run.
    pub(super) running: &'a [(String, BTreeSet<Hash>)],
}

impl Demand<'_> {
    fn of(&self, record: &Record) -> Vec<Need> {
        let mut needs: BTreeSet<Need> = self
            .running
            .iter()
            .filter(|(_, used)| used.contains(&record.key) || used.contains(&record.output))
            .map(|(run, _)| Need::Running { run: run.clone() })
            .collect();
        needs.extend(
            self.needs
                .keys
                .get(&record.key)
                .into_iter()
                .flatten()
                .cloned(),
        );
        needs.into_iter().collect()
    }

    fn runs(&self, hash: &Hash) -> bool {
        self.running.iter().any(|(_, used)| used.contains(hash))
    }
}

fn seconds(now_ns: i128, then_ns: i128) -> f64 {
    (now_ns - then_ns).max(0) as f64 / 1e9
}

fn title(record: &Record) -> String {
    format!(
        "{} of {} ({})",
        record.origin.stage,
        record.origin.pipeline,
        record.key.short()
    )
}

/// Decides what goes. A result that somebody needs never does.
pub(super) fn decide(
    inventory: &Inventory,
    demand: &Demand<'_>,
    limits: &Limits,
    now_ns: i128,
    paths: &dyn Fn(&Record) -> (PathBuf, PathBuf),
) -> Decision {
    let mut decision = Decision::default();
    let remove_thing = |why, thing: &Thing, what: String, lock| Removal {
        why,
        what,
        key: None,
        bytes: thing.bytes,
        unused_seconds: seconds(now_ns, thing.changed_ns),
        paths: vec![thing.path.clone()],
        lock,
    };
    let old = |thing: &Thing| now_ns - thing.changed_ns > DAY_NS * i128::from(TRACES_KEPT_DAYS);

    // How many records name each output.
    let mut names: BTreeMap<Hash, usize> = BTreeMap::new();
    for cached in &inventory.cached {
        *names.entry(cached.record.output).or_default() += 1;
    }
    let mut size = inventory.output_bytes() + Inventory::bytes_of(&inventory.scratch);
    decision.bytes_before = size;

    // Oldest use first; ties by key.
    let mut open: Vec<(usize, Vec<Need>)> = Vec::new();
    let mut order: Vec<usize> = (0..inventory.cached.len()).collect();
    order.sort_by_key(|&at| {
        (
            inventory.cached[at].used_ns,
            inventory.cached[at].record.key,
        )
    });
    let mut take = |at: usize, why: Why, size: &mut u64| {
        let cached = &inventory.cached[at];
        let (record_path, output_path) = paths(&cached.record);
        let mut removal = Removal {
            why,
            what: title(&cached.record),
            key: Some(cached.record.key),
            bytes: 0,
            unused_seconds: seconds(now_ns, cached.used_ns),
            paths: vec![record_path],
            lock: None,
        };
        let left = names.entry(cached.record.output).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 && cached.has_output {
            removal.bytes = cached.record.size();
            removal.paths.push(output_path);
            *size = size.saturating_sub(removal.bytes);
        }
        removal
    };
    for at in order {
        let cached = &inventory.cached[at];
        let needs = demand.of(&cached.record);
        if !needs.is_empty() {
            open.push((at, needs));
        } else if !cached.has_output {
            decision.removals.push(take(at, Why::OutputGone, &mut size));
        } else if limits
            .max_age
            .is_some_and(|age| now_ns - cached.used_ns > age.as_nanos() as i128)
        {
            decision.removals.push(take(at, Why::Age, &mut size));
        } else {
            open.push((at, needs));
        }
    }

    for thing in &inventory.scratch {
        let key = thing.hash();
        let wanted = key.is_some_and(|key| demand.needs.wanted.contains(&key) || demand.runs(&key));
        if old(thing) && !wanted && !thing.busy {
            size = size.saturating_sub(thing.bytes);
            let what = format!("scratch/{}", short(&thing.name));
            decision
                .removals
                .push(remove_thing(Why::OldCheckpoints, thing, what, key));
        }
    }

    // Without its output, taking such a record frees nothing.
    let needed: BTreeSet<Hash> = open
        .iter()
        .filter(|(_, needs)| !needs.is_empty())
        .map(|&(at, _)| inventory.cached[at].record.output)
        .collect();
    let above = limits.max_size.is_some_and(|limit| size > limit);
    let target = limits
        .max_size
        .map_or(u64::MAX, |limit| limit / DOWN_TO.1 * DOWN_TO.0);
    for (at, needs) in open {
        let free = needs.is_empty() && !needed.contains(&inventory.cached[at].record.output);
        if above && size > target && free {
            decision.removals.push(take(at, Why::Size, &mut size));
        } else {
            let cached = &inventory.cached[at];
            decision.kept.push(Kept {
                key: cached.record.key,
                what: title(&cached.record),
                bytes: if cached.has_output {
                    cached.record.size()
                } else {
                    0
                },
                unused_seconds: seconds(now_ns, cached.used_ns),
                needs,
            });
        }
    }
    decision.bytes_after = size;

    for thing in &inventory.unreadable {
        let what = format!("records/{}", short(&thing.name));
        decision
            .removals
            .push(remove_thing(Why::Unreadable, thing, what, None));
    }
    for thing in &inventory.orphans {
        if !thing.hash().is_some_and(|hash| demand.runs(&hash)) {
            let what = format!("objects/{}", short(&thing.name));
            decision
                .removals
                .push(remove_thing(Why::NoRecord, thing, what, None));
        }
    }
    let kept: BTreeSet<Hash> = decision.kept.iter().map(|kept| kept.key).collect();
    for thing in &inventory.logs {
        let stays = thing
            .hash()
            .is_some_and(|key| kept.contains(&key) || demand.needs.wanted.contains(&key));
        if !stays && old(thing) && !thing.busy {
            let what = format!("logs/{}", short(&thing.name));
            decision
                .removals
                .push(remove_thing(Why::OldLog, thing, what, thing.hash()));
        }
    }
    let mut runs: Vec<&Thing> = inventory.runs.iter().collect();
    runs.sort_by(|a, b| (b.changed_ns, &b.name).cmp(&(a.changed_ns, &a.name)));
    for (place, thing) in runs.into_iter().enumerate() {
        let running = demand
            .running
            .iter()
            .any(|(run, _)| thing.name.split('.').next() == Some(run));
        if !running && (place >= RUNS_KEPT || old(thing)) {
            let what = format!("runs/{}", thing.name);
            decision
                .removals
                .push(remove_thing(Why::OldRun, thing, what, None));
        }
    }
    for thing in inventory.temporary.iter().filter(|thing| !thing.busy) {
        let what = format!("tmp/{}", short(&thing.name));
        decision
            .removals
            .push(remove_thing(Why::Leftover, thing, what, thing.hash()));
    }
    for thing in inventory.locks.iter().filter(|thing| !thing.busy) {
        let what = format!("locks/{}", short(&thing.name));
        decision
            .removals
            .push(remove_thing(Why::Leftover, thing, what, thing.hash()));
    }
    for (pipeline, last) in &inventory.lasts {
        let dangling = !last.iter().any(|(_, key)| kept.contains(&key));
        if dangling && !demand.needs.pipelines.contains(pipeline) {
            decision.removals.push(Removal {
                why: Why::Forgotten,
                what: format!("last successes of {pipeline}"),
                key: None,
                bytes: 0,
                unused_seconds: 0.0,
                paths: vec![last.path().to_owned()],
                lock: None,
            });
        }
    }
    decision
}

/// Hashes are long; a person needs to tell them apart.
fn short(name: &str) -> &str {
    name.get(..12).unwrap_or(name)
}
