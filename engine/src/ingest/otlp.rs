//! OpenTelemetry's protocol, OTLP: metrics, logs and spans, as protobuf or as JSON.
//!
//! Specification: OpenTelemetry Protocol 1.10, Prometheus and OpenMetrics Compatibility. Protobuf is read in place; JSON becomes
//! the same bytes first ([`json`]), so that there is one decoder for each signal and nothing that only one of the two can do.
//!
//! A metric becomes what Prometheus' own OTLP receiver makes of it, as series of classic kinds: a histogram is `x_bucket`,
//! `x_sum`, `x_count`, which the engine judges by quantiles, mean and rate. An exponential histogram becomes a classic one
//! ([`exponential`]). Deltas become totals, and totals that started over unseen are told from those that went on, by what
//! [`Streams`] remembers; everything else here is a pure function of the bytes.

pub(in crate::ingest) mod exponential;
mod json;
mod logs;
mod metrics;
mod name;
mod resource;
mod spans;
mod streams;
mod value;

pub use logs::decode_logs;
pub use metrics::{Delta, Metrics, Started, decode_metrics};
pub use spans::decode_spans;
pub use streams::{Plan, Streams};

use crate::ingest::json_size;
use crate::ingest::prometheus::reader::{Reader, Wire};
pub(in crate::ingest) use resource::attributes_within as resource_attributes;
use std::borrow::Cow;
use value::Malformed;
pub(in crate::ingest) use value::{key_value, quantile, text as value_text};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    #[error("the body is not a protobuf {message}: {problem}")]
    BadProtobuf { message: &'static str, problem: String },
    #[error("the body is not a JSON {message}: {problem}")]
    BadJson { message: &'static str, problem: String },
    #[error(
        "the JSON holds more than {} objects and lists; send less at once",
        json_size::MAX_OBJECTS
    )]
    TooManyObjects,
}

/// The protobuf of a request, whichever way it came.
fn protobuf<T: json::Request>(body: &[u8], encoding: Encoding) -> Result<Cow<'_, [u8]>, OtlpError> {
    match encoding {
        Encoding::Protobuf => Ok(Cow::Borrowed(body)),
        Encoding::Json => json::to_protobuf::<T>(body).map(Cow::Owned),
    }
}

/// Calls `take` with every field of this number that holds bytes.
pub(in crate::ingest) fn each(
    body: &[u8],
    number: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        if let (true, Wire::Bytes(bytes)) = (field == number, content) {
            take(bytes)?;
        }
    }
    Ok(())
}

fn bad_protobuf<T: json::Request>(problem: &str) -> OtlpError {
    OtlpError::BadProtobuf {
        message: T::NAME,
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
