//! `ExportMetricsServiceRequest` to samples.
//!
//! Read in place, point by point: whatever the size of a request, no more than one point of it is taken apart at a time. A point
//! that breaks a rule is refused by itself with a reason; only bytes that are no protobuf refuse the whole request.

mod labels;
mod point;

use super::exponential::Classic;
use super::name::{self, Shape};
use super::resource::{Pairs, Target, attributes_within};
use super::value::{Malformed, attribute};
use super::{Encoding, OtlpError, bad_protobuf, each, json, protobuf};
use crate::ingest::prometheus::Limits;
use crate::ingest::prometheus::reader::{Reader, Wire};
use crate::ingest::registry::Registry;
use crate::ingest::{IngestBatch, Refusals, RejectReason};
use crate::series::{IdentityHasher, Metadata, MetricType, Sample, info_from_labels};
use labels::{identify, sorted};
use point::{Point, Value};
use std::collections::{BTreeMap, BTreeSet};
use wire::{SeriesId, Timestamp};

/// Memory for the labels of series that one request names for the first time: what its sender is may be said once and is a
/// label of each.
const MAX_NAMED_BYTES: usize = 256 << 20;

/// What grew since the last point of a series whose sender tells increments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delta {
    pub series: SeriesId,
    /// Since when it was counted; 0 if the sender does not say.
    pub start: Timestamp,
    pub at: Timestamp,
    /// Finite and not negative.
    pub increase: f64,
}

/// A sample of a total whose sender says since when it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Started {
    pub start: Timestamp,
    pub sample: Sample,
}

/// A decoded request. [`Streams`](super::Streams) makes a batch of it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub batch: IngestBatch,
    pub deltas: Vec<Delta>,
    pub started: Vec<Started>,
}

/// Decodes a request. `new_series` of the batch holds what `registry` does not know.
///
/// # Errors
/// [`OtlpError`] if nothing of the request can be used.
pub fn decode_metrics(
    body: &[u8],
    encoding: Encoding,
    limits: &Limits,
    registry: &Registry,
) -> Result<Metrics, OtlpError> {
    let body = protobuf::<json::MetricsRequest>(body, encoding)?;
    registry.with_known(|known| {
        let mut decoder = Decoder {
            limits,
            known,
            found: Metrics::default(),
            refused: Refusals::default(),
            hasher: IdentityHasher::default(),
            named: BTreeSet::new(),
            named_bytes: 0,
            types: BTreeMap::new(),
        };
        decoder.request(&body).map_err(bad_protobuf::<json::MetricsRequest>)?;
        Ok(decoder.finish())
    })
}

/// How a sum or histogram is counted. Unspecified counts as cumulative nowhere: it may be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temporality {
    Delta,
    Cumulative,
    Unspecified,
}

/// The metric at hand.
struct Metric {
    name: String,
    metadata: Metadata,
    temporality: Temporality,
    /// Only grows, or consists of what only grows.
    counts: bool,
}

struct Decoder<'a> {
    limits: &'a Limits,
    known: &'a dyn Fn(SeriesId) -> bool,
    found: Metrics,
    refused: Refusals,
    hasher: IdentityHasher,
    /// Series named for the first time in this very request.
    named: BTreeSet<SeriesId>,
    /// Memory that their labels take.
    named_bytes: usize,
    /// Types of the families of those.
    types: BTreeMap<String, Metadata>,
}

