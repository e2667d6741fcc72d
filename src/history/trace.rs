//! A run as a trace that Perfetto and Chrome open.
//!
//! The format is the JSON array of trace events ("Trace Event Format"): `X` is a slice on a track, `b` and `e` are the
//! ends of an asynchronous slice, `C` is a value of a counter, `i` an instant, `s` and `f` the ends of an arrow, `M`
//! names tracks. Times are in microseconds since the log began.
//!
//! One track is one slot of the run: the fewest slots that hold its stages, since the log does not name them. A stage's
//! slice begins when its inputs are hashed and ends when its artifact is in the cache; within it lie `hash inputs`, `run`
//! and `commit`, as long as the log knows them. What came before, hashing its files and waiting for a slot, is an
//! asynchronous slice. Arrows lead from the stage that made an artifact to those that read it.

use super::{Entry, RunLog};
use crate::artifact::Timings;
use crate::exec::{RunEvent, StageOutcome};
use crate::key::{Fingerprint, Hash};
use crate::plan::Cause;
use crate::progress::Report;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The one process of the trace.
const PROCESS: u32 = 1;

/// The track of what belongs to no slot; slots are numbered from 1.
const RUNNER: usize = 0;

/// A stage that ran.
struct Slice {
    stage: String,
    kind: String,
    key: Hash,
    causes: Vec<String>,
    fingerprint: Fingerprint,
    attempt: u32,
    gpus: Vec<String>,
    /// When its worker started and when it ended, in seconds.
    started: f64,
    ended: f64,
    outcome: Value,
    durations: Option<Timings>,
    output: Option<Hash>,
}

impl Slice {
    /// When it took its slot.
    fn begin(&self) -> f64 {
        let hashing = self.durations.map_or(0.0, |d| d.hashing_inputs);
        (self.started - hashing).max(0.0)
    }
}

/// Draws a run. The result is one JSON object with the list `traceEvents`.
pub fn trace(log: &RunLog) -> Value {
    let (slices, events) = read(log);
    let slots = slots(&slices);
    let mut out = names(log, &slots);
    out.extend(events);
    for (slice, &slot) in slices.iter().zip(&slots) {
        slice_events(slice, slot, &mut out);
    }
    arrows(&slices, &slots, &mut out);
    let mut about = json!({"run": log.run, "started": log.started});
    if let Some(RunEvent::RunStarted {
        pipeline,
        profile,
        version,
        command,
        ..
    }) = log.entries.first().map(|entry| &entry.event)
    {
        about["pipeline"] = json!(pipeline);
        about["profile"] = json!(profile);
        about["version"] = json!(version);
        about["command"] = json!(command.join(" "));
    }
    json!({"traceEvents": out, "displayTimeUnit": "ms", "otherData": about})
}

