//! Who calls whom: the call graph, and the questions the correlator asks of it.
//!
//! An edge points from caller to callee; faults travel the other way. Every answer is sorted or breadth-first over sorted
//! neighbors, so it depends on the graph alone and not on the order in which edges became known.

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::EntityId;
use wire::topology::Edge;

/// Farthest a search for a path goes. Real call chains are shorter; a cycle of thousands of nodes must not stall a step.
pub(super) const MAX_HOPS: u32 = 8;

/// Which way along the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what is called.
    Down,
    /// To who calls.
    Up,
}

impl Way {
    fn direction(self) -> Direction {
        match self {
            Self::Down => Direction::Outgoing,
            Self::Up => Direction::Incoming,
        }
    }
}

/// The call graph of one lane.
#[derive(Clone, Debug, Default)]
pub struct CallGraph {
    graph: StableDiGraph<EntityId, ()>,
    index: BTreeMap<EntityId, NodeIndex>,
    /// What others run on or in: to depend on it is no call.
    places: BTreeSet<EntityId>,
}

impl CallGraph {
    /// Adds a dependency. Returns whether it was new; a self-call is not a dependency.
    pub fn add(&mut self, edge: &Edge) -> bool {
        if edge.caller == edge.callee {
            return false;
        }
        let caller = self.node(&edge.caller);
        let callee = self.node(&edge.callee);
        if self.graph.contains_edge(caller, callee) {
            return false;
        }
        self.graph.add_edge(caller, callee, ());
        true
    }

    /// Says that others run on or in an entity, and do not call it.
    pub fn mark_place(&mut self, entity: &EntityId) {
        if !self.places.contains(entity) {
            self.places.insert(entity.clone());
        }
    }

    /// Whether others run on or in an entity.
    pub fn is_place(&self, entity: &EntityId) -> bool {
        self.places.contains(entity)
    }

    /// Whether no dependency is known at all.
    pub fn is_empty(&self) -> bool {
        self.graph.edge_count() == 0
    }

    /// Whether the entity has any neighbor.
    pub fn knows(&self, entity: &EntityId) -> bool {
        self.index.contains_key(entity)
    }

    /// Direct dependencies, sorted.
    pub fn callees(&self, entity: &EntityId) -> Vec<EntityId> {
        self.neighbors(entity, Direction::Outgoing)
    }

    /// Direct dependents, sorted.
    pub fn callers(&self, entity: &EntityId) -> Vec<EntityId> {
        self.neighbors(entity, Direction::Incoming)
    }

    /// Everything that reaches `entity` by calls, nearest first, then by name: who suffers when it fails.
    pub fn dependents(&self, entity: &EntityId) -> Vec<EntityId> {
        self.walk(entity, Direction::Incoming, usize::MAX)
    }

    /// How many entities `entity` depends on, counted up to `cap`.
    pub fn reach(&self, entity: &EntityId, cap: usize) -> usize {
        let Some(&start) = self.index.get(entity) else {
            return 0;
        };
        let mut seen = vec![false; self.bound()];
        seen[start.index()] = true;
        let (mut left, mut found) = (vec![start], 0);
        while let Some(node) = left.pop() {
            for callee in self.callee_nodes(node) {
                if !std::mem::replace(&mut seen[callee.index()], true) {
                    found += 1;
                    if found == cap {
                        return cap;
                    }
                    left.push(callee);
                }
            }
        }
        found
    }

    /// Whether users enter here: it calls others and nobody calls it.
    pub fn is_entry(&self, entity: &EntityId) -> bool {
        let Some(&node) = self.index.get(entity) else {
            return false;
        };
        let mut callees = self.graph.neighbors_directed(node, Direction::Outgoing);
        let is_called = self
            .graph
            .neighbors_directed(node, Direction::Incoming)
            .next()
            .is_some();
        !is_called && callees.any(|callee| !self.places.contains(&self.graph[callee]))
    }

    /// Shortest call path from `caller` down to `callee`, both included; the first by name among equals.
    pub fn path(&self, caller: &EntityId, callee: &EntityId) -> Option<Vec<EntityId>> {
        let target = BTreeSet::from([callee.clone()]);
        self.nearest(caller, &target, Way::Down, MAX_HOPS, |_| true)
    }

    /// Shortest path from `from` to any of `targets` in at most `hops` calls over intermediate entities that satisfy
    /// `through`; both ends included, starting with `from`.
    pub fn nearest(
        &self,
        from: &EntityId,
        targets: &BTreeSet<EntityId>,
        way: Way,
        hops: u32,
        through: impl Fn(&EntityId) -> bool,
    ) -> Option<Vec<EntityId>> {
        let &start = self.index.get(from)?;
        let mut parent: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::from([(start, start)]);
        let mut queue = VecDeque::from([(start, 0_u32)]);
        while let Some((node, depth)) = queue.pop_front() {
            if node != start && targets.contains(&self.graph[node]) {
                let mut path = vec![self.graph[node].clone()];
                let mut at = node;
                while at != start {
                    at = parent[&at];
                    path.push(self.graph[at].clone());
                }
                path.reverse();
                return Some(path);
            }
            if depth == hops {
                continue;
            }
            for next in self.sorted(node, way.direction()) {
                let entity = &self.graph[next];
                if (targets.contains(entity) || through(entity)) && !parent.contains_key(&next) {
                    parent.insert(next, node);
                    queue.push_back((next, depth + 1));
                }
            }
        }
        None
    }

