//! Payloads as AWS documents them, built by hand.

use super::firehose::{FirehoseError, Request, common_attributes};
use super::*;
use crate::ingest::registry::Registry;
use crate::ingest::{RejectReason, Rejection};
use base64::Engine as _;
use std::collections::BTreeMap;

/// The first two lines of the example in "CloudWatch metric stream output in JSON format", with percentiles as "additional
/// statistics" are documented.
const JSON: &str = concat!(
    r#"{"metric_stream_name":"MyMetricStream","account_id":"1234567890","region":"us-east-1","namespace":"AWS/EC2","metric_name":"DiskWriteOps","dimensions":{"InstanceId":"i-123456789012"},"timestamp":1611929698000,"value":{"count":3.0,"sum":20.0,"max":18.0,"min":0.0,"p99":17.56,"p99.9":17.8764,"TM(25%:75%)":16.43},"unit":"Seconds"}"#,
    "\n",
    r#"{"metric_stream_name":"MyMetricStream","account_id":"1234567890","region":"us-east-1","namespace":"AWS/Usage","metric_name":"CallCount","dimensions":{},"timestamp":1611929698000,"value":{"count":0.0,"sum":0.0,"max":0.0,"min":0.0},"unit":"None"}"#,
    "\n"
);

fn body(records: &[&[u8]]) -> Vec<u8> {
    let encode = |data: &&[u8]| {
        format!(
            r#"{{"data":"{}"}}"#,
            base64::engine::general_purpose::STANDARD.encode(data)
        )
    };
    let records: Vec<_> = records.iter().map(encode).collect();
    format!(
        r#"{{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":1578090901599,"records":[{}]}}"#,
        records.join(",")
    )
    .into_bytes()
}

fn decode(records: &[&[u8]], common: &[(String, String)]) -> (IngestBatch, u64) {
    let body = body(records);
    let request = Request::parse(&body, None).unwrap();
    assert_eq!(request.records(), records.len());
    let delivery = request.decode(common, &Registry::default());
    (delivery.batch, delivery.bad_records)
}

/// Every sample by the name of its series.
fn named(batch: &IngestBatch) -> BTreeMap<String, (i64, f64)> {
    let name = |sample: &Sample| {
        let info = batch.new_series.iter().find(|info| info.id == sample.series).unwrap();
        let labels = info.labels.iter().map(|(name, value)| format!("{name}={value}"));
        format!("{}{{{}}}", info.metric, labels.collect::<Vec<_>>().join(","))
    };
    let samples = batch.samples.iter();
    samples
        .map(|sample| (name(sample), (sample.at.as_millis(), sample.value)))
        .collect()
}

#[track_caller]
fn check(batch: &IngestBatch, labels: &str, expected: &[(&str, f64)], at: i64) {
    let found = named(batch);
    for (name, value) in expected {
        assert_eq!(
            found.get(&format!("{name}{{{labels}}}")),
            Some(&(at, *value)),
            "{name} in {found:#?}"
        );
    }
    let of_these_labels = found.keys().filter(|name| name.ends_with(&format!("{{{labels}}}")));
    assert_eq!(of_these_labels.count(), expected.len(), "{found:#?}");
}

#[test]
fn the_documented_json_becomes_a_series_for_each_statistic() {
    let (batch, bad) = decode(&[JSON.as_bytes()], &[]);
    assert_eq!((bad, batch.rejections.as_slice()), (0, &[][..]));
    let at = 1_611_929_698_000;
    check(
        &batch,
        "account_id=1234567890,dimension_InstanceId=i-123456789012,region=us-east-1",
        &[
            ("aws_ec2_disk_write_ops_sample_count", 3.0),
            ("aws_ec2_disk_write_ops_sum", 20.0),
            ("aws_ec2_disk_write_ops_average", 20.0 / 3.0),
            ("aws_ec2_disk_write_ops_minimum", 0.0),
            ("aws_ec2_disk_write_ops_maximum", 18.0),
            ("aws_ec2_disk_write_ops_p99", 17.56),
            ("aws_ec2_disk_write_ops_p99_9", 17.8764),
            ("aws_ec2_disk_write_ops_tm_25_percent_75_percent", 16.43),
        ],
        at,
    );
    // Nothing divided by nothing is no average.
    check(
        &batch,
        "account_id=1234567890,region=us-east-1",
        &[
            ("aws_usage_call_count_sample_count", 0.0),
            ("aws_usage_call_count_sum", 0.0),
            ("aws_usage_call_count_minimum", 0.0),
            ("aws_usage_call_count_maximum", 0.0),
        ],
        at,
    );
    let entities: BTreeSet<_> = batch.new_series.iter().map(|info| info.entity.as_str()).collect();
    assert_eq!(entities, BTreeSet::from(["AWS/Usage", "i-123456789012"]));
    assert_eq!(batch.types.len(), 12);
    assert!(batch.types.iter().all(|(_, of)| of.kind == MetricType::Gauge));
}

