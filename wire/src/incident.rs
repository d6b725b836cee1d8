//! Incidents: what happened, why, whom it touches, who did what about it.

use crate::series::Voter;
use crate::topology::Topology;
use crate::{EntityId, IncidentId, ProposalId, SeriesId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// P1 is worst. Errors and latency at the user's side make P1; latency alone is degradation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    P1,
    P2,
    P3,
    P4,
}

/// Life cycle. `Resolved` incidents accept no new members; a relapse re-opens or starts a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    Open,
    Acknowledged,
    /// An action was taken and the metrics are recovering.
    Mitigated,
    Resolved,
}

/// An incident in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentSummary {
    pub id: IncidentId,
    /// Grows with every change; a console holding an older one refetches the detail.
    pub revision: u64,
    pub title: String,
    pub severity: Severity,
    pub state: IncidentState,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// Most probable cause; `None` means "no single cause".
    pub cause: Option<EntityId>,
    /// Probability that `cause` is right, 0..1.
    pub confidence: f32,
    /// Chance that it is real trouble and no false alarm, 0..1, by the calibration.
    #[serde(default)]
    pub chance: f32,
    pub members: u32,
    pub entities: u32,
    pub alerts: u64,
    pub source: String,
    pub feedback: Option<Verdict>,
    /// The person who works on it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// Nobody is told of it until then.
    #[serde(default)]
    pub snoozed_until: Option<Timestamp>,
}

/// A candidate cause, best first in [`IncidentDetail::causes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub entity: EntityId,
    /// The metric inside the entity that shows it best.
    pub metric: String,
    pub series: Option<SeriesId>,
    pub score: f32,
    pub onset: Timestamp,
    /// Why it is (or, from the second on, why it is not) the cause.
    pub reason: String,
}

/// An anomalous series that belongs to the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub series: SeriesId,
    pub entity: EntityId,
    pub metric: String,
    pub onset: Timestamp,
    pub last: Timestamp,
    /// Highest score so far, 0..1.
    pub score: f32,
    pub observed: f64,
    pub expected: f64,
    /// The last value on the way from expected to observed at which the detector would have kept quiet.
    #[serde(default)]
    pub quiet_at: Option<f64>,
    /// Why it is in: overlap in time, path in the graph, same entity.
    pub reason: String,
    /// Chance that its alert is about real trouble, 0..1, by the calibration.
    #[serde(default)]
    pub chance: f32,
    /// Members of the ensemble that voted for it at some time.
    #[serde(default)]
    pub voters: BTreeSet<Voter>,
    /// Whether there are samples to look at: not of an alert of another system, nor of an entity's silence.
    #[serde(default = "yes")]
    pub has_samples: bool,
}

fn yes() -> bool {
    true
}

/// A sentence and the series that proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub text: String,
    pub confidence: f32,
    pub evidence: Vec<SeriesId>,
}

/// The three-part story: state change, where it first hurt, whom it touches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    pub cause: Claim,
    pub critical_failure: Claim,
    pub impact: Claim,
    /// "Without X ...": what would be different.
    pub counterfactual: Claim,
    /// From the cause to the first user-facing entity.
    pub path: Vec<EntityId>,
}

/// One line of the incident's history, machine or human.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: Timestamp,
    /// `engine` or the identity of a person.
    pub actor: String,
    pub text: String,
    pub entity: Option<EntityId>,
    pub series: Option<SeriesId>,
}

/// A person's word on an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A real incident with the right cause.
    Useful,
    /// Real, but the cause is another.
    WrongCause,
    /// Nothing was wrong.
    FalseAlarm,
}

/// Everything the incident page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    pub summary: IncidentSummary,
    pub causes: Vec<Cause>,
    pub story: Story,
    pub members: Vec<Member>,
    /// Everything that depends on the cause, nearest first.
    pub blast_radius: Vec<EntityId>,
    pub timeline: Vec<TimelineEntry>,
    /// The graph around the incident, as of its last change.
    pub topology: Topology,
    pub proposals: Vec<ProposalId>,
    /// The older incident that took its members.
    #[serde(default)]
    pub merged_into: Option<IncidentId>,
}
