//! Layers after Sugiyama: break cycles, layer by longest path, order by barycenters. What has no edge stands in a grid below.

use super::{Direction, Graph, NODE};
use std::collections::{BTreeMap, BTreeSet};
use wire::EntityId;
use wire::topology::Topology;

const LAYER_GAP: f64 = 44.0;
const ROW_GAP: f64 = 16.0;
const SWEEPS: usize = 8;
/// Columns of the grid of strangers when there is no graph to align with.
const GRID_COLUMNS: usize = 5;

pub(super) fn layout(topology: &Topology, direction: Direction) -> Graph {
    let mut nodes: BTreeSet<&EntityId> = topology.entities.iter().map(|e| &e.id).collect();
    let mut callees: BTreeMap<&EntityId, BTreeSet<&EntityId>> = BTreeMap::new();
    let mut connected: BTreeSet<&EntityId> = BTreeSet::new();
    for edge in topology.edges.iter().filter(|e| e.caller != e.callee) {
        nodes.insert(&edge.caller);
        nodes.insert(&edge.callee);
        connected.insert(&edge.caller);
        connected.insert(&edge.callee);
        callees.entry(&edge.caller).or_default().insert(&edge.callee);
    }
    let acyclic = without_back_edges(&connected, &callees);
    let mut layers = layer(&connected, &acyclic);
    order(&mut layers, &acyclic);
    let strangers: Vec<&EntityId> = nodes.into_iter().filter(|n| !connected.contains(*n)).collect();
    place(&layers, &strangers, direction)
}

type Edges<'a> = BTreeSet<(&'a EntityId, &'a EntityId)>;

/// The edges left when those that close a cycle, found by depth-first search in name order, are taken away.
fn without_back_edges<'a>(
    nodes: &BTreeSet<&'a EntityId>,
    callees: &BTreeMap<&'a EntityId, BTreeSet<&'a EntityId>>,
) -> Edges<'a> {
    let called: BTreeSet<&EntityId> = callees.values().flatten().copied().collect();
    // Entry points first, so that a cycle is broken where it returns, not where it begins.
    let starts = nodes.iter().filter(|n| !called.contains(*n)).chain(nodes.iter());
    let mut kept = BTreeSet::new();
    let (mut done, mut open) = (BTreeSet::new(), BTreeSet::new());
    for start in starts {
        let mut stack = vec![(*start, false)];
        while let Some((node, leaving)) = stack.pop() {
            if leaving {
                open.remove(node);
                done.insert(node);
                continue;
            }
            if done.contains(node) || !open.insert(node) {
                continue;
            }
            stack.push((node, true));
            for callee in callees.get(node).into_iter().flatten() {
                if !open.contains(callee) {
                    kept.insert((node, *callee));
                    if !done.contains(callee) {
                        stack.push((*callee, false));
                    }
                }
            }
        }
    }
    kept
}

/// Longest path from an entry point. A back edge may slip through when two branches meet on the stack, so the number of
/// rounds is bounded.
fn layer<'a>(nodes: &BTreeSet<&'a EntityId>, edges: &Edges<'a>) -> Vec<Vec<&'a EntityId>> {
    let mut depth: BTreeMap<&EntityId, usize> = nodes.iter().map(|n| (*n, 0)).collect();
    for _ in 0..nodes.len() {
        let mut changed = false;
        for (caller, callee) in edges {
            let wanted = depth[caller] + 1;
            if depth[callee] < wanted && wanted < nodes.len() {
                depth.insert(callee, wanted);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let deepest = depth.values().copied().max().map_or(0, |d| d + 1);
    let mut layers = vec![Vec::new(); deepest];
    for (node, depth) in depth {
        layers[depth].push(node);
    }
    layers.retain(|layer| !layer.is_empty());
    layers
}

/// Sorts each layer by the mean place of its neighbors, from the left and from the right in turn.
fn order(layers: &mut [Vec<&EntityId>], edges: &Edges<'_>) {
    let mut neighbors: BTreeMap<&EntityId, Vec<&EntityId>> = BTreeMap::new();
    for (caller, callee) in edges {
        neighbors.entry(caller).or_default().push(callee);
        neighbors.entry(callee).or_default().push(caller);
    }
    for sweep in 0..SWEEPS {
        let places: BTreeMap<&EntityId, f64> = layers
            .iter()
            .flat_map(|layer| {
                let middle = (layer.len() as f64 - 1.0) / 2.0;
                layer
                    .iter()
                    .enumerate()
                    .map(move |(at, node)| (*node, at as f64 - middle))
            })
            .collect();
        for layer in layers.iter_mut() {
            let mean = |node: &EntityId| {
                let near = neighbors.get(node).map_or(&[][..], Vec::as_slice);
                let sum: f64 = near.iter().map(|n| places[n]).sum();
                if near.is_empty() {
                    places[node]
                } else {
                    sum / near.len() as f64
                }
            };
            layer.sort_by(|a, b| {
                mean(a)
                    .total_cmp(&mean(b))
                    .then_with(|| if sweep % 2 == 0 { a.cmp(b) } else { b.cmp(a) })
            });
        }
    }
}

fn place(layers: &[Vec<&EntityId>], strangers: &[&EntityId], direction: Direction) -> Graph {
    let (along, across) = match direction {
        Direction::Right => (NODE.0 + LAYER_GAP, NODE.1 + ROW_GAP),
        Direction::Down => (NODE.1 + LAYER_GAP, NODE.0 + ROW_GAP),
    };
    let widest = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut places = BTreeMap::new();
    for (depth, layer) in layers.iter().enumerate() {
        let first = (widest - layer.len()) as f64 / 2.0;
        for (at, node) in layer.iter().enumerate() {
            let (main, cross) = (depth as f64 * along, (first + at as f64) * across);
            let place = if direction == Direction::Right {
                (main, cross)
            } else {
                (cross, main)
            };
            places.insert((*node).clone(), place);
        }
    }
    let (columns, step_x, below) = match (direction, layers.len()) {
        (_, 0) => (GRID_COLUMNS, NODE.0 + ROW_GAP, 0.0),
        (Direction::Right, depth) => (depth.max(2), along, widest as f64 * across + ROW_GAP),
        (Direction::Down, depth) => (widest.max(2), across, depth as f64 * along),
    };
    for (at, node) in strangers.iter().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let place = (column as f64 * step_x, below + row as f64 * (NODE.1 + ROW_GAP));
        places.insert((*node).clone(), place);
    }
    Graph { direction, places }
}
