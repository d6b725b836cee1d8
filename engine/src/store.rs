//! What must survive a restart: the log of samples, their sealed history, and the database.
//!
//! [`Store`] is the database's trait; `store/suite.rs` is the one test suite that every implementation passes. Logs and spans, of which
//! there are many and for a short time, have a database apart: [`signals`].

pub mod compact;
pub mod disk;
pub mod history;
pub mod log;
pub mod models;
pub mod rollup;
mod samples;
pub mod signals;
pub mod sqlite;

#[cfg(test)]
mod suite;

use crate::correlate::Incident;
use crate::error::Result;
use crate::notify::{Parcel, Told};
use crate::series::SeriesInfo;
use async_trait::async_trait;
use history::SealedChunk;
use log::Position;
use rollup::{Extent, Level, RolledChunk};
use std::collections::BTreeMap;
use wire::alert::{Alert, Silence};
use wire::prediction::Prediction;
use wire::proposal::{AuditEntry, Proposal};
use wire::topology::{Deploy, EdgeDetail};
use wire::{SeriesId, Timestamp};

/// Everything but samples that a starting engine needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// With the source that reports each; sorted by id.
    pub series: Vec<(SeriesInfo, String)>,
    /// End of the newest sealed chunk of each series.
    pub sealed_until: BTreeMap<SeriesId, Timestamp>,
    /// Where the log must be read from.
    pub checkpoint: Position,
    pub incidents: Vec<Incident>,
    pub predictions: Vec<Prediction>,
    pub proposals: Vec<Proposal>,
    /// In order.
    pub audit: Vec<AuditEntry>,
    pub deploys: Vec<Deploy>,
    pub edges: Vec<EdgeDetail>,
    /// Of other systems.
    pub alerts: Vec<Alert>,
    pub silences: Vec<Silence>,
    /// What people were told of which incident.
    pub told: Vec<Told>,
    /// Messages, sent or not.
    pub parcels: Vec<Parcel>,
    /// Small values by key, each JSON.
    pub settings: BTreeMap<String, String>,
}

/// One change to keep.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Series { info: SeriesInfo, source: String },
    Incident(Box<Incident>),
    Prediction(Box<Prediction>),
    Proposal(Box<Proposal>),
    Audit(AuditEntry),
    Deploy(Deploy),
    Edge(EdgeDetail),
    Alert(Alert),
    Silence(Silence),
    Told(Box<Told>),
    Parcel(Box<Parcel>),
    Setting { key: &'static str, value: String },
}

/// A database. Calls are atomic: all of their changes are kept, or none.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Reads everything but samples.
    async fn load(&self) -> Result<Saved>;

    /// Keeps changes, in order. Saving the same thing again replaces it; audit entries can only be added.
    async fn save(&self, changes: &[Change]) -> Result<()>;

    /// Keeps sealed chunks with their rollups, and with them the position up to which the log is no longer needed. The same chunk
    /// again is no error.
    async fn seal(&self, chunks: &[SealedChunk], checkpoint: Option<Position>) -> Result<()>;

    /// Sealed chunks of one series that overlap a range, oldest first.
    async fn chunks(&self, series: SeriesId, from: Timestamp, to: Timestamp) -> Result<Vec<SealedChunk>>;

    /// Start of the oldest sealed chunk that ends at or after `since`.
    async fn oldest(&self, since: Timestamp) -> Result<Option<Timestamp>>;

    /// Forgets chunks that end before `before`; returns how many.
    async fn expire(&self, before: Timestamp) -> Result<u64>;

    /// Rollups of one series that overlap a range, oldest first. The steps at the edge of one may go on in the next.
    async fn rollups(&self, series: SeriesId, level: Level, from: Timestamp, to: Timestamp)
    -> Result<Vec<RolledChunk>>;

    /// How much there is of one series in a range: of a level, or of samples. What has not been sealed yet is not counted.
    async fn extent(&self, series: SeriesId, level: Option<Level>, from: Timestamp, to: Timestamp) -> Result<Extent>;

    /// Forgets rollups of a level that end before `before`; returns how many.
    async fn expire_rollups(&self, level: Level, before: Timestamp) -> Result<u64>;

    /// Puts small chunks and rollups of at most so many series together, and returns how many went into others; 0: there is nothing
    /// to do. No chunk may be sealed meanwhile.
    async fn compact(&self, series: u32) -> Result<u64>;

    /// Forgets incidents, predictions, proposals, alerts, silences and notifications by id: a recording that is replayed again starts over,
    /// what is over for long is of no use.
    async fn forget(&self, ids: &[String]) -> Result<()>;
}
