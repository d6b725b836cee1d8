//! A handle on an engine behind HTTP: what the desktop shell uses for a remote server.

mod sse;

use async_trait::async_trait;
use engine::handle::Handle;
use futures::stream::{BoxStream, StreamExt as _};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::stream::Event;

/// A question or an order that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The server sends something at least every 15 s; a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(45);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// An engine behind HTTP.
#[derive(Clone, Debug)]
pub struct HttpHandle {
    client: Client,
    base: Url,
    token: Option<String>,
}

impl HttpHandle {
    /// A handle on the server at `base`, such as `http://127.0.0.1:7700`. Connects when first used.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `base` is not an HTTP address.
    pub fn new(base: &str, token: Option<String>) -> Result<Self, ApiError> {
        let invalid =
            |why: String| ApiError::new(ErrorKind::Invalid, format!("{base:?} is not a server address: {why}"));
        let mut url: Url = base.parse().map_err(|error| invalid(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("it must start with http:// or https://".to_owned()));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        // A proxy from the environment has no business between a console and its engine.
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build();
        let client = client.map_err(|error| ApiError::new(ErrorKind::Internal, format!("HTTP client: {error}")))?;
        Ok(Self {
            client,
            base: url,
            token,
        })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        let request = self.client.post(self.url(path)?).timeout(CALL_TIMEOUT).json(body);
        let response = self.send(request).await?;
        response
            .json()
            .await
            .map_err(|error| ApiError::new(ErrorKind::Internal, format!("answer of {path}: {error}")))
    }

    async fn open(&self) -> Result<Response, ApiError> {
        self.send(
            self.client
                .get(self.url("api/watch")?)
                .header(header::ACCEPT, "text/event-stream"),
        )
        .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ApiError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| {
            ApiError::new(
                ErrorKind::Unavailable,
                format!("no answer from {}: {}", self.base, deepest(&error)),
            )
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(serde_json::from_str(&text).unwrap_or_else(|_| {
            let start: String = text.chars().take(200).collect();
            ApiError::new(kind_of(status), format!("{} answered {status}: {start}", self.base))
        }))
    }

    fn url(&self, path: &str) -> Result<Url, ApiError> {
        self.base
            .join(path)
            .map_err(|error| ApiError::new(ErrorKind::Internal, format!("{path}: {error}")))
    }
}

#[async_trait]
impl Handle for HttpHandle {
    async fn query(&self, query: Query) -> Result<Reply, ApiError> {
        self.post("api/query", &query).await
    }

    async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        self.post("api/command", &command).await
    }

    /// Connects again when the connection breaks; the server then starts with a snapshot. Ends only when the server says
    /// that this identity may not watch any more.
    async fn watch(&self) -> Result<BoxStream<'static, Event>, ApiError> {
        let first = self.open().await?;
        let connection = Connection {
            handle: self.clone(),
            live: Some(Live::new(first)),
            retry: FIRST_RETRY,
        };
        Ok(futures::stream::unfold(connection, |mut connection| async move {
            let event = connection.next().await?;
            Some((event, connection))
        })
        .boxed())
    }
}

struct Connection {
    handle: HttpHandle,
    live: Option<Live>,
    retry: Duration,
}

impl Connection {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(live) = &mut self.live {
                match live.next().await {
                    Ok(event) => {
                        self.retry = FIRST_RETRY;
                        return Some(event);
                    }
                    Err(why) => tracing::debug!(why, server = %self.handle.base, "stream broke; connecting again"),
                }
                self.live = None;
            }
            tokio::time::sleep(self.retry).await;
            self.retry = (self.retry * 2).min(LAST_RETRY);
            match self.handle.open().await {
                Ok(response) => self.live = Some(Live::new(response)),
                Err(error) if error.kind == ErrorKind::Forbidden => {
                    tracing::warn!(%error, "the stream ended");
                    return None;
                }
                Err(error) => tracing::debug!(%error, "still no stream"),
            }
        }
    }
}

struct Live {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    parser: sse::Parser,
}

impl Live {
    fn new(response: Response) -> Self {
        let bytes = response
            .bytes_stream()
            .map(|chunk| chunk.map(|bytes| bytes.to_vec()))
            .boxed();
        Self {
            bytes,
            parser: sse::Parser::default(),
        }
    }

    async fn next(&mut self) -> Result<Event, String> {
        loop {
            if let Some(data) = self.parser.next_message()? {
                return serde_json::from_str(&data).map_err(|error| format!("event: {error}"));
            }
            match tokio::time::timeout(SILENCE, self.bytes.next()).await {
                Err(_) => return Err(format!("silent for {} s", SILENCE.as_secs())),
                Ok(None) => return Err("closed by the server".to_owned()),
                Ok(Some(Err(error))) => return Err(deepest(&error)),
                Ok(Some(Ok(bytes))) => self.parser.push(&bytes),
            }
        }
    }
}

const fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 | 502..=504 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}

/// reqwest's own message only says that sending failed; the reason is the last in the chain.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
