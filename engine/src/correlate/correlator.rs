//! The state of one lane: evidence, graph, incidents, and the rules by which anomalies become incidents.

mod grouping;
mod judgement;
mod orders;
mod placement;
mod waves;

use super::evidence::{Evidence, Track};
use super::graph::CallGraph;
use super::incident::{ENGINE, Incident};
use super::{ChangeKind, CorrelateConfig, IncidentChange, IncidentIds, Observation};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::incident::{Cause, IncidentDetail};
use wire::topology::{Deploy, Edge, Entity};
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

/// Evidence older than this is forgotten.
const EVIDENCE_MS: i64 = 6 * 3_600_000;
/// Deploys kept.
const MAX_DEPLOYS: usize = 1000;

/// Turns anomalies into incidents. See the module's documentation for the contract.
#[derive(Debug)]
pub struct Correlator {
    config: CorrelateConfig,
    ids: IncidentIds,
    graph: CallGraph,
    evidence: Evidence,
    deploys: Vec<Deploy>,
    incidents: BTreeMap<IncidentId, Incident>,
    /// Open incident of each member.
    member_of: BTreeMap<SeriesId, IncidentId>,
    /// Anomalous series without an incident, by time of their last anomaly.
    pending: BTreeMap<SeriesId, Timestamp>,
    dirty: BTreeMap<IncidentId, ChangeKind>,
    /// Incidents whose cause is to be ranked again.
    rerank: BTreeSet<IncidentId>,
    /// Entities that have metrics of their own: where nothing is heard of another, that means nothing.
    reporting: BTreeSet<EntityId>,
    /// Sources of which some entity is in the call graph.
    mapped_sources: BTreeSet<String>,
    /// When series became anomalous lately, for the storm breaker.
    joins: VecDeque<Timestamp>,
}

impl Correlator {
    /// An empty lane with ids of its own.
    pub fn new(config: CorrelateConfig) -> Self {
        Self::with_ids(config, IncidentIds::default())
    }

    /// An empty lane that takes its ids from a shared counter.
    pub fn with_ids(config: CorrelateConfig, ids: IncidentIds) -> Self {
        Self {
            config,
            ids,
            graph: CallGraph::default(),
            evidence: Evidence::default(),
            deploys: Vec::new(),
            incidents: BTreeMap::new(),
            member_of: BTreeMap::new(),
            pending: BTreeMap::new(),
            dirty: BTreeMap::new(),
            rerank: BTreeSet::new(),
            reporting: BTreeSet::new(),
            mapped_sources: BTreeSet::new(),
            joins: VecDeque::new(),
        }
    }

    /// Takes incidents of an earlier run back in, open ones with their members. Their causes stay as ranked then.
    pub fn restore(&mut self, incidents: Vec<Incident>) {
        for incident in incidents {
            self.ids.reserve(&incident.id);
            if incident.is_open() {
                for series in incident.members.keys() {
                    self.member_of.insert(*series, incident.id.clone());
                }
            }
            self.incidents.insert(incident.id.clone(), incident);
        }
    }

    /// Learns a dependency. If it connects two open incidents that overlap in time, they become one.
    pub fn declare_edge(&mut self, edge: Edge) {
        if !self.graph.add(&edge) {
            return;
        }
        let open_with = |entity: &EntityId| {
            self.incidents
                .values()
                .find(|i| i.is_open() && i.members.values().any(|m| m.entity == *entity))
        };
        let (Some(a), Some(b)) = (open_with(&edge.caller), open_with(&edge.callee)) else {
            return;
        };
        let apart = a.last_anomaly.millis_since(b.last_anomaly).abs();
        if a.id != b.id && !a.kept_apart.contains(&b.id) && apart <= self.join_gap(a.step_ms.max(b.step_ms)) {
            let (older, younger) = by_age(a, b);
            self.merge(&older, &younger);
        } else if a.id == b.id {
            let id = a.id.clone();
            self.rerank.insert(id.clone());
            self.touch(&id, ChangeKind::Updated);
        }
    }

    /// Learns that others run on or in an entity.
    pub fn mark_place(&mut self, entity: &EntityId) {
        self.graph.mark_place(entity);
    }

    /// Learns that an entity has metrics of its own.
    pub fn reports(&mut self, entity: &EntityId) {
        if !self.reporting.contains(entity) {
            self.reporting.insert(entity.clone());
        }
    }

    /// Learns a deploy: an onset shortly after one makes its entity suspect.
    pub fn record_deploy(&mut self, deploy: Deploy) {
        if self.deploys.len() == MAX_DEPLOYS {
            self.deploys.remove(0);
        }
        self.deploys.push(deploy);
    }

