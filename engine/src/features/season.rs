//! Day, week and month profiles of one series, in its local time.

use super::month::Month;
use super::mstl::Estimate;
use super::reseed::Suspicion;
use super::zone::Moment;

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// The Unix epoch was a Thursday; the week starts where it does, which is as good as any other day.
pub(crate) const WEEK_MS: i64 = 7 * DAY_MS;
/// Bins of a day profile at most: five minutes each.
pub(crate) const DAY_BINS_MAX: i64 = 288;
pub(crate) const WEEK_BINS: usize = 168;
/// Days that a bin remembers: a new day has at least this weight.
pub(crate) const DAYS_REMEMBERED: f32 = 8.0;
pub(crate) const WEEKS_REMEMBERED: f32 = 4.0;
/// Deviations from an ordinary hour are bounded, in units.
pub(crate) const HOUR_CLIP: f64 = 16.0;
/// A profile may be asked for once it has seen one whole period.
pub(crate) const WEEK_READY_MS: i64 = WEEK_MS + DAY_MS;

/// Profiles in units of the series' own scale, so that single precision is enough whatever the metric's unit.
#[derive(Clone, Debug)]
pub(super) struct Season {
    pub(super) unit: f64,
    pub(super) first_at: i64,
    pub(super) day: Vec<Bin>,
    pub(super) week: Vec<Bin>,
    pub(super) month: Month,
    /// Deviations of the present hour from level and profiles, in units, and how many they are.
    pub(super) hour_sum: f64,
    pub(super) hour_samples: u32,
    /// Long-term level when the local day began.
    pub(super) base: f64,
    /// From how many series the day profile is borrowed, until the series has seen a day of its own.
    pub(super) borrowed: Option<u16>,
    /// What was known before the samples left the long-term level, while they are away from it.
    pub(super) suspicion: Option<Box<Suspicion>>,
}

/// Every series has some hundreds of these: without the two bytes that would align the next one.
#[derive(Clone, Copy, Debug, Default)]
#[repr(Rust, packed(2))]
pub(super) struct Bin {
    pub(super) value: f32,
    pub(super) count: u16,
}

/// Which profiles a prediction adds to the level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeasonAt {
    /// Day profile, `None` until one day has been seen.
    pub(super) day: Option<f64>,
    /// Day and week profile together.
    pub(super) week: Option<f64>,
    /// What a special day of the month adds to either, and to none.
    pub(super) month: f64,
}

impl Season {
    /// Profiles for samples every `step_ms`, or `None` where a day holds too few to have a shape.
    pub(super) fn new(moment: Moment, step_ms: i64, unit: f64, level: f64) -> Option<Self> {
        let bins = day_bins(step_ms)?;
        let mut month = Month::default();
        month.begin_hour(moment.local, None);
        (unit > 0.0).then(|| Self {
            unit,
            first_at: moment.at,
            day: vec![Bin::default(); bins],
            week: Vec::new(),
            month,
            hour_sum: 0.0,
            hour_samples: 0,
            base: level,
            borrowed: None,
            suspicion: None,
        })
    }

    /// A copy without what is suspected.
    pub(super) fn without_suspicion(&self) -> Self {
        Self {
            day: self.day.clone(),
            week: self.week.clone(),
            month: self.month.clone(),
            suspicion: None,
            ..*self
        }
    }

    /// Takes profiles over from an estimate; what they remember is as if they had been learnt day by day until `moment`.
    pub(super) fn fill(&mut self, estimate: &Estimate, step_ms: i64, moment: Moment) {
        let days = i64::try_from(estimate.days).unwrap_or(1);
        self.first_at = moment.at.saturating_sub(days * DAY_MS);
        let (unit, bin_days) = (self.unit, estimate.days as f32);
        let bin = |deviation: &f64, limit: u16, times: f32| Bin {
            value: (deviation / unit).clamp(-1e12, 1e12) as f32,
            count: limit.min((limit as f32 * times).max(1.0) as u16),
        };
        let limit = day_limit(step_ms, self.day.len());
        self.day = estimate
            .day
            .iter()
            .map(|deviation| bin(deviation, limit, bin_days / DAYS_REMEMBERED))
            .collect();
        if let Some(week) = &estimate.week {
            let weeks = bin_days / 7.0 / WEEKS_REMEMBERED;
            let limit = week_limit(step_ms);
            self.week = week.iter().map(|deviation| bin(deviation, limit, weeks)).collect();
        }
    }

    /// Takes over what another season of the series knows about months, and about weeks if this one knows nothing of them.
    pub(super) fn keep_rest(&mut self, other: &Self) {
        let ratio = other.unit / self.unit;
        self.month = other.month.rescaled(ratio);
        self.hour_sum = other.hour_sum * ratio;
        self.hour_samples = other.hour_samples;
        self.base = other.base;
        self.first_at = self.first_at.min(other.first_at);
        if self.week.is_empty() {
            self.week.clone_from(&other.week);
            for bin in &mut self.week {
                bin.value = (f64::from(bin.value) * ratio).clamp(-1e12, 1e12) as f32;
            }
        }
    }

    /// Whether the series has seen a day of its own. A borrowed profile counts as a day.
    pub(super) fn is_grown(&self, moment: Moment) -> bool {
        moment.at.saturating_sub(self.first_at) >= 2 * DAY_MS
    }

