//! Everything after detection, in one place with one owner: lanes with their incidents and predictions, proposals,
//! thresholds, audit, and the snapshot that people see.
//!
//! It is plain state: it reads no clock and does no IO. What must be stored or executed is returned as [`Effect`]s, which
//! the engine carries out. So commands cannot race, and a test can drive it step by step.

mod command;
mod effect;
mod events;
mod markers;
mod models;
mod notify;
mod remedy;
mod snapshot;
mod troubled;

use super::alarm::Alarms;
use super::brain::{Brain, BrainOutput, Ids};
use super::log_watch::LogWatch;
use super::message::{Clocks, Observed, Tally};
use super::silence::Silences;
use crate::alert::AlertBook;
use crate::config::Config;
use crate::correlate::{ChangeKind, Incident, IncidentChange, IncidentIds, Observation};
use crate::decide::audit::AuditChain;
use crate::error::Result;
use crate::learn::{Thresholds, TrackRecord, Weekly};
use crate::notify::{Notifier, Parcel, Told};
use crate::predict::PredictionIds;
use crate::topology::{EdgeBook, Found};
pub(crate) use effect::Effect;
pub(crate) use models::TRAINED_AT;
use remedy::Remedies;
use snapshot::{Rate, SourceStats};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use troubled::Troubled;
use wire::alert::{Alert, Silence};
use wire::incident::IncidentDetail;
use wire::prediction::Prediction;
use wire::proposal::{AuditEntry, Proposal};
use wire::status::{Model, Provisional, Replay};
use wire::topology::{Deploy, Edge, EdgeDetail, EntityKind};
use wire::{EntityId, IncidentId, PredictionId, Timestamp};

/// A time domain: what shares a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LaneName {
    /// Sources that live now.
    Wall,
    /// The recording: its own timestamps, its own clock.
    Replay,
}

/// Name of the source that replays a recording.
pub const REPLAY_SOURCE: &str = "replay";

/// Whether samples of a source go into the log and the store. A recording is a file: it can be read again, and when it
/// is, it starts over.
pub(crate) fn is_durable(source: &str) -> bool {
    source != REPLAY_SOURCE
}

impl LaneName {
    pub(crate) fn of(source: &str) -> Self {
        if source == REPLAY_SOURCE {
            Self::Replay
        } else {
            Self::Wall
        }
    }
}

/// What a new coordinator starts from: what an earlier run left in the store.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) incidents: Vec<Incident>,
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) deploys: Vec<Deploy>,
    pub(crate) edges: Vec<EdgeDetail>,
    /// What the labels of known series tell, with when each was last heard of.
    pub(crate) found: Vec<(Found, Timestamp)>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) told: Vec<Told>,
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) audit: AuditChain,
    pub(crate) kill_switch: bool,
    pub(crate) thresholds: Thresholds,
    pub(crate) record: TrackRecord,
    /// When training last began by the calendar.
    pub(crate) trained_at: Option<Timestamp>,
    /// Greatest numbers given so far, also to ones that are no longer kept.
    pub(crate) last_incident: u64,
    pub(crate) last_proposal: u64,
}

