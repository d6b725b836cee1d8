//! Series: who they are, how they look, what each model thinks of them.

use crate::{EntityId, SeriesId, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Identity of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesInfo {
    pub id: SeriesId,
    pub entity: EntityId,
    /// Metric name as the source spells it, such as `node_load1` or `latency`.
    pub metric: String,
    /// Statistic, when the source names one apart: `p99`, `Average`.
    pub statistic: Option<String>,
    /// Every other label, sorted by name.
    pub labels: Vec<(String, String)>,
    pub class: MetricClass,
    /// Median interval between samples; 0 until two samples have come.
    pub step_ms: i64,
    /// What its samples are, and so what is judged and shown.
    #[serde(default)]
    pub kind: SeriesKind,
}

impl SeriesInfo {
    /// The metric as people read its values: `rate of http_requests_total` for a counter, else the name itself.
    pub fn quantity(&self) -> Cow<'_, str> {
        match self.kind {
            SeriesKind::Counter => Cow::Owned(format!("{RATE_OF}{}", self.metric)),
            _ => Cow::Borrowed(&self.metric),
        }
    }
}

/// What [`SeriesInfo::quantity`] puts before the name of a counter.
pub const RATE_OF: &str = "rate of ";

/// What the samples of a series are. What is stored is always what was sent; the type decides what is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// A quantity that goes up and down: judged as it is.
    Gauge,
    /// A total that only grows until it starts over: judged and shown as its rate per second.
    Counter,
    /// Part of a histogram or summary (a bucket, the sum): stored, and judged through what is derived from the whole.
    Component,
    /// Says something about others (an info series, a time of creation): stored, not judged.
    Annotation,
    /// Computed by the engine from components: a quantile, a mean.
    Derived,
    /// Written by an older peer, or by one that knows more kinds: as a gauge.
    #[default]
    #[serde(other)]
    Unknown,
}

impl SeriesKind {
    /// Whether samples of this kind go to detection.
    pub const fn is_judged(self) -> bool {
        !matches!(self, Self::Component | Self::Annotation)
    }
}

/// What kind of quantity a metric is. Models and thresholds are shared within a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricClass {
    /// How long things take: the user feels a rise.
    Latency,
    /// Failures, or availability below 1.
    Errors,
    /// Requests, bytes, messages per time.
    Traffic,
    /// How full a bounded resource is: CPU, memory, disk, connections.
    Saturation,
    /// Anything else.
    Other,
}

impl MetricClass {
    pub const ALL: [Self; 5] = [
        Self::Latency,
        Self::Errors,
        Self::Traffic,
        Self::Saturation,
        Self::Other,
    ];
}

/// How a series stands now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No data yet, or not enough to judge.
    #[default]
    Unknown,
    Ok,
    /// One model objects, or a limit is near.
    Watch,
    /// Two or more models agree that it is anomalous.
    Anomalous,
    /// It should report and does not.
    Silent,
}

/// A series in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    pub info: SeriesInfo,
    pub health: Health,
    pub last_at: Timestamp,
    pub last_value: Option<f64>,
    /// Combined anomaly score of the last sample, 0..1.
    pub score: f32,
    /// How well the baseline is learnt, 0..1. Below 1 the expected band is provisional.
    pub confidence: f32,
    /// Since when the fast layer suspects trouble that the ensemble has neither confirmed nor dropped. Nobody is paged for it.
    #[serde(default)]
    pub provisional: Option<Timestamp>,
    /// Most recent values, oldest first, for a sparkline; gaps are `None`.
    pub spark: Vec<Option<f32>>,
}

/// One model's view of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberVote {
    /// 0..1, calibrated: comparable across series and members.
    pub score: f32,
    pub vote: bool,
}

/// The members. `None`: not evaluated for this sample (it could not have changed the outcome, or is still warming up).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Votes {
    /// Seasonal-trend decomposition.
    pub stl: Option<MemberVote>,
    /// Isolation forest on residual features.
    pub forest: Option<MemberVote>,
    /// LSTM autoencoder on residual windows.
    pub autoencoder: Option<MemberVote>,
    /// Distance from every value seen before.
    #[serde(default)]
    pub novelty: Option<MemberVote>,
    /// A simple detector that configuration names in place of the members. It decides alone.
    #[serde(default)]
    pub simple: Option<MemberVote>,
}

