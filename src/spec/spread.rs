//! Which stages a sweep reaches.
//!
//! A stage depends on a swept parameter when one of its keys refers to it, perhaps through other parameters, or when its
//! random numbers come from a pipeline seed that does. What takes such a stage's output by its name, or takes one arm of it,
//! is swept, too. A port that gathers arms (`"stage[*]"`, or `"stage[axis=value]"` on a port for many) ends the sweep: it
//! takes the arms of every value.

use super::declared::Raw;
use super::interpolate::interpolate;
use super::lookups::ArmLookup;
use super::params::Params;
use super::problem::{Finding, Findings};
use super::reference::{Arms, parse};
use super::sweep::Sweeps;
use super::value::{Node, Value, get};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A reference that passes sweeps on.
struct Passing<'a> {
    to: &'a str,
    /// Axes that the reference gives a value itself.
    fixed: BTreeSet<String>,
}

/// The sweeps of each stage name.
pub(super) fn spread<'a>(
    stages: &'a [Raw],
    seed: Option<&Node>,
    sweeps: &mut Sweeps,
    findings: &mut Findings,
) -> BTreeMap<&'a str, BTreeSet<usize>> {
    let mut found: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    if sweeps.list.is_empty() {
        return found;
    }
    let mut passing: BTreeMap<String, Vec<Passing<'_>>> = BTreeMap::new();
    for stage in stages {
        let own = direct(stage, seed, sweeps);
        for (from, reference) in passes(stage, &own, sweeps) {
            passing.entry(from).or_default().push(reference);
        }
        found.entry(&stage.name).or_default().extend(own);
    }
    let mut open: Vec<&str> = found.keys().copied().collect();
    while let Some(from) = open.pop() {
        let given = found.get(from).cloned().unwrap_or_default();
        for Passing { to, fixed } in passing.get(from).into_iter().flatten() {
            let known = found.entry(to).or_default();
            let before = known.len();
            known.extend(
                given
                    .iter()
                    .filter(|&&sweep| !fixed.contains(&sweeps.list[sweep].name)),
            );
            if known.len() > before {
                open.push(to);
            }
        }
    }
    for (at, sweep) in sweeps.list.iter().enumerate() {
        if !found.values().any(|sweeps| sweeps.contains(&at)) {
            let message = format!(
                "--sweep: no stage depends on the parameter `{}`",
                sweep.name
            );
            findings.add(Finding::new(sweep.span, message));
        }
    }
    found
}

/// The sweeps that a stage's own keys depend on.
fn direct(stage: &Raw, seed: Option<&Node>, sweeps: &Sweeps) -> BTreeSet<usize> {
    let mut own: BTreeSet<usize> = stage
        .entries
        .iter()
        .flat_map(|entry| sweeps.of_node(&entry.node))
        .collect();
    let seeded = stage.kind.is_some_and(|kind| kind.seeded);
    if seeded && get(&stage.entries, "seed").is_none() {
        own.extend(seed.into_iter().flat_map(|seed| sweeps.of_node(seed)));
    }
    own
}

/// The references of a stage that pass sweeps on, by the stage that they name. Which these are may depend on the arm.
fn passes<'a>(
    stage: &'a Raw,
    own: &BTreeSet<usize>,
    sweeps: &mut Sweeps,
) -> Vec<(String, Passing<'a>)> {
    let Some(inputs) = get(&stage.entries, "inputs") else {
        return Vec::new();
    };
    // What is wrong is reported when the stage is read.
    let unheard = &mut Findings::default();
    let mut texts: BTreeSet<(String, String)> = BTreeSet::new();
    for world in sweeps.worlds(own) {
        let params: Rc<Params> = sweeps.params(&world, unheard);
        let (matrix, broken) = stage.matrix(&params, unheard);
        for arm in &matrix.arms {
            let mut lookup = ArmLookup {
                stage: &stage.name,
                id: &stage.name,
                params: &params,
                matrix: &matrix,
                arm,
                broken,
            };
            let node = interpolate(&inputs.node, &mut lookup, unheard);
            if let Some(Value::Table(ports)) = node.map(|node| node.value) {
                for port in ports {
                    let mut add = |node: &Node| {
                        if let Value::Text(text) = &node.value {
                            texts.insert((port.key.clone(), text.clone()));
                        }
                    };
                    match &port.node.value {
                        Value::List(nodes) => nodes.iter().for_each(&mut add),
                        _ => add(&port.node),
                    }
                }
            }
        }
    }
    texts
        .iter()
        .filter_map(|(port, text)| {
            let port = stage.kind.and_then(|kind| kind.port(port));
            let many = port.is_some_and(|port| port.arity.takes_many());
            let reference = parse(text).ok()?;
            let fixed = match reference.arms {
                Arms::Equal => BTreeSet::new(),
                Arms::All | Arms::Where(_) if many => return None,
                Arms::All => BTreeSet::new(),
                Arms::Where(pairs) => pairs.iter().map(|(axis, _)| (*axis).to_owned()).collect(),
            };
            let to = stage.name.as_str();
            Some((reference.name.to_owned(), Passing { to, fixed }))
        })
        .collect()
}
