//! A better start from history: the online baseline replays it, and profiles estimated from all of it at once take the place of
//! the online ones where they forecast what came next better.

use super::baseline::OUTLIER;
use super::mstl::{Estimate, estimate};
use super::season::{DAY_MS, day_bins};
use super::{Baselines, Residual};
use wire::Timestamp;

/// The end of a history that profiles are tried on: a day, but no more than this part of it.
const TRIED_MS: i64 = DAY_MS;
const TRIED_PART: i64 = 4;
/// A shorter end than this proves nothing about a day.
const LEAST_TRIED_MS: i64 = DAY_MS / 4;
/// Fewer days hold no weekend, and profiles that are sure of themselves would call the first one a fault: with the end that
/// they are tried on it takes a week.
const LEAST_DAYS: usize = 6;
/// An estimate has to be better by this much, at one step and at a day ahead together, and may be worse at neither by more.
const BETTER: f64 = 0.98;
const NOT_WORSE: f64 = 1.02;
/// Bins to either side over which a day profile is tried smoothed: a quarter of an hour where bins are five minutes.
const SMOOTHING: usize = 3;

impl Baselines {
    /// Learns `history` as if it had been observed, from a robust batch estimate of the long-term level, and hands every
    /// residual to `each`: they are out of sample, so tails may be calibrated on them. Rows are sorted first; of rows with
    /// one timestamp the first counts. `older` is what came before and is too much to replay: profiles alone are estimated
    /// from it. O(n log n).
    pub fn bootstrap(
        &mut self,
        slot: usize,
        older: &[(Timestamp, f64)],
        history: &[(Timestamp, f64)],
        mut each: impl FnMut(Timestamp, f64, &Residual),
    ) {
        let rows = sorted(history);
        let Some((level, error)) = level_and_error(&rows) else {
            return;
        };
        let tried_from = first_tried(&rows);
        let fresh = self.seen(slot) == 0;
        let mut seeded = self.seen(slot) > super::WARM_UP as u64;
        for &(at, value) in &rows[..tried_from] {
            if !seeded && self.seen(slot) == super::WARM_UP as u64 {
                self.seed_slow(slot, level, error);
                seeded = true;
            }
            if let Some(residual) = self.observe(slot, at, value) {
                each(at, value, &residual);
            }
        }
        let (past, tried) = rows.split_at(tried_from);
        let before = self.copy_out(slot);
        let online = self.try_on(slot, tried);
        let mut best = (online.errors.limit(), self.copy_out(slot), online);
        // What a series learnt by itself is not overruled by what it is told later.
        let span = tried
            .last()
            .zip(tried.first())
            .map_or(0, |(last, first)| last.0.millis_since(first.0));
        if fresh && span >= LEAST_TRIED_MS {
            let mut all = sorted(older);
            all.extend_from_slice(past);
            let errors = best.2.errors;
            for rival in self.estimates(slot, &all) {
                self.put_back(slot, before.clone());
                self.adopt(slot, &rival, past);
                let trial = self.try_on(slot, tried);
                let sum = trial.errors.sum(errors);
                if trial.errors.is_as_good_as(errors) && sum < best.0 {
                    self.widen(slot, trial.errors.day / trial.residuals.len().max(1) as f64);
                    best = (sum, self.copy_out(slot), trial);
                }
            }
        }
        self.put_back(slot, best.1);
        for (at, value, residual) in &best.2.residuals {
            each(*at, *value, residual);
        }
    }

    /// Profiles of `rows`, plain and smoothed, if there is enough of them.
    fn estimates(&self, slot: usize, rows: &[(Timestamp, f64)]) -> Vec<Estimate> {
        let local: Vec<(i64, f64)> = rows
            .iter()
            .map(|&(at, value)| (self.moment_at(slot, at.as_millis()).local, value))
            .collect();
        let found = day_bins(self.step_ms(slot)).and_then(|bins| estimate(&local, bins));
        let found = found.filter(|found| found.days >= LEAST_DAYS);
        found.map_or_else(Vec::new, |found| vec![found.smoothed(SMOOTHING), found])
    }

    /// Observes `rows`: what was seen, and how far it was from what was expected.
    fn try_on(&mut self, slot: usize, rows: &[(Timestamp, f64)]) -> Trial {
        let mut trial = Trial::default();
        let start = self.slow(slot);
        for &(at, value) in rows {
            let Some(residual) = self.observe(slot, at, value) else {
                continue;
            };
            if let Some((level, size)) = start {
                let reach = 10.0 * residual.scale.max(size);
                trial.errors.step += (value - residual.mean).abs().min(reach);
                trial.errors.day += (value - self.last_profile(slot) - level).abs().min(reach);
            }
            trial.errors.far += usize::from(f64::from(residual.fast.abs().max(residual.slow.abs())) > OUTLIER);
            trial.residuals.push((at, value, residual));
        }
        trial
    }
}

/// What became of a baseline that was tried on the end of a history.
#[derive(Clone, Debug, Default)]
struct Trial {
    errors: Errors,
    residuals: Vec<(Timestamp, f64, Residual)>,
}

/// Sums of absolute errors: against the forecast of the next sample, and against the level when the trial began together with
/// the season, which is a forecast of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Errors {
    step: f64,
    day: f64,
    /// Samples that were outliers to either.
    far: usize,
}

impl Errors {
    fn is_as_good_as(self, other: Self) -> bool {
        self.step <= NOT_WORSE * other.step && self.day <= NOT_WORSE * other.day && self.far <= other.far
    }

    /// Of both kinds, each relative to `other`'s.
    fn sum(self, other: Self) -> f64 {
        self.step / other.step.max(f64::MIN_POSITIVE) + self.day / other.day.max(f64::MIN_POSITIVE)
    }

    /// What another's sum has to be less than.
    fn limit(self) -> f64 {
        BETTER * self.sum(self)
    }
}

/// Finite rows in order of time, one for each instant.
fn sorted(rows: &[(Timestamp, f64)]) -> Vec<(Timestamp, f64)> {
    let mut rows: Vec<(Timestamp, f64)> = rows.iter().copied().filter(|row| row.1.is_finite()).collect();
    rows.sort_by_key(|row| row.0);
    rows.dedup_by_key(|row| row.0);
    rows
}

/// Index of the first row that profiles are tried on.
fn first_tried(rows: &[(Timestamp, f64)]) -> usize {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return 0;
    };
    let span = TRIED_MS.min(last.0.millis_since(first.0) / TRIED_PART);
    rows.partition_point(|row| last.0.millis_since(row.0) >= span)
}

/// Median and mean absolute deviation with the outermost tenth cut off.
fn level_and_error(rows: &[(Timestamp, f64)]) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = rows.iter().map(|row| row.1.clamp(-1e290, 1e290)).collect();
    values.sort_by(f64::total_cmp);
    let level = *values.get(values.len() / 2)?;
    let mut deviations: Vec<f64> = values.iter().map(|v| (v - level).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let kept = &deviations[..(deviations.len() * 9).div_ceil(10)];
    let n = kept.len().max(1) as f64;
    // Cutting a tenth of a normal's deviations makes their mean a quarter too small.
    Some((level, 1.28 * kept.iter().map(|d| d / n).sum::<f64>()))
}
