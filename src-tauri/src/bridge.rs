//! Three commands over one handle.

use engine::handle::Handle;
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tauri::async_runtime::{self, JoinHandle};
use tauri::ipc::Channel;
use tauri::{Builder, Runtime, State, Webview};
use wire::command::Command;
use wire::query::{ApiError, Query, Reply};
use wire::stream::Event;

/// What the commands share: the engine, and the stream of each page.
pub struct Bridge {
    handle: Arc<dyn Handle>,
    /// By webview label. A page that is loaded again starts a new stream; the old one has no reader left.
    streams: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}

/// Gives the pages of `builder` the engine behind `handle`.
pub fn attach<R: Runtime>(builder: Builder<R>, handle: Arc<dyn Handle>) -> Builder<R> {
    builder
        .manage(Bridge {
            handle,
            streams: Mutex::default(),
        })
        .invoke_handler(tauri::generate_handler![halo_query, halo_command, halo_watch])
}

#[tauri::command]
async fn halo_query(bridge: State<'_, Bridge>, query: Query) -> Result<Reply, ApiError> {
    bridge.handle.query(query).await
}

#[tauri::command]
async fn halo_command(bridge: State<'_, Bridge>, command: Command) -> Result<Reply, ApiError> {
    bridge.handle.command(command).await
}

/// Sends every event to `channel` until the page is gone or asks for another stream.
#[tauri::command]
async fn halo_watch<R: Runtime>(
    webview: Webview<R>,
    bridge: State<'_, Bridge>,
    channel: Channel<Event>,
) -> Result<(), ApiError> {
    let mut events = bridge.handle.watch().await?;
    let stream = async_runtime::spawn(async move {
        while let Some(event) = events.next().await {
            if let Err(error) = channel.send(event) {
                tracing::debug!(%error, "the page is gone; its stream ends");
                break;
            }
        }
    });
    let mut streams = bridge.streams.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(previous) = streams.insert(webview.label().to_owned(), stream) {
        previous.abort();
    }
    Ok(())
}
