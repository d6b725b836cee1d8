//! OTLP, Loki and JSON logs from the door to the answer of a question, and across restarts.

use super::*;
use crate::ingest::otlp::Encoding;
use crate::pipeline::Payload;
use serde_json::{Value, json};
use wire::signal::{LogRecord, SignalFilter};
use wire::status::Source;

const NOW_MS: i64 = 1_700_000_000_000;

fn nanos(ago_secs: i64) -> String {
    format!("{}000000", NOW_MS - ago_secs * 1000)
}

async fn take(engine: &Arc<Engine>, payload: Payload, body: &Value) -> IngestReport {
    engine.take(payload, body.to_string().as_bytes()).await.unwrap()
}

async fn logs(engine: &Arc<Engine>) -> Vec<LogRecord> {
    let query = Query::Logs(SignalFilter::default());
    match engine.handle(operator()).query(query).await.unwrap() {
        Reply::Logs(page) => page.records,
        other => panic!("logs were asked for, not {other:?}"),
    }
}

/// What a source has told, once the coordinator has published it.
async fn source(engine: &Arc<Engine>, name: &str, is_there: impl Fn(&Source) -> bool) -> Source {
    let mut events = engine.handle(operator()).watch().await.unwrap();
    loop {
        let status = engine.status();
        if let Some(source) = status.sources.iter().find(|s| s.name == name && is_there(s)) {
            return source.clone();
        }
        events.next().await.unwrap();
    }
}

fn requests(temporality: i32, points: &[(i64, i64, i64)]) -> Value {
    let points: Vec<_> = points
        .iter()
        .map(|(start, at, value)| json!({"asInt": value, "startTimeUnixNano": nanos(*start), "timeUnixNano": nanos(*at)}))
        .collect();
    json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
        "scopeMetrics": [{"metrics": [{"name": "requests", "sum": {
            "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points
        }}]}]
    }]})
}

