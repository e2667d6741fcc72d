//! Which combinations of a matrix's values are arms: `zip`, `exclude` and `include`.
//!
//! They are applied in this order. Values compare as they stand in ids, so that `1` and `"1"` are one.

use super::document::{bad_name, wrong_type};
use super::matrix::{Arm, Axis, AxisValue, MOST_ARMS, Matrix, listed_value};
use super::names::{is_name, listed, suggest};
use super::problem::{Finding, Findings};
use super::reference::id;
use super::source::Span;
use super::value::{Entry, Node, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of a matrix that are no axes.
pub(super) const MATRIX_WORDS: [&str; 3] = ["include", "exclude", "zip"];

/// The arms of checked axes. `words` are the entries for [`MATRIX_WORDS`]. `None` after a problem.
pub(super) fn arms(
    stage: &str,
    span: Span,
    axes: Vec<Axis>,
    words: &[&Entry],
    findings: &mut Findings,
) -> Option<Matrix> {
    let word = |name: &str| words.iter().find(|entry| entry.key == name).copied();
    let mut this = Choosing {
        stage,
        axes,
        findings,
    };
    let dimensions = match word("zip") {
        None => (0..this.axes.len()).map(|axis| vec![axis]).collect(),
        Some(entry) => this.zip(entry)?,
    };
    let mut all = this.product(span, &dimensions)?;
    if let Some(entry) = word("exclude") {
        all = this.exclude(entry, all)?;
    }
    let mut arms: Vec<Arm> = all
        .into_iter()
        .map(|at| Arm {
            at,
            extra: Vec::new(),
        })
        .collect();
    let extras = match word("include") {
        None => Vec::new(),
        Some(entry) => this.include(entry, &mut arms)?,
    };
    if arms.is_empty() {
        let at = word("exclude").map_or(span, |entry| entry.node.span);
        let message = format!("stage `{stage}`: `exclude` drops every arm");
        this.findings.add(Finding::new(at, message));
        return None;
    }
    Some(Matrix {
        axes: this.axes,
        arms,
        extras,
    })
}

struct Choosing<'a> {
    stage: &'a str,
    axes: Vec<Axis>,
    findings: &'a mut Findings,
}

