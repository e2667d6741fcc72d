//! How a stage is run: what it takes of the machine, and what happens when it does not go well.

use super::document::wrong_type;
use super::names::suggest;
use super::problem::{Finding, Findings};
use super::resources;
use super::value::{Node, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// The keys of a stage that are read here.
pub(super) const EXECUTION_KEYS: [&str; 8] = [
    "cpus", "memory", "gpus", "groups", "timeout", "slow", "retries", "backoff",
];

/// How a stage is run. Nothing of it is part of a key: it never changes a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Processor cores that the stage takes while it runs; at least 1, by default 1.
    pub cpus: usize,
    /// Bytes of memory that the stage takes while it runs; by default none is counted.
    pub memory: Option<u64>,
    /// GPUs that the stage has for itself while it runs; by default 0.
    pub gpus: usize,
    /// Groups of the pipeline in which the stage takes one place each while it runs; sorted, each once.
    pub groups: Vec<String>,
    /// How long one attempt may take; by default as long as it likes.
    pub timeout: Option<Duration>,
    /// After how long a person is told that the stage is slow; by default three times its last success, at least a
    /// minute.
    pub slow: Option<Duration>,
    /// How often the stage is tried again after a failure; by default 0.
    pub retries: u32,
    /// The wait before the first retry, doubled for each further one; by default a second.
    pub backoff: Duration,
}

impl Default for Execution {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: None,
            gpus: 0,
            groups: Vec::new(),
            timeout: None,
            slow: None,
            retries: 0,
            backoff: Duration::from_secs(1),
        }
    }
}

impl Execution {
    /// Takes one of [`EXECUTION_KEYS`]; false after a problem. `known` are the groups of the pipeline.
    pub(super) fn read(
        &mut self,
        stage: &str,
        key: &str,
        node: &Node,
        known: &BTreeMap<String, usize>,
        findings: &mut Findings,
    ) -> bool {
        let what = format!("stage `{stage}`: `{key}`");
        match key {
            "cpus" => whole(&what, node, 1, findings).is_some_and(|n| {
                self.cpus = n;
                true
            }),
            "memory" => {
                self.memory = text(node).and_then(resources::memory);
                let form = resources::MEMORY_FORM;
                expect(self.memory.is_some(), &what, node, form, findings)
            }
            "gpus" => whole(&what, node, 0, findings).is_some_and(|n| {
                self.gpus = n;
                true
            }),
            "groups" => groups(&what, node, known, findings).is_some_and(|names| {
                self.groups = names;
                true
            }),
            "timeout" => {
                self.timeout = duration(&what, node, findings);
                self.timeout.is_some()
            }
            "slow" => {
                self.slow = duration(&what, node, findings);
                self.slow.is_some()
            }
            "retries" => {
                let form = format!("a whole number from 0 to {MOST_RETRIES}");
                let retries = whole_number(node)
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|&n| n <= MOST_RETRIES);
                self.retries = retries.unwrap_or_default();
                expect(retries.is_some(), &what, node, &form, findings)
            }
            _ => duration(&what, node, findings).is_some_and(|time| {
                self.backoff = time;
                true
            }),
        }
    }
}

/// More is a loop that nobody looks at.
const MOST_RETRIES: u32 = 100;

/// Reads the value of `NAME = n` in `[groups]`: how many stages of the group may run at the same time.
pub(super) fn group_limit(name: &str, node: &Node, findings: &mut Findings) -> Option<usize> {
    whole(&format!("group `{name}`"), node, 1, findings)
}

/// A group's name, or a list of them.
fn groups(
    what: &str,
    node: &Node,
    known: &BTreeMap<String, usize>,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let form = "the name of a group or a list of names";
    let one = std::slice::from_ref(node);
    let nodes = match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => one,
    };
    let mut names = Vec::new();
    let mut right = true;
    for node in nodes {
        let Some(name) = text(node) else {
            return expect(false, what, node, form, findings).then(Vec::new);
        };
        if known.contains_key(name) {
            names.push(name.to_owned());
            continue;
        }
        right = false;
        let mut hints = suggest(name, "groups", known.keys().map(String::as_str));
        if known.is_empty() {
            hints.push(format!(
                "declare it at the top of the file: `[groups]`, then `{name} = 1`"
            ));
        }
        findings
            .add(Finding::new(node.span, format!("{what}: unknown group `{name}`")).hints(hints));
    }
    names.sort_unstable();
    names.dedup();
    right.then_some(names)
}

fn duration(what: &str, node: &Node, findings: &mut Findings) -> Option<Duration> {
    let time = text(node).and_then(resources::duration);
    expect(time.is_some(), what, node, resources::TIME_FORM, findings);
    time
}

fn whole(what: &str, node: &Node, least: usize, findings: &mut Findings) -> Option<usize> {
    let number = whole_number(node)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|&number| number >= least);
    let form = format!("a whole number of at least {least}");
    expect(number.is_some(), what, node, &form, findings);
    number
}

fn whole_number(node: &Node) -> Option<i128> {
    match &node.value {
        Value::Whole(whole) => Some(whole.number),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn expect(right: bool, what: &str, node: &Node, form: &str, findings: &mut Findings) -> bool {
    if !right {
        findings.add(wrong_type(what, node, form));
    }
    right
}
