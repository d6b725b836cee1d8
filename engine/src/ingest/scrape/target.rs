//! From one scrape of a target to samples: labels, `up` and its sisters, and what has ended since the last one.
//!
//! Pure; what it remembers between scrapes is which series there were. A series that was there and is no more gets the same
//! marker that Prometheus would write, and so does everything when a scrape fails.

use super::Target;
use super::exposition::{Exposition, Point};
use crate::ingest::exemplar::{Exemplar, MAX_LABEL_CHARS};
use crate::ingest::otlp::{Metrics, Started};
use crate::ingest::prometheus::{Limits, STALE_NAN_BITS};
use crate::ingest::registry::{Declared, Registry};
use crate::ingest::{Refusals, RejectReason};
use crate::series::{Labels, Metadata, MetricType, Sample, info_from_labels};
use std::collections::BTreeSet;
use wire::{SeriesId, Timestamp};

/// What a target is remembered by.
#[derive(Clone, Debug)]
pub struct TargetState {
    target: Target,
    honor_labels: bool,
    limits: Limits,
    /// Series of the last scrape that went well, but those that bring times of their own.
    previous: BTreeSet<SeriesId>,
}

/// What a scrape brought.
#[derive(Clone, Debug, Default)]
pub struct Scraped {
    pub metrics: Metrics,
    pub exemplars: Vec<Exemplar>,
}

/// One scrape.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    /// What came; `None`: it failed.
    pub exposition: Option<&'a Exposition>,
    /// When it was asked.
    pub at: Timestamp,
    pub took_ms: i64,
}

impl TargetState {
    /// A target that was never asked; `limits` of one series.
    pub fn new(target: Target, honor_labels: bool, limits: Limits) -> Self {
        Self {
            target,
            honor_labels,
            limits,
            previous: BTreeSet::new(),
        }
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Samples of a scrape.
    pub fn take(&mut self, scrape: Scrape<'_>, registry: &Registry) -> Scraped {
        let Scrape {
            exposition,
            at,
            took_ms,
        } = scrape;
        let mut batch = Batch {
            registry,
            limits: self.limits,
            at,
            found: Scraped::default(),
            refused: Refusals::default(),
            named: BTreeSet::new(),
        };
        let mut seen = BTreeSet::new();
        let points = exposition.map_or(&[][..], |exposition| exposition.points.as_slice());
        for point in points {
            if let Some(series) = batch.point(point, self.labels_of(point))
                && point.at.is_none()
            {
                seen.insert(series);
            }
        }
        if let Some(exposition) = exposition {
            batch.declare(exposition);
        }
        let ended = self.previous.difference(&seen).map(|series| (*series, at));
        batch.found.metrics.batch.stale.extend(ended);
        let added = seen.difference(&self.previous).count();
        let reports = [
            ("up", f64::from(u8::from(exposition.is_some()))),
            ("scrape_duration_seconds", took_ms.max(0) as f64 / 1000.0),
            ("scrape_samples_scraped", points.len() as f64),
            ("scrape_samples_post_metric_relabeling", points.len() as f64),
            ("scrape_series_added", added as f64),
        ];
        for (name, value) in reports {
            batch.report(name, &self.target.labels, value);
        }
        self.previous = seen;
        batch.finish()
    }

    /// The target is no longer asked: everything of it ends, the reports as well.
    pub fn end(&mut self, at: Timestamp) -> Scraped {
        let mut scraped = Scraped::default();
        let stale = &mut scraped.metrics.batch.stale;
        stale.extend(
            std::mem::take(&mut self.previous)
                .into_iter()
                .map(|series| (series, at)),
        );
        for name in REPORTS {
            stale.push((reported(name, &self.target.labels).id(), at));
        }
        scraped
    }

    /// The labels of a line beside those of its target. Of two with one name the target's stays, and the other is renamed; with
    /// `honor_labels` the line's stays.
    fn labels_of(&self, point: &Point) -> Vec<(String, String)> {
        let mut labels = point.labels.clone();
        for (name, value) in &self.target.labels {
            if self.honor_labels {
                if !labels.iter().any(|(own, _)| own == name) {
                    labels.push((name.clone(), value.clone()));
                }
                continue;
            }
            if let Some(place) = labels.iter().position(|(own, _)| own == name) {
                let mut exported = format!("exported_{name}");
                let taken = |exported: &str| {
                    labels.iter().any(|(own, _)| own == exported)
                        || self.target.labels.iter().any(|(own, _)| own == exported)
                };
                while taken(&exported) {
                    exported.insert_str(0, "exported_");
                }
                labels[place].0 = exported;
            }
            labels.push((name.clone(), value.clone()));
        }
        // An empty label is no label.
        labels.retain(|(_, value)| !value.is_empty());
        labels
    }
}

const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

fn reported(name: &str, labels: &[(String, String)]) -> Labels {
    let mut pairs = labels.to_vec();
    pairs.push(("__name__".to_owned(), name.to_owned()));
    Labels::new(pairs)
}

/// The samples of one scrape as they are made.
struct Batch<'a> {
    registry: &'a Registry,
    limits: Limits,
    at: Timestamp,
    found: Scraped,
    refused: Refusals,
    named: BTreeSet<SeriesId>,
}

