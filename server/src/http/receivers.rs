//! What other tools send beside samples: webhooks about changes and alerts. Here is who may send and what becomes of a message; the
//! formats are `engine::ingest::changes` and `engine::ingest::alerts`.
//!
//! Everything is on record before it is acknowledged, and recorded once however often it is delivered. Everything refused is
//! counted under the name of its format. A sender that cannot send a token proves itself with a secret; without a secret in the
//! configuration its route is off.

mod alerts;
mod annotations;
mod changes;
mod firehose;

pub(super) use alerts::receive;
pub(super) use firehose::{AsIs, Delivered};

use super::App;
use super::reply::{self, Failure};
use crate::auth::require;
use crate::secrets::Secret;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::ingest::changes::{Decoded, Outcome};
use engine::ingest::{RejectReason, Rejection};
use serde_json::{Value, json};
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Reply};
use wire::status::{Identity, Role};
use wire::topology::Deploy;

/// Largest message. A group of a thousand alerts has less.
const BODY_BYTES: usize = 8 << 20;

/// Routes for whoever has a token, or sits at this machine.
pub(super) fn known() -> Router<App> {
    Router::new()
        .route(
            "/api/annotations",
            get(annotations::list)
                .post(annotations::add)
                .fallback(reply::method_not_allowed),
        )
        .route(
            "/api/annotations/graphite",
            post(annotations::add_graphite).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/webhooks/cdevents",
            post(changes::cdevents).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/webhooks/argocd",
            post(changes::argocd).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/webhooks/alertmanager",
            post(alerts::alertmanager)
                .put(alerts::alertmanager)
                .fallback(reply::method_not_allowed),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// Routes whose senders prove themselves in their own way.
pub(super) fn signed() -> Router<App> {
    Router::new()
        .route(
            "/api/webhooks/github",
            post(changes::github).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/webhooks/gitlab",
            post(changes::gitlab).fallback(reply::method_not_allowed),
        )
        .route(
            "/v2/change/enqueue",
            post(changes::pagerduty).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/webhooks/grafana",
            post(alerts::grafana)
                .put(alerts::grafana)
                .fallback(reply::method_not_allowed),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        // This one reads its body itself, and takes more.
        .route(
            "/api/webhooks/firehose",
            post(firehose::receive).fallback(reply::method_not_allowed),
        )
}

/// A format: how it is counted, and what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver {
    pub(super) source: &'static str,
    /// `changes`, `alerts` or `samples`.
    pub(super) kind: &'static str,
}

impl Receiver {
    /// Counts one message that was refused.
    pub(super) async fn refuse(self, app: &App, reason: RejectReason, problem: &str) {
        let rejection = Rejection::one(reason, problem);
        app.backend.refused(self.source, self.kind, vec![rejection]).await;
    }

    /// The body, if it is within the limit.
    pub(super) async fn body(self, app: &App, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
        match body {
            Ok(body) => Ok(body),
            Err(rejection) => {
                let status = rejection.status();
                let problem = format!(
                    "{}: the body: {rejection}; at most {BODY_BYTES} bytes are taken",
                    self.source
                );
                self.refuse(app, RejectReason::OverLimit, &problem).await;
                Err(Failure::new(status, ApiError::new(ErrorKind::Invalid, problem)))
            }
        }
    }

    /// A message that makes no sense.
    pub(super) async fn malformed(self, app: &App, problem: &str) -> Failure {
        let problem = format!("{}: {problem}", self.source);
        self.refuse(app, RejectReason::Malformed, &problem).await;
        ApiError::new(ErrorKind::Invalid, problem).into()
    }

    /// A sender that did not prove itself.
    pub(super) async fn unauthenticated(self, app: &App, problem: &str) -> Failure {
        let problem = format!("{}: {problem}", self.source);
        self.refuse(app, RejectReason::Unauthenticated, &problem).await;
        Failure::new(StatusCode::UNAUTHORIZED, ApiError::new(ErrorKind::Forbidden, problem))
    }

    /// Who sends to a route whose senders sign: with a secret in the configuration who knows it, without one who has a token.
    pub(super) async fn admit(
        self,
        app: &App,
        headers: &HeaderMap,
        secret: Option<&Secret>,
        proof: impl FnOnce(&Secret) -> Result<(), &'static str>,
    ) -> Result<Identity, Failure> {
        if let Some(secret) = secret {
            return match proof(secret) {
                Ok(()) => Ok(Identity {
                    name: format!("webhook:{}", self.source),
                    role: Role::Operator,
                }),
                Err(problem) => Err(self.unauthenticated(app, problem).await),
            };
        }
        if !headers.contains_key(header::AUTHORIZATION) {
            let table = match self.source {
                engine::ingest::cloudwatch::SOURCE => "firehose",
                source => source.split('_').next().unwrap_or_default(),
            };
            let problem = format!(
                "{} is off: set secret_file or secret_env in [webhooks.{table}], or send an operator's token",
                self.source
            );
            self.refuse(app, RejectReason::Unauthenticated, &problem).await;
            return Err(ApiError::new(ErrorKind::NotFound, problem).into());
        }
        match app.auth.identify(headers) {
            Ok(identity) => Ok(identity),
            Err(denied) => Err(self.unauthenticated(app, denied.0).await),
        }
    }

    /// Records what a message says. Returns the changes, or why there are none.
    pub(super) async fn record(
        self,
        app: &App,
        identity: Identity,
        outcome: Outcome,
    ) -> Result<Result<Vec<Deploy>, String>, Failure> {
        require(&identity, Role::Operator, "recording a change")?;
        let changes = match outcome {
            Ok(Decoded::Changes(changes)) => changes,
            Ok(Decoded::Ignored(reason)) => {
                self.refuse(app, RejectReason::Ignored, &reason).await;
                return Ok(Err(reason));
            }
            Err(problem) => return Err(self.malformed(app, &problem).await),
        };
        let handle = app.handle(identity);
        for change in &changes {
            let deploy = change.clone();
            handle.command(Command::RecordDeploy { deploy }).await?;
        }
        Ok(Ok(changes))
    }

    /// The same, answered with 202 and a sentence.
    async fn acknowledge(
        self,
        app: &App,
        identity: Identity,
        outcome: Outcome,
    ) -> Result<(StatusCode, Json<Value>), Failure> {
        let message = match self.record(app, identity, outcome).await? {
            Ok(changes) => format!("{} on record", changes.len()),
            Err(reason) => format!("ignored: {reason}"),
        };
        Ok((
            StatusCode::ACCEPTED,
            Json(json!({ "status": "success", "message": message })),
        ))
    }
}

/// An order whose answer is a sentence.
pub(super) async fn order(app: &App, identity: Identity, command: Command) -> Result<String, Failure> {
    match app.handle(identity).command(command).await? {
        Reply::Done(text) => Ok(text),
        _ => Err(ApiError::new(ErrorKind::Internal, "the engine answered another question").into()),
    }
}

#[cfg(test)]
pub(in crate::http) mod tests;
