//! Webhooks against a real engine: who may send, what is on record afterwards, what is counted.

use super::*;
use crate::auth::Auth;
use crate::auth::tokens::TokenFile;
use crate::http::{ServeConfig, router};
use axum::body::Body;
use axum::http::Request;
use engine::clock::ManualClock;
use engine::config::{Config, WebhookSecrets};
use engine::pipeline::Engine;
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt as _;
use wire::Timestamp;
use wire::query::Query;
use wire::topology::ChangeKind;

const NOW: i64 = 1_700_000_000_000;

/// A server over an engine of its own, on a folder that outlives it.
pub(in crate::http) struct Place {
    pub(in crate::http) dir: Arc<TempDir>,
    pub(in crate::http) engine: Arc<Engine>,
    pub(in crate::http) clock: Arc<ManualClock>,
    pub(in crate::http) app: Router,
}

impl Place {
    pub(in crate::http) async fn new(secrets: WebhookSecrets<Secret>) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), secrets, &[]).await.0
    }

    pub(in crate::http) async fn over(
        dir: Arc<TempDir>,
        secrets: WebhookSecrets<Secret>,
        roles: &[Role],
    ) -> (Self, Vec<String>) {
        let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
        let mut config = Config::new(dir.path().join("data"));
        config.shards = 1;
        let engine = Engine::start(config, clock.clone()).await.unwrap();
        let file = || TokenFile::open(dir.path()).unwrap();
        let tokens = roles
            .iter()
            .map(|&role| file().create(crate::auth::role_name(role), role, Timestamp(0)).unwrap())
            .collect();
        let auth = Auth::new(([127, 0, 0, 1], 7700).into(), false, file()).unwrap();
        let config = ServeConfig {
            secrets,
            ..ServeConfig::new(auth)
        };
        let app = router(config, engine.clone(), tokio::sync::watch::channel(false).1);
        let place = Self {
            dir,
            engine,
            clock,
            app,
        };
        (place, tokens)
    }

    /// Status and body.
    pub(in crate::http) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:7700");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(in crate::http) async fn changes(&self) -> Vec<Deploy> {
        let query = Query::Changes {
            from: None,
            to: None,
            tags: Vec::new(),
            any_tag: false,
            limit: None,
        };
        match self
            .engine
            .handle(crate::auth::local_identity())
            .query(query)
            .await
            .unwrap()
        {
            Reply::Changes(changes) => changes,
            other => panic!("{other:?}"),
        }
    }

    /// What `/metrics` says of a source, once the coordinator has said it.
    pub(in crate::http) async fn counted(&self, line: &str) {
        let seen = async {
            let mut events = self.engine.handle(crate::auth::local_identity()).watch().await.unwrap();
            while !self.engine.metrics_text().contains(line) {
                futures::StreamExt::next(&mut events).await;
            }
        };
        let limit = std::time::Duration::from_secs(60);
        let text = || self.engine.metrics_text();
        tokio::time::timeout(limit, seen)
            .await
            .unwrap_or_else(|_| panic!("no {line} in\n{}", text()));
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const STATUS: &[u8] = include_bytes!("../../../../engine/src/ingest/changes/fixtures/github-deployment_status.json");
const GITLAB: &[u8] = include_bytes!("../../../../engine/src/ingest/changes/fixtures/gitlab.json");
const PAGERDUTY: &[u8] = include_bytes!("../../../../engine/src/ingest/changes/fixtures/pagerduty.json");
const ARGOCD: &[u8] = include_bytes!("../../../../engine/src/ingest/changes/fixtures/argocd.json");
const CDEVENT: &[u8] = include_bytes!("../../../../engine/src/ingest/changes/fixtures/cdevents-structured.json");
const GRAFANA: &[u8] = include_bytes!("../../../../engine/src/ingest/alerts/fixtures/grafana-webhook.json");
const ALERTMANAGER: &[u8] = include_bytes!("../../../../engine/src/ingest/alerts/fixtures/alertmanager-webhook.json");

fn secrets() -> WebhookSecrets<Secret> {
    let secret = || Some(Secret::new("hush"));
    WebhookSecrets {
        github: secret(),
        gitlab: secret(),
        grafana: secret(),
        pagerduty: Some(Secret::new("samplekeyhere")),
        firehose: Some(Secret::new("stream key")),
    }
}

/// What a sender that knows the secret `hush` computes.
fn signature(body: &[u8]) -> String {
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"hush").unwrap();
    mac.update(body);
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn github_must_sign_and_is_recorded_once_even_across_a_restart() {
    let place = Place::new(secrets()).await;
    let good = format!("sha256={}", signature(STATUS));
    let send = async |place: &Place, signature: Option<&str>, body: &[u8]| {
        let mut headers = vec![
            JSON,
            ("x-github-event", "deployment_status"),
            ("x-github-delivery", "d-1"),
        ];
        headers.extend(signature.map(|s| ("x-hub-signature-256", s)));
        place.send("POST", "/api/webhooks/github", &headers, body).await
    };
    let (status, text) = send(&place, None, STATUS).await;
    assert_eq!(status, 401, "{text}");
    assert!(text.contains("X-Hub-Signature-256 is missing"), "{text}");
    let (status, text) = send(&place, Some(&good), b"{}").await;
    assert!(status == 401 && !text.contains("hush"), "{text}");
    assert_eq!(place.changes().await, []);

    assert_eq!(send(&place, Some(&good), STATUS).await.0, 202);
    assert_eq!(send(&place, Some(&good), STATUS).await.0, 202);
    let changes = place.changes().await;
    assert_eq!(
        (changes.len(), changes[0].entity.as_str(), changes[0].kind),
        (1, "Hello-World", ChangeKind::Deploy)
    );
    place.counted("halo_source_events_total{source=\"github\"} 1").await;
    place
        .counted("halo_source_rejected_total{source=\"github\",reason=\"duplicate\"} 1")
        .await;
    place
        .counted("halo_source_rejected_total{source=\"github\",reason=\"unauthenticated\"} 2")
        .await;

    // The store has it: a later delivery of the same finds it there.
    place.engine.shutdown().await;
    let (again, _) = Place::over(Arc::clone(&place.dir), secrets(), &[]).await;
    assert_eq!(send(&again, Some(&good), STATUS).await.0, 202);
    assert_eq!(again.changes().await, changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_ignored_and_nonsense_refused_each_counted() {
    let place = Place::new(secrets()).await;
    let signed = |body: &[u8]| format!("sha256={}", signature(body));
    let send = async |event: &str, kind: &str, body: &[u8]| {
        let signature = signed(body);
        let headers = [
            ("content-type", kind),
            ("x-github-event", event),
            ("x-hub-signature-256", &signature),
        ];
        place.send("POST", "/api/webhooks/github", &headers, body).await
    };
    let (status, text) = send("ping", "application/json", b"{}").await;
    assert!(status == 202 && text.contains("ignored"), "{status} {text}");
    let (status, text) = send("deployment", "application/json", b"{").await;
    assert!(status == 400 && text.contains("github: deployment:"), "{status} {text}");
    let (status, text) = send("deployment", "application/x-www-form-urlencoded", b"payload=").await;
    assert!(
        status == 400 && text.contains("content type to application/json"),
        "{status} {text}"
    );
    place.counted("{source=\"github\",reason=\"ignored\"} 1").await;
    place.counted("{source=\"github\",reason=\"malformed\"} 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_a_signed_route_is_off_but_for_who_has_a_token() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (place, tokens) = Place::over(dir, WebhookSecrets::default(), &[Role::Operator, Role::Viewer]).await;
    let [operator, viewer] = [0, 1].map(|i: usize| format!("Bearer {}", tokens[i]));
    for (path, table, body) in [
        ("/api/webhooks/github", "github", STATUS),
        ("/api/webhooks/gitlab", "gitlab", GITLAB),
        ("/v2/change/enqueue", "pagerduty", PAGERDUTY),
    ] {
        let event = ("x-github-event", "deployment_status");
        let (status, text) = place.send("POST", path, &[JSON, event], body).await;
        assert!(
            status == 404 && text.contains(&format!("[webhooks.{table}]")),
            "{path}: {status} {text}"
        );
        let check = async |token: &str, expected: u16| {
            let (status, text) = place
                .send("POST", path, &[JSON, event, ("authorization", token)], body)
                .await;
            assert_eq!(status, expected, "{path}: {text}");
        };
        check("Bearer halo_00", 401).await;
        check(&viewer, 403).await;
        check(&operator, 202).await;
    }
    assert_eq!(place.changes().await.len(), 3);
    let (status, _) = place.send("POST", "/api/webhooks/grafana", &[JSON], GRAFANA).await;
    assert_eq!(status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_and_pagerduty_send_their_secret_along() {
    let place = Place::new(secrets()).await;
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], expected: u16| {
        let (status, text) = place.send("POST", path, headers, body).await;
        assert_eq!(status, expected, "{path}: {text}");
    };
    check("/api/webhooks/gitlab", &[JSON], GITLAB, 401).await;
    check("/api/webhooks/gitlab", &[JSON, ("x-gitlab-token", "hus")], GITLAB, 401).await;
    check("/api/webhooks/gitlab", &[JSON, ("x-gitlab-token", "hush")], GITLAB, 202).await;
    check("/v2/change/enqueue", &[JSON], b"{\"routing_key\":\"x\"}", 401).await;
    check("/v2/change/enqueue", &[JSON], b"not json", 401).await;
    check("/v2/change/enqueue", &[JSON], PAGERDUTY, 202).await;
    let entities: Vec<_> = place.changes().await.iter().map(|c| c.entity.to_string()).collect();
    assert_eq!(
        entities,
        ["test-deployment-webhooks", "acme-build-pipeline-tool-default-i-9999"]
    );
    check("/api/webhooks/gitlab", &[JSON], &vec![b' '; BODY_BYTES + 1], 413).await;
    place.counted("{source=\"gitlab\",reason=\"over_limit\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cdevents_and_argo_cd_need_no_more_than_a_token() {
    let place = Place::new(WebhookSecrets::default()).await;
    let structured = [("content-type", "application/cloudevents+json")];
    let (status, text) = place.send("POST", "/api/webhooks/cdevents", &structured, CDEVENT).await;
    assert_eq!(status, 202, "{text}");
    let binary = [
        JSON,
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "ci"),
        ("ce-type", "dev.cdevents.service.removed.0.3.0"),
    ];
    let body = br#"{"subject":{"id":"cart","content":{"environment":{"id":"prod"}}}}"#;
    assert_eq!(place.send("POST", "/api/webhooks/cdevents", &binary, body).await.0, 202);
    assert_eq!(place.send("POST", "/api/webhooks/cdevents", &[JSON], body).await.0, 400);
    assert_eq!(place.send("POST", "/api/webhooks/argocd", &[JSON], ARGOCD).await.0, 202);
    let mut kinds: Vec<_> = place
        .changes()
        .await
        .iter()
        .map(|c| (c.source.clone(), c.kind))
        .collect();
    kinds.sort();
    let expected = [
        ("argocd", ChangeKind::Deploy),
        ("cdevents", ChangeKind::Deploy),
        ("cdevents", ChangeKind::Removal),
    ];
    assert_eq!(kinds, expected.map(|(source, kind)| (source.to_owned(), kind)));
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_are_added_and_listed_as_grafana_does() {
    let place = Place::new(WebhookSecrets::default()).await;
    let add = async |path: &str, body: &str| place.send("POST", path, &[JSON], body.as_bytes()).await;
    let (status, text) = add(
        "/api/annotations",
        r#"{"time":1000,"timeEnd":5000,"tags":["a","b"],"text":"load test"}"#,
    )
    .await;
    let added: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, added["message"].as_str()), (200, Some("Annotation added")));
    let (_, text) = add(
        "/api/annotations/graphite",
        r#"{"what":"release","tags":["b","deploy"],"when":9,"data":"v2"}"#,
    )
    .await;
    assert!(text.contains("Graphite annotation added"), "{text}");
    assert_eq!(add("/api/annotations", r#"{"tags":["a"]}"#).await.0, 400);

    let list = async |query: &str| {
        let (status, text) = place.send("GET", &format!("/api/annotations?{query}"), &[], b"").await;
        assert_eq!(status, 200, "{query}: {text}");
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        list
    };
    let texts = async |query: &str| {
        let all = list(query).await;
        all.iter()
            .map(|a| a["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts("").await, ["release\nv2", "load test"]);
    assert_eq!(texts("limit=1").await, ["release\nv2"]);
    assert_eq!(texts("from=4000&to=6000").await, ["load test"]);
    assert_eq!(texts("tags=a&tags=b").await, ["load test"]);
    assert_eq!(texts("tags=a&tags=deploy&matchAny=true").await.len(), 2);
    assert_eq!(texts("type=alert").await, [""; 0]);
    let first = &list("tags=a").await[0];
    assert_eq!(first["id"], added["id"]);
    assert_eq!(
        (first["time"].as_i64(), first["timeEnd"].as_i64()),
        (Some(1000), Some(5000))
    );
    assert_eq!(place.send("GET", "/api/annotations?from=x", &[], b"").await.0, 400);
    assert_eq!(place.send("DELETE", "/api/annotations", &[], b"").await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_come_by_webhook_and_a_signature_holds() {
    let place = Place::new(secrets()).await;
    let (status, text) = place
        .send("POST", "/api/webhooks/alertmanager", &[JSON], ALERTMANAGER)
        .await;
    assert_eq!(status, 200, "{text}");
    let signed = signature(GRAFANA);
    let check = async |headers: &[(&str, &str)], expected: u16| {
        let (status, text) = place.send("PUT", "/api/webhooks/grafana", headers, GRAFANA).await;
        assert_eq!(status, expected, "{text}");
    };
    check(&[JSON], 401).await;
    check(&[JSON, ("x-grafana-alerting-signature", "00")], 401).await;
    check(&[JSON, ("x-grafana-alerting-signature", &signed)], 200).await;
    let (_, text) = place.send("GET", "/api/v2/alerts", &[], b"").await;
    let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut names: Vec<_> = alerts
        .iter()
        .map(|a| a["labels"]["alertname"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["High memory usage", "InstanceDown"], "the other is resolved");
    place
        .counted("{source=\"alertmanager_webhook\",reason=\"over_limit\"} 2")
        .await;
    place
        .counted("halo_source_events_total{source=\"grafana_webhook\"} 1")
        .await;
    assert_eq!(
        place.send("POST", "/api/webhooks/alertmanager", &[JSON], b"{}").await.0,
        400
    );
}

mod firehose;
