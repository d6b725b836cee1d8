//! The coordinator's task: one loop over a closed set of events, and the effects of what it decides.

use super::Engine;
use crate::act;
use crate::detect::Models;
use crate::ingest::Rejection;
use crate::notify::{Parcel, Sent};
use crate::pipeline::coordinator::{Coordinator, Effect, LaneName};
use crate::pipeline::log_watch::SeenLine;
use crate::pipeline::message::{Clocks, ModelsOrder, ModelsOutcome, Observed, ShardMessage, Tally};
use crate::store::Change;
use crate::topology::Found;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use wire::alert::{Alert, Silence};
use wire::command::Command;
use wire::incident::IncidentDetail;
use wire::notify::{Channels, Notifications, Preview};
use wire::proposal::AuditEntry;
use wire::query::{ApiError, ErrorKind, Reply};
use wire::series::{Marker, MetricClass};
use wire::status::{Identity, Replay};
use wire::topology::{Deploy, Edge, EdgeDetail};
use wire::{DeliveryId, EntityId, IncidentId, ProposalId, Timestamp};

/// How often anomalies become incidents and changes reach the screens.
const TICK: Duration = Duration::from_millis(250);

/// The status (rates, clocks) is told once in this many ticks.
const TICKS_PER_STATUS: u64 = 4;

/// Full chunks go to the store once in this many ticks.
const TICKS_PER_SEAL: u64 = 40;

/// Everything is sealed and the log cut once in this many ticks: an hour.
const TICKS_PER_CHECKPOINT: u64 = 4 * 3600;

/// Or when the log is this long: a start reads all of it into memory.
const LOG_BYTES_PER_CHECKPOINT: u64 = 1 << 30;

/// What people, sources and routes ask of the coordinator.
#[derive(Debug)]
pub(super) enum Order {
    Command {
        identity: Identity,
        command: Command,
        reply: oneshot::Sender<Result<Reply, ApiError>>,
    },
    Incident {
        id: IncidentId,
        reply: oneshot::Sender<Option<IncidentDetail>>,
    },
    Markers {
        entity: EntityId,
        reply: oneshot::Sender<Vec<Marker>>,
    },
    Clocks {
        reply: oneshot::Sender<Clocks>,
    },
    Changes {
        look: ChangesLook,
        reply: oneshot::Sender<Vec<Deploy>>,
    },
    Alerts {
        resolved: bool,
        reply: oneshot::Sender<Vec<Alert>>,
    },
    Silences {
        reply: oneshot::Sender<Vec<Silence>>,
    },
    Notifications {
        incident: IncidentId,
        reply: oneshot::Sender<Notifications>,
    },
    Channels {
        reply: oneshot::Sender<Channels>,
    },
    Preview {
        channel: String,
        incident: Option<IncidentId>,
        reply: oneshot::Sender<Result<Preview, ApiError>>,
    },
    /// A receiver of changes or alerts refused something.
    ReceiverRefused {
        source: Arc<str>,
        kind: &'static str,
        rejections: Vec<Rejection>,
    },
    Audit {
        limit: usize,
        reply: oneshot::Sender<Vec<AuditEntry>>,
    },
    Refused {
        source: Arc<str>,
        rejections: Vec<Rejection>,
    },
    /// Lines of logs were read, and are kept.
    Lines(Vec<SeenLine>),
    /// Lines of logs or spans came.
    Arrived {
        source: Arc<str>,
        records: u64,
        newest: Option<Timestamp>,
    },
    Source {
        name: Arc<str>,
        kind: &'static str,
        note: String,
    },
    /// Dependencies were found.
    Edges(Vec<Found>),
    EdgeDetails {
        reply: oneshot::Sender<Vec<EdgeDetail>>,
    },
    ReplayEdge(Edge),
    ReplayDeploy(Deploy),
    ReplayAt(Replay),
    /// What became of an order about models.
    Models(ModelsOutcome),
    Acted {
        proposal: ProposalId,
        outcome: act::Outcome,
    },
    /// What became of a try to deliver a message.
    Sent {
        delivery: DeliveryId,
        sent: Sent,
    },
}

/// Which changes are asked for.
#[derive(Debug)]
pub(super) struct ChangesLook {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) tags: Vec<String>,
    pub(super) any_tag: bool,
    pub(super) limit: usize,
}

