//! What configuration puts in the ensemble's place, or beside it: a simple detector, fixed limits.

use crate::context::{Adjust, Settings};
use crate::detect::Detection;
use crate::detect::simple::{Held, Limits, Simple, broken_limit, limit_setting};
use crate::series::SeriesInfo;
use wire::Timestamp;
use wire::series::Votes;

/// See the module.
#[derive(Debug)]
pub(super) struct Extras {
    simple: Option<Simple>,
    limits: Option<(Limits, Held)>,
}

impl Extras {
    /// What configuration asks for this series; `None` for most.
    pub(super) fn of(info: &SeriesInfo, settings: Option<&Settings>) -> Option<Box<Self>> {
        let extras = Self {
            simple: settings
                .and_then(|settings| settings.detector.as_ref())
                .and_then(|choice| Simple::of(choice, info)),
            limits: settings
                .and_then(|settings| settings.limits)
                .map(|limits| (limits, Held::default())),
        };
        let any = extras.simple.is_some() || extras.limits.is_some();
        any.then(|| Box::new(extras))
    }

    pub(super) fn bootstrap(&mut self, history: &[(Timestamp, f64)]) {
        for &(at, value) in history.iter().filter(|sample| sample.1.is_finite()) {
            self.learn(at, value, &Adjust::NONE);
        }
    }

    /// Puts the simple detector's word in the place of the ensemble's, and names a broken limit. `detection` is of the adjusted
    /// value still, `value` is not. Changes nothing here.
    pub(super) fn rule(&self, at: Timestamp, value: f64, adjust: &Adjust, detection: &mut Detection) {
        if !value.is_finite() {
            return;
        }
        if let Some(simple) = &self.simple {
            let reading = simple.read(at, judged(simple, value, adjust));
            detection.expected = reading.expected;
            detection.score = reading.vote.score;
            detection.salience = reading.vote.score;
            detection.votes = Votes {
                simple: Some(reading.vote),
                ..Votes::default()
            };
            detection.anomaly = reading.anomaly;
            detection.confidence = reading.confidence;
            detection.breach = simple.broken(value).filter(|_| reading.anomaly);
        }
        if let Some((limits, held)) = &self.limits
            && let Some(limit) = limits.broken(value)
            && held.lasts(at, limits.for_ms)
        {
            detection.breach = Some(limit);
        }
    }

    /// Takes in a sample that has been judged.
    pub(super) fn learn(&mut self, at: Timestamp, value: f64, adjust: &Adjust) {
        if !value.is_finite() {
            return;
        }
        if let Some(simple) = &mut self.simple {
            let value = judged(simple, value, adjust);
            simple.learn(at, value, adjust.learn);
        }
        if let Some((limits, held)) = &mut self.limits {
            held.note(at, limits.broken(value).is_some());
        }
    }

    /// Whether a simple detector stands in the ensemble's place.
    pub(super) fn replaces(&self) -> bool {
        self.simple.is_some()
    }

    /// What decided about `value`, which was called an anomaly, in words.
    pub(super) fn decided(&self, value: f64, adjust: &Adjust, detection: &Detection) -> Option<String> {
        let own = self
            .simple
            .as_ref()
            .filter(|_| detection.votes.simple.is_some_and(|v| v.vote));
        let own = own.map(|simple| simple.describe(judged(simple, value, adjust)));
        let beside = self.limits.as_ref().and_then(|(limits, _)| limits.broken(value));
        let beside = beside.filter(|_| detection.breach.is_some());
        let beside = beside.map(|limit| broken_limit("static", limit, value));
        match (own, beside) {
            (Some(own), Some(beside)) => Some(format!("{own}; {beside}")),
            (own, beside) => own.or(beside),
        }
    }

    /// A setting of the simple detector, or of the limits beside it, under which `value` would be none.
    pub(super) fn setting(&self, value: f64, adjust: &Adjust, beside: bool) -> Option<String> {
        if beside {
            let (limits, _) = self.limits.as_ref()?;
            limit_setting(limits, value, ["limit_above", "limit_below"])
        } else {
            let simple = self.simple.as_ref()?;
            simple.settings(judged(simple, value, adjust))
        }
    }

    /// Whether `value` breaks a limit that stands beside a detector.
    pub(super) fn breaks_beside(&self, value: f64) -> bool {
        self.limits
            .as_ref()
            .is_some_and(|(limits, _)| limits.broken(value).is_some())
    }
}

/// The value that a simple detector looks at: limits are absolute, an expected factor does not move them.
fn judged(simple: &Simple, value: f64, adjust: &Adjust) -> f64 {
    if simple.is_fixed() { value } else { adjust.apply(value) }
}
