//! From raw member scores to numbers that mean the same on every series.

use super::certainty::Certainty;
use super::tail::Tail;
use serde::{Deserialize, Serialize};
use wire::series::MetricClass;

/// What is calibrated: the decomposition's two deviations, the forest, the autoencoder, novelty, the joint forest.
pub(super) const RAWS: usize = 6;
pub(super) const FAST: usize = 0;
pub(super) const SLOW: usize = 1;
pub(super) const FOREST: usize = 2;
pub(super) const AUTOENCODER: usize = 3;
pub(super) const NOVELTY: usize = 4;
pub(super) const JOINT: usize = 5;

/// Default of [`crate::detect::Detector::threshold`]: the score of a sample exactly as rare as the setting allows.
pub(super) const THRESHOLD: f32 = 0.7;
/// A member votes from this part of the required rarity on; the joint score must reach all of it.
pub(super) const VOTE: f32 = 0.5;
/// While an anomaly lasts, less evidence keeps it going: an alert must not flap.
pub(super) const HOLD: f32 = 0.6;

/// Tails of clean series, one set per metric class, in the order of [`class_index`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Calibration {
    pub(super) latency: Tails,
    pub(super) errors: Tails,
    pub(super) traffic: Tails,
    pub(super) saturation: Tails,
    pub(super) other: Tails,
    /// Absent from files written before alerts had a chance.
    #[serde(default)]
    pub(super) certainty: Certainty,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tails {
    pub(super) fast: Tail,
    pub(super) slow: Tail,
    pub(super) forest: Tail,
    pub(super) autoencoder: Tail,
    /// Absent from files written before there was this member.
    #[serde(default = "Tail::of_novelty")]
    pub(super) novelty: Tail,
    /// Absent from files without a joint forest.
    #[serde(default = "Tail::of_novelty")]
    pub(super) joint: Tail,
}

impl Calibration {
    /// The calibration that has `tails` of every class.
    pub(super) fn of(tails: impl Fn(MetricClass) -> Tails) -> Self {
        Self {
            latency: tails(MetricClass::Latency),
            errors: tails(MetricClass::Errors),
            traffic: tails(MetricClass::Traffic),
            saturation: tails(MetricClass::Saturation),
            other: tails(MetricClass::Other),
            certainty: Certainty::default(),
        }
    }

    /// The tails of a class.
    pub(super) fn of_class(&self, class: MetricClass) -> Tails {
        match class {
            MetricClass::Latency => self.latency,
            MetricClass::Errors => self.errors,
            MetricClass::Traffic => self.traffic,
            MetricClass::Saturation => self.saturation,
            MetricClass::Other => self.other,
        }
    }

    /// The same, in the order of the `RAWS` indices.
    pub(super) fn tails(&self, class: MetricClass) -> [Tail; RAWS] {
        let t = self.of_class(class);
        [t.fast, t.slow, t.forest, t.autoencoder, t.novelty, t.joint]
    }
}

/// A class as files spell it.
pub(super) fn class_name(class: MetricClass) -> &'static str {
    match class {
        MetricClass::Latency => "latency",
        MetricClass::Errors => "errors",
        MetricClass::Traffic => "traffic",
        MetricClass::Saturation => "saturation",
        MetricClass::Other => "other",
    }
}

/// Position of a class in arrays by class: that in [`MetricClass::ALL`].
pub(super) fn class_index(class: MetricClass) -> usize {
    match class {
        MetricClass::Latency => 0,
        MetricClass::Errors => 1,
        MetricClass::Traffic => 2,
        MetricClass::Saturation => 3,
        MetricClass::Other => 4,
    }
}

/// Decades of rarity that a false-alert budget asks of one sample.
pub(super) fn required_rarity(false_alerts_per_day: f64, step_ms: i64) -> f32 {
    let samples_per_day = 86_400_000.0 / step_ms.max(1) as f64;
    let chance = (false_alerts_per_day / samples_per_day).clamp(1e-12, 0.1);
    -chance.log10() as f32
}

/// A score in 0..1 from rarity relative to what is required: 0.7 at exactly 1, without ever saturating.
pub(super) fn squash(relative: f32) -> f32 {
    let half = (1.0 - THRESHOLD) / THRESHOLD;
    relative / (relative + half)
}

/// Inverse of [`squash`].
pub(super) fn unsquash(score: f32) -> f32 {
    let half = (1.0 - THRESHOLD) / THRESHOLD;
    let score = score.clamp(0.0, 0.999);
    half * score / (1.0 - score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_by_class_are_in_one_order() {
        for (i, class) in MetricClass::ALL.into_iter().enumerate() {
            assert_eq!(class_index(class), i);
        }
    }

    #[test]
    fn the_required_rarity_has_the_default_threshold() {
        assert!((squash(1.0) - THRESHOLD).abs() < 1e-6);
        assert!((unsquash(squash(2.5)) - 2.5).abs() < 1e-4);
        // One false alert in 100 days of minutes: one sample in 144,000.
        assert!((required_rarity(0.01, 60_000) - 144_000_f32.log10()).abs() < 1e-4);
    }
}
