//! The parameters of a file, with a profile and `--set` applied.

use super::LoadOptions;
use super::document::Document;
use super::interpolate::{Lookup, interpolate};
use super::names::{listed, suggest};
use super::problem::{Finding, Findings};
use super::source::{Sources, Span};
use super::value::{Node, Value, get};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// Every parameter with its value, or nothing where it has a problem that is already reported.
#[derive(Debug, Default)]
pub(super) struct Params {
    values: BTreeMap<String, Option<Node>>,
}

impl Params {
    /// The values for people and for other rooms.
    pub(super) fn json(&self) -> BTreeMap<String, serde_json::Value> {
        self.values
            .iter()
            .filter_map(|(name, node)| Some((name.clone(), node.as_ref()?.value.json())))
            .collect()
    }

    /// The value of `${path}`.
    pub(super) fn find(&self, path: &[&str], at: Span, findings: &mut Findings) -> Option<&Node> {
        let Some(value) = self.values.get(path[0]) else {
            findings.add(unknown(path, self.values.keys(), at));
            return None;
        };
        field(value.as_ref()?, path, at, findings)
    }

    /// The value of a path without a report when there is none.
    pub(super) fn peek(&self, path: &[&str]) -> Option<&Node> {
        let node = self.values.get(path[0])?.as_ref()?;
        Some(node.deepest(&path[1..]))
    }
}

fn unknown<'a>(path: &[&str], known: impl Iterator<Item = &'a String>, at: Span) -> Finding {
    let hints = suggest(path[0], "parameters", known.map(String::as_str));
    Finding::new(at, format!("`${{{}}}` names no parameter", path.join("."))).hints(hints)
}

/// Follows the rest of a path into a table.
pub(super) fn field<'a>(
    mut node: &'a Node,
    path: &[&str],
    at: Span,
    findings: &mut Findings,
) -> Option<&'a Node> {
    for depth in 1..path.len() {
        let whole = path.join(".");
        let before = path[..depth].join(".");
        let Value::Table(entries) = &node.value else {
            findings.add(Finding::new(
                at,
                format!(
                    "`${{{whole}}}`: `{before}` is {}, which has no field `{}`",
                    node.value.type_name(),
                    path[depth]
                ),
            ));
            return None;
        };
        let Some(entry) = get(entries, path[depth]) else {
            let known = entries.iter().map(|entry| entry.key.as_str());
            findings.add(
                Finding::new(
                    at,
                    format!("`${{{whole}}}`: `{before}` has no field `{}`", path[depth]),
                )
                .hints(suggest(path[depth], "fields", known)),
            );
            return None;
        };
        node = &entry.node;
    }
    Some(node)
}

/// The parameters of a file and what changes them, ready to be resolved for any values of a sweep.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// As the file has them.
    declared: BTreeMap<String, Node>,
    /// What the file alone says: it decides each parameter's type.
    base: BTreeMap<String, Option<Node>>,
    overrides: BTreeMap<String, Override>,
}