/// The stages that ran, and the events that are no slices.
fn read(log: &RunLog) -> (Vec<Slice>, Vec<Value>) {
    let end = log.entries.last().map_or(0.0, |entry| entry.at);
    let mut running: BTreeMap<String, Slice> = BTreeMap::new();
    let mut done = Vec::new();
    let mut events = Vec::new();
    let mut measured = BTreeSet::new();
    let instant = |name: String, at: f64, args: Value| {
        json!({
            "name": name, "cat": "run", "ph": "i", "s": "t", "ts": micros(at), "pid": PROCESS, "tid": RUNNER,
            "args": args,
        })
    };
    for Entry { at, event } in &log.entries {
        match event {
            RunEvent::StageStarted {
                stage,
                kind,
                key,
                fingerprint,
                causes,
                attempt,
                gpus,
            } => {
                let slice = Slice {
                    stage: stage.clone(),
                    kind: kind.clone(),
                    key: *key,
                    causes: causes.iter().map(Cause::to_string).collect(),
                    fingerprint: fingerprint.clone(),
                    attempt: *attempt,
                    gpus: gpus.clone(),
                    started: *at,
                    ended: *at,
                    outcome: json!("unfinished"),
                    durations: None,
                    output: None,
                };
                if let Some(mut earlier) = running.insert(stage.clone(), slice) {
                    earlier.ended = *at;
                    done.push(earlier);
                }
            }
            RunEvent::StageEnded { stage, outcome, .. } => {
                if let Some(mut slice) = running.remove(stage) {
                    if measured.contains(stage) {
                        events.push(memory(stage, *at, 0));
                    }
                    slice.ended = *at;
                    slice.outcome = outcome_args(outcome);
                    if let StageOutcome::Done {
                        output, durations, ..
                    } = outcome
                    {
                        slice.output = Some(*output);
                        slice.durations = *durations;
                    }
                    done.push(slice);
                }
            }
            RunEvent::StageRetrying { stage, reason, .. } => {
                if let Some(mut slice) = running.remove(stage) {
                    slice.ended = *at;
                    slice.outcome =
                        json!({"outcome": "failed, to be tried again", "message": reason});
                    done.push(slice);
                }
            }
            RunEvent::StageSlow { stage, seconds, .. } => {
                let args = json!({"seconds": seconds});
                events.push(instant(format!("slow: {stage}"), *at, args));
            }
            RunEvent::StageReport { stage, report } => match report {
                Report::Metric { name, value, .. } => events.push(json!({
                    "name": format!("{stage}: {name}"), "cat": "metric", "ph": "C", "ts": micros(*at),
                    "pid": PROCESS, "tid": RUNNER, "args": {"value": value},
                })),
                Report::Warning { text } => {
                    let args = json!({"text": text});
                    events.push(instant(format!("warning: {stage}"), *at, args));
                }
                Report::Memory { resident } => {
                    measured.insert(stage.clone());
                    events.push(memory(stage, *at, *resident));
                }
                Report::Note { .. } | Report::Tick { .. } => {}
            },
            RunEvent::StageFresh { stage, key, .. } => {
                let args = json!({"key": key});
                events.push(instant(format!("fresh: {stage}"), *at, args));
            }
            RunEvent::StageDamaged { stage, damage } => {
                let args = json!({"damage": damage.to_string()});
                events.push(instant(format!("damaged: {stage}"), *at, args));
            }
            RunEvent::StageBlocked { stage, by } => {
                let args = json!({"by": by});
                events.push(instant(format!("blocked: {stage}"), *at, args));
            }
            RunEvent::Stopping { .. } => {
                events.push(instant("stopping".to_owned(), *at, json!({})));
            }
            _ => {}
        }
    }
    // The log breaks off while these run.
    done.extend(running.into_values().map(|mut slice| {
        slice.ended = end;
        slice
    }));
    done.sort_by(|a, b| {
        a.begin()
            .total_cmp(&b.begin())
            .then_with(|| a.stage.cmp(&b.stage))
    });
    (done, events)
}

/// A point of the counter of a stage's memory; 0 where its worker ended.
fn memory(stage: &str, at: f64, resident: u64) -> Value {
    json!({
        "name": format!("{stage}: resident memory"), "cat": "memory", "ph": "C", "ts": micros(at), "pid": PROCESS,
        "tid": RUNNER, "args": {"bytes": resident},
    })
}

fn outcome_args(outcome: &StageOutcome) -> Value {
    match outcome {
        StageOutcome::Done {
            output,
            peak_memory,
            summary,
            ..
        } => json!({
            "outcome": "done", "output": output, "peak_memory_bytes": peak_memory, "summary": summary,
        }),
        StageOutcome::Failed { message } => json!({"outcome": "failed", "message": message}),
        StageOutcome::Stopped => json!({"outcome": "stopped"}),
    }
}

/// Gives each slice the lowest slot that is free, from 1. The slices are in the order of their begin.
fn slots(slices: &[Slice]) -> Vec<usize> {
    let mut free_at: Vec<u64> = Vec::new();
    slices
        .iter()
        .map(|slice| {
            // Whole microseconds, as they are written: two slices of a slot never overlap by rounding.
            let (begin, end) = (micros(slice.begin()), micros(slice.ended));
            let slot = free_at.iter().position(|&free| free <= begin);
            let slot = slot.unwrap_or_else(|| {
                free_at.push(0);
                free_at.len() - 1
            });
            free_at[slot] = end;
            slot + 1
        })
        .collect()
}

/// The names of the process and of the tracks.
fn names(log: &RunLog, slots: &[usize]) -> Vec<Value> {
    let name = |what: &str, tid: usize, name: String| {
        json!({
            "name": what, "ph": "M", "pid": PROCESS, "tid": tid, "args": {"name": name},
        })
    };
    let mut out = vec![
        name("process_name", RUNNER, format!("ilm-pipe run {}", log.run)),
        name("thread_name", RUNNER, "runner".to_owned()),
    ];
    for slot in 1..=slots.iter().copied().max().unwrap_or(0) {
        out.push(name("thread_name", slot, format!("slot {slot}")));
        out.push(json!({
            "name": "thread_sort_index", "ph": "M", "pid": PROCESS, "tid": slot, "args": {"sort_index": slot},
        }));
    }
    out
}

