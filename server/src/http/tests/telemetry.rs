//! OTLP over HTTP, Loki's push and JSON logs: which bytes reach the engine, and what their senders hear.

use super::*;
use crate::otlp::{ExportResponse, Status};
use engine::ingest::otlp::{Encoding, OtlpError};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use std::io::Write as _;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn app_that(outcome: Result<IngestReport, TakeError>) -> Router {
    let stub = Stub {
        take: Mutex::new(Some(outcome)),
        ..Stub::fine()
    };
    app_with(stub, &[]).0
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The bytes of an answer, which `send` reads as text.
async fn protobuf(app: &Router, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (StatusCode, Vec<u8>) {
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .header("host", "127.0.0.1:7700");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::from(body.to_vec())).unwrap());
    let (parts, body) = response.await.unwrap().into_parts();
    assert_eq!(parts.headers["content-type"], "application/x-protobuf");
    (
        parts.status,
        axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
    )
}

fn rejection(reason: RejectReason, samples: u64) -> Rejection {
    Rejection {
        reason,
        samples,
        example: "load".into(),
    }
}

#[tokio::test]
async fn every_route_hands_on_what_it_is() {
    let stub = Stub::fine();
    let taken = Arc::clone(&stub.taken);
    let app = app_with(stub, &[]).0;
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, payload: Payload| {
        let answer = send(&app, "POST", path, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {headers:?}: {}", answer.text);
        assert_eq!(taken.lock().unwrap().pop(), Some((payload, 5)), "{path} {headers:?}");
    };
    let zipped = gzipped(b"plain");
    for (path, make) in [
        ("/v1/metrics", Payload::OtlpMetrics as fn(Encoding) -> Payload),
        ("/v1/logs", Payload::OtlpLogs),
        ("/v1/traces", Payload::OtlpSpans),
        ("/api/v1/otlp/v1/metrics", Payload::OtlpMetrics),
        ("/otlp/v1/logs", Payload::OtlpLogs),
    ] {
        check(path, &[PROTOBUF], b"plain", 200, make(Encoding::Protobuf)).await;
        check(path, &[PROTOBUF, GZIP], &zipped, 200, make(Encoding::Protobuf)).await;
        check(
            path,
            &[("content-type", "application/json; charset=utf-8")],
            b"plain",
            200,
            make(Encoding::Json),
        )
        .await;
    }
    let loki = "/loki/api/v1/push";
    check(loki, &[JSON], b"plain", 204, Payload::Loki(Encoding::Json)).await;
    check(loki, &[JSON, GZIP], &zipped, 204, Payload::Loki(Encoding::Json)).await;
    check(loki, &[PROTOBUF], b"plain", 204, Payload::Loki(Encoding::Protobuf)).await;
    let snappy = ("content-encoding", "snappy");
    check(
        loki,
        &[PROTOBUF, snappy],
        b"plain",
        204,
        Payload::Loki(Encoding::Protobuf),
    )
    .await;
    check("/api/logs/json", &[JSON], b"plain", 204, Payload::JsonLogs).await;
    let lines = ("content-type", "application/x-ndjson");
    check("/api/logs/json", &[lines, GZIP], &zipped, 204, Payload::JsonLogs).await;
}

#[tokio::test]
async fn an_answer_has_the_type_of_its_request() {
    let report = || {
        Ok(IngestReport {
            accepted: 3,
            rejections: vec![
                rejection(RejectReason::Duplicate, 9),
                rejection(RejectReason::TooOld, 2),
            ],
        })
    };
    let message = "2 of 5 spans refused: 2 too_old (load)";
    let answer = send(&app_that(report()), "POST", "/v1/traces", &[JSON], b"{}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (
            200,
            json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage": message}})
        )
    );
    let (status, body) = protobuf(&app_that(report()), "/v1/traces", &[PROTOBUF], b"").await;
    let partial = ExportResponse::decode(&*body).unwrap().partial_success.unwrap();
    assert_eq!(
        (status.as_u16(), partial.rejected, partial.message.as_str()),
        (200, 2, message)
    );
    // Whole: nothing is said.
    let (status, body) = protobuf(&app(), "/v1/metrics", &[PROTOBUF], b"").await;
    assert_eq!((status.as_u16(), body.len()), (200, 0));
    assert_eq!(
        send(&app(), "POST", "/v1/metrics", &[JSON], b"{}").await.json(),
        json!({})
    );
    // A warning refuses nothing.
    let cut = Ok(IngestReport {
        accepted: 3,
        rejections: vec![rejection(RejectReason::Truncated, 1)],
    });
    let answer = send(&app_that(cut), "POST", "/v1/logs", &[JSON], b"{}").await;
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "0");
    assert_eq!(
        answer.json()["partialSuccess"]["errorMessage"],
        "1 of 3 log records cut: 1 truncated (load)"
    );
}

