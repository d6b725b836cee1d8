//! `POST /loki/api/v1/push` and `POST /api/logs/json`: logs from those who speak Loki, and from those who send JSON.
//!
//! 204 when everything was taken. What was refused is 400 with counts, as Loki answers: both kinds of senders repeat 429 and 5xx,
//! and nothing else.

use super::App;
use super::body::{self, BodyError};
use crate::auth::require;
use crate::otlp::{RETRY_SECONDS, Refusal, problems};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::ingest::otlp::Encoding;
use engine::pipeline::{IngestReport, Payload};
use tonic::Code;
use wire::status::{Identity, Role};

/// Loki's push API. The tenant in `X-Scope-OrgID` is not looked at: of series it is a label.
pub(super) async fn loki(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let encoding = match body::content_type(&headers).as_str() {
        "application/json" => Encoding::Json,
        "application/x-protobuf" | "" => Encoding::Protobuf,
        other => {
            let message = format!("content type must be application/json or application/x-protobuf, got {other:?}");
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
        }
    };
    take(&app, &identity, Payload::Loki(encoding), &headers, body).await
}

/// JSON objects, one a line or in a list.
pub(super) async fn json(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A page of another site can send text without asking, but not JSON.
    let known = [
        "application/json",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
    ];
    let kind = body::content_type(&headers);
    if !known.contains(&kind.as_str()) {
        let message = format!("content type must be application/json or application/x-ndjson, got {kind:?}");
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
    }
    take(&app, &identity, Payload::JsonLogs, &headers, body).await
}

async fn take(app: &App, identity: &Identity, payload: Payload, headers: &HeaderMap, body: Body) -> Response {
    match taken(app, identity, payload, headers, body).await {
        Ok(report) => match problems(&report, "lines").filter(|(refused, _)| *refused > 0) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some((_, message)) => plain(StatusCode::BAD_REQUEST, &message),
        },
        Err((status, message)) => plain(status, &message),
    }
}

async fn taken(
    app: &App,
    identity: &Identity,
    payload: Payload,
    headers: &HeaderMap,
    body: Body,
) -> Result<IngestReport, (StatusCode, String)> {
    require(identity, Role::Operator, "sending logs").map_err(|e| (StatusCode::FORBIDDEN, e.message))?;
    let turn = app.writes.wait(&*app.backend, super::SOURCE).await;
    let _turn = turn.map_err(|message| (StatusCode::SERVICE_UNAVAILABLE, message))?;
    // Loki's protobuf is a snappy block, whether the header says so or not.
    let body = body::read(headers, body, app.backend.max_request_bytes(), &["snappy"]).await;
    let body = body.map_err(|error| {
        let status = match error {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::BadGzip(_) => StatusCode::BAD_REQUEST,
        };
        (status, error.to_string())
    })?;
    app.backend.take(payload, &body).await.map_err(|error| {
        let refusal = Refusal::from(error);
        let status = match refusal.code {
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, refusal.message)
    })
}

/// Senders log the first line of the body.
fn plain(status: StatusCode, message: &str) -> Response {
    let mut response = (status, format!("{message}\n")).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    response
}
