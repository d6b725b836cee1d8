//! The decoders against others' programs: Prometheus' own receiver, the SDK for Python, prost. See `fixtures/`.

use super::*;
use crate::features::quantile;
use crate::ingest::RejectReason;
use crate::ingest::prometheus::Limits;
use crate::ingest::registry::Registry;
use crate::ingest::signal::SignalLimits;
use crate::series::Sample;
use proptest::prelude::*;
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::signal::{LogRecord, SpanKind, SpanRecord, SpanStatus};
use wire::{SeriesId, Timestamp};

const METRICS_JSON: &[u8] = include_bytes!("fixtures/metrics.json");
const METRICS: &[u8] = include_bytes!("fixtures/metrics.binpb");

fn decode(body: &[u8], encoding: Encoding) -> Metrics {
    decode_metrics(body, encoding, &Limits::default(), &Registry::default()).unwrap()
}

/// Labels, time and value of every sample.
fn samples(metrics: &Metrics) -> Vec<(BTreeMap<String, String>, i64, f64)> {
    let labels = |id: SeriesId| {
        let info = metrics.batch.new_series.iter().find(|info| info.id == id).unwrap();
        let mut labels: BTreeMap<_, _> = info.labels.iter().cloned().collect();
        labels.insert("__name__".to_owned(), info.metric.clone());
        labels
    };
    let started = metrics.started.iter().map(|started| &started.sample);
    let all = metrics.batch.samples.iter().chain(started);
    let mut found: Vec<_> = all.map(|s: &Sample| (labels(s.series), s.at.0, s.value)).collect();
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    found
}

/// The value of the only sample with this name and this label, or of the only one with this name.
fn one(metrics: &Metrics, name: &str, label: Option<(&str, &str)>) -> f64 {
    let all = samples(metrics);
    let mut fitting = all.iter().filter(|(labels, ..)| {
        labels["__name__"] == name && label.is_none_or(|(n, v)| labels.get(n).is_some_and(|found| found == v))
    });
    let value = fitting
        .next()
        .unwrap_or_else(|| panic!("no {name} {label:?} in {all:?}"))
        .2;
    assert!(fitting.next().is_none(), "several {name} {label:?} in {all:?}");
    value
}

/// A request of one metric, from its JSON.
fn metric(metric: Value) -> Vec<u8> {
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]});
    serde_json::to_vec(&request).unwrap()
}

fn decode_one(value: Value) -> Metrics {
    decode(&metric(value), Encoding::Json)
}

fn refused(metrics: &Metrics) -> Vec<(RejectReason, u64)> {
    metrics.batch.rejections.iter().map(|r| (r.reason, r.samples)).collect()
}

#[test]
fn series_are_those_of_prometheus() {
    #[derive(Deserialize)]
    struct Expected {
        labels: BTreeMap<String, String>,
        at: i64,
        value: f64,
    }
    let expected: Vec<Expected> = serde_json::from_str(include_str!("fixtures/metrics.expected.json")).unwrap();
    let mut expected: Vec<_> = expected.into_iter().map(|e| (e.labels, e.at, e.value)).collect();
    for (labels, ..) in expected
        .iter_mut()
        .filter(|(labels, ..)| labels["__name__"] == "target_info")
    {
        // Ours, so that what is known of a service is found with it.
        labels.insert("service_name".to_owned(), "cart".to_owned());
    }
    expected.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let found = decode(METRICS, Encoding::Protobuf);
    assert_eq!(refused(&found), []);
    assert_eq!(samples(&found), expected);
}

#[test]
fn json_says_the_same_as_protobuf() {
    let (json, protobuf) = (
        decode(METRICS_JSON, Encoding::Json),
        decode(METRICS, Encoding::Protobuf),
    );
    assert_eq!(samples(&json), samples(&protobuf));
    assert_eq!(json.batch.types, protobuf.batch.types);
    assert_eq!(json.started, protobuf.started);
}

#[test]
fn a_sender_is_an_entity_by_its_service() {
    let found = decode(METRICS, Encoding::Protobuf);
    let entity = |metric: &str| {
        let info = found
            .batch
            .new_series
            .iter()
            .find(|info| info.metric == metric)
            .unwrap();
        info.entity.as_str().to_owned()
    };
    assert_eq!(entity("queue_length"), "cart");
    assert_eq!(entity("_2xx_ratio_percent"), "pod-a");
}

