//! The topology: callers at the left, what they depend on at the right; or from top to bottom.

mod draw;
mod layout;

pub use draw::draw;

use std::collections::{BTreeMap, BTreeSet};
use wire::EntityId;
use wire::topology::Topology;

/// Size of a node, in CSS pixels at zoom 1.
pub const NODE: (f64, f64) = (164.0, 38.0);

/// Where dependencies lie, seen from their callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    Right,
    /// For windows that are taller than wide.
    Down,
}

/// Nodes with their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    direction: Direction,
    /// Upper left corners.
    places: BTreeMap<EntityId, (f64, f64)>,
}

/// How the graph lies under the window: `screen = world * zoom + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub zoom: f64,
    pub offset: (f64, f64),
}

/// What to draw and what to bring forward.
#[derive(Clone, Debug)]
pub struct GraphScene<'a> {
    pub topology: &'a Topology,
    pub palette: &'a crate::Palette,
    pub view: View,
    pub selected: Option<&'a EntityId>,
    pub hover: Option<&'a EntityId>,
    /// The cause of the incident in view.
    pub cause: Option<&'a EntityId>,
    /// If given, everything else is dimmed.
    pub focus: Option<&'a BTreeSet<EntityId>>,
}

impl Graph {
    /// Lays a topology out. The same topology gives the same picture; health plays no part, so nothing moves when it changes.
    ///
    /// O(sweeps · edges · log nodes).
    pub fn new(topology: &Topology, direction: Direction) -> Self {
        layout::layout(topology, direction)
    }

    /// Upper left corner of a node.
    pub fn place(&self, entity: &EntityId) -> Option<(f64, f64)> {
        self.places.get(entity).copied()
    }

    /// The node under a point of the screen.
    pub fn hit(&self, view: View, point: (f64, f64)) -> Option<&EntityId> {
        let world = view.to_world(point);
        self.places
            .iter()
            .find(|(_, (x, y))| (*x..=x + NODE.0).contains(&world.0) && (*y..=y + NODE.1).contains(&world.1))
            .map(|(entity, _)| entity)
    }

    /// The view that shows everything in a window, no larger than life.
    pub fn fit(&self, window: (f64, f64)) -> View {
        self.fit_to(self.places.keys(), window, 1.0)
    }

    /// The view that shows some nodes, no larger than `max_zoom`.
    pub fn fit_to<'a>(&self, entities: impl Iterator<Item = &'a EntityId>, window: (f64, f64), max_zoom: f64) -> View {
        let mut low = (f64::INFINITY, f64::INFINITY);
        let mut high = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (x, y) in entities.filter_map(|e| self.place(e)) {
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x + NODE.0), high.1.max(y + NODE.1));
        }
        if low.0 > high.0 {
            return View {
                zoom: 1.0,
                offset: (0.0, 0.0),
            };
        }
        let margin = 28.0;
        let (width, height) = (high.0 - low.0, high.1 - low.1);
        let zoom = ((window.0 - 2.0 * margin) / width)
            .min((window.1 - 2.0 * margin) / height)
            .clamp(View::MIN, max_zoom);
        let offset = (
            (window.0 - width * zoom) / 2.0 - low.0 * zoom,
            (window.1 - height * zoom) / 2.0 - low.1 * zoom,
        );
        View { zoom, offset }
    }
}

impl View {
    const MIN: f64 = 0.08;
    const MAX: f64 = 3.0;

    pub fn to_screen(self, world: (f64, f64)) -> (f64, f64) {
        (world.0 * self.zoom + self.offset.0, world.1 * self.zoom + self.offset.1)
    }

    pub fn to_world(self, screen: (f64, f64)) -> (f64, f64) {
        (
            (screen.0 - self.offset.0) / self.zoom,
            (screen.1 - self.offset.1) / self.zoom,
        )
    }

    /// Zooms so that what is under `anchor` stays there.
    pub fn zoomed(self, factor: f64, anchor: (f64, f64)) -> Self {
        let zoom = (self.zoom * factor).clamp(Self::MIN, Self::MAX);
        let world = self.to_world(anchor);
        Self {
            zoom,
            offset: (anchor.0 - world.0 * zoom, anchor.1 - world.1 * zoom),
        }
    }