    /// Begins day and week anew.
    pub(super) fn forget_profiles(&mut self, moment: Moment) {
        self.first_at = moment.at;
        self.day.fill(Bin::default());
        self.week.clear();
        self.borrowed = None;
        self.suspicion = None;
    }

    /// Begins the hour of `moment` if it is another one. `slow`: the long-term level.
    #[inline]
    pub(super) fn begin_hour(&mut self, moment: Moment, slow: f64) {
        if self.month.is_over(moment.local) {
            let mean = (self.hour_samples > 0).then(|| self.hour_sum / f64::from(self.hour_samples));
            if self.month.begin_hour(moment.local, mean) {
                self.base = slow;
            }
            self.hour_sum = 0.0;
            self.hour_samples = 0;
        }
    }

    /// Takes a value, its day and week profile removed, into the present hour.
    pub(super) fn learn_hour(&mut self, value: f64) {
        self.hour_sum += ((value - self.base) / self.unit).clamp(-HOUR_CLIP, HOUR_CLIP);
        self.hour_samples += 1;
    }

    /// The profiles at a moment.
    pub(super) fn at(&self, moment: Moment) -> SeasonAt {
        let month = self.month.at(moment.local) * self.unit;
        let Moment { at, local } = moment;
        if at.saturating_sub(self.first_at) < DAY_MS {
            return SeasonAt {
                month,
                ..SeasonAt::default()
            };
        }
        let day = self.day_at(local);
        let week = (!self.week.is_empty() && at.saturating_sub(self.first_at) >= WEEK_READY_MS)
            .then(|| (day + f64::from(self.week[week_bin(local)].value)) * self.unit);
        SeasonAt {
            day: Some(day * self.unit),
            week,
            month,
        }
    }

    /// Learns `deviation` from the series' slow level, at most `clip` away from what the profile says now.
    pub(super) fn learn(&mut self, moment: Moment, step_ms: i64, deviation: f64, clip: f64) {
        let x = deviation / self.unit;
        let clip = clip / self.unit;
        let Moment { at, local } = moment;
        let i = self.day_bin(local);
        let limit = day_limit(step_ms, self.day.len());
        self.day[i].learn(x, clip, limit);

        let age = at.saturating_sub(self.first_at);
        if age >= DAY_MS {
            if self.week.is_empty() {
                self.week = vec![Bin::default(); WEEK_BINS];
            }
            let rest = x - self.day_at(local);
            self.week[week_bin(local)].learn(rest, clip, week_limit(step_ms));
        }
    }

    /// The day profile at a local time, in units.
    fn day_at(&self, local: i64) -> f64 {
        self.day_bin_value(self.day_bin(local))
    }

    /// What bin `i` of the day profile says, in units.
    pub(super) fn day_bin_value(&self, i: usize) -> f64 {
        let n = self.day.len();
        let here = self.day[i];
        // With few days a bin is one noisy sample: its neighbours know better.
        if here.count >= 3 {
            return f64::from(here.value);
        }
        let (mut sum, mut weight) = (0.0, 0.0);
        for (j, w) in [((i + n - 1) % n, 1.0), (i, 2.0), ((i + 1) % n, 1.0)] {
            if self.day[j].count > 0 {
                sum += w * f64::from(self.day[j].value);
                weight += w;
            }
        }
        if weight > 0.0 { sum / weight } else { 0.0 }
    }

    fn day_bin(&self, local: i64) -> usize {
        day_bin(local, self.day.len())
    }
}

impl Bin {
    fn learn(&mut self, x: f64, clip: f64, limit: u16) {
        let now = f64::from(self.value);
        let step = if self.count == 0 {
            x
        } else {
            (x - now).clamp(-clip, clip)
        };
        self.count = self.count.saturating_add(1).min(limit.max(2));
        // The profile is bounded: a unit fixed too small must not overflow single precision.
        self.value = (now + step / f64::from(self.count)).clamp(-1e12, 1e12) as f32;
    }
}

/// Samples that a bin of the day profile remembers.
fn day_limit(step_ms: i64, bins: usize) -> u16 {
    let per_bin = (DAY_MS as f32 / bins as f32 / step_ms.max(1) as f32).max(1.0);
    (DAYS_REMEMBERED * per_bin).min(60_000.0) as u16
}

/// Samples that an hour of the week profile remembers.
fn week_limit(step_ms: i64) -> u16 {
    let per_hour = (HOUR_MS as f32 / step_ms.max(1) as f32).max(1.0);
    (WEEKS_REMEMBERED * per_hour).min(60_000.0) as u16
}

/// Bins of the day profile of a series with this interval; `None` where a day holds too few samples to have a shape.
pub(crate) fn day_bins(step_ms: i64) -> Option<usize> {
    let bins = (DAY_MS / step_ms.max(1)).min(DAY_BINS_MAX);
    (bins >= 8).then(|| usize::try_from(bins).expect("8 to 288"))
}

pub(crate) fn day_bin(local: i64, bins: usize) -> usize {
    let of_day = local.rem_euclid(DAY_MS) * bins as i64 / DAY_MS;
    usize::try_from(of_day).expect("remainder is not negative")
}

pub(crate) fn week_bin(local: i64) -> usize {
    usize::try_from(local.rem_euclid(WEEK_MS) / HOUR_MS).expect("remainder is not negative")
}