#[test]
fn known_series_are_not_named_again() {
    let registry = Registry::default();
    let limits = Limits::default();
    let first = decode_metrics(METRICS, Encoding::Protobuf, &limits, &registry).unwrap();
    let infos = first.batch.new_series.iter().cloned().map(std::sync::Arc::new);
    registry.add(infos);
    let second = decode_metrics(METRICS, Encoding::Protobuf, &limits, &registry).unwrap();
    assert!(second.batch.new_series.is_empty() && second.batch.types.is_empty());
    assert_eq!(second.batch.samples, first.batch.samples);
}

/// 500 observations that the SDK counted at scale 3: quantiles, sum and count survive.
#[test]
fn exponential_histograms_of_the_sdk_become_classic_ones() {
    #[derive(Deserialize)]
    struct Fixture {
        request: Value,
        observations: Vec<f64>,
    }
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/exponential.json")).unwrap();
    let mut sorted = fixture.observations;
    sorted.sort_by(f64::total_cmp);
    let found = decode(fixture.request.to_string().as_bytes(), Encoding::Json);
    let all = samples(&found);
    let of = |name: &str| {
        all.iter()
            .filter(|(labels, ..)| labels["__name__"] == name)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("latency_seconds_count")[0].2 as usize, sorted.len());
    assert!((of("latency_seconds_sum")[0].2 - sorted.iter().sum::<f64>()).abs() < 1e-9);
    let mut buckets: Vec<(f64, f64)> = of("latency_seconds_bucket")
        .iter()
        .map(|(labels, _, value)| (labels["le"].parse().unwrap(), *value))
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Every bucket holds exactly what was observed up to its bound.
    for (bound, count) in &buckets {
        assert_eq!(sorted.partition_point(|v| v <= bound), *count as usize, "le {bound}");
    }
    for (q, place) in [(0.5, 249), (0.95, 474), (0.99, 494)] {
        let found = quantile(q, &mut buckets).unwrap();
        assert!(
            (found / sorted[place]).ln().abs() < 0.18,
            "{q}: {found} {}",
            sorted[place]
        );
    }
}

#[test]
fn increments_are_told_from_totals() {
    let point = json!({"asInt": "5", "startTimeUnixNano": "1000000000", "timeUnixNano": "2000000000"});
    let sum = |temporality: i32, monotonic: bool| {
        decode_one(json!({"name": "jobs", "sum": {
            "aggregationTemporality": temporality, "isMonotonic": monotonic, "dataPoints": [point]
        }}))
    };
    let delta = sum(1, true);
    assert_eq!(
        (delta.deltas.len(), delta.batch.samples.len(), delta.started.len()),
        (1, 0, 0)
    );
    let found = delta.deltas[0];
    assert_eq!(
        (found.start, found.at, found.increase),
        (Timestamp(1000), Timestamp(2000), 5.0)
    );
    assert_eq!(delta.batch.new_series[0].metric, "jobs_total");
    let total = sum(2, true);
    assert_eq!((total.deltas.len(), total.started[0].start), (0, Timestamp(1000)));
    let level = sum(2, false);
    assert_eq!((level.started.len(), one(&level, "jobs", None)), (0, 5.0));
    for (temporality, monotonic) in [(1, false), (0, true), (3, true)] {
        let found = sum(temporality, monotonic);
        assert_eq!(
            refused(&found),
            [(RejectReason::Unsupported, 1)],
            "{temporality} {monotonic}"
        );
        assert!(found.batch.samples.is_empty() && found.deltas.is_empty());
    }
}

#[test]
fn a_histogram_of_increments_is_increments_of_its_series() {
    let found = decode_one(
        json!({"name": "size", "histogram": {"aggregationTemporality": 1, "dataPoints": [{
            "timeUnixNano": "2000000000", "count": 3, "sum": 9.5, "bucketCounts": [1, "2", 0], "explicitBounds": [1, 5]
        }]}}),
    );
    let increases: Vec<f64> = found.deltas.iter().map(|delta| delta.increase).collect();
    assert_eq!(increases, [9.5, 3.0, 1.0, 3.0, 3.0]);
    assert_eq!(
        found.batch.types,
        [("size".to_owned(), crate::series::MetricType::Histogram.into())]
    );
}

