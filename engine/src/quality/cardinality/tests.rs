//! What explodes is cut off and named; what is known, and what others send, goes on.

use super::*;
use crate::series::{Labels, info_from_labels};

const LIMITS: SeriesLimits = SeriesLimits {
    total: 1000,
    per_source: 800,
    per_metric: 300,
    per_tenant: 250,
};

fn series(metric: &str, labels: &[(&str, String)]) -> SeriesInfo {
    let mut pairs = vec![("__name__".to_owned(), metric.to_owned())];
    pairs.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    info_from_labels(&Labels::new(pairs))
}

/// Requests by path, of which there are few, and by user, of whom there are many.
fn by_user(metric: &str, users: std::ops::Range<usize>) -> Vec<SeriesInfo> {
    users
        .map(|user| {
            let labels = [("path", format!("/{}", user % 5)), ("user_id", format!("u{user}"))];
            series(metric, &labels)
        })
        .collect()
}

fn add(guard: &mut Cardinality, source: &str, new: Vec<SeriesInfo>) -> Judged {
    let judged = guard.judge(source, new, true);
    guard.count(&source.into(), &judged.taken);
    judged
}

#[test]
fn the_metric_that_explodes_is_cut_off_and_its_label_named() {
    let mut guard = Cardinality::new(LIMITS);
    let judged = add(&mut guard, "remote_write", by_user("requests", 0..250));
    assert_eq!((judged.taken.len(), judged.findings.len()), (250, 0));
    let judged = add(&mut guard, "remote_write", by_user("requests", 250..400));
    assert_eq!((judged.taken.len(), judged.refused.len()), (50, 100));
    let [finding] = judged.findings.as_slice() else {
        panic!("one offender: {:?}", judged.findings)
    };
    assert_eq!(
        (
            finding.scope,
            finding.metric.as_str(),
            finding.label.as_deref(),
            finding.refused
        ),
        (Scope::Metric, "requests", Some("user_id"), 100)
    );
    // Counted from the 64th series on, before this request.
    assert!((140..=240).contains(&finding.values), "{}", finding.values);
    assert!(
        finding.text.contains("user_id") && finding.text.contains("max_series_per_metric"),
        "{}",
        finding.text
    );
    // Other metrics, and the same metric of another source, are not concerned.
    assert_eq!(
        add(&mut guard, "remote_write", by_user("errors", 0..10)).taken.len(),
        10
    );
    assert_eq!(add(&mut guard, "otlp", by_user("requests", 0..10)).taken.len(), 10);
}

#[test]
fn a_source_leaves_room_for_others() {
    let mut guard = Cardinality::new(LIMITS);
    for metric in ["a", "b", "c"] {
        add(&mut guard, "otlp", by_user(metric, 0..290));
    }
    let judged = add(&mut guard, "otlp", by_user("d", 0..10));
    assert_eq!((guard.series_of("otlp"), judged.taken.len()), (800, 0));
    assert_eq!(judged.findings[0].scope, Scope::Source);
    assert_eq!(judged.findings[0].label.as_deref(), Some("user_id"));
    let judged = add(&mut guard, "remote_write", by_user("a", 0..290));
    assert_eq!((judged.taken.len(), judged.findings[0].scope), (200, Scope::Total));
}

#[test]
fn names_that_explode_are_told_from_labels() {
    let mut guard = Cardinality::new(LIMITS);
    let named = (0..900).map(|build| series(&format!("build_{build}"), &[])).collect();
    let judged = add(&mut guard, "statsd", named);
    assert_eq!((judged.taken.len(), judged.refused.len()), (800, 100));
    let judged = add(&mut guard, "statsd", vec![series("build_900", &[])]);
    assert_eq!(judged.findings[0].label.as_deref(), Some("__name__"));
    assert!(
        judged.findings[0].text.contains("800 metrics"),
        "{}",
        judged.findings[0].text
    );
}

#[test]
fn without_memory_nothing_new_is_taken() {
    let guard = Cardinality::new(LIMITS);
    let judged = guard.judge("otlp", by_user("a", 0..3), false);
    assert_eq!((judged.taken.len(), judged.refused.len()), (0, 3));
    assert!(judged.findings[0].text.contains("max_memory_mb"));
}

#[test]
fn what_failed_half_way_counts_nothing() {
    let guard = Cardinality::new(LIMITS);
    for _ in 0..10 {
        assert_eq!(guard.judge("otlp", by_user("a", 0..200), true).taken.len(), 200);
    }
}

#[test]
fn a_tenant_takes_no_room_of_another_whatever_it_sends_by() {
    let of = |tenant: &str, metric: &str, range: std::ops::Range<usize>| -> Vec<SeriesInfo> {
        let labels = |i: usize| [("tenant", tenant.to_owned()), ("pod", format!("p{i}"))];
        range.map(|i| series(metric, &labels(i))).collect()
    };
    let mut guard = Cardinality::new(LIMITS);
    assert_eq!(
        add(&mut guard, "remote_write", of("red", "load", 0..150)).taken.len(),
        150
    );
    let judged = add(&mut guard, "otlp", of("red", "memory", 0..150));
    assert_eq!((judged.taken.len(), judged.refused.len()), (100, 50));
    let [finding] = judged.findings.as_slice() else {
        panic!("one offender: {:?}", judged.findings)
    };
    assert_eq!(
        (finding.scope, finding.series, finding.limit),
        (Scope::Tenant, 250, 250)
    );
    assert!(
        finding.text.starts_with("new series of tenant red from otlp")
            && finding.text.contains("max_series_per_tenant"),
        "{}",
        finding.text
    );
    assert_eq!(add(&mut guard, "otlp", of("blue", "memory", 0..150)).taken.len(), 150);
    // Who says no tenant has no limit of one.
    assert_eq!(add(&mut guard, "otlp", by_user("requests", 0..270)).taken.len(), 270);
}
