//! All alerts and silences, and the rules of time between them. Whoever calls keeps what is returned as changed.
//!
//! Sizes: at most [`MAX_ALERTS`] fire, [`KEPT_RESOLVED`] resolved ones and [`MAX_SILENCES`] silences are kept. An alert costs O(silences)
//! when it changes, a silence O(alerts) when it begins or ends.

use super::matcher::Matchers;
use super::silence::{SilenceError, checked, may_replace, state};
use super::{MAX_ALERTS, MAX_SILENCES, RESOLVE_TIMEOUT_MS, entity_named, fingerprint};
use std::collections::{BTreeMap, BTreeSet};
use wire::Timestamp;
use wire::alert::{Alert, AlertState, Pairs, PostedAlert, Silence, SilenceState};

/// Resolved alerts kept, the latest.
const KEPT_RESOLVED: usize = 1000;

/// Expired silences are kept this long: as long as Alertmanager does.
const KEEP_EXPIRED_MS: i64 = 5 * 24 * 3600 * 1000;

/// See the module.
#[derive(Debug, Default)]
pub struct AlertBook {
    /// By fingerprint.
    alerts: BTreeMap<String, Alert>,
    /// By id.
    silences: BTreeMap<String, (Silence, Matchers)>,
    /// Ids of the silences that covered alerts when last looked at.
    in_force: BTreeSet<String>,
    /// Silences made so far, so that two of one instant differ.
    made: u64,
}

/// What became of alerts that were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// To be kept, also what was known: the store may have refused it then.
    pub kept: Vec<Alert>,
    /// Of these, how many said nothing new.
    pub repeated: u64,
    /// Found no room.
    pub refused: u64,
}

impl AlertBook {
    /// What an earlier run kept. A silence whose expression no longer compiles covers nothing, and shows as it is.
    pub fn restore(alerts: Vec<Alert>, silences: Vec<Silence>, now: Timestamp) -> Self {
        let silences = silences.into_iter().map(|silence| {
            let matchers = Matchers::new(&silence.matchers);
            let nothing = || Matchers::new(&[]).unwrap_or_default();
            (silence.id.clone(), (silence, matchers.unwrap_or_else(|_| nothing())))
        });
        let mut book = Self {
            alerts: alerts.into_iter().map(|a| (a.fingerprint.clone(), a)).collect(),
            silences: silences.collect(),
            ..Self::default()
        };
        book.made = book.silences.len() as u64;
        book.look_at_silences(now);
        book
    }

    /// Takes alerts in. The same labels are the same alert; what overlaps in time with what is known extends it.
    pub fn receive(&mut self, source: &str, posted: Vec<PostedAlert>, now: Timestamp) -> Received {
        let mut received = Received::default();
        let mut firing = self.alerts.values().filter(|a| a.ends_at > now).count();
        for alert in posted {
            let mut alert = completed(source, alert, now);
            let known = self.alerts.get(&alert.fingerprint);
            if let Some(known) = known.filter(|known| overlap(known, &alert)) {
                alert = merged(known, alert, now);
            }
            let fired = known.is_some_and(|known| known.ends_at > now);
            let fires = alert.ends_at > now;
            if let Some(known) = known.filter(|known| is_same(known, &alert)) {
                received.repeated += 1;
                received.kept.push(known.clone());
                continue;
            }
            if fires && !fired && firing >= MAX_ALERTS {
                received.refused += 1;
                continue;
            }
            firing = firing + usize::from(fires) - usize::from(fired);
            alert.silenced_by = self.covering(&alert);
            received.kept.push(alert.clone());
            self.alerts.insert(alert.fingerprint.clone(), alert);
        }
        received
    }

