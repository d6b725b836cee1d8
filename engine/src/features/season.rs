//! Day and week profiles of one series.

use wire::Timestamp;

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
/// A profile may be asked for once it has seen one whole period.
pub(crate) const WEEK_READY_MS: i64 = WEEK_MS + DAY_MS;

/// Profiles in units of the series' own scale, so that single precision is enough whatever the metric's unit.
#[derive(Clone, Debug)]
pub(super) struct Season {
    pub(super) unit: f64,
    pub(super) first_at: i64,
    pub(super) day: Vec<Bin>,
    pub(super) week: Vec<Bin>,
}

#[derive(Clone, Copy, Debug, Default)]
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
}

impl Season {
    /// Profiles for samples every `step_ms`, or `None` where a day holds too few to have a shape.
    pub(super) fn new(first_at: Timestamp, step_ms: i64, unit: f64) -> Option<Self> {
        let bins = (DAY_MS / step_ms.max(1)).min(DAY_BINS_MAX);
        (bins >= 8 && unit > 0.0).then(|| Self {
            unit,
            first_at: first_at.as_millis(),
            day: vec![Bin::default(); usize::try_from(bins).expect("8 to 288")],
            week: Vec::new(),
        })
    }

    /// The profiles at an instant.
    pub(super) fn at(&self, at: i64) -> SeasonAt {
        if at - self.first_at < DAY_MS {
            return SeasonAt::default();
        }
        let day = self.day_at(at);
        let week = (!self.week.is_empty() && at - self.first_at >= WEEK_READY_MS)
            .then(|| (day + f64::from(self.week[week_bin(at)].value)) * self.unit);
        SeasonAt {
            day: Some(day * self.unit),
            week,
        }
    }

    /// Learns `deviation` from the series' slow level, at most `clip` away from what the profile says now.
    pub(super) fn learn(&mut self, at: i64, step_ms: i64, deviation: f64, clip: f64) {
        let x = deviation / self.unit;
        let clip = clip / self.unit;
        let i = self.day_bin(at);
        let per_bin = (DAY_MS as f32 / self.day.len() as f32 / step_ms.max(1) as f32).max(1.0);
        let limit = (DAYS_REMEMBERED * per_bin).min(60_000.0) as u16;
        self.day[i].learn(x, clip, limit);

        let age = at - self.first_at;
        if age >= DAY_MS {
            if self.week.is_empty() {
                self.week = vec![Bin::default(); WEEK_BINS];
            }
            let rest = x - self.day_at(at);
            let per_hour = (HOUR_MS as f32 / step_ms.max(1) as f32).max(1.0);
            let limit = (WEEKS_REMEMBERED * per_hour).min(60_000.0) as u16;
            self.week[week_bin(at)].learn(rest, clip, limit);
        }
    }

    /// The day profile at an instant, in units.
    fn day_at(&self, at: i64) -> f64 {
        let n = self.day.len();
        let i = self.day_bin(at);
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

    fn day_bin(&self, at: i64) -> usize {
        let n = self.day.len() as i64;
        usize::try_from(at.rem_euclid(DAY_MS) * n / DAY_MS).expect("remainder is not negative")
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

pub(crate) fn week_bin(at: i64) -> usize {
    usize::try_from(at.rem_euclid(WEEK_MS) / HOUR_MS).expect("remainder is not negative")
}
