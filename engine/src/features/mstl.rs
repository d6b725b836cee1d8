//! Day and week seasons of a history at once, by MSTL.
//!
//! MSTL (Bandara, Hyndman, Bergmeir, arXiv 2107.13462) takes one season after the other out of a series by STL (Cleveland et
//! al., 1990), here robust and with seasons that may change slowly. It wants a regular series: history is averaged on the grid
//! of the day profile, and a gap is filled with what the same time of the week or day before or after held; the bins that were filled
//! are counted, and too many of them are no history. At most [`MAX_POINTS`] bins, whatever the history: two weeks of five
//! minutes take about 4 ms. Shape: rows in order of local time in, one profile out; no NaN may enter.

use super::baseline::TO_SIGMA;
use super::season::{DAY_MS, WEEK_BINS, WEEK_MS, day_bin, week_bin};
use stlrs::{Mstl, Stl};

/// Bins of a history at most, the newest: two weeks of five minutes.
const MAX_POINTS: usize = 4032;
/// At most this part of the bins may be filled in.
const MOST_FILLED: f64 = 0.3;
/// Periods that a season remembers, an odd number: with so few of them it is nearly the same in each.
const SEASONAL_LENGTH: usize = 35;
const DAYS: usize = 7;
/// Standard deviations from the usual value of its time of day that a value of a history counts at most.
const WILD: f64 = 4.0;
/// Standard deviations of a bin's average that make an edge.
const EDGE: f64 = 2.5;

/// What a history says of the profiles of its series, in the metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Estimate {
    /// Deviation from the level by bin of the day; the mean is 0.
    pub(super) day: Vec<f64>,
    /// What hours of the week add to it; from two weeks on.
    pub(super) week: Option<Vec<f64>>,
    /// Long-term level at the beginning of the last day, and mean absolute deviation from everything.
    pub(super) level: f64,
    pub(super) error: f64,
    /// Whole days it was made of.
    pub(super) days: usize,
}

/// A history without gaps, one number for each bin.
#[derive(Clone, Debug, PartialEq)]
struct Grid {
    values: Vec<f64>,
    /// Bin of the day of the first value.
    phase: usize,
    /// Hours of the week by value.
    hours: Vec<usize>,
}

/// Profiles with `bins` a day from `rows` of local time in milliseconds and finite values, in order of time. `None` where there
/// are fewer than two days, too many gaps, or nothing that varies.
pub(super) fn estimate(rows: &[(i64, f64)], bins: usize) -> Option<Estimate> {
    let mut grid = Grid::of(rows, bins)?;
    grid.tame(bins);
    let (middle, size) = center_and_size(&grid.values)?;
    let normal: Vec<f64> = grid.values.iter().map(|value| (value - middle) / size).collect();
    let parts = decompose(&normal, bins)?;
    let n = normal.len();
    let with_week = parts.week.is_some();
    // The newest whole periods: what is usual now.
    let last = n - if with_week { DAYS * bins } else { bins };
    let mut day = vec![0.0; bins];
    let of_bin = |i: usize| (grid.phase + i) % bins;
    let total = |i: usize| parts.day[i] + parts.week.as_ref().map_or(0.0, |week| week[i]);
    for i in last..n {
        day[of_bin(i)] += total(i) * bins as f64 / (n - last) as f64;
    }
    let mean = day.iter().sum::<f64>() / bins as f64;
    day.iter_mut().for_each(|deviation| *deviation -= mean);
    let week = with_week.then(|| {
        let (mut sums, mut counts) = (vec![0.0; WEEK_BINS], vec![0.0_f64; WEEK_BINS]);
        for i in last..n {
            sums[grid.hours[i]] += total(i) - mean - day[of_bin(i)];
            counts[grid.hours[i]] += 1.0;
        }
        sums.iter()
            .zip(counts)
            .map(|(sum, count)| sum / count.max(1.0) * size)
            .collect()
    });
    let error = parts.remainder.iter().map(|rest| rest.abs()).sum::<f64>() / n as f64;
    let estimate = Estimate {
        day: day.iter().map(|deviation| deviation * size).collect(),
        week,
        level: middle + (parts.trend[n - bins] + mean) * size,
        error: error * size,
        days: n / bins,
    };
    let finite = estimate.level.is_finite() && estimate.error.is_finite() && estimate.day.iter().all(|x| x.is_finite());
    finite.then_some(estimate)
}

