//! The notifier in simulated time: who hears what and when, and why not.

use super::notifier::{Notifier, Output};
use super::outbox::{Parcel, Sent};
use super::{Channel, Escalation, NotifyConfig, Rota, Route, Target, Team, Template, Told, Url};
use crate::config::SecretPlace;
use crate::context::Glob;
use crate::correlate::Incident;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::incident::{IncidentState, Severity};
use wire::notify::{DeliveryState, Occasion, Stage};
use wire::{IncidentId, Timestamp};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const START: Timestamp = Timestamp(1_700_000_000_000);

fn channel(name: &str) -> Channel {
    let target = if name.starts_with("pager") {
        Target::Pagerduty {
            key: SecretPlace::Env("KEY".to_owned()),
            endpoint: "https://pager.example".to_owned(),
        }
    } else {
        Target::Webhook {
            url: Url::Open(format!("https://{name}.example")),
            secret: None,
            bearer: None,
        }
    };
    Channel {
        name: name.to_owned(),
        target,
        max_per_hour: 5,
        template: Template::default(),
    }
}

fn config(channels: &[&str]) -> NotifyConfig {
    NotifyConfig {
        channels: channels.iter().map(|name| channel(name)).collect(),
        ..NotifyConfig::default()
    }
}

fn route(to: &[&str]) -> Route {
    Route {
        severities: Vec::new(),
        team: None,
        entities: Vec::new(),
        to: to.iter().map(|name| (*name).to_owned()).collect(),
        escalate: Vec::new(),
        goes_on: false,
    }
}

/// A notifier, its clock, and channels that take everything, or what `answer` says.
struct World {
    notifier: Notifier,
    now: Timestamp,
    incidents: BTreeMap<IncidentId, Incident>,
    silenced: Option<String>,
    /// What each channel heard, in order.
    heard: Vec<(String, Occasion, IncidentId)>,
    /// Every try, and whether it was delivered; one that was not may have been heard all the same.
    tried: Vec<(String, Occasion, IncidentId, bool)>,
    answer: fn(&Parcel) -> Sent,
    saved: (BTreeMap<IncidentId, Told>, BTreeMap<String, Parcel>),
}

impl World {
    fn new(config: NotifyConfig) -> Self {
        Self {
            notifier: Notifier::restore(Arc::new(config), "replay", Vec::new(), Vec::new(), START),
            now: START,
            incidents: BTreeMap::new(),
            silenced: None,
            heard: Vec::new(),
            tried: Vec::new(),
            answer: |_| Sent::Delivered("200 OK".to_owned()),
            saved: Default::default(),
        }
    }

    fn incident(&mut self, id: &str, change: impl FnOnce(&mut Incident)) {
        self.by(None, id, change);
    }

    fn by(&mut self, actor: Option<&str>, id: &str, change: impl FnOnce(&mut Incident)) {
        let now = self.now;
        let incident = self.incidents.entry(id.into()).or_insert_with(|| {
            let mut incident = Incident::new(id.into(), now, "remote_write");
            incident.severity = Severity::P2;
            incident.cause = Some("cart".into());
            incident
        });
        change(incident);
        self.notifier.changed(incident, actor, now);
    }

    /// Lets time pass, second by second.
    fn pass(&mut self, ms: i64) {
        let until = self.now + ms;
        while self.now < until {
            self.now = self.now + SECOND;
            self.step();
        }
    }

    fn step(&mut self) {
        let mut out = Vec::new();
        let silenced = self.silenced.clone();
        self.notifier.advance(self.now, &|_| silenced.clone(), &mut out);
        let mut at = 0;
        while at < out.len() {
            match &out[at] {
                Output::SaveTold(told) => {
                    self.saved.0.insert(told.incident().clone(), (**told).clone());
                }
                Output::SaveParcel(parcel) => {
                    self.saved.1.insert(parcel.delivery.id.to_string(), (**parcel).clone());
                }
                Output::Send(parcel) => {
                    let parcel = (**parcel).clone();
                    assert!(
                        self.saved.1.contains_key(parcel.delivery.id.as_str()),
                        "what is sent is on record before"
                    );
                    let sent = (self.answer)(&parcel);
                    let delivery = &parcel.delivery;
                    let what = (
                        delivery.channel.clone(),
                        delivery.occasion,
                        parcel.notice.incident.clone(),
                    );
                    if matches!(sent, Sent::Delivered(_)) {
                        self.heard.push(what.clone());
                    }
                    self.tried
                        .push((what.0, what.1, what.2, matches!(sent, Sent::Delivered(_))));
                    self.notifier.sent(&parcel.delivery.id, sent, self.now, &mut out);
                }
                Output::Forget(_) => {}
            }
            at += 1;
        }
    }

