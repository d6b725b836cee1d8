//! Deploys and other changes, by webhook.

use super::Receiver;
use crate::http::App;
use crate::http::reply::Failure;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use engine::ingest::changes::{argocd as argocd_format, cdevents as cdevents_format, github as github_format};
use engine::ingest::changes::{gitlab as gitlab_format, pagerduty as pagerduty_format};
use serde_json::Value;
use wire::status::Identity;

type Answer = Result<(StatusCode, Json<Value>), Failure>;
type Body = Result<Bytes, BytesRejection>;

const fn receiver(source: &'static str) -> Receiver {
    Receiver {
        source,
        kind: "changes",
    }
}

/// A header as text; missing or not text: empty.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The signature is checked before anything of the body is looked at.
pub(super) async fn github(State(app): State<App>, headers: HeaderMap, body: Body) -> Answer {
    let receiver = receiver(github_format::SOURCE);
    let body = receiver.body(&app, body).await?;
    let proof = |secret: &crate::secrets::Secret| {
        let signature = text(&headers, "x-hub-signature-256");
        let hex = signature
            .strip_prefix("sha256=")
            .ok_or("not signed: X-Hub-Signature-256 is missing")?;
        let signed = secret.signed(&body, hex);
        signed
            .then_some(())
            .ok_or("the signature is not made with the secret of [webhooks.github]")
    };
    let identity = receiver
        .admit(&app, &headers, app.secrets.github.as_ref(), proof)
        .await?;
    if text(&headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded") {
        let problem = "set the webhook's content type to application/json";
        return Err(receiver.malformed(&app, problem).await);
    }
    let event = text(&headers, "x-github-event");
    let outcome = github_format::decode(event, &body, app.backend.now());
    receiver.acknowledge(&app, identity, outcome).await
}

pub(super) async fn gitlab(State(app): State<App>, headers: HeaderMap, body: Body) -> Answer {
    let receiver = receiver(gitlab_format::SOURCE);
    let body = receiver.body(&app, body).await?;
    let proof = |secret: &crate::secrets::Secret| match text(&headers, "x-gitlab-token") {
        "" => Err("X-Gitlab-Token is missing"),
        token => secret
            .is(token.as_bytes())
            .then_some(())
            .ok_or("X-Gitlab-Token is not the one of [webhooks.gitlab]"),
    };
    let identity = receiver
        .admit(&app, &headers, app.secrets.gitlab.as_ref(), proof)
        .await?;
    let outcome = gitlab_format::decode(&body, app.backend.now());
    receiver.acknowledge(&app, identity, outcome).await
}

/// PagerDuty's events API has no headers: the key is in the body.
pub(super) async fn pagerduty(State(app): State<App>, headers: HeaderMap, body: Body) -> Answer {
    let receiver = receiver(pagerduty_format::SOURCE);
    let body = receiver.body(&app, body).await?;
    let proof = |secret: &crate::secrets::Secret| {
        let key = pagerduty_format::routing_key(&body);
        let known = secret.is(key.as_bytes());
        known
            .then_some(())
            .ok_or("routing_key is not the one of [webhooks.pagerduty]")
    };
    let identity = receiver
        .admit(&app, &headers, app.secrets.pagerduty.as_ref(), proof)
        .await?;
    let outcome = pagerduty_format::decode(&body, app.backend.now());
    receiver.acknowledge(&app, identity, outcome).await
}

pub(super) async fn argocd(State(app): State<App>, Extension(identity): Extension<Identity>, body: Body) -> Answer {
    let receiver = receiver(argocd_format::SOURCE);
    let body = receiver.body(&app, body).await?;
    let outcome = argocd_format::decode(&body, app.backend.now());
    receiver.acknowledge(&app, identity, outcome).await
}

/// Binary mode if the type stands in a header, else structured or a batch.
pub(super) async fn cdevents(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let receiver = receiver(cdevents_format::SOURCE);
    let body = receiver.body(&app, body).await?;
    let now = app.backend.now();
    let own = |name: &str| text(&headers, name).to_owned();
    let outcome = if headers.contains_key("ce-type") {
        let attributes = cdevents_format::Attributes {
            specversion: own("ce-specversion"),
            id: own("ce-id"),
            source: own("ce-source"),
            kind: own("ce-type"),
            time: Some(own("ce-time")).filter(|time| !time.is_empty()),
        };
        cdevents_format::decode_binary(&attributes, &body, now)
    } else if own("content-type").starts_with("application/cloudevents") {
        cdevents_format::decode_structured(&body, now)
    } else {
        Err("no CloudEvent: neither ce-type nor the content type application/cloudevents+json".to_owned())
    };
    receiver.acknowledge(&app, identity, outcome).await
}