#[tokio::test]
async fn a_refusal_is_a_status() {
    let check = async |error: TakeError, status: u16, code: i32, retry: bool| {
        let shown = error.to_string();
        let answer = send(&app_that(Err(error)), "POST", "/v1/metrics", &[JSON], b"{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, json!({"code": code, "message": shown}))
        );
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{shown}");
    };
    check(OtlpError::TooManyObjects.into(), 400, 3, false).await;
    check(engine::Error::Unavailable("full".into()).into(), 503, 14, true).await;
    let damaged = engine::Error::Corrupt {
        place: "log".into(),
        message: "torn".into(),
    };
    check(damaged.into(), 500, 13, false).await;
    let error = engine::Error::Unavailable("full".into());
    let (status, body) = protobuf(&app_that(Err(error.into())), "/v1/metrics", &[PROTOBUF], b"").await;
    let told = Status::decode(&*body).unwrap();
    assert_eq!(
        (status.as_u16(), told.code, told.message.as_str()),
        (503, 14, "unavailable: full")
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told_apart() {
    let app = app();
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, part: &str| {
        let answer = send(&app, "POST", path, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {headers:?}: {}", answer.text);
        assert!(answer.text.contains(part), "{path} {headers:?}: {}", answer.text);
    };
    for path in ["/v1/metrics", "/loki/api/v1/push", "/api/logs/json"] {
        check(path, &[("content-type", "text/plain")], b"", 415, "text/plain").await;
        check(path, &[JSON, ("content-encoding", "br")], b"", 415, "br").await;
        check(path, &[JSON, GZIP], b"plain", 400, "not gzip").await;
        check(path, &[JSON], &[b' '; 1001], 413, "limits.max_request_mb").await;
        check(
            path,
            &[JSON, ("content-length", "1001")],
            b"",
            413,
            "limits.max_request_mb",
        )
        .await;
        // Small on the wire, large after it.
        check(
            path,
            &[JSON, GZIP],
            &gzipped(&[b' '; 100_000]),
            413,
            "limits.max_request_mb",
        )
        .await;
        let answer = send(&app, "GET", path, &[], b"").await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()),
            (405, "POST")
        );
    }
}

#[tokio::test]
async fn tokens_and_roles_are_asked_for() {
    let (app, tokens) = app_with(Stub::fine(), &[Role::Viewer, Role::Operator]);
    let bearer: Vec<String> = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    for (path, fine) in [("/v1/logs", 200), ("/loki/api/v1/push", 204), ("/api/logs/json", 204)] {
        let none = send(&app, "POST", path, &[JSON], b"{}").await;
        assert_eq!(none.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            none.json()["message"].is_string() && none.headers.contains_key("www-authenticate"),
            "{path}"
        );
        for (value, status) in bearer.iter().zip([403, fine]) {
            let answer = send(&app, "POST", path, &[JSON, ("authorization", value)], b"{}").await;
            assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn senders_of_logs_hear_what_was_refused() {
    let check = async |outcome: Result<IngestReport, TakeError>, status: u16, text: &str, retry: bool| {
        let answer = send(&app_that(outcome), "POST", "/loki/api/v1/push", &[JSON], b"{}").await;
        assert_eq!((answer.status.as_u16(), answer.text.trim()), (status, text));
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{text}");
    };
    let report = |reason| {
        Ok(IngestReport {
            accepted: 3,
            rejections: vec![rejection(reason, 2)],
        })
    };
    check(report(RejectReason::Duplicate), 204, "", false).await;
    check(report(RejectReason::Truncated), 204, "", false).await;
    check(
        report(RejectReason::TooOld),
        400,
        "2 of 5 lines refused: 2 too_old (load)",
        false,
    )
    .await;
    let full = engine::Error::Unavailable("full".into());
    check(Err(full.into()), 503, "unavailable: full", true).await;
    let large = engine::ingest::loki::LokiError::TooLarge { bytes: 9, limit: 8 };
    let text = "the body is 9 bytes after decompression, the limit is 8: send less at once";
    check(Err(large.into()), 413, text, false).await;
}

#[tokio::test]
async fn writes_beyond_the_limit_come_again() {
    let file = TokenFile::open(std::path::Path::new("/nowhere")).unwrap();
    let mut config = ServeConfig::new(Auth::new(([127, 0, 0, 1], 0).into(), false, file).unwrap());
    config.write_limits.concurrent = 0;
    config.write_limits.patience = Duration::ZERO;
    let app = router(config, Arc::new(Stub::fine()), signal::channel(false).1);
    for path in ["/v1/metrics", "/loki/api/v1/push", "/api/logs/json"] {
        let answer = send(&app, "POST", path, &[JSON], b"{}").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
    }
}
