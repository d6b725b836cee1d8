//! Models in a running engine: trained on its own history by a thread of low priority, judged, kept as a version, and put
//! into the running detectors. One order at a time; the coordinator sees to that.

use super::Engine;
use super::history::read_history;
use super::task::Order;
use crate::detect::Models;
use crate::detect::train::{HistoryConfig, Progress, train_on_history};
use crate::error::Result;
use crate::pipeline::message::{ModelsOrder, ModelsOutcome, ShardMessage};
use crate::store::models::{Current, ModelStore};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// The versions on disk, and the models in use.
#[derive(Debug)]
pub(super) struct Shelf {
    store: ModelStore,
    current: Mutex<Current>,
}

impl Shelf {
    pub(super) fn new(store: ModelStore, current: Current) -> Self {
        Self {
            store,
            current: Mutex::new(current),
        }
    }

    /// What is in use now.
    pub(super) fn current(&self) -> Current {
        // Replaced whole, so a panic elsewhere cannot leave it half written.
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_in_use(&self, name: &str) -> Result<Arc<Models>> {
        let models = Arc::new(self.store.put_in_use(name)?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Current {
            name: name.to_owned(),
            models: Arc::clone(&models),
            refused: None,
        };
        Ok(models)
    }
}

/// Follows orders until nobody can give one or the engine stops; the one under way is stopped then, too.
pub(super) async fn run(engine: Arc<Engine>, mut asked: mpsc::Receiver<ModelsOrder>) {
    let mut stopped = engine.stop.subscribe();
    loop {
        let order = tokio::select! {
            order = asked.recv() => order,
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let Some(order) = order else { return };
        let outcome = on_a_thread(&engine, order).await;
        // An error means that the engine is shutting down.
        let _ = engine.orders.send(Order::Models(outcome)).await;
    }
}

async fn on_a_thread(engine: &Arc<Engine>, order: ModelsOrder) -> ModelsOutcome {
    let (done, outcome) = oneshot::channel();
    let (engine, runtime) = (Arc::clone(engine), Handle::current());
    let work = move || {
        lower_priority();
        let outcome = match order {
            ModelsOrder::Train => train(&engine, &runtime),
            ModelsOrder::Revert => revert(&engine),
        };
        let failed = |error: crate::Error| ModelsOutcome::Failed {
            message: error.to_string(),
        };
        // Nobody waits any more when the engine is gone.
        let _ = done.send(outcome.unwrap_or_else(failed));
    };
    let failed = |message: String| ModelsOutcome::Failed { message };
    if let Err(error) = std::thread::Builder::new().name("halo-train".to_owned()).spawn(work) {
        return failed(format!("a thread for training cannot be started: {error}"));
    }
    outcome
        .await
        .unwrap_or_else(|_| failed("the training ended without a result; the log says more".to_owned()))
}

fn train(engine: &Engine, runtime: &Handle) -> Result<ModelsOutcome> {
    let now = engine.clock.now();
    let current = engine.models.current();
    let mut config = HistoryConfig::new(ModelStore::name_at(now), current.name);
    config.steps = engine.config.training_steps;
    let mut progress = |progress: &Progress| {
        tracing::info!(
            stage = progress.stage,
            step = progress.step,
            of = progress.of,
            "training"
        );
        !*engine.stop.borrow()
    };
    let context = &engine.config.context;
    let read = read_history(engine.store.as_ref(), context, now, config.seed, &mut progress);
    let history = runtime.block_on(read)?;
    let outcome = train_on_history(&config, &history, &current.models, &mut progress)?;
    for line in outcome.report.to_string().lines() {
        tracing::info!("training: {line}");
    }
    let summary = outcome.report.verdict();
    if !outcome.report.is_promoted() {
        return Ok(ModelsOutcome::Kept { summary });
    }
    engine.models.store.write(&config.version, &outcome.files)?;
    let models = engine.models.take_in_use(&config.version)?;
    Ok(ModelsOutcome::InUse {
        version: config.version,
        models,
        summary,
    })
}

fn revert(engine: &Engine) -> Result<ModelsOutcome> {
    let version = engine.models.store.before_current()?;
    let models = engine.models.take_in_use(&version)?;
    Ok(ModelsOutcome::InUse {
        version,
        models,
        summary: "back to the version before".to_owned(),
    })
}

/// Detection comes first. A system that knows no niceness of threads shares as it does.
fn lower_priority() {
    // 19: as much less of a busy processor than others as there is.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(19) {
        tracing::warn!(%error, "training runs at ordinary priority");
    }
}

impl Engine {
    /// Gives every shard other models.
    pub(super) async fn set_models(&self, models: &Arc<Models>) -> Result<()> {
        for shard in 0..self.shards.len() {
            self.to_shard(shard, ShardMessage::Models(Arc::clone(models))).await?;
        }
        Ok(())
    }
}
