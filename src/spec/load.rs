//! From text to a checked pipeline, all problems at once.

use super::LoadOptions;
use super::cycles;
use super::declared::{Stages, declare, is_stage_key};
use super::document::{Document, ReadFile, read, wrong_type};
use super::execution::{EXECUTION_KEYS, Execution, group_limit};
use super::inputs::{Inputs, Link};
use super::interpolate::{interpolate, references};
use super::lookups::{ArmLookup, ParamsOnly};
use super::names::suggest;
use super::parameters::Reading;
use super::params::{Params, Settings};
use super::pipeline::{Pipeline, StageSpec};
use super::problem::{Finding, Findings, SpecErrors};
use super::source::{Sources, Span};
use super::sweep::Sweeps;
use super::value::{Entry, Node, Value};
use crate::stages::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Loads with the given kinds and way to read files.
pub(super) fn load(
    path: &Path,
    options: &LoadOptions,
    kinds: &'static [Kind],
    read_file: &ReadFile<'_>,
) -> Result<Pipeline, SpecErrors> {
    let mut sources = Sources::default();
    let mut findings = Findings::default();
    match build(path, options, kinds, read_file, &mut sources, &mut findings) {
        Some(pipeline) if findings.is_empty() => Ok(pipeline),
        _ => Err(findings.into_errors(sources)),
    }
}

fn build(
    path: &Path,
    options: &LoadOptions,
    kinds: &'static [Kind],
    read_file: &ReadFile<'_>,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<Pipeline> {
    let mut document = read(path, read_file, sources, findings);
    // With a part of the text lost, whatever else is missing may be missing for that reason.
    let top = document.top.filter(|_| !document.broken)?;
    if let Some(profile) = &options.profile {
        if !document.profiles.contains_key(profile) {
            let start = sources.add("--profile".into(), profile.clone());
            let known = document.profiles.keys().map(String::as_str);
            findings.add(
                Finding::new(
                    Span::new(start, start + profile.len()),
                    format!("unknown profile `{profile}`"),
                )
                .hints(suggest(profile, "profiles", known)),
            );
        }
    }
    if document.stages.is_empty() && findings.is_empty() {
        findings.add(
            Finding::new(top, "the pipeline has no stages")
                .hint("a stage is a table `[stage.NAME]` with a `kind`"),
        );
    }
    let settings = Settings::new(&document, options, sources, findings);
    let mut sweeps = Sweeps::new(settings, options, sources, findings);
    let params = sweeps.base(findings);
    let profile = options.profile.as_deref();
    let stages = declare(&mut document, profile, &mut sweeps, kinds, findings);
    let (name, title) = names(path, &document, &params, findings);
    let groups = groups(&document, &params, findings);
    let all = Builder {
        stages: &stages,
        groups: &groups,
        inputs: Inputs::new(&stages),
        seed: Seed {
            node: document.seed.as_ref().map(|entry| &entry.node),
            base: pipeline_seed(
                document.seed.as_ref().map(|entry| &entry.node),
                &params,
                findings,
            ),
            swept: !sweeps.list.is_empty(),
        },
        sources,
    }
    .stages(findings)?;
    Some(Pipeline {
        name,
        title,
        file: path.to_owned(),
        profile: options.profile.clone(),
        params: params.json(),
        groups,
        stages: all,
    })
}

/// The name, by default the file's, and the title, by default the name.
fn names(
    path: &Path,
    document: &Document,
    params: &Params,
    findings: &mut Findings,
) -> (String, String) {
    let mut text = |node: &Option<Node>| {
        let node = interpolate(
            node.as_ref()?,
            &mut ParamsOnly::outside_of_stages(params),
            findings,
        )?;
        node.value.plain_text()
    };
    let stem = || {
        path.file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    };
    let name = text(&document.name).unwrap_or_else(stem);
    let title = text(&document.title).unwrap_or_else(|| name.clone());
    (name, title)
}

/// The limits of `[groups]`. One with a problem has a limit all the same, so that the stages in it are not unknown too.
fn groups(
    document: &Document,
    params: &Params,
    findings: &mut Findings,
) -> BTreeMap<String, usize> {
    document
        .groups
        .iter()
        .map(|entry| {
            let limit = interpolate(
                &entry.node,
                &mut ParamsOnly::outside_of_stages(params),
                findings,
            )
            .and_then(|node| group_limit(&entry.key, &node, findings));
            (entry.key.clone(), limit.unwrap_or(1))
        })
        .collect()
}

struct Builder<'a> {
    stages: &'a Stages,
    groups: &'a BTreeMap<String, usize>,
    inputs: Inputs<'a>,
    seed: Seed<'a>,
    sources: &'a Sources,
}

/// The pipeline's seed.
struct Seed<'a> {
    node: Option<&'a Node>,
    /// With the parameters of the file; `None` after a problem.
    base: Option<u64>,
    /// Whether there are sweeps, over which the seed may go.
    swept: bool,
}

