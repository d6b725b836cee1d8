//! Seasons of many series, bin by bin: all series have the same instant and zone, so they are in the same bin.
//!
//! What happens once an hour (special days of the month) or once in a long while (a shift that is believed) is decided on the
//! CPU, by the same code that a single series uses.

use super::columns::{clamp, column, pick, singles};
use crate::features::baseline::{ProfileColumns, SEASON_AT, SeasonColumns};
use crate::features::month::Month;
use crate::features::reseed::{Regime, Sums};
use crate::features::season::{
    DAY_MS, DAYS_REMEMBERED, HOUR_CLIP, HOUR_MS, WEEK_READY_MS, WEEKS_REMEMBERED, day_bin, week_bin,
};
use crate::features::zone::{LocalClock, Moment};
use candle_core::{DType, Device, Result, Tensor};
use wire::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Seasons {
    n: usize,
    device: Device,
    clock: LocalClock,
    live: Profiles,
    months: Vec<Month>,
    /// What a special day adds in the present hour, in units.
    special: Tensor,
    hour_sum: Tensor,
    hour_samples: Tensor,
    /// Long-term level when the local day began.
    base: Tensor,
    newest: i64,
    /// What was put aside where a shift is suspected.
    kept: Profiles,
    pub(super) suspicion: Suspicions,
}

/// The series whose samples have left their long-term level.
#[derive(Clone, Debug)]
pub(super) struct Suspicions {
    /// 1 where one is.
    pub(super) on: Tensor,
    pub(super) slow: Tensor,
    pub(super) slow_error: Tensor,
    pub(super) chosen: Tensor,
    /// In the order of the fields of [`Sums`].
    sums: [Tensor; 6],
}

#[derive(Clone, Debug)]
struct Profiles {
    /// 0: the series has no profile yet.
    unit: Tensor,
    first_at: Tensor,
    week_begun: Tensor,
    day: Vec<Bin>,
    week: Vec<Bin>,
}

/// One bin of every series; the value in single precision.
#[derive(Clone, Debug)]
struct Bin {
    value: Tensor,
    count: Tensor,
}

/// What profiles say of a moment, each with 1 where it is known; 0 where not.
struct At {
    day: Tensor,
    has_day: Tensor,
    week: Tensor,
    has_week: Tensor,
}

/// What profiles learn of the samples of one instant, `[n]` each.
pub(super) struct Samples<'a> {
    pub(super) step_ms: &'a Tensor,
    pub(super) seen: &'a Tensor,
    /// From the long-term level; how much of it counts; the least scale.
    pub(super) deviation: &'a Tensor,
    pub(super) clip: &'a Tensor,
    pub(super) floor: &'a Tensor,
    /// The long-term levels.
    pub(super) slow: &'a Tensor,
    /// The samples less the day and week profile of the speaker.
    pub(super) values: &'a Tensor,
}

/// New regimes by series; nothing where there is none.
pub(super) struct Regimes {
    pub(super) jump: Tensor,
    pub(super) factor: Tensor,
    pub(super) error: Tensor,
}

impl Seasons {
    pub(super) fn upload(columns: SeasonColumns, device: &Device) -> Result<Self> {
        let n = columns.months.len();
        let suspected = columns.kept.unit.iter().map(|unit| u8::from(*unit > 0.0)).collect();
        let sum = |of: fn(&Sums) -> f64| column(columns.sums.iter().map(of).collect(), device);
        Ok(Self {
            n,
            device: device.clone(),
            clock: columns.clock,
            live: Profiles::upload(columns.live, device)?,
            special: Tensor::zeros(n, DType::F64, device)?,
            hour_sum: column(columns.hour_sum, device)?,
            hour_samples: column(columns.hour_samples, device)?,
            base: column(columns.base, device)?,
            newest: i64::MIN,
            kept: Profiles::upload(columns.kept, device)?,
            suspicion: Suspicions {
                on: Tensor::from_vec(suspected, n, device)?,
                slow: column(columns.kept_slow, device)?,
                slow_error: column(columns.kept_slow_error, device)?,
                chosen: column(columns.kept_chosen, device)?,
                sums: [
                    sum(|sums| sums.n)?,
                    sum(|sums| sums.deviation)?,
                    sum(|sums| sums.season)?,
                    sum(|sums| sums.deviation_square)?,
                    sum(|sums| sums.product)?,
                    sum(|sums| sums.season_square)?,
                ],
            },
            months: columns.months,
        })
    }

