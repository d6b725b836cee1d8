//! What is known of each dependency.

use super::Found;
use std::collections::BTreeMap;
use wire::topology::{Edge, EdgeDetail, EdgeSource, EntityKind};
use wire::{EntityId, Timestamp};

/// Dependencies known at most: more is a label that explodes.
pub const MAX_EDGES: usize = 50_000;

/// That it was seen again is kept so often.
const KEEP_EVERY_MS: i64 = 10 * 60_000;

/// One that nobody declared and nobody has seen for so long is forgotten at the next start.
const FORGET_MS: i64 = 30 * 24 * 3600 * 1000;

/// What runs where changes with every deploy: pods of another day are forgotten sooner.
const FORGET_PLACE_MS: i64 = 2 * 24 * 3600 * 1000;

/// See the module.
#[derive(Debug, Default)]
pub struct EdgeBook {
    edges: BTreeMap<Edge, EdgeDetail>,
    /// When each was last kept.
    kept: BTreeMap<Edge, Timestamp>,
    kinds: BTreeMap<EntityId, EntityKind>,
    /// It was said that there are too many.
    is_full: bool,
}

impl EdgeBook {
    /// What an earlier run kept, and what its series tell, each with when it was last heard of: series that are known are not new, and
    /// what they tell is not found again.
    pub fn restore(edges: Vec<EdgeDetail>, found: Vec<(Found, Timestamp)>, now: Timestamp) -> Self {
        let mut book = Self::default();
        for detail in edges {
            let is_declared = detail.sources.contains(&EdgeSource::Declared);
            if is_declared || now.millis_since(detail.last_seen) <= memory_ms(&detail.sources) {
                if let Some(kind) = detail.kind {
                    book.kinds.insert(detail.edge.callee.clone(), kind);
                }
                book.edges.insert(detail.edge.clone(), detail);
            }
        }
        for (found, at) in found {
            if now.millis_since(at) <= memory_ms(&[found.source]) {
                book.see(found, at);
            }
        }
        book
    }

    /// Takes a dependency in. Returns whether nobody has told of it before, and what is to be kept now, if anything.
    pub fn see(&mut self, found: Found, now: Timestamp) -> (bool, Option<EdgeDetail>) {
        let is_new = !self.edges.contains_key(&found.edge);
        if is_new && self.edges.len() >= MAX_EDGES {
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::warn!(caller = %found.edge.caller, callee = %found.edge.callee, "{MAX_EDGES} dependencies are known; this one and all after it are left out: a name changes with every request");
            }
            return (false, None);
        }
        if let Some(kind) = found.kind {
            self.kinds.insert(found.edge.callee.clone(), kind);
        }
        let detail = self.edges.entry(found.edge.clone()).or_insert_with(|| EdgeDetail {
            edge: found.edge.clone(),
            kind: None,
            sources: Vec::new(),
            calls: 0,
            first_seen: now,
            last_seen: now,
        });
        let mut is_news = is_new;
        if let Err(at) = detail.sources.binary_search(&found.source) {
            detail.sources.insert(at, found.source);
            is_news = true;
        }
        if found.kind.is_some() && detail.kind != found.kind {
            detail.kind = found.kind;
            is_news = true;
        }
        detail.calls = detail.calls.saturating_add(found.calls);
        detail.first_seen = detail.first_seen.min(now);
        detail.last_seen = detail.last_seen.max(now);
        let kept = self.kept.entry(found.edge).or_insert(Timestamp(i64::MIN / 2));
        if is_news || now.millis_since(*kept) >= KEEP_EVERY_MS {
            *kept = now;
            return (is_new, Some(detail.clone()));
        }
        (is_new, None)
    }

    /// All dependencies, sorted.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeDetail> {
        self.edges.values()
    }

    /// What an entity is by those who call it. Who reports by itself is known by an address to some, and not external for that.
    pub fn kind(&self, entity: &EntityId, reports: bool) -> Option<EntityKind> {
        let kind = self.kinds.get(entity).copied();
        kind.filter(|kind| !reports || *kind != EntityKind::External)
    }
}

/// How long a dependency is known that nobody tells of any more.
fn memory_ms(sources: &[EdgeSource]) -> i64 {
    let is_place = |source: &EdgeSource| matches!(source, EdgeSource::Kubernetes | EdgeSource::Placement);
    if sources.iter().all(is_place) {
        FORGET_PLACE_MS
    } else {
        FORGET_MS
    }
}
