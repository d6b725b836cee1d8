//! Adds lines up into samples, one per series and interval.
//!
//! A counter becomes a total that grows; it starts over when the program does, as a counter may. A gauge keeps its value. A timer, a
//! histogram or a distribution becomes a summary: the quantiles of the interval, the count and the sum of all. A set becomes how many
//! different members the interval saw. What nobody sent for [`IDLE_MS`] has ended.
//!
//! O(1) a value and O(values) a flush; at most [`MAX_VALUES`] values of a series and interval are kept for the quantiles, each second
//! one with twice the weight when there are more.

use super::StatsdConfig;
use super::parse::{Line, Value, parse_line};
use crate::ingest::registry::Registry;
use crate::ingest::text::{labels, metric_name, shown};
use crate::ingest::{IngestBatch, Refusals, RejectReason};
use crate::series::{Labels, MetricType, Sample, info_from_labels};
use std::collections::{BTreeMap, BTreeSet};
use wire::{SeriesId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// A series that nobody sends for so long is no longer reported.
const IDLE_MS: i64 = 10 * 60_000;
const MAX_VALUES: usize = 4096;
/// Members of one set and interval at most.
const MAX_MEMBERS: usize = 100_000;
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.95, "0.95"), (0.99, "0.99")];

/// See the module.
#[derive(Debug)]
pub struct Aggregator {
    max_series: usize,
    series: BTreeMap<Key, (State, Timestamp)>,
    refused: Refusals,
}

/// Lines of one series share a name, tags and a type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: u8,
    metric: String,
    tags: Vec<(String, String)>,
}

#[derive(Debug)]
enum State {
    Count(f64),
    Gauge(f64),
    Distribution(Distribution),
    Members(BTreeSet<u64>),
}

#[derive(Debug, Default)]
struct Distribution {
    count: f64,
    sum: f64,
    /// Of this interval, with what each stands for.
    values: Vec<(f64, f64)>,
    /// One in so many values is kept.
    stride: u64,
    skipped: u64,
}

impl Aggregator {
    /// Without series.
    pub fn new(config: &StatsdConfig) -> Self {
        Self {
            max_series: config.max_series,
            series: BTreeMap::new(),
            refused: Refusals::default(),
        }
    }

    /// Takes lines that came together. A line that is wrong is refused by itself.
    pub fn take(&mut self, lines: &[u8], now: Timestamp) {
        for (place, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let taken = parse_line(line).map_err(|problem| (RejectReason::Malformed, problem));
            let taken = taken.and_then(|line| self.add(&line, now));
            if let Err((reason, problem)) = taken {
                let text = shown(&String::from_utf8_lossy(line));
                self.refuse(reason, 1, || format!("line {}: {problem}: {text}", place + 1));
            }
        }
    }

    /// Counts what was refused before it became a line.
    pub fn refuse(&mut self, reason: RejectReason, lines: u64, example: impl FnOnce() -> String) {
        self.refused.add(reason, lines, example);
    }

    fn add(&mut self, line: &Line<'_>, now: Timestamp) -> Result<(), (RejectReason, &'static str)> {
        let Some(first) = line.values.first() else {
            return Ok(());
        };
        let kind = match first {
            Value::Count(_) => b'c',
            Value::Gauge(_) | Value::GaugeBy(_) => b'g',
            Value::Timer(_) => b'm',
            Value::Distribution(_) => b'd',
            Value::Member(_) => b's',
        };
        let mut metric = metric_name(line.name);
        if kind == b'm' && !metric.ends_with("_ms") {
            metric.push_str("_ms");
        }
        let mut tags: Vec<(String, String)> = line
            .tags
            .iter()
            .map(|(n, v)| (metric_name(n), (*v).to_owned()))
            .collect();
        tags.sort();
        let key = Key { kind, metric, tags };
        if !self.series.contains_key(&key) {
            if self.series.len() >= self.max_series {
                return Err((
                    RejectReason::TooManySeries,
                    "over statsd.max_series: raise it or send fewer tags",
                ));
            }
            // Whether the labels are within the limits is asked once.
            key.labels("", &[])
                .map_err(|problem| (RejectReason::BadLabels, problem))?;
        }
        let (state, last) = self.series.entry(key).or_insert_with(|| (State::of(kind), now));
        *last = now;
        for value in &line.values {
            state.add(*value, line.rate);
        }
        Ok(())
    }

    /// The samples of the interval that ends now, and what was refused in it.
    pub fn flush(&mut self, now: Timestamp, registry: &Registry) -> IngestBatch {
        let mut batch = IngestBatch::default();
        let mut types = BTreeMap::new();
        registry.with_known(|known| {
            let mut out = Out {
                now,
                known,
                named: BTreeSet::new(),
                batch: &mut batch,
            };
            self.series.retain(|key, (state, last)| {
                let ended = now.millis_since(*last) > IDLE_MS;
                state.report(key, ended, &mut out);
                types.insert(key.metric.clone(), state.metric_type().into());
                !ended
            });
        });
        batch.types = types.into_iter().collect();
        batch.rejections = std::mem::take(&mut self.refused).into_rejections().collect();
        batch
    }
}