impl Choosing<'_> {
    /// Every combination of values, the last dimension the fastest. A dimension is one axis, or axes that advance
    /// together.
    fn product(&mut self, span: Span, dimensions: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
        let length = |dimension: &Vec<usize>| self.axes[dimension[0]].values.len();
        let count = dimensions.iter().try_fold(1usize, |count, dimension| {
            count.checked_mul(length(dimension))
        });
        if count.is_none_or(|count| count > MOST_ARMS) {
            let message = format!(
                "stage `{}`: the matrix has more than {MOST_ARMS} arms",
                self.stage
            );
            self.findings.add(Finding::new(span, message));
            return None;
        }
        let mut arms = vec![vec![0; self.axes.len()]];
        for dimension in dimensions {
            let length = length(dimension);
            arms = arms
                .iter()
                .flat_map(|arm| {
                    (0..length).map(|value| {
                        let mut arm = arm.clone();
                        for &axis in dimension {
                            arm[axis] = value;
                        }
                        arm
                    })
                })
                .collect();
        }
        Some(arms)
    }

    /// Reads `zip = [["a", "b"], …]` into dimensions, each at the place of its first axis.
    fn zip(&mut self, entry: &Entry) -> Option<Vec<Vec<usize>>> {
        let what = format!("stage `{}`: `zip` of the matrix", self.stage);
        let form = "a list of lists of axes such as [[\"first\", \"second\"]]";
        let Value::List(groups) = &entry.node.value else {
            self.wrong_word(&what, &entry.node, form, "zip");
            return None;
        };
        let mut group_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut read: Vec<Vec<usize>> = Vec::new();
        let mut right = true;
        for node in groups {
            let Some(group) = self.zip_group(&what, form, node) else {
                right = false;
                continue;
            };
            for &axis in &group {
                if group_of.insert(axis, read.len()).is_some() {
                    let message = format!("{what} has the axis `{}` twice", self.axes[axis].name);
                    self.findings.add(Finding::new(node.span, message));
                    right = false;
                }
            }
            read.push(group);
        }
        if !right {
            return None;
        }
        let mut placed = BTreeSet::new();
        Some(
            (0..self.axes.len())
                .filter_map(|axis| match group_of.get(&axis) {
                    None => Some(vec![axis]),
                    Some(&group) => placed.insert(group).then(|| read[group].clone()),
                })
                .collect(),
        )
    }

    fn zip_group(&mut self, what: &str, form: &str, node: &Node) -> Option<Vec<usize>> {
        let Value::List(names) = &node.value else {
            let finding = wrong_type(&format!("{what}: an entry"), node, "a list of axes");
            self.findings.add(finding.hint(format!("`zip` is {form}")));
            return None;
        };
        let mut group = Vec::new();
        for name in names {
            let Value::Text(text) = &name.value else {
                let what = format!("{what}: an axis");
                self.findings
                    .add(wrong_type(&what, name, "the name of an axis"));
                return None;
            };
            group.push(self.axis("zip", text, name.span)?);
        }
        let [first, others @ ..] = group.as_slice() else {
            let message = format!("{what}: an entry has no axes");
            self.findings.add(Finding::new(node.span, message));
            return None;
        };
        if others.is_empty() {
            let message = format!(
                "{what}: `{}` is alone, but at least two axes can advance together",
                self.axes[*first].name
            );
            self.findings.add(Finding::new(node.span, message));
            return None;
        }
        let first = &self.axes[*first];
        for &other in others {
            let other = &self.axes[other];
            if other.values.len() != first.values.len() {
                let finding = Finding::new(
                    node.span,
                    format!(
                        "{what}: `{}` has {} and `{}` has {}, but axes that advance together must have equally many",
                        first.name,
                        values(first.values.len()),
                        other.name,
                        values(other.values.len())
                    ),
                )
                .related(first.span, values(first.values.len()))
                .related(other.span, values(other.values.len()));
                self.findings.add(finding);
                return None;
            }
        }
        Some(group)
    }

    /// Drops the arms that have all values of an entry of `exclude`; a list stands for any of its values.
    fn exclude(&mut self, entry: &Entry, all: Vec<Vec<usize>>) -> Option<Vec<Vec<usize>>> {
        let mut dropped = vec![false; all.len()];
        let mut right = true;
        for (node, keys) in self.tables("exclude", entry)? {
            let Some(wanted) = self.partial(keys) else {
                right = false;
                continue;
            };
            if wanted.is_empty() {
                let message = format!(
                    "stage `{}`: an entry of `exclude` names no axis, so it would drop every arm",
                    self.stage
                );
                self.findings.add(Finding::new(node.span, message));
                right = false;
                continue;
            }
            let mut any = false;
            for (arm, dropped) in all.iter().zip(&mut dropped) {
                if wanted
                    .iter()
                    .all(|(axis, values)| values.contains(&arm[*axis]))
                {
                    *dropped = true;
                    any = true;
                }
            }
            if !any {
                let message = format!(
                    "stage `{}`: an entry of `exclude` matches no arm",
                    self.stage
                );
                let finding = Finding::new(node.span, message)
                    .hint("each value is on its axis, but `zip` lets no arm have them together");
                self.findings.add(finding);
                right = false;
            }
        }
        right.then(|| {
            let kept = all.into_iter().zip(dropped);
            kept.filter(|(_, dropped)| !dropped)
                .map(|(arm, _)| arm)
                .collect()
        })
    }

    /// The values that each axis of an entry of `exclude` may have.
    fn partial(&mut self, keys: &[Entry]) -> Option<Vec<(usize, Vec<usize>)>> {
        let mut wanted = Vec::new();
        let mut right = true;
        for key in keys {
            let Some(axis) = self.axis("exclude", &key.key, key.key_span) else {
                right = false;
                continue;
            };
            let one = std::slice::from_ref(&key.node);
            let nodes = match &key.node.value {
                Value::List(nodes) => nodes.as_slice(),
                _ => one,
            };
            let values: Vec<Option<usize>> = nodes
                .iter()
                .map(|node| {
                    let found = self.known(axis, node);
                    if found.is_none() {
                        self.unknown_value("exclude", axis, node);
                    }
                    found
                })
                .collect();
            match values.into_iter().collect::<Option<Vec<usize>>>() {
                Some(values) => wanted.push((axis, values)),
                None => right = false,
            }
        }
        right.then_some(wanted)
    }

    /// Adds the arms that entries of `include` are, then the values that they add to arms. Returns the names of these.
    fn include(&mut self, entry: &Entry, arms: &mut Vec<Arm>) -> Option<Vec<String>> {
        let mut entries = Vec::new();
        let mut right = true;
        for (node, keys) in self.tables("include", entry)? {
            match self.included(node, keys) {
                Some(included) => entries.push(included),
                None => right = false,
            }
        }
        // New arms first, so that the order of the entries does not decide which arms an added value reaches.
        let mut known: BTreeSet<Vec<usize>> = arms.iter().map(|arm| arm.at.clone()).collect();
        for included in &entries {
            right &= self.add_arm(included, &mut known, arms);
        }
        let mut extras = BTreeSet::new();
        for included in entries.iter().filter(|included| !included.extra.is_empty()) {
            extras.extend(included.extra.iter().map(|entry| entry.key.clone()));
            let mut any = false;
            for arm in arms.iter_mut().filter(|arm| included.fits(arm)) {
                any = true;
                for entry in &included.extra {
                    arm.extra.retain(|known| known.key != entry.key);
                    arm.extra.push(entry.clone());
                }
            }
            if right && !any {
                let lacking = self.lacking(included);
                let message = format!(
                    "stage `{}`: an entry of `include` matches no arm, and is none of its own without a value of {lacking}",
                    self.stage
                );
                self.findings.add(Finding::new(included.span, message));
                right = false;
            }
        }
        right.then(|| extras.into_iter().collect())
    }

    /// Reads an entry of `include`; a value that is not on its axis yet is added to it.
    fn included(&mut self, node: &Node, keys: &[Entry]) -> Option<Included> {
        let mut included = Included {
            span: node.span,
            values: BTreeMap::new(),
            extra: Vec::new(),
        };
        let mut right = true;
        for key in keys {
            let Some(axis) = self.axes.iter().position(|axis| axis.name == key.key) else {
                right &= self.extra_name(key);
                included.extra.push(key.clone());
                continue;
            };
            let value = self.known(axis, &key.node);
            match value.or_else(|| self.new_value(axis, &key.node)) {
                Some(value) => {
                    included.values.insert(axis, value);
                }
                None => right = false,
            }
        }
        if right && keys.is_empty() {
            let message = format!("stage `{}`: an entry of `include` is empty", self.stage);
            self.findings.add(Finding::new(node.span, message));
            right = false;
        }
        right.then_some(included)
    }

    fn extra_name(&mut self, key: &Entry) -> bool {
        let right = is_name(&key.key);
        if !right {
            self.findings
                .add(bad_name("an included value", &key.key, key.key_span));
        }
        right
    }

    /// Adds the arm that an entry with every axis is, unless it is there. False after a problem.
    fn add_arm(
        &mut self,
        included: &Included,
        known: &mut BTreeSet<Vec<usize>>,
        arms: &mut Vec<Arm>,
    ) -> bool {
        let whole = included.values.len() == self.axes.len();
        if !whole && included.extra.is_empty() {
            let message = format!(
                "stage `{}`: an entry of `include` is no arm without a value of {}, and adds nothing to other arms",
                self.stage,
                self.lacking(included)
            );
            self.findings.add(Finding::new(included.span, message));
            return false;
        }
        if !whole {
            return true;
        }
        let at: Vec<usize> = included.values.values().copied().collect();
        let new = known.insert(at.clone());
        if !new && included.extra.is_empty() {
            let values = at.iter().zip(&self.axes);
            let id = id(
                self.stage,
                values.map(|(&at, axis)| (axis.name.as_str(), axis.values[at].text.as_str())),
            );
            let message = format!(
                "stage `{}`: `include` has the arm `{id}`, which is there already",
                self.stage
            );
            self.findings.add(Finding::new(included.span, message));
            return false;
        }
        if new {
            arms.push(Arm {
                at,
                extra: Vec::new(),
            });
        }
        true
    }

    /// The axes that an entry has no value of.
    fn lacking(&self, included: &Included) -> String {
        listed(
            self.axes
                .iter()
                .enumerate()
                .filter(|(axis, _)| !included.values.contains_key(axis))
                .map(|(_, axis)| axis.name.as_str()),
        )
    }

    /// The tables of `include` or `exclude`.
    fn tables<'e>(&mut self, word: &str, entry: &'e Entry) -> Option<Vec<(&'e Node, &'e [Entry])>> {
        let what = format!("stage `{}`: `{word}` of the matrix", self.stage);
        let Value::List(nodes) = &entry.node.value else {
            let form = "a list of tables such as [{ seed = 1 }]";
            self.wrong_word(&what, &entry.node, form, word);
            return None;
        };
        let mut right = true;
        let tables = nodes
            .iter()
            .filter_map(|node| {
                if let Value::Table(keys) = &node.value {
                    return Some((node, keys.as_slice()));
                }
                let what = format!("{what}: an entry");
                let form = "a table of values such as { seed = 1 }";
                self.findings.add(wrong_type(&what, node, form));
                right = false;
                None
            })
            .collect();
        right.then_some(tables)
    }

    fn wrong_word(&mut self, what: &str, node: &Node, form: &str, word: &str) {
        let finding = wrong_type(what, node, form);
        self.findings
            .add(finding.hint(format!("an axis cannot be called `{word}`")));
    }

    fn axis(&mut self, word: &str, name: &str, span: Span) -> Option<usize> {
        let found = self.axes.iter().position(|axis| axis.name == name);
        if found.is_none() {
            let message = format!(
                "stage `{}`: `{word}`: the matrix has no axis `{name}`",
                self.stage
            );
            let known = self.axes.iter().map(|axis| axis.name.as_str());
            self.findings
                .add(Finding::new(span, message).hints(suggest(name, "axes", known)));
        }
        found
    }

    fn known(&self, axis: usize, node: &Node) -> Option<usize> {
        let text = node.value.plain_text()?;
        let values = &self.axes[axis].values;
        values.iter().position(|value| value.text == text)
    }

    fn unknown_value(&mut self, word: &str, axis: usize, node: &Node) {
        let axis = &self.axes[axis];
        let (stage, name) = (self.stage, &axis.name);
        let finding = match node.value.plain_text() {
            None => wrong_type(
                &format!("stage `{stage}`: `{word}`: the value of the axis `{name}`"),
                node,
                "a string, number or truth value",
            ),
            Some(text) => {
                let known = axis.values.iter().map(|value| value.text.as_str());
                let message =
                    format!("stage `{stage}`: `{word}`: the axis `{name}` has no value `{text}`");
                Finding::new(node.span, message).hints(suggest(
                    &text,
                    &format!("values of `{name}`"),
                    known,
                ))
            }
        };
        self.findings.add(finding);
    }

    /// Puts a value of `include` on its axis. A named arm must be there: its table is.
    fn new_value(&mut self, axis: usize, node: &Node) -> Option<usize> {
        if self.axes[axis]
            .values
            .iter()
            .any(|value| value.fields.is_some())
        {
            self.unknown_value("include", axis, node);
            return None;
        }
        let name = self.axes[axis].name.clone();
        let value: AxisValue = listed_value(self.stage, &name, node, self.findings)?;
        let values = &mut self.axes[axis].values;
        values.push(value);
        Some(values.len() - 1)
    }
}

/// An entry of `include`.
struct Included {
    span: Span,
    /// Axis -> position of its value.
    values: BTreeMap<usize, usize>,
    /// Values that are on no axis.
    extra: Vec<Entry>,
}

impl Included {
    fn fits(&self, arm: &Arm) -> bool {
        self.values
            .iter()
            .all(|(&axis, &value)| arm.at[axis] == value)
    }
}

fn values(count: usize) -> String {
    match count {
        1 => "1 value".to_owned(),
        count => format!("{count} values"),
    }
}
