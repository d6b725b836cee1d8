//! An incident and its life.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use wire::incident::{
    Cause, Claim, IncidentDetail, IncidentState, IncidentSummary, Member, Severity, Story, TimelineEntry, Verdict,
};
use wire::series::{SeriesInfo, Voter};
use wire::topology::Topology;
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

/// Who writes a line of the timeline when no person does.
pub(super) const ENGINE: &str = "engine";

/// Lines of the timeline kept; the first ones stay, the middle goes.
const MAX_TIMELINE: usize = 500;

/// One incident, complete: it can be stored and restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    /// Grows with every visible change, never falls.
    pub revision: u64,
    pub title: String,
    pub severity: Severity,
    pub state: IncidentState,
    pub started: Timestamp,
    /// Time of the last anomaly, once resolved.
    pub ended: Option<Timestamp>,
    /// Most probable cause; `None`: no single one stands out.
    pub cause: Option<EntityId>,
    /// Probability that the first of `causes` is right, 0..1.
    pub confidence: f32,
    /// Best first.
    pub causes: Vec<Cause>,
    pub story: Story,
    pub members: BTreeMap<SeriesId, Member>,
    /// The entities of its members.
    pub entities: BTreeSet<EntityId>,
    /// Who the members are.
    pub infos: BTreeMap<SeriesId, SeriesInfo>,
    pub blast_radius: Vec<EntityId>,
    /// For each entity the dependency that explains most of its deviation.
    #[serde(default)]
    pub explained_by: BTreeMap<EntityId, EntityId>,
    pub timeline: Vec<TimelineEntry>,
    /// The graph around the incident as of its last change.
    pub topology: Topology,
    /// Anomalous samples so far.
    pub alerts: u64,
    pub source: String,
    pub feedback: Option<Verdict>,
    pub last_anomaly: Timestamp,
    /// When it was resolved, in lane time, and by whom.
    pub resolved: Option<(Timestamp, String)>,
    /// Greatest step among its members.
    pub step_ms: i64,
    /// Opened or widened by the storm breaker.
    #[serde(default)]
    pub storm: bool,
    /// The older incident that took its members.
    #[serde(default)]
    pub merged_into: Option<IncidentId>,
    /// The person who works on it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// Nobody is told of it until then.
    #[serde(default)]
    pub snoozed_until: Option<Timestamp>,
    /// A person's word on how bad it is; it counts more than what is computed.
    #[serde(default)]
    pub set_severity: Option<Severity>,
    /// A person said that these are not the same.
    #[serde(default)]
    pub kept_apart: BTreeSet<IncidentId>,
    /// A person re-opened it: quiet alone does not end it.
    #[serde(default)]
    pub kept_open: bool,
}

impl Incident {
    pub(crate) fn new(id: IncidentId, started: Timestamp, source: &str) -> Self {
        let claim = || Claim {
            text: String::new(),
            confidence: 0.0,
            evidence: Vec::new(),
        };
        Self {
            id,
            revision: 0,
            title: String::new(),
            severity: Severity::P4,
            state: IncidentState::Open,
            started,
            ended: None,
            cause: None,
            confidence: 0.0,
            causes: Vec::new(),
            story: Story {
                cause: claim(),
                critical_failure: claim(),
                impact: claim(),
                counterfactual: claim(),
                path: Vec::new(),
            },
            members: BTreeMap::new(),
            entities: BTreeSet::new(),
            infos: BTreeMap::new(),
            blast_radius: Vec::new(),
            explained_by: BTreeMap::new(),
            timeline: Vec::new(),
            topology: Topology::default(),
            alerts: 0,
            source: source.to_owned(),
            feedback: None,
            last_anomaly: started,
            resolved: None,
            step_ms: 0,
            storm: false,
            merged_into: None,
            assignee: None,
            snoozed_until: None,
            set_severity: None,
            kept_apart: BTreeSet::new(),
            kept_open: false,
        }
    }

