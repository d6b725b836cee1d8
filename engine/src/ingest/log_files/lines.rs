//! What the lines of a log file say.
//!
//! A JSON object is read as [`json_lines`] reads it. Of plain text the time is what it begins with if that is RFC 3339, else when it was
//! read, and the severity is the first word of a level near its beginning. A line that begins with a blank belongs to the one before,
//! as the lines of a stack trace do.

use super::{LogFilesConfig, Piece};
use crate::ingest::json_lines;
use crate::ingest::loki::line_of;
use crate::ingest::signal::{Collector, SignalLimits, Signals, severity};
use serde_json::{Map, Value};
use std::path::Path;
use wire::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

/// Attributes of every line: OpenTelemetry's name for the file, and where in it the line begins.
const PATH: &str = "log.file.path";
const OFFSET: &str = "log.file.offset";

/// Words at the beginning of a line among which the level is looked for.
const LEVEL_WITHIN: usize = 8;

/// The lines of pieces of files, within the limits on lines.
pub fn signals(config: &LogFilesConfig, pieces: &[Piece], limits: &SignalLimits, now: Timestamp) -> Signals {
    let mut collector = Collector::new(limits);
    let arrival = i128::from(now.as_millis()) * 1_000_000;
    for piece in pieces {
        let path = piece.path.display().to_string();
        let service = config.service.clone().unwrap_or_else(|| stem(&piece.path));
        for (offset, text) in records(&piece.text) {
            let begins = piece.offset + offset as u64;
            collector.identify(xxh3_64(&[piece.file.to_le_bytes(), begins.to_le_bytes()].concat()));
            let place = [
                (PATH, path.clone()),
                (OFFSET, begins.to_string()),
                ("service.name", service.clone()),
            ];
            if let Some(mut object) = object(&text) {
                for (name, value) in place {
                    object.entry(name).or_insert_with(|| Value::String(value));
                }
                json_lines::take(object, &mut collector, now);
                continue;
            }
            let nanos = leading_time(&text).unwrap_or(arrival);
            let attributes = place[..2]
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            let mut line = line_of(nanos, text, attributes.collect());
            line.severity = level(&line.text);
            line.service = service.clone();
            collector.log(line, nanos);
        }
    }
    collector.finish()
}

/// `checkout` of `/var/log/checkout.log.1`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut stem = name.as_ref();
    while let Some((rest, end)) = stem.rsplit_once('.').filter(|(rest, _)| !rest.is_empty()) {
        let is_number = end.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !is_number && !["log", "txt", "json", "jsonl", "out", "err"].contains(&end) {
            break;
        }
        stem = rest;
    }
    stem.to_owned()
}

/// Lines with those that belong to them, and where each begins.
fn records(text: &[u8]) -> Vec<(usize, String)> {
    let mut records: Vec<(usize, String)> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let begins = offset;
        offset += line.len();
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        match records.last_mut() {
            Some((_, before)) if line.starts_with([' ', '\t']) => {
                before.push('\n');
                before.push_str(line);
            }
            _ if line.trim().is_empty() => {}
            _ => records.push((begins, line.to_owned())),
        }
    }
    records
}

