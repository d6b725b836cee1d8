//! Alertmanager's API, version 2: a Prometheus can name Halo among its `alertmanagers`, and `amtool` works (`api/v2/openapi.yaml`).
//!
//! One receiver, `halo`, gets everything; there is no route tree and no inhibition. Alerts are on record before they are acknowledged.

mod alerts;
mod silences;

use super::receivers::Receiver;
use super::reply::Failure;
use super::{App, reply};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use engine::alert::{Matchers, parse_matcher};
use serde_json::{Value, json};
use wire::Timestamp;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::status::Identity;

/// Largest list of alerts. Prometheus sends 256 at a time.
const BODY_BYTES: usize = 8 << 20;

/// The name of the one receiver.
const RECEIVER: &str = "halo";

const API: Receiver = Receiver {
    source: "alertmanager_api",
    kind: "alerts",
};

/// Routes for whoever has a token, or sits at this machine.
pub(super) fn routes() -> Router<App> {
    let not_allowed = reply::method_not_allowed;
    Router::new()
        .route(
            "/api/v2/alerts",
            get(alerts::list).post(alerts::post).fallback(not_allowed),
        )
        .route("/api/v2/alerts/groups", get(alerts::groups).fallback(not_allowed))
        .route("/api/v2/receivers", get(receivers).fallback(not_allowed))
        .route("/api/v2/status", get(status).fallback(not_allowed))
        .route(
            "/api/v2/silences",
            get(silences::list).post(silences::set).fallback(not_allowed),
        )
        .route(
            "/api/v2/silence/{id}",
            get(silences::one).delete(silences::expire).fallback(not_allowed),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

async fn receivers() -> Json<Value> {
    Json(json!([{ "name": RECEIVER }]))
}

async fn status(State(app): State<App>, Extension(identity): Extension<Identity>) -> Result<Json<Value>, Refusal> {
    let Reply::Snapshot(snapshot) = app.handle(identity).query(Query::Snapshot).await? else {
        return Err(another_question());
    };
    Ok(Json(json!({
        "cluster": { "status": "disabled", "peers": [] },
        "config": { "original": format!("route:\n  receiver: {RECEIVER}\nreceivers:\n- name: {RECEIVER}\n") },
        "uptime": time(snapshot.status.started),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
            "revision": "",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })))
}

/// Errors are JSON strings in this API.
#[derive(Debug)]
struct Refusal(Failure);

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = self.0.into_parts();
        (status, Json(message)).into_response()
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    ApiError::new(ErrorKind::Invalid, message).into()
}

fn another_question() -> Refusal {
    ApiError::new(ErrorKind::Internal, "the engine answered another question").into()
}

/// The parameters `filter`, each one matcher.
fn filter(parameters: &[(String, String)]) -> Result<Matchers, Refusal> {
    let texts = parameters.iter().filter(|(name, _)| name == "filter");
    let matchers = texts
        .map(|(_, text)| parse_matcher(text))
        .collect::<Result<Vec<_>, _>>();
    matchers
        .and_then(|matchers| Matchers::new(&matchers))
        .map_err(|problem| invalid(format!("filter: {problem}")))
}

/// A parameter that is true unless it says otherwise.
fn is_wanted(parameters: &[(String, String)], name: &str) -> bool {
    !parameters
        .iter()
        .any(|(given, value)| given == name && value == "false")
}

/// RFC 3339 with milliseconds, UTC.
fn time(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis());
    let written = instant.map(|instant| instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    written.unwrap_or_else(|_| "1970-01-01T00:00:00.000Z".to_owned())
}

#[cfg(test)]
mod tests;
