//! Annotations as Grafana takes them: `POST /api/annotations`, and its form for Graphite.
//!
//! A tag `entity:NAME` or `service:NAME` says whose chart shows it; without one it is on all. A tag such as `deploy` or `config` says
//! that something was changed, and then it may be the cause of what follows; otherwise nothing is concluded from it.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, kind_of, tags};
use serde::Deserialize;
use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};

/// The name under which annotations are counted.
pub const SOURCE: &str = "grafana_annotations";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    #[serde(default)]
    time: Option<i64>,
    #[serde(default)]
    time_end: Option<i64>,
    #[serde(default)]
    tags: Vec<String>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Graphite {
    what: String,
    #[serde(default)]
    tags: Option<Words>,
    #[serde(default)]
    when: Option<i64>,
    #[serde(default)]
    data: Option<String>,
}

/// Graphite of before 0.9.16 writes one text, later ones write a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

/// Reads an annotation. Without a time it is of now.
///
/// # Errors
/// If it is none; the message names the field.
pub fn decode(body: &[u8], now: Timestamp) -> Outcome {
    let raw: Annotation = serde_json::from_slice(body).map_err(|error| format!("no annotation: {error}"))?;
    let at = raw.time.filter(|time| *time > 0).map_or(now, Timestamp);
    let until = raw.time_end.filter(|end| *end > at.as_millis()).map(Timestamp);
    annotation(at, until, &raw.text, "", raw.tags, "text")
}

/// Reads an annotation in Graphite's form.
///
/// # Errors
/// If it is none; the message names the field.
pub fn decode_graphite(body: &[u8], now: Timestamp) -> Outcome {
    let raw: Graphite = serde_json::from_slice(body).map_err(|error| format!("no Graphite event: {error}"))?;
    let at = raw
        .when
        .filter(|when| *when > 0)
        .map_or(now, |secs| Timestamp(secs.saturating_mul(1000)));
    let tags = match raw.tags {
        None => Vec::new(),
        Some(Words::One(text)) => text.split([' ', ',']).map(str::to_owned).collect(),
        Some(Words::Many(tags)) => tags,
    };
    annotation(
        at,
        None,
        &raw.what,
        raw.data.as_deref().unwrap_or_default(),
        tags,
        "what",
    )
}

fn annotation(
    at: Timestamp,
    until: Option<Timestamp>,
    text: &str,
    data: &str,
    words: Vec<String>,
    field: &str,
) -> Outcome {
    if text.trim().is_empty() {
        return Err(format!("{field}: must not be empty"));
    }
    let tags = tags(words);
    let named = |tag: &String| {
        let (key, name) = tag.split_once([':', '='])?;
        let names = ["entity", "service", "service_name", "app"];
        names.contains(&key.trim()).then(|| name.trim().to_owned())
    };
    let entity = tags.iter().find_map(named).filter(|name| !name.is_empty());
    let kind = tags
        .iter()
        .find_map(|tag| kind_of(tag))
        .unwrap_or(ChangeKind::Annotation);
    // The first line is what fits on a chart.
    let (title, rest) = text.trim().split_once('\n').unwrap_or((text, data));
    Ok(Decoded::Changes(vec![Deploy {
        kind,
        tags,
        until,
        note: cut(rest, MAX_NOTE_BYTES),
        ..change(SOURCE, at, entity.as_deref().unwrap_or(Deploy::EVERYTHING), title)?
    }]))
}
