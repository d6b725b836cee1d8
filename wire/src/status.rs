//! The loop's own state: clocks, sources, rates, the switches that stop it.

use crate::Timestamp;
use crate::notify::ChannelHealth;
use crate::protection::Protection;
use crate::series::Voter;
use serde::{Deserialize, Serialize};

/// A source of data and how fresh it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// `replay`, `host`, `remote_write`, `otlp`, `loki`.
    pub name: String,
    pub kind: String,
    pub samples: u64,
    pub series: u64,
    /// Lines of logs or spans taken in.
    #[serde(default)]
    pub records: u64,
    /// What came that is no sample: changes, alerts.
    #[serde(default)]
    pub events: u64,
    /// Everything refused, by reason, sorted by reason.
    pub rejected: Vec<(String, u64)>,
    /// Time of the newest sample, on the source's own clock.
    pub last_at: Option<Timestamp>,
    /// Wall-clock time when it arrived.
    pub last_seen: Option<Timestamp>,
    pub state: SourceState,
    /// What a person should know, such as the licence line of a recording.
    pub note: String,
}

/// Whether a source delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    Waiting,
    Live,
    Stale,
    Finished,
}

/// A recording being replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub name: String,
    /// Recorded time now being replayed.
    pub clock: Timestamp,
    pub starts: Timestamp,
    pub ends: Timestamp,
    /// Recorded seconds per second.
    pub speed: f64,
    /// `history` while it trains on the fault-free part, `live` after, `finished`.
    pub phase: String,
}

/// One model as loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    pub version: String,
    pub hash: String,
    pub note: String,
}

/// How often a member voted for an incident that people then judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRecord {
    pub member: Voter,
    pub real: u64,
    pub false_alarms: u64,
}

/// Incidents that were said to be real with a chance between `from` and `to`, and the share that was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    pub from: f64,
    pub to: f64,
    pub incidents: u64,
    /// Mean chance that was said.
    pub said: f64,
    pub came_true: f64,
}

/// What became of the incidents that people judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    pub real: u64,
    pub false_alarms: u64,
    /// Members with a record.
    pub members: Vec<MemberRecord>,
    /// The reliability diagram, without empty bins.
    pub reliability: Vec<ReliabilityBin>,
    /// Mean distance between what was said and what came true, 0..1; `None` without verdicts.
    pub expected_calibration_error: Option<f64>,
}

/// Health of the loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub now: Timestamp,
    pub started: Timestamp,
    pub version: String,
    pub samples: u64,
    pub samples_per_sec: f64,
    pub series: u64,
    /// Series whose baseline is not yet trusted.
    pub warming: u64,
    pub anomalies: u64,
    /// Anomalous series spans before correlation: what would have been alerts.
    pub alerts: u64,
    pub incidents: u64,
    /// What became of the fast layer's provisional signals.
    #[serde(default)]
    pub provisional: Provisional,
    pub sources: Vec<Source>,
    pub replay: Option<Replay>,
    pub models: Vec<Model>,
    /// Nothing acts while this is on.
    pub kill_switch: bool,
    /// Who the present connection is, and what they may do.
    pub identity: Identity,
    /// Chosen rate of false alerts per series per day.
    pub false_alerts_per_series_per_day: f64,
    /// What people made of its incidents.
    #[serde(default)]
    pub verdicts: Verdicts,
    /// Limits that were reached, and whether samples can be kept.
    #[serde(default)]
    pub protection: Protection,
    /// Ways to people.
    #[serde(default)]
    pub channels: Vec<ChannelHealth>,
}

/// Provisional signals of the fast layer since the start. Those neither confirmed nor dropped wait for the ensemble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisional {
    pub raised: u64,
    pub confirmed: u64,
    pub dropped: u64,
}

impl Provisional {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.raised += other.raised;
        self.confirmed += other.confirmed;
        self.dropped += other.dropped;
    }
}

/// Who is asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub role: Role,
}

/// What an identity may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    Viewer,
    Operator,
    Admin,
}
