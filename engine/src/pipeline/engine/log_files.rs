//! Follows log files and hands their lines on; where each stands is kept once its lines are.

use super::{Engine, gone};
use crate::error::{Error, Result};
use crate::ingest::log_files::lines::signals;
use crate::ingest::log_files::{Added, LogFilesConfig, Position, Tailer};
use crate::pipeline::engine::task::Order;
use crate::store::Change;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// Where the store keeps how far files were read.
pub(super) const POSITIONS_SETTING: &str = "log_files";

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How far the files of each section were read.
pub(super) type Positions = BTreeMap<String, Vec<Position>>;

/// Follows the files of all sections until the engine stops.
pub(super) async fn run(engine: Arc<Engine>, positions: Positions, stopped: watch::Receiver<bool>) {
    let positions = Arc::new(Mutex::new(positions));
    let sections = engine.config.signals.files.clone();
    let sections = sections
        .into_iter()
        .map(|config| follow(&engine, config, &positions, stopped.clone()));
    futures::future::join_all(sections).await;
}

async fn follow(
    engine: &Arc<Engine>,
    config: LogFilesConfig,
    positions: &Mutex<Positions>,
    mut stopped: watch::Receiver<bool>,
) {
    let source: Arc<str> = format!("file {}", config.name).into();
    let before = positions.lock().await.get(&config.name).cloned().unwrap_or_default();
    let mut tailer = Tailer::new(config.clone(), before);
    let (mut told, mut kept) = (None, None);
    loop {
        // Files are read: not on a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || {
            let added = tailer.read();
            (tailer, added)
        });
        let Ok((back, added)) = read.await else { return };
        tailer = back;
        let note = note(&added);
        if told.as_ref() != Some(&note) {
            for problem in &added.problems {
                tracing::warn!(section = config.name, %problem, "log files");
            }
            let order = Order::Source {
                name: Arc::clone(&source),
                kind: "log files",
                note: note.clone(),
            };
            if engine.orders.send(order).await.is_err() {
                return;
            }
            told = Some(note);
        }
        let mut may_be_more = false;
        if !added.pieces.is_empty() {
            match take(engine, &source, &config, &added).await {
                Ok(()) => {
                    may_be_more = added.is_full();
                    tailer.keep(&added);
                }
                // Counted there; it is read again.
                Err(Error::Unavailable(problem)) => tracing::debug!(%problem, section = config.name, "lines wait"),
                Err(error) => tracing::error!(%error, section = config.name, "lines wait"),
            }
        }
        // Also of files that nothing was read of: what is added while nobody looks is new.
        let now = tailer.positions();
        if kept.as_ref() != Some(&now) {
            keep(engine, positions, &config.name, now.clone()).await;
            kept = Some(now);
        }
        if *stopped.borrow() {
            return;
        }
        if !may_be_more {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // What is not read by now is read at the next start.
                _ = stopped.changed() => return,
            }
        }
    }
}

/// Returns once the lines are kept.
async fn take(engine: &Engine, source: &str, config: &LogFilesConfig, added: &Added) -> Result<()> {
    let now = engine.now();
    let signals = signals(config, &added.pieces, &engine.config.signals.limits, now);
    engine.take_signals(source, signals, now).await.map(|_| ())
}

/// Keeps how far a section was read. If that fails, its lines come again after a restart, and no line is lost.
async fn keep(engine: &Engine, positions: &Mutex<Positions>, name: &str, now: Vec<Position>) {
    let mut positions = positions.lock().await;
    positions.insert(name.to_owned(), now);
    let kept = match serde_json::to_string(&*positions) {
        Ok(value) => {
            let key = POSITIONS_SETTING;
            engine.store.save(&[Change::Setting { key, value }]).await
        }
        Err(_) => Err(gone()),
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "how far log files were read could not be kept");
    }
}

/// How many files are followed, and what is wrong.
fn note(added: &Added) -> String {
    let mut note = match added.files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    for problem in &added.problems {
        note.push_str("; ");
        note.push_str(problem);
    }
    note
}
