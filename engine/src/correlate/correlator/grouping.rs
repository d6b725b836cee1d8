//! What people say about what belongs together: two incidents are one, one is two, and taking either back. Whatever a person has parted
//! is not put together again by itself.

use super::super::{ChangeKind, CorrelateError, Incident, IncidentChange};
use super::Correlator;
use std::collections::BTreeSet;
use wire::incident::IncidentState;
use wire::{EntityId, IncidentId, SeriesId, Timestamp};

impl Correlator {
    /// Moves the members of `from` into `into`; `from` is resolved and keeps its id. Returns both, `into` first.
    ///
    /// # Errors
    /// [`CorrelateError`] if one of them is unknown or not open, or both are the same.
    pub fn merge_by(
        &mut self,
        from: &IncidentId,
        into: &IncidentId,
        actor: &str,
        now: Timestamp,
    ) -> Result<[IncidentChange; 2], CorrelateError> {
        if from == into {
            return Err(CorrelateError::Senseless(format!(
                "{from} cannot be merged with itself"
            )));
        }
        self.must_be_open(from, "merged")?;
        self.must_be_open(into, "merged")?;
        for (one, other) in [(from, into), (into, from)] {
            if let Some(incident) = self.incidents.get_mut(one) {
                incident.kept_apart.remove(other);
                incident.note(now, actor, format!("says that it is one with {other}"), None);
            }
        }
        self.merge(into, from);
        self.rank_anew(into, now);
        Ok([
            self.changed(into, ChangeKind::Updated)?,
            self.changed(from, ChangeKind::Merged)?,
        ])
    }

    /// Moves the members of some entities into an incident of their own. Returns the new one, and then the old one.
    ///
    /// # Errors
    /// [`CorrelateError`] if the incident is unknown or not open, an entity is none of its members, or nothing would be left.
    pub fn split(
        &mut self,
        id: &IncidentId,
        entities: &BTreeSet<EntityId>,
        actor: &str,
        now: Timestamp,
    ) -> Result<[IncidentChange; 2], CorrelateError> {
        self.must_be_open(id, "split")?;
        let Some(incident) = self.incidents.get(id) else {
            return Err(CorrelateError::Unknown(id.clone()));
        };
        if let Some(stranger) = entities.iter().find(|entity| !incident.entities.contains(*entity)) {
            let problem = format!("{stranger} is no member of {id}: name members of it");
            return Err(CorrelateError::Senseless(problem));
        }
        if entities.is_empty() || entities.len() == incident.entities.len() {
            let problem = format!(
                "{id}: name some of its {} entities, not all and not none",
                incident.entities.len()
            );
            return Err(CorrelateError::Senseless(problem));
        }
        let series: Vec<SeriesId> = incident
            .members
            .iter()
            .filter(|(_, member)| entities.contains(&member.entity))
            .map(|(series, _)| *series)
            .collect();
        let new = self.ids.next_id();
        let mut own = Incident::new(new.clone(), incident.started, &incident.source);
        own.step_ms = incident.step_ms;
        own.note(now, actor, format!("split off {id}"), None);
        self.incidents.insert(new.clone(), own);
        self.part(id, &new, &series);
        self.note_at(id, now, actor, format!("{new} was split off"));
        self.rank_anew(&new, now);
        self.rank_anew(id, now);
        Ok([
            self.changed(&new, ChangeKind::Opened)?,
            self.changed(id, ChangeKind::Updated)?,
        ])
    }

    /// Takes a merge back: the members that `id` had when it went into another one are its own again. Returns it, and then the other.
    ///
    /// # Errors
    /// [`CorrelateError`] if it is unknown or went into none, or the other one is not open.
    pub fn unmerge(
        &mut self,
        id: &IncidentId,
        actor: &str,
        now: Timestamp,
    ) -> Result<[IncidentChange; 2], CorrelateError> {
        let gone = self
            .incidents
            .get(id)
            .ok_or_else(|| CorrelateError::Unknown(id.clone()))?;
        let Some(home) = gone.merged_into.clone() else {
            return Err(CorrelateError::Senseless(format!("{id} went into no other incident")));
        };
        let series: Vec<SeriesId> = gone.members.keys().copied().collect();
        self.must_be_open(&home, "parted")?;
        if let Some(gone) = self.incidents.get_mut(id) {
            gone.merged_into = None;
            gone.state = IncidentState::Open;
            gone.ended = None;
            gone.resolved = None;
            gone.members.clear();
            gone.entities.clear();
            gone.note(now, actor, format!("apart from {home} again"), None);
        }
        self.part(&home, id, &series);
        self.note_at(&home, now, actor, format!("{id} is apart again"));
        self.rank_anew(id, now);
        self.rank_anew(&home, now);
        Ok([
            self.changed(id, ChangeKind::Reopened)?,
            self.changed(&home, ChangeKind::Updated)?,
        ])
    }

    /// Moves members from one incident to another, and remembers that they are two.
    fn part(&mut self, from: &IncidentId, to: &IncidentId, series: &[SeriesId]) {
        let Some(mut home) = self.incidents.remove(from) else {
            return;
        };
        if let Some(own) = self.incidents.get_mut(to) {
            for series in series {
                if let Some(member) = home.members.remove(series) {
                    own.entities.insert(member.entity.clone());
                    own.members.insert(*series, member);
                }
                if let Some(info) = home.infos.remove(series) {
                    own.infos.insert(*series, info);
                }
                self.member_of.insert(*series, to.clone());
            }
            own.alerts = own.alerts.max(own.members.len() as u64);
            home.alerts = home.alerts.saturating_sub(own.alerts).max(home.members.len() as u64);
            let begun = |incident: &Incident| incident.members.values().map(|member| member.onset).min();
            let last = |incident: &Incident| incident.members.values().map(|member| member.last).max();
            for incident in [&mut *own, &mut home] {
                incident.entities = incident.members.values().map(|member| member.entity.clone()).collect();
                incident.started = begun(incident).unwrap_or(incident.started);
                incident.last_anomaly = last(incident).unwrap_or(incident.last_anomaly);
            }
            own.kept_apart.insert(from.clone());
            home.kept_apart.insert(to.clone());
        }
        self.incidents.insert(from.clone(), home);
    }

    /// The cause of what is left is another question than before.
    fn rank_anew(&mut self, id: &IncidentId, now: Timestamp) {
        if let Some(incident) = self.incidents.get_mut(id) {
            incident.causes.clear();
            incident.cause = None;
        }
        self.rerank.insert(id.clone());
        self.refresh(id, now);
    }

    fn note_at(&mut self, id: &IncidentId, now: Timestamp, actor: &str, text: String) {
        if let Some(incident) = self.incidents.get_mut(id) {
            incident.note(now, actor, text, None);
        }
    }

    fn must_be_open(&mut self, id: &IncidentId, wanted: &'static str) -> Result<(), CorrelateError> {
        self.order(id, wanted, &super::orders::OPEN, |_| {})
    }

    /// Whether a person has said that two incidents are two.
    pub(super) fn are_kept_apart(&self, one: &IncidentId, other: &IncidentId) -> bool {
        self.incidents
            .get(one)
            .is_some_and(|incident| incident.kept_apart.contains(other))
    }
}
