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

/// The graph, as of now or of an incident's minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    pub entities: Vec<Entity>,
    pub edges: Vec<Edge>,
}

/// A version going live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    pub at: Timestamp,
    pub entity: EntityId,
    pub version: String,
    #[serde(default)]
    pub note: String,
}
