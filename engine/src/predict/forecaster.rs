//! Forecasts of one series from one step to a week ahead, with intervals that hold what they promise.
//!
//! A [`Forecaster`] follows a series sample by sample in O(1): the last value, levels of four memories ([`levels`]), what a day and
//! an hour of the week add ([`profiles`]), and the last seven days themselves. What these say of an instant to come are the terms
//! of a sum, one set of weights for each of some horizons ([`weights`]): how far the level will have gone back to its mean, how
//! much of a lead of the quick level over the steady one will last (which is a trend, damped as far as the past was), and how much
//! of the season is proven. The weights are found by trying forecasts on the past: direct multi-step forecasting, as opposed to
//! one-step models that are iterated. Errors made there, each with weights that had not seen its stretch of time, make the
//! intervals ([`bands`]): cross-conformal prediction (Barber et al., "Predictive inference with the jackknife+", 2021) that goes on
//! adapting (Gibbs and Candès, "Adaptive conformal inference under distribution shift", 2021).
//!
//! A series whose spread goes with its level is forecast in logarithms ([`scale`]), so that its seasons multiply. What is expected
//! beforehand ([`Event`]) teaches neither levels nor seasons, and adds what its kind added before.
//!
//! A fit costs O(n) with about 0.1 µs a sample, and a forecast of one instant about 0.1 µs. It keeps about 15 KB, most of it the
//! seven days, so a service with very many series fits when it is asked, and keeps none.

mod bands;
mod events;
mod fit;
mod levels;
mod profiles;
mod scale;
mod weights;

pub use events::Event;

use bands::Band;
use events::Effects;
use levels::Levels;
use scale::Scale;
use weights::{TERMS, dot};
use wire::Timestamp;
use wire::series::ForecastPoint;

pub(super) const DAY_MS: i64 = 86_400_000;
/// A forecast beyond the last calibrated horizon is less certain by its ratio to this power.
const BEYOND: f64 = 0.3;

/// What is asked of a forecaster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastConfig {
    /// Usual time between samples, > 0.
    pub step_ms: i64,
    /// How far ahead forecasts will be asked for, > 0: what lies beyond is forecast with less care.
    pub horizon_ms: i64,
    /// Share of the values to come that the interval shall hold, 0..1, exclusive.
    pub level: f64,
    /// What the series cannot fall below, and cannot exceed; infinite where nothing is known.
    pub least: f64,
    pub most: f64,
    /// Local time less UTC: days and weeks begin at local midnight.
    pub offset_ms: i64,
}

impl ForecastConfig {
    /// Within `horizon_ms` at `level`, without bounds, in UTC.
    pub fn new(step_ms: i64, horizon_ms: i64, level: f64) -> Self {
        Self {
            step_ms: step_ms.max(1),
            horizon_ms: horizon_ms.max(1),
            level: level.clamp(0.01, 0.999),
            least: f64::NEG_INFINITY,
            most: f64::INFINITY,
            offset_ms: 0,
        }
    }

    /// The same where no value may be below 0 unless one of `rows` is, nor above `capacity` unless one is.
    pub fn bounded(self, rows: &[(Timestamp, f64)], capacity: Option<f64>) -> Self {
        let negative = rows.iter().any(|row| row.1 < 0.0);
        let most = capacity.filter(|most| !rows.iter().any(|row| row.1 > *most));
        Self {
            least: if negative { self.least } else { self.least.max(0.0) },
            most: most.map_or(self.most, |most| self.most.min(most)),
            ..self
        }
    }
}

/// Weights and error quantiles of one horizon.
#[derive(Clone, Debug)]
struct Horizon {
    ms: i64,
    weights: [f64; TERMS],
    band: Band,
    /// A forecast of this horizon that waits for its value.
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    due: i64,
    mean: f64,
    sigma: f64,
}

/// The state of one series and what was learnt of its horizons. See the module's text.
#[derive(Clone, Debug)]
pub struct Forecaster {
    config: ForecastConfig,
    scale: Scale,
    /// Whether all values seen are whole numbers: a count is.
    whole: bool,
    levels: Levels,
    effects: Effects,
    /// Ascending; never empty.
    horizons: Vec<Horizon>,
}

/// Weights and band at a distance between two horizons.
struct Between {
    weights: [f64; TERMS],
    below: f64,
    above: f64,
}