    /// Begins the hour of an instant if it is another one. `slow`: the long-term levels.
    pub(super) fn begin(&mut self, at: Timestamp, slow: &Tensor) -> Result<Moment> {
        let moment = self.clock.moment(at.as_millis());
        let first = self.newest == i64::MIN;
        // A late sample is nobody's new hour.
        if moment.at <= self.newest {
            return Ok(moment);
        }
        self.newest = moment.at;
        let over = self.months.iter().any(|month| month.is_over(moment.local));
        if !(first || over) {
            return Ok(moment);
        }
        if over {
            let sums = self.hour_sum.to_vec1::<f64>()?;
            let samples = self.hour_samples.to_vec1::<f64>()?;
            let (mut other_day, mut other_hour) = (vec![0_u8; self.n], vec![0_u8; self.n]);
            for (i, month) in self.months.iter_mut().enumerate() {
                if month.is_over(moment.local) {
                    let mean = (samples[i] > 0.0).then(|| sums[i] / samples[i]);
                    other_day[i] = u8::from(month.begin_hour(moment.local, mean));
                    other_hour[i] = 1;
                }
            }
            let bytes = |bytes: Vec<u8>| Tensor::from_vec(bytes, self.n, &self.device);
            self.base = pick(&bytes(other_day)?, slow, &self.base)?;
            let other_hour = bytes(other_hour)?;
            let none = self.hour_sum.zeros_like()?;
            self.hour_sum = pick(&other_hour, &none, &self.hour_sum)?;
            self.hour_samples = pick(&other_hour, &none, &self.hour_samples)?;
        }
        let special = self.months.iter().map(|month| month.at(moment.local)).collect();
        self.special = column(special, &self.device)?;
        Ok(moment)
    }

    /// What a special day of the month adds now, in the metric's unit.
    pub(super) fn special(&self) -> Result<Tensor> {
        &self.special * &self.live.unit
    }

    /// What each of the six candidates adds to its level, 0 where that is not known, and 1 where it is known; `[6, n]` both.
    pub(super) fn offsets(&self, moment: Moment) -> Result<(Tensor, Tensor)> {
        let special = self.special()?;
        let always = Tensor::ones(self.n, DType::U8, &self.device)?;
        let At {
            day,
            has_day,
            week,
            has_week,
        } = self.live.at(moment, self.n, &self.device)?;
        let none = special.zeros_like()?;
        let day = pick(&has_day, &(day + &special)?, &none)?;
        let week = pick(&has_week, &(week + &special)?, &none)?;
        Ok((
            Tensor::stack(&[&special, &special, &day, &day, &week, &week], 0)?,
            Tensor::stack(&[&always, &always, &has_day, &has_day, &has_week, &has_week], 0)?,
        ))
    }

