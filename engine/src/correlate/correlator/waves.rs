//! Whether an anomaly is part of what an open incident is about, or the beginning of something else.
//!
//! Anomalies that begin together and call each other are a wave. Its bottom, what calls no other of it, says where it comes from: from
//! the cause of an incident, if that is what the bottom is, or if it depends on it; from the incident's load, if those who call it
//! send more; or else from a fault of its own, however many callers it shares with the others.

use super::super::evidence::Track;
use super::super::graph::{MAX_HOPS, Way};
use super::super::incident::Incident;
use super::super::relation::Relation;
use super::Correlator;
use std::collections::BTreeSet;
use wire::series::MetricClass;
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

/// What begins within this time, or so many steps, may have begun at once.
const APART_MS: i64 = 3_000;
const APART_STEPS: i64 = 3;
/// What comes at shorter steps than this is waited for, so that a wave is seen whole.
const WAITED_STEP_MS: i64 = 10_000;
/// Share of the blame from which on an entity may be the cause of an incident whose cause is open.
const MAY_BE_CAUSE: f32 = 0.1;
/// A lone metric this many standard deviations off is a fault of its own.
const LONE_Z: f64 = 8.0;
/// So many entities tell how fast an incident spreads.
const PACE_FROM: usize = 3;
/// Entities of which nothing is measured, between two that begin together.
const MAX_GAPS: usize = 2;

/// Longest time between two beginnings that may be one.
pub(super) fn apart_ms(step_ms: i64) -> i64 {
    APART_MS.max(APART_STEPS * step_ms)
}

impl Correlator {
    /// Whether a series that has a tie to an open incident is part of what happens there.
    pub(super) fn belongs(&self, series: SeriesId, id: &IncidentId, relation: &Relation) -> bool {
        let (Some(track), Some(incident)) = (self.evidence.tracks.get(&series), self.incidents.get(id)) else {
            return false;
        };
        if matches!(relation, Relation::SameHost(_) | Relation::TimeOnly) || !self.graph.knows(&track.info.entity) {
            return true;
        }
        let apart = apart_ms(incident.step_ms.max(track.step_ms()));
        let began = track.began();
        let with_it = |other: &SeriesId, track: &Track| {
            self.member_of.get(other) == Some(id) && track.began().millis_since(began).abs() <= apart
        };
        let mut own = self.evidence.of_entity(&track.info.entity);
        if began.millis_since(incident.started) <= apart || own.any(|(other, track)| with_it(other, track)) {
            return true;
        }
        let suspects = may_have_caused(incident);
        suspects.is_empty()
            || self.bottoms(&track.info.entity, began, apart).iter().any(|bottom| {
                let echoes =
                    |cause: &EntityId| keeps_pace(incident, began, apart) && self.echoes(bottom, cause, began - apart);
                suspects.iter().any(|cause| *cause == bottom || echoes(cause))
                    || self.is_load(bottom, track.info.class, incident)
            })
    }

    /// Where the wave comes from that `entity` is in: what it calls, directly or over others that begin together with it, and that
    /// calls no other of them; itself, if it calls none.
    fn bottoms(&self, entity: &EntityId, began: Timestamp, apart: i64) -> BTreeSet<EntityId> {
        let mut bottoms = BTreeSet::new();
        let mut seen = BTreeSet::from([entity.clone()]);
        let mut left = vec![entity.clone()];
        while let Some(one) = left.pop() {
            let below = self.wave_below(&one, began, apart);
            if below.is_empty() {
                bottoms.insert(one);
            }
            left.extend(below.into_iter().filter(|next| seen.insert(next.clone())));
        }
        // Those that call each other in a circle have no bottom: it may be any of them.
        if bottoms.is_empty() { seen } else { bottoms }
    }

    /// What `entity` calls, directly or over what nothing is measured of, and that began when it did.
    fn wave_below(&self, entity: &EntityId, began: Timestamp, apart: i64) -> Vec<EntityId> {
        let mut found = Vec::new();
        let mut level = self.graph.callees(entity);
        for _ in 0..=MAX_GAPS {
            let mut unmeasured = Vec::new();
            for callee in level {
                if self.begins(&callee, began, apart) {
                    found.push(callee);
                } else if !self.reporting.contains(&callee) {
                    unmeasured.push(callee);
                }
            }
            level = unmeasured.iter().flat_map(|one| self.graph.callees(one)).collect();
        }
        found
    }

    /// Whether a series of `entity` began to be anomalous at about `began`.
    fn begins(&self, entity: &EntityId, began: Timestamp, apart: i64) -> bool {
        self.evidence
            .of_entity(entity)
            .any(|(_, track)| track.last_anomaly.is_some() && track.began().millis_since(began).abs() <= apart)
    }

