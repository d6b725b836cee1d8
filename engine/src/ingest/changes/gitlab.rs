//! GitLab's deployment webhook (docs.gitlab.com, "Webhook events", deployment events).
//!
//! A version goes live when a deployment runs or succeeded, whichever is told first; one that failed, was canceled or waits is no change.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, revision, tags, time_of};
use serde::Deserialize;
use wire::Timestamp;
use wire::topology::Deploy;

/// The name under which they are counted.
pub const SOURCE: &str = "gitlab";

#[derive(Debug, Deserialize)]
struct Kind {
    object_kind: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    status: String,
    #[serde(default)]
    status_changed_at: Option<String>,
    deployment_id: u64,
    #[serde(default)]
    environment: String,
    project: Project,
    #[serde(default)]
    short_sha: String,
    #[serde(rename = "ref", default)]
    reference: String,
    #[serde(default)]
    commit_title: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Project {
    name: String,
    path_with_namespace: String,
}

/// Reads a message.
///
/// # Errors
/// If it is none; the message names the place.
pub fn decode(body: &[u8], now: Timestamp) -> Outcome {
    let problem = |error: serde_json::Error| format!("deployment: {error}");
    let kind: Kind = serde_json::from_slice(body).map_err(problem)?;
    if kind.object_kind != "deployment" {
        return Ok(Decoded::Ignored(format!("{:.64?} is no deployment", kind.object_kind)));
    }
    let message: Message = serde_json::from_slice(body).map_err(problem)?;
    if !matches!(message.status.as_str(), "running" | "success") {
        return Ok(Decoded::Ignored(format!("a deployment that is {:.40}", message.status)));
    }
    let at = message.status_changed_at.as_deref().and_then(changed_at).unwrap_or(now);
    let version = revision(&message.reference, &message.short_sha);
    Ok(Decoded::Changes(vec![Deploy {
        id: format!("{}#{}", message.project.path_with_namespace, message.deployment_id),
        note: cut(message.commit_title.as_deref().unwrap_or_default(), MAX_NOTE_BYTES),
        tags: tags((!message.environment.is_empty()).then(|| format!("environment:{}", message.environment))),
        ..change(SOURCE, at, &message.project.name, &version)?
    }]))
}

/// `2021-04-28 21:50:00 +0200`, and `… UTC` from older ones.
fn changed_at(text: &str) -> Option<Timestamp> {
    let text = text.replace(" UTC", " +0000");
    let parsed = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", text.trim());
    let instant = parsed.and_then(|broken| broken.to_timestamp()).ok();
    instant
        .map(|instant| Timestamp(instant.as_millisecond()))
        .or_else(|| time_of(&text))
}
