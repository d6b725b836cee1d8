//! What both versions have in common: from one series of a request to its samples.

use super::reader::{Reader, Wire};
use super::{Decoded, Limits, STALE_NAN_BITS};
use crate::ingest::exemplar::{Exemplar, MAX_LABEL_CHARS};
use crate::ingest::otlp::Started;
use crate::ingest::registry::Declared;
use crate::ingest::{Refusals, RejectReason};
use crate::series::{IdentityHasher, Labels, Metadata, MetricType, Sample, info_from_labels};
use std::collections::BTreeSet;
use wire::{SeriesId, Timestamp};

/// What makes bytes no protobuf of the kind that was expected.
pub(super) type Malformed = &'static str;

/// A label, as slices of the body.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

pub(super) struct Decoder<'a> {
    pub(super) limits: &'a Limits,
    pub(super) known: &'a dyn Fn(SeriesId) -> bool,
    declared: &'a Declared,
    pub(super) found: Decoded,
    refused: Refusals,
    pub(super) refused_histograms: Refusals,
    pub(super) hasher: IdentityHasher,
    /// Series named for the first time in this very request.
    pub(super) named: BTreeSet<SeriesId>,
    /// Types declared for the first time in it.
    types: BTreeSet<u64>,
    // The series at hand. Reused.
    pub(super) labels: Vec<Pair<'a>>,
    pub(super) samples: Vec<&'a [u8]>,
    pub(super) histograms: Vec<&'a [u8]>,
    pub(super) exemplars: Vec<Raw<'a>>,
    /// Its type, where the series itself says it, and what else it says.
    pub(super) kind: Option<MetricType>,
    pub(super) texts: Texts<'a>,
    /// Since when all of its samples count; 0: not said, or said by each.
    pub(super) start: Timestamp,
}

/// What metadata says beside the type, as sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Texts<'a> {
    pub(super) help: &'a [u8],
    pub(super) unit: &'a [u8],
}

