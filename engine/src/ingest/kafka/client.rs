//! The consumer: librdkafka, which keeps the place of the group, shares partitions with its other members, and connects again with
//! growing pauses when brokers go away.
//!
//! It commits by itself once a second, and when partitions go to another member, but only offsets that were handed to
//! [`Consumer::done`].

use super::{KafkaConfig, Message, Progress, Sasl};
use crate::config::SecretPlace;
use crate::error::{Error, Result};
use futures::FutureExt as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wire::Timestamp;

/// Messages that are dealt with together, at most, and their bytes.
const MAX_MESSAGES: usize = 512;
const MAX_BYTES: usize = 16 << 20;

/// What the library tells beside messages.
struct Told {
    source: String,
    progress: Arc<Progress>,
}

impl ClientContext for Told {
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.iter().flat_map(|(name, topic)| {
            let partitions = topic.partitions.iter();
            partitions.map(move |(partition, state)| ((name.clone(), *partition), state))
        });
        // The library has one of number -1 for messages to send.
        let given = partitions
            .filter(|((_, partition), state)| *partition >= 0 && state.desired && state.fetch_state != "none");
        let lag: BTreeMap<_, _> = given
            .map(|(place, state)| {
                // Behind what was dealt with; before anything was, behind where the group stood.
                let behind = [state.consumer_lag_stored, state.consumer_lag];
                (place, behind.into_iter().find(|lag| *lag >= 0))
            })
            .collect();
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.progress.connected(&self.source);
        }
        self.progress.stands(&self.source, lag);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.progress.cut_off(&self.source, reason) {
            tracing::warn!(source = %self.source, %error, "Kafka: {reason}");
        }
    }
}

impl ConsumerContext for Told {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!(source = %self.source, partitions = partitions.count(), "partitions of Kafka were given");
            }
            Rebalance::Revoke(partitions) => {
                tracing::info!(source = %self.source, partitions = partitions.count(), "partitions of Kafka went away");
            }
            Rebalance::Error(error) => {
                tracing::warn!(source = %self.source, %error, "partitions of Kafka could not be shared")
            }
        }
    }
}

/// A member of a consumer group.
pub struct Consumer {
    inner: StreamConsumer<Told>,
    source: String,
    progress: Arc<Progress>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// Joins the group in the background; brokers that do not answer are tried again for as long as it lives.
    ///
    /// # Errors
    /// If the library does not take the configuration, or the password cannot be read.
    pub fn new(config: &KafkaConfig, progress: Arc<Progress>) -> Result<Self> {
        let problem = |error: KafkaError| Error::Config(vec![format!("kafka {:?}: {error}", config.name)]);
        let told = Told {
            source: config.name.clone(),
            progress: Arc::clone(&progress),
        };
        let inner: StreamConsumer<Told> = settings(config)?.create_with_context(told).map_err(problem)?;
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        inner.subscribe(&topics).map_err(problem)?;
        Ok(Self {
            inner,
            source: config.name.clone(),
            progress,
        })
    }

    /// Waits for messages, and takes with them those that are there already, in the order of each partition. Nothing is lost when
    /// the wait is given up.
    pub async fn next(&self) -> Vec<Message> {
        let Some(first) = self.taken(self.inner.recv().await.map(|message| owned(&message))) else {
            return Vec::new();
        };
        let mut bytes = first.payload.len();
        let mut messages = vec![first];
        while messages.len() < MAX_MESSAGES && bytes < MAX_BYTES {
            let Some(next) = self.inner.recv().now_or_never() else {
                break;
            };
            let Some(next) = self.taken(next.map(|message| owned(&message))) else {
                break;
            };
            bytes += next.payload.len();
            messages.push(next);
        }
        messages
    }

