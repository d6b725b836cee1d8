//! `POST /api/v1/write`: Prometheus remote write 1.x.
//!
//! Prometheus sends again after 5xx and never after 4xx, and by default loses data on 429: so overload is 503, a request of
//! which nothing can be taken is 400, and one of which a part was taken is 400 as well, with counts. Sending again is safe:
//! the engine drops what it has by series and timestamp.

use super::App;
use crate::auth::require;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::ingest::Rejection;
use engine::ingest::prometheus::DecodeError;
use engine::pipeline::{IngestReport, WriteError};
use std::time::Duration;
use wire::status::{Identity, Role};

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// What a sender may ask for.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Largest compressed body.
    pub body_bytes: usize,
    /// Requests worked on at the same time; further ones are answered 503.
    pub concurrent: usize,
    /// Connections open at the same time; further ones wait.
    pub connections: usize,
    /// For a request to arrive whole.
    pub read_timeout: Duration,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            concurrent: 64,
            connections: 20_000,
            read_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) async fn write(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&app, &identity, &headers, body).await {
        Ok(report) => match rejected(&report) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(message) => (StatusCode::BAD_REQUEST, message).into_response(),
        },
        Err(refusal) => refusal.into_response(),
    }
}

/// A request that was not taken. Prometheus logs the first line of the body, so it is plain text.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.0, self.1 + "\n").into_response();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn take(app: &App, identity: &Identity, headers: &HeaderMap, body: Body) -> Result<IngestReport, Refusal> {
    require(identity, Role::Operator, "writing samples").map_err(|e| Refusal(StatusCode::FORBIDDEN, e.message))?;
    check_headers(headers).map_err(|message| Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))?;
    let too_large = || {
        let message = format!(
            "the body is over {} bytes; lower max_samples_per_send",
            app.limits.body_bytes
        );
        Refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    if announced.is_some_and(|length: usize| length > app.limits.body_bytes) {
        return Err(too_large());
    }
    let Ok(_permit) = app.writes.try_acquire() else {
        let message = format!("{} writes are in progress already; send again", app.limits.concurrent);
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    // The only other cause of an error here is a sender that hung up, which reads no answer.
    let body = axum::body::to_bytes(body, app.limits.body_bytes)
        .await
        .map_err(|_| too_large())?;
    app.backend.remote_write(&body).await.map_err(|error| {
        let status = match &error {
            WriteError::Decode(DecodeError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            WriteError::Decode(_) => StatusCode::BAD_REQUEST,
            WriteError::Engine(error) if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            WriteError::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(status, error.to_string())
    })
}

/// The schema follows from the content type alone; a missing one means v1, as does a missing `proto`.
fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(kind) = text(header::CONTENT_TYPE) {
        let mut parts = kind.split(';').map(str::trim);
        if !parts
            .next()
            .unwrap_or_default()
            .eq_ignore_ascii_case("application/x-protobuf")
        {
            return Err(format!("content type must be application/x-protobuf, got {kind:?}"));
        }
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match (key.trim(), value.trim().trim_matches('"')) {
                ("proto", V1) => {}
                ("proto", V2) => {
                    return Err(format!(
                        "remote write 2.0 ({V2}) is not supported; set protobuf_message: {V1}"
                    ));
                }
                ("proto", other) => return Err(format!("unknown message {other:?}; this takes {V1}")),
                _ => {}
            }
        }
    }
    match text(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(()),
        Some(encoding) => Err(format!(
            "content encoding must be snappy (block format), got {encoding:?}"
        )),
    }
}

/// What a sender must hear of samples that were not taken; `None` when all were, or were there before.
fn rejected(report: &IngestReport) -> Option<String> {
    let refused: Vec<_> = report.rejections.iter().filter(|r| r.reason.is_error()).collect();
    if refused.is_empty() {
        return None;
    }
    let count: u64 = refused.iter().map(|r| r.samples).sum();
    let of = count + report.accepted;
    Some(format!("{count} of {of} samples refused: {}\n", listed(refused)))
}

/// Rejections as a sender reads them: how many, why, and an example.
pub(crate) fn listed<'a>(rejections: impl IntoIterator<Item = &'a Rejection>) -> String {
    let one = |r: &Rejection| format!("{} {} ({})", r.samples, r.reason.as_str(), shortened(&r.example));
    rejections.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

/// An example may hold a label of megabytes.
fn shortened(text: &str) -> String {
    const KEEP: usize = 300;
    match text.char_indices().nth(KEEP) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
