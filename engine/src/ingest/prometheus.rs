//! Prometheus remote write 1.x: a snappy block around a protobuf `WriteRequest`.
//!
//! Specification: Prometheus remote write 1.0. The parser reads the bytes in place: for a series that is known it computes
//! the id from the label bytes and allocates nothing. Per sample that is a few varints; labels are hashed once per series.
//!
//! A series that breaks a rule is refused by itself with a reason; the rest of the request is taken. Only bytes that are
//! not snappy or not protobuf refuse the whole request.

pub(super) mod reader;

use super::registry::Registry;
use super::{IngestBatch, Refusals, RejectReason};
use crate::series::{IdentityHasher, Labels, MetricType, Sample, info_from_labels};
use reader::{Reader, Wire};
use std::collections::BTreeSet;
use wire::{SeriesId, Timestamp};

/// The NaN that says "this series has ended". Told apart from ordinary NaN by its bits.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Limits on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size after decompression.
    pub max_body_bytes: usize,
    pub max_labels: usize,
    pub max_label_name_bytes: usize,
    pub max_label_value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            max_labels: 128,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 16 << 10,
        }
    }
}

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not a snappy block: {0}; remote write uses the block format, not the framed one")]
    BadSnappy(String),
    #[error("the body is not a prometheus.WriteRequest: {0}")]
    BadProtobuf(String),
    #[error("the body is {bytes} bytes after decompression, the limit is {limit}: lower max_samples_per_send")]
    TooLarge { bytes: usize, limit: usize },
}

/// Decodes a request. Samples come in the order of the request; `new_series` holds what `registry` does not know.
///
/// # Errors
/// [`DecodeError`] if nothing of the request can be used.
pub fn decode_v1(body: &[u8], limits: &Limits, registry: &Registry) -> Result<IngestBatch, DecodeError> {
    let bytes = snap::raw::decompress_len(body).map_err(|e| DecodeError::BadSnappy(e.to_string()))?;
    if bytes > limits.max_body_bytes {
        return Err(DecodeError::TooLarge {
            bytes,
            limit: limits.max_body_bytes,
        });
    }
    let plain = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|e| DecodeError::BadSnappy(e.to_string()))?;
    registry.with_known(|known| {
        let mut decoder = Decoder {
            limits,
            known,
            batch: IngestBatch::default(),
            refused: Refusals::default(),
            labels: Vec::new(),
            hasher: IdentityHasher::default(),
            bodies: Vec::new(),
            named: BTreeSet::new(),
        };
        decoder
            .request(&plain)
            .map_err(|e| DecodeError::BadProtobuf(e.to_owned()))?;
        Ok(decoder.finish())
    })
}

struct Decoder<'a> {
    limits: &'a Limits,
    known: &'a dyn Fn(SeriesId) -> bool,
    batch: IngestBatch,
    refused: Refusals,
    /// Labels of the series at hand, as slices of the body. Reused.
    labels: Vec<(&'a [u8], &'a [u8])>,
    hasher: IdentityHasher,
    /// Samples of the series at hand. Reused.
    bodies: Vec<&'a [u8]>,
    /// Series named for the first time in this very request.
    named: BTreeSet<SeriesId>,
}

impl<'a> Decoder<'a> {
    fn request(&mut self, body: &'a [u8]) -> Result<(), &'static str> {
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Wire::Bytes(series)) => self.series(series)?,
                (3, Wire::Bytes(metadata)) => self.metadata(metadata),
                // From a newer version, and no error.
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the type of a metric family. Metadata that makes no sense is no reason to lose samples.
    fn metadata(&mut self, body: &[u8]) {
        let (mut code, mut name) = (0, &body[..0]);
        let mut reader = Reader::new(body);
        while let Ok(Some((field, content))) = reader.next() {
            match (field, content) {
                (1, Wire::Varint(number)) => code = number,
                (2, Wire::Bytes(bytes)) => name = bytes,
                _ => {}
            }
        }
        let is_name = !name.is_empty() && name.len() <= self.limits.max_label_name_bytes;
        if let (true, Ok(name), Some(kind)) = (is_name, std::str::from_utf8(name), metric_type(code)) {
            self.batch.types.push((name.to_owned(), kind));
        }
    }

    fn series(&mut self, body: &'a [u8]) -> Result<(), &'static str> {
        self.labels.clear();
        self.bodies.clear();
        let mut histograms = 0;
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Wire::Bytes(label)) => {
                    let label = self::label(label)?;
                    self.labels.push(label);
                }
                (2, Wire::Bytes(sample)) => self.bodies.push(sample),
                (4, Wire::Bytes(_)) => histograms += 1,
                _ => {}
            }
        }
        if histograms > 0 {
            self.refuse(
                RejectReason::Unsupported,
                histograms,
                "native histograms are not taken by remote write 1.x here",
            );
        }
        let id = match self.identify() {
            Ok(id) => id,
            Err(problem) => {
                self.refuse(RejectReason::BadLabels, self.bodies.len() as u64, problem);
                return Ok(());
            }
        };
        for index in 0..self.bodies.len() {
            let (at, value) = sample(self.bodies[index])?;
            if value.is_finite() {
                self.batch.samples.push(Sample { series: id, at, value });
            } else if value.to_bits() == STALE_NAN_BITS {
                self.batch.stale.push((id, at));
            } else {
                self.refuse(
                    RejectReason::NotANumber,
                    1,
                    "the value is NaN or infinite and is kept as a gap",
                );
            }
        }
        Ok(())
    }

    /// The id of the series at hand; describes the series if it is new. What costs time is checked for new series alone:
    /// labels with the bytes of a known series are as good as that series' were.
    fn identify(&mut self) -> Result<SeriesId, &'static str> {
        self.check_sizes()?;
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
            self.batch.new_series.push(info_from_labels(&labels));
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
    fn check_text(&self) -> Result<(), &'static str> {
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

    fn refuse(&mut self, reason: RejectReason, samples: u64, problem: &str) {
        let labels = &self.labels;
        self.refused.add(reason, samples, || {
            let metric = labels
                .iter()
                .find(|(name, _)| *name == b"__name__")
                .map_or(&b"a series"[..], |(_, value)| value);
            let metric: String = String::from_utf8_lossy(metric).chars().take(120).collect();
            format!("{metric}: {problem}")
        });
    }

    fn finish(mut self) -> IngestBatch {
        self.batch.rejections = self.refused.into_rejections().collect();
        self.batch
    }
}

/// `MetricMetadata.MetricType`; 0 is unknown.
fn metric_type(code: u64) -> Option<MetricType> {
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

fn label(body: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (mut name, mut value) = (&body[..0], &body[..0]);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(bytes)) => name = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((name, value))
}

fn sample(body: &[u8]) -> Result<(Timestamp, f64), &'static str> {
    let (mut at, mut value) = (0, 0.0);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Fixed64(bits)) => value = f64::from_bits(bits),
            // An int64 is the two's complement of its varint.
            (2, Wire::Varint(bits)) => at = bits.cast_signed(),
            _ => {}
        }
    }
    Ok((Timestamp(at), value))
}

#[cfg(test)]
mod tests;
