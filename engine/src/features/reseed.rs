//! A shift that lasts starts the long-term level and the season anew, from what both were before it.
//!
//! While samples are far from the long-term level, the day profile would learn the shift hour by hour. So a copy of it is put
//! aside when they leave, and the samples since are regressed on it: `deviation = jump + factor * season`. Is the shift
//! believed, the copy comes back, scaled where the regression is sure that the season grew or shrank with the level. Do the
//! samples return, the copy is dropped: what the profile learnt meanwhile was no shift.

use super::season::{Season, SeasonAt};
use super::zone::Moment;

/// Outliers in a row after which a shift is suspected.
pub(crate) const SUSPECT: u16 = 8;
/// A factor nearer to 1 than this, or than [`SURE`] standard errors, is none.
const LEAST_CHANGE: f64 = 0.15;
const SURE: f64 = 4.0;
/// Neighbouring samples err alike: so many say as much as one that stands alone.
const ALIKE: f64 = 8.0;
const FACTOR_MAX: f64 = 5.0;

/// What was known when samples left the long-term level, and how they have been since.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    /// As it was; without a suspicion of its own.
    pub(super) season: Season,
    pub(super) chosen: u8,
    pub(super) slow: f64,
    pub(super) slow_error: f64,
    pub(super) sums: Sums,
}

/// Of deviations from the old level against the old season.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) n: f64,
    pub(crate) deviation: f64,
    pub(crate) season: f64,
    pub(crate) deviation_square: f64,
    pub(crate) product: f64,
    pub(crate) season_square: f64,
}

/// A new regime in terms of the old one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Regime {
    /// New long-term level less the old one.
    pub(crate) jump: f64,
    /// What the season is multiplied by.
    pub(crate) factor: f64,
    /// Mean absolute deviation of the samples from both.
    pub(crate) error: f64,
}

impl Regime {
    /// Nothing has changed.
    pub(crate) const NONE: Self = Self {
        jump: 0.0,
        factor: 1.0,
        error: 0.0,
    };
}

impl Suspicion {
    pub(super) fn new(season: &Season, slow: f64, slow_error: f64, chosen: u8) -> Self {
        Self {
            season: season.without_suspicion(),
            chosen,
            slow,
            slow_error,
            sums: Sums::default(),
        }
    }

    /// Takes in a sample.
    pub(super) fn observe(&mut self, moment: Moment, value: f64) {
        self.sums.add(value - self.slow, shape(self.season.at(moment)));
    }

    /// The regime that the samples show, and the season in it.
    pub(super) fn resolve(mut self) -> (Regime, Season) {
        let regime = self.sums.regime();
        self.season.unit *= regime.factor;
        (regime, self.season)
    }
}

impl Sums {
    /// Takes in a deviation from the old level and what the old season says of it.
    pub(crate) fn add(&mut self, deviation: f64, season: f64) {
        self.n += 1.0;
        self.deviation += deviation;
        self.season += season;
        self.deviation_square += deviation * deviation;
        self.product += deviation * season;
        self.season_square += season * season;
    }

    /// Least squares, with the factor 1 unless another one is certain. All finite: sums that overflow give no change.
    pub(crate) fn regime(&self) -> Regime {
        let n = self.n.max(1.0);
        let (deviation, season) = (self.deviation / n, self.season / n);
        let spread = self.season_square / n - season * season;
        let both = self.product / n - deviation * season;
        let all = self.deviation_square / n - deviation * deviation;
        let mut factor = 1.0;
        if spread > 1e-9 * self.season_square / n && spread > 0.0 {
            let slope = both / spread;
            let unexplained = (all - slope * both).max(0.0);
            let uncertainty = (unexplained / spread * ALIKE / n).sqrt();
            let change = (slope - 1.0).abs();
            if change > LEAST_CHANGE && change > SURE * uncertainty && (1.0 / FACTOR_MAX..FACTOR_MAX).contains(&slope) {
                factor = slope;
            }
        }
        let error = (all - 2.0 * factor * both + factor * factor * spread).max(0.0).sqrt() / super::baseline::TO_SIGMA;
        let jump = deviation - factor * season;
        if jump.is_finite() && error.is_finite() {
            Regime { jump, factor, error }
        } else {
            Regime::NONE
        }
    }
}

/// The best that profiles know of a moment, special days of the month aside.
fn shape(season: SeasonAt) -> f64 {
    season.week.or(season.day).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(n: usize, sample: impl Fn(f64) -> (f64, f64)) -> Regime {
        let mut sums = Sums::default();
        for i in 0..n {
            let (deviation, season) = sample(i as f64);
            sums.add(deviation, season);
        }
        sums.regime()
    }

    fn noise(i: f64) -> f64 {
        (i * 12.9898).sin() * 0.5
    }

    #[test]
    fn a_step_keeps_the_season_and_a_doubling_doubles_it() {
        let wave = |i: f64| 10.0 * (i / 288.0 * std::f64::consts::TAU).sin();
        let step = sums(144, |i| (30.0 + wave(i) + noise(i), wave(i)));
        assert!(
            (step.factor - 1.0).abs() < 1e-12 && (step.jump - 30.0).abs() < 0.2,
            "{step:?}"
        );
        let doubled = sums(144, |i| (100.0 + 2.0 * wave(i) + noise(i), wave(i)));
        assert!((doubled.factor - 2.0).abs() < 0.1, "{doubled:?}");
        assert!((doubled.jump - 100.0).abs() < 1.0 && doubled.error < 0.6, "{doubled:?}");
    }

    #[test]
    fn without_a_season_or_with_noise_alone_the_factor_is_one() {
        assert!((sums(144, |i| (5.0 + noise(i), 0.0)).factor - 1.0).abs() < 1e-12);
        assert!((sums(144, |i| (5.0 + 40.0 * noise(i), noise(i * 3.7))).factor - 1.0).abs() < 1e-12);
        let wild = sums(20, |i| (if i > 3.0 { 1e290 } else { -1e290 }, 1e200));
        assert!(wild.jump.is_finite() && wild.error.is_finite() && wild.factor.is_finite());
    }
}
