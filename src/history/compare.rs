//! What differs between two runs, or between a run and a plan.

use super::{Side, SideOf, StageState, State, TableChange, measure};
use crate::artifact::Store;
use crate::key::{Change, difference};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Something of a stage's fingerprint that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageChange {
    /// The stage.
    pub stage: String,
    /// What, complete.
    #[serde(flatten)]
    pub change: Change,
}

/// A number that came out differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricChange {
    /// The stage.
    pub stage: String,
    /// Dotted name of the metric, or a name of the stage's summary.
    pub name: String,
    /// Final value before.
    pub old: Option<Value>,
    /// Final value now.
    pub new: Option<Value>,
}

/// A stage that has a result on one side only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    /// The stage.
    pub stage: String,
    /// How it came out before; none when it was no part of it.
    pub old: Option<State>,
    /// How it came out now; none when it is no part of it.
    pub new: Option<State>,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Stages that are on one side only, or have a result on one side only.
    pub outcomes: Vec<OutcomeChange>,
    /// Parameters, seeds, and kinds and versions of stages.
    pub params: Vec<StageChange>,
    /// Files and artifacts that stages read.
    pub inputs: Vec<StageChange>,
    /// Numbers.
    pub metrics: Vec<MetricChange>,
    /// Tables.
    pub tables: Vec<TableChange>,
    /// Stages whose artifacts differ.
    pub outputs: Vec<String>,
    /// Stages of which nothing differs.
    pub same: Vec<String>,
    /// What could not be compared, because the cache no longer has it: sentences.
    pub unknown: Vec<String>,
}

/// Two sides, and what differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The older side.
    pub old: SideOf,
    /// The newer side.
    pub new: SideOf,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Compares two sides stage by stage.
pub fn compare(old: &Side, new: &Side, store: &Store) -> Comparison {
    let mut difference = Difference::default();
    let ids: BTreeSet<&String> = old.stages.keys().chain(new.stages.keys()).collect();
    for id in ids {
        match (old.stages.get(id), new.stages.get(id)) {
            (Some(before), Some(now)) => difference.stage(id, before, now, store),
            (before, now) => difference.outcomes.push(OutcomeChange {
                stage: id.clone(),
                old: before.map(|stage| stage.state),
                new: now.map(|stage| stage.state),
            }),
        }
    }
    Comparison {
        old: old.of.clone(),
        new: new.of.clone(),
        difference,
    }
}

impl Difference {
    fn stage(&mut self, id: &str, old: &StageState, new: &StageState, store: &Store) {
        let outcome = old.has_result() != new.has_result();
        if outcome {
            self.outcomes.push(OutcomeChange {
                stage: id.to_owned(),
                old: Some(old.state),
                new: Some(new.state),
            });
        }
        if old.key.is_some() && old.key == new.key && old.output == new.output {
            self.same.push(id.to_owned());
            return;
        }
        let changes = match (&old.fingerprint, &new.fingerprint) {
            (Some(before), Some(now)) => difference(before, now),
            _ => Vec::new(),
        };
        for (side, when) in [(old, "older"), (new, "newer")] {
            if side.fingerprint.is_none() && side.key.is_some() {
                self.unknown.push(format!(
                    "`{id}`: what it depended on in the {when} run is no longer in the cache, nor in a log"
                ));
            }
        }
        // A stage that is yet to be decided does not know all its inputs.
        let open = old.state == State::Pending || new.state == State::Pending;
        let changes: Vec<Change> = changes
            .into_iter()
            .filter(|change| {
                let one_sided = change.old.is_none() || change.new.is_none();
                !(open && one_sided && change.name.starts_with("inputs."))
            })
            .collect();
        let unchanged = changes.is_empty() && !outcome && old.output == new.output;
        for change in changes {
            let input = change.name.starts_with("inputs.") || change.name.starts_with("files.");
            let list = if input {
                &mut self.inputs
            } else {
                &mut self.params
            };
            list.push(StageChange {
                stage: id.to_owned(),
                change,
            });
        }
        let known = old.fingerprint.is_some() && new.fingerprint.is_some();
        if unchanged && (known || old.key == new.key) {
            self.same.push(id.to_owned());
            return;
        }
        if old.has_result() && new.has_result() && old.output != new.output {
            self.outputs.push(id.to_owned());
            self.numbers(id, old, new, store);
        }
    }

    fn numbers(&mut self, id: &str, old: &StageState, new: &StageState, store: &Store) {
        let (before, now) = (measure::metrics(old, store), measure::metrics(new, store));
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), now.get(name));
            if old != new {
                self.metrics.push(MetricChange {
                    stage: id.to_owned(),
                    name: name.clone(),
                    old: old.cloned(),
                    new: new.cloned(),
                });
            }
        }
        match (measure::intact(old, store), measure::intact(new, store)) {
            (Some(old), Some(new)) => self.tables.extend(measure::tables(id, old, new, store)),
            (before, now) => {
                let records = [&old.record, &new.record];
                let none = |record: &&Option<_>| record.as_deref().is_some_and(measure::no_table);
                let none = records.iter().any(none);
                if none {
                    return;
                }
                if before.is_none() && now.is_none() {
                    self.unknown.push(format!(
                        "`{id}`: neither artifact is in the cache any more, so their tables are not compared"
                    ));
                    return;
                }
                for (artifact, when) in [(before, "older"), (now, "newer")] {
                    if artifact.is_none() {
                        self.unknown.push(format!(
                            "`{id}`: its artifact of the {when} run is no longer in the cache, so its tables are not compared"
                        ));
                    }
                }
            }
        }
    }
}
