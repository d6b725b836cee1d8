//! What people and actions do to an incident. Each order checks the state it needs, so of two that collide one is refused.

use super::super::incident::state_name;
use super::super::text::instant;
use super::super::{ChangeKind, CorrelateError, Incident, IncidentChange};
use super::Correlator;
use wire::incident::{IncidentState, Severity, Verdict};
use wire::{IncidentId, Timestamp};

pub(super) const OPEN: [IncidentState; 3] = [
    IncidentState::Open,
    IncidentState::Acknowledged,
    IncidentState::Mitigated,
];

const ALWAYS: [IncidentState; 4] = [
    IncidentState::Open,
    IncidentState::Acknowledged,
    IncidentState::Mitigated,
    IncidentState::Resolved,
];

impl Correlator {
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
        self.order(id, "mitigated", &OPEN, |incident| {
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
        self.order(id, "resolved", &OPEN, |_| {})?;
        self.refresh(id, now);
        self.close(id, actor, now);
        self.changed(id, ChangeKind::Resolved)
    }

    /// A person says that it is not over. It stays open until a person resolves it.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, it is open, or it went into another one.
    pub fn reopen_by(
        &mut self,
        id: &IncidentId,
        actor: &str,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        if let Some(other) = self.incident(id).and_then(|incident| incident.merged_into.clone()) {
            return Err(CorrelateError::Merged { id: id.clone(), other });
        }
        self.order(id, "re-opened", &[IncidentState::Resolved], |incident| {
            incident.state = IncidentState::Open;
            incident.ended = None;
            incident.resolved = None;
            incident.kept_open = true;
            incident.note(now, actor, "re-opened".to_owned(), None);
        })?;
        self.own_members(id);
        self.changed(id, ChangeKind::Reopened)
    }

    /// Somebody works on it, or (`None`) nobody does anymore.
    ///
    /// # Errors
    /// [`CorrelateError::Unknown`] if there is no such incident.
    pub fn assign(
        &mut self,
        id: &IncidentId,
        actor: &str,
        to: Option<String>,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        self.order(id, "assigned", &ALWAYS, |incident| {
            let text = match &to {
                Some(who) if who == actor => "works on it".to_owned(),
                Some(who) => format!("assigned to {who}"),
                None => "assigned to nobody".to_owned(),
            };
            incident.assignee = to;
            incident.note(now, actor, text, None);
        })?;
        self.changed(id, ChangeKind::Updated)
    }

    /// A line in its timeline.
    ///
    /// # Errors
    /// [`CorrelateError::Unknown`] if there is no such incident.
    pub fn comment(
        &mut self,
        id: &IncidentId,
        actor: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        self.order(id, "commented on", &ALWAYS, |incident| {
            incident.note(now, actor, text.to_owned(), None);
        })?;
        self.changed(id, ChangeKind::Updated)
    }

    /// A person's word on how bad it is, or (`None`) what is computed counts again.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, or it is resolved.
    pub fn set_severity(
        &mut self,
        id: &IncidentId,
        actor: &str,
        severity: Option<Severity>,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        self.order(id, "graded", &OPEN, |incident| {
            let text = match severity {
                Some(severity) => format!("severity set from {:?} to {severity:?}", incident.severity),
                None => "severity is computed again".to_owned(),
            };
            incident.set_severity = severity;
            incident.note(now, actor, text, None);
        })?;
        self.refresh(id, now);
        self.changed(id, ChangeKind::Updated)
    }

    /// Nobody is told of it until then; `None`: as usual.
    ///
    /// # Errors
    /// [`CorrelateError`] if there is no such incident, or it is resolved.
    pub fn snooze(
        &mut self,
        id: &IncidentId,
        actor: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<IncidentChange, CorrelateError> {
        self.order(id, "put off", &OPEN, |incident| {
            let text = match until {
                Some(until) => format!("put off until {}", instant(until)),
                None => "not put off anymore".to_owned(),
            };
            incident.snoozed_until = until;
            incident.note(now, actor, text, None);
        })?;
        self.changed(id, ChangeKind::Updated)
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

    pub(super) fn order(
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
    pub(super) fn changed(&mut self, id: &IncidentId, kind: ChangeKind) -> Result<IncidentChange, CorrelateError> {
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
}