/// What the loop waits for.
enum Event {
    Observed(Option<Observed>),
    Order(Option<Order>),
    Tick,
    Tallied(Result<Tally, oneshot::error::RecvError>),
    Stop,
}

/// Serves until the engine stops, then once more what has come in the meantime.
pub(super) async fn run(
    engine: Arc<Engine>,
    mut coordinator: Coordinator,
    mut observed: mpsc::Receiver<Observed>,
    mut orders: mpsc::Receiver<Order>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    // Shards are asked by a task of their own: a shard may be waiting to tell this loop something, so the loop must never
    // wait for a shard.
    let mut tally: Option<oneshot::Receiver<Tally>> = None;
    loop {
        let event = tokio::select! {
            biased;
            message = observed.recv() => Event::Observed(message),
            order = orders.recv() => Event::Order(order),
            result = async { tally.as_mut().expect("guarded by the condition").await }, if tally.is_some() => Event::Tallied(result),
            _ = ticker.tick() => Event::Tick,
            _ = stopped.changed() => Event::Stop,
        };
        let mut effects = Vec::new();
        let mut reply = None;
        let mut moved_on = false;
        match event {
            Event::Observed(Some(message)) => coordinator.observed(message, engine.clock.now()),
            Event::Order(Some(order)) => reply = serve(&engine, &mut coordinator, order, &mut effects),
            Event::Tick => {
                ticks += 1;
                // Shards that are busy (learning history at a start, say) must not keep anything from being shown: with
                // their answer outstanding, the tick goes on with the last one.
                if tally.is_none() {
                    tally = Some(ask_shards(&engine, coordinator.clocks()));
                } else {
                    moved_on = true;
                }
                if ticks.is_multiple_of(TICKS_PER_SEAL) {
                    let everything = ticks.is_multiple_of(TICKS_PER_CHECKPOINT)
                        || engine.log.bytes_since_checkpoint() > LOG_BYTES_PER_CHECKPOINT;
                    let engine = Arc::clone(&engine);
                    tokio::spawn(async move {
                        if let Err(error) = engine.seal(everything).await {
                            tracing::error!(%error, "history could not be sealed; it stays in the log and is tried again");
                        } else if everything && let Err(error) = engine.compact().await {
                            tracing::error!(%error, "small chunks of history could not be put together; tried again in an hour");
                        }
                    });
                }
            }
            Event::Tallied(result) => {
                tally = None;
                if let Ok(tally) = result {
                    coordinator.tallied(tally);
                    moved_on = true;
                }
            }
            Event::Observed(None) | Event::Order(None) | Event::Stop => break,
        }
        if moved_on {
            coordinator.tick(engine.clock.now(), &mut effects);
        }
        let kept = carry_out(&engine, &mut coordinator, effects).await;
        if let Some((reply, result)) = reply {
            // What a person is told has happened is on record by then.
            let result = result.and_then(|done| kept.map(|()| done));
            let _ = reply.send(result);
        }
        if moved_on {
            let mut snapshot = coordinator.snapshot(engine.clock.now());
            snapshot.status.protection = engine.protection();
            engine.live.publish(snapshot, ticks.is_multiple_of(TICKS_PER_STATUS));
        }
    }
}

/// A command's answer, and who waits for it.
type Answer = (oneshot::Sender<Result<Reply, ApiError>>, Result<Reply, ApiError>);

