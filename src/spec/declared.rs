//! Stages as the file declares them: kind and axes read, arms named, parameters still raw.

use super::document::{Document, bad_name, wrong_type};
use super::execution::EXECUTION_KEYS;
use super::matrix::{self, Arm, Axis, AxisValue, Matrix};
use super::names::{is_name, suggest};
use super::params::Params;
use super::problem::{Finding, Findings};
use super::reference::{Arms, id, parse};
use super::source::Span;
use super::spread::spread;
use super::sweep::{Sweeps, World};
use super::value::{Entry, Node, Value, get};
use crate::stages::{ArtifactKind, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Keys of a stage that are not parameters of its kind.
const OWN_KEYS: [&str; 4] = ["kind", "inputs", "matrix", "seed"];

/// Every key of a stage that is not a parameter of its kind.
pub(super) fn stage_keys() -> impl Iterator<Item = &'static str> {
    OWN_KEYS.into_iter().chain(EXECUTION_KEYS)
}

/// Whether a key of a stage is not a parameter of its kind.
pub(super) fn is_stage_key(key: &str) -> bool {
    stage_keys().any(|known| known == key)
}

/// One `[stage.NAME]` before its matrix is read.
#[derive(Debug)]
pub(super) struct Raw {
    /// Without an arm.
    pub(super) name: String,
    /// The name in the header.
    header: Span,
    pub(super) entries: Rc<Vec<Entry>>,
    /// `None` after a problem.
    pub(super) kind: Option<&'static Kind>,
    /// The arm of the header; without axes when it has none.
    own_arm: Vec<Axis>,
}

impl Raw {
    /// The matrix with these parameters, and whether it had a problem, so that the arms are not known.
    pub(super) fn matrix(&self, params: &Params, findings: &mut Findings) -> (Matrix, bool) {
        match get(&self.entries, "matrix") {
            Some(matrix) if self.own_arm.is_empty() => {
                match matrix::read(&self.name, &matrix.node, params, findings) {
                    Some(matrix) => (matrix, false),
                    None => (Matrix::none(), true),
                }
            }
            _ => (Matrix::fixed(self.own_arm.clone()), false),
        }
    }
}

/// One `[stage.NAME]`, with one combination of swept values.
#[derive(Debug)]
pub(super) struct Declared {
    /// Without an arm.
    pub(super) name: String,
    /// The name in the header.
    pub(super) header: Span,
    pub(super) entries: Rc<Vec<Entry>>,
    /// `None` after a problem.
    pub(super) kind: Option<&'static Kind>,
    /// Its parameters: those of the file, with swept ones at their values.
    pub(super) params: Rc<Params>,
    pub(super) matrix: Matrix,
    /// Whether the matrix had a problem, so that the arms are not known.
    pub(super) broken: bool,
}

impl Declared {
    fn new(raw: &Raw, world: &World, sweeps: &mut Sweeps, findings: &mut Findings) -> Self {
        let params = sweeps.params(world, findings);
        let (mut matrix, mut broken) = raw.matrix(&params, findings);
        for axis in sweeps.axes(world) {
            if matrix.axes.iter().any(|own| own.name == axis.name) {
                let sweep = sweeps.list.iter().find(|sweep| sweep.name == axis.name);
                findings.add(
                    Finding::new(
                        sweep.map_or(raw.header, |sweep| sweep.span),
                        format!(
                            "--sweep: the stage `{}` has an axis `{}` of its own",
                            raw.name, axis.name
                        ),
                    )
                    .related(raw.header, "declared here")
                    .hint(format!(
                        "`--set {}=…` changes the parameter that the axis may come from",
                        axis.name
                    )),
                );
                broken = true;
            } else {
                matrix.push(axis);
            }
        }
        Self {
            name: raw.name.clone(),
            header: raw.header,
            entries: Rc::clone(&raw.entries),
            kind: raw.kind,
            params,
            matrix,
            broken,
        }
    }
}

