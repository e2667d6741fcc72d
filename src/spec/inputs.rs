//! The inputs of a stage: which stages each port takes.

use super::declared::{Group, Stages};
use super::document::wrong_type;
use super::names::{is_near, listed, suggest};
use super::problem::{Finding, Findings};
use super::reference::{Arms, parse};
use super::source::Span;
use super::value::{Entry, Node, Value, get};
use crate::stages::{ArtifactKind, Kind, Port};
use std::collections::{BTreeMap, BTreeSet};

/// A connection between two stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The instance that gives.
    pub(super) from: usize,
    /// Where the reference stands.
    pub(super) span: Span,
}

/// Finds what references mean.
pub(super) struct Inputs<'a> {
    stages: &'a Stages,
    /// Stages by what they make, for hints.
    makers: BTreeMap<ArtifactKind, Vec<&'a str>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(stages: &'a Stages) -> Self {
        let mut makers: BTreeMap<ArtifactKind, Vec<&str>> = BTreeMap::new();
        for (name, group) in &stages.groups {
            if let Some(output) = group.output {
                makers.entry(output).or_default().push(name);
            }
        }
        Self { stages, makers }
    }

    /// The links of every port of the instance at `at`, in the order of the kind's ports. `inputs` is interpolated.
    pub(super) fn resolve(
        &self,
        at: usize,
        inputs: Option<&Node>,
        findings: &mut Findings,
    ) -> Vec<(String, Vec<Link>)> {
        let instance = &self.stages.instances[at];
        let declared = &self.stages.declared[instance.declared];
        let stage = declared.name.as_str();
        let entries: &[Entry] = match inputs.map(|node| &node.value) {
            None => &[],
            Some(Value::Table(entries)) => entries,
            Some(_) => {
                if let Some(node) = inputs {
                    findings.add(wrong_type(
                        &format!("stage `{stage}`: `inputs`"),
                        node,
                        "a table such as { port = \"stage\" }",
                    ));
                }
                return Vec::new();
            }
        };
        let Some(kind) = declared.kind else {
            // Without its kind the ports are not known, but unknown stages are.
            for entry in entries {
                self.port(at, entry, None, findings);
            }
            return Vec::new();
        };
        let unknown: Vec<&Entry> = entries
            .iter()
            .filter(|entry| kind.port(&entry.key).is_none())
            .collect();
        for entry in &unknown {
            findings.add(unknown_port(stage, entry, kind));
        }
        let mut ports = Vec::new();
        for port in kind.ports {
            let entry = get(entries, port.name);
            let links = entry.map_or_else(
                || Some(Vec::new()),
                |entry| self.port(at, entry, Some(port), findings),
            );
            let Some(links) = links else { continue };
            // "did you mean" has named it already.
            let misspelt = || unknown.iter().any(|entry| is_near(&entry.key, port.name));
            if links.is_empty() && !port.arity.is_optional() {
                if entry.is_none() && misspelt() {
                    continue;
                }
                let at = entry.map_or(declared.header, |entry| entry.node.span);
                findings.add(
                    Finding::new(
                        at,
                        format!(
                            "stage `{stage}`: the input `{}` of kind `{}` is missing",
                            port.name, kind.name
                        ),
                    )
                    .hints(self.fitting(port)),
                );
            } else if !links.is_empty() {
                ports.push((port.name.to_owned(), links));
            }
        }
        ports
    }

    /// The links of one port; `None` after a problem.
    fn port(
        &self,
        at: usize,
        entry: &Entry,
        port: Option<&Port>,
        findings: &mut Findings,
    ) -> Option<Vec<Link>> {
        let stage = self.stage_of(at);
        let one = std::slice::from_ref(&entry.node);
        let nodes = match &entry.node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => one,
        };
        let mut links: Vec<Link> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut right = true;
        for node in nodes {
            let Value::Text(text) = &node.value else {
                findings.add(wrong_type(
                    &format!("stage `{stage}`: the input `{}`", entry.key),
                    node,
                    "the name of a stage or a list of names",
                ));
                right = false;
                continue;
            };
            let Some(found) = self.reference(at, text, node.span, port, findings) else {
                right = false;
                continue;
            };
            for from in found {
                if seen.insert(from) {
                    links.push(Link {
                        from,
                        span: node.span,
                    });
                } else {
                    findings.add(Finding::new(
                        node.span,
                        format!(
                            "stage `{stage}`: the input `{}` names `{}` twice",
                            entry.key, self.stages.instances[from].id
                        ),
                    ));
                    right = false;
                }
            }
        }
        let many = port.is_none_or(|port| port.arity.takes_many());
        if right && links.len() > 1 && !many {
            findings.add(
                Finding::new(
                    entry.node.span,
                    format!(
                        "stage `{stage}`: the input `{}` takes one stage, but {} are given",
                        entry.key,
                        links.len()
                    ),
                )
                .hint(format!(
                    "they are {}",
                    some(
                        links
                            .iter()
                            .map(|link| self.stages.instances[link.from].id.as_str())
                    )
                )),
            );
            right = false;
        }
        right.then_some(links)
    }

    fn stage_of(&self, at: usize) -> &str {
        &self.stages.declared[self.stages.instances[at].declared].name
    }

    /// The instances that a reference names; `None` after a problem.
    fn reference(
        &self,
        at: usize,
        text: &str,
        span: Span,
        port: Option<&Port>,
        findings: &mut Findings,
    ) -> Option<Vec<usize>> {
        let stage = self.stage_of(at);
        let reference = match parse(text) {
            Ok(reference) => reference,
            Err(message) => {
                findings.add(Finding::new(span, format!("stage `{stage}`: {message}")));
                return None;
            }
        };
        let name = reference.name;
        let Some(group) = self.stages.groups.get(name) else {
            findings.add(self.unknown_stage(stage, name, span));
            return None;
        };
        if let (Some(port), Some(output)) = (port, group.output) {
            if !port.accepts.contains(&output) {
                findings.add(
                    Finding::new(
                        span,
                        format!(
                            "stage `{stage}`: the input `{}` takes {}, but `{name}` makes `{output}`",
                            port.name,
                            kinds(port)
                        ),
                    )
                    .related(group.header, format!("makes `{output}`"))
                    .hints(self.fitting(port)),
                );
                return None;
            }
        }
        if group.broken {
            return None;
        }
        let one_only = port.is_some_and(|port| !port.arity.takes_many());
        let shared = self.shared(at, group);
        match reference.arms {
            Arms::All if one_only && shared.len() < group.axes.len() => {
                let port = port.map_or("", |port| port.name);
                findings.add(
                    Finding::new(
                        span,
                        format!("stage `{stage}`: the input `{port}` takes one stage, but `{text}` is every arm"),
                    )
                    .hint(self.selection_hint(name, group)),
                );
                None
            }
            Arms::All => Some(group.select(&shared)),
            Arms::Where(pairs) => {
                Self::selected(stage, name, group, &pairs, &shared, span, findings)
            }
            Arms::Equal if group.axes.is_empty() => Some(group.members.clone()),
            Arms::Equal => self.equal_arm(at, name, group, span, one_only, findings),
        }
    }

    /// The swept values that a stage shares with a group: of these arms it is given no others.
    fn shared(&self, at: usize, group: &Group) -> Vec<(usize, &'a str)> {
        if self.stages.swept.is_empty() {
            return Vec::new();
        }
        let instance = &self.stages.instances[at];
        instance
            .values(&self.stages.declared[instance.declared])
            .filter(|(axis, _)| self.stages.swept.contains(*axis))
            .filter_map(|(axis, value)| {
                let position = group.axes.iter().position(|known| known == axis)?;
                Some((position, value))
            })
            .collect()
    }

    fn selected(
        stage: &str,
        name: &str,
        group: &Group,
        pairs: &[(&str, &str)],
        shared: &[(usize, &str)],
        span: Span,
        findings: &mut Findings,
    ) -> Option<Vec<usize>> {
        let mut values = Vec::new();
        for &(axis, value) in pairs {
            let Some(position) = group.axes.iter().position(|known| known == axis) else {
                let message = format!("stage `{stage}`: `{name}` has no axis `{axis}`");
                let finding = Finding::new(span, message).related(group.header, "declared here");
                findings.add(if group.axes.is_empty() {
                    finding.hint(format!("`{name}` has no matrix"))
                } else {
                    let known = group.axes.iter().map(String::as_str);
                    finding.hints(suggest(axis, "axes", known))
                });
                return None;
            };
            if !group.values(position).any(|known| known == value) {
                findings.add(
                    Finding::new(
                        span,
                        format!("stage `{stage}`: `{name}` has no arm with `{axis}={value}`"),
                    )
                    .hints(suggest(
                        value,
                        &format!("values of `{axis}`"),
                        group.values(position),
                    )),
                );
                return None;
            }
            values.push((position, value));
        }
        let named: BTreeSet<usize> = values.iter().map(|(axis, _)| *axis).collect();
        values.extend(shared.iter().filter(|(axis, _)| !named.contains(axis)));
        let found = group.select(&values);
        if found.is_empty() {
            findings.add(Finding::new(
                span,
                format!("stage `{stage}`: no arm of `{name}` has all of these values"),
            ));
            return None;
        }
        Some(found)
    }

    /// The arm of `group` that has the values of the stage at `at`.
    fn equal_arm(
        &self,
        at: usize,
        name: &str,
        group: &Group,
        span: Span,
        one_only: bool,
        findings: &mut Findings,
    ) -> Option<Vec<usize>> {
        let instance = &self.stages.instances[at];
        let declared = &self.stages.declared[instance.declared];
        let stage = declared.name.as_str();
        let own: BTreeMap<&str, &str> = instance.values(declared).collect();
        let wanted: Option<Vec<String>> = group
            .axes
            .iter()
            .map(|axis| own.get(axis.as_str()).map(|value| (*value).to_owned()))
            .collect();
        let Some(wanted) = wanted else {
            let lacking: Vec<&String> = group
                .axes
                .iter()
                .filter(|axis| !own.contains_key(axis.as_str()))
                .collect();
            let axes = listed(lacking.iter().map(|axis| axis.as_str()));
            let mut finding = Finding::new(
                span,
                format!("stage `{stage}`: `{name}` is swept over {axes}, so its name alone does not say which arm"),
            )
            .related(group.header, "the swept stage");
            if !one_only {
                finding = finding.hint(format!("`{name}[*]` is every arm"));
            }
            findings.add(finding.hint(self.selection_hint(name, group)));
            return None;
        };
        if let Some(found) = group.arm(&wanted) {
            return Some(vec![found]);
        }
        let arm = super::reference::id(
            name,
            group
                .axes
                .iter()
                .map(String::as_str)
                .zip(wanted.iter().map(String::as_str)),
        );
        findings.add(
            Finding::new(
                span,
                format!(
                    "stage `{}`: there is no `{arm}` with equal values",
                    instance.id
                ),
            )
            .hint(self.selection_hint(name, group)),
        );
        None
    }

    fn selection_hint(&self, name: &str, group: &Group) -> String {
        let example = group
            .members
            .first()
            .map_or(name, |&at| self.stages.instances[at].id.as_str());
        format!("`{example}` is one arm")
    }

    fn unknown_stage(&self, stage: &str, name: &str, span: Span) -> Finding {
        let finding = Finding::new(span, format!("stage `{stage}`: unknown stage `{name}`"));
        match name.split_once('.') {
            Some((first, _)) if self.stages.groups.contains_key(first) => {
                finding.hint(format!("a stage makes one artifact: write `{first}`"))
            }
            _ => finding.hints(suggest(
                name,
                "stages",
                self.stages.groups.keys().map(String::as_str),
            )),
        }
    }

    /// "stages that make `factors`: `cf`".
    fn fitting(&self, port: &Port) -> Vec<String> {
        let mut makers: Vec<&str> = port
            .accepts
            .iter()
            .filter_map(|kind| self.makers.get(kind))
            .flatten()
            .copied()
            .collect();
        makers.sort_unstable();
        let wanted = kinds(port);
        vec![if makers.is_empty() {
            format!("no stage of this pipeline makes {wanted}")
        } else {
            format!("stages that make {wanted}: {}", some(makers.into_iter()))
        }]
    }
}

fn unknown_port(stage: &str, entry: &Entry, kind: &Kind) -> Finding {
    let finding = Finding::new(
        entry.key_span,
        format!("stage `{stage}`: unknown input `{}`", entry.key),
    );
    if kind.ports.is_empty() {
        return finding.hint(format!("the kind `{}` takes no inputs", kind.name));
    }
    let ports = kind.ports.iter().map(|port| port.name);
    finding.hints(suggest(
        &entry.key,
        &format!("inputs of `{}`", kind.name),
        ports,
    ))
}

/// "`factors` or `embeddings`".
fn kinds(port: &Port) -> String {
    let names: Vec<String> = port
        .accepts
        .iter()
        .map(|kind| format!("`{kind}`"))
        .collect();
    names.join(" or ")
}

/// The first few of many names.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = match names.len().saturating_sub(8) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names: Vec<String> = names.into_iter().take(8).collect();
    format!("{}{more}", names.join(", "))
}