#[test]
fn no_recorded_value_ends_the_series() {
    let registry = Registry::default();
    let request = |flags: u32, value: Value| {
        let mut point = json!({"timeUnixNano": "2000000000", "flags": flags});
        point
            .as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        let body = metric(json!({"name": "load", "gauge": {"dataPoints": [point]}}));
        decode_metrics(&body, Encoding::Json, &Limits::default(), &registry).unwrap()
    };
    assert!(
        request(1, json!({})).batch.stale.is_empty(),
        "what was never there cannot end"
    );
    let there = request(0, json!({"asDouble": 1.5}));
    registry.add(there.batch.new_series.into_iter().map(std::sync::Arc::new));
    let ended = request(1, json!({}));
    assert_eq!(ended.batch.stale, [(there.batch.samples[0].series, Timestamp(2000))]);
    assert!(ended.batch.samples.is_empty() && ended.batch.rejections.is_empty());
}

#[test]
fn a_bad_point_is_refused_by_itself() {
    let gauge = |points: Value| decode_one(json!({"name": "load", "gauge": {"dataPoints": points}}));
    let good = json!({"asDouble": 1, "timeUnixNano": 2_000_000_000_u64});
    let found = gauge(json!([good, {"asDouble": "NaN", "timeUnixNano": "3000000000"}, {"asDouble": 1}]));
    assert_eq!(found.batch.samples.len(), 1);
    assert_eq!(
        refused(&found),
        [(RejectReason::NotANumber, 1), (RejectReason::TooOld, 1)]
    );
    let long = json!({"asDouble": 1, "timeUnixNano": "1000000", "attributes": [
        {"key": "k", "value": {"stringValue": "x".repeat(20_000)}}
    ]});
    assert_eq!(refused(&gauge(json!([long]))), [(RejectReason::BadLabels, 1)]);
    let bounds = |bounds: Value, counts: Value| {
        refused(&decode_one(
            json!({"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                {"timeUnixNano": "1000000", "count": 1, "explicitBounds": bounds, "bucketCounts": counts}
            ]}}),
        ))
    };
    assert_eq!(bounds(json!([1]), json!([1, 0])), []);
    assert_eq!(bounds(json!([1]), json!([1])), [(RejectReason::Unsupported, 1)]);
    assert_eq!(
        bounds(json!([2, 1]), json!([1, 0, 0])),
        [(RejectReason::Unsupported, 1)]
    );
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    let check = |body: &[u8], encoding, part: &str| {
        let error = decode_metrics(body, encoding, &Limits::default(), &Registry::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    check(b"\xff", Encoding::Protobuf, "protobuf ExportMetricsServiceRequest");
    check(b"{\n\"resourceMetrics\": 7}", Encoding::Json, "line 2 column 20");
    check(&vec![b'{'; 2 << 20], Encoding::Json, "more than 1048576 objects");
    assert!(decode(b"", Encoding::Protobuf).batch.samples.is_empty());
    assert!(decode(b"{}", Encoding::Json).batch.samples.is_empty());
}

#[test]
fn two_spellings_of_one_label_are_one_series() {
    let point = |key: &str| json!({"asInt": 1, "timeUnixNano": "1000000", "attributes": [{"key": key, "value": {"stringValue": "x"}}]});
    let found = decode_one(json!({"name": "m", "gauge": {"dataPoints": [point("a.b"), point("a-b")]}}));
    assert_eq!(found.batch.new_series.len(), 1);
}

#[test]
fn a_sender_that_names_itself_twice_is_one() {
    let name = |value: &str| json!({"key": "service.name", "value": {"stringValue": value}});
    let attributes = json!([name("c"), {"key": "le", "value": {"intValue": 1}}]);
    let points = json!([{"asInt": 1, "timeUnixNano": "1000000", "attributes": attributes}]);
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [name("a"), name("b")]},
        "scopeMetrics": [{"metrics": [{"name": "load", "gauge": {"dataPoints": points}}]}]
    }]});
    let found = decode(request.to_string().as_bytes(), Encoding::Json);
    let all = samples(&found);
    let load = all.iter().find(|(labels, ..)| labels["__name__"] == "load").unwrap();
    assert_eq!((load.0["service_name"].as_str(), load.0["job"].as_str()), ("c", "a"));
    let bare = json!({"resourceMetrics": [{
        "resource": {"attributes": [name("a"), name("b")]},
        "scopeMetrics": [{"metrics": [{"name": "load", "gauge": {"dataPoints": [{"asInt": 1, "timeUnixNano": "1000000"}]}}]}]
    }]});
    let found = decode(bare.to_string().as_bytes(), Encoding::Json);
    assert_eq!(samples(&found)[0].0["service_name"], "a");
}

