//! The call graph as a ranking walks it: entities by number, without looking up their names again.

use super::columns::Columns;
use super::graph::CallGraph;
use petgraph::stable_graph::NodeIndex;
use wire::EntityId;

/// The call graph among the entities of a ranking and the silent ones around them, by number.
pub(super) struct Calls<'a> {
    pub(super) graph: &'a CallGraph,
    /// Of each entity the node, if the graph knows it.
    pub(super) nodes: Vec<Option<NodeIndex>>,
    /// Of each node the place of its entity, if it strays.
    pub(super) places: Vec<Option<usize>>,
    /// Of each entity its callees among the entities that are no calls: the processes of a host.
    pub(super) parts: Vec<Vec<usize>>,
}

impl<'a> Calls<'a> {
    pub(super) fn of(graph: &'a CallGraph, columns: &Columns<'_>) -> Self {
        let nodes: Vec<Option<NodeIndex>> = columns.entities.iter().map(|entity| graph.node_of(entity)).collect();
        let mut places = vec![None; graph.bound()];
        for (place, node) in nodes.iter().enumerate() {
            if let Some(node) = node {
                places[node.index()] = Some(place);
            }
        }
        let parts = (0..columns.entities.len()).map(|place| parts_of(&columns.entities, place));
        Self {
            graph,
            nodes,
            places,
            parts: parts.collect(),
        }
    }

    /// The entities that call the one at `place`, ascending, and how many call it in all.
    pub(super) fn callers(&self, place: usize) -> (Vec<usize>, usize) {
        let Some(node) = self.nodes[place] else {
            return (Vec::new(), 0);
        };
        let mut callers: Vec<usize> = self
            .graph
            .caller_nodes(node)
            .filter_map(|n| self.places[n.index()])
            .collect();
        callers.sort_unstable();
        (callers, self.graph.caller_nodes(node).count())
    }
}

/// The processes of a host (`host/process`), which are what loads it.
fn parts_of(entities: &[&EntityId], host: usize) -> Vec<usize> {
    let name = entities[host].as_str();
    let is_part = |entity: &EntityId| {
        entity
            .as_str()
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    // Between `host` and `host/` come names like `host-2`, and nothing that does not begin with `host`.
    let begins_alike = |entity: &&EntityId| entity.as_str().starts_with(name);
    let after = entities[host + 1..].iter().take_while(|entity| begins_alike(entity));
    let parts = after.enumerate().filter(|(_, entity)| is_part(entity));
    parts.map(|(offset, _)| host + 1 + offset).collect()
}
