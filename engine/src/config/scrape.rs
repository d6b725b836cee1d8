//! `[[scrape]]`: `/metrics` of others, for those who have no Prometheus
//!
//! ```toml
//! [[scrape]]
//! job = "node"
//! targets = ["web-1:9100", "web-2:9100"]
//! files = ["/etc/halo/targets/*.json"]   # Prometheus' file_sd, JSON or YAML, read again when they change
//! interval_secs = 15
//! timeout_secs = 10
//! scheme = "http"
//! metrics_path = "/metrics"
//! labels = { env = "prod" }
//! honor_labels = false      # true: labels of the target win over job, instance and those above
//! max_samples = 100000      # of one scrape; more refuse it
//! max_body_mb = 16
//! bearer = { secret_file = "/run/secrets/node" }                  # or secret_env
//! basic = { username = "halo", secret_env = "HALO_NODE_PASSWORD" }
//! ```

use super::check;
use super::receivers::{RawSecret, SecretPlace};
use crate::ingest::scrape::{Credentials, ScrapeConfig};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// `[[scrape]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawScrape {
    pub job: String,
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Lists of targets; `*` in the name of a file.
    pub files: Vec<PathBuf>,
    /// Default 15.
    pub interval_secs: Option<u64>,
    /// Default 10, or the interval if that is less.
    pub timeout_secs: Option<u64>,
    /// `http` (the default) or `https`.
    pub scheme: Option<String>,
    /// Default `/metrics`.
    pub metrics_path: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub honor_labels: bool,
    /// Default 100000.
    pub max_samples: Option<usize>,
    /// Default 16.
    pub max_body_mb: Option<usize>,
    pub bearer: Option<RawSecret>,
    pub basic: Option<RawBasic>,
}

/// A user and where the password is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBasic {
    pub username: String,
    pub secret_file: Option<PathBuf>,
    pub secret_env: Option<String>,
}

pub(super) fn scrape(raw: Vec<RawScrape>, problems: &mut Vec<String>) -> Vec<ScrapeConfig> {
    let mut names = BTreeSet::new();
    let jobs = raw.into_iter().enumerate().map(|(index, raw)| {
        let place = if raw.job.is_empty() {
            problems.push(format!("scrape[{index}].job: needs a name"));
            format!("scrape[{index}]")
        } else {
            format!("scrape {:?}", raw.job)
        };
        check(problems, names.insert(raw.job.clone()), || {
            format!("{place}: two jobs have this name")
        });
        job(raw, &place, problems)
    });
    jobs.collect()
}