/// An exemplar as sent.
pub(super) struct Raw<'a> {
    pub(super) labels: Vec<Pair<'a>>,
    pub(super) value: f64,
    pub(super) at: Timestamp,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(limits: &'a Limits, known: &'a dyn Fn(SeriesId) -> bool, declared: &'a Declared) -> Self {
        Self {
            limits,
            known,
            declared,
            found: Decoded::default(),
            refused: Refusals::default(),
            refused_histograms: Refusals::default(),
            hasher: IdentityHasher::default(),
            named: BTreeSet::new(),
            types: BTreeSet::new(),
            labels: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            kind: None,
            texts: Texts::default(),
            start: Timestamp(0),
        }
    }

    /// Forgets the series at hand.
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.kind = None;
        self.texts = Texts::default();
        self.start = Timestamp(0);
    }

    /// Takes the series at hand; `problem`: what is wrong with its labels already.
    pub(super) fn series(&mut self, problem: Option<&'static str>) -> Result<(), Malformed> {
        let checked = match problem {
            None => self.check_sizes(),
            Some(problem) => Err(problem),
        };
        if let Err(problem) = checked {
            self.refuse_labels(problem);
            return Ok(());
        }
        let mut owner = None;
        if !self.histograms.is_empty() {
            match self.native()? {
                Ok(series) => owner = Some(series),
                Err(problem) => {
                    self.refuse_labels(problem);
                    return Ok(());
                }
            }
        }
        // A series of nothing is known from then on.
        if !self.samples.is_empty() || self.histograms.is_empty() {
            let id = match self.identify() {
                Ok(id) => id,
                Err(problem) => {
                    self.refuse_labels(problem);
                    return Ok(());
                }
            };
            if let Some(kind) = self.kind {
                self.declare_of_member(kind);
            }
            for index in 0..self.samples.len() {
                self.sample(id, self.samples[index])?;
            }
            owner = Some(id);
        }
        if let Some(owner) = owner {
            self.keep_exemplars(owner);
        }
        Ok(())
    }

    fn sample(&mut self, series: SeriesId, body: &[u8]) -> Result<(), Malformed> {
        let (at, value, start) = sample(body)?;
        self.found.told.samples += 1;
        if value.is_finite() {
            let sample = Sample { series, at, value };
            let start = if start > Timestamp(0) { start } else { self.start };
            let falls = matches!(
                self.kind,
                Some(MetricType::Gauge | MetricType::GaugeHistogram | MetricType::Info | MetricType::StateSet)
            );
            if start > Timestamp(0) && !falls {
                self.found.samples.started.push(Started { start, sample });
            } else {
                self.found.samples.batch.samples.push(sample);
            }
        } else if value.to_bits() == STALE_NAN_BITS {
            self.found.samples.batch.stale.push((series, at));
        } else {
            self.refuse(
                RejectReason::NotANumber,
                1,
                "the value is NaN or infinite and is kept as a gap",
            );
        }
        Ok(())
    }

    fn keep_exemplars(&mut self, series: SeriesId) {
        for raw in std::mem::take(&mut self.exemplars) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let labels: Vec<_> = raw.labels.iter().map(|(n, v)| (text(n), text(v))).collect();
            let chars: usize = labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
            if chars > MAX_LABEL_CHARS {
                self.refuse(RejectReason::Ignored, 1, "the labels of an exemplar are too long");
            } else if !raw.value.is_finite() {
                self.refuse(RejectReason::Ignored, 1, "the value of an exemplar is NaN or infinite");
            } else {
                self.found.told.exemplars += 1;
                self.found.exemplars.push(Exemplar {
                    series,
                    at: raw.at,
                    value: raw.value,
                    labels,
                });
            }
        }
    }

    /// The id of the series at hand; describes the series if it is new. What costs time is checked for new series alone:
    /// labels with the bytes of a known series are as good as that series' were.
    fn identify(&mut self) -> Result<SeriesId, &'static str> {
        self.hasher.clear();
        for (name, value) in &self.labels {
            self.hasher.label(name, value);
        }
        let id = self.hasher.finish();
        if (self.known)(id) && self.hasher.is_unambiguous() {
            return Ok(id);
        }
        self.check_text()?;
        if !(self.known)(id) && self.named.insert(id) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let labels = Labels::new(self.labels.iter().map(|(n, v)| (text(n), text(v))).collect());
            self.found.samples.batch.new_series.push(info_from_labels(&labels));
        }
        Ok(id)
    }

    /// Not empty and within the limits.
    fn check_sizes(&self) -> Result<(), &'static str> {
        if self.labels.is_empty() {
            return Err("the series has no labels");
        }
        if self.labels.len() > self.limits.max_labels {
            return Err("the series has too many labels");
        }
        for (name, value) in &self.labels {
            if name.len() > self.limits.max_label_name_bytes {
                return Err("a label's name is too long");
            }
            if value.len() > self.limits.max_label_value_bytes {
                return Err("a label's value is too long");
            }
        }
        Ok(())
    }

    /// Named, UTF-8, sorted, unique.
    pub(super) fn check_text(&self) -> Result<(), &'static str> {
        for (name, value) in &self.labels {
            if name.is_empty() {
                return Err("a label has an empty name");
            }
            if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
                return Err("a label is not UTF-8");
            }
        }
        if self.labels.windows(2).any(|w| w[0].0 >= w[1].0) {
            return Err("labels are not sorted by name, or one is there twice");
        }
        Ok(())
    }

    /// Takes the type that a plain series says it has. The members of a histogram or summary say that of their family.
    fn declare_of_member(&mut self, kind: MetricType) {
        let name = label_of(&self.labels, b"__name__").unwrap_or_default();
        let is_family = matches!(
            kind,
            MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary
        );
        let is_quantile = kind == MetricType::Summary && label_of(&self.labels, b"quantile").is_some();
        let base = match is_family && !is_quantile {
            true => [&b"_bucket"[..], b"_sum", b"_count", b"_created"]
                .iter()
                .find_map(|suffix| name.strip_suffix(*suffix))
                .unwrap_or(name),
            false => name,
        };
        self.declare(base, kind, self.texts);
    }

    /// Takes the type of a metric or family and what it says of it, unless that was declared before.
    pub(super) fn declare(&mut self, name: &[u8], kind: MetricType, texts: Texts<'_>) {
        let is_name = !name.is_empty() && name.len() <= self.limits.max_label_name_bytes;
        let key = Declared::key(name, kind, !(texts.help.is_empty() && texts.unit.is_empty()));
        if !is_name || self.declared.has(key) || !self.types.insert(key) {
            return;
        }
        if let Ok(name) = std::str::from_utf8(name) {
            let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
            let metadata = Metadata::new(kind, text(texts.help), text(texts.unit));
            self.found.samples.batch.types.push((name.to_owned(), metadata));
        }
    }

    fn refuse_labels(&mut self, problem: &str) {
        if !self.samples.is_empty() {
            self.refuse(RejectReason::BadLabels, self.samples.len() as u64, problem);
        }
        if !self.histograms.is_empty() {
            self.refuse_histograms(RejectReason::BadLabels, self.histograms.len() as u64, problem);
        }
        if !self.exemplars.is_empty() {
            self.refuse(RejectReason::Ignored, self.exemplars.len() as u64, problem);
        }
    }

    fn refuse(&mut self, reason: RejectReason, samples: u64, problem: &str) {
        let labels = &self.labels;
        self.refused.add(reason, samples, || example(labels, problem));
    }

    pub(super) fn refuse_histograms(&mut self, reason: RejectReason, histograms: u64, problem: &str) {
        let labels = &self.labels;
        self.refused_histograms
            .add(reason, histograms, || example(labels, problem));
    }

    pub(super) fn finish(mut self) -> Decoded {
        self.found.samples.batch.rejections = self.refused.into_rejections().collect();
        self.found.histograms.batch.rejections = self.refused_histograms.into_rejections().collect();
        self.found
    }
}

/// The value of a label.
pub(super) fn label_of<'a>(labels: &[Pair<'a>], name: &[u8]) -> Option<&'a [u8]> {
    labels.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

fn example(labels: &[Pair<'_>], problem: &str) -> String {
    let metric = label_of(labels, b"__name__").unwrap_or(b"a series");
    let metric: String = String::from_utf8_lossy(metric).chars().take(120).collect();
    format!("{metric}: {problem}")
}

/// The enumeration of both versions; 0 is unknown.
pub(super) fn metric_type(code: u64) -> Option<MetricType> {
    Some(match code {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => return None,
    })
}

/// Time, value, and since when it counts: only version 2 says the last.
fn sample(body: &[u8]) -> Result<(Timestamp, f64, Timestamp), Malformed> {
    let (mut at, mut value, mut start) = (0, 0.0, 0);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Fixed64(bits)) => value = f64::from_bits(bits),
            // An int64 is the two's complement of its varint.
            (2, Wire::Varint(bits)) => at = bits.cast_signed(),
            (3, Wire::Varint(bits)) => start = bits.cast_signed(),
            _ => {}
        }
    }
    Ok((Timestamp(at), value, Timestamp(start)))
}