    pub fn panned(self, by: (f64, f64)) -> Self {
        Self {
            zoom: self.zoom,
            offset: (self.offset.0 + by.0, self.offset.1 + by.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::{Edge, Entity, EntityKind};

    pub(super) fn topology(names: &[&str], edges: &[(&str, &str)]) -> Topology {
        Topology {
            entities: names
                .iter()
                .map(|name| Entity {
                    id: (*name).into(),
                    kind: EntityKind::Service,
                    health: wire::series::Health::Ok,
                    score: 0.0,
                    series: 1,
                    anomalous_series: 0,
                    last_at: None,
                    source: "replay".to_owned(),
                    incident: None,
                })
                .collect(),
            edges: edges
                .iter()
                .map(|(a, b)| Edge {
                    caller: (*a).into(),
                    callee: (*b).into(),
                })
                .collect(),
        }
    }

    #[test]
    fn callers_stand_left_of_callees() {
        let edges = [("web", "api"), ("api", "db"), ("web", "cache"), ("api", "cache")];
        let graph = Graph::new(&topology(&["api", "cache", "db", "web"], &edges), Direction::Right);
        for (caller, callee) in edges {
            let x = |name: &str| graph.place(&name.into()).expect("every entity is placed").0;
            assert!(x(caller) < x(callee), "{caller} -> {callee}");
        }
    }

    #[test]
    fn cycles_and_strangers_are_placed_without_overlap() {
        let graph = topology(
            &["a", "b", "c", "alone", "host", "host/proc"],
            &[("a", "b"), ("b", "c"), ("c", "a"), ("a", "elsewhere")],
        );
        for direction in [Direction::Right, Direction::Down] {
            let graph = Graph::new(&graph, direction);
            let places: Vec<(f64, f64)> = ["a", "b", "c", "alone", "host", "host/proc", "elsewhere"]
                .iter()
                .map(|name| graph.place(&(*name).into()).expect("every entity is placed"))
                .collect();
            for (at, a) in places.iter().enumerate() {
                for b in &places[at + 1..] {
                    assert!(
                        (a.0 - b.0).abs() >= NODE.0 || (a.1 - b.1).abs() >= NODE.1,
                        "{a:?} overlaps {b:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn hits_are_found_through_any_view() {
        let graph = Graph::new(&topology(&["a", "b"], &[("a", "b")]), Direction::Down);
        let view = View {
            zoom: 0.7,
            offset: (31.0, -12.0),
        }
        .zoomed(1.9, (200.0, 100.0))
        .panned((5.0, 6.0));
        for name in ["a", "b"] {
            let (x, y) = graph.place(&name.into()).expect("every entity is placed");
            let center = view.to_screen((x + NODE.0 / 2.0, y + NODE.1 / 2.0));
            assert_eq!(graph.hit(view, center).map(EntityId::as_str), Some(name));
        }
        assert_eq!(graph.hit(view, view.to_screen((-50.0, -50.0))), None);
    }

    #[test]
    fn zooming_keeps_the_anchor() {
        let view = View {
            zoom: 1.0,
            offset: (10.0, 20.0),
        };
        let anchor = (300.0, 200.0);
        let before = view.to_world(anchor);
        let after = view.zoomed(1.7, anchor).to_world(anchor);
        assert!((before.0 - after.0).abs() < 1e-9 && (before.1 - after.1).abs() < 1e-9);
    }

    #[test]
    fn fitting_shows_everything() {
        let names: Vec<String> = (0..60).map(|n| format!("s{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let graph = Graph::new(&topology(&names, &[("s00", "s01"), ("s01", "s02")]), Direction::Right);
        let view = graph.fit((800.0, 600.0));
        for name in names {
            let (x, y) = graph.place(&name.into()).expect("every entity is placed");
            let (left, top) = view.to_screen((x, y));
            let (right, bottom) = view.to_screen((x + NODE.0, y + NODE.1));
            assert!(left >= 0.0 && top >= 0.0 && right <= 800.0 && bottom <= 600.0, "{name}");
        }
    }
}
