//! Loki's push API: streams of lines, as a snappy block of protobuf or as JSON.
//!
//! Labels of a stream and structured metadata of a line are its attributes; the service is what Loki itself would call
//! `service_name`, the severity what a label or the metadata says. In JSON a time is text, nanoseconds since 1970; a number is
//! refused, as Loki does, since JSON's numbers cannot hold it.

mod json;

use super::prometheus::reader::{Reader, Wire};
use super::signal::{Collector, SignalLimits, Signals, millis, severity};
use super::{RejectReason, json_size};
use wire::signal::LogRecord;

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LokiError {
    #[error("the body is not a snappy block: {0}")]
    BadSnappy(String),
    #[error("the body is {bytes} bytes after decompression, the limit is {limit}: send less at once")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the body is not a logproto.PushRequest: {0}")]
    BadProtobuf(&'static str),
    #[error("the body is not a push request in JSON: {0}")]
    BadJson(String),
    #[error(
        "the JSON holds more than {} objects and lists; send less at once",
        json_size::MAX_OBJECTS
    )]
    TooManyObjects,
}

type Pairs = Vec<(String, String)>;

/// Decodes a snappy block around a `logproto.PushRequest`.
///
/// # Errors
/// [`LokiError`] if nothing of the request can be used.
pub fn decode_protobuf(body: &[u8], max_bytes: usize, limits: &SignalLimits) -> Result<Signals, LokiError> {
    let bad = |error: snap::Error| LokiError::BadSnappy(error.to_string());
    let bytes = snap::raw::decompress_len(body).map_err(bad)?;
    if bytes > max_bytes {
        return Err(LokiError::TooLarge {
            bytes,
            limit: max_bytes,
        });
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(bad)?;
    let mut collector = Collector::new(limits);
    request(&plain, &mut collector).map_err(LokiError::BadProtobuf)?;
    Ok(collector.finish())
}

/// Decodes JSON.
///
/// # Errors
/// [`LokiError::BadJson`] with line and column; [`LokiError::TooManyObjects`].
pub fn decode_json(body: &[u8], limits: &SignalLimits) -> Result<Signals, LokiError> {
    if !json_size::fits(body) {
        return Err(LokiError::TooManyObjects);
    }
    let mut collector = Collector::new(limits);
    json::read(body, &mut collector).map_err(|error| LokiError::BadJson(error.to_string()))?;
    Ok(collector.finish())
}

fn request(body: &[u8], collector: &mut Collector<'_>) -> Result<(), &'static str> {
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        let (1, Wire::Bytes(stream)) = (field, content) else {
            continue;
        };
        let mut labels = Some(Vec::new());
        let mut fields = Reader::new(stream);
        while let Some((field, content)) = fields.next()? {
            if let (1, Wire::Bytes(text)) = (field, content) {
                labels = std::str::from_utf8(text).ok().and_then(parse_labels);
            }
        }
        let mut fields = Reader::new(stream);
        while let Some((field, content)) = fields.next()? {
            if let (2, Wire::Bytes(entry)) = (field, content) {
                match &labels {
                    Some(labels) => self::entry(entry, labels, collector)?,
                    None => collector.refuse(RejectReason::BadLabels, || {
                        "the labels of a stream are not {name=\"value\", …}".to_owned()
                    }),
                }
            }
        }
    }
    Ok(())
}

fn entry(body: &[u8], labels: &Pairs, collector: &mut Collector<'_>) -> Result<(), &'static str> {
    let (mut nanos, mut line, mut metadata) = (0, &body[..0], Vec::new());
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(time)) => {
                let mut reader = Reader::new(time);
                while let Some((field, content)) = reader.next()? {
                    match (field, content) {
                        (1, Wire::Varint(seconds)) => nanos += i128::from(seconds.cast_signed()) * 1_000_000_000,
                        (2, Wire::Varint(rest)) => nanos += i128::from(rest.cast_signed()),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(text)) => line = text,
            (3, Wire::Bytes(pair)) => {
                let (mut name, mut value) = (&pair[..0], &pair[..0]);
                let mut reader = Reader::new(pair);
                while let Some((field, content)) = reader.next()? {
                    match (field, content) {
                        (1, Wire::Bytes(bytes)) => name = bytes,
                        (2, Wire::Bytes(bytes)) => value = bytes,
                        _ => {}
                    }
                }
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                metadata.push((text(name), text(value)));
            }
            _ => {}
        }
    }
    take(
        nanos,
        String::from_utf8_lossy(line).into_owned(),
        labels,
        metadata,
        collector,
    );
    Ok(())
}

/// Takes one line of a stream.
fn take(nanos: i128, line: String, labels: &Pairs, metadata: Pairs, collector: &mut Collector<'_>) {
    if nanos <= 0 {
        collector.refuse(RejectReason::Malformed, || {
            let line: String = line.chars().take(80).collect();
            format!("a line without a time: {line}")
        });
        return;
    }
    let mut attributes = labels.clone();
    attributes.extend(metadata);
    collector.log(line_of(nanos, line, attributes), nanos);
}

/// Labels that name the service, best first: those from which Loki makes `service_name`.
const SERVICE_LABELS: [&str; 11] = [
    "service_name",
    "service",
    "app",
    "application",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "component",
    "workload",
    "job",
];

const SEVERITY_LABELS: [&str; 4] = ["severity", "level", "detected_level", "severity_text"];

/// Trace and span, as promtail's pipelines and the Collector name them.
const TRACE_LABELS: [&str; 3] = ["trace_id", "traceID", "traceid"];
const SPAN_LABELS: [&str; 3] = ["span_id", "spanID", "spanid"];

/// A line with what its attributes say of service, severity and trace.
pub(super) fn line_of(nanos: i128, text: String, attributes: Pairs) -> LogRecord {
    let of = |names: &[&str]| {
        let find = |wanted: &&str| {
            attributes
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        names.iter().find_map(find).unwrap_or_default().to_owned()
    };
    let service = of(&SERVICE_LABELS);
    LogRecord {
        at: millis(nanos),
        service: if service.is_empty() {
            "unknown".to_owned()
        } else {
            service
        },
        severity: severity(&of(&SEVERITY_LABELS)),
        trace_id: of(&TRACE_LABELS).to_ascii_lowercase(),
        span_id: of(&SPAN_LABELS).to_ascii_lowercase(),
        text,
        attributes,
    }
}

/// `{name="value", other="…"}` with Go's quoting; `None` for anything else.
fn parse_labels(text: &str) -> Option<Pairs> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('`') {
            Some(raw) => {
                let (value, after) = raw.split_once('`')?;
                (value.to_owned(), after)
            }
            None => quoted(after.trim_start())?,
        };
        pairs.push((name.trim().to_owned(), value));
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(pairs)
}

/// A text in double quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = body.find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })?;
    let (inner, rest) = (&body[..end], &body[end + 1..]);
    if !inner.contains('\\') {
        return Some((inner.to_owned(), rest));
    }
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next()? {
            'n' => value.push('\n'),
            't' => value.push('\t'),
            'r' => value.push('\r'),
            'x' => value.push(code(&mut chars, 2)?),
            'u' => value.push(code(&mut chars, 4)?),
            'U' => value.push(code(&mut chars, 8)?),
            other => value.push(other),
        }
    }
    Some((value, rest))
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

#[cfg(test)]
mod tests;
