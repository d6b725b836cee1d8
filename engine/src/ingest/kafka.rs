//! Telemetry out of Kafka: what a message of a topic is, where a source stands in it, and the client that reads it.
//!
//! A message is acknowledged to Kafka only after what it holds is durable here; what is read again after a crash is dropped by series
//! and timestamp. A message that makes no sense is counted and passed over, since it would keep everything behind it away for good.

pub mod client;
mod progress;

pub use progress::Progress;

use super::otlp::Encoding;
use super::prometheus::{CONTENT_TYPE, Version};
use super::signal::{Collector, SignalLimits, Signals};
use wire::Timestamp;
use wire::signal::LogRecord;

/// Which kind of telemetry the topics of OTLP hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Metrics,
    Logs,
    Spans,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the Collector's exporter for Kafka writes them. Without a kind, the name of the topic says it.
    Otlp(Encoding, Option<Kind>),
    /// Remote write of either version: protobuf in a snappy block.
    RemoteWrite,
    /// JSON objects, one a line or in a list.
    JsonLogs,
    /// One line of a log.
    Text,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// The name under which samples are counted.
    pub name: String,
    pub brokers: Vec<String>,
    pub topics: Vec<String>,
    pub group: String,
    /// Who is not heard of for so long is no member any more: a crash of Halo keeps its partitions unread until then.
    pub session_ms: u32,
    pub format: Format,
    /// Where to begin in a partition in which the group has no place yet: at its start, or with what comes next.
    pub from_start: bool,
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
}

/// Files of an encrypted connection. Without `ca` the system's authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub ca: Option<std::path::PathBuf>,
    /// The client's certificate and key.
    pub identity: Option<(std::path::PathBuf, std::path::PathBuf)>,
}

/// How the client proves itself by a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    pub user: String,
    pub password: crate::config::SecretPlace,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// When it was written, if its writer or its broker says.
    pub at: Option<Timestamp>,
    /// What its header `content-type` says.
    pub content_type: Option<String>,
    pub payload: Vec<u8>,
}

impl Message {
    /// The version of remote write that it names. `None`: its content type says nothing of it.
    ///
    /// # Errors
    /// If it names one that is not known.
    pub fn remote_write_version(&self) -> Result<Option<Version>, String> {
        let essence = |kind: &&str| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = self.content_type.as_deref();
        let kind = kind.filter(|kind| essence(kind) == CONTENT_TYPE && kind.contains(';'));
        kind.map(Version::of_content_type).transpose()
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        format!("{}, partition {}, offset {}", self.topic, self.partition, self.offset)
    }
}

/// The kind of telemetry that the Collector writes to a topic of this name; metrics where the name says nothing.
pub fn kind_of_topic(topic: &str) -> Kind {
    if topic.ends_with("logs") {
        Kind::Logs
    } else if topic.ends_with("spans") || topic.ends_with("traces") {
        Kind::Spans
    } else {
        Kind::Metrics
    }
}

/// A message as one line of a log, of the service of its topic. Its place is said with it: two equal lines are two, and one that is
/// read twice is one.
pub fn line(message: &Message, limits: &SignalLimits, now: Timestamp) -> Signals {
    let mut collector = Collector::new(limits);
    let at = message.at.unwrap_or(now);
    let record = LogRecord {
        at,
        service: message.topic.clone(),
        severity: 0,
        text: String::from_utf8_lossy(&message.payload).into_owned(),
        attributes: vec![
            ("kafka.offset".to_owned(), message.offset.to_string()),
            ("kafka.partition".to_owned(), message.partition.to_string()),
        ],
        trace_id: String::new(),
        span_id: String::new(),
    };
    collector.log(record, i128::from(at.as_millis()) * 1_000_000);
    collector.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_topic_says_what_it_holds() {
        let kinds = ["otlp_metrics", "otlp_logs", "otlp_spans", "eu.traces", "anything"].map(kind_of_topic);
        assert_eq!(
            kinds,
            [Kind::Metrics, Kind::Logs, Kind::Spans, Kind::Spans, Kind::Metrics]
        );
    }

    #[test]
    fn a_content_type_names_the_version_where_it_can() {
        let named = |content_type: Option<&str>| {
            let message = Message {
                topic: "prom".into(),
                partition: 0,
                offset: 0,
                at: None,
                content_type: content_type.map(str::to_owned),
                payload: Vec::new(),
            };
            message.remote_write_version()
        };
        for says_nothing in [None, Some("application/octet-stream"), Some("application/x-protobuf")] {
            assert_eq!(named(says_nothing), Ok(None));
        }
        let one = "application/x-protobuf;proto=prometheus.WriteRequest";
        let two = "Application/X-Protobuf; proto=io.prometheus.write.v2.Request";
        assert_eq!(
            [named(Some(one)), named(Some(two))],
            [Ok(Some(Version::One)), Ok(Some(Version::Two))]
        );
        let problem = named(Some("application/x-protobuf;proto=other")).unwrap_err();
        assert!(problem.contains("unknown message \"other\""), "{problem}");
    }

    #[test]
    fn equal_lines_are_two_and_one_read_twice_is_one() {
        let message = |offset| Message {
            topic: "app".into(),
            partition: 3,
            offset,
            at: Some(Timestamp(5)),
            content_type: None,
            payload: b"out of \xff stock".to_vec(),
        };
        let read = |offset| line(&message(offset), &SignalLimits::default(), Timestamp(9));
        let (first, again, second) = (read(7), read(7), read(8));
        assert_eq!(first, again);
        assert_ne!(first.logs[0].digest, second.logs[0].digest);
        let record = &first.logs[0].record;
        assert_eq!((record.at, record.service.as_str()), (Timestamp(5), "app"));
        assert_eq!(record.text, "out of \u{fffd} stock");
        assert_eq!(message(7).place(), "app, partition 3, offset 7");
    }
}
