//! `[notify]`: whom to tell of incidents.
//!
//! ```toml
//! [notify]
//! link_base = "https://halo.example.com"   # where people reach the console; without it messages have no links
//! wait_secs = 15             # an incident is told of when it has been open so long
//! resolve_wait_secs = 300    # and over when it has been over so long
//! repeat_hours = 4           # one that nobody acknowledged is told of again; 0: never
//! fallback = ["mail"]        # for what another channel finally failed to deliver
//!
//! [[notify.channel]]
//! name = "shop-chat"
//! kind = "slack"             # slack, teams, pagerduty, opsgenie, sns, email, webhook
//! url_file = "/run/secrets/slack"      # or url_env; of a webhook also url = "https://..."
//! max_per_hour = 60          # of anything but P1
//! title = "{{ severity }} {{ title }}" # in other words than the usual ones; also text
//!
//! [[notify.channel]]
//! name = "pager"
//! kind = "pagerduty"         # opsgenie likewise
//! key_env = "PAGERDUTY_KEY"  # or key_file
//! endpoint = "https://events.eu.pagerduty.com"
//!
//! [[notify.channel]]
//! name = "topic"
//! kind = "sns"
//! topic = "arn:aws:sns:eu-central-1:123456789012:halo"
//! # also credentials_file, profile, endpoint, as [[cloudwatch]] has them
//!
//! [[notify.channel]]
//! name = "mail"
//! kind = "email"
//! server = "smtp.example.com:587"
//! tls = "starttls"           # implicit (465), or off for a server on this machine
//! username = "halo"
//! password_file = "/run/secrets/smtp"  # or password_env
//! from = "Halo <halo@example.com>"
//! to = ["sre@example.com"]
//!
//! [[notify.channel]]
//! name = "hook"
//! kind = "webhook"           # the body of Alertmanager's webhook
//! url = "https://hooks.example.com/halo"
//! secret_env = "HOOK_SECRET" # signs: X-Halo-Signature-256; also bearer_file, bearer_env
//!
//! [[notify.team]]
//! name = "shop"
//! entities = ["cart", "checkout*"]
//!
//! [[notify.schedule]]        # a rotation, named like a channel
//! name = "shop-primary"
//! timezone = "Europe/Berlin"
//! start = "2026-11-02T09:00" # local time
//! days = 7
//! channels = ["pager-ann", "pager-ben"]
//! overrides = [{ from = "2026-12-24T00:00:00Z", until = "2026-12-27T00:00:00Z", channel = "pager-ben" }]
//!
//! [[notify.route]]           # the first that fits counts; without any all but P4 go to all channels
//! team = "shop"              # whose entity the cause is
//! severities = ["P1", "P2"]
//! entities = ["checkout*"]
//! to = ["shop-primary", "shop-chat"]
//! escalate = [{ after_mins = 15, to = ["boss"] }]
//! continue = false           # true: the routes after it count as well
//! ```

mod channel;

use super::{check, is_http};
use crate::context::Glob;
use crate::notify::{Escalation, NotifyConfig, Override, Rota, Route, Team};
use channel::channel;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use wire::Timestamp;
use wire::incident::Severity;

/// `[notify]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNotify {
    pub link_base: Option<String>,
    pub wait_secs: Option<u32>,
    pub resolve_wait_secs: Option<u32>,
    pub repeat_hours: Option<u32>,
    pub fallback: Vec<String>,
    pub channel: Vec<RawChannel>,
    pub team: Vec<RawTeam>,
    pub schedule: Vec<RawSchedule>,
    pub route: Vec<RawRoute>,
}

/// `[[notify.channel]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawChannel {
    pub name: String,
    pub kind: String,
    pub max_per_hour: Option<u32>,
    pub title: Option<String>,
    pub text: Option<String>,
    pub url: Option<String>,
    pub url_file: Option<PathBuf>,
    pub url_env: Option<String>,
    pub key_file: Option<PathBuf>,
    pub key_env: Option<String>,
    pub endpoint: Option<String>,
    pub topic: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub profile: Option<String>,
    pub server: Option<String>,
    pub tls: Option<String>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
    pub from: Option<String>,
    pub to: Vec<String>,
    pub secret_file: Option<PathBuf>,
    pub secret_env: Option<String>,
    pub bearer_file: Option<PathBuf>,
    pub bearer_env: Option<String>,
}

