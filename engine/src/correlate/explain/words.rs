//! The small phrases that explanations are made from.

use crate::correlate::evidence::{Point, Track};
use crate::correlate::text::{duration, metric_name, value};
use wire::Timestamp;
use wire::series::SeriesInfo;

/// The line of the timeline for a new member.
pub(in crate::correlate) fn joined(info: &SeriesInfo, point: &Point) -> String {
    let change = change(info, point.expected, point.value);
    let quiet = kept_quiet(info, point.value, point.expected, point.quiet_at);
    format!("{}: {change}{quiet}", info.entity)
}

/// `; at about 340 ms or less it would have kept quiet`, where that is known and can be told from what was observed.
pub(super) fn kept_quiet(info: &SeriesInfo, observed: f64, expected: f64, quiet_at: Option<f64>) -> String {
    let Some(quiet) = quiet_at else {
        return String::new();
    };
    let [border, observed_text] = [quiet, observed].map(|x| value(info, x, expected));
    if border == observed_text {
        return String::new();
    }
    let side = if observed > quiet { "less" } else { "more" };
    format!("; at about {border} or {side} it would have kept quiet")
}

/// `4 of the 5 that depend on it deviate`.
pub(super) fn dependents_stray((stray, all): (usize, usize)) -> String {
    if stray == all {
        format!("all {all} that depend on it deviate")
    } else {
        format!("{stray} of the {all} that depend on it deviate")
    }
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
