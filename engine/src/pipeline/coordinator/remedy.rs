//! Proposals: made when an incident or a prediction calls for one, decided by people, verified on the metrics.

use super::{Coordinator, Effect, LaneName};
use crate::act::Outcome;
use crate::correlate::Incident;
use crate::decide::approve::state_name;
use crate::decide::playbook::TriggerKind;
use crate::decide::{ApproveError, Playbook, PolicyEngine, Situation, approve, propose};
use crate::error::Result;
use crate::view::entity_kind;
use wire::incident::IncidentState;
use wire::prediction::{Prediction, PredictionState};
use wire::proposal::{Proposal, ProposalState};
use wire::query::{ApiError, ErrorKind};
use wire::series::MetricClass;
use wire::status::Identity;
use wire::topology::ChangeKind;
use wire::{EntityId, IncidentId, ProposalId, Timestamp};

/// A change this long before an incident, in its own time, may have caused it.
const DEPLOY_WINDOW_MS: i64 = 60 * 60 * 1000;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// What can be done, and whether it may be.
#[derive(Debug)]
pub(crate) struct Remedies {
    playbooks: Vec<Playbook>,
    policy: PolicyEngine,
    webhook_base: Option<String>,
    last_id: u64,
}

impl Remedies {
    pub(super) fn bundled(webhook_base: Option<String>, last_id: u64) -> Result<Self> {
        Ok(Self {
            playbooks: Playbook::bundled()?,
            policy: PolicyEngine::bundled()?,
            webhook_base,
            last_id,
        })
    }

    fn playbook(&self, name: &str) -> Option<&Playbook> {
        self.playbooks.iter().find(|p| p.name == name)
    }
}

impl Coordinator {
    /// Proposes a remedy for an open incident that has a cause and no proposal for it yet.
    pub(super) fn propose_for_incident(&mut self, incident: &Incident, now: Timestamp, effects: &mut Vec<Effect>) {
        if !matches!(incident.state, IncidentState::Open | IncidentState::Acknowledged) {
            return;
        }
        let Some(situation) = self.incident_situation(incident, now) else {
            return;
        };
        self.propose(&situation, now, effects);
    }

    /// The same for a prediction.
    pub(super) fn propose_for_prediction(
        &mut self,
        prediction: &Prediction,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        match prediction.state {
            PredictionState::Open => {
                let situation = self.prediction_situation(prediction, now);
                self.propose(&situation, now, effects);
            }
            PredictionState::CameTrue | PredictionState::Withdrawn | PredictionState::Expired => {
                let helped = prediction.state != PredictionState::CameTrue;
                let text = if helped {
                    "the limit was not reached"
                } else {
                    "the limit was reached all the same"
                };
                self.verified(
                    |p| p.prediction.as_ref() == Some(&prediction.id),
                    helped,
                    text,
                    now,
                    effects,
                );
            }
        }
    }

    fn incident_situation(&self, incident: &Incident, now: Timestamp) -> Option<Situation> {
        let target = incident.cause.clone()?;
        let cause = incident.causes.iter().find(|c| c.entity == target)?;
        let class = cause
            .series
            .and_then(|id| incident.infos.get(&id))
            .map_or(MetricClass::Other, |info| info.class);
        let deploy = self
            .deploys
            .iter()
            .rev()
            .find(|d| {
                d.kind == ChangeKind::Deploy
                    && d.entity == target
                    && (0..=DEPLOY_WINDOW_MS).contains(&cause.onset.millis_since(d.at))
            })
            .map(|d| d.version.clone());
        Some(Situation {
            kind: TriggerKind::Incident,
            target_kind: entity_kind(&target, &incident.source),
            class,
            metric: cause.metric.clone(),
            confidence: incident.confidence,
            severity: Some(format!("{:?}", incident.severity)),
            deploy,
            incident: Some(incident.id.clone()),
            prediction: None,
            data_age_secs: self.data_age_secs(&target, LaneName::of(&incident.source)),
            actions_last_hour: self.actions_last_hour(&target, now),
            kill_switch: self.killed(),
            target,
        })
    }

