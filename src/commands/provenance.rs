//! `ilm-pipe show --provenance`: everything that an artifact came from.

use super::open::Opened;
use super::runs::command_text;
use crate::artifact::{GitState, Record};
use crate::clock;
use crate::key::Hash;
use crate::plan::{Plan, Verdict};
use crate::report::bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// The fresh stages of a pipeline: what artifacts came from can be told of them only.
pub(super) struct Ancestry<'a> {
    opened: &'a Opened,
    records: BTreeMap<&'a str, &'a Arc<Record>>,
}

/// Something that a stage read.
enum Source<'a> {
    /// A file outside the cache: its path and the hash of its content.
    File(&'a str, &'a str),
    /// An artifact: the port and the stage that made it.
    Artifact(String, &'a str),
}

impl<'a> Ancestry<'a> {
    pub(super) fn new(opened: &'a Opened, plan: &'a Plan) -> Self {
        let records = plan
            .stages
            .iter()
            .filter_map(|planned| match &planned.verdict {
                Verdict::Fresh { record } => Some((planned.stage.as_str(), record)),
                _ => None,
            })
            .collect();
        Self { opened, records }
    }

    /// What a stage read: files, then artifacts, in the order of its ports.
    fn sources(&self, id: &str) -> Vec<Source<'a>> {
        let Some(record) = self.records.get(id) else {
            return Vec::new();
        };
        let leaves = record.fingerprint.leaves().iter();
        let files = leaves
            .filter_map(|(name, hash)| Some(Source::File(name.strip_prefix("files.")?, hash)));
        let stage = self.opened.pipeline.stage(id);
        let artifacts = stage
            .map(|stage| stage.inputs.as_slice())
            .unwrap_or_default()
            .iter()
            .flat_map(|(port, ids)| {
                let several = ids.len() > 1;
                ids.iter().enumerate().map(move |(index, id)| {
                    let port = if several {
                        format!("{port}[{index}]")
                    } else {
                        port.clone()
                    };
                    Source::Artifact(port, id.as_str())
                })
            });
        files.chain(artifacts).collect()
    }

    /// The tree: an artifact with what it was made from below it. An artifact that came up before is only named.
    pub(super) fn tree(&self, id: &str) -> String {
        let mut text = String::new();
        let mut seen = BTreeSet::new();
        self.branch(id, "", "", "", &mut seen, &mut text);
        text
    }

    /// `first` stands before the first line, `rest` before the others.
    fn branch(
        &self,
        id: &str,
        port: &str,
        first: &str,
        rest: &str,
        seen: &mut BTreeSet<Hash>,
        text: &mut String,
    ) {
        let Some(record) = self.records.get(id) else {
            let _ = writeln!(text, "{first}{port}{id}: no up-to-date result");
            return;
        };
        let output = record.output.short();
        if !seen.insert(record.key) {
            let _ = writeln!(
                text,
                "{first}{port}{id}: {} {output}, as above",
                record.kind
            );
            return;
        }
        let _ = writeln!(text, "{first}{port}{id}: {} {output}", record.kind);
        let sources = self.sources(id);
        let bar = if sources.is_empty() { "   " } else { "│  " };
        for line in facts(record) {
            let _ = writeln!(text, "{rest}{bar}{line}");
        }
        let n = sources.len();
        for (index, source) in sources.into_iter().enumerate() {
            let (turn, below) = if index + 1 == n {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            match source {
                Source::File(path, hash) => {
                    let hash = hash.get(..12).unwrap_or(hash);
                    let _ = writeln!(text, "{rest}{turn}file {path} {hash}");
                }
                Source::Artifact(port, id) => {
                    let port = format!("{port} <- ");
                    let first = format!("{rest}{turn}");
                    let rest = format!("{rest}{below}");
                    self.branch(id, &port, &first, &rest, seen, text);
                }
            }
        }
    }

    /// The graph of several stages in the names of W3C PROV (PROV-JSON): entities are files and artifacts, activities
    /// are runs of stages, agents are versions of this program.
    pub(super) fn graph(&self, ids: &[String]) -> Value {
        let mut graph = Graph::default();
        let mut open: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            let Some(record) = self.records.get(id).filter(|_| seen.insert(id.to_owned())) else {
                continue;
            };
            let artifact = graph.artifact(id, record);
            let activity = graph.activity(record);
            graph.relate(
                "wasGeneratedBy",
                ("entity", &artifact),
                ("activity", &activity),
                None,
            );
            let agent = graph.agent(record);
            graph.relate(
                "wasAssociatedWith",
                ("activity", &activity),
                ("agent", &agent),
                None,
            );
            for source in self.sources(id) {
                let (entity, role) = match source {
                    Source::File(path, hash) => (graph.file(path, hash), path.to_owned()),
                    Source::Artifact(port, id) => {
                        open.push(id);
                        match self.records.get(id) {
                            Some(record) => (graph.artifact(id, record), port),
                            None => continue,
                        }
                    }
                };
                graph.relate(
                    "used",
                    ("activity", &activity),
                    ("entity", &entity),
                    Some(&role),
                );
                graph.relate(
                    "wasDerivedFrom",
                    ("generatedEntity", &artifact),
                    ("usedEntity", &entity),
                    None,
                );
            }
        }
        graph.finish()
    }
}

