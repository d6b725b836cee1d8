//! `POST /api/webhooks/firehose`: Amazon Data Firehose, which delivers CloudWatch's metric streams.
//!
//! Firehose takes 200 alone for success, repeats everything but 413, and reads no answer that is compressed or is not
//! `{"requestId", "timestamp"}`. What it repeats has the same name: one that was taken is not taken apart again. A request of which
//! nothing can be read is refused, so that Firehose keeps it in its bucket of failures; a bad part of a good one is counted.

use super::Receiver;
use super::changes::text;
use crate::http::App;
use crate::http::body::{self, BodyError};
use crate::http::reply::Failure;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Error;
use engine::ingest::cloudwatch::SOURCE;
use engine::ingest::cloudwatch::firehose::{FirehoseError, Request, common_attributes};
use engine::ingest::{RejectReason, Rejection};
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use wire::query::{ApiError, ErrorKind};

/// Names of requests that are remembered: Firehose repeats one for two hours at most, and a stream sends some thousand in that time.
const REMEMBERED: usize = 16_384;

/// Longest message to a sender, as Firehose has it.
const MAX_MESSAGE_BYTES: usize = 8192;

/// Longest access key, as Firehose has it.
const MAX_KEY_BYTES: usize = 4096;

const RECEIVER: Receiver = Receiver {
    source: SOURCE,
    kind: "samples",
};

/// Marks an answer that must not be compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsIs;

/// Requests that were taken, the oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Delivered(Mutex<(HashSet<String>, VecDeque<String>)>);

impl Delivered {
    fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.contains(id)
    }

    fn add(&self, id: &str) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *guard;
        if !known.insert(id.to_owned()) {
            return;
        }
        order.push_back(id.to_owned());
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }
}

pub(super) async fn receive(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let mut id = text(&headers, "x-amz-firehose-request-id").to_owned();
    let (status, message) = match take(&app, &headers, body, &mut id).await {
        Ok(()) => (StatusCode::OK, None),
        Err(failure) => {
            let (status, message) = failure.into_parts();
            (status, Some(message))
        }
    };
    let mut answer = json!({"requestId": id, "timestamp": app.backend.now().as_millis()});
    if let Some(mut message) = message {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        answer["errorMessage"] = message.into();
    }
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, headers, answer.to_string()).into_response();
    response.extensions_mut().insert(AsIs);
    response
}

/// Takes a request; `id` is its name afterwards, if it has one.
async fn take(app: &App, headers: &HeaderMap, body: Body, id: &mut String) -> Result<(), Failure> {
    let proof = |secret: &crate::secrets::Secret| {
        let key = text(headers, "x-amz-firehose-access-key").as_bytes();
        let is_known = key.len() <= MAX_KEY_BYTES && secret.is(key);
        is_known
            .then_some(())
            .ok_or("X-Amz-Firehose-Access-Key is not the key of [webhooks.firehose]")
    };
    let secret = app.secrets.firehose.as_ref();
    let identity = RECEIVER.admit(app, headers, secret, proof).await?;
    crate::auth::require(&identity, wire::status::Role::Operator, "writing samples")?;
    if !id.is_empty() && app.delivered.has(id) {
        return repeated(app, id).await;
    }
    let turn = app.writes.wait(&*app.backend, crate::http::SOURCE).await;
    let _turn = turn.map_err(|message| ApiError::new(ErrorKind::Unavailable, message))?;
    let body = match body::read(headers, body, app.backend.max_request_bytes(), &[]).await {
        Ok(body) => body,
        Err(error) => return Err(unreadable(app, &error).await),
    };
    let common = match text(headers, "x-amz-firehose-common-attributes") {
        "" => Ok(Vec::new()),
        attributes => common_attributes(attributes),
    };
    let parsed = common.and_then(|common| {
        let announced = (!id.is_empty()).then_some(id.as_str());
        Ok((common, Request::parse(&body, announced)?))
    });
    let (common, request) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Err(malformed(app, &error).await),
    };
    request.id().clone_into(id);
    if app.delivered.has(id) {
        return repeated(app, id).await;
    }
    let delivery = request.decode(&common, app.backend.registry());
    let is_useless = delivery.batch.samples.is_empty() && delivery.bad_records > 0;
    let problem = delivery.batch.rejections.first().map(|first| first.example.clone());
    let report = app.backend.ingest(SOURCE, delivery.batch).await.map_err(|error| {
        let kind = match &error {
            Error::Unavailable(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Failure::from(ApiError::new(kind, error.to_string()))
    })?;
    if is_useless {
        let records = request.records();
        let problem = problem.unwrap_or_default();
        let message = format!("none of {records} records is of a metric stream: {problem}");
        return Err(ApiError::new(ErrorKind::Invalid, message).into());
    }
    let refused: u64 = report
        .rejections
        .iter()
        .filter(|r| r.reason.is_error())
        .map(|r| r.samples)
        .sum();
    if refused > 0 {
        tracing::debug!(request = %id, refused, "a part of a delivery was refused");
    }
    app.delivered.add(id);
    Ok(())
}

/// A request that was taken before: its sender did not hear the answer.
async fn repeated(app: &App, id: &str) -> Result<(), Failure> {
    let example = format!("request {id:.100} was taken before");
    RECEIVER.refuse(app, RejectReason::Duplicate, &example).await;
    Ok(())
}

async fn malformed(app: &App, error: &FirehoseError) -> Failure {
    let reason = match error {
        FirehoseError::TooManyRecords(_) => RejectReason::OverLimit,
        _ => RejectReason::Malformed,
    };
    let problem = error.to_string();
    let rejections = vec![Rejection::one(reason, problem.clone())];
    app.backend.refused(SOURCE, RECEIVER.kind, rejections).await;
    ApiError::new(ErrorKind::Invalid, problem).into()
}

async fn unreadable(app: &App, error: &BodyError) -> Failure {
    let (status, reason) = match error {
        BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, RejectReason::OverLimit),
        BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, RejectReason::Unsupported),
        BodyError::BadGzip(_) => (StatusCode::BAD_REQUEST, RejectReason::Malformed),
    };
    let problem = error.to_string();
    RECEIVER.refuse(app, reason, &problem).await;
    Failure::new(status, ApiError::new(ErrorKind::Invalid, problem))
}
