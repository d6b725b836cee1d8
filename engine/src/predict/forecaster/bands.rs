//! How far from its forecast a value may be: two quantiles of past errors, that go on adapting.
//!
//! Adaptive conformal inference (Gibbs and Candès 2021) in its quantile-tracking form (Angelopoulos, Candès and Tibshirani,
//! "Conformal PID control for time series prediction", 2023): a miss on one side moves that side out by `GAIN · (1 - tail)` of the
//! band's width, a hit moves it in by `GAIN · tail`, so that in the long run the share of misses is the tail, whatever the series
//! does.

/// What one forecast of the past moves a band by, all of them together; and one forecast that was made live.
const GAIN_OF_ALL: f64 = 8.0;
const GAIN_LIVE: f64 = 0.03;
/// The tails aimed at are smaller than those asked for by this factor: levels and seasons go on changing after the fit, which
/// errors of the past do not show.
const ALLOWANCE: f64 = 0.93;
/// Fewer errors say nothing of a tail.
const LEAST: usize = 8;
/// A band of which nothing is known, and how it grows from a nearer horizon to one that nothing is known of.
const UNKNOWN: f64 = 3.0;
const GROWTH: f64 = 0.3;

/// Quantiles of errors, in their own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    below: f64,
    above: f64,
    tail: f64,
}

impl Band {
    /// From `errors` in order of time, as good as `independent` of each other. Tails follow from the share `level` that the band is
    /// to hold. `nearer`: the band of the next nearer horizon, and how many times as far this one is.
    pub(super) fn of(errors: &[f64], level: f64, independent: f64, nearer: Option<(Self, f64)>) -> Self {
        let tail = ALLOWANCE * (1.0 - level) / 2.0;
        if errors.len() < LEAST {
            let unknown = Self {
                below: -UNKNOWN,
                above: UNKNOWN,
                tail,
            };
            return nearer.map_or(unknown, |(band, times)| {
                let growth = times.max(1.0).powf(GROWTH);
                Self {
                    below: growth * band.below,
                    above: growth * band.above,
                    tail,
                }
            });
        }
        let n = errors.len();
        let mut sorted = errors.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        // The conformal rank among as many errors as are independent: few of them are wider than they seem.
        let m = independent.clamp(2.0, n as f64);
        let rank = ((1.0 - tail) * (m + 1.0) / m).min(1.0);
        let rank = ((rank * n as f64).ceil() as usize).clamp(1, n);
        let mut band = Self {
            below: sorted[n - rank],
            above: sorted[rank - 1],
            tail,
        };
        let gain = GAIN_OF_ALL / n as f64 * (band.above - band.below);
        for error in errors {
            band.track(*error, gain);
        }
        band.part();
        band
    }

    /// Adapts to the error of a forecast that was made live.
    pub(super) fn learn(&mut self, error: f64) {
        self.track(error, GAIN_LIVE * (self.above - self.below));
        self.part();
    }

    /// The error that all but the lower tail exceed, and the one that all but the upper tail stay below.
    pub(super) fn below(self) -> f64 {
        self.below
    }

    pub(super) fn above(self) -> f64 {
        self.above
    }

    fn track(&mut self, error: f64, gain: f64) {
        let miss = |missed: bool| f64::from(u8::from(missed)) - self.tail;
        let (over, under) = (miss(error > self.above), miss(error < self.below));
        self.above += gain * over;
        self.below -= gain * under;
    }

    /// The sides do not pass each other.
    fn part(&mut self) {
        if self.above < self.below {
            let middle = 0.5 * (self.above + self.below);
            (self.below, self.above) = (middle, middle);
        }
    }
}

#[cfg(test)]
mod tests;
