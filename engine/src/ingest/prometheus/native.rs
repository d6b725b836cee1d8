//! Native histograms: one sample that holds all buckets, integer or float, with exponential bounds or those of the sender.
//!
//! The engine judges classic histograms by quantiles, mean and rate. So `x` becomes `x_bucket`, `x_sum` and `x_count`, exponential
//! buckets as those of OTLP do ([`Classic`]), and custom bounds stay what they are.

use super::STALE_NAN_BITS;
use super::decoder::{Decoder, Malformed, label_of};
use super::reader::{Reader, Wire};
use crate::ingest::RejectReason;
use crate::ingest::otlp::Started;
use crate::ingest::otlp::exponential::{Buckets, Classic, Exponential};
use crate::series::{IdentityHasher, Labels, MetricType, Sample, info_from_labels};
use std::cell::RefCell;
use wire::{SeriesId, Timestamp};

/// Buckets and bounds of one histogram at most: more make no sense, and take memory.
const MAX_BUCKETS: usize = 20_000;

/// Samples that the histograms of one request become at most.
const MAX_SAMPLES: usize = 2_000_000;

/// The schema that means "custom bounds".
const CUSTOM: i32 = -53;

/// Finest and coarsest exponential schema that is defined.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -9..=52;

/// `ResetHint`: it also falls, and that is no reset.
const GAUGE: u64 = 3;

/// One histogram as sent.
#[derive(Debug, Default)]
struct Sent {
    count: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    is_float: bool,
    positive: Side,
    negative: Side,
    custom: Vec<f64>,
    is_gauge: bool,
    at: Timestamp,
    /// 0: not said.
    start: Timestamp,
}

/// The buckets of one sign.
#[derive(Debug, Default)]
struct Side {
    /// Gap before it, and how many.
    spans: Vec<(i64, u64)>,
    /// Differences of counts, of an integer histogram.
    deltas: Vec<i64>,
    /// Counts, of a float histogram.
    counts: Vec<f64>,
}

