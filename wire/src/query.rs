//! Questions and their answers. Asking changes nothing.

use crate::alert::{Alert, Silence};
use crate::incident::IncidentDetail;
use crate::notify::{Channels, Notifications, Preview};
use crate::proposal::AuditEntry;
use crate::series::{SeriesDetail, SeriesSummary};
use crate::signal::{LogRecord, Page, SignalFilter, SpanRecord};
use crate::stream::Snapshot;
use crate::topology::{Deploy, EdgeDetail};
use crate::{EntityId, IncidentId, SeriesId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "query")]
pub enum Query {
    /// The whole live state, as at the start of a stream.
    Snapshot,
    Incident {
        id: IncidentId,
    },
    /// Series whose entity, metric or labels contain every word of `search`, most anomalous first.
    SeriesList {
        #[serde(default)]
        search: String,
        #[serde(default)]
        entity: Option<EntityId>,
        #[serde(default)]
        limit: Option<u32>,
    },
    /// One series between two times (default: everything kept), in at most `max_points` points.
    Series {
        id: SeriesId,
        #[serde(default)]
        from: Option<Timestamp>,
        #[serde(default)]
        to: Option<Timestamp>,
        #[serde(default)]
        max_points: Option<u32>,
    },
    /// The newest links of the audit chain, newest first.
    Audit {
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Lines of logs that are still kept, newest first.
    Logs(SignalFilter),
    /// Spans that are still kept, newest first.
    Spans(SignalFilter),
    /// Deploys, annotations and other changes that touch a span of time and carry all of `tags`, newest first.
    Changes {
        #[serde(default)]
        from: Option<Timestamp>,
        #[serde(default)]
        to: Option<Timestamp>,
        #[serde(default)]
        tags: Vec<String>,
        /// One of `tags` is enough.
        #[serde(default)]
        any_tag: bool,
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Alerts of other systems that are not over, by fingerprint; with `resolved` also the latest that are.
    Alerts {
        #[serde(default)]
        resolved: bool,
    },
    /// Silences, the latest end first; expired ones for as long as they are kept.
    Silences,
    /// Why people were told of an incident, or why not.
    Notifications {
        incident: IncidentId,
    },
    /// Every dependency with who says so, since when, and when it was last seen; sorted.
    Edges,
    /// Where people are told, who is on call, and what was sent last.
    Channels,
    /// What a channel would be sent about an incident, or about an example.
    Preview {
        channel: String,
        #[serde(default)]
        incident: Option<IncidentId>,
    },
}

/// An answer; the variant follows the question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply", content = "data")]
pub enum Reply {
    Snapshot(Snapshot),
    Incident(IncidentDetail),
    SeriesList(Vec<SeriesSummary>),
    Series(SeriesDetail),
    Audit(Vec<AuditEntry>),
    Logs(Page<LogRecord>),
    Spans(Page<SpanRecord>),
    Changes(Vec<Deploy>),
    Alerts(Vec<Alert>),
    Silences(Vec<Silence>),
    Notifications(Notifications),
    Edges(Vec<EdgeDetail>),
    Channels(Channels),
    Preview(Preview),
    /// A silence as it is kept from now on.
    Silence(Silence),
    /// A command was done; the text says what was done.
    Done(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    pub kind: ErrorKind,
    /// What, where, and what to do.
    pub message: String,
}

/// Kinds of failure, each with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// 400: the request makes no sense.
    Invalid,
    /// 401 or 403: the identity may not do this.
    Forbidden,
    /// 404
    NotFound,
    /// 409: the world changed since the request was made (another decided, the plan differs).
    Conflict,
    /// 503: try again later.
    Unavailable,
    /// 500: our fault.
    Internal,
}

impl ApiError {
    /// An error of `kind` with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
