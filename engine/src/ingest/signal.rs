//! What the decoders of logs and spans have in common: their limits, and what they make of a request.

use super::{Refusals, RejectReason, Rejection};
use crate::topology::SpanLink;
use wire::Timestamp;
use wire::signal::{LogRecord, SpanRecord};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Limits on one record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalLimits {
    /// Of a line more is cut off. All attributes of a record together may be as long.
    pub max_line_bytes: usize,
    /// Share of the traces of which spans that did not fail are kept, 0..1.
    pub success_share: f64,
}

impl Default for SignalLimits {
    fn default() -> Self {
        Self {
            max_line_bytes: 64 << 10,
            success_share: 0.1,
        }
    }
}

/// A record with what tells it from all others: the same digest is the same record, sent twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal<T> {
    pub record: T,
    pub digest: u64,
}

/// What one request brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    pub logs: Vec<Signal<LogRecord>>,
    pub spans: Vec<Signal<SpanRecord>>,
    /// What all spans say of dependencies, also those that are not kept.
    pub links: Vec<SpanLink>,
    pub rejections: Vec<Rejection>,
}

/// Memory for the records of one request: what its sender is may be said once and is kept with every record.
const MAX_REQUEST_BYTES: usize = 256 << 20;

/// What a record takes beside its texts.
const RECORD_BYTES: usize = 256;

/// Records of a request as they are read, within the limits.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    limits: &'a SignalLimits,
    bytes: usize,
    signals: Signals,
    refused: Refusals,
    /// Tells the next line from all others in place of its attributes.
    identity: Option<u64>,
}

/// Longest name of a service, of a span, of an id.
const MAX_NAME_BYTES: usize = 1024;

impl<'a> Collector<'a> {
    pub(super) fn new(limits: &'a SignalLimits) -> Self {
        Self {
            limits,
            bytes: 0,
            signals: Signals::default(),
            refused: Refusals::default(),
            identity: None,
        }
    }

    /// Says what tells the lines that follow from all others, in place of their attributes: where they were read, and not how that is
    /// called now.
    pub(super) fn identify(&mut self, identity: u64) {
        self.identity = Some(identity);
    }

    /// Takes a line; `nanos` is its time in full.
    pub(super) fn log(&mut self, mut record: LogRecord, nanos: i128) {
        let mut hasher = Xxh3::new();
        hasher.update(&nanos.to_le_bytes());
        for text in [&record.service, &record.text, &record.trace_id, &record.span_id] {
            hasher.update(text.as_bytes());
            hasher.update(&[0xff]);
        }
        let mut is_cut = cut(&mut record.text, self.limits.max_line_bytes);
        is_cut |= cut(&mut record.service, MAX_NAME_BYTES);
        is_cut |= self.attributes(&mut record.attributes);
        match self.identity {
            Some(identity) => hasher.update(&identity.to_le_bytes()),
            None => {
                for (name, value) in &record.attributes {
                    hasher.update(name.as_bytes());
                    hasher.update(&[0xff]);
                    hasher.update(value.as_bytes());
                    hasher.update(&[0xff]);
                }
            }
        }
        if !self.has_room(record.text.len(), &record.attributes) {
            return;
        }
        if is_cut {
            self.refuse(RejectReason::Truncated, || {
                format!("a line of {}: only its beginning is kept", record.service)
            });
        }
        self.signals.logs.push(Signal {
            record,
            digest: hasher.digest(),
        });
    }

    /// Takes a span if it failed, or if its trace is among those of which all is kept.
    pub(super) fn span(&mut self, mut record: SpanRecord) {
        self.signals.links.push(SpanLink::new(&record));
        let is_error = record.status == wire::signal::SpanStatus::Error;
        if !is_error && !is_kept(&record.trace_id, self.limits.success_share) {
            let share = self.limits.success_share;
            self.refuse(RejectReason::SampledOut, || {
                format!("traces.success_share keeps {share} of the traces without an error")
            });
            return;
        }
        let digest = xxh3_64(format!("{} {}", record.trace_id, record.span_id).as_bytes());
        let mut is_cut = cut(&mut record.message, self.limits.max_line_bytes);
        is_cut |= cut(&mut record.name, MAX_NAME_BYTES);
        is_cut |= cut(&mut record.service, MAX_NAME_BYTES);
        is_cut |= self.attributes(&mut record.attributes);
        if !self.has_room(record.message.len(), &record.attributes) {
            return;
        }
        if is_cut {
            self.refuse(RejectReason::Truncated, || {
                format!("a span of {}: only a part of it is kept", record.service)
            });
        }
        self.signals.spans.push(Signal { record, digest });
    }

    /// Counts what is not taken.
    pub(super) fn refuse(&mut self, reason: RejectReason, example: impl FnOnce() -> String) {
        self.refused.add(reason, 1, || example().chars().take(300).collect());
    }

    pub(super) fn finish(mut self) -> Signals {
        self.signals.rejections = self.refused.into_rejections().collect();
        self.signals
    }

    /// Whether the request may hold one more record; counts it if not.
    fn has_room(&mut self, text_bytes: usize, attributes: &[(String, String)]) -> bool {
        self.bytes += RECORD_BYTES + text_bytes;
        self.bytes += attributes
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        let fits = self.bytes <= MAX_REQUEST_BYTES;
        if !fits {
            self.refuse(RejectReason::OverLimit, || {
                format!("the records of the request take more than {MAX_REQUEST_BYTES} bytes; send less at once")
            });
        }
        fits
    }

