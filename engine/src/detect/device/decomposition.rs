//! The online decomposition of many series at once.
//!
//! The arithmetic of [`Baselines`], line by line, over columns: `[n]` numbers a field, `[6, n]` for the six forecasters. One
//! step takes the samples that all series have at one instant. Double precision where the baselines have it, so that both
//! choose alike. State enters by [`Decomposition::of`], after the baselines have opened and learnt history on the CPU.

use super::columns::{clamp, column, pick, singles};
use super::season::{Samples, Seasons};
use super::shift::Run;
use crate::features::baseline::{
    CANDIDATES, CLIP, CONFIRM, CONSTANT_SCALE, Columns, ERROR_MEMORY, GAINS, HANDICAP, OUTLIER, TINY, TO_SIGMA,
    TREND_MEMORY, VALUE_MAX,
};
use crate::features::residual::{CUSUM_MAX, CUSUM_SLACK, LOCAL, Z_MAX};
use crate::features::zone::Moment;
use crate::features::{Baselines, Residual};
use candle_core::{DType, Device, Result, Tensor};
use wire::Timestamp;

/// Series on a device.
#[derive(Clone, Debug)]
pub struct Decomposition {
    device: Device,
    n: usize,
    /// `[6, n]`.
    pub(super) level: Tensor,
    pub(super) error: Tensor,
    pub(super) slow: Tensor,
    pub(super) slow_error: Tensor,
    trend: Tensor,
    recent_trend: Tensor,
    difference: Tensor,
    quantum: Tensor,
    pub(super) last: Tensor,
    pub(super) last_season: Tensor,
    last_at: Tensor,
    step_ms: Tensor,
    seen: Tensor,
    changes: Tensor,
    fast_run: Run,
    pub(super) slow_run: Run,
    odd_steps: Tensor,
    pub(super) chosen: Tensor,
    turn: Tensor,
    damp: Tensor,
    /// Mean, square, slope, CUSUM up, CUSUM down.
    local: [Tensor; 5],
    pub(super) seasons: Seasons,
    /// `[6, n]`: how fast a level follows, while it is trusted and while a shift is taken over.
    gain: Tensor,
    quick_gain: Tensor,
}

/// What the baselines say of the samples of one instant; rows without a sample hold numbers that mean nothing.
#[derive(Clone, Debug)]
pub struct Residuals {
    /// `[n]` double precision.
    pub mean: Tensor,
    pub scale: Tensor,
    /// `[n]` single precision.
    pub fast: Tensor,
    pub slow: Tensor,
    /// `[n, 8]` single precision.
    pub features: Tensor,
    /// `[n]`, 1 where there was a sample.
    pub present: Tensor,
}

/// Values of one instant against the state before them.
struct Seen {
    y: Tensor,
    z: Tensor,
    z_slow: Tensor,
    change: Tensor,
    /// Season of the speaker, the best known one, and `[6, n]` of every candidate with 1 where it is known.
    profile: Tensor,
    offsets: Tensor,
    known: Tensor,
    floor: Tensor,
}

impl Decomposition {
    /// The state of `slots` on `device`, in their order. It goes on alone: the baselines do not follow.
    ///
    /// # Errors
    /// When a slot is not there, still opens or is sampled at another interval than the first, or the device fails.
    pub fn of(baselines: &Baselines, slots: &[usize], device: &Device) -> Result<Self> {
        let columns = baselines.columns(slots).map_err(candle_core::Error::msg)?;
        Self::upload(columns, device)
    }

