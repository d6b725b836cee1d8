//! Objects and events in the form that the API's documents give them ("Kubernetes API Concepts", "Efficient detection of changes").

use super::client::{ApiError, Client, KubernetesConfig};
use super::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn object(uid: &str, generation: i64, image: &str, annotations: Value) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": "cart", "namespace": "shop", "uid": uid, "generation": generation,
            "resourceVersion": (100 + generation).to_string(),
            "managedFields": [
                {"manager": "kubectl", "time": "2023-11-14T22:10:00Z", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {}}}}},
                // The controller writes the status all the time.
                {"manager": "kube-controller-manager", "time": "2023-11-14T22:13:00Z", "fieldsV1": {"f:status": {}}}
            ]},
        "spec": {"replicas": generation, "template": {
            "metadata": {"labels": {"app": "cart"}, "annotations": annotations},
            "spec": {"containers": [{"name": "cart", "image": image}, {"name": "proxy", "image": "envoy:1"}]}}}
    })
}

fn workload(generation: i64, image: &str, annotations: Value) -> Workload {
    Workload::read(&object("u-1", generation, image, annotations)).unwrap()
}

/// Kind, version and note of a change.
fn told(change: Option<Deploy>) -> Option<(ChangeKind, String, String)> {
    change.map(|change| (change.kind, change.version, change.note))
}

#[test]
fn another_template_is_a_rollout_and_nothing_else_is() {
    let mut rollouts = Rollouts::new(Kind::Deployment);
    assert!(
        rollouts
            .listed(vec![workload(1, "r.example/shop/cart:v1", json!({}))], NOW)
            .is_empty()
    );
    // Scaled, or only its status written.
    assert_eq!(
        rollouts.there(workload(2, "r.example/shop/cart:v1", json!({})), NOW),
        None
    );
    let change = rollouts
        .there(workload(3, "r.example/shop/cart:v2", json!({})), NOW)
        .unwrap();
    assert_eq!(
        (change.entity.as_str(), change.version.as_str(), change.kind),
        ("cart", "cart:v2", ChangeKind::Deploy)
    );
    assert_eq!(change.note, "cart: r.example/shop/cart:v1 -> r.example/shop/cart:v2");
    assert_eq!((change.source.as_str(), change.id.as_str()), ("kubernetes", "u-1@3"));
    assert_eq!(change.tags, ["namespace:shop", "kind:deployment"]);
    // 22:10:00, when the template was written.
    assert_eq!(change.at, Timestamp(1_699_999_800_000));
    // Told again.
    assert_eq!(
        rollouts.there(workload(3, "r.example/shop/cart:v2", json!({})), NOW),
        None
    );

    let back = rollouts.there(workload(4, "r.example/shop/cart:v1", json!({})), NOW);
    assert_eq!(
        told(back).map(|(kind, version, _)| (kind, version)),
        Some((ChangeKind::Rollback, "cart:v1".into()))
    );
    let restart = json!({RESTARTED: "2023-11-14T22:13:00Z"});
    let again = rollouts.there(workload(5, "r.example/shop/cart:v1", restart.clone()), NOW);
    assert_eq!(told(again), Some((ChangeKind::Config, "restart".into(), String::new())));
    let mut checksum = restart;
    checksum["checksum/config"] = "0123".into();
    let config = rollouts.there(workload(6, "r.example/shop/cart:v1", checksum), NOW);
    assert_eq!(
        told(config),
        Some((ChangeKind::Config, "pod template".into(), String::new()))
    );
    let gone = rollouts.gone(&workload(6, "any", json!({})), NOW).unwrap();
    assert_eq!(
        (gone.kind, gone.at, gone.id.as_str()),
        (ChangeKind::Removal, NOW, "u-1@-1")
    );
    assert_eq!(
        (rollouts.gone(&workload(6, "any", json!({})), NOW), rollouts.len()),
        (None, 0)
    );
}

