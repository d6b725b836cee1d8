//! Who depends on whom, found in what comes anyway: spans, the metrics of service graphs and meshes, those of clients and of
//! connections, and labels that say where something runs.
//!
//! Pure: no clock, no store. [`edges_of`] looks at the labels of a new series; [`SpanGraph`] joins the spans of a caller with those of
//! whom it called; [`EdgeBook`] keeps what is known of each dependency: who says so, since when, how often it was seen.

mod book;
mod placement;
mod series;
mod spans;

#[cfg(test)]
mod tests;

pub use book::{EdgeBook, MAX_EDGES};
pub use spans::{Peer, SpanGraph, SpanLink, peer_of};

use wire::EntityId;
use wire::series::SeriesInfo;
use wire::topology::{Edge, EdgeSource, EntityKind};

/// Longest name of an entity that is believed.
const MAX_NAME: usize = 256;

/// The dependencies that a series tells of: on who is called, and on where it runs.
pub fn edges_of(info: &SeriesInfo) -> Vec<Found> {
    let mut found = placement::placements_of(info);
    found.extend(series::edge_of(info));
    found
}

/// A dependency that somebody says there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub edge: Edge,
    /// What is called, as far as that is known.
    pub kind: Option<EntityKind>,
    pub source: EdgeSource,
    /// How often it was seen since it was last told; 0 where only its existence is known.
    pub calls: u64,
}

impl Found {
    /// `None` if one of the names is none, or they are the same.
    fn new(caller: &str, callee: &str, kind: Option<EntityKind>, source: EdgeSource) -> Option<Self> {
        let (caller, callee) = (caller.trim(), callee.trim());
        let is_name = |name: &str| {
            let is_unknown = name.eq_ignore_ascii_case("unknown") || name.eq_ignore_ascii_case("none");
            !name.is_empty() && name.len() <= MAX_NAME && !is_unknown
        };
        (is_name(caller) && is_name(callee) && caller != callee).then(|| Self {
            edge: Edge {
                caller: EntityId::from(caller),
                callee: EntityId::from(callee),
            },
            kind,
            source,
            calls: 0,
        })
    }
}
