//! Each channel's body, as a golden file, and what the services' documents demand of it.

use super::*;
use crate::notify::{MailTls, Template};
use wire::incident::IncidentState;
use wire::notify::{Delivery, DeliveryState};
use wire::{DeliveryId, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn place(name: &str) -> SecretPlace {
    SecretPlace::Env(name.to_owned())
}

fn targets() -> Vec<(&'static str, Target)> {
    let mail = MailServer {
        host: "smtp.example".to_owned(),
        port: 587,
        tls: MailTls::Starttls,
        username: Some("halo".to_owned()),
        password: Some(place("PASSWORD")),
        from: "Halo <halo@example.com>".to_owned(),
        to: vec!["sre@example.com".to_owned()],
    };
    vec![
        ("slack", Target::Slack { url: place("URL") }),
        ("teams", Target::Teams { url: place("URL") }),
        (
            "pagerduty",
            Target::Pagerduty {
                key: place("KEY"),
                endpoint: "https://events.pagerduty.com".to_owned(),
            },
        ),
        (
            "opsgenie",
            Target::Opsgenie {
                key: place("KEY"),
                endpoint: "https://api.opsgenie.com".to_owned(),
            },
        ),
        (
            "sns",
            Target::Sns {
                topic: "arn:aws:sns:eu-central-1:123456789012:halo.fifo".to_owned(),
                region: "eu-central-1".to_owned(),
                endpoint: None,
                credentials: CredentialsPlace::Usual,
            },
        ),
        ("email", Target::Email(mail)),
        (
            "webhook",
            Target::Webhook {
                url: Url::Open("https://hooks.example/halo".to_owned()),
                secret: Some(place("SECRET")),
                bearer: Some(place("TOKEN")),
            },
        ),
    ]
}

fn channel(target: Target) -> Channel {
    Channel {
        name: "ops".to_owned(),
        target,
        max_per_hour: 60,
        template: Template::default(),
    }
}

fn parcel(occasion: Occasion) -> Parcel {
    let mut notice = Notice::example(NOW);
    notice.incident = "INC-000042".into();
    notice.severity = Severity::P1;
    notice.title = "checkout fails & <b>slows</b>: ünïcode".to_owned();
    notice.team = Some("shop".to_owned());
    if occasion == Occasion::Resolved {
        notice.state = IncidentState::Resolved;
        notice.ended = Some(NOW);
        notice.actor = Some("ann".to_owned());
    }
    Parcel {
        delivery: Delivery {
            id: DeliveryId::from("NTF-000007"),
            channel: "ops".to_owned(),
            kind: wire::notify::ChannelKind::Slack,
            occasion,
            incident: Some(notice.incident.clone()),
            severity: notice.severity,
            created: NOW,
            tries: 1,
            problem: String::new(),
            state: DeliveryState::Sending,
        },
        notice,
    }
}

fn rendered(target: &Target, occasion: Occasion) -> Outgoing {
    let config = NotifyConfig {
        link_base: Some("https://halo.example/".to_owned()),
        ..NotifyConfig::default()
    };
    let channel = channel(target.clone());
    let secrets = |place: &SecretPlace| match place {
        SecretPlace::Env(name) if name == "URL" => Ok("https://secret.example/T0/B0".to_owned()),
        SecretPlace::Env(name) => Ok(format!("the-{}", name.to_lowercase())),
        SecretPlace::File(_) => Err("no file".to_owned()),
    };
    render(&config, &channel, &parcel(occasion), &secrets).unwrap()
}

#[test]
fn bodies_stay_as_they_are() {
    for (name, target) in targets() {
        for occasion in [Occasion::Opened, Occasion::Acknowledged, Occasion::Resolved] {
            let shown = match rendered(&target, occasion) {
                Outgoing::Http(request) => {
                    let headers: Vec<String> = request
                        .headers
                        .iter()
                        .map(|(name, value)| format!("{name}: {value}"))
                        .collect();
                    let body = serde_json::from_str::<Value>(&request.body)
                        .map_or(request.body.replace('&', "\n&"), |body| {
                            serde_json::to_string_pretty(&body).unwrap()
                        });
                    format!("POST {}\n{}\n\n{body}\n", request.url, headers.join("\n"))
                }
                Outgoing::Mail(mail) => format!(
                    "Subject: {}\nMessage-ID: {}\nReferences: {}\n\n{}",
                    mail.subject, mail.id, mail.thread, mail.text
                ),
            };
            insta::assert_snapshot!(format!("{name}_{}", occasion.as_str()), shown);
        }
    }
}

fn json(target: &Target, occasion: Occasion) -> Value {
    match rendered(target, occasion) {
        Outgoing::Http(request) => serde_json::from_str(&request.body).unwrap(),
        Outgoing::Mail(_) => panic!("a mail"),
    }
}

fn of(kind: &str) -> Target {
    targets().into_iter().find(|(name, _)| *name == kind).unwrap().1
}

/// https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
#[test]
fn one_incident_is_one_at_pagerduty() {
    let pager = of("pagerduty");
    let opened = json(&pager, Occasion::Opened);
    let payload = &opened["payload"];
    for required in ["summary", "source", "severity"] {
        assert!(
            payload[required].as_str().is_some_and(|text| !text.is_empty()),
            "{required}"
        );
    }
    assert_eq!(opened["event_action"], "trigger");
    for occasion in [
        Occasion::Worsened,
        Occasion::Reminder,
        Occasion::Escalated,
        Occasion::Resolved,
    ] {
        assert_eq!(json(&pager, occasion)["dedup_key"], opened["dedup_key"], "{occasion:?}");
    }
    assert_eq!(json(&pager, Occasion::Resolved)["event_action"], "resolve");
    let acknowledged = json(&pager, Occasion::Acknowledged);
    assert_eq!(acknowledged["event_action"], "acknowledge");
    assert!(acknowledged.get("payload").is_none());
    assert_ne!(
        json(&pager, Occasion::Test)["dedup_key"],
        opened["dedup_key"],
        "a test ends nothing real"
    );
}

/// Labels are who it is: a receiver knows the end by the same ones.
#[test]
fn what_receives_alerts_of_alertmanager_receives_these() {
    let hook = of("webhook");
    let (opened, over) = (json(&hook, Occasion::Opened), json(&hook, Occasion::Resolved));
    assert_eq!(opened["version"], "4");
    let alert = |body: &Value, field: &str| body["alerts"][0][field].clone();
    assert_eq!(
        (alert(&opened, "status"), alert(&over, "status")),
        ("firing".into(), "resolved".into())
    );
    assert_eq!(alert(&opened, "fingerprint"), alert(&over, "fingerprint"));
    assert_eq!(alert(&opened, "endsAt"), "0001-01-01T00:00:00Z");
    assert_eq!(alert(&over, "endsAt"), "2023-11-14T22:13:20Z");
    // Halo reads them as it reads Alertmanager's own.
    let taken = crate::ingest::alerts::decode_webhook(opened.to_string().as_bytes(), NOW).unwrap();
    assert_eq!(taken.alerts[0].labels["alertname"], "HaloIncident");
}

#[test]
fn a_signature_is_that_of_the_body() {
    // From `printf %s BODY | openssl dgst -sha256 -hmac KEY`, the example of RFC 4231, case 2.
    assert_eq!(
        signature("Jefe", "what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[test]
fn limits_of_the_services_are_kept_whatever_an_incident_is_called() {
    let config = NotifyConfig::default();
    for (name, target) in targets() {
        let channel = channel(target);
        let mut parcel = parcel(Occasion::Opened);
        parcel.notice.title = "ü".repeat(5000);
        parcel.notice.story = vec!["ß".repeat(50_000)];
        let outgoing = render(&config, &channel, &parcel, &|_| Ok("s".to_owned())).unwrap();
        let Outgoing::Http(request) = outgoing else { continue };
        assert!(request.body.len() < 256 << 10, "{name}");
        let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
            continue;
        };
        let length = |pointer: &str| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .map_or(0, |text| text.chars().count())
        };
        assert!(
            length("/blocks/0/text/text") <= 150 && length("/blocks/1/text/text") <= 3000,
            "{name}"
        );
        assert!(
            length("/payload/summary") <= 1024 && length("/message") <= 130,
            "{name}"
        );
    }
}

#[test]
fn a_preview_shows_no_secret() {
    let config = NotifyConfig::default();
    for (name, target) in targets() {
        let channel = channel(target);
        let shown = preview(&config, &channel, &parcel(Occasion::Opened));
        assert!(shown.title.contains("checkout fails"), "{name}");
        assert!(!shown.message.is_empty() && !shown.message.contains("the-"), "{name}");
    }
}
