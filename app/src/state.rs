//! The console's live copy of the engine's state.
//!
//! Events are applied to one [`Snapshot`] as they come; what changed is handed to the signals once per animation frame, so
//! a burst of deltas costs one redraw. A gap in the numbering closes the stream and opens a new one, which starts with a
//! snapshot.

pub(crate) mod remote;
pub(crate) mod settings;
pub(crate) mod toast;

use crate::clock;
use crate::transport::{Message, Subscription, Transport};
use leptos::prelude::*;
use std::time::Duration;
use toast::Toasts;
use wire::command::Command;
use wire::incident::{IncidentState, IncidentSummary};
use wire::prediction::{Prediction, PredictionState};
use wire::proposal::{Proposal, ProposalState};
use wire::query::{ApiError, ErrorKind, Reply};
use wire::status::{Role, Status};
use wire::stream::{Delta, Event, Snapshot};
use wire::topology::{Deploy, Edge, Entity};
use wire::{EntityId, Timestamp};

/// Longest wait between two attempts to connect.
const MAX_BACKOFF_MS: u32 = 10_000;
/// How often details of what is on screen are asked for again, at most.
const PULSE_MS: u64 = 2_000;

/// Whether the console hears the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Connecting,
    Live,
    /// Waiting to try again, for the `attempt`th time.
    Lost {
        attempt: u32,
        reason: String,
    },
    /// The engine speaks another version of the protocol.
    Incompatible {
        engine: u32,
    },
}

/// Signals that every page reads, and the two calls. Cheap to copy; lives as long as the page.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    pub(crate) transport: Transport,
    pub(crate) toasts: Toasts,
    pub(crate) connection: RwSignal<Connection>,
    /// A snapshot has come: empty lists mean "none", no longer "not known".
    pub(crate) loaded: RwSignal<bool>,
    /// The screen stands still while this is on; the copy goes on.
    pub(crate) paused: RwSignal<bool>,
    pub(crate) status: RwSignal<Status>,
    pub(crate) incidents: RwSignal<Vec<IncidentSummary>>,
    pub(crate) entities: RwSignal<Vec<Entity>>,
    pub(crate) edges: RwSignal<Vec<Edge>>,
    pub(crate) predictions: RwSignal<Vec<Prediction>>,
    pub(crate) proposals: RwSignal<Vec<Proposal>>,
    pub(crate) deploys: RwSignal<Vec<Deploy>>,
    /// Deltas that were lost and replaced by a snapshot.
    pub(crate) dropped: RwSignal<u64>,
    /// Counts snapshots: whatever was fetched before a new one may be old.
    pub(crate) epoch: RwSignal<u64>,
    /// Changes at most every two seconds, and only if samples came: refetch what is on screen.
    pub(crate) pulse: RwSignal<u64>,
    /// Monotonic milliseconds, every second.
    tick: RwSignal<f64>,
    /// Monotonic milliseconds when `status` came.
    status_at: RwSignal<f64>,
    inner: StoredValue<Inner, LocalStorage>,
}

#[derive(Default)]
struct Inner {
    copy: Snapshot,
    dirty: Dirty,
    flush_scheduled: bool,
    subscription: Option<Subscription>,
    attempt: u32,
    status_at: f64,
    pulsed_samples: u64,
}

#[derive(Clone, Copy, Default)]
struct Dirty {
    status: bool,
    incidents: bool,
    entities: bool,
    edges: bool,
    predictions: bool,
    proposals: bool,
    deploys: bool,
}

impl Dirty {
    const ALL: Self = Self {
        status: true,
        incidents: true,
        entities: true,
        edges: true,
        predictions: true,
        proposals: true,
        deploys: true,
    };

    fn mark(&mut self, delta: &Delta) {
        self.status |= delta.status.is_some();
        self.incidents |= !delta.incidents.is_empty();
        self.entities |= !delta.entities.is_empty();
        self.edges |= !delta.edges.is_empty();
        self.predictions |= !delta.predictions.is_empty();
        self.proposals |= !delta.proposals.is_empty();
        self.deploys |= !delta.deploys.is_empty();
    }
}

/// The live state of this page.
pub(crate) fn live() -> Live {
    expect_context()
}

impl Live {
    /// Connects and keeps connected.
    pub(crate) fn start() -> Self {
        let live = Self {
            transport: Transport::detect(),
            toasts: Toasts::new(),
            connection: RwSignal::new(Connection::Connecting),
            loaded: RwSignal::new(false),
            paused: RwSignal::new(false),
            status: RwSignal::default(),
            incidents: RwSignal::default(),
            entities: RwSignal::default(),
            edges: RwSignal::default(),
            predictions: RwSignal::default(),
            proposals: RwSignal::default(),
            deploys: RwSignal::default(),
            dropped: RwSignal::new(0),
            epoch: RwSignal::new(0),
            pulse: RwSignal::new(0),
            tick: RwSignal::new(clock::monotonic_ms()),
            status_at: RwSignal::new(clock::monotonic_ms()),
            inner: StoredValue::new_local(Inner::default()),
        };
        live.connect();
        set_interval(move || live.tick.set(clock::monotonic_ms()), Duration::from_secs(1));
        set_interval(move || live.beat(), Duration::from_millis(PULSE_MS));
        live
    }

