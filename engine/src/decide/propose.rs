//! From an incident or a prediction to proposals.

use super::playbook::{Playbook, TriggerKind, fill};
use super::policy::{PolicyEngine, PolicyInput};
use serde::Serialize;
use std::collections::BTreeMap;
use wire::proposal::{PlannedStep, Proposal, ProposalState, Risk};
use wire::series::MetricClass;
use wire::topology::EntityKind;
use wire::{EntityId, IncidentId, PredictionId, ProposalId, Timestamp};

/// What is known when a remedy is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    pub kind: TriggerKind,
    pub target: EntityId,
    pub target_kind: EntityKind,
    /// Class and name of the metric that points at the target.
    pub class: MetricClass,
    pub metric: String,
    /// Probability that acting on the target is right, 0..1.
    pub confidence: f32,
    pub severity: Option<String>,
    /// The target was changed shortly before, to this.
    pub deploy: Option<String>,
    pub incident: Option<IncidentId>,
    pub prediction: Option<PredictionId>,
    /// Seconds since the newest sample of the target.
    pub data_age_secs: f64,
    /// Actions that ran on the target in the last hour.
    pub actions_last_hour: u64,
    pub kill_switch: bool,
}

/// Proposes the first playbook that fits, checked against policy. `webhook_base` is where its requests would go; without
/// one they are shown but cannot be sent. `id` names the proposal.
///
/// Pure: the same situation gives the same proposal.
pub fn propose(
    situation: &Situation,
    playbooks: &[Playbook],
    policy: &PolicyEngine,
    webhook_base: Option<&str>,
    id: ProposalId,
    now: Timestamp,
) -> Option<Proposal> {
    let playbook = playbooks.iter().find(|playbook| fits(playbook, situation))?;
    let variables = variables(situation);
    let steps: Vec<PlannedStep> = playbook
        .steps
        .iter()
        .map(|step| plan(step, &variables, webhook_base))
        .collect();
    let plan_hash = plan_hash(&playbook.name, &situation.target, &steps);
    Some(Proposal {
        id,
        playbook: playbook.name.clone(),
        title: fill(&playbook.title, &variables),
        target: situation.target.clone(),
        incident: situation.incident.clone(),
        prediction: situation.prediction.clone(),
        created: now,
        expires: now
            + i64::try_from(playbook.expires_secs)
                .unwrap_or(i64::MAX / 1000)
                .saturating_mul(1000),
        risk: playbook.risk,
        expected_effect: fill(&playbook.expected_effect, &variables),
        inverse: fill(&playbook.inverse, &variables),
        policy: policy.evaluate(&input(situation, &playbook.name, playbook.risk, "propose", None)),
        state: ProposalState::Pending,
        steps,
        plan_hash,
    })
    .map(|mut proposal| {
        if !proposal.policy.allowed {
            proposal.state = ProposalState::Denied;
        }
        proposal
    })
}

/// What the policy is asked.
pub(super) fn input(
    situation: &Situation,
    playbook: &str,
    risk: Risk,
    stage: &'static str,
    role: Option<wire::status::Role>,
) -> PolicyInput {
    PolicyInput {
        stage,
        playbook: playbook.to_owned(),
        risk,
        target: situation.target.to_string(),
        class: situation.class,
        confidence: situation.confidence,
        severity: situation.severity.clone(),
        deploy: situation.deploy.clone(),
        kill_switch: situation.kill_switch,
        actions_last_hour: situation.actions_last_hour,
        data_age_secs: situation.data_age_secs,
        role,
    }
}

fn fits(playbook: &Playbook, situation: &Situation) -> bool {
    let trigger = &playbook.trigger;
    trigger.on == situation.kind
        && (trigger.kinds.is_empty() || trigger.kinds.contains(&situation.target_kind))
        && (trigger.classes.is_empty() || trigger.classes.contains(&situation.class))
        && trigger
            .after_deploy
            .is_none_or(|wanted| wanted == situation.deploy.is_some())
        && situation.confidence >= trigger.min_confidence
}

