//! Levels of four memories, and the size of ordinary errors.
//!
//! Each level is exponential smoothing of what the season leaves. Innovations are clipped, so a stray sample moves a level by a
//! few standard deviations at most, and a shift that lasts is followed all the same.

use super::DAY_MS;
use super::profiles::{Profiles, SeasonAt};
use super::weights::TERMS;

/// Weight of a new sample in the quick level.
const QUICK: f64 = 0.5;
/// The steady level remembers this part of the geometric mean of the quick level's memory and the mean's.
const STEADY: f64 = 0.6;
/// Days that the mean and the long-run mean remember, and the samples that these are at least and at most.
const MEAN_DAYS: f64 = 2.0;
const LONG_DAYS: f64 = 4.0;
const MEAN_SAMPLES: (f64, f64) = (16.0, 4096.0);
const LONG_SAMPLES: (f64, f64) = (64.0, 16_384.0);
/// One-step errors that are remembered.
const ERRORS: f64 = 128.0;
/// An innovation counts up to so many standard deviations: of one step, and of the distance from the mean.
const CLIP: f64 = 5.0;
const CLIP_MEAN: f64 = 3.0;
/// What was at the same time of another day is believed to be within so many standard deviations of the season.
const FAR: f64 = 5.0;
/// Mean absolute deviation to standard deviation of a normal.
const TO_SIGMA: f64 = 1.25;
/// Samples that are taken as they come.
const EARLY: u64 = 8;

/// The streaming state of a series, in the scale it is forecast in.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    step_ms: i64,
    /// Time of the newest sample.
    pub(super) at: i64,
    seen: u64,
    last: f64,
    quick: f64,
    steady: f64,
    mean: f64,
    pub(super) long: f64,
    /// Mean absolute error of one step, and distance from the mean.
    error: f64,
    spread: f64,
    /// What the season had said of the newest sample.
    season: f64,
    /// Memory of the three slow levels in samples, and the weight of a new one in each.
    memory: [f64; 3],
    gains: [f64; 3],
    profiles: Profiles,
}

impl Levels {
    /// Before any sample.
    pub(super) fn new(step_ms: i64, offset_ms: i64) -> Self {
        let per_day = DAY_MS as f64 / step_ms as f64;
        let mean = (MEAN_DAYS * per_day).clamp(MEAN_SAMPLES.0, MEAN_SAMPLES.1);
        let long = (LONG_DAYS * per_day).clamp(LONG_SAMPLES.0, LONG_SAMPLES.1);
        let memory = [STEADY * (mean / QUICK).sqrt(), mean, long];
        Self {
            step_ms,
            at: i64::MIN,
            seen: 0,
            last: 0.0,
            quick: 0.0,
            steady: 0.0,
            mean: 0.0,
            long: 0.0,
            error: 0.0,
            spread: 0.0,
            season: 0.0,
            memory,
            gains: memory.map(|samples| 1.0 / samples),
            profiles: Profiles::new(step_ms, offset_ms),
        }
    }

    /// Samples that each level remembers: quick, steady, mean, long.
    pub(super) fn memories(&self) -> [f64; 4] {
        let [steady, mean, long] = self.memory;
        [1.0 / QUICK, steady, mean, long]
    }

    pub(super) fn observe(&mut self, at: i64, value: f64) {
        if self.seen == 0 {
            self.profiles.begin(at, value);
            (self.quick, self.steady, self.mean, self.long) = (value, value, value, value);
            (self.last, self.at, self.seen) = (value, at, 1);
            return;
        }
        let passed = (at.saturating_sub(self.at) as f64 / self.step_ms as f64).clamp(1.0, 64.0);
        let gap = passed > 1.5;
        // After a gap a series may be anywhere that a random walk takes it.
        let patience = if gap { passed.sqrt() } else { 1.0 };
        let season = self.profiles.at(at);
        let seasonal = season.smooth + season.week;
        let rest = value - seasonal;
        let early = self.seen < EARLY;
        let clip = |x: f64, reach: f64| {
            if early || reach <= 0.0 {
                x
            } else {
                x.clamp(-reach, reach)
            }
        };
        let least = 1.0 / (self.seen as f64 + 1.0);
        let gain = |gain: f64| if gap { 1.0 - (1.0 - gain).powf(passed) } else { gain }.max(least);

        let reach = CLIP * TO_SIGMA * self.error * patience;
        let wide = 2.0 * (reach + TO_SIGMA * self.spread);
        let far = CLIP_MEAN * TO_SIGMA * self.spread.max(self.error);
        let innovation = rest - self.quick;
        let from_mean = rest - self.mean;
        follow_size(
            &mut self.error,
            innovation.abs() / patience,
            4.0 * TO_SIGMA,
            1.0 / (self.seen as f64).min(ERRORS),
            early,
        );
        self.quick += gain(QUICK) * clip(innovation, reach);
        let [steady, mean, long] = self.gains.map(gain);
        self.steady += steady * clip(rest - self.steady, wide);
        self.mean += mean * clip(from_mean, far);
        self.long += long * clip(rest - self.long, far);
        follow_size(
            &mut self.spread,
            from_mean.abs(),
            4.0 * CLIP_MEAN * TO_SIGMA,
            mean,
            early,
        );

        if self.seen >= 2 * EARLY {
            let reach = if early {
                f64::INFINITY
            } else {
                CLIP_MEAN * TO_SIGMA * self.spread.max(self.error)
            };
            self.profiles
                .learn(at, value - self.mean, &season, from_mean.abs(), reach);
        }
        self.profiles.remember(at, value);
        (self.last, self.at, self.season) = (value, at, seasonal);
        self.seen += 1;
    }

    /// What is known of a time to come: `long + weights · terms` is the forecast of it.
    pub(super) fn terms(&self, target: i64) -> [f64; TERMS] {
        let season = self.profiles.at(target);
        let usual = self.long + season.smooth + season.week;
        let far = FAR * TO_SIGMA * self.spread.max(self.error);
        let reach = CLIP * TO_SIGMA * self.error;
        let apart = |then: Option<f64>| then.map_or(0.0, |then| (then - usual).clamp(-far, far));
        [
            (self.last - self.season - self.quick).clamp(-reach, reach),
            self.quick - self.steady,
            self.steady - self.mean,
            self.mean - self.long,
            season.smooth,
            season.rough,
            season.week,
            self.spread.max(self.error),
            apart(self.profiles.a_day_before(self.at, target)),
            apart(self.profiles.a_week_before(target)),
        ]
    }

    /// The unit of a forecast's error: how far values at this time of the day usually are from where they are expected, and
    /// steps from one another of late. Never 0.
    pub(super) fn sigma(&self, target: i64) -> f64 {
        let spread = self
            .profiles
            .spread_at(target)
            .map_or(self.spread, |of_hour| 0.5 * (of_hour + self.spread));
        (0.5 * (self.error + spread)).max(1e-9 * self.last.abs()).max(1e-290)
    }
}

/// Lets a mean absolute deviation follow one more, which counts up to `times` itself.
fn follow_size(size: &mut f64, deviation: f64, times: f64, gain: f64, early: bool) {
    let most = if early || *size <= 0.0 {
        deviation
    } else {
        times * *size
    };
    *size += gain * (deviation.min(most) - *size);
}

/// No season.
impl SeasonAt {
    pub(super) const NONE: Self = Self {
        smooth: 0.0,
        rough: 0.0,
        week: 0.0,
        plain: 0.0,
        plain_week: 0.0,
    };
}
