//! Lines as the documents of StatsD (etsy) and DogStatsD show them.

use super::*;
use crate::ingest::registry::Registry;
use crate::ingest::{IngestBatch, RejectReason};
use proptest::prelude::*;
use std::collections::BTreeMap;
use wire::Timestamp;

fn aggregator(max_series: usize) -> Aggregator {
    Aggregator::new(&StatsdConfig {
        udp: None,
        tcp: None,
        flush_ms: 10_000,
        max_series,
    })
}

/// `name{tag=value}` and value of every sample.
fn samples(batch: &IngestBatch, names: &mut BTreeMap<wire::SeriesId, String>) -> Vec<(String, f64)> {
    for info in &batch.new_series {
        let labels: Vec<String> = info.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        names.insert(info.id, format!("{}{{{}}}", info.metric, labels.join(",")));
    }
    let mut out: Vec<(String, f64)> = batch
        .samples
        .iter()
        .map(|s| (names[&s.series].clone(), s.value))
        .collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn flushed(lines: &str) -> Vec<(String, f64)> {
    let mut aggregator = aggregator(100);
    aggregator.take(lines.as_bytes(), Timestamp(0));
    let batch = aggregator.flush(Timestamp(10_000), &Registry::default());
    assert_eq!(batch.rejections, [], "{lines}");
    samples(&batch, &mut BTreeMap::new())
}

#[test]
fn each_type_has_its_sum() {
    let check = |lines: &str, expected: &[(&str, f64)]| {
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        assert_eq!(flushed(lines), expected, "{lines}");
    };
    check("gorets:1|c\ngorets:2|c|@0.1", &[("gorets{}", 21.0)]);
    check("gaugor:333|g\ngaugor:-10|g\ngaugor:+4|g\n", &[("gaugor{}", 327.0)]);
    check("uniques:765|s\nuniques:766|s\nuniques:765|s", &[("uniques{}", 2.0)]);
    check(
        "page.views:1|c|#env:dev,prod\r\n",
        &[("page_views{env=dev,prod=true}", 1.0)],
    );
    check(
        "song.length:240:234|h|@0.5|#host:a|c:ci-83|T1656581400",
        &[
            ("song_length_count{host=a}", 4.0),
            ("song_length_sum{host=a}", 948.0),
            ("song_length{host=a,quantile=0.5}", 234.0),
            ("song_length{host=a,quantile=0.95}", 240.0),
            ("song_length{host=a,quantile=0.99}", 240.0),
        ],
    );
    check(
        "glork:320|ms",
        &[
            ("glork_ms_count{}", 1.0),
            ("glork_ms_sum{}", 320.0),
            ("glork_ms{quantile=0.5}", 320.0),
            ("glork_ms{quantile=0.95}", 320.0),
            ("glork_ms{quantile=0.99}", 320.0),
        ],
    );
}

#[test]
fn a_bad_line_is_named_by_its_number_and_costs_no_other() {
    let mut aggregator = aggregator(100);
    aggregator.take(b"a:1|c\nb|c\nc:1|g\nd:x|g\n\xff:1|c", Timestamp(0));
    let batch = aggregator.flush(Timestamp(1), &Registry::default());
    assert_eq!(batch.samples.len(), 2);
    let rejection = &batch.rejections[0];
    assert_eq!((rejection.reason, rejection.samples), (RejectReason::Malformed, 3));
    assert!(
        rejection.example.starts_with("line 2: it has no value"),
        "{}",
        rejection.example
    );
    assert_eq!(aggregator.flush(Timestamp(2), &Registry::default()).rejections, []);
}

#[test]
fn lines_that_are_wrong() {
    for (line, part) in [
        ("", "no type"),
        ("a:1", "no type"),
        (":1|c", "no name"),
        ("a:1|x", "none of c, g"),
        ("a:NaN|g", "no finite number"),
        ("a:inf|g", "no finite number"),
        ("a:-1|c", "only grows"),
        ("a:1|c|@0", "sample rate"),
        ("a:1|c|@2", "sample rate"),
        ("a:1|c|?", "neither a rate nor tags"),
        ("_e{5,4}:title|text", "events"),
        ("_sc|Redis connection|2", "events"),
    ] {
        let problem = parse_line(line.as_bytes()).unwrap_err();
        assert!(problem.contains(part), "{line}: {problem}");
    }
}

#[test]
fn a_total_goes_on_and_ends_when_nobody_sends() {
    let mut aggregator = aggregator(100);
    let registry = Registry::default();
    let mut names = BTreeMap::new();
    aggregator.take(b"n:1|c\nt:5|h", Timestamp(0));
    assert_eq!(
        samples(&aggregator.flush(Timestamp(10), &registry), &mut names).len(),
        6
    );
    aggregator.take(b"n:2|c", Timestamp(20));
    let second = samples(&aggregator.flush(Timestamp(30), &registry), &mut names);
    // No value, no quantile: a gap.
    let expected = [("n{}", 3.0), ("t_count{}", 1.0), ("t_sum{}", 5.0)].map(|(n, v)| (n.to_owned(), v));
    assert_eq!(second, expected);
    let end = aggregator.flush(Timestamp(600_010), &registry);
    assert_eq!((end.samples.len(), end.stale.len()), (1, 5));
    assert_eq!(aggregator.flush(Timestamp(700_000), &registry).stale.len(), 1);
    assert!(aggregator.flush(Timestamp(700_001), &registry).samples.is_empty());
}

#[test]
fn series_are_limited_and_types_declared() {
    let mut aggregator = aggregator(2);
    aggregator.take(b"a:1|c\nb:1|g\nc:1|c\na:1|c", Timestamp(0));
    let batch = aggregator.flush(Timestamp(1), &Registry::default());
    assert_eq!(
        (batch.rejections[0].reason, batch.rejections[0].samples),
        (RejectReason::TooManySeries, 1)
    );
    use crate::series::MetricType;
    assert_eq!(
        batch.types,
        [
            ("a".to_owned(), MetricType::Counter.into()),
            ("b".to_owned(), MetricType::Gauge.into())
        ]
    );
}

#[test]
fn many_values_keep_their_quantiles() {
    let mut aggregator = aggregator(10);
    for value in 1..=100_000 {
        aggregator.take(format!("t:{}|d", value % 1000).as_bytes(), Timestamp(0));
    }
    let found = samples(
        &aggregator.flush(Timestamp(1), &Registry::default()),
        &mut BTreeMap::new(),
    );
    let of = |name: &str| found.iter().find(|(n, _)| n == name).unwrap().1;
    assert!((of("t{quantile=0.5}") - 500.0).abs() < 20.0, "{found:?}");
    assert!((of("t{quantile=0.99}") - 990.0).abs() < 10.0, "{found:?}");
    assert!((of("t_count{}") - 100_000.0).abs() < 1e-6);
}

proptest! {
    #[test]
    fn no_bytes_crash_it_and_no_sample_is_infinite(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        let mut aggregator = aggregator(50);
        for datagram in &datagrams {
            aggregator.take(datagram, Timestamp(0));
        }
        let batch = aggregator.flush(Timestamp(1), &Registry::default());
        prop_assert!(batch.samples.iter().all(|s| s.value.is_finite()));
    }

    #[test]
    fn nearly_right_lines_are_taken_or_named(line in "[a-c.]{1,3}:[+-]?[0-9e.]{1,8}\\|(c|g|ms|h|s)(\\|@[0-9.]{1,4})?(\\|#[a-c:,]{0,8})?") {
        let mut aggregator = aggregator(50);
        aggregator.take(line.as_bytes(), Timestamp(0));
        aggregator.take(line.as_bytes(), Timestamp(0));
        let batch = aggregator.flush(Timestamp(1), &Registry::default());
        prop_assert!(batch.samples.iter().all(|s| s.value.is_finite()));
        prop_assert!(batch.samples.is_empty() != batch.rejections.is_empty(), "{:?}", batch);
    }
}
