//! Requests of the protocols beside remote write, in one door: what it is and how it is written, then the bytes.
//!
//! Samples go the way of all samples, [`Engine::ingest`]. Lines and spans go to a writer of their own, behind a queue that is
//! bounded in bytes: a flood of lines is told to come later, and delays no sample.

use super::{Engine, IngestReport, gone};
use crate::error::{Error, Result};
use crate::ingest::admit::too_far_ahead;
use crate::ingest::json_lines::{self, JsonError};
use crate::ingest::loki::{self, LokiError};
use crate::ingest::otlp::{self, Encoding, OtlpError, Streams};
use crate::ingest::signal::Signals;
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::engine::task::Order;
use crate::pipeline::log_watch::lock;
use crate::store::signals::{Keep, weight_of_log, weight_of_span};
use crate::topology::SpanLink;
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use wire::Timestamp;

/// Bytes of lines and spans that may wait for the store.
const QUEUE_BYTES: u32 = 128 << 20;

/// Requests that may wait for it.
const QUEUE_REQUESTS: usize = 1024;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    OtlpMetrics(Encoding),
    OtlpLogs(Encoding),
    OtlpSpans(Encoding),
    /// Loki's push API; protobuf comes as a snappy block.
    Loki(Encoding),
    /// JSON objects, one a line or in a list.
    JsonLogs,
}

impl Payload {
    /// The source it counts for.
    pub const fn source(self) -> &'static str {
        match self {
            Self::OtlpMetrics(_) => "otlp",
            Self::OtlpLogs(_) => "otlp_logs",
            Self::OtlpSpans(_) => "otlp_spans",
            Self::Loki(_) => "loki",
            Self::JsonLogs => "json_logs",
        }
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The bytes make no sense, or are too many: sending them again changes nothing.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    #[error(transparent)]
    Loki(#[from] LokiError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Engine(#[from] Error),
}

/// What the door remembers and where it leads.
#[derive(Debug)]
pub(super) struct Intake {
    /// Read and written for an instant only.
    streams: std::sync::Mutex<Streams>,
    /// Held while increments become totals and these become durable.
    increments: Mutex<()>,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// Records that wait for the store.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) signals: Signals,
    /// Answered with the number of records that were there before.
    pub(super) reply: oneshot::Sender<Result<u64>>,
    /// Their place in the queue.
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl Intake {
    /// The door, and the queue of the writer behind it.
    pub(super) fn new(max_series: usize) -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(QUEUE_REQUESTS);
        let intake = Self {
            streams: std::sync::Mutex::new(Streams::new(max_series)),
            increments: Mutex::new(()),
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES as usize)),
        };
        (intake, waiting)
    }

    /// What is remembered of those who say since when they count.
    pub(super) fn streams(&self) -> &std::sync::Mutex<Streams> {
        &self.streams
    }

    /// Leaves no room for lines and spans.
    #[cfg(test)]
    pub(super) fn take_room(&self) -> tokio::sync::OwnedSemaphorePermit {
        let room = Arc::clone(&self.room).try_acquire_many_owned(QUEUE_BYTES);
        room.expect("nothing waits")
    }
}

impl Engine {
    /// Largest request after decompression.
    pub fn max_request_bytes(&self) -> usize {
        self.config.signals.max_request_bytes
    }