    /// The engine's wall clock, carried forward between two reports.
    pub(crate) fn now(self) -> Timestamp {
        let elapsed = (self.tick.get() - self.status_at.get()).max(0.0);
        self.status.with(|status| status.now + elapsed as i64)
    }

    /// Counts up every two seconds: for what changes whether samples come or not.
    pub(crate) fn beats(self) -> u64 {
        (self.tick.get() / PULSE_MS as f64) as u64
    }

    /// "Now" for things that `source` reports: a recording runs on its own clock.
    pub(crate) fn now_of(self, source: &str) -> Timestamp {
        if source == "replay"
            && let Some(clock) = self.replay_clock()
        {
            return clock;
        }
        self.now()
    }

    /// "Now" of the time domain an entity lives in.
    pub(crate) fn now_of_entity(self, entity: &EntityId) -> Timestamp {
        self.now_of(&self.source_of(entity))
    }

    /// The source that reports an entity; empty if it is not known.
    pub(crate) fn source_of(self, entity: &EntityId) -> String {
        self.entities.with_untracked(|entities| {
            entities
                .binary_search_by(|e| e.id.cmp(entity))
                .map(|at| entities[at].source.clone())
                .unwrap_or_default()
        })
    }

    /// Recorded time of the replay, carried forward at its speed.
    pub(crate) fn replay_clock(self) -> Option<Timestamp> {
        let elapsed = (self.tick.get() - self.status_at.get()).clamp(0.0, 3_000.0);
        self.status.with(|status| {
            status.replay.as_ref().map(|replay| {
                let running = replay.phase != "finished" && !self.paused.get();
                let ahead = if running { (elapsed * replay.speed) as i64 } else { 0 };
                (replay.clock + ahead).min(replay.ends)
            })
        })
    }

    /// Whether the present identity may give orders.
    pub(crate) fn may_operate(self) -> bool {
        self.status.with(|status| status.identity.role >= Role::Operator)
    }

    /// Incidents that still need somebody, worst first, then newest.
    pub(crate) fn open_incidents(self) -> Vec<IncidentSummary> {
        let mut open: Vec<_> = self.incidents.with(|all| {
            all.iter()
                .filter(|i| i.state != IncidentState::Resolved)
                .cloned()
                .collect()
        });
        open.sort_by(|a, b| a.severity.cmp(&b.severity).then(b.started.cmp(&a.started)));
        open
    }

    /// Proposals waiting for a decision.
    pub(crate) fn pending_proposals(self) -> Vec<Proposal> {
        self.proposals.with(|all| {
            all.iter()
                .filter(|p| p.state == ProposalState::Pending)
                .cloned()
                .collect()
        })
    }

    /// Predictions that may still come true, soonest first.
    pub(crate) fn open_predictions(self) -> Vec<Prediction> {
        let mut open: Vec<_> = self.predictions.with(|all| {
            all.iter()
                .filter(|p| p.state == PredictionState::Open)
                .cloned()
                .collect()
        });
        open.sort_by_key(|p| p.breach_at);
        open
    }

    /// Gives an order and says what came of it in a toast.
    pub(crate) fn order(self, command: Command) {
        self.order_then(command, |_| ());
    }

    /// Gives an order; `then` hears whether it was carried out.
    pub(crate) fn order_then(self, command: Command, then: impl Fn(bool) + 'static) {
        let toasts = self.toasts;
        leptos::task::spawn_local(async move {
            match self.command(&command).await {
                Ok(text) => {
                    toasts.done(text);
                    then(true);
                }
                Err(error) => {
                    toasts.failed(error.message);
                    then(false);
                }
            }
        });
    }

    async fn command(self, command: &Command) -> Result<String, ApiError> {
        match self.transport.command(command).await? {
            Reply::Done(text) => Ok(text),
            _ => Err(ApiError::new(
                ErrorKind::Internal,
                "the engine answered an order with something else",
            )),
        }
    }

    /// Stops the screen, or lets it catch up.
    pub(crate) fn toggle_pause(self) {
        self.paused.update(|paused| *paused = !*paused);
        if !self.paused.get_untracked() {
            self.schedule_flush();
        }
    }

    /// Opens a new stream now.
    pub(crate) fn connect(self) {
        let opened = self.transport.watch(move |message| self.receive(message));
        match opened {
            Ok(subscription) => {
                self.with_inner(|inner| inner.subscription = Some(subscription));
            }
            Err(error) => self.lost(error.message),
        }
    }

