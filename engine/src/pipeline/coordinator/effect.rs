//! What the coordinator wants done: it does no IO itself.

use crate::correlate::Incident;
use crate::detect::Models;
use crate::notify::{Parcel, Told};
use crate::pipeline::message::ModelsOrder;
use crate::series::MetricClass;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::EntityId;
use wire::alert::{Alert, Silence};
use wire::prediction::Prediction;
use wire::proposal::{AuditEntry, Proposal};
use wire::topology::{Deploy, EdgeDetail};

/// What the engine must do because of what the coordinator decided.
#[derive(Debug)]
pub(crate) enum Effect {
    SaveIncident(Box<Incident>),
    SavePrediction(Box<Prediction>),
    SaveProposal(Box<Proposal>),
    SaveDeploy(Deploy),
    /// Told again: the store may have refused it the first time.
    KeepDeploy(Deploy),
    SaveEdge(EdgeDetail),
    SaveAlert(Box<Alert>),
    SaveSilence(Silence),
    SaveTold(Box<Told>),
    SaveParcel(Box<Parcel>),
    /// Documents of the store that are of no more use.
    Forget(Vec<String>),
    AppendAudit(AuditEntry),
    /// A small value to keep, as JSON.
    SaveSetting {
        key: &'static str,
        value: String,
    },
    /// Feedback moved a threshold: tell the shards.
    SetThreshold {
        class: MetricClass,
        threshold: f32,
    },
    /// Train models, or go back to others.
    Models(ModelsOrder),
    /// Open incidents touch these entities and no others: tell the shards. A greater number is newer.
    SetTroubled {
        number: u64,
        entities: Arc<BTreeSet<EntityId>>,
    },
    /// Other models are in use: tell the shards.
    SetModels(Arc<Models>),
    /// Carry out what was approved.
    Execute(Box<crate::decide::Approved>),
    /// Tell people.
    Send(Box<Parcel>),
}
