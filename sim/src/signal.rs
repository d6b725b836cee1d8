//! Seasons and noise.

use rand::Rng;
use std::f64::consts::TAU;
use wire::Timestamp;

const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;

/// Load at `at` relative to its mean: a day with one hump and a shoulder, quieter weekends.
pub(crate) fn season(at: Timestamp) -> f64 {
    let day = at.as_millis().rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
    // The epoch was a Thursday.
    let weekday = (at.as_millis().rem_euclid(WEEK_MS) / DAY_MS + 3) % 7;
    let weekend = if weekday >= 5 { 0.8 } else { 1.0 };
    weekend * (1.0 - 0.35 * (day * TAU).cos() - 0.08 * (2.0 * day * TAU).cos())
}

/// First-order autoregressive noise with unit variance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noise(f64);

impl Noise {
    const MEMORY: f64 = 0.35;

    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> f64 {
        self.0 = Self::MEMORY * self.0 + (1.0 - Self::MEMORY * Self::MEMORY).sqrt() * normal(rng);
        self.0
    }
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (rng.random::<f64>() * TAU).cos()
}
