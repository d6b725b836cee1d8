//! One pass over a history: the state that it leaves, and forecasts tried on the way.

use super::bands::Band;
use super::events::{Effects, Event};
use super::levels::Levels;
use super::scale::Scale;
use super::weights::{TERMS, Tried, dot, fit, prior};
use super::{DAY_MS, ForecastConfig, Forecaster, Horizon};
use wire::Timestamp;

const MINUTE_MS: i64 = 60_000;
/// Horizons in minutes, of which a fit has those beyond a step and up to the first that reaches what is asked for.
const HORIZONS: [i64; 8] = [5, 15, 30, 120, 360, 1440, 4320, 10_080];
/// The next horizon is this many times as far, at least.
const APART: f64 = 1.4;
/// Instants of a history at which forecasts are tried, about.
const ORIGINS: usize = 768;
/// Samples before the first.
const LEAST_SEEN: usize = 12;
/// Steps, and the part of a short history, before the first; a day of a history of more than three.
const WARM_STEPS: i64 = 64;
const WARM_PART: i64 = 4;

impl Forecaster {
    /// Learns from a history, oldest first; rows that are not finite or not after the one before are left out. `events`: what was
    /// and will be out of the ordinary. `None` without a single row. O(n): about 1 ms for a week of minutes and half an hour ahead.
    pub fn fit(rows: &[(Timestamp, f64)], config: &ForecastConfig, events: &[Event]) -> Option<Self> {
        let mut before = i64::MIN;
        let (times, values): (Vec<i64>, Vec<f64>) = rows
            .iter()
            .map(|row| (row.0.as_millis(), row.1))
            .filter(|(at, value)| {
                let usable = value.is_finite() && *at > before;
                if usable {
                    before = *at;
                }
                usable
            })
            .unzip();
        let last = *times.last()?;
        let per_day = usize::try_from(DAY_MS / config.step_ms).unwrap_or(1);
        let scale = Scale::of(&values, per_day);
        let mut forecaster = Self {
            config: *config,
            scale,
            whole: values.iter().all(|value| value.fract() == 0.0),
            levels: Levels::new(config.step_ms, config.offset_ms),
            effects: Effects::new(events),
            horizons: Vec::new(),
        };
        let values: Vec<f64> = values.into_iter().map(|value| scale.forth(value)).collect();
        let distances = distances(config);
        let tried = forecaster.try_on(&times, &values, &distances);
        forecaster.effects.learn();
        // Nothing but events: what they leave is not known.
        if forecaster.levels.at == i64::MIN {
            let (at, value) = (last, *values.last()?);
            forecaster.levels.observe(at, value);
        }
        for (ms, tried) in distances.into_iter().zip(tried) {
            forecaster.add_horizon(ms, &tried);
        }
        forecaster.promise();
        Some(forecaster)
    }

    /// Follows the history, and makes forecasts at some of its instants; those that were answered, by distance.
    fn try_on(&mut self, times: &[i64], values: &[f64], distances: &[i64]) -> Vec<Vec<Tried>> {
        let n = times.len();
        let (first, last) = (times[0], times[n - 1]);
        let span = last - first;
        let warm = if span > 3 * DAY_MS {
            DAY_MS
        } else {
            (span / WARM_PART).min(WARM_STEPS * self.config.step_ms)
        };
        let stride = (n / ORIGINS).max(1);
        let half = self.config.step_ms / 2;
        let mut tried: Vec<Vec<Tried>> = distances.iter().map(|_| Vec::with_capacity(n / stride)).collect();
        let mut answers = vec![0; distances.len()];
        for (i, (&at, &value)) in times.iter().zip(values).enumerate() {
            let levels = &self.levels;
            if self
                .effects
                .take(at, || value - expected(levels, at, self.config.step_ms))
            {
                continue;
            }
            self.levels.observe(at, value);
            if i % stride != 0 || i < LEAST_SEEN || at - first < warm {
                continue;
            }
            for ((distance, tried), answer) in distances.iter().zip(&mut tried).zip(&mut answers) {
                let target = at.saturating_add(*distance);
                while *answer < n && times[*answer] < target - half {
                    *answer += 1;
                }
                if *answer > i
                    && *answer < n
                    && times[*answer] <= target + half
                    && self.effects.at(times[*answer]).is_none()
                {
                    tried.push(Tried {
                        terms: self.levels.terms(target),
                        came: values[*answer] - self.levels.long,
                        age: (last - at) as f64 / DAY_MS as f64,
                        sigma: self.levels.sigma(target),
                    });
                }
            }
        }
        tried
    }

    fn add_horizon(&mut self, ms: i64, tried: &[Tried]) {
        let steps = ms as f64 / self.config.step_ms as f64;
        let prior = prior(steps, self.levels.memories());
        let span = match tried {
            [first, .., last] => (first.age - last.age) * DAY_MS as f64,
            _ => 0.0,
        };
        let independent = (span / ms as f64).min(tried.len() as f64);
        let (weights, errors) = fit(tried, &prior, independent);
        let nearer = self
            .horizons
            .last()
            .map(|nearer| (nearer.band, ms as f64 / nearer.ms as f64));
        self.horizons.push(Horizon {
            ms,
            weights,
            band: Band::of(&errors, self.config.level, independent, nearer),
            pending: None,
        });
    }
}

/// What would be expected at `at` with nothing learnt but the levels.
fn expected(levels: &Levels, at: i64, step_ms: i64) -> f64 {
    let steps = at.saturating_sub(levels.at).max(1) as f64 / step_ms as f64;
    let weights: [f64; TERMS] = prior(steps, levels.memories());
    levels.long + dot(&levels.terms(at), &weights)
}

/// The horizons of a fit, ascending: a step, and what is beyond it.
fn distances(config: &ForecastConfig) -> Vec<i64> {
    let mut distances = vec![config.step_ms];
    for minutes in HORIZONS {
        let furthest = distances.last().copied().unwrap_or(config.step_ms);
        let ms = minutes * MINUTE_MS;
        if furthest < config.horizon_ms && ms as f64 >= APART * furthest as f64 {
            distances.push(ms);
        }
    }
    distances
}
