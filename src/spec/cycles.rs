//! Stages that wait for one another.

use super::declared::Stages;
use super::inputs::Link;
use super::problem::{Finding, Findings};
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Reports one shortest cycle of every knot of stages. `links` are by instance.
pub(super) fn check(stages: &Stages, links: &[Vec<Link>], findings: &mut Findings) {
    let mut graph: DiGraph<(), ()> =
        DiGraph::with_capacity(links.len(), links.iter().map(Vec::len).sum());
    for _ in links {
        graph.add_node(());
    }
    for (to, inputs) in links.iter().enumerate() {
        for link in inputs {
            graph.add_edge(NodeIndex::new(link.from), NodeIndex::new(to), ());
        }
    }
    for knot in tarjan_scc(&graph) {
        let knot: BTreeSet<usize> = knot.into_iter().map(NodeIndex::index).collect();
        let Some(&first) = knot.first() else { continue };
        let own = links[first].iter().any(|link| link.from == first);
        if knot.len() > 1 || own {
            report(stages, links, &knot, first, findings);
        }
    }
}

/// Finds a shortest cycle through `first`: walks from `first` to its inputs, breadth first, until it comes back.
fn report(
    stages: &Stages,
    links: &[Vec<Link>],
    knot: &BTreeSet<usize>,
    first: usize,
    findings: &mut Findings,
) {
    let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([first]);
    while let Some(at) = queue.pop_front() {
        for link in links[at].iter().filter(|link| knot.contains(&link.from)) {
            if link.from == first {
                let mut path = vec![first, at];
                while let Some(&before) = path.last().and_then(|last| reached.get(last)) {
                    path.push(before);
                }
                add(stages, links, &path, findings);
                return;
            }
            if let Entry::Vacant(place) = reached.entry(link.from) {
                place.insert(at);
                queue.push_back(link.from);
            }
        }
    }
}

/// `path` follows the data and begins and ends with the same stage.
fn add(stages: &Stages, links: &[Vec<Link>], path: &[usize], findings: &mut Findings) {
    let name = |at: usize| {
        let instance = &stages.instances[at];
        stages.declared[instance.declared].name.as_str()
    };
    // Arms of a sweep have equal cycles: by stage names they are one.
    let distinct: BTreeSet<&str> = path.iter().map(|&at| name(at)).collect();
    let by_id = distinct.len() + 1 < path.len();
    let shown = |at: usize| {
        if by_id {
            stages.instances[at].id.as_str()
        } else {
            name(at)
        }
    };
    let words: Vec<String> = path.iter().map(|&at| format!("`{}`", shown(at))).collect();
    let span = |from: usize, to: usize| {
        links[to]
            .iter()
            .find(|link| link.from == from)
            .map(|link| link.span)
    };
    let Some(start) = span(path[0], path[1]) else {
        return;
    };
    let message = if path.len() == 2 {
        format!("stage {} takes its own output", words[0])
    } else {
        format!("the stages wait for one another: {}", words.join(" -> "))
    };
    let mut finding = Finding::new(start, message);
    if path.len() > 2 {
        finding = finding.hint(format!(
            "{} -> {}: the second takes the output of the first; one of the arrows has to go",
            words[0], words[1]
        ));
    }
    for pair in path.windows(2).skip(1) {
        // Arms of one stage share the reference.
        if let Some(place) = span(pair[0], pair[1]).filter(|&place| place != start) {
            finding = finding.related(
                place,
                format!("`{}` waits for `{}`", shown(pair[1]), shown(pair[0])),
            );
        }
    }
    findings.add(finding);
}
