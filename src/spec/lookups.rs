//! What `"${…}"` finds in a matrix and in a stage.

use super::interpolate::{Lookup, split};
use super::matrix::{Arm, AxisValue, Matrix};
use super::names::suggest;
use super::params::{Params, field};
use super::problem::{Finding, Findings};
use super::source::Span;
use super::value::{Node, get};

/// References of a matrix itself: to parameters only.
pub(super) struct ParamsOnly<'a>(pub(super) &'a Params);

impl Lookup for ParamsOnly<'_> {
    fn value(&mut self, path: &[&str], at: Span, findings: &mut Findings) -> Option<Node> {
        if path[0] == "matrix" {
            findings.add(Finding::new(
                at,
                format!(
                    "`${{{}}}`: a matrix cannot refer to its own values",
                    path.join(".")
                ),
            ));
            return None;
        }
        self.0.find(path, at, findings).cloned()
    }
}

/// References of one arm of a stage: to parameters and to the arm's matrix values.
pub(super) struct ArmLookup<'a> {
    pub(super) stage: &'a str,
    pub(super) params: &'a Params,
    /// The id of the arm.
    pub(super) id: &'a str,
    pub(super) matrix: &'a Matrix,
    pub(super) arm: &'a Arm,
    /// Whether the matrix had a problem: then nothing is known of its values and nothing said.
    pub(super) broken: bool,
}

impl<'a> ArmLookup<'a> {
    fn axis(&self, name: &str) -> Option<&'a AxisValue> {
        let axes = &self.matrix.axes;
        let at = axes.iter().position(|axis| axis.name == name)?;
        Some(&axes[at].values[self.arm.at[at]])
    }

    /// A value of the matrix: what `${matrix.name}` is and what `${matrix.name.key}` reads from.
    fn matrix_value(&self, name: &str) -> Option<(&'a Node, &'a Node)> {
        if let Some(value) = self.axis(name) {
            return Some((&value.node, value.fields.as_ref().unwrap_or(&value.node)));
        }
        let extra = &get(&self.arm.extra, name)?.node;
        Some((extra, extra))
    }

    /// Whether a reference is to a value that tells arms apart. What `include` adds is written in one place for many.
    pub(super) fn is_of_axis(&self, path: &str) -> bool {
        let path = split(path);
        path[0] == "matrix"
            && path
                .get(1)
                .is_some_and(|name| get(&self.arm.extra, name).is_none())
    }

    /// What a reference stands for and where that is written; for explaining, so without reports.
    pub(super) fn peek(&self, path: &str) -> Option<&'a Node> {
        let path = split(path);
        if path[0] != "matrix" {
            return self.params.peek(&path);
        }
        let (value, fields) = self.matrix_value(path.get(1)?)?;
        Some(match path.len() {
            3.. => fields.deepest(&path[2..]),
            _ => value,
        })
    }

    /// Why there is no `${matrix.name}`.
    fn no_value(&self, whole: &str, name: &str, at: Span) -> Finding {
        let stage = self.stage;
        let matrix = self.matrix;
        if matrix.axes.is_empty() {
            return Finding::new(
                at,
                format!("stage `{stage}`: `${{{whole}}}`: the stage has no matrix"),
            );
        }
        if matrix.extras.iter().any(|extra| extra == name) {
            return Finding::new(
                at,
                format!(
                    "stage `{stage}`: `${{{whole}}}`: `include` gives `{name}` to some arms, but not to all"
                ),
            )
            .hint(format!("`{}` has none", self.id))
            .hint(format!(
                "an entry without axes is for every arm: `include = [{{ {name} = … }}, …]`"
            ));
        }
        let known = matrix
            .axes
            .iter()
            .map(|axis| axis.name.as_str())
            .chain(matrix.extras.iter().map(String::as_str));
        Finding::new(
            at,
            format!("stage `{stage}`: `${{{whole}}}`: the matrix has no axis `{name}`"),
        )
        .hints(suggest(
            name,
            if matrix.extras.is_empty() {
                "axes"
            } else {
                "axes and included values"
            },
            known,
        ))
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
        let Some((value, from)) = self.matrix_value(name) else {
            findings.add(self.no_value(&whole, name, at));
            return None;
        };
        if path.len() == 2 {
            return Some(value.clone());
        }
        // `matrix.arm` is one word of the path here.
        let start = format!("matrix.{name}");
        let mut path = path[1..].to_vec();
        path[0] = &start;
        field(from, &path, at, findings).cloned()
    }
}