    /// Learns the samples of the instant where `present` is 1; a series that is old enough begins its profile.
    pub(super) fn learn(&mut self, moment: Moment, present: &Tensor, samples: &Samples<'_>) -> Result<()> {
        let Samples {
            step_ms,
            seen,
            deviation,
            clip,
            floor,
            slow,
            values,
        } = *samples;
        if self.live.day.is_empty() {
            return Ok(());
        }
        let special = self.special()?;
        let live = &mut self.live;
        let now = moment.at as f64;
        let begins = ((live.unit.le(0.0)? * seen.ge(SEASON_AT as f64)?)? * present)?;
        let unit = pick(&clip.gt(0.0)?, clip, floor)?;
        live.unit = pick(&begins, &unit, &live.unit)?;
        live.first_at = pick(&begins, &(live.first_at.zeros_like()? + now)?, &live.first_at)?;
        self.base = pick(&begins, slow, &self.base)?;

        let has_profile = live.unit.gt(0.0)?;
        let learns = (&has_profile * present)?;
        // A series without a profile divides by 1; what comes out is not kept.
        let unit = pick(&has_profile, &live.unit, &live.unit.ones_like()?)?;
        let hourly = clamp(&((values - &self.base)? / &unit)?, -HOUR_CLIP, HOUR_CLIP)?;
        self.hour_sum = pick(&learns, &(&self.hour_sum + hourly)?, &self.hour_sum)?;
        self.hour_samples = pick(&learns, &(&self.hour_samples + 1.0)?, &self.hour_samples)?;

        let x = ((deviation - &special)? / &unit)?;
        let clip = (clip.maximum(floor)? / &unit)?;
        let remembered = |days: f32, span_ms: f64| -> Result<Tensor> {
            // A quotient, not a product with the reciprocal, which may fall short of a whole number.
            let per_bin = ((step_ms.zeros_like()? + span_ms)? / step_ms.maximum(1.0)?)?.maximum(1.0)?;
            (per_bin * f64::from(days))?.minimum(60_000.0)?.floor()?.maximum(2.0)
        };
        let bin = day_bin(moment.local, live.day.len());
        let limit = remembered(DAYS_REMEMBERED, DAY_MS as f64 / live.day.len() as f64)?;
        live.day[bin].learn(&x, &clip, &limit, &learns)?;

        let age = (live.first_at.neg()? + now)?;
        let learns = (learns * age.ge(DAY_MS as f64)?)?;
        live.week_begun = pick(&learns, &live.week_begun.ones_like()?, &live.week_begun)?;
        let rest = (x - live.day_at(moment.local, self.n, &self.device)?)?;
        let limit = remembered(WEEKS_REMEMBERED, HOUR_MS as f64)?;
        live.week[week_bin(moment.local)].learn(&rest, &clip, &limit, &learns)
    }

    /// Whether a series has profiles.
    pub(super) fn begun(&self) -> Result<Tensor> {
        self.live.unit.gt(0.0)
    }

    /// Puts profiles aside where `newly` is 1, and takes `values` in where `observing` is.
    pub(super) fn suspect(
        &mut self,
        moment: Moment,
        newly: &Tensor,
        observing: &Tensor,
        values: &Tensor,
        before: [&Tensor; 3],
    ) -> Result<()> {
        let [slow, slow_error, chosen] = before;
        self.kept.take_over(&self.live, newly)?;
        let suspicion = &mut self.suspicion;
        suspicion.slow = pick(newly, slow, &suspicion.slow)?;
        suspicion.slow_error = pick(newly, slow_error, &suspicion.slow_error)?;
        suspicion.chosen = pick(newly, chosen, &suspicion.chosen)?;
        let at = self.kept.at(moment, self.n, &self.device)?;
        let season = pick(&at.has_week, &at.week, &at.day)?;
        let deviation = (values - &suspicion.slow)?;
        let more = [
            season.ones_like()?,
            deviation.clone(),
            season.clone(),
            deviation.sqr()?,
            (&deviation * &season)?,
            season.sqr()?,
        ];
        for (sum, more) in suspicion.sums.iter_mut().zip(more) {
            let begun = pick(newly, &sum.zeros_like()?, sum)?;
            *sum = pick(observing, &(&begun + more)?, &begun)?;
        }
        suspicion.on = pick(newly, &suspicion.on.ones_like()?, &suspicion.on)?;
        Ok(())
    }

    /// Ends the suspicion of the series where `confirmed` is 1: their profiles come back, scaled.
    pub(super) fn resolve(&mut self, confirmed: &Tensor) -> Result<Regimes> {
        let which = confirmed.to_vec1::<u8>()?;
        let mut sums = Vec::with_capacity(6);
        for sum in &self.suspicion.sums {
            sums.push(sum.to_vec1::<f64>()?);
        }
        let regimes: Vec<Regime> = (0..self.n)
            .map(|i| {
                let sums = Sums {
                    n: sums[0][i],
                    deviation: sums[1][i],
                    season: sums[2][i],
                    deviation_square: sums[3][i],
                    product: sums[4][i],
                    season_square: sums[5][i],
                };
                if which[i] == 1 { sums.regime() } else { Regime::NONE }
            })
            .collect();
        let of = |of: fn(&Regime) -> f64| column(regimes.iter().map(of).collect(), &self.device);
        let regimes = Regimes {
            jump: of(|regime| regime.jump)?,
            factor: of(|regime| regime.factor)?,
            error: of(|regime| regime.error)?,
        };
        let first_at = self.live.first_at.clone();
        self.live.take_over(&self.kept, confirmed)?;
        self.live.first_at = first_at;
        self.live.unit = pick(confirmed, &(&self.kept.unit * &regimes.factor)?, &self.live.unit)?;
        Ok(regimes)
    }
}

