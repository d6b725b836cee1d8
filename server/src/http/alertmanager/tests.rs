//! Alertmanager's API against a real engine: what `amtool` and Prometheus rely on.

use crate::http::receivers::tests::Place;
use engine::config::WebhookSecrets;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn place() -> Place {
    Place::new(WebhookSecrets::default()).await
}

async fn post(place: &Place, path: &str, body: Value) -> (u16, Value) {
    let (status, text) = place
        .send("POST", path, &[JSON], &serde_json::to_vec(&body).unwrap())
        .await;
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn get(place: &Place, path: &str) -> Value {
    let (status, text) = place.send("GET", path, &[], b"").await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn alert(name: &str, instance: &str) -> Value {
    json!({
        "labels": { "alertname": name, "instance": instance, "severity": "critical" },
        "annotations": { "summary": "full" },
        "startsAt": "2023-11-14T22:12:20Z",
        "endsAt": "2023-11-14T22:20:00Z",
        "generatorURL": "http://prometheus:9090/graph",
    })
}

fn names(alerts: &Value) -> Vec<String> {
    let text = |alert: &Value| {
        let labels = &alert["labels"];
        format!(
            "{}/{}",
            labels["alertname"].as_str().unwrap(),
            labels["instance"].as_str().unwrap()
        )
    };
    let mut names: Vec<_> = alerts.as_array().unwrap().iter().map(text).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_listed_in_alertmanagers_shape_and_survives_a_restart() {
    let place = place().await;
    assert_eq!(
        post(&place, "/api/v2/alerts", json!([alert("Full", "db-1")])).await.0,
        200
    );
    let alerts = get(&place, "/api/v2/alerts").await;
    let expected = json!([{
        "annotations": { "summary": "full" },
        "endsAt": "2023-11-14T22:20:00.000Z",
        "startsAt": "2023-11-14T22:12:20.000Z",
        "updatedAt": "2023-11-14T22:13:20.000Z",
        "fingerprint": alerts[0]["fingerprint"],
        "receivers": [{ "name": "halo" }],
        "status": { "state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": [] },
        "generatorURL": "http://prometheus:9090/graph",
        "labels": { "alertname": "Full", "instance": "db-1", "severity": "critical" },
    }]);
    assert_eq!(alerts, expected);
    assert_eq!(alerts[0]["fingerprint"].as_str().unwrap().len(), 16);
    // No orderly end: what was acknowledged is in the store already.
    let (again, _) = Place::over(place.dir.clone(), WebhookSecrets::default(), &[]).await;
    assert_eq!(get(&again, "/api/v2/alerts").await, expected);
    // Its end passes.
    again.clock.set(wire::Timestamp(1_700_000_400_000));
    assert_eq!(get(&again, "/api/v2/alerts").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_filtered() {
    let place = place().await;
    let alerts = [alert("Full", "db-1"), alert("Full", "db-2"), alert("Down", "web-1")];
    assert_eq!(post(&place, "/api/v2/alerts", json!(alerts)).await.0, 200);
    let check = async |query: &str, expected: &[&str]| {
        let found = get(&place, &format!("/api/v2/alerts?{query}")).await;
        assert_eq!(names(&found), expected, "{query}");
    };
    check("filter=alertname%3D%22Full%22", &["Full/db-1", "Full/db-2"]).await;
    check("filter=alertname%3DFull&filter=instance%21%3Ddb-2", &["Full/db-1"]).await;
    check(
        "filter=instance%3D~%22db-.%2B%22&active=true",
        &["Full/db-1", "Full/db-2"],
    )
    .await;
    check("filter=instance%21~%22db.%2A%22", &["Down/web-1"]).await;
    check("receiver=hal.", &["Down/web-1", "Full/db-1", "Full/db-2"]).await;
    check("receiver=team-x", &[]).await;
    check("active=false", &[]).await;
    let (status, text) = place.send("GET", "/api/v2/alerts?filter=nonsense", &[], b"").await;
    assert!(status == 400 && text.starts_with("\"filter:"), "{status} {text}");
    let groups = get(&place, "/api/v2/alerts/groups").await;
    assert_eq!(
        (
            groups[0]["labels"]["alertname"].as_str(),
            names(&groups[1]["alerts"]).len()
        ),
        (Some("Down"), 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_alerts_are_named_and_the_others_kept() {
    let place = place().await;
    let (status, message) = post(
        &place,
        "/api/v2/alerts",
        json!([{ "labels": {} }, alert("Full", "db-1")]),
    )
    .await;
    assert_eq!((status, message.as_str()), (400, Some("alert 1: it has no labels")));
    assert_eq!(names(&get(&place, "/api/v2/alerts").await), ["Full/db-1"]);
    assert_eq!(post(&place, "/api/v2/alerts", json!({})).await.0, 400);
    assert_eq!(post(&place, "/api/v2/alerts", json!([])).await.0, 200);
    place
        .counted("halo_source_rejected_total{source=\"alertmanager_api\",reason=\"malformed\"} 2")
        .await;
    place
        .counted("halo_source_events_total{source=\"alertmanager_api\"} 1")
        .await;
}

fn silence(value: &str) -> Value {
    json!({
        "matchers": [{ "name": "instance", "value": value, "isRegex": true }],
        "startsAt": "2023-11-14T22:00:00Z",
        "endsAt": "2023-11-14T23:00:00Z",
        "createdBy": "ada",
        "comment": "moving the disk",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_set_listed_and_expired() {
    let place = place().await;
    let alerts = [alert("Full", "db-1"), alert("Down", "web-1")];
    assert_eq!(post(&place, "/api/v2/alerts", json!(alerts)).await.0, 200);
    let (status, set) = post(&place, "/api/v2/silences", silence("db-.")).await;
    let id = set["silenceID"].as_str().unwrap().to_owned();
    assert_eq!((status, id.len()), (200, 36));
    let suppressed = get(&place, "/api/v2/alerts?active=false").await;
    assert_eq!(names(&suppressed), ["Full/db-1"]);
    assert_eq!(suppressed[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(
        names(&get(&place, "/api/v2/alerts?silenced=false").await),
        ["Down/web-1"]
    );

    let one = get(&place, &format!("/api/v2/silence/{id}")).await;
    assert_eq!(
        one["matchers"],
        json!([{ "name": "instance", "value": "db-.", "isRegex": true, "isEqual": true }])
    );
    assert_eq!(
        (one["status"]["state"].as_str(), one["createdBy"].as_str()),
        (Some("active"), Some("ada"))
    );
    assert_eq!(
        get(&place, "/api/v2/silences?filter=instance%3D%22db-.%22").await,
        json!([one])
    );
    assert_eq!(
        get(&place, "/api/v2/silences?filter=alertname%3D%22x%22").await,
        json!([])
    );

    // After a restart it still covers.
    let (again, _) = Place::over(place.dir.clone(), WebhookSecrets::default(), &[]).await;
    assert_eq!(names(&get(&again, "/api/v2/alerts?active=false").await), ["Full/db-1"]);
    assert_eq!(
        again.send("DELETE", &format!("/api/v2/silence/{id}"), &[], b"").await.0,
        200
    );
    assert_eq!(names(&get(&again, "/api/v2/alerts?active=false").await), [""; 0]);
    assert_eq!(
        get(&again, &format!("/api/v2/silence/{id}")).await["status"]["state"],
        "expired"
    );
    assert_eq!(again.send("DELETE", "/api/v2/silence/nobody", &[], b"").await.0, 404);
    assert_eq!(again.send("GET", "/api/v2/silence/nobody", &[], b"").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_makes_no_sense_is_refused_as_a_json_string() {
    let place = place().await;
    let check = async |body: Value, expected: u16, part: &str| {
        let (status, message) = post(&place, "/api/v2/silences", body).await;
        let message = message.as_str().unwrap_or_default();
        assert!(status == expected && message.contains(part), "{status} {message}");
    };
    check(silence(".*"), 400, "silence everything").await;
    check(silence("("), 400, "no regular expression").await;
    let mut unknown = silence("db-1");
    unknown["id"] = json!("nobody");
    check(unknown, 404, "not found").await;
    let mut late = silence("db-1");
    late["endsAt"] = json!("soon");
    check(late, 400, "endsAt").await;
    check(json!({}), 400, "matchers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_receivers_are_there() {
    let place = place().await;
    let status = get(&place, "/api/v2/status").await;
    assert_eq!(status["cluster"]["status"], "disabled");
    assert_eq!(status["uptime"], "2023-11-14T22:13:20.000Z");
    assert!(
        status["config"]["original"]
            .as_str()
            .unwrap()
            .contains("receiver: halo")
    );
    assert_eq!(get(&place, "/api/v2/receivers").await, json!([{ "name": "halo" }]));
    assert_eq!(place.send("PATCH", "/api/v2/alerts", &[], b"").await.0, 405);
}