    /// Takes one request. Returns once everything of it that was accepted is kept: samples are durable and judged, lines and
    /// spans are in their database.
    ///
    /// # Errors
    /// [`TakeError`]; nothing of the request was taken. Of [`Error::Unavailable`] alone it helps to send it again.
    pub async fn take(&self, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError> {
        self.take_as(payload.source(), payload, body).await
    }

    /// The same of a source with this name.
    pub(super) async fn take_as(&self, source: &str, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError> {
        let limits = &self.config.signals.limits;
        let now = self.now();
        let max_bytes = self.max_request_bytes();
        let signals = match payload {
            Payload::OtlpMetrics(encoding) => return self.take_metrics(source, encoding, body).await,
            Payload::OtlpLogs(encoding) => otlp::decode_logs(body, encoding, limits, now)?,
            Payload::OtlpSpans(encoding) => otlp::decode_spans(body, encoding, limits)?,
            Payload::Loki(Encoding::Protobuf) => loki::decode_protobuf(body, max_bytes, limits)?,
            Payload::Loki(Encoding::Json) => loki::decode_json(body, limits)?,
            Payload::JsonLogs => json_lines::decode(body, limits, now)?,
        };
        Ok(self.take_signals(source, signals, now).await?)
    }

    async fn take_metrics(&self, source: &str, encoding: Encoding, body: &[u8]) -> Result<IngestReport, TakeError> {
        let metrics = otlp::decode_metrics(body, encoding, &self.config.limits.request, self.registry())?;
        let _turn = if metrics.deltas.is_empty() {
            None
        } else {
            Some(self.intake.increments.lock().await)
        };
        let streams = || self.intake.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let (batch, plan) = streams().plan(metrics);
        let report = self.ingest(source, batch).await?;
        streams().commit(plan);
        Ok(report)
    }

    /// Takes lines and spans; returns once they are kept.
    pub(super) async fn take_signals(
        &self,
        source: &str,
        mut signals: Signals,
        now: Timestamp,
    ) -> Result<IngestReport> {
        let keep = self.config.signals.retention;
        let mut rejections = std::mem::take(&mut signals.rejections);
        rejections.extend(out_of_time(&mut signals.logs, keep.logs, now, |log| log.at));
        rejections.extend(out_of_time(&mut signals.spans, keep.spans, now, |span| span.at));
        let links = std::mem::take(&mut signals.links);
        let newest = signals.logs.iter().map(|log| log.record.at);
        let newest = newest.chain(signals.spans.iter().map(|span| span.record.at)).max();
        let taken = (signals.logs.len() + signals.spans.len()) as u64;
        let lines = if signals.logs.is_empty() {
            Vec::new()
        } else {
            lock(&self.lines).seen(signals.logs.iter().map(|log| &log.record))
        };
        if keep.logs.age_ms == 0 {
            signals.logs.clear();
        }
        if keep.spans.age_ms == 0 {
            signals.spans.clear();
        }
        let source: Arc<str> = source.into();
        self.has_disk(&source, taken).await?;
        let duplicates = self.queue_signals(&source, signals).await?;
        if duplicates > 0 {
            rejections.push(Rejection {
                reason: RejectReason::Duplicate,
                samples: duplicates,
                example: "sent before".to_owned(),
            });
        }
        let accepted = taken - duplicates;
        if !rejections.is_empty() {
            let order = Order::Refused {
                source: Arc::clone(&source),
                rejections: rejections.clone(),
            };
            self.orders.send(order).await.map_err(|_| gone())?;
        }
        // Of a request that was sent before all is known.
        if !lines.is_empty() && duplicates == 0 {
            self.orders.send(Order::Lines(lines)).await.map_err(|_| gone())?;
        }
        // Kept by now: what is sent again would count its calls twice.
        self.find_edges(&links, now).await?;
        let order = Order::Arrived {
            source,
            records: accepted,
            newest,
        };
        self.orders.send(order).await.map_err(|_| gone())?;
        Ok(IngestReport { accepted, rejections })
    }

    /// Tells of the dependencies that spans show.
    async fn find_edges(&self, links: &[SpanLink], now: Timestamp) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        let found = {
            let mut graph = self.span_graph.lock().unwrap_or_else(PoisonError::into_inner);
            graph.observe(links, now)
        };
        if found.is_empty() {
            return Ok(());
        }
        self.orders.send(Order::Edges(found)).await.map_err(|_| gone())
    }

    /// Waits until the records are kept; how many were there before.
    async fn queue_signals(&self, source: &Arc<str>, signals: Signals) -> Result<u64> {
        let records = (signals.logs.len() + signals.spans.len()) as u64;
        let bytes = signals.logs.iter().map(weight_of_log).sum::<usize>()
            + signals.spans.iter().map(weight_of_span).sum::<usize>();
        if bytes == 0 {
            return Ok(0);
        }
        // One that alone is more than fits waits until it is alone.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(QUEUE_BYTES);
        let room = Arc::clone(&self.intake.room).try_acquire_many_owned(permits);
        let (reply, answer) = oneshot::channel();
        let queued = match room {
            Ok(room) => self.intake.queue.try_send(Waiting {
                signals,
                reply,
                _room: room,
            }),
            Err(_) => return Err(self.too_fast(source, records).await),
        };
        match queued {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(self.too_fast(source, records).await),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(gone()),
        }
        match answer.await.map_err(|_| gone())? {
            Err(Error::Unavailable(problem)) => {
                Err(self.put_off(source, RejectReason::NotDurable, records, problem).await)
            }
            answered => answered,
        }
    }

    async fn too_fast(&self, source: &Arc<str>, records: u64) -> Error {
        let problem = "lines and spans come faster than they can be kept: send again later".to_owned();
        self.put_off(source, RejectReason::Overloaded, records, problem).await
    }
}

/// Takes out what is older than what is kept, and what is ahead of the clock.
fn out_of_time<T>(
    signals: &mut Vec<crate::ingest::signal::Signal<T>>,
    keep: Keep,
    now: Timestamp,
    at: impl Fn(&T) -> Timestamp,
) -> Vec<Rejection> {
    let (mut old, mut early) = (0, 0);
    signals.retain(|signal| {
        let at = at(&signal.record);
        let is_early = too_far_ahead(at, now);
        let is_old = keep.age_ms > 0 && now.millis_since(at) > keep.age_ms;
        early += u64::from(is_early);
        old += u64::from(is_old);
        !is_early && !is_old
    });
    let rejection = |reason, samples, example: &str| Rejection {
        reason,
        samples,
        example: example.to_owned(),
    };
    let found = [
        rejection(
            RejectReason::TooFarInFuture,
            early,
            "more than 600 s ahead of this clock: check the sender's clock",
        ),
        rejection(RejectReason::TooOld, old, "older than what is kept"),
    ];
    found.into_iter().filter(|rejection| rejection.samples > 0).collect()
}
