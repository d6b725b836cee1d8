//! What people and actions do to an incident. Each order checks the state it needs, so of two that collide one is refused.

use super::super::incident::state_name;
use super::super::{ChangeKind, CorrelateError, Incident, IncidentChange};
use super::Correlator;
use wire::incident::{IncidentState, Verdict};
use wire::{IncidentId, Timestamp};

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
}
