//! The body of Alertmanager's webhook, version 4 (`notify/webhook/webhook.go`): what receives alerts from there receives incidents from
//! here. An incident is one alert in a group of its own.

use super::{Message, word};
use crate::alert::fingerprint;
use crate::clock::rfc3339;
use serde_json::{Value, json};
use wire::alert::Pairs;
use wire::notify::Occasion;

pub(super) fn body(message: &Message<'_>) -> Value {
    let (notice, words) = (message.notice, &message.words);
    let is_over = message.occasion == Occasion::Resolved;
    let status = if is_over { "resolved" } else { "firing" };
    // Labels say who it is, and so never change over the life of an incident; annotations say how it is.
    let mut labels = Pairs::from([("alertname".to_owned(), "HaloIncident".to_owned())]);
    labels.insert("incident".to_owned(), notice.incident.to_string());
    labels.insert("source".to_owned(), notice.source.clone());
    let mut annotations = Pairs::from([
        ("summary".to_owned(), words.title.clone()),
        ("description".to_owned(), words.text.clone()),
        ("severity".to_owned(), word(notice.severity).to_owned()),
        ("priority".to_owned(), format!("{:?}", notice.severity)),
        ("occasion".to_owned(), message.occasion.as_str().to_owned()),
    ]);
    if let Some(cause) = &notice.cause {
        annotations.insert("cause".to_owned(), cause.to_string());
        annotations.insert("confidence".to_owned(), format!("{:.2}", notice.confidence));
    }
    if let Some(team) = &notice.team {
        annotations.insert("team".to_owned(), team.clone());
    }
    let group = json!({"incident": notice.incident});
    let ended = notice.ended.filter(|_| is_over);
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{incident=\"{}\"}}", notice.incident),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": message.channel,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": message.base.unwrap_or_default(),
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(notice.started),
            "endsAt": ended.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
            "generatorURL": message.link.as_deref().unwrap_or_default(),
            "fingerprint": fingerprint(&labels),
        }],
    })
}