impl Decoder<'_> {
    fn request(&mut self, body: &[u8]) -> Result<(), Malformed> {
        each(body, 1, |resource_metrics| self.resource(resource_metrics))
    }

    fn resource(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let target = Target::new(attributes_within(body)?);
        let mut newest = None;
        each(body, 2, |scope| {
            each(scope, 2, |metric| self.metric(metric, &target, &mut newest))
        })?;
        if let Some(at) = newest {
            self.target_info(&target, at);
        }
        Ok(())
    }

    /// What else is known of the sender, once for each request and resource, as Prometheus writes it.
    fn target_info(&mut self, target: &Target, at: Timestamp) {
        if target.identity.is_empty() || target.others.is_empty() {
            return;
        }
        if let Ok(labels) = labels::of_point(self.limits, target, target.others.clone())
            && let Some(series) = self.series("target_info", None, &labels, &MetricType::Info.into())
        {
            self.found.batch.samples.push(Sample { series, at, value: 1.0 });
        }
    }

    fn metric(&mut self, body: &[u8], target: &Target, newest: &mut Option<Timestamp>) -> Result<(), Malformed> {
        let (mut name, mut help, mut unit, mut data) = ("", "", "", None);
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (1, Wire::Bytes(bytes)) => name = utf8(bytes)?,
                (2, Wire::Bytes(bytes)) => help = utf8(bytes)?,
                (3, Wire::Bytes(bytes)) => unit = utf8(bytes)?,
                (5 | 7 | 9 | 10 | 11, Wire::Bytes(bytes)) => data = Some((field, bytes)),
                _ => {}
            }
        }
        // A kind of data that came after this was written.
        let Some((kind, data)) = data else { return Ok(()) };
        let (temporality, is_monotonic) = aggregation(data)?;
        let shape = match kind {
            5 => Shape::Gauge,
            7 if is_monotonic => Shape::Counter,
            _ => Shape::Other,
        };
        let of_family = match (kind, shape) {
            (9 | 10, _) => MetricType::Histogram,
            (11, _) => MetricType::Summary,
            (_, Shape::Counter) => MetricType::Counter,
            _ => MetricType::Gauge,
        };
        let metric = Metric {
            name: name::metric(name, unit, shape).unwrap_or_default(),
            metadata: Metadata::new(of_family, help, unit),
            temporality: if kind == 5 || kind == 11 {
                Temporality::Cumulative
            } else {
                temporality
            },
            counts: kind != 5 && (kind != 7 || is_monotonic),
        };
        each(data, 1, |body| {
            let point = Point::read(kind, body)?;
            match self.point(&metric, &point, target) {
                Ok(()) => *newest = (*newest).max(Some(point.at)),
                Err((reason, problem)) => self.refuse(reason, 1, name, problem),
            }
            Ok(())
        })
    }

    fn point(
        &mut self,
        metric: &Metric,
        point: &Point<'_>,
        target: &Target,
    ) -> Result<(), (RejectReason, &'static str)> {
        if metric.name.is_empty() {
            return Err((RejectReason::BadLabels, "the metric has no name"));
        }
        if point.at <= Timestamp(0) {
            return Err((RejectReason::TooOld, "the data point has no time"));
        }
        match metric.temporality {
            Temporality::Unspecified => {
                return Err((
                    RejectReason::Unsupported,
                    "the aggregation temporality is not specified: set it to delta or cumulative",
                ));
            }
            Temporality::Delta if !metric.counts => {
                return Err((
                    RejectReason::Unsupported,
                    "a delta of a sum that also falls has no level to start from: send it cumulative",
                ));
            }
            _ => {}
        }
        let attributes = point.attributes.iter().map(|body| attribute(body));
        let attributes: Result<Pairs, Malformed> = attributes.collect();
        let mut attributes = attributes.map_err(|problem| (RejectReason::BadLabels, problem))?;
        attributes.sort();
        let named = attributes
            .into_iter()
            .filter_map(|(key, value)| Some((name::label(&key)?, value)))
            .collect();
        let labels = labels::of_point(self.limits, target, named).map_err(|p| (RejectReason::BadLabels, p))?;
        let mut to = Destination {
            metric,
            labels: &labels,
            start: point.start,
            at: point.at,
            is_stale: point.is_stale,
        };
        match &point.value {
            Value::Number(value) => self.take(&mut to, "", None, *value),
            Value::Histogram {
                count,
                sum,
                bounds,
                counts,
            } => {
                // A histogram may have none; else there is one more than bounds.
                let counts_are_told = !counts.is_empty();
                if counts_are_told && counts.len() != bounds.len() + 1 {
                    return Err((
                        RejectReason::Unsupported,
                        "a histogram has not one bucket more than bounds",
                    ));
                }
                if bounds.windows(2).any(|w| w[0] >= w[1]) || bounds.iter().any(|b| b.is_nan()) {
                    return Err((RejectReason::Unsupported, "the bounds of a histogram do not ascend"));
                }
                let mut below = 0u64;
                // One that has ended names its bounds, perhaps without counts.
                let counts = counts.iter().copied().chain(std::iter::repeat(0));
                let listed = if counts_are_told || point.is_stale {
                    bounds.len()
                } else {
                    0
                };
                let cumulative = bounds.iter().take(listed).zip(counts).map(|(bound, count)| {
                    below = below.saturating_add(count);
                    (*bound, below as f64)
                });
                let cumulative: Vec<_> = cumulative.filter(|(bound, _)| bound.is_finite()).collect();
                self.histogram(&mut to, *count, *sum, &cumulative);
            }
            Value::Exponential { count, sum, buckets } => {
                let bucket = format!("{}_bucket", metric.name);
                let classic = {
                    let (known, named) = (self.known, &self.named);
                    let hasher = std::cell::RefCell::new(IdentityHasher::default());
                    Classic::new(buckets, |bound| {
                        let bound = bound.to_string();
                        let id = identify(&mut hasher.borrow_mut(), &bucket, Some(("le", &bound)), &labels);
                        known(id) || named.contains(&id)
                    })
                };
                self.histogram(&mut to, *count, *sum, &classic.0);
            }
            Value::Summary { count, sum, quantiles } => {
                self.take(&mut to, "_sum", None, *sum);
                self.take(&mut to, "_count", None, *count as f64);
                for (quantile, value) in quantiles {
                    self.take(&mut to, "", Some(("quantile", &quantile.to_string())), *value);
                }
            }
        }
        Ok(())
    }

    /// The series of a classic histogram: `bounds` with the observations up to each, then all.
    fn histogram(&mut self, to: &mut Destination<'_>, count: u64, sum: Option<f64>, bounds: &[(f64, f64)]) {
        if let Some(sum) = sum {
            self.take(to, "_sum", None, sum);
        }
        self.take(to, "_count", None, count as f64);
        for (bound, below) in bounds {
            self.take(to, "_bucket", Some(("le", &bound.to_string())), *below);
        }
        self.take(to, "_bucket", Some(("le", "+Inf")), count as f64);
    }

    /// One value of one series.
    fn take(&mut self, to: &mut Destination<'_>, suffix: &str, extra: Option<(&str, &str)>, value: f64) {
        let name = if suffix.is_empty() {
            std::borrow::Cow::Borrowed(&to.metric.name)
        } else {
            std::borrow::Cow::Owned(format!("{}{suffix}", to.metric.name))
        };
        if to.is_stale {
            let series = identify(&mut self.hasher, &name, extra, to.labels);
            // What was never there cannot end.
            if (self.known)(series) {
                self.found.batch.stale.push((series, to.at));
            }
            return;
        }
        let Some(series) = self.series(&name, extra, to.labels, &to.metric.metadata) else {
            return;
        };
        // Of a summary or histogram, everything but its quantiles counts; a sum of negative observations falls.
        let counts = to.metric.counts && extra.is_none_or(|(label, _)| label == "le");
        let is_delta = to.metric.temporality == Temporality::Delta;
        if !value.is_finite() {
            self.refuse(
                RejectReason::NotANumber,
                1,
                &name,
                "the value is NaN or infinite and is kept as a gap",
            );
        } else if is_delta && value < 0.0 && suffix != "_sum" {
            self.refuse(
                RejectReason::Unsupported,
                1,
                &name,
                "a delta of what only grows is negative",
            );
        } else if is_delta {
            self.found.deltas.push(Delta {
                series,
                start: to.start,
                at: to.at,
                increase: value,
            });
        } else {
            let sample = Sample {
                series,
                at: to.at,
                value,
            };
            if counts && to.start > Timestamp(0) {
                self.found.started.push(Started {
                    start: to.start,
                    sample,
                });
            } else {
                self.found.batch.samples.push(sample);
            }
        }
    }

    /// The id of a series; describes it if it is new. `None` if its name is too long.
    fn series(
        &mut self,
        name: &str,
        extra: Option<(&str, &str)>,
        labels: &Pairs,
        metadata: &Metadata,
    ) -> Option<SeriesId> {
        if name.len() > self.limits.max_label_value_bytes {
            self.refuse(RejectReason::BadLabels, 1, name, "the name is too long");
            return None;
        }
        let id = identify(&mut self.hasher, name, extra, labels);
        if !(self.known)(id) && !self.named.contains(&id) {
            self.named_bytes += name.len() + labels.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
            if self.named_bytes > MAX_NAMED_BYTES {
                let problem = "one request names too many new series; send less at once";
                self.refuse(RejectReason::TooManySeries, 1, name, problem);
                return None;
            }
            self.named.insert(id);
            let mut pairs = labels.clone();
            pairs.extend(extra.map(|(n, v)| (n.to_owned(), v.to_owned())));
            pairs.push(("__name__".to_owned(), name.to_owned()));
            let labels = sorted(pairs, extra.map(|(n, _)| n));
            self.found.batch.new_series.push(info_from_labels(&labels));
            let family = match metadata.kind {
                MetricType::Histogram | MetricType::Summary => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .unwrap_or(name),
                _ => name,
            };
            if !self.types.contains_key(family) {
                self.types.insert(family.to_owned(), metadata.clone());
            }
        }
        Some(id)
    }

    fn refuse(&mut self, reason: RejectReason, samples: u64, name: &str, problem: &str) {
        self.refused.add(reason, samples, || {
            let name: String = name.chars().take(120).collect();
            format!("{name}: {problem}")
        });
    }

    fn finish(mut self) -> Metrics {
        self.found.batch.types = self.types.into_iter().collect();
        self.found.batch.rejections = self.refused.into_rejections().collect();
        self.found
    }
}

/// Where the values of a point go.
struct Destination<'a> {
    metric: &'a Metric,
    labels: &'a Pairs,
    start: Timestamp,
    at: Timestamp,
    is_stale: bool,
}

/// Temporality and monotonicity of a `Sum`, `Histogram` or `ExponentialHistogram`.
fn aggregation(data: &[u8]) -> Result<(Temporality, bool), Malformed> {
    let (mut temporality, mut is_monotonic) = (Temporality::Unspecified, false);
    let mut reader = Reader::new(data);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (2, Wire::Varint(1)) => temporality = Temporality::Delta,
            (2, Wire::Varint(2)) => temporality = Temporality::Cumulative,
            (3, Wire::Varint(truth)) => is_monotonic = truth != 0,
            _ => {}
        }
    }
    Ok((temporality, is_monotonic))
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| "a name is not UTF-8")
}