impl<'a> Decoder<'a> {
    /// Takes the histograms of the series at hand. Returns the series that stands for it, or what is wrong with its labels.
    pub(super) fn native(&mut self) -> Result<Result<SeriesId, &'static str>, Malformed> {
        let Some(base) = label_of(&self.labels, b"__name__") else {
            return Ok(Err("a histogram needs a name"));
        };
        let count = self.identify_part("_count", None);
        let is_new = !(self.known)(count);
        if (is_new || !self.hasher.is_unambiguous())
            && let Err(problem) = self.check_text()
        {
            return Ok(Err(problem));
        }
        let mut is_gauge = self.kind == Some(MetricType::GaugeHistogram);
        for index in 0..self.histograms.len() {
            let sent = Sent::read(self.histograms[index])?;
            is_gauge |= sent.is_gauge;
            self.histogram(&sent, is_gauge);
        }
        if is_new {
            let kind = if is_gauge {
                MetricType::GaugeHistogram
            } else {
                MetricType::Histogram
            };
            self.declare(base, kind, self.texts);
        }
        Ok(Ok(self.identify_part("_bucket", Some("+Inf"))))
    }

    fn histogram(&mut self, sent: &Sent, is_gauge: bool) {
        if sent.sum.to_bits() == STALE_NAN_BITS {
            self.found.told.histograms += 1;
            let count = self.identify_part("_count", None);
            // What was never there cannot end.
            if (self.known)(count) {
                self.found.histograms.batch.stale.push((count, sent.at));
                self.found.histograms.batch.ended_families.push((count, sent.at));
            }
            return;
        }
        if !sent.count.is_finite() || !sent.zero_count.is_finite() {
            let problem = "the count is NaN or infinite and is kept as a gap";
            self.found.told.histograms += 1;
            self.refuse_histograms(RejectReason::NotANumber, 1, problem);
            return;
        }
        let bounds = match self.bounds(sent) {
            Ok(bounds) => bounds,
            Err(problem) => {
                self.refuse_histograms(RejectReason::Unsupported, 1, problem);
                return;
            }
        };
        let taken = &self.found.histograms;
        if taken.batch.samples.len() + taken.started.len() + bounds.len() + 3 > MAX_SAMPLES {
            let problem = "the histograms of one request have too many buckets; send less at once";
            self.refuse_histograms(RejectReason::OverLimit, 1, problem);
            return;
        }
        self.found.told.histograms += 1;
        let start = if sent.start > Timestamp(0) {
            sent.start
        } else {
            self.start
        };
        let start = if is_gauge { Timestamp(0) } else { start };
        if sent.sum.is_finite() {
            self.part("_sum", None, sent.at, start, sent.sum);
        } else {
            let problem = "the sum is NaN or infinite and is kept as a gap";
            self.refuse_histograms(RejectReason::NotANumber, 1, problem);
        }
        self.part("_count", None, sent.at, start, sent.count);
        for (bound, below) in &bounds {
            self.part("_bucket", Some(&bound.to_string()), sent.at, start, *below);
        }
        self.part("_bucket", Some("+Inf"), sent.at, start, sent.count);
    }

    /// The bounds with the observations up to each, ascending, without the infinite one.
    fn bounds(&mut self, sent: &Sent) -> Result<Vec<(f64, f64)>, &'static str> {
        let positive = sent.positive.buckets(sent.is_float)?;
        let negative = sent.negative.buckets(sent.is_float)?;
        if sent.count < 0.0 || sent.zero_count < 0.0 {
            return Err("a count of a histogram is negative");
        }
        let held: f64 = positive.iter().chain(&negative).map(|(_, count)| count).sum::<f64>() + sent.zero_count;
        // Sums of floats differ in their last digits.
        if held > sent.count * (1.0 + 1e-9) {
            return Err("the buckets of a histogram hold more than its count");
        }
        if sent.schema == CUSTOM {
            return custom(&sent.custom, &positive, &negative);
        }
        if !EXPONENTIAL.contains(&sent.schema) {
            return Err("the schema of a histogram is none that is known");
        }
        // Bucket i of Prometheus ends where bucket i of OTLP begins.
        let side = |buckets: Vec<(i64, f64)>| Buckets::sparse(buckets.into_iter().map(|(i, n)| (i - 1, n)));
        let exponential = Exponential {
            scale: sent.schema,
            zero_count: sent.zero_count,
            zero_threshold: sent.zero_threshold,
            positive: side(positive),
            negative: side(negative),
        };
        let hasher = RefCell::new(std::mem::take(&mut self.hasher));
        let classic = Classic::new(&exponential, |bound| {
            let bound = bound.to_string();
            let id = part_id(&mut hasher.borrow_mut(), &self.labels, "_bucket", Some(&bound));
            (self.known)(id) || self.named.contains(&id)
        });
        self.hasher = hasher.into_inner();
        Ok(classic.0)
    }

    /// One value of one series of the classic form.
    fn part(&mut self, suffix: &str, le: Option<&str>, at: Timestamp, start: Timestamp, value: f64) {
        let series = self.identify_part(suffix, le);
        if !(self.known)(series) && self.named.insert(series) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut pairs: Vec<_> = self.labels.iter().map(|(n, v)| (text(n), text(v))).collect();
            if let Some((_, name)) = pairs.iter_mut().find(|(name, _)| name == "__name__") {
                name.push_str(suffix);
            }
            if let Some(le) = le {
                pairs.retain(|(name, _)| name != "le");
                pairs.push(("le".to_owned(), le.to_owned()));
            }
            let info = info_from_labels(&Labels::new(pairs));
            self.found.histograms.batch.new_series.push(info);
        }
        let sample = Sample { series, at, value };
        if start > Timestamp(0) {
            self.found.histograms.started.push(Started { start, sample });
        } else {
            self.found.histograms.batch.samples.push(sample);
        }
    }

    fn identify_part(&mut self, suffix: &str, le: Option<&str>) -> SeriesId {
        part_id(&mut self.hasher, &self.labels, suffix, le)
    }
}

/// The id of a part of a histogram: its labels, the name with a suffix, and perhaps a bound in the place of its own.
fn part_id(hasher: &mut IdentityHasher, labels: &[(&[u8], &[u8])], suffix: &str, le: Option<&str>) -> SeriesId {
    hasher.clear();
    let mut bound = le;
    for (name, value) in labels {
        if let Some(le) = bound.take_if(|_| *name >= &b"le"[..]) {
            hasher.label(b"le", le.as_bytes());
        }
        match *name {
            b"__name__" => hasher.label(name, &[*value, suffix.as_bytes()].concat()),
            b"le" if le.is_some() => {}
            _ => hasher.label(name, value),
        }
    }
    if let Some(le) = bound {
        hasher.label(b"le", le.as_bytes());
    }
    hasher.finish()
}

