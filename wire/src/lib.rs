//! The data that Halo's engine and its console exchange.
//!
//! Serde only: no IO, no clock, no async runtime, so the same types compile for the server, the desktop shell and WASM.
//! The engine keeps its own types and converts at its rim (`engine::view`); what is here is what a reader of the API sees.
//!
//! Read in this order: [`id`] and [`time`] name things; [`series`], [`topology`], [`alert`], [`incident`],
//! [`prediction`], [`proposal`], [`notify`], [`signal`], [`protection`] and [`status`] describe them; [`stream`] keeps a live copy up to date; [`query`] and [`command`] are the
//! two calls.
//!
//! Compatibility: [`VERSION`] counts breaking changes. Adding an optional field (`#[serde(default)]`) is not one.
//! `assets/fixtures/wire/v<VERSION>/*.json` are read back by the tests forever.

pub mod id;
pub mod time;

pub mod series;
pub mod topology;

pub mod alert;
pub mod incident;
pub mod notify;
pub mod prediction;
pub mod proposal;
pub mod protection;
pub mod status;

pub mod signal;
pub mod stream;

pub mod command;
pub mod query;

pub use id::{DeliveryId, EntityId, IncidentId, PredictionId, ProposalId, SeriesId};
pub use time::Timestamp;

/// Version of every type in this crate, sent in [`stream::Snapshot`] and checked by the console.
pub const VERSION: u32 = 1;