impl Key {
    fn labels(&self, suffix: &str, more: &[(&str, &str)]) -> Result<Labels, &'static str> {
        let own = self.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        labels(format!("{}{suffix}", self.metric), own.chain(more.iter().copied()))
    }
}

impl State {
    fn of(kind: u8) -> Self {
        match kind {
            b'c' => Self::Count(0.0),
            b'g' => Self::Gauge(0.0),
            b's' => Self::Members(BTreeSet::new()),
            _ => Self::Distribution(Distribution::default()),
        }
    }

    const fn metric_type(&self) -> MetricType {
        match self {
            Self::Count(_) => MetricType::Counter,
            Self::Gauge(_) | Self::Members(_) => MetricType::Gauge,
            Self::Distribution(_) => MetricType::Summary,
        }
    }

    fn add(&mut self, value: Value<'_>, rate: f64) {
        match (self, value) {
            (Self::Count(total), Value::Count(more)) => *total = finite(*total + more / rate, *total),
            (Self::Gauge(level), Value::Gauge(now)) => *level = now,
            (Self::Gauge(level), Value::GaugeBy(by)) => *level = finite(*level + by, *level),
            (Self::Distribution(all), Value::Timer(one) | Value::Distribution(one)) => all.add(one, rate),
            (Self::Members(seen), Value::Member(member)) if seen.len() < MAX_MEMBERS => {
                seen.insert(xxh3_64(member.as_bytes()));
            }
            // A full set; the key keeps the types apart.
            _ => {}
        }
    }

    fn report(&mut self, key: &Key, ended: bool, out: &mut Out<'_>) {
        match self {
            Self::Count(value) | Self::Gauge(value) => out.sample(key, "", &[], *value, ended),
            Self::Members(seen) => {
                out.sample(key, "", &[], seen.len() as f64, ended);
                seen.clear();
            }
            Self::Distribution(all) => {
                out.sample(key, "_count", &[], all.count, ended);
                out.sample(key, "_sum", &[], all.sum, ended);
                all.values.sort_by(|a, b| a.0.total_cmp(&b.0));
                for (quantile, name) in QUANTILES {
                    match all.quantile(quantile) {
                        Some(value) => out.sample(key, "", &[("quantile", name)], value, ended),
                        None if ended => out.sample(key, "", &[("quantile", name)], 0.0, true),
                        None => {}
                    }
                }
                all.start_over();
            }
        }
    }
}

impl Distribution {
    fn add(&mut self, value: f64, rate: f64) {
        self.count = finite(self.count + 1.0 / rate, self.count);
        self.sum = finite(self.sum + value / rate, self.sum);
        let stride = self.stride.max(1);
        self.skipped += 1;
        if self.skipped < stride {
            return;
        }
        self.skipped = 0;
        if self.values.len() == MAX_VALUES {
            let mut place = 0;
            self.values.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            for (_, weight) in &mut self.values {
                *weight *= 2.0;
            }
            self.stride = stride * 2;
        }
        self.values.push((value, self.stride.max(1) as f64 / rate));
    }

    /// The least value that this share of all is not above. Values are in order.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.values.iter().map(|(_, weight)| weight).sum();
        let mut below = 0.0;
        for (value, weight) in &self.values {
            below += weight;
            if below >= share * total {
                return Some(*value);
            }
        }
        self.values.last().map(|(value, _)| *value)
    }

    fn start_over(&mut self) {
        self.values.clear();
        self.stride = 1;
        self.skipped = 0;
    }
}

/// A sum that overflows stays where it was.
fn finite(sum: f64, before: f64) -> f64 {
    if sum.is_finite() { sum } else { before }
}

/// Where samples go.
struct Out<'a> {
    now: Timestamp,
    known: &'a dyn Fn(SeriesId) -> bool,
    named: BTreeSet<SeriesId>,
    batch: &'a mut IngestBatch,
}

impl Out<'_> {
    fn sample(&mut self, key: &Key, suffix: &str, more: &[(&str, &str)], value: f64, ended: bool) {
        // The limits were checked when the key came; a suffix that breaks one costs that sample.
        let Ok(labels) = key.labels(suffix, more) else { return };
        let series = labels.id();
        if ended {
            self.batch.stale.push((series, self.now));
            return;
        }
        if !(self.known)(series) && self.named.insert(series) {
            self.batch.new_series.push(info_from_labels(&labels));
        }
        self.batch.samples.push(Sample {
            series,
            at: self.now,
            value,
        });
    }
}
