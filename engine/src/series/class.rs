//! Which class a metric belongs to, from its name.

use wire::series::MetricClass;

/// Words that give a class away, in the order they are tried: a metric that is both ("error_latency") is what hurts more.
const HINTS: &[(MetricClass, &[&str])] = &[
    (
        MetricClass::Errors,
        &[
            "error",
            "errors",
            "fail",
            "failed",
            "failure",
            "failures",
            "fault",
            "exception",
            "exceptions",
            "availability",
            "5xx",
            "4xx",
            "dropped",
            "rejected",
            "retrans",
        ],
    ),
    (
        MetricClass::Latency,
        &[
            "latency", "duration", "seconds", "response", "rtt", "delay", "wait", "lag", "p50", "p90", "p95", "p99",
        ],
    ),
    (
        MetricClass::Saturation,
        &[
            "cpu",
            "memory",
            "mem",
            "disk",
            "usage",
            "used",
            "utilization",
            "utilisation",
            "cpuutilization",
            "percent",
            "load",
            "load1",
            "load5",
            "load15",
            "saturation",
            "connections",
            "pool",
            "queue",
            "heap",
            "swap",
            "inodes",
            "free",
            "available",
            "limit",
            "threads",
            "descriptors",
            "fds",
        ],
    ),
    (
        MetricClass::Traffic,
        &[
            "request",
            "requests",
            "rps",
            "qps",
            "throughput",
            "bytes",
            "packets",
            "messages",
            "rate",
            "count",
            "total",
            "ops",
            "operations",
            "receive",
            "transmit",
            "sent",
            "read",
            "written",
        ],
    ),
];

/// The class of a metric by the words of its name and its statistic.
pub fn classify(metric: &str, statistic: Option<&str>) -> MetricClass {
    let mut words = Vec::new();
    for part in [Some(metric), statistic].into_iter().flatten() {
        split_words(part, &mut words);
    }
    for (class, hints) in HINTS {
        if words.iter().any(|w| hints.contains(&w.as_str())) {
            return *class;
        }
    }
    MetricClass::Other
}

/// Splits `snake_case`, `kebab-case`, `dotted.names` and `CamelCase` into lower-case words.
fn split_words(text: &str, words: &mut Vec<String>) {
    let mut word = String::new();
    let mut previous_lower = false;
    for c in text.chars() {
        let boundary = !c.is_alphanumeric() || (c.is_uppercase() && previous_lower);
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous_lower = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metric: &str, statistic: Option<&str>, expected: MetricClass) {
        assert_eq!(classify(metric, statistic), expected, "{metric} {statistic:?}");
    }

    #[test]
    fn names_of_the_field_are_classified() {
        check("latency", Some("p99"), MetricClass::Latency);
        check("availability", Some("Average"), MetricClass::Errors);
        check("requests", Some("Sum"), MetricClass::Traffic);
        check("http_request_duration_seconds", None, MetricClass::Latency);
        check("http_requests_total", None, MetricClass::Traffic);
        check("node_load1", None, MetricClass::Saturation);
        check("CPUUtilization", None, MetricClass::Saturation);
        check("MemoryUsed", None, MetricClass::Saturation);
        check("node_network_receive_errors_total", None, MetricClass::Errors);
        check("temperature", None, MetricClass::Other);
    }
}