#[test]
fn attributes_of_the_stream_are_labels_and_replace_none() {
    let common = common_attributes(r#"{"commonAttributes":{"env":"prod","region":"elsewhere"}}"#).unwrap();
    let (batch, _) = decode(&[JSON.as_bytes()], &common);
    let labels = "account_id=1234567890,env=prod,region=us-east-1";
    assert!(named(&batch).contains_key(&format!("aws_usage_call_count_sum{{{labels}}}")));
    for bad in [
        "",
        "{}",
        r#"{"commonAttributes":{"a":1}}"#,
        &format!(
            r#"{{"commonAttributes":{{{}}}}}"#,
            (0..51).map(|n| format!(r#""a{n}":"b""#)).collect::<Vec<_>>().join(",")
        ),
    ] {
        assert!(
            matches!(common_attributes(bad), Err(FirehoseError::BadAttributes(_))),
            "{bad}"
        );
    }
}

/// Protobuf by hand: the number of a field and its bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(bytes.len()));
    out.extend_from_slice(bytes);
    out
}

fn fixed(number: u8, bits: u64) -> Vec<u8> {
    [vec![number << 3 | 1], bits.to_le_bytes().to_vec()].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat()
}

fn label(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value.as_bytes())].concat()
}

/// The example in "CloudWatch metric stream output in OpenTelemetry 1.0.0 format"; with labels, in 0.7.0 format.
fn otlp(is_1_0: bool) -> Vec<u8> {
    let resource = [
        attribute("cloud.provider", "aws"),
        attribute("cloud.account.id", "123456789012"),
        attribute("cloud.region", "us-east-1"),
        attribute(
            "aws.exporter.arn",
            "arn:aws:cloudwatch:us-east-1:123456789012:metric-stream/MyMetricStream",
        ),
    ];
    let resource: Vec<u8> = resource.iter().flat_map(|pair| field(1, pair)).collect();
    let quantile =
        |quantile: f64, value: f64| field(6, &[fixed(1, quantile.to_bits()), fixed(2, value.to_bits())].concat());
    let about = if is_1_0 {
        let dimensions = [attribute("TableName", "MyTable"), attribute("Operation", "Get")];
        let map: Vec<u8> = dimensions.iter().flat_map(|pair| field(1, pair)).collect();
        let dimensions = [field(1, b"Dimensions"), field(2, &field(6, &map))].concat();
        let pairs = [
            attribute("Namespace", "AWS/DynamoDB"),
            attribute("MetricName", "ConsumedReadCapacityUnits"),
            dimensions,
        ];
        pairs.iter().flat_map(|pair| field(7, pair)).collect::<Vec<u8>>()
    } else {
        let pairs = [
            label("Namespace", "AWS/DynamoDB"),
            label("MetricName", "ConsumedReadCapacityUnits"),
            label("TableName", "MyTable"),
            label("Operation", "Get"),
        ];
        pairs.iter().flat_map(|pair| field(1, pair)).collect()
    };
    let point = [
        about,
        fixed(2, 1_604_948_400_000_000_000),
        fixed(3, 1_604_948_460_000_000_000),
        fixed(4, 2),
        fixed(5, 3.0f64.to_bits()),
        quantile(0.0, 1.0),
        quantile(0.95, 1.9),
        quantile(0.999, 1.999),
        quantile(1.0, 2.0),
    ];
    let metric = [
        field(1, b"amazonaws.com/AWS/DynamoDB/ConsumedReadCapacityUnits"),
        field(3, b"1"),
        field(11, &field(1, &point.concat())),
    ];
    let metrics = [field(1, &resource), field(2, &field(2, &metric.concat()))].concat();
    let request = field(1, &metrics);
    [varint(request.len()), request].concat()
}

