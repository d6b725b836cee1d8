//! History from elsewhere, put into a data directory whose engine does not run.
//!
//! What is there stays: a sample inside a span that is stored already is left out. The rest becomes sealed history, which a
//! starting engine learns from and never alerts on.

use super::inbox::TYPES_SETTING;
use super::restore::catalog;
use crate::error::{Error, Result};
use crate::series::{Labels, Metadata, info_from_labels};
use crate::store::history::SealedChunk;
use crate::store::log::Log;
use crate::store::sqlite::SqliteStore;
use crate::store::{Change, Store as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wire::{SeriesId, Timestamp};

/// Samples of a chunk at most.
const CHUNK: usize = 2048;

/// A data directory that takes history.
#[derive(Debug)]
pub struct Backfill {
    store: SqliteStore,
    known: BTreeSet<SeriesId>,
    types: BTreeMap<String, Metadata>,
    source: String,
    max_series: usize,
}

/// What became of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    pub series: u64,
    pub samples: u64,
    /// Left out: stored already, or in a span that is.
    pub covered: u64,
    /// Left out: NaN or infinite.
    pub not_a_number: u64,
    /// Left out: of series over the limit.
    pub too_many_series: u64,
}

impl Filled {
    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.series += other.series;
        self.samples += other.samples;
        self.covered += other.covered;
        self.not_a_number += other.not_a_number;
        self.too_many_series += other.too_many_series;
    }
}

impl Backfill {
    /// Opens a data directory, made if it is missing; new series will count as those of `source`, which is who goes on sending
    /// them.
    ///
    /// # Errors
    /// If it cannot be used, or its engine did not stop cleanly: the log then holds samples that are in no history yet.
    pub async fn open(data_dir: &Path, source: &str, max_series: usize) -> Result<Self> {
        let store = SqliteStore::open(&data_dir.join("halo.db")).await?;
        let saved = store.load().await?;
        let mut logged = 0;
        let log = Log::open(&data_dir.join("log"), saved.checkpoint, |_| {
            logged += 1;
            Ok(())
        })?;
        drop(log);
        if logged > 0 {
            return Err(Error::Input {
                place: data_dir.display().to_string(),
                message: format!(
                    "the log holds {logged} requests that are not in the history yet, as after a crash: start Halo once \
                     and stop it with Ctrl-C"
                ),
            });
        }
        Ok(Self {
            known: saved.series.iter().map(|(info, _)| info.id).collect(),
            types: catalog(&saved)?.types().clone(),
            store,
            source: source.to_owned(),
            max_series,
        })
    }

    /// Takes what the sender declares of metrics; what is known stays.
    ///
    /// # Errors
    /// What the store says.
    pub async fn declare(&mut self, types: BTreeMap<String, Metadata>) -> Result<()> {
        let before = self.types.len();
        for (name, metadata) in types {
            self.types.entry(name).or_insert(metadata);
        }
        if self.types.len() == before {
            return Ok(());
        }
        let value = serde_json::to_string(&self.types).map_err(|error| Error::Corrupt {
            place: "the declared types".to_owned(),
            message: error.to_string(),
        })?;
        let key = TYPES_SETTING;
        self.store.save(&[Change::Setting { key, value }]).await
    }

