//! PagerDuty change events: `POST /v2/change/enqueue` (developer.pagerduty.com, "Send a change event").
//!
//! The service is `service` or `entity` of the custom details, else the source. An event has no id of its own: of two that say the
//! same of the same instant, one is recorded.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, kind_of, time_of};
use serde::Deserialize;
use serde_json::{Map, Value};
use wire::Timestamp;
use wire::topology::Deploy;

/// The name under which they are counted.
pub const SOURCE: &str = "pagerduty_changes";

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    routing_key: String,
    payload: Payload,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    summary: String,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    custom_details: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    href: String,
}

/// The key of a message, by which its sender is known; whatever else is wrong with it.
pub fn routing_key(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Key {
        routing_key: String,
    }
    serde_json::from_slice::<Key>(body).map_or_else(|_| String::new(), |key| key.routing_key)
}

/// Reads a message.
///
/// # Errors
/// If it is none; the message names the field.
pub fn decode(body: &[u8], now: Timestamp) -> Outcome {
    let message: Message = serde_json::from_slice(body).map_err(|error| format!("change event: {error}"))?;
    // The key is a secret: who may send was asked before.
    drop(message.routing_key);
    let payload = message.payload;
    if payload.summary.trim().is_empty() {
        return Err("payload.summary: must not be empty".to_owned());
    }
    let detail = |names: &[&str]| {
        let found = names
            .iter()
            .find_map(|name| payload.custom_details.get(*name)?.as_str());
        found.filter(|text| !text.trim().is_empty()).map(str::to_owned)
    };
    let at = match &payload.timestamp {
        Some(text) => time_of(text).ok_or_else(|| format!("payload.timestamp: {text:.64?} is no ISO 8601 time"))?,
        None => now,
    };
    let entity = detail(&["service", "entity"]).or_else(|| payload.source.clone().filter(|s| !s.trim().is_empty()));
    let version = detail(&["version"]).unwrap_or_else(|| payload.summary.clone());
    let links = message.links.iter().map(|link| link.href.as_str());
    let note: Vec<&str> = std::iter::once(payload.summary.as_str()).chain(links).collect();
    Ok(Decoded::Changes(vec![Deploy {
        kind: detail(&["kind", "type"])
            .as_deref()
            .and_then(kind_of)
            .unwrap_or_default(),
        note: cut(&note.join("\n"), MAX_NOTE_BYTES),
        ..change(SOURCE, at, entity.as_deref().unwrap_or(Deploy::EVERYTHING), &version)?
    }]))
}
