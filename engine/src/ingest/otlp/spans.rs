//! `ExportTraceServiceRequest` to spans. Events and links of a span are not kept.

use super::resource::{Pairs, attributes_within, rest, service};
use super::value::{Malformed, attribute};
use super::{Encoding, OtlpError, bad_protobuf, each, json, protobuf};
use crate::ingest::RejectReason;
use crate::ingest::prometheus::reader::{Reader, Wire};
use crate::ingest::signal::{Collector, SignalLimits, Signals, hex, millis};
use wire::Timestamp;
use wire::signal::{SpanKind, SpanRecord, SpanStatus};

/// Decodes a request.
///
/// # Errors
/// [`OtlpError`] if nothing of the request can be used.
pub fn decode_spans(body: &[u8], encoding: Encoding, limits: &SignalLimits) -> Result<Signals, OtlpError> {
    let body = protobuf::<json::TraceRequest>(body, encoding)?;
    let mut collector = Collector::new(limits);
    each(&body, 1, |resource_spans| {
        let resource = attributes_within(resource_spans)?;
        each(resource_spans, 2, |scope| {
            each(scope, 2, |span| {
                let span = self::span(span, &resource)?;
                if span.trace_id.is_empty() || span.span_id.is_empty() || span.at <= Timestamp(0) {
                    collector.refuse(RejectReason::Malformed, || {
                        format!("a span {:?} of {}: it has no id or no time", span.name, span.service)
                    });
                } else {
                    collector.span(span);
                }
                Ok(())
            })
        })
    })
    .map_err(bad_protobuf::<json::TraceRequest>)?;
    Ok(collector.finish())
}

fn span(body: &[u8], resource: &Pairs) -> Result<SpanRecord, Malformed> {
    let (mut start, mut end) = (0, 0);
    let mut span = SpanRecord {
        at: Timestamp(0),
        duration_us: 0,
        service: service(resource),
        name: String::new(),
        kind: SpanKind::Unspecified,
        status: SpanStatus::Unset,
        message: String::new(),
        attributes: rest(resource),
        trace_id: String::new(),
        span_id: String::new(),
        parent_id: String::new(),
    };
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(id)) => span.trace_id = id_text(id, 16),
            (2, Wire::Bytes(id)) => span.span_id = id_text(id, 8),
            (4, Wire::Bytes(id)) => span.parent_id = id_text(id, 8),
            (5, Wire::Bytes(name)) => span.name = text(name)?,
            (6, Wire::Varint(kind)) => {
                span.kind = match kind {
                    1 => SpanKind::Internal,
                    2 => SpanKind::Server,
                    3 => SpanKind::Client,
                    4 => SpanKind::Producer,
                    5 => SpanKind::Consumer,
                    _ => SpanKind::Unspecified,
                }
            }
            (7, Wire::Fixed64(nanos)) => start = nanos,
            (8, Wire::Fixed64(nanos)) => end = nanos,
            (9, Wire::Bytes(pair)) => span.attributes.push(attribute(pair)?),
            (15, Wire::Bytes(status)) => {
                let mut reader = Reader::new(status);
                while let Some((field, content)) = reader.next()? {
                    match (field, content) {
                        (2, Wire::Bytes(message)) => span.message = text(message)?,
                        (3, Wire::Varint(1)) => span.status = SpanStatus::Ok,
                        (3, Wire::Varint(2)) => span.status = SpanStatus::Error,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    span.at = millis(i128::from(start));
    span.duration_us = end.saturating_sub(start) / 1000;
    Ok(span)
}

/// An id; one that is all zeros, or of another length, is none.
fn id_text(bytes: &[u8], length: usize) -> String {
    if bytes.len() == length && bytes.iter().any(|byte| *byte != 0) {
        hex(bytes)
    } else {
        String::new()
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a name is not UTF-8")?;
    Ok(text.to_owned())
}