fn serve(
    engine: &Arc<Engine>,
    coordinator: &mut Coordinator,
    order: Order,
    effects: &mut Vec<Effect>,
) -> Option<Answer> {
    let now = engine.clock.now();
    // A reply that nobody waits for any more is no error: the request was given up.
    match order {
        Order::Command {
            identity,
            command,
            reply,
        } => return Some((reply, coordinator.command(&identity, command, now, effects))),
        Order::Incident { id, reply } => {
            let _ = reply.send(coordinator.incident(&id));
        }
        Order::Markers { entity, reply } => {
            let _ = reply.send(coordinator.markers(&entity));
        }
        Order::Clocks { reply } => {
            let _ = reply.send(coordinator.clocks());
        }
        Order::Changes { look, reply } => {
            let _ = reply.send(coordinator.changes(look.from, look.to, &look.tags, look.any_tag, look.limit));
        }
        Order::Alerts { resolved, reply } => {
            let _ = reply.send(coordinator.alerts_of_others(resolved, now));
        }
        Order::Silences { reply } => {
            let _ = reply.send(coordinator.silences(now));
        }
        Order::Notifications { incident, reply } => {
            let _ = reply.send(coordinator.notifications(&incident));
        }
        Order::Channels { reply } => {
            let _ = reply.send(coordinator.channels(now));
        }
        Order::Preview {
            channel,
            incident,
            reply,
        } => {
            let _ = reply.send(coordinator.preview(&channel, incident.as_ref(), now));
        }
        Order::ReceiverRefused {
            source,
            kind,
            rejections,
        } => coordinator.receiver_refused(&source, kind, &rejections),
        Order::Audit { limit, reply } => {
            let _ = reply.send(coordinator.audit_tail(limit));
        }
        Order::Refused { source, rejections } => coordinator.refused(&source, &rejections),
        Order::Lines(lines) => coordinator.lines(&lines),
        Order::Arrived {
            source,
            records,
            newest,
        } => coordinator.arrived(&source, records, newest, now),
        Order::Source { name, kind, note } => coordinator.declare_source(&name, kind, &note),
        Order::Edges(found) => coordinator.found_edges(found, now, effects),
        Order::EdgeDetails { reply } => {
            let _ = reply.send(coordinator.edge_details());
        }
        Order::ReplayEdge(edge) => coordinator.declare_edge(LaneName::Replay, edge),
        Order::ReplayDeploy(deploy) => coordinator.record_deploy(LaneName::Replay, deploy),
        Order::ReplayAt(replay) => coordinator.replay_at(replay),
        Order::Models(outcome) => coordinator.models_done(outcome, now, effects),
        Order::Acted { proposal, outcome } => coordinator.acted(&proposal, outcome, now, effects),
        Order::Sent { delivery, sent } => coordinator.sent(&delivery, sent, now, effects),
    }
    None
}

fn ask_shards(engine: &Arc<Engine>, clocks: Clocks) -> oneshot::Receiver<Tally> {
    let (done, answer) = oneshot::channel();
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let mut total = Tally::default();
        for shard in 0..engine.shards.len() {
            let (reply, part) = oneshot::channel();
            if engine
                .to_shard(
                    shard,
                    ShardMessage::Tally {
                        clocks: clocks.clone(),
                        reply,
                    },
                )
                .await
                .is_err()
            {
                return;
            }
            let Ok(part) = part.await else { return };
            total.merge(part);
        }
        // The loop has ended if nobody waits.
        let _ = done.send(total);
    });
    answer
}

/// Stores and starts what was decided. Storing comes first: what is acted on must be on record.
///
/// # Errors
/// `Unavailable` if the store refused: nothing was started then.
async fn carry_out(engine: &Arc<Engine>, coordinator: &mut Coordinator, effects: Vec<Effect>) -> Result<(), ApiError> {
    let mut changes = Vec::new();
    let mut approved = Vec::new();
    let mut parcels = Vec::new();
    for effect in effects {
        match effect {
            Effect::SetThreshold { class, threshold } => set_threshold(engine, class, threshold),
            Effect::Execute(action) => approved.push(action),
            Effect::Send(parcel) => parcels.push(parcel),
            Effect::SetTroubled { number, entities } => set_troubled(engine, number, &entities),
            Effect::SetModels(models) => set_models(engine, models),
            Effect::Models(order) => ask_trainer(engine, order),
            Effect::Forget(ids) => forget(engine, ids),
            Effect::SaveDeploy(deploy) => {
                if deploy.kind.may_be_a_cause() {
                    tell_deploy(engine, &deploy);
                }
                changes.push(Change::Deploy(deploy));
            }
            stored => changes.extend(change(stored)),
        }
    }
    let saved = save(engine, &changes).await;
    // Also if the store refused: people must hear of trouble while the disk is full, and twice is better than never.
    for parcel in parcels {
        send(engine, parcel);
    }
    if let Err(error) = saved {
        // Nothing may act that is not on record.
        let mut effects = Vec::new();
        for action in approved {
            let outcome = act::Outcome::refused(format!("the approval could not be recorded: {error}"));
            coordinator.acted(action.proposal_id(), outcome, engine.clock.now(), &mut effects);
        }
        // Most likely refused too; then the proposal is found approved at the next start, and closed without acting.
        let _ = save(engine, &effects.into_iter().filter_map(change).collect::<Vec<_>>()).await;
        return Err(ApiError::new(
            ErrorKind::Unavailable,
            format!("the store refused to record it, so it will not outlive a restart: {error}; look at the disk"),
        ));
    }
    for action in approved {
        let engine = Arc::clone(engine);
        tokio::spawn(async move {
            let proposal = action.proposal_id().clone();
            let outcome = act::execute(*action, &engine.executors, &|| {
                engine.kill_switch.load(Ordering::SeqCst)
            })
            .await;
            // An error means that the engine is shutting down; the proposal is found running at the next start.
            let _ = engine.orders.send(Order::Acted { proposal, outcome }).await;
        });
    }
    Ok(())
}