    /// Sets a silence, or changes the one whose id it has. Returns what is to be kept, the silence itself first: one that covers other
    /// alerts than the old one is new, and the old one ends.
    ///
    /// # Errors
    /// [`SilenceError`]; nothing has changed then.
    pub fn set_silence(&mut self, mut silence: Silence, now: Timestamp) -> Result<Vec<Silence>, SilenceError> {
        let old = match silence.id.as_str() {
            "" => None,
            id => match self.silences.get(id) {
                Some((old, _)) => Some(old.clone()),
                None => return Err(SilenceError::Unknown(id.to_owned())),
            },
        };
        let replaces = old.as_ref().is_some_and(|old| may_replace(old, &silence, now));
        if !replaces {
            silence.starts_at = silence.starts_at.max(now);
        }
        let matchers = checked(&silence, now)?;
        silence.updated_at = now;
        let mut kept = Vec::new();
        if !replaces {
            if self.silences.len() >= MAX_SILENCES {
                return Err(SilenceError::TooMany(MAX_SILENCES));
            }
            self.made += 1;
            silence.id = id_of(&silence, self.made);
            if let Some(old) = old.filter(|old| state(old, now) != SilenceState::Expired) {
                kept.extend(self.expire_silence(&old.id, now));
            }
        }
        silence.state = state(&silence, now);
        kept.insert(0, silence.clone());
        self.silences.insert(silence.id.clone(), (silence, matchers));
        self.look_at_silences(now);
        Ok(kept)
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// If there is none, or it is over.
    pub fn expire_silence(&mut self, id: &str, now: Timestamp) -> Result<Silence, SilenceError> {
        let unknown = || SilenceError::Unknown(id.to_owned());
        let (silence, _) = self.silences.get_mut(id).ok_or_else(unknown)?;
        match state(silence, now) {
            SilenceState::Expired => return Err(SilenceError::Expired(id.to_owned())),
            SilenceState::Pending => silence.starts_at = now,
            SilenceState::Active => {}
        }
        silence.ends_at = now;
        silence.updated_at = now;
        silence.state = SilenceState::Expired;
        let silence = silence.clone();
        self.look_at_silences(now);
        Ok(silence)
    }

    /// A silence in force that covers every one of these label sets; `None` also if there are none.
    pub fn silence_of(&self, all: &[Pairs], now: Timestamp) -> Option<&Silence> {
        let in_force = self
            .silences
            .values()
            .filter(|(silence, _)| state(silence, now) == SilenceState::Active);
        let mut covering = in_force.filter(|(_, matchers)| all.iter().all(|labels| matchers.hold(labels)));
        covering.next().map(|(silence, _)| silence).filter(|_| !all.is_empty())
    }

    /// Moves the clock: silences begin and end. Returns fingerprints and ids of what is over for long and now forgotten.
    pub fn advance(&mut self, now: Timestamp) -> Vec<String> {
        self.look_at_silences(now);
        let mut forgotten = Vec::new();
        self.silences.retain(|id, (silence, _)| {
            let keep = now.millis_since(silence.ends_at) <= KEEP_EXPIRED_MS;
            if !keep {
                forgotten.push(id.clone());
            }
            keep
        });
        let mut over: Vec<(Timestamp, String)> = self
            .alerts
            .values()
            .filter(|alert| alert.ends_at <= now)
            .map(|alert| (alert.ends_at, alert.fingerprint.clone()))
            .collect();
        if over.len() > KEPT_RESOLVED {
            over.sort();
            for (_, fingerprint) in over.drain(..over.len() - KEPT_RESOLVED) {
                self.alerts.remove(&fingerprint);
                forgotten.push(fingerprint);
            }
        }
        forgotten
    }

    /// Alerts that are not over, by fingerprint; with `resolved` also the latest that are.
    pub fn alerts(&self, resolved: bool, now: Timestamp) -> Vec<Alert> {
        let shown = self.alerts.values().filter(|alert| resolved || alert.ends_at > now);
        shown
            .map(|alert| Alert {
                state: state_of(alert, now),
                ..alert.clone()
            })
            .collect()
    }

    /// Alerts that fire and that no silence covers.
    pub fn firing(&self, now: Timestamp) -> impl Iterator<Item = &Alert> {
        self.alerts
            .values()
            .filter(move |alert| state_of(alert, now) == AlertState::Active)
    }

    /// All silences, the latest end first.
    pub fn silences(&self, now: Timestamp) -> Vec<Silence> {
        let mut all: Vec<Silence> = self
            .silences
            .values()
            .map(|(silence, _)| Silence {
                state: state(silence, now),
                ..silence.clone()
            })
            .collect();
        all.sort_by(|a, b| b.ends_at.cmp(&a.ends_at).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Finds out which silences cover what, if others are in force than before.
    fn look_at_silences(&mut self, now: Timestamp) {
        let in_force = self
            .silences
            .iter()
            .filter(|(_, (silence, _))| state(silence, now) == SilenceState::Active);
        let in_force: BTreeSet<String> = in_force.map(|(id, _)| id.clone()).collect();
        if in_force == self.in_force {
            return;
        }
        self.in_force = in_force;
        let mut alerts = std::mem::take(&mut self.alerts);
        for alert in alerts.values_mut() {
            alert.silenced_by = self.covering(alert);
        }
        self.alerts = alerts;
    }

    /// Ids of the silences in force that cover an alert.
    fn covering(&self, alert: &Alert) -> Vec<String> {
        let covers = |id: &&String| {
            let matchers = self.silences.get(id.as_str()).map(|(_, matchers)| matchers);
            matchers.is_some_and(|matchers| !matchers.hold_of_nothing() && matchers.hold(&alert.labels))
        };
        self.in_force.iter().filter(covers).cloned().collect()
    }
}

fn state_of(alert: &Alert, now: Timestamp) -> AlertState {
    if alert.ends_at <= now {
        AlertState::Resolved
    } else if alert.silenced_by.is_empty() {
        AlertState::Active
    } else {
        AlertState::Suppressed
    }
}

/// The times that were not sent follow from those that were.
fn completed(source: &str, posted: PostedAlert, now: Timestamp) -> Alert {
    let mut labels = posted.labels;
    // A label without a value is no label.
    labels.retain(|_, value| !value.is_empty());
    Alert {
        fingerprint: fingerprint(&labels),
        entity: entity_named(&labels),
        starts_at: posted
            .starts_at
            .or(posted.ends_at.map(|end| end.min(now)))
            .unwrap_or(now),
        ends_at: posted.ends_at.unwrap_or(now + RESOLVE_TIMEOUT_MS),
        updated_at: now,
        timeout: posted.ends_at.is_none(),
        labels,
        annotations: posted.annotations,
        generator_url: posted.generator_url,
        source: source.to_owned(),
        state: AlertState::default(),
        silenced_by: Vec::new(),
    }
}

fn overlap(a: &Alert, b: &Alert) -> bool {
    a.starts_at <= b.ends_at && b.starts_at <= a.ends_at
}

/// What is known of one alert from two messages that overlap in time, the newer one `new`.
fn merged(old: &Alert, mut new: Alert, now: Timestamp) -> Alert {
    new.starts_at = new.starts_at.min(old.starts_at);
    let new_is_over = new.ends_at <= now;
    // Two ends in the past: the later one. An end that was said stands against one that was guessed.
    let old_end_counts = if new_is_over { old.ends_at <= now } else { !old.timeout };
    if old_end_counts && old.ends_at > new.ends_at {
        new.ends_at = old.ends_at;
        new.timeout = old.timeout;
    }
    new
}

/// Whether `new` says nothing that `old` did not, but when it was sent.
fn is_same(old: &Alert, new: &Alert) -> bool {
    let what = |a: &Alert| (a.starts_at, a.ends_at, a.timeout);
    what(old) == what(new)
        && old.annotations == new.annotations
        && old.generator_url == new.generator_url
        && old.source == new.source
}

/// A UUID (version 8: custom) out of what the silence is and how many there were: the same orders give the same ids.
fn id_of(silence: &Silence, number: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&silence.updated_at.as_millis().to_le_bytes());
    hasher.update(silence.comment.as_bytes());
    for matcher in &silence.matchers {
        hasher.update(matcher.name.as_bytes());
        hasher.update(&[0xFF]);
        hasher.update(matcher.value.as_bytes());
        hasher.update(&[0xFF]);
    }
    let digest = hasher.finalize();
    let mut hex = digest.to_hex()[..32].to_owned();
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "a");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
