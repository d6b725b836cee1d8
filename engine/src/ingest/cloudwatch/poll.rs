//! Metrics that are asked for: which questions a period needs, and what the answers say.
//!
//! The API is CloudWatch's `ListMetrics` and `GetMetricData`, written as JSON 1.0. Pure; [`super::api`] asks.

use super::{Collector, Metric};
use crate::ingest::IngestBatch;
use crate::ingest::registry::Registry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use wire::Timestamp;

/// Queries of one request at most, as CloudWatch has it.
const MAX_QUERIES: usize = 500;

/// Periods that are asked for at the start, and after a failure at most.
const FIRST_PERIODS: i64 = 10;
const MOST_PERIODS: i64 = 180;

/// A region to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudwatchConfig {
    /// The name under which samples are counted.
    pub name: String,
    pub region: String,
    /// Where to ask; `None`: the region's own address.
    pub endpoint: Option<String>,
    pub namespaces: Vec<String>,
    /// Names of metrics; empty: all.
    pub metrics: Vec<String>,
    /// Dimensions that a metric must have, with this value or, where it is empty, with any.
    pub dimensions: BTreeMap<String, String>,
    pub statistics: Vec<String>,
    pub period_ms: i64,
    /// A period is complete so long after its end.
    pub delay_ms: i64,
    /// A label; the API does not say it.
    pub account: String,
    /// Metrics beyond these are refused: each question costs.
    pub max_metrics: usize,
    pub credentials: CredentialsPlace,
}

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsPlace {
    /// `AWS_ACCESS_KEY_ID` and its companions where they are set, else the profile `default` of the usual file.
    Usual,
    Profile {
        /// `None`: the usual file.
        file: Option<PathBuf>,
        profile: String,
    },
}

impl CredentialsPlace {
    /// Of two settings, each of which may be missing.
    pub fn of(file: Option<PathBuf>, profile: Option<String>) -> Self {
        match (file, profile) {
            (None, None) => Self::Usual,
            (file, profile) => Self::Profile {
                file,
                profile: profile.unwrap_or_else(|| "default".to_owned()),
            },
        }
    }
}

impl CloudwatchConfig {
    /// The end of the last period that is complete.
    pub fn complete(&self, now: Timestamp) -> Timestamp {
        let at = now.as_millis() - self.delay_ms;
        Timestamp(at - at.rem_euclid(self.period_ms))
    }

    /// Where to begin asking, `asked` having been asked already.
    pub fn begin(&self, asked: Option<Timestamp>, complete: Timestamp) -> Timestamp {
        let earliest = complete + -(MOST_PERIODS * self.period_ms);
        let first = complete + -(FIRST_PERIODS * self.period_ms);
        asked.map_or(first, |asked| asked.max(earliest))
    }

    /// The body of `ListMetrics` for one namespace.
    pub fn list(&self, namespace: &str, token: Option<&str>) -> Value {
        let dimension = |(name, value): (&String, &String)| match value.as_str() {
            "" => json!({"Name": name}),
            value => json!({"Name": name, "Value": value}),
        };
        let mut body = json!({"Namespace": namespace, "RecentlyActive": "PT3H"});
        if !self.dimensions.is_empty() {
            body["Dimensions"] = self.dimensions.iter().map(dimension).collect();
        }
        if let Some(token) = token {
            body["NextToken"] = token.into();
        }
        body
    }
}

/// An answer to `ListMetrics`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    metrics: Vec<ListedMetric>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMetric {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

/// An answer to `GetMetricData`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    #[serde(default)]
    metric_data_results: Vec<DataResult>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    id: String,
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<f64>,
}

/// The metrics that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    all: Vec<Metric>,
    /// Metrics over the limit.
    pub refused: usize,
}

impl Metrics {
    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a page of `ListMetrics`; returns the token of the next.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub fn add(&mut self, page: &[u8], config: &CloudwatchConfig) -> Result<Option<String>, String> {
        let page: Listed = serde_json::from_slice(page).map_err(|error| format!("the list of metrics: {error}"))?;
        for listed in page.metrics {
            if !config.metrics.is_empty() && !config.metrics.contains(&listed.metric_name) {
                continue;
            }
            if self.all.len() >= config.max_metrics {
                self.refused += 1;
                continue;
            }
            let dimensions = listed.dimensions.into_iter();
            self.all.push(Metric {
                namespace: listed.namespace,
                name: listed.metric_name,
                account: config.account.clone(),
                region: config.region.clone(),
                dimensions: dimensions.map(|dimension| (dimension.name, dimension.value)).collect(),
                // The list says nothing of it.
                unit: String::new(),
            });
        }
        Ok(page.next_token.filter(|token| !token.is_empty()))
    }

