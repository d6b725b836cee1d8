//! How good the loop is: scores against labels. Pure functions, used by `halo backtest` and the benchmarks.
//!
//! What is quoted: [`average_precision`] and [`vus_pr`] for scores, [`score_events`] for decisions at a threshold fixed
//! beforehand, [`nab`] for the Numenta benchmark. Point-adjusted F1 is left out on purpose: a random score reaches 0.9
//! with it on the public data sets.

pub mod events;
pub mod nab;
mod ranking;
mod reliability;
mod volume;

pub use events::{EventScore, Span, noise_reduction, quantile, runs, score_events};
pub use ranking::average_precision;
pub use reliability::{Reliability, ReliabilityBin};
pub use volume::{season_buffer, vus_pr};
