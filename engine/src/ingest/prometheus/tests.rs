//! The decoder against prost, an implementation of protobuf that is not ours.

mod golden;

use super::*;
use crate::series::{Metadata, MetricType, Sample};
use proptest::prelude::*;
use prost::Message;
use wire::Timestamp;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<ProtoSample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoSample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MetricMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    metric_family_name: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|(n, v)| Label {
                name: (*n).to_owned(),
                value: (*v).to_owned(),
            })
            .collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| ProtoSample {
                value: *value,
                timestamp: *timestamp,
            })
            .collect(),
    }
}

fn encode(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(
            &WriteRequest {
                timeseries,
                metadata: Vec::new(),
            }
            .encode_to_vec(),
        )
        .unwrap()
}

fn decode(body: &[u8]) -> Result<IngestBatch, DecodeError> {
    decode_v1(body, &Limits::default(), &Registry::default())
}

#[test]
fn samples_and_series_come_out() {
    let labels = [("__name__", "node_load1"), ("instance", "web-1:9100"), ("job", "node")];
    let batch = decode(&encode(vec![series(&labels, &[(1000, 0.5), (2000, 0.75)])])).unwrap();
    let info = &batch.new_series[0];
    assert_eq!(
        (info.metric.as_str(), info.entity.as_str()),
        ("node_load1", "web-1:9100")
    );
    assert_eq!(
        batch.samples,
        [
            Sample {
                series: info.id,
                at: Timestamp(1000),
                value: 0.5
            },
            Sample {
                series: info.id,
                at: Timestamp(2000),
                value: 0.75
            }
        ]
    );
    assert!(batch.rejections.is_empty() && batch.stale.is_empty());
}

#[test]
fn a_known_series_is_not_described_again() {
    let body = encode(vec![series(&[("__name__", "up")], &[(1, 1.0)])]);
    let registry = Registry::default();
    let first = decode_v1(&body, &Limits::default(), &registry).unwrap();
    registry.add(first.new_series.into_iter().map(std::sync::Arc::new));
    let second = decode_v1(&body, &Limits::default(), &registry).unwrap();
    assert!(second.new_series.is_empty());
    assert_eq!(first.samples, second.samples);
}

#[test]
fn stale_markers_and_nan_are_told_apart() {
    let body = encode(vec![series(
        &[("__name__", "up")],
        &[
            (1, f64::from_bits(STALE_NAN_BITS)),
            (2, f64::NAN),
            (3, f64::INFINITY),
            (4, 1.0),
        ],
    )]);
    let batch = decode(&body).unwrap();
    assert_eq!(batch.stale.len(), 1);
    assert_eq!(batch.samples.len(), 1);
    assert_eq!(
        (batch.rejections[0].reason, batch.rejections[0].samples),
        (RejectReason::NotANumber, 2)
    );
    assert!(
        !batch.rejections[0].reason.is_error(),
        "every summary without observations is NaN"
    );
}

#[test]
fn one_bad_series_does_not_cost_the_others() {
    let long = "x".repeat(10 << 20);
    let body = encode(vec![
        series(&[("__name__", "huge"), ("value", &long)], &[(1, 1.0), (2, 1.0)]),
        series(&[("b", "1"), ("a", "2")], &[(1, 1.0)]),
        series(&[], &[(1, 1.0)]),
        series(&[("__name__", "good")], &[(1, 1.0)]),
    ]);
    let batch = decode(&body).unwrap();
    assert_eq!(batch.samples.len(), 1);
    assert_eq!(batch.new_series[0].metric, "good");
    assert_eq!(
        (batch.rejections[0].reason, batch.rejections[0].samples),
        (RejectReason::BadLabels, 4)
    );
    assert_eq!(batch.rejections[0].example, "huge: a label's value is too long");
}

/// A series as bytes, to send what is not UTF-8.
#[derive(Clone, PartialEq, Message)]
struct RawRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<RawSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct RawSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<RawLabel>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<ProtoSample>,
}

