//! From anomalies to incidents: grouped by time and by paths in the graph, with the cause and the reasons.
//!
//! A [`Correlator`] serves one time domain. It is told every detection that is anomalous, nearly so, or of a series that was
//! so lately ([`Correlator::observe`]), the dependencies and the deploys; [`Correlator::advance`] moves its clock and
//! returns what changed. It has one owner and no interior mutability, so the life cycle cannot race: a resolved incident
//! takes no members because the only code that adds one has the incident open in its hand.
//!
//! Only anomalies open incidents: two metrics that agree, or one that is far off, or one that stays off. Weak deviations are
//! evidence for the ranking of causes.

mod calls;
mod cause;
mod columns;
mod correlator;
mod evidence;
mod explain;
mod graph;
mod incident;
mod kind;
mod relation;
mod severity;
pub(crate) mod text;

#[cfg(test)]
mod petshop;
#[cfg(test)]
mod scenarios;

pub use correlator::Correlator;
pub use graph::CallGraph;
pub use incident::Incident;
pub use kind::kind_of;

use crate::detect::{Certainty, Detection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::IncidentId;
use wire::series::SeriesInfo;

/// One sample that strayed, with whose it is.
#[derive(Clone, Debug)]
pub struct Observation {
    pub info: Arc<SeriesInfo>,
    /// The source that reports it: `replay`, `host`, `remote_write`.
    pub source: Arc<str>,
    pub detection: Detection,
    /// Whether it is a sample that is kept: not so an alert of another system, nor the silence of an entity.
    pub has_samples: bool,
}

/// What a user may set.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelateConfig {
    /// Anomalies this close in time may belong together; three steps of the series if that is longer.
    pub join_gap_ms: i64,
    /// An incident without a new anomaly for this long is resolved; three steps if that is longer.
    pub quiet_ms: i64,
    /// A relapse within this time after the end re-opens; six steps if that is longer.
    pub reopen_ms: i64,
    /// More newly anomalous series than this within [`Self::storm_window_ms`] trip the storm breaker.
    pub storm_alerts: usize,
    pub storm_window_ms: i64,
    /// Resolved incidents kept in memory.
    pub keep_resolved: usize,
    /// How likely an alert is real.
    pub certainty: Certainty,
}

impl Default for CorrelateConfig {
    fn default() -> Self {
        Self {
            join_gap_ms: 5 * 60_000,
            quiet_ms: 10 * 60_000,
            reopen_ms: 30 * 60_000,
            storm_alerts: 50,
            storm_window_ms: 5 * 60_000,
            keep_resolved: 1000,
            certainty: Certainty::default(),
        }
    }
}

/// Where incident ids come from. Clones share the counter, so correlators of several lanes never give the same id.
#[derive(Clone, Debug, Default)]
pub struct IncidentIds(Arc<AtomicU64>);

impl IncidentIds {
    /// The first id given will be `last + 1`.
    pub fn after(last: u64) -> Self {
        Self(Arc::new(AtomicU64::new(last)))
    }

    /// A fresh id, such as `INC-000042`.
    pub fn next_id(&self) -> IncidentId {
        IncidentId(format!("INC-{:06}", self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// Makes sure that `id` is never given again. Ids that are not ours are left alone.
    pub fn reserve(&self, id: &IncidentId) {
        if let Some(number) = id.as_str().strip_prefix("INC-").and_then(|n| n.parse().ok()) {
            self.0.fetch_max(number, Ordering::Relaxed);
        }
    }
}

/// An incident that is new or differs from what was last told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentChange {
    pub kind: ChangeKind,
    pub incident: Incident,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    Updated,
    Opened,
    Reopened,
    Acknowledged,
    Mitigated,
    Feedback,
    Resolved,
    /// Its members went to an older incident; it is resolved.
    Merged,
}

/// Why an order on an incident cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorrelateError {
    #[error("no incident {0}: it was never opened, or it was resolved long ago")]
    Unknown(IncidentId),
    #[error("incident {id} is {state} and cannot be {wanted}; reload to see who was first")]
    WrongState {
        id: IncidentId,
        state: &'static str,
        wanted: &'static str,
    },
    #[error("incident {id} went into {other}: look there, or part them again")]
    Merged { id: IncidentId, other: IncidentId },
    #[error("{0}")]
    Senseless(String),
}
