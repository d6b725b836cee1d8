//! What there is to say of an incident: the facts that a message is made of.

use crate::correlate::Incident;
use serde::{Deserialize, Serialize};
use wire::incident::{IncidentState, Severity};
use wire::{EntityId, IncidentId, Timestamp};

/// Entities named in a message at most; the others are counted.
const NAMED: usize = 8;

/// An incident as messages show it, taken at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub incident: IncidentId,
    pub title: String,
    pub severity: Severity,
    pub state: IncidentState,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub source: String,
    pub cause: Option<EntityId>,
    /// Probability that the cause is right, 0..1.
    pub confidence: f32,
    /// Whose entity the cause is; `None`: nobody's.
    pub team: Option<String>,
    /// What changed, where it first hurt, whom it touches: a sentence each, as far as there is one.
    pub story: Vec<String>,
    /// The first of the entities that stray.
    pub entities: Vec<EntityId>,
    pub entity_count: usize,
    /// The first of those that depend on the cause.
    pub blast_radius: Vec<EntityId>,
    pub blast_count: usize,
    pub members: usize,
    /// Anomalous samples so far.
    pub alerts: u64,
    /// Who acknowledged or resolved it, if a person did.
    pub actor: Option<String>,
    /// The incident that it became a part of.
    pub merged_into: Option<IncidentId>,
    /// A person works on it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// A person put it off until then.
    #[serde(default)]
    pub snoozed_until: Option<Timestamp>,
}

impl Notice {
    /// Of an incident that belongs to `team`. `actor` is the person whose word changed it, if it was one.
    pub fn new(incident: &Incident, team: Option<String>, actor: Option<String>) -> Self {
        let story = &incident.story;
        let sentences = [&story.cause, &story.critical_failure, &story.impact];
        Self {
            incident: incident.id.clone(),
            title: incident.title.clone(),
            severity: incident.severity,
            state: incident.state,
            started: incident.started,
            ended: incident.ended,
            source: incident.source.clone(),
            cause: incident.cause.clone(),
            confidence: incident.confidence,
            team,
            story: sentences
                .into_iter()
                .map(|claim| claim.text.clone())
                .filter(|text| !text.is_empty())
                .collect(),
            entities: incident.entities.iter().take(NAMED).cloned().collect(),
            entity_count: incident.entities.len(),
            blast_radius: incident.blast_radius.iter().take(NAMED).cloned().collect(),
            blast_count: incident.blast_radius.len(),
            members: incident.members.len(),
            alerts: incident.alerts,
            actor,
            merged_into: incident.merged_into.clone(),
            assignee: incident.assignee.clone(),
            snoozed_until: incident.snoozed_until,
        }
    }

    /// One to try a channel with.
    pub fn example(now: Timestamp) -> Self {
        let entity = EntityId::from;
        Self {
            incident: "INC-000000".into(),
            title: "Example: checkout fails because its database runs out of connections".to_owned(),
            severity: Severity::P4,
            state: IncidentState::Open,
            started: now - 3 * 60_000,
            ended: None,
            source: "example".to_owned(),
            cause: Some(entity("checkout-db")),
            confidence: 0.87,
            team: None,
            story: vec![
                "connections of checkout-db rose to its limit of 100".to_owned(),
                "checkout answered with errors first".to_owned(),
                "nothing is wrong: a person tries this channel".to_owned(),
            ],
            entities: vec![entity("checkout"), entity("checkout-db")],
            entity_count: 2,
            blast_radius: vec![entity("checkout"), entity("frontend")],
            blast_count: 2,
            members: 3,
            alerts: 47,
            actor: None,
            merged_into: None,
            assignee: None,
            snoozed_until: None,
        }
    }

    /// Whether it takes new members.
    pub fn is_open(&self) -> bool {
        self.state != IncidentState::Resolved
    }
}

/// The names, and how many more there are.
pub(super) fn list(names: &[EntityId], count: usize) -> String {
    let shown: Vec<&str> = names.iter().map(EntityId::as_str).collect();
    match count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
