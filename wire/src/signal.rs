//! Logs and spans, as they are kept for a while and found again.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    pub at: Timestamp,
    /// Who wrote it.
    pub service: String,
    /// OpenTelemetry's number: 1..4 trace, 5..8 debug, 9..12 info, 13..16 warning, 17..20 error, 21..24 fatal; 0: not said.
    pub severity: u8,
    pub text: String,
    /// Everything else that was said of it, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Hexadecimal; empty without a trace.
    #[serde(default)]
    pub trace_id: String,
    #[serde(default)]
    pub span_id: String,
}

/// One piece of work, part of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// When it began.
    pub at: Timestamp,
    pub duration_us: u64,
    /// Who did it.
    pub service: String,
    /// What was done.
    pub name: String,
    pub kind: SpanKind,
    pub status: SpanStatus,
    /// What went wrong.
    #[serde(default)]
    pub message: String,
    /// Sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Hexadecimal, as the two below.
    pub trace_id: String,
    pub span_id: String,
    /// Empty for the first of a trace.
    #[serde(default)]
    pub parent_id: String,
}

/// How a span stands to the spans around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
    #[default]
    #[serde(other)]
    Unspecified,
}

/// How a span ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanStatus {
    Ok,
    Error,
    #[default]
    #[serde(other)]
    Unset,
}

/// Which logs or spans: all that is given must hold. An empty filter fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignalFilter {
    /// Words that the text of a line, or the name or message of a span, must contain; case of ASCII letters does not matter.
    pub search: String,
    pub service: Option<String>,
    /// Hexadecimal.
    pub trace_id: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Lines of at least this severity; spans that failed if it is 17 or above.
    pub min_severity: Option<u8>,
    /// Default 100, at most 1000.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub page: Option<String>,
}

/// Newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub records: Vec<T>,
    /// Asks for the rest, as [`SignalFilter::page`]; `None` at the end.
    #[serde(default = "Option::default")]
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            next: None,
        }
    }
}