impl Profiles {
    fn upload(columns: ProfileColumns, device: &Device) -> Result<Self> {
        let bins = |bins: Vec<(Vec<f32>, Vec<f64>)>| -> Result<Vec<Bin>> {
            let upload = |(value, count)| {
                Ok(Bin {
                    value: singles(value, device)?,
                    count: column(count, device)?,
                })
            };
            bins.into_iter().map(upload).collect()
        };
        Ok(Self {
            unit: column(columns.unit, device)?,
            first_at: column(columns.first_at, device)?,
            week_begun: column(columns.week_begun, device)?,
            day: bins(columns.day)?,
            week: bins(columns.week)?,
        })
    }

    fn at(&self, moment: Moment, n: usize, device: &Device) -> Result<At> {
        let none = Tensor::zeros(n, DType::F64, device)?;
        if self.day.is_empty() {
            let never = Tensor::zeros(n, DType::U8, device)?;
            return Ok(At {
                day: none.clone(),
                has_day: never.clone(),
                week: none,
                has_week: never,
            });
        }
        let age = (self.first_at.neg()? + moment.at as f64)?;
        let has_day = (self.unit.gt(0.0)? * age.ge(DAY_MS as f64)?)?;
        let has_week = ((&has_day * self.week_begun.gt(0.0)?)? * age.ge(WEEK_READY_MS as f64)?)?;
        let day = self.day_at(moment.local, n, device)?;
        let hour = self.week[week_bin(moment.local)].value.to_dtype(DType::F64)?;
        Ok(At {
            week: pick(&has_week, &((&day + hour)? * &self.unit)?, &none)?,
            day: pick(&has_day, &(day * &self.unit)?, &none)?,
            has_day,
            has_week,
        })
    }

    /// The day profiles at a local time, in units. A bin of few samples asks its neighbours.
    fn day_at(&self, local: i64, series: usize, device: &Device) -> Result<Tensor> {
        let n = self.day.len();
        let i = day_bin(local, n);
        let mut sum = Tensor::zeros(series, DType::F64, device)?;
        let mut weight = sum.clone();
        for (j, w) in [((i + n - 1) % n, 1.0), (i, 2.0), ((i + 1) % n, 1.0)] {
            let bin = &self.day[j];
            let counts = (bin.count.gt(0.0)?.to_dtype(DType::F64)? * w)?;
            sum = (sum + (&counts * bin.value.to_dtype(DType::F64)?)?)?;
            weight = (weight + counts)?;
        }
        let here = &self.day[i];
        let smoothed = (sum / weight.maximum(1.0)?)?;
        pick(&here.count.ge(3.0)?, &here.value.to_dtype(DType::F64)?, &smoothed)
    }

    /// Takes over another's profiles where `which` is 1.
    fn take_over(&mut self, other: &Self, which: &Tensor) -> Result<()> {
        self.unit = pick(which, &other.unit, &self.unit)?;
        self.first_at = pick(which, &other.first_at, &self.first_at)?;
        self.week_begun = pick(which, &other.week_begun, &self.week_begun)?;
        let bins = self.day.iter_mut().chain(&mut self.week);
        for (own, other) in bins.zip(other.day.iter().chain(&other.week)) {
            own.value = pick(which, &other.value, &own.value)?;
            own.count = pick(which, &other.count, &own.count)?;
        }
        Ok(())
    }
}

impl Bin {
    fn learn(&mut self, x: &Tensor, clip: &Tensor, limit: &Tensor, learns: &Tensor) -> Result<()> {
        let now = self.value.to_dtype(DType::F64)?;
        let step = (x - &now)?.maximum(&clip.neg()?)?.minimum(clip)?;
        let step = pick(&self.count.le(0.0)?, x, &step)?;
        let count = (&self.count + 1.0)?.minimum(limit)?;
        let value = clamp(&(now + (step / &count)?)?, -1e12, 1e12)?.to_dtype(DType::F32)?;
        self.value = pick(learns, &value, &self.value)?;
        self.count = pick(learns, &count, &self.count)?;
        Ok(())
    }
}