/// One arm of a declared stage; of a stage without a matrix there is one.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    /// The position of its [`Declared`].
    pub(super) declared: usize,
    pub(super) arm: Arm,
}

impl Instance {
    /// Axis and value, in the order of the file.
    pub(super) fn values<'a>(
        &'a self,
        declared: &'a Declared,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        declared
            .matrix
            .axes
            .iter()
            .zip(&self.arm.at)
            .map(|(axis, &at)| (axis.name.as_str(), axis.values[at].text.as_str()))
    }
}

/// All arms of one stage name, for finding what a reference means without looking at every arm.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) header: Span,
    pub(super) axes: Vec<String>,
    /// Positions of instances in the order of the file.
    pub(super) members: Vec<usize>,
    /// What the stage makes; `None` when its kind has a problem.
    pub(super) output: Option<ArtifactKind>,
    /// Whether the matrix had a problem, so that the arms are not known.
    pub(super) broken: bool,
    /// All values in the order of the axes -> instance.
    by_arm: BTreeMap<Vec<String>, usize>,
    /// By axis: value -> instances in order.
    by_value: Vec<BTreeMap<String, Vec<usize>>>,
}

impl Group {
    /// The arm with these values, one an axis.
    pub(super) fn arm(&self, values: &[String]) -> Option<usize> {
        self.by_arm.get(values).copied()
    }

    /// The arms with all of these values, in order.
    pub(super) fn select(&self, values: &[(usize, &str)]) -> Vec<usize> {
        let mut lists: Vec<&[usize]> = values
            .iter()
            .map(|&(axis, value)| {
                self.by_value[axis]
                    .get(value)
                    .map_or(&[][..], Vec::as_slice)
            })
            .collect();
        lists.sort_by_key(|list| list.len());
        let Some((shortest, others)) = lists.split_first() else {
            return self.members.clone();
        };
        shortest
            .iter()
            .copied()
            .filter(|member| others.iter().all(|list| list.binary_search(member).is_ok()))
            .collect()
    }

    /// The values of an axis, in order of text.
    pub(super) fn values(&self, axis: usize) -> impl Iterator<Item = &str> {
        self.by_value[axis].keys().map(String::as_str)
    }
}

/// The stages of a file.
#[derive(Debug, Default)]
pub(super) struct Stages {
    pub(super) declared: Vec<Declared>,
    pub(super) instances: Vec<Instance>,
    pub(super) groups: BTreeMap<String, Group>,
    /// The axes that `--sweep` brought.
    pub(super) swept: BTreeSet<String>,
}

/// Reads every stage's kind and matrix, and spreads sweeps over them.
pub(super) fn declare(
    document: &mut Document,
    profile: Option<&str>,
    sweeps: &mut Sweeps,
    kinds: &'static [Kind],
    findings: &mut Findings,
) -> Stages {
    override_keys(document, profile, findings);
    let kinds: BTreeMap<&str, &'static Kind> = kinds.iter().map(|kind| (kind.name, kind)).collect();
    let raws: Vec<Raw> = std::mem::take(&mut document.stages)
        .into_iter()
        .filter_map(|entry| raw(entry, &kinds, findings))
        .collect();
    let seed = document.seed.as_ref().map(|entry| &entry.node);
    let reached = spread(&raws, seed, sweeps, findings);
    let mut stages = Stages {
        swept: sweeps.list.iter().map(|sweep| sweep.name.clone()).collect(),
        ..Stages::default()
    };
    let none = BTreeSet::new();
    for raw in &raws {
        let worlds = sweeps.worlds(reached.get(raw.name.as_str()).unwrap_or(&none));
        let variants = worlds
            .iter()
            .map(|world| Declared::new(raw, world, sweeps, findings))
            .collect();
        stages.add(variants, findings);
    }
    stages
}

