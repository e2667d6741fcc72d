//! The axes of a swept stage and the values on them.

use super::document::wrong_type;
use super::interpolate::{Lookup, interpolate, references, split};
use super::names::{is_name, suggest};
use super::params::{Params, field};
use super::problem::{Finding, Findings};
use super::source::Span;
use super::value::{Entry, Node, Value};

/// No sweep that a person means has more arms; a slip with many axes would fill the memory.
const MOST_ARMS: usize = 100_000;

/// One axis of a matrix.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) values: Vec<AxisValue>,
}

/// A value on an axis.
#[derive(Clone, Debug)]
pub(super) struct AxisValue {
    /// As in the id of the stage.
    pub(super) text: String,
    /// What `${matrix.axis}` is: the value, or the name of a named arm.
    pub(super) node: Node,
    /// What `${matrix.axis.key}` reads from: the table of a named arm.
    pub(super) fields: Option<Node>,
}

/// Reads `matrix = { axis = [values], … }`. `None` after a problem.
pub(super) fn axes(
    stage: &str,
    matrix: &Node,
    params: &Params,
    findings: &mut Findings,
) -> Option<Vec<Axis>> {
    let raw = matrix;
    let mut lookup = ParamsOnly {
        params,
        no_matrix: ITS_OWN,
    };
    let matrix = interpolate(matrix, &mut lookup, findings)?;
    let Value::Table(entries) = &matrix.value else {
        findings.add(wrong_type(
            &format!("stage `{stage}`: `matrix`"),
            &matrix,
            "a table of axes such as { seed = [1, 2] }",
        ));
        return None;
    };
    if entries.is_empty() {
        findings.add(Finding::new(
            matrix.span,
            format!("stage `{stage}`: the matrix has no axes"),
        ));
        return None;
    }
    let axes: Vec<Option<Axis>> = entries
        .iter()
        .map(|entry| axis(stage, entry, &origins(raw, &entry.key, params), findings))
        .collect();
    let axes: Vec<Axis> = axes.into_iter().collect::<Option<_>>()?;
    let arms = axes
        .iter()
        .fold(1usize, |arms, axis| arms.saturating_mul(axis.values.len()));
    if arms > MOST_ARMS {
        let sizes: Vec<String> = axes
            .iter()
            .map(|axis| format!("{} of `{}`", axis.values.len(), axis.name))
            .collect();
        findings.add(
            Finding::new(
                matrix.span,
                format!("stage `{stage}`: the matrix has {arms} arms, but at most {MOST_ARMS} are allowed"),
            )
            .hint(format!("every combination is an arm: {}", sizes.join(" times "))),
        );
        return None;
    }
    Some(axes)
}

/// Where the values of an axis come from: the references in it, each with its place and value.
fn origins(matrix: &Node, axis: &str, params: &Params) -> Vec<(Span, String)> {
    references(matrix.deepest(&[axis]))
        .into_iter()
        .filter_map(|reference| {
            let source = params.peek(&split(&reference))?;
            Some((source.span, format!("`{reference}` is {}", source.shown())))
        })
        .collect()
}

fn axis(
    stage: &str,
    entry: &Entry,
    origins: &[(Span, String)],
    findings: &mut Findings,
) -> Option<Axis> {
    let explained = |finding: Finding| {
        origins.iter().fold(finding, |finding, (span, text)| {
            finding.related(*span, text)
        })
    };
    let name = &entry.key;
    if !is_name(name) {
        findings.add(super::document::bad_name("an axis", name, entry.key_span));
        return None;
    }
    let values: Vec<Option<AxisValue>> = match &entry.node.value {
        Value::List(nodes) => nodes
            .iter()
            .map(|node| listed_value(stage, name, node, findings))
            .collect(),
        Value::Table(arms) => arms
            .iter()
            .map(|arm| named_value(stage, name, arm, findings))
            .collect(),
        _ => {
            findings.add(explained(wrong_type(
                &format!("stage `{stage}`: the axis `{name}` of the matrix"),
                &entry.node,
                "a list of values or a table of named arms",
            )));
            return None;
        }
    };
    if values.is_empty() {
        findings.add(explained(Finding::new(
            entry.node.span,
            format!("stage `{stage}`: the axis `{name}` of the matrix has no values"),
        )));
        return None;
    }
    let values: Vec<AxisValue> = values.into_iter().collect::<Option<_>>()?;
    let mut texts = std::collections::BTreeSet::new();
    for value in &values {
        if !texts.insert(&value.text) {
            findings.add(explained(Finding::new(
                value.node.span,
                format!(
                    "stage `{stage}`: the axis `{name}` of the matrix has `{}` twice",
                    value.text
                ),
            )));
            return None;
        }
    }
    Some(Axis {
        name: name.clone(),
        values,
    })
}

