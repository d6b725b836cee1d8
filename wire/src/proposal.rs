//! Remediation: proposed by the engine, approved by a person, recorded.

use crate::{EntityId, IncidentId, PredictionId, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};

/// How much harm a wrong action could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    Low,
    Medium,
    High,
}

/// Where a proposal stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ProposalState {
    /// Policy allows it; a person must decide.
    Pending,
    /// Policy forbids it; shown so that people see what was considered.
    Denied,
    Approved {
        by: String,
        at: Timestamp,
    },
    Rejected {
        by: String,
        at: Timestamp,
        reason: String,
    },
    Running {
        since: Timestamp,
    },
    /// Done and verified on the triggering metrics.
    Succeeded {
        at: Timestamp,
        outcome: String,
    },
    Failed {
        at: Timestamp,
        outcome: String,
    },
    /// Nobody decided in time, or the world changed so that the plan no longer fits.
    Expired {
        at: Timestamp,
    },
}

/// One step, exactly as it would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub executor: String,
    pub summary: String,
    /// The request or command, byte for byte, secrets masked.
    pub dry_run: String,
}

/// What policy said, and which rules said it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyDecision {
    pub allowed: bool,
    /// Names of the rules that allowed or denied, with their message.
    pub reasons: Vec<String>,
    /// Hash of the policy text that decided.
    pub policy_hash: String,
}

/// A remediation waiting for, or past, a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    pub id: ProposalId,
    pub playbook: String,
    pub title: String,
    pub target: EntityId,
    pub incident: Option<IncidentId>,
    pub prediction: Option<PredictionId>,
    pub created: Timestamp,
    pub expires: Timestamp,
    pub risk: Risk,
    /// What is expected to get better, and by when it is checked.
    pub expected_effect: String,
    /// How to undo it.
    pub inverse: String,
    pub steps: Vec<PlannedStep>,
    pub policy: PolicyDecision,
    /// Hash of the plan. Approving names it, so that what runs is what was seen.
    pub plan_hash: String,
    pub state: ProposalState,
}

/// One link of the audit chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub seq: u64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
    /// Hash over the previous link and this one.
    pub hash: String,
}