    /// The questions about the periods from `begin` to `end`, as many as are needed for all metrics.
    pub fn questions<'a>(
        &'a self,
        config: &'a CloudwatchConfig,
        begin: Timestamp,
        end: Timestamp,
    ) -> Vec<Question<'a>> {
        let queries = self
            .all
            .iter()
            .flat_map(|metric| config.statistics.iter().map(move |s| (metric, s.as_str())));
        let queries: Vec<_> = queries.collect();
        let question = |queries: &[(&'a Metric, &'a str)]| Question {
            queries: queries.to_vec(),
            period_ms: config.period_ms,
            begin,
            end,
        };
        queries.chunks(MAX_QUERIES).map(question).collect()
    }
}

/// One request of `GetMetricData`.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    queries: Vec<(&'a Metric, &'a str)>,
    period_ms: i64,
    begin: Timestamp,
    end: Timestamp,
}

impl Question<'_> {
    /// Its body.
    pub fn body(&self, token: Option<&str>) -> Value {
        let query = |(number, (metric, statistic)): (usize, &(&Metric, &str))| {
            let dimensions = metric.dimensions.iter();
            let dimensions: Vec<_> = dimensions
                .map(|(name, value)| json!({"Name": name, "Value": value}))
                .collect();
            let about = json!({"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions});
            json!({"Id": format!("q{number}"), "MetricStat": {
                "Metric": about, "Period": self.period_ms / 1000, "Stat": statistic
            }})
        };
        let mut body = json!({
            "StartTime": self.begin.as_millis() / 1000,
            "EndTime": self.end.as_millis() / 1000,
            "ScanBy": "TimestampAscending",
            "MetricDataQueries": self.queries.iter().enumerate().map(query).collect::<Vec<_>>(),
        });
        if let Some(token) = token {
            body["NextToken"] = token.into();
        }
        body
    }
}

/// Answers as samples.
pub struct Answers<'a>(Collector<'a>);

impl std::fmt::Debug for Answers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

impl Answers<'_> {
    /// Adds a page of the answer to `question`; returns the token of the next.
    ///
    /// # Errors
    /// What is wrong with the answer.
    fn add(&mut self, question: &Question<'_>, page: &[u8]) -> Result<Option<String>, String> {
        let page: Data = serde_json::from_slice(page).map_err(|error| format!("the answer with data: {error}"))?;
        for result in page.metric_data_results {
            let number = result
                .id
                .strip_prefix('q')
                .and_then(|number| number.parse::<usize>().ok());
            let Some((metric, statistic)) = number.and_then(|number| question.queries.get(number)) else {
                return Err(format!("the answer names {:.40?}, which was not asked for", result.id));
            };
            for (at, value) in result.timestamps.iter().zip(&result.values) {
                let at = Timestamp((at * 1000.0) as i64);
                self.0.take(metric, at, &vec![((*statistic).into(), *value)]);
            }
        }
        Ok(page.next_token.filter(|token| !token.is_empty()))
    }
}

