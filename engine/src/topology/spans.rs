//! Dependencies in spans: a span whose parent is another service's was called by it; a client's span names what has no spans of its own.
//!
//! Spans come in any order and a part of them never, so both sides wait for each other for two generations, of at most
//! [`GENERATION`] spans or [`GENERATION_MS`] each: memory is bounded, and a span costs a few look-ups.

use super::Found;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use wire::Timestamp;
use wire::signal::{SpanKind, SpanRecord};
use wire::topology::{EdgeSource, EntityKind};
use xxhash_rust::xxh3::Xxh3;

/// Spans of a generation at most.
const GENERATION: usize = 50_000;

/// How long a generation lasts.
const GENERATION_MS: i64 = 30_000;

/// What was found is told so often at most, and at once where it is new.
const TELL_EVERY_MS: i64 = 10_000;

/// Dependencies remembered as told; with more they are all news again.
const MAX_TOLD: usize = 100_000;

/// Names known at most.
const MAX_NAMES: usize = 20_000;

/// What a span says of dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanLink {
    /// The hash of trace and span.
    key: u64,
    /// The same of its parent; `None`: the first of its trace.
    parent: Option<u64>,
    service: String,
    /// A consumer is not called by who produced what it consumes.
    is_called: bool,
    peer: Option<Peer>,
}

/// Whom a client's span names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub kind: EntityKind,
    /// A name of the thing itself; an address alone counts only where the other side has no span.
    pub is_certain: bool,
}

impl SpanLink {
    /// Of a span with ids.
    pub fn new(span: &SpanRecord) -> Self {
        let key = |id: &str| {
            let mut hasher = Xxh3::new();
            hasher.update(span.trace_id.as_bytes());
            hasher.update(b"/");
            hasher.update(id.as_bytes());
            hasher.digest()
        };
        Self {
            key: key(&span.span_id),
            parent: (!span.parent_id.is_empty()).then(|| key(&span.parent_id)),
            service: span.service.clone(),
            is_called: span.kind != SpanKind::Consumer,
            peer: peer_of(span),
        }
    }
}

/// What the attributes of a client's span say of the other side, by OpenTelemetry's conventions, new and old.
pub fn peer_of(span: &SpanRecord) -> Option<Peer> {
    if !matches!(span.kind, SpanKind::Client | SpanKind::Producer | SpanKind::Consumer) {
        return None;
    }
    let attribute = |names: &[&str]| {
        names.iter().find_map(|name| {
            let found = span.attributes.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        })
    };
    let peer = |name: &str, kind, is_certain| {
        Some(Peer {
            name: name.to_owned(),
            kind,
            is_certain,
        })
    };
    let service = attribute(&["peer.service", "service.peer.name"]);
    let address = attribute(&["server.address", "net.peer.name", "net.sock.peer.name", "http.host"]);
    if let Some(system) = attribute(&["db.system.name", "db.system"]) {
        let namespace = attribute(&["db.namespace", "db.name"]);
        return peer(
            service.or(address).or(namespace).unwrap_or(system),
            kind_of_store(system),
            true,
        );
    }
    if let Some(system) = attribute(&["messaging.system"]) {
        let destination = attribute(&["messaging.destination.name", "messaging.destination"]);
        return peer(destination.or(service).unwrap_or(system), EntityKind::Queue, true);
    }
    match (service, address) {
        // The name of a service: its kind is its own to tell.
        (Some(service), _) => peer(service, EntityKind::Service, true),
        (None, Some("localhost" | "127.0.0.1" | "::1")) => None,
        (None, Some(address)) => peer(address, EntityKind::External, false),
        (None, None) => None,
    }
}