    fn heard(&mut self) -> Vec<String> {
        let heard = std::mem::take(&mut self.heard);
        heard
            .into_iter()
            .map(|(channel, occasion, id)| format!("{channel} {} {id}", occasion.as_str()))
            .collect()
    }

    fn why(&self, id: &str) -> String {
        self.notifier.notifications(&id.into()).summary
    }

    /// The same after a crash: what was saved is all there is.
    fn restart(&mut self) {
        let config = Arc::new(self.notifier.config().clone());
        let (told, parcels) = self.saved.clone();
        self.notifier = Notifier::restore(
            config,
            "replay",
            told.into_values().collect(),
            parcels.into_values().collect(),
            self.now,
        );
    }
}

fn resolved(incident: &mut Incident) {
    incident.state = IncidentState::Resolved;
    incident.ended = Some(incident.last_anomaly);
}

#[test]
fn an_incident_is_told_once_and_its_end_once() {
    let mut world = World::new(config(&["chat"]));
    world.incident("INC-1", |_| {});
    world.pass(14 * SECOND);
    assert_eq!(world.heard(), [""; 0], "what belongs together is told of once");
    for _ in 0..20 {
        world.incident("INC-1", |incident| incident.alerts += 10);
        world.pass(2 * SECOND);
    }
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    world.incident("INC-1", resolved);
    world.pass(5 * MINUTE - SECOND);
    assert_eq!(world.heard(), [""; 0], "it may come back");
    world.pass(10 * MINUTE);
    assert_eq!(world.heard(), ["chat resolved INC-1"]);
    world.pass(HOUR);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.why("INC-1"), "Told to chat");
}

#[test]
fn one_that_is_over_at_once_is_not_told() {
    let mut world = World::new(config(&["chat"]));
    world.incident("INC-1", |_| {});
    world.pass(10 * SECOND);
    world.incident("INC-1", resolved);
    world.pass(HOUR);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.why("INC-1"), "Nobody was told: over before anybody was told");
}

#[test]
fn only_the_team_of_the_cause_is_told() {
    // A fails, B errors, C crashes: one incident, A's team alone.
    let team = |name: &str, entity: &str| Team {
        name: name.to_owned(),
        entities: vec![Glob::new(entity)],
    };
    let of = |name: &str| Route {
        team: Some(name.to_owned()),
        ..route(&[name])
    };
    let mut world = World::new(NotifyConfig {
        teams: vec![team("a", "a-*"), team("b", "b-*"), team("c", "c-*")],
        routes: vec![of("a"), of("b"), of("c")],
        ..config(&["a", "b", "c"])
    });
    world.incident("INC-1", |incident| {
        incident.cause = Some("a-db".into());
        incident.entities = ["a-db", "b-api", "c-web"].map(Into::into).into();
    });
    world.pass(HOUR);
    assert_eq!(world.heard(), ["a opened INC-1"]);
    // The cause turns out to be another: that team hears of it as well.
    world.incident("INC-1", |incident| incident.cause = Some("b-api".into()));
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["b opened INC-1"]);
    world.by(Some("ann"), "INC-1", resolved);
    world.pass(MINUTE);
    assert_eq!(
        world.heard(),
        ["a resolved INC-1", "b resolved INC-1"],
        "a person's word counts at once"
    );
}

#[test]
fn who_is_on_call_is_told_and_named() {
    let mut world = World::new(NotifyConfig {
        rotas: vec![Rota {
            name: "primary".to_owned(),
            zone: jiff::tz::TimeZone::UTC,
            start: "2023-11-06T00:00".parse().unwrap(),
            days: 7,
            channels: vec!["ann".to_owned(), "ben".to_owned()],
            overrides: Vec::new(),
        }],
        routes: vec![route(&["primary", "chat"])],
        ..config(&["ann", "ben", "chat"])
    });
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    // The 14th is in the second week.
    assert_eq!(world.heard(), ["ben opened INC-1", "chat opened INC-1"]);
    let trace = world.notifier.notifications(&"INC-1".into());
    let said = "P2, no team's: route 1 leads to ben (on call by primary), chat";
    assert!(
        trace.decisions.iter().any(|decision| decision.text == said),
        "{trace:?}"
    );
}

