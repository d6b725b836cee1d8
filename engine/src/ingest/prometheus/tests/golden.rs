//! Requests that Prometheus' own packages wrote, and what they say is in them (`oracle.go`).

use super::*;
use crate::ingest::exemplar::Exemplar;
use crate::ingest::prometheus::decode;
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::SeriesId;

#[derive(Deserialize)]
struct Golden {
    v1: String,
    v2: String,
    histograms: Vec<Histogram>,
}

#[derive(Deserialize)]
struct Histogram {
    name: String,
    at: i64,
    count: f64,
    sum: f64,
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    bound: String,
    below: f64,
}

const AT: i64 = 1_700_000_000_000;

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(digits).collect()
}

fn both() -> [(Version, Decoded); 2] {
    let golden = golden();
    [(Version::One, golden.v1), (Version::Two, golden.v2)].map(|(version, hex)| {
        let found = decode(version, &bytes(&hex), &Limits::default(), &Registry::default());
        (version, found.unwrap())
    })
}

/// The values of one histogram by the series' metric and bound.
fn parts(found: &Decoded, name: &str) -> BTreeMap<String, (Timestamp, f64)> {
    let of_series: BTreeMap<SeriesId, _> = found
        .histograms
        .batch
        .new_series
        .iter()
        .map(|info| (info.id, info))
        .collect();
    let started = found.histograms.started.iter().map(|started| &started.sample);
    let samples = found.histograms.batch.samples.iter().chain(started);
    let named = samples.filter_map(|sample| {
        let info = of_series.get(&sample.series)?;
        let label = |name: &str| info.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(
            [label("instance"), label("kind"), label("zone")],
            [Some("web-1"), Some("k"), Some("z")]
        );
        let suffix = info.metric.strip_prefix(name)?;
        Some((
            format!("{suffix}{}", label("le").unwrap_or_default()),
            (sample.at, sample.value),
        ))
    });
    named.collect()
}

#[test]
fn native_histograms_hold_what_prometheus_says() {
    for (version, found) in both() {
        assert_eq!(found.told.histograms, 4);
        for expected in golden().histograms {
            let parts = parts(&found, &expected.name);
            let at = Timestamp(expected.at);
            let part = |key: &str| parts.get(key).copied();
            assert_eq!(
                part("_count"),
                Some((at, expected.count)),
                "{version:?} {}",
                expected.name
            );
            assert_eq!(part("_sum"), Some((at, expected.sum)));
            assert_eq!(part("_bucket+Inf"), Some((at, expected.count)));
            assert!(expected.buckets.len() > 1, "the golden is not empty");
            let bounds: Vec<(f64, f64)> = parts
                .iter()
                .filter_map(|(key, (_, below))| Some((key.strip_prefix("_bucket")?.parse().ok()?, *below)))
                .collect();
            for bucket in &expected.buckets {
                let bound: f64 = bucket.bound.parse().unwrap();
                // Zeros have a bound of their own only where something is below them; they count for the next one.
                let from = bound * (1.0 - bound.signum() * 1e-12);
                let next = bounds.iter().filter(|(le, _)| *le >= from);
                let (le, below) = next.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
                let is_zero = ["0.01", "1e-128"].contains(&bucket.bound.as_str());
                assert!(
                    is_zero || (le - bound).abs() <= bound.abs() * 1e-12,
                    "{} {bound}: {le}",
                    expected.name
                );
                assert!((below - bucket.below).abs() < 1e-9, "{} {bound}", expected.name);
            }
        }
    }
}

#[test]
fn both_versions_bring_the_same() {
    let [(_, one), (_, two)] = both();
    let ids = |found: &Decoded| {
        let both = [&found.samples.batch, &found.histograms.batch];
        let mut ids: Vec<_> = both.iter().flat_map(|b| &b.new_series).map(|info| info.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&one), ids(&two));
    assert_eq!(one.told, two.told);
    assert_eq!((one.told.samples, one.told.exemplars), (3, 1));
    assert_eq!(one.exemplars, two.exemplars);
    let trace = [("trace_id".to_owned(), "abc".to_owned())];
    assert!(
        matches!(&one.exemplars[..], [Exemplar { at: Timestamp(at), value, labels, .. }]
            if *at == AT - 5 && (value - 0.25).abs() < 1e-12 && *labels == trace)
    );
    for found in [&one, &two] {
        assert_eq!(found.samples.batch.stale.len(), 1);
        assert_eq!(
            (&found.samples.batch.rejections, &found.histograms.batch.rejections),
            (&vec![], &vec![])
        );
    }
    // The first version says no start, and the type of plain metrics apart.
    assert_eq!((one.samples.started.len(), one.samples.batch.samples.len()), (0, 2));
    assert_eq!((two.samples.started.len(), two.samples.batch.samples.len()), (2, 0));
    assert!(two.samples.started.iter().all(|s| s.start == Timestamp(AT - 60_000)));
    let types = |found: &Decoded| found.samples.batch.types.iter().cloned().collect::<BTreeMap<_, _>>();
    // What is said of them is said apart in the first version, and of plain metrics alone.
    let of = |name: &str, kind, help, unit| (name.to_owned(), Metadata::new(kind, help, unit));
    let histograms = |help: &'static str, unit: &'static str| {
        ["coarse", "fine", "custom", "float"].map(|name| of(name, MetricType::Histogram, help, unit))
    };
    let mut expected: BTreeMap<_, _> = histograms("", "").into();
    expected.extend([of("requests_total", MetricType::Counter, "How many.", "requests")]);
    assert_eq!(types(&one), expected);
    let mut expected: BTreeMap<_, _> = histograms("How long.", "seconds").into();
    expected.extend([of("requests_total", MetricType::Counter, "How long.", "seconds")]);
    assert_eq!(types(&two), expected);
}