    fn receive(self, message: Message) {
        match message {
            Message::Event(Event::Snapshot(snapshot)) => {
                if snapshot.version != wire::VERSION {
                    self.with_inner(|inner| inner.subscription = None);
                    self.connection.set(Connection::Incompatible {
                        engine: snapshot.version,
                    });
                    return;
                }
                self.with_inner(|inner| {
                    inner.copy = snapshot;
                    inner.dirty = Dirty::ALL;
                    inner.attempt = 0;
                    inner.status_at = clock::monotonic_ms();
                });
                self.connection.set(Connection::Live);
                if self.loaded.get_untracked() {
                    self.epoch.update(|epoch| *epoch += 1);
                }
                self.schedule_flush();
            }
            Message::Event(Event::Delta(delta)) => {
                if delta.dropped > 0 {
                    self.dropped.update(|dropped| *dropped += delta.dropped);
                }
                let gap = self.with_inner(|inner| {
                    inner.dirty.mark(&delta);
                    if delta.status.is_some() {
                        inner.status_at = clock::monotonic_ms();
                    }
                    inner.copy.apply(delta).err()
                });
                match gap.flatten() {
                    Some(gap) => self.lost(gap.to_string()),
                    None => self.schedule_flush(),
                }
            }
            Message::Broken(reason) => self.lost(reason),
        }
    }

    /// Drops the stream and tries again later: at once the first time, then with growing waits.
    fn lost(self, reason: String) {
        let attempt = self.with_inner(|inner| {
            inner.attempt += 1;
            inner.attempt
        });
        let Some(attempt) = attempt else { return };
        self.connection.set(Connection::Lost { attempt, reason });
        let wait = backoff_ms(attempt);
        // The subscription is dropped in the timer: this may run inside its own callback.
        set_timeout(
            move || {
                self.with_inner(|inner| inner.subscription = None);
                self.connect();
            },
            Duration::from_millis(u64::from(wait)),
        );
    }

    fn schedule_flush(self) {
        let first = self.with_inner(|inner| !std::mem::replace(&mut inner.flush_scheduled, true));
        if first == Some(true) {
            request_animation_frame(move || self.flush());
        }
    }

    fn flush(self) {
        let paused = self.paused.get_untracked() && self.loaded.get_untracked();
        let taken = self.with_inner(|inner| {
            inner.flush_scheduled = false;
            (!paused).then(|| (std::mem::take(&mut inner.dirty), inner.copy.clone(), inner.status_at))
        });
        let Some(Some((dirty, copy, status_at))) = taken else {
            return;
        };
        if dirty.status {
            self.status_at.set(status_at);
            self.status.set(copy.status);
        }
        if dirty.incidents {
            self.incidents.set(copy.incidents);
        }
        if dirty.entities {
            self.entities.set(copy.entities);
        }
        if dirty.edges {
            self.edges.set(copy.edges);
        }
        if dirty.predictions {
            self.predictions.set(copy.predictions);
        }
        if dirty.proposals {
            self.proposals.set(copy.proposals);
        }
        if dirty.deploys {
            self.deploys.set(copy.deploys);
        }
        // An engine that has just started sends a snapshot before its first look at the clock: that one knows nothing.
        if !self.loaded.get_untracked() && self.status.with_untracked(|s| s.now > Timestamp(0)) {
            self.loaded.set(true);
        }
    }

    fn beat(self) {
        if self.paused.get_untracked() || self.connection.get_untracked() != Connection::Live {
            return;
        }
        let changed = self.with_inner(|inner| {
            let samples = inner.copy.status.samples;
            std::mem::replace(&mut inner.pulsed_samples, samples) != samples
        });
        if changed == Some(true) {
            self.pulse.update(|pulse| *pulse += 1);
        }
    }

    fn with_inner<T>(self, f: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        self.inner.try_update_value(f)
    }
}

/// 200 ms, then doubling to ten seconds.
fn backoff_ms(attempt: u32) -> u32 {
    200_u32
        .saturating_mul(1 << attempt.saturating_sub(1).min(10))
        .min(MAX_BACKOFF_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit() {
        let waits: Vec<u32> = [1, 2, 3, 6, 7, 50].map(backoff_ms).into();
        assert_eq!(waits, [200, 400, 800, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_delta_marks_only_what_it_carries() {
        let mut dirty = Dirty::default();
        dirty.mark(&Delta {
            edges: vec![Edge {
                caller: "a".into(),
                callee: "b".into(),
            }],
            ..Delta::default()
        });
        assert!(dirty.edges);
        assert!(!dirty.status && !dirty.incidents && !dirty.entities && !dirty.predictions);
    }
}
