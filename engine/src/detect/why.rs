//! Why a sample was called an anomaly, kept for whoever asks later: numbers here, words in [`super::explain`].

use super::Quiet;
use wire::Timestamp;

/// What each member saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saw {
    /// Standard deviations from the forecast, or from the long-term level of this time of day; turned and damped by the
    /// direction that hurts, not negative.
    pub deviations: f32,
    pub long_term: bool,
    /// Splits after which the forest's trees had isolated it, and an ordinary sample.
    pub splits: f32,
    pub ordinary_splits: f32,
    /// Whether those were of all metrics of its entity together.
    pub jointly: bool,
    /// Error of the autoencoder over what only 4 % of clean samples exceed. `None`: it was not asked.
    pub rebuilt: Option<f32>,
    /// The time that the autoencoder looks back.
    pub window_ms: i64,
    /// Distance to the nearest value that the series has shown, in its unit.
    pub nearest: Option<f64>,
    /// So many samples in a row made it an anomaly, of which none was rare enough by itself. 0: this one was.
    pub stayed: u32,
}

/// The reasons behind one anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// `None` where no member had a part in it.
    pub saw: Option<Saw>,
    /// What decided in the members' place: a simple detector, a limit, a range.
    pub decided: Option<String>,
    /// One clean sample in `10^decades` is as strange, by the members.
    pub decades: Option<f32>,
    /// Since when it lasts, and for how many samples.
    pub since: Timestamp,
    pub samples: u32,
    /// Whether the change below was looked for: in a storm of anomalies it is not.
    pub searched: bool,
    /// The smallest change of the value. `None`: no other value would have done.
    pub quiet: Option<Quiet>,
    /// Settings that would have kept it quiet, such as `min_abs_deviation = 0.4`.
    pub settings: Vec<String>,
}