    /// Whether `entity` depends on `cause` over what strayed before `before` or is not measured: trouble does not pass through what is
    /// well, nor through what began just now for another reason.
    fn echoes(&self, entity: &EntityId, cause: &EntityId, before: Timestamp) -> bool {
        let may_pass = |entity: &EntityId| {
            !self.reporting.contains(entity)
                || self
                    .evidence
                    .of_entity(entity)
                    .any(|(_, track)| track.last_anomaly.is_some() && track.began() < before)
        };
        let target = BTreeSet::from([cause.clone()]);
        self.graph
            .nearest(entity, &target, Way::Down, MAX_HOPS, may_pass)
            .is_some()
    }

    /// Whether the trouble of `entity` may be traffic that members of an incident send: its own has changed, and theirs. What fails or
    /// is slow because of it gets more of it, not less.
    fn is_load(&self, entity: &EntityId, class: MetricClass, incident: &Incident) -> bool {
        let own = self.evidence.of_entity(entity).any(|(_, track)| {
            let anomaly = || track.points.iter().rev().find(|point| point.anomaly);
            track.info.class == MetricClass::Traffic
                && anomaly().is_some_and(|point| class == MetricClass::Traffic || point.value > point.expected)
        });
        own && {
            let callers = self.graph.callers(entity);
            let mut infos = incident.infos.values();
            infos.any(|info| info.class == MetricClass::Traffic && callers.contains(&info.entity))
        }
    }

    /// Whether a group that has a tie to an open incident, and no part in what it is about, is a fault of its own; `None` if more of it
    /// may still come.
    pub(super) fn own_fault(&self, group: &[SeriesId], now: Timestamp) -> Option<bool> {
        let tracks = || group.iter().filter_map(|series| self.evidence.tracks.get(series));
        let step = tracks().map(|track| track.step_ms()).max()?;
        let began = tracks().map(|track| track.run_start).min()?;
        if step < WAITED_STEP_MS && now.millis_since(began) <= apart_ms(step) {
            return None;
        }
        let entities: BTreeSet<&EntityId> = tracks().map(|track| &track.info.entity).collect();
        let furthest = tracks()
            .flat_map(|track| track.of_run())
            .map(|point| point.z)
            .fold(0.0, f64::max);
        Some(entities.len() > 1 || furthest >= LONE_Z)
    }

    /// Whether two open incidents are one, now that a series is part of both: the cause of the later depends on that of the earlier, or
    /// they began at once and either depends on the other, or both on the series. That both hurt the same caller does not make them one.
    pub(super) fn are_one(&self, one: &IncidentId, other: &IncidentId, series: SeriesId) -> bool {
        let (Some(one), Some(other)) = (self.incidents.get(one), self.incidents.get(other)) else {
            return false;
        };
        let apart = apart_ms(one.step_ms.max(other.step_ms));
        let (earlier, later) = match one.started <= other.started {
            true => (one, other),
            false => (other, one),
        };
        let at_once = later.started.millis_since(earlier.started) <= apart;
        let (causes, effects) = (may_have_caused(earlier), may_have_caused(later));
        if causes.is_empty() || effects.is_empty() {
            return at_once;
        }
        let entity = self.evidence.tracks.get(&series).map(|track| &track.info.entity);
        causes.iter().any(|cause| {
            effects.iter().any(|effect| {
                cause == effect
                    || self.echoes(effect, cause, later.started - apart)
                    || at_once
                        && (self.leads(effect, cause).is_some()
                            || self.leads(cause, effect).is_some()
                            || entity.is_some_and(|entity| {
                                [cause, effect].iter().all(|top| self.leads(top, entity).is_some())
                            }))
            })
        })
    }

    /// How far it is from `from` down to `to` over what strays or is not measured.
    pub(super) fn leads(&self, from: &EntityId, to: &EntityId) -> Option<usize> {
        let may_pass = |entity: &EntityId| self.evidence.last_of(entity).is_some() || !self.reporting.contains(entity);
        let target = BTreeSet::from([to.clone()]);
        let path = self.graph.nearest(from, &target, Way::Down, MAX_HOPS, may_pass)?;
        Some(path.len())
    }
}

/// Whether what began at `began` may still follow from what an incident is about: no longer after the last than those before it came
/// after each other. A wave that has reached many at once does not reach one more a minute later. Of few, nobody knows.
fn keeps_pace(incident: &Incident, began: Timestamp, apart: i64) -> bool {
    if incident.entities.len() < PACE_FROM {
        return true;
    }
    let mut onsets: Vec<Timestamp> = incident.members.values().map(|member| member.onset).collect();
    onsets.retain(|onset| *onset <= began);
    onsets.sort_unstable();
    let widest = onsets
        .windows(2)
        .map(|pair| pair[1].millis_since(pair[0]))
        .max()
        .unwrap_or(0);
    onsets
        .last()
        .is_none_or(|last| began.millis_since(*last) <= apart.max(2 * widest))
}

/// What may be the cause of an incident: what is named, or else what has a share of the blame.
fn may_have_caused(incident: &Incident) -> Vec<&EntityId> {
    match &incident.cause {
        Some(cause) => vec![cause],
        None => {
            let causes = incident.causes.iter().filter(|cause| cause.score >= MAY_BE_CAUSE);
            causes.map(|cause| &cause.entity).collect()
        }
    }
}
