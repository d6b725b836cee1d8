//! From residuals to decisions: four models, at least two of which must agree.
//!
//! [`Detector`] owns the series of one shard. A sample goes through the decomposition (`features`), whose deviation is the
//! first member's score; the isolation forest looks at its residual features; the LSTM autoencoder at the last residuals;
//! novelty at its distance from every value before. Each raw score becomes a rarity through a Pareto tail of the series' own
//! past ([`DetectConfig`] says how many false alerts are allowed, the vote thresholds follow). An anomaly needs two votes, a
//! joint rarity that fits the setting, and more than the series' last alerts were worth.

mod autoencoder;
mod calibration;
mod certainty;
mod config;
mod counterfactual;
mod detector;
pub mod device;
mod explain;
pub mod fast;
mod forest;
mod joint;
mod kernel;
mod lanes;
pub mod log_mix;
mod models;
mod novelty;
mod salience;
mod shift;
mod sight;
pub mod simple;
mod spectral;
mod tail;
pub mod train;
mod weights;
mod why;
mod window;

#[cfg(test)]
mod seasons;
#[cfg(test)]
mod tests;

pub use autoencoder::{Autoencoder, HIDDEN, LATENT, Reconstruction, WINDOW};
pub use certainty::{Alert, Certainty};
pub use config::DetectConfig;
pub use counterfactual::{Quiet, nearest_quiet};
pub(crate) use detector::LASTING_MS;
pub use detector::{Before, Detector, SeriesState};
pub use fast::{FastConfig, Signal, SignalState};
pub use forest::{ForestError, IsolationForest, IsolationForestParams};
pub use models::{Models, Training};
pub use why::{Saw, Why};

/// The threshold of every metric class before feedback moves it: the score of a sample exactly as rare as the setting
/// allows.
pub const SHIPPED_THRESHOLD: f32 = calibration::THRESHOLD;

use wire::series::Votes;
use wire::{SeriesId, Timestamp};

/// What the detector says of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub series: SeriesId,
    pub at: Timestamp,
    pub value: f64,
    /// Expected value and the band it should lie in; NaN-free, `None` before the baseline exists.
    pub expected: Option<Expected>,
    /// Joint rarity of this sample, 0..1, comparable across series: 0.7 is exactly as rare as the setting allows.
    pub score: f32,
    /// How much the sample stands out from what the series has lately been like, 0..1, comparable across series: for
    /// ranking. The first samples of something new stand out most; what lasts stays above the ordinary. With
    /// [`Effort::Lazy`] it lacks the autoencoder where that was not asked.
    pub salience: f32,
    /// How far the series has moved from where it has long been, 0..1, comparable across series. It stays while a fault lasts
    /// and decides nothing: for ranking the trouble of several series together.
    pub shift: f32,
    pub votes: Votes,
    /// At least two members agree and the calibration confirms; or what configuration names in their place says so.
    pub anomaly: bool,
    /// What the fast layer says, where it says something. It is no anomaly by itself.
    pub signal: Option<Signal>,
    /// The fixed limit that the value broke.
    pub breach: Option<f64>,
    /// Of an anomaly: the last value on the way from expected to observed that would have been none, if there is one.
    pub quiet_at: Option<f64>,
    /// How well the baseline is learnt, 0..1.
    pub confidence: f32,
}

impl Detection {
    /// When the trouble of an anomaly began: with the provisional signal that it confirms, if there was one.
    pub fn began(&self) -> Timestamp {
        let confirmed = self.signal.filter(|signal| signal.state == SignalState::Confirmed);
        confirmed.map_or(self.at, |signal| signal.since.min(self.at))
    }
}

/// What a sample should have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub mean: f64,
    pub lower: f64,
    pub upper: f64,
    /// Robust standard deviation of the residual, always > 0.
    pub scale: f64,
}

/// How much work to spend on a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Every member scores every sample.
    Full,
    /// The autoencoder scores only where its vote could change the decision. Decisions are the same as with `Full`.
    Lazy,
}
