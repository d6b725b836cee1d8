//! The in-process [`Handle`]: questions answered from the live snapshot, the shards and the store; orders for the
//! coordinator.

use super::{Engine, gone};
use crate::error::{Error, Result};
use crate::features::rates;
use crate::handle::Handle;
use crate::pipeline::engine::task::{ChangesLook, Order};
use crate::pipeline::message::{Clocks, Look, ShardMessage};
use crate::series::SeriesKind;
use crate::store::rollup::{Bucket, Level, combined, level_for, rolled};
use crate::view::bucketed;
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::series::{SeriesDetail, SeriesSummary};
use wire::status::Identity;
use wire::stream::Event;
use wire::{EntityId, SeriesId, Timestamp};

/// Series of a list unless the question says otherwise, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// Points of a chart unless the question says otherwise, and at most.
const DEFAULT_POINTS: u32 = 600;
const MAX_POINTS: u32 = 5000;

/// Steps before a counter's range in which its last sample before it is looked for.
const LEAD_STEPS: i64 = 10;

/// Steps shown if the question names no start.
const DEFAULT_STEPS: i64 = 300;

/// An engine of this process as one identity sees it.
#[derive(Debug)]
pub(super) struct InProcess {
    pub(super) engine: Arc<Engine>,
    pub(super) identity: Identity,
}

#[async_trait]
impl Handle for InProcess {
    async fn query(&self, query: Query) -> Result<Reply, ApiError> {
        let engine = &self.engine;
        match query {
            Query::Snapshot => Ok(Reply::Snapshot(engine.live.snapshot(&self.identity))),
            Query::Incident { id } => {
                let order = |reply| Order::Incident { id: id.clone(), reply };
                let found = engine.order(order).await.map_err(api_error)?;
                let missing = || {
                    not_found(format!(
                        "no incident {id}: it was never opened, or it was resolved long ago"
                    ))
                };
                found.map(Reply::Incident).ok_or_else(missing)
            }
            Query::SeriesList { search, entity, limit } => engine
                .list(&search, entity, limit)
                .await
                .map(Reply::SeriesList)
                .map_err(api_error),
            Query::Series {
                id,
                from,
                to,
                max_points,
            } => {
                let found = engine.detail(id, from, to, max_points).await.map_err(api_error)?;
                let missing = || {
                    not_found(format!(
                        "no series {id}: it has not reported since this engine knows it"
                    ))
                };
                found.map(Reply::Series).ok_or_else(missing)
            }
            Query::Changes {
                from,
                to,
                tags,
                any_tag,
                limit,
            } => {
                let look = ChangesLook {
                    from,
                    to,
                    tags,
                    any_tag,
                    limit: limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) as usize,
                };
                let found = engine.order(|reply| Order::Changes { look, reply }).await;
                found.map(Reply::Changes).map_err(api_error)
            }
            Query::Alerts { resolved } => {
                let found = engine.order(|reply| Order::Alerts { resolved, reply }).await;
                found.map(Reply::Alerts).map_err(api_error)
            }
            Query::Silences => {
                let found = engine.order(|reply| Order::Silences { reply }).await;
                found.map(Reply::Silences).map_err(api_error)
            }
            Query::Notifications { incident } => {
                let order = |reply| Order::Notifications { incident, reply };
                engine.order(order).await.map(Reply::Notifications).map_err(api_error)
            }
            Query::Edges => {
                let found = engine.order(|reply| Order::EdgeDetails { reply }).await;
                found.map(Reply::Edges).map_err(api_error)
            }
            Query::Channels => {
                let found = engine.order(|reply| Order::Channels { reply }).await;
                found.map(Reply::Channels).map_err(api_error)
            }
            Query::Preview { channel, incident } => {
                let order = |reply| Order::Preview {
                    channel,
                    incident,
                    reply,
                };
                engine.order(order).await.map_err(api_error)?.map(Reply::Preview)
            }
            Query::Audit { limit } => {
                let limit = limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) as usize;
                engine
                    .order(|reply| Order::Audit { limit, reply })
                    .await
                    .map(Reply::Audit)
                    .map_err(api_error)
            }
            Query::Logs(filter) => engine.signals.logs(&filter).await.map(Reply::Logs).map_err(api_error),
            Query::Spans(filter) => engine.signals.spans(&filter).await.map(Reply::Spans).map_err(api_error),
        }
    }

    async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        let identity = self.identity.clone();
        self.engine
            .order(|reply| Order::Command {
                identity,
                command,
                reply,
            })
            .await
            .map_err(api_error)?
    }

    async fn watch(&self) -> Result<BoxStream<'static, Event>, ApiError> {
        Ok(self.engine.live.watch(self.identity.clone()))
    }
}

