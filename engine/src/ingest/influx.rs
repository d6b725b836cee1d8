//! InfluxDB's line protocol: `measurement,tag=value field=1.5,other=2i 1556813561098000000`.
//!
//! A field becomes the series `measurement_field` with the tags as labels; the field `value` becomes `measurement`. Booleans are 0 and
//! 1; a field of text is no sample and set aside. A line that is wrong is refused by itself and named by its number, as InfluxDB
//! does; nothing else is lost.

mod line;

use super::registry::Registry;
use super::text::{labels, metric_name, shown};
use super::{IngestBatch, Refusals, RejectReason};
use crate::series::{Sample, info_from_labels};
use line::{Field, Line, parse_line};
use std::collections::BTreeSet;
use wire::Timestamp;

/// Bad lines that a message names one by one.
const MAX_NAMED: usize = 20;

/// The unit of the timestamps of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    /// By the names that versions 1 and 2 give it.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    /// Milliseconds, rounded down.
    fn timestamp(self, number: i64) -> Timestamp {
        Timestamp(match self {
            Self::Nanoseconds => number.div_euclid(1_000_000),
            Self::Microseconds => number.div_euclid(1000),
            Self::Milliseconds => number,
            Self::Seconds => number.saturating_mul(1000),
            Self::Minutes => number.saturating_mul(60_000),
            Self::Hours => number.saturating_mul(3_600_000),
        })
    }
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: usize,
    pub problem: &'static str,
    /// Its start.
    pub text: String,
}

/// What a request brought.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    pub batch: IngestBatch,
    /// The first ones.
    pub bad: Vec<BadLine>,
    /// All of them.
    pub bad_lines: u64,
}

/// Decodes a request. A line without a timestamp is of `now`.
pub fn decode(body: &[u8], precision: Precision, now: Timestamp, registry: &Registry) -> Decoded {
    let mut decoded = Decoded::default();
    let (mut texts, mut named) = (0, BTreeSet::new());
    let mut refused = Refusals::default();
    registry.with_known(|known| {
        for (place, bytes) in body.split(|byte| *byte == b'\n').enumerate() {
            let bytes = bytes.trim_ascii();
            if bytes.is_empty() || bytes[0] == b'#' {
                continue;
            }
            let mut samples = Vec::new();
            let taken = parse_line(bytes).map_err(|problem| (RejectReason::Malformed, problem));
            let taken = taken.and_then(|line| {
                let at = line.timestamp.map_or(now, |number| precision.timestamp(number));
                texts += fields(&line, at, &mut samples).map_err(|problem| (RejectReason::BadLabels, problem))?;
                Ok(())
            });
            if let Err((reason, problem)) = taken {
                decoded.bad_lines += 1;
                let bad = BadLine {
                    number: place + 1,
                    problem,
                    text: shown(&String::from_utf8_lossy(bytes)),
                };
                let example = || format!("line {}: {problem}: {}", bad.number, bad.text);
                refused.add(reason, 1, example);
                if decoded.bad.len() < MAX_NAMED {
                    decoded.bad.push(bad);
                }
                continue;
            }
            for (labels, sample) in samples {
                if !known(sample.series) && named.insert(sample.series) {
                    decoded.batch.new_series.push(info_from_labels(&labels));
                }
                decoded.batch.samples.push(sample);
            }
        }
    });
    if texts > 0 {
        refused.add(RejectReason::Ignored, texts, || {
            "fields of text are no samples".to_owned()
        });
    }
    decoded.batch.rejections = refused.into_rejections().collect();
    decoded
}

/// The samples of a line; returns how many fields are none.
fn fields(line: &Line<'_>, at: Timestamp, out: &mut Vec<(crate::series::Labels, Sample)>) -> Result<u64, &'static str> {
    let measurement = metric_name(&line.measurement);
    let mut texts = 0;
    for (name, field) in &line.fields {
        let value = match field {
            Field::Number(value) => *value,
            Field::Text => {
                texts += 1;
                continue;
            }
        };
        let metric = match &**name {
            "value" => measurement.clone(),
            name => format!("{measurement}_{}", metric_name(name)),
        };
        let labels = labels(metric, line.tags.iter().map(|(name, value)| (&**name, &**value)))?;
        let series = labels.id();
        out.push((labels, Sample { series, at, value }));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests;
