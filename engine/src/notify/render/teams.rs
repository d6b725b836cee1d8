//! Microsoft Teams by a workflow ("When a Teams webhook request is received"): an Adaptive Card 1.4 as an attachment.

use super::{Message, word};
use serde_json::{Value, json};
use wire::incident::{IncidentState, Severity};

pub(super) fn body(message: &Message<'_>) -> Value {
    let (notice, words) = (message.notice, &message.words);
    let color = match (notice.state, notice.severity) {
        (IncidentState::Resolved, _) => "good",
        (_, Severity::P1) => "attention",
        (_, Severity::P2 | Severity::P3) => "warning",
        (_, Severity::P4) => "default",
    };
    let mut facts = vec![
        json!({"title": "Incident", "value": notice.incident}),
        json!({"title": "Severity", "value": format!("{:?} {}", notice.severity, word(notice.severity))}),
    ];
    if let Some(team) = &notice.team {
        facts.push(json!({"title": "Team", "value": team}));
    }
    let mut body = vec![
        json!({"type": "TextBlock", "text": words.title, "weight": "bolder", "size": "medium", "wrap": true, "color": color}),
    ];
    // A line break within a text block needs two of them.
    let lines = words.text.lines().filter(|line| !line.is_empty());
    body.extend(lines.map(|line| json!({"type": "TextBlock", "text": line, "wrap": true, "spacing": "small"})));
    body.push(json!({"type": "FactSet", "facts": facts}));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = &message.link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open incident", "url": link}]);
    }
    json!({"type": "message", "attachments": [
        {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card}
    ]})
}
