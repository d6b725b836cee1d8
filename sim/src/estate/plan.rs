//! Which parts an estate has, and what each uses.

use super::{HITS, Part};
use crate::topology::CallGraph;
use rand::Rng;
use std::collections::BTreeMap;
use wire::EntityId;

/// A part of an estate. Callers come before what they call.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: EntityId,
    pub(super) part: Part,
    /// What it calls, and how many calls one request makes.
    pub(super) calls: Vec<(usize, f64)>,
    /// A cache and the database behind it.
    pub(super) behind: Option<(usize, usize)>,
    /// The queue that it takes from.
    pub(super) takes: Option<usize>,
    pub(super) host: Option<usize>,
    /// Requests per step that nobody here sends.
    pub(super) own_load: f64,
    pub(super) usual_load: f64,
    pub(super) latency_ms: f64,
    pub(super) errors: f64,
    pub(super) cpu: f64,
    pub(super) memory: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    index: BTreeMap<EntityId, usize>,
}

impl Plan {
    pub(super) fn new(services: usize, rng: &mut impl Rng) -> Self {
        let graph = CallGraph::new(services, rng);
        let counts = [
            (Part::Queue, services.div_ceil(18)),
            (Part::Worker, services.div_ceil(12)),
            (Part::Cache, services.div_ceil(14)),
            (Part::Database, services.div_ceil(7)),
            (Part::Partner, services.div_ceil(16)),
            (Part::Host, services.div_ceil(6).max(3)),
        ];
        let mut nodes: Vec<Node> = graph
            .names
            .iter()
            .zip(graph.callees)
            .map(|(name, calls)| Node::new(name.as_str().into(), Part::Service, calls, rng))
            .collect();
        let mut first: BTreeMap<Part, (usize, usize)> = BTreeMap::new();
        for (part, count) in counts {
            first.insert(part, (nodes.len(), count));
            let name = match part {
                Part::Queue => "queue",
                Part::Worker => "worker",
                Part::Cache => "cache",
                Part::Database => "db",
                Part::Partner => "partner",
                Part::Service | Part::Host => "host",
            };
            nodes.extend((0..count).map(|n| Node::new(format!("{name}-{n:02}").into(), part, Vec::new(), rng)));
        }
        let place = |part: Part, n: usize| {
            let (from, count) = first[&part];
            from + n % count
        };
        let mut called = vec![false; nodes.len()];
        for node in &nodes {
            for (callee, _) in &node.calls {
                called[*callee] = true;
            }
        }
        // Everything is used by somebody: the first users of each kind of part are spread over its parts in turn.
        let mut turn: BTreeMap<Part, usize> = BTreeMap::new();
        let mut any = |part: Part| {
            let turn = turn.entry(part).or_insert(0);
            *turn += 1;
            place(part, *turn - 1)
        };
        let last_service = services;
        for node in 0..last_service {
            let leaf = nodes[node].calls.is_empty();
            if leaf || rng.random_bool(0.25) {
                if rng.random_bool(0.4) {
                    let behind = (any(Part::Cache), any(Part::Database));
                    nodes[node].behind = Some(behind);
                } else {
                    let store = any(Part::Database);
                    nodes[node].calls.push((store, rng.random_range(0.8..1.5)));
                }
            }
            if rng.random_bool(0.14) {
                let queue = any(Part::Queue);
                nodes[node].calls.push((queue, 0.6));
            }
            if rng.random_bool(0.12) {
                let partner = any(Part::Partner);
                nodes[node].calls.push((partner, 0.7));
            }
            if !called[node] {
                nodes[node].own_load = rng.random_range(200.0..800.0);
            }
        }
        let (from, count) = first[&Part::Worker];
        for (n, worker) in (from..from + count).enumerate() {
            nodes[worker].takes = Some(place(Part::Queue, n));
            let store = any(Part::Database);
            nodes[worker].calls.push((store, 1.0));
        }
        for node in nodes
            .iter_mut()
            .filter(|node| node.part != Part::Host && node.part != Part::Partner)
        {
            node.host = Some(any(Part::Host));
        }
        let mut plan = Self {
            index: nodes
                .iter()
                .enumerate()
                .map(|(n, node)| (node.name.clone(), n))
                .collect(),
            nodes,
        };
        plan.settle();
        plan
    }

    pub(super) fn find(&self, name: &EntityId) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Computes what each node usually gets.
    fn settle(&mut self) {
        let mut load: Vec<f64> = self.nodes.iter().map(|node| node.own_load).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            if let Some(queue) = node.takes {
                load[n] += load[queue];
            }
            for &(callee, calls) in &node.calls {
                load[callee] += load[n] * calls;
            }
            if let Some((cache, store)) = node.behind {
                load[cache] += load[n];
                load[store] += load[n] * (1.0 - HITS);
            }
        }
        for (node, load) in self.nodes.iter_mut().zip(load) {
            node.usual_load = load;
        }
    }
}

impl Node {
    fn new(name: EntityId, part: Part, calls: Vec<(usize, f64)>, rng: &mut impl Rng) -> Self {
        let latency = match part {
            Part::Cache => 0.5..1.5,
            Part::Queue => 1.0..4.0,
            Part::Database => 3.0..20.0,
            Part::Partner => 30.0..120.0,
            Part::Service | Part::Worker | Part::Host => 8.0..60.0,
        };
        Self {
            name,
            part,
            calls,
            behind: None,
            takes: None,
            host: None,
            own_load: 0.0,
            usual_load: 0.0,
            latency_ms: rng.random_range(latency),
            errors: rng.random_range(0.0005..0.002),
            cpu: rng.random_range(20.0..45.0),
            memory: rng.random_range(35.0..60.0),
        }
    }
}
