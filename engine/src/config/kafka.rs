//! `[[kafka]]`
//!
//! ```toml
//! [[kafka]]
//! brokers = ["kafka-1:9092", "kafka-2:9092"]
//! topics = ["otlp_metrics"]
//! encoding = "otlp_proto"          # otlp_json, prometheus_remote_write, json (logs), text (logs; also: raw)
//! signal = "metrics"               # logs, spans; of otlp_*; else the end of the topic's name says it: otlp_logs, otlp_spans
//! group_id = "halo"
//! session_timeout_secs = 10        # a crash keeps the partitions unread for so long; 6 to 1800, as brokers have it
//! initial_offset = "latest"        # or earliest: only where the group has no place yet
//! name = "kafka"                   # under which it is counted
//! tls = true
//! ca_file = "/etc/ssl/kafka-ca.pem"     # else the system's authorities; cert_file and key_file: the client's own
//! sasl_mechanism = "SCRAM-SHA-512"      # SCRAM-SHA-256, PLAIN
//! username = "halo"
//! password_file = "/run/secrets/kafka"  # or password_env
//! ```

use super::{SecretPlace, check, tables};
use crate::ingest::kafka::{Format, KafkaConfig, Kind, Sasl, Tls};
use crate::ingest::otlp::Encoding;
use serde::Deserialize;
use std::path::PathBuf;

/// `[[kafka]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKafka {
    pub name: Option<String>,
    pub brokers: Vec<String>,
    pub topics: Vec<String>,
    pub group_id: Option<String>,
    pub encoding: Option<String>,
    pub signal: Option<String>,
    pub session_timeout_secs: Option<u32>,
    pub initial_offset: Option<String>,
    pub tls: bool,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub sasl_mechanism: Option<String>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
}

pub(super) fn kafka(all: Vec<RawKafka>, problems: &mut Vec<String>) -> Vec<KafkaConfig> {
    tables("kafka", all, one, |config| &config.name, problems)
}

fn one(raw: RawKafka, problems: &mut Vec<String>) -> KafkaConfig {
    let are_named = |names: &[String]| !names.is_empty() && names.iter().all(|name| !name.trim().is_empty());
    check(problems, are_named(&raw.brokers), || {
        "brokers: needs at least one, such as \"kafka-1:9092\"".to_owned()
    });
    check(problems, are_named(&raw.topics), || {
        "topics: needs at least one, such as \"otlp_metrics\"".to_owned()
    });
    let name = raw.name.unwrap_or_else(|| "kafka".to_owned());
    check(problems, !name.is_empty() && name.len() <= 100, || {
        "name: must have 1 to 100 bytes".to_owned()
    });
    let group = raw.group_id.unwrap_or_else(|| "halo".to_owned());
    check(problems, !group.is_empty(), || "group_id: must not be empty".to_owned());
    let session_secs = raw.session_timeout_secs.unwrap_or(10);
    check(problems, (6..=1800).contains(&session_secs), || {
        format!("session_timeout_secs: must be 6 to 1800, got {session_secs}")
    });
    let from_start = match raw.initial_offset.as_deref() {
        None | Some("latest") => false,
        Some("earliest") => true,
        Some(other) => {
            problems.push(format!("initial_offset: must be latest or earliest, got {other:?}"));
            false
        }
    };
    let format = format(raw.encoding.as_deref(), raw.signal.as_deref(), problems);
    let identity = match (raw.cert_file, raw.key_file) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            problems.push("cert_file: needs key_file as well, and the other way round".to_owned());
            None
        }
    };
    check(
        problems,
        raw.tls || (raw.ca_file.is_none() && identity.is_none()),
        || "tls: must be true where ca_file or cert_file is given".to_owned(),
    );
    let tls = raw.tls.then_some(Tls {
        ca: raw.ca_file,
        identity,
    });
    let password = SecretPlace::one_of(raw.password_file, raw.password_env);
    check(problems, password.is_ok(), || {
        "password_file: give either password_file or password_env".to_owned()
    });
    let password = password.unwrap_or_default();
    KafkaConfig {
        name,
        brokers: raw.brokers,
        topics: raw.topics,
        group,
        session_ms: session_secs.saturating_mul(1000),
        format,
        from_start,
        tls,
        sasl: sasl(raw.sasl_mechanism.as_deref(), raw.username, password, problems),
    }
}

