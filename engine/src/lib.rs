//! Everything Halo knows, as a library: the local backend is this crate in-process.
//!
//! The loop, in the order of its stages. A stage takes its predecessor's output and never reaches forward; only
//! [`pipeline`] knows them all.
//!
//! ```text
//! ingest -> features -> detect -> correlate -> predict -> decide -> act -> learn
//!    ^                                                                       |
//!    +---------------- baselines, thresholds, models, playbooks <------------+
//! ```
//!
//! Time is read in [`clock`] alone; stages get `now` and seeds as arguments, so hours of a scenario run in milliseconds.
//! IO happens in `ingest` (whose decoders are pure), `act`, `store` and `notify::send` alone.

pub mod clock;
pub mod config;
pub mod error;
pub mod series;

pub mod ingest;

pub mod features;

pub mod detect;

pub mod alert;
pub mod context;
pub mod quality;
pub mod topology;

pub mod correlate;
pub mod notify;

pub mod predict;

pub mod decide;

pub mod act;

pub mod learn;

pub mod evaluate;

pub mod handle;
pub mod pipeline;
pub mod promql;
pub mod store;
pub mod telemetry;
pub mod view;

pub use error::{Error, Result};
