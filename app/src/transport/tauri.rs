//! Tauri's IPC: the same two calls and the same stream, without a socket.

use super::{Message, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wire::query::{ApiError, ErrorKind};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["window", "__TAURI__", "core"], js_name = invoke, catch)]
    fn tauri_invoke(command: &str, arguments: &JsValue) -> Result<js_sys::Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["window", "__TAURI__", "core"], js_name = Channel)]
    type TauriChannel;

    #[wasm_bindgen(constructor, js_class = Channel, js_namespace = ["window", "__TAURI__", "core"], catch)]
    fn new() -> Result<TauriChannel, JsValue>;

    #[wasm_bindgen(method, setter, structural, js_name = onmessage)]
    fn set_onmessage(this: &TauriChannel, handler: &JsValue);
}

/// Whether the page runs inside the desktop shell.
pub(super) fn is_present() -> bool {
    web_sys::window()
        .is_some_and(|window| js_sys::Reflect::has(&window, &JsValue::from_str("__TAURI__")).unwrap_or(false))
}

/// Calls a command of the shell with one argument.
pub(super) async fn invoke<T: DeserializeOwned>(
    command: &str,
    argument: &str,
    value: &impl Serialize,
) -> Result<T, ApiError> {
    let arguments = js_sys::Object::new();
    let value = js_sys::JSON::parse(&encode(value)?).map_err(|error| shell_error(&error))?;
    set(&arguments, argument, &value)?;
    let promise = tauri_invoke(command, &arguments).map_err(|error| shell_error(&error))?;
    let answer = JsFuture::from(promise).await.map_err(|error| shell_error(&error))?;
    decode(&text_of(&answer))
}

/// An open channel from the shell.
pub(crate) struct Stream {
    channel: TauriChannel,
    _on_message: Closure<dyn FnMut(JsValue)>,
}

impl Stream {
    pub(super) fn open(command: &'static str, on: impl Fn(Message) + Clone + 'static) -> Result<Self, ApiError> {
        let channel = TauriChannel::new().map_err(|error| shell_error(&error))?;
        let on_message = {
            let on = on.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| match decode(&text_of(&event)) {
                Ok(event) => on(Message::Event(event)),
                Err(error) => on(Message::Broken(error.message)),
            })
        };
        channel.set_onmessage(on_message.as_ref());
        let arguments = js_sys::Object::new();
        set(&arguments, "channel", channel.as_ref())?;
        let promise = tauri_invoke(command, &arguments).map_err(|error| shell_error(&error))?;
        wasm_bindgen_futures::spawn_local(async move {
            if let Err(error) = JsFuture::from(promise).await {
                on(Message::Broken(shell_error(&error).message));
            }
        });
        Ok(Self {
            channel,
            _on_message: on_message,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The shell notices a dead reader at its next send; until then messages must not reach a dropped closure.
        self.channel.set_onmessage(&js_sys::Function::new_no_args(""));
    }
}

fn set(object: &js_sys::Object, key: &str, value: &JsValue) -> Result<(), ApiError> {
    js_sys::Reflect::set(object, &JsValue::from_str(key), value)
        .map(|_| ())
        .map_err(|error| shell_error(&error))
}

/// The shell may send objects or their JSON text.
fn text_of(value: &JsValue) -> String {
    value
        .as_string()
        .unwrap_or_else(|| js_sys::JSON::stringify(value).map(String::from).unwrap_or_default())
}

/// The shell rejects with an [`ApiError`] object, or with a plain string when the command itself failed.
fn shell_error(error: &JsValue) -> ApiError {
    let text = text_of(error);
    serde_json::from_str(&text).unwrap_or_else(|_| {
        ApiError::new(
            ErrorKind::Internal,
            format!("the desktop shell could not answer: {text}"),
        )
    })
}