    fn upload(columns: Columns, device: &Device) -> Result<Self> {
        let n = columns.n;
        let one = |values: Vec<f64>| column(values, device);
        let six = |values: Vec<f64>| Tensor::from_vec(values, (CANDIDATES, n), device);
        let gains = |least: f64| {
            let by_candidate = (0..CANDIDATES).flat_map(|i| std::iter::repeat_n(GAINS[i % 2].max(least), n));
            six(by_candidate.collect())
        };
        let [mean, square, slope, up, down] = columns.local;
        let local = |values: Vec<f32>| singles(values, device);
        Ok(Self {
            device: device.clone(),
            n,
            level: six(columns.level)?,
            error: six(columns.error)?,
            slow: one(columns.slow)?,
            slow_error: one(columns.slow_error)?,
            trend: one(columns.trend)?,
            recent_trend: one(columns.recent_trend)?,
            difference: one(columns.difference)?,
            quantum: one(columns.quantum)?,
            last: one(columns.last)?,
            last_season: one(columns.last_season)?,
            last_at: one(columns.last_at)?,
            step_ms: one(columns.step_ms)?,
            seen: one(columns.seen)?,
            changes: one(columns.changes)?,
            fast_run: Run {
                outliers: one(columns.outliers)?,
                relearn: one(columns.relearn)?,
            },
            slow_run: Run {
                outliers: one(columns.outliers_slow)?,
                relearn: one(columns.relearn_slow)?,
            },
            odd_steps: one(columns.odd_steps)?,
            chosen: one(columns.chosen)?,
            turn: singles(columns.turn, device)?,
            damp: singles(columns.damp, device)?,
            local: [local(mean)?, local(square)?, local(slope)?, local(up)?, local(down)?],
            seasons: Seasons::upload(columns.season, device)?,
            gain: gains(0.0)?,
            quick_gain: gains(0.25)?,
        })
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are no series.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Scores, then learns, the samples of one instant, one a series; NaN where there is none. As [`Baselines::observe`]: a
    /// sample that is not finite, or not after the last one of its series, changes nothing.
    ///
    /// # Errors
    /// When `values` has another length than the batch, or the device fails.
    pub fn step(&mut self, at: Timestamp, values: &[f64]) -> Result<Residuals> {
        if values.len() != self.n {
            candle_core::bail!("{} samples for a batch of {} series", values.len(), self.n);
        }
        let finite: Vec<u8> = values.iter().map(|v| u8::from(v.is_finite())).collect();
        // A number that changes nothing stands where there is none, so that no arithmetic meets a NaN.
        let bounded = |v: &f64| {
            if v.is_finite() {
                v.clamp(-VALUE_MAX, VALUE_MAX)
            } else {
                0.0
            }
        };
        let values = column(values.iter().map(bounded).collect(), &self.device)?;
        let finite = Tensor::from_vec(finite, self.n, &self.device)?;
        let present = (finite * self.last_at.lt(at.as_millis() as f64)?)?;
        let y = pick(&present, &values, &self.last)?;

        let moment = self.seasons.begin(at, &self.slow)?;
        let before = self.clone();
        let gap = self.track_step(at)?;
        let (seen, residuals) = self.judge(moment, y, &gap, &present)?;
        self.learn(&seen)?;
        let deviation = (&seen.y - &self.slow)?;
        self.last_season = pick_row(&seen.offsets, &self.chosen)?;
        let values = (&seen.y - (&seen.profile - self.seasons.special()?)?)?;
        self.last = seen.y;
        self.last_at = (self.last_at.zeros_like()? + at.as_millis() as f64)?;
        self.seen = (&self.seen + 1.0)?;
        let clip = (self.slow_error.maximum(&self.of_speaker(&self.error)?)? * (3.0 * TO_SIGMA))?;
        let floor = self.floor()?;
        let samples = Samples {
            step_ms: &self.step_ms,
            seen: &self.seen,
            deviation: &deviation,
            clip: &clip,
            floor: &floor,
            slow: &self.slow,
            values: &values,
        };
        self.seasons.learn(moment, &present, &samples)?;
        self.follow_shift(moment, &present)?;
        self.keep(&before, &present)?;
        Ok(residuals)
    }

    /// Starts the local statistics anew where `which` (`[n]`, bytes) is 1, as [`Baselines::restart_local`].
    ///
    /// # Errors
    /// When the device fails.
    pub fn restart_local(&mut self, which: &Tensor) -> Result<()> {
        for (i, part) in self.local.iter_mut().enumerate() {
            let quiet = if i == 1 { part.ones_like()? } else { part.zeros_like()? };
            *part = pick(which, &quiet, part)?;
        }
        Ok(())
    }

    /// The z-scores and features of `y`; moves the local statistics alone.
    fn judge(&mut self, moment: Moment, y: Tensor, gap: &Tensor, present: &Tensor) -> Result<(Seen, Residuals)> {
        let (offsets, known) = self.seasons.offsets(moment)?;
        let floor = self.floor()?;
        let patience = gap.minimum(16.0)?.sqrt()?;
        self.ask_others(&y, &offsets, &known, &floor, &patience)?;
        let offset = self.of_speaker(&offsets)?;

        let mean = (self.of_speaker(&self.level)? + &offset)?;
        let scale = ((self.of_speaker(&self.error)? * TO_SIGMA)?.maximum(&floor)? * &patience)?;
        let z = ((&y - &mean)? / &scale)?;
        let slow_scale = (&self.slow_error * TO_SIGMA)?.maximum(&floor)?;
        let profile = best_known(&offsets, &known)?;
        let z_slow = (((&y - &profile)? - &self.slow)? / slow_scale)?;
        let change = ((&y - &self.last)? - (&offset - &self.last_season)?)?;
        let per_change = ((&self.difference * TO_SIGMA)? * &patience)?.maximum(&(&floor * &patience)?)?;
        let z_change = (&change / per_change)?;
        let fast = self.turned(&z)?;
        let slow = self.turned(&z_slow)?;
        let features = self.features(&fast, &self.turned(&z_change)?, &slow)?;
        let residuals = Residuals {
            mean,
            scale,
            fast,
            slow,
            features,
            present: present.clone(),
        };
        let seen = Seen {
            y,
            z,
            z_slow,
            change,
            profile,
            offsets,
            known,
            floor,
        };
        Ok((seen, residuals))
    }

    fn learn(&mut self, seen: &Seen) -> Result<()> {
        let Seen { y, z_slow, floor, .. } = seen;
        self.fast_run
            .confirm(&seen.z, &(self.seen.zeros_like()? + f64::from(CONFIRM))?)?;
        let memory = self.slow_memory()?;
        let patience = clamp(&(&memory * 0.5)?, 128.0, 1440.0)?.floor()?;
        self.slow_run.confirm(z_slow, &patience)?;

        let speaker = self.chosen.clone();
        let before = self.of_speaker(&self.level)?;
        self.learn_trackers(seen)?;
        let error = pick_row(&self.error, &speaker)?;
        let clip = (error * TO_SIGMA)?.maximum(floor)?;
        let moved = (pick_row(&self.level, &speaker)? - before)?;
        let moved = moved.maximum(&clip.neg()?)?.minimum(&clip)?;
        self.trend = (&self.trend + ((&moved - &self.trend)? * (1.0 / TREND_MEMORY))?)?;
        self.recent_trend = (&self.recent_trend + ((&moved - &self.recent_trend)? * (4.0 / TREND_MEMORY))?)?;

        let slow_scale = (&self.slow_error * TO_SIGMA)?.maximum(floor)?;
        let r = ((y - &seen.profile)? - &self.slow)?;
        let count = (&self.seen + 1.0)?;
        let gain = memory.minimum(&count)?.recip()?;
        let far = z_slow.abs()?.gt(OUTLIER)?;
        let pull = pick(&far, &slow_scale, &(&slow_scale * CLIP)?)?;
        let trusted = (&self.slow + (&gain * r.maximum(&pull.neg()?)?.minimum(&pull)?)?)?;
        let taken_over = (&self.slow + (&r * 0.2)?)?;
        let weight = pick(&far, &(gain.clone() * 0.2)?, &gain)?;
        let spread = (r.abs()?.minimum(&(&slow_scale * 4.0)?)? - &self.slow_error)?;
        let learnt = (&self.slow_error + (weight * spread)?)?;
        let relearning = self.slow_run.relearn.gt(0.0)?;
        self.slow = pick(&relearning, &taken_over, &trusted)?;
        self.slow_error = pick(&relearning, &self.slow_error, &learnt)?;

        let gain = count.minimum(ERROR_MEMORY)?.recip()?;
        let limit = ((&self.difference * TO_SIGMA)?.maximum(floor)? * 4.0)?;
        let step = (seen.change.abs()?.minimum(&limit)? - &self.difference)?;
        self.difference = (&self.difference + (gain * step)?)?;
        let jump = (y - &self.last)?.abs()?;
        let jumped = jump.gt(0.0)?;
        let changes = (&self.changes + 1.0)?;
        let bounded = pick(&changes.gt(3.0)?, &jump.minimum(&(&self.quantum * 8.0)?)?, &jump)?;
        let quantum = (&self.quantum + ((bounded - &self.quantum)? / changes.minimum(64.0)?)?)?;
        self.quantum = pick(&jumped, &quantum, &self.quantum)?;
        self.changes = pick(&jumped, &changes, &self.changes)?;
        self.choose(&seen.known)
    }

    /// All six forecasters learn, each with its season; one whose season has just become known starts here.
    fn learn_trackers(&mut self, seen: &Seen) -> Result<()> {
        let shape = self.level.shape().clone();
        let wide = |column: &Tensor| column.broadcast_as(&shape)?.contiguous();
        let target = (wide(&seen.y)? - &seen.offsets)?;
        let r = (&target - &self.level)?;
        let scale = (&self.error * TO_SIGMA)?.maximum(&wide(&seen.floor)?)?;
        let size = r.abs()?;
        let limit = (&scale * OUTLIER)?;
        let far = size.gt(&limit)?;
        let relearning = wide(&self.fast_run.relearn.gt(0.0)?)?;
        let pull = pick(&far, &scale, &(&scale * CLIP)?)?;
        let trusted = (&self.gain * r.maximum(&pull.neg()?)?.minimum(&pull)?)?;
        let taken_over = (&self.quick_gain * &r)?;
        let level = (&self.level + pick(&relearning, &taken_over, &trusted)?)?;
        let weight = wide(&(&self.seen + 1.0)?.minimum(ERROR_MEMORY)?.recip()?)?;
        let doubted = (&far * relearning.eq(0_u8)?)?;
        let weight = pick(&doubted, &(&weight * 0.25)?, &weight)?;
        let error = (&self.error + (weight * (size.minimum(&(&scale * 4.0)?)? - &self.error)?)?)?;

        let plain = self.error.narrow(0, 0, 2)?;
        let start = (Tensor::cat(&[&plain, &plain, &plain], 0)? * HANDICAP)?;
        let untried = self.error.lt(0.0)?;
        let level = pick(&untried, &target, &level)?;
        let error = pick(&untried, &start, &error)?;
        self.level = pick(&seen.known, &level, &self.level)?;
        self.error = pick(&seen.known, &error, &self.error)?;
        Ok(())
    }

    /// The candidate with the least recent error speaks next; the present one stays unless another is clearly better.
    fn choose(&mut self, known: &Tensor) -> Result<()> {
        let parity = (&self.chosen - ((&self.chosen * 0.5)?.floor()? * 2.0)?)?;
        let has_season = pick_row(&known.to_dtype(DType::F64)?, &self.chosen)?.gt(0.0)?;
        let mut best = pick(&has_season, &self.chosen, &parity)?;
        let mut least = pick_row(&self.error, &best)?;
        for i in 0..CANDIDATES {
            let error = self.error.get(i)?.contiguous()?;
            let usable = (known.get(i)?.contiguous()? * error.ge(0.0)?)?;
            let better = (usable * error.lt(&(&least * 0.95)?)?)?;
            best = pick(&better, &(best.zeros_like()? + i as f64)?, &best)?;
            least = pick(&better, &error, &least)?;
        }
        self.chosen = best;
        Ok(())
    }

    /// Follows the sampling interval; returns how many of them passed, at least 1.
    fn track_step(&mut self, at: Timestamp) -> Result<Tensor> {
        let passed = (self.last_at.neg()? + at.as_millis() as f64)?.maximum(1.0)?;
        let ratio = (&passed / &self.step_ms)?;
        let regular = (ratio.ge(0.9)? * ratio.lt(1.1)?)?;
        let forgiven = (&self.odd_steps - 1.0)?.maximum(0.0)?;
        let odd = pick(&regular, &forgiven, &(&self.odd_steps + 1.0)?)?;
        let changed = (odd.ge(24.0)? * regular.eq(0_u8)?)?;
        self.step_ms = pick(&changed, &passed, &self.step_ms)?;
        self.odd_steps = pick(&changed, &odd.zeros_like()?, &odd)?;
        ratio.maximum(1.0)
    }

    fn slow_memory(&self) -> Result<Tensor> {
        clamp(&(self.step_ms.maximum(1.0)?.recip()? * 86_400_000.0)?, 256.0, 2880.0)
    }

    fn floor(&self) -> Result<Tensor> {
        let moving = (&self.quantum * 0.25)?;
        let constant = (self.last.abs()?.maximum(&self.slow.abs()?)? * CONSTANT_SCALE)?;
        pick(&self.changes.ge(3.0)?, &moving, &constant)?.maximum(TINY)
    }

    fn of_speaker(&self, of: &Tensor) -> Result<Tensor> {
        pick_row(of, &self.chosen)
    }

    /// A z-score bounded and turned so that what hurts is positive, in single precision.
    fn turned(&self, z: &Tensor) -> Result<Tensor> {
        let number = pick(&z.eq(z)?, z, &z.zeros_like()?)?;
        let limit = f64::from(Z_MAX);
        let z = (clamp(&number, -limit, limit)?.to_dtype(DType::F32)? * &self.turn)?;
        pick(&z.lt(0_f32)?, &(&z * &self.damp)?, &z)
    }

    fn features(&mut self, fast: &Tensor, difference: &Tensor, slow: &Tensor) -> Result<Tensor> {
        let weight = f64::from(LOCAL);
        let slack = f64::from(CUSUM_SLACK);
        let follow = |from: &Tensor, to: &Tensor| from + ((to - from)? * weight)?;
        let near = |z: &Tensor| z.maximum(-10_f32)?.minimum(10_f32);
        let cusum = |sum: Result<Tensor>| (sum? - slack)?.maximum(0_f32)?.minimum(CUSUM_MAX);
        let z = near(fast)?;
        let [mean, square, slope, up, down] = &self.local;
        let local = [
            follow(mean, &z)?,
            follow(square, &z.sqr()?)?,
            follow(slope, &near(difference)?)?,
            cusum((up * 0.98)? + &z)?,
            cusum((down * 0.98)? - &z)?,
        ];
        let features = [
            compressed(fast)?,
            compressed(difference)?,
            compressed(&(&local[0] * 4.0)?)?,
            (&local[1] + 0.05)?.log()?,
            compressed(&(&local[2] * 4.0)?)?,
            compressed(&local[3])?,
            compressed(&local[4])?,
            compressed(slow)?,
        ];
        self.local = local;
        Tensor::stack(&features, 1)
    }

    /// Takes everything back for the series that had no sample.
    fn keep(&mut self, before: &Self, present: &Tensor) -> Result<()> {
        let wide = present.broadcast_as(self.level.shape())?.contiguous()?;
        self.level = pick(&wide, &self.level, &before.level)?;
        self.error = pick(&wide, &self.error, &before.error)?;
        let [mean, square, slope, up, down] = &mut self.local;
        let [mean_before, square_before, slope_before, up_before, down_before] = &before.local;
        for (now, before) in [
            (&mut self.slow, &before.slow),
            (&mut self.slow_error, &before.slow_error),
            (&mut self.trend, &before.trend),
            (&mut self.recent_trend, &before.recent_trend),
            (&mut self.difference, &before.difference),
            (&mut self.quantum, &before.quantum),
            (&mut self.last, &before.last),
            (&mut self.last_season, &before.last_season),
            (&mut self.last_at, &before.last_at),
            (&mut self.step_ms, &before.step_ms),
            (&mut self.seen, &before.seen),
            (&mut self.changes, &before.changes),
            (&mut self.fast_run.outliers, &before.fast_run.outliers),
            (&mut self.fast_run.relearn, &before.fast_run.relearn),
            (&mut self.slow_run.outliers, &before.slow_run.outliers),
            (&mut self.slow_run.relearn, &before.slow_run.relearn),
            (&mut self.odd_steps, &before.odd_steps),
            (&mut self.chosen, &before.chosen),
            (mean, mean_before),
            (square, square_before),
            (slope, slope_before),
            (up, up_before),
            (down, down_before),
        ] {
            *now = pick(present, now, before)?;
        }
        Ok(())
    }
}

impl Residuals {
    /// The rows on the CPU, in the order of the batch; `None` where there was no sample.
    ///
    /// # Errors
    /// When the device fails.
    pub fn rows(&self) -> Result<Vec<Option<Residual>>> {
        let (mean, scale) = (self.mean.to_vec1::<f64>()?, self.scale.to_vec1::<f64>()?);
        let (fast, slow) = (self.fast.to_vec1::<f32>()?, self.slow.to_vec1::<f32>()?);
        let features = self.features.to_vec2::<f32>()?;
        let present = self.present.to_vec1::<u8>()?;
        Ok((0..present.len())
            .map(|i| {
                let mut row = Residual {
                    mean: mean[i],
                    scale: scale[i],
                    fast: fast[i],
                    slow: slow[i],
                    features: [0.0; crate::features::FEATURES],
                };
                row.features.copy_from_slice(&features[i]);
                (present[i] == 1).then_some(row)
            })
            .collect())
    }
}

/// What the season that sees most adds, of `[6, n]` offsets with 1 where they are known.
fn best_known(offsets: &Tensor, known: &Tensor) -> Result<Tensor> {
    let row = |of: &Tensor, i: usize| of.get(i)?.contiguous();
    let day = pick(&row(known, 2)?, &row(offsets, 2)?, &row(offsets, 0)?)?;
    pick(&row(known, 4)?, &row(offsets, 4)?, &day)
}

/// Of a `[6, n]` tensor, for each column the row that `rows` (`[n]`) names.
pub(super) fn pick_row(of: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let rows = rows.to_dtype(DType::U32)?.unsqueeze(0)?.contiguous()?;
    of.contiguous()?.gather(&rows, 0)?.squeeze(0)
}

/// Signed logarithm, as `features::compress`.
pub(super) fn compressed(x: &Tensor) -> Result<Tensor> {
    // In double precision, where adding 1 to a small number loses nothing that counts.
    let size = (x.abs()?.to_dtype(DType::F64)? + 1.0)?.log()?.to_dtype(DType::F32)?;
    pick(&x.lt(0_f32)?, &size.neg()?, &size)
}