impl Estimate {
    /// The same with a day whose neighbouring bins are alike. `reach` bins to either side count, less and less; a bin that
    /// differs from them by more than noise is left as it is: work at fixed minutes has edges.
    pub(super) fn smoothed(&self, reach: usize) -> Self {
        let n = self.day.len();
        let total: f64 = (reach as f64 + 1.0).powi(2);
        let edge = EDGE * TO_SIGMA * self.error / (self.days.max(1) as f64).sqrt();
        let smooth = |i: usize| {
            let near = (0..=2 * reach).map(|k| {
                let weight = (reach + 1 - reach.abs_diff(k)) as f64;
                weight * self.day[(i + n + k - reach) % n]
            });
            let smoothed = near.sum::<f64>() / total;
            if (smoothed - self.day[i]).abs() > edge {
                self.day[i]
            } else {
                smoothed
            }
        };
        Self {
            day: (0..n).map(smooth).collect(),
            ..self.clone()
        }
    }
}

/// Parts of a series, each as long as it.
struct Parts {
    day: Vec<f64>,
    week: Option<Vec<f64>>,
    trend: Vec<f64>,
    remainder: Vec<f64>,
}

/// Robust MSTL of a regular series with `bins` values a day.
fn decompose(values: &[f64], bins: usize) -> Option<Parts> {
    let mut periods = vec![bins];
    if values.len() >= 2 * DAYS * bins {
        periods.push(DAYS * bins);
    }
    let mut stl = Stl::params();
    stl.robust(true)
        .inner_loops(1)
        .outer_loops(1)
        .seasonal_degree(0)
        .seasonal_jump(1);
    let fitted = Mstl::params()
        .iterations(1)
        .seasonal_lengths(&vec![SEASONAL_LENGTH; periods.len()])
        .stl_params(stl)
        .fit(values, &periods)
        .ok()?;
    let mut seasons = fitted.seasonal().iter().map(|season| season.to_vec());
    Some(Parts {
        day: seasons.next()?,
        week: seasons.next(),
        trend: fitted.trend().to_vec(),
        remainder: fitted.remainder().to_vec(),
    })
}

impl Grid {
    fn of(rows: &[(i64, f64)], bins: usize) -> Option<Self> {
        let bins_i64 = i64::try_from(bins).ok()?;
        let bin_of = |local: i64| {
            let day = local.div_euclid(DAY_MS).checked_mul(bins_i64)?;
            day.checked_add(i64::try_from(day_bin(local, bins)).ok()?)
        };
        let newest = bin_of(rows.last()?.0)?;
        let oldest = bin_of(rows.first()?.0)?.max(newest.saturating_sub(MAX_POINTS as i64 - 1));
        let n = usize::try_from(newest.checked_sub(oldest)? + 1).ok()?;
        if n < 2 * bins {
            return None;
        }
        let (mut sums, mut counts) = (vec![0.0; n], vec![0.0_f64; n]);
        for &(local, value) in rows {
            // Where the clocks were put back, an hour counts twice.
            if let Some(i) = bin_of(local).and_then(|bin| usize::try_from(bin - oldest).ok())
                && i < n
            {
                sums[i] += value;
                counts[i] += 1.0;
            }
        }
        let known = |i: usize| counts.get(i).is_some_and(|count| *count > 0.0);
        let filled = (0..n).filter(|i| !known(*i)).count();
        if filled as f64 > MOST_FILLED * n as f64 {
            return None;
        }
        let mut values: Vec<f64> = sums
            .iter()
            .zip(&counts)
            .map(|(sum, count)| sum / count.max(1.0))
            .collect();
        let mut last = (0..n).find(|i| known(*i)).map(|i| values[i])?;
        for i in 0..n {
            if known(i) {
                last = values[i];
                continue;
            }
            // The same time a week or a day before or after, or else what was last there.
            let near = [DAYS * bins, bins]
                .into_iter()
                .flat_map(|apart| [i.checked_sub(apart), Some(i + apart)]);
            values[i] = near
                .flatten()
                .find(|near| known(*near))
                .map_or(last, |near| values[near]);
        }
        let step = DAY_MS / bins_i64;
        let hours = (0..n).map(|i| {
            let since = (oldest.rem_euclid(bins_i64 * DAYS as i64) + i as i64) * step;
            // Weeks begin with the epoch, as the online profile's do.
            week_bin(since.rem_euclid(WEEK_MS))
        });
        Some(Self {
            phase: usize::try_from(oldest.rem_euclid(bins_i64)).ok()?,
            hours: hours.collect(),
            values,
        })
    }
}

