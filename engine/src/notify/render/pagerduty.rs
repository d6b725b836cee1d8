//! PagerDuty's Events API v2. The incident's id is the `dedup_key`: one incident here is one there, however often it is told.

use super::Message;
use crate::clock::rfc3339;
use crate::notify::template::cut;
use serde_json::{Value, json};
use wire::incident::Severity;
use wire::notify::Occasion;

pub(super) fn body(message: &Message<'_>, routing_key: &str) -> Value {
    let (notice, words) = (message.notice, &message.words);
    let action = match message.occasion {
        Occasion::Acknowledged => "acknowledge",
        Occasion::Resolved => "resolve",
        _ => "trigger",
    };
    // A test must not be taken for, or end, anything real.
    let dedup_key = match message.occasion {
        Occasion::Test => format!("halo-test-{}", message.key),
        _ => format!("halo-{}", notice.incident),
    };
    let mut event = json!({"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key});
    if action != "trigger" {
        return event;
    }
    let source = notice.cause.as_ref().or_else(|| notice.entities.first());
    event["client"] = json!("Halo");
    if let Some(base) = message.base {
        event["client_url"] = json!(base);
    }
    if let Some(link) = &message.link {
        event["links"] = json!([{"href": link, "text": "Open incident"}]);
    }
    event["payload"] = json!({
        "summary": cut(&words.title, 1024),
        "source": source.map_or("halo", |entity| entity.as_str()),
        "severity": match notice.severity {
            Severity::P1 => "critical",
            Severity::P2 => "error",
            Severity::P3 => "warning",
            Severity::P4 => "info",
        },
        "timestamp": rfc3339(notice.started),
        "component": notice.cause,
        "group": notice.team,
        "custom_details": {
            "incident": notice.incident,
            "text": words.text,
            "confidence": format!("{:.2}", notice.confidence),
            "series": notice.members,
            "entities": notice.entities,
            "blast_radius": notice.blast_radius,
        },
    });
    event
}
