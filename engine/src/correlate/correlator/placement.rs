//! Where an anomaly goes: into an open incident, into one that relapsed, into a new one, or on the waiting list.

use super::super::ChangeKind;
use super::super::evidence::Track;
use super::super::explain::joined;
use super::super::incident::{ENGINE, Incident};
use super::super::relation::{Relation, relate};
use super::super::text::{duration, metric_name};
use super::{Correlator, by_age};
use std::collections::BTreeSet;
use wire::incident::{IncidentState, Member};
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

/// From this step on a single extreme sample opens an incident: waiting for the next would cost minutes.
const COARSE_STEP_MS: i64 = 60_000;
/// What counts as extreme.
const EXTREME_SCORE: f32 = 0.99;
/// A lone metric that never scores as much as this is rare, but that is all: among thousands of metrics one always is. It has
/// to stay so for this long. What is worse is not made to wait, nor are two metrics that agree.
const CLEAR_SCORE: f32 = 0.8;
const LONE_MS: i64 = 10 * 60_000;

impl Correlator {
    /// Finds the incident that a newly anomalous series belongs to, or waits until there is enough evidence for a new one.
    pub(super) fn place(&mut self, series: SeriesId) {
        let Some(at) = self.evidence.tracks.get(&series).and_then(|t| t.last_anomaly) else {
            return;
        };
        let near = self.ties(series, at, |i| i.is_open());
        let mut ties = near.clone();
        ties.retain(|(id, relation)| self.belongs(series, id, relation));
        if let Some((mut home, relation)) = self.nearest_home(series, &ties) {
            for (other, other_relation) in &ties {
                let may = *other_relation != Relation::TimeOnly && !self.are_kept_apart(&home, other);
                if *other != home && may && self.are_one(&home, other, series) {
                    let (older, younger) = by_age(&self.incidents[&home], &self.incidents[other]);
                    self.merge(&older, &younger);
                    home = older;
                }
            }
            self.extend(&home, series, Some(relation.reason()));
            return;
        }
        // What the call graph ties together is one incident however much it is: only what is left over is a storm.
        if self.pending.insert(series, at).is_none() && near.is_empty() {
            self.joins.push_back(at);
        }
        while self
            .joins
            .front()
            .is_some_and(|first| at.millis_since(*first) > self.config.storm_window_ms)
        {
            self.joins.pop_front();
        }
        self.open(series, at, &near);
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
                let relation = self.relation(track, &i.entities, &i.source, &strayed)?;
                Some((i, relation))
            })
            .collect();
        ties.sort_by(|(a, _), (b, _)| a.started.cmp(&b.started).then_with(|| a.id.cmp(&b.id)));
        ties.into_iter().map(|(i, r)| (i.id.clone(), r)).collect()
    }

    pub(super) fn relation(
        &self,
        track: &Track,
        known: &BTreeSet<EntityId>,
        source: &str,
        strayed: impl Fn(&EntityId) -> bool,
    ) -> Option<Relation> {
        let time_is_enough = *track.source == *source && !self.mapped_sources.contains(source);
        let reports = |entity: &EntityId| self.reporting.contains(entity);
        relate(&self.graph, &track.info.entity, known, strayed, reports, time_is_enough)
    }

    /// Of the incidents that a series is tied to, the one whose cause it depends on most directly; the oldest if it depends on none.
    fn nearest_home(&self, series: SeriesId, ties: &[(IncidentId, Relation)]) -> Option<(IncidentId, Relation)> {
        if let [] | [_] = ties {
            return ties.first().cloned();
        }
        let entity = &self.evidence.tracks.get(&series)?.info.entity;
        let far = |id: &IncidentId| {
            let cause = self.incidents.get(id).and_then(|incident| incident.cause.as_ref());
            let calls = cause.and_then(|cause| match cause == entity {
                true => Some(0),
                false => self.leads(entity, cause),
            });
            calls.unwrap_or(usize::MAX)
        };
        ties.iter().min_by_key(|(id, _)| far(id)).cloned()
    }

    /// Whether an entity has evidence close to `at`.
    fn strayed(&self, at: Timestamp) -> impl Fn(&EntityId) -> bool {
        move |entity| {
            self.evidence
                .last_of(entity)
                .is_some_and(|(last, step_ms)| at.millis_since(last) <= self.join_gap(step_ms))
        }
    }

    /// Opens, or re-opens, an incident for `series` and what is pending around it, if the evidence is enough.
    fn open(&mut self, series: SeriesId, at: Timestamp, near: &[(IncidentId, Relation)]) {
        let group = self.pending_group(series, at);
        if !self.enough(&group) {
            return;
        }
        if let Some((home, relation)) = near.first() {
            match self.own_fault(&group, at) {
                None => return,
                Some(true) => {}
                Some(false) => {
                    let reason = relation.reason();
                    let home = home.clone();
                    self.extend(&home, series, Some(reason));
                    return;
                }
            }
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
        match self.relation(track, &incident.entities, &incident.source, &strayed) {
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
                let clear = t.of_run().any(|p| p.anomaly && (p.seconded || p.score >= CLEAR_SCORE));
                let lasts = t.run >= 2 && (clear || t.run_ms() >= LONE_MS);
                lasts || (extreme && t.step_ms() >= COARSE_STEP_MS)
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
        self.own_members(id);
        self.touch(id, ChangeKind::Reopened);
    }

    /// What strays further of its members belongs to it again, unless it has become another incident's since.
    pub(super) fn own_members(&mut self, id: &IncidentId) {
        let Some(incident) = self.incidents.get(id) else {
            return;
        };
        for series in incident.members.keys() {
            self.member_of.entry(*series).or_insert_with(|| id.clone());
            self.pending.remove(series);
        }
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
    pub(super) fn extend(&mut self, id: &IncidentId, series: SeriesId, reason: Option<String>) {
        let (Some(track), Some(incident)) = (self.evidence.tracks.get(&series), self.incidents.get_mut(id)) else {
            return;
        };
        let Some(point) = track.points.back() else { return };
        debug_assert!(incident.is_open(), "a resolved incident takes no members");
        self.pending.remove(&series);
        let chance = self.config.certainty.chance(point.score, point.votes.count());
        let last = track.last_anomaly.unwrap_or(point.at);
        incident.last_anomaly = incident.last_anomaly.max(last);
        incident.step_ms = incident.step_ms.max(track.step_ms());
        match incident.members.get_mut(&series) {
            Some(member) => {
                incident.alerts += 1;
                member.last = last;
                member.chance = member.chance.max(chance);
                member.voters.extend(point.votes.voters());
                if point.score > member.score {
                    member.score = point.score;
                    member.observed = point.value;
                    member.expected = point.expected;
                    member.quiet_at = point.quiet_at;
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
                        quiet_at: worst.quiet_at,
                        reason: reason.unwrap_or_default(),
                        chance,
                        voters: point.votes.voters().collect(),
                        has_samples: track.has_samples,
                    },
                );
                incident.entities.insert(track.info.entity.clone());
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
    pub(super) fn merge(&mut self, older: &IncidentId, younger: &IncidentId) {
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
            home.entities.extend(gone.entities.iter().cloned());
            home.infos.extend(gone.infos.iter().map(|(s, i)| (*s, i.clone())));
            home.alerts += gone.alerts;
            home.started = home.started.min(gone.started);
            home.last_anomaly = home.last_anomaly.max(gone.last_anomaly);
            home.step_ms = home.step_ms.max(gone.step_ms);
            home.severity = home.severity.min(gone.severity);
            home.note(at, ENGINE, format!("took in {younger}: a path connects them"), None);
        }
        self.rerank.insert(older.clone());
        self.rerank.remove(younger);
        self.touch(older, ChangeKind::Updated);
        if gone.revision == 0 {
            // Nobody has heard of it: it need not be told that it went away.
            self.dirty.remove(younger);
            return;
        }
        gone.state = IncidentState::Resolved;
        gone.ended = Some(at);
        gone.resolved = Some((at, ENGINE.to_owned()));
        gone.merged_into = Some(older.clone());
        gone.note(at, ENGINE, format!("merged into {older}"), None);
        self.incidents.insert(younger.clone(), gone);
        self.touch(younger, ChangeKind::Merged);
    }

    pub(super) fn close(&mut self, id: &IncidentId, actor: &str, now: Timestamp) {
        let Some(incident) = self.incidents.get_mut(id) else {
            return;
        };
        incident.state = IncidentState::Resolved;
        incident.kept_open = false;
        incident.snoozed_until = None;
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
}
