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

/// Applies the profile and the `--set` options to the parameters of a file and resolves what they say of one another.
pub(super) fn resolve(
    document: &Document,
    options: &LoadOptions,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Params {
    let declared: BTreeMap<&str, &Node> = document
        .params
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.node))
        .collect();
    // What the file alone says decides each parameter's type.
    let base = Resolver::new(declared.clone()).run(findings);

    let mut overrides: BTreeMap<String, Override> = BTreeMap::new();
    for (name, profile) in &document.profiles {
        let active = options.profile.as_ref() == Some(name);
        for entry in &profile.params {
            let whose = format!("profile `{name}`");
            if !declared.contains_key(entry.key.as_str()) {
                findings.add(
                    Finding::new(
                        entry.key_span,
                        format!("{whose}: unknown parameter `{}`", entry.key),
                    )
                    .hints(suggest(
                        &entry.key,
                        "parameters",
                        declared.keys().copied(),
                    )),
                );
                continue;
            }
            // A profile that is not in use is checked all the same.
            let node = early_fit(&whose, &entry.key, &entry.node, &base, &declared, findings);
            if let (true, Some(node)) = (active, node) {
                overrides.insert(entry.key.clone(), Override { whose, node });
            }
        }
    }
    for (name, text) in &options.set {
        let node = from_option(name, text, &base, &declared, sources, findings)
            .and_then(|node| early_fit("--set", name, &node, &base, &declared, findings));
        if let Some(node) = node {
            let whose = "--set".to_owned();
            overrides.insert(name.clone(), Override { whose, node });
        }
    }
    if overrides.is_empty() {
        return Params { values: base };
    }

    let mut effective = declared.clone();
    for (name, replaced) in &overrides {
        effective.insert(name, &replaced.node);
    }
    let mut values = Resolver::new(effective).run(findings);
    for (name, Override { whose, .. }) in &overrides {
        if let Some(Some(node)) = values.get(name) {
            let node = fit(whose, name, node, &base, &declared, findings);
            values.insert(name.clone(), node);
        }
    }
    Params { values }
}

/// A value for a parameter from a profile or an option.
struct Override {
    /// "profile `small`" or "--set".
    whose: String,
    node: Node,
}

/// [`fit`], but what refers to other parameters has to wait until they are resolved.
fn early_fit(
    whose: &str,
    name: &str,
    node: &Node,
    base: &BTreeMap<String, Option<Node>>,
    declared: &BTreeMap<&str, &Node>,
    findings: &mut Findings,
) -> Option<Node> {
    if is_reference(node) {
        Some(node.clone())
    } else {
        fit(whose, name, node, base, declared, findings)
    }
}

fn is_reference(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.contains("${"))
}

/// The override with the parameter's type: a whole number will do for one with a fraction.
fn fit(
    whose: &str,
    name: &str,
    node: &Node,
    base: &BTreeMap<String, Option<Node>>,
    declared: &BTreeMap<&str, &Node>,
    findings: &mut Findings,
) -> Option<Node> {
    let Some(Some(before)) = base.get(name) else {
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
                .related(declared[name].span, "the parameter's own value"),
            );
            None
        }
    }
}

/// Reads `--set name=text`. The text is a TOML value; what is none, or stands for a string parameter, is a string.
fn from_option(
    name: &str,
    text: &str,
    base: &BTreeMap<String, Option<Node>>,
    declared: &BTreeMap<&str, &Node>,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<Node> {
    let start = sources.add("--set".into(), format!("{name}={text}"));
    let key_span = Span::new(start, start + name.len());
    let value_start = start + name.len() + 1;
    let span = Span::new(value_start, value_start + text.len());
    if !declared.contains_key(name) {
        findings.add(
            Finding::new(key_span, format!("--set: unknown parameter `{name}`")).hints(suggest(
                name,
                "parameters",
                declared.keys().copied(),
            )),
        );
        return None;
    }
    let string = Node {
        span,
        value: Value::Text(text.to_owned()),
    };
    let wants_string = matches!(
        base.get(name),
        Some(Some(Node {
            value: Value::Text(_),
            ..
        }))
    );
    match DeValue::parse(text) {
        Ok(value) => {
            let node = Node::read(&value, value_start, findings).moved_to(span);
            let reads_otherwise = wants_string && !matches!(node.value, Value::Text(_));
            Some(if reads_otherwise { string } else { node })
        }
        // What begins like a list, table or quoted string was meant to be one.
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            findings.add(Finding::new(
                span,
                format!("--set: `{text}` is not TOML: {}", error.message()),
            ));
            None
        }
        Err(_) => Some(string),
    }
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
