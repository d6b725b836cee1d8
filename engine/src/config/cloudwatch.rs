//! `[[cloudwatch]]`
//!
//! ```toml
//! [[cloudwatch]]
//! region = "eu-central-1"
//! namespaces = ["AWS/EC2", "AWS/RDS"]
//! metrics = ["CPUUtilization"]     # else all
//! dimensions = { InstanceId = "" } # only metrics with it; a value other than "" must be that one
//! statistics = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"]   # also p99, TM(25%:75%)
//! period_secs = 60
//! delay_secs = 180                 # a period is complete so long after its end
//! max_metrics = 1000               # AWS charges for each question
//! account_id = "123456789012"      # a label
//! credentials_file = "/run/secrets/aws"  # profile = "halo"; without both AWS_ACCESS_KEY_ID, or ~/.aws/credentials
//! name = "cloudwatch"              # under which it is counted
//! endpoint = "http://127.0.0.1:5000"     # instead of the region's own
//! ```

use super::{check, is_http, tables};
use crate::ingest::cloudwatch::poll::{CloudwatchConfig, CredentialsPlace};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The statistics that CloudWatch counts as one question.
const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];

/// `[[cloudwatch]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCloudwatch {
    pub name: Option<String>,
    pub region: String,
    pub endpoint: Option<String>,
    pub namespaces: Vec<String>,
    pub metrics: Vec<String>,
    pub dimensions: BTreeMap<String, String>,
    pub statistics: Option<Vec<String>>,
    pub period_secs: Option<u32>,
    pub delay_secs: Option<u32>,
    pub max_metrics: Option<usize>,
    pub account_id: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub profile: Option<String>,
}

pub(super) fn cloudwatch(all: Vec<RawCloudwatch>, problems: &mut Vec<String>) -> Vec<CloudwatchConfig> {
    tables("cloudwatch", all, one, |config| &config.name, problems)
}

fn one(raw: RawCloudwatch, problems: &mut Vec<String>) -> CloudwatchConfig {
    let is_region = !raw.region.is_empty() && raw.region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    check(problems, is_region, || {
        format!("region: must be like eu-central-1, got {:?}", raw.region)
    });
    check(problems, raw.endpoint.as_deref().is_none_or(is_http), || {
        "endpoint: must start with http:// or https://".to_owned()
    });
    check(problems, !raw.namespaces.is_empty(), || {
        "namespaces: needs at least one, such as \"AWS/EC2\"".to_owned()
    });
    let statistics = raw.statistics.unwrap_or_else(|| STATISTICS.map(str::to_owned).to_vec());
    check(
        problems,
        !statistics.is_empty() && statistics.iter().all(|name| !name.is_empty()),
        || "statistics: needs at least one, such as \"Average\"".to_owned(),
    );
    let period_secs = raw.period_secs.unwrap_or(60);
    check(
        problems,
        (60..=86_400).contains(&period_secs) && period_secs.is_multiple_of(60),
        || format!("period_secs: must be a multiple of 60 up to 86400, got {period_secs}"),
    );
    let delay_secs = raw.delay_secs.unwrap_or(180);
    check(problems, delay_secs <= 86_400, || {
        format!("delay_secs: must be at most 86400, got {delay_secs}")
    });
    let max_metrics = raw.max_metrics.unwrap_or(1000);
    check(problems, (1..=100_000).contains(&max_metrics), || {
        format!("max_metrics: must be 1 to 100000, got {max_metrics}")
    });
    CloudwatchConfig {
        name: raw.name.unwrap_or_else(|| "cloudwatch".to_owned()),
        region: raw.region,
        endpoint: raw.endpoint,
        namespaces: raw.namespaces,
        metrics: raw.metrics,
        dimensions: raw.dimensions,
        statistics,
        period_ms: i64::from(period_secs) * 1000,
        delay_ms: i64::from(delay_secs) * 1000,
        account: raw.account_id.unwrap_or_default(),
        max_metrics,
        credentials: CredentialsPlace::of(raw.credentials_file, raw.profile),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawConfig};
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_said_is_done_and_the_rest_is_safe() {
        let text = "[[cloudwatch]]\nregion = \"eu-central-1\"\nnamespaces = [\"AWS/EC2\"]\n\
                    [[cloudwatch]]\nname = \"us\"\nregion = \"us-east-1\"\nnamespaces = [\"Shop\"]\nstatistics = [\"p99\"]\n\
                    dimensions = { Team = \"a\" }\nperiod_secs = 300\ndelay_secs = 0\nprofile = \"ops\"\n";
        let config = Config::try_from(RawConfig::parse(text).unwrap()).unwrap();
        let [first, second] = config.cloudwatch.as_slice() else {
            panic!("{:?}", config.cloudwatch)
        };
        assert_eq!(
            (first.period_ms, first.delay_ms, first.max_metrics),
            (60_000, 180_000, 1000)
        );
        assert_eq!(
            (first.statistics.len(), &first.credentials),
            (5, &CredentialsPlace::Usual)
        );
        assert_eq!(
            (second.period_ms, second.delay_ms, second.dimensions["Team"].as_str()),
            (300_000, 0, "a")
        );
        let ops = CredentialsPlace::Profile {
            file: None,
            profile: "ops".into(),
        };
        assert_eq!(second.credentials, ops);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let text = "[[cloudwatch]]\nendpoint = \"ftp://x\"\nstatistics = []\nperiod_secs = 61\ndelay_secs = 100000\nmax_metrics = 0\n\
                    [[cloudwatch]]\nregion = \"eu/west\"\nnamespaces = [\"a\"]\n";
        let Err(Error::Config(problems)) = Config::try_from(RawConfig::parse(text).unwrap()) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(": ").next()).collect();
        let expected = [
            "cloudwatch[0].region",
            "cloudwatch[0].endpoint",
            "cloudwatch[0].namespaces",
            "cloudwatch[0].statistics",
            "cloudwatch[0].period_secs",
            "cloudwatch[0].delay_secs",
            "cloudwatch[0].max_metrics",
            "cloudwatch[1].region",
            "cloudwatch[1].name",
        ];
        assert_eq!(fields, expected, "{problems:#?}");
    }
}