#[test]
fn what_was_declared_is_not_said_again() {
    let registry = Registry::default();
    let body = bytes(&golden().v2);
    let first = decode(Version::Two, &body, &Limits::default(), &registry).unwrap();
    let keys = first.samples.batch.types.iter();
    registry.heard(
        keys.map(|(name, of)| crate::ingest::registry::Declared::key(name.as_bytes(), of.kind, of.is_described())),
    );
    let again = decode(Version::Two, &body, &Limits::default(), &registry).unwrap();
    assert!(again.samples.batch.types.is_empty());
}

/// `io.prometheus.write.v2.Request`, to make what Prometheus would not.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<ProtoSample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Native>,
}

#[derive(Clone, PartialEq, Message)]
struct Native {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(message, repeated, tag = "11")]
    spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

fn native(deltas: &[i64], length: u32) -> Native {
    Native {
        count: 3,
        sum: 1.0,
        spans: vec![Span { offset: 0, length }],
        deltas: deltas.to_vec(),
        timestamp: 1,
        ..Native::default()
    }
}

fn send(series: Vec<Series>, registry: &Registry) -> Decoded {
    let symbols = ["", "__name__", "good", "job", "x"].map(str::to_owned).to_vec();
    let request = Request {
        symbols,
        timeseries: series,
    };
    let body = snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .unwrap();
    decode(Version::Two, &body, &Limits::default(), registry).unwrap()
}

fn of(labels_refs: &[u32], histograms: Vec<Native>) -> Series {
    Series {
        labels_refs: labels_refs.to_vec(),
        samples: vec![ProtoSample {
            value: 1.0,
            timestamp: 1,
        }],
        histograms,
    }
}

#[test]
fn one_bad_series_or_histogram_does_not_cost_the_others() {
    let found = send(
        vec![
            of(&[1, 2, 3], vec![]),
            of(&[1, 99], vec![]),
            of(&[3, 4, 1, 2], vec![]),
            of(&[], vec![]),
            of(
                &[1, 2],
                vec![
                    native(&[1, 1], 2),
                    native(&[1], 2),
                    native(&[1, -2], 2),
                    native(&[1, 8], 2),
                    Native {
                        schema: -60,
                        ..native(&[1, 1], 2)
                    },
                ],
            ),
        ],
        &Registry::default(),
    );
    assert_eq!((found.told.samples, found.told.histograms), (1, 1));
    let plain = &found.samples.batch.rejections;
    assert_eq!((plain[0].reason, plain[0].samples), (RejectReason::BadLabels, 4));
    let native = &found.histograms.batch.rejections;
    assert_eq!((native[0].reason, native[0].samples), (RejectReason::Unsupported, 4));
}

#[test]
fn a_histogram_that_ends_ends_as_a_whole() {
    let registry = Registry::default();
    let stale = Native {
        sum: f64::from_bits(STALE_NAN_BITS),
        timestamp: 2,
        ..Native::default()
    };
    let end = || vec![of(&[1, 2], vec![stale.clone()])];
    let unknown = send(end(), &registry);
    assert!(unknown.histograms.batch.ended_families.is_empty());
    let first = send(vec![of(&[1, 2], vec![native(&[1, 1], 2)])], &registry);
    registry.add(first.histograms.batch.new_series.into_iter().map(std::sync::Arc::new));
    let ended = send(end(), &registry);
    let count = ended.histograms.batch.stale[0].0;
    assert_eq!(registry.get(count).unwrap().metric, "good_count");
    assert_eq!(ended.histograms.batch.ended_families, [(count, Timestamp(2))]);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused_in_both_versions(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let limits = Limits::default();
        let two = decode(Version::Two, &packed, &limits, &Registry::default());
        prop_assert!(two.is_ok() || Request::decode(&bytes[..]).is_err());
    }

    /// Bytes that start well and are bent in one place.
    #[test]
    fn a_bent_request_breaks_nothing(place in any::<prop::sample::Index>(), byte in any::<u8>(), two in any::<bool>()) {
        let golden = golden();
        let version = if two { Version::Two } else { Version::One };
        let packed = bytes(if two { &golden.v2 } else { &golden.v1 });
        let mut plain = snap::raw::Decoder::new().decompress_vec(&packed).unwrap();
        let place = place.index(plain.len());
        plain[place] = byte;
        let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        if let Ok(found) = decode(version, &packed, &Limits::default(), &Registry::default()) {
            let started = found.histograms.started.iter().map(|s| s.sample);
            let all = found.histograms.batch.samples.iter().copied().chain(started);
            prop_assert!(all.into_iter().all(|sample| sample.value.is_finite()));
        }
    }
}
