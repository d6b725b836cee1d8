//! What people's feedback teaches: how sure the detectors of a metric class must be.
//!
//! Each class has a threshold on the combined score. A false alarm raises it for the classes that made the incident; a real
//! incident lowers it again, never below where it started. The newest verdict on an incident replaces the one before, so
//! clicking twice is clicking once, and taking a verdict back leaves no trace. Steps are small and bounded: no click can
//! silence a class. Thresholds are a pure function of the verdicts.

mod record;
mod weekly;

pub use record::TrackRecord;
pub use weekly::Weekly;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use wire::IncidentId;
use wire::incident::Verdict;
use wire::series::MetricClass;

/// A false alarm closes this part of what is left up to the ceiling.
const STEP: f32 = 0.2;

/// No threshold rises above this part of the way from where it began to certainty.
const CEILING: f32 = 0.9;

/// Incidents whose verdicts count; the oldest are forgotten.
const REMEMBERED: usize = 500;

/// Thresholds moved by feedback; a class without any is as it was shipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    verdicts: BTreeMap<IncidentId, (Verdict, BTreeSet<MetricClass>)>,
}

impl Thresholds {
    /// Takes a verdict on an incident whose anomalous metrics are of `classes`. Returns the classes that moved.
    pub fn feedback(
        &mut self,
        incident: &IncidentId,
        verdict: Verdict,
        classes: &BTreeSet<MetricClass>,
    ) -> Vec<MetricClass> {
        let before = self.raised();
        self.verdicts.insert(incident.clone(), (verdict, classes.clone()));
        if self.verdicts.len() > REMEMBERED {
            self.verdicts.pop_first();
        }
        let after = self.raised();
        let of = |raised: &BTreeMap<MetricClass, f32>, class| raised.get(&class).copied().unwrap_or_default().to_bits();
        let all: BTreeSet<MetricClass> = before.keys().chain(after.keys()).copied().collect();
        all.into_iter()
            .filter(|class| of(&before, *class) != of(&after, *class))
            .collect()
    }

    /// The threshold of a class that was shipped with `shipped`.
    pub fn threshold(&self, class: MetricClass, shipped: f32) -> f32 {
        let raised = self.raised().get(&class).copied().unwrap_or_default();
        shipped + raised * (1.0 - shipped)
    }

    /// Classes that feedback has touched.
    pub fn touched(&self) -> BTreeSet<MetricClass> {
        self.raised().into_keys().collect()
    }

    /// How far each class has been raised, 0 as shipped, towards [`CEILING`]: the verdicts in order of their incidents.
    fn raised(&self) -> BTreeMap<MetricClass, f32> {
        let mut raised: BTreeMap<MetricClass, f32> = BTreeMap::new();
        for (verdict, classes) in self.verdicts.values() {
            for class in classes {
                let level = raised.entry(*class).or_default();
                *level = match verdict {
                    Verdict::FalseAlarm => *level + STEP * (CEILING - *level),
                    Verdict::Useful | Verdict::WrongCause => (*level - STEP * CEILING).max(0.0),
                };
            }
        }
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: f32 = 0.5;

    fn latency() -> BTreeSet<MetricClass> {
        BTreeSet::from([MetricClass::Latency])
    }

    fn id(number: u32) -> IncidentId {
        IncidentId(format!("INC-{number:06}"))
    }

    #[track_caller]
    fn check(thresholds: &Thresholds, expected: f32) {
        let got = thresholds.threshold(MetricClass::Latency, SHIPPED);
        assert!((got - expected).abs() < 1e-6, "{got}");
        assert!(
            (thresholds.threshold(MetricClass::Errors, SHIPPED) - SHIPPED).abs() < 1e-6,
            "other classes stay"
        );
    }

    #[test]
    fn false_alarms_raise_and_real_incidents_lower_again() {
        let mut thresholds = Thresholds::default();
        check(&thresholds, SHIPPED);
        assert_eq!(
            thresholds.feedback(&id(1), Verdict::FalseAlarm, &latency()),
            [MetricClass::Latency]
        );
        check(&thresholds, 0.59);
        thresholds.feedback(&id(2), Verdict::Useful, &latency());
        check(&thresholds, SHIPPED);
        thresholds.feedback(&id(3), Verdict::WrongCause, &latency());
        check(&thresholds, SHIPPED);
    }

    #[test]
    fn the_newest_verdict_on_an_incident_counts_once() {
        let mut thresholds = Thresholds::default();
        thresholds.feedback(&id(1), Verdict::FalseAlarm, &latency());
        assert!(thresholds.feedback(&id(1), Verdict::FalseAlarm, &latency()).is_empty());
        check(&thresholds, 0.59);
        thresholds.feedback(&id(1), Verdict::Useful, &latency());
        check(&thresholds, SHIPPED);
    }

    #[test]
    fn no_amount_of_feedback_silences_a_class() {
        let mut thresholds = Thresholds::default();
        for number in 0..1000 {
            thresholds.feedback(&id(number), Verdict::FalseAlarm, &latency());
        }
        assert!(thresholds.threshold(MetricClass::Latency, SHIPPED) <= 0.951);
    }
}