#[test]
fn a_line_of_a_log_is_found_whole() {
    let now = Timestamp(7);
    let limits = SignalLimits::default();
    let found = decode_logs(include_bytes!("fixtures/logs.json"), Encoding::Json, &limits, now).unwrap();
    assert!(found.rejections.is_empty());
    let records: Vec<_> = found.logs.into_iter().map(|log| log.record).collect();
    let pairs = |of: &[(&str, &str)]| {
        of.iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
    };
    let first = LogRecord {
        at: Timestamp(1_700_000_060_123),
        service: "cart".to_owned(),
        severity: 17,
        text: "payment refused: card 42".to_owned(),
        attributes: pairs(&[("host.name", "node-7"), ("order.id", "77"), ("retry", "false")]),
        trace_id: "000102030405060708090a0b0c0d0e0f".to_owned(),
        span_id: "0001020304050607".to_owned(),
    };
    let second = LogRecord {
        severity: 0,
        text: r#"{"event":"login","tries":[1,2]}"#.to_owned(),
        attributes: pairs(&[("host.name", "node-7")]),
        trace_id: String::new(),
        span_id: String::new(),
        ..first.clone()
    };
    assert_eq!(records, [first, second]);
}

#[test]
fn a_span_is_found_whole() {
    let limits = SignalLimits {
        success_share: 0.0,
        ..SignalLimits::default()
    };
    let found = decode_spans(include_bytes!("fixtures/spans.json"), Encoding::Json, &limits).unwrap();
    assert_eq!(found.rejections[0].reason, RejectReason::SampledOut);
    let records: Vec<_> = found.spans.into_iter().map(|span| span.record).collect();
    let failed = SpanRecord {
        at: Timestamp(1_700_000_000_000),
        duration_us: 1500,
        service: "cart".to_owned(),
        name: "POST /pay".to_owned(),
        kind: SpanKind::Server,
        status: SpanStatus::Error,
        message: "card refused".to_owned(),
        attributes: vec![("http.response.status_code".to_owned(), "500".to_owned())],
        trace_id: "000102030405060708090a0b0c0d0e0f".to_owned(),
        span_id: "0001020304050607".to_owned(),
        parent_id: "08090a0b0c0d0e0f".to_owned(),
    };
    assert_eq!(records, [failed]);
}

proptest! {
    #[test]
    fn no_bytes_break_it(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let (limits, registry) = (Limits::default(), Registry::default());
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = decode_logs(&body, encoding, &SignalLimits::default(), Timestamp(1));
            let _ = decode_spans(&body, encoding, &SignalLimits::default());
        }
        let _ = decode_metrics(&body, Encoding::Protobuf, &limits, &registry);
        let _ = decode_metrics(&body, Encoding::Json, &limits, &registry);
    }

    /// A request with some of its bytes changed or cut: an error or samples, all of them numbers, each of a known series.
    #[test]
    fn a_damaged_request_yields_numbers_or_an_error(
        flips in prop::collection::vec((0..METRICS.len(), any::<u8>()), 1..6), length in 0..=METRICS.len()
    ) {
        let mut body = METRICS.to_vec();
        for (place, byte) in flips {
            body[place] = byte;
        }
        body.truncate(length);
        if let Ok(found) = decode_metrics(&body, Encoding::Protobuf, &Limits::default(), &Registry::default()) {
            let known = |id| found.batch.new_series.iter().any(|info| info.id == id);
            let (batch, _) = Streams::new(100).plan(found.clone());
            prop_assert!(batch.samples.iter().all(|s| s.value.is_finite() && known(s.series)));
        }
    }

    /// Whatever structure JSON can have, prost reads what we wrote.
    #[test]
    fn json_becomes_valid_protobuf(int in any::<i64>(), double in any::<f64>(), text in ".{0,20}", at in any::<u64>()) {
        let body = metric(json!({"name": text, "gauge": {"dataPoints": [
            {"asInt": int.to_string(), "timeUnixNano": at.to_string()}, {"asDouble": double.to_string(), "timeUnixNano": at}
        ]}}));
        let bytes = protobuf::<json::MetricsRequest>(&body, Encoding::Json).unwrap();
        let read = json::MetricsRequest::decode(&*bytes).unwrap();
        let points = &read.resource_metrics[0].scope_metrics[0].metrics[0].gauge.as_ref().unwrap().data_points;
        prop_assert_eq!(points[0].as_int, Some(int));
        prop_assert_eq!(points[1].as_double.map(f64::to_bits), Some(double.to_bits()).filter(|_| !double.is_nan()).or(points[1].as_double.map(f64::to_bits)));
        prop_assert_eq!(points[0].time_unix_nano, at);
    }
}
