//! Telling people of incidents: what changes goes to the notifier, what it decides becomes effects.

use super::{Coordinator, Effect};
use crate::correlate::Incident;
use crate::notify::{Notice, Output, Parcel, Sent, render};
use wire::alert::Pairs;
use wire::incident::Member;
use wire::notify::{Channels, Delivery, DeliveryState, Notifications, Occasion, Preview};
use wire::query::{ApiError, ErrorKind};
use wire::{DeliveryId, IncidentId, Timestamp};

impl Coordinator {
    /// What became of incidents in an earlier run, in case it did not come to telling anybody.
    pub(super) fn adopt_untold(&mut self, now: Timestamp) {
        for lane in self.lanes.values() {
            for incident in lane.brain.correlator.incidents() {
                self.notifier.changed(incident, None, now);
            }
        }
    }

    pub(super) fn tell_people(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut out = Vec::new();
        let (lanes, book) = (&self.lanes, &self.book);
        let hushed = |id: &IncidentId| {
            let incident = lanes.values().find_map(|lane| lane.brain.correlator.incident(id))?;
            let silence = book.silence_of(&labels_of(incident), now)?;
            Some(format!("silence {} covers all of it: {}", silence.id, silence.comment))
        };
        self.notifier.advance(now, &hushed, &mut out);
        effects.extend(out.into_iter().map(effect));
    }

    /// What became of a message.
    pub(crate) fn sent(&mut self, id: &DeliveryId, sent: Sent, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut out = Vec::new();
        self.notifier.sent(id, sent, now, &mut out);
        effects.extend(out.into_iter().map(effect));
    }

    pub(super) fn test_channel(
        &mut self,
        who: &str,
        channel: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        let mut out = Vec::new();
        let posted = self.notifier.test(channel, now, &mut out);
        let id = posted.map_err(|message| ApiError::new(ErrorKind::NotFound, message))?;
        effects.extend(out.into_iter().map(effect));
        self.audit(now, who, "test_channel", channel, id.as_str(), effects);
        Ok(format!("{id} is on its way to {channel}"))
    }

    pub(crate) fn notifications(&self, incident: &IncidentId) -> Notifications {
        self.notifier.notifications(incident)
    }

    pub(crate) fn channels(&self, now: Timestamp) -> Channels {
        self.notifier.channels(now)
    }

    /// What a channel would be sent, about an incident or an example.
    ///
    /// # Errors
    /// `NotFound` if there is no such channel or incident.
    pub(crate) fn preview(
        &self,
        name: &str,
        incident: Option<&IncidentId>,
        now: Timestamp,
    ) -> Result<Preview, ApiError> {
        let config = self.notifier.config();
        let not_found = |message| ApiError::new(ErrorKind::NotFound, message);
        let channel = config
            .channel(name)
            .ok_or_else(|| not_found(crate::notify::no_channel(config, name)))?;
        let notice = match incident {
            None => Notice::example(now),
            Some(id) => {
                let known = self.lanes.values().find_map(|lane| lane.brain.correlator.incident(id));
                let known = known.map(|incident| self.notifier.describe(incident));
                known.ok_or_else(|| not_found(format!("no incident {id}: reload the list")))?
            }
        };
        let occasion = if notice.is_open() {
            Occasion::Opened
        } else {
            Occasion::Resolved
        };
        let parcel = Parcel {
            delivery: Delivery {
                id: "NTF-000000".into(),
                channel: name.to_owned(),
                kind: channel.target.kind(),
                occasion,
                incident: incident.cloned(),
                severity: notice.severity,
                created: now,
                tries: 0,
                problem: String::new(),
                state: DeliveryState::Waiting { next_try: now },
            },
            notice,
        };
        Ok(render::preview(config, channel, &parcel))
    }
}

/// Labels by which a silence may know a member: those of its series, and what Halo calls it.
fn labels_of(incident: &Incident) -> Vec<Pairs> {
    let of = |member: &Member| {
        let mut labels = Pairs::new();
        if let Some(info) = incident.infos.get(&member.series) {
            labels.extend(info.labels.iter().cloned());
        }
        // The labels of an alert of another system are its own.
        let mut add = |name: &str, value: String| {
            labels.entry(name.to_owned()).or_insert(value);
        };
        add("entity", member.entity.to_string());
        add("metric", member.metric.clone());
        add("incident", incident.id.to_string());
        add("severity", format!("{:?}", incident.severity));
        add("source", incident.source.clone());
        add("alertname", "HaloIncident".to_owned());
        labels
    };
    incident.members.values().map(of).collect()
}

fn effect(output: Output) -> Effect {
    match output {
        Output::SaveParcel(parcel) => Effect::SaveParcel(parcel),
        Output::SaveTold(told) => Effect::SaveTold(told),
        Output::Send(parcel) => Effect::Send(parcel),
        Output::Forget(ids) => Effect::Forget(ids),
    }
}
