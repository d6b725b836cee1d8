//! What a time of the day and an hour of the week add to the level, and the last seven days as they were.
//!
//! Profiles follow the deviations from the mean, bin by bin. Noise gives every series something that looks like one, so each is
//! multiplied by its proven strength: the coefficient of the regression of deviations on what the profile had said of them before
//! it saw them, 0 to 1.

use super::DAY_MS;

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 7 * DAY_MS;
/// Bins of a day at most, five minutes each, and at least: with fewer samples a day has no shape.
const BINS: i64 = 288;
const LEAST_BINS: i64 = 8;
const WEEK_BINS: usize = 168;
/// Bins to either side over which the profile of a day is smoothed.
const SMOOTHING: usize = 2;
/// Days that a bin of the day remembers, and weeks that one of the week does.
const DAYS: f32 = 4.0;
const WEEKS: f32 = 5.0;
/// Days over which a profile has to prove itself, in samples at least and at most.
const PROOF_DAYS: f64 = 2.0;
const PROOF_SAMPLES: (f64, f64) = (16.0, 8192.0);
/// Days that the spread of an hour remembers.
const SPREAD_DAYS: f32 = 7.0;

/// What the profiles say of one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeasonAt {
    /// The day, its neighbouring bins alike, and what the bin itself differs by; as far as proven.
    pub(super) smooth: f64,
    pub(super) rough: f64,
    /// What the hour of the week adds to the day, as far as proven.
    pub(super) week: f64,
    /// The same as they were learnt.
    pub(super) plain: f64,
    pub(super) plain_week: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    value: f32,
    /// Samples it is made of, up to what it remembers.
    samples: f32,
}

/// Regression through the origin of what came on what was said.
#[derive(Clone, Copy, Debug, Default)]
struct Proof {
    product: f64,
    square: f64,
}

/// Profiles of one series, and its last seven days.
#[derive(Clone, Debug)]
pub(super) struct Profiles {
    offset_ms: i64,
    /// What does not change: gain of the proofs, samples that a bin of the day and an hour remember.
    proof_gain: f64,
    day_samples: f32,
    hour_samples: f32,
    first: i64,
    at: i64,
    /// Empty where a day holds too few samples.
    day: Vec<Bin>,
    week: Vec<Bin>,
    /// Sum over the bins of the day, and how many have been seen: what is the same all day belongs to the level.
    sum: f64,
    seen: usize,
    day_proof: Proof,
    week_proof: Proof,
    /// Mean absolute distance from mean and season by hour of the day; 0 where nothing was seen.
    spread: [f32; 24],
    /// Values less `base` by bin of the last seven days; NaN where there was none.
    days: Vec<f32>,
    /// Bin since the epoch of the newest of them, and its place.
    newest: i64,
    place: usize,
    base: f64,
}

impl Profiles {
    pub(super) fn new(step_ms: i64, offset_ms: i64) -> Self {
        let bins = (DAY_MS / step_ms.max(1)).min(BINS);
        let bins = if bins < LEAST_BINS {
            0
        } else {
            usize::try_from(bins).unwrap_or(0)
        };
        let proof = (PROOF_DAYS * DAY_MS as f64 / step_ms as f64).clamp(PROOF_SAMPLES.0, PROOF_SAMPLES.1);
        Self {
            offset_ms,
            proof_gain: 1.0 / proof,
            day_samples: DAYS * (DAY_MS as f32 / bins.max(1) as f32 / step_ms as f32).max(1.0),
            hour_samples: (HOUR_MS as f32 / step_ms as f32).max(1.0),
            first: 0,
            at: 0,
            day: vec![Bin::default(); bins],
            week: vec![Bin::default(); if bins > 0 { WEEK_BINS } else { 0 }],
            sum: 0.0,
            seen: 0,
            day_proof: Proof::default(),
            week_proof: Proof::default(),
            spread: [0.0; 24],
            days: vec![f32::NAN; 7 * bins],
            newest: 0,
            place: 0,
            base: 0.0,
        }
    }

    /// The first sample.
    pub(super) fn begin(&mut self, at: i64, value: f64) {
        (self.first, self.at, self.base) = (at, at, value);
        self.newest = if self.day.is_empty() {
            0
        } else {
            self.bin_since_epoch(at)
        };
    }

    /// What is expected at `at` on top of the level. A day says nothing until one has been seen, a week until one more has.
    pub(super) fn at(&self, at: i64) -> SeasonAt {
        let age = self.at.saturating_sub(self.first);
        if self.day.is_empty() || age < DAY_MS {
            return SeasonAt::NONE;
        }
        let bin = self.day_bin(at);
        let plain = self.smoothed(bin);
        let proven = self.day_proof.strength();
        let plain_week = if age < WEEK_MS + DAY_MS {
            0.0
        } else {
            f64::from(self.week[self.week_bin(at)].value)
        };
        SeasonAt {
            smooth: proven * plain,
            rough: proven * (f64::from(self.day[bin].value) - self.centre() - plain),
            week: self.week_proof.strength() * plain_week,
            plain,
            plain_week,
        }
    }

