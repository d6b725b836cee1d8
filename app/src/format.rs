//! Numbers, durations and times as people read them. Pure: time zones and "now" are arguments.

use wire::Timestamp;
use wire::series::RATE_OF;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Three significant digits with an SI prefix: `1.23 k`, `45.6 M`, `0.012`.
pub(crate) fn si(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = value.abs();
    for (limit, unit) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")] {
        // 9,999.6 would print as "10.0 k" beside "9,999": both are fine, both are three digits or more.
        if magnitude >= limit {
            let scale = if unit == "k" { 1e3 } else { limit };
            return format!("{} {unit}", significant(value / scale));
        }
    }
    significant(value)
}

/// Bytes with binary prefixes: `1.50 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let mut scaled = value;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if scaled.abs() < 1024.0 {
            return format!("{} {unit}", significant(scaled));
        }
        scaled /= 1024.0;
    }
    format!("{} PiB", significant(scaled))
}

/// A count with thousands separated: `12,345`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count that fits a tile: exact to 9,999, then SI.
pub(crate) fn short_count(value: u64) -> String {
    if value < 10_000 { count(value) } else { si(value as f64) }
}

/// A fraction as a percentage: `0.724` is `72 %`; below 10 % and above 99 % one decimal says more.
pub(crate) fn percent(fraction: f64) -> String {
    if !fraction.is_finite() {
        return "–".to_owned();
    }
    let percent = fraction * 100.0;
    let whole = percent.round();
    if (percent - whole).abs() < 0.05 || (10.0..99.0).contains(&percent) {
        format!("{whole} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// The value of a metric, with the unit its name gives away.
pub(crate) fn metric_value(metric: &str, value: f64) -> String {
    if let Some(counter) = metric.strip_prefix(RATE_OF) {
        let counted = counter.strip_suffix("_total").unwrap_or(counter);
        return format!("{}/s", metric_value(counted, value));
    }
    match unit(metric) {
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Seconds => seconds(value),
        Unit::Milliseconds => seconds(value / 1000.0),
        Unit::Percent => format!("{} %", significant(value)),
        // Sources disagree on whether everything is 1 or 100; no fraction is above 1.
        Unit::Fraction if value.abs() > 1.5 => format!("{} %", significant(value)),
        Unit::Fraction => percent(value),
        Unit::None => si(value),
    }
}

/// A difference between values of a metric, in the unit of the greater of them.
pub(crate) fn metric_difference(metric: &str, difference: f64, greater: f64) -> String {
    if unit(metric) == Unit::Fraction && greater > 1.5 {
        format!("{} %", significant(difference))
    } else {
        metric_value(metric, difference)
    }
}

/// What a metric's name says about its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Bytes,
    BytesPerSecond,
    Seconds,
    Milliseconds,
    Percent,
    Fraction,
}

/// Reads the unit off a metric name, following the Prometheus naming conventions.
pub(crate) fn unit(metric: &str) -> Unit {
    let name = metric.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| name.ends_with(s));
    if ends(&["bytes_per_second", "bytes_per_sec", "bytes_rate"]) {
        Unit::BytesPerSecond
    } else if ends(&["bytes"]) {
        Unit::Bytes
    } else if ends(&["_ms", "_millis", "_milliseconds"]) {
        Unit::Milliseconds
    } else if ends(&["seconds", "_secs"]) || name == "latency" {
        Unit::Seconds
    } else if ends(&["percent", "_pct"]) {
        Unit::Percent
    } else if ends(&["ratio", "_fraction", "availability"]) {
        Unit::Fraction
    } else {
        Unit::None
    }
}

/// Seconds at the scale that suits them: `850 µs`, `12.3 ms`, `4.50 s`, `2 h 5 min`.
pub(crate) fn seconds(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if magnitude == 0.0 {
        "0 s".to_owned()
    } else if magnitude < 1e-3 {
        format!("{} µs", significant(value * 1e6))
    } else if magnitude < 1.0 {
        format!("{} ms", significant(value * 1e3))
    } else if magnitude < 120.0 {
        format!("{} s", significant(value))
    } else {
        duration((value * 1000.0) as i64)
    }
}

/// A span of time in its two largest units: `45 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    if millis < MINUTE {
        format!("{} s", millis / SECOND)
    } else if millis < HOUR {
        two(millis, MINUTE, "min", SECOND, "s")
    } else if millis < DAY {
        two(millis, HOUR, "h", MINUTE, "min")
    } else {
        two(millis, DAY, "d", HOUR, "h")
    }
}

