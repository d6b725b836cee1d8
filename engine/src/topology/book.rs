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

/// See the module.
#[derive(Debug, Default)]
pub struct EdgeBook {
    edges: BTreeMap<Edge, EdgeDetail>,
    /// When each was last kept.
    kept: BTreeMap<Edge, Timestamp>,
    kinds: BTreeMap<EntityId, EntityKind>,
    refused: u64,
}

impl EdgeBook {
    /// What an earlier run kept.
    pub fn restore(edges: Vec<EdgeDetail>, now: Timestamp) -> Self {
        let mut book = Self::default();
        for detail in edges {
            let is_declared = detail.sources.contains(&EdgeSource::Declared);
            if is_declared || now.millis_since(detail.last_seen) <= FORGET_MS {
                if let Some(kind) = detail.kind {
                    book.kinds.insert(detail.edge.callee.clone(), kind);
                }
                book.edges.insert(detail.edge.clone(), detail);
            }
        }
        book
    }

    /// Takes a dependency in. Returns whether nobody has told of it before, and what is to be kept now, if anything.
    pub fn see(&mut self, found: Found, now: Timestamp) -> (bool, Option<EdgeDetail>) {
        let is_new = !self.edges.contains_key(&found.edge);
        if is_new && self.edges.len() >= MAX_EDGES {
            self.refused += 1;
            if self.refused == 1 {
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

    /// What an entity is by those who call it.
    pub fn kind(&self, entity: &EntityId) -> Option<EntityKind> {
        self.kinds.get(entity).copied()
    }
}
