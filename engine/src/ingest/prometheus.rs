//! Prometheus remote write: a snappy block around a protobuf message, of version 1 ([`v1`]) or 2 ([`v2`]).
//!
//! Specifications: Prometheus remote write 1.0 and 2.0. The parser reads the bytes in place: for a series that is known it
//! computes the id from the label bytes and allocates nothing. Per sample that is a few varints; labels are hashed once per
//! series. Native histograms become classic ones ([`native`]); everything else stays what it was.
//!
//! A series that breaks a rule is refused by itself with a reason; the rest of the request is taken. Only bytes that are
//! not snappy or not protobuf refuse the whole request.

mod decoder;
mod native;
pub(super) mod reader;
mod v1;
mod v2;

use super::exemplar::Exemplar;
use super::otlp::Metrics;
use super::registry::Registry;
use super::{IngestBatch, RejectReason, Rejection};
use decoder::Decoder;

/// The NaN that says "this series has ended". Told apart from ordinary NaN by its bits.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The content type of a request, without its parameters.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

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

/// Which message a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Version {
    /// Name of the message, as `proto` of the content type has it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::One => "prometheus.WriteRequest",
            Self::Two => "io.prometheus.write.v2.Request",
        }
    }

    /// The version that a content type names; 1 where it has no `proto`.
    ///
    /// # Errors
    /// What is wrong with it, for the sender.
    pub fn of_content_type(kind: &str) -> Result<Self, String> {
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        if !essence.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(format!("content type must be {CONTENT_TYPE}, got {kind:?}"));
        }
        let mut version = Self::One;
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            if !key.trim().eq_ignore_ascii_case("proto") {
                continue;
            }
            let named = value.trim().trim_matches('"');
            let known = [Self::One, Self::Two];
            version = known.into_iter().find(|v| v.message() == named).ok_or_else(|| {
                format!(
                    "unknown message {named:?}; this takes {} and {}",
                    Self::One.message(),
                    Self::Two.message()
                )
            })?;
        }
        Ok(version)
    }
}

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not a snappy block: {0}; remote write uses the block format, not the framed one")]
    BadSnappy(String),
    #[error("the body is not a {message}: {problem}")]
    BadProtobuf { message: &'static str, problem: String },
    #[error("the body is a {}, yet its content type says {}", Version::Two.message(), Version::One.message())]
    OtherVersion,
    #[error("the body is {bytes} bytes after decompression, the limit is {limit}: lower max_samples_per_send")]
    TooLarge { bytes: usize, limit: usize },
}

/// A decoded request, in parts that are accounted for apart.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// Plain samples.
    pub samples: Metrics,
    /// Native histograms, as the series of classic ones.
    pub histograms: Metrics,
    pub exemplars: Vec<Exemplar>,
    /// How much of each there was to take.
    pub told: Told,
}

/// What a request brought that is well formed, stale markers and gaps included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Decoded {
    /// Everything in one batch, for those who do not look at starts and exemplars. The latter are counted as not kept.
    pub fn into_batch(self) -> IngestBatch {
        let mut batch = self.samples.batch;
        let histograms = self.histograms.batch;
        batch.new_series.extend(histograms.new_series);
        batch.samples.extend(histograms.samples);
        let started = self.samples.started.into_iter().chain(self.histograms.started);
        batch.samples.extend(started.map(|started| started.sample));
        batch.stale.extend(histograms.stale);
        batch.ended_families.extend(histograms.ended_families);
        batch.types.extend(histograms.types);
        batch.rejections.extend(histograms.rejections);
        if self.told.exemplars > 0 {
            batch.rejections.push(Rejection {
                reason: RejectReason::Ignored,
                samples: self.told.exemplars,
                example: "exemplars are not kept of this source".to_owned(),
            });
        }
        batch
    }
}

/// Decodes a request of version 1 into one batch: samples in the order of the request, then native histograms; `new_series` holds
/// what `registry` does not know.
///
/// # Errors
/// [`DecodeError`] if nothing of the request can be used.
pub fn decode_v1(body: &[u8], limits: &Limits, registry: &Registry) -> Result<IngestBatch, DecodeError> {
    decode(Version::One, body, limits, registry).map(Decoded::into_batch)
}

/// Decodes a request.
///
/// # Errors
/// [`DecodeError`] if nothing of the request can be used.
pub fn decode(version: Version, body: &[u8], limits: &Limits, registry: &Registry) -> Result<Decoded, DecodeError> {
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
    let declared = registry.declared();
    registry.with_known(|known| {
        let mut decoder = Decoder::new(limits, known, &declared);
        if version == Version::One && v1::is_v2(&plain) {
            return Err(DecodeError::OtherVersion);
        }
        let read = match version {
            Version::One => decoder.request_v1(&plain),
            Version::Two => decoder.request_v2(&plain),
        };
        read.map_err(|problem| DecodeError::BadProtobuf {
            message: version.message(),
            problem: problem.to_owned(),
        })?;
        Ok(decoder.finish())
    })
}

#[cfg(test)]
mod tests;