/// Pages of answers, each with its question, as one batch.
///
/// # Errors
/// What is wrong with an answer.
pub fn batch(pages: &[(&Question<'_>, Vec<u8>)], registry: &Registry) -> Result<IngestBatch, String> {
    registry.with_known(|known| {
        let mut answers = Answers(Collector::new(known, &[]));
        for (question, page) in pages {
            answers.add(question, page)?;
        }
        Ok(answers.0.finish())
    })
}

/// The token of the next page of any answer.
pub fn next_token(page: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(rename = "NextToken")]
        next_token: Option<String>,
    }
    let page: Page = serde_json::from_slice(page).ok()?;
    page.next_token.filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CloudwatchConfig {
        CloudwatchConfig {
            name: "cloudwatch".into(),
            region: "eu-west-1".into(),
            endpoint: None,
            namespaces: vec!["AWS/EC2".into()],
            metrics: Vec::new(),
            dimensions: BTreeMap::new(),
            statistics: vec!["Average".into(), "p99.9".into()],
            period_ms: 60_000,
            delay_ms: 120_000,
            account: "42".into(),
            max_metrics: 1000,
            credentials: CredentialsPlace::Usual,
        }
    }

    fn listed(count: usize) -> Vec<u8> {
        let metric = |n| {
            json!({"Namespace": "AWS/EC2", "MetricName": if n % 2 == 0 { "CPUUtilization" } else { "NetworkIn" },
                "Dimensions": [{"Name": "InstanceId", "Value": format!("i-{n}")}]})
        };
        let metrics: Vec<_> = (0..count).map(metric).collect();
        json!({"Metrics": metrics, "NextToken": "more"})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_period_is_asked_for_once_it_is_complete() {
        let config = config();
        let minute = |minute: i64| Timestamp(minute * 60_000);
        assert_eq!(config.complete(Timestamp(10 * 60_000 + 59_999)), minute(8));
        assert_eq!(config.complete(minute(11)), minute(9));
        assert_eq!(config.begin(None, minute(1000)), minute(990));
        assert_eq!(config.begin(Some(minute(999)), minute(1000)), minute(999));
        assert_eq!(config.begin(Some(minute(1)), minute(1000)), minute(820));
    }

    #[test]
    fn metrics_are_listed_as_filtered_and_no_more_than_allowed() {
        let mut config = config();
        let dimensions = [("InstanceId", ""), ("Team", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        config.dimensions = dimensions.into_iter().collect();
        let expected = json!({"Namespace": "AWS/EC2", "RecentlyActive": "PT3H", "NextToken": "t",
            "Dimensions": [{"Name": "InstanceId"}, {"Name": "Team", "Value": "a"}]});
        assert_eq!(config.list("AWS/EC2", Some("t")), expected);
        config.metrics = vec!["NetworkIn".into()];
        config.max_metrics = 3;
        let mut metrics = Metrics::default();
        assert_eq!(metrics.add(&listed(10), &config), Ok(Some("more".into())));
        assert_eq!((metrics.len(), metrics.refused), (3, 2));
        assert!(metrics.add(b"{", &config).unwrap_err().contains("the list of metrics"));
    }

    #[test]
    fn every_metric_and_statistic_is_asked_for_in_batches_of_500() {
        let config = config();
        let mut metrics = Metrics::default();
        metrics.add(&listed(300), &config).unwrap();
        let questions = metrics.questions(&config, Timestamp(60_000), Timestamp(180_000));
        let bodies: Vec<_> = questions.iter().map(|question| question.body(None)).collect();
        let sizes: Vec<_> = bodies
            .iter()
            .map(|body| body["MetricDataQueries"].as_array().unwrap().len())
            .collect();
        assert_eq!(sizes, [500, 100]);
        let expected = json!({"Id": "q1", "MetricStat": {"Metric": {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization",
            "Dimensions": [{"Name": "InstanceId", "Value": "i-0"}]}, "Period": 60, "Stat": "p99.9"}});
        assert_eq!(bodies[0]["MetricDataQueries"][1], expected);
        assert_eq!(
            (&bodies[0]["StartTime"], &bodies[0]["EndTime"]),
            (&json!(60), &json!(180))
        );
    }

    #[test]
    fn answers_are_the_series_that_a_stream_would_bring() {
        let config = config();
        let mut metrics = Metrics::default();
        metrics.add(&listed(1), &config).unwrap();
        let questions = metrics.questions(&config, Timestamp(0), Timestamp(180_000));
        // As CloudWatch answers: seconds, and a page for each of two.
        let pages = [
            (&questions[0], json!({"MetricDataResults": [{"Id": "q0", "Label": "l", "Timestamps": [60, 120.0], "Values": [1.5, 2.0],
                "StatusCode": "PartialData"}], "NextToken": "t"}).to_string().into_bytes()),
            (&questions[0], json!({"MetricDataResults": [{"Id": "q1", "Timestamps": [60], "Values": [9.0]},
                {"Id": "q0", "Timestamps": [], "Values": []}]}).to_string().into_bytes()),
        ];
        assert_eq!(next_token(&pages[0].1).as_deref(), Some("t"));
        assert_eq!(next_token(&pages[1].1), None);
        let batch = batch(&pages, &Registry::default()).unwrap();
        let found: Vec<_> = batch
            .samples
            .iter()
            .map(|sample| (sample.at.as_millis(), sample.value))
            .collect();
        assert_eq!(found, [(60_000, 1.5), (120_000, 2.0), (60_000, 9.0)]);
        let names: Vec<_> = batch.new_series.iter().map(|info| info.metric.as_str()).collect();
        assert_eq!(
            names,
            ["aws_ec2_cpuutilization_average", "aws_ec2_cpuutilization_p99_9"]
        );
        let labels = [
            ("account_id", "42"),
            ("dimension_InstanceId", "i-0"),
            ("region", "eu-west-1"),
        ];
        let labels: Vec<_> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(batch.new_series[0].labels, labels);
        let other = br#"{"MetricDataResults":[{"Id":"q7"}]}"#.to_vec();
        let error = super::batch(&[(&questions[0], other)], &Registry::default()).unwrap_err();
        assert!(error.contains("not asked for"), "{error}");
    }
}