/// The slice of a stage, the slices in it, and what it waited for.
fn slice_events(slice: &Slice, slot: usize, out: &mut Vec<Value>) {
    let (begin, end) = (micros(slice.begin()), micros(slice.ended));
    let mut add = |name: &str, from: u64, to: u64, args: Value| {
        // A child must lie within its parent, also when a clock's last digit says otherwise.
        let (from, to) = (from.clamp(begin, end), to.clamp(begin, end));
        out.push(json!({
            "name": name, "cat": "stage", "ph": "X", "ts": from, "dur": to.saturating_sub(from),
            "pid": PROCESS, "tid": slot, "args": args,
        }));
    };
    let mut args = Map::new();
    args.insert("kind".to_owned(), json!(slice.kind));
    args.insert("key".to_owned(), json!(slice.key));
    args.insert("causes".to_owned(), json!(slice.causes));
    if slice.attempt > 1 {
        args.insert("attempt".to_owned(), json!(slice.attempt));
    }
    if !slice.gpus.is_empty() {
        args.insert("gpus".to_owned(), json!(slice.gpus));
    }
    match &slice.outcome {
        Value::Object(outcome) => args.extend(outcome.clone()),
        other => {
            args.insert("outcome".to_owned(), other.clone());
        }
    }
    add(&slice.stage, begin, end, Value::Object(args));
    let Some(durations) = slice.durations else {
        return;
    };
    let started = micros(slice.started);
    let finished = micros(slice.started + durations.running);
    if started > begin {
        add("hash inputs", begin, started, json!({}));
    }
    add("run", started, finished, json!({}));
    add("commit", finished, end, json!({}));

    let queued = micros((slice.begin() - durations.queued).max(0.0)).min(begin);
    let judged = micros((slice.begin() - durations.queued - durations.hashing_files).max(0.0));
    let judged = judged.min(queued);
    let mut wait = |name: &str, from: u64, to: u64| {
        for (phase, at) in [("b", from), ("e", to)] {
            out.push(json!({
                "name": name, "cat": "waiting", "ph": phase, "id": slice.stage, "ts": at, "pid": PROCESS,
                "tid": RUNNER,
            }));
        }
    };
    if judged < queued {
        wait(&format!("{}: hash files", slice.stage), judged, queued);
    }
    if queued < begin {
        wait(&format!("{}: queued", slice.stage), queued, begin);
    }
}

/// Arrows from makers to readers. Artifacts that were fresh have no maker in this run.
fn arrows(slices: &[Slice], slots: &[usize], out: &mut Vec<Value>) {
    let makers: BTreeMap<String, usize> = slices
        .iter()
        .enumerate()
        .filter_map(|(index, slice)| Some((slice.output?.hex(), index)))
        .collect();
    let mut id = 0;
    for (reader, &slot) in slices.iter().zip(slots) {
        let inputs = reader.fingerprint.leaves().iter();
        for (_, hash) in inputs.filter(|(name, _)| name.starts_with("inputs.")) {
            let Some(&maker) = makers.get(hash) else {
                continue;
            };
            let maker_begin = micros(slices[maker].begin());
            // An arrow belongs to the slice that lies around its end: a little before its maker's is over.
            let from = micros(slices[maker].ended)
                .saturating_sub(1)
                .max(maker_begin);
            let to = micros(reader.begin());
            if from > to {
                continue;
            }
            id += 1;
            let at = [("s", from, slots[maker]), ("f", to, slot)];
            for (phase, ts, tid) in at {
                let mut arrow = json!({
                    "name": "artifact", "cat": "artifact", "ph": phase, "id": id, "ts": ts, "pid": PROCESS,
                    "tid": tid,
                });
                if phase == "f" {
                    arrow["bp"] = json!("e");
                }
                out.push(arrow);
            }
        }
    }
}