#[test]
fn severity_decides_where_and_only_worse_is_news() {
    let mut world = World::new(NotifyConfig {
        routes: vec![
            Route {
                severities: vec![Severity::P1],
                ..route(&["pager", "chat"])
            },
            Route {
                severities: vec![Severity::P2, Severity::P3],
                ..route(&["chat"])
            },
        ],
        ..config(&["pager", "chat"])
    });
    world.incident("INC-1", |incident| incident.severity = Severity::P4);
    world.pass(MINUTE);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.why("INC-1"), "Nobody was told: P4, no team's: no route fits");
    world.incident("INC-1", |incident| incident.severity = Severity::P3);
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    world.incident("INC-1", |incident| incident.severity = Severity::P1);
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat worse INC-1", "pager opened INC-1"]);
    // Of what got less severe nobody needs to hear before its end.
    world.incident("INC-1", |incident| incident.severity = Severity::P3);
    world.pass(MINUTE);
    assert_eq!(world.heard(), [""; 0]);
}

#[test]
fn who_acknowledges_has_it_and_the_pager_stops() {
    let mut world = World::new(NotifyConfig {
        routes: vec![Route {
            escalate: vec![
                Escalation {
                    after_ms: 15 * MINUTE,
                    to: vec!["boss".to_owned()],
                },
                Escalation {
                    after_ms: 30 * MINUTE,
                    to: vec!["ceo".to_owned()],
                },
            ],
            ..route(&["pager", "chat"])
        }],
        ..config(&["pager", "chat", "boss", "ceo"])
    });
    world.incident("INC-1", |_| {});
    world.pass(14 * MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1", "pager opened INC-1"]);
    world.pass(2 * MINUTE);
    assert_eq!(world.heard(), ["boss escalated INC-1"]);
    world.by(Some("ann"), "INC-1", |incident| {
        incident.state = IncidentState::Acknowledged
    });
    world.pass(10 * HOUR);
    assert_eq!(world.heard(), ["pager acknowledged INC-1"], "and nobody is reminded");
    let trace = world.notifier.notifications(&"INC-1".into());
    assert!(
        trace
            .decisions
            .iter()
            .any(|decision| decision.stage == Stage::Escalation
                && decision.text == "nobody acknowledged it within 15 min: boss")
    );
}

#[test]
fn one_that_nobody_acknowledges_is_told_again() {
    let mut world = World::new(config(&["chat", "pager"]));
    world.incident("INC-1", |_| {});
    world.pass(9 * HOUR);
    assert_eq!(
        world.heard(),
        [
            "chat opened INC-1",
            "pager opened INC-1",
            "chat still open INC-1",
            "chat still open INC-1"
        ],
        "the pager reminds by itself"
    );
}

#[test]
fn what_flaps_is_not_told_each_time() {
    let mut world = World::new(config(&["chat"]));
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    for _ in 0..8 {
        world.incident("INC-1", resolved);
        world.pass(4 * MINUTE);
        world.incident("INC-1", |incident| incident.state = IncidentState::Open);
        world.pass(4 * MINUTE);
    }
    assert_eq!(world.heard(), [""; 0]);
    world.incident("INC-1", resolved);
    world.pass(29 * MINUTE);
    assert_eq!(world.heard(), [""; 0], "it must be quiet for longer than it was before");
    world.pass(2 * MINUTE);
    assert_eq!(world.heard(), ["chat resolved INC-1"]);
    world.incident("INC-1", |incident| incident.state = IncidentState::Open);
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat open again INC-1"]);
}

#[test]
fn silences_snoozes_and_recordings_keep_quiet() {
    let mut world = World::new(config(&["chat"]));
    world.silenced = Some("silence 1 covers all of it: deploy".to_owned());
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(
        world.why("INC-1"),
        "Nobody was told: silence 1 covers all of it: deploy"
    );
    // What still strays when the silence ends is told.
    world.silenced = None;
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    let until = world.now + HOUR;
    world.by(Some("ann"), "INC-2", |incident| incident.snoozed_until = Some(until));
    world.pass(HOUR - MINUTE);
    assert_eq!(world.heard(), [""; 0]);
    assert!(
        world
            .why("INC-2")
            .starts_with("Nobody was told: put off until 2023-11-1")
    );
    world.pass(2 * MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-2"]);
    world.incident("INC-3", |incident| incident.source = "replay".to_owned());
    world.pass(HOUR);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.why("INC-3"), "Nobody was told: it belongs to a recording");
}

#[test]
fn what_is_put_off_stops_paging_and_is_told_again() {
    let mut world = World::new(config(&["chat", "pager"]));
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1", "pager opened INC-1"]);
    let until = world.now + HOUR;
    world.by(Some("ann"), "INC-1", |incident| incident.snoozed_until = Some(until));
    world.pass(HOUR - SECOND);
    assert_eq!(world.heard(), ["pager acknowledged INC-1"]);
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat still open INC-1", "pager still open INC-1"]);
    for _ in 0..5 {
        world.incident("INC-1", |incident| incident.alerts += 1);
        world.pass(SECOND);
    }
    assert_eq!(world.heard(), [""; 0], "once");
    world.by(Some("ben"), "INC-1", |incident| {
        incident.state = IncidentState::Acknowledged
    });
    world.pass(HOUR);
    assert_eq!(world.heard(), ["pager acknowledged INC-1"]);
    // It gets worse while ben works on it.
    world.incident("INC-1", |incident| incident.severity = Severity::P1);
    world.pass(HOUR);
    assert_eq!(world.heard(), ["chat worse INC-1", "pager worse INC-1"]);
}

#[test]
fn a_silence_does_not_use_up_the_escalation() {
    let mut world = World::new(NotifyConfig {
        routes: vec![Route {
            escalate: vec![Escalation {
                after_ms: 15 * MINUTE,
                to: vec!["boss".to_owned()],
            }],
            ..route(&["chat"])
        }],
        ..config(&["chat", "boss"])
    });
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    world.silenced = Some("silence 1 covers all of it".to_owned());
    world.pass(HOUR);
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    world.silenced = None;
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["boss escalated INC-1"]);
}

