//! Sources that are topics of Kafka, from message to durable sample.
//!
//! Partitions are dealt with side by side, the messages of one in their order. What the engine has no room for waits: reading pauses,
//! the same messages are tried again, and nothing is passed over but what makes no sense.

use super::{Engine, TakeError, WriteError};
use crate::error::{Error, Result};
use crate::ingest::kafka::client::Consumer;
use crate::ingest::kafka::{Format, KafkaConfig, Kind, Message, kind_of_topic, line};
use crate::ingest::prometheus::{DecodeError, Version};
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::engine::intake::Payload;
use crate::pipeline::engine::task::Order;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pauses while the engine has no room, doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often the line about a source is told again.
const NOTE: Duration = Duration::from_secs(2);

/// Leaving a group takes a broker that answers, which there may not be.
const LEAVING: Duration = Duration::from_secs(5);

/// Messages that wait, by topic and partition.
type Waiting = BTreeMap<(String, i32), VecDeque<Message>>;

/// Reads until the engine stops.
pub(super) async fn run(
    engine: Arc<Engine>,
    config: KafkaConfig,
    consumer: Consumer,
    mut stopped: watch::Receiver<bool>,
) {
    let mut feed = Feed {
        sink: Sink { engine, config },
        consumer,
        told: String::new(),
    };
    tokio::select! {
        () = feed.read() => {}
        // What is in hand was not acknowledged to Kafka, and is read again.
        _ = stopped.changed() => {}
    }
    let consumer = feed.consumer;
    let left = tokio::task::spawn_blocking(move || consumer.leave());
    if tokio::time::timeout(LEAVING, left).await.is_err() {
        tracing::warn!("no broker of Kafka answers: the group is left without a word");
    }
}

struct Feed {
    sink: Sink,
    consumer: Consumer,
    /// What people read of it.
    told: String,
}

impl Feed {
    async fn read(&mut self) {
        loop {
            self.tell().await;
            // A wait that is given up loses nothing.
            let Ok(messages) = tokio::time::timeout(NOTE, self.consumer.next()).await else {
                continue;
            };
            let mut waiting = Waiting::new();
            add(&mut waiting, messages);
            self.take_all(&mut waiting).await;
            if !waiting.is_empty() {
                self.wait_for_room(waiting).await;
            }
        }
    }

    /// Tries again and again, without reading on.
    async fn wait_for_room(&mut self, mut waiting: Waiting) {
        let mut pause = FIRST_PAUSE;
        while !waiting.is_empty() {
            self.consumer.pause();
            self.tell().await;
            // The library must be asked meanwhile, or the group takes this member for dead. Partitions that were given just now
            // may have messages.
            let until = tokio::time::sleep(pause);
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    messages = self.consumer.next() => add(&mut waiting, messages),
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.take_all(&mut waiting).await;
        }
        self.consumer.resume();
    }

    /// Takes what can be taken out of `waiting`.
    async fn take_all(&self, waiting: &mut Waiting) {
        let partitions = waiting.values_mut().map(|messages| self.take_partition(messages));
        futures::future::join_all(partitions).await;
        waiting.retain(|_, messages| !messages.is_empty());
    }

    async fn take_partition(&self, messages: &mut VecDeque<Message>) {
        let Sink { engine, config } = &self.sink;
        let mut done = 0;
        while let Some(message) = messages.front() {
            if let Err(error) = self.sink.take(message).await {
                let problem = format!("waits to be tried again: {error}");
                if engine.feeds.waits(&config.name, &problem) {
                    tracing::warn!(source = %config.name, %error, "messages of Kafka wait");
                }
                break;
            }
            done += 1;
            self.consumer.done(message);
            engine.feeds.took(&config.name, &message.topic, 1);
            messages.pop_front();
        }
        tracing::trace!(done, "messages of a partition were taken");
    }

    /// Tells people where it stands, when that has changed.
    async fn tell(&mut self) {
        let Sink { engine, config } = &self.sink;
        let note = format!("group {}: {}", config.group, engine.feeds.note(&config.name));
        if note == self.told {
            return;
        }
        self.told.clone_from(&note);
        let order = Order::Source {
            name: config.name.as_str().into(),
            kind: "kafka",
            note,
        };
        // An error means that the engine is shutting down.
        let _ = engine.orders.send(order).await;
    }
}

