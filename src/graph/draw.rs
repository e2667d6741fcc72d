//! Drawings of a pipeline: Mermaid, DOT, and JSON for programs.

use super::StageGraph;
use crate::spec::{Pipeline, StageSpec};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How much a drawing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One node for each stage of the file; a swept stage says how many arms it has.
    Stages,
    /// One node for each arm, the arms of a swept stage in a box.
    Arms,
}

/// A pipeline for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Description<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The pipeline's title.
    pub title: &'a str,
    /// The stages, makers before users.
    pub stages: Vec<StageDescription<'a>>,
}

/// One stage of a [`Description`].
#[derive(Clone, Debug, Serialize)]
pub struct StageDescription<'a> {
    /// `phase2[arm=elm]`.
    pub id: &'a str,
    /// `phase2`.
    pub stage: &'a str,
    /// Axis -> value.
    pub matrix: &'a BTreeMap<String, String>,
    /// The kind's name.
    pub kind: &'a str,
    /// What it makes.
    pub output: &'static str,
    /// Port -> ids of stages, in order.
    pub inputs: BTreeMap<&'a str, &'a [String]>,
    /// Ids of the stages that take its output.
    pub dependents: Vec<&'a str>,
}

/// The graph as a value for JSON.
pub fn describe<'a>(pipeline: &'a Pipeline, graph: &'a StageGraph) -> Description<'a> {
    let stages = graph.order().iter().map(|&at| {
        let stage = &pipeline.stages[at];
        StageDescription {
            id: &stage.id,
            stage: &stage.name,
            matrix: &stage.matrix,
            kind: stage.kind.name,
            output: stage.kind.output.name(),
            inputs: stage
                .inputs
                .iter()
                .map(|(port, ids)| (port.as_str(), ids.as_slice()))
                .collect(),
            dependents: graph
                .dependents(at)
                .iter()
                .map(|&at| graph.id(at))
                .collect(),
        }
    });
    Description {
        pipeline: &pipeline.name,
        title: &pipeline.title,
        stages: stages.collect(),
    }
}

/// Boxes of nodes, and lines, numbered: names may have characters that neither language allows.
struct Drawing {
    groups: Vec<Group>,
    /// From, to, port.
    lines: Vec<(usize, usize, String)>,
}

struct Group {
    /// A swept stage drawn arm by arm.
    title: Option<String>,
    /// Number, lines of the label.
    nodes: Vec<(usize, Vec<String>)>,
}

impl Drawing {
    fn new(pipeline: &Pipeline, graph: &StageGraph, detail: Detail) -> Self {
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut stages: Vec<Vec<usize>> = Vec::new();
        for &at in graph.order() {
            let next = stages.len();
            let group = *by_name.entry(&pipeline.stages[at].name).or_insert(next);
            if group == next {
                stages.push(Vec::new());
            }
            stages[group].push(at);
        }
        let node = |at: usize| match detail {
            Detail::Arms => at,
            Detail::Stages => stages[by_name[pipeline.stages[at].name.as_str()]][0],
        };
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for &at in graph.order() {
            for input in graph.inputs_of(at) {
                let line = (node(input.stage), node(at), input.port.to_owned());
                if seen.insert(line.clone()) {
                    lines.push(line);
                }
            }
        }
        let groups = stages
            .iter()
            .map(|members| match detail {
                Detail::Stages => Self::stage(pipeline, members),
                Detail::Arms => Self::arms(pipeline, members),
            })
            .collect();
        Self { groups, lines }
    }

    fn stage(pipeline: &Pipeline, members: &[usize]) -> Group {
        let first = &pipeline.stages[members[0]];
        let mut label = vec![first.name.clone(), first.kind.name.to_owned()];
        for axis in &first.axes {
            let mut seen = BTreeSet::new();
            let values: Vec<&str> = members
                .iter()
                .filter_map(|&at| pipeline.stages[at].matrix.get(axis))
                .map(String::as_str)
                .filter(|value| seen.insert(*value))
                .collect();
            label.push(format!("{axis}: {}", counted(&values)));
        }
        Group {
            title: None,
            nodes: vec![(members[0], label)],
        }
    }

