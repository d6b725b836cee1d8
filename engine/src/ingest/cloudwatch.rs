//! CloudWatch's metrics, by whichever way they come: a metric stream through Firehose ([`firehose`]), or asked for ([`poll`], [`api`]).
//!
//! A period of a metric is a set of statistics, and each becomes a series as the exporters of the field name it:
//! `aws_ec2_cpuutilization_average{account_id, region, dimension_InstanceId}`. All of them are gauges: even a sum is the sum of one
//! period and starts over with the next. A period is named by its start, as CloudWatch itself does.

pub mod api;
pub(crate) mod credentials;
pub mod firehose;
mod json;
mod name;
pub mod poll;
pub(crate) mod sign;
mod stream;

use super::text::{labels, shown};
use super::{IngestBatch, Refusals, RejectReason};
use crate::series::{Labels, Metadata, MetricType, Sample, info_from_labels};
use name::metric_name;
use std::borrow::Cow;
use std::collections::BTreeSet;
use wire::{EntityId, SeriesId, Timestamp};

/// The name under which samples are counted.
pub const SOURCE: &str = "cloudwatch";

/// Memory for the labels of series that one request names for the first time.
const MAX_NAMED_BYTES: usize = 256 << 20;

/// What a period is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metric {
    /// `AWS/EC2`
    pub(super) namespace: String,
    /// `CPUUtilization`
    pub(super) name: String,
    pub(super) account: String,
    pub(super) region: String,
    /// Names and values.
    pub(super) dimensions: Vec<(String, String)>,
    /// `Seconds`; empty where it is not said.
    pub(super) unit: String,
}

/// Statistics of a period by CloudWatch's names: `SampleCount`, `Average`, `p99.9`.
pub(super) type Statistics<'a> = Vec<(Cow<'a, str>, f64)>;

/// The four that every period has, and the average that follows from two of them.
pub(super) fn basic(count: f64, sum: f64, min: Option<f64>, max: Option<f64>) -> Statistics<'static> {
    let mut all: Statistics<'static> = vec![("SampleCount".into(), count), ("Sum".into(), sum)];
    if count > 0.0 {
        all.push(("Average".into(), sum / count));
    }
    all.extend(min.map(|min| ("Minimum".into(), min)));
    all.extend(max.map(|max| ("Maximum".into(), max)));
    all
}

/// Collects periods as samples.
pub(super) struct Collector<'a> {
    known: &'a dyn Fn(SeriesId) -> bool,
    /// Labels of every series of the request.
    common: &'a [(String, String)],
    batch: IngestBatch,
    refused: Refusals,
    named: BTreeSet<SeriesId>,
    named_bytes: usize,
    /// Metrics whose type was declared.
    typed: BTreeSet<String>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(known: &'a dyn Fn(SeriesId) -> bool, common: &'a [(String, String)]) -> Self {
        Self {
            known,
            common,
            batch: IngestBatch::default(),
            refused: Refusals::default(),
            named: BTreeSet::new(),
            named_bytes: 0,
            typed: BTreeSet::new(),
        }
    }

    /// One period. What breaks a rule is refused by itself.
    pub(super) fn take(&mut self, metric: &Metric, at: Timestamp, statistics: &Statistics<'_>) {
        let all = statistics.len() as u64;
        let about = || format!("{:.100} {:.100}", metric.namespace, metric.name);
        if metric.namespace.is_empty() || metric.name.is_empty() {
            let problem = || format!("the namespace or the name of a metric is empty: {}", about());
            return self.refused.add(RejectReason::BadLabels, all, problem);
        }
        if at <= Timestamp(0) {
            let problem = || format!("the period has no time: {}", about());
            return self.refused.add(RejectReason::TooOld, all, problem);
        }
        let pairs = self.pairs(metric);
        for (statistic, value) in statistics {
            if !value.is_finite() {
                let problem = || format!("{statistic} is {value}: {}", about());
                self.refused.add(RejectReason::NotANumber, 1, problem);
                continue;
            }
            let name = metric_name(&metric.namespace, &metric.name, statistic);
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            match labels(name, pairs) {
                Ok(labels) => {
                    // What is counted of a period are samples, whatever they measure.
                    let unit = if statistic == "SampleCount" { "" } else { &metric.unit };
                    self.sample(metric, unit, &labels, at, *value);
                }
                Err(problem) => {
                    let problem = || format!("{problem}: {}", about());
                    self.refused.add(RejectReason::BadLabels, 1, problem);
                }
            }
        }
    }

    /// The labels of a metric without its name. Its own stand before those that the stream adds.
    fn pairs(&self, metric: &Metric) -> Vec<(String, String)> {
        let own = [("account_id", &metric.account), ("region", &metric.region)];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
        let dimensions = metric.dimensions.iter();
        let dimensions = dimensions.map(|(name, value)| (format!("dimension_{name}"), value.clone()));
        own.chain(dimensions).chain(self.common.iter().cloned()).collect()
    }

    fn sample(&mut self, metric: &Metric, unit: &str, labels: &Labels, at: Timestamp, value: f64) {
        let series = labels.id();
        if !(self.known)(series) && !self.named.contains(&series) {
            let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
            self.named_bytes += bytes;
            if self.named_bytes > MAX_NAMED_BYTES {
                let problem = || format!("labels of new series over {MAX_NAMED_BYTES} bytes in one request");
                return self.refused.add(RejectReason::OverLimit, 1, problem);
            }
            self.named.insert(series);
            let mut info = info_from_labels(labels);
            if info.entity.as_str() == NO_ENTITY {
                // A metric of an account or an application as a whole.
                info.entity = EntityId::from(metric.namespace.as_str());
            }
            if self.typed.insert(info.metric.clone()) {
                let metadata = Metadata::new(MetricType::Gauge, "", unit);
                self.batch.types.push((info.metric.clone(), metadata));
            }
            self.batch.new_series.push(info);
        }
        self.batch.samples.push(Sample { series, at, value });
    }

    /// Something that is no period.
    pub(super) fn malformed(&mut self, problem: &str, text: &[u8]) {
        let example = || {
            format!(
                "{problem}: {}",
                shown(&String::from_utf8_lossy(&text[..text.len().min(400)]))
            )
        };
        self.refused.add(RejectReason::Malformed, 1, example);
    }

    pub(super) fn finish(mut self) -> IngestBatch {
        self.batch.rejections = self.refused.into_rejections().collect();
        self.batch
    }
}

/// The entity of labels that name none.
const NO_ENTITY: &str = "default";

#[cfg(test)]
mod tests;