#[derive(Clone, PartialEq, Message)]
struct RawLabel {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[test]
fn labels_made_to_look_like_a_known_series_are_refused() {
    let registry = Registry::default();
    let honest = encode(vec![series(&[("a", "b"), ("c", "d")], &[(1, 1.0)])]);
    let batch = decode_v1(&honest, &Limits::default(), &registry).unwrap();
    registry.add(batch.new_series.into_iter().map(std::sync::Arc::new));
    let forged = RawRequest {
        timeseries: vec![RawSeries {
            labels: vec![RawLabel {
                name: b"a".to_vec(),
                value: b"b\xFFc\xFFd".to_vec(),
            }],
            samples: vec![ProtoSample {
                value: 1.0,
                timestamp: 2,
            }],
        }],
    };
    let body = snap::raw::Encoder::new().compress_vec(&forged.encode_to_vec()).unwrap();
    let batch = decode_v1(&body, &Limits::default(), &registry).unwrap();
    assert!(batch.samples.is_empty());
    assert_eq!(batch.rejections[0].reason, RejectReason::BadLabels);
    assert!(
        batch.rejections[0].example.ends_with("not UTF-8"),
        "{}",
        batch.rejections[0].example
    );
}

#[test]
fn metadata_declares_types_and_alone_is_fine() {
    let declared = |(kind, name): (i32, &str)| MetricMetadata {
        kind,
        metric_family_name: name.to_owned(),
        help: "About it.".to_owned(),
        unit: "seconds".to_owned(),
    };
    let long = "x".repeat(2000);
    let request = WriteRequest {
        timeseries: Vec::new(),
        // Unknown, of a later version, without a name, with an endless one: left out.
        metadata: [
            (1, "a"),
            (2, "b"),
            (3, "c"),
            (5, "d"),
            (0, "e"),
            (99, "f"),
            (1, ""),
            (1, &long),
        ]
        .map(declared)
        .to_vec(),
    };
    let body = snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .unwrap();
    let batch = decode(&body).unwrap();
    assert!(batch.samples.is_empty() && batch.rejections.is_empty());
    let expected = [
        ("a", MetricType::Counter),
        ("b", MetricType::Gauge),
        ("c", MetricType::Histogram),
        ("d", MetricType::Summary),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), Metadata::new(kind, "About it.", "seconds")));
    assert_eq!(batch.types, expected);
}

#[test]
fn bytes_that_are_neither_snappy_nor_protobuf_say_so() {
    assert!(matches!(
        decode(b"\xff\xff\xff\xff\xff\xff not snappy"),
        Err(DecodeError::BadSnappy(_))
    ));
    let garbage = snap::raw::Encoder::new()
        .compress_vec(b"\x0a\xff\x01 not protobuf")
        .unwrap();
    assert!(matches!(decode(&garbage), Err(DecodeError::BadProtobuf { .. })));
    let limits = Limits {
        max_body_bytes: 10,
        ..Limits::default()
    };
    let body = encode(vec![series(&[("__name__", "up")], &[(1, 1.0)])]);
    assert!(matches!(
        decode_v1(&body, &limits, &Registry::default()),
        Err(DecodeError::TooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let ours = decode(&packed);
        // What prost takes, we take.
        if WriteRequest::decode(&bytes[..]).is_ok() {
            prop_assert!(ours.is_ok());
        }
    }

    #[test]
    fn what_prost_encodes_comes_out_whole(
        metrics in prop::collection::btree_map("[a-z]{1,8}", prop::collection::vec((any::<i64>(), -1e300f64..1e300), 0..5), 1..8),
    ) {
        let request: Vec<_> = metrics.iter().map(|(name, samples)| series(&[("__name__", name)], samples)).collect();
        let batch = decode(&encode(request)).unwrap();
        prop_assert_eq!(batch.new_series.len(), metrics.len());
        let expected: Vec<_> = metrics.values().flatten().map(|(at, value)| (Timestamp(*at), value.to_bits())).collect();
        let got: Vec<_> = batch.samples.iter().map(|s| (s.at, s.value.to_bits())).collect();
        prop_assert_eq!(got, expected);
    }
}
