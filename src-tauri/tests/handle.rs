//! The handle's contract over Tauri's IPC, with Tauri's own mock runtime in place of a window: arguments and answers go
//! through the same JSON and the same dispatch as the page's.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use async_trait::async_trait;
use engine::handle::Handle;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tauri::WebviewWindow;
use tauri::ipc::{CallbackFn, InvokeBody, InvokeResponseBody};
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets};
use tauri::webview::InvokeRequest;
use tests::handle_suite::{self, Seats, identity};
use tokio::sync::mpsc;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::status::Role;
use wire::stream::Event;

/// Events by the id of the channel they were sent to.
type Channels = Arc<Mutex<BTreeMap<u32, mpsc::Sender<Event>>>>;

/// What the page's transport does, in Rust.
struct IpcHandle {
    window: WebviewWindow<MockRuntime>,
    channels: Channels,
    next_channel: AtomicU32,
}

impl IpcHandle {
    async fn invoke(&self, command: &str, arguments: Value) -> Result<Value, ApiError> {
        let request = InvokeRequest {
            cmd: command.to_owned(),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: InvokeBody::Json(arguments),
            headers: tauri::http::HeaderMap::new(),
            invoke_key: INVOKE_KEY.to_owned(),
        };
        let window = self.window.clone();
        let answer = tokio::task::spawn_blocking(move || get_ipc_response(&window, request))
            .await
            .unwrap();
        match answer {
            Ok(body) => Ok(body.deserialize().unwrap()),
            Err(error) => Err(serde_json::from_value(error.clone())
                .unwrap_or_else(|_| ApiError::new(ErrorKind::Invalid, error.to_string()))),
        }
    }
}

/// The application must outlive the handle.
fn ipc_handle(inner: Arc<dyn Handle>) -> (tauri::App<MockRuntime>, Arc<dyn Handle>) {
    let channels = Channels::default();
    let sink = Arc::clone(&channels);
    let builder = mock_builder().channel_interceptor(move |_, callback, _, body| {
        let InvokeResponseBody::Json(text) = body else {
            panic!("events are JSON")
        };
        let event = serde_json::from_str(text).expect("the channel carries events");
        if let Some(sender) = sink.lock().unwrap().get(&callback.0) {
            sender.try_send(event).expect("the suite reads");
        }
        true
    });
    let app = desktop::attach(builder, inner)
        .build(mock_context(noop_assets()))
        .unwrap();
    let window = tauri::WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::default())
        .build()
        .unwrap();
    (
        app,
        Arc::new(IpcHandle {
            window,
            channels,
            next_channel: AtomicU32::new(1),
        }),
    )
}

#[async_trait]
impl Handle for IpcHandle {
    async fn query(&self, query: Query) -> Result<Reply, ApiError> {
        let value = self.invoke("halo_query", json!({ "query": query })).await?;
        Ok(serde_json::from_value(value).unwrap())
    }

    async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        let value = self.invoke("halo_command", json!({ "command": command })).await?;
        Ok(serde_json::from_value(value).unwrap())
    }

    async fn watch(&self) -> Result<BoxStream<'static, Event>, ApiError> {
        let id = self.next_channel.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(1024);
        self.channels.lock().unwrap().insert(id, sender);
        self.invoke("halo_watch", json!({ "channel": format!("__CHANNEL__:{id}") }))
            .await?;
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            let event = receiver.recv().await?;
            Some((event, receiver))
        });
        Ok(events.boxed())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ipc() {
    let folder = tempfile::tempdir().unwrap();
    let engine = handle_suite::engine(folder.path()).await;
    let seat = |role| ipc_handle(engine.handle(identity(role)));
    let ((_first, operator), (_second, viewer)) = (seat(Role::Operator), seat(Role::Viewer));
    handle_suite::run(Seats { operator, viewer }).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_cannot_be_reached_is_unavailable() {
    let nowhere = server::client::HttpHandle::new("http://127.0.0.1:1", None).unwrap();
    let (_app, handle) = ipc_handle(Arc::new(nowhere));
    let error = handle.query(Query::Snapshot).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(handle.watch().await.err().map(|e| e.kind), Some(ErrorKind::Unavailable));
}
