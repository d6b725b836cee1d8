//! Requests arrive whole before anything is done with them.
//!
//! A sender on a slow line, or one that sends a byte a minute, holds nothing but what it has sent: no permit to write, and no
//! thread. It has a limit in time, and all that is arriving together has one in bytes. Who is over either is told to send again.

use super::{App, SOURCE};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use engine::ingest::{RejectReason, Rejection};
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of requests that are arriving or being worked on, all together.
const ROOM_BYTES: usize = 512 << 20;

/// Room is given out in pieces of this size.
const PIECE_BYTES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Arrivals {
    room: Arc<Semaphore>,
    timeout: Duration,
}

impl Arrivals {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM_BYTES / PIECE_BYTES)),
            timeout,
        }
    }
}

/// Lets a request go on once it is there.
pub(super) async fn whole(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let most = app.backend.max_request_bytes().max(app.limits.body_bytes);
    let arriving = arrive(body, most, &app.arrivals.room);
    match tokio::time::timeout(app.arrivals.timeout, arriving).await {
        Ok(Ok((body, _room))) => next.run(Request::from_parts(parts, body)).await,
        Ok(Err(Problem::NoRoom)) => {
            let problem = "too much is arriving at once; send again";
            put_off(&app, RejectReason::Overloaded, problem.to_owned()).await
        }
        // It reads no answer.
        Ok(Err(Problem::Gone)) => StatusCode::BAD_REQUEST.into_response(),
        Err(_) => {
            let problem = format!(
                "the request did not arrive within {} s (limits.read_timeout_secs); send less at once",
                app.arrivals.timeout.as_secs()
            );
            put_off(&app, RejectReason::TooSlow, problem).await
        }
    }
}

/// The same for those who are known; others are refused by the route itself, which reads nothing.
pub(super) async fn whole_if_known(state: State<App>, request: Request, next: Next) -> Response {
    if state.auth.identify(request.headers()).is_ok() {
        whole(state, request, next).await
    } else {
        next.run(request).await
    }
}

enum Problem {
    NoRoom,
    Gone,
}

/// The body, and its room. Of one that is too large the rest is left where it is: the route says so in its own way.
async fn arrive(body: Body, most: usize, room: &Arc<Semaphore>) -> Result<(Body, Vec<OwnedSemaphorePermit>), Problem> {
    let mut rest = body.into_data_stream();
    let (mut chunks, mut permits): (Vec<Result<Bytes, axum::Error>>, _) = (Vec::new(), Vec::new());
    let (mut bytes, mut paid) = (0, 0);
    while let Some(chunk) = rest.next().await {
        let chunk = chunk.map_err(|_| Problem::Gone)?;
        bytes += chunk.len();
        if bytes > paid {
            let pieces = (bytes - paid).div_ceil(PIECE_BYTES);
            let permit = u32::try_from(pieces).map_err(|_| Problem::NoRoom)?;
            let permit = Arc::clone(room).try_acquire_many_owned(permit);
            permits.push(permit.map_err(|_| Problem::NoRoom)?);
            paid += pieces * PIECE_BYTES;
        }
        chunks.push(Ok(chunk));
        if bytes > most {
            break;
        }
    }
    let body = if bytes > most {
        Body::from_stream(futures::stream::iter(chunks).chain(rest))
    } else {
        match <[Result<Bytes, axum::Error>; 1]>::try_from(chunks) {
            Ok([Ok(only)]) => Body::from(only),
            Ok([Err(_)]) => return Err(Problem::Gone),
            Err(chunks) => Body::from_stream(futures::stream::iter(chunks)),
        }
    };
    Ok((body, permits))
}

/// 503, after which every sender sends again; on a new connection, since the rest of this request may still come.
async fn put_off(app: &App, reason: RejectReason, problem: String) -> Response {
    let rejections = vec![Rejection::one(reason, problem.clone())];
    app.backend.refused(SOURCE, "requests", rejections).await;
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, problem + "\n").into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