impl Batch<'_> {
    /// Takes a line; its series, unless it is refused.
    fn point(&mut self, point: &Point, mut labels: Vec<(String, String)>) -> Option<SeriesId> {
        let too_long = |(name, value): &(String, String)| {
            name.len() > self.limits.max_label_name_bytes || value.len() > self.limits.max_label_value_bytes
        };
        if labels.len() >= self.limits.max_labels || labels.iter().any(too_long) {
            self.refuse(RejectReason::BadLabels, &point.name, "too many labels, or one too long");
            return None;
        }
        labels.push(("__name__".to_owned(), point.name.clone()));
        let series = self.series(&Labels::new(labels));
        if point.value.to_bits() == STALE_NAN_BITS || !point.value.is_finite() {
            self.refuse(
                RejectReason::NotANumber,
                &point.name,
                "the value is NaN or infinite and is kept as a gap",
            );
            return Some(series);
        }
        let at = point.at.unwrap_or(self.at);
        let sample = Sample {
            series,
            at,
            value: point.value,
        };
        match point.start {
            Some(start) => self.found.metrics.started.push(Started { start, sample }),
            None => self.found.metrics.batch.samples.push(sample),
        }
        if let Some(exemplar) = &point.exemplar {
            let chars: usize = exemplar
                .labels
                .iter()
                .map(|(name, value)| name.chars().count() + value.chars().count())
                .sum();
            if chars > MAX_LABEL_CHARS || !exemplar.value.is_finite() {
                let problem = "an exemplar has labels that are too long, or no number";
                self.refuse(RejectReason::Ignored, &point.name, problem);
            } else {
                self.found.exemplars.push(Exemplar {
                    series,
                    at: exemplar.at.unwrap_or(at),
                    value: exemplar.value,
                    labels: exemplar.labels.clone(),
                });
            }
        }
        Some(series)
    }

    fn report(&mut self, name: &str, labels: &[(String, String)], value: f64) {
        let series = self.series(&reported(name, labels));
        self.found.metrics.batch.samples.push(Sample {
            series,
            at: self.at,
            value,
        });
    }

    /// The id of a series; describes it if it is new.
    fn series(&mut self, labels: &Labels) -> SeriesId {
        let id = labels.id();
        if self.registry.get(id).is_none() && self.named.insert(id) {
            self.found.metrics.batch.new_series.push(info_from_labels(labels));
        }
        id
    }

    fn declare(&mut self, exposition: &Exposition) {
        let declared = self.registry.declared();
        let is_new = |(name, metadata): &(&String, &Metadata)| {
            !declared.has(Declared::key(name.as_bytes(), metadata.kind, metadata.is_described()))
        };
        let new = exposition.types.iter().filter(is_new);
        let types = &mut self.found.metrics.batch.types;
        types.extend(new.map(|(name, metadata)| (name.clone(), metadata.clone())));
        // Never judged: it says how another series came to be.
        for name in REPORTS {
            if !declared.has(Declared::key(name.as_bytes(), MetricType::Gauge, false)) {
                types.push((name.to_owned(), MetricType::Gauge.into()));
            }
        }
    }

    fn refuse(&mut self, reason: RejectReason, name: &str, problem: &str) {
        self.refused.add(reason, 1, || format!("{name:.120}: {problem}"));
    }

    fn finish(mut self) -> Scraped {
        self.found.metrics.batch.rejections = self.refused.into_rejections().collect();
        self.found
    }
}