    fn prediction_situation(&self, prediction: &Prediction, now: Timestamp) -> Situation {
        Situation {
            kind: TriggerKind::Prediction,
            target_kind: entity_kind(&prediction.entity, ""),
            target: prediction.entity.clone(),
            class: crate::series::classify(&prediction.metric, None),
            metric: prediction.metric.clone(),
            confidence: prediction.probability,
            severity: None,
            deploy: None,
            incident: None,
            prediction: Some(prediction.id.clone()),
            data_age_secs: self.data_age_secs(&prediction.entity, self.lane_of(&prediction.entity)),
            actions_last_hour: self.actions_last_hour(&prediction.entity, now),
            kill_switch: self.killed(),
        }
    }

    /// How long ago the target was last heard of, on the clock of its lane: nobody may act on what he does not see.
    fn data_age_secs(&self, target: &EntityId, lane: LaneName) -> f64 {
        let last_at = self.tally.entities.get(target).and_then(|entry| entry.tally.last_at);
        match (last_at, self.lanes.get(&lane)) {
            (Some(at), Some(lane)) => lane.clock.millis_since(at) as f64 / 1000.0,
            _ => f64::MAX,
        }
    }

    fn lane_of(&self, entity: &EntityId) -> LaneName {
        let entry = self.tally.entities.get(entity);
        entry.map_or(LaneName::Wall, |entry| LaneName::of(&entry.source))
    }

    fn actions_last_hour(&self, target: &EntityId, now: Timestamp) -> u64 {
        let acted = |p: &&Proposal| p.target == *target && acted_at(p).is_some_and(|at| now.millis_since(at) < HOUR_MS);
        self.proposals.values().filter(acted).count() as u64
    }

    fn propose(&mut self, situation: &Situation, now: Timestamp, effects: &mut Vec<Effect>) {
        let id = ProposalId(format!("ACT-{:06}", self.remedies.last_id + 1));
        let base = self.remedies.webhook_base.as_deref();
        let Some(proposal) = propose(
            situation,
            &self.remedies.playbooks,
            &self.remedies.policy,
            base,
            id,
            now,
        ) else {
            return;
        };
        let cooldown_ms = self
            .remedies
            .playbook(&proposal.playbook)
            .map_or(0, |p| i64::try_from(p.cooldown_secs).unwrap_or(i64::MAX / 1000) * 1000);
        let known = self.proposals.values().any(|other| {
            let same_trouble = other.incident == proposal.incident && other.prediction == proposal.prediction;
            let cooling = acted_at(other).is_some_and(|at| now.millis_since(at) < cooldown_ms);
            // What policy denied before may be allowed by now; as long as it is not, it is not told twice.
            let stands = match other.state {
                ProposalState::Denied => proposal.state == ProposalState::Denied,
                // Withdrawn before its time: the cause it was for has come back.
                ProposalState::Expired { .. } => now >= other.expires,
                _ => true,
            };
            other.target == proposal.target
                && other.playbook == proposal.playbook
                && stands
                && (same_trouble || cooling)
        });
        if known {
            return;
        }
        self.remedies.last_id += 1;
        self.audit(now, "engine", "propose", proposal.id.as_str(), &proposal.title, effects);
        self.keep(proposal, effects);
    }

