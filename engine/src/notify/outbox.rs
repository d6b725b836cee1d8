//! Messages on their way: one at a time to a channel, in order for an incident, tried again with growing pauses for a day, within the
//! channel's limit. Newer ones about the same incident take the place of those that have not left yet.

use super::{Channel, KEEP_MS, Notice, NotifyConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::incident::Severity;
use wire::notify::{ChannelHealth, Delivery, DeliveryState, Occasion};
use wire::{DeliveryId, IncidentId, Timestamp};

/// Pause after the first try that failed; doubled after each.
const FIRST_PAUSE_MS: i64 = 5000;
const LONGEST_PAUSE_MS: i64 = 5 * 60_000;

/// After so long a message is given up.
const GIVE_UP_MS: i64 = 24 * 3600 * 1000;

const HOUR_MS: i64 = 3600 * 1000;

/// Messages kept at most, on the way or done.
const MAX_PARCELS: usize = 5000;

/// A message and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    pub delivery: Delivery,
    pub notice: Notice,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// With what the other side answered.
    Delivered(String),
    /// It may work later; the other side may have said when.
    Again { problem: String, after_ms: Option<i64> },
    /// It never will.
    Refused(String),
}

/// What the outbox has to say about a parcel after a change.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) send: Vec<Parcel>,
    /// Over the limit of their channel.
    pub(super) held: Vec<Parcel>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    parcels: BTreeMap<u64, Parcel>,
    last: u64,
    /// When each channel was sent what counts against its limit.
    recent: BTreeMap<String, VecDeque<Timestamp>>,
    /// How each channel does since the start.
    health: BTreeMap<String, ChannelHealth>,
}

impl Outbox {
    /// What an earlier run left. What was on its way then may or may not have arrived: it goes out again under the same key.
    pub(super) fn restore(parcels: Vec<Parcel>, now: Timestamp) -> Self {
        let mut outbox = Self::default();
        for mut parcel in parcels {
            let Some(number) = number(&parcel.delivery.id) else {
                continue;
            };
            if let DeliveryState::Delivered { at, .. } = parcel.delivery.state
                && !is_exempt(&parcel.delivery)
            {
                let recent = outbox.recent.entry(parcel.delivery.channel.clone()).or_default();
                recent.push_back(at);
            }
            if parcel.delivery.state == DeliveryState::Sending {
                parcel.delivery.state = DeliveryState::Waiting { next_try: now };
            }
            outbox.last = outbox.last.max(number);
            outbox.parcels.insert(number, parcel);
        }
        for recent in outbox.recent.values_mut() {
            recent.make_contiguous().sort_unstable();
        }
        outbox
    }

    /// Puts a message in, in place of those about the same incident that have not left yet; returns what changed. What says nothing
    /// new is not put in: that something is over of which nobody has been told, or open of which nobody has been told that it is over.
    pub(super) fn post(
        &mut self,
        channel: &Channel,
        occasion: Occasion,
        notice: Notice,
        now: Timestamp,
    ) -> Vec<Parcel> {
        let is_same = |delivery: &Delivery| {
            occasion != Occasion::Test
                && delivery.channel == channel.name
                && delivery.incident.as_ref() == Some(&notice.incident)
        };
        let delivered = |p: &&Parcel| matches!(p.delivery.state, DeliveryState::Delivered { .. });
        // What the channel knows of it, as far as it does.
        let known = self.parcels.values().rfind(|p| is_same(&p.delivery) && delivered(p));
        let known = known.filter(|p| p.delivery.occasion != Occasion::Resolved);
        let known = known.map(|p| p.delivery.severity);
        let (mut changed, mut tries) = (Vec::new(), 0);
        let (mut said, mut is_pointless) = (occasion, false);
        for parcel in self.parcels.values_mut() {
            let old = &mut parcel.delivery;
            if !is_same(old) || !matches!(old.state, DeliveryState::Waiting { .. }) {
                continue;
            }
            match (old.occasion, occasion) {
                (Occasion::Opened | Occasion::Reopened, Occasion::Resolved | Occasion::Acknowledged) => {
                    is_pointless |= old.tries == 0;
                }
                (Occasion::Opened | Occasion::Reopened, _) => said = old.occasion,
                (Occasion::Resolved, Occasion::Opened | Occasion::Reopened) if old.tries == 0 => {
                    if let Some(severity) = known {
                        said = Occasion::Worsened;
                        is_pointless = notice.severity >= severity;
                    }
                }
                _ => {}
            }
            tries = tries.max(old.tries);
            old.state = DeliveryState::Superseded { at: now };
            changed.push(parcel.clone());
        }
        if is_pointless {
            return changed;
        }
        self.last += 1;
        let parcel = Parcel {
            delivery: Delivery {
                id: DeliveryId(format!("NTF-{:06}", self.last)),
                channel: channel.name.clone(),
                kind: channel.target.kind(),
                occasion: said,
                incident: (occasion != Occasion::Test).then(|| notice.incident.clone()),
                severity: notice.severity,
                created: now,
                tries,
                problem: String::new(),
                state: DeliveryState::Waiting { next_try: now },
            },
            notice,
        };
        self.parcels.insert(self.last, parcel.clone());
        changed.push(parcel);
        changed
    }

