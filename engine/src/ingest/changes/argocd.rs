//! Argo CD notifications. Argo CD sends what its template says: this is the body of the template in
//! `deploy/agents/argocd-notifications.yaml`.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, revision, tags, time_of};
use serde::Deserialize;
use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};

/// The name under which they are counted.
pub const SOURCE: &str = "argocd";

#[derive(Debug, Deserialize)]
struct Message {
    app: String,
    #[serde(default)]
    namespace: String,
    phase: String,
    #[serde(default)]
    revision: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    rollback: bool,
}

/// Reads a message. One sync is one change, however often and in which phase it is told.
///
/// # Errors
/// If it is none; the message names the field.
pub fn decode(body: &[u8], now: Timestamp) -> Outcome {
    let message: Message = serde_json::from_slice(body).map_err(|error| format!("notification: {error}"))?;
    if !matches!(message.phase.as_str(), "Running" | "Succeeded") {
        return Ok(Decoded::Ignored(format!("a sync that is {:.40}", message.phase)));
    }
    let started = message.started_at.as_deref().and_then(time_of);
    let version = revision(&message.target, &message.revision);
    let begun = message.started_at.unwrap_or_default();
    Ok(Decoded::Changes(vec![Deploy {
        kind: if message.rollback {
            ChangeKind::Rollback
        } else {
            ChangeKind::Deploy
        },
        id: format!("{}/{}@{}#{begun:.40}", message.namespace, message.app, message.revision),
        note: cut(&message.images.join(" "), MAX_NOTE_BYTES),
        tags: tags((!message.namespace.is_empty()).then(|| format!("namespace:{}", message.namespace))),
        ..change(SOURCE, started.unwrap_or(now), &message.app, &version)?
    }]))
}
