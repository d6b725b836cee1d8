//! `ExportLogsServiceRequest` to lines.

use super::resource::{Pairs, attributes_within, rest, service};
use super::value::{self, Malformed, attribute};
use super::{Encoding, OtlpError, bad_protobuf, each, json, protobuf};
use crate::ingest::prometheus::reader::{Reader, Wire};
use crate::ingest::signal::{Collector, SignalLimits, Signals, hex, millis, severity};
use wire::Timestamp;
use wire::signal::LogRecord;

/// Decodes a request. A record without a time gets that of its observation, else `now`.
///
/// # Errors
/// [`OtlpError`] if nothing of the request can be used.
pub fn decode_logs(
    body: &[u8],
    encoding: Encoding,
    limits: &SignalLimits,
    now: Timestamp,
) -> Result<Signals, OtlpError> {
    let body = protobuf::<json::LogsRequest>(body, encoding)?;
    let mut collector = Collector::new(limits);
    each(&body, 1, |resource_logs| {
        let resource = attributes_within(resource_logs)?;
        each(resource_logs, 2, |scope| {
            each(scope, 2, |record| {
                let (record, nanos) = self::record(record, &resource, now)?;
                collector.log(record, nanos);
                Ok(())
            })
        })
    })
    .map_err(bad_protobuf::<json::LogsRequest>)?;
    Ok(collector.finish())
}

/// A line and its time in nanoseconds.
fn record(body: &[u8], resource: &Pairs, now: Timestamp) -> Result<(LogRecord, i128), Malformed> {
    let (mut time, mut observed, mut level_name) = (0, 0, "");
    let mut record = LogRecord {
        at: now,
        service: service(resource),
        severity: 0,
        text: String::new(),
        attributes: rest(resource),
        trace_id: String::new(),
        span_id: String::new(),
    };
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Fixed64(nanos)) => time = nanos,
            (11, Wire::Fixed64(nanos)) => observed = nanos,
            (2, Wire::Varint(level)) => record.severity = u8::try_from(level).unwrap_or(0).min(24),
            (3, Wire::Bytes(name)) => level_name = std::str::from_utf8(name).map_err(|_| "a severity is not UTF-8")?,
            (5, Wire::Bytes(body)) => record.text = value::text(body)?,
            (6, Wire::Bytes(pair)) => record.attributes.push(attribute(pair)?),
            (9, Wire::Bytes(id)) => record.trace_id = hex(id.get(..16).unwrap_or(id)),
            (10, Wire::Bytes(id)) => record.span_id = hex(id.get(..8).unwrap_or(id)),
            _ => {}
        }
    }
    if record.severity == 0 {
        record.severity = severity(level_name);
    }
    let told = [time, observed].into_iter().find(|nanos| *nanos > 0).map(i128::from);
    let nanos = told.unwrap_or_else(|| i128::from(now.as_millis()) * 1_000_000);
    record.at = millis(nanos);
    Ok((record, nanos))
}
