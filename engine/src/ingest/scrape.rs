//! `/metrics` of others: what a Prometheus would do for those who have none.
//!
//! [`exposition`] reads the text, [`target`] makes samples of it, with `up` and the series that Prometheus adds, [`discover`] reads
//! lists of targets, [`fetch`] asks.

pub mod discover;
pub mod exposition;
pub mod fetch;
pub mod target;

use crate::config::SecretPlace;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeConfig {
    pub job: String,
    /// `host:port`
    pub targets: Vec<String>,
    /// Lists of targets; `*` in the name of a file.
    pub files: Vec<PathBuf>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub scheme: String,
    pub metrics_path: String,
    pub labels: Vec<(String, String)>,
    /// Labels of the target win over those of the job.
    pub honor_labels: bool,
    pub max_samples: usize,
    pub max_body_bytes: usize,
    pub credentials: Option<Credentials>,
}

/// How a target knows who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    Bearer(SecretPlace),
    Basic { username: String, password: SecretPlace },
}

/// What is asked, and the labels that its series get.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub url: String,
    /// Sorted by name; `job` and `instance` among them.
    pub labels: Vec<(String, String)>,
}

impl Target {
    /// The target at an address, with labels of its own beside those of the job. Labels with two underscores in front say how to
    /// ask, as Prometheus has it, and are none of the series'.
    pub fn new(config: &ScrapeConfig, address: &str, own: &[(String, String)]) -> Self {
        let own_of = |name: &str| own.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let scheme = own_of("__scheme__").unwrap_or(&config.scheme);
        let path = own_of("__metrics_path__").unwrap_or(&config.metrics_path);
        let mut labels = vec![
            ("job".to_owned(), config.job.clone()),
            ("instance".to_owned(), address.to_owned()),
        ];
        for (name, value) in config
            .labels
            .iter()
            .chain(own)
            .filter(|(name, _)| !name.starts_with("__"))
        {
            labels.retain(|(known, _)| known != name);
            labels.push((name.clone(), value.clone()));
        }
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort();
        Self {
            url: format!("{scheme}://{address}{path}"),
            labels,
        }
    }

    /// When within an interval it is asked, so that not all of them are at once.
    pub fn offset_ms(&self, interval_ms: u64) -> u64 {
        xxh3_64(self.url.as_bytes()) % interval_ms.max(1)
    }
}

#[cfg(test)]
mod tests;
