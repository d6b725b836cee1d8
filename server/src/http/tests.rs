//! Every status the routes promise, against a backend that answers what each test needs.

use super::*;
use crate::auth::tokens::TokenFile;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::ingest::prometheus::{DecodeError, Version};
use engine::ingest::registry::Registry;
use engine::ingest::{IngestBatch, RejectReason, Rejection};
use engine::pipeline::{IngestReport, Payload, Question, TakeError, Told, WriteError, WriteOutcome, Written};
use engine::promql::QueryError;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use std::sync::Mutex;
use tower::ServiceExt as _;
use wire::Timestamp;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::status::Role;
use wire::stream::{Delta, Event, Snapshot};

/// Answers what a test put in.
struct Stub {
    write: Mutex<Option<Result<IngestReport, WriteError>>>,
    take: Mutex<Option<Result<IngestReport, TakeError>>>,
    /// What was taken, and how many bytes of it.
    taken: Arc<Mutex<Vec<(Payload, usize)>>>,
    failure: Option<ErrorKind>,
    registry: Registry,
}

impl Stub {
    fn fine() -> Self {
        Self {
            write: Mutex::default(),
            take: Mutex::default(),
            taken: Arc::default(),
            failure: None,
            registry: Registry::default(),
        }
    }
}

#[async_trait]
impl Backend for Stub {
    fn handle(self: Arc<Self>, identity: Identity) -> Arc<dyn Handle> {
        Arc::new(StubHandle {
            identity,
            failure: self.failure,
        })
    }

    async fn remote_write(&self, _: Version, _: &[u8]) -> WriteOutcome {
        let result = self.write.lock().unwrap().take().unwrap_or_else(|| {
            Ok(IngestReport {
                accepted: 3,
                ..IngestReport::default()
            })
        });
        let written = Written {
            samples: 3,
            histograms: 2,
            exemplars: 1,
        };
        WriteOutcome { written, result }
    }

