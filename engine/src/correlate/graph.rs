//! Who calls whom: the call graph, and the questions the correlator asks of it.
//!
//! An edge points from caller to callee; faults travel the other way. Every answer is sorted or breadth-first over sorted
//! neighbors, so it depends on the graph alone and not on the order in which edges became known.

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

/// The call graph of one lane.
#[derive(Clone, Debug, Default)]
pub struct CallGraph {
    graph: StableDiGraph<EntityId, ()>,
    index: BTreeMap<EntityId, NodeIndex>,
    /// Of each node what it calls, by name; every answer is asked for too often to sort it then.
    down: Vec<Vec<NodeIndex>>,
    /// Of each node what calls it, by name.
    up: Vec<Vec<NodeIndex>>,
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
        let place_of = |list: &[NodeIndex], entity: &EntityId| list.binary_search_by(|n| self.graph[*n].cmp(entity));
        let Err(place) = place_of(&self.down[caller.index()], &edge.callee) else {
            return false;
        };
        let (Ok(above) | Err(above)) = place_of(&self.up[callee.index()], &edge.caller);
        self.down[caller.index()].insert(place, callee);
        self.up[callee.index()].insert(above, caller);
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
        self.neighbors(entity, Way::Down)
    }

    /// Direct dependents, sorted.
    pub fn callers(&self, entity: &EntityId) -> Vec<EntityId> {
        self.neighbors(entity, Way::Up)
    }

    /// Everything that reaches `entity` by calls, nearest first, then by name: who suffers when it fails.
    pub fn dependents(&self, entity: &EntityId) -> Vec<EntityId> {
        let Some(&start) = self.index.get(entity) else {
            return Vec::new();
        };
        let mut seen = BTreeSet::from([start]);
        let mut found = Vec::new();
        let mut level = vec![start];
        while !level.is_empty() {
            let callers = level.into_iter().flat_map(|node| self.caller_nodes(node));
            level = callers.filter(|node| seen.insert(*node)).collect();
            level.sort_by(|a, b| self.graph[*a].cmp(&self.graph[*b]));
            found.extend(level.iter().map(|node| self.graph[*node].clone()));
        }
        found
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
        let is_called = !self.up[node.index()].is_empty();
        !is_called
            && self
                .callee_nodes(node)
                .any(|callee| !self.places.contains(&self.graph[callee]))
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
        let mut parent: Vec<Option<NodeIndex>> = vec![None; self.bound()];
        parent[start.index()] = Some(start);
        let mut queue = VecDeque::from([(start, 0_u32)]);
        while let Some((node, depth)) = queue.pop_front() {
            if depth == hops {
                break;
            }
            for &next in self.sorted(node, way) {
                if parent[next.index()].is_some() {
                    continue;
                }
                let entity = &self.graph[next];
                let found = targets.contains(entity);
                if found || through(entity) {
                    parent[next.index()] = Some(node);
                    queue.push_back((next, depth + 1));
                }
                if found {
                    let mut path = vec![next];
                    while let Some(&at) = path.last().filter(|at| **at != start) {
                        path.extend(parent[at.index()]);
                    }
                    return Some(path.into_iter().rev().map(|at| self.graph[at].clone()).collect());
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
        self.down.len()
    }

    /// What a node calls, by name.
    pub(super) fn callee_nodes(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.sorted(node, Way::Down).iter().copied()
    }

    /// What calls a node, by name.
    pub(super) fn caller_nodes(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.sorted(node, Way::Up).iter().copied()
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
        self.down.push(Vec::new());
        self.up.push(Vec::new());
        node
    }

    fn neighbors(&self, entity: &EntityId, way: Way) -> Vec<EntityId> {
        let Some(&node) = self.index.get(entity) else {
            return Vec::new();
        };
        self.sorted(node, way).iter().map(|n| self.graph[*n].clone()).collect()
    }

    fn sorted(&self, node: NodeIndex, way: Way) -> &[NodeIndex] {
        match way {
            Way::Down => &self.down[node.index()],
            Way::Up => &self.up[node.index()],
        }
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