/// `made 2026-… in 0.42 s by `cf` of table3, run …`.
pub(super) fn made(record: &Record) -> String {
    let origin = &record.origin;
    format!(
        "made {} in {} by `{}` of {}, run {}",
        origin.started,
        clock::human(origin.seconds),
        origin.stage,
        origin.pipeline,
        origin.run
    )
}

/// When, where and how an artifact was made, in lines.
pub(super) fn facts(record: &Record) -> Vec<String> {
    let origin = &record.origin;
    let mut lines = vec![made(record)];
    let memory = origin
        .peak_memory
        .map_or_else(String::new, |memory| format!(", {} at most", bytes(memory)));
    let threads = match origin.threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    let git = origin.git.as_ref().map_or_else(String::new, git_text);
    lines.push(format!(
        "on {} ({}, {threads}{memory}), ilm-pipe {}{git}",
        origin.host, origin.device, origin.version
    ));
    if let Some(durations) = origin.durations {
        let parts = [
            ("hashing files", durations.hashing_files),
            ("queued", durations.queued),
            ("hashing inputs", durations.hashing_inputs),
            ("running", durations.running),
            ("committing", durations.committing),
        ];
        // What took no time that can be printed is left out.
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, seconds)| *seconds >= 0.005)
            .map(|(name, seconds)| format!("{name} {}", clock::human(*seconds)))
            .collect();
        if !parts.is_empty() {
            lines.push(parts.join(", "));
        }
    }
    if !origin.command.is_empty() {
        lines.push(format!("`{}`", command_text(&origin.command)));
    }
    let accepted = super::accept::told(record);
    lines.extend(
        accepted
            .lines()
            .map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned()),
    );
    lines
}

fn git_text(git: &GitState) -> String {
    let short = git.commit.get(..12).unwrap_or(&git.commit);
    let dirty = if git.dirty { " with changes" } else { "" };
    format!(", commit {short}{dirty}")
}

/// A PROV-JSON document that is being written.
#[derive(Default)]
struct Graph {
    entities: Map<String, Value>,
    activities: Map<String, Value>,
    agents: Map<String, Value>,
    relations: BTreeMap<&'static str, Map<String, Value>>,
}

impl Graph {
    fn artifact(&mut self, id: &str, record: &Record) -> String {
        let name = format!("artifact:{}", record.output);
        let files: Vec<Value> = record
            .files
            .iter()
            .map(|file| json!({"path": file.path, "bytes": file.size, "hash": file.hash}))
            .collect();
        // Two stages may have made the same bytes.
        let entity = self.entities.entry(name.clone()).or_insert_with(|| {
            json!({
                "prov:type": record.kind, "ilm:stages": [], "ilm:hash": record.output, "ilm:files": files,
            })
        });
        if let Some(Value::Array(stages)) = entity.get_mut("ilm:stages") {
            if !stages.iter().any(|stage| stage == id) {
                stages.push(json!(id));
            }
        }
        name
    }

    fn file(&mut self, path: &str, hash: &str) -> String {
        let name = format!("file:{path}");
        let entity = json!({"prov:type": "file", "prov:location": path, "ilm:hash": hash});
        self.entities.insert(name.clone(), entity);
        name
    }

