//! `[webhooks.*]`, `[statsd]`
//!
//! ```toml
//! [webhooks.github]                # also gitlab, grafana, pagerduty, firehose
//! secret_file = "/run/secrets/github"   # or secret_env = "HALO_GITHUB_SECRET"
//!
//! [statsd]
//! udp = "127.0.0.1:8125"           # and, or: tcp = "127.0.0.1:8125"
//! flush_secs = 10
//! max_series = 10000
//! allow_remote = false             # true: listen on an address that other machines reach
//! ```
//!
//! A secret never stands in the file itself: a configuration is shown, copied and kept in places where no secret may be.

use super::check;
use crate::ingest::statsd::StatsdConfig;
use core::net::SocketAddr;
use serde::Deserialize;
use std::path::PathBuf;

/// Where a secret is read from when the server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    File(PathBuf),
    /// The name of an environment variable.
    Env(String),
}

impl SecretPlace {
    /// Of two settings of which at most one is given; `None`: neither is.
    ///
    /// # Errors
    /// If both are, or the variable has no name.
    pub(super) fn one_of(file: Option<PathBuf>, variable: Option<String>) -> Result<Option<Self>, ()> {
        match (file, variable) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(Self::File(file))),
            (None, Some(variable)) if !variable.is_empty() => Ok(Some(Self::Env(variable))),
            _ => Err(()),
        }
    }

    /// Where it is, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(variable) => format!("the environment variable {variable}"),
        }
    }
}

/// Something for each sender that signs what it sends, or sends a key along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSecrets<T> {
    /// Signs the body: `X-Hub-Signature-256`.
    pub github: Option<T>,
    /// Sent along: `X-Gitlab-Token`.
    pub gitlab: Option<T>,
    /// Signs the body of alerts: `X-Grafana-Alerting-Signature`.
    pub grafana: Option<T>,
    /// Sent along: the `routing_key` of a change event.
    pub pagerduty: Option<T>,
    /// Sent along: `X-Amz-Firehose-Access-Key`.
    pub firehose: Option<T>,
}

impl<T> Default for WebhookSecrets<T> {
    fn default() -> Self {
        Self {
            github: None,
            gitlab: None,
            grafana: None,
            pagerduty: None,
            firehose: None,
        }
    }
}

/// `[webhooks]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWebhooks {
    pub github: Option<RawSecret>,
    pub gitlab: Option<RawSecret>,
    pub grafana: Option<RawSecret>,
    pub pagerduty: Option<RawSecret>,
    pub firehose: Option<RawSecret>,
}

/// Exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSecret {
    pub secret_file: Option<PathBuf>,
    pub secret_env: Option<String>,
}

/// `[statsd]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStatsd {
    pub udp: Option<String>,
    pub tcp: Option<String>,
    /// Samples are made so often; default 10.
    pub flush_secs: Option<u64>,
    /// Most series; default 10000.
    pub max_series: Option<usize>,
    pub allow_remote: bool,
}

pub(super) fn webhooks(raw: RawWebhooks, problems: &mut Vec<String>) -> WebhookSecrets<SecretPlace> {
    let mut place = |name: &str, raw: Option<RawSecret>| {
        let raw = raw?;
        let found = SecretPlace::one_of(raw.secret_file, raw.secret_env).ok().flatten();
        check(problems, found.is_some(), || {
            format!("webhooks.{name}: give either secret_file or secret_env")
        });
        found
    };
    WebhookSecrets {
        github: place("github", raw.github),
        gitlab: place("gitlab", raw.gitlab),
        grafana: place("grafana", raw.grafana),
        pagerduty: place("pagerduty", raw.pagerduty),
        firehose: place("firehose", raw.firehose),
    }
}

pub(super) fn statsd(raw: RawStatsd, problems: &mut Vec<String>) -> Option<StatsdConfig> {
    if raw.udp.is_none() && raw.tcp.is_none() {
        problems.push("statsd: needs udp or tcp, an address to listen on".to_owned());
    }
    let mut address = |field: &str, text: Option<String>| {
        let text = text?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            problems.push(format!("statsd.{field}: must be like 127.0.0.1:8125, got {text:?}"));
            return None;
        };
        let near = address.ip().to_canonical().is_loopback();
        check(problems, raw.allow_remote || near, || {
            format!(
                "statsd.{field}: {address} can be reached from other machines and StatsD knows no passwords: \
                 set statsd.allow_remote = true if that is meant"
            )
        });
        Some(address)
    };
    let (udp, tcp) = (address("udp", raw.udp), address("tcp", raw.tcp));
    let flush_secs = raw.flush_secs.unwrap_or(10);
    check(problems, (1..=3600).contains(&flush_secs), || {
        format!("statsd.flush_secs: must be 1 to 3600, got {flush_secs}")
    });
    let max_series = raw.max_series.unwrap_or(10_000);
    check(problems, max_series > 0, || {
        "statsd.max_series: must be above 0".to_owned()
    });
    Some(StatsdConfig {
        udp,
        tcp,
        flush_ms: flush_secs.saturating_mul(1000),
        max_series,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawConfig};
    use super::*;
    use crate::error::Error;

    fn problems(text: &str) -> Vec<String> {
        match Config::try_from(RawConfig::parse(text).unwrap()) {
            Err(Error::Config(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn secrets_are_named_not_written() {
        let text = "[webhooks.github]\nsecret_env = \"S\"\n[webhooks.pagerduty]\nsecret_file = \"/s\"\n";
        let config = Config::try_from(RawConfig::parse(text).unwrap()).unwrap();
        assert_eq!(config.webhooks.github, Some(SecretPlace::Env("S".to_owned())));
        assert_eq!(config.webhooks.pagerduty, Some(SecretPlace::File("/s".into())));
        assert_eq!(
            problems("[webhooks.gitlab]\n[webhooks.grafana]\nsecret_env = \"a\"\nsecret_file = \"b\"\n"),
            [
                "webhooks.gitlab: give either secret_file or secret_env",
                "webhooks.grafana: give either secret_file or secret_env"
            ]
        );
        assert!(RawConfig::parse("[webhooks.github]\nsecret = \"x\"\n").is_err());
    }

    #[test]
    fn statsd_listens_where_only_this_machine_can_send_unless_told_otherwise() {
        let parse = |text: &str| Config::try_from(RawConfig::parse(text).unwrap()).unwrap().statsd;
        assert_eq!(parse(""), None);
        let local = parse("[statsd]\nudp = \"[::1]:8125\"\n").unwrap();
        assert_eq!((local.udp.unwrap().port(), local.flush_ms), (8125, 10_000));
        assert!(parse("[statsd]\ntcp = \"0.0.0.0:8125\"\nallow_remote = true\n").is_some());
        assert!(problems("[statsd]\nudp = \"0.0.0.0:8125\"\n")[0].contains("statsd.allow_remote"));
        assert!(problems("[statsd]\nudp = \"localhost\"\n")[0].contains("must be like 127.0.0.1:8125"));
        assert!(problems("[statsd]\n")[0].contains("needs udp or tcp"));
    }
}