    pub(super) fn approve(
        &mut self,
        identity: &Identity,
        id: &ProposalId,
        plan_hash: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        let mut proposal = self.proposal(id)?;
        let situation = self.situation_of(&proposal, now).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                format!("{id}: what it was proposed for is over or has another cause by now: reload and look again"),
            )
        })?;
        let approved =
            approve(&proposal, plan_hash, identity, &situation, &self.remedies.policy, now).map_err(|error| {
                let kind = if matches!(error, ApproveError::Denied(_)) {
                    ErrorKind::Forbidden
                } else {
                    ErrorKind::Conflict
                };
                ApiError::new(kind, format!("{id}: {error}"))
            })?;
        self.audit(
            now,
            &identity.name,
            "approve",
            id.as_str(),
            &format!("plan {plan_hash}"),
            effects,
        );
        proposal.state = ProposalState::Approved {
            by: identity.name.clone(),
            at: now,
        };
        let title = proposal.title.clone();
        self.keep(proposal, effects);
        effects.push(Effect::Execute(Box::new(approved)));
        Ok(format!("{id} approved: {title}"))
    }

    pub(super) fn reject(
        &mut self,
        identity: &Identity,
        id: &ProposalId,
        reason: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        let mut proposal = self.proposal(id)?;
        if proposal.state != ProposalState::Pending {
            let state = state_name(&proposal.state);
            return Err(ApiError::new(
                ErrorKind::Conflict,
                format!("{id} is {state}: reload to see who was first"),
            ));
        }
        self.audit(now, &identity.name, "reject", id.as_str(), reason, effects);
        proposal.state = ProposalState::Rejected {
            by: identity.name.clone(),
            at: now,
            reason: reason.to_owned(),
        };
        self.keep(proposal, effects);
        Ok(format!("{id} rejected"))
    }

    /// An approved plan was carried out, or not.
    pub(crate) fn acted(&mut self, id: &ProposalId, outcome: Outcome, now: Timestamp, effects: &mut Vec<Effect>) {
        let Ok(mut proposal) = self.proposal(id) else { return };
        self.audit(
            now,
            "engine",
            if outcome.done { "acted" } else { "action_failed" },
            id.as_str(),
            &outcome.text,
            effects,
        );
        if outcome.done {
            proposal.state = ProposalState::Running { since: now };
            if let Some(incident) = &proposal.incident {
                let what = format!("{}: {}", proposal.title, outcome.text);
                if let Some(change) = self.lanes.values_mut().find_map(|lane| {
                    lane.brain
                        .correlator
                        .mitigated(incident, "engine", &what, lane.clock)
                        .ok()
                }) {
                    effects.push(Effect::SaveIncident(Box::new(change.incident)));
                }
            }
        } else {
            proposal.state = ProposalState::Failed {
                at: now,
                outcome: outcome.text,
            };
        }
        self.keep(proposal, effects);
    }

    /// An incident ended: what was done for it has helped, as far as its metrics tell.
    pub(super) fn verify_resolved(&mut self, incident: &Incident, now: Timestamp, effects: &mut Vec<Effect>) {
        let text = if LaneName::of(&incident.source) == LaneName::Replay {
            "the metrics are back in their band; this is a recording, so the action cannot be the reason"
        } else {
            "the metrics are back in their band"
        };
        self.verified(|p| p.incident.as_ref() == Some(&incident.id), true, text, now, effects);
    }

    /// A person says that an incident is over.
    pub(super) fn verified_by(&mut self, who: &str, incident: &Incident, now: Timestamp, effects: &mut Vec<Effect>) {
        let text = format!("{who} resolved the incident");
        self.verified(|p| p.incident.as_ref() == Some(&incident.id), true, &text, now, effects);
    }

    /// Withdraws what waits for a decision about something that is no longer taken for the cause.
    pub(super) fn withdraw_superseded(&mut self, incident: &Incident, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(cause) = &incident.cause else { return };
        let superseded: Vec<Proposal> = self
            .proposals
            .values()
            .filter(|p| {
                p.incident.as_ref() == Some(&incident.id)
                    && p.target != *cause
                    && matches!(p.state, ProposalState::Pending | ProposalState::Denied)
            })
            .cloned()
            .collect();
        for mut proposal in superseded {
            let text = format!("{cause} is the more probable cause by now");
            self.audit(now, "engine", "withdraw", proposal.id.as_str(), &text, effects);
            proposal.state = ProposalState::Expired { at: now };
            self.keep(proposal, effects);
        }
    }

    /// An incident went into an older one, and what was proposed for it with it: nothing is verified by that.
    pub(super) fn move_proposals(&mut self, from: &IncidentId, to: &IncidentId, effects: &mut Vec<Effect>) {
        let moved: Vec<Proposal> = self
            .proposals
            .values()
            .filter(|p| p.incident.as_ref() == Some(from))
            .cloned()
            .collect();
        for mut proposal in moved {
            proposal.incident = Some(to.clone());
            self.keep(proposal, effects);
        }
    }

    fn verified(
        &mut self,
        of: impl Fn(&Proposal) -> bool,
        helped: bool,
        text: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let affected: Vec<Proposal> = self.proposals.values().filter(|p| of(p)).cloned().collect();
        for mut proposal in affected {
            proposal.state = match proposal.state {
                ProposalState::Running { .. } if helped => ProposalState::Succeeded {
                    at: now,
                    outcome: text.to_owned(),
                },
                ProposalState::Running { .. } => ProposalState::Failed {
                    at: now,
                    outcome: text.to_owned(),
                },
                ProposalState::Pending | ProposalState::Denied => ProposalState::Expired { at: now },
                _ => continue,
            };
            self.audit(now, "engine", "verify", proposal.id.as_str(), text, effects);
            self.keep(proposal, effects);
        }
    }

    /// Ends what nobody decided in time, and what ran and did not help in time.
    pub(super) fn expire_proposals(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let overdue: Vec<Proposal> = self
            .proposals
            .values()
            .filter(|p| match p.state {
                ProposalState::Pending => now >= p.expires,
                ProposalState::Running { since } => {
                    let within_secs = self
                        .remedies
                        .playbook(&p.playbook)
                        .map_or(1800, |playbook| playbook.verify_within_secs);
                    now.millis_since(since)
                        > i64::try_from(within_secs)
                            .unwrap_or(i64::MAX / 1000)
                            .saturating_mul(1000)
                }
                _ => false,
            })
            .cloned()
            .collect();
        for mut proposal in overdue {
            let (state, text) = if proposal.state == ProposalState::Pending {
                (ProposalState::Expired { at: now }, "nobody decided in time")
            } else {
                let outcome = format!(
                    "the metrics did not return to their band in time. To undo: {}",
                    proposal.inverse
                );
                (ProposalState::Failed { at: now, outcome }, "did not help in time")
            };
            proposal.state = state;
            self.audit(now, "engine", "expire", proposal.id.as_str(), text, effects);
            self.keep(proposal, effects);
        }
    }

    /// What was under way when an earlier run ended has an unknown end: it is never sent again.
    pub(super) fn close_interrupted(proposals: &mut [Proposal], now: Timestamp) -> Vec<Proposal> {
        let mut closed = Vec::new();
        for proposal in proposals {
            // What was carried out goes on being verified; only what was being sent has an unknown end.
            if matches!(proposal.state, ProposalState::Approved { .. }) {
                let outcome = "Halo stopped while it ran; it is not sent again: check the target".to_owned();
                proposal.state = ProposalState::Failed { at: now, outcome };
                closed.push(proposal.clone());
            }
        }
        closed
    }

    /// What is known now of the trouble a proposal is for; `None` once it is over.
    fn situation_of(&self, proposal: &Proposal, now: Timestamp) -> Option<Situation> {
        if let Some(id) = &proposal.incident {
            let incident = self
                .lanes
                .values()
                .find_map(|lane| lane.brain.correlator.incident(id))?;
            if !incident.is_open() {
                return None;
            }
            // Where the cause has been ranked anew since, the evidence is no longer about the plan's target.
            return self
                .incident_situation(incident, now)
                .filter(|situation| situation.target == proposal.target);
        }
        let prediction = self.predictions.get(proposal.prediction.as_ref()?)?;
        (prediction.state == PredictionState::Open).then(|| self.prediction_situation(prediction, now))
    }

    fn proposal(&self, id: &ProposalId) -> Result<Proposal, ApiError> {
        self.proposals
            .get(id)
            .cloned()
            .ok_or_else(|| ApiError::new(ErrorKind::NotFound, format!("no proposal {id}: reload the list")))
    }

    fn keep(&mut self, proposal: Proposal, effects: &mut Vec<Effect>) {
        effects.push(Effect::SaveProposal(Box::new(proposal.clone())));
        self.proposals.insert(proposal.id.clone(), proposal);
    }
}

/// When a proposal was carried out, or began to be.
fn acted_at(proposal: &Proposal) -> Option<Timestamp> {
    match proposal.state {
        // A failure counts too: it may have been carried out, and trying again at once is how an action loops.
        ProposalState::Approved { at, .. } | ProposalState::Succeeded { at, .. } | ProposalState::Failed { at, .. } => {
            Some(at)
        }
        ProposalState::Running { since } => Some(since),
        _ => None,
    }
}
