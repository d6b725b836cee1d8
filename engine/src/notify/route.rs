//! Where an incident is told: by severity, and by the team whose entity is its cause.

use super::{Notice, NotifyConfig};
use crate::context::Glob;
use crate::correlate::Incident;
use std::collections::BTreeMap;
use wire::Timestamp;
use wire::incident::Severity;

/// Who looks after what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub name: String,
    pub entities: Vec<Glob>,
}

/// Which incidents go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Empty: all.
    pub severities: Vec<Severity>,
    /// `None`: whoever's it is, also nobody's.
    pub team: Option<String>,
    /// Of the cause, or of what strays where there is no single cause; empty: all.
    pub entities: Vec<Glob>,
    /// Names of channels and rotas. Empty: nobody is told.
    pub to: Vec<String>,
    /// While nobody has acknowledged it.
    pub escalate: Vec<Escalation>,
    /// The routes after it count as well.
    pub goes_on: bool,
}

/// Whom to tell if nobody has acknowledged an incident for so long after it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    pub after_ms: i64,
    pub to: Vec<String>,
}

/// The worst that is told of where no route says otherwise.
const BY_DEFAULT: [Severity; 3] = [Severity::P1, Severity::P2, Severity::P3];

/// The team whose entity is the cause, or, where there is no single cause, that of the member that strayed first.
pub(super) fn team_of(config: &NotifyConfig, incident: &Incident) -> Option<String> {
    let owner = |entity: &str| {
        let team = config
            .teams
            .iter()
            .find(|t| t.entities.iter().any(|g| g.matches(entity)))?;
        Some(team.name.clone())
    };
    if let Some(cause) = &incident.cause {
        return owner(cause.as_str());
    }
    let mut members: Vec<_> = incident.members.values().collect();
    members.sort_by_key(|member| (member.onset, member.series));
    members.iter().find_map(|member| owner(member.entity.as_str()))
}

/// Channels with the words that led there, and what comes after.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// By name, with the rotation whose turn it is, if one led there.
    pub(super) channels: BTreeMap<String, Option<String>>,
    /// By time, all routes together.
    pub(super) escalate: Vec<Escalation>,
    /// Why it goes there, or nowhere.
    pub(super) text: String,
}

/// Where an incident goes now.
pub(super) fn way(config: &NotifyConfig, notice: &Notice, now: Timestamp) -> Way {
    let mut way = Way::default();
    let whose = notice
        .team
        .as_deref()
        .map_or("no team's".to_owned(), |team| format!("{team}'s"));
    let what = format!("{:?}, {whose}", notice.severity);
    if config.routes.is_empty() {
        if BY_DEFAULT.contains(&notice.severity) {
            let all: Vec<String> = config.channels.iter().map(|channel| channel.name.clone()).collect();
            add(config, &mut way.channels, &all, now);
            way.text = format!("{what}: to every channel, as there are no routes");
        } else {
            way.text = format!("{what}: without routes nobody is told of it");
        }
        return way;
    }
    let mut taken = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        if !fits(route, notice) {
            continue;
        }
        let number = index + 1;
        taken.push(number.to_string());
        add(config, &mut way.channels, &route.to, now);
        way.escalate.extend(route.escalate.iter().cloned());
        if !route.goes_on {
            break;
        }
    }
    way.escalate.sort_by_key(|step| step.after_ms);
    way.text = if taken.is_empty() {
        format!("{what}: no route fits")
    } else if way.channels.is_empty() {
        format!("{what}: route {} says that nobody is told", taken.join(" and "))
    } else {
        format!(
            "{what}: route {} leads to {}",
            taken.join(" and "),
            spoken(&way.channels)
        )
    };
    way
}

/// Resolves rotas to the channels whose turn it is.
pub(super) fn add(
    config: &NotifyConfig,
    channels: &mut BTreeMap<String, Option<String>>,
    names: &[String],
    now: Timestamp,
) {
    for name in names {
        let rota = config.rotas.iter().find(|rota| rota.name == *name);
        let channel = rota.map_or(name.as_str(), |rota| rota.on_call(now).0);
        channels
            .entry(channel.to_owned())
            .or_insert_with(|| rota.map(|rota| rota.name.clone()));
    }
}

/// The channels in a sentence.
pub(super) fn spoken(channels: &BTreeMap<String, Option<String>>) -> String {
    let one = |(channel, rota): (&String, &Option<String>)| match rota {
        Some(rota) => format!("{channel} (on call by {rota})"),
        None => channel.clone(),
    };
    channels.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn fits(route: &Route, notice: &Notice) -> bool {
    let named = |glob: &Glob| match &notice.cause {
        Some(cause) => glob.matches(cause.as_str()),
        None => notice.entities.iter().any(|entity| glob.matches(entity.as_str())),
    };
    (route.severities.is_empty() || route.severities.contains(&notice.severity))
        && route
            .team
            .as_ref()
            .is_none_or(|team| notice.team.as_ref() == Some(team))
        && (route.entities.is_empty() || route.entities.iter().any(named))
}
