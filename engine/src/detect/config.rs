//! What a user may set, and what the decision is made of.

use super::FastConfig;

/// Settings of detection.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectConfig {
    /// False alerts that one clean series may raise a day, > 0. The vote thresholds follow from it and from how often the
    /// series is sampled.
    pub false_alerts_per_series_per_day: f64,
    /// The fast layer.
    pub fast: FastConfig,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            false_alerts_per_series_per_day: 0.01,
            fast: FastConfig::default(),
        }
    }
}