    /// Learns how far a sample was from the mean: the profiles had said `season` of it and were `apart` from it. `reach`: how far
    /// a deviation may be from what a bin holds.
    pub(super) fn learn(&mut self, at: i64, deviation: f64, season: &SeasonAt, apart: f64, reach: f64) {
        self.at = at;
        if self.day.is_empty() {
            return;
        }
        let age = at.saturating_sub(self.first);
        let gain = self.proof_gain;
        let centre = self.centre();
        if age >= DAY_MS {
            self.day_proof.learn(season.plain, deviation - centre, reach, gain);
        }
        if age >= WEEK_MS + DAY_MS {
            self.week_proof
                .learn(season.plain_week, deviation - centre - season.smooth, reach, gain);
        }
        let bin = self.day_bin(at);
        let before = self.day[bin];
        self.day[bin].learn(deviation, reach, self.day_samples);
        self.sum += f64::from(self.day[bin].value) - f64::from(before.value);
        self.seen += usize::from(before.samples <= 0.0);
        let per_hour = self.hour_samples;
        if age >= DAY_MS {
            let rest = deviation - centre - season.plain;
            let hour = self.week_bin(at);
            self.week[hour].learn(rest, reach, WEEKS * per_hour);
        }
        let hour = self.hour(at);
        let spread = &mut self.spread[hour];
        let apart = apart as f32;
        *spread = if *spread > 0.0 {
            *spread + (apart.min(9.0 * *spread) - *spread) / (SPREAD_DAYS * per_hour)
        } else {
            apart
        };
    }

    /// Writes a value into the last seven days.
    pub(super) fn remember(&mut self, at: i64, value: f64) {
        self.at = at;
        let n = self.days.len();
        if n == 0 {
            return;
        }
        let (from, to) = (self.newest, self.bin_since_epoch(at));
        // Bins that passed without a sample hold what was a week ago.
        for _ in (from + 1).max(to.saturating_sub(n as i64))..=to {
            self.place = if self.place + 1 == n { 0 } else { self.place + 1 };
            self.days[self.place] = f32::NAN;
        }
        self.newest = to;
        let value = (value - self.base) as f32;
        let slot = &mut self.days[self.place];
        *slot = if slot.is_finite() {
            *slot + 0.5 * (value - *slot)
        } else {
            value
        };
    }

    /// What was at the time of the day of `target`, the newest day that is known at `now`.
    pub(super) fn a_day_before(&self, now: i64, target: i64) -> Option<f64> {
        let days = (target.saturating_sub(now) + DAY_MS - 1).div_euclid(DAY_MS).max(1);
        self.was(target.saturating_sub(days.saturating_mul(DAY_MS)))
    }

    /// What was a week before `target`, if that is known yet.
    pub(super) fn a_week_before(&self, target: i64) -> Option<f64> {
        self.was(target.saturating_sub(WEEK_MS))
    }

    fn was(&self, at: i64) -> Option<f64> {
        let n = self.days.len();
        if n == 0 {
            return None;
        }
        let back = usize::try_from(self.newest - self.bin_since_epoch(at))
            .ok()
            .filter(|back| *back < n)?;
        let place = if back <= self.place {
            self.place - back
        } else {
            self.place + n - back
        };
        let value = self.days[place];
        value.is_finite().then(|| self.base + f64::from(value))
    }

    /// How far samples of this hour of the day usually are from mean and season. `None` until two days have been seen.
    pub(super) fn spread_at(&self, at: i64) -> Option<f64> {
        let spread = self.spread[self.hour(at)];
        (spread > 0.0 && self.at.saturating_sub(self.first) > 2 * DAY_MS).then(|| f64::from(spread))
    }

    fn smoothed(&self, bin: usize) -> f64 {
        let n = self.day.len();
        let reach = SMOOTHING.min(n / 16);
        if self.seen == n && bin >= reach && bin + reach < n {
            let near = self.day[bin - reach..=bin + reach].iter().enumerate();
            let sum: f64 = near
                .map(|(k, near)| (reach + 1 - reach.abs_diff(k)) as f64 * f64::from(near.value))
                .sum();
            return sum / ((reach + 1) * (reach + 1)) as f64 - self.centre();
        }
        let (mut sum, mut total) = (0.0, 0.0);
        for k in 0..=2 * reach {
            let mut near = bin + k + n - reach;
            while near >= n {
                near -= n;
            }
            let Bin { value, samples } = self.day[near];
            if samples > 0.0 {
                let weight = (reach + 1 - reach.abs_diff(k)) as f64;
                sum += weight * f64::from(value);
                total += weight;
            }
        }
        if total > 0.0 { sum / total - self.centre() } else { 0.0 }
    }

    /// Mean of the bins of the day.
    fn centre(&self) -> f64 {
        self.sum / self.seen.max(1) as f64
    }

    fn local(&self, at: i64) -> i64 {
        at.saturating_add(self.offset_ms)
    }

    fn day_bin(&self, at: i64) -> usize {
        let of_day = self.local(at).rem_euclid(DAY_MS);
        (of_day * self.day.len() as i64 / DAY_MS) as usize
    }

    fn bin_since_epoch(&self, at: i64) -> i64 {
        self.local(at).div_euclid(DAY_MS) * self.day.len() as i64 + self.day_bin(at) as i64
    }

    fn week_bin(&self, at: i64) -> usize {
        (self.local(at).rem_euclid(WEEK_MS) / HOUR_MS) as usize
    }

    fn hour(&self, at: i64) -> usize {
        (self.local(at).rem_euclid(DAY_MS) / HOUR_MS) as usize
    }
}

impl Bin {
    fn learn(&mut self, deviation: f64, reach: f64, limit: f32) {
        let apart = deviation - f64::from(self.value);
        self.samples = (self.samples + 1.0).min(limit);
        let apart = if self.samples > 1.0 && reach > 0.0 {
            apart.clamp(-reach, reach)
        } else {
            apart
        };
        self.value += (apart / f64::from(self.samples)) as f32;
    }
}

impl Proof {
    fn learn(&mut self, said: f64, came: f64, reach: f64, gain: f64) {
        let reach = reach + 3.0 * said.abs();
        let came = if reach > 0.0 { came.clamp(-reach, reach) } else { came };
        self.product += gain * (said * came - self.product);
        self.square += gain * (said * said - self.square);
    }

    fn strength(self) -> f64 {
        if self.square > 0.0 {
            (self.product / self.square).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}
