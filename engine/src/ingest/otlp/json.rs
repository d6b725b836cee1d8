//! OTLP's JSON, turned into its protobuf.
//!
//! ProtoJSON with OTLP's differences: keys in lowerCamelCase, ids of traces and spans in hexadecimal, enums as integers, 64-bit
//! integers as text or as numbers, unknown fields ignored. The messages are prost's: what of them the decoders read.

mod field;

use super::OtlpError;
use crate::ingest::json_size;
use prost::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The message of one signal.
pub(super) trait Request: Message + Default + DeserializeOwned {
    /// Its name, for people.
    const NAME: &'static str;
}

/// The same request in protobuf.
///
/// # Errors
/// [`OtlpError::BadJson`] with line and column; [`OtlpError::TooManyObjects`].
pub(super) fn to_protobuf<T: Request>(body: &[u8]) -> Result<Vec<u8>, OtlpError> {
    if !json_size::fits(body) {
        return Err(OtlpError::TooManyObjects);
    }
    let request: T = serde_json::from_slice(body).map_err(|error| OtlpError::BadJson {
        message: T::NAME,
        problem: error.to_string(),
    })?;
    Ok(request.encode_to_vec())
}

/// Declares messages: prost's derive for the bytes, serde's for the JSON.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(super) struct $name { $($(#[$attribute])* pub(super) $field: $type),* }
    )*};
}

impl Request for MetricsRequest {
    const NAME: &'static str = "ExportMetricsServiceRequest";
}

impl Request for LogsRequest {
    const NAME: &'static str = "ExportLogsServiceRequest";
}

impl Request for TraceRequest {
    const NAME: &'static str = "ExportTraceServiceRequest";
}

