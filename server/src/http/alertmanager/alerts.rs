//! `/api/v2/alerts`: what Prometheus posts, and what `amtool alert` asks for.

use super::{API, RECEIVER, Refusal, another_question, filter, invalid, is_wanted, time};
use crate::auth::require;
use crate::http::App;
use crate::http::receivers::receive;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query as Parameters, State};
use axum::{Extension, Json};
use engine::alert::whole;
use engine::ingest::alerts::decode_posted;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::alert::{Alert, AlertState};
use wire::query::{Query, Reply};
use wire::status::{Identity, Role};

type Pairs = Parameters<Vec<(String, String)>>;

/// Answered 200 once all alerts are on record; 400 with the reasons if some were refused, and then the others are.
pub(super) async fn post(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), Refusal> {
    require(&identity, Role::Operator, "sending alerts")?;
    let body = API.body(&app, body).await?;
    let decoded = match decode_posted(&body, app.backend.now()) {
        Ok(decoded) => decoded,
        Err(problem) => return Err(API.malformed(&app, &problem).await.into()),
    };
    let refused: Vec<String> = decoded.rejections.iter().map(|r| r.example.clone()).collect();
    receive(API, &app, identity, decoded).await?;
    if refused.is_empty() {
        Ok(())
    } else {
        Err(invalid(refused.join("; ")))
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Parameters(parameters): Pairs,
) -> Result<Json<Value>, Refusal> {
    let alerts = wanted(&app, identity, &parameters).await?;
    Ok(Json(alerts.iter().map(shape).collect()))
}

/// Grouped by name: there is no route that says otherwise.
pub(super) async fn groups(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Parameters(parameters): Pairs,
) -> Result<Json<Value>, Refusal> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for alert in wanted(&app, identity, &parameters).await? {
        let name = alert.labels.get("alertname").cloned().unwrap_or_default();
        groups.entry(name).or_default().push(shape(&alert));
    }
    let groups = groups.into_iter().map(|(name, alerts)| {
        let labels = if name.is_empty() {
            json!({})
        } else {
            json!({ "alertname": name })
        };
        json!({ "labels": labels, "receiver": { "name": RECEIVER }, "alerts": alerts })
    });
    Ok(Json(groups.collect()))
}

async fn wanted(app: &App, identity: Identity, parameters: &[(String, String)]) -> Result<Vec<Alert>, Refusal> {
    let matchers = filter(parameters)?;
    if let Some((_, pattern)) = parameters.iter().find(|(name, _)| name == "receiver") {
        let pattern = whole(pattern).map_err(|problem| invalid(format!("receiver: {problem}")))?;
        if !pattern.is_match(RECEIVER) {
            return Ok(Vec::new());
        }
    }
    let (active, silenced) = (is_wanted(parameters, "active"), is_wanted(parameters, "silenced"));
    match app.handle(identity).query(Query::Alerts { resolved: false }).await? {
        Reply::Alerts(mut alerts) => {
            alerts.retain(|alert| {
                let wanted = match alert.state {
                    AlertState::Active => active,
                    AlertState::Suppressed => silenced,
                    AlertState::Resolved => false,
                };
                wanted && matchers.hold(&alert.labels)
            });
            Ok(alerts)
        }
        _ => Err(another_question()),
    }
}

fn shape(alert: &Alert) -> Value {
    let state = if alert.state == AlertState::Suppressed {
        "suppressed"
    } else {
        "active"
    };
    json!({
        "annotations": alert.annotations,
        "endsAt": time(alert.ends_at),
        "fingerprint": alert.fingerprint,
        "receivers": [{ "name": RECEIVER }],
        "startsAt": time(alert.starts_at),
        "status": { "state": state, "silencedBy": alert.silenced_by, "inhibitedBy": [], "mutedBy": [] },
        "updatedAt": time(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": alert.labels,
    })
}