    /// What is to be sent now. Each must be reported by [`Self::sent`].
    pub(super) fn due(&mut self, config: &NotifyConfig, now: Timestamp) -> Due {
        let mut due = Due::default();
        let mut busy: BTreeSet<String> = self
            .parcels
            .values()
            .filter(|p| p.delivery.state == DeliveryState::Sending)
            .map(|p| p.delivery.channel.clone())
            .collect();
        // Of an incident the older message goes first.
        let mut blocked: BTreeSet<(String, Option<IncidentId>)> = BTreeSet::new();
        for parcel in self.parcels.values_mut() {
            let delivery = &mut parcel.delivery;
            let DeliveryState::Waiting { next_try } = delivery.state else {
                continue;
            };
            let key = (delivery.channel.clone(), delivery.incident.clone());
            let is_first = delivery.incident.is_none() || blocked.insert(key);
            if !is_first || next_try > now || busy.contains(&delivery.channel) {
                continue;
            }
            if !is_exempt(delivery) {
                let limit = config
                    .channel(&delivery.channel)
                    .map_or(0, |channel| channel.max_per_hour);
                let recent = self.recent.entry(delivery.channel.clone()).or_default();
                while recent.front().is_some_and(|at| now.millis_since(*at) >= HOUR_MS) {
                    recent.pop_front();
                }
                if recent.len() >= limit as usize {
                    let room = recent.front().map_or(now + HOUR_MS, |at| *at + HOUR_MS);
                    delivery.state = DeliveryState::Waiting { next_try: room };
                    delivery.problem = format!(
                        "the limit of {limit} messages an hour to {} is reached",
                        delivery.channel
                    );
                    due.held.push(parcel.clone());
                    continue;
                }
                recent.push_back(now);
            }
            delivery.tries += 1;
            delivery.state = DeliveryState::Sending;
            busy.insert(delivery.channel.clone());
            due.send.push(parcel.clone());
        }
        due
    }

    /// Takes what became of a try; returns the parcel as it is now.
    pub(super) fn sent(&mut self, id: &DeliveryId, sent: Sent, now: Timestamp) -> Option<Parcel> {
        let parcel = self.parcels.get_mut(&number(id)?)?;
        let delivery = &mut parcel.delivery;
        let health = self.health.entry(delivery.channel.clone()).or_default();
        match sent {
            Sent::Delivered(receipt) => {
                delivery.problem.clear();
                health.delivered += 1;
                delivery.state = DeliveryState::Delivered { at: now, receipt };
            }
            Sent::Again { problem, .. } if now.millis_since(delivery.created) >= GIVE_UP_MS => {
                delivery.problem = format!("{problem}; given up after {} tries", delivery.tries);
                health.failed += 1;
                delivery.state = DeliveryState::Failed { at: now };
            }
            Sent::Again { problem, after_ms } => {
                let doublings = delivery.tries.saturating_sub(1).min(16);
                let pause = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
                let pause = after_ms.map_or(pause, |after| after.clamp(pause, HOUR_MS));
                delivery.problem = problem;
                delivery.state = DeliveryState::Waiting { next_try: now + pause };
            }
            Sent::Refused(problem) => {
                delivery.problem = format!("{problem}; not tried again");
                health.failed += 1;
                delivery.state = DeliveryState::Failed { at: now };
            }
        }
        health.problem.clone_from(&delivery.problem);
        Some(parcel.clone())
    }

    /// How each channel does since the start.
    pub(super) fn health(&self, config: &NotifyConfig) -> Vec<ChannelHealth> {
        let of = |channel: &Channel| {
            let waiting = self
                .deliveries()
                .filter(|d| d.channel == channel.name && d.state.is_live());
            ChannelHealth {
                name: channel.name.clone(),
                waiting: waiting.count() as u64,
                ..self.health.get(&channel.name).cloned().unwrap_or_default()
            }
        };
        config.channels.iter().map(of).collect()
    }

    /// Forgets what is done for long; returns its ids.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<String> {
        let excess = self.parcels.len().saturating_sub(MAX_PARCELS);
        let old: Vec<u64> = self
            .parcels
            .iter()
            .filter(|(_, p)| !p.delivery.state.is_live())
            .enumerate()
            .filter(|(nth, (_, p))| *nth < excess || now.millis_since(p.delivery.created) > KEEP_MS)
            .map(|(_, (number, _))| *number)
            .collect();
        old.into_iter()
            .filter_map(|number| self.parcels.remove(&number))
            .map(|parcel| parcel.delivery.id.to_string())
            .collect()
    }

    /// Everything kept, newest first.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.parcels.values().rev().map(|parcel| &parcel.delivery)
    }
}

/// What is never held back: the worst, what ends something that was told, and what a person asked for.
fn is_exempt(delivery: &Delivery) -> bool {
    delivery.severity == Severity::P1
        || matches!(
            delivery.occasion,
            Occasion::Resolved | Occasion::Acknowledged | Occasion::Test
        )
}

fn number(id: &DeliveryId) -> Option<u64> {
    id.as_str().strip_prefix("NTF-")?.parse().ok()
}