/// What a system of databases is.
pub(super) fn kind_of_store(system: &str) -> EntityKind {
    if ["redis", "memcached", "valkey"].contains(&system) {
        EntityKind::Cache
    } else {
        EntityKind::Database
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct SpanGraph {
    names: HashMap<Arc<str>, u32>,
    by_number: Vec<Arc<str>>,
    young: Generation,
    old: Generation,
    began: Timestamp,
    /// What was found and not told yet: who, whom, how often.
    counts: BTreeMap<(u32, u32), (Option<EntityKind>, u64)>,
    /// Dependencies that were told.
    told: HashSet<(u32, u32)>,
    /// Those among the counts that were not.
    news: Vec<(u32, u32)>,
    told_at: Timestamp,
}

#[derive(Debug, Default)]
struct Generation {
    spans: HashMap<u64, Seen>,
    /// Services that wait for their parent's span.
    waiting: HashMap<u64, Vec<u32>>,
}

#[derive(Debug)]
struct Seen {
    service: u32,
    /// Named by an address alone, while nobody has answered.
    peer: Option<u32>,
}

impl SpanGraph {
    /// Takes what spans say, and returns the dependencies that are new or have not been told for a while.
    pub fn observe(&mut self, links: &[SpanLink], now: Timestamp) -> Vec<Found> {
        for link in links {
            self.take(link);
            if self.young.spans.len() >= GENERATION {
                self.turn(now);
            }
        }
        if now.millis_since(self.began) >= GENERATION_MS {
            self.turn(now);
        }
        self.tell(now)
    }

    fn take(&mut self, link: &SpanLink) {
        let Some(service) = self.number(&link.service) else {
            return;
        };
        let mut peer = None;
        if let Some(named) = &link.peer
            && let Some(number) = self.number(&named.name)
        {
            if named.is_certain {
                let kind = (named.kind != EntityKind::Service).then_some(named.kind);
                self.count(service, number, kind);
            } else {
                peer = Some(number);
            }
        }
        if let Some(parent) = link.parent.filter(|_| link.is_called) {
            let seen = self
                .young
                .spans
                .get_mut(&parent)
                .or_else(|| self.old.spans.get_mut(&parent));
            match seen {
                Some(seen) if seen.service != service => {
                    seen.peer = None;
                    let caller = seen.service;
                    self.count(caller, service, None);
                }
                Some(_) => {}
                None => self.young.waiting.entry(parent).or_default().push(service),
            }
        }
        let waiting = [&mut self.young, &mut self.old].map(|generation| generation.waiting.remove(&link.key));
        for callee in waiting
            .into_iter()
            .flatten()
            .flatten()
            .filter(|callee| *callee != service)
        {
            peer = None;
            self.count(service, callee, None);
        }
        self.young.spans.insert(link.key, Seen { service, peer });
    }

    /// Who has waited for two generations waits no more: what was named by its address and has not answered has no spans of its own.
    fn turn(&mut self, now: Timestamp) {
        self.began = now;
        let over = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        for seen in over.spans.into_values() {
            if let Some(peer) = seen.peer {
                self.count(seen.service, peer, Some(EntityKind::External));
            }
        }
    }

    fn count(&mut self, caller: u32, callee: u32, kind: Option<EntityKind>) {
        let pair = (caller, callee);
        if caller != callee {
            if !self.told.contains(&pair) && !self.counts.contains_key(&pair) {
                self.news.push(pair);
            }
            let entry = self.counts.entry(pair).or_default();
            entry.0 = entry.0.or(kind);
            entry.1 += 1;
        }
    }

    fn tell(&mut self, now: Timestamp) -> Vec<Found> {
        let mut due = BTreeMap::new();
        if now.millis_since(self.told_at) >= TELL_EVERY_MS {
            self.told_at = now;
            due = std::mem::take(&mut self.counts);
            self.news.clear();
        }
        for pair in self.news.drain(..) {
            due.extend(self.counts.remove_entry(&pair));
        }
        if self.told.len() + due.len() > MAX_TOLD {
            self.told.clear();
        }
        let mut found = Vec::new();
        for ((caller, callee), (kind, calls)) in due {
            self.told.insert((caller, callee));
            let (caller, callee) = (&self.by_number[caller as usize], &self.by_number[callee as usize]);
            if let Some(edge) = Found::new(caller, callee, kind, EdgeSource::Spans) {
                found.push(Found { calls, ..edge });
            }
        }
        found
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.names.get(name) {
            return Some(*number);
        }
        if name.is_empty() || self.by_number.len() >= MAX_NAMES {
            return None;
        }
        let number = u32::try_from(self.by_number.len()).ok()?;
        let name: Arc<str> = name.into();
        self.by_number.push(Arc::clone(&name));
        self.names.insert(name, number);
        Some(number)
    }
}
