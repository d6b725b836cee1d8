//! What people's feedback teaches: how sure the detectors of a metric class must be.
//!
//! Each class has a threshold on the combined score. "False alarm" raises it for the classes that made the incident, "useful" and "wrong
//! cause" (the incident was real) lower it again, never below where it started. Steps are small and bounded, so that no
//! single click can silence a class, and the same feedback gives the same thresholds.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use wire::incident::Verdict;
use wire::series::MetricClass;

/// A false alarm closes this part of what is left up to the ceiling.
const STEP: f32 = 0.2;

/// No threshold rises above this part of the way from where it began to certainty.
const CEILING: f32 = 0.9;

/// Thresholds moved by feedback, by class; what is not here is as it was shipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// How far each class has been raised: 0 as shipped, towards [`CEILING`].
    raised: BTreeMap<MetricClass, f32>,
}

impl Thresholds {
    /// Takes a verdict on an incident whose anomalous metrics are of `classes`. Returns the classes that moved.
    pub fn feedback(&mut self, verdict: Verdict, classes: &BTreeSet<MetricClass>) -> Vec<MetricClass> {
        let mut moved = Vec::new();
        for class in classes {
            let before = self.raised.get(class).copied().unwrap_or_default();
            let after = match verdict {
                Verdict::FalseAlarm => before + STEP * (CEILING - before),
                Verdict::Useful | Verdict::WrongCause => (before - STEP * CEILING).max(0.0),
            };
            if after.to_bits() != before.to_bits() {
                self.raised.insert(*class, after);
                moved.push(*class);
            }
        }
        moved
    }

    /// The threshold of a class that was shipped with `shipped`.
    pub fn threshold(&self, class: MetricClass, shipped: f32) -> f32 {
        let raised = self.raised.get(&class).copied().unwrap_or_default();
        shipped + raised * (1.0 - shipped)
    }

    /// Classes that feedback has touched.
    pub fn touched(&self) -> impl Iterator<Item = MetricClass> {
        self.raised.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> BTreeSet<MetricClass> {
        BTreeSet::from([MetricClass::Latency])
    }

    #[test]
    fn false_alarms_raise_and_praise_lowers_again() {
        let mut thresholds = Thresholds::default();
        assert!((thresholds.threshold(MetricClass::Latency, 0.5) - 0.5).abs() < 1e-6);
        assert_eq!(
            thresholds.feedback(Verdict::FalseAlarm, &latency()),
            [MetricClass::Latency]
        );
        let raised = thresholds.threshold(MetricClass::Latency, 0.5);
        assert!((raised - 0.59).abs() < 1e-6);
        assert!(
            (thresholds.threshold(MetricClass::Errors, 0.5) - 0.5).abs() < 1e-6,
            "other classes stay"
        );
        thresholds.feedback(Verdict::Useful, &latency());
        assert!((thresholds.threshold(MetricClass::Latency, 0.5) - 0.5).abs() < 1e-6);
        assert!(
            thresholds.feedback(Verdict::Useful, &latency()).is_empty(),
            "never below where it began"
        );
    }

    #[test]
    fn no_amount_of_feedback_silences_a_class() {
        let mut thresholds = Thresholds::default();
        for _ in 0..1000 {
            thresholds.feedback(Verdict::FalseAlarm, &latency());
        }
        assert!(thresholds.threshold(MetricClass::Latency, 0.5) <= 0.951);
    }
}