/// What becomes of a message.
pub(super) struct Sink {
    pub(super) engine: Arc<Engine>,
    pub(super) config: KafkaConfig,
}

impl Sink {
    /// Makes one message durable, or counts why it is passed over.
    ///
    /// # Errors
    /// If the engine could not take it now.
    pub(super) async fn take(&self, message: &Message) -> Result<()> {
        let (source, body) = (self.config.name.as_str(), message.payload.as_slice());
        let max = self.engine.max_request_bytes();
        if body.is_empty() {
            return self.pass_over(message, RejectReason::Ignored, "it is empty").await;
        }
        if body.len() > max {
            let problem = format!(
                "it has {} bytes, the limit is {max}: raise limits.max_request_mb",
                body.len()
            );
            return self.pass_over(message, RejectReason::OverLimit, &problem).await;
        }
        let payload = match self.config.format {
            Format::Otlp(encoding, kind) => match kind.unwrap_or_else(|| kind_of_topic(&message.topic)) {
                Kind::Metrics => Payload::OtlpMetrics(encoding),
                Kind::Logs => Payload::OtlpLogs(encoding),
                Kind::Spans => Payload::OtlpSpans(encoding),
            },
            Format::JsonLogs => Payload::JsonLogs,
            Format::RemoteWrite => {
                return match self.write(source, message).await? {
                    Ok(()) => Ok(()),
                    Err((reason, problem)) => self.pass_over(message, reason, &problem).await,
                };
            }
            Format::Text => {
                let now = self.engine.now();
                let signals = line(message, &self.engine.config.signals.limits, now);
                return self.engine.take_signals(source, signals, now).await.map(drop);
            }
        };
        match self.engine.take_as(source, payload, body).await {
            Ok(_) => Ok(()),
            Err(TakeError::Engine(error)) => Err(error),
            Err(error) => {
                self.pass_over(message, RejectReason::Malformed, &error.to_string())
                    .await
            }
        }
    }

    /// Makes a message of remote write durable; what keeps it from being one, if it makes no sense. The version that it does not
    /// name is seen in its bytes.
    ///
    /// # Errors
    /// If the engine could not take it now.
    async fn write(&self, source: &str, message: &Message) -> Result<Result<(), (RejectReason, String)>> {
        let named = match message.remote_write_version() {
            Ok(named) => named,
            Err(problem) => return Ok(Err((RejectReason::Unsupported, problem))),
        };
        let body = message.payload.as_slice();
        let write = |version| self.engine.remote_write_as(source, version, body);
        let result = match write(named.unwrap_or(Version::One)).await {
            Err(WriteError::Decode(DecodeError::OtherVersion)) if named.is_none() => write(Version::Two).await,
            result => result,
        };
        match result {
            Ok(_) => Ok(Ok(())),
            Err(WriteError::Engine(error)) => Err(error),
            Err(WriteError::Decode(error)) => {
                let reason = match error {
                    DecodeError::TooLarge { .. } => RejectReason::OverLimit,
                    _ => RejectReason::Malformed,
                };
                Ok(Err((reason, error.to_string())))
            }
        }
    }

    async fn pass_over(&self, message: &Message, reason: RejectReason, problem: &str) -> Result<()> {
        let example = format!("{}: {problem}", message.place());
        let order = Order::Refused {
            source: self.config.name.as_str().into(),
            rejections: vec![Rejection::one(reason, example)],
        };
        self.engine.orders.send(order).await.map_err(|_| super::gone())
    }
}

fn add(waiting: &mut Waiting, messages: Vec<Message>) {
    for message in messages {
        let partition = (message.topic.clone(), message.partition);
        waiting.entry(partition).or_default().push_back(message);
    }
}

/// Joins the groups; a password that cannot be read keeps the engine from starting.
pub(super) fn start(
    engine: &Arc<Engine>,
    tasks: &mut tokio::task::JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<(), Error> {
    for config in &engine.config.kafka {
        let consumer = Consumer::new(config, Arc::clone(&engine.feeds))?;
        tasks.spawn(run(Arc::clone(engine), config.clone(), consumer, stopped.clone()));
    }
    Ok(())
}