async fn stored(engine: &Arc<Engine>) -> Vec<(i64, f64)> {
    let query = Query::SeriesList {
        search: "requests_total".to_owned(),
        entity: Some("cart".into()),
        limit: None,
    };
    let Reply::SeriesList(list) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a list was asked for")
    };
    let [series] = list.as_slice() else {
        panic!("one series was sent: {list:?}")
    };
    assert_eq!(series.info.kind, wire::series::SeriesKind::Counter);
    let (reply, answer) = tokio::sync::oneshot::channel();
    let id = series.info.id;
    let (from, to) = (Timestamp(0), Timestamp(i64::MAX));
    let slice = ShardMessage::Slice { id, from, to, reply };
    engine.to_shard(engine.shard_of(id), slice).await.unwrap();
    let samples = answer.await.unwrap().unwrap().unwrap().samples;
    samples
        .into_iter()
        .map(|(at, value)| ((at.0 - NOW_MS) / 1000, value))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_are_stored_as_totals_also_when_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let payload = Payload::OtlpMetrics(Encoding::Json);
    assert_eq!(
        take(&engine, payload, &requests(1, &[(60, 50, 2), (50, 40, 3)]))
            .await
            .accepted,
        2
    );
    let again = take(&engine, payload, &requests(1, &[(50, 40, 3), (40, 30, 1)])).await;
    assert_eq!(
        (again.accepted, again.rejections[0].reason),
        (1, RejectReason::Duplicate)
    );
    assert_eq!(stored(&engine).await, [(-50, 2.0), (-40, 5.0), (-30, 6.0)]);
    let seen = source(&engine, "otlp", |s| s.samples == 3 && !s.rejected.is_empty()).await;
    assert_eq!(seen.rejected, [("duplicate".to_owned(), 1)]);
    assert!(
        engine
            .metrics_text()
            .contains("halo_source_rejected_total{source=\"otlp\",reason=\"duplicate\"} 1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_that_started_over_unseen_gets_its_zero() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let payload = Payload::OtlpMetrics(Encoding::Json);
    take(&engine, payload, &requests(2, &[(90, 50, 100)])).await;
    take(&engine, payload, &requests(2, &[(45, 40, 110)])).await;
    assert_eq!(stored(&engine).await, [(-50, 100.0), (-45, 0.0), (-40, 110.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_every_protocol_are_found_again_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let otlp = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
        "scopeLogs": [{"logRecords": [
            {"timeUnixNano": nanos(3), "severityNumber": 17, "body": {"stringValue": "by otlp"}},
            {"timeUnixNano": nanos(-3600), "body": {"stringValue": "tomorrow"}},
            {"timeUnixNano": nanos(48 * 3600), "body": {"stringValue": "long ago"}}
        ]}]
    }]});
    let report = take(&engine, Payload::OtlpLogs(Encoding::Json), &otlp).await;
    let reasons: Vec<_> = report.rejections.iter().map(|r| (r.reason, r.samples)).collect();
    assert_eq!(report.accepted, 1);
    assert_eq!(reasons, [(RejectReason::TooFarInFuture, 1), (RejectReason::TooOld, 1)]);
    let loki = json!({"streams": [{"stream": {"app": "pay"}, "values": [[nanos(2), "by loki"]]}]});
    assert_eq!(take(&engine, Payload::Loki(Encoding::Json), &loki).await.accepted, 1);
    let again = take(&engine, Payload::Loki(Encoding::Json), &loki).await;
    assert_eq!(
        (again.accepted, again.rejections[0].reason),
        (0, RejectReason::Duplicate)
    );
    assert_eq!(
        take(&engine, Payload::JsonLogs, &json!({"log": "by json", "tag": "app"}))
            .await
            .accepted,
        1
    );
    let texts: Vec<_> = logs(&engine)
        .await
        .into_iter()
        .map(|log| (log.service, log.text))
        .collect();
    let expected = [("app", "by json"), ("pay", "by loki"), ("cart", "by otlp")];
    assert_eq!(
        texts,
        expected.map(|(service, text)| (service.to_owned(), text.to_owned()))
    );
    let seen = source(&engine, "otlp_logs", |s| s.records == 1).await;
    assert_eq!(seen.rejected.iter().map(|(_, n)| n).sum::<u64>(), 2);
    assert_eq!(
        source(&engine, "loki", |s| s.records == 1).await.rejected,
        [("duplicate".to_owned(), 1)]
    );
    engine.shutdown().await;
    let refused = engine.take(Payload::JsonLogs, b"{\"log\": \"late\"}").await;
    assert!(matches!(refused, Err(TakeError::Engine(Error::Unavailable(_)))));
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(logs(&engine).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_failed_are_kept_and_found_by_their_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.signals.limits.success_share = 0.0;
    let engine = start(config).await;
    let span = |id: &str, code: i32| {
        json!({"traceId": "000102030405060708090a0b0c0d0e0f", "spanId": id, "name": "pay",
            "startTimeUnixNano": nanos(2), "endTimeUnixNano": nanos(1), "status": {"code": code}})
    };
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        span("0000000000000001", 2), span("0000000000000002", 1)
    ]}]}]});
    let report = take(&engine, Payload::OtlpSpans(Encoding::Json), &request).await;
    assert_eq!(
        (report.accepted, report.rejections[0].reason),
        (1, RejectReason::SampledOut)
    );
    let query = Query::Spans(SignalFilter {
        trace_id: Some("000102030405060708090A0B0C0D0E0F".to_owned()),
        ..SignalFilter::default()
    });
    let Reply::Spans(page) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("spans were asked for")
    };
    assert_eq!(page.records.len(), 1);
    assert_eq!(
        (page.records[0].span_id.as_str(), page.records[0].duration_us),
        ("0000000000000001", 1_000_000)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_to_be_kept_is_counted_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.signals.retention.logs.age_ms = 0;
    let engine = start(config).await;
    assert_eq!(take(&engine, Payload::JsonLogs, &json!({"log": "x"})).await.accepted, 1);
    assert!(logs(&engine).await.is_empty());
    source(&engine, "json_logs", |s| s.records == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_nobody_gave_out_is_a_bad_question() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let query = Query::Logs(SignalFilter {
        page: Some("two".to_owned()),
        ..SignalFilter::default()
    });
    let error = engine.handle(operator()).query(query).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_find_no_room_come_again_and_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let room = engine.intake.take_room();
    let refused = engine.take(Payload::JsonLogs, b"{\"log\": \"x\"}").await;
    assert!(
        matches!(refused, Err(TakeError::Engine(Error::Unavailable(_)))),
        "{refused:?}"
    );
    assert!(logs(&engine).await.is_empty());
    drop(room);
    assert_eq!(take(&engine, Payload::JsonLogs, &json!({"log": "x"})).await.accepted, 1);
    assert_eq!(logs(&engine).await.len(), 1);
}