messages! {
    AnyValue {
        #[prost(string, optional, tag = "1")] string_value: Option<String>,
        #[prost(bool, optional, tag = "2")] bool_value: Option<bool>,
        #[prost(int64, optional, tag = "3")] #[serde(deserialize_with = "field::maybe_integer")] int_value: Option<i64>,
        #[prost(double, optional, tag = "4")] #[serde(deserialize_with = "field::maybe_double")] double_value: Option<f64>,
        #[prost(message, optional, tag = "5")] array_value: Option<ArrayValue>,
        #[prost(message, optional, tag = "6")] kvlist_value: Option<KeyValueList>,
        #[prost(bytes = "vec", optional, tag = "7")] #[serde(deserialize_with = "field::maybe_base64")] bytes_value: Option<Vec<u8>>,
    }
    ArrayValue { #[prost(message, repeated, tag = "1")] values: Vec<AnyValue> }
    KeyValueList { #[prost(message, repeated, tag = "1")] values: Vec<KeyValue> }
    KeyValue {
        #[prost(string, tag = "1")] key: String,
        #[prost(message, optional, tag = "2")] value: Option<AnyValue>,
    }
    Resource { #[prost(message, repeated, tag = "1")] attributes: Vec<KeyValue> }

    MetricsRequest { #[prost(message, repeated, tag = "1")] resource_metrics: Vec<ResourceMetrics> }
    ResourceMetrics {
        #[prost(message, optional, tag = "1")] resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")] scope_metrics: Vec<ScopeMetrics>,
    }
    ScopeMetrics { #[prost(message, repeated, tag = "2")] metrics: Vec<Metric> }
    /// One of the five kinds of data is there.
    Metric {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "3")] unit: String,
        #[prost(message, optional, tag = "5")] gauge: Option<Gauge>,
        #[prost(message, optional, tag = "7")] sum: Option<Sum>,
        #[prost(message, optional, tag = "9")] histogram: Option<Histogram>,
        #[prost(message, optional, tag = "10")] exponential_histogram: Option<ExponentialHistogram>,
        #[prost(message, optional, tag = "11")] summary: Option<Summary>,
    }
    Gauge { #[prost(message, repeated, tag = "1")] data_points: Vec<NumberPoint> }
    Sum {
        #[prost(message, repeated, tag = "1")] data_points: Vec<NumberPoint>,
        #[prost(int32, tag = "2")] aggregation_temporality: i32,
        #[prost(bool, tag = "3")] is_monotonic: bool,
    }
    Histogram {
        #[prost(message, repeated, tag = "1")] data_points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")] aggregation_temporality: i32,
    }
    ExponentialHistogram {
        #[prost(message, repeated, tag = "1")] data_points: Vec<ExponentialPoint>,
        #[prost(int32, tag = "2")] aggregation_temporality: i32,
    }
    Summary { #[prost(message, repeated, tag = "1")] data_points: Vec<SummaryPoint> }
    NumberPoint {
        #[prost(message, repeated, tag = "7")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")] #[serde(deserialize_with = "field::natural")] start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "field::natural")] time_unix_nano: u64,
        #[prost(double, optional, tag = "4")] #[serde(deserialize_with = "field::maybe_double")] as_double: Option<f64>,
        #[prost(sfixed64, optional, tag = "6")] #[serde(deserialize_with = "field::maybe_integer")] as_int: Option<i64>,
        #[prost(uint32, tag = "8")] flags: u32,
    }
    HistogramPoint {
        #[prost(message, repeated, tag = "9")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")] #[serde(deserialize_with = "field::natural")] start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "field::natural")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "field::natural")] count: u64,
        #[prost(double, optional, tag = "5")] #[serde(deserialize_with = "field::maybe_double")] sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")] #[serde(deserialize_with = "field::naturals")] bucket_counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")] #[serde(deserialize_with = "field::doubles")] explicit_bounds: Vec<f64>,
        #[prost(uint32, tag = "10")] flags: u32,
    }
    ExponentialPoint {
        #[prost(message, repeated, tag = "1")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")] #[serde(deserialize_with = "field::natural")] start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "field::natural")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "field::natural")] count: u64,
        #[prost(double, optional, tag = "5")] #[serde(deserialize_with = "field::maybe_double")] sum: Option<f64>,
        #[prost(sint32, tag = "6")] scale: i32,
        #[prost(fixed64, tag = "7")] #[serde(deserialize_with = "field::natural")] zero_count: u64,
        #[prost(message, optional, tag = "8")] positive: Option<Buckets>,
        #[prost(message, optional, tag = "9")] negative: Option<Buckets>,
        #[prost(uint32, tag = "10")] flags: u32,
        #[prost(double, tag = "14")] #[serde(deserialize_with = "field::double")] zero_threshold: f64,
    }
    Buckets {
        #[prost(sint32, tag = "1")] offset: i32,
        #[prost(uint64, repeated, tag = "2")] #[serde(deserialize_with = "field::naturals")] bucket_counts: Vec<u64>,
    }
    SummaryPoint {
        #[prost(message, repeated, tag = "7")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")] #[serde(deserialize_with = "field::natural")] start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "field::natural")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "field::natural")] count: u64,
        #[prost(double, tag = "5")] #[serde(deserialize_with = "field::double")] sum: f64,
        #[prost(message, repeated, tag = "6")] quantile_values: Vec<QuantileValue>,
        #[prost(uint32, tag = "8")] flags: u32,
    }
    QuantileValue {
        #[prost(double, tag = "1")] #[serde(deserialize_with = "field::double")] quantile: f64,
        #[prost(double, tag = "2")] #[serde(deserialize_with = "field::double")] value: f64,
    }

    LogsRequest { #[prost(message, repeated, tag = "1")] resource_logs: Vec<ResourceLogs> }
    ResourceLogs {
        #[prost(message, optional, tag = "1")] resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")] scope_logs: Vec<ScopeLogs>,
    }
    ScopeLogs { #[prost(message, repeated, tag = "2")] log_records: Vec<LogRecord> }
    LogRecord {
        #[prost(fixed64, tag = "1")] #[serde(deserialize_with = "field::natural")] time_unix_nano: u64,
        #[prost(fixed64, tag = "11")] #[serde(deserialize_with = "field::natural")] observed_time_unix_nano: u64,
        #[prost(int32, tag = "2")] severity_number: i32,
        #[prost(string, tag = "3")] severity_text: String,
        #[prost(message, optional, tag = "5")] body: Option<AnyValue>,
        #[prost(message, repeated, tag = "6")] attributes: Vec<KeyValue>,
        #[prost(bytes = "vec", tag = "9")] #[serde(deserialize_with = "field::hexadecimal")] trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "10")] #[serde(deserialize_with = "field::hexadecimal")] span_id: Vec<u8>,
    }

    TraceRequest { #[prost(message, repeated, tag = "1")] resource_spans: Vec<ResourceSpans> }
    ResourceSpans {
        #[prost(message, optional, tag = "1")] resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")] scope_spans: Vec<ScopeSpans>,
    }
    ScopeSpans { #[prost(message, repeated, tag = "2")] spans: Vec<Span> }
    Span {
        #[prost(bytes = "vec", tag = "1")] #[serde(deserialize_with = "field::hexadecimal")] trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")] #[serde(deserialize_with = "field::hexadecimal")] span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")] #[serde(deserialize_with = "field::hexadecimal")] parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")] name: String,
        #[prost(int32, tag = "6")] kind: i32,
        #[prost(fixed64, tag = "7")] #[serde(deserialize_with = "field::natural")] start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")] #[serde(deserialize_with = "field::natural")] end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")] attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")] status: Option<Status>,
    }
    Status {
        #[prost(string, tag = "2")] message: String,
        #[prost(int32, tag = "3")] code: i32,
    }
}
