//! The way in: decoded samples to the log, then to the shards that own their series.

use super::{Engine, gone};
use crate::error::{Error, Result};
use crate::ingest::admit::too_far_ahead;
use crate::ingest::prometheus::DecodeError;
use crate::ingest::registry::Declared;
use crate::ingest::{IngestBatch, RejectReason, Rejection};
use crate::pipeline::coordinator::is_durable;
use crate::pipeline::engine::task::Order;
use crate::pipeline::message::ShardMessage;
use crate::series::{Metadata, Sample, SeriesInfo, home_of};
use crate::store::Change;
use crate::store::log::{Batch, Record};
use crate::topology::edges_of;
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::SeriesId;

/// Where the store keeps the types that senders declare.
pub(super) const TYPES_SETTING: &str = "metric_types";

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// Samples that are durable and were taken.
    pub accepted: u64,
    /// The rest, by reason.
    pub rejections: Vec<Rejection>,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Engine(#[from] Error),
}

impl Engine {
    /// Takes decoded samples of a source. Returns once every accepted sample is durable and judged.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the engine is overloaded, shutting down, or cannot write its log: nothing was taken,
    /// sending the same again is safe.
    pub async fn ingest(&self, source: &str, mut batch: IngestBatch) -> Result<IngestReport> {
        let source: Arc<str> = source.into();
        let mut rejections = std::mem::take(&mut batch.rejections);
        if is_durable(&source) {
            self.refuse_future(&mut batch.samples, &mut rejections);
            self.may_come(&source, batch.samples.len()).await?;
        }
        let permits = u32::try_from(batch.samples.len()).unwrap_or(u32::MAX);
        let Ok(_room) = self.room.try_acquire_many(permits) else {
            let problem = format!("{permits} samples find no room behind the ones that wait: send again later");
            return Err(self
                .put_off(&source, RejectReason::Overloaded, permits.into(), problem)
                .await);
        };
        let _open = self.gate.read().await;
        let came = batch.samples.len() as u64;
        if !batch.types.is_empty() {
            let declared = self.declare(std::mem::take(&mut batch.types)).await;
            self.kept(&source, came, declared).await?;
        }
        let added = self
            .add_series(&source, batch.new_series, &mut batch.samples, &mut rejections)
            .await;
        let added = self.kept(&source, came, added).await?;
        let samples = batch.samples.len() as u64;
        if is_durable(&source) && (!batch.samples.is_empty() || !added.is_empty()) {
            let record = Record::Batch(Batch {
                source: source.to_string(),
                new_series: added,
                samples: batch.samples,
            });
            let logged = self.log.append(&record).await;
            self.kept(&source, came, logged).await?;
            self.is_durable_again();
            let Record::Batch(logged) = record;
            batch.samples = logged.samples;
        }
        let late = self.apply(&source, batch.samples).await?;
        let refused_late: u64 = late.iter().map(|r| r.samples).sum();
        rejections.extend(late);
        self.remember_ends(&batch.stale, &batch.ended_families);
        for (series, _) in batch.stale {
            self.to_shard(self.shard_of(series), ShardMessage::Ended { series })
                .await?;
        }
        for (member, _) in batch.ended_families {
            self.to_shard(self.shard_of(member), ShardMessage::EndedFamily { member })
                .await?;
        }
        let rejections = merge(rejections);
        if !rejections.is_empty() {
            let order = Order::Refused {
                source,
                rejections: rejections.clone(),
            };
            self.orders.send(order).await.map_err(|_| gone())?;
        }
        Ok(IngestReport {
            accepted: samples.saturating_sub(refused_late),
            rejections,
        })
    }

    /// Counts what a receiver of changes or alerts refused.
    pub async fn refused(&self, source: &str, kind: &'static str, rejections: Vec<Rejection>) {
        let order = Order::ReceiverRefused {
            source: source.into(),
            kind,
            rejections,
        };
        // An error means that the engine is shutting down, and its counters with it.
        let _ = self.orders.send(order).await;
    }

