//! Deliveries of Firehose as AWS documents them: what is taken, and what Firehose reads of the answer.

use super::*;
use axum::http::HeaderMap as Headers;
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

const ID: &str = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f";
const PATH: &str = "/api/webhooks/firehose";
const KEY: (&str, &str) = ("x-amz-firehose-access-key", "stream key");
const NAMED: (&str, &str) = ("x-amz-firehose-request-id", ID);

fn body(id: &str, records: &[&str]) -> Vec<u8> {
    let encode = |text: &&str| json!({"data": base64::engine::general_purpose::STANDARD.encode(text)});
    let records: Vec<_> = records.iter().map(encode).collect();
    let body = json!({"requestId": id, "timestamp": 1_578_090_901_599_i64, "records": records});
    body.to_string().into_bytes()
}

fn line(count: u32) -> String {
    let datum = json!({
        "metric_stream_name": "s", "account_id": "1234567890", "region": "us-east-1", "namespace": "AWS/EC2",
        "metric_name": "CPUUtilization", "dimensions": {"InstanceId": "i-1"}, "timestamp": NOW - 60_000,
        "value": {"count": count, "sum": 20.0, "max": 18.0, "min": 0.0}, "unit": "Percent"
    });
    format!("{datum}\n")
}

/// Sent as by a proxy that would like a compressed answer.
async fn send(place: &Place, headers: &[(&str, &str)], body: &[u8]) -> (u16, Headers, Value) {
    let mut request = Request::builder()
        .method("POST")
        .uri(PATH)
        .header("host", "127.0.0.1:7700")
        .header("accept-encoding", "gzip")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_vec())).unwrap();
    let (parts, body) = place.app.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    assert_eq!(parts.headers["content-type"], "application/json");
    assert!(!parts.headers.contains_key("content-encoding"), "{:?}", parts.headers);
    (
        parts.status.as_u16(),
        parts.headers,
        serde_json::from_slice(&body).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_taken_once_and_answered_exactly() {
    let place = Place::new(secrets()).await;
    let plain = body(ID, &[&line(3), &line(3)]);
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&plain).unwrap();
    let zipped = zipped.finish().unwrap();
    let attributes = (
        "x-amz-firehose-common-attributes",
        r#"{"commonAttributes":{"env":"prod"}}"#,
    );
    let headers = [KEY, NAMED, attributes, ("content-encoding", "gzip")];
    let (status, headers, answer) = send(&place, &headers, &zipped).await;
    assert_eq!((status, &answer), (200, &json!({"requestId": ID, "timestamp": NOW})));
    assert_eq!(headers["content-length"], answer.to_string().len().to_string());
    let list = Query::SeriesList {
        search: "aws_ec2".into(),
        entity: None,
        limit: None,
    };
    let local = crate::auth::local_identity();
    let Reply::SeriesList(list) = place.engine.handle(local).query(list).await.unwrap() else {
        panic!("not a list")
    };
    let mut names: Vec<_> = list.iter().map(|series| series.info.metric.as_str()).collect();
    names.sort_unstable();
    let expected = ["average", "maximum", "minimum", "sample_count", "sum"];
    assert_eq!(
        names,
        expected.map(|statistic| format!("aws_ec2_cpuutilization_{statistic}"))
    );
    let info = &list[0].info;
    assert!(info.labels.contains(&("env".to_owned(), "prod".to_owned())), "{info:?}");
    assert!(
        list.iter()
            .all(|series| series.info.kind == wire::series::SeriesKind::Gauge)
    );
    assert_eq!(info.entity.as_str(), "i-1");

    // Firehose did not hear it, and sends again: not even looked into.
    let (status, _, answer) = send(&place, &[KEY, NAMED], b"anything").await;
    assert_eq!((status, answer), (200, json!({"requestId": ID, "timestamp": NOW})));
    // Five of the second record, and the repeated request.
    place
        .counted("halo_source_rejected_total{source=\"cloudwatch\",reason=\"duplicate\"} 6")
        .await;
    place
        .counted("halo_source_samples_total{source=\"cloudwatch\"} 5")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_key_is_told_in_the_form_that_firehose_reads() {
    let place = Place::new(secrets()).await;
    let plain = body(ID, &[&line(3)]);
    for key in [
        None,
        Some(("x-amz-firehose-access-key", "other")),
        Some(("x-amz-firehose-access-key", "")),
    ] {
        let mut headers = vec![NAMED];
        headers.extend(key);
        let (status, _, answer) = send(&place, &headers, &plain).await;
        assert_eq!((status, answer["requestId"].as_str()), (401, Some(ID)), "{answer}");
        let message = answer["errorMessage"].as_str().unwrap();
        assert!(
            message.contains("webhooks.firehose") && !message.contains("stream key"),
            "{message}"
        );
    }
    place
        .counted("halo_source_rejected_total{source=\"cloudwatch\",reason=\"unauthenticated\"} 3")
        .await;
    let off = Place::new(WebhookSecrets::default()).await;
    let (status, _, answer) = send(&off, &[KEY, NAMED], &plain).await;
    let message = answer["errorMessage"].as_str().unwrap();
    assert!(status == 404 && message.contains("[webhooks.firehose]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_a_bad_part_is_counted() {
    let place = Place::new(secrets()).await;
    let check = async |headers: &[(&str, &str)], body: &[u8], status: u16, expected: &str| {
        let mut all = vec![KEY];
        all.extend(headers);
        let (got, _, answer) = send(&place, &all, body).await;
        let message = answer["errorMessage"].as_str().unwrap_or_default();
        assert!(got == status && message.contains(expected), "{got} {answer}");
    };
    check(&[], b"{", 400, "no request of Firehose").await;
    check(
        &[NAMED],
        &body("other", &[]),
        400,
        "the header X-Amz-Firehose-Request-Id says",
    )
    .await;
    check(&[("content-encoding", "br")], b"x", 415, "br").await;
    check(&[("content-encoding", "gzip")], b"x", 400, "not gzip").await;
    let bad = ("x-amz-firehose-common-attributes", "{}");
    check(&[bad], &body(ID, &[]), 400, "Common-Attributes").await;
    check(
        &[],
        &body(ID, &["nonsense"]),
        400,
        "none of 1 records is of a metric stream",
    )
    .await;
    // Refused, so not remembered: the same request with something of use in it is taken.
    check(&[], &body(ID, &["nonsense", &line(2)]), 200, "").await;
    place
        .counted("halo_source_samples_total{source=\"cloudwatch\"} 5")
        .await;
    place
        .counted("halo_source_rejected_total{source=\"cloudwatch\",reason=\"malformed\"} 6")
        .await;
}
