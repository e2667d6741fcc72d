//! The graph of the stages of a pipeline.

use super::GraphError;
use crate::spec::Pipeline;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// An input of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The port that takes it.
    pub port: &'a str,
    /// The position of the stage that makes it.
    pub stage: usize,
}

/// Which stage needs which. Nodes are positions in `pipeline.stages`; an edge runs from maker to user.
#[derive(Clone, Debug)]
pub struct StageGraph {
    graph: DiGraph<(), Edge>,
    ids: Vec<String>,
    positions: BTreeMap<String, usize>,
    order: Vec<usize>,
    inputs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
}

/// A port of the using stage and the place of this input among all of that stage's inputs.
#[derive(Clone, Debug)]
struct Edge {
    port: String,
    place: usize,
}

impl StageGraph {
    /// Connects the stages of a pipeline.
    pub fn build(pipeline: &Pipeline) -> Result<Self, GraphError> {
        let edges = pipeline
            .stages
            .iter()
            .map(|stage| stage.input_ids().count())
            .sum();
        let mut graph = DiGraph::with_capacity(pipeline.stages.len(), edges);
        let mut positions = BTreeMap::new();
        for (at, stage) in pipeline.stages.iter().enumerate() {
            graph.add_node(());
            if positions.insert(stage.id.clone(), at).is_some() {
                return Err(GraphError::RepeatedId {
                    id: stage.id.clone(),
                });
            }
        }
        for (at, stage) in pipeline.stages.iter().enumerate() {
            let inputs = stage
                .inputs
                .iter()
                .flat_map(|(port, ids)| ids.iter().map(move |id| (port, id)));
            for (place, (port, id)) in inputs.enumerate() {
                let Some(&from) = positions.get(id) else {
                    return Err(GraphError::UnknownStage {
                        stage: stage.id.clone(),
                        port: port.clone(),
                        input: id.clone(),
                    });
                };
                let edge = Edge {
                    port: port.clone(),
                    place,
                };
                graph.add_edge(NodeIndex::new(from), NodeIndex::new(at), edge);
            }
        }
        let ids = pipeline.stages.iter().map(|s| s.id.clone()).collect();
        let order = order(&graph);
        let mut graph = Self {
            graph,
            ids,
            positions,
            order,
            inputs: Vec::new(),
            dependents: Vec::new(),
        };
        graph.inputs = (0..graph.len())
            .map(|at| {
                graph
                    .inputs_of(at)
                    .iter()
                    .map(|input| input.stage)
                    .collect()
            })
            .collect();
        graph.dependents = (0..graph.len())
            .map(|at| graph.neighbours(at, Direction::Outgoing))
            .collect();
        graph.check_cycles()?;
        Ok(graph)
    }

    /// A stage that is not in the order waits for itself.
    fn check_cycles(&self) -> Result<(), GraphError> {
        if self.order.len() == self.ids.len() {
            return Ok(());
        }
        let ordered: BTreeSet<usize> = self.order.iter().copied().collect();
        let stuck = (0..self.ids.len()).find(|at| !ordered.contains(at));
        Err(GraphError::Cycle {
            stage: stuck.map_or_else(String::new, |at| self.ids[at].clone()),
        })
    }

    /// The number of stages.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no stages.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The position of the stage of this id.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// The id of the stage at a position.
    pub fn id(&self, stage: usize) -> &str {
        &self.ids[stage]
    }

    /// All positions, makers before users; of stages that do not wait for one another the earlier in the file first.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The inputs of a stage, port after port, in the order of the file.
    pub fn inputs_of(&self, stage: usize) -> Vec<Input<'_>> {
        let mut inputs: Vec<(usize, Input<'_>)> = self
            .graph
            .edges_directed(NodeIndex::new(stage), Direction::Incoming)
            .map(|edge| {
                let input = Input {
                    port: &edge.weight().port,
                    stage: edge.source().index(),
                };
                (edge.weight().place, input)
            })
            .collect();
        inputs.sort_by_key(|(place, _)| *place);
        inputs.into_iter().map(|(_, input)| input).collect()
    }

    /// The makers of a stage's inputs, in the order of [`crate::spec::StageSpec::input_ids`].
    pub fn inputs(&self, stage: usize) -> &[usize] {
        &self.inputs[stage]
    }

    /// The stages that take a stage's output, each once, in the order of the file.
    pub fn dependents(&self, stage: usize) -> &[usize] {
        &self.dependents[stage]
    }

    fn neighbours(&self, stage: usize, direction: Direction) -> Vec<usize> {
        let mut stages: Vec<usize> = self
            .graph
            .neighbors_directed(NodeIndex::new(stage), direction)
            .map(NodeIndex::index)
            .collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }

    /// Everything that these stages need, without the stages themselves unless one needs another.
    pub fn ancestors(&self, stages: &[usize]) -> BTreeSet<usize> {
        self.reach(stages, Direction::Incoming)
    }

    /// Everything that needs these stages.
    pub fn descendants(&self, stages: &[usize]) -> BTreeSet<usize> {
        self.reach(stages, Direction::Outgoing)
    }

    fn reach(&self, stages: &[usize], direction: Direction) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = stages.to_vec();
        while let Some(at) = open.pop() {
            for next in self.graph.neighbors_directed(NodeIndex::new(at), direction) {
                if found.insert(next.index()) {
                    open.push(next.index());
                }
            }
        }
        found
    }

    /// For each stage the cost of the costliest chain that starts with it: what to start first.
    pub fn critical_path(&self, cost: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut longest = vec![0.0; self.len()];
        for &stage in self.order.iter().rev() {
            let after = self
                .graph
                .neighbors_directed(NodeIndex::new(stage), Direction::Outgoing)
                .map(|next| longest[next.index()])
                .fold(0.0, f64::max);
            longest[stage] = cost(stage) + after;
        }
        longest
    }
}

