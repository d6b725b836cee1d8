//! `POST /v1/metrics`, `/v1/logs`, `/v1/traces`: OTLP over HTTP, protobuf or JSON, gzip or plain.
//!
//! Every answer has the type of its request, refusals included (`google.rpc.Status`), so these routes ask for the token
//! themselves. A sender repeats 429, 502, 503 and 504 alone, and never what was taken in part: that is 200 with counts.

use super::App;
use super::body::{self, BodyError};
use crate::auth::require;
use crate::otlp::{ExportResponse, RETRY_SECONDS, Refusal, Signal};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use engine::ingest::otlp::Encoding;
use prost::Message as _;
use serde_json::Value;
use tonic::Code;
use wire::status::Role;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The routes: OTLP's own, and the places where Prometheus and Loki have theirs.
pub(super) fn routes() -> Router<App> {
    let metrics = || post(|app, headers, body| export(Signal::Metrics, app, headers, body));
    let logs = || post(|app, headers, body| export(Signal::Logs, app, headers, body));
    let traces = || post(|app, headers, body| export(Signal::Traces, app, headers, body));
    let other = super::reply::method_not_allowed;
    Router::new()
        .route("/v1/metrics", metrics().fallback(other))
        .route("/v1/logs", logs().fallback(other))
        .route("/v1/traces", traces().fallback(other))
        .route("/api/v1/otlp/v1/metrics", metrics().fallback(other))
        .route("/otlp/v1/logs", logs().fallback(other))
}

async fn export(signal: Signal, State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let encoding = match body::content_type(&headers).as_str() {
        PROTOBUF => Encoding::Protobuf,
        JSON => Encoding::Json,
        other => {
            let message = format!("content type must be {PROTOBUF} or {JSON}, got {other:?}");
            let refusal = Refusal::new(Code::InvalidArgument, message);
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refusal, Encoding::Json);
        }
    };
    match take(&app, signal, encoding, &headers, body).await {
        Ok(response) => {
            let bytes = response.encode_to_vec();
            answer(StatusCode::OK, encoding, bytes, || response.json(signal))
        }
        Err((status, refusal)) => refused(status, &refusal, encoding),
    }
}

async fn take(
    app: &App,
    signal: Signal,
    encoding: Encoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<ExportResponse, (StatusCode, Refusal)> {
    let identity = app
        .auth
        .identify(headers)
        .map_err(|denied| (StatusCode::UNAUTHORIZED, Refusal::new(Code::Unauthenticated, denied.0)))?;
    require(&identity, Role::Operator, "sending telemetry")
        .map_err(|e| (StatusCode::FORBIDDEN, Refusal::new(Code::PermissionDenied, e.message)))?;
    let turn = app.writes.wait(&*app.backend, super::SOURCE).await;
    let _turn = turn.map_err(|message| {
        let refusal = Refusal::new(Code::Unavailable, message);
        (StatusCode::SERVICE_UNAVAILABLE, refusal)
    })?;
    let body = body::read(headers, body, app.backend.max_request_bytes(), &[]);
    let body = body.await.map_err(|error| unreadable(&error))?;
    let report = app.backend.take(signal.payload(encoding), &body).await;
    let report = report.map_err(|error| {
        let refusal = Refusal::from(error);
        (status_of(refusal.code), refusal)
    })?;
    Ok(ExportResponse::new(signal, &report))
}

fn unreadable(error: &BodyError) -> (StatusCode, Refusal) {
    let (status, code) = match error {
        BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        BodyError::BadGzip(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
    };
    (status, Refusal::new(code, error.to_string()))
}

const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn refused(status: StatusCode, refusal: &Refusal, encoding: Encoding) -> Response {
    let body = refusal.status();
    let mut response = answer(status, encoding, body.encode_to_vec(), || body.json());
    let headers = response.headers_mut();
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

fn answer(status: StatusCode, encoding: Encoding, protobuf: Vec<u8>, json: impl FnOnce() -> Value) -> Response {
    let (kind, body) = match encoding {
        Encoding::Protobuf => (PROTOBUF, protobuf),
        Encoding::Json => (JSON, json().to_string().into_bytes()),
    };
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}
