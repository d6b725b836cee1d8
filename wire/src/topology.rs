//! Who calls whom, and how each one stands.

use crate::series::Health;
use crate::{EntityId, IncidentId, Timestamp};
use serde::{Deserialize, Serialize};

/// What an entity is, as far as its name and sources tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    #[default]
    Service,
    Host,
    Database,
    Queue,
    Cache,
    External,
    Function,
    Client,
    Process,
    Pod,
    Zone,
    Region,
}

impl EntityKind {
    /// Whether others run on it or in it.
    pub const fn is_place(self) -> bool {
        matches!(self, Self::Host | Self::Pod | Self::Zone | Self::Region)
    }
}

/// A node of the topology graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub id: EntityId,
    pub kind: EntityKind,
    pub health: Health,
    /// Highest anomaly score among its series now, 0..1.
    pub score: f32,
    pub series: u32,
    pub anomalous_series: u32,
    /// Last sample of any of its series; `None` if it is known only from an edge.
    pub last_at: Option<Timestamp>,
    /// The source that reports it: `replay`, `host`, `remote_write`.
    pub source: String,
    /// The open incident it is a member of.
    pub incident: Option<IncidentId>,
}

/// A dependency: failures of `callee` reach `caller`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    pub caller: EntityId,
    pub callee: EntityId,
}

/// Who says that there is a dependency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeSource {
    /// A person.
    #[default]
    Declared,
    /// Spans of one service within those of another.
    Spans,
    /// Metrics of a service graph.
    ServiceGraph,
    /// Metrics of Istio or Linkerd.
    Mesh,
    /// Metrics of the client.
    Client,
    /// Metrics of connections.
    Connections,
    /// Metrics of Kubernetes' objects.
    Kubernetes,
    /// Labels that say where something runs.
    Placement,
}

impl EdgeSource {
    /// As people say it.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Spans => "spans",
            Self::ServiceGraph => "service graph",
            Self::Mesh => "service mesh",
            Self::Client => "client metrics",
            Self::Connections => "connections",
            Self::Kubernetes => "Kubernetes",
            Self::Placement => "placement labels",
        }
    }
}

/// What is known of a dependency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeDetail {
    pub edge: Edge,
    /// What is called, by those who call it.
    #[serde(default)]
    pub kind: Option<EntityKind>,
    /// Sorted.
    pub sources: Vec<EdgeSource>,
    /// How often spans have shown it.
    #[serde(default)]
    pub calls: u64,
    pub first_seen: Timestamp,
    /// Metrics tell of it once, when they begin.
    pub last_seen: Timestamp,
}

/// A dependency that only spans tell of, and that none has shown for so long, is not there any more. Other sources tell of one when it
/// begins, and not again.
const UNSEEN_MS: i64 = 3_600_000;

impl EdgeDetail {
    /// Whether it was there at an instant, as far as that is known.
    pub fn was_there(&self, at: Timestamp) -> bool {
        self.first_seen <= at && !self.is_unseen(at)
    }

    fn is_unseen(&self, at: Timestamp) -> bool {
        self.sources == [EdgeSource::Spans] && at.millis_since(self.last_seen) > UNSEEN_MS
    }
}

/// How a graph has changed since an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphChange {
    /// Not there then.
    pub appeared: Vec<Edge>,
    /// There then, and not now.
    pub gone: Vec<Edge>,
}

impl GraphChange {
    /// Between two instants, in the order of `edges`.
    pub fn between(edges: &[EdgeDetail], then: Timestamp, now: Timestamp) -> Self {
        let those = |was_there: bool| {
            let changed = edges
                .iter()
                .filter(|detail| detail.was_there(then) == was_there && detail.was_there(now) != was_there);
            changed.map(|detail| detail.edge.clone()).collect()
        };
        Self {
            appeared: those(false),
            gone: those(true),
        }
    }
}

/// The graph, as of now or of an incident's minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    pub entities: Vec<Entity>,
    pub edges: Vec<Edge>,
}

