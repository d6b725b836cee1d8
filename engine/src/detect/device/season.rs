//! Day and week profiles of many series, bin by bin: all series have the same instant, so they are in the same bin.

use super::columns::{clamp, column, pick, singles};
use crate::features::baseline::SeasonColumns;
use crate::features::season::{DAY_MS, DAYS_REMEMBERED, HOUR_MS, WEEK_READY_MS, WEEKS_REMEMBERED, week_bin};
use candle_core::{DType, Device, Result, Tensor};
use wire::Timestamp;

/// Samples of a series before its profiles begin.
const BEGIN_AT: f64 = 32.0;

#[derive(Clone, Debug)]
pub(super) struct Seasons {
    n: usize,
    device: Device,
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

impl Seasons {
    pub(super) fn upload(columns: SeasonColumns, device: &Device) -> Result<Self> {
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
            n: columns.unit.len(),
            device: device.clone(),
            unit: column(columns.unit, device)?,
            first_at: column(columns.first_at, device)?,
            week_begun: column(columns.week_begun, device)?,
            day: bins(columns.day)?,
            week: bins(columns.week)?,
        })
    }

    /// What each of the six candidates adds to its level, 0 where that is not known, and 1 where it is known; `[6, n]` both.
    pub(super) fn offsets(&self, at: Timestamp) -> Result<(Tensor, Tensor)> {
        let none = Tensor::zeros(self.n, DType::F64, &self.device)?;
        let always = Tensor::ones(self.n, DType::U8, &self.device)?;
        let never = always.zeros_like()?;
        if self.day.is_empty() {
            let offsets = Tensor::stack(&[&none; 6], 0)?;
            let known = Tensor::stack(&[&always, &always, &never, &never, &never, &never], 0)?;
            return Ok((offsets, known));
        }
        let age = (self.first_at.neg()? + at.as_millis() as f64)?;
        let has_day = (self.unit.gt(0.0)? * age.ge(DAY_MS as f64)?)?;
        let has_week = ((&has_day * self.week_begun.gt(0.0)?)? * age.ge(WEEK_READY_MS as f64)?)?;
        let day = self.day_at(at)?;
        let hour = self.week[week_bin(at.as_millis())].value.to_dtype(DType::F64)?;
        let week = pick(&has_week, &((&day + hour)? * &self.unit)?, &none)?;
        let day = pick(&has_day, &(day * &self.unit)?, &none)?;
        Ok((
            Tensor::stack(&[&none, &none, &day, &day, &week, &week], 0)?,
            Tensor::stack(&[&always, &always, &has_day, &has_day, &has_week, &has_week], 0)?,
        ))
    }

    /// Learns the deviations of the instant where `present` is 1; a series that is old enough begins its profile.
    pub(super) fn learn(
        &mut self,
        at: Timestamp,
        present: &Tensor,
        step_ms: &Tensor,
        seen: &Tensor,
        deviation: &Tensor,
        clip: &Tensor,
        floor: &Tensor,
    ) -> Result<()> {
        if self.day.is_empty() {
            return Ok(());
        }
        let now = at.as_millis() as f64;
        let begins = ((self.unit.le(0.0)? * seen.ge(BEGIN_AT)?)? * present)?;
        let unit = pick(&clip.gt(0.0)?, clip, floor)?;
        self.unit = pick(&begins, &unit, &self.unit)?;
        self.first_at = pick(&begins, &(self.first_at.zeros_like()? + now)?, &self.first_at)?;

        let has_profile = self.unit.gt(0.0)?;
        let learns = (&has_profile * present)?;
        // A series without a profile divides by 1; what comes out is not kept.
        let unit = pick(&has_profile, &self.unit, &self.unit.ones_like()?)?;
        let x = (deviation / &unit)?;
        let clip = (clip.maximum(floor)? / &unit)?;
        let remembered = |days: f32, span_ms: f64| -> Result<Tensor> {
            let per_bin = (step_ms.maximum(1.0)?.recip()? * span_ms)?.maximum(1.0)?;
            (per_bin * f64::from(days))?.minimum(60_000.0)?.floor()?.maximum(2.0)
        };
        let bin = self.day_bin(at);
        let limit = remembered(DAYS_REMEMBERED, DAY_MS as f64 / self.day.len() as f64)?;
        self.day[bin].learn(&x, &clip, &limit, &learns)?;

        let age = (self.first_at.neg()? + now)?;
        let learns = (learns * age.ge(DAY_MS as f64)?)?;
        self.week_begun = pick(&learns, &self.week_begun.ones_like()?, &self.week_begun)?;
        let rest = (x - self.day_at(at)?)?;
        let limit = remembered(WEEKS_REMEMBERED, HOUR_MS as f64)?;
        self.week[week_bin(at.as_millis())].learn(&rest, &clip, &limit, &learns)
    }

    /// The day profiles at an instant, in units. A bin of few samples asks its neighbours.
    fn day_at(&self, at: Timestamp) -> Result<Tensor> {
        let n = self.day.len();
        let i = self.day_bin(at);
        let mut sum = Tensor::zeros(self.n, DType::F64, &self.device)?;
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

    fn day_bin(&self, at: Timestamp) -> usize {
        let n = self.day.len() as i64;
        usize::try_from(at.as_millis().rem_euclid(DAY_MS) * n / DAY_MS).expect("remainder is not negative")
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
