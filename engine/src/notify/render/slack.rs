//! Slack's incoming webhooks: Block Kit, with a text for notifications and screen readers. Limits: a header has 150 characters, the
//! text of a section 3000 (docs.slack.dev, Block Kit reference).

use super::{Message, word};
use crate::notify::template::cut;
use serde_json::{Value, json};

pub(super) fn body(message: &Message<'_>) -> Value {
    let (notice, words) = (message.notice, &message.words);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&words.title, 150), "emoji": false}}),
        json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(&escaped(&words.text), 3000)}}),
    ];
    let mut facts = vec![format!(
        "{} · {:?} {}",
        notice.incident,
        notice.severity,
        word(notice.severity)
    )];
    facts.extend(notice.team.iter().map(|team| format!("team {team}")));
    facts.extend(notice.assignee.iter().map(|who| format!("{who} works on it")));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(&facts.join(" · "))}]}));
    if let Some(link) = &message.link {
        blocks.push(json!({"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "Open incident"}, "url": link}
        ]}));
    }
    json!({"text": escaped(&words.title), "blocks": blocks})
}

/// The three characters that Slack's mark-up uses.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
