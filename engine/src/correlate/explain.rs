//! Puts the evidence of an incident into sentences: cause, critical failure, impact, counterfactual, path.
//!
//! Every number comes from a detection, every name from the input. Prose is made from templates; nothing is guessed.

mod around;
mod words;

pub(super) use words::joined;
use words::{capitalized, change, change_since, dependents_stray, kept_quiet, relative, unexplained};

use super::cause::{Ranked, Ranking};
use super::evidence::{Evidence, Track};
use super::graph::CallGraph;
use super::incident::Incident;
use super::kind::kind_of;
use super::severity::user_facing;
use super::text::{clock, count, duration, list, metric_name, percent, value};
use std::collections::{BTreeMap, BTreeSet};
use wire::incident::{Cause, Claim, Member};
use wire::topology::EntityKind;
use wire::{EntityId, Timestamp};

/// Below this probability the ranking is shown, but no single cause is named.
const MIN_CONFIDENCE: f64 = 0.52;
/// Explanations below this share are not worth a word.
const TELLING: f64 = 0.2;
/// Causes told, at most.
const MAX_CAUSES: usize = 10;

/// What the sentences are made from.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub graph: &'a CallGraph,
    pub evidence: &'a Evidence,
}

impl Context<'_> {
    /// Fills causes, story, blast radius, topology and title from a ranking.
    pub(super) fn explain(&self, incident: &mut Incident, ranking: &Ranking) {
        incident.causes = self.causes(ranking);
        incident.confidence = ranking.confidence as f32;
        incident.cause = ranking
            .causes
            .first()
            .filter(|first| ranking.confidence >= MIN_CONFIDENCE && first.score >= 0.05)
            .map(|first| first.entity.clone());
        incident.explained_by = ranking
            .causes
            .iter()
            .filter_map(|c| Some((c.entity.clone(), c.explained_by.as_ref()?.0.clone())))
            .collect();
        let focus = ranking.causes.first().map(|c| c.entity.clone());
        incident.blast_radius = focus.as_ref().map(|f| self.graph.dependents(f)).unwrap_or_default();
        incident.story.path = focus.map(|f| self.path(incident, &f)).unwrap_or_default();
        incident.story.cause = self.cause_claim(incident, ranking);
    }

    /// Brings the parts that follow from the members up to date: title, failure, impact, counterfactual, topology.
    pub(super) fn describe(&self, incident: &mut Incident) {
        incident.story.critical_failure = self.critical_failure(incident);
        incident.story.impact = self.impact(incident);
        incident.story.counterfactual = self.counterfactual(incident);
        incident.topology = self.topology(incident);
        incident.title = self.title(incident);
    }

    fn causes(&self, ranking: &Ranking) -> Vec<Cause> {
        let first = ranking.causes.first();
        ranking
            .causes
            .iter()
            .take(MAX_CAUSES)
            .enumerate()
            .filter_map(|(rank, candidate)| {
                let track = self.evidence.tracks.get(&candidate.series)?;
                let reason = match first {
                    Some(first) if rank > 0 => self.why_not(candidate, first),
                    _ => self.why(candidate, track),
                };
                Some(Cause {
                    entity: candidate.entity.clone(),
                    metric: track.info.metric.clone(),
                    series: Some(candidate.series),
                    score: candidate.score as f32,
                    onset: candidate.onset,
                    reason,
                })
            })
            .collect()
    }

    fn why(&self, cause: &Ranked, track: &Track) -> String {
        if let Some(seen) = cause.seen_by {
            return format!(
                "nothing is measured of it, but {}, first {} at {}",
                dependents_stray(seen),
                track.info.entity,
                clock(cause.onset)
            );
        }
        let mut reason = format!(
            "{} at {}; {} of the deviation seen in this incident leads here",
            change_since(track, cause.onset),
            clock(cause.onset),
            percent(cause.score)
        );
        let calls = self.graph.callees(&cause.entity).len();
        match &cause.explained_by {
            Some((callee, share)) if *share >= TELLING => {
                reason.push_str(&format!(
                    ", and its dependency {callee} explains {} of it",
                    percent(*share)
                ));
            }
            _ if calls > 0 => {
                reason.push_str(&format!(", and {}", unexplained(calls)));
            }
            _ => {}
        }
        if let Some(deploy) = &cause.deploy {
            reason.push_str(&format!(
                "; version {} went live {}",
                deploy.version,
                relative(deploy.at, cause.onset)
            ));
        }
        reason
    }

    fn why_not(&self, candidate: &Ranked, first: &Ranked) -> String {
        if let Some((callee, share)) = candidate.explained_by.as_ref().filter(|(_, share)| *share >= 0.4) {
            return format!(
                "a victim: {} of its deviation follows its dependency {callee}",
                percent(*share)
            );
        }
        let later = candidate.onset.millis_since(first.onset);
        if later > 0 {
            return format!("began {} after {}", duration(later), first.entity);
        }
        if candidate.contrast < 0.15 {
            return "strayed before the incident began, and no more since".to_owned();
        }
        match kind_of(&candidate.entity) {
            EntityKind::External => "measured by its callers only, which deviate themselves".to_owned(),
            EntityKind::Client => "a client: it feels the fault, it does not make it".to_owned(),
            _ => format!(
                "holds {} of the deviation against {} of {}",
                percent(candidate.score),
                percent(first.score),
                first.entity
            ),
        }
    }

    fn cause_claim(&self, incident: &Incident, ranking: &Ranking) -> Claim {
        let Some(first) = ranking.causes.first() else {
            return Claim {
                text: "Too little evidence to rank causes.".to_owned(),
                confidence: 0.0,
                evidence: Vec::new(),
            };
        };
        let confidence = incident.confidence;
        let Some(track) = self.evidence.tracks.get(&first.series) else {
            return incident.story.cause.clone();
        };
        let change = match first.seen_by {
            Some(seen) => dependents_stray(seen),
            None => change_since(track, first.onset),
        };
        if incident.cause.is_none() {
            let second = ranking.causes.get(1);
            let text = match second {
                Some(second) => format!(
                    "No single cause stands out: {} ({}) and {} ({}) fit the evidence almost equally.",
                    first.entity,
                    percent(first.score),
                    second.entity,
                    percent(second.score)
                ),
                None => format!(
                    "{}: {change} at {}, too little to call it a cause.",
                    first.entity,
                    clock(first.onset)
                ),
            };
            let evidence = ranking.causes.iter().take(2).map(|c| c.series).collect();
            return Claim {
                text,
                confidence,
                evidence,
            };
        }
        let mut text = format!("{}: {change} at {}.", first.entity, clock(first.onset));
        if let Some(deploy) = &first.deploy {
            text.push_str(&format!(
                " Version {} of it went live {}.",
                deploy.version,
                relative(deploy.at, first.onset)
            ));
        }
        let calls = self.graph.callees(&first.entity).len();
        if first.explained_by.as_ref().is_none_or(|(_, share)| *share < TELLING) && calls > 0 {
            text.push_str(&format!(" {}.", capitalized(&unexplained(calls))));
        }
        Claim {
            text,
            confidence,
            evidence: vec![first.series],
        }
    }

    fn critical_failure(&self, incident: &Incident) -> Claim {
        let facing = user_facing(self.graph, &incident.entities);
        let first = |user: bool| {
            incident
                .members
                .values()
                .filter(|m| facing.contains(&m.entity) == user)
                .min_by(|a, b| {
                    a.onset
                        .cmp(&b.onset)
                        .then(b.score.total_cmp(&a.score))
                        .then(a.series.cmp(&b.series))
                })
        };
        let claim = |member: &Member, lead: &str, confidence: f32| Claim {
            text: format!(
                "{lead} {}: {} at {}{}.",
                member.entity,
                self.member_change(incident, member),
                clock(member.onset),
                incident
                    .infos
                    .get(&member.series)
                    .map_or_else(String::new, |info| kept_quiet(
                        info,
                        member.observed,
                        member.expected,
                        member.quiet_at
                    ))
            ),
            confidence,
            evidence: vec![member.series],
        };
        match (first(true), first(false)) {
            (Some(member), _) => claim(member, "Users first felt it at", member.score),
            (None, Some(member)) if self.graph.knows(&member.entity) => claim(
                member,
                "No user-facing service deviates so far. It first showed at",
                member.score,
            ),
            (None, Some(member)) => claim(member, "It first showed at", member.score * 0.7),
            (None, None) => Claim {
                text: "Nothing has failed so far.".to_owned(),
                confidence: 0.0,
                evidence: Vec::new(),
            },
        }
    }

    fn impact(&self, incident: &Incident) -> Claim {
        let entities: Vec<EntityId> = incident.entities.iter().cloned().collect();
        let noun = if entities.iter().any(|e| self.graph.knows(e)) {
            "service"
        } else {
            "entity"
        };
        let verb = if entities.len() == 1 { "deviates" } else { "deviate" };
        let mut text = format!("{} {verb}: {}.", count(entities.len(), noun), list(&entities, 5));
        let facing = user_facing(self.graph, &incident.entities);
        let mut at_user: Vec<&Member> = incident
            .members
            .values()
            .filter(|m| facing.contains(&m.entity))
            .collect();
        at_user.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.series.cmp(&b.series)));
        let mut told = BTreeSet::new();
        let symptoms: Vec<String> = at_user
            .iter()
            .filter(|m| told.insert((m.entity.clone(), incident.infos.get(&m.series).map(|i| i.class))))
            .take(3)
            .map(|m| format!("{} ({})", m.entity, self.member_now(incident, m)))
            .collect();
        if !symptoms.is_empty() {
            text.push_str(&format!(" At the user's side: {}.", symptoms.join("; ")));
        }
        let members = &incident.entities;
        let spared = incident.blast_radius.iter().filter(|e| !members.contains(*e)).count();
        if spared > 0 {
            let more = count(spared, &format!("more {noun}"));
            let verb = if spared == 1 { "depends" } else { "depend" };
            text.push_str(&format!(" {more} {verb} on the cause without straying much."));
        }
        let strongest = incident.members.values().map(|m| m.score).fold(0.0, f32::max);
        Claim {
            text,
            confidence: strongest,
            evidence: at_user.iter().take(5).map(|m| m.series).collect(),
        }
    }

    fn counterfactual(&self, incident: &Incident) -> Claim {
        let none = |text: String| Claim {
            text,
            confidence: 0.0,
            evidence: Vec::new(),
        };
        let Some(cause) = &incident.cause else {
            return none("No single cause to take away.".to_owned());
        };
        let others: BTreeSet<EntityId> = incident.entities.iter().filter(|e| *e != cause).cloned().collect();
        if others.is_empty() {
            return none(format!(
                "Without {cause} there would be no incident: nothing else deviates."
            ));
        }
        let (explained, apart): (Vec<EntityId>, Vec<EntityId>) =
            others.iter().cloned().partition(|e| incident.leads_to(e, cause));
        let mut text = match explained.len() {
            0 => format!("Without {cause} the others would still deviate: no call explains them by it."),
            n if n == others.len() => format!(
                "Without {cause} nothing explains the other {}: the incident would not exist.",
                count(n, "member")
            ),
            n => format!(
                "Without {cause} nothing explains {n} of the other {}: {}.",
                count(others.len(), "member"),
                list(&explained, 4)
            ),
        };
        if !explained.is_empty() && !apart.is_empty() {
            text.push_str(&format!(
                " {} would remain, as {}.",
                list(&apart, 3),
                count(self.groups(&apart), "separate incident")
            ));
        }
        let share = explained.len() as f32 / others.len() as f32;
        Claim {
            text,
            confidence: incident.confidence * (0.5 + 0.5 * share),
            evidence: incident
                .members
                .values()
                .filter(|m| explained.contains(&m.entity))
                .take(5)
                .map(|m| m.series)
                .collect(),
        }
    }

    /// Number of groups of `entities` that calls connect.
    fn groups(&self, entities: &[EntityId]) -> usize {
        let mut left: BTreeSet<EntityId> = entities.iter().cloned().collect();
        let mut groups = 0;
        while let Some(start) = left.pop_first() {
            groups += 1;
            let mut queue = vec![start];
            while let Some(entity) = queue.pop() {
                for next in self
                    .graph
                    .callees(&entity)
                    .into_iter()
                    .chain(self.graph.callers(&entity))
                {
                    if left.remove(&next) {
                        queue.push(next);
                    }
                }
            }
        }
        groups
    }

    /// From the cause to the first user-facing member that depends on it, else to the farthest member that does.
    fn path(&self, incident: &Incident, cause: &EntityId) -> Vec<EntityId> {
        let facing = user_facing(self.graph, &incident.entities);
        let mut onsets: BTreeMap<&EntityId, Timestamp> = BTreeMap::new();
        for member in incident.members.values() {
            let onset = onsets.entry(&member.entity).or_insert(member.onset);
            *onset = member.onset.min(*onset);
        }
        let mut users: Vec<(Timestamp, &EntityId)> = onsets
            .iter()
            .filter(|(entity, _)| facing.contains(**entity))
            .map(|(entity, onset)| (*onset, *entity))
            .collect();
        users.sort();
        let to_cause = |entity: &EntityId| self.graph.path(entity, cause);
        let chosen = users.iter().find_map(|(_, user)| to_cause(user)).or_else(|| {
            // Nearest first: the last that can be reached is the farthest.
            let dependents = self.graph.dependents(cause);
            let mut farthest = dependents.iter().rev().filter(|entity| onsets.contains_key(entity));
            farthest.find_map(to_cause)
        });
        let chosen = chosen.unwrap_or_default();
        if chosen.is_empty() {
            return vec![cause.clone()];
        }
        chosen.into_iter().rev().collect()
    }

    fn title(&self, incident: &Incident) -> String {
        let others = incident
            .entities
            .iter()
            .filter(|e| incident.cause.as_ref() != Some(*e))
            .count();
        let storm = if incident.storm { "Alert storm: " } else { "" };
        let Some((cause, first)) = incident.cause.as_ref().zip(incident.causes.first()) else {
            let what = incident.members.values().min_by_key(|m| (m.onset, m.series));
            return match what {
                Some(m) if others > 1 => format!("{storm}{} deviate, first {}", count(others, "entity"), m.entity),
                Some(m) => format!("{storm}{}: {}", m.entity, self.member_change(incident, m)),
                None => format!("{storm}nothing deviates"),
            };
        };
        let change = first
            .series
            .and_then(|s| match self.evidence.tracks.get(&s) {
                // Nothing is measured of the cause itself.
                Some(track) if track.info.entity != first.entity => Some("who depends on it deviates".to_owned()),
                Some(track) => Some(change_since(track, first.onset)),
                None => incident.members.get(&s).map(|m| self.member_change(incident, m)),
            })
            .unwrap_or_else(|| format!("{} deviates", first.metric));
        match others {
            0 => format!("{storm}{cause}: {change}"),
            n => format!("{storm}{cause}: {change}; {n} more affected"),
        }
    }

    fn member_change(&self, incident: &Incident, member: &Member) -> String {
        match incident.infos.get(&member.series) {
            Some(info) => change(info, member.expected, member.observed),
            None => format!("{} deviates", member.metric),
        }
    }

    fn member_now(&self, incident: &Incident, member: &Member) -> String {
        match incident.infos.get(&member.series) {
            Some(info) => format!(
                "{} {}, expected {}",
                metric_name(info),
                value(info, member.observed, member.expected),
                value(info, member.expected, member.expected)
            ),
            None => member.metric.clone(),
        }
    }
}