    /// The node of an entity, if it is known.
    pub(super) fn node_of(&self, entity: &EntityId) -> Option<NodeIndex> {
        self.index.get(entity).copied()
    }

    /// No node has this index or a greater one.
    pub(super) fn bound(&self) -> usize {
        self.graph.node_indices().next_back().map_or(0, |last| last.index() + 1)
    }

    /// What a node calls, in no particular order that a reader could rely on, and always the same.
    pub(super) fn callee_nodes(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(node, Direction::Outgoing)
    }

    /// What calls a node, likewise.
    pub(super) fn caller_nodes(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(node, Direction::Incoming)
    }

    /// Dependencies among `entities`, sorted.
    pub fn edges_among(&self, entities: &BTreeSet<EntityId>) -> Vec<Edge> {
        let mut edges = Vec::new();
        for caller in entities {
            for callee in self.callees(caller) {
                if entities.contains(&callee) {
                    edges.push(Edge {
                        caller: caller.clone(),
                        callee,
                    });
                }
            }
        }
        edges
    }

    fn node(&mut self, entity: &EntityId) -> NodeIndex {
        if let Some(&node) = self.index.get(entity) {
            return node;
        }
        let node = self.graph.add_node(entity.clone());
        self.index.insert(entity.clone(), node);
        node
    }

    fn neighbors(&self, entity: &EntityId, direction: Direction) -> Vec<EntityId> {
        let Some(&node) = self.index.get(entity) else {
            return Vec::new();
        };
        self.sorted(node, direction)
            .into_iter()
            .map(|n| self.graph[n].clone())
            .collect()
    }

    fn sorted(&self, node: NodeIndex, direction: Direction) -> Vec<NodeIndex> {
        let mut nodes: Vec<NodeIndex> = self.graph.neighbors_directed(node, direction).collect();
        nodes.sort_by(|a, b| self.graph[*a].cmp(&self.graph[*b]));
        nodes
    }

    fn walk(&self, entity: &EntityId, direction: Direction, cap: usize) -> Vec<EntityId> {
        let Some(&start) = self.index.get(entity) else {
            return Vec::new();
        };
        let mut seen = BTreeSet::from([start]);
        let mut found = Vec::new();
        let mut level = vec![start];
        while !level.is_empty() && found.len() < cap {
            let mut next: Vec<NodeIndex> = Vec::new();
            for node in level {
                next.extend(
                    self.graph
                        .neighbors_directed(node, direction)
                        .filter(|n| seen.insert(*n)),
                );
            }
            next.sort_by(|a, b| self.graph[*a].cmp(&self.graph[*b]));
            found.extend(next.iter().map(|n| self.graph[*n].clone()));
            level = next;
        }
        found.truncate(cap);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> CallGraph {
        let mut graph = CallGraph::default();
        for (caller, callee) in edges {
            graph.add(&Edge {
                caller: (*caller).into(),
                callee: (*callee).into(),
            });
        }
        graph
    }

    fn names(ids: &[EntityId]) -> Vec<&str> {
        ids.iter().map(EntityId::as_str).collect()
    }

    #[test]
    fn dependents_come_nearest_first_then_by_name() {
        let g = graph(&[
            ("web", "cart"),
            ("web", "api"),
            ("cart", "db"),
            ("api", "db"),
            ("user", "web"),
        ]);
        assert_eq!(names(&g.dependents(&"db".into())), ["api", "cart", "web", "user"]);
        assert_eq!(g.reach(&"user".into(), 64), 4);
        assert_eq!(g.reach(&"user".into(), 2), 2);
    }

    #[test]
    fn a_path_is_the_shortest_and_the_first_by_name() {
        let g = graph(&[("web", "cart"), ("web", "api"), ("cart", "db"), ("api", "db")]);
        let path = g.path(&"web".into(), &"db".into()).expect("there is one");
        assert_eq!(names(&path), ["web", "api", "db"]);
        assert_eq!(g.path(&"db".into(), &"web".into()), None);
        let around = g.nearest(&"web".into(), &BTreeSet::from(["db".into()]), Way::Down, 8, |e| {
            e.as_str() != "api"
        });
        assert_eq!(names(&around.expect("by cart")), ["web", "cart", "db"]);
        let up = g.nearest(&"db".into(), &BTreeSet::from(["web".into()]), Way::Up, 2, |_| true);
        assert_eq!(names(&up.expect("by api")), ["db", "api", "web"]);
        assert_eq!(
            g.nearest(&"db".into(), &BTreeSet::from(["web".into()]), Way::Up, 1, |_| true),
            None
        );
    }

    #[test]
    fn who_only_runs_somewhere_is_not_where_users_enter() {
        let mut g = graph(&[("web", "node-1"), ("job", "node-1"), ("web", "cart")]);
        assert!(g.is_entry(&"job".into()));
        g.mark_place(&"node-1".into());
        assert!(g.is_entry(&"web".into()) && !g.is_entry(&"job".into()));
    }

    #[test]
    fn cycles_and_self_calls_do_no_harm() {
        let mut g = graph(&[("a", "b"), ("b", "c"), ("c", "a")]);
        assert!(!g.add(&Edge {
            caller: "a".into(),
            callee: "a".into()
        }));
        assert_eq!(names(&g.dependents(&"a".into())), ["c", "b"]);
        assert!(!g.is_entry(&"a".into()));
    }
}
