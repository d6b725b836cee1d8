//! How far a series stands from where it has long been: what a fault that lasts looks like, when it is no news any more.
//!
//! Baseline, tails and [`super::salience`] learn from a fault while it goes on, as they must, or a new normal would page for
//! ever. A ranking of whole spans wants what they forget. So the values, smoothed over the last samples, are held against
//! the mean and the mean deviation of the same over some thousand samples, Huberised: a fault moves neither by much, and after
//! about as many samples as they remember it is the new normal here too. It decides nothing: a lone series wanders off for
//! many harmless reasons, and on NAB a ranking that listens to this is worse. Many series of one machine that have moved at once
//! are another matter, so it counts only where series are put together.

use crate::features::baseline::{TO_SIGMA, VALUE_MAX};

/// Samples after which half of a value is forgotten; as [`super::salience`] forgets trouble.
const HALF_LIFE: f64 = 40.0;
/// Samples that mean and deviation remember.
const MEMORY: f64 = 2048.0;
/// Samples before which nothing is known of where a series has long been.
const LEAST: u32 = 128;
/// A value pulls by at most so many standard deviations.
const CLIP: f64 = 5.0;
/// Standard deviations that are half of the scale. As long-term deviations go that is far: on a scale that ends sooner the
/// metrics in the middle of a fault would be no more than its bystanders.
const HALF: f64 = 15.0;
/// Standard deviations beyond which all is the same.
const Z_MAX: f64 = 1e4;

/// Where a series has long been.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    /// The smoothed value.
    level: f64,
    mean: f64,
    /// Mean absolute deviation of `level` from `mean`.
    deviation: f64,
    seen: u32,
}

impl Shift {
    /// Takes in a finite value and says how far the level is from where it has long been, 0..1. `scale`: standard deviation of
    /// the one-step error, > 0; the level's own is not believed to be less. O(1).
    pub(super) fn observe(&mut self, value: f64, scale: f64) -> f32 {
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        if self.seen == 0 {
            (self.level, self.mean) = (value, value);
        }
        self.seen = self.seen.saturating_add(1);
        self.level += (1.0 - (-std::f64::consts::LN_2 / HALF_LIFE).exp()) * (value - self.level);
        let away = self.level - self.mean;
        let sigma = (TO_SIGMA * self.deviation).max(scale);
        let known = self.seen > LEAST;
        let pull = if known {
            away.clamp(-CLIP * sigma, CLIP * sigma)
        } else {
            away
        };
        let gain = (1.0 / f64::from(self.seen)).max(1.0 / MEMORY);
        self.mean += gain * pull;
        self.deviation += gain * (pull.abs() - self.deviation);
        if !known {
            return 0.0;
        }
        let z = (away.abs() / sigma).min(Z_MAX);
        (z / (z + HALF)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wave with a little noise, and `more` on top of it.
    fn wave(i: u32, more: f64) -> f64 {
        100.0 + 5.0 * (f64::from(i) * 0.01).sin() + f64::from(i.wrapping_mul(2_654_435_761) >> 24) / 256.0 + more
    }

    /// The shift at every sample; `fault` says what a sample has on top.
    fn run(samples: u32, scale: f64, fault: impl Fn(u32) -> f64) -> Vec<f32> {
        let mut shift = Shift::default();
        (0..samples)
            .map(|i| shift.observe(scale * wave(i, fault(i)), 0.5 * scale))
            .collect()
    }

    #[test]
    fn a_shift_stays_while_it_lasts_and_goes_with_it() {
        let shifts = run(6000, 1.0, |i| if (4000..4300).contains(&i) { 400.0 } else { 0.0 });
        let usual = shifts[..4000].iter().copied().fold(0.0, f32::max);
        assert!(usual < 0.2, "{usual}");
        assert!(shifts[4040..4300].iter().all(|s| *s > 0.5), "{:?}", &shifts[4040..4300]);
        assert!(shifts[4700] < 0.2, "{}", shifts[4700]);
    }

    #[test]
    fn a_new_normal_becomes_normal() {
        let shifts = run(12_000, 1.0, |i| if i >= 4000 { 400.0 } else { 0.0 });
        assert!(
            shifts[4200] > 0.5 && shifts[11_999] < 0.2,
            "{} {}",
            shifts[4200],
            shifts[11_999]
        );
    }

    #[test]
    fn a_lone_spike_is_no_shift() {
        let shifts = run(3000, 1.0, |i| if i == 2000 { 60.0 } else { 0.0 });
        assert!(shifts[1990..2010].iter().all(|s| *s < 0.2));
    }

    #[test]
    fn scale_does_not_matter() {
        let fault = |i: u32| if i > 2000 { 50.0 } else { 0.0 };
        for (a, b) in run(2500, 1.0, fault).into_iter().zip(run(2500, 1e6, fault)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn nothing_is_known_at_first_and_nothing_leaves_its_range() {
        assert!(run(LEAST, 1.0, |i| f64::from(i * i)).iter().all(|s| *s == 0.0));
        let mut shift = Shift::default();
        for i in 0..2000 {
            let value = if i % 3 == 0 { f64::MAX } else { -f64::MAX };
            let s = shift.observe(value, f64::MIN_POSITIVE);
            assert!((0.0..=1.0).contains(&s), "{s}");
        }
    }
}