/// Kahn's algorithm with a heap, so that ties go to the earlier position. Stages on a cycle are left out.
fn order(graph: &DiGraph<(), Edge>) -> Vec<usize> {
    let mut waiting: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.neighbors_directed(node, Direction::Incoming).count())
        .collect();
    let mut ready: BinaryHeap<Reverse<usize>> = waiting
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(at, _)| Reverse(at))
        .collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for next in graph.neighbors_directed(NodeIndex::new(at), Direction::Outgoing) {
            let count = &mut waiting[next.index()];
            *count -= 1;
            if *count == 0 {
                ready.push(Reverse(next.index()));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::testing::load_text;
    use proptest::prelude::*;

    const DIAMOND: &str = r#"
[stage.table]
kind = "table"
inputs = { rows = "train[*]" }
[stage.train]
kind = "phase-1"
matrix = { steps = [1, 2] }
steps = "${matrix.steps}"
inputs = { items = "cf" }
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
[stage.catalog]
kind = "ingest"
source = "x"
"#;

    fn ids(graph: &StageGraph, stages: impl IntoIterator<Item = usize>) -> Vec<String> {
        stages
            .into_iter()
            .map(|at| graph.id(at).to_owned())
            .collect()
    }

    #[test]
    fn makers_come_before_users() {
        let pipeline = load_text(DIAMOND).unwrap();
        let graph = StageGraph::build(&pipeline).unwrap();
        assert_eq!(
            ids(&graph, graph.order().iter().copied()),
            ["catalog", "cf", "train[steps=1]", "train[steps=2]", "table"]
        );
        let table = graph.position("table").unwrap();
        let inputs = graph.inputs_of(table);
        assert!(inputs.iter().all(|input| input.port == "rows"));
        assert_eq!(
            ids(&graph, inputs.iter().map(|input| input.stage)),
            ["train[steps=1]", "train[steps=2]"]
        );
        let cf = graph.position("cf").unwrap();
        assert_eq!(
            ids(&graph, graph.dependents(cf).iter().copied()),
            ["train[steps=1]", "train[steps=2]"]
        );
        assert_eq!(ids(&graph, graph.ancestors(&[cf])), ["catalog"]);
        assert_eq!(graph.ancestors(&[table]).len(), 4);
        assert_eq!(
            ids(&graph, graph.descendants(&[cf])),
            ["table", "train[steps=1]", "train[steps=2]"]
        );
        assert_eq!(graph.position("nothing"), None);
        let path = graph.critical_path(|at| if at == cf { 10.0 } else { 1.0 });
        assert_eq!(path[graph.position("catalog").unwrap()], 13.0);
        assert_eq!(path[cf], 12.0);
        assert_eq!(path[table], 1.0);
    }

    #[test]
    fn a_pipeline_that_was_changed_after_loading_is_refused() {
        let good = load_text(DIAMOND).unwrap();
        let mut pipeline = good.clone();
        pipeline.stages[0].inputs[0].1.push("gone".into());
        assert_eq!(
            StageGraph::build(&pipeline).unwrap_err().to_string(),
            "stage `table`: the input `rows` names `gone`, which is no stage of the pipeline"
        );
        let mut pipeline = good.clone();
        pipeline.stages[1].id = "table".into();
        assert_eq!(
            StageGraph::build(&pipeline).unwrap_err().to_string(),
            "two stages have the id `table`"
        );
        let mut pipeline = good;
        pipeline.stages[3].inputs[0].1 = vec!["train[steps=1]".into()];
        assert_eq!(
            StageGraph::build(&pipeline).unwrap_err().to_string(),
            "stage `table` waits for its own output"
        );
    }

    /// The limit is a hundred times what it takes, so that a busy machine passes and anything quadratic does not.
    #[test]
    fn ten_thousand_stages_connect_quickly() {
        let pipeline = load_text(&crate::spec::testing::long(10_000)).unwrap();
        let watch = crate::clock::Stopwatch::start();
        let graph = StageGraph::build(&pipeline).unwrap();
        assert_eq!(graph.order().len(), 10_002);
        let last = graph.position("train9999").unwrap();
        assert_eq!(graph.ancestors(&[last]).len(), 101);
        assert_eq!(graph.critical_path(|_| 1.0)[0], 102.0);
        let seconds = watch.seconds();
        assert!(seconds < 2.0, "{seconds:.2} s");
    }

    proptest! {
        #[test]
        fn the_order_respects_every_edge(edges in prop::collection::vec((0usize..20, 0usize..20), 0..60)) {
            let mut graph = DiGraph::new();
            for _ in 0..20 {
                graph.add_node(());
            }
            for &(a, b) in edges.iter().filter(|(a, b)| a != b) {
                let edge = Edge { port: String::new(), place: 0 };
                graph.add_edge(NodeIndex::new(a.max(b)), NodeIndex::new(a.min(b)), edge);
            }
            let order = order(&graph);
            prop_assert_eq!(order.len(), 20);
            let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(i, &at)| (at, i)).collect();
            for (a, b) in edges.into_iter().filter(|(a, b)| a != b) {
                prop_assert!(place[&a.max(b)] < place[&a.min(b)]);
            }
            // Nothing ready is passed over for a later stage.
            let mut done = BTreeSet::new();
            for at in order {
                let ready = (0..20).filter(|node| !done.contains(node)).find(|&node| {
                    graph.neighbors_directed(NodeIndex::new(node), Direction::Incoming).all(|from| done.contains(&from.index()))
                });
                prop_assert_eq!(ready, Some(at));
                done.insert(at);
            }
        }
    }
}