/// A member of the ensemble, as one that votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voter {
    Decomposition,
    Forest,
    Autoencoder,
    Novelty,
}

impl Voter {
    pub const ALL: [Self; 4] = [Self::Decomposition, Self::Forest, Self::Autoencoder, Self::Novelty];
}

impl Votes {
    /// The vote of a member.
    pub fn of(&self, voter: Voter) -> Option<MemberVote> {
        match voter {
            Voter::Decomposition => self.stl,
            Voter::Forest => self.forest,
            Voter::Autoencoder => self.autoencoder,
            Voter::Novelty => self.novelty,
        }
    }

    /// Who says "anomalous".
    pub fn voters(&self) -> impl Iterator<Item = Voter> {
        Voter::ALL
            .into_iter()
            .filter(|voter| self.of(*voter).is_some_and(|m| m.vote))
    }

    /// How many members say "anomalous"; a simple detector is none.
    pub fn count(&self) -> u8 {
        [self.stl, self.forest, self.autoencoder, self.novelty]
            .iter()
            .flatten()
            .map(|m| u8::from(m.vote))
            .sum()
    }
}

/// One time step of a drill-down chart. When the range holds more samples than pixels, a point stands for a bucket:
/// `min`/`max` keep its extremes, the rest is of its most anomalous sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    pub at: Timestamp,
    /// `None`: a gap.
    pub value: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Expected value and band; `None` before the baseline exists.
    pub expected: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub score: f32,
    pub votes: Votes,
    /// The product's decision: at least two members agree and the calibration confirms.
    pub anomaly: bool,
    /// The fast layer suspected trouble here, and the ensemble had not yet spoken.
    #[serde(default)]
    pub provisional: bool,
}

/// What is behind a decision, part by part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub at: Timestamp,
    /// All of it in one sentence.
    pub sentence: String,
    pub anomaly: bool,
    pub value: f64,
    /// Expected value and band; `None` before the baseline exists.
    #[serde(default)]
    pub expected: Option<f64>,
    #[serde(default)]
    pub lower: Option<f64>,
    #[serde(default)]
    pub upper: Option<f64>,
    /// What each member saw, in its own words.
    #[serde(default)]
    pub members: Vec<MemberEvidence>,
    /// One clean sample in `10^decades` is as strange.
    #[serde(default)]
    pub decades: Option<f32>,
    /// Since when it lasts, and for how many samples.
    #[serde(default)]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub samples: u32,
    /// The last value on the way from expected to observed at which the detector would have kept quiet.
    #[serde(default)]
    pub quiet_at: Option<f64>,
    /// Settings that would have kept it quiet as well, such as `min_abs_deviation = 0.4`.
    #[serde(default)]
    pub settings: Vec<String>,
}

/// One member's part of the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberEvidence {
    pub member: String,
    /// 0..1, calibrated.
    pub score: f32,
    pub vote: bool,
    /// Such as "isolated it in 4.1 splits, 8.2 are ordinary".
    pub saw: String,
}

/// A vertical marker on a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    pub at: Timestamp,
    pub kind: MarkerKind,
    pub text: String,
}

/// What a marker stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkerKind {
    Deploy,
    IncidentStart,
    IncidentEnd,
    Action,
}

/// Expected course after the last sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastPoint {
    pub at: Timestamp,
    pub mean: f64,
    pub lower: f64,
    pub upper: f64,
}

/// Everything the metric page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesDetail {
    pub summary: SeriesSummary,
    pub from: Timestamp,
    pub to: Timestamp,
    pub points: Vec<SeriesPoint>,
    pub markers: Vec<Marker>,
    pub forecast: Vec<ForecastPoint>,
    /// A limit this metric must not cross, if one is known.
    pub limit: Option<f64>,
    /// Score a sample of this class must reach to be called anomalous; feedback moves it.
    pub threshold: f32,
    /// One sentence about the last sample: expected, observed, how rare, since when.
    pub explanation: String,
    /// What is behind the decision on the last sample.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// The same of the last anomaly, if that is an earlier one.
    #[serde(default)]
    pub last_anomaly: Option<Evidence>,
    /// Samples seen, and samples needed before the baseline is trusted.
    pub seen: u64,
    pub needed: u64,
}