#[test]
fn who_comments_is_not_who_acknowledged() {
    let mut world = World::new(config(&["pager"]));
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    world.by(Some("ann"), "INC-1", |incident| {
        incident.state = IncidentState::Acknowledged
    });
    world.by(Some("ben"), "INC-1", |incident| incident.alerts += 1);
    world.pass(MINUTE);
    let posted = world.saved.1.values().last().unwrap();
    assert_eq!(posted.notice.actor.as_deref(), Some("ann"));
}

#[test]
fn above_the_limit_only_the_worst_are_told_at_once() {
    let mut world = World::new(config(&["chat"]));
    for n in 0..8 {
        world.incident(&format!("INC-{n}"), |_| {});
    }
    world.pass(2 * MINUTE);
    assert_eq!(world.heard().len(), 5);
    assert!(
        world
            .why("INC-7")
            .starts_with("On its way; nobody has been reached yet"),
        "{}",
        world.why("INC-7")
    );
    world.incident("INC-8", |incident| incident.severity = Severity::P1);
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-8"]);
    // One of those that wait ends, and nobody ever hears of it; the others are told when there is room.
    world.by(Some("ann"), "INC-6", resolved);
    world.pass(HOUR);
    let mut heard = world.heard();
    heard.sort();
    assert_eq!(heard, ["chat opened INC-5", "chat opened INC-7"]);
}

#[test]
fn what_fails_is_tried_again_and_at_last_others_are_told() {
    let mut world = World::new(NotifyConfig {
        fallback: vec!["mail".to_owned()],
        routes: vec![route(&["chat"])],
        ..config(&["chat", "mail"])
    });
    world.answer = |parcel| match (parcel.delivery.channel.as_str(), parcel.delivery.tries) {
        ("mail", _) => Sent::Delivered("250 OK".to_owned()),
        (_, 1..4) => Sent::Again {
            problem: "503 Service Unavailable".to_owned(),
            after_ms: None,
        },
        _ => Sent::Refused("410 Gone".to_owned()),
    };
    world.incident("INC-1", |_| {});
    // 15 s, then pauses of 5, 10 and 20 s.
    world.pass(49 * SECOND);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.why("INC-1"), "On its way; nobody has been reached yet");
    world.pass(5 * SECOND);
    assert_eq!(world.heard(), ["mail opened INC-1"]);
    let trace = world.notifier.notifications(&"INC-1".into());
    let texts: Vec<&str> = trace.decisions.iter().map(|decision| decision.text.as_str()).collect();
    assert!(
        texts.contains(&"opened to chat: 410 Gone; not tried again"),
        "{texts:?}"
    );
    assert!(texts.contains(&"mail in place of chat"), "{texts:?}");
    assert_eq!(trace.summary, "Told to mail");
}