/// One lane and its clock.
#[derive(Debug)]
struct LaneState {
    brain: Brain,
    /// The wall clock, or how far the recording has come.
    clock: Timestamp,
    pending: Vec<Observation>,
    /// By source.
    silences: BTreeMap<Arc<str>, Silences>,
    looked_ahead: BrainOutput,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Coordinator {
    lanes: BTreeMap<LaneName, LaneState>,
    predictions: BTreeMap<PredictionId, Prediction>,
    proposals: BTreeMap<wire::ProposalId, Proposal>,
    remedies: Remedies,
    /// Oldest first, bounded.
    deploys: VecDeque<Deploy>,
    /// Of other systems.
    book: AlertBook,
    alarms: Alarms,
    logs: LogWatch,
    notifier: Notifier,
    edges: BTreeSet<Edge>,
    edge_book: EdgeBook,
    edges_by_lane: BTreeMap<Edge, LaneName>,
    sources: BTreeMap<Arc<str>, SourceStats>,
    audit: AuditChain,
    /// Read by whoever acts at the moment of acting, so it is never a copy that may be old.
    kill_switch: Arc<AtomicBool>,
    thresholds: Thresholds,
    record: TrackRecord,
    models: Vec<Model>,
    /// The version in use, as `halo models list` shows it.
    model_version: String,
    /// Models are being trained or changed.
    models_busy: bool,
    train_weekly: Option<Weekly>,
    trained_at: Option<Timestamp>,
    replay: Option<Replay>,
    started: Timestamp,
    false_alerts_per_series_per_day: f64,
    rate: Rate,
    /// What the shards last reported.
    tally: Tally,
    anomalies: u64,
    /// Series that are in an anomalous span, to count spans rather than samples.
    anomalous: BTreeMap<wire::SeriesId, Timestamp>,
    alerts: u64,
    incidents_opened: u64,
    provisional: Provisional,
    troubled: Troubled,
}

/// Deploys and other changes in memory at most; the store has all.
const MAX_DEPLOYS: usize = 10_000;

/// Two anomalous samples of a series this many steps apart belong to one span: one alert of a tool without correlation.
const ALERT_GAP_STEPS: i64 = 3;

impl Coordinator {
    /// `models` are in use under the name of their version.
    pub(crate) fn new(
        config: &Config,
        models: (Vec<Model>, String),
        mut restored: Restored,
        now: Timestamp,
    ) -> Result<Self> {
        let remedies = Remedies::bundled(config.webhook_base.clone(), restored.last_proposal)?;
        Self::close_interrupted(&mut restored.proposals, now);
        let ids = Ids {
            incidents: IncidentIds::after(restored.last_incident),
            predictions: PredictionIds::default(),
        };
        for prediction in &restored.predictions {
            ids.predictions.reserve(&prediction.id);
        }
        let mut lanes = BTreeMap::new();
        for name in [LaneName::Wall, LaneName::Replay] {
            let mut brain = Brain::new(config.brain.clone(), &ids);
            let own: Vec<Incident> = restored
                .incidents
                .iter()
                .filter(|i| LaneName::of(&i.source) == name)
                .cloned()
                .collect();
            brain.correlator.restore(own);
            if name == LaneName::Wall {
                brain.predictor.restore(restored.predictions.clone());
            }
            let clock = if name == LaneName::Wall {
                now
            } else {
                Timestamp::default()
            };
            lanes.insert(
                name,
                LaneState {
                    brain,
                    clock,
                    pending: Vec::new(),
                    silences: BTreeMap::new(),
                    looked_ahead: BrainOutput::default(),
                },
            );
        }
        let mut coordinator = Self {
            lanes,
            predictions: restored.predictions.into_iter().map(|p| (p.id.clone(), p)).collect(),
            proposals: restored.proposals.into_iter().map(|p| (p.id.clone(), p)).collect(),
            remedies,
            deploys: VecDeque::new(),
            book: AlertBook::restore(restored.alerts, restored.silences, now),
            alarms: Alarms::default(),
            logs: LogWatch::live(&config.context),
            notifier: Notifier::restore(
                Arc::new(config.notify.clone()),
                REPLAY_SOURCE,
                restored.told,
                restored.parcels,
                now,
            ),
            edges: BTreeSet::new(),
            edge_book: EdgeBook::restore(restored.edges, restored.found, now),
            edges_by_lane: BTreeMap::new(),
            sources: BTreeMap::new(),
            audit: restored.audit,
            kill_switch: Arc::new(AtomicBool::new(restored.kill_switch)),
            thresholds: restored.thresholds,
            record: restored.record,
            models: models.0,
            model_version: models.1,
            models_busy: false,
            train_weekly: config.train_weekly,
            trained_at: restored.trained_at,
            replay: None,
            started: now,
            false_alerts_per_series_per_day: config.detect.false_alerts_per_series_per_day,
            rate: Rate::default(),
            tally: Tally::default(),
            anomalies: 0,
            anomalous: BTreeMap::new(),
            alerts: 0,
            incidents_opened: 0,
            provisional: Provisional::default(),
            troubled: Troubled::default(),
        };
        coordinator.adopt_untold(now);
        let known: Vec<(Edge, bool)> = coordinator
            .edge_book
            .edges()
            .map(|detail| (detail.edge.clone(), detail.kind.is_some_and(EntityKind::is_place)))
            .collect();
        for (edge, is_place) in known {
            if is_place {
                coordinator.mark_place(&edge.callee);
            }
            coordinator.declare_edge(LaneName::Wall, edge);
        }
        for deploy in restored.deploys {
            coordinator.record_deploy(LaneName::Wall, deploy);
        }
        Ok(coordinator)
    }

