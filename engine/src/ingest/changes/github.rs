//! GitHub's webhooks `deployment_status` and `deployment` (docs.github.com, "Webhook events and payloads").
//!
//! A version goes live when a deployment is in progress or succeeded, whichever is told first. That one was asked for is a note on the
//! chart; that one failed, waits or is queued is no change. The service is `service` or `entity` of the deployment's payload, else
//! the repository.

use super::{Decoded, MAX_NOTE_BYTES, Outcome, change, cut, revision, tags, time_of};
use serde::Deserialize;
use serde_json::Value;
use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};

/// The name under which they are counted.
pub const SOURCE: &str = "github";

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    deployment_status: Option<Status>,
    deployment: Deployment,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Deployment {
    id: u64,
    #[serde(default)]
    sha: String,
    #[serde(rename = "ref", default)]
    reference: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    name: String,
    full_name: String,
}

/// Reads a message; `event` is the header `X-GitHub-Event`.
///
/// # Errors
/// If it is none; the message names the place.
pub fn decode(event: &str, body: &[u8], now: Timestamp) -> Outcome {
    if !matches!(event, "deployment" | "deployment_status") {
        return Ok(Decoded::Ignored(format!("the event {event:.64?} is no deployment")));
    }
    let message: Message = serde_json::from_slice(body).map_err(|error| format!("{event}: {error}"))?;
    let Message {
        deployment_status: status,
        deployment,
        repository,
    } = message;
    let id = format!("{}#{}", repository.full_name, deployment.id);
    let (kind, id, created) = match &status {
        None if event == "deployment_status" => return Err("deployment_status: missing field".to_owned()),
        None => (
            ChangeKind::Annotation,
            format!("{id}:requested"),
            deployment.created_at.clone(),
        ),
        Some(status) if matches!(status.state.as_str(), "in_progress" | "success") => {
            let back = deployment.task.starts_with("rollback");
            let kind = if back { ChangeKind::Rollback } else { ChangeKind::Deploy };
            (kind, id, status.created_at.clone())
        }
        Some(status) => return Ok(Decoded::Ignored(format!("a deployment that is {:.40}", status.state))),
    };
    let environment = status
        .as_ref()
        .and_then(|s| s.environment.clone())
        .or(deployment.environment);
    let note = status
        .and_then(|s| s.description)
        .filter(|text| !text.is_empty())
        .or(deployment.description);
    let service = service_of(&deployment.payload).unwrap_or(repository.name);
    Ok(Decoded::Changes(vec![Deploy {
        kind,
        id,
        note: cut(&note.unwrap_or_default(), MAX_NOTE_BYTES),
        tags: tags(environment.map(|environment| format!("environment:{environment}"))),
        ..change(
            SOURCE,
            created.as_deref().and_then(time_of).unwrap_or(now),
            &service,
            &revision(&deployment.reference, &deployment.sha),
        )?
    }]))
}

/// The payload is an object, or an object as text.
fn service_of(payload: &Value) -> Option<String> {
    let parsed = payload
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let payload = parsed.as_ref().unwrap_or(payload);
    let name = ["service", "entity"]
        .iter()
        .find_map(|field| payload.get(field)?.as_str());
    name.filter(|name| !name.trim().is_empty()).map(str::to_owned)
}
