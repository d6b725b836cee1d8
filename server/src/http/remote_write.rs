//! `POST /api/v1/write`: Prometheus remote write 1.x and 2.0.
//!
//! Prometheus sends again after 5xx and never after 4xx, and by default loses data on 429: so overload is 503, a request of
//! which nothing can be taken is 400, and one of which a part was taken is 400 as well, with counts. Sending again is safe:
//! the engine drops what it has by series and timestamp. A sender of 2.0 is told what was written, whatever the status: without
//! that it takes a 2xx for the silence of a receiver that knows 1.0 alone.

use super::App;
use crate::auth::require;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::ingest::Rejection;
use engine::ingest::prometheus::{DecodeError, Version};
use engine::pipeline::{IngestReport, WriteError, WriteOutcome, Written};
use std::time::Duration;
use wire::status::{Identity, Role};

const SAMPLES: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// What a sender may ask for.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Largest compressed body.
    pub body_bytes: usize,
    /// Requests worked on at the same time; further ones wait.
    pub concurrent: usize,
    /// The longest they wait; then they are answered 503. Less than the shortest time limit that senders have by default, the ten
    /// seconds of OpenTelemetry's exporters.
    pub patience: Duration,
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
            patience: Duration::from_secs(5),
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
    let version = check_headers(&headers);
    let tells = !matches!(version, Ok(Version::One));
    let (written, mut response) = match take(&app, &identity, version, &headers, body).await {
        Ok(outcome) => (outcome.written, answer(outcome.result)),
        Err(refusal) => (Written::default(), refusal.into_response()),
    };
    if tells {
        let counts = [
            (SAMPLES, written.samples),
            (HISTOGRAMS, written.histograms),
            (EXEMPLARS, written.exemplars),
        ];
        response
            .headers_mut()
            .extend(counts.map(|(name, count)| (name, HeaderValue::from(count))));
    }
    response
}

fn answer(result: Result<IngestReport, WriteError>) -> Response {
    let error = match result {
        Ok(report) => match rejected(&report) {
            None => return StatusCode::NO_CONTENT.into_response(),
            Some(message) => return (StatusCode::BAD_REQUEST, message).into_response(),
        },
        Err(error) => error,
    };
    let status = match &error {
        WriteError::Decode(DecodeError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        WriteError::Decode(_) => StatusCode::BAD_REQUEST,
        WriteError::Engine(error) if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        WriteError::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal(status, error.to_string()).into_response()
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

async fn take(
    app: &App,
    identity: &Identity,
    version: Result<Version, String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<WriteOutcome, Refusal> {
    require(identity, Role::Operator, "writing samples").map_err(|e| Refusal(StatusCode::FORBIDDEN, e.message))?;
    let version = version.map_err(|message| Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))?;
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
    let turn = app.writes.wait(&*app.backend, super::SOURCE).await;
    let _turn = turn.map_err(|message| Refusal(StatusCode::SERVICE_UNAVAILABLE, message))?;
    // The only other cause of an error here is a sender that hung up, which reads no answer.
    let body = axum::body::to_bytes(body, app.limits.body_bytes)
        .await
        .map_err(|_| too_large())?;
    Ok(app.backend.remote_write(version, &body).await)
}

/// The schema follows from the content type alone; a missing one means v1, as does a missing `proto`.
fn check_headers(headers: &HeaderMap) -> Result<Version, String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let version = text(header::CONTENT_TYPE).map_or(Ok(Version::One), Version::of_content_type)?;
    match text(header::CONTENT_ENCODING) {
        None => Ok(version),
        Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(version),
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