    async fn take(&self, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError> {
        self.taken.lock().unwrap().push((payload, body.len()));
        let outcome = self.take.lock().unwrap().take();
        outcome.unwrap_or_else(|| Ok(IngestReport::default()))
    }

    fn max_request_bytes(&self) -> usize {
        1000
    }

    async fn ingest(&self, _: &str, batch: IngestBatch) -> Result<IngestReport, engine::Error> {
        Ok(IngestReport {
            accepted: batch.samples.len() as u64,
            rejections: batch.rejections,
        })
    }

    async fn ask(&self, _: Question, _: Duration) -> Result<Told, QueryError> {
        Err(QueryError::Execution("as the test wishes".to_owned()))
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    async fn refused(&self, _: &str, _: &'static str, _: Vec<Rejection>) {}

    fn now(&self) -> Timestamp {
        Timestamp(1234)
    }

    fn metrics_text(&self) -> String {
        "# HELP halo_samples_total Samples.\n".to_owned()
    }
}

struct StubHandle {
    identity: Identity,
    failure: Option<ErrorKind>,
}

#[async_trait]
impl Handle for StubHandle {
    async fn query(&self, _: Query) -> Result<Reply, ApiError> {
        match self.failure {
            Some(kind) => Err(ApiError::new(kind, "as the test wishes")),
            None => Ok(Reply::SeriesList(Vec::new())),
        }
    }

    async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        Ok(Reply::Done(format!(
            "{}: {}",
            self.identity.name,
            serde_json::to_string(&command).unwrap()
        )))
    }

    async fn watch(&self) -> Result<BoxStream<'static, Event>, ApiError> {
        let snapshot = Event::Snapshot(Snapshot {
            seq: 7,
            ..Snapshot::default()
        });
        let delta = Event::Delta(Delta {
            seq: 8,
            ..Delta::default()
        });
        Ok(futures::stream::iter([snapshot, delta])
            .chain(futures::stream::pending())
            .boxed())
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn app_with(backend: Stub, tokens: &[Role]) -> (Router, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let file = TokenFile::open(dir.path()).unwrap();
    let made = tokens
        .iter()
        .map(|&role| file.create(crate::auth::role_name(role), role, Timestamp(0)).unwrap())
        .collect();
    // Read into memory before the folder goes.
    let auth = if tokens.is_empty() {
        Auth::new(([127, 0, 0, 1], 7700).into(), false, file).unwrap()
    } else {
        let kept = TokenFile::open(&dir.keep()).unwrap();
        Auth::new(([127, 0, 0, 1], 7700).into(), false, kept).unwrap()
    };
    let config = ServeConfig {
        receiver: Some(Receiver::default()),
        ..ServeConfig::new(auth)
    };
    (router(config, Arc::new(backend), signal::channel(false).1), made)
}

fn app() -> Router {
    app_with(Stub::fine(), &[]).0
}

async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:7700");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .clone()
        .oneshot(request.body(Body::from(body.to_vec())).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8_lossy(&axum::body::to_bytes(body, 1 << 20).await.unwrap()).into_owned();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn the_content_type_of_a_write_decides() {
    let app = app();
    let check = async |kind: Option<&str>, encoding: Option<&str>, status: u16, part: &str| {
        let headers: Vec<_> = [("content-type", kind), ("content-encoding", encoding)]
            .into_iter()
            .filter_map(|(n, v)| Some((n, v?)))
            .collect();
        let answer = send(&app, "POST", "/api/v1/write", &headers, b"x").await;
        assert_eq!(answer.status.as_u16(), status, "{kind:?} {encoding:?}: {}", answer.text);
        assert!(answer.text.contains(part), "{kind:?} {encoding:?}: {}", answer.text);
    };
    check(Some("application/x-protobuf"), Some("snappy"), 204, "").await;
    check(
        Some("application/x-protobuf;proto=prometheus.WriteRequest"),
        Some("snappy"),
        204,
        "",
    )
    .await;
    check(
        Some("application/x-protobuf; proto=\"prometheus.WriteRequest\""),
        Some("Snappy"),
        204,
        "",
    )
    .await;
    check(None, None, 204, "").await;
    check(
        Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        Some("snappy"),
        204,
        "",
    )
    .await;
    check(
        Some("application/x-protobuf;proto=other"),
        Some("snappy"),
        415,
        "\"other\"; this takes prometheus.WriteRequest and io.prometheus.write.v2.Request",
    )
    .await;
    check(Some("application/json"), Some("snappy"), 415, "application/x-protobuf").await;
    check(Some("text/plain"), None, 415, "text/plain").await;
    check(Some("application/x-protobuf"), Some("gzip"), 415, "snappy").await;
}

#[tokio::test]
async fn a_write_is_answered_by_what_became_of_it() {
    let check = async |outcome: Result<IngestReport, WriteError>, status: u16, text: &str, retry: bool| {
        let shown = format!("{outcome:?}");
        let (app, _) = app_with(
            Stub {
                write: Mutex::new(Some(outcome)),
                ..Stub::fine()
            },
            &[],
        );
        let answer = send(&app, "POST", "/api/v1/write", &[], b"x").await;
        assert_eq!((answer.status.as_u16(), answer.text.trim()), (status, text), "{shown}");
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{shown}");
    };
    let rejection = |reason, samples| Rejection {
        reason,
        samples,
        example: "up{job=\"a\"}".into(),
    };
    let report = |rejections| {
        Ok(IngestReport {
            accepted: 3,
            rejections,
        })
    };
    check(report(vec![]), 204, "", false).await;
    check(report(vec![rejection(RejectReason::Duplicate, 3)]), 204, "", false).await;
    let partial = vec![
        rejection(RejectReason::Duplicate, 3),
        rejection(RejectReason::TooFarInFuture, 2),
    ];
    check(
        report(partial),
        400,
        "2 of 5 samples refused: 2 too_far_in_future (up{job=\"a\"})",
        false,
    )
    .await;
    let decode = |error| Err(WriteError::Decode(error));
    let snappy = "the body is not a snappy block: bad header; remote write uses the block format, not the framed one";
    check(decode(DecodeError::BadSnappy("bad header".into())), 400, snappy, false).await;
    let protobuf = "the body is not a prometheus.WriteRequest: cut short";
    check(
        decode(DecodeError::BadProtobuf {
            message: Version::One.message(),
            problem: "cut short".into(),
        }),
        400,
        protobuf,
        false,
    )
    .await;
    let large = "the body is 9 bytes after decompression, the limit is 8: lower max_samples_per_send";
    check(decode(DecodeError::TooLarge { bytes: 9, limit: 8 }), 413, large, false).await;
    let full = engine::Error::Unavailable("the queue is full".into());
    check(Err(full.into()), 503, "unavailable: the queue is full", true).await;
    let damaged = engine::Error::Corrupt {
        place: "log".into(),
        message: "torn".into(),
    };
    check(Err(damaged.into()), 500, "corrupt data in log: torn", false).await;
}

/// Without these headers a sender of 2.0 takes a 2xx for the answer of a receiver that has not understood it.
#[tokio::test]
async fn a_sender_of_two_is_told_what_was_written() {
    let written = |answer: &Answer| {
        ["samples", "histograms", "exemplars"].map(|part| {
            let name = format!("x-prometheus-remote-write-{part}-written");
            let value = answer.headers.get(&name)?;
            Some(value.to_str().unwrap().to_owned())
        })
    };
    let two = (
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    );
    let answer = send(&app(), "POST", "/api/v1/write", &[two], b"x").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(written(&answer), ["3", "2", "1"].map(|n| Some(n.to_owned())));
    let refused = vec![Rejection::one(RejectReason::TooOld, "up")];
    let partial = Stub {
        write: Mutex::new(Some(Ok(IngestReport {
            accepted: 3,
            rejections: refused,
        }))),
        ..Stub::fine()
    };
    let (partial, _) = app_with(partial, &[]);
    let answer = send(&partial, "POST", "/api/v1/write", &[two], b"x").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(written(&answer), ["3", "2", "1"].map(|n| Some(n.to_owned())));
    let other = ("content-type", "application/x-protobuf;proto=other");
    let answer = send(&app(), "POST", "/api/v1/write", &[other], b"x").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(written(&answer), ["0", "0", "0"].map(|n| Some(n.to_owned())));
    let one = send(&app(), "POST", "/api/v1/write", &[], b"x").await;
    assert_eq!(written(&one), [None, None, None]);
}

#[tokio::test]
async fn a_huge_label_is_cut_in_the_message() {
    let example = "é".repeat(10 << 20);
    let rejections = vec![Rejection {
        reason: RejectReason::BadLabels,
        samples: 1,
        example,
    }];
    let (app, _) = app_with(
        Stub {
            write: Mutex::new(Some(Ok(IngestReport {
                accepted: 0,
                rejections,
            }))),
            ..Stub::fine()
        },
        &[],
    );
    let answer = send(&app, "POST", "/api/v1/write", &[], b"x").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.len() < 1000, "{} bytes", answer.text.len());
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_announced_or_not() {
    let auth = Auth::new(
        ([127, 0, 0, 1], 0).into(),
        false,
        TokenFile::open(std::path::Path::new("/nowhere")).unwrap(),
    );
    let mut config = ServeConfig::new(auth.unwrap());
    config.write_limits.body_bytes = 10;
    let app = router(config, Arc::new(Stub::fine()), signal::channel(false).1);
    assert_eq!(
        send(&app, "POST", "/api/v1/write", &[], &[0; 11]).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        send(&app, "POST", "/api/v1/write", &[("content-length", "11")], &[0; 11])
            .await
            .status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        send(&app, "POST", "/api/v1/write", &[], &[0; 10]).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn writes_beyond_the_limit_are_asked_to_come_again() {
    let auth = Auth::new(
        ([127, 0, 0, 1], 0).into(),
        false,
        TokenFile::open(std::path::Path::new("/nowhere")).unwrap(),
    );
    let mut config = ServeConfig::new(auth.unwrap());
    config.write_limits.concurrent = 0;
    config.write_limits.patience = Duration::ZERO;
    let app = router(config, Arc::new(Stub::fine()), signal::channel(false).1);
    let answer = send(&app, "POST", "/api/v1/write", &[], b"x").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn methods_and_addresses_that_are_not_there() {
    let app = app();
    let check = async |method: &str, path: &str, status: u16, allow: Option<&str>| {
        let answer = send(&app, method, path, &[], b"").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(
            answer.headers.get("allow").map(|v| v.to_str().unwrap()),
            allow,
            "{method} {path}"
        );
        assert!(answer.json()["message"].is_string(), "{method} {path}");
    };
    check("GET", "/api/v1/write", 405, Some("POST")).await;
    check("PUT", "/api/v1/write", 405, Some("POST")).await;
    check("GET", "/api/query", 405, Some("POST")).await;
    check("POST", "/api/watch", 405, Some("GET, HEAD")).await;
    check("GET", "/api/nothing", 404, None).await;
    check("GET", "/nothing", 404, None).await;
    check("GET", "/app.js.map/../../secret", 404, None).await;
    check("POST", "/incidents", 404, None).await;
}

#[tokio::test]
async fn each_kind_of_failure_has_its_status() {
    let check = async |kind: ErrorKind, status: u16| {
        let (app, _) = app_with(
            Stub {
                failure: Some(kind),
                ..Stub::fine()
            },
            &[],
        );
        let answer = send(&app, "POST", "/api/query", &[JSON], br#"{"query":"snapshot"}"#).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.json(), json!({ "kind": kind, "message": "as the test wishes" }));
    };
    check(ErrorKind::Invalid, 400).await;
    check(ErrorKind::Forbidden, 403).await;
    check(ErrorKind::NotFound, 404).await;
    check(ErrorKind::Conflict, 409).await;
    check(ErrorKind::Internal, 500).await;
    check(ErrorKind::Unavailable, 503).await;
}

#[tokio::test]
async fn json_is_asked_for_and_checked() {
    let app = app();
    let check = async |headers: &[(&str, &str)], body: &str, status: u16, part: &str| {
        let answer = send(&app, "POST", "/api/query", headers, body.as_bytes()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert!(answer.text.contains(part), "{body}: {}", answer.text);
    };
    check(&[JSON], r#"{"query":"series_list"}"#, 200, r#""reply":"series_list""#).await;
    check(
        &[("content-type", "application/json; charset=utf-8")],
        r#"{"query":"snapshot"}"#,
        200,
        "",
    )
    .await;
    check(&[], r#"{"query":"snapshot"}"#, 415, "application/json").await;
    check(
        &[("content-type", "text/plain")],
        r#"{"query":"snapshot"}"#,
        415,
        "text/plain",
    )
    .await;
    check(&[JSON], "{", 400, "line 1 column 1").await;
    check(&[JSON], r#"{"query":"weather"}"#, 400, "weather").await;
}

#[tokio::test]
async fn roles_are_kept() {
    let (app, tokens) = app_with(Stub::fine(), &[Role::Viewer, Role::Operator]);
    let bearer: Vec<String> = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    let check = async |path: &str, body: &str, statuses: [u16; 3]| {
        let no_token = send(&app, "POST", path, &[JSON], body.as_bytes()).await;
        assert_eq!(no_token.status.as_u16(), statuses[0], "{path} without a token");
        for (value, status) in bearer.iter().zip(&statuses[1..]) {
            let answer = send(&app, "POST", path, &[JSON, ("authorization", value)], body.as_bytes()).await;
            assert_eq!(answer.status.as_u16(), *status, "{path}: {}", answer.text);
        }
    };
    check("/api/query", r#"{"query":"snapshot"}"#, [401, 200, 200]).await;
    check(
        "/api/command",
        r#"{"command":"set_kill_switch","on":true}"#,
        [401, 403, 200],
    )
    .await;
    check("/api/deploys", r#"{"entity":"cart","version":"2"}"#, [401, 403, 202]).await;
    let write = send(&app, "POST", "/api/v1/write", &[("authorization", &bearer[0])], b"x").await;
    assert_eq!(write.status, StatusCode::FORBIDDEN);
    assert_eq!(
        send(&app, "GET", "/metrics", &[], b"").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(send(&app, "GET", "/-/healthy", &[], b"").await.status, StatusCode::OK);
    let page = send(&app, "GET", "/incidents", &[], b"").await;
    assert_eq!(
        (page.status, page.headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/login")
    );
}

#[tokio::test]
async fn signing_in_sets_a_cookie_that_works() {
    let (app, tokens) = app_with(Stub::fine(), &[Role::Operator]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let wrong = send(&app, "POST", "/login", &[form], b"token=halo_1").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("not known") && !wrong.text.contains("halo_1"));
    let answer = send(
        &app,
        "POST",
        "/login",
        &[form],
        format!("token={}", tokens[0]).as_bytes(),
    )
    .await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let query = send(
        &app,
        "POST",
        "/api/query",
        &[JSON, ("cookie", cookie)],
        br#"{"query":"snapshot"}"#,
    )
    .await;
    assert_eq!(query.status, StatusCode::OK);
}

#[tokio::test]
async fn only_a_viewer_may_stand_in_the_walls_address() {
    let (app, tokens) = app_with(Stub::fine(), &[Role::Viewer, Role::Admin]);
    let viewer = send(&app, "GET", &format!("/wall?token={}", tokens[0]), &[], b"").await;
    assert_eq!(
        (viewer.status, viewer.headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/wall")
    );
    assert!(viewer.headers.contains_key("set-cookie"));
    let admin = send(&app, "GET", &format!("/wall?token={}", tokens[1]), &[], b"").await;
    assert_eq!(admin.status, StatusCode::FORBIDDEN);
    assert_eq!(
        send(&app, "GET", "/wall?token=no", &[], b"").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn other_sites_are_refused() {
    let app = app();
    let body = br#"{"command":"set_kill_switch","on":true}"#;
    let check = async |headers: &[(&str, &str)], status: u16| {
        let answer = send(&app, "POST", "/api/command", headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.text);
    };
    check(&[JSON, ("origin", "http://127.0.0.1:7700")], 200).await;
    check(&[JSON, ("origin", "https://evil.example")], 403).await;
    check(&[JSON, ("host", "evil.example")], 403).await;
}

#[tokio::test]
async fn a_deploy_is_recorded_under_the_senders_name() {
    let answer = send(
        &app(),
        "POST",
        "/api/deploys",
        &[JSON],
        br#"{"entity":"cart","version":"2.1"}"#,
    )
    .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let text = answer.json()["data"].as_str().unwrap().to_owned();
    assert!(
        text.contains(r#""at":1234"#) && text.contains(r#""entity":"cart""#),
        "{text}"
    );
}

#[tokio::test]
async fn the_demo_records_what_its_webhook_is_asked() {
    let app = app();
    let path = format!("{DEMO_WEBHOOK_BASE}/scale");
    for _ in 0..2 {
        let headers = [JSON, ("idempotency-key", "k1")];
        assert_eq!(
            send(&app, "POST", &path, &headers, br#"{"replicas":3}"#).await.status,
            StatusCode::OK
        );
    }
    let list = send(&app, "GET", DEMO_WEBHOOK_BASE, &[], b"").await.json();
    assert_eq!(
        list,
        json!([{ "path": "/scale", "idempotency_key": "k1", "body": { "replicas": 3 } }])
    );
}

#[tokio::test]
async fn pages_carry_a_policy_that_allows_no_foreign_script() {
    let answer = send(&app(), "GET", "/incidents/INC-000001", &[], b"").await;
    assert!(
        answer.status == StatusCode::OK || answer.text.contains("cargo xtask web"),
        "{}",
        answer.text
    );
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval'") && !policy.contains("script-src 'unsafe-inline'"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_stream_over_a_socket_ends_when_the_server_stops() {
    let auth = Auth::new(
        ([127, 0, 0, 1], 0).into(),
        false,
        TokenFile::open(std::path::Path::new("/nowhere")).unwrap(),
    );
    let server = Server::bind(([127, 0, 0, 1], 0).into(), ServeConfig::new(auth.unwrap()))
        .await
        .unwrap();
    let base = format!("http://{}", server.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(Arc::new(Stub::fine()), async { stopped.await.unwrap_or_default() }));

    let handle = crate::client::HttpHandle::new(&base, None).unwrap();
    let mut events = handle.watch().await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Snapshot(snapshot)) if snapshot.seq == 7));
    assert!(matches!(events.next().await, Some(Event::Delta(delta)) if delta.seq == 8));

    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = plain.get(format!("{base}/api/watch")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    stop.send(()).unwrap();
    let text = response.text().await.unwrap();
    assert!(text.starts_with("id: 7\ndata: {\"type\":\"snapshot\""), "{text}");
    serving.await.unwrap().unwrap();
    let gone = handle.query(Query::Snapshot).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Unavailable);
}

mod arrive;
mod telemetry;
