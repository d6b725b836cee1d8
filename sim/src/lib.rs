//! Seeded worlds: services that call each other, metrics with seasons and noise, faults whose cause is known.
//!
//! Tests, benchmarks and training run on them in simulated time. The same seed and configuration give the same numbers,
//! bit for bit, on one machine.

mod estate;
mod fault;
mod signal;
mod topology;
mod world;

pub use estate::{Estate, EstateConfig, Failure, FailureKind, Metric, Part};
pub use fault::{Fault, FaultKind};
pub use world::{Row, SeriesName, World, WorldConfig};