/// Applies `[profile.NAME.stage.X]` to the stages.
fn override_keys(document: &mut Document, active: Option<&str>, findings: &mut Findings) {
    let positions: BTreeMap<String, usize> = document
        .stages
        .iter()
        .enumerate()
        .map(|(at, entry)| (entry.key.clone(), at))
        .collect();
    for (name, profile) in &document.profiles {
        for stage in &profile.stages {
            let Some(&at) = positions.get(&stage.key) else {
                let known = positions.keys().map(String::as_str);
                findings.add(
                    Finding::new(
                        stage.key_span,
                        format!("profile `{name}`: unknown stage `{}`", stage.key),
                    )
                    .hints(suggest(&stage.key, "stages", known)),
                );
                continue;
            };
            let (Value::Table(changes), Value::Table(entries)) =
                (&stage.node.value, &mut document.stages[at].node.value)
            else {
                continue;
            };
            for change in changes {
                if change.key == "kind" {
                    findings.add(Finding::new(
                        change.key_span,
                        format!(
                            "profile `{name}`: the kind of stage `{}` cannot be changed",
                            stage.key
                        ),
                    ));
                } else if active != Some(name) {
                    // Its values are checked when the profile is in use.
                } else if let Some(entry) = entries.iter_mut().find(|e| e.key == change.key) {
                    *entry = change.clone();
                } else {
                    entries.push(change.clone());
                }
            }
        }
    }
}

/// `None` when not even the name is right.
fn raw(
    entry: Entry,
    kinds: &BTreeMap<&str, &'static Kind>,
    findings: &mut Findings,
) -> Option<Raw> {
    let Value::Table(entries) = entry.node.value else {
        return None;
    };
    let header = entry.key_span;
    let (name, own_arm) = header_name(&entry.key, header, findings)?;
    let kind = kind(&entry.key, header, &entries, kinds, findings);
    if let (Some(matrix), false) = (get(&entries, "matrix"), own_arm.is_empty()) {
        findings.add(Finding::new(
            matrix.key_span,
            format!(
                "stage `{}` is one arm already and cannot have a matrix",
                entry.key
            ),
        ));
    }
    Some(Raw {
        name,
        header,
        entries: Rc::new(entries),
        kind,
        own_arm,
    })
}

/// Reads `NAME`, or the `"NAME[axis=value]"` of an expanded file: one arm by itself.
fn header_name(key: &str, span: Span, findings: &mut Findings) -> Option<(String, Vec<Axis>)> {
    let reference = match parse(key) {
        Ok(reference) if is_name(reference.name) => reference,
        _ => {
            findings.add(bad_name("a stage", key, span));
            return None;
        }
    };
    let axes = match reference.arms {
        Arms::Equal => Vec::new(),
        Arms::All => {
            findings.add(bad_name("a stage", key, span));
            return None;
        }
        Arms::Where(pairs) => pairs
            .iter()
            .map(|(axis, value)| Axis {
                name: (*axis).to_owned(),
                span,
                values: vec![AxisValue {
                    text: (*value).to_owned(),
                    node: Node {
                        span,
                        value: Value::Text((*value).to_owned()),
                    },
                    fields: None,
                }],
            })
            .collect(),
    };
    Some((reference.name.to_owned(), axes))
}

fn kind(
    stage: &str,
    header: Span,
    entries: &[Entry],
    kinds: &BTreeMap<&str, &'static Kind>,
    findings: &mut Findings,
) -> Option<&'static Kind> {
    let Some(entry) = get(entries, "kind") else {
        findings.add(
            Finding::new(header, format!("stage `{stage}` has no `kind`")).hints(suggest(
                stage,
                "kinds",
                kinds.keys().copied(),
            )),
        );
        return None;
    };
    let Value::Text(name) = &entry.node.value else {
        findings.add(wrong_type(
            &format!("stage `{stage}`: `kind`"),
            &entry.node,
            "a string",
        ));
        return None;
    };
    let kind = kinds.get(name.as_str()).copied();
    if kind.is_none() {
        findings.add(
            Finding::new(
                entry.node.span,
                format!("stage `{stage}`: unknown kind `{name}`"),
            )
            .hints(suggest(name, "kinds", kinds.keys().copied())),
        );
    }
    kind
}

