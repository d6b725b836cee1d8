//! HTTP for questions and orders, server-sent events for the stream.

use super::{Message, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{EventSource, Headers, MessageEvent, RequestInit, Response};
use wire::query::{ApiError, ErrorKind};

/// Posts JSON and reads the JSON answer. A refusal comes back as the [`ApiError`] the server sent.
pub(super) async fn post<T: DeserializeOwned>(path: &str, body: &impl Serialize) -> Result<T, ApiError> {
    let (ok, status, text) = send(path, &encode(body)?).await.map_err(|_| {
        ApiError::new(
            ErrorKind::Unavailable,
            "the engine cannot be reached; check that halo is running",
        )
    })?;
    if ok {
        return decode(&text);
    }
    Err(serde_json::from_str::<ApiError>(&text).unwrap_or_else(|_| {
        let kind = match status {
            400 => ErrorKind::Invalid,
            401 | 403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            502..=504 => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        ApiError::new(
            kind,
            format!(
                "{path} answered {status}: {}",
                text.chars().take(200).collect::<String>()
            ),
        )
    }))
}

async fn send(path: &str, body: &str) -> Result<(bool, u16, String), JsValue> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&JsValue::from_str(body));
    let window = web_sys::window().ok_or("no window")?;
    let response: Response = JsFuture::from(window.fetch_with_str_and_init(path, &init))
        .await?
        .dyn_into()?;
    let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
    Ok((response.ok(), response.status(), text))
}

/// An open event stream.
pub(crate) struct Stream {
    source: EventSource,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut()>,
}

impl Stream {
    pub(super) fn open(path: &str, on: impl Fn(Message) + Clone + 'static) -> Result<Self, ApiError> {
        let source = EventSource::new(path)
            .map_err(|_| ApiError::new(ErrorKind::Unavailable, "this browser refused to open the event stream"))?;
        let on_message = {
            let on = on.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                let Some(text) = event.data().as_string() else { return };
                match decode(&text) {
                    Ok(event) => on(Message::Event(event)),
                    Err(error) => on(Message::Broken(error.message)),
                }
            })
        };
        // EventSource would retry by itself, but without backoff and without telling how long; the caller does both.
        let on_error =
            Closure::<dyn FnMut()>::new(move || on(Message::Broken("the event stream was closed".to_owned())));
        source.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self {
            source,
            _on_message: on_message,
            _on_error: on_error,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.set_onmessage(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}
