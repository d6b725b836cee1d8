//! Opsgenie's Alert API. The incident's id is the `alias`. Limits: 130 characters of message, 15,000 of description, 512 of alias.

use super::{Message, word};
use crate::notify::template::cut;
use serde_json::{Value, json};
use wire::notify::Occasion;

/// Path and body.
pub(super) fn request(message: &Message<'_>) -> (String, Value) {
    let (notice, words) = (message.notice, &message.words);
    let alias = match message.occasion {
        Occasion::Test => format!("halo-test-{}", message.key),
        _ => format!("halo-{}", notice.incident),
    };
    let end = |what: &str| {
        let path = format!("/v2/alerts/{alias}/{what}?identifierType=alias");
        let user = notice.actor.as_deref().unwrap_or("Halo");
        (
            path,
            json!({"source": "Halo", "user": cut(user, 100), "note": cut(&words.text, 15_000)}),
        )
    };
    match message.occasion {
        Occasion::Acknowledged => end("acknowledge"),
        Occasion::Resolved => end("close"),
        _ => {
            let mut description = words.text.clone();
            if let Some(link) = &message.link {
                description += &format!("\n{link}");
            }
            let mut body = json!({
                "message": cut(&words.title, 130),
                "alias": alias,
                "description": cut(&description, 15_000),
                "priority": format!("{:?}", notice.severity),
                "source": "Halo",
                "tags": ["halo", word(notice.severity)],
                "details": {
                    "incident": notice.incident,
                    "confidence": format!("{:.2}", notice.confidence),
                    "series": notice.members.to_string(),
                },
            });
            if let Some(cause) = &notice.cause {
                body["entity"] = json!(cut(cause.as_str(), 512));
            }
            if let Some(team) = &notice.team {
                body["responders"] = json!([{"type": "team", "name": team}]);
            }
            ("/v2/alerts".to_owned(), body)
        }
    }
}