impl Settings {
    /// Reads the profile and the `--set` options.
    pub(super) fn new(
        document: &Document,
        options: &LoadOptions,
        sources: &mut Sources,
        findings: &mut Findings,
    ) -> Self {
        let declared: BTreeMap<String, Node> = document
            .params
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.clone()))
            .collect();
        let nodes = declared.iter().map(|(name, node)| (name.as_str(), node));
        let base = Resolver::new(nodes.collect()).run(findings);
        let mut this = Self {
            declared,
            base,
            overrides: BTreeMap::new(),
        };
        for (name, profile) in &document.profiles {
            let active = options.profile.as_ref() == Some(name);
            for entry in &profile.params {
                let whose = format!("profile `{name}`");
                if !this.is_known(&whose, &entry.key, entry.key_span, findings) {
                    continue;
                }
                // A profile that is not in use is checked all the same.
                let node = this.early_fit(&whose, &entry.key, &entry.node, findings);
                if let (true, Some(node)) = (active, node) {
                    this.overrides
                        .insert(entry.key.clone(), Override { whose, node });
                }
            }
        }
        for (name, text) in &options.set {
            let whose = "--set";
            let start = sources.add(whose.into(), format!("{name}={text}"));
            if !this.is_known(whose, name, Span::new(start, start + name.len()), findings) {
                continue;
            }
            let node = this
                .read_option(whose, name, text, start + name.len() + 1, findings)
                .and_then(|node| this.early_fit(whose, name, &node, findings));
            if let Some(node) = node {
                let whose = whose.to_owned();
                this.overrides
                    .insert(name.clone(), Override { whose, node });
            }
        }
        this
    }

    /// Every parameter where those of a sweep have these values.
    pub(super) fn resolve(&self, swept: &[(&str, &Node)], findings: &mut Findings) -> Params {
        if self.overrides.is_empty() && swept.is_empty() {
            return Params {
                values: self.base.clone(),
            };
        }
        let mut effective = self.effective();
        for &(name, node) in swept {
            effective.insert(name, node);
        }
        let mut values = Resolver::new(effective).run(findings);
        for (name, Override { whose, .. }) in &self.overrides {
            if swept.iter().any(|(other, _)| other == name) {
                continue;
            }
            if let Some(Some(node)) = values.get(name) {
                let node = self.fit(whose, name, node, findings);
                values.insert(name.clone(), node);
            }
        }
        Params { values }
    }

    /// The value of each parameter before references are resolved.
    pub(super) fn effective(&self) -> BTreeMap<&str, &Node> {
        let declared = self.declared.iter();
        let mut nodes: BTreeMap<&str, &Node> =
            declared.map(|(name, node)| (name.as_str(), node)).collect();
        for (name, replaced) in &self.overrides {
            nodes.insert(name, &replaced.node);
        }
        nodes
    }

    /// Whether the file has this parameter; if not, that is reported.
    pub(super) fn is_known(
        &self,
        whose: &str,
        name: &str,
        span: Span,
        findings: &mut Findings,
    ) -> bool {
        let known = self.declared.contains_key(name);
        if !known {
            let names = self.declared.keys().map(String::as_str);
            findings.add(
                Finding::new(span, format!("{whose}: unknown parameter `{name}`")).hints(suggest(
                    name,
                    "parameters",
                    names,
                )),
            );
        }
        known
    }

    /// Whether the parameter is a string, so that any text is a value of it.
    pub(super) fn is_text(&self, name: &str) -> bool {
        matches!(self.base.get(name), Some(Some(node)) if matches!(node.value, Value::Text(_)))
    }

    /// Whether the parameter is a list.
    pub(super) fn is_list(&self, name: &str) -> bool {
        matches!(self.base.get(name), Some(Some(node)) if matches!(node.value, Value::List(_)))
    }

    /// [`Self::fit`], but what refers to other parameters has to wait until they are resolved.
    fn early_fit(
        &self,
        whose: &str,
        name: &str,
        node: &Node,
        findings: &mut Findings,
    ) -> Option<Node> {
        if is_reference(node) {
            Some(node.clone())
        } else {
            self.fit(whose, name, node, findings)
        }
    }

    /// The override with the parameter's type: a whole number will do for one with a fraction.
    pub(super) fn fit(
        &self,
        whose: &str,
        name: &str,
        node: &Node,
        findings: &mut Findings,
    ) -> Option<Node> {
        let Some(Some(before)) = self.base.get(name) else {
            return Some(node.clone());
        };
        match (&before.value, &node.value) {
            (Value::Real(_), Value::Whole(whole)) => Some(Node {
                span: node.span,
                value: Value::Real((whole.number as f64).into()),
            }),
            (before, new) if std::mem::discriminant(before) == std::mem::discriminant(new) => {
                Some(node.clone())
            }
            (wanted, new) => {
                findings.add(
                    Finding::new(
                        node.span,
                        format!(
                            "{whose}: `{name}` is {}, but the parameter is {}",
                            new.type_name(),
                            wanted.type_name()
                        ),
                    )
                    .related(self.declared[name].span, "the parameter's own value"),
                );
                None
            }
        }
    }

    /// Reads the text of an option, which begins at `start` of all texts. It is a TOML value; what is none, or stands for a
    /// string parameter, is a string.
    pub(super) fn read_option(
        &self,
        whose: &str,
        name: &str,
        text: &str,
        start: usize,
        findings: &mut Findings,
    ) -> Option<Node> {
        let span = Span::new(start, start + text.len());
        let string = Node {
            span,
            value: Value::Text(text.to_owned()),
        };
        match DeValue::parse(text) {
            Ok(value) => {
                let node = Node::read(&value, start, findings).moved_to(span);
                let reads_otherwise = self.is_text(name) && !matches!(node.value, Value::Text(_));
                Some(if reads_otherwise { string } else { node })
            }
            // What begins like a list, table or quoted string was meant to be one.
            Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
                findings.add(Finding::new(
                    span,
                    format!("{whose}: `{text}` is not TOML: {}", error.message()),
                ));
                None
            }
            Err(_) => Some(string),
        }
    }
}

/// A value for a parameter from a profile or an option.
#[derive(Debug)]
struct Override {
    /// "profile `small`" or "--set".
    whose: String,
    node: Node,
}

pub(super) fn is_reference(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.contains("${"))
}

/// Resolves parameters that refer to one another, depth first.
struct Resolver<'a> {
    nodes: BTreeMap<&'a str, &'a Node>,
    done: BTreeMap<String, Option<Node>>,
    open: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn new(nodes: BTreeMap<&'a str, &'a Node>) -> Self {
        Self {
            nodes,
            done: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    fn run(mut self, findings: &mut Findings) -> BTreeMap<String, Option<Node>> {
        let names: Vec<&str> = self.nodes.keys().copied().collect();
        for name in names {
            self.resolve(name, findings);
        }
        self.done
    }

    fn resolve(&mut self, name: &str, findings: &mut Findings) {
        if self.done.contains_key(name) {
            return;
        }
        let Some(&node) = self.nodes.get(name) else {
            return;
        };
        self.open.push(name.to_owned());
        let value = interpolate(node, self, findings);
        self.open.pop();
        self.done.insert(name.to_owned(), value);
    }
}

impl Lookup for Resolver<'_> {
    fn value(&mut self, path: &[&str], at: Span, findings: &mut Findings) -> Option<Node> {
        let name = path[0];
        if name == "matrix" {
            findings.add(Finding::new(
                at,
                format!(
                    "`${{{}}}`: only a stage with a matrix has matrix values",
                    path.join(".")
                ),
            ));
            return None;
        }
        if !self.nodes.contains_key(name) {
            let known: Vec<String> = self.nodes.keys().map(|name| (*name).to_owned()).collect();
            findings.add(unknown(path, known.iter(), at));
            return None;
        }
        if let Some(start) = self.open.iter().position(|open| open == name) {
            let cycle = self.open[start..].iter().map(String::as_str);
            let chain = if self.open.len() - start == 1 {
                format!("the parameter `{name}` refers to itself")
            } else {
                format!("the parameters {} refer to one another", listed(cycle))
            };
            findings.add(Finding::new(at, chain));
            return None;
        }
        self.resolve(name, findings);
        let node = self.done.get(name)?.as_ref()?;
        field(node, path, at, findings).cloned()
    }
}
