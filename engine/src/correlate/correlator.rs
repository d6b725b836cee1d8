//! The state of one lane: evidence, graph, incidents, and the rules by which anomalies become incidents.

use super::cause::{self, Input};
use super::evidence::{Evidence, Track};
use super::explain::{Context, joined};
use super::graph::CallGraph;
use super::incident::{ENGINE, Incident, state_name};
use super::relation::{Relation, relate};
use super::severity::{Symptom, severity};
use super::text::{duration, metric_name};
use super::{ChangeKind, CorrelateConfig, CorrelateError, IncidentChange, IncidentIds, Observation};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::incident::{Cause, IncidentDetail, IncidentState, Member, Severity, Verdict};
use wire::series::MetricClass;
use wire::topology::{Deploy, Edge, Entity};
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

/// Evidence older than this is forgotten.
const EVIDENCE_MS: i64 = 6 * 3_600_000;
/// Deploys kept.
const MAX_DEPLOYS: usize = 1000;
/// From this step on a single extreme sample opens an incident: waiting for the next would cost minutes.
const COARSE_STEP_MS: i64 = 60_000;
/// What counts as extreme.
const EXTREME_SCORE: f32 = 0.99;

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
        if a.id != b.id && apart <= self.join_gap(a.step_ms.max(b.step_ms)) {
            let (older, younger) = by_age(a, b);
            self.merge(&older, &younger);
        } else if a.id == b.id {
            let id = a.id.clone();
            self.rerank.insert(id.clone());
            self.touch(&id, ChangeKind::Updated);
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
            .filter(|i| i.is_open())
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

    /// Somebody looks after it.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, or it is not open (anymore).
    pub fn acknowledge(
        &mut self,
        id: &IncidentId,
        actor: &str,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        self.order(id, "acknowledged", &[IncidentState::Open], |incident| {
            incident.state = IncidentState::Acknowledged;
            incident.note(now, actor, "acknowledged".to_owned(), None);
        })?;
        self.changed(id, ChangeKind::Acknowledged)
    }

    /// An action was taken against it; `what` says which.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, or it is resolved.
    pub fn mitigated(
        &mut self,
        id: &IncidentId,
        actor: &str,
        what: &str,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        let from = [
            IncidentState::Open,
            IncidentState::Acknowledged,
            IncidentState::Mitigated,
        ];
        self.order(id, "mitigated", &from, |incident| {
            incident.state = IncidentState::Mitigated;
            incident.note(now, actor, format!("mitigated: {what}"), None);
        })?;
        self.changed(id, ChangeKind::Mitigated)
    }

    /// A person says that it is over. Members that go on straying do not re-open it; a new onset does.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, or it is resolved already.
    pub fn resolve(&mut self, id: &IncidentId, actor: &str, now: Timestamp) -> Result<IncidentChange, CorrelateError> {
        let from = [
            IncidentState::Open,
            IncidentState::Acknowledged,
            IncidentState::Mitigated,
        ];
        self.order(id, "resolved", &from, |_| {})?;
        self.refresh(id, now);
        self.close(id, actor, now);
        self.changed(id, ChangeKind::Resolved)
    }

    /// A person's verdict; the last one counts.
    ///
    /// # Errors
    /// [`CorrelateError::Unknown`] if there is no such incident.
    pub fn feedback(
        &mut self,
        id: &IncidentId,
        actor: &str,
        verdict: Verdict,
        note: &str,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        let incident = self
            .incidents
            .get_mut(id)
            .ok_or_else(|| CorrelateError::Unknown(id.clone()))?;
        incident.feedback = Some(verdict);
        let said = match verdict {
            Verdict::Useful => "useful: a real incident with the right cause",
            Verdict::WrongCause => "wrong cause",
            Verdict::FalseAlarm => "false alarm",
        };
        let text = if note.is_empty() {
            format!("feedback: {said}")
        } else {
            format!("feedback: {said}; {note}")
        };
        incident.note(now, actor, text, None);
        self.changed(id, ChangeKind::Feedback)
    }

    fn order(
        &mut self,
        id: &IncidentId,
        wanted: &'static str,
        from: &[IncidentState],
        apply: impl FnOnce(&mut Incident),
    ) -> Result<(), CorrelateError> {
        let incident = self
            .incidents
            .get_mut(id)
            .ok_or_else(|| CorrelateError::Unknown(id.clone()))?;
        if !from.contains(&incident.state) {
            return Err(CorrelateError::WrongState {
                id: id.clone(),
                state: state_name(incident.state),
                wanted,
            });
        }
        apply(incident);
        Ok(())
    }

    /// Counts a change made by an order and hands the incident out.
    fn changed(&mut self, id: &IncidentId, kind: ChangeKind) -> Result<IncidentChange, CorrelateError> {
        // The order itself tells of this change; `advance` need not repeat it.
        self.dirty.remove(id);
        let incident = self
            .incidents
            .get_mut(id)
            .ok_or_else(|| CorrelateError::Unknown(id.clone()))?;
        incident.revision += 1;
        Ok(IncidentChange {
            kind,
            incident: incident.clone(),
        })
    }

    /// Finds the incident that a newly anomalous series belongs to, or waits until there is enough evidence for a new one.
    fn place(&mut self, series: SeriesId) {
        let Some(at) = self.evidence.tracks.get(&series).and_then(|t| t.last_anomaly) else {
            return;
        };
        let fresh = !self.pending.contains_key(&series);
        if fresh {
            self.joins.push_back(at);
        }
        while self
            .joins
            .front()
            .is_some_and(|first| at.millis_since(*first) > self.config.storm_window_ms)
        {
            self.joins.pop_front();
        }
        let ties = self.ties(series, at, |i| i.is_open());
        if let Some((first, relation)) = ties.first().cloned() {
            let mut home = first;
            for (other, other_relation) in &ties[1..] {
                if *other_relation != Relation::TimeOnly {
                    let (older, younger) = by_age(&self.incidents[&home], &self.incidents[other]);
                    self.merge(&older, &younger);
                    home = older;
                }
            }
            self.extend(&home, series, Some(relation.reason()));
            return;
        }
        self.pending.insert(series, at);
        self.open(series, at);
    }

    /// Incidents that satisfy `eligible`, overlap in time with an anomaly of `series` at `at`, and have a tie to it,
    /// oldest first.
    fn ties(
        &self,
        series: SeriesId,
        at: Timestamp,
        eligible: impl Fn(&Incident) -> bool,
    ) -> Vec<(IncidentId, Relation)> {
        let Some(track) = self.evidence.tracks.get(&series) else {
            return Vec::new();
        };
        let strayed = self.strayed(at);
        let mut ties: Vec<(&Incident, Relation)> = self
            .incidents
            .values()
            .filter(|i| eligible(i))
            .filter(|i| {
                let gap = if i.is_open() {
                    self.join_gap(i.step_ms.max(track.step_ms()))
                } else {
                    self.config.reopen_ms.max(6 * i.step_ms)
                };
                at.millis_since(i.last_anomaly) <= gap
            })
            .filter_map(|i| {
                let relation = self.relation(track, &i.entities(), &i.source, &strayed)?;
                Some((i, relation))
            })
            .collect();
        ties.sort_by(|(a, _), (b, _)| a.started.cmp(&b.started).then_with(|| a.id.cmp(&b.id)));
        ties.into_iter().map(|(i, r)| (i.id.clone(), r)).collect()
    }

    fn relation(
        &self,
        track: &Track,
        known: &BTreeSet<EntityId>,
        source: &str,
        strayed: &BTreeSet<EntityId>,
    ) -> Option<Relation> {
        let time_is_enough = *track.source == *source && !self.mapped_sources.contains(source);
        relate(
            &self.graph,
            &track.info.entity,
            known,
            |e| strayed.contains(e),
            time_is_enough,
        )
    }

    /// Entities with evidence close to `at`.
    fn strayed(&self, at: Timestamp) -> BTreeSet<EntityId> {
        self.evidence
            .tracks
            .values()
            .filter(|t| {
                let near = self.join_gap(t.step_ms());
                t.points.back().is_some_and(|p| at.millis_since(p.at) <= near)
            })
            .map(|t| t.info.entity.clone())
            .collect()
    }

    /// Opens, or re-opens, an incident for `series` and what is pending around it, if the evidence is enough.
    fn open(&mut self, series: SeriesId, at: Timestamp) {
        let group = self.pending_group(series, at);
        if !self.enough(&group) {
            return;
        }
        let run_start = self.evidence.tracks.get(&series).map_or(at, |t| t.run_start);
        let relapse = self
            .ties(series, at, |i| !i.is_open() && i.merged_into.is_none())
            .into_iter()
            .find(|(id, r)| {
                let incident = &self.incidents[id];
                // Who resolved by hand does not want to hear of the same run of anomalies again.
                *r != Relation::TimeOnly
                    && match &incident.resolved {
                        Some((when, actor)) => actor == ENGINE || run_start > *when,
                        None => true,
                    }
            });
        let muted = || {
            self.ties(series, at, |i| {
                i.resolved
                    .as_ref()
                    .is_some_and(|(when, actor)| actor != ENGINE && run_start <= *when)
            })
        };
        let storm = self.joins.len() > self.config.storm_alerts;
        let umbrella = storm
            .then(|| self.incidents.values().rfind(|i| i.is_open()).map(|i| i.id.clone()))
            .flatten();
        let id = if let Some((id, _)) = relapse {
            self.reopen(&id, at);
            id
        } else if !muted().is_empty() {
            return;
        } else if let Some(id) = umbrella {
            self.widen(&id, at);
            id
        } else {
            self.create(&group)
        };
        let umbrella = self.incidents.get(&id).is_some_and(|i| i.storm);
        for member in group {
            let reason = self.reason_in(&id, member, umbrella);
            self.extend(&id, member, Some(reason));
        }
    }

    /// Why `series` joins at the opening.
    fn reason_in(&self, id: &IncidentId, series: SeriesId, umbrella: bool) -> String {
        let (Some(track), Some(incident)) = (self.evidence.tracks.get(&series), self.incidents.get(id)) else {
            return String::new();
        };
        if incident.members.is_empty() {
            return "the first anomaly of the incident".to_owned();
        }
        let strayed = self.strayed(incident.last_anomaly);
        match self.relation(track, &incident.entities(), &incident.source, &strayed) {
            Some(relation) => relation.reason(),
            None if umbrella => "part of an alert storm: too many alerts at once to page for each".to_owned(),
            None => "same minutes, and a path to other members".to_owned(),
        }
    }

    /// `series` and every pending series that is tied to it, by onset.
    fn pending_group(&self, series: SeriesId, at: Timestamp) -> Vec<SeriesId> {
        let strayed = self.strayed(at);
        let mut left: Vec<SeriesId> = self.pending.keys().copied().filter(|s| *s != series).collect();
        left.retain(|s| {
            self.evidence.tracks.get(s).is_some_and(|t| {
                t.last_anomaly
                    .is_some_and(|last| at.millis_since(last) <= self.join_gap(t.step_ms()))
            })
        });
        let mut group = vec![series];
        let mut entities: BTreeSet<EntityId> = BTreeSet::new();
        let source = self
            .evidence
            .tracks
            .get(&series)
            .map_or_else(String::new, |t| t.source.to_string());
        entities.extend(self.evidence.tracks.get(&series).map(|t| t.info.entity.clone()));
        loop {
            let found = left.iter().position(|s| {
                self.evidence
                    .tracks
                    .get(s)
                    .is_some_and(|t| self.relation(t, &entities, &source, &strayed).is_some())
            });
            let Some(found) = found else { break };
            let next = left.swap_remove(found);
            entities.extend(self.evidence.tracks.get(&next).map(|t| t.info.entity.clone()));
            group.push(next);
        }
        group.sort_by_key(|s| (self.evidence.tracks.get(s).map(|t| t.run_start), *s));
        group
    }

    /// Whether a group of anomalous series is worth an incident: one sample that flaps is not.
    fn enough(&self, group: &[SeriesId]) -> bool {
        // Statistics of one metric move together: five percentiles are one witness.
        let witnesses: BTreeSet<(&EntityId, &str)> = group
            .iter()
            .filter_map(|s| self.evidence.tracks.get(s))
            .map(|t| (&t.info.entity, t.info.metric.as_str()))
            .collect();
        witnesses.len() >= 2
            || group.iter().filter_map(|s| self.evidence.tracks.get(s)).any(|t| {
                let extreme = t.points.back().is_some_and(|p| p.anomaly && p.score > EXTREME_SCORE);
                t.run >= 2 || (extreme && t.step_ms() >= COARSE_STEP_MS)
            })
    }

    fn create(&mut self, group: &[SeriesId]) -> IncidentId {
        let tracks = group.iter().filter_map(|s| self.evidence.tracks.get(s));
        let started = tracks.clone().map(|t| t.run_start).min().unwrap_or_default();
        let source = tracks.clone().next().map_or("", |t| &*t.source);
        let id = self.ids.next_id();
        self.incidents
            .insert(id.clone(), Incident::new(id.clone(), started, source));
        self.touch(&id, ChangeKind::Opened);
        id
    }

    fn reopen(&mut self, id: &IncidentId, at: Timestamp) {
        let Some(incident) = self.incidents.get_mut(id) else {
            return;
        };
        let after = incident.ended.map_or(0, |ended| at.millis_since(ended));
        incident.state = IncidentState::Open;
        incident.ended = None;
        incident.resolved = None;
        incident.note(
            at,
            ENGINE,
            format!("re-opened: anomalous again after {}", duration(after)),
            None,
        );
        let members: Vec<SeriesId> = incident.members.keys().copied().collect();
        for series in members {
            self.member_of.insert(series, id.clone());
            self.pending.remove(&series);
        }
        self.touch(id, ChangeKind::Reopened);
    }

    fn widen(&mut self, id: &IncidentId, at: Timestamp) {
        let alerts = self.joins.len();
        let window = duration(self.config.storm_window_ms);
        if let Some(incident) = self.incidents.get_mut(id).filter(|i| !i.storm) {
            incident.storm = true;
            incident.note(
                at,
                ENGINE,
                format!("storm breaker: {alerts} alerts within {window}, one incident for all"),
                None,
            );
        }
        self.touch(id, ChangeKind::Updated);
    }

    /// Adds `series` to an open incident, or brings its membership up to date.
    fn extend(&mut self, id: &IncidentId, series: SeriesId, reason: Option<String>) {
        let (Some(track), Some(incident)) = (self.evidence.tracks.get(&series), self.incidents.get_mut(id)) else {
            return;
        };
        let Some(point) = track.points.back() else { return };
        debug_assert!(incident.is_open(), "a resolved incident takes no members");
        self.pending.remove(&series);
        let last = track.last_anomaly.unwrap_or(point.at);
        incident.last_anomaly = incident.last_anomaly.max(last);
        incident.step_ms = incident.step_ms.max(track.step_ms());
        match incident.members.get_mut(&series) {
            Some(member) => {
                incident.alerts += 1;
                member.last = last;
                if point.score > member.score {
                    member.score = point.score;
                    member.observed = point.value;
                    member.expected = point.expected;
                }
            }
            None => {
                let worst = track
                    .points
                    .iter()
                    .filter(|p| p.at >= track.run_start)
                    .max_by(|a, b| a.score.total_cmp(&b.score).then(b.at.cmp(&a.at)))
                    .unwrap_or(point);
                incident.alerts += u64::from(track.run.max(1));
                incident.started = incident.started.min(track.run_start);
                incident.members.insert(
                    series,
                    Member {
                        series,
                        entity: track.info.entity.clone(),
                        metric: metric_name(&track.info),
                        onset: track.run_start,
                        last,
                        score: worst.score,
                        observed: worst.value,
                        expected: worst.expected,
                        reason: reason.unwrap_or_default(),
                    },
                );
                incident.infos.insert(series, (*track.info).clone());
                let about = (track.info.entity.clone(), series);
                incident.note(track.run_start, ENGINE, joined(&track.info, worst), Some(about));
                self.member_of.insert(series, id.clone());
            }
        }
        self.rerank.insert(id.clone());
        self.touch(id, ChangeKind::Updated);
    }

    /// Moves the members of `younger` into `older`; `younger` is resolved and keeps its id.
    fn merge(&mut self, older: &IncidentId, younger: &IncidentId) {
        if older == younger {
            return;
        }
        let Some(mut gone) = self.incidents.remove(younger) else {
            return;
        };
        let at = gone.last_anomaly;
        if let Some(home) = self.incidents.get_mut(older) {
            for (series, member) in &gone.members {
                self.member_of.insert(*series, older.clone());
                home.members.entry(*series).or_insert_with(|| member.clone());
            }
            home.infos.extend(gone.infos.iter().map(|(s, i)| (*s, i.clone())));
            home.alerts += gone.alerts;
            home.started = home.started.min(gone.started);
            home.last_anomaly = home.last_anomaly.max(gone.last_anomaly);
            home.step_ms = home.step_ms.max(gone.step_ms);
            home.severity = home.severity.min(gone.severity);
            home.note(at, ENGINE, format!("took in {younger}: a path connects them"), None);
        }
        gone.state = IncidentState::Resolved;
        gone.ended = Some(at);
        gone.resolved = Some((at, ENGINE.to_owned()));
        gone.merged_into = Some(older.clone());
        gone.note(at, ENGINE, format!("merged into {older}"), None);
        self.incidents.insert(younger.clone(), gone);
        self.rerank.insert(older.clone());
        self.rerank.remove(younger);
        self.touch(older, ChangeKind::Updated);
        self.touch(younger, ChangeKind::Merged);
    }

    fn close(&mut self, id: &IncidentId, actor: &str, now: Timestamp) {
        let Some(incident) = self.incidents.get_mut(id) else {
            return;
        };
        incident.state = IncidentState::Resolved;
        incident.ended = Some(incident.last_anomaly);
        incident.resolved = Some((now, actor.to_owned()));
        let text = if actor == ENGINE {
            format!(
                "resolved: no anomaly for {}",
                duration(now.millis_since(incident.last_anomaly))
            )
        } else {
            "resolved".to_owned()
        };
        incident.note(now, actor, text, None);
        let members: Vec<SeriesId> = incident.members.keys().copied().collect();
        for series in members {
            self.member_of.remove(&series);
        }
        self.touch(id, ChangeKind::Resolved);
    }

    /// Ranks, explains and grades an incident anew; one more revision if a reader can see a difference.
    fn refresh(&mut self, id: &IncidentId, now: Timestamp) {
        let Some(mut incident) = self.incidents.remove(id) else {
            return;
        };
        if incident.is_open() {
            let (from, to) = ranking_window(&incident, now);
            if self.rerank.remove(id) && (now <= to || incident.causes.is_empty()) {
                let (scope, candidates) = self.scope(&incident, from, to);
                let ranking = cause::rank(&Input {
                    graph: &self.graph,
                    evidence: &self.evidence,
                    scope: &scope,
                    candidates: &candidates,
                    deploys: &self.deploys,
                    from,
                    to: to.min(now),
                });
                if !ranking.causes.is_empty() {
                    let before = incident.cause.clone();
                    self.context().explain(&mut incident, &ranking);
                    if incident.cause != before {
                        let text = match &incident.cause {
                            Some(cause) => {
                                format!("most probable cause: {cause} ({:.0} %)", incident.confidence * 100.0)
                            }
                            None => "no single cause stands out anymore".to_owned(),
                        };
                        incident.note(now, ENGINE, text, None);
                    }
                }
            }
            self.context().describe(&mut incident);
            let before = incident.severity;
            let graded = self.grade(&incident);
            // An incident does not get less severe while it is open: that is for its end to say.
            incident.severity = if incident.revision == 0 {
                graded
            } else {
                before.min(graded)
            };
            if incident.revision > 0 && incident.severity != before {
                let text = format!("severity raised from {before:?} to {:?}", incident.severity);
                incident.note(now, ENGINE, text, None);
            }
        }
        incident.revision += 1;
        self.incidents.insert(id.clone(), incident);
    }

    fn context(&self) -> Context<'_> {
        Context {
            graph: &self.graph,
            evidence: &self.evidence,
        }
    }

    fn grade(&self, incident: &Incident) -> Severity {
        if incident.storm {
            return Severity::P1;
        }
        let symptoms: Vec<Symptom<'_>> = incident
            .members
            .values()
            .map(|member| Symptom {
                member,
                class: incident
                    .infos
                    .get(&member.series)
                    .map_or(MetricClass::Other, |i| i.class),
            })
            .collect();
        severity(&self.graph, &symptoms)
    }

    /// Entities whose evidence counts for the cause (the members, and what strayed near them in the graph or, without one,
    /// in time), and those of them that may be it: a caller that strays by itself shows the fault and does not make it.
    fn scope(&self, incident: &Incident, from: Timestamp, to: Timestamp) -> (BTreeSet<EntityId>, BTreeSet<EntityId>) {
        let members = incident.entities();
        let strayed: BTreeMap<&EntityId, &Track> = self
            .evidence
            .tracks
            .values()
            .filter(|t| !members.contains(&t.info.entity))
            .filter(|t| t.points.iter().any(|p| p.at >= from && p.at <= to))
            .map(|t| (&t.info.entity, t))
            .collect();
        let near: BTreeSet<EntityId> = strayed.keys().map(|e| (*e).clone()).collect();
        let (mut scope, mut candidates) = (members.clone(), members.clone());
        for (entity, track) in strayed {
            let Some(relation) = self.relation(track, &members, &incident.source, &near) else {
                continue;
            };
            scope.insert(entity.clone());
            if !matches!(relation, Relation::Calls(_)) {
                candidates.insert(entity.clone());
            }
        }
        (scope, candidates)
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

/// The times whose evidence decides about the cause: from well before the start until a few steps after it. The beginning
/// tells cause from victim; what comes later only blurs it.
fn ranking_window(incident: &Incident, now: Timestamp) -> (Timestamp, Timestamp) {
    let step = incident.step_ms.max(1);
    let from = incident.started - (5 * 60_000).max(12 * step);
    let to = incident.started + (3 * 60_000).max(8 * step);
    (from, to.max(from).min(now.max(to)))
}

/// Ids of the older and the younger of two incidents.
fn by_age(a: &Incident, b: &Incident) -> (IncidentId, IncidentId) {
    if (a.started, &a.id) <= (b.started, &b.id) {
        (a.id.clone(), b.id.clone())
    } else {
        (b.id.clone(), a.id.clone())
    }
}
