//! Who must hear what, now.

use super::outbox::{Outbox, Parcel, Sent};
use super::route::{self, Way};
use super::told::Open;
use super::{Escalation, KEEP_MS, Notice, NotifyConfig, Told};
use crate::correlate::Incident;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::incident::IncidentState;
use wire::notify::{Channel, ChannelHealth, Channels, DeliveryState, Notifications, Occasion, OnCall, Stage};
use wire::{DeliveryId, IncidentId, Timestamp};

/// Deliveries shown at most.
const SHOWN: usize = 100;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    SaveParcel(Box<Parcel>),
    SaveTold(Box<Told>),
    /// Report by [`Notifier::sent`].
    Send(Box<Parcel>),
    Forget(Vec<String>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Notifier {
    config: Arc<NotifyConfig>,
    /// The source of whose incidents nobody is told.
    replay: &'static str,
    told: BTreeMap<IncidentId, Told>,
    outbox: Outbox,
    unsaved: BTreeSet<IncidentId>,
}

impl Notifier {
    /// With what an earlier run left. `replay` is the source whose incidents are of another time.
    pub(crate) fn restore(
        config: Arc<NotifyConfig>,
        replay: &'static str,
        told: Vec<Told>,
        parcels: Vec<Parcel>,
        now: Timestamp,
    ) -> Self {
        Self {
            config,
            replay,
            told: told.into_iter().map(|told| (told.incident().clone(), told)).collect(),
            outbox: Outbox::restore(parcels, now),
            unsaved: BTreeSet::new(),
        }
    }

    pub(crate) fn config(&self) -> &NotifyConfig {
        &self.config
    }

    /// An incident is new or another. `actor` is the person whose word changed it, if it was one.
    pub(crate) fn changed(&mut self, incident: &Incident, actor: Option<&str>, now: Timestamp) {
        if self.config.channels.is_empty() {
            return;
        }
        let team = route::team_of(&self.config, incident);
        let mut notice = Notice::new(incident, team, actor.map(str::to_owned));
        match self.told.get_mut(&incident.id) {
            Some(told) => {
                if notice.state == told.notice.state {
                    // Who comments has not changed how it stands.
                    notice.actor.clone_from(&told.notice.actor);
                } else {
                    self.unsaved.insert(incident.id.clone());
                }
                told.update(notice, now);
            }
            None if incident.is_open() => {
                notice.actor = notice.actor.filter(|_| notice.state != IncidentState::Open);
                self.told.insert(incident.id.clone(), Told::new(notice, now));
                self.unsaved.insert(incident.id.clone());
            }
            None => {}
        }
    }

    /// Decides for every incident, and says what is to be sent. `hushed` says which silence covers an incident.
    pub(crate) fn advance(
        &mut self,
        now: Timestamp,
        hushed: &dyn Fn(&IncidentId) -> Option<String>,
        out: &mut Vec<Output>,
    ) {
        let ids: Vec<IncidentId> = self.told.keys().cloned().collect();
        for id in ids {
            // Taken out while it is judged: what is posted goes to the outbox beside it.
            let Some(mut told) = self.told.remove(&id) else {
                continue;
            };
            if self.judge(&mut told, now, hushed, out) {
                self.unsaved.insert(id.clone());
            }
            self.told.insert(id, told);
        }
        let due = self.outbox.due(&self.config, now);
        for parcel in due.held {
            self.note(&parcel, Stage::Limit, false, parcel.delivery.problem.clone(), now);
            out.push(Output::SaveParcel(Box::new(parcel)));
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        for told in unsaved.iter().filter_map(|id| self.told.get(id)) {
            out.push(Output::SaveTold(Box::new(told.clone())));
        }
        // Last: what is sent is on record by then.
        out.extend(due.send.into_iter().map(|parcel| Output::Send(Box::new(parcel))));
        self.forget(now, out);
    }

    /// Returns whether anything was decided that was not before.
    fn judge(
        &mut self,
        told: &mut Told,
        now: Timestamp,
        hushed: &dyn Fn(&IncidentId) -> Option<String>,
        out: &mut Vec<Output>,
    ) -> bool {
        if told.notice.source == self.replay {
            let text = "it belongs to a recording".to_owned();
            return told.note(now, Stage::Source, false, text);
        }
        if !told.notice.is_open() {
            return self.judge_over(told, now, out);
        }
        if let Some(until) = told.notice.snoozed_until.filter(|until| *until > now) {
            let text = format!("put off until {}", crate::correlate::text::instant(until));
            let mut news = told.note(now, Stage::Silence, false, text);
            // Who puts it off has seen it: what pages by itself must stop.
            for name in self.unacknowledged(told) {
                self.tell(told, &name, Occasion::Acknowledged, now, out);
                news = true;
            }
            return news;
        }
        if now < told.since + self.config.wait_ms {
            let text = format!("people are told {} s after it began", self.config.wait_ms / 1000);
            return told.note(now, Stage::Wait, true, text);
        }
        let way = route::way(&self.config, &told.notice, now);
        let mut wanted = self.wanted(told, &way, now);
        let mut news = told.note(now, Stage::Route, !way.channels.is_empty(), way.text.clone());
        let tells = wanted.values().any(|occasion| *occasion != Occasion::Acknowledged);
        if (tells || next_step(told, &way, now).is_some())
            && let Some(why) = hushed(told.incident())
        {
            return told.note(now, Stage::Silence, false, why) || news;
        }
        told.put_off = false;
        self.escalate(told, &way, &mut wanted, now, &mut news);
        if wanted.is_empty() {
            return news;
        }
        for (name, occasion) in wanted {
            self.tell(told, &name, occasion, now, out);
        }
        true
    }

    /// Of an incident that is over.
    fn judge_over(&mut self, told: &mut Told, now: Timestamp, out: &mut Vec<Output>) -> bool {
        if told.channels.is_empty() {
            let text = "over before anybody was told".to_owned();
            return told.first.is_none() && told.note(now, Stage::End, false, text);
        }
        let wait_ms = told.resolve_wait_ms(self.config.resolve_wait_ms, now);
        if told.over_since.is_some_and(|since| now < since + wait_ms) {
            let text = format!("over; told when it stays so for {} min", wait_ms / 60_000);
            return told.note(now, Stage::Wait, true, text);
        }
        let mut names = Vec::new();
        for name in std::mem::take(&mut told.channels).into_keys() {
            let Some(channel) = self.config.channel(&name) else {
                continue;
            };
            let changed = self.outbox.post(channel, Occasion::Resolved, told.notice.clone(), now);
            if changed.iter().any(|parcel| parcel.delivery.state.is_live()) {
                names.push(name);
            }
            out.extend(changed.into_iter().map(|parcel| Output::SaveParcel(Box::new(parcel))));
        }
        if names.is_empty() {
            told.note(now, Stage::End, false, "over before any message had left".to_owned());
        } else {
            told.note(now, Stage::End, true, format!("over: told to {}", names.join(", ")));
        }
        true
    }

    /// Which channels must hear what of an open incident.
    fn wanted(&self, told: &Told, way: &Way, now: Timestamp) -> BTreeMap<String, Occasion> {
        let notice = &told.notice;
        let has_worsened = told.worst.is_some_and(|worst| notice.severity < worst);
        let is_taken = notice.state != IncidentState::Open;
        let opening = if told.relapses.is_empty() {
            Occasion::Opened
        } else {
            Occasion::Reopened
        };
        let mut wanted = BTreeMap::new();
        for name in way.channels.keys() {
            match told.channels.get(name) {
                // Somebody has it already: others hear of it only if it is worse than that person knew.
                None if !is_taken || has_worsened => {
                    wanted.insert(name.clone(), opening);
                }
                Some(open) if notice.severity < open.severity => {
                    wanted.insert(name.clone(), Occasion::Worsened);
                }
                _ => {}
            }
        }
        if is_taken {
            for name in self.unacknowledged(told) {
                wanted.entry(name).or_insert(Occasion::Acknowledged);
            }
            return wanted;
        }
        for (name, open) in &told.channels {
            let pages = self.config.channel(name).is_some_and(|channel| channel.target.pages());
            let repeat_ms = self.config.repeat_ms;
            let is_due = repeat_ms > 0 && !pages && now >= open.last + repeat_ms;
            // What was put off and is still there is told again when the time is over.
            if is_due || told.put_off {
                wanted.entry(name.clone()).or_insert(Occasion::Reminder);
            }
        }
        wanted
    }

    /// Channels that page by themselves and do not know yet that somebody has it.
    fn unacknowledged(&self, told: &Told) -> Vec<String> {
        let pages = |name: &str| self.config.channel(name).is_some_and(|channel| channel.target.pages());
        let open = told.channels.iter();
        open.filter(|(name, open)| !open.acknowledged && pages(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn escalate(
        &self,
        told: &mut Told,
        way: &Way,
        wanted: &mut BTreeMap<String, Occasion>,
        now: Timestamp,
        news: &mut bool,
    ) {
        while let Some(step) = next_step(told, way, now) {
            let mut channels = BTreeMap::new();
            route::add(&self.config, &mut channels, &step.to, now);
            let minutes = step.after_ms / 60_000;
            let text = format!(
                "nobody acknowledged it within {minutes} min: {}",
                route::spoken(&channels)
            );
            *news |= told.note(now, Stage::Escalation, true, text);
            told.escalated += 1;
            for name in channels.into_keys() {
                wanted.insert(name, Occasion::Escalated);
            }
        }
    }

    /// Puts a message for a channel into the outbox.
    fn tell(&mut self, told: &mut Told, name: &str, occasion: Occasion, now: Timestamp, out: &mut Vec<Output>) {
        let Some(channel) = self.config.channel(name) else {
            return;
        };
        let changed = self.outbox.post(channel, occasion, told.notice.clone(), now);
        out.extend(changed.into_iter().map(|parcel| Output::SaveParcel(Box::new(parcel))));
        let severity = told.notice.severity;
        told.first.get_or_insert(now);
        let worst = told.worst.get_or_insert(severity);
        *worst = (*worst).min(severity);
        let open = told.channels.entry(name.to_owned()).or_insert(Open {
            severity,
            last: now,
            acknowledged: false,
        });
        match occasion {
            Occasion::Acknowledged => open.acknowledged = true,
            // It pages again.
            Occasion::Reminder => open.acknowledged = false,
            _ => {}
        }
        open.severity = open.severity.min(severity);
        open.last = now;
    }

    /// What became of a message.
    pub(crate) fn sent(&mut self, id: &DeliveryId, sent: Sent, now: Timestamp, out: &mut Vec<Output>) {
        let Some(parcel) = self.outbox.sent(id, sent, now) else {
            return;
        };
        let delivery = &parcel.delivery;
        let (occasion, channel) = (delivery.occasion.as_str(), &delivery.channel);
        match &delivery.state {
            DeliveryState::Delivered { receipt, .. } => {
                let text = format!("{occasion} to {channel}: {receipt}");
                self.note(&parcel, Stage::Delivery, true, text, now);
            }
            DeliveryState::Failed { .. } => {
                let text = format!("{occasion} to {channel}: {}", delivery.problem);
                self.note(&parcel, Stage::Delivery, false, text, now);
                self.fall_back(&parcel, now, out);
            }
            _ => {
                let text = format!("{occasion} to {channel}: {}; tried again", delivery.problem);
                self.note(&parcel, Stage::Delivery, false, text, now);
            }
        }
        out.push(Output::SaveParcel(Box::new(parcel)));
    }

    /// Tells those for whom another channel finally failed.
    fn fall_back(&mut self, parcel: &Parcel, now: Timestamp, out: &mut Vec<Output>) {
        let Some(id) = &parcel.delivery.incident else { return };
        let Some(mut told) = self.told.remove(id) else { return };
        let fallback = self.config.fallback.clone();
        for name in fallback {
            if told.notice.is_open() && name != parcel.delivery.channel && !told.channels.contains_key(&name) {
                let text = format!("{name} in place of {}", parcel.delivery.channel);
                told.note(now, Stage::Escalation, true, text);
                self.tell(&mut told, &name, parcel.delivery.occasion, now, out);
            }
        }
        self.unsaved.insert(id.clone());
        self.told.insert(id.clone(), told);
    }

    fn note(&mut self, parcel: &Parcel, stage: Stage, passed: bool, text: String, now: Timestamp) {
        let Some(id) = &parcel.delivery.incident else { return };
        if let Some(told) = self.told.get_mut(id)
            && told.note(now, stage, passed, text)
        {
            self.unsaved.insert(id.clone());
        }
    }

    fn forget(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut ids = self.outbox.forget(now);
        let is_old = |told: &Told| {
            told.channels.is_empty() && told.over_since.is_some_and(|since| now.millis_since(since) > KEEP_MS)
        };
        ids.extend(
            self.told
                .extract_if(.., |_, told| is_old(told))
                .map(|(_, told)| told.key()),
        );
        if !ids.is_empty() {
            out.push(Output::Forget(ids));
        }
    }

    /// Puts a message to try a channel into the outbox.
    ///
    /// # Errors
    /// Which channels there are, if none has this name.
    pub(crate) fn test(&mut self, name: &str, now: Timestamp, out: &mut Vec<Output>) -> Result<DeliveryId, String> {
        let config = Arc::clone(&self.config);
        let channel = config.channel(name).ok_or_else(|| no_channel(&config, name))?;
        let posted = self.outbox.post(channel, Occasion::Test, Notice::example(now), now);
        let id = posted[0].delivery.id.clone();
        out.extend(posted.into_iter().map(|parcel| Output::SaveParcel(Box::new(parcel))));
        Ok(id)
    }

    /// Why people were told of an incident, or why not.
    pub(crate) fn notifications(&self, incident: &IncidentId) -> Notifications {
        let deliveries: Vec<_> = self
            .outbox
            .deliveries()
            .filter(|delivery| delivery.incident.as_ref() == Some(incident))
            .cloned()
            .collect();
        let told = self.told.get(incident);
        let decisions = told.map(|told| told.decisions.clone()).unwrap_or_default();
        let mut reached: Vec<&str> = deliveries
            .iter()
            .filter(|delivery| matches!(delivery.state, DeliveryState::Delivered { .. }))
            .map(|delivery| delivery.channel.as_str())
            .collect();
        reached.sort_unstable();
        reached.dedup();
        let summary = if self.config.channels.is_empty() {
            "Nobody is told of anything: the configuration has no [[notify.channel]]".to_owned()
        } else if !reached.is_empty() {
            format!("Told to {}", reached.join(", "))
        } else if deliveries.iter().any(|delivery| delivery.state.is_live()) {
            "On its way; nobody has been reached yet".to_owned()
        } else if let Some(last) = decisions.iter().rev().find(|decision| !decision.passed) {
            format!("Nobody was told: {}", last.text)
        } else if let Some(last) = decisions.last() {
            format!("Nobody has been told yet: {}", last.text)
        } else {
            "Nobody was told: nothing is known of it here any more".to_owned()
        };
        Notifications {
            summary,
            decisions,
            deliveries,
        }
    }

    /// How each channel does since the start.
    pub(crate) fn health(&self) -> Vec<ChannelHealth> {
        self.outbox.health(&self.config)
    }

    /// Channels and what they do.
    pub(crate) fn channels(&self, now: Timestamp) -> Channels {
        let channel = |channel: &super::Channel| {
            let own = || self.outbox.deliveries().filter(|d| d.channel == channel.name);
            let count = |is: fn(&DeliveryState) -> bool| own().filter(|d| is(&d.state)).count() as u64;
            Channel {
                name: channel.name.clone(),
                kind: channel.target.kind(),
                target: channel.target.describe(),
                delivered: count(|state| matches!(state, DeliveryState::Delivered { .. })),
                failed: count(|state| matches!(state, DeliveryState::Failed { .. })),
                waiting: count(DeliveryState::is_live),
                last: own()
                    .find(|d| matches!(d.state, DeliveryState::Delivered { .. } | DeliveryState::Failed { .. }))
                    .cloned(),
            }
        };
        let on_call = |rota: &super::Rota| {
            let (channel, until) = rota.on_call(now);
            OnCall {
                schedule: rota.name.clone(),
                channel: channel.to_owned(),
                until,
            }
        };
        Channels {
            channels: self.config.channels.iter().map(channel).collect(),
            on_call: self.config.rotas.iter().map(on_call).collect(),
            deliveries: self.outbox.deliveries().take(SHOWN).cloned().collect(),
        }
    }

    /// An incident as messages would show it.
    pub(crate) fn describe(&self, incident: &Incident) -> Notice {
        Notice::new(incident, route::team_of(&self.config, incident), None)
    }
}

/// The step of escalation that is due, as long as nobody has acknowledged it.
fn next_step<'a>(told: &Told, way: &'a Way, now: Timestamp) -> Option<&'a Escalation> {
    let first = told.first.filter(|_| told.notice.state == IncidentState::Open)?;
    let step = way.escalate.get(told.escalated)?;
    (now >= first + step.after_ms).then_some(step)
}

/// There is no channel of this name.
pub(crate) fn no_channel(config: &NotifyConfig, name: &str) -> String {
    let names: Vec<&str> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
    if names.is_empty() {
        format!("no channel {name:?}: the configuration has no [[notify.channel]]")
    } else {
        format!("no channel {name:?}: there are {}", names.join(", "))
    }
}
