//! Logs as JSON objects, one a line or all in one list: what Fluent Bit's `http` output and many others send.
//!
//! | of an object | becomes |
//! |---|---|
//! | `date`, `timestamp`, `time`, `@timestamp`, `ts` | the time: seconds or milliseconds since 1970, or RFC 3339; else the arrival |
//! | `log`, `message`, `msg`, `MESSAGE` | the line; else the whole object is |
//! | `level`, `severity`, `loglevel`, `PRIORITY` | the severity |
//! | the labels that name a service for Loki, `kubernetes.labels.app`, `kubernetes.container_name`, `SYSLOG_IDENTIFIER`, `tag` | the service |
//! | everything else | attributes; nested ones joined by `.` |

use super::loki::line_of;
use super::signal::{Collector, SignalLimits, Signals, severity};
use super::{RejectReason, json_size};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use wire::Timestamp;

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the body is not a list of JSON objects: {0}")]
    Malformed(String),
    #[error(
        "the JSON holds more than {} objects and lists; send less at once",
        json_size::MAX_OBJECTS
    )]
    TooManyObjects,
}

const TIME_KEYS: [&str; 5] = ["date", "timestamp", "time", "@timestamp", "ts"];
const TEXT_KEYS: [&str; 4] = ["log", "message", "msg", "MESSAGE"];
const SEVERITY_KEYS: [&str; 4] = ["level", "severity", "loglevel", "PRIORITY"];
const SERVICE_KEYS: [&str; 5] = [
    "service.name",
    "kubernetes.labels.app",
    "kubernetes.container_name",
    "SYSLOG_IDENTIFIER",
    "tag",
];

/// Levels of nesting that become names of their own.
const MAX_DEPTH: usize = 8;

/// Decodes a list, or lines of which each is an object. A line that is none is refused by itself; a list that breaks off is
/// refused as a whole. Objects without a time get `now`.
///
/// # Errors
/// [`JsonError`] if nothing of the request can be used.
pub fn decode(body: &[u8], limits: &SignalLimits, now: Timestamp) -> Result<Signals, JsonError> {
    if !json_size::fits(body) {
        return Err(JsonError::TooManyObjects);
    }
    let mut collector = Collector::new(limits);
    if body.trim_ascii_start().first() == Some(&b'[') {
        let mut json = serde_json::Deserializer::from_slice(body);
        let list = List {
            collector: &mut collector,
            now,
        };
        json.deserialize_seq(list)
            .and_then(|()| json.end())
            .map_err(|error| JsonError::Malformed(error.to_string()))?;
        return Ok(collector.finish());
    }
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(object) => take(object, &mut collector, now),
            Err(error) => collector.refuse(RejectReason::Malformed, || {
                let line: String = String::from_utf8_lossy(line).chars().take(80).collect();
                format!("{line}: not a JSON object: {error}")
            }),
        }
    }
    Ok(collector.finish())
}

/// A list, taken element by element.
struct List<'a, 'b> {
    collector: &'a mut Collector<'b>,
    now: Timestamp,
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(object) = list.next_element()? {
            take(object, self.collector, self.now);
        }
        Ok(())
    }
}

/// Takes one object.
pub(super) fn take(object: Map<String, Value>, collector: &mut Collector<'_>, now: Timestamp) {
    let whole = || Value::Object(object.clone()).to_string();
    let find = |names: &[&'static str]| names.iter().find(|name| object.contains_key(**name)).copied();
    let told = find(&TIME_KEYS).and_then(|name| Some((name, nanos(&object[name])?)));
    let nanos = told.map_or_else(|| i128::from(now.as_millis()) * 1_000_000, |(_, nanos)| nanos);
    let named = find(&TEXT_KEYS);
    let text = named.map_or_else(whole, |name| plain(&object[name]));
    let level = find(&SEVERITY_KEYS).map_or(0, |name| level(&object[name]));
    let mut attributes = Vec::new();
    for (name, value) in &object {
        if Some(name.as_str()) != told.map(|(name, _)| name) && Some(name.as_str()) != named {
            flatten(name.clone(), value, &mut attributes, 0);
        }
    }
    let service = SERVICE_KEYS.iter().find_map(|key| {
        attributes
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
    });
    let mut line = line_of(nanos, text, attributes);
    if line.severity == 0 {
        line.severity = level;
    }
    if let (true, Some(service)) = (line.service == "unknown", service) {
        line.service = service;
    }
    if line.at.0 <= 0 {
        collector.refuse(RejectReason::Malformed, || {
            format!("a line of {}: its time is before 1970", line.service)
        });
    } else {
        collector.log(line, nanos);
    }
}

/// A time in nanoseconds: a number of seconds, or of milliseconds where seconds would be the year 5000; RFC 3339.
fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let seconds = if number.abs() > 1e11 { number / 1e3 } else { number };
            // Microseconds: a double holds no more of a present time.
            (seconds.abs() < 1e11).then(|| (seconds * 1e6).round() as i128 * 1000)
        }
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Some(time.as_nanosecond()),
            Err(_) => nanos(&Value::from(text.parse::<f64>().ok()?)),
        },
        _ => None,
    }
}