#[test]
fn what_was_not_delivered_before_the_end_is_one_message() {
    let mut world = World::new(config(&["chat"]));
    world.answer = |_| Sent::Again {
        problem: "no route to host".to_owned(),
        after_ms: None,
    };
    world.incident("INC-1", |_| {});
    world.pass(30 * MINUTE);
    world.incident("INC-1", |incident| incident.severity = Severity::P1);
    world.pass(30 * MINUTE);
    world.by(Some("ann"), "INC-1", resolved);
    world.pass(MINUTE);
    world.answer = |_| Sent::Delivered("200 OK".to_owned());
    world.pass(10 * MINUTE);
    assert_eq!(world.heard(), ["chat resolved INC-1"], "the whole story, once");
}

#[test]
fn a_crash_loses_no_message_and_tells_nothing_twice() {
    let mut world = World::new(config(&["chat", "pager"]));
    world.answer = |parcel| {
        if parcel.delivery.channel == "pager" {
            Sent::Again {
                problem: "time-out".to_owned(),
                after_ms: None,
            }
        } else {
            Sent::Delivered("200 OK".to_owned())
        }
    };
    world.incident("INC-1", |_| {});
    world.pass(MINUTE);
    assert_eq!(world.heard(), ["chat opened INC-1"]);
    world.restart();
    world.answer = |_| Sent::Delivered("202 Accepted".to_owned());
    // The coordinator tells of what is open anew.
    world.incident("INC-1", |_| {});
    world.pass(HOUR);
    assert_eq!(world.heard(), ["pager opened INC-1"]);
    world.incident("INC-1", resolved);
    world.pass(HOUR);
    assert_eq!(world.heard(), ["chat resolved INC-1", "pager resolved INC-1"]);
}

#[test]
fn a_test_says_what_became_of_it() {
    let mut world = World::new(config(&["chat"]));
    let mut out = Vec::new();
    let id = world.notifier.test("chat", world.now, &mut out).unwrap();
    for output in out {
        if let Output::SaveParcel(parcel) = output {
            world.saved.1.insert(parcel.delivery.id.to_string(), *parcel);
        }
    }
    world.pass(SECOND);
    let channels = world.notifier.channels(world.now);
    let delivery = channels.deliveries.iter().find(|d| d.id == id).unwrap();
    assert!(matches!(&delivery.state, DeliveryState::Delivered { receipt, .. } if receipt == "200 OK"));
    assert_eq!(channels.channels[0].delivered, 1);
    let error = world.notifier.test("caht", world.now, &mut Vec::new()).unwrap_err();
    assert_eq!(error, "no channel \"caht\": there are chat");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, a channel has at most one open notification of an incident: between two openings there is an end, and an
    /// end only after an opening.
    #[test]
    fn a_channel_never_has_two_open_notifications(
        steps in prop::collection::vec((0..3u8, 0..5u8, 1..400i64), 1..60),
        fails in any::<bool>(),
    ) {
        let mut world = World::new(config(&["chat", "pager"]));
        if fails {
            world.answer = |parcel| {
                if parcel.delivery.tries.is_multiple_of(3) {
                    Sent::Delivered("200 OK".to_owned())
                } else {
                    Sent::Again { problem: "time-out".to_owned(), after_ms: None }
                }
            };
        }
        for (which, what, secs) in steps {
            let id = format!("INC-{which}");
            world.incident(&id, |incident| match what {
                0 => incident.state = IncidentState::Open,
                1 => resolved(incident),
                2 => incident.state = IncidentState::Acknowledged,
                3 => incident.severity = Severity::P1,
                _ => incident.severity = Severity::P3,
            });
            world.pass(secs * SECOND);
            if secs % 7 == 0 {
                world.restart();
            }
        }
        let mut open: BTreeMap<(String, IncidentId), bool> = BTreeMap::new();
        for (channel, occasion, id, is_delivered) in world.tried {
            let is_open = open.entry((channel, id)).or_default();
            match occasion {
                Occasion::Opened | Occasion::Reopened if is_delivered => {
                    prop_assert!(!*is_open, "opened twice");
                    *is_open = true;
                }
                Occasion::Resolved => *is_open = false,
                _ => {}
            }
        }
    }
}