/// How long ago, or how soon: `just now`, `3 min ago`, `in 22 min`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let ago = now.millis_since(at);
    if ago.abs() < 5 * SECOND {
        return "just now".to_owned();
    }
    let span = ago.abs();
    let text = if span < MINUTE {
        format!("{} s", span / SECOND)
    } else if span < HOUR {
        format!("{} min", span / MINUTE)
    } else if span < 2 * DAY {
        format!("{} h", span / HOUR)
    } else {
        format!("{} d", span / DAY)
    };
    if ago > 0 {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

/// A countdown that keeps its width: `12:05`, `1:02:05`; `now` once it has passed.
pub(crate) fn countdown(until: Timestamp, now: Timestamp) -> String {
    let left = until.millis_since(now);
    if left <= 0 {
        return "now".to_owned();
    }
    let (hours, minutes, secs) = (left / HOUR, left / MINUTE % 60, left / SECOND % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{secs:02}")
    } else {
        format!("{minutes:02}:{secs:02}")
    }
}

/// `14:03:22` in the zone `offset_minutes` east of UTC.
pub(crate) fn clock(at: Timestamp, offset_minutes: i32) -> String {
    let civil = civil(at, offset_minutes);
    format!("{:02}:{:02}:{:02}", civil.hour, civil.minute, civil.second)
}

/// `21 Nov 2026`.
pub(crate) fn date(at: Timestamp, offset_minutes: i32) -> String {
    let civil = civil(at, offset_minutes);
    format!("{} {} {}", civil.day, MONTHS[civil.month as usize - 1], civil.year)
}

/// `21 Nov 14:03:22`.
pub(crate) fn date_clock(at: Timestamp, offset_minutes: i32) -> String {
    let civil = civil(at, offset_minutes);
    format!(
        "{} {} {}",
        civil.day,
        MONTHS[civil.month as usize - 1],
        clock(at, offset_minutes)
    )
}

/// `UTC`, `UTC+2`, `UTC−3:30`.
pub(crate) fn zone(offset_minutes: i32) -> String {
    if offset_minutes == 0 {
        return "UTC".to_owned();
    }
    let sign = if offset_minutes > 0 { '+' } else { '−' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    if minutes == 0 {
        format!("UTC{sign}{hours}")
    } else {
        format!("UTC{sign}{hours}:{minutes:02}")
    }
}

/// The first characters of a hash, enough to compare by eye.
pub(crate) fn short_hash(hash: &str) -> String {
    let bare = hash.split_once(':').map_or(hash, |(_, hex)| hex);
    bare.chars().take(12).collect()
}

/// `1 incident`, `2 incidents`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: i64,
    minute: i64,
    second: i64,
}

/// Calendar date from days since the epoch, after Howard Hinnant's `civil_from_days`.
fn civil(at: Timestamp, offset_minutes: i32) -> Civil {
    let local = at.as_millis() + i64::from(offset_minutes) * MINUTE;
    let days = local.div_euclid(DAY);
    let of_day = local.rem_euclid(DAY);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: month as u8,
        day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
        hour: of_day / HOUR,
        minute: of_day / MINUTE % 60,
        second: of_day / SECOND % 60,
    }
}

fn two(millis: i64, large: i64, large_name: &str, small: i64, small_name: &str) -> String {
    let (whole, rest) = (millis / large, millis % large / small);
    if rest == 0 {
        format!("{whole} {large_name}")
    } else {
        format!("{whole} {large_name} {rest} {small_name}")
    }
}