impl Engine {
    /// Asks the coordinator.
    pub(super) async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    async fn clocks(&self) -> Result<Clocks> {
        self.order(|reply| Order::Clocks { reply }).await
    }

    async fn list(&self, search: &str, entity: Option<EntityId>, limit: Option<u32>) -> Result<Vec<SeriesSummary>> {
        let look = Look {
            words: search.split_whitespace().map(str::to_lowercase).collect(),
            entity,
            limit: limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) as usize,
            clocks: self.clocks().await?,
        };
        let mut found = Vec::new();
        for shard in 0..self.shards.len() {
            let (reply, answer) = oneshot::channel();
            self.to_shard(
                shard,
                ShardMessage::List {
                    look: look.clone(),
                    reply,
                },
            )
            .await?;
            found.extend(answer.await.map_err(|_| gone())?);
        }
        Look::rank(&mut found);
        found.truncate(look.limit);
        Ok(found)
    }

    /// Everything the metric page shows; `None` for a series that nobody reports.
    async fn detail(
        &self,
        id: SeriesId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        max_points: Option<u32>,
    ) -> Result<Option<SeriesDetail>> {
        let shard = self.shard_of(id);
        let (reply, answer) = oneshot::channel();
        self.to_shard(
            shard,
            ShardMessage::About {
                id,
                clocks: self.clocks().await?,
                reply,
            },
        )
        .await?;
        let Some(mut about) = answer.await.map_err(|_| gone())? else {
            return Ok(None);
        };
        if let Some(fan) = self.fan(id, &about).await? {
            about.forecast = fan;
        }
        let step_ms = about.summary.info.step_ms;
        let to = to.unwrap_or(about.summary.last_at);
        let shown_from = from.unwrap_or_else(|| to - step_ms.max(1000) * DEFAULT_STEPS);
        // The first rate needs the sample before it.
        let is_counter = about.summary.info.kind == SeriesKind::Counter;
        let lead_ms = if is_counter { step_ms.max(1000) * LEAD_STEPS } else { 0 };
        let from = Timestamp(shown_from.0.saturating_sub(lead_ms));
        let (reply, answer) = oneshot::channel();
        self.to_shard(shard, ShardMessage::Slice { id, from, to, reply })
            .await?;
        let Some(slice) = answer.await.map_err(|_| gone())? else {
            return Ok(None);
        };
        let slice = slice?;
        let own = self.store.extent(id, None, from, to).await?;
        let minutes = self.store.extent(id, Some(Level::Minute), from, to).await?;
        let hours = self.store.extent(id, Some(Level::Hour), from, to).await?;
        let level = level_for(from, own, minutes, hours);
        let (mut samples, step_ms, most) = match level {
            None => (
                self.raw(id, from, to, slice.samples).await?,
                step_ms,
                MAX_POINTS as usize,
            ),
            Some(level) => {
                let buckets = self.rolled(id, level, from, to, slice.samples).await?;
                let (samples, most) = (shown(&buckets, level, is_counter), buckets.len());
                (samples, step_ms.max(level.step_ms()), most)
            }
        };
        if is_counter {
            samples = rates(&samples, step_ms).unwrap_or_default();
            samples.retain(|(at, _)| *at >= shown_from);
        }
        let from = shown_from;
        let entity = about.summary.info.entity.clone();
        let mut markers = self.order(|reply| Order::Markers { entity, reply }).await?;
        markers.retain(|marker| (from..=to).contains(&marker.at));
        let max_points = max_points.unwrap_or(DEFAULT_POINTS).clamp(2, MAX_POINTS) as usize;
        let max_points = max_points.min(most);
        Ok(Some(SeriesDetail {
            points: bucketed(&samples, &slice.verdicts, step_ms, max_points),
            summary: about.summary,
            from,
            to,
            markers,
            forecast: about.forecast,
            limit: about.limit,
            threshold: about.threshold,
            explanation: about.explanation,
            evidence: about.evidence,
            last_anomaly: about.last_anomaly,
            seen: about.seen,
            needed: about.needed,
        }))
    }
}

