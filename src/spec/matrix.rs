//! The axes of a swept stage and the values on them.

use super::arms::{MATRIX_WORDS, arms};
use super::document::wrong_type;
use super::interpolate::{interpolate, references, split};
use super::lookups::ParamsOnly;
use super::names::is_name;
use super::params::Params;
use super::problem::{Finding, Findings};
use super::source::Span;
use super::value::{Entry, Node, Value};

/// No sweep that a person means has more arms; a slip with many axes would fill the memory.
pub(super) const MOST_ARMS: usize = 100_000;

/// One axis of a matrix.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) name: String,
    /// Where its values are written.
    pub(super) span: Span,
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

/// The axes of a swept stage and which combinations of their values are arms.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) axes: Vec<Axis>,
    /// In order. One without values when there are no axes.
    pub(super) arms: Vec<Arm>,
    /// The names of all values that `include` adds to arms, for messages.
    pub(super) extras: Vec<String>,
}

/// One combination of values.
#[derive(Clone, Debug, Default)]
pub(super) struct Arm {
    /// The position of the value on each axis.
    pub(super) at: Vec<usize>,
    /// What `include` adds: no part of the id.
    pub(super) extra: Vec<Entry>,
}

impl Matrix {
    /// Of a stage without a matrix.
    pub(super) fn none() -> Self {
        Self::fixed(Vec::new())
    }

    /// Of axes with one value each.
    pub(super) fn fixed(axes: Vec<Axis>) -> Self {
        let arm = Arm {
            at: vec![0; axes.len()],
            extra: Vec::new(),
        };
        Self {
            axes,
            arms: vec![arm],
            extras: Vec::new(),
        }
    }

    /// Adds an axis with one value, after the others.
    pub(super) fn push(&mut self, axis: Axis) {
        self.axes.push(axis);
        for arm in &mut self.arms {
            arm.at.push(0);
        }
    }
}

/// Reads `matrix = { axis = [values], … }`. `None` after a problem.
pub(super) fn read(
    stage: &str,
    matrix: &Node,
    params: &Params,
    findings: &mut Findings,
) -> Option<Matrix> {
    let raw = matrix;
    let matrix = interpolate(matrix, &mut ParamsOnly(params), findings)?;
    let Value::Table(entries) = &matrix.value else {
        findings.add(wrong_type(
            &format!("stage `{stage}`: `matrix`"),
            &matrix,
            "a table of axes such as { seed = [1, 2] }",
        ));
        return None;
    };
    let (words, axes): (Vec<&Entry>, Vec<&Entry>) = entries
        .iter()
        .partition(|entry| MATRIX_WORDS.contains(&entry.key.as_str()));
    if axes.is_empty() {
        let finding = Finding::new(
            matrix.span,
            format!("stage `{stage}`: the matrix has no axes"),
        );
        findings.add(match words.first() {
            None => finding,
            Some(word) => finding.hint(format!(
                "`{}` works on the arms of axes; for arms one by one give them names: `matrix.arm = {{ first = {{ … }}, second = {{ … }} }}`",
                word.key
            )),
        });
        return None;
    }
    let axes: Vec<Option<Axis>> = axes
        .into_iter()
        .map(|entry| axis(stage, entry, &origins(raw, &entry.key, params), findings))
        .collect();
    let axes: Vec<Axis> = axes.into_iter().collect::<Option<_>>()?;
    arms(stage, matrix.span, axes, &words, findings)
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
        span: entry.node.span,
        values,
    })
}

pub(super) fn listed_value(
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
    if !fits_id(&text) {
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

/// Whether a text can be a value in an id and in a reference.
pub(super) fn fits_id(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text
            .chars()
            .any(|c| matches!(c, '[' | ']' | ',' | '=' | '*') || c.is_control())
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