/// What was changed. Whatever it is, an onset shortly after it makes its entity suspect; an annotation is only shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A version went live.
    #[default]
    Deploy,
    /// An older version went live again.
    Rollback,
    /// It was taken away.
    Removal,
    Config,
    Flag,
    Scale,
    /// A note of a person or a tool: nothing is concluded from it.
    Annotation,
    /// Written by a newer peer that knows more kinds.
    #[serde(other)]
    Other,
}

impl ChangeKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Removal => "removal",
            Self::Config => "config",
            Self::Flag => "flag",
            Self::Scale => "scale",
            Self::Annotation => "annotation",
            Self::Other => "other",
        }
    }

    /// Whether it may be the cause of something.
    pub const fn may_be_a_cause(self) -> bool {
        !matches!(self, Self::Annotation)
    }
}

/// A version going live, or another change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    pub at: Timestamp,
    /// [`Deploy::EVERYTHING`] if the change is of no entity in particular.
    pub entity: EntityId,
    /// The version; of a change without one, what it is in a few words.
    pub version: String,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub kind: ChangeKind,
    /// Who told: `github`, `grafana_annotations`; empty for a plain call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The sender's name for this very change: told twice under one name, it is recorded once. Empty: it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its end, if it took a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Deploy {
    /// The entity of a change that is of none in particular.
    pub const EVERYTHING: &'static str = "*";

    /// `version` of `entity` went live.
    pub fn new(at: Timestamp, entity: impl Into<EntityId>, version: impl Into<String>) -> Self {
        Self {
            at,
            entity: entity.into(),
            version: version.into(),
            note: String::new(),
            kind: ChangeKind::default(),
            source: String::new(),
            id: String::new(),
            tags: Vec::new(),
            until: None,
        }
    }

    /// Whether a chart of `entity` shows it.
    pub fn concerns(&self, entity: &EntityId) -> bool {
        self.entity == *entity || self.entity.as_str() == Self::EVERYTHING
    }

    /// Whether `other` tells of the same change.
    pub fn is_same_change(&self, other: &Self) -> bool {
        if !self.id.is_empty() && !other.id.is_empty() {
            return self.id == other.id && self.source == other.source;
        }
        (self.at, &self.entity, &self.version) == (other.at, &other.entity, &other.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn edge(callee: &str, sources: &[EdgeSource], first: i64, last: i64) -> EdgeDetail {
        EdgeDetail {
            edge: Edge {
                caller: "web".into(),
                callee: callee.into(),
            },
            kind: None,
            sources: sources.to_vec(),
            calls: 0,
            first_seen: Timestamp(first * HOUR),
            last_seen: Timestamp(last * HOUR),
        }
    }

    #[test]
    fn a_graph_is_compared_with_what_it_was() {
        use EdgeSource::{Declared, Mesh, Spans};
        let edges = [
            edge("always", &[Spans], 0, 10),
            edge("gone", &[Spans], 0, 6),
            // Whatever else tells of it does so once.
            edge("meshed", &[Mesh], 0, 0),
            edge("both", &[Declared, Spans], 0, 1),
            edge("new", &[Spans], 8, 10),
            edge("passing", &[Spans], 7, 8),
            edge("long-gone", &[Spans], 0, 2),
        ];
        let (then, now) = (Timestamp(5 * HOUR), Timestamp(10 * HOUR));
        let there = |at| {
            let there = edges.iter().filter(|detail| detail.was_there(at));
            there.map(|detail| detail.edge.callee.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(there(then), ["always", "gone", "meshed", "both"]);
        assert_eq!(there(now), ["always", "meshed", "both", "new"]);
        let change = GraphChange::between(&edges, then, now);
        let names = |edges: &[Edge]| edges.iter().map(|edge| edge.callee.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&change.appeared), ["new"]);
        assert_eq!(names(&change.gone), ["gone"]);
        assert_eq!(GraphChange::between(&edges, now, now), GraphChange::default());
    }
}
