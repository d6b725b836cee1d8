//! `/metrics`, `/-/healthy`, `/-/ready`.

use super::App;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The engine's own metrics, for a Prometheus to scrape.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        app.backend.metrics_text(),
    )
        .into_response()
}

/// The process answers.
pub(super) async fn healthy() -> &'static str {
    "Halo is healthy.\n"
}

/// The engine takes samples: it listens only once its log is replayed, so this fails while it stops and then alone.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if *app.stopping.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "Halo is stopping.\n")
    } else {
        (StatusCode::OK, "Halo is ready.\n")
    }
}