/// What an effect leaves in the store.
fn change(effect: Effect) -> Option<Change> {
    Some(match effect {
        Effect::SaveIncident(incident) => Change::Incident(incident),
        Effect::SavePrediction(prediction) => Change::Prediction(prediction),
        Effect::SaveProposal(proposal) => Change::Proposal(proposal),
        Effect::SaveDeploy(deploy) | Effect::KeepDeploy(deploy) => Change::Deploy(deploy),
        Effect::SaveEdge(edge) => Change::Edge(edge),
        Effect::SaveAlert(alert) => Change::Alert(*alert),
        Effect::SaveSilence(silence) => Change::Silence(silence),
        Effect::SaveTold(told) => Change::Told(told),
        Effect::SaveParcel(parcel) => Change::Parcel(parcel),
        Effect::AppendAudit(entry) => Change::Audit(entry),
        Effect::SaveSetting { key, value } => Change::Setting { key, value },
        Effect::SetThreshold { .. }
        | Effect::Execute(_)
        | Effect::Send(_)
        | Effect::SetTroubled { .. }
        | Effect::SetModels(_)
        | Effect::Models(_)
        | Effect::Forget(_) => return None,
    })
}

/// Tries to deliver a message. The engine's end cuts it off; it is tried again at the next start.
fn send(engine: &Arc<Engine>, parcel: Box<Parcel>) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let sent = engine.sender.send(&parcel).await;
        let delivery = parcel.delivery.id.clone();
        // An error means that the engine is shutting down.
        let _ = engine.orders.send(Order::Sent { delivery, sent }).await;
    });
}

async fn save(engine: &Engine, changes: &[Change]) -> crate::error::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let result = engine.store.save(changes).await;
    if let Err(error) = &result {
        tracing::error!(%error, changes = changes.len(), "the store refused changes; they are lost on restart");
    }
    result
}

fn tell_deploy(engine: &Arc<Engine>, deploy: &Deploy) {
    let (engine, deploy) = (Arc::clone(engine), deploy.clone());
    tokio::spawn(async move {
        // An error means that the engine is shutting down.
        let _ = engine.tell_deploy(&deploy).await;
    });
}

fn forget(engine: &Arc<Engine>, ids: Vec<String>) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        if let Err(error) = engine.store.forget(&ids).await {
            tracing::warn!(%error, "what is over for long could not be forgotten; it is tried again after a restart");
        }
    });
}

fn set_models(engine: &Arc<Engine>, models: Arc<Models>) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        // An error means that the engine is shutting down.
        let _ = engine.set_models(&models).await;
    });
}

fn ask_trainer(engine: &Arc<Engine>, order: ModelsOrder) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        // An error means that the engine is shutting down.
        let _ = engine.trainer.send(order).await;
    });
}

fn set_threshold(engine: &Arc<Engine>, class: MetricClass, threshold: f32) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        for shard in 0..engine.shards.len() {
            // An error means that the engine is shutting down.
            let _ = engine
                .to_shard(shard, ShardMessage::Threshold { class, threshold })
                .await;
        }
    });
}

fn set_troubled(engine: &Arc<Engine>, number: u64, entities: &Arc<BTreeSet<EntityId>>) {
    let (engine, entities) = (Arc::clone(engine), Arc::clone(entities));
    tokio::spawn(async move {
        for shard in 0..engine.shards.len() {
            let entities = Arc::clone(&entities);
            // An error means that the engine is shutting down.
            let _ = engine
                .to_shard(shard, ShardMessage::Troubled { number, entities })
                .await;
        }
    });
}