impl Stages {
    /// Adds one `[stage.NAME]`: a variant for each combination of swept values.
    fn add(&mut self, mut variants: Vec<Declared>, findings: &mut Findings) {
        if variants.iter().any(|variant| variant.broken) {
            // Without the arms there is no telling the variants apart.
            variants.truncate(1);
            variants[0].broken = true;
        }
        let most = variants.iter().map(|variant| variant.matrix.arms.len());
        let most = most.max().unwrap_or(0);
        if most.saturating_mul(variants.len()) > matrix::MOST_ARMS {
            let message = format!(
                "stage `{}`: the matrix and the sweep have more than {} arms",
                variants[0].name,
                matrix::MOST_ARMS
            );
            findings.add(Finding::new(variants[0].header, message));
            return;
        }
        let first = self.declared.len();
        let right: Vec<bool> = variants
            .iter()
            .map(|variant| self.fits(variant, findings))
            .collect();
        // Swept axes are the last in an id, so their values change first.
        for arm in 0..most {
            for (at, variant) in variants.iter().enumerate() {
                if let (true, Some(arm)) = (right[at], variant.matrix.arms.get(arm)) {
                    self.add_arm(variant, first + at, arm, findings);
                }
            }
        }
        self.declared.extend(variants);
    }

    /// Whether the axes of a variant are those of its group.
    fn fits(&mut self, declared: &Declared, findings: &mut Findings) -> bool {
        let axes: Vec<String> = declared
            .matrix
            .axes
            .iter()
            .map(|axis| axis.name.clone())
            .collect();
        let distinct: BTreeSet<&String> = axes.iter().collect();
        if distinct.len() < axes.len() {
            findings.add(Finding::new(
                declared.header,
                format!("stage `{}`: an axis is named twice", declared.name),
            ));
            return false;
        }
        let output = declared.kind.map(|kind| kind.output);
        let group = self
            .groups
            .entry(declared.name.clone())
            .or_insert_with(|| Group {
                header: declared.header,
                by_value: vec![BTreeMap::new(); axes.len()],
                axes: axes.clone(),
                members: Vec::new(),
                output,
                broken: declared.broken,
                by_arm: BTreeMap::new(),
            });
        if group.axes != axes || (group.output != output && output.is_some()) {
            findings.add(
                Finding::new(
                    declared.header,
                    format!(
                        "the arms of stage `{}` must have the same axes and make the same artifact",
                        declared.name
                    ),
                )
                .related(group.header, "another arm is declared here"),
            );
            return false;
        }
        true
    }

    fn add_arm(&mut self, variant: &Declared, declared: usize, arm: &Arm, findings: &mut Findings) {
        let at = self.instances.len();
        let mut instance = Instance {
            id: String::new(),
            declared,
            arm: arm.clone(),
        };
        instance.id = id(&variant.name, instance.values(variant));
        let texts: Vec<String> = instance
            .values(variant)
            .map(|(_, value)| value.to_owned())
            .collect();
        let Some(group) = self.groups.get_mut(&variant.name) else {
            return;
        };
        for (axis, text) in texts.iter().enumerate() {
            group.by_value[axis]
                .entry(text.clone())
                .or_default()
                .push(at);
        }
        if group.by_arm.insert(texts, at).is_some() {
            findings.add(
                Finding::new(
                    variant.header,
                    format!("the stage `{}` is declared twice", instance.id),
                )
                .related(group.header, "an arm of it is declared here"),
            );
        }
        group.members.push(at);
        self.instances.push(instance);
    }
}