/// A word, or syslog's number as the journal has it.
fn level(value: &Value) -> u8 {
    let text = plain(value);
    match text.as_str() {
        "0" | "1" | "2" => 21,
        "3" => 17,
        "4" => 13,
        "5" | "6" => 9,
        "7" => 5,
        word => severity(word),
    }
}

fn flatten(name: String, value: &Value, to: &mut Vec<(String, String)>, depth: usize) {
    match value {
        Value::Object(object) if depth < MAX_DEPTH => {
            for (key, value) in object {
                flatten(format!("{name}.{key}"), value, to, depth + 1);
            }
        }
        Value::Null => {}
        value => to.push((name, plain(value))),
    }
}

/// Text without its quotes, and without the end of line that container runtimes leave.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn logs(body: &str) -> Signals {
        decode(body.as_bytes(), &SignalLimits::default(), NOW).unwrap()
    }

    #[test]
    fn lines_and_lists_say_the_same() {
        let one = r#"{"date": 1700000001.5, "log": "refused\n", "level": "error", "kubernetes": {"labels": {"app": "cart"}, "pod_name": "p"}}"#;
        let two = r#"{"msg": "fine", "service": "pay"}"#;
        let lines = logs(&format!("{one}\n\n{two}\n"));
        assert_eq!(lines, logs(&format!("[{one},{two}]")));
        let first = &lines.logs[0].record;
        assert_eq!((first.at, first.severity), (Timestamp(1_700_000_001_500), 17));
        assert_eq!((first.service.as_str(), first.text.as_str()), ("cart", "refused"));
        assert!(
            first
                .attributes
                .contains(&("kubernetes.pod_name".to_owned(), "p".to_owned()))
        );
        let second = &lines.logs[1].record;
        assert_eq!(
            (second.at, second.service.as_str(), second.text.as_str()),
            (NOW, "pay", "fine")
        );
    }

    #[test]
    fn times_are_read_in_every_form() {
        let check = |time: &str, expected: i64| {
            let found = logs(&format!(r#"{{"time": {time}, "log": "x"}}"#));
            assert_eq!(found.logs[0].record.at, Timestamp(expected), "{time}");
        };
        check("1700000001", 1_700_000_001_000);
        check("1700000001500", 1_700_000_001_500);
        check("\"1700000001.25\"", 1_700_000_001_250);
        check("\"2023-11-14T22:13:21.5Z\"", 1_700_000_001_500);
        check("\"soon\"", NOW.0);
        check("null", NOW.0);
    }

    #[test]
    fn a_bad_line_is_refused_by_itself() {
        let found = logs("{\"log\":\"a\"}\nnot json\n7\n{\"log\":\"b\"}");
        assert_eq!(found.logs.len(), 2);
        assert_eq!(
            (found.rejections[0].reason, found.rejections[0].samples),
            (RejectReason::Malformed, 2)
        );
        let error = decode(b"[{\"log\":\"a\"}", &SignalLimits::default(), NOW).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        let whole = logs(r#"{"code": 7}"#);
        assert_eq!(whole.logs[0].record.text, r#"{"code":7}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(body in prop::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:a-z0-9 \n]{0,80}") {
            let limits = SignalLimits::default();
            let _ = decode(&body, &limits, NOW);
            let _ = decode(json.as_bytes(), &limits, NOW);
        }
    }
}