    /// Sorts attributes, and keeps those that fit; whether some did not.
    fn attributes(&self, attributes: &mut Vec<(String, String)>) -> bool {
        attributes.sort();
        let mut room = self.limits.max_line_bytes;
        let before = attributes.len();
        attributes.retain(|(name, value)| {
            let bytes = name.len() + value.len();
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            fits
        });
        attributes.len() < before
    }
}

/// Whether the spans of a trace that did not fail are kept: the same for all spans of a trace, on every machine.
fn is_kept(trace_id: &str, share: f64) -> bool {
    let place = xxh3_64(trace_id.as_bytes()) as f64 / u64::MAX as f64;
    place < share || share >= 1.0
}

/// Cuts a text to at most `bytes`, between characters; whether there was more.
fn cut(text: &mut String, bytes: usize) -> bool {
    if text.len() <= bytes {
        return false;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    true
}

/// The severity that a word means, on OpenTelemetry's scale; 0 if it is none.
pub(crate) fn severity(word: &str) -> u8 {
    match word.trim().to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" | "dbg" => 5,
        "info" | "information" | "informational" | "notice" => 9,
        "warn" | "warning" => 13,
        "error" | "err" => 17,
        "fatal" | "critical" | "crit" | "alert" | "emerg" | "emergency" | "panic" => 21,
        _ => 0,
    }
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The millisecond that a time in nanoseconds lies in.
pub(super) fn millis(nanos: i128) -> Timestamp {
    Timestamp(i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::signal::{SpanKind, SpanStatus};

    fn line(text: &str) -> LogRecord {
        LogRecord {
            at: Timestamp(1),
            service: "cart".to_owned(),
            severity: 9,
            text: text.to_owned(),
            attributes: Vec::new(),
            trace_id: String::new(),
            span_id: String::new(),
        }
    }

    #[test]
    fn long_lines_lose_their_end_and_are_counted() {
        let limits = SignalLimits {
            max_line_bytes: 5,
            ..SignalLimits::default()
        };
        let mut collector = Collector::new(&limits);
        collector.log(line("short"), 1);
        collector.log(line("grüße!"), 2);
        let mut wordy = line("x");
        wordy.attributes = vec![("b".to_owned(), "12345".to_owned()), ("a".to_owned(), "1".to_owned())];
        collector.log(wordy, 3);
        let found = collector.finish();
        let texts: Vec<_> = found.logs.iter().map(|log| log.record.text.as_str()).collect();
        assert_eq!(texts, ["short", "grü", "x"]);
        assert_eq!(found.logs[2].record.attributes, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(
            (found.rejections[0].reason, found.rejections[0].samples),
            (RejectReason::Truncated, 2)
        );
    }

    #[test]
    fn a_record_sent_twice_has_one_digest() {
        let digest = |record: LogRecord, nanos| {
            let limits = SignalLimits::default();
            let mut collector = Collector::new(&limits);
            collector.log(record, nanos);
            collector.finish().logs[0].digest
        };
        assert_eq!(digest(line("a"), 1), digest(line("a"), 1));
        assert_ne!(digest(line("a"), 1), digest(line("a"), 2));
        assert_ne!(digest(line("a"), 1), digest(line("b"), 1));
        let mut other = line("a");
        other.attributes.push(("pod".to_owned(), "b".to_owned()));
        assert_ne!(digest(line("a"), 1), digest(other, 1));
    }

    #[test]
    fn all_errors_and_a_share_of_whole_traces_are_kept() {
        let span = |trace: u32, status| SpanRecord {
            at: Timestamp(1),
            duration_us: 1,
            service: "cart".to_owned(),
            name: "pay".to_owned(),
            kind: SpanKind::Server,
            status,
            message: String::new(),
            attributes: Vec::new(),
            trace_id: format!("{trace:032x}"),
            span_id: "01".to_owned(),
            parent_id: String::new(),
        };
        let kept = |share: f64, status: SpanStatus| {
            let limits = SignalLimits {
                success_share: share,
                ..SignalLimits::default()
            };
            let mut collector = Collector::new(&limits);
            (0..2000).for_each(|trace| collector.span(span(trace, status)));
            let found = collector.finish();
            let dropped = found.rejections.iter().map(|r| r.samples).sum::<u64>();
            assert_eq!(found.spans.len() as u64 + dropped, 2000);
            found.spans.into_iter().map(|s| s.record.trace_id).collect::<Vec<_>>()
        };
        assert_eq!(kept(0.0, SpanStatus::Error).len(), 2000);
        assert_eq!(kept(0.0, SpanStatus::Ok).len(), 0);
        assert_eq!(kept(1.0, SpanStatus::Unset).len(), 2000);
        let some = kept(0.1, SpanStatus::Ok);
        // Five standard deviations around 200.
        assert!((133..267).contains(&some.len()), "{}", some.len());
        let more = kept(0.2, SpanStatus::Ok);
        assert!(
            some.iter().all(|trace| more.contains(trace)),
            "a trace is kept whole, and stays kept at a larger share"
        );
    }
}