    /// Hands durable samples to the shards and waits for their verdict on each.
    pub(super) async fn apply(&self, source: &Arc<str>, samples: Vec<Sample>) -> Result<Vec<Rejection>> {
        let mut parts: Vec<Vec<Sample>> = vec![Vec::new(); self.shards.len()];
        if let [only] = parts.as_mut_slice() {
            *only = samples;
        } else {
            let homes = self.registry.homes();
            for sample in samples {
                parts[self.shard_at(homes.of(sample.series))].push(sample);
            }
        }
        let mut replies = Vec::new();
        for (shard, samples) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let (reply, answer) = oneshot::channel();
            self.to_shard(
                shard,
                ShardMessage::Batch {
                    source: Arc::clone(source),
                    samples,
                    arrived: is_durable(source).then(|| self.now()),
                    reply,
                },
            )
            .await?;
            replies.push(answer);
        }
        let mut rejections = Vec::new();
        for answer in replies {
            rejections.extend(answer.await.map_err(|_| gone())?);
        }
        Ok(rejections)
    }

    /// Registers series and tells their shards. Samples of series that find no room are taken out.
    async fn add_series(
        &self,
        source: &Arc<str>,
        infos: Vec<SeriesInfo>,
        samples: &mut Vec<Sample>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<Vec<SeriesInfo>> {
        if infos.is_empty() {
            return Ok(Vec::new());
        }
        let mut catalog = self.registry.turn().await;
        // Before anything is remembered of them.
        let judged = self.guard.judge(source, self.registry.unknown(infos));
        let typed = catalog.admit(judged.taken);
        let added = self.registry.unknown(typed.infos);
        let added: Vec<Arc<SeriesInfo>> = added.into_iter().map(Arc::new).collect();
        if is_durable(source) {
            let changes: Vec<Change> = added
                .iter()
                .map(|info| Change::Series {
                    info: SeriesInfo::clone(info),
                    source: source.to_string(),
                })
                .collect();
            self.store.save(&changes).await?;
        }
        let mut parts: Vec<Vec<_>> = vec![Vec::new(); self.shards.len()];
        for info in &added {
            parts[self.shard_at(home_of(info))].push((Arc::clone(info), None));
        }
        for (shard, infos) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            self.to_shard(
                shard,
                ShardMessage::Add {
                    source: Arc::clone(source),
                    infos,
                },
            )
            .await?;
        }
        let found: Vec<_> = added.iter().flat_map(|info| edges_of(info)).collect();
        if !found.is_empty() {
            self.orders.send(Order::Edges(found)).await.map_err(|_| gone())?;
        }
        // Last: a request dropped or failed before this leaves a series that the next request names again.
        self.registry.add(added.iter().map(Arc::clone));
        self.guard.count(source, added.iter().map(Arc::as_ref));
        self.tell_kinds(self.registry.retype(&catalog, Some(&typed.reconsider)))
            .await?;
        if !judged.refused.is_empty() {
            let now = self.clock.now();
            rejections.extend(self.guard.cut(source, &judged.refused, judged.findings, samples, now));
        }
        let added = added.iter().map(|info| SeriesInfo::clone(info)).collect();
        Ok(added)
    }

    /// Says in the sender's words that what should have been kept was not: it must come again, nothing of it was taken.
    async fn kept<T>(&self, source: &Arc<str>, samples: u64, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if error.is_retryable() => {
                let problem = match error {
                    Error::Unavailable(problem) => problem,
                    error => error.to_string(),
                };
                Err(self.not_durable(source, samples, problem).await)
            }
            result => result,
        }
    }

    /// Takes what a sender declares of metrics; it stays known over a restart.
    async fn declare(&self, types: Vec<(String, Metadata)>) -> Result<()> {
        let mut catalog = self.registry.turn().await;
        let keys: Vec<u64> = types
            .iter()
            .map(|(name, metadata)| Declared::key(name.as_bytes(), metadata.kind, metadata.is_described()))
            .collect();
        if !catalog.declare(types) {
            self.registry.heard(keys);
            return Ok(());
        }
        let setting = Change::Setting {
            key: TYPES_SETTING,
            value: serde_json::to_string(catalog.types()).map_err(|e| Error::Corrupt {
                place: "the declared types".to_owned(),
                message: e.to_string(),
            })?,
        };
        self.store.save(&[setting]).await?;
        self.registry.heard(keys);
        self.tell_kinds(self.registry.retype(&catalog, None)).await
    }

    /// Tells the shards of series whose kind has changed.
    async fn tell_kinds(&self, changed: Vec<Arc<SeriesInfo>>) -> Result<()> {
        for info in changed {
            let shard = self.shard_of(info.id);
            self.to_shard(shard, ShardMessage::Retype { info }).await?;
        }
        Ok(())
    }

    fn refuse_future(&self, samples: &mut Vec<Sample>, rejections: &mut Vec<Rejection>) {
        let now = self.clock.now();
        let mut early: Option<(SeriesId, i64)> = None;
        let before = samples.len();
        samples.retain(|sample| {
            let ahead = too_far_ahead(sample.at, now);
            if ahead {
                early.get_or_insert((sample.series, sample.at.millis_since(now)));
            }
            !ahead
        });
        if let Some((series, ahead_ms)) = early {
            rejections.push(Rejection {
                reason: RejectReason::TooFarInFuture,
                samples: (before - samples.len()) as u64,
                example: format!(
                    "series {series}: {} s ahead of this clock, the limit is 600 s: check the sender's clock",
                    ahead_ms / 1000
                ),
            });
        }
    }
}

