//! Orders from people, each checked against the role of who gives it, audited, and answered with a sentence.

use super::{Coordinator, Effect};
use crate::correlate::{CorrelateError, Correlator, IncidentChange};
use crate::detect::SHIPPED_THRESHOLD;
use crate::pipeline::message::ModelsOrder;
use crate::topology::Found;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use wire::command::Command;
use wire::incident::Verdict;
use wire::query::{ApiError, ErrorKind, Reply};
use wire::series::MetricClass;
use wire::status::Identity;
use wire::topology::EdgeSource;
use wire::{EntityId, IncidentId, Timestamp};

/// Longest comment in bytes.
const MAX_COMMENT: usize = 10_000;

/// Longest name of a person in bytes.
const MAX_NAME: usize = 200;

/// An incident is put off for so long at most.
const MAX_SNOOZE_MS: i64 = 7 * 24 * 3600 * 1000;

impl Coordinator {
    /// Follows an order.
    ///
    /// # Errors
    /// `Forbidden` if the role is not enough, `NotFound` for an unknown id, `Conflict` if somebody was faster or the plan
    /// is not the one that was shown, `Invalid` if the order makes no sense. Nothing has changed then. `Unavailable` if alerts
    /// found no room; the others were taken.
    pub(crate) fn command(
        &mut self,
        identity: &Identity,
        command: Command,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, ApiError> {
        if identity.role < command.required_role() {
            return Err(ApiError::new(
                ErrorKind::Forbidden,
                format!(
                    "{} is a {:?}; this takes an {:?}: ask an admin for a token with that role",
                    identity.name,
                    identity.role,
                    command.required_role()
                ),
            ));
        }
        let who = identity.name.as_str();
        let done = match command {
            Command::Approve { proposal, plan_hash } => self.approve(identity, &proposal, &plan_hash, now, effects)?,
            Command::Reject { proposal, reason } => self.reject(identity, &proposal, &reason, now, effects)?,
            Command::Acknowledge { incident } => {
                let change =
                    self.on_incident(&incident, |correlator, now| correlator.acknowledge(&incident, who, now))?;
                self.incident_order(who, "acknowledge", change, "", now, effects)
            }
            Command::Resolve { incident } => {
                let change = self.on_incident(&incident, |correlator, now| correlator.resolve(&incident, who, now))?;
                self.verified_by(who, &change.incident, now, effects);
                self.incident_order(who, "resolve", change, "", now, effects)
            }
            Command::Reopen { incident } => {
                let change =
                    self.on_incident(&incident, |correlator, now| correlator.reopen_by(&incident, who, now))?;
                self.incident_order(who, "reopen", change, "", now, effects)
            }
            Command::Assign { incident, to } => {
                let to = named("assign.to", to)?;
                let note = to.clone().unwrap_or_default();
                let change =
                    self.on_incident(&incident, |correlator, now| correlator.assign(&incident, who, to, now))?;
                self.incident_order(who, "assign", change, &note, now, effects)
            }
            Command::Comment { incident, text } => {
                let text = text.trim();
                if text.is_empty() || text.len() > MAX_COMMENT {
                    let message = format!("comment.text: must have 1 to {MAX_COMMENT} bytes");
                    return Err(ApiError::new(ErrorKind::Invalid, message));
                }
                let change = self.on_incident(&incident, |correlator, now| {
                    correlator.comment(&incident, who, text, now)
                })?;
                self.incident_order(who, "comment", change, text, now, effects)
            }
            Command::SetSeverity { incident, severity } => {
                let note = severity.map_or("computed".to_owned(), |severity| format!("{severity:?}"));
                let change = self.on_incident(&incident, |correlator, now| {
                    correlator.set_severity(&incident, who, severity, now)
                })?;
                self.incident_order(who, "set_severity", change, &note, now, effects)
            }
            Command::Snooze { incident, until } => {
                if until.is_some_and(|until| until <= now || until.millis_since(now) > MAX_SNOOZE_MS) {
                    let message = "snooze.until: must be after now and within a week".to_owned();
                    return Err(ApiError::new(ErrorKind::Invalid, message));
                }
                let note = until.map(|until| until.to_string()).unwrap_or_default();
                let change = self.on_incident(&incident, |correlator, now| {
                    correlator.snooze(&incident, who, until, now)
                })?;
                self.incident_order(who, "snooze", change, &note, now, effects)
            }
            Command::Merge { incident, into } => {
                let changes = self.on_incident(&incident, |correlator, now| {
                    correlator.merge_by(&incident, &into, who, now)
                })?;
                let note = format!("into {into}");
                self.regrouped(who, "merge", &incident, &note, changes, now, effects)
            }
            Command::Split { incident, entities } => {
                let entities: BTreeSet<EntityId> = entities.into_iter().collect();
                let changes = self.on_incident(&incident, |correlator, now| {
                    correlator.split(&incident, &entities, who, now)
                })?;
                let note = format!("into {}", changes[0].incident.id);
                self.regrouped(who, "split", &incident, &note, changes, now, effects)
            }
            Command::Unmerge { incident } => {
                let changes = self.on_incident(&incident, |correlator, now| correlator.unmerge(&incident, who, now))?;
                let note = format!("from {}", changes[1].incident.id);
                self.regrouped(who, "unmerge", &incident, &note, changes, now, effects)
            }
            Command::TestChannel { channel } => self.test_channel(who, &channel, now, effects)?,
            Command::Feedback {
                incident,
                verdict,
                note,
            } => {
                let change = self.on_incident(&incident, |correlator, now| {
                    correlator.feedback(&incident, who, verdict, &note, now)
                })?;
                self.learn(verdict, &change, effects);
                self.incident_order(who, feedback_name(verdict), change, &note, now, effects)
            }
            Command::RecordDeploy { deploy } => self.deployed(who, deploy, now, effects)?,
            Command::ReceiveAlerts { source, alerts } => self.receive_alerts(&source, alerts, now, effects)?,
            Command::SetSilence { silence } => {
                return self.set_silence(who, silence, now, effects).map(Reply::Silence);
            }
            Command::ExpireSilence { id } => {
                return self.expire_silence(who, &id, now, effects).map(Reply::Silence);
            }
            Command::DeclareEdge { edge } => {
                let text = format!("{} depends on {}", edge.caller, edge.callee);
                if edge.caller == edge.callee {
                    return Err(ApiError::new(
                        ErrorKind::Invalid,
                        format!("{} cannot depend on itself", edge.caller),
                    ));
                }
                let declared = Found {
                    edge,
                    kind: None,
                    source: EdgeSource::Declared,
                    calls: 0,
                };
                self.found_edges(vec![declared], now, effects);
                self.audit(now, who, "declare_edge", &text, "", effects);
                text
            }
            Command::TrainModels => self.order_models(who, ModelsOrder::Train, now, effects)?,
            Command::RevertModels => self.order_models(who, ModelsOrder::Revert, now, effects)?,
            Command::SetKillSwitch { on } => {
                self.kill_switch.store(on, Ordering::SeqCst);
                effects.push(Effect::SaveSetting {
                    key: "kill_switch",
                    value: on.to_string(),
                });
                self.audit(
                    now,
                    who,
                    if on { "kill_switch_on" } else { "kill_switch_off" },
                    "all actions",
                    "",
                    effects,
                );
                if on {
                    "the kill switch is on: nothing will act"
                } else {
                    "the kill switch is off"
                }
                .to_owned()
            }
        };
        Ok(Reply::Done(done))
    }

    /// Runs an order on the lane that owns the incident, at that lane's time.
    fn on_incident<T>(
        &mut self,
        id: &IncidentId,
        order: impl FnOnce(&mut Correlator, Timestamp) -> Result<T, CorrelateError>,
    ) -> Result<T, ApiError> {
        let lane = self
            .lanes
            .values_mut()
            .find(|lane| lane.brain.correlator.incident(id).is_some())
            .ok_or_else(|| ApiError::new(ErrorKind::NotFound, format!("no incident {id}: reload the list")))?;
        let now = lane.clock;
        order(&mut lane.brain.correlator, now).map_err(|error| match error {
            CorrelateError::Unknown(_) => ApiError::new(ErrorKind::NotFound, error.to_string()),
            CorrelateError::Senseless(_) => ApiError::new(ErrorKind::Invalid, error.to_string()),
            CorrelateError::WrongState { .. } | CorrelateError::Merged { .. } => {
                ApiError::new(ErrorKind::Conflict, error.to_string())
            }
        })
    }

    /// Feedback moves the thresholds of the classes that made the incident, and is kept beside what was said.
    fn learn(&mut self, verdict: Verdict, change: &IncidentChange, effects: &mut Vec<Effect>) {
        let classes: BTreeSet<MetricClass> = change.incident.infos.values().map(|info| info.class).collect();
        for class in self.thresholds.feedback(&change.incident.id, verdict, &classes) {
            effects.push(Effect::SetThreshold {
                class,
                threshold: self.thresholds.threshold(class, SHIPPED_THRESHOLD),
            });
        }
        let incident = &change.incident;
        self.record
            .judge(&incident.id, verdict, incident.chance(), incident.voters());
        effects.push(Effect::SaveSetting {
            key: "record",
            value: serde_json::to_string(&self.record).expect("plain data always serializes"),
        });
        let value = serde_json::to_string(&self.thresholds).expect("plain data always serializes");
        effects.push(Effect::SaveSetting {
            key: "thresholds",
            value,
        });
    }

    fn incident_order(
        &mut self,
        who: &str,
        action: &str,
        change: IncidentChange,
        note: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> String {
        let id = change.incident.id.clone();
        self.audit(now, who, action, id.as_str(), note, effects);
        self.notifier.changed(&change.incident, Some(who), now);
        effects.push(Effect::SaveIncident(Box::new(change.incident)));
        format!("{id}: {}", past(action))
    }

    /// Keeps and tells what became of incidents that a person merged or parted.
    fn regrouped(
        &mut self,
        who: &str,
        action: &str,
        id: &IncidentId,
        note: &str,
        changes: [IncidentChange; 2],
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> String {
        self.audit(now, who, action, id.as_str(), note, effects);
        for change in changes {
            self.notifier.changed(&change.incident, Some(who), now);
            effects.push(Effect::SaveIncident(Box::new(change.incident)));
        }
        format!("{id}: {} {note}", past(action))
    }
}

/// A name that a person gave; blanks are none.
fn named(field: &str, name: Option<String>) -> Result<Option<String>, ApiError> {
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
        let message = format!("{field}: must have at most {MAX_NAME} bytes");
        return Err(ApiError::new(ErrorKind::Invalid, message));
    }
    Ok(name)
}

/// What an order that was carried out did.
fn past(action: &str) -> &'static str {
    match action {
        "acknowledge" => "acknowledged",
        "resolve" => "resolved",
        "reopen" => "open again",
        "assign" => "assigned",
        "comment" => "comment recorded",
        "set_severity" => "severity set",
        "snooze" => "put off",
        "merge" => "merged",
        "split" => "split",
        "unmerge" => "parted again",
        _ => "feedback recorded",
    }
}

fn feedback_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Useful => "feedback_useful",
        Verdict::WrongCause => "feedback_wrong_cause",
        Verdict::FalseAlarm => "feedback_false_alarm",
    }
}
