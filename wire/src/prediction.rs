//! What has not happened yet.

use crate::{EntityId, PredictionId, SeriesId, Timestamp};
use serde::{Deserialize, Serialize};

/// A metric is on its way to a limit: "72 % within 22 ± 6 min".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub id: PredictionId,
    pub series: SeriesId,
    pub entity: EntityId,
    pub metric: String,
    pub made_at: Timestamp,
    /// The value that must not be crossed, and from which side.
    pub limit: f64,
    pub above: bool,
    /// Probability of crossing within `horizon_ms`, 0..1.
    pub probability: f32,
    pub horizon_ms: i64,
    /// Median time of the crossing, and its 90 % interval.
    pub breach_at: Timestamp,
    pub breach_earliest: Timestamp,
    pub breach_latest: Timestamp,
    pub state: PredictionState,
    pub text: String,
}

/// What became of a prediction. All three ends are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionState {
    Open,
    /// The limit was crossed.
    CameTrue,
    /// The trend ended before the limit.
    Withdrawn,
    /// The horizon passed without a crossing.
    Expired,
}
