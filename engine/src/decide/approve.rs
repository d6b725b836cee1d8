//! From a proposal and a person's yes to the right to act.

use super::policy::PolicyEngine;
use super::propose::{Situation, input};
use wire::proposal::{PlannedStep, Proposal, ProposalState};
use wire::status::Identity;
use wire::{ProposalId, Timestamp};

/// The right to carry out one plan, once. Only [`approve`] makes it, and `act` takes nothing else.
///
/// ```compile_fail
/// // The fields are private: nobody can approve by hand.
/// let approved = engine::decide::Approved { proposal: "ACT-000001".into(), steps: Vec::new(), plan_hash: String::new() };
/// ```
#[derive(Debug)]
pub struct Approved {
    proposal: ProposalId,
    steps: Vec<PlannedStep>,
    plan_hash: String,
}

impl Approved {
    /// The proposal that was approved.
    pub fn proposal_id(&self) -> &ProposalId {
        &self.proposal
    }

    /// What to do, in order.
    pub fn steps(&self) -> &[PlannedStep] {
        &self.steps
    }

    /// Hash of the plan, also the key that makes a repeated request harmless.
    pub fn plan_hash(&self) -> &str {
        &self.plan_hash
    }
}

/// Why an approval does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    #[error("the plan has changed since it was shown: reload and look again")]
    OtherPlan,
    #[error("the proposal is {0}: reload to see who was first")]
    NotPending(&'static str),
    #[error("the proposal has expired: the situation may be another now")]
    Expired,
    #[error("{0}")]
    Denied(String),
}

/// Checks a person's yes against the plan that was shown, the policy and the world as it is now.
///
/// # Errors
/// [`ApproveError`] says why nothing will be done.
pub fn approve(
    proposal: &Proposal,
    plan_hash: &str,
    identity: &Identity,
    situation: &Situation,
    policy: &PolicyEngine,
    now: Timestamp,
) -> Result<Approved, ApproveError> {
    match &proposal.state {
        ProposalState::Pending => {}
        other => return Err(ApproveError::NotPending(state_name(other))),
    }
    if now >= proposal.expires {
        return Err(ApproveError::Expired);
    }
    let actual = super::plan_hash(&proposal.playbook, &proposal.target, &proposal.steps);
    if plan_hash != actual || proposal.plan_hash != actual {
        return Err(ApproveError::OtherPlan);
    }
    let decision = policy.evaluate(&input(
        situation,
        &proposal.playbook,
        proposal.risk,
        "approve",
        Some(identity.role),
    ));
    if !decision.allowed {
        return Err(ApproveError::Denied(decision.reasons.join("; ")));
    }
    Ok(Approved {
        proposal: proposal.id.clone(),
        steps: proposal.steps.clone(),
        plan_hash: actual,
    })
}

/// The state as a word in a sentence.
pub fn state_name(state: &ProposalState) -> &'static str {
    match state {
        ProposalState::Pending => "pending",
        ProposalState::Denied => "denied by policy",
        ProposalState::Approved { .. } => "approved already",
        ProposalState::Rejected { .. } => "rejected already",
        ProposalState::Running { .. } => "running already",
        ProposalState::Succeeded { .. } | ProposalState::Failed { .. } => "done already",
        ProposalState::Expired { .. } => "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::super::propose::tests::{proposed, situation};
    use super::*;
    use wire::status::Role;

    fn ada(role: Role) -> Identity {
        Identity {
            name: "ada".to_owned(),
            role,
        }
    }

    #[track_caller]
    fn check(
        change: impl FnOnce(&mut Proposal, &mut Situation, &mut Identity, &mut String, &mut Timestamp),
        expected: Result<(), &str>,
    ) {
        let (mut situation, mut identity, mut now) = (situation(), ada(Role::Operator), Timestamp(2000));
        let mut proposal = proposed(&situation).unwrap();
        let mut hash = proposal.plan_hash.clone();
        change(&mut proposal, &mut situation, &mut identity, &mut hash, &mut now);
        let policy = PolicyEngine::bundled().unwrap();
        match (approve(&proposal, &hash, &identity, &situation, &policy, now), expected) {
            (Ok(approved), Ok(())) => assert_eq!(approved.steps(), proposal.steps),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn only_the_plan_that_was_shown_runs() {
        check(|_, _, _, _, _| {}, Ok(()));
        check(|_, _, _, hash, _| hash.push('0'), Err("changed since"));
        check(
            |proposal, _, _, _, _| proposal.steps[0].dry_run.push('x'),
            Err("changed since"),
        );
        check(|_, _, _, _, now| *now = Timestamp(i64::MAX), Err("expired"));
        check(
            |p, _, _, _, _| {
                p.state = ProposalState::Rejected {
                    by: "bob".to_owned(),
                    at: Timestamp(1),
                    reason: String::new(),
                }
            },
            Err("rejected already"),
        );
        check(|_, situation, _, _, _| situation.kill_switch = true, Err("kill switch"));
        check(|_, _, identity, _, _| identity.role = Role::Viewer, Err("viewer"));
        check(
            |_, situation, _, _, _| situation.actions_last_hour = 9,
            Err("last hour"),
        );
    }
}
