//! What a person may say about single series: `[[series]]`.

use super::selector::{Glob, Selector};
use super::window::Direction;
use crate::detect::simple::{Choice, Limits};
use jiff::tz::TimeZone;

/// Settings of the series that a selector means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesRule {
    pub selector: Selector,
    pub settings: Settings,
}

/// `None`: not set by this rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Only deviations to this side are anomalies.
    pub direction: Option<Direction>,
    /// A value outside is an anomaly whatever is usual.
    pub data_range: Option<(f64, f64)>,
    /// Smaller deviations from the expected value are none.
    pub min_abs_deviation: Option<f64>,
    /// The same as a part of the expected value.
    pub min_rel_deviation: Option<f64>,
    /// Fewer samples than this prove nothing.
    pub min_samples: Option<u32>,
    /// As long as this says too little, nothing is an anomaly.
    pub evidence: Option<Evidence>,
    /// Judge and record, alert nobody.
    pub shadow: Option<bool>,
    /// For so long after a deploy of its entity a series is judged more sensitively.
    pub post_deploy_ms: Option<i64>,
    /// Days, weeks and months of the series are those of this zone.
    pub zone: Option<TimeZone>,
    /// Which detector decides.
    pub detector: Option<Choice>,
    /// Fixed limits beside the detector.
    pub limits: Option<Limits>,
    /// Whether the fast layer may raise provisional signals.
    pub fast: Option<bool>,
}

/// A traffic metric of the same entity that must reach a level: one error of two requests proves nothing. Series that match
/// are added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub metric: Glob,
    pub at_least: f64,
}

impl Settings {
    /// Takes over what `later` sets.
    pub(super) fn overlay(&mut self, later: &Self) {
        fn take<T: Clone>(own: &mut Option<T>, later: &Option<T>) {
            if later.is_some() {
                own.clone_from(later);
            }
        }
        take(&mut self.direction, &later.direction);
        take(&mut self.data_range, &later.data_range);
        take(&mut self.min_abs_deviation, &later.min_abs_deviation);
        take(&mut self.min_rel_deviation, &later.min_rel_deviation);
        take(&mut self.min_samples, &later.min_samples);
        take(&mut self.evidence, &later.evidence);
        take(&mut self.shadow, &later.shadow);
        take(&mut self.post_deploy_ms, &later.post_deploy_ms);
        take(&mut self.zone, &later.zone);
        take(&mut self.detector, &later.detector);
        take(&mut self.limits, &later.limits);
        take(&mut self.fast, &later.fast);
    }
}
