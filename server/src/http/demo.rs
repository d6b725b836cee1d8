//! The other end of the demo's remediation webhook: a real address that records what it was asked to do.

use super::reply::{Failure, parse_json};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Where playbook webhooks go in the demo.
pub const BASE: &str = "/api/demo/remediation";

/// Calls kept.
const KEPT: usize = 100;

/// What the demo's remediation webhook received, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Receiver(Arc<Mutex<VecDeque<Received>>>);

#[derive(Clone, Debug, Serialize)]
struct Received {
    /// What follows the base address, such as `/scale`.
    path: String,
    idempotency_key: Option<String>,
    body: serde_json::Value,
}

impl Receiver {
    /// Listens on a loopback port of its own, where no server of Halo's runs, until the runtime ends. Returns the base
    /// address for webhooks.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn listen(self) -> std::io::Result<String> {
        let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes::<()>(self)).await {
                tracing::error!(%error, "the stand-in for the remediation webhook has ended");
            }
        });
        Ok(format!("http://{address}{BASE}"))
    }
}

/// `POST /api/demo/remediation` records and answers 200; `GET` lists. A key that was seen is not recorded twice.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(receiver: Receiver) -> Router<S> {
    Router::new()
        .route(BASE, post(receive).get(list))
        .route(&format!("{BASE}/{{*path}}"), post(receive))
        .with_state(receiver)
}

async fn receive(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<serde_json::Value>), Failure> {
    let body: serde_json::Value = parse_json(&headers, &body)?;
    let idempotency_key = headers
        .get("idempotency-key")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let mut calls = receiver.0.lock().unwrap_or_else(PoisonError::into_inner);
    let repeated = idempotency_key.is_some() && calls.iter().any(|call| call.idempotency_key == idempotency_key);
    if !repeated {
        let path = uri.path().trim_start_matches(BASE).to_owned();
        tracing::info!(path, %body, "the demo's remediation webhook was called");
        if calls.len() == KEPT {
            calls.pop_front();
        }
        calls.push_back(Received {
            path,
            idempotency_key,
            body,
        });
    }
    Ok((
        StatusCode::OK,
        Json(serde_json::json!({ "received": true, "repeated": repeated })),
    ))
}

async fn list(State(receiver): State<Receiver>) -> Json<Vec<Received>> {
    let calls = receiver.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(calls.iter().cloned().collect())
}
