//! Grafana's annotations: added as changes, and listed as Grafana lists them.

use super::Receiver;
use crate::http::App;
use crate::http::reply::Failure;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query as Parameters, State};
use axum::{Extension, Json};
use engine::ingest::changes::{Outcome, grafana};
use serde_json::{Value, json};
use wire::Timestamp;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::status::Identity;
use wire::topology::Deploy;

const RECEIVER: Receiver = Receiver {
    source: grafana::SOURCE,
    kind: "changes",
};

/// Annotations listed unless the question says otherwise.
const DEFAULT_LIMIT: u32 = 100;

pub(super) async fn add(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = RECEIVER.body(&app, body).await?;
    let outcome = grafana::decode(&body, app.backend.now());
    added(&app, identity, outcome, "Annotation added").await
}

pub(super) async fn add_graphite(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = RECEIVER.body(&app, body).await?;
    let outcome = grafana::decode_graphite(&body, app.backend.now());
    added(&app, identity, outcome, "Graphite annotation added").await
}

async fn added(app: &App, identity: Identity, outcome: Outcome, message: &str) -> Result<Json<Value>, Failure> {
    let changes = RECEIVER.record(app, identity, outcome).await?.unwrap_or_default();
    Ok(Json(json!({ "message": message, "id": changes.first().map(number) })))
}

/// `GET /api/annotations?from&to&tags&matchAny&limit`: every change on record, deploys too. `type=alert` has none.
pub(super) async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<Value>, Failure> {
    let (mut from, mut to, mut tags, mut any_tag, mut limit) = (None, None, Vec::new(), false, DEFAULT_LIMIT);
    for (name, value) in parameters {
        let number = || {
            value.parse::<i64>().map_err(|_| {
                ApiError::new(
                    ErrorKind::Invalid,
                    format!("{name}: must be a number, got {value:.40?}"),
                )
            })
        };
        match name.as_str() {
            "from" => from = Some(Timestamp(number()?)),
            "to" => to = Some(Timestamp(number()?)),
            "limit" => limit = u32::try_from(number()?).unwrap_or(DEFAULT_LIMIT),
            "tags" if !value.is_empty() => tags.push(value),
            "matchAny" => any_tag = value == "true",
            "type" if value == "alert" => return Ok(Json(json!([]))),
            _ => {}
        }
    }
    let query = Query::Changes {
        from,
        to,
        tags,
        any_tag,
        limit: Some(limit),
    };
    match app.handle(identity).query(query).await? {
        Reply::Changes(changes) => Ok(Json(changes.iter().map(shape).collect())),
        _ => Err(ApiError::new(ErrorKind::Internal, "the engine answered another question").into()),
    }
}

fn shape(change: &Deploy) -> Value {
    let text = if change.note.is_empty() {
        change.version.clone()
    } else {
        format!("{}\n{}", change.version, change.note)
    };
    json!({
        "id": number(change),
        "alertId": 0,
        "dashboardId": 0,
        "panelId": 0,
        "userId": 0,
        "newState": "",
        "prevState": "",
        "time": change.at.as_millis(),
        "timeEnd": change.until.unwrap_or(change.at).as_millis(),
        "text": text,
        "tags": change.tags,
        "data": { "entity": change.entity, "kind": change.kind, "source": change.source },
    })
}

/// A number for a change that is the same after a restart, and that JavaScript can hold.
fn number(change: &Deploy) -> u64 {
    let what = (change.at, &change.entity, &change.version);
    let text = serde_json::to_vec(&what).unwrap_or_default();
    let digest = blake3::hash(&text);
    let mut low = [0; 8];
    low.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(low) >> 11
}