/// `[[notify.team]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTeam {
    pub name: String,
    pub entities: Vec<String>,
}

/// `[[notify.schedule]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    pub name: String,
    #[serde(default)]
    pub timezone: Option<String>,
    pub start: String,
    #[serde(default)]
    pub days: Option<i64>,
    pub channels: Vec<String>,
    #[serde(default)]
    pub overrides: Vec<RawOverride>,
}

/// One of `overrides`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOverride {
    pub from: String,
    pub until: String,
    pub channel: String,
}

/// `[[notify.route]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRoute {
    pub team: Option<String>,
    pub severities: Vec<String>,
    pub entities: Vec<String>,
    pub to: Vec<String>,
    pub escalate: Vec<RawEscalation>,
    #[serde(rename = "continue")]
    pub goes_on: bool,
}

/// One of `escalate`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEscalation {
    pub after_mins: u32,
    pub to: Vec<String>,
}

pub(super) fn notify(raw: RawNotify, problems: &mut Vec<String>) -> NotifyConfig {
    let usual = NotifyConfig::default();
    let ms = |secs: Option<u32>, usual: i64| secs.map_or(usual, |secs| i64::from(secs) * 1000);
    if let Some(base) = &raw.link_base {
        check(problems, is_http(base), || {
            format!("notify.link_base: must start with http:// or https://, got {base:?}")
        });
    }
    let mut config = NotifyConfig {
        link_base: raw.link_base,
        wait_ms: ms(raw.wait_secs, usual.wait_ms),
        resolve_wait_ms: ms(raw.resolve_wait_secs, usual.resolve_wait_ms),
        repeat_ms: raw
            .repeat_hours
            .map_or(usual.repeat_ms, |hours| i64::from(hours) * 3_600_000),
        fallback: raw.fallback,
        ..usual
    };
    // Also of those that something is wrong with: who names them is right to.
    let (mut names, mut rotas) = (BTreeSet::new(), BTreeSet::new());
    for (index, raw) in raw.channel.into_iter().enumerate() {
        let place = format!("notify.channel[{index}]");
        check(problems, !raw.name.trim().is_empty(), || {
            format!("{place}.name: give it one")
        });
        check(problems, names.insert(raw.name.clone()), || {
            format!("{place}.name: {:?} is another channel already", raw.name)
        });
        config.channels.extend(channel(raw, &place, problems));
    }
    for (index, raw) in raw.schedule.into_iter().enumerate() {
        let place = format!("notify.schedule[{index}]");
        let is_new = !names.contains(&raw.name) && rotas.insert(raw.name.clone());
        check(problems, is_new, || {
            format!("{place}.name: {:?} is a channel or another schedule already", raw.name)
        });
        config.rotas.extend(rota(raw, &place, problems));
    }
    for (index, raw) in raw.team.into_iter().enumerate() {
        let is_new = config.teams.iter().all(|team| team.name != raw.name);
        check(problems, is_new, || {
            format!("notify.team[{index}].name: {:?} is another team already", raw.name)
        });
        check(problems, !raw.entities.is_empty(), || {
            format!("notify.team[{index}].entities: name at least one, such as \"checkout*\"")
        });
        config.teams.push(Team {
            name: raw.name,
            entities: raw.entities.iter().map(|text| Glob::new(text)).collect(),
        });
    }
    for (index, raw) in raw.route.into_iter().enumerate() {
        let place = format!("notify.route[{index}]");
        let lists = raw
            .escalate
            .iter()
            .map(|step| ("escalate", &step.to))
            .chain([("to", &raw.to)]);
        for (field, to) in lists {
            known(
                &format!("{place}.{field}"),
                to,
                |name| names.contains(name) || rotas.contains(name),
                problems,
            );
        }
        let route = route(raw, &place, &config.teams, problems);
        config.routes.push(route);
    }
    let is_channel = |name: &str| names.contains(name);
    known("notify.fallback", &config.fallback, is_channel, problems);
    for (index, rota) in config.rotas.iter().enumerate() {
        let place = format!("notify.schedule[{index}]");
        known(&format!("{place}.channels"), &rota.channels, is_channel, problems);
        let stand_ins: Vec<String> = rota.overrides.iter().map(|o| o.channel.clone()).collect();
        known(&format!("{place}.overrides"), &stand_ins, is_channel, problems);
    }
    config
}