#[test]
fn both_formats_of_opentelemetry_are_what_the_json_would_be() {
    for is_1_0 in [true, false] {
        // One record holds several requests.
        let one = otlp(is_1_0);
        let (batch, bad) = decode(&[&[one.clone(), one].concat()], &[]);
        assert_eq!((bad, batch.rejections.as_slice()), (0, &[][..]));
        check(
            &batch,
            "account_id=123456789012,dimension_Operation=Get,dimension_TableName=MyTable,region=us-east-1",
            &[
                ("aws_dynamodb_consumed_read_capacity_units_sample_count", 2.0),
                ("aws_dynamodb_consumed_read_capacity_units_sum", 3.0),
                ("aws_dynamodb_consumed_read_capacity_units_average", 1.5),
                ("aws_dynamodb_consumed_read_capacity_units_minimum", 1.0),
                ("aws_dynamodb_consumed_read_capacity_units_maximum", 2.0),
                ("aws_dynamodb_consumed_read_capacity_units_p95", 1.9),
                ("aws_dynamodb_consumed_read_capacity_units_p99_9", 1.999),
            ],
            1_604_948_400_000,
        );
        assert_eq!(batch.new_series.len(), 7);
        assert!(batch.new_series.iter().all(|info| info.entity.as_str() == "MyTable"));
    }
}

/// A request of 123 bytes begins with the byte of a brace.
#[test]
fn a_length_is_not_taken_for_json() {
    let padding = field(15, &[b'x'; 119]);
    let request = field(1, &padding);
    let record = [varint(request.len()), request].concat();
    assert_eq!(record[..2], [b'{', 0x0a]);
    let (batch, bad) = decode(&[&record], &[]);
    assert_eq!((bad, batch.rejections.len(), batch.samples.len()), (0, 0, 0));
}

#[test]
fn a_bad_record_is_refused_by_itself() {
    let mut cut = otlp(true);
    cut.truncate(cut.len() - 1);
    let unnamed = JSON.replace("AWS/Usage", "");
    let half = format!("{JSON}{{\"account_id\":1}}\n");
    let records: [&[u8]; 5] = [&cut, &[0x1f, 0x8b, 0], b"", unnamed.as_bytes(), half.as_bytes()];
    let (batch, bad) = decode(&records, &[]);
    assert_eq!(bad, 3);
    // Two times eight of the first line, four of the second.
    assert_eq!(batch.samples.len(), 8 + 8 + 4);
    let counts: Vec<_> = batch.rejections.iter().map(|r| (r.reason, r.samples)).collect();
    assert_eq!(counts, [(RejectReason::BadLabels, 4), (RejectReason::Malformed, 3)]);
    let Rejection { example, .. } = &batch.rejections[1];
    assert!(example.contains("neither JSON nor OpenTelemetry"), "{example}");
    let body = br#"{"requestId":"a","records":[{"data":"!"}]}"#;
    let delivery = Request::parse(body, Some("a"))
        .unwrap()
        .decode(&[], &Registry::default());
    assert!(
        delivery.batch.rejections[0].example.contains("not base64"),
        "{delivery:?}"
    );
}

#[test]
fn a_body_that_is_none_is_named() {
    let check = |body: &str, id: Option<&str>, expected: &str| {
        let error = Request::parse(body.as_bytes(), id).unwrap_err().to_string();
        assert!(error.contains(expected), "{body:.80}: {error}");
    };
    check("", None, "no request of Firehose");
    check(r#"{"requestId":"a"}"#, None, "records");
    check(
        r#"{"requestId":"a","records":[]}"#,
        Some("b"),
        "the header X-Amz-Firehose-Request-Id says \"b\"",
    );
    check(r#"{"requestId":"","records":[]}"#, None, "1 to 256 bytes");
    let many = vec![r#"{"data":""}"#; 10_001].join(",");
    check(
        &format!(r#"{{"requestId":"a","records":[{many}]}}"#),
        None,
        "10001 records",
    );
}

proptest::proptest! {
    #[test]
    fn no_record_breaks_the_decoder(record in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), at in 0usize..400, byte: u8) {
        decode(&[&record], &[]);
        // One byte of a good one is wrong.
        let mut good = otlp(true);
        let at = at % good.len();
        good[at] = byte;
        let (batch, _) = decode(&[&good], &[]);
        assert!(batch.samples.iter().all(|sample| sample.value.is_finite()));
    }
}