fn object(text: &str) -> Option<Map<String, Value>> {
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The instant that a line begins with, in nanoseconds. One without a time zone could be any of a day.
fn leading_time(text: &str) -> Option<i128> {
    let text = text.trim_start_matches(['[', '"']);
    let parse = |end: usize| text.get(..end)?.parse::<jiff::Timestamp>().ok();
    // With a blank between date and time as well.
    let mut ends = text
        .char_indices()
        .filter(|(_, c)| matches!(c, ' ' | ']' | '"' | '\t' | '|'));
    let first = ends.next().map_or(text.len(), |(at, _)| at);
    let second = ends.next().map_or(text.len(), |(at, _)| at);
    let time = parse(first).or_else(|| parse(second))?;
    Some(time.as_nanosecond())
}

/// The severity that a line names: a level in capitals or in brackets, or after `level=`. In a sentence the same words mean nothing.
fn level(text: &str) -> u8 {
    let words = text.split([' ', '\t', '|', ',', ';']).filter(|word| !word.is_empty());
    let of = |word: &str| {
        let named = ["level=", "lvl=", "severity="]
            .iter()
            .find_map(|name| word.strip_prefix(name));
        let inner = word.trim_matches(['[', ']', '(', ')', '<', '>', ':', '"']);
        let is_marked = word.starts_with(['[', '<', '(']) || inner.bytes().all(|byte| byte.is_ascii_uppercase());
        match named {
            Some(level) => severity(level.trim_matches('"')),
            None if is_marked => severity(inner),
            None => 0,
        }
    };
    words.take(LEVEL_WITHIN).map(of).find(|level| *level > 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LogFilesConfig {
        LogFilesConfig {
            name: "app".to_owned(),
            paths: Vec::new(),
            service: None,
            from_beginning: false,
        }
    }

    fn piece(text: &str) -> Piece {
        Piece {
            path: "/var/log/checkout.log".into(),
            file: 7,
            offset: 100,
            text: text.as_bytes().to_vec(),
        }
    }

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn lines(config: &LogFilesConfig, text: &str) -> Vec<wire::signal::LogRecord> {
        let found = signals(config, &[piece(text)], &SignalLimits::default(), NOW);
        assert!(found.rejections.is_empty(), "{:?}", found.rejections);
        found.logs.into_iter().map(|signal| signal.record).collect()
    }

    #[test]
    fn plain_lines_say_when_and_how_bad() {
        let text = "2023-11-14T22:13:10.5Z ERROR cannot pay\n\
                    \tat Pay.run(Pay.java:7)\n\
                    \n\
                    [2023-11-14 22:13:11+00:00] [warn] slow\r\n\
                    ts=x level=debug all is well\n\
                    GET /error 200\n\
                    GET /error 200\n";
        let found = lines(&config(), text);
        let told: Vec<_> = found
            .iter()
            .map(|line| (line.at.0 - NOW.0, line.severity, line.text.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    -9500,
                    17,
                    "2023-11-14T22:13:10.5Z ERROR cannot pay\n\tat Pay.run(Pay.java:7)"
                ),
                (-9000, 13, "[2023-11-14 22:13:11+00:00] [warn] slow"),
                (0, 5, "ts=x level=debug all is well"),
                (0, 0, "GET /error 200"),
                (0, 0, "GET /error 200"),
            ]
        );
        assert!(found.iter().all(|line| line.service == "checkout"));
        let offset = |line: &wire::signal::LogRecord| {
            line.attributes
                .iter()
                .find(|(name, _)| name == OFFSET)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(offset(&found[0]), "100");
        assert_ne!(offset(&found[3]), offset(&found[4]));
    }

    #[test]
    fn the_same_line_twice_is_two_and_one_that_is_read_again_is_one() {
        let digests = |piece: &Piece| {
            let found = signals(&config(), std::slice::from_ref(piece), &SignalLimits::default(), NOW);
            found.logs.iter().map(|signal| signal.digest).collect::<Vec<_>>()
        };
        for line in [
            "2023-11-14T22:13:10Z same\n",
            "{\"time\":\"2023-11-14T22:13:10Z\",\"msg\":\"same\"}\n",
        ] {
            let twice = digests(&piece(&line.repeat(2)));
            assert_ne!(twice[0], twice[1]);
            // Under another name, too.
            let again = Piece {
                path: "/var/log/checkout.log.1".into(),
                ..piece(line)
            };
            assert_eq!(digests(&again), twice[..1]);
            let other = Piece { file: 8, ..piece(line) };
            assert_ne!(digests(&other), twice[..1]);
        }
    }

    #[test]
    fn the_name_of_a_file_says_whose_it_is() {
        for (path, service) in [
            ("/var/log/checkout.log", "checkout"),
            ("/var/log/checkout.log.1", "checkout"),
            ("/var/log/checkout-api.2026-11-23.json", "checkout-api"),
            ("/var/log/my.app.log", "my.app"),
            ("/var/log/syslog", "syslog"),
            ("/var/log/.log", ".log"),
        ] {
            assert_eq!(stem(Path::new(path)), service);
        }
    }

    #[test]
    fn json_is_read_as_others_send_it() {
        let mut config = config();
        let text = "{\"time\":\"2023-11-14T22:13:19Z\",\"level\":\"error\",\"msg\":\"no\",\"user\":7}\n{broken\n";
        let found = lines(&config, text);
        assert_eq!(
            (found[0].at.0, found[0].severity, found[0].text.as_str()),
            (NOW.0 - 1000, 17, "no")
        );
        assert_eq!(found[0].service, "checkout");
        assert!(found[0].attributes.contains(&("user".to_owned(), "7".to_owned())));
        assert!(
            found[0]
                .attributes
                .contains(&(PATH.to_owned(), "/var/log/checkout.log".to_owned()))
        );
        assert_eq!(found[1].text, "{broken");
        config.service = Some("pay".to_owned());
        assert_eq!(lines(&config, text)[0].service, "pay");
        // Who says it is believed.
        assert_eq!(
            lines(&config, "{\"service\":\"own\",\"msg\":\"x\"}\n")[0].service,
            "own"
        );
    }
}