fn variables(situation: &Situation) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("target", situation.target.to_string()),
        ("metric", situation.metric.clone()),
        (
            "incident",
            situation.incident.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        ("deploy", situation.deploy.clone().unwrap_or_default()),
    ])
}

/// The request of a step, byte for byte as it would be sent.
fn plan(step: &super::playbook::Step, variables: &BTreeMap<&'static str, String>, base: Option<&str>) -> PlannedStep {
    let body: BTreeMap<&str, String> = step
        .body
        .iter()
        .map(|(name, text)| (name.as_str(), fill(text, variables)))
        .collect();
    let body = serde_json::to_string(&body).expect("strings always serialize");
    let base = base.map_or("<act.webhook_base is not set>", |base| base.trim_end_matches('/'));
    PlannedStep {
        executor: "webhook".to_owned(),
        summary: fill(&step.summary, variables),
        dry_run: format!("POST {base}{}\ncontent-type: application/json\n\n{body}", step.path),
    }
}

/// Hash of everything that would happen: an approval names it.
pub fn plan_hash(playbook: &str, target: &EntityId, steps: &[PlannedStep]) -> String {
    #[derive(Serialize)]
    struct Plan<'a> {
        playbook: &'a str,
        target: &'a EntityId,
        steps: &'a [PlannedStep],
    }
    let plan = serde_json::to_vec(&Plan {
        playbook,
        target,
        steps,
    })
    .expect("plain data always serializes");
    blake3::hash(&plan).to_hex().to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::decide) fn situation() -> Situation {
        Situation {
            kind: TriggerKind::Incident,
            target: "web".into(),
            target_kind: EntityKind::Service,
            class: MetricClass::Latency,
            metric: "latency".to_owned(),
            confidence: 0.8,
            severity: Some("P2".to_owned()),
            deploy: Some("v2".to_owned()),
            incident: Some("INC-000001".into()),
            prediction: None,
            data_age_secs: 10.0,
            actions_last_hour: 0,
            kill_switch: false,
        }
    }

    pub(in crate::decide) fn proposed(situation: &Situation) -> Option<Proposal> {
        let playbooks = Playbook::bundled().unwrap();
        let policy = PolicyEngine::bundled().unwrap();
        propose(
            situation,
            &playbooks,
            &policy,
            Some("http://127.0.0.1:1/hook/"),
            "ACT-000001".into(),
            Timestamp(1000),
        )
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Situation), playbook: Option<&str>) {
        let mut situation = situation();
        change(&mut situation);
        assert_eq!(proposed(&situation).map(|p| p.playbook), playbook.map(str::to_owned));
    }

    #[test]
    fn the_first_playbook_that_fits_is_proposed() {
        check(|_| {}, Some("rollback-change"));
        check(|s| s.deploy = None, Some("restart-service"));
        check(
            |s| {
                s.deploy = None;
                s.class = MetricClass::Traffic
            },
            None,
        );
        check(|s| s.kind = TriggerKind::Prediction, Some("scale-out"));
        check(|s| s.confidence = 0.1, None);
        check(
            |s| {
                s.deploy = None;
                s.target_kind = EntityKind::External;
            },
            None,
        );
    }

    #[test]
    fn the_dry_run_is_the_request() {
        let proposal = proposed(&situation()).unwrap();
        assert_eq!(
            proposal.steps[0].dry_run,
            "POST http://127.0.0.1:1/hook/rollback\ncontent-type: application/json\n\n{\"change\":\"v2\",\"incident\":\"INC-000001\",\"target\":\"web\"}"
        );
        assert_eq!(
            proposal.plan_hash,
            plan_hash("rollback-change", &"web".into(), &proposal.steps)
        );
        assert_ne!(
            proposal.plan_hash,
            plan_hash("rollback-change", &"db".into(), &proposal.steps)
        );
    }

    #[test]
    fn what_policy_forbids_is_shown_as_denied() {
        let mut situation = situation();
        situation.kill_switch = true;
        let proposal = proposed(&situation).unwrap();
        assert_eq!(proposal.state, ProposalState::Denied);
        assert_eq!(proposal.policy.reasons, ["deny: the kill switch is on"]);
    }
}