/// Three significant digits, without trailing zeros behind a point.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = if magnitude == 0.0 || magnitude >= 100.0 {
        0
    } else if magnitude >= 10.0 {
        1
    } else if magnitude >= 1.0 {
        2
    } else {
        (2.0 - magnitude.log10().floor()).clamp(0.0, 9.0) as usize
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_700_000_000_000); // 2023-11-14T22:13:20Z

    #[test]
    fn si_keeps_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.012345, "0.0123"),
            (1.0, "1"),
            (9.999, "10"),
            (42.0, "42"),
            (999.4, "999"),
            (1234.0, "1234"),
            (12_345.0, "12.3 k"),
            (-2_500_000.0, "-2.5 M"),
            (7.1e9, "7.1 G"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(si(value), text, "{value}");
        }
    }

    #[test]
    fn bytes_use_binary_prefixes() {
        for (value, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1536.0, "1.5 KiB"),
            (1_610_612_736.0, "1.5 GiB"),
            (2e18, "1776 PiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn counts_are_separated() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), text);
        }
        assert_eq!(short_count(9_999), "9,999");
        assert_eq!(short_count(12_345), "12.3 k");
    }

    #[test]
    fn percent_says_more_at_the_ends() {
        for (value, text) in [
            (0.0, "0 %"),
            (0.05, "5 %"),
            (0.0123, "1.2 %"),
            (0.724, "72 %"),
            (0.9992, "99.9 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(value), text);
        }
    }

    #[test]
    fn metric_names_give_units_away() {
        for (metric, value, text) in [
            ("process_resident_memory_bytes", 1048576.0, "1 MiB"),
            ("network_rx_bytes_per_second", 2048.0, "2 KiB/s"),
            ("latency", 0.0125, "12.5 ms"),
            ("http_request_duration_seconds", 0.000_25, "250 µs"),
            ("cpu_percent", 93.456, "93.5 %"),
            ("disk_used_ratio", 0.5, "50 %"),
            ("availability", 0.998, "99.8 %"),
            ("availability", 99.8, "99.8 %"),
            ("requests", 1200.0, "1200"),
            ("rate of http_requests_total", 51.27, "51.3/s"),
            ("rate of network_receive_bytes_total", 2048.0, "2 KiB/s"),
            ("rate of rpc_seconds_count", 12.0, "12/s"),
        ] {
            assert_eq!(metric_value(metric, value), text, "{metric}");
        }
    }

    #[test]
    fn durations_use_two_units() {
        for (millis, text) in [
            (-5, "0 s"),
            (45_000, "45 s"),
            (192_000, "3 min 12 s"),
            (180_000, "3 min"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn relative_looks_both_ways() {
        for (shift, text) in [
            (0, "just now"),
            (-30_000, "30 s ago"),
            (-180_000, "3 min ago"),
            (1_320_000, "in 22 min"),
            (-3 * HOUR, "3 h ago"),
            (-3 * DAY, "3 d ago"),
        ] {
            assert_eq!(relative(T + shift, T), text);
        }
    }

    #[test]
    fn countdown_keeps_its_width() {
        assert_eq!(countdown(T + 725_000, T), "12:05");
        assert_eq!(countdown(T + 3_725_000, T), "1:02:05");
        assert_eq!(countdown(T, T), "now");
    }

    #[test]
    fn calendar_matches_known_dates() {
        assert_eq!(date_clock(T, 0), "14 Nov 22:13:20");
        assert_eq!(date_clock(T, 120), "15 Nov 00:13:20");
        assert_eq!(date(Timestamp(951_782_400_000), 0), "29 Feb 2000");
        assert_eq!(date(Timestamp(-1), 0), "31 Dec 1969");
        assert_eq!(clock(T, -210), "18:43:20");
    }

    #[test]
    fn zones_are_named_by_offset() {
        for (offset, text) in [(0, "UTC"), (120, "UTC+2"), (-210, "UTC−3:30")] {
            assert_eq!(zone(offset), text);
        }
    }

    #[test]
    fn hashes_are_cut_after_their_scheme() {
        assert_eq!(short_hash("blake3:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_hash("abc"), "abc");
    }
}
