//! `POST /write` and `POST /api/v2/write`: InfluxDB's line protocol, as Telegraf and others write it to versions 1 and 2.
//!
//! All of it taken is 204. Lines that were refused are a 400 that names them, and the others are kept; a sender does not send again
//! after it. Overload is 503, and sending the same again is safe.

use super::App;
use super::reply::Failure;
use crate::auth::require;
use axum::body::Body;
use axum::extract::{Query as Parameters, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use engine::Error;
use engine::ingest::influx::{Decoded, Precision, decode};
use engine::ingest::{RejectReason, Rejection};
use flate2::read::MultiGzDecoder;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Read as _;
use wire::query::{ApiError, ErrorKind};
use wire::status::{Identity, Role};

/// The name under which lines are counted.
const SOURCE: &str = "influx";

/// Largest body after decompression.
const PLAIN_BYTES: u64 = 64 << 20;

/// How a version writes errors.
#[derive(Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

/// Routes for whoever has a token, or sits at this machine.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/write", post(write_v1).fallback(super::reply::method_not_allowed))
        .route(
            "/api/v2/write",
            post(write_v2).fallback(super::reply::method_not_allowed),
        )
}

/// Clients ask before they write.
pub(super) async fn ping() -> Response {
    (StatusCode::NO_CONTENT, [("x-influxdb-version", "1.8.10-halo")]).into_response()
}

async fn write_v1(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    parameters: Parameters<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    write(Version::One, &app, &identity, &parameters, &headers, body).await
}

async fn write_v2(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    parameters: Parameters<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    write(Version::Two, &app, &identity, &parameters, &headers, body).await
}

async fn write(
    version: Version,
    app: &App,
    identity: &Identity,
    parameters: &[(String, String)],
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match take(app, identity, parameters, headers, body).await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(partial)) => refusal(version, StatusCode::BAD_REQUEST, &partial),
        Err(failure) => {
            let (status, message) = failure.into_parts();
            refusal(version, status, &message)
        }
    }
}

/// Returns what a sender must hear of lines that were not taken.
async fn take(
    app: &App,
    identity: &Identity,
    parameters: &[(String, String)],
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<String>, Failure> {
    require(identity, Role::Operator, "writing samples")?;
    let named = parameters.iter().find(|(name, _)| name == "precision");
    let named = named.map_or("", |(_, value)| value.as_str());
    let Some(precision) = Precision::parse(named) else {
        let message = format!("invalid precision {named:.20?}: ns, us, ms or s");
        return Err(ApiError::new(ErrorKind::Invalid, message).into());
    };
    let turn = app.writes.wait(&*app.backend, super::SOURCE).await;
    let _turn = turn.map_err(|message| ApiError::new(ErrorKind::Unavailable, message))?;
    let body = match plain_body(app, headers, body).await {
        Ok(body) => body,
        Err((status, reason, message)) => {
            let rejections = vec![Rejection::one(reason, message.clone())];
            app.backend.refused(SOURCE, "samples", rejections).await;
            return Err(Failure::new(status, ApiError::new(ErrorKind::Invalid, message)));
        }
    };
    let Decoded { batch, bad, bad_lines } = decode(&body, precision, app.backend.now(), app.backend.registry());
    let report = app.backend.ingest(SOURCE, batch).await.map_err(|error| {
        let kind = match &error {
            Error::Unavailable(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Failure::from(ApiError::new(kind, error.to_string()))
    })?;
    let decoded_here = [RejectReason::Malformed, RejectReason::BadLabels];
    let refused = report.rejections.iter().filter(|r| r.reason.is_error());
    let refused: Vec<_> = refused.filter(|r| !decoded_here.contains(&r.reason)).collect();
    if bad_lines == 0 && refused.is_empty() {
        return Ok(None);
    }
    let mut message = "partial write:".to_owned();
    for line in &bad {
        // Writing to a string cannot fail.
        let _ = write!(
            message,
            " unable to parse '{}' (line {}): {};",
            line.text, line.number, line.problem
        );
    }
    for rejection in &refused {
        let _ = write!(
            message,
            " {} samples {}: {:.300};",
            rejection.samples,
            rejection.reason.as_str(),
            rejection.example
        );
    }
    let dropped = bad_lines + refused.iter().map(|r| r.samples).sum::<u64>();
    let _ = write!(message, " dropped={dropped}");
    Ok(Some(message))
}

/// The body, decompressed, within the limits.
async fn plain_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, (StatusCode, RejectReason, String)> {
    let limit = app.limits.body_bytes;
    // The only other cause of an error here is a sender that hung up, which reads no answer.
    let body = axum::body::to_bytes(body, limit).await.map_err(|_| {
        let message = format!("the body is over {limit} bytes; send smaller batches");
        (StatusCode::PAYLOAD_TOO_LARGE, RejectReason::OverLimit, message)
    })?;
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("?"));
    match encoding.unwrap_or("identity") {
        "identity" | "" => Ok(body.to_vec()),
        "gzip" => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&body[..])
                .take(PLAIN_BYTES + 1)
                .read_to_end(&mut plain);
            match read {
                Err(error) => {
                    let message = format!("the body is not gzip: {error}");
                    Err((StatusCode::BAD_REQUEST, RejectReason::Malformed, message))
                }
                Ok(bytes) if bytes as u64 > PLAIN_BYTES => {
                    let message =
                        format!("the body is over {PLAIN_BYTES} bytes after decompression; send smaller batches");
                    Err((StatusCode::PAYLOAD_TOO_LARGE, RejectReason::OverLimit, message))
                }
                Ok(_) => Ok(plain),
            }
        }
        other => {
            let message = format!("content encoding must be gzip or none, got {other:.40?}");
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, RejectReason::Unsupported, message))
        }
    }
}

fn refusal(version: Version, status: StatusCode, message: &str) -> Response {
    let body = match version {
        Version::One => json!({ "error": message }),
        Version::Two => {
            let code = match status {
                StatusCode::BAD_REQUEST => "invalid",
                StatusCode::FORBIDDEN => "forbidden",
                StatusCode::PAYLOAD_TOO_LARGE => "request too large",
                StatusCode::SERVICE_UNAVAILABLE => "unavailable",
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported media type",
                _ => "internal error",
            };
            json!({ "code": code, "message": message })
        }
    };
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
