//! From bytes to samples: pure decoders, one per protocol, and the sources that read the world.
//!
//! Every decoder yields an [`IngestBatch`], or for logs and spans [`signal::Signals`], with a list of [`Rejection`]s: bad parts are
//! named and counted, good parts go on.

pub mod admit;
pub mod alerts;
pub mod calendar;
pub mod changes;
pub mod cloudwatch;
pub mod csv;
pub mod exemplar;
pub mod host;
pub mod influx;
pub mod json_lines;
mod json_size;
pub mod kafka;
pub mod log_files;
pub mod loki;
mod matching;
pub mod memory;
pub mod otlp;
pub mod prometheus;
pub mod rate;
pub mod recording;
mod refusals;
pub mod registry;
pub mod scrape;
pub mod secret;
pub mod signal;
pub mod statsd;

mod text;

pub use refusals::Refusals;

use crate::series::{Metadata, Sample, SeriesInfo};
use wire::Timestamp;

/// What one request, scrape or recorded row brought.
#[derive(Clone, Debug, Default)]
pub struct IngestBatch {
    /// Series named here for the first time, as far as the decoder knows.
    pub new_series: Vec<SeriesInfo>,
    pub samples: Vec<Sample>,
    /// Series that their source says have ended (Prometheus stale markers).
    pub stale: Vec<(wire::SeriesId, Timestamp)>,
    /// Histograms that have ended, each named by one of its series.
    pub ended_families: Vec<(wire::SeriesId, Timestamp)>,
    /// Types that the sender declares, by the name of the metric or of its family.
    pub types: Vec<(String, Metadata)>,
    pub rejections: Vec<Rejection>,
}

/// Samples, changes or alerts that were refused, and why. Counted per source and reason; nothing is dropped silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: RejectReason,
    pub samples: u64,
    /// One example: what was wrong with which series.
    pub example: String,
}

/// Why samples are refused or set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// NaN that is not a stale marker, or infinite: a gap. Not an error: Prometheus sends NaN for every summary without
    /// observations, and an error would repeat on each request.
    NotANumber,
    /// More than 10 minutes ahead of the clock.
    TooFarInFuture,
    /// Older than what is still open for writing.
    TooOld,
    /// Same series and timestamp, another value.
    Conflicting,
    /// Same series, timestamp and value: a retry. Not an error, counted apart.
    Duplicate,
    /// A label name or value over the limit, unsorted, repeated or empty.
    BadLabels,
    /// Over the limit on series of all sources, or of one.
    TooManySeries,
    /// Of a metric whose series explode.
    Cardinality,
    /// A new series, while memory is short.
    OverMemory,
    /// Faster than its source may send. Its sender was told to come later.
    OverRate,
    /// No room behind what waits. Its sender was told to come later.
    Overloaded,
    /// A request that did not arrive in time. Its sender was told to come later.
    TooSlow,
    /// The disk does not take it. Its sender was told to come later.
    NotDurable,
    /// A histogram or another kind this version does not take.
    Unsupported,
    /// Makes no sense to the decoder of its format.
    Malformed,
    /// A line or attribute over its limit, of which the beginning was kept.
    Truncated,
    /// A span that did not fail, of a trace that is not among those kept.
    SampledOut,
    /// Over a limit on size or number that is not one on series.
    OverLimit,
    /// Its signature, token or key is missing or wrong.
    Unauthenticated,
    /// Well formed, and of no interest: a ping, a deployment that failed.
    Ignored,
}

impl Rejection {
    /// One thing that was refused.
    pub fn one(reason: RejectReason, example: impl Into<String>) -> Self {
        Self {
            reason,
            samples: 1,
            example: example.into(),
        }
    }
}

impl RejectReason {
    /// Name in metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotANumber => "not_a_number",
            Self::TooFarInFuture => "too_far_in_future",
            Self::TooOld => "too_old",
            Self::Conflicting => "conflicting_value",
            Self::Duplicate => "duplicate",
            Self::BadLabels => "bad_labels",
            Self::TooManySeries => "too_many_series",
            Self::Cardinality => "cardinality",
            Self::OverMemory => "over_memory",
            Self::OverRate => "over_rate",
            Self::Overloaded => "overloaded",
            Self::NotDurable => "not_durable",
            Self::TooSlow => "too_slow",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::SampledOut => "sampled_out",
            Self::Unauthenticated => "unauthenticated",
            Self::Ignored => "ignored",
            Self::OverLimit => "over_limit",
        }
    }

    /// Whether a client that sent this must be told by an error status.
    pub const fn is_error(self) -> bool {
        !matches!(
            self,
            Self::Duplicate | Self::NotANumber | Self::Truncated | Self::SampledOut | Self::Ignored
        )
    }
}

/// Why a request failed: the innermost cause, which is the one that says something. Without the address, which may be a secret.
pub(crate) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer within the time-out".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