    fn activity(&mut self, record: &Record) -> String {
        let origin = &record.origin;
        let ended = clock::parse_timestamp(&origin.started)
            .map(|start| clock::timestamp(start + (origin.seconds * 1e9) as i128));
        let activity = json!({
            "prov:startTime": origin.started, "prov:endTime": ended, "ilm:key": record.key,
            "ilm:fingerprint": record.fingerprint, "ilm:origin": origin,
        });
        let name = format!("stage:{}", record.key);
        self.activities.insert(name.clone(), activity);
        name
    }

    fn agent(&mut self, record: &Record) -> String {
        let name = format!("software:ilm-pipe-{}", record.origin.version);
        let agent =
            json!({"prov:type": "prov:SoftwareAgent", "ilm:version": record.origin.version});
        self.agents.insert(name.clone(), agent);
        name
    }

    fn relate(
        &mut self,
        kind: &'static str,
        from: (&str, &str),
        to: (&str, &str),
        role: Option<&str>,
    ) {
        let mut relation = Map::new();
        for (end, name) in [from, to] {
            relation.insert(format!("prov:{end}"), json!(name));
        }
        if let Some(role) = role {
            relation.insert("prov:role".to_owned(), json!(role));
        }
        let relations = self.relations.entry(kind).or_default();
        let relation = Value::Object(relation);
        if !relations.values().any(|known| *known == relation) {
            relations.insert(format!("_:{kind}{}", relations.len() + 1), relation);
        }
    }

    fn finish(self) -> Value {
        let mut out = json!({
            "prefix": {
                "ilm": "urn:ilm-pipe:", "artifact": "urn:ilm-pipe:artifact:", "stage": "urn:ilm-pipe:stage:",
                "file": "urn:ilm-pipe:file:", "software": "urn:ilm-pipe:software:",
            },
            "entity": self.entities, "activity": self.activities, "agent": self.agents,
        });
        for (kind, relations) in self.relations {
            out[kind] = Value::Object(relations);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Origin, Timings};
    use crate::key::Fingerprint;
    use crate::stages::ArtifactKind;

    fn facts_of(origin: Origin) -> String {
        let fingerprint = Fingerprint::default();
        let record = Record {
            key: fingerprint.key(),
            output: fingerprint.key(),
            fingerprint,
            kind: ArtifactKind::Factors,
            files: Vec::new(),
            summary: Map::new(),
            accepted: Vec::new(),
            origin,
        };
        facts(&record).join("\n")
    }

    #[test]
    fn everything_that_is_known_of_a_result_is_said() {
        let command = "/usr/bin/ilm-pipe run p.toml --profile small";
        let origin = Origin {
            pipeline: "table3".to_owned(),
            stage: "cf".to_owned(),
            run: "20261123T060000Z-41".to_owned(),
            command: command.split(' ').map(str::to_owned).collect(),
            profile: Some("small".to_owned()),
            version: "0.1.0".to_owned(),
            git: Some(GitState {
                commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                dirty: true,
            }),
            host: "node7".to_owned(),
            device: "cpu".to_owned(),
            threads: 8,
            started: "2026-11-23T06:00:03Z".to_owned(),
            seconds: 75.04,
            durations: Some(Timings {
                hashing_files: 1.25,
                queued: 12.0,
                hashing_inputs: 0.001,
                running: 74.0,
                committing: 1.04,
            }),
            peak_memory: Some(1 << 30),
        };
        insta::assert_snapshot!(facts_of(origin));
    }

    #[test]
    fn the_record_of_an_older_program_says_what_it_has() {
        let text = r#"{"pipeline": "p", "stage": "cf", "run": "r", "version": "0.1.0", "host": "h", "device": "cpu",
            "threads": 1, "started": "2026-11-23T06:00:03Z", "seconds": 1.5, "peak_memory": null}"#;
        let origin = serde_json::from_str(text).expect("an origin");
        assert_eq!(
            facts_of(origin),
            "made 2026-11-23T06:00:03Z in 1.50 s by `cf` of p, run r\non h (cpu, 1 thread), ilm-pipe 0.1.0"
        );
    }
}