/// Whole microseconds.
fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Change;

    fn fingerprint(text: &str) -> Fingerprint {
        serde_json::from_str(text).expect("a fingerprint")
    }

    fn started(stage: &str, fingerprint: &Fingerprint) -> RunEvent {
        RunEvent::StageStarted {
            stage: stage.to_owned(),
            kind: "fit-cf".to_owned(),
            key: fingerprint.key(),
            fingerprint: fingerprint.clone(),
            causes: vec![Cause::Changed(Change {
                name: "params.factors".to_owned(),
                old: Some("64".to_owned()),
                new: Some("128".to_owned()),
            })],
            attempt: 1,
            gpus: Vec::new(),
        }
    }

    fn ended(stage: &str, output: Hash, durations: Timings) -> RunEvent {
        RunEvent::StageEnded {
            stage: stage.to_owned(),
            outcome: StageOutcome::Done {
                output,
                peak_memory: Some(1 << 20),
                summary: Map::new(),
                durations: Some(durations),
            },
            seconds: durations.running + durations.committing,
        }
    }

    /// Two stages side by side, one that reads the first, one that is killed with the run.
    fn log() -> RunLog {
        let durations = |hashing_inputs, running, committing| Timings {
            hashing_files: 0.05,
            queued: 0.1,
            hashing_inputs,
            running,
            committing,
        };
        let (a, b) = (
            fingerprint(r#"{"params.x":"1"}"#),
            fingerprint(r#"{"params.x":"2"}"#),
        );
        let (made_a, made_b) = (a.key(), b.key());
        let c = fingerprint(&format!(r#"{{"inputs.from[0]":"{made_a}"}}"#));
        let events = vec![
            (
                0.0,
                RunEvent::RunStarted {
                    format: 1,
                    run: "r".to_owned(),
                    pipeline: "p".to_owned(),
                    profile: None,
                    version: "0.1.0".to_owned(),
                    command: vec!["ilm-pipe".to_owned(), "run".to_owned()],
                    stages: 5,
                },
            ),
            (
                0.01,
                RunEvent::StageFresh {
                    stage: "catalog".to_owned(),
                    key: made_b,
                    output: made_b,
                    saved_seconds: 1.0,
                },
            ),
            (0.2, started("a", &a)),
            (0.2500004, started("b", &b)),
            (
                0.5,
                RunEvent::StageReport {
                    stage: "a".to_owned(),
                    report: Report::Metric {
                        step: 1,
                        name: "train.loss".to_owned(),
                        value: 0.25,
                    },
                },
            ),
            (
                0.75,
                RunEvent::StageReport {
                    stage: "a".to_owned(),
                    report: Report::Memory { resident: 1 << 20 },
                },
            ),
            (1.0, ended("a", made_a, durations(0.0, 0.7, 0.1))),
            (1.3, started("c", &c)),
            (1.5, ended("b", made_b, durations(0.0, 1.2, 0.05))),
            (2.0, ended("c", made_b, durations(0.3, 0.6, 0.1))),
            (2.1, started("d", &a)),
            (
                2.2,
                RunEvent::StageRetrying {
                    stage: "d".to_owned(),
                    attempt: 1,
                    attempts: 2,
                    reason: "the worker was killed".to_owned(),
                    seconds: 0.1,
                    wait_seconds: 0.1,
                },
            ),
            (2.3, started("d", &a)),
            (2.5, RunEvent::Stopping { at_once: true }),
        ];
        RunLog {
            run: "r".to_owned(),
            started: "2026-11-23T06:00:00Z".to_owned(),
            entries: events
                .into_iter()
                .map(|(at, event)| Entry { at, event })
                .collect(),
            skipped: 0,
        }
    }

    #[test]
    fn a_trace_shows_slots_slices_counters_and_arrows() {
        let mut text = String::new();
        for event in trace(&log())["traceEvents"].as_array().expect("events") {
            let at = event["ts"].as_u64().unwrap_or_default();
            let dur = event["dur"]
                .as_u64()
                .map_or(String::new(), |d| format!("+{d}"));
            text.push_str(&format!(
                "{} {at}{dur} track {} {}\n",
                event["ph"].as_str().expect("a phase"),
                event["tid"],
                event["args"]["name"]
                    .as_str()
                    .or(event["name"].as_str())
                    .expect("a name"),
            ));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_slice_says_why_its_stage_ran_and_how_it_ended() {
        let trace = trace(&log());
        let slice = |name: &str| {
            let events = trace["traceEvents"].as_array().expect("events");
            let found = events.iter().find(|e| e["ph"] == "X" && e["name"] == name);
            found.expect("a slice")["args"].clone()
        };
        let a = slice("a");
        assert_eq!(a["causes"][0], "`params.factors` changed from 64 to 128");
        assert_eq!(a["peak_memory_bytes"], 1 << 20);
        assert_eq!(slice("d")["outcome"], "failed, to be tried again");
        assert_eq!(slice("b")["outcome"], "done");
        assert_eq!(trace["otherData"]["command"], "ilm-pipe run");
    }
}
