//! The only way in and out of the console: the engine behind HTTP, or the engine inside the desktop shell.

mod http;
mod tauri;

use serde::de::DeserializeOwned;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::stream::Event;

/// Where the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The server that served this page.
    Http,
    /// In this process, behind Tauri's IPC.
    Tauri,
}

/// What the stream says.
#[derive(Debug)]
pub(crate) enum Message {
    Event(Event),
    /// No more will come; the caller opens a new stream.
    Broken(String),
}

/// An open stream; dropping it closes it.
pub(crate) enum Subscription {
    Http { _stream: http::Stream },
    Tauri { _stream: tauri::Stream },
}

impl Transport {
    /// Chooses by what the page runs in.
    pub(crate) fn detect() -> Self {
        if tauri::is_present() { Self::Tauri } else { Self::Http }
    }

    /// Asks a question.
    pub(crate) async fn query(self, query: &Query) -> Result<Reply, ApiError> {
        match self {
            Self::Http => http::post("/api/query", query).await,
            Self::Tauri => tauri::invoke("halo_query", "query", query).await,
        }
    }

    /// Gives an order.
    pub(crate) async fn command(self, command: &Command) -> Result<Reply, ApiError> {
        match self {
            Self::Http => http::post("/api/command", command).await,
            Self::Tauri => tauri::invoke("halo_command", "command", command).await,
        }
    }

    /// Opens the live stream. `on` is called once per message, never after the subscription is dropped.
    pub(crate) fn watch(self, on: impl Fn(Message) + Clone + 'static) -> Result<Subscription, ApiError> {
        match self {
            Self::Http => http::Stream::open("/api/watch", on).map(|stream| Subscription::Http { _stream: stream }),
            Self::Tauri => tauri::Stream::open("halo_watch", on).map(|stream| Subscription::Tauri { _stream: stream }),
        }
    }
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(|error| {
        ApiError::new(
            ErrorKind::Internal,
            format!("the engine's answer could not be read ({error}); console and engine may be of different versions"),
        )
    })
}

fn encode(value: &impl serde::Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value)
        .map_err(|error| ApiError::new(ErrorKind::Invalid, format!("the request could not be written: {error}")))
}