fn listed_value(
    stage: &str,
    axis: &str,
    node: &Node,
    findings: &mut Findings,
) -> Option<AxisValue> {
    let Some(text) = node.value.plain_text() else {
        findings.add(
            wrong_type(
                &format!("stage `{stage}`: a value of the axis `{axis}`"),
                node,
                "a string, number or truth value",
            )
            .hint(format!(
                "give the arms names: `matrix.{axis} = {{ first = {{ … }}, second = {{ … }} }}`, and read `${{matrix.{axis}.key}}`"
            )),
        );
        return None;
    };
    let in_id = !text.is_empty()
        && !text
            .chars()
            .any(|c| matches!(c, '[' | ']' | ',' | '=' | '*') || c.is_control());
    if !in_id || text.trim() != text {
        findings.add(
            Finding::new(
                node.span,
                format!(
                    "stage `{stage}`: {} cannot be a value of the axis `{axis}`: it is part of the id",
                    node.shown()
                ),
            )
            .hint("brackets, commas, `=`, `*` and outer spaces are for references; give the arms names instead"),
        );
        return None;
    }
    Some(AxisValue {
        text,
        node: node.clone(),
        fields: None,
    })
}

fn named_value(stage: &str, axis: &str, arm: &Entry, findings: &mut Findings) -> Option<AxisValue> {
    if !is_name(&arm.key) {
        findings.add(super::document::bad_name("an arm", &arm.key, arm.key_span));
        return None;
    }
    if !matches!(arm.node.value, Value::Table(_)) {
        findings.add(wrong_type(
            &format!(
                "stage `{stage}`: the arm `{}` of the axis `{axis}`",
                arm.key
            ),
            &arm.node,
            "a table",
        ));
        return None;
    }
    Some(AxisValue {
        text: arm.key.clone(),
        node: Node {
            span: arm.key_span,
            value: Value::Text(arm.key.clone()),
        },
        fields: Some(arm.node.clone()),
    })
}

/// Every combination of values, the last axis the fastest. One empty arm when there are no axes.
pub(super) fn arms(axes: &[Axis]) -> Vec<Vec<usize>> {
    let mut arms = vec![Vec::new()];
    for axis in axes {
        arms = arms
            .iter()
            .flat_map(|arm: &Vec<usize>| {
                (0..axis.values.len()).map(|value| {
                    let mut arm = arm.clone();
                    arm.push(value);
                    arm
                })
            })
            .collect();
    }
    arms
}

/// References of what belongs to no arm: to parameters only.
pub(super) struct ParamsOnly<'a> {
    pub(super) params: &'a Params,
    /// What is said of `${matrix…}`.
    pub(super) no_matrix: &'static str,
}

/// Of the pipeline's own keys.
pub(super) const OUTSIDE_OF_STAGES: &str = "only a stage with a matrix has matrix values";
/// Of a matrix itself.
const ITS_OWN: &str = "a matrix cannot refer to its own values";

impl Lookup for ParamsOnly<'_> {
    fn value(&mut self, path: &[&str], at: Span, findings: &mut Findings) -> Option<Node> {
        if path[0] == "matrix" {
            findings.add(Finding::new(
                at,
                format!("`${{{}}}`: {}", path.join("."), self.no_matrix),
            ));
            return None;
        }
        self.params.find(path, at, findings).cloned()
    }
}

/// References of one arm of a stage: to parameters and to the arm's matrix values.
pub(super) struct ArmLookup<'a> {
    pub(super) stage: &'a str,
    pub(super) params: &'a Params,
    pub(super) axes: &'a [Axis],
    pub(super) arm: &'a [usize],
    /// Whether the matrix had a problem: then nothing is known of its values and nothing said.
    pub(super) broken: bool,
}

impl<'a> ArmLookup<'a> {
    fn axis(&self, name: &str) -> Option<&'a AxisValue> {
        let at = self.axes.iter().position(|axis| axis.name == name)?;
        Some(&self.axes[at].values[self.arm[at]])
    }

    /// What a reference stands for and where that is written; for explaining, so without reports.
    pub(super) fn peek(&self, path: &str) -> Option<&'a Node> {
        let path = split(path);
        if path[0] != "matrix" {
            return self.params.peek(&path);
        }
        let value = self.axis(path.get(1)?)?;
        match (&value.fields, path.len()) {
            (Some(fields), 3..) => Some(fields.deepest(&path[2..])),
            _ => Some(&value.node),
        }
    }
}

impl Lookup for ArmLookup<'_> {
    fn value(&mut self, path: &[&str], at: Span, findings: &mut Findings) -> Option<Node> {
        if path[0] != "matrix" {
            return self.params.find(path, at, findings).cloned();
        }
        if self.broken {
            return None;
        }
        let whole = path.join(".");
        let stage = self.stage;
        let Some(&name) = path.get(1) else {
            findings.add(Finding::new(
                at,
                format!("stage `{stage}`: `${{matrix}}` must name an axis: `${{matrix.seed}}`"),
            ));
            return None;
        };
        let Some(value) = self.axis(name) else {
            let message = if self.axes.is_empty() {
                format!("stage `{stage}`: `${{{whole}}}`: the stage has no matrix")
            } else {
                format!("stage `{stage}`: `${{{whole}}}`: the matrix has no axis `{name}`")
            };
            let axes = self.axes.iter().map(|axis| axis.name.as_str());
            let finding = Finding::new(at, message);
            findings.add(if self.axes.is_empty() {
                finding
            } else {
                finding.hints(suggest(name, "axes", axes))
            });
            return None;
        };
        if path.len() == 2 {
            return Some(value.node.clone());
        }
        let from = value.fields.as_ref().unwrap_or(&value.node);
        // `matrix.arm` is one word of the path here.
        let start = format!("matrix.{name}");
        let mut path = path[1..].to_vec();
        path[0] = &start;
        field(from, &path, at, findings).cloned()
    }
}