impl Forecaster {
    /// Time of the newest sample.
    pub fn last_at(&self) -> Timestamp {
        Timestamp(self.levels.at)
    }

    /// Whether the seasons multiply.
    pub fn multiplies(&self) -> bool {
        self.scale.is_log()
    }

    /// Takes in one sample: levels and seasons follow it, and the intervals of forecasts that it was the answer to adapt. The
    /// weights stay; fit anew after a day. A sample that is not finite, or not after the last one, changes nothing, and one
    /// within an event teaches nothing. O(1).
    pub fn observe(&mut self, at: Timestamp, value: f64) {
        let at = at.as_millis();
        if !value.is_finite() || at <= self.levels.at {
            return;
        }
        let value = self.scale.forth(value);
        if self.effects.at(at).is_some() {
            return;
        }
        let half = self.config.step_ms / 2;
        for horizon in &mut self.horizons {
            if let Some(pending) = horizon.pending.filter(|pending| at >= pending.due - half) {
                if at <= pending.due + half {
                    horizon.band.learn((value - pending.mean) / pending.sigma);
                }
                horizon.pending = None;
            }
        }
        self.levels.observe(at, value);
        self.promise();
    }

    /// Makes the forecasts that are to be held against what comes.
    fn promise(&mut self) {
        for horizon in &mut self.horizons {
            if horizon.pending.is_none() {
                let due = self.levels.at.saturating_add(horizon.ms);
                horizon.pending = Some(Pending {
                    due,
                    mean: self.levels.long + dot(&self.levels.terms(due), &horizon.weights),
                    sigma: self.levels.sigma(due),
                });
            }
        }
    }

    /// The forecast of one instant after the newest sample. Finite; `lower <= mean <= upper`, all within the bounds. O(1).
    pub fn at(&self, target: Timestamp) -> ForecastPoint {
        let at = target.as_millis();
        let between = self.between(at.saturating_sub(self.levels.at).max(1));
        let effect = self.effects.at(at).unwrap_or_default();
        let scaled = self.levels.long + dot(&self.levels.terms(at), &between.weights) + effect.shift;
        let sigma = self.levels.sigma(at);
        let back = |value: f64| self.scale.back(value).clamp(self.config.least, self.config.most);
        let mean = back(scaled);
        let mut lower = back(scaled + sigma * between.below - effect.spread);
        let mut upper = back(scaled + sigma * between.above + effect.spread);
        if self.whole {
            // Hardly above a whole number is that number: it would be missed by nothing.
            (lower, upper) = (lower.round().min(mean), upper.round().max(mean));
        }
        ForecastPoint {
            at: target,
            mean,
            lower,
            upper,
        }
    }

    /// The next `steps` forecasts, one a step.
    pub fn fan(&self, steps: usize) -> Vec<ForecastPoint> {
        let step = self.config.step_ms;
        (1..=i64::try_from(steps).unwrap_or(i64::MAX))
            .map(|k| self.at(Timestamp(self.levels.at.saturating_add(k.saturating_mul(step)))))
            .collect()
    }

    /// Between two horizons both change with the logarithm of the distance.
    fn between(&self, distance: i64) -> Between {
        let of = |horizon: &Horizon, times: f64| Between {
            weights: horizon.weights,
            below: times * horizon.band.below().min(0.0),
            above: times * horizon.band.above().max(0.0),
        };
        let k = self.horizons.partition_point(|horizon| horizon.ms < distance);
        let (Some(near), Some(far)) = (
            k.checked_sub(1).and_then(|k| self.horizons.get(k)),
            self.horizons.get(k),
        ) else {
            let outermost = &self.horizons[k.min(self.horizons.len() - 1)];
            let ratio = (distance as f64 / outermost.ms as f64).max(1.0);
            return of(outermost, ratio.powf(BEYOND));
        };
        let share = (distance as f64 / near.ms as f64).ln() / (far.ms as f64 / near.ms as f64).ln();
        let (mut mixed, far) = (of(near, 1.0), of(far, 1.0));
        for (weight, there) in mixed.weights.iter_mut().zip(far.weights) {
            *weight += share * (there - *weight);
        }
        mixed.below += share * (far.below - mixed.below);
        mixed.above += share * (far.above - mixed.above);
        mixed
    }
}

#[cfg(test)]
mod tests;