fn job(raw: RawScrape, place: &str, problems: &mut Vec<String>) -> ScrapeConfig {
    check(problems, !raw.targets.is_empty() || !raw.files.is_empty(), || {
        format!("{place}: needs targets or files")
    });
    for target in &raw.targets {
        check(problems, is_address(target), || {
            format!("{place}.targets: must be like host:9100, without scheme and path, got {target:?}")
        });
    }
    for file in &raw.files {
        let known = file
            .extension()
            .is_some_and(|end| end == "json" || end == "yml" || end == "yaml");
        check(problems, known, || {
            format!(
                "{place}.files: must end with .json, .yml or .yaml, got {}",
                file.display()
            )
        });
    }
    let interval_secs = raw.interval_secs.unwrap_or(15);
    check(problems, (1..=86_400).contains(&interval_secs), || {
        format!("{place}.interval_secs: must be 1 to 86400, got {interval_secs}")
    });
    let timeout_secs = raw.timeout_secs.unwrap_or_else(|| interval_secs.min(10));
    check(problems, timeout_secs > 0 && timeout_secs <= interval_secs, || {
        format!("{place}.timeout_secs: must be 1 to interval_secs, got {timeout_secs}")
    });
    let scheme = raw.scheme.unwrap_or_else(|| "http".to_owned());
    check(problems, scheme == "http" || scheme == "https", || {
        format!("{place}.scheme: must be http or https, got {scheme:?}")
    });
    let metrics_path = raw.metrics_path.unwrap_or_else(|| "/metrics".to_owned());
    check(problems, metrics_path.starts_with('/'), || {
        format!("{place}.metrics_path: must begin with /, got {metrics_path:?}")
    });
    for name in raw.labels.keys() {
        check(problems, is_label(name), || {
            format!("{place}.labels: {name:?} is no name of a label, or one with two underscores in front")
        });
    }
    let max_samples = raw.max_samples.unwrap_or(100_000);
    check(problems, max_samples > 0, || {
        format!("{place}.max_samples: must be above 0")
    });
    let max_body_mb = raw.max_body_mb.unwrap_or(16);
    check(problems, (1..=512).contains(&max_body_mb), || {
        format!("{place}.max_body_mb: must be 1 to 512, got {max_body_mb}")
    });
    let mut secret = |field: &str, file, variable| {
        let found = SecretPlace::one_of(file, variable).ok().flatten();
        check(problems, found.is_some(), || {
            format!("{place}.{field}: give either secret_file or secret_env")
        });
        found
    };
    let bearer = raw
        .bearer
        .and_then(|raw| secret("bearer", raw.secret_file, raw.secret_env))
        .map(Credentials::Bearer);
    let basic = raw.basic.and_then(|raw| {
        let password = secret("basic", raw.secret_file, raw.secret_env)?;
        Some(Credentials::Basic {
            username: raw.username,
            password,
        })
    });
    check(problems, bearer.is_none() || basic.is_none(), || {
        format!("{place}: give bearer or basic, not both")
    });
    ScrapeConfig {
        job: raw.job,
        targets: raw.targets,
        files: raw.files,
        interval_ms: interval_secs.saturating_mul(1000),
        timeout_ms: timeout_secs.saturating_mul(1000),
        scheme,
        metrics_path,
        labels: raw.labels.into_iter().collect(),
        honor_labels: raw.honor_labels,
        max_samples,
        max_body_bytes: max_body_mb << 20,
        credentials: bearer.or(basic),
    }
}

/// `host` or `host:port`, as they stand in an address.
pub(crate) fn is_address(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    !text.is_empty() && text.len() <= 300 && text.chars().all(good)
}

/// A label that a person may set.
pub(crate) fn is_label(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && !name.starts_with("__") && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, RawConfig};
    use crate::error::Error;

    #[test]
    fn a_job_has_safe_defaults() {
        let text = "[[scrape]]\njob = \"node\"\ntargets = [\"[::1]:9100\", \"web-1:9100\"]\n";
        let config = Config::try_from(RawConfig::parse(text).unwrap()).unwrap();
        let [job] = config.scrape.as_slice() else {
            panic!("one job was said")
        };
        assert_eq!((job.interval_ms, job.timeout_ms), (15_000, 10_000));
        assert_eq!((job.scheme.as_str(), job.metrics_path.as_str()), ("http", "/metrics"));
        assert!(!job.honor_labels && job.credentials.is_none());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let text = "[[scrape]]\ntargets = [\"http://x/metrics\"]\ninterval_secs = 5\ntimeout_secs = 6\nscheme = \"ftp\"\n\
                    metrics_path = \"m\"\nmax_samples = 0\nmax_body_mb = 0\nfiles = [\"list.txt\"]\nlabels = { __x = \"1\" }\n\
                    bearer = {}\nbasic = { username = \"u\", secret_env = \"A\", secret_file = \"b\" }\n\
                    [[scrape]]\njob = \"a\"\n";
        let Err(Error::Config(problems)) = Config::try_from(RawConfig::parse(text).unwrap()) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(':').next()).collect();
        let expected = [
            "scrape[0].job",
            "scrape[0].targets",
            "scrape[0].files",
            "scrape[0].timeout_secs",
            "scrape[0].scheme",
            "scrape[0].metrics_path",
            "scrape[0].labels",
            "scrape[0].max_samples",
            "scrape[0].max_body_mb",
            "scrape[0].bearer",
            "scrape[0].basic",
            "scrape \"a\"",
        ];
        assert_eq!(fields, expected);
    }
}
