//! Builds the snapshot that people see out of what the coordinator knows and the shards report.

use super::{Coordinator, LaneName};
use crate::ingest::{RejectReason, Rejection};
use crate::view::entity_kind;
use std::collections::{BTreeMap, VecDeque};
use wire::incident::IncidentState;
use wire::protection::Protection;
use wire::series::Health;
use wire::status::{Identity, Source, SourceState, Status};
use wire::stream::Snapshot;
use wire::topology::Entity;
use wire::{EntityId, IncidentId, Timestamp};

/// Resolved incidents, predictions and proposals shown; older ones stay in the store.
const SHOWN: usize = 200;

/// Without a sample for this long (wall clock) a source counts as stale.
const STALE_AFTER_MS: i64 = 60_000;

/// Span over which the rate of samples is measured.
const RATE_SPAN_MS: i64 = 10_000;

/// What has come from one source.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceStats {
    pub(super) kind: String,
    pub(super) note: String,
    pub(super) samples: u64,
    /// Lines of logs and spans.
    pub(super) records: u64,
    /// Changes and alerts.
    pub(super) events: u64,
    pub(super) rejected: BTreeMap<RejectReason, u64>,
    pub(super) last_at: Option<Timestamp>,
    pub(super) last_seen: Option<Timestamp>,
    pub(super) finished: bool,
}

impl SourceStats {
    pub(super) fn count_rejections(&mut self, rejections: &[Rejection]) {
        for rejection in rejections {
            *self.rejected.entry(rejection.reason).or_default() += rejection.samples;
        }
    }

    /// Something of the time `newest` came.
    pub(super) fn heard(&mut self, newest: Option<Timestamp>, now: Timestamp) {
        self.last_at = self.last_at.max(newest);
        self.last_seen = Some(now);
    }

    fn state(&self, now: Timestamp) -> SourceState {
        match self.last_seen {
            _ if self.finished => SourceState::Finished,
            // Who sends a change now and then owes no sample.
            Some(_) if self.samples == 0 && self.events > 0 => SourceState::Live,
            None => SourceState::Waiting,
            Some(seen) if now.millis_since(seen) > STALE_AFTER_MS => SourceState::Stale,
            Some(_) => SourceState::Live,
        }
    }
}

/// Samples per second over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Timestamp, u64)>);

impl Rate {
    /// Notes the total so far and returns the rate.
    pub(super) fn note(&mut self, now: Timestamp, total: u64) -> f64 {
        self.0.push_back((now, total));
        while self.0.len() > 2 && now.millis_since(self.0[0].0) > RATE_SPAN_MS {
            self.0.pop_front();
        }
        let (then, before) = self.0[0];
        let millis = now.millis_since(then);
        if millis <= 0 {
            0.0
        } else {
            (total - before) as f64 * 1000.0 / millis as f64
        }
    }
}

impl Coordinator {
    /// The state now; `seq` and identity are filled in by whoever publishes it.
    pub(crate) fn snapshot(&mut self, now: Timestamp) -> Snapshot {
        Snapshot {
            version: wire::VERSION,
            seq: 0,
            status: self.build_status(now),
            incidents: self.build_incidents(),
            entities: self.build_entities(),
            edges: self.edges.iter().cloned().collect(),
            predictions: newest(&self.predictions, |p| p.made_at),
            proposals: newest(&self.proposals, |p| p.created),
            deploys: self.deploys.iter().rev().take(SHOWN).cloned().collect(),
        }
    }

