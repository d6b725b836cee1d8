//! Labels, times and metadata of both encodings, and that nothing breaks them.

use super::*;
use proptest::prelude::*;
use prost::Message;
use wire::Timestamp;

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Time>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn pushed(labels: &str) -> Vec<u8> {
    let request = PushRequest {
        streams: vec![Stream {
            labels: labels.to_owned(),
            entries: vec![Entry {
                timestamp: Some(Time {
                    seconds: 1_700_000_000,
                    nanos: 123_456_789,
                }),
                line: "refused".to_owned(),
                metadata: vec![Pair {
                    name: "trace_id".to_owned(),
                    value: "ABC".to_owned(),
                }],
            }],
        }],
    };
    snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .unwrap()
}

#[test]
fn both_encodings_say_the_same() {
    let limits = SignalLimits::default();
    let protobuf = decode_protobuf(&pushed(r#"{app="cart", level="warn"}"#), 1 << 20, &limits).unwrap();
    let json = br#"{"streams": [{"stream": {"app": "cart", "level": "warn"},
        "values": [["1700000000123456789", "refused", {"trace_id": "ABC"}]]}]}"#;
    let json = decode_json(json, &limits).unwrap();
    assert_eq!(json, protobuf);
    let line = &json.logs[0].record;
    assert_eq!(line.at, Timestamp(1_700_000_000_123));
    assert_eq!(
        (line.service.as_str(), line.severity, line.text.as_str()),
        ("cart", 13, "refused")
    );
    assert_eq!(line.trace_id, "abc");
}

#[test]
fn labels_are_read_as_go_writes_them() {
    let check = |text: &str, expected: Option<&[(&str, &str)]>| {
        let expected = expected.map(|pairs| pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect::<Pairs>());
        assert_eq!(parse_labels(text), expected, "{text}");
    };
    check("{}", Some(&[]));
    check(r#"{a="b"}"#, Some(&[("a", "b")]));
    check(
        r#" { a = "b, c}" , d="\"q\"\n\u00e9" } "#,
        Some(&[("a", "b, c}"), ("d", "\"q\"\né")]),
    );
    check("{a=`x\\y`}", Some(&[("a", "x\\y")]));
    check(r#"{a="b""#, None);
    check(r#"{a=b}"#, None);
    check(r#"{a="b" c="d"}"#, None);
    check("a", None);
}

#[test]
fn what_is_no_push_is_refused() {
    let limits = SignalLimits::default();
    let json = |body: &str| decode_json(body.as_bytes(), &limits).unwrap_err().to_string();
    assert!(json(r#"{"streams":[{"values":[[1700000000, "x"]]}]}"#).contains("invalid type: integer"));
    assert!(json(r#"{"streams":[{"values":[["soon", "x"]]}]}"#).contains("no time in nanoseconds"));
    assert!(json(r#"{"streams":[{"values":[["1"]]}]}"#).contains("invalid length 1"));
    let error = decode_protobuf(&pushed("{}"), 10, &limits).unwrap_err();
    assert!(matches!(error, LokiError::TooLarge { .. }), "{error}");
    assert!(matches!(
        decode_protobuf(b"\xff\xff\xff", 10, &limits),
        Err(LokiError::BadSnappy(_))
    ));
    let found = decode_protobuf(&pushed("cart"), 1 << 20, &limits).unwrap();
    assert_eq!(
        (found.logs.len(), found.rejections[0].reason),
        (0, RejectReason::BadLabels)
    );
    let timeless = decode_json(br#"{"streams":[{"values":[["0", "x"]]}]}"#, &limits).unwrap();
    assert_eq!(
        (timeless.logs.len(), timeless.rejections[0].reason),
        (0, RejectReason::Malformed)
    );
}

proptest! {
    #[test]
    fn no_bytes_break_it(body in prop::collection::vec(any::<u8>(), 0..300), labels in "\\{?[a-z]{0,3}=?\"?[a-z\\\\\"]{0,8}\"?\\}?") {
        let limits = SignalLimits::default();
        let packed = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        let _ = decode_protobuf(&packed, 1 << 20, &limits);
        let _ = decode_protobuf(&body, 1 << 20, &limits);
        let _ = decode_json(&body, &limits);
        let _ = parse_labels(&labels);
    }
}