impl Grid {
    /// Brings values that no other day comes near to what is usual at their time. Of three weeks that disagree the robust fit
    /// would believe none, and follow each.
    fn tame(&mut self, bins: usize) {
        let mut usual = Vec::with_capacity(bins);
        for phase in 0..bins {
            let mut same: Vec<f64> = self.values.iter().skip(phase).step_by(bins).copied().collect();
            same.sort_by(f64::total_cmp);
            usual.push(same[same.len() / 2]);
        }
        let mut apart: Vec<f64> = self
            .values
            .iter()
            .enumerate()
            .map(|(i, value)| (value - usual[i % bins]).abs())
            .collect();
        apart.sort_by(f64::total_cmp);
        // Nine in ten are usual; a normal's ninth decile is 1.64 standard deviations.
        let reach = WILD / 1.64 * apart[apart.len() * 9 / 10];
        if reach > 0.0 {
            for (i, value) in self.values.iter_mut().enumerate() {
                *value = value.clamp(usual[i % bins] - reach, usual[i % bins] + reach);
            }
        }
    }
}

/// Median and mean absolute deviation; `None` where nothing varies.
fn center_and_size(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = *sorted.get(sorted.len() / 2)?;
    let n = values.len() as f64;
    let size = values.iter().map(|value| (value - middle).abs() / n).sum::<f64>();
    (size > 1e-290 && size.is_finite()).then_some((middle, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BINS: usize = 24;

    fn hourly(values: impl IntoIterator<Item = f64>) -> Vec<(i64, f64)> {
        let hour = |(i, value): (usize, f64)| (i as i64 * 3_600_000, value);
        values.into_iter().enumerate().map(hour).collect()
    }

    fn wave(i: usize) -> f64 {
        10.0 * (i as f64 / BINS as f64 * std::f64::consts::TAU).sin()
    }

    /// Three weeks with a day, a week, growth, noise of size 1 and incidents: `oracle.py` made it, and statsmodels its parts.
    /// Ours skips points of trend and low-pass filter and interpolates between them: a tenth of the noise is what that may cost.
    #[test]
    fn agrees_with_statsmodels() {
        let oracle: Vec<Vec<f64>> = include_str!("mstl/oracle.csv")
            .lines()
            .skip(1)
            .map(|line| line.split(',').map(|x| x.parse().unwrap()).collect())
            .collect();
        let values: Vec<f64> = oracle.iter().map(|row| row[0]).collect();
        let parts = decompose(&values, BINS).unwrap();
        let week = parts.week.unwrap();
        for (column, (part, tolerance)) in [(&parts.day, 0.1), (&week, 0.1), (&parts.trend, 0.1)]
            .into_iter()
            .enumerate()
        {
            let apart = part
                .iter()
                .zip(&oracle)
                .map(|(ours, row)| (ours - row[column + 1]).abs());
            let greatest = apart.fold(0.0, f64::max);
            assert!(greatest <= tolerance, "part {column}: {greatest}");
        }
    }

    #[test]
    fn profiles_are_found_through_gaps_growth_and_incidents() {
        let noise = |i: usize| (i * 7919 % 1009) as f64 / 504.5 - 1.0;
        let truth =
            |i: usize| 50.0 + 0.01 * i as f64 + wave(i) + noise(i) - if (i / BINS) % 7 >= 5 { 4.0 } else { 0.0 };
        let rows: Vec<(i64, f64)> = hourly((0..21 * BINS).map(truth))
            .into_iter()
            .enumerate()
            .filter(|(i, _)| !(100..130).contains(i) && i % 17 != 3)
            .map(|(i, row)| if i == 300 { (row.0, 1e6) } else { row })
            .collect();
        let found = estimate(&rows, BINS).unwrap();
        let week = found.week.as_ref().unwrap();
        for (i, hour) in week.iter().enumerate() {
            // What each of the two profiles is called is a matter of taste; together they are what differs from the level.
            let ours = found.day[i % BINS] + hour;
            let weekend = if (i / BINS) % 7 >= 5 { 4.0 } else { 0.0 };
            let expected = wave(i) - weekend + 4.0 * 2.0 / 7.0;
            assert!((ours - expected).abs() < 2.0, "{i}: {ours} {expected}");
        }
        assert!((found.level - 53.7).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn smoothing_takes_noise_and_leaves_edges() {
        let day: Vec<f64> = (0..BINS)
            .map(|i| if (8..12).contains(&i) { 30.0 } else { (i % 2) as f64 })
            .collect();
        let rough = Estimate {
            day,
            week: None,
            level: 0.0,
            error: 2.0,
            days: 4,
        };
        let smooth = rough.smoothed(1);
        assert!(
            (0..BINS)
                .filter(|i| *i < 7 || *i > 12)
                .all(|i| (smooth.day[i] - 0.5).abs() < 1e-9)
        );
        assert!(
            (7..13).all(|i| (smooth.day[i] - rough.day[i]).abs() < 0.6),
            "{smooth:?}"
        );
    }

    #[test]
    fn too_little_is_no_history() {
        let days = |n: usize| hourly((0..n).map(wave));
        assert!(estimate(&[], BINS).is_none());
        assert!(estimate(&days(2 * BINS - 1), BINS).is_none());
        assert!(estimate(&days(2 * BINS), BINS).is_some_and(|found| found.week.is_none()));
        assert!(estimate(&hourly(vec![5.0; 300]), BINS).is_none(), "nothing varies");
        let sparse: Vec<(i64, f64)> = days(200).into_iter().step_by(2).collect();
        assert!(estimate(&sparse, BINS).is_none(), "every other bin is empty");
        let far = [(i64::MIN, 1.0), (i64::MAX, 2.0)];
        assert!(estimate(&far, BINS).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn estimates_are_finite_and_move_with_their_series(
            noise in prop::collection::vec(-3.0..3.0_f64, 4 * BINS), wild in prop::num::f64::NORMAL, scale in 1e-3..1e3_f64, shift in -1e3..1e3_f64,
        ) {
            let plain: Vec<f64> = noise.iter().enumerate().map(|(i, noise)| wave(i) + noise).collect();
            let found = estimate(&hourly(plain.iter().copied()), BINS).unwrap();
            let moved = estimate(&hourly(plain.iter().map(|v| v * scale + shift)), BINS).unwrap();
            for (a, b) in found.day.iter().zip(&moved.day) {
                prop_assert!((a * scale - b).abs() < 1e-6 * scale.max(1.0), "{} {}", a, b);
            }
            prop_assert!((found.error * scale - moved.error).abs() < 1e-6 * scale.max(1.0));
            let mut spoilt = plain;
            spoilt[40] = wild.clamp(-1e290, 1e290);
            if let Some(found) = estimate(&hourly(spoilt), BINS) {
                prop_assert!(found.day.iter().all(|x| x.is_finite()) && found.level.is_finite() && found.error.is_finite());
            }
        }
    }
}
