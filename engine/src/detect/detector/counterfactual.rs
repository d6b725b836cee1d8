//! What the ensemble would have said of another value in the place of a sample.
//!
//! Ordinary samples pay for it with a copy of some 200 bytes in the baseline. Where a member votes, all that the decision
//! rests on is put aside as it was before the sample; the same code then decides on any other value.

use super::Detector;
use super::decision::{Company, Weighed, recovers};
use super::series::{STAYS, Series};
use crate::detect::autoencoder::WINDOW;
use crate::detect::calibration::{AUTOENCODER, FAST, SLOW};
use crate::detect::joint::Together;
use crate::detect::novelty::Known;
use crate::detect::{Detection, Saw};
use crate::features::{BaselineBefore, compress};
use wire::Timestamp;

/// A series as one sample met it.
#[derive(Clone, Debug)]
pub struct Before {
    slot: usize,
    at: Timestamp,
    baseline: BaselineBefore,
    known: Known,
    series: Series,
    /// Oldest first; the last place is the sample's.
    window: [f32; WINDOW],
    full: bool,
    /// Greatest deviation of the window before, compressed.
    greatest: f32,
    /// The other metrics of its entity; the outer `None`: there are none.
    company: Option<Option<Together>>,
    required: f32,
    /// Samples seen, and the interval between them.
    seen: (u64, i64),
}

impl Detector {
    /// What the last batch's anomalies, and other samples that two members objected to, met; each with the position of its
    /// detection, counted from the first of that batch.
    pub fn take_before(&mut self) -> impl Iterator<Item = (usize, Box<Before>)> + '_ {
        self.before.drain(..)
    }

    /// Puts aside what the sample at `at` met. It is in the baseline and the window already, not yet in the rest.
    /// `baseline` is what the baseline was, `displaced` what the window lost to it.
    pub(super) fn remember(
        &self,
        slot: usize,
        at: Timestamp,
        baseline: BaselineBefore,
        displaced: f32,
        required: f32,
    ) -> Box<Before> {
        let window = self.windows.of(slot);
        let kept = &window[..WINDOW - 1];
        let company = match self.company(slot, at, false) {
            Company::None => None,
            Company::Some { others, .. } => Some(others()),
        };
        Box::new(Before {
            slot,
            at,
            baseline,
            known: self.novelties.copy_out(slot),
            series: self.series[slot].clone(),
            greatest: kept.iter().fold(displaced.abs(), |greatest, x| greatest.max(x.abs())),
            window,
            full: self.windows.is_full(slot),
            company,
            required,
            seen: (self.baselines.seen(slot), self.baselines.step_ms(slot)),
        })
    }

    /// The detection of a finite `value` in the place of the sample. Changes nothing, ranks nothing (`salience` is 0), and
    /// asks the autoencoder only where it could change the decision.
    pub fn what_if(&self, before: &Before, value: f64) -> Detection {
        let (weighed, autoencoder) = self.weigh(before, value);
        let verdict = self.verdict(&before.series, before.at, &weighed, autoencoder, before.seen);
        Detection {
            expected: Some(self.band(before.slot, weighed.residual.mean, weighed.residual.scale)),
            score: verdict.score,
            votes: verdict.votes,
            anomaly: verdict.anomaly,
            ..self.quiet(before.slot, before.at, value)
        }
    }

    /// What each member saw in `value`, in numbers that say something to a person.
    pub fn saw(&self, before: &Before, value: f64) -> Saw {
        let (weighed, autoencoder) = self.weigh(before, value);
        let verdict = self.verdict(&before.series, before.at, &weighed, autoencoder, before.seen);
        let residual = &weighed.residual;
        let tails = &before.series.tails;
        let long_term = tails[SLOW].rarity(residual.slow.abs()) > tails[FAST].rarity(residual.fast.abs());
        let of_entity = weighed.joint.zip(self.models.joint()).filter(|_| weighed.jointly);
        let (splits, ordinary_splits) = match of_entity {
            Some((score, forest)) => forest.splits(score),
            None => self.models.forest(before.series.class).splits(weighed.forest),
        };
        Saw {
            deviations: if long_term { residual.slow } else { residual.fast }.abs(),
            long_term,
            splits,
            ordinary_splits,
            jointly: weighed.jointly,
            rebuilt: autoencoder.map(|score| score / tails[AUTOENCODER].threshold),
            window_ms: before.seen.1.saturating_mul(WINDOW as i64),
            nearest: before.known.nearest(value),
            stayed: if verdict.stayed { STAYS as u32 } else { 0 },
        }
    }

    fn weigh(&self, before: &Before, value: f64) -> (Weighed, Option<f32>) {
        let residual = before.baseline.residual(before.at, value);
        let recovered = recovers(&residual, || before.greatest);
        let novelty = before.known.score(value);
        let slow = residual.slow;
        let company = match before.company {
            None => Company::None,
            Some(others) => Company::Some {
                others: move || others,
                calibrates: false,
            },
        };
        let mut window = before.window;
        window[WINDOW - 1] = compress(slow);
        let row = self.models.sight().row(&residual, || window);
        let forest = self.models.forest(before.series.class).score(&row);
        let weighed = Weighed::new(
            &self.models,
            &before.series,
            (residual, forest),
            novelty,
            before.required,
            recovered,
            company,
        );
        let votes = weighed.votes(&before.series);
        let asked = before.full && self.asks(&before.series, before.at, &weighed, votes);
        let autoencoder = asked.then(|| self.models.autoencoder().score(&window)[0]);
        (weighed, autoencoder)
    }
}
