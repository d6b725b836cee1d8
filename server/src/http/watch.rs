//! `GET /api/watch`: the live stream as server-sent events, `id:` the sequence number, `data:` the event as JSON.
//!
//! There is no queue here: a reader whose socket is full is not polled, the engine counts what it misses, and sends it a new
//! snapshot when it reads again.

use super::App;
use super::reply::Failure;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt as _, StreamExt as _};
use std::time::Duration;
use wire::status::Identity;
use wire::stream::Event;

pub(super) async fn watch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
) -> Result<Response, Failure> {
    let events = app.handle(identity).watch().await?;
    let mut stopping = app.stopping.clone();
    let stopped = async move {
        // An error means that the server is gone, which is a stop as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let messages = events.map(|event| message(&event)).take_until(stopped.boxed());
    let mut response = Sse::new(messages)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)).text("alive"))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn message(event: &Event) -> Result<Message, axum::Error> {
    let seq = match event {
        Event::Snapshot(snapshot) => snapshot.seq,
        Event::Delta(delta) => delta.seq,
    };
    Message::default().id(seq.to_string()).json_data(event)
}
