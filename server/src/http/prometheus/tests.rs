//! The envelope, the parameters and the statuses of Prometheus' interface, against an engine with samples in it.

use super::*;
use crate::auth::Auth;
use crate::auth::tokens::TokenFile;
use crate::http::{ServeConfig, router};
use axum::body::Body;
use axum::http::Request;
use engine::clock::ManualClock;
use engine::config::Config;
use engine::ingest::IngestBatch;
use engine::pipeline::Engine;
use engine::series::{Labels, MetricType, Sample, info_from_labels};
use std::sync::Arc;
use tower::ServiceExt as _;

const NOW: i64 = 1_700_000_000_000;

/// Two gauges and a counter of the last two minutes.
async fn app(dir: &std::path::Path) -> Router {
    let engine = Engine::start(Config::new(dir), Arc::new(ManualClock::new(Timestamp(NOW))))
        .await
        .unwrap();
    let mut batch = IngestBatch::default();
    for (metric, instance, slope) in [
        ("load", "a:1", 0.0),
        ("load", "b:1", 1.0),
        ("requests_total", "a:1", 3.0),
    ] {
        let pairs = [("__name__", metric), ("instance", instance), ("job", "node")];
        let info = info_from_labels(&Labels::new(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()));
        batch.samples.extend((0..9).map(|n| Sample {
            series: info.id,
            at: Timestamp(NOW - (8 - n) * 15_000),
            value: 0.5 + slope * n as f64,
        }));
        batch.new_series.push(info);
    }
    batch.types.push((
        "requests_total".to_owned(),
        Metadata::new(MetricType::Counter, "Requests.", "1"),
    ));
    assert_eq!(engine.ingest("test", batch).await.unwrap().accepted, 27);
    let auth = Auth::new(([127, 0, 0, 1], 7700).into(), false, TokenFile::open(dir).unwrap()).unwrap();
    router(ServeConfig::new(auth), engine, tokio::sync::watch::channel(false).1)
}

async fn send(app: &Router, request: axum::http::request::Builder, body: &str) -> (u16, Value) {
    let request = request
        .header("host", "127.0.0.1:7700")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn ask(app: &Router, path: &str) -> (u16, Value) {
    send(app, Request::get(format!("/api/v1/{path}")), "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_as_prometheus_answers() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    let load = |instance: &str, value: &str| json!({ "metric": { "__name__": "load", "instance": instance, "job": "node" }, "value": [NOW / 1000, value] });
    let (status, answer) = ask(&app, "query?query=load").await;
    assert_eq!(status, 200);
    let result = json!([load("a:1", "0.5"), load("b:1", "8.5")]);
    assert_eq!(
        answer,
        json!({ "status": "success", "data": { "resultType": "vector", "result": result } })
    );

    let form = Request::post("/api/v1/query").header("content-type", "application/x-www-form-urlencoded");
    let (status, answer) = send(&app, form, "query=sum%28load%29&time=1699999985.5").await;
    assert_eq!(
        (status, &answer["data"]["result"]),
        (200, &json!([{ "metric": {}, "value": [1_699_999_985.5, "8"] }]))
    );

    let range = "query_range?query=rate(requests_total[1m])&start=1699999970&end=2023-11-14T22:13:20Z&step=15s";
    let (status, answer) = ask(&app, range).await;
    assert_eq!(status, 200, "{answer}");
    let values: Vec<_> = [1_699_999_970, 1_699_999_985, 1_700_000_000]
        .map(|at| json!([at, "0.19999999999999998"]))
        .into();
    let rate = json!([{ "metric": { "instance": "a:1", "job": "node" }, "values": values }]);
    assert_eq!(answer["data"], json!({ "resultType": "matrix", "result": rate }));

    assert_eq!(
        ask(&app, "labels").await.1["data"],
        json!(["__name__", "instance", "job"])
    );
    assert_eq!(
        ask(&app, "label/instance/values").await.1["data"],
        json!(["a:1", "b:1"])
    );
    let some = "label/__name__/values?match[]=%7Binstance%3D%22b%3A1%22%7D";
    assert_eq!(ask(&app, some).await.1["data"], json!(["load"]));
    let series = ask(&app, "series?match[]=load&match[]=nothing&limit=1").await.1;
    assert_eq!(
        series["data"],
        json!([{ "__name__": "load", "instance": "a:1", "job": "node" }])
    );
    let metadata = ask(&app, "metadata").await.1;
    assert_eq!(
        metadata["data"]["requests_total"],
        json!([{ "type": "counter", "help": "Requests.", "unit": "1" }])
    );
    assert_eq!(ask(&app, "status/buildinfo").await.1["data"]["version"], API_VERSION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    for (path, status, kind, part) in [
        ("query?query=load%7B", 400, "bad_data", "query"),
        ("query", 400, "bad_data", "query"),
        ("query?query=load&time=noon", 400, "bad_data", "\"time\""),
        ("query?query=load&timeout=soon", 400, "bad_data", "\"timeout\""),
        ("query_range?query=load&start=1&end=2", 400, "bad_data", "step"),
        ("query_range?query=load&start=2&end=1&step=1", 400, "bad_data", "end"),
        ("query_range?query=load&start=1&step=1", 400, "bad_data", "\"end\""),
        (
            "query_range?query=load&start=1&end=20000&step=1",
            400,
            "bad_data",
            "11,000",
        ),
        ("series", 400, "bad_data", "match[]"),
        ("series?match[]=sum(load)", 400, "bad_data", "selector"),
        ("query?query=rate(load[1m:5s])", 422, "execution", "subqueries"),
        ("query?query=load%2Bon(job)load", 422, "execution", "duplicate series"),
    ] {
        let (got, answer) = ask(&app, path).await;
        assert_eq!(
            (got, &answer["status"], &answer["errorType"]),
            (status, &json!("error"), &json!(kind)),
            "{path}"
        );
        assert!(answer["error"].as_str().unwrap().contains(part), "{path}: {answer}");
    }
}

#[test]
fn durations_are_those_of_prometheus() {
    let cases = [
        ("15s", 15e3),
        ("1h30m", 5.4e6),
        ("5ms", 5.0),
        ("1d", 8.64e7),
        ("2w", 1.2096e9),
    ];
    for (text, millis) in cases {
        assert_eq!(duration_ms(text), Some(millis), "{text}");
    }
    for bad in ["", "5", "s", "1x", "-1s", "1m 2s"] {
        assert_eq!(duration_ms(bad), None, "{bad}");
    }
}
