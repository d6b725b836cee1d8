//! The writer of logs and spans: whatever waits becomes one transaction, and what is too old or too much is forgotten.

use super::Engine;
use super::intake::Waiting;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

/// Requests of one transaction.
const BATCH: usize = 64;

/// How often old records are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Transactions after which it is looked whether there is too much.
const TRIM_AFTER: u32 = 16;

/// Serves until the engine stops, then once more what has come in the meantime.
pub(super) async fn run(engine: Arc<Engine>, mut queue: mpsc::Receiver<Waiting>, mut stopped: watch::Receiver<bool>) {
    let mut ticker = tokio::time::interval(TRIM_EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = 0;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            received = queue.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                keep(&engine, &mut batch).await;
                written += 1;
                if written % TRIM_AFTER == 0 {
                    trim(&engine).await;
                }
            }
            _ = ticker.tick() => trim(&engine).await,
            _ = stopped.changed() => break,
        }
    }
    queue.close();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        keep(&engine, &mut batch).await;
    }
}

async fn keep(engine: &Engine, batch: &mut Vec<Waiting>) {
    let requests: Vec<_> = batch.iter().map(|waiting| &waiting.signals).collect();
    let kept = engine.signals.keep(&requests).await;
    match kept {
        Ok(duplicates) => {
            for (waiting, duplicates) in batch.drain(..).zip(duplicates) {
                // The sender has hung up; it will send again, and these are known then.
                let _ = waiting.reply.send(Ok(duplicates));
            }
        }
        Err(error) => {
            tracing::error!(%error, "logs and spans could not be kept; their senders are asked to send again");
            for waiting in batch.drain(..) {
                let problem = format!("logs and spans cannot be kept now: {error}");
                let _ = waiting.reply.send(Err(crate::Error::Unavailable(problem)));
            }
        }
    }
}

async fn trim(engine: &Engine) {
    let retention = &engine.config.signals.retention;
    if let Err(error) = engine.signals.trim(retention, engine.clock.now()).await {
        tracing::error!(%error, "old logs and spans could not be forgotten; tried again in a minute");
    }
}
