//! What logs say of results that the cache no longer has.

use super::log::parse;
use super::runs;
use crate::artifact::Store;
use crate::exec::{RunEvent, StageOutcome};
use crate::key::{Fingerprint, Hash};
use crate::progress::Report;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};

/// A result, as the log of the run that computed it tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logged {
    /// The run.
    pub run: String,
    /// When that run began, UTC.
    pub started: String,
    /// What the result depended on.
    pub fingerprint: Fingerprint,
    /// The counts that the stage wrote for people.
    pub summary: BTreeMap<String, Value>,
    /// The last value of each metric.
    pub metrics: BTreeMap<String, f64>,
}

/// Searches all logs, the newest first, for the runs in which stages with these keys came to their end. A key whose
/// stage was only started is told by its fingerprint.
pub fn logged(keys: &BTreeSet<Hash>, store: &Store) -> BTreeMap<Hash, Logged> {
    let mut found: BTreeMap<Hash, Logged> = BTreeMap::new();
    let mut done: BTreeSet<Hash> = BTreeSet::new();
    for run in runs(store) {
        if done.len() == keys.len() {
            break;
        }
        let Ok(file) = fs_err::File::open(&run.log) else {
            continue;
        };
        let mut running: BTreeMap<String, (Hash, Logged)> = BTreeMap::new();
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            // Most lines are about fresh stages; reading each whole would take ten times as long.
            if line.contains("\"event\":\"stage-fresh\"") {
                continue;
            }
            match parse(line.as_bytes()) {
                Some(RunEvent::StageStarted {
                    stage,
                    key,
                    fingerprint,
                    ..
                }) if keys.contains(&key) && fingerprint.key() == key => {
                    let logged = Logged {
                        run: run.run.clone(),
                        started: run.started.clone(),
                        fingerprint,
                        summary: BTreeMap::new(),
                        metrics: BTreeMap::new(),
                    };
                    found.entry(key).or_insert_with(|| logged.clone());
                    running.insert(stage, (key, logged));
                }
                Some(RunEvent::StageReport {
                    stage,
                    report: Report::Metric { name, value, .. },
                }) => {
                    if let Some((_, logged)) = running.get_mut(&stage) {
                        logged.metrics.insert(name, value);
                    }
                }
                Some(RunEvent::StageEnded {
                    stage,
                    outcome: StageOutcome::Done { summary, .. },
                    ..
                }) => {
                    if let Some((key, mut logged)) = running.remove(&stage) {
                        logged.summary = summary.into_iter().collect();
                        if done.insert(key) {
                            found.insert(key, logged);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found
}