    /// The switch that stops everything, for whoever acts.
    pub(crate) fn kill_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.kill_switch)
    }

    fn killed(&self) -> bool {
        self.kill_switch.load(Ordering::SeqCst)
    }

    /// A source exists, also before its first sample.
    pub(crate) fn declare_source(&mut self, name: &Arc<str>, kind: &str, note: &str) {
        let stats = self.sources.entry(Arc::clone(name)).or_default();
        kind.clone_into(&mut stats.kind);
        note.clone_into(&mut stats.note);
    }

    /// Learns of the wall clock's lane, which has the edges that were found, that others run on or in an entity.
    pub(crate) fn mark_place(&mut self, entity: &EntityId) {
        if let Some(lane) = self.lanes.get_mut(&LaneName::Wall) {
            lane.brain.mark_place(entity);
        }
    }

    pub(crate) fn declare_edge(&mut self, lane: LaneName, edge: Edge) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.brain.declare_edge(edge.clone());
        }
        self.edges_by_lane.insert(edge.clone(), lane);
        self.edges.insert(edge);
    }

    pub(crate) fn record_deploy(&mut self, lane: LaneName, deploy: Deploy) {
        if deploy.kind.may_be_a_cause()
            && let Some(lane) = self.lanes.get_mut(&lane)
        {
            lane.brain.record_deploy(deploy.clone());
        }
        if self.deploys.len() == MAX_DEPLOYS {
            self.deploys.pop_front();
        }
        self.deploys.push_back(deploy);
    }

    /// How far the recording has come.
    pub(crate) fn replay_at(&mut self, replay: Replay) {
        if let Some(lane) = self.lanes.get_mut(&LaneName::Replay) {
            lane.clock = lane.clock.max(replay.clock);
        }
        if replay.phase == "finished"
            && let Some(stats) = self.sources.get_mut(REPLAY_SOURCE)
        {
            stats.finished = true;
        }
        self.replay = Some(replay);
    }

    /// Takes what a shard saw; it is judged at the next tick, together with what the other shards saw at that time.
    pub(crate) fn observed(&mut self, observed: Observed, now: Timestamp) {
        match observed {
            Observed::Samples {
                source,
                newest,
                taken,
                observations,
                provisional,
            } => {
                self.provisional.add(provisional);
                let stats = self.sources.entry(Arc::clone(&source)).or_default();
                stats.samples += taken;
                stats.heard(newest, now);
                for observation in observations.iter().filter(|o| o.detection.anomaly) {
                    self.anomalies += 1;
                    let at = observation.detection.at;
                    let gap_ms = (observation.info.step_ms.max(1000)) * ALERT_GAP_STEPS;
                    let before = self.anomalous.insert(observation.info.id, at);
                    self.alerts += u64::from(before.is_none_or(|before| at.millis_since(before) > gap_ms));
                }
                if let Some(lane) = self.lanes.get_mut(&LaneName::of(&source)) {
                    lane.pending.extend(observations);
                }
            }
            Observed::Silent { shard, silences } => {
                for silence in silences {
                    if let Some(lane) = self.lanes.get_mut(&LaneName::of(&silence.source)) {
                        let of_source = lane.silences.entry(Arc::clone(&silence.source)).or_default();
                        of_source.hear(shard, silence);
                    }
                }
            }
            Observed::Outlook {
                source,
                info,
                outlook,
                limit,
            } => {
                if let Some(lane) = self.lanes.get_mut(&LaneName::of(&source)) {
                    let at = outlook.at;
                    lane.brain
                        .look_ahead(at, &info, &outlook, limit, &mut lane.looked_ahead);
                }
            }
        }
    }

    /// The shards reported.
    pub(crate) fn tallied(&mut self, tally: Tally) {
        self.tally = tally;
        for (entity, entry) in &self.tally.entities {
            if let Some(lane) = self.lanes.get_mut(&LaneName::of(&entry.source)) {
                lane.brain.reports(entity);
            }
        }
    }

    /// Moves every lane on, and proposes remedies for what is new.
    pub(crate) fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut incidents = Vec::new();
        let mut predictions = Vec::new();
        for (name, lane) in &mut self.lanes {
            if *name == LaneName::Wall {
                lane.clock = now;
            }
            // Shards report in any order; what happened first is judged first, and always in the same order.
            let mut pending = std::mem::take(&mut lane.pending);
            let entities = &self.tally.entities;
            // Before the first tally nobody knows how many series an entity has.
            let series = |entity: &EntityId| entities.get(entity).map_or(u32::MAX, |entry| entry.tally.series);
            for (source, silences) in &mut lane.silences {
                silences.tell(source, lane.brain.correlator.graph(), series, &mut pending);
            }
            if *name == LaneName::Wall {
                self.alarms.tell(&self.book, now, &mut pending);
                self.logs.tell(now, &mut pending);
            }
            pending.sort_by_key(|o| (o.detection.at, o.detection.series));
            let mut out = std::mem::take(&mut lane.looked_ahead);
            lane.brain.step(lane.clock, &pending, &mut out);
            incidents.extend(out.incidents);
            predictions.extend(out.predictions);
        }
        self.tell_troubled(!incidents.is_empty(), effects);
        for change in incidents {
            self.incident_changed(change, now, effects);
        }
        for change in predictions {
            self.prediction_changed(change.prediction, now, effects);
        }
        self.expire_proposals(now, effects);
        let forgotten = self.book.advance(now);
        if !forgotten.is_empty() {
            effects.push(Effect::Forget(forgotten));
        }
        self.train_by_calendar(now, effects);
        self.tell_people(now, effects);
    }

    fn incident_changed(&mut self, change: IncidentChange, now: Timestamp, effects: &mut Vec<Effect>) {
        let incident = &change.incident;
        if matches!(
            change.kind,
            ChangeKind::Opened | ChangeKind::Reopened | ChangeKind::Resolved | ChangeKind::Merged
        ) {
            self.incidents_opened += u64::from(change.kind == ChangeKind::Opened);
            let what = format!("incident_{:?}", change.kind).to_lowercase();
            self.audit(now, "engine", &what, incident.id.as_str(), &incident.title, effects);
        }
        match (change.kind, &incident.merged_into) {
            (ChangeKind::Merged, Some(older)) => self.move_proposals(&incident.id, older, effects),
            (ChangeKind::Resolved, _) => self.verify_resolved(incident, now, effects),
            _ => {}
        }
        self.withdraw_superseded(incident, now, effects);
        self.propose_for_incident(incident, now, effects);
        self.notifier.changed(incident, None, now);
        effects.push(Effect::SaveIncident(Box::new(change.incident)));
    }

    fn prediction_changed(&mut self, prediction: Prediction, now: Timestamp, effects: &mut Vec<Effect>) {
        self.propose_for_prediction(&prediction, now, effects);
        self.predictions.insert(prediction.id.clone(), prediction.clone());
        effects.push(Effect::SavePrediction(Box::new(prediction)));
    }

    fn audit(
        &mut self,
        at: Timestamp,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.audit.append(at, actor, action, subject, detail);
        effects.push(Effect::AppendAudit(entry));
    }

    /// The incident page.
    pub(crate) fn incident(&self, id: &IncidentId) -> Option<IncidentDetail> {
        let incident = self
            .lanes
            .values()
            .find_map(|lane| lane.brain.correlator.incident(id))?;
        let mut detail = incident.detail();
        detail.proposals = self
            .proposals
            .values()
            .filter(|p| p.incident.as_ref() == Some(id))
            .map(|p| p.id.clone())
            .collect();
        Some(detail)
    }

    /// Each source's clock: what "now" means for its series.
    pub(crate) fn clocks(&self) -> Clocks {
        self.sources
            .keys()
            .filter_map(|name| {
                self.lanes
                    .get(&LaneName::of(name))
                    .map(|lane| (Arc::clone(name), lane.clock))
            })
            .collect()
    }

    /// The newest links of the audit chain, newest first.
    pub(crate) fn audit_tail(&self, limit: usize) -> Vec<AuditEntry> {
        self.audit.tail(limit)
    }
}
