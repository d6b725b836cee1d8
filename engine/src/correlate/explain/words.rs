//! The small phrases that explanations are made from.

use crate::correlate::evidence::{Point, Track};
use crate::correlate::text::{duration, metric_name, value};
use wire::Timestamp;
use wire::series::SeriesInfo;

/// The line of the timeline for a new member.
pub(in crate::correlate) fn joined(info: &SeriesInfo, point: &Point) -> String {
    format!("{}: {}", info.entity, change(info, point.expected, point.value))
}

/// `latency p95 rose from 309 ms to 527 ms`, at its worst from the onset on.
pub(super) fn change_since(track: &Track, onset: Timestamp) -> String {
    let worst = track
        .points
        .iter()
        .filter(|p| p.at >= onset)
        .max_by(|a, b| a.z.total_cmp(&b.z).then(b.at.cmp(&a.at)));
    match worst {
        Some(p) => change(&track.info, p.expected, p.value),
        None => format!("{} deviates", metric_name(&track.info)),
    }
}

pub(super) fn change(info: &SeriesInfo, expected: f64, observed: f64) -> String {
    let name = metric_name(info);
    let (from, to) = (value(info, expected, expected), value(info, observed, expected));
    if from == to {
        return format!("{name} was {to}");
    }
    let verb = if observed > expected { "rose" } else { "fell" };
    format!("{name} {verb} from {from} to {to}")
}

pub(super) fn relative(deploy: Timestamp, onset: Timestamp) -> String {
    match onset.millis_since(deploy) {
        0 => "at the same moment".to_owned(),
        before @ 1.. => format!("{} before", duration(before)),
        after => format!("{} after", duration(after)),
    }
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

pub(super) fn unexplained(calls: usize) -> String {
    match calls {
        1 => "its one dependency does not explain it".to_owned(),
        n => format!("none of its {n} dependencies explains it"),
    }
}