impl Seed<'_> {
    /// The seed of a stage with these parameters.
    fn of(&self, params: &Params, findings: &mut Findings) -> Option<u64> {
        let fixed = self.node.is_none_or(|node| references(node).is_empty());
        if fixed || !self.swept {
            return self.base;
        }
        pipeline_seed(self.node, params, findings)
    }
}

fn pipeline_seed(node: Option<&Node>, params: &Params, findings: &mut Findings) -> Option<u64> {
    let Some(node) = node else { return Some(1) };
    let node = interpolate(node, &mut ParamsOnly::outside_of_stages(params), findings)?;
    read_seed("`seed`", &node, findings)
}

impl Builder<'_> {
    /// Every instance; `None` after any problem.
    fn stages(&self, findings: &mut Findings) -> Option<Vec<StageSpec>> {
        let count = self.stages.instances.len();
        let mut specs = Vec::with_capacity(count);
        let mut links = Vec::with_capacity(count);
        for at in 0..count {
            let (spec, ports) = self.stage(at, findings);
            specs.push(spec);
            links.push(
                ports
                    .into_iter()
                    .flat_map(|(_, links)| links)
                    .collect::<Vec<Link>>(),
            );
        }
        cycles::check(self.stages, &links, findings);
        specs.into_iter().collect()
    }

    fn stage(
        &self,
        at: usize,
        findings: &mut Findings,
    ) -> (Option<StageSpec>, Vec<(String, Vec<Link>)>) {
        let instance = &self.stages.instances[at];
        let declared = &self.stages.declared[instance.declared];
        let mut lookup = ArmLookup {
            stage: &declared.name,
            id: &instance.id,
            params: &declared.params,
            matrix: &declared.matrix,
            arm: &instance.arm,
            broken: declared.broken,
        };
        let mut own = Own::default();
        let mut params: Vec<Entry> = Vec::new();
        let mut missing: BTreeSet<String> = BTreeSet::new();
        let mut whole = true;
        for entry in declared.entries.iter() {
            let key = entry.key.as_str();
            if key == "kind" || key == "matrix" {
                continue;
            }
            let Some(node) = interpolate(&entry.node, &mut lookup, findings) else {
                whole = false;
                own.inputs_lost |= key == "inputs";
                missing.insert(entry.key.clone());
                continue;
            };
            if EXECUTION_KEYS.contains(&key) {
                let execution = &mut own.execution;
                whole &= execution.read(&declared.name, key, &node, self.groups, findings);
            } else if is_stage_key(key) {
                whole &= own.read(&declared.name, key, node, findings);
            } else {
                params.push(Entry {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    node,
                });
            }
        }
        let ports = if own.inputs_lost {
            Vec::new()
        } else {
            self.inputs.resolve(at, own.inputs.as_ref(), findings)
        };
        let spec = declared.kind.and_then(|kind| {
            let params = Reading {
                kind,
                name: &declared.name,
                id: &instance.id,
                header: declared.header,
                raw: &declared.entries,
                lookup: &lookup,
            }
            .read(params, missing, findings)?;
            if !whole {
                return None;
            }
            Some(StageSpec {
                id: instance.id.clone(),
                name: declared.name.clone(),
                matrix: instance
                    .values(declared)
                    .map(|(axis, value)| (axis.to_owned(), value.to_owned()))
                    .collect(),
                axes: declared
                    .matrix
                    .axes
                    .iter()
                    .map(|axis| axis.name.clone())
                    .collect(),
                kind,
                params,
                seed: match own.seed {
                    Some(seed) => seed,
                    None => self.seed.of(&declared.params, findings)?,
                },
                inputs: ports
                    .iter()
                    .map(|(port, links)| {
                        let ids = links
                            .iter()
                            .map(|link| self.stages.instances[link.from].id.clone());
                        (port.clone(), ids.collect())
                    })
                    .collect(),
                execution: own.execution,
                location: self.sources.locate(declared.header),
            })
        });
        (spec, ports)
    }
}

/// The keys that every stage may have.
#[derive(Default)]
struct Own {
    inputs: Option<Node>,
    inputs_lost: bool,
    seed: Option<u64>,
    execution: Execution,
}

impl Own {
    /// Takes one key; false after a problem.
    fn read(&mut self, stage: &str, key: &str, node: Node, findings: &mut Findings) -> bool {
        let what = format!("stage `{stage}`: `{key}`");
        if key == "inputs" {
            self.inputs = Some(node);
            return true;
        }
        self.seed = read_seed(&what, &node, findings);
        self.seed.is_some()
    }
}

fn read_seed(what: &str, node: &Node, findings: &mut Findings) -> Option<u64> {
    let seed = match &node.value {
        Value::Whole(whole) => u64::try_from(whole.number).ok(),
        _ => None,
    };
    if seed.is_none() {
        findings.add(wrong_type(what, node, "a whole number from 0 to 2^64 - 1"));
    }
    seed
}