/// One rejection per reason.
fn merge(rejections: Vec<Rejection>) -> Vec<Rejection> {
    let mut merged: Vec<Rejection> = Vec::new();
    for rejection in rejections {
        match merged.iter_mut().find(|m| m.reason == rejection.reason) {
            Some(same) => same.samples += rejection.samples,
            None => merged.push(rejection),
        }
    }
    merged.sort_by_key(|r| r.reason);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Config;
    use crate::series::{Labels, info_from_labels};
    use wire::Timestamp;

    const SERIES: usize = 60;
    const SENDERS: i64 = 8;

    fn info(series: usize) -> SeriesInfo {
        info_from_labels(&Labels::of(&format!("e{series}"), "load", None))
    }

    /// Samples of every series in memory.
    async fn kept(engine: &Engine) -> usize {
        let mut kept = 0;
        for series in 0..SERIES {
            let (reply, answer) = oneshot::channel();
            let id = info(series).id;
            let (from, to) = (Timestamp(0), Timestamp(i64::MAX));
            let slice = ShardMessage::Slice { id, from, to, reply };
            engine.to_shard(engine.shard_of(id), slice).await.unwrap();
            kept += answer.await.unwrap().unwrap().unwrap().samples.len();
        }
        kept
    }

    /// Many senders name the same new series at once: whoever is not the first must not get ahead of the first one's
    /// introduction, neither in the shard nor in what a restart reads.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn samples_never_outrun_the_introduction_of_their_series() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let engine = Engine::start(Config::new(dir.path()), clock.clone()).await.unwrap();
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let engine = Arc::clone(&engine);
            senders.spawn(async move {
                for series in 0..SERIES {
                    let info = info(series);
                    let samples = vec![Sample {
                        series: info.id,
                        at: Timestamp(sender),
                        value: 1.0,
                    }];
                    let batch = IngestBatch {
                        new_series: vec![info],
                        samples,
                        ..IngestBatch::default()
                    };
                    assert_eq!(engine.ingest("test", batch).await.unwrap().accepted, 1);
                }
            });
        }
        while let Some(done) = senders.join_next().await {
            done.unwrap();
        }
        let sent = SERIES * SENDERS as usize;
        assert_eq!(kept(&engine).await, sent);
        // A crash: nothing is sealed, the store and the log are all there is.
        let again = Engine::start(Config::new(dir.path()), clock).await.unwrap();
        assert_eq!(kept(&again).await, sent);
    }
}
