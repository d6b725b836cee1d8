//! Answers that are not data: errors as JSON, each with its status.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use wire::query::{ApiError, ErrorKind};

/// An [`ApiError`] as an answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: ApiError,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: ApiError) -> Self {
        Self { status, error }
    }

    /// For an interface that writes errors in its own way.
    pub(super) fn into_parts(self) -> (StatusCode, String) {
        (self.status, self.error.message)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            status: status_of(error.kind),
            error,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// The status of each kind of failure.
pub(super) const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON body. The content type must say so: a browser asks first before it sends that to another site.
///
/// # Errors
/// 415 for another content type, 400 for JSON that does not fit, naming the place.
pub(super) fn parse_json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Failure> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("content type must be application/json, got {kind:?}");
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::new(ErrorKind::Invalid, message),
        ));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::new(ErrorKind::Invalid, format!("body: {error}")).into())
}

pub(super) async fn no_such_route(uri: Uri) -> Failure {
    ApiError::new(ErrorKind::NotFound, format!("there is nothing at {}", uri.path())).into()
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let (allowed, uri) = match uri.path() {
        "/api/watch" | "/metrics" | "/api/v2/status" | "/api/v2/receivers" | "/api/v2/alerts/groups" => {
            ("GET, HEAD", uri)
        }
        "/api/annotations" | "/api/v2/alerts" | "/api/v2/silences" => ("GET, HEAD, POST", uri),
        "/api/webhooks/alertmanager" | "/api/webhooks/grafana" => ("POST, PUT", uri),
        path if path.starts_with("/api/v2/silence/") => ("DELETE, GET, HEAD", uri),
        _ => ("POST", uri),
    };
    let message = format!("{} takes {allowed}, not {method}", uri.path());
    let error = Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ApiError::new(ErrorKind::Invalid, message),
    );
    ([(header::ALLOW, allowed)], error).into_response()
}
