//! CDEvents (`dev.cdevents.service.*`) in CloudEvents over HTTP, binary and structured, one event or a batch.
//!
//! Specification: cdevents/spec, `continuous-deployment.md`; CloudEvents HTTP protocol binding 1.0. Other types of event are no changes.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, tags, time_of};
use serde::Deserialize;
use serde_json::Value;
use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};

/// The name under which they are counted.
pub const SOURCE: &str = "cdevents";

const PREFIX: &str = "dev.cdevents.service.";

/// Events of one batch at most.
const MAX_EVENTS: usize = 1000;

/// The context attributes of an event: headers `ce-*` in binary mode.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Attributes {
    #[serde(default)]
    pub specversion: String,
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub source: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub time: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Structured {
    #[serde(flatten)]
    attributes: Attributes,
    #[serde(default)]
    data: Value,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default)]
    context: Context,
    subject: Subject,
}

#[derive(Debug, Default, Deserialize)]
struct Context {
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    id: String,
    #[serde(default)]
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    environment: Option<Environment>,
    #[serde(default)]
    artifact_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    #[serde(default)]
    id: String,
}

/// Reads an event whose attributes came in headers.
///
/// # Errors
/// If it is none; the message names the attribute or the place.
pub fn decode_binary(attributes: &Attributes, body: &[u8], now: Timestamp) -> Outcome {
    // A type of no interest may have any body.
    if let Some(ignored) = ignored(attributes)? {
        return Ok(ignored);
    }
    let data = serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
    event(attributes, data, now)
}

/// Reads an event, or a list of events, that carries its attributes with it.
///
/// # Errors
/// If it is none; the message names the attribute or the place.
pub fn decode_structured(body: &[u8], now: Timestamp) -> Outcome {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
    let events = match value {
        Value::Array(events) if events.len() > MAX_EVENTS => {
            return Err(format!(
                "{} events in one batch, at most {MAX_EVENTS} are taken",
                events.len()
            ));
        }
        Value::Array(events) => events,
        one => vec![one],
    };
    let (mut changes, mut why) = (Vec::new(), "an empty batch".to_owned());
    for (place, value) in events.into_iter().enumerate() {
        let at = |problem: String| format!("event {}: {problem}", place + 1);
        let one: Structured = serde_json::from_value(value).map_err(|error| at(error.to_string()))?;
        match event(&one.attributes, one.data, now).map_err(at)? {
            Decoded::Changes(more) => changes.extend(more),
            Decoded::Ignored(reason) => why = reason,
        }
    }
    Ok(if changes.is_empty() {
        Decoded::Ignored(why)
    } else {
        Decoded::Changes(changes)
    })
}

/// Checks the attributes; an event of another type is of no interest.
fn ignored(attributes: &Attributes) -> Result<Option<Decoded>, String> {
    if !attributes.specversion.starts_with("1.") {
        return Err(format!("specversion: must be 1.0, got {:.20?}", attributes.specversion));
    }
    for (name, value) in [
        ("id", &attributes.id),
        ("source", &attributes.source),
        ("type", &attributes.kind),
    ] {
        if value.is_empty() || value.len() > 1024 {
            return Err(format!("{name}: must have 1 to 1024 bytes"));
        }
    }
    let what = attributes.kind.strip_prefix(PREFIX);
    Ok(what
        .is_none()
        .then(|| Decoded::Ignored(format!("{:.100} is no event of a service", attributes.kind))))
}

fn event(attributes: &Attributes, data: Value, now: Timestamp) -> Outcome {
    if let Some(ignored) = ignored(attributes)? {
        return Ok(ignored);
    }
    let what = attributes.kind[PREFIX.len()..].split('.').next().unwrap_or_default();
    let kind = match what {
        "deployed" | "upgraded" | "published" => ChangeKind::Deploy,
        "rolledback" => ChangeKind::Rollback,
        "removed" => ChangeKind::Removal,
        _ => return Ok(Decoded::Ignored(format!("service.{what:.40} is no change"))),
    };
    let event: Event = serde_json::from_value(data).map_err(|error| format!("data: {error}"))?;
    let text = attributes.time.as_ref().or(event.context.timestamp.as_ref());
    let at = match text {
        Some(text) => time_of(text).ok_or_else(|| format!("time: {text:.64?} is no RFC 3339 time"))?,
        None => now,
    };
    let artifact = event.subject.content.artifact_id.unwrap_or_default();
    let version = version_of(&artifact).unwrap_or_else(|| what.to_owned());
    let environment = event.subject.content.environment.map(|environment| environment.id);
    Ok(Decoded::Changes(vec![Deploy {
        kind,
        // Source and id together are unique: CloudEvents says so.
        id: format!("{}#{}", attributes.source, attributes.id),
        note: cut(&artifact, MAX_NOTE_BYTES),
        tags: tags(
            environment
                .into_iter()
                .filter(|e| !e.is_empty())
                .map(|e| format!("environment:{e}")),
        ),
        ..change(SOURCE, at, &event.subject.id, &version)?
    }]))
}

/// The version in a package URL: the tag it names, else what stands behind the `@`.
fn version_of(purl: &str) -> Option<String> {
    let (path, query) = purl.split_once('?').unwrap_or((purl, ""));
    let tag = query.split('&').find_map(|pair| pair.strip_prefix("tag="));
    let after_at = path.rsplit_once('@').map(|(_, version)| version);
    let version = tag.or(after_at).filter(|version| !version.is_empty())?;
    let plain = version
        .replace("%3A", ":")
        .replace("%3a", ":")
        .replace("%2B", "+")
        .replace("%2b", "+");
    Some(match plain.strip_prefix("sha256:") {
        Some(digest) => digest.chars().take(12).collect(),
        None => plain,
    })
}