    fn build_status(&mut self, now: Timestamp) -> Status {
        let tally = &self.tally;
        let samples = self.sources.values().map(|s| s.samples).sum();
        let sources = self
            .sources
            .iter()
            .map(|(name, stats)| Source {
                name: name.to_string(),
                kind: stats.kind.clone(),
                samples: stats.samples,
                series: tally.series_by_source.get(name).copied().unwrap_or_default(),
                records: stats.records,
                events: stats.events,
                rejected: stats
                    .rejected
                    .iter()
                    .map(|(reason, count)| (reason.as_str().to_owned(), *count))
                    .collect(),
                last_at: stats.last_at,
                last_seen: stats.last_seen,
                state: stats.state(now),
                note: stats.note.clone(),
            })
            .collect();
        Status {
            now,
            started: self.started,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            samples,
            samples_per_sec: self.rate.note(now, samples),
            series: tally.series_by_source.values().sum(),
            warming: tally.warming,
            anomalies: self.anomalies,
            alerts: self.alerts,
            incidents: self.incidents_opened,
            provisional: self.provisional,
            sources,
            replay: self.replay.clone(),
            models: self.models.clone(),
            kill_switch: self.killed(),
            identity: Identity::default(),
            false_alerts_per_series_per_day: self.false_alerts_per_series_per_day,
            verdicts: self.record.verdicts(),
            // Filled in by whoever stands at the door.
            protection: Protection::default(),
            channels: self.notifier.health(),
        }
    }

    fn build_incidents(&self) -> Vec<wire::incident::IncidentSummary> {
        let mut all: Vec<_> = self
            .lanes
            .values()
            .flat_map(|lane| lane.brain.correlator.incidents())
            .map(|i| i.summary())
            .collect();
        // Ids grow with time, so this is newest first, and the same however the lanes interleave.
        all.sort_by(|a, b| b.id.cmp(&a.id));
        let mut closed = 0;
        all.retain(|incident| {
            closed += usize::from(incident.state == IncidentState::Resolved);
            incident.state != IncidentState::Resolved || closed <= SHOWN
        });
        all
    }

    /// Everything that reports, and everything that is only named by an edge.
    fn build_entities(&self) -> Vec<Entity> {
        let mut member_of: BTreeMap<EntityId, IncidentId> = BTreeMap::new();
        for incident in self
            .lanes
            .values()
            .flat_map(|lane| lane.brain.correlator.incidents())
            .filter(|i| i.is_open())
        {
            for entity in &incident.entities {
                member_of.insert(entity.clone(), incident.id.clone());
            }
        }
        let mut entities: BTreeMap<EntityId, Entity> = BTreeMap::new();
        for (id, entry) in &self.tally.entities {
            entities.insert(
                id.clone(),
                Entity {
                    id: id.clone(),
                    kind: self
                        .edge_book
                        .kind(id, true)
                        .unwrap_or_else(|| entity_kind(id, &entry.source)),
                    health: entry.tally.health,
                    score: entry.tally.score,
                    series: entry.tally.series,
                    anomalous_series: entry.tally.anomalous_series,
                    last_at: entry.tally.last_at,
                    source: entry.source.to_string(),
                    incident: member_of.get(id).cloned(),
                },
            );
        }
        for (edge, lane) in &self.edges_by_lane {
            for id in [&edge.caller, &edge.callee] {
                entities.entry(id.clone()).or_insert_with(|| Entity {
                    id: id.clone(),
                    kind: self.edge_book.kind(id, false).unwrap_or_else(|| entity_kind(id, "")),
                    health: Health::Unknown,
                    score: 0.0,
                    series: 0,
                    anomalous_series: 0,
                    last_at: None,
                    source: if *lane == LaneName::Replay {
                        super::REPLAY_SOURCE.to_owned()
                    } else {
                        "declared".to_owned()
                    },
                    incident: None,
                });
            }
        }
        entities.into_values().collect()
    }
}

/// The newest values of a map, newest first; of equal age the greater key first.
fn newest<K: Ord, T: Clone>(map: &BTreeMap<K, T>, at: impl Fn(&T) -> Timestamp) -> Vec<T> {
    let mut all: Vec<_> = map.values().rev().collect();
    all.sort_by_key(|item| std::cmp::Reverse(at(item)));
    all.into_iter().take(SHOWN).cloned().collect()
}
