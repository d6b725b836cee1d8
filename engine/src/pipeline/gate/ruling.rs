//! The decision on one sample by all who have a say, and the same decision on another value in its place.

use super::extras::Extras;
use crate::context::{Adjust, Context, Judgement};
use crate::detect::simple::rounded_up;
use crate::detect::{Before, Detection, Detector, Quiet, Why, nearest_quiet};
use wire::Timestamp;

/// In one batch the smallest change is looked for at most so often: in a storm of anomalies nobody reads it of each.
pub(super) const SEARCHES: usize = 256;

/// A sample, and who has a say about it besides the ensemble.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) slot: usize,
    pub(super) at: Timestamp,
    pub(super) adjust: Adjust,
    pub(super) threshold: f32,
    pub(super) quality: f32,
    pub(super) context: &'a mut Context,
    pub(super) extras: Option<&'a Extras>,
}

impl Case<'_> {
    /// What `value` is worth, of which the ensemble (asked about the adjusted one) says `ensemble`; the whole word goes to
    /// `detection`.
    pub(super) fn decide(&mut self, ensemble: Detection, value: f64, detection: &mut Detection) -> Judgement {
        *detection = ensemble;
        if let Some(extras) = self.extras {
            extras.rule(self.at, value, &self.adjust, detection);
        }
        self.adjust.restore(detection, value);
        let judgement = self
            .context
            .judge(self.slot, self.adjust, detection, self.threshold, self.quality);
        detection.anomaly = judgement.anomaly;
        if judgement.anomaly {
            // What context calls an anomaly ranks with what the models call one.
            detection.score = detection.score.max(self.threshold);
        }
        judgement
    }

    /// Whether context would have no anomaly of this detection.
    pub(super) fn objects(&mut self, detection: &Detection) -> bool {
        self.context.objects(self.slot, detection, self.quality).is_some()
    }

    /// The reasons behind an anomaly that lasts since `run`. `met`: what the sample met, where members had a part in it.
    pub(super) fn why(
        &mut self,
        detector: &Detector,
        met: Option<&Before>,
        ensemble: Detection,
        detection: &Detection,
        (since, samples): (Timestamp, u32),
        search: bool,
    ) -> Why {
        let replaced = self.extras.is_some_and(Extras::replaces);
        let by_members = !replaced && detection.votes.count() >= 2;
        let saw = met.filter(|_| by_members).map(|met| {
            let mut saw = detector.saw(met, self.adjust.apply(detection.value));
            saw.nearest = saw.nearest.map(|distance| distance * self.adjust.factor);
            saw
        });
        let quiet = if search {
            self.quiet(detector, met, ensemble, detection)
        } else {
            None
        };
        Why {
            saw,
            decided: self.decided(detection),
            decades: by_members.then(|| detector.decades(&ensemble)),
            since,
            samples,
            searched: search,
            quiet,
            settings: self.setting(by_members, detection).into_iter().collect(),
        }
    }

    /// The border of the whole decision on the way from what was expected, or from the limit that was broken.
    fn quiet(
        &mut self,
        detector: &Detector,
        met: Option<&Before>,
        ensemble: Detection,
        detection: &Detection,
    ) -> Option<Quiet> {
        let range = self.data_range().map(|(low, high)| detection.value.clamp(low, high));
        let starts = [detection.expected.map(|e| e.mean), detection.breach, range];
        let mut probe = ensemble;
        starts.into_iter().flatten().find_map(|start| {
            nearest_quiet(detection.value, start, |value| {
                let adjusted = self.adjust.apply(value);
                let ensemble = match met {
                    Some(met) => detector.what_if(met, adjusted),
                    // The members had no part in it at the value that came.
                    None => Detection {
                        value: adjusted,
                        anomaly: false,
                        ..ensemble
                    },
                };
                self.decide(ensemble, value, &mut probe).anomaly
            })
        })
    }

    fn decided(&self, detection: &Detection) -> Option<String> {
        let extras = self
            .extras
            .and_then(|extras| extras.decided(detection.value, &self.adjust, detection));
        let out_of_range = self.is_out_of_range(detection.value);
        extras.or_else(|| out_of_range.then(|| "outside of data_range (set in halo.toml)".to_owned()))
    }

    /// A setting that would have been enough by itself: only where there is but one reason.
    fn setting(&self, by_members: bool, detection: &Detection) -> Option<String> {
        let value = detection.value;
        let simple = detection.votes.simple.is_some_and(|vote| vote.vote);
        let beside = self.extras.is_some_and(|extras| extras.breaks_beside(value)) && detection.breach.is_some();
        let out_of_range = self.is_out_of_range(value);
        match (by_members, simple, beside, out_of_range) {
            (true, false, false, false) => {
                let deviation = (value - detection.expected?.mean).abs();
                Some(format!("min_abs_deviation = {}", rounded_up(deviation)))
            }
            (false, true, false, false) => self.extras?.setting(value, &self.adjust, false),
            (false, false, true, false) => self.extras?.setting(value, &self.adjust, true),
            _ => None,
        }
    }

    fn data_range(&self) -> Option<(f64, f64)> {
        self.context.settings(self.slot)?.data_range
    }

    fn is_out_of_range(&self, value: f64) -> bool {
        self.data_range()
            .is_some_and(|(low, high)| !(low..=high).contains(&value))
    }
}
