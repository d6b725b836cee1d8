//! What an incident means: its cause, its severity and the sentences about it, from the evidence at hand.

use super::super::cause::{self, Input};
use super::super::evidence::Track;
use super::super::explain::Context;
use super::super::incident::{ENGINE, Incident};
use super::super::relation::Relation;
use super::super::severity::{Symptom, severity};
use super::Correlator;
use super::waves::apart_ms;
use std::collections::{BTreeMap, BTreeSet};
use wire::incident::Severity;
use wire::series::MetricClass;
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

impl Correlator {
    /// Ranks, explains and grades an incident anew; one more revision if a reader can see a difference.
    pub(super) fn refresh(&mut self, id: &IncidentId, now: Timestamp) {
        let Some(mut incident) = self.incidents.remove(id) else {
            return;
        };
        if incident.is_open() {
            let (from, to) = ranking_window(&incident, now);
            if self.rerank.remove(id) && (now <= to || incident.causes.is_empty()) {
                let begun_by = incident.started + apart_ms(incident.step_ms);
                let (scope, candidates) = self.scope(&incident, from, begun_by);
                let ranking = cause::rank(&Input {
                    graph: &self.graph,
                    evidence: &self.evidence,
                    scope: &scope,
                    members: &incident.entities,
                    candidates: &candidates,
                    reporting: &self.reporting,
                    deploys: &self.deploys,
                    begun_by,
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
            // An incident does not get less severe while it is open: that is for its end to say, or for a person.
            incident.severity = match incident.set_severity {
                Some(said) => said,
                None if incident.revision == 0 => graded,
                None => before.min(graded),
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
        let members = &incident.entities;
        // What is another incident's has its cause there.
        let is_free = |series: &SeriesId| self.member_of.get(series).is_none_or(|home| *home == incident.id);
        let strays = |entity: &'_ EntityId| {
            let mut own = self.evidence.of_entity(entity).filter(|(series, _)| is_free(series));
            own.find(|(_, track)| track.between(from, to).next().is_some())
        };
        let others = self.evidence.entities().filter(|entity| !members.contains(*entity));
        let strayed: BTreeMap<&EntityId, &Track> =
            others.filter_map(|entity| Some((entity, strays(entity)?.1))).collect();
        let near: BTreeSet<EntityId> = strayed.keys().map(|e| (*e).clone()).collect();
        let (mut scope, mut candidates) = (members.clone(), members.clone());
        for (entity, track) in strayed {
            let Some(relation) = self.relation(track, members, &incident.source, |e| near.contains(e)) else {
                continue;
            };
            scope.insert(entity.clone());
            if !matches!(relation, Relation::Calls(_)) {
                candidates.insert(entity.clone());
            }
        }
        (scope, candidates)
    }
}

/// Samples after the start that decide about the cause, at most: what lasts longer than this has begun to be usual to some series and
/// not to others, so that they no longer look alike.
const DECIDING_STEPS: i64 = 48;

/// Samples before it that tell what strayed all along, at most.
const QUIET_STEPS: i64 = 60;

/// The times whose evidence decides about the cause: from well before the start until a few steps after it. The beginning
/// tells cause from victim; what comes later only blurs it.
fn ranking_window(incident: &Incident, now: Timestamp) -> (Timestamp, Timestamp) {
    let step = incident.step_ms.max(1);
    let from = incident.started - (5 * 60_000).clamp(12 * step, QUIET_STEPS * step);
    let to = incident.started + (3 * 60_000).clamp(8 * step, DECIDING_STEPS * step);
    (from, to.max(from).min(now.max(to)))
}