    /// Whether it takes new members.
    pub fn is_open(&self) -> bool {
        self.state != IncidentState::Resolved
    }

    /// Chance that it is real trouble, 0..1: that of its surest member. Others mostly repeat what it says.
    pub fn chance(&self) -> f32 {
        self.members.values().map(|member| member.chance).fold(0.0, f32::max)
    }

    /// The entities of its members, and all that depends on its cause. Some come twice.
    pub fn touched(&self) -> impl Iterator<Item = &EntityId> {
        self.entities.iter().chain(&self.blast_radius)
    }

    /// Members of the ensemble that voted for any of it.
    pub fn voters(&self) -> BTreeSet<Voter> {
        self.members
            .values()
            .flat_map(|member| member.voters.iter().copied())
            .collect()
    }

    /// The line in the incident list.
    pub fn summary(&self) -> IncidentSummary {
        IncidentSummary {
            id: self.id.clone(),
            revision: self.revision,
            title: self.title.clone(),
            severity: self.severity,
            state: self.state,
            started: self.started,
            ended: self.ended,
            cause: self.cause.clone(),
            confidence: self.confidence,
            chance: self.chance(),
            members: u32::try_from(self.members.len()).unwrap_or(u32::MAX),
            entities: u32::try_from(self.entities.len()).unwrap_or(u32::MAX),
            alerts: self.alerts,
            source: self.source.clone(),
            feedback: self.feedback,
            assignee: self.assignee.clone(),
            snoozed_until: self.snoozed_until,
        }
    }

    /// The incident page: members by onset, proposals left for the caller to fill.
    pub fn detail(&self) -> IncidentDetail {
        let mut members: Vec<Member> = self.members.values().cloned().collect();
        members.sort_by(|a, b| {
            a.onset
                .cmp(&b.onset)
                .then(b.score.total_cmp(&a.score))
                .then(a.series.cmp(&b.series))
        });
        let mut detail = IncidentDetail {
            summary: self.summary(),
            causes: self.causes.clone(),
            story: self.story.clone(),
            members,
            blast_radius: self.blast_radius.clone(),
            timeline: self.timeline.clone(),
            topology: self.topology.clone(),
            proposals: Vec::new(),
            merged_into: self.merged_into.clone(),
        };
        // Nobody is sent to look at samples that there are none of.
        let is_there = |id: &SeriesId| self.members.get(id).is_none_or(|member| member.has_samples);
        for cause in &mut detail.causes {
            cause.series = cause.series.filter(is_there);
        }
        for entry in &mut detail.timeline {
            entry.series = entry.series.filter(is_there);
        }
        let story = &mut detail.story;
        for claim in [
            &mut story.cause,
            &mut story.critical_failure,
            &mut story.impact,
            &mut story.counterfactual,
        ] {
            claim.evidence.retain(is_there);
        }
        detail
    }

    /// Whether following the best explanation from dependency to dependency, from `entity` on, ends at `cause`.
    pub(super) fn leads_to(&self, entity: &EntityId, cause: &EntityId) -> bool {
        let mut seen = BTreeSet::new();
        let mut at = entity;
        while let Some(next) = self.explained_by.get(at).filter(|_| seen.insert(at)) {
            if next == cause {
                return true;
            }
            at = next;
        }
        false
    }

    /// Writes a line into the timeline.
    pub(super) fn note(&mut self, at: Timestamp, actor: &str, text: String, about: Option<(EntityId, SeriesId)>) {
        if self.timeline.len() >= MAX_TIMELINE {
            self.timeline.remove(MAX_TIMELINE / 2);
        }
        let (entity, series) = about.unzip();
        self.timeline.push(TimelineEntry {
            at,
            actor: actor.to_owned(),
            text,
            entity,
            series,
        });
    }
}

/// The state as a word in a sentence.
pub(super) fn state_name(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Open => "open",
        IncidentState::Acknowledged => "acknowledged",
        IncidentState::Mitigated => "mitigated",
        IncidentState::Resolved => "resolved",
    }
}