/// Buckets between bounds of the sender's.
fn custom(bounds: &[f64], positive: &[(i64, f64)], negative: &[(i64, f64)]) -> Result<Vec<(f64, f64)>, &'static str> {
    if !negative.is_empty() {
        return Err("a histogram with custom bounds has negative buckets");
    }
    if bounds.iter().any(|bound| bound.is_nan()) || bounds.windows(2).any(|w| w[0] >= w[1]) {
        return Err("the bounds of a histogram do not ascend");
    }
    let outside = |(index, _): &(i64, f64)| !(0..=bounds.len() as i64).contains(index);
    if positive.iter().any(outside) {
        return Err("a bucket of a histogram has no bound");
    }
    let mut below = 0.0;
    let mut buckets = positive.iter().peekable();
    let mut found = Vec::with_capacity(bounds.len());
    for (index, bound) in bounds.iter().enumerate() {
        while let Some((_, count)) = buckets.next_if(|(at, _)| *at <= index as i64) {
            below += count;
        }
        if bound.is_finite() {
            found.push((*bound, below));
        }
    }
    Ok(found)
}

impl Side {
    /// The buckets by index.
    fn buckets(&self, is_float: bool) -> Result<Vec<(i64, f64)>, &'static str> {
        let mut found = Vec::new();
        let mut count = 0i64;
        let mut deltas = self.deltas.iter();
        let mut counts = self.counts.iter();
        let mut index = 0i64;
        let differ = "the spans of a histogram are not its buckets";
        for (place, (gap, length)) in self.spans.iter().enumerate() {
            if place > 0 && *gap < 0 {
                return Err("the spans of a histogram overlap");
            }
            index += gap;
            for _ in 0..*length {
                let value = if is_float {
                    *counts.next().ok_or(differ)?
                } else {
                    let delta = deltas.next().ok_or(differ)?;
                    count = count.checked_add(*delta).ok_or(differ)?;
                    count as f64
                };
                if value < 0.0 || !value.is_finite() {
                    return Err("a count of a histogram is negative or no number");
                }
                found.push((index, value));
                index += 1;
            }
        }
        if deltas.next().is_some() || counts.next().is_some() {
            return Err(differ);
        }
        Ok(found)
    }
}

impl Sent {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut sent = Self::default();
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (1, Wire::Varint(count)) => sent.count = count as f64,
                (2, Wire::Fixed64(bits)) => (sent.count, sent.is_float) = (f64::from_bits(bits), true),
                (3, Wire::Fixed64(bits)) => sent.sum = f64::from_bits(bits),
                (4, Wire::Varint(bits)) => sent.schema = zigzag(bits) as i32,
                (5, Wire::Fixed64(bits)) => sent.zero_threshold = f64::from_bits(bits),
                (6, Wire::Varint(count)) => sent.zero_count = count as f64,
                (7, Wire::Fixed64(bits)) => sent.zero_count = f64::from_bits(bits),
                (8, Wire::Bytes(span)) => push(&mut sent.negative.spans, self::span(span)?)?,
                (9, content) => signed(content, &mut sent.negative.deltas)?,
                (10, content) => doubles(content, &mut sent.negative.counts)?,
                (11, Wire::Bytes(span)) => push(&mut sent.positive.spans, self::span(span)?)?,
                (12, content) => signed(content, &mut sent.positive.deltas)?,
                (13, content) => doubles(content, &mut sent.positive.counts)?,
                (14, Wire::Varint(hint)) => sent.is_gauge = hint == GAUGE,
                (15, Wire::Varint(bits)) => sent.at = Timestamp(bits.cast_signed()),
                (16, content) => doubles(content, &mut sent.custom)?,
                (17, Wire::Varint(bits)) => sent.start = Timestamp(bits.cast_signed()),
                _ => {}
            }
        }
        Ok(sent)
    }
}

fn span(body: &[u8]) -> Result<(i64, u64), Malformed> {
    let (mut offset, mut length) = (0, 0);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            // A sint32, whatever else it says.
            (1, Wire::Varint(bits)) => offset = i64::from(zigzag(bits) as i32),
            (2, Wire::Varint(number)) => length = number,
            _ => {}
        }
    }
    Ok((offset, length))
}

fn signed(content: Wire<'_>, list: &mut Vec<i64>) -> Result<(), Malformed> {
    match content {
        Wire::Varint(bits) => push(list, zigzag(bits))?,
        Wire::Bytes(packed) => {
            let mut packed = Reader::new(packed);
            while !packed.is_empty() {
                push(list, zigzag(packed.varint()?))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn doubles(content: Wire<'_>, list: &mut Vec<f64>) -> Result<(), Malformed> {
    match content {
        Wire::Fixed64(bits) => push(list, f64::from_bits(bits))?,
        Wire::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err("a list of doubles is cut off");
            }
            for bytes in numbers {
                push(list, f64::from_le_bytes(*bytes))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn push<T>(list: &mut Vec<T>, element: T) -> Result<(), Malformed> {
    if list.len() >= MAX_BUCKETS {
        return Err("a histogram has too many buckets");
    }
    list.push(element);
    Ok(())
}

/// A signed number of either width.
fn zigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -((bits & 1).cast_signed())
}
