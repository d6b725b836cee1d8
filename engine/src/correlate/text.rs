//! How numbers, times and lists read in a sentence.

use wire::series::{MetricClass, SeriesInfo, SeriesKind};
use wire::{EntityId, Timestamp};

/// `latency p95`, `availability`, `rate of http_requests_total`: statistic only where it tells something.
pub(crate) fn metric_name(info: &SeriesInfo) -> String {
    match info.statistic.as_deref() {
        None | Some("" | "Average" | "Sum" | "avg" | "mean" | "sum") => info.quantity().into_owned(),
        Some(statistic) => format!("{} {statistic}", info.metric),
    }
}

/// The name of a metric without its labels, and without what it quotes: what others wrote tells nothing of its unit.
pub(super) fn name_alone(info: &SeriesInfo) -> &str {
    info.metric.split(['{', '"']).next().unwrap_or_default()
}

/// A value with its unit where the name of the metric tells it; `scale_hint` is a usual value of the series.
pub(crate) fn value(info: &SeriesInfo, value: f64, scale_hint: f64) -> String {
    let name = name_alone(info).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if info.kind == SeriesKind::Counter {
        let amount = if name.ends_with("_count") {
            significant(value)
        } else if has(&["seconds"]) {
            seconds(value)
        } else if has(&["bytes"]) {
            bytes(value)
        } else {
            significant(value)
        };
        return format!("{amount}/s");
    }
    let reference = value.abs().max(scale_hint.abs());
    if name.ends_with("_ms") || has(&["millis"]) {
        return seconds(value / 1e3);
    }
    if name.ends_with("_us") || has(&["micros"]) {
        return seconds(value / 1e6);
    }
    if has(&["seconds", "_secs"]) && !has(&["per_sec"]) {
        return seconds(value);
    }
    // A latency without a unit is in seconds wherever a minute would be unheard of.
    if info.class == MetricClass::Latency && reference < 60.0 {
        return seconds(value);
    }
    if has(&["percent", "utilization"]) || (has(&["availability"]) && reference > 1.5) {
        return format!("{} %", significant(value));
    }
    if has(&["availability", "ratio", "fraction"]) && reference <= 1.0 {
        return format!("{} %", significant(value * 100.0));
    }
    if has(&["bytes"]) {
        let rate = if has(&["per_sec"]) { "/s" } else { "" };
        return format!("{}{rate}", bytes(value));
    }
    significant(value)
}

/// `14:05 UTC`.
pub(crate) fn clock(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or_else(|_| at.to_string(), |t| t.strftime("%H:%M UTC").to_string())
}

/// UTC, to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
        |_| at.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `40 s`, `12 min`, `3 h`.
pub(crate) fn duration(millis: i64) -> String {
    let secs = millis.abs() / 1000;
    match secs {
        0..90 => format!("{secs} s"),
        90..5400 => format!("{} min", (secs + 30) / 60),
        _ => format!("{} h", (secs + 1800) / 3600),
    }
}

/// `a, b and 3 more`.
pub(crate) fn list(names: &[EntityId], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(EntityId::as_str).collect();
    match (shown.split_last(), names.len().saturating_sub(most)) {
        (None, _) => String::new(),
        (Some(_), rest @ 1..) => format!("{} and {rest} more", shown.join(", ")),
        (Some((only, [])), 0) => (*only).to_owned(),
        (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 service`, `2 services`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if n == 1 => noun.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None if noun.ends_with('s') => noun.to_owned(),
        None => format!("{noun}s"),
    };
    format!("{n} {plural}")
}

/// Whole percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn seconds(secs: f64) -> String {
    match secs.abs() {
        0.0 => "0 ms".to_owned(),
        s if s < 1e-3 => format!("{} µs", significant(secs * 1e6)),
        s if s < 1.0 => format!("{} ms", significant(secs * 1e3)),
        _ => format!("{} s", significant(secs)),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    for (size, unit) in UNITS {
        if value.abs() >= size {
            return format!("{} {unit}", significant(value / size));
        }
    }
    format!("{} B", significant(value))
}

/// Three significant digits, without a tail of zeros.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let text = match usize::try_from(digits) {
        Ok(decimals) => format!("{value:.*}", decimals.min(9)),
        Err(_) => format!("{value:.0}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    #[track_caller]
    fn check(metric: &str, statistic: Option<&str>, number: f64, hint: f64, expected: &str) {
        let info = info_from_labels(&Labels::of("e", metric, statistic));
        assert_eq!(value(&info, number, hint), expected, "{metric}");
    }

    #[test]
    fn values_carry_the_unit_that_the_name_tells() {
        check("latency", Some("p95"), 0.5270, 0.3, "527 ms");
        check("latency", None, 1234.0, 1000.0, "1234");
        check("http_request_duration_seconds", None, 2.345, 0.2, "2.35 s");
        check("queue_wait_ms", None, 1500.0, 20.0, "1.5 s");
        check("availability", None, 96.42, 100.0, "96.4 %");
        check("availability", None, 0.964, 1.0, "96.4 %");
        check("memory_used_bytes", None, 3.2e9, 1e9, "3.2 GB");
        check("network_receive_bytes_per_sec", None, 1.5e6, 1e5, "1.5 MB/s");
        check("cpu_percent", None, 97.0, 20.0, "97 %");
        check("node_load1", None, 12.34, 1.0, "12.3");
        check("http_requests_total", None, 51.26, 50.0, "51.3/s");
        check("process_cpu_seconds_total", None, 0.35, 0.2, "350 ms/s");
        check("network_receive_bytes_total", None, 1.5e6, 1e5, "1.5 MB/s");
    }

    #[test]
    fn lists_and_counts_read_like_prose() {
        let names: Vec<EntityId> = ["a", "b", "c", "d"].into_iter().map(EntityId::from).collect();
        assert_eq!(list(&names[..1], 3), "a");
        assert_eq!(list(&names[..3], 3), "a, b and c");
        assert_eq!(list(&names, 2), "a, b and 2 more");
        assert_eq!(count(1, "entity"), "1 entity");
        assert_eq!(count(3, "entity"), "3 entities");
        assert_eq!(count(2, "service"), "2 services");
        assert_eq!(duration(240_000), "4 min");
    }
}