    fn arms(pipeline: &Pipeline, members: &[usize]) -> Group {
        let first = &pipeline.stages[members[0]];
        let label = |stage: &StageSpec| {
            if stage.axes.is_empty() {
                return vec![stage.name.clone(), stage.kind.name.to_owned()];
            }
            stage
                .axes
                .iter()
                .map(|axis| format!("{axis} = {}", stage.matrix[axis]))
                .collect()
        };
        Group {
            title: (!first.axes.is_empty())
                .then(|| format!("{} ({})", first.name, first.kind.name)),
            nodes: members
                .iter()
                .map(|&at| (at, label(&pipeline.stages[at])))
                .collect(),
        }
    }
}

/// Few values by name, many by number.
fn counted(values: &[&str]) -> String {
    if values.len() <= 6 {
        values.join(", ")
    } else {
        format!("{} values", values.len())
    }
}

/// A Mermaid flowchart.
pub fn mermaid(pipeline: &Pipeline, graph: &StageGraph, detail: Detail) -> String {
    let drawing = Drawing::new(pipeline, graph, detail);
    let mut text = String::from("flowchart TD\n");
    let node = |text: &mut String, indent: &str, (number, label): &(usize, Vec<String>)| {
        let label: Vec<String> = label.iter().map(|line| html(line)).collect();
        let _ = writeln!(text, "{indent}s{number}[\"{}\"]", label.join("<br/>"));
    };
    for (number, group) in drawing.groups.iter().enumerate() {
        if let Some(title) = &group.title {
            let _ = writeln!(text, "  subgraph g{number}[\"{}\"]", html(title));
            for one in &group.nodes {
                node(&mut text, "    ", one);
            }
            text.push_str("  end\n");
        } else {
            for one in &group.nodes {
                node(&mut text, "  ", one);
            }
        }
    }
    for (from, to, port) in &drawing.lines {
        let _ = writeln!(text, "  s{from} -->|{port}| s{to}");
    }
    text
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A Graphviz drawing.
pub fn dot(pipeline: &Pipeline, graph: &StageGraph, detail: Detail) -> String {
    let drawing = Drawing::new(pipeline, graph, detail);
    let mut text = format!(
        "digraph {} {{\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
        quoted(&pipeline.name)
    );
    let node = |text: &mut String, indent: &str, (number, label): &(usize, Vec<String>)| {
        let label = quoted(&label.join("\n"));
        let _ = writeln!(text, "{indent}s{number} [label={label}];");
    };
    for (number, group) in drawing.groups.iter().enumerate() {
        if let Some(title) = &group.title {
            let _ = writeln!(text, "  subgraph cluster_{number} {{");
            let _ = writeln!(text, "    label={};", quoted(title));
            for one in &group.nodes {
                node(&mut text, "    ", one);
            }
            text.push_str("  }\n");
        } else {
            for one in &group.nodes {
                node(&mut text, "  ", one);
            }
        }
    }
    for (from, to, port) in &drawing.lines {
        let _ = writeln!(text, "  s{from} -> s{to} [label={}];", quoted(port));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::testing::load_text;

    const SWEPT: &str = r#"
name = "a \"b\""
[stage.catalog]
kind = "ingest"
source = "x"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
[stage.train]
kind = "phase-1"
matrix = { adapter = ["mlp", "a<b"], seed = [1, 2] }
seed = "${matrix.seed}"
steps = 1
inputs = { items = "cf" }
[stage.table]
kind = "table"
inputs = { rows = "train[seed=1]" }
"#;

    fn drawn(draw: impl Fn(&Pipeline, &StageGraph) -> String) -> String {
        let pipeline = load_text(SWEPT).unwrap();
        let graph = StageGraph::build(&pipeline).unwrap();
        draw(&pipeline, &graph)
    }

    #[test]
    fn mermaid_by_stage() {
        insta::assert_snapshot!(drawn(|p, g| mermaid(p, g, Detail::Stages)));
    }

    #[test]
    fn mermaid_by_arm() {
        insta::assert_snapshot!(drawn(|p, g| mermaid(p, g, Detail::Arms)));
    }

    #[test]
    fn dot_by_stage() {
        insta::assert_snapshot!(drawn(|p, g| dot(p, g, Detail::Stages)));
    }

    #[test]
    fn dot_by_arm() {
        insta::assert_snapshot!(drawn(|p, g| dot(p, g, Detail::Arms)));
    }

    #[test]
    fn json_lists_makers_first() {
        insta::assert_snapshot!(drawn(|p, g| {
            serde_json::to_string_pretty(&describe(p, g)).unwrap()
        }));
    }
}