/// Whoever is to be told must be there.
fn known(place: &str, names: &[String], is_there: impl Fn(&str) -> bool, problems: &mut Vec<String>) {
    for name in names {
        check(problems, is_there(name), || {
            format!("{place}: there is no channel {name:?}; add a [[notify.channel]] of this name")
        });
    }
}

fn rota(raw: RawSchedule, place: &str, problems: &mut Vec<String>) -> Option<Rota> {
    let before = problems.len();
    let zone = match raw.timezone.as_deref() {
        None => Some(TimeZone::UTC),
        Some(name) => crate::context::calendar::find_zone(name).ok(),
    };
    check(problems, zone.is_some(), || {
        format!(
            "{place}.timezone: no such zone, such as Europe/Berlin: {:?}",
            raw.timezone
        )
    });
    let start = raw.start.parse::<DateTime>().ok();
    check(problems, start.is_some(), || {
        format!(
            "{place}.start: must be a local time like 2026-11-02T09:00, got {:?}",
            raw.start
        )
    });
    let days = raw.days.unwrap_or(7);
    check(problems, (1..=366).contains(&days), || {
        format!("{place}.days: must be 1 to 366, got {days}")
    });
    check(problems, !raw.channels.is_empty(), || {
        format!("{place}.channels: name at least one channel")
    });
    let mut overrides = Vec::new();
    for raw in raw.overrides {
        let at = |text: &str| {
            text.parse::<jiff::Timestamp>()
                .ok()
                .map(|at| Timestamp(at.as_millisecond()))
        };
        match (at(&raw.from), at(&raw.until)) {
            (Some(from), Some(until)) if from < until => overrides.push(Override {
                from,
                until,
                channel: raw.channel,
            }),
            _ => problems.push(format!(
                "{place}.overrides: from and until must be times like 2026-12-24T00:00:00Z, the first before the second"
            )),
        }
    }
    (problems.len() == before).then_some(Rota {
        name: raw.name,
        zone: zone?,
        start: start?,
        days,
        channels: raw.channels,
        overrides,
    })
}

fn route(raw: RawRoute, place: &str, teams: &[Team], problems: &mut Vec<String>) -> Route {
    let mut severities = Vec::new();
    for name in &raw.severities {
        match serde_json::from_value::<Severity>(name.as_str().into()) {
            Ok(severity) => severities.push(severity),
            Err(_) => problems.push(format!("{place}.severities: must be P1, P2, P3 or P4, got {name:?}")),
        }
    }
    if let Some(name) = &raw.team {
        check(problems, teams.iter().any(|team| team.name == *name), || {
            format!("{place}.team: there is no team {name:?}; add a [[notify.team]] of this name")
        });
    }
    let mut escalate = Vec::new();
    for step in raw.escalate {
        check(problems, step.after_mins > 0, || {
            format!("{place}.escalate: after_mins must be above 0")
        });
        escalate.push(Escalation {
            after_ms: i64::from(step.after_mins) * 60_000,
            to: step.to,
        });
    }
    Route {
        severities,
        team: raw.team,
        entities: raw.entities.iter().map(|text| Glob::new(text)).collect(),
        to: raw.to,
        escalate,
        goes_on: raw.goes_on,
    }
}

#[cfg(test)]
mod tests;