    /// The library deals with failures by itself; they are told and it goes on.
    fn taken(&self, message: Result<Message, KafkaError>) -> Option<Message> {
        match message {
            Ok(message) => Some(message),
            Err(error) => {
                let problem = error.to_string();
                if self.progress.cut_off(&self.source, &problem) {
                    tracing::warn!(source = %self.source, "Kafka: {problem}");
                }
                None
            }
        }
    }

    /// Everything of a partition up to and with this message is durable.
    pub fn done(&self, message: &Message) {
        let mut place = TopicPartitionList::with_capacity(1);
        let next = Offset::Offset(message.offset + 1);
        let stored = place
            .add_partition_offset(&message.topic, message.partition, next)
            .and_then(|()| self.inner.store_offsets(&place));
        // The partition has gone to another member, which reads it again: what it has in common with this one is dropped there.
        if let Err(error) = stored {
            tracing::debug!(source = %self.source, %error, "the place in {} is not kept", message.place());
        }
    }

    /// Stops reading, yet stays a member of the group.
    pub fn pause(&self) {
        self.for_all("paused", |partitions| self.inner.pause(partitions));
    }

    /// Reads on.
    pub fn resume(&self) {
        self.for_all("resumed", |partitions| self.inner.resume(partitions));
    }

    fn for_all(&self, what: &str, change: impl FnOnce(&TopicPartitionList) -> Result<(), KafkaError>) {
        if let Err(error) = self.inner.assignment().and_then(|all| change(&all)) {
            tracing::warn!(source = %self.source, %error, "the partitions could not be {what}");
        }
    }

    /// Commits, and leaves the group. Blocks while a broker answers.
    pub fn leave(self) {
        drop(self);
    }
}

fn owned(message: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    Message {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        content_type: content_type(message.headers()),
        at: message.timestamp().to_millis().filter(|at| *at > 0).map(Timestamp),
        payload: message.payload().unwrap_or_default().to_vec(),
    }
}

fn content_type(headers: Option<&BorrowedHeaders>) -> Option<String> {
    let mut headers = headers?.iter();
    let header = headers.find(|header| header.key.eq_ignore_ascii_case("content-type"))?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

fn settings(config: &KafkaConfig) -> Result<ClientConfig> {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("group.id", &config.group)
        .set("client.id", "halo")
        .set(
            "auto.offset.reset",
            if config.from_start { "earliest" } else { "latest" },
        )
        .set("session.timeout.ms", config.session_ms.to_string())
        .set("heartbeat.interval.ms", (config.session_ms / 3).to_string())
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        // A topic that is made later is found within this time.
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("reconnect.backoff.ms", "200")
        .set("reconnect.backoff.max.ms", "10000")
        .set("statistics.interval.ms", millis(STATISTICS).as_str())
        // What waits in memory for its turn, all partitions together.
        .set("queued.max.messages.kbytes", "32768");
    let protocol = match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    if let Some(tls) = &config.tls {
        match &tls.ca {
            Some(ca) => settings.set("ssl.ca.location", ca.to_string_lossy()),
            // Where this system keeps the authorities it trusts.
            None => settings.set("ssl.ca.location", "probe"),
        };
        if let Some((certificate, key)) = &tls.identity {
            settings.set("ssl.certificate.location", certificate.to_string_lossy());
            settings.set("ssl.key.location", key.to_string_lossy());
        }
    }
    if let Some(sasl) = &config.sasl {
        settings
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", &sasl.user)
            .set("sasl.password", password(&config.name, sasl)?);
    }
    Ok(settings)
}

/// How often the library tells where it stands.
const STATISTICS: Duration = Duration::from_secs(2);

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn password(name: &str, sasl: &Sasl) -> Result<String> {
    let text = match &sasl.password {
        SecretPlace::File(path) => std::fs::read_to_string(path)
            .map_err(|error| Error::io("the password for Kafka cannot be read", path, error))?,
        SecretPlace::Env(variable) => std::env::var(variable).map_err(|_| {
            Error::Config(vec![format!(
                "kafka {name:?}: the environment variable {variable} holds no password"
            )])
        })?,
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
