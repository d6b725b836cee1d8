//! Alerts by webhook: from Alertmanager and from Grafana.

use super::{Receiver, order};
use crate::auth::require;
use crate::http::App;
use crate::http::reply::Failure;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use engine::ingest::alerts::{DecodedAlerts, decode_webhook};
use serde_json::{Value, json};
use wire::command::Command;
use wire::status::{Identity, Role};

const ALERTMANAGER: Receiver = Receiver {
    source: "alertmanager_webhook",
    kind: "alerts",
};

const GRAFANA: Receiver = Receiver {
    source: "grafana_webhook",
    kind: "alerts",
};

pub(super) async fn alertmanager(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = ALERTMANAGER.body(&app, body).await?;
    take(ALERTMANAGER, &app, identity, &body).await
}

/// Grafana may sign what it sends; with a secret in the configuration it must. Else it needs a token like others.
pub(super) async fn grafana(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = GRAFANA.body(&app, body).await?;
    let identity = match &app.secrets.grafana {
        None => match app.auth.identify(&headers) {
            Ok(identity) => identity,
            Err(denied) => return Err(GRAFANA.unauthenticated(&app, denied.0).await),
        },
        secret => {
            let proof = |secret: &crate::secrets::Secret| {
                let signature = headers.get("x-grafana-alerting-signature");
                let hex = signature.and_then(|value| value.to_str().ok());
                let hex = hex.ok_or("not signed: X-Grafana-Alerting-Signature is missing")?;
                let signed = secret.signed(&body, hex);
                signed
                    .then_some(())
                    .ok_or("the signature is not made with the secret of [webhooks.grafana]")
            };
            GRAFANA.admit(&app, &headers, secret.as_ref(), proof).await?
        }
    };
    take(GRAFANA, &app, identity, &body).await
}

/// Answered once the alerts are on record. An alert that is refused by itself is counted; the sender would only send it again.
async fn take(receiver: Receiver, app: &App, identity: Identity, body: &[u8]) -> Result<Json<Value>, Failure> {
    require(&identity, Role::Operator, "sending alerts")?;
    let decoded = match decode_webhook(body, app.backend.now()) {
        Ok(decoded) => decoded,
        Err(problem) => return Err(receiver.malformed(app, &problem).await),
    };
    let refused: Vec<String> = decoded.rejections.iter().map(|r| r.example.clone()).collect();
    let message = receive(receiver, app, identity, decoded).await?;
    Ok(Json(
        json!({ "status": "success", "message": message, "refused": refused }),
    ))
}

/// Hands alerts to the engine and counts what was refused of the message.
pub(in crate::http) async fn receive(
    receiver: Receiver,
    app: &App,
    identity: Identity,
    decoded: DecodedAlerts,
) -> Result<String, Failure> {
    if !decoded.rejections.is_empty() {
        app.backend
            .refused(receiver.source, receiver.kind, decoded.rejections)
            .await;
    }
    if decoded.alerts.is_empty() {
        return Ok("no alerts".to_owned());
    }
    let command = Command::ReceiveAlerts {
        source: receiver.source.to_owned(),
        alerts: decoded.alerts,
    };
    order(app, identity, command).await
}