fn format(encoding: Option<&str>, signal: Option<&str>, problems: &mut Vec<String>) -> Format {
    let kind = match signal {
        None => None,
        Some("metrics") => Some(Kind::Metrics),
        Some("logs") => Some(Kind::Logs),
        Some("spans" | "traces") => Some(Kind::Spans),
        Some(other) => {
            problems.push(format!("signal: must be metrics, logs or spans, got {other:?}"));
            None
        }
    };
    let format = match encoding {
        None | Some("otlp_proto") => Format::Otlp(Encoding::Protobuf, kind),
        Some("otlp_json") => Format::Otlp(Encoding::Json, kind),
        Some("prometheus_remote_write") => Format::RemoteWrite,
        Some("json") => Format::JsonLogs,
        Some("text" | "raw") => Format::Text,
        Some(other) => {
            problems.push(format!(
                "encoding: must be otlp_proto, otlp_json, prometheus_remote_write, json or text, got {other:?}"
            ));
            Format::Text
        }
    };
    check(problems, kind.is_none() || matches!(format, Format::Otlp(..)), || {
        "signal: is for otlp_proto and otlp_json alone".to_owned()
    });
    format
}

fn sasl(
    mechanism: Option<&str>,
    user: Option<String>,
    password: Option<SecretPlace>,
    problems: &mut Vec<String>,
) -> Option<Sasl> {
    let mechanism = match mechanism {
        None => {
            check(problems, user.is_none() && password.is_none(), || {
                "sasl_mechanism: must be said where there is a username or password".to_owned()
            });
            return None;
        }
        Some("PLAIN") => "PLAIN",
        Some("SCRAM-SHA-256") => "SCRAM-SHA-256",
        Some("SCRAM-SHA-512") => "SCRAM-SHA-512",
        Some(other) => {
            problems.push(format!(
                "sasl_mechanism: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, got {other:?}"
            ));
            return None;
        }
    };
    let (Some(user), Some(password)) = (user, password) else {
        problems.push("sasl_mechanism: needs username, and password_file or password_env".to_owned());
        return None;
    };
    Some(Sasl {
        mechanism,
        user,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawConfig};
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_said_is_done_and_the_rest_is_safe() {
        let text = "[[kafka]]\nbrokers = [\"b:9092\"]\ntopics = [\"otlp_metrics\"]\n\
                    [[kafka]]\nname = \"lines\"\nbrokers = [\"b:9093\"]\ntopics = [\"app\"]\nencoding = \"raw\"\n\
                    session_timeout_secs = 6\ninitial_offset = \"earliest\"\ntls = true\nca_file = \"/ca\"\n\
                    sasl_mechanism = \"SCRAM-SHA-512\"\nusername = \"u\"\npassword_env = \"P\"\n";
        let config = Config::try_from(RawConfig::parse(text).unwrap()).unwrap();
        let [first, second] = config.kafka.as_slice() else {
            panic!("{:?}", config.kafka)
        };
        assert_eq!(
            (first.name.as_str(), first.group.as_str(), first.from_start),
            ("kafka", "halo", false)
        );
        assert_eq!((first.session_ms, second.session_ms), (10_000, 6000));
        assert_eq!(first.format, Format::Otlp(Encoding::Protobuf, None));
        assert_eq!((&first.tls, &first.sasl), (&None, &None));
        assert_eq!((second.format, second.from_start), (Format::Text, true));
        assert_eq!(second.tls.as_ref().unwrap().ca, Some("/ca".into()));
        assert_eq!(second.sasl.as_ref().unwrap().password, SecretPlace::Env("P".into()));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let text = "[[kafka]]\nencoding = \"avro\"\nsignal = \"x\"\ninitial_offset = \"0\"\nca_file = \"/ca\"\ncert_file = \"/c\"\n\
                    username = \"u\"\npassword_env = \"P\"\npassword_file = \"/p\"\n\
                    [[kafka]]\nbrokers = [\"b\"]\ntopics = [\"t\"]\nencoding = \"text\"\nsignal = \"logs\"\nsasl_mechanism = \"GSSAPI\"\n\
                    [[kafka]]\nbrokers = [\"b\"]\ntopics = [\"t\"]\nname = \"x\"\nsession_timeout_secs = 5\nsasl_mechanism = \"PLAIN\"\n";
        let Err(Error::Config(problems)) = Config::try_from(RawConfig::parse(text).unwrap()) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(": ").next()).collect();
        let expected = [
            "kafka[0].brokers",
            "kafka[0].topics",
            "kafka[0].initial_offset",
            "kafka[0].signal",
            "kafka[0].encoding",
            "kafka[0].cert_file",
            "kafka[0].tls",
            "kafka[0].password_file",
            "kafka[0].sasl_mechanism",
            "kafka[1].signal",
            "kafka[1].sasl_mechanism",
            "kafka[1].name",
            "kafka[2].session_timeout_secs",
            "kafka[2].sasl_mechanism",
        ];
        assert_eq!(fields, expected, "{problems:#?}");
    }
}
