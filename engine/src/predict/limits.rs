//! Limits that need no configuration: they follow from what a metric is.

use wire::series::{MetricClass, SeriesInfo, SeriesKind};

/// A value that must not be crossed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    pub value: f64,
    /// Whether the trouble is above the value, or below it.
    pub above: bool,
}

/// How full a bounded resource may get.
const FULL: f64 = 0.95;
/// How low an availability may fall.
const AVAILABLE: f64 = 0.99;

/// The limit that the name of a metric implies; `None` for quantities without a natural bound.
///
/// Percentages (`cpu_percent`, `CPUUtilization`) may not pass 95, fractions and ratios of a saturation 0.95, what is free
/// in percent may not fall below 5, availability not below 99 % (or 0.99, which `usual`, a usual value, tells apart).
///
/// The rate of a counter has none: its name tells nothing that would bound it.
pub fn known_limit(info: &SeriesInfo, usual: f64) -> Option<Limit> {
    if info.kind == SeriesKind::Counter {
        return None;
    }
    let name = info.metric.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if has(&["availability", "success_rate", "success_ratio"]) {
        let unit = if usual.abs() > 1.5 { 100.0 } else { 1.0 };
        return Some(Limit {
            value: AVAILABLE * unit,
            above: false,
        });
    }
    let percent = has(&["percent", "utilization", "utilisation", "_pct"]);
    let fraction = has(&["fraction", "ratio"]);
    if info.class != MetricClass::Saturation || !(percent || fraction) {
        return None;
    }
    // A machine's CPU is a whole; one process may use several, and one core that is busy (`cpu3_usage_percent`) does its work.
    let one_core = name
        .strip_prefix("cpu")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if one_core || has(&["process"]) || info.entity.as_str().contains('/') {
        return None;
    }
    let unit = if percent { 100.0 } else { 1.0 };
    let scarce = has(&["free", "idle", "available", "avail"]);
    Some(Limit {
        value: if scarce { 1.0 - FULL } else { FULL } * unit,
        above: !scarce,
    })
}

/// What a series cannot exceed by its name: 100 for percentages of a whole, 1 for its fractions; `None` where nothing is known.
/// `usual`: a usual value.
pub fn capacity(info: &SeriesInfo, usual: f64) -> Option<f64> {
    known_limit(info, usual).map(|limit| if limit.value > 1.5 { 100.0 } else { 1.0 })
}

/// The limit of a series that counts units of a resource (`memory_used_bytes`) whose size is known from another
/// (`memory_total_bytes`): 95 % of it.
pub fn limit_of_total(info: &SeriesInfo, total: f64) -> Option<Limit> {
    let name = info.metric.to_ascii_lowercase();
    let bounded = info.class == MetricClass::Saturation || name.contains("used");
    (bounded && total > 0.0 && total.is_finite()).then(|| {
        let scarce = ["free", "available", "avail"].iter().any(|w| name.contains(w));
        Limit {
            value: total * if scarce { 1.0 - FULL } else { FULL },
            above: !scarce,
        }
    })
}

/// The name of the metric that holds the size of the resource which `metric` fills: `memory_total_bytes` for
/// `memory_used_bytes`, `node_filesystem_size_bytes` for `node_filesystem_avail_bytes`.
pub fn total_name(metric: &str) -> Option<String> {
    const WORDS: [&str; 4] = ["_used", "_free", "_available", "_avail"];
    let word = WORDS.iter().find(|w| {
        metric
            .find(*w)
            .is_some_and(|at| metric[at + w.len()..].is_empty() || metric[at + w.len()..].starts_with('_'))
    })?;
    let total = if metric.contains("filesystem") {
        "_size"
    } else {
        "_total"
    };
    Some(metric.replacen(word, total, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    #[track_caller]
    fn check(entity: &str, metric: &str, usual: f64, expected: Option<(f64, bool)>) {
        let info = info_from_labels(&Labels::of(entity, metric, None));
        let found = known_limit(&info, usual).map(|l| ((l.value * 1e6).round() / 1e6, l.above));
        assert_eq!(found, expected, "{metric}");
    }

    #[test]
    fn names_imply_limits() {
        check("h", "cpu_percent", 20.0, Some((95.0, true)));
        check("h", "cpu3_usage_percent", 20.0, None);
        check("h", "disk_used_percent{mount=/}", 20.0, Some((95.0, true)));
        check("h", "CPUUtilization", 20.0, Some((95.0, true)));
        check("h", "disk_used_ratio", 0.5, Some((0.95, true)));
        check("h", "disk_free_percent", 40.0, Some((5.0, false)));
        check("s", "availability", 100.0, Some((99.0, false)));
        check("s", "availability", 1.0, Some((0.99, false)));
        check("h/postgres", "cpu_percent", 20.0, None);
        check("s", "latency", 0.2, None);
        check("s", "requests", 100.0, None);
    }

    #[test]
    fn totals_are_found_by_name() {
        assert_eq!(total_name("memory_used_bytes").as_deref(), Some("memory_total_bytes"));
        assert_eq!(
            total_name("node_filesystem_avail_bytes").as_deref(),
            Some("node_filesystem_size_bytes")
        );
        assert_eq!(total_name("memory_usedx"), None);
        let info = info_from_labels(&Labels::of("h", "memory_used_bytes", None));
        assert_eq!(
            limit_of_total(&info, 1000.0),
            Some(Limit {
                value: 950.0,
                above: true
            })
        );
        let info = info_from_labels(&Labels::of("h", "node_memory_MemAvailable_bytes", None));
        assert!(limit_of_total(&info, 1000.0).is_some_and(|l| !l.above && l.value < 51.0));
    }
}