    /// Takes samples of series. Returns once they are durable; the same again changes nothing.
    ///
    /// # Errors
    /// What the store says.
    pub async fn take(&mut self, series: Vec<(Labels, Vec<(Timestamp, f64)>)>) -> Result<Filled> {
        let mut filled = Filled::default();
        let mut new = Vec::new();
        let mut chunks = Vec::new();
        for (labels, mut samples) in series {
            let before = samples.len();
            samples.retain(|(_, value)| value.is_finite());
            filled.not_a_number += (before - samples.len()) as u64;
            samples.sort_by_key(|(at, _)| *at);
            samples.dedup_by_key(|(at, _)| *at);
            let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
                continue;
            };
            let info = info_from_labels(&labels);
            if !self.known.contains(&info.id) {
                if self.known.len() >= self.max_series {
                    filled.too_many_series += samples.len() as u64;
                    continue;
                }
                self.known.insert(info.id);
                new.push(info.clone());
            }
            let stored = self.store.chunks(info.id, first.0, last.0).await?;
            let is_covered = |at: Timestamp| stored.iter().any(|chunk| (chunk.start..=chunk.end).contains(&at));
            filled.series += 1;
            // A run ends where something is stored, so that spans do not overlap.
            for run in samples.chunk_by(|a, b| is_covered(a.0) == is_covered(b.0)) {
                if is_covered(run[0].0) {
                    filled.covered += run.len() as u64;
                } else {
                    filled.samples += run.len() as u64;
                    chunks.extend(run.chunks(CHUNK).map(|part| SealedChunk::new(info.id, part)));
                }
            }
        }
        let changes: Vec<_> = new
            .into_iter()
            .map(|info| Change::Series {
                info,
                source: self.source.clone(),
            })
            .collect();
        if !changes.is_empty() {
            self.store.save(&changes).await?;
        }
        if !chunks.is_empty() {
            self.store.seal(&chunks, None).await?;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Config;
    use crate::ingest::IngestBatch;
    use crate::pipeline::Engine;
    use crate::series::Sample;
    use std::sync::Arc;
    use wire::query::{Query, Reply};
    use wire::status::Identity;

    const NOW: i64 = 1_700_000_000_000;

    fn labels(metric: &str) -> Labels {
        Labels::new(vec![
            ("__name__".to_owned(), metric.to_owned()),
            ("instance".to_owned(), "a:1".to_owned()),
        ])
    }

    /// One value a minute of the hours from `from` to `to` before now.
    fn minutes(from: i64, to: i64) -> Vec<(Timestamp, f64)> {
        let minutes = (to * 60..from * 60).rev();
        minutes
            .map(|ago| (Timestamp(NOW - ago * 60_000), 5.0 + (ago % 7) as f64))
            .collect()
    }

    async fn engine(dir: &Path) -> Arc<Engine> {
        let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
        Engine::start(Config::new(dir), clock).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn history_is_learnt_and_alerts_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut fill = Backfill::open(dir.path(), "remote_write", 10).await.unwrap();
        let mut past = minutes(48, 1);
        // What would alert if it happened now.
        past[1500].1 = 5000.0;
        past[1501].1 = f64::NAN;
        let filled = fill.take(vec![(labels("load"), past.clone())]).await.unwrap();
        let expected = Filled {
            series: 1,
            samples: past.len() as u64 - 1,
            not_a_number: 1,
            ..Filled::default()
        };
        assert_eq!(filled, expected);
        let again = fill.take(vec![(labels("load"), past.clone())]).await.unwrap();
        assert_eq!((again.samples, again.covered), (0, past.len() as u64 - 1));
        drop(fill);
        let engine = engine(dir.path()).await;
        let handle = engine.handle(Identity::default());
        let query = Query::Series {
            id: labels("load").id(),
            from: Some(Timestamp(0)),
            to: Some(Timestamp(NOW)),
            max_points: Some(5000),
        };
        let Reply::Series(detail) = handle.query(query).await.unwrap() else {
            panic!("a series was asked for")
        };
        assert!(detail.seen >= detail.needed, "{} of {}", detail.seen, detail.needed);
        let status = engine.status();
        assert_eq!((status.alerts, status.incidents), (0, 0));
        assert!(detail.points.len() > 2000, "{}", detail.points.len());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_there_stays_and_a_crash_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let running = engine(dir.path()).await;
        let info = info_from_labels(&labels("load"));
        let samples = minutes(3, 2).into_iter().map(|(at, _)| Sample {
            series: info.id,
            at,
            value: 1.0,
        });
        let batch = IngestBatch {
            samples: samples.collect(),
            new_series: vec![info],
            ..IngestBatch::default()
        };
        running.ingest("remote_write", batch).await.unwrap();
        let refused = Backfill::open(dir.path(), "remote_write", 10)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("stop it with Ctrl-C"), "{refused}");
        running.shutdown().await;
        let mut fill = Backfill::open(dir.path(), "remote_write", 10).await.unwrap();
        let filled = fill.take(vec![(labels("load"), minutes(5, 0))]).await.unwrap();
        assert_eq!((filled.samples, filled.covered), (240, 60));
        let mut full = Backfill::open(dir.path(), "remote_write", 1).await.unwrap();
        let more = full.take(vec![(labels("other"), minutes(1, 0))]).await.unwrap();
        assert_eq!((more.samples, more.too_many_series), (0, 60));
    }
}