    /// The call graph as known now.
    pub fn graph(&self) -> &CallGraph {
        &self.graph
    }

    /// Takes one detection in: every anomaly, and weak deviations as evidence for the ranking.
    pub fn observe(&mut self, observation: &Observation) {
        let series = observation.detection.series;
        if observation.has_samples {
            self.reports(&observation.info.entity);
        }
        if self.graph.knows(&observation.info.entity) {
            self.mapped_sources.insert(observation.source.to_string());
        }
        if self.evidence.record(observation).is_none() {
            return;
        }
        if let Some(id) = self.member_of.get(&series).cloned() {
            if observation.detection.anomaly {
                self.extend(&id, series, None);
            }
        } else if observation.detection.anomaly {
            self.place(series);
        }
    }

    /// Moves the lane's clock to `now`: resolves what is quiet, ranks and explains what changed, and returns it, by id.
    pub fn advance(&mut self, now: Timestamp) -> Vec<IncidentChange> {
        self.evidence.prune(now - EVIDENCE_MS);
        let gap = self.config.join_gap_ms;
        let tracks = &self.evidence.tracks;
        self.pending.retain(|series, last| {
            let step = tracks.get(series).map_or(0, Track::step_ms);
            now.millis_since(*last) <= gap.max(3 * step)
        });
        let quiet: Vec<IncidentId> = self
            .incidents
            .values()
            .filter(|i| i.is_open() && !i.kept_open)
            .filter(|i| now.millis_since(i.last_anomaly) >= self.config.quiet_ms.max(3 * i.step_ms))
            .map(|i| i.id.clone())
            .collect();
        for id in quiet {
            self.refresh(&id, now);
            self.close(&id, ENGINE, now);
        }
        let mut changes = Vec::new();
        for (id, kind) in std::mem::take(&mut self.dirty) {
            self.refresh(&id, now);
            if let Some(incident) = self.incidents.get(&id) {
                changes.push(IncidentChange {
                    kind,
                    incident: incident.clone(),
                });
            }
        }
        self.forget_old();
        changes
    }

    /// An incident, open or resolved.
    pub fn incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.incidents.get(id)
    }

    /// All incidents, oldest id first.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// The incident page; `live` gives the present state of an entity, where the caller knows it.
    pub fn detail(&self, id: &IncidentId, live: impl Fn(&EntityId) -> Option<Entity>) -> Option<IncidentDetail> {
        let mut detail = self.incidents.get(id)?.detail();
        for entity in &mut detail.topology.entities {
            if let Some(known) = live(&entity.id) {
                *entity = known;
            }
        }
        Some(detail)
    }

    /// The most probable causes, best first, at most `limit`.
    pub fn causes(&self, id: &IncidentId, limit: usize) -> Vec<Cause> {
        let causes = self.incidents.get(id).map(|i| i.causes.as_slice()).unwrap_or_default();
        causes[..limit.min(causes.len())].to_vec()
    }

    /// Everything that depends on `entity`, nearest first.
    pub fn blast_radius(&self, entity: &EntityId) -> Vec<EntityId> {
        self.graph.dependents(entity)
    }

    /// What open incidents touch: the entities of their members, and all that depends on their causes.
    pub fn troubled(&self) -> BTreeSet<EntityId> {
        let open = self.incidents.values().filter(|incident| incident.is_open());
        open.flat_map(Incident::touched).cloned().collect()
    }

    fn touch(&mut self, id: &IncidentId, kind: ChangeKind) {
        let entry = self.dirty.entry(id.clone()).or_insert(kind);
        *entry = (*entry).max(kind);
    }

    fn join_gap(&self, step_ms: i64) -> i64 {
        self.config.join_gap_ms.max(3 * step_ms)
    }

    fn forget_old(&mut self) {
        let mut resolved: Vec<(Timestamp, IncidentId)> = self
            .incidents
            .values()
            .filter(|i| !i.is_open())
            .map(|i| (i.last_anomaly, i.id.clone()))
            .collect();
        if resolved.len() > self.config.keep_resolved {
            resolved.sort();
            for (_, id) in &resolved[..resolved.len() - self.config.keep_resolved] {
                self.incidents.remove(id);
            }
        }
    }
}

/// Ids of the older and the younger of two incidents.
fn by_age(a: &Incident, b: &Incident) -> (IncidentId, IncidentId) {
    if (a.started, &a.id) <= (b.started, &b.id) {
        (a.id.clone(), b.id.clone())
    } else {
        (b.id.clone(), a.id.clone())
    }
}
