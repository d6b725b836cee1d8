//! What the samples of a series are, as far as its name alone tells: the conventions of Prometheus and OpenMetrics.
//!
//! | name | kind |
//! |---|---|
//! | `x_total` | counter |
//! | `x_bucket` with a label `le` | component of a histogram |
//! | `x_info` | annotation |
//! | anything else, and whatever names a statistic of its own | gauge |
//!
//! `x_count`, `x_sum` and `x_created` mean something only beside each other: [`Catalog`](super::Catalog) sees to them, and to
//! what the sender itself declares. Data alone never makes a counter: a backlog that grows by day and is drained at night, or a
//! disk that fills until it is cleaned, has the very shape of one. It can only unmake one, see
//! [`Rate`](crate::features::Rate).

use super::class::classify;
use wire::series::{MetricClass, SeriesInfo, SeriesKind};

/// The kind that the name of a series tells.
pub fn kind_by_name(info: &SeriesInfo) -> SeriesKind {
    if info.statistic.is_some() {
        // A percentile, an average or a sum over a period has been computed by the source.
        return SeriesKind::Gauge;
    }
    let le = || info.labels.iter().any(|(name, _)| name == "le");
    if info.metric.ends_with("_bucket") && le() {
        SeriesKind::Component
    } else if info.metric.ends_with("_total") {
        SeriesKind::Counter
    } else if info.metric.ends_with("_info") {
        SeriesKind::Annotation
    } else {
        SeriesKind::Gauge
    }
}

/// Makes `info` one of `kind`, and its class what that means: `request_seconds_count` counts requests, and
/// `cpu_seconds_total` tells by its rate how busy something is, though either name speaks of a duration.
pub fn set_kind(info: &mut SeriesInfo, kind: SeriesKind) {
    let class = classify(&info.metric, info.statistic.as_deref());
    info.kind = kind;
    info.class = match (kind, class) {
        (SeriesKind::Counter, MetricClass::Latency) if info.metric.ends_with("_count") => MetricClass::Traffic,
        (SeriesKind::Counter, MetricClass::Latency) => MetricClass::Saturation,
        _ => class,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    #[track_caller]
    fn check(labels: &[(&str, &str)], kind: SeriesKind, class: MetricClass) {
        let pairs = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let info = info_from_labels(&Labels::new(pairs));
        assert_eq!((info.kind, info.class), (kind, class), "{labels:?}");
    }

    #[test]
    fn names_tell_the_kind() {
        use MetricClass::{Errors, Latency, Other, Saturation, Traffic};
        use SeriesKind::{Annotation, Component, Counter, Gauge};
        check(&[("__name__", "http_requests_total")], Counter, Traffic);
        check(&[("__name__", "http_errors_total")], Counter, Errors);
        check(&[("__name__", "process_cpu_seconds_total")], Counter, Saturation);
        check(
            &[("__name__", "latency_seconds_bucket"), ("le", "0.1")],
            Component,
            Latency,
        );
        check(&[("__name__", "water_bucket")], Gauge, Other);
        check(&[("__name__", "build_info")], Annotation, Other);
        check(&[("__name__", "thread_count")], Gauge, Traffic);
        check(&[("__name__", "disk_used_bytes")], Gauge, Saturation);
        check(&[("__name__", "rpc_seconds"), ("quantile", "0.99")], Gauge, Latency);
        check(&[("__name__", "requests_total"), ("statistic", "Sum")], Gauge, Traffic);
    }
}
