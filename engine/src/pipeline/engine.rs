//! The engine: starts the threads, owns the log and the store, and is the one facade for servers, desktop and tests.

mod backfill;
mod cloudwatch;
mod fan;
mod guard;
mod history;
mod inbox;
mod intake;
mod kafka;
mod log_files;
mod promql;
mod query;
mod remote_write;
mod restore;
mod rollouts;
mod scrape;
mod sources;
mod task;
mod trainer;
mod writer;

pub use backfill::{Backfill, Filled};
pub use history::read_history;
pub use inbox::{IngestReport, WriteError};
pub use intake::{Payload, TakeError};
pub use promql::{Question, Told};
pub use remote_write::{WriteOutcome, Written};

use super::coordinator::Coordinator;
use super::live::Live;
use super::log_watch::LineReader;
use super::message::{ModelsOrder, Observed, ShardMessage};
use super::shard::Shard;
use crate::act::Executors;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::Context;
use crate::detect::Models;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::ingest::exemplar::Exemplars;
use crate::ingest::kafka::Progress;
use crate::ingest::registry::Registry;
use crate::notify::send::Sender;
use crate::store::Store;
use crate::store::log::Log;
use crate::store::models::ModelStore;
use crate::store::signals::SignalStore;
use crate::store::signals::sqlite::SqliteSignals;
use crate::store::sqlite::SqliteStore;
use crate::topology::SpanGraph;
use guard::Guard;
use intake::Intake;
use query::InProcess;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use task::Order;
use tokio::sync::{Mutex, RwLock, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use trainer::Shelf;
use wire::status::{Identity, Status};
use wire::topology::Deploy;
use wire::{SeriesId, Timestamp};

/// Messages that may wait for a shard. Each is a batch, so this bounds latency; the samples are bounded by
/// `Config::queue_samples`.
const SHARD_QUEUE: usize = 256;

/// Messages of shards and orders of people that may wait for the coordinator.
const COORDINATOR_QUEUE: usize = 1024;

/// Exemplars kept in memory, some 300 bytes each.
const MAX_EXEMPLARS: usize = 20_000;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    clock: Arc<dyn Clock>,
    registry: Registry,
    log: Log,
    store: Arc<dyn Store>,
    signals: Arc<dyn SignalStore>,
    intake: Intake,
    /// Read and written for an instant only.
    exemplars: std::sync::Mutex<Exemplars>,
    /// When series ended; read and written for an instant only.
    ends: std::sync::Mutex<promql::Ends>,
    /// One permit per question that may be worked on.
    questions: Semaphore,
    shards: Vec<mpsc::Sender<ShardMessage>>,
    orders: mpsc::Sender<Order>,
    live: Arc<Live>,
    /// Which spans called which; read and written for an instant only.
    span_graph: std::sync::Mutex<SpanGraph>,
    /// Reads the lines of logs, a request at a time.
    lines: Arc<std::sync::Mutex<LineReader>>,
    guard: Guard,
    /// One permit per sample that may wait between log and shards.
    room: Semaphore,
    /// Held for reading between log and shards, for writing while the log is cut.
    gate: RwLock<()>,
    /// Held while chunks are handed to the store, and while it puts them together.
    sealing: Mutex<()>,
    executors: Executors,
    sender: Sender,
    kill_switch: Arc<AtomicBool>,
    trainer: mpsc::Sender<ModelsOrder>,
    models: Shelf,
    /// Where the sources stand that are read from Kafka.
    feeds: Arc<Progress>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Engine {
    /// Opens the data directory, replays the log, and starts everything.
    ///
    /// # Errors
    /// Whatever keeps the data directory, the models, the policies or the recording from being used.
    pub async fn start(mut config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        crate::ingest::calendar::load(&mut config.context)?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data_dir.join("halo.db")).await?);
        let signals: Arc<dyn SignalStore> = Arc::new(SqliteSignals::open(&config.data_dir.join("signals.db")).await?);
        let model_store = ModelStore::new(&config.data_dir);
        let current = model_store.load_current()?;
        if let Some(refused) = &current.refused {
            tracing::error!(%refused, "the bundled models are used instead");
        }
        let models = Arc::clone(&current.models);
        config.brain.correlate.certainty = models.certainty();
        let now = clock.now();
        let (saved, restored) = restore::load(store.as_ref(), &config, now).await?;
        let thresholds = restored.thresholds.clone();
        let context = restore::context(&config, &restored);
        let lines = restore::lines(signals.as_ref(), &restored.incidents).await?;
        let mut coordinator = Coordinator::new(&config, (models.describe(), current.name.clone()), restored, now)?;
        coordinator.learn_lines(&lines);
        let executors = Executors::new(config.webhook_base.clone())?;
        let sender = Sender::new(Arc::new(config.notify.clone()), Arc::clone(&clock))?;

        let (observed, from_shards) = mpsc::channel(COORDINATOR_QUEUE);
        let shards = start_shards(&config, &models, &context, &observed)?;
        drop(observed);
        let mut records = Vec::new();
        let (log, recovery) = Log::open(&config.data_dir.join("log"), saved.checkpoint, |record| {
            records.push(record);
            Ok(())
        })?;
        for damage in &recovery.damage {
            tracing::error!(%damage, "the log was damaged; everything else in it is kept");
        }
        for torn in &recovery.torn {
            tracing::info!(%torn, "a crash cut off what was being written; its sender was told nothing");
        }

        let (orders, from_people) = mpsc::channel(COORDINATOR_QUEUE);
        let (trainer, training_orders) = mpsc::channel(1);
        let (intake, waiting) = Intake::new(config.max_series);
        let (stop, stopped) = watch::channel(false);
        let guard = Guard::new(&config.limits, &config.data_dir, recovery);
        let mut snapshot = coordinator.snapshot(now);
        snapshot.status.protection = guard.state(log.bytes_since_checkpoint(), now);
        let live = Arc::new(Live::new(snapshot));
        let engine = Arc::new(Self {
            registry: Registry::new(restore::catalog(&saved)?),
            log,
            store,
            signals,
            intake,
            exemplars: std::sync::Mutex::new(Exemplars::new(MAX_EXEMPLARS)),
            ends: std::sync::Mutex::default(),
            questions: Semaphore::new(promql::AT_ONCE),
            shards,
            orders,
            live,
            span_graph: std::sync::Mutex::default(),
            lines: coordinator.line_reader(),
            guard,
            room: Semaphore::new(config.queue_samples.min(Semaphore::MAX_PERMITS)),
            gate: RwLock::new(()),
            sealing: Mutex::new(()),
            executors,
            sender,
            kill_switch: coordinator.kill_switch(),
            trainer,
            models: Shelf::new(model_store, current),
            feeds: Arc::default(),
            stop,
            tasks: Mutex::new(JoinSet::new()),
            clock,
            config,
        });
        let mut tasks = engine.tasks.lock().await;
        tasks.spawn(task::run(
            Arc::clone(&engine),
            coordinator,
            from_shards,
            from_people,
            stopped.clone(),
        ));
        tasks.spawn(writer::run(Arc::clone(&engine), waiting, stopped.clone()));
        tasks.spawn(guard::watch(Arc::clone(&engine), stopped.clone()));
        tasks.spawn(trainer::run(Arc::clone(&engine), training_orders));
        let positions = restore::log_positions(&saved)?;
        engine.restore_series(saved, records, &thresholds).await?;
        sources::start(&engine, &mut tasks, &stopped)?;
        tasks.spawn(log_files::run(Arc::clone(&engine), positions, stopped.clone()));
        drop(tasks);
        Ok(engine)
    }

    /// The engine in the eyes of `identity`.
    pub fn handle(self: &Arc<Self>, identity: Identity) -> Arc<dyn Handle> {
        Arc::new(InProcess {
            engine: Arc::clone(self),
            identity,
        })
    }

    /// The present instant on the engine's wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the engine knows of itself.
    pub fn status(&self) -> Status {
        self.live.snapshot(&Identity::default()).status
    }

    /// The engine's own metrics in the Prometheus text format.
    pub fn metrics_text(&self) -> String {
        crate::telemetry::metrics_text(&self.status()) + &self.feeds.metrics_text()
    }

    /// Series by id, shared by all decoders.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Stops sources and coordinator and moves what is in memory to the store.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        if let Err(error) = self.seal(true).await {
            tracing::error!(%error, "history could not be sealed; the log still has it");
        }
    }

    /// The shard that owns a known series.
    fn shard_of(&self, series: SeriesId) -> usize {
        self.shard_at(self.registry.homes().of(series))
    }

    /// The shard of all series with this home.
    fn shard_at(&self, home: SeriesId) -> usize {
        // The id is a hash already; its high bits are as good as any.
        ((u128::from(home.0) * self.shards.len() as u128) >> 64) as usize
    }

    /// Tells every shard that a version went live.
    async fn tell_deploy(&self, deploy: &Deploy) -> Result<()> {
        for shard in 0..self.shards.len() {
            let entity = deploy.entity.clone();
            self.to_shard(shard, ShardMessage::Deploy { entity, at: deploy.at })
                .await?;
        }
        Ok(())
    }

    async fn to_shard(&self, shard: usize, message: ShardMessage) -> Result<()> {
        self.shards[shard].send(message).await.map_err(|_| gone())
    }
}

/// The engine is going away.
fn gone() -> Error {
    Error::Unavailable("the engine is shutting down".to_owned())
}

fn start_shards(
    config: &Config,
    models: &Arc<Models>,
    context: &Context,
    observed: &mpsc::Sender<Observed>,
) -> Result<Vec<mpsc::Sender<ShardMessage>>> {
    let mut senders = Vec::new();
    for number in 0..config.shards {
        let (sender, inbox) = mpsc::channel(SHARD_QUEUE);
        let shard = Shard::new(
            number,
            config.detect.clone(),
            Arc::clone(models),
            context.clone(),
            config.verdict_bytes / config.shards,
            observed.clone(),
        );
        // The thread ends by itself once nobody can send to it any more.
        std::thread::Builder::new()
            .name(format!("halo-shard-{number}"))
            .spawn(move || shard.run(inbox))
            .map_err(|e| Error::io("cannot start a shard thread", "", e))?;
        senders.push(sender);
    }
    Ok(senders)
}

#[cfg(test)]
mod tests;