#[test]
fn a_new_list_tells_what_happened_meanwhile() {
    let mut rollouts = Rollouts::new(Kind::StatefulSet);
    let other = |uid: &str| Workload::read(&object(uid, 1, "db:1", json!({}))).unwrap();
    rollouts.listed(vec![workload(1, "cart:v1", json!({})), other("u-2")], NOW);
    let changes = rollouts.listed(
        vec![workload(2, "cart@sha256:0123456789", json!({})), other("u-3")],
        NOW,
    );
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, change.version.as_str()))
        .collect();
    let expected = [
        (ChangeKind::Removal, "removed"),
        (ChangeKind::Deploy, "cart@0123456"),
        (ChangeKind::Deploy, "db:1, envoy:1"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(rollouts.len(), 2);
}

#[test]
fn images_are_told_in_short() {
    let check = |image, expected| assert_eq!(short(image), expected, "{image}");
    check("nginx", "nginx");
    check("localhost:5000/shop/cart:v2", "cart:v2");
    check("shop/cart:v2@sha256:0123456789abcdef", "cart:v2");
    check("shop/cart@sha256:0123456789abcdef", "cart@0123456");
}

fn bookmark(place: &str) -> Value {
    json!({"type": "BOOKMARK", "object": {"kind": "Deployment", "metadata": {"resourceVersion": place}}})
}

fn expired() -> Value {
    json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version: 1 (5)"}})
}

#[test]
fn events_are_read_and_nonsense_is_named() {
    let read = |value: Value| event(value.to_string().as_bytes());
    let object = object("u-1", 1, "cart:v1", json!({}));
    let there = read(json!({"type": "MODIFIED", "object": object}));
    assert_eq!(
        there,
        Ok((Event::There(workload(1, "cart:v1", json!({}))), Some("101".into())))
    );
    assert!(matches!(
        read(json!({"type": "DELETED", "object": object})),
        Ok((Event::Gone(_), Some(_)))
    ));
    assert_eq!(read(bookmark("12746")), Ok((Event::Bookmark, Some("12746".into()))));
    assert_eq!(read(expired()), Ok((Event::Expired, None)));
    let failed = read(json!({"type": "ERROR", "object": {"code": 500, "message": "no storage"}}));
    assert_eq!(failed, Ok((Event::Failed("no storage".into()), None)));
    for (bad, expected) in [
        (json!({"type": "ADDED", "object": {}}), "holds no workload"),
        (json!({"type": "NEW"}), "unknown type \"NEW\""),
        (json!(1), "unknown type"),
    ] {
        let error = read(bad).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(event(b"{").unwrap_err().contains("an event of the watch"));
}

/// Answers requests in turn; their first lines.
async fn server(answers: Vec<(u16, String)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut seen = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut part).await.unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&part[..read]);
            }
            seen.push(String::from_utf8(request).unwrap());
            let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // In pieces that end anywhere.
            for piece in body.as_bytes().chunks(100) {
                stream.write_all(piece).await.unwrap();
            }
        }
        seen
    });
    (address, serving)
}

#[tokio::test]
async fn lists_come_in_pages_and_watches_line_by_line() {
    let page =
        |item: Value, next: &str| json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": [item]});
    let events = [
        json!({"type": "MODIFIED", "object": object("u-1", 2, "cart:v2", json!({}))}),
        bookmark("9"),
        expired(),
    ];
    let events: String = events.iter().map(|event| format!("{event}\n")).collect();
    let answers = vec![
        (200, page(object("u-1", 1, "cart:v1", json!({})), "more").to_string()),
        (200, page(object("u-2", 1, "cart:v1", json!({})), "").to_string()),
        (200, events),
        (410, String::new()),
        (403, String::new()),
    ];
    let (api, serving) = server(answers).await;
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "secret\n").unwrap();
    let config = KubernetesConfig {
        api,
        token_file: Some(token_file),
        ca_file: None,
        namespaces: Vec::new(),
    };
    let client = Client::new(&config).unwrap();
    let (all, place) = client.list(Kind::Deployment, Some("shop")).await.unwrap();
    assert_eq!((all.len(), place.as_str()), (2, "7"));
    let mut watch = client.watch(Kind::Deployment, None, &place).await.unwrap();
    let mut places = Vec::new();
    while let Some((event, place)) = watch.next().await.unwrap() {
        places.push((std::mem::discriminant(&event), place));
    }
    let places: Vec<_> = places.iter().map(|(_, place)| place.as_deref()).collect();
    assert_eq!(places, [Some("102"), Some("9"), None]);
    assert_eq!(
        client.watch(Kind::Deployment, None, "9").await.unwrap_err(),
        ApiError::Expired
    );
    let error = client.list(Kind::DaemonSet, None).await.unwrap_err().to_string();
    assert!(
        error.contains("refuses to show daemonsets") && error.contains("needs list and watch"),
        "{error}"
    );

    let seen = serving.await.unwrap();
    assert!(
        seen[0].starts_with("GET /apis/apps/v1/namespaces/shop/deployments?limit=500 "),
        "{}",
        seen[0]
    );
    assert!(seen[0].contains("authorization: Bearer secret\r\n"), "{}", seen[0]);
    assert!(seen[1].contains("continue=more"), "{}", seen[1]);
    let expected =
        "GET /apis/apps/v1/deployments?watch=1&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=290 ";
    assert!(seen[2].starts_with(expected), "{}", seen[2]);
}
