//! Logs and spans, kept for a while and found again: the trait, and the one test suite that every implementation passes.

pub mod sqlite;

#[cfg(test)]
mod suite;

use crate::error::Result;
use crate::ingest::signal::{Signal, Signals};
use async_trait::async_trait;
use wire::Timestamp;
use wire::signal::{LogRecord, Page, SignalFilter, SpanRecord};

/// What is kept of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So long after its time; 0: nothing is kept.
    pub age_ms: i64,
    /// Of all records together, as [`weight_of_log`] and [`weight_of_span`] count; above it the oldest go, by arrival.
    pub bytes: u64,
}

/// What is kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub logs: Keep,
    pub spans: Keep,
}

/// A database of logs and spans.
#[async_trait]
pub trait SignalStore: Send + Sync + std::fmt::Debug {
    /// Keeps the records of several requests: all of them, or none. Returns for each request how many were there before; those
    /// are kept once.
    async fn keep(&self, requests: &[&Signals]) -> Result<Vec<u64>>;

    /// Lines, newest first.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a page that nobody gave out.
    async fn logs(&self, filter: &SignalFilter) -> Result<Page<LogRecord>>;

    /// Spans, newest first.
    ///
    /// # Errors
    /// As [`SignalStore::logs`].
    async fn spans(&self, filter: &SignalFilter) -> Result<Page<SpanRecord>>;

    /// Forgets what is too old at `now`, and the oldest of what is too much; returns how many records.
    async fn trim(&self, retention: &Retention, now: Timestamp) -> Result<u64>;
}

/// What a record takes beside its texts: its row and its places in the indexes.
const ROW_BYTES: usize = 120;

/// Bytes that a line counts for.
pub fn weight_of_log(log: &Signal<LogRecord>) -> usize {
    let record = &log.record;
    ROW_BYTES + record.text.len() + record.service.len() + attributes(&record.attributes)
}

/// Bytes that a span counts for.
pub fn weight_of_span(span: &Signal<SpanRecord>) -> usize {
    let record = &span.record;
    let texts = [&record.name, &record.message, &record.service];
    ROW_BYTES + 64 + texts.iter().map(|text| text.len()).sum::<usize>() + attributes(&record.attributes)
}

fn attributes(attributes: &[(String, String)]) -> usize {
    attributes
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum()
}
