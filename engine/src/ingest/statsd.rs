//! StatsD, with the tags of DogStatsD: counters, gauges, timers, histograms, distributions, sets.
//!
//! [`parse`](parse::parse_line) reads a line, [`Aggregator`] adds lines up and gives samples once per interval, [`Listener`] is the
//! socket. What has come since the last interval is in memory alone: StatsD has no acknowledgement to wait with.

mod aggregate;
mod listen;
mod parse;

pub use aggregate::Aggregator;
pub use listen::{Arrived, Listener};
pub use parse::{Line, Value, parse_line};

use std::net::SocketAddr;

/// Where to listen, and how to add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdConfig {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    /// Milliseconds between two samples of a series.
    pub flush_ms: u64,
    /// Series of lines at most; further ones are refused.
    pub max_series: usize,
}

#[cfg(test)]
mod tests;
