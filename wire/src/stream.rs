//! A live copy of the engine's state: one snapshot, then numbered deltas.
//!
//! The first event on a stream is always a [`Snapshot`]. Each [`Delta`] carries `seq` = previous + 1. A reader that sees a
//! gap drops its copy and waits for (or asks for) a new snapshot; [`Snapshot::apply`] says so by [`Gap`]. `dropped` counts
//! deltas that the sender had to give up for this reader, so loss is visible.

use crate::incident::IncidentSummary;
use crate::prediction::Prediction;
use crate::proposal::Proposal;
use crate::status::Status;
use crate::topology::{Deploy, Edge, Entity};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything that every page needs. Details (an incident, a series) are fetched by query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`crate::VERSION`] of the sender.
    pub version: u32,
    pub seq: u64,
    pub status: Status,
    /// Newest first; open ones always, resolved ones up to a limit.
    pub incidents: Vec<IncidentSummary>,
    /// Sorted by id.
    pub entities: Vec<Entity>,
    /// Sorted.
    pub edges: Vec<Edge>,
    /// Newest first.
    pub predictions: Vec<Prediction>,
    /// Newest first.
    pub proposals: Vec<Proposal>,
    /// Newest first.
    pub deploys: Vec<Deploy>,
}

/// What changed since the previous event. Items replace the ones with the same id; items not named have not changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub seq: u64,
    /// Deltas this reader lost since the last one it got. More than 0 means: a snapshot follows.
    #[serde(default)]
    pub dropped: u64,
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<IncidentSummary>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<Proposal>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploys: Vec<Deploy>,
}

impl Delta {
    /// Whether it says anything beyond its number.
    pub fn is_empty(&self) -> bool {
        self.dropped == 0
            && self.status.is_none()
            && self.incidents.is_empty()
            && self.entities.is_empty()
            && self.edges.is_empty()
            && self.predictions.is_empty()
            && self.proposals.is_empty()
            && self.deploys.is_empty()
    }
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    Snapshot(Snapshot),
    Delta(Delta),
}

/// A delta did not follow the copy it was applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub expected: u64,
    pub got: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream gap: expected event {}, got {}", self.expected, self.got)
    }
}

impl std::error::Error for Gap {}

impl Snapshot {
    /// Applies a delta to this copy.
    ///
    /// # Errors
    /// [`Gap`] if the delta is not the next one; the copy is unchanged.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Gap> {
        if delta.seq != self.seq + 1 {
            return Err(Gap {
                expected: self.seq + 1,
                got: delta.seq,
            });
        }
        self.seq = delta.seq;
        if let Some(status) = delta.status {
            self.status = status;
        }
        upsert_newest_first(&mut self.incidents, delta.incidents, |i| i.id.clone());
        upsert_newest_first(&mut self.predictions, delta.predictions, |p| p.id.clone());
        upsert_newest_first(&mut self.proposals, delta.proposals, |p| p.id.clone());
        for entity in delta.entities {
            match self.entities.binary_search_by(|e| e.id.cmp(&entity.id)) {
                Ok(at) => self.entities[at] = entity,
                Err(at) => self.entities.insert(at, entity),
            }
        }
        for edge in delta.edges {
            if let Err(at) = self.edges.binary_search(&edge) {
                self.edges.insert(at, edge);
            }
        }
        for deploy in delta.deploys {
            if !self.deploys.contains(&deploy) {
                self.deploys.insert(0, deploy);
            }
        }
        Ok(())
    }
}

fn upsert_newest_first<T, K: PartialEq>(list: &mut Vec<T>, items: Vec<T>, key: impl Fn(&T) -> K) {
    for item in items {
        let id = key(&item);
        match list.iter().position(|old| key(old) == id) {
            Some(at) => list[at] = item,
            None => list.insert(0, item),
        }
    }
}
