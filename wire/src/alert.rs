//! Alerts that other systems raised, and the silences people put on them. The meaning of each field is Alertmanager's.

use crate::{EntityId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels or annotations.
pub type Pairs = BTreeMap<String, String>;

/// An alert as somebody sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedAlert {
    /// Who it is: the same labels are the same alert.
    pub labels: Pairs,
    #[serde(default)]
    pub annotations: Pairs,
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Resolved once this has passed; `None`: the resolve timeout after it was last sent.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    #[serde(default)]
    pub generator_url: String,
}

/// How an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    #[default]
    Active,
    /// A silence covers it.
    Suppressed,
    Resolved,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// 16 hex digits, the hash of the labels that Prometheus and Alertmanager compute.
    pub fingerprint: String,
    pub labels: Pairs,
    pub annotations: Pairs,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    /// `ends_at` was not sent, but follows from the resolve timeout.
    #[serde(default)]
    pub timeout: bool,
    #[serde(default)]
    pub generator_url: String,
    /// Who sent it last: `alertmanager_api`, `grafana_webhook`.
    pub source: String,
    /// Whom its labels name.
    #[serde(default)]
    pub entity: Option<EntityId>,
    #[serde(default)]
    pub state: AlertState,
    /// Ids of the silences that cover it.
    #[serde(default)]
    pub silenced_by: Vec<String>,
}

impl Alert {
    /// Its name, as far as it has one.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("alert", String::as_str)
    }
}

/// A condition on one label. A label that is missing has the empty value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    /// False: what it selects is excluded.
    pub is_equal: bool,
}

/// How a silence stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    Pending,
    #[default]
    Active,
    Expired,
}

/// A silence: nobody is told of the alerts that all its matchers select, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// A UUID; empty for one that does not exist yet.
    #[serde(default)]
    pub id: String,
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    #[serde(default)]
    pub updated_at: Timestamp,
    pub created_by: String,
    pub comment: String,
    #[serde(default)]
    pub state: SilenceState,
}