impl Engine {
    /// Samples of a range: sealed ones, and `newest` from memory.
    pub(super) async fn raw(
        &self,
        id: SeriesId,
        from: Timestamp,
        to: Timestamp,
        newest: Vec<(Timestamp, f64)>,
    ) -> Result<Vec<(Timestamp, f64)>> {
        let mut samples = Vec::new();
        for chunk in self.store.chunks(id, from, to).await? {
            samples.extend(chunk.samples()?.into_iter().filter(|(at, _)| (from..=to).contains(at)));
        }
        samples.extend(newest);
        samples.sort_by_key(|(at, _)| *at);
        samples.dedup_by_key(|(at, _)| *at);
        Ok(samples)
    }

    /// The same by the steps of a level. What an older version sealed has no rollups: it is read sample by sample.
    async fn rolled(
        &self,
        id: SeriesId,
        level: Level,
        from: Timestamp,
        to: Timestamp,
        newest: Vec<(Timestamp, f64)>,
    ) -> Result<Vec<Bucket>> {
        let chunks = self.store.rollups(id, level, from, to).await?;
        let (first, last) = match (chunks.first(), chunks.last()) {
            (Some(first), Some(last)) => (first.start, last.end),
            _ => return Ok(rolled(level, &self.raw(id, from, to, newest).await?)),
        };
        let mut buckets = Vec::new();
        if first > from {
            let before = self.raw(id, from, first - 1, Vec::new()).await?;
            buckets.extend(rolled(level, &before));
        }
        for chunk in chunks {
            buckets.extend(chunk.buckets()?);
        }
        let newest: Vec<_> = newest.into_iter().filter(|(at, _)| *at > last).collect();
        buckets.extend(rolled(level, &newest));
        let mut buckets = combined(buckets);
        buckets.retain(|bucket| bucket.at <= to && bucket.at.0 + level.step_ms() > from.0);
        Ok(buckets)
    }
}

/// Buckets as samples, so that every peak is seen: mean, minimum and maximum of a gauge, the total of a counter.
fn shown(buckets: &[Bucket], level: Level, is_counter: bool) -> Vec<(Timestamp, f64)> {
    let third = level.step_ms() / 3;
    let mut samples = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        if is_counter {
            samples.push((bucket.at, bucket.last));
            continue;
        }
        samples.push((bucket.at, bucket.mean()));
        if bucket.max > bucket.min {
            samples.push((bucket.at + third, bucket.min));
            samples.push((bucket.at + 2 * third, bucket.max));
        }
    }
    samples
}

fn not_found(message: String) -> ApiError {
    ApiError::new(ErrorKind::NotFound, message)
}

fn api_error(error: Error) -> ApiError {
    let kind = match &error {
        Error::Unavailable(_) => ErrorKind::Unavailable,
        Error::Input { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    };
    ApiError::new(kind, error.to_string())
}
