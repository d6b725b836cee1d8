//! What the baseline of one series says about its next steps.

use wire::Timestamp;

/// The expected course of a series after its last sample, and how far samples usually stray from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// Time of the last sample; the first forecast step is at `at + step_ms`.
    pub at: Timestamp,
    /// Interval between samples, > 0.
    pub step_ms: i64,
    /// Expected value of each next step: level, trend and season together.
    pub mean: Vec<f64>,
    /// Value of the series now, without season.
    pub level: f64,
    /// Change of the level per step.
    pub trend_per_step: f64,
    /// Robust standard deviation of one step's residual, in the unit of the metric, > 0.
    pub scale: f64,
}
