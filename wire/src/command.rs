//! Orders. Each is bound to the identity of its sender and audited.

use crate::alert::{PostedAlert, Silence};
use crate::incident::{Severity, Verdict};
use crate::status::Role;
use crate::topology::{Deploy, Edge};
use crate::{EntityId, IncidentId, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Run exactly the plan with this hash. Conflict if the plan has changed since, or somebody else decided.
    Approve {
        proposal: ProposalId,
        plan_hash: String,
    },
    Reject {
        proposal: ProposalId,
        #[serde(default)]
        reason: String,
    },
    Acknowledge {
        incident: IncidentId,
    },
    Resolve {
        incident: IncidentId,
    },
    /// A resolved incident goes on.
    Reopen {
        incident: IncidentId,
    },
    /// Somebody works on it; `None`: nobody.
    Assign {
        incident: IncidentId,
        #[serde(default)]
        to: Option<String>,
    },
    /// A line in its timeline.
    Comment {
        incident: IncidentId,
        text: String,
    },
    /// A person's word on how bad it is; `None`: as it is computed.
    SetSeverity {
        incident: IncidentId,
        #[serde(default)]
        severity: Option<Severity>,
    },
    /// Nobody is told of it until then; `None`: from now on as usual.
    Snooze {
        incident: IncidentId,
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// Two open incidents are one: the members of `incident` go into `into`.
    Merge {
        incident: IncidentId,
        into: IncidentId,
    },
    /// An incident is two: the members of these entities become one of their own.
    Split {
        incident: IncidentId,
        entities: Vec<EntityId>,
    },
    /// Takes back that an incident went into another one.
    Unmerge {
        incident: IncidentId,
    },
    /// Sends an example over a channel. The answer begins with the delivery's id; what becomes of it is among the deliveries.
    TestChannel {
        channel: String,
    },
    Feedback {
        incident: IncidentId,
        verdict: Verdict,
        #[serde(default)]
        note: String,
    },
    /// A version went live, or something else was changed.
    RecordDeploy {
        deploy: Deploy,
    },
    /// Alerts that another system raised, or says to be over. `source` names who told.
    ReceiveAlerts {
        source: String,
        alerts: Vec<PostedAlert>,
    },
    /// Silences alerts of other systems; one with the id of an existing silence replaces it.
    SetSilence {
        silence: Silence,
    },
    /// Ends a silence now.
    ExpireSilence {
        id: String,
    },
    /// Declare a dependency.
    DeclareEdge {
        edge: Edge,
    },
    /// Train models on the history kept, and use them if they are not worse. The audit log says how it went.
    TrainModels,
    /// Go back to the models before the ones in use.
    RevertModels,
    /// While on, nothing acts.
    SetKillSwitch {
        on: bool,
    },
}

impl Command {
    /// The least role that may give this order.
    pub fn required_role(&self) -> Role {
        match self {
            Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Acknowledge { .. }
            | Self::Resolve { .. }
            | Self::Reopen { .. }
            | Self::Assign { .. }
            | Self::Comment { .. }
            | Self::SetSeverity { .. }
            | Self::Snooze { .. }
            | Self::Merge { .. }
            | Self::Split { .. }
            | Self::Unmerge { .. }
            | Self::TestChannel { .. }
            | Self::Feedback { .. }
            | Self::RecordDeploy { .. }
            | Self::ReceiveAlerts { .. }
            | Self::SetSilence { .. }
            | Self::ExpireSilence { .. }
            | Self::DeclareEdge { .. }
            | Self::TrainModels
            | Self::RevertModels
            | Self::SetKillSwitch { .. } => Role::Operator,
        }
    }
}
