//! Online robust decomposition of every series, one slot each.
//!
//! Six candidate forecasters run side by side: {no season, day, day + week} x {quick, steady} level. The one with the least
//! recent one-step error speaks for the series, so a season counts only where it has proven itself (after OnlineSTL,
//! arXiv 2107.09110, with model choice in place of a fixed period). Errors are Huberised: an outlier pulls a level by at most
//! one standard deviation. A shift that lasts is believed after [`CONFIRM`] samples, and the long-term level and the season then
//! begin anew from what they were before it ([`super::reseed`]).

mod before;
mod borrow;
mod columns;
mod seed;
mod slot;
mod speaker;
mod tracker;

pub use before::BaselineBefore;
pub(crate) use columns::{Columns, ProfileColumns, SeasonColumns};
pub use slot::BaselineSlot;
pub(crate) use speaker::{AS_GOOD, ASK_AT, NEARER};

use super::polarity::Polarity;
use super::residual::{Local, Residual, bounded};
use super::season::{Season, SeasonAt};
use super::zone::{LocalClock, Moment};
use super::{FEATURES, Outlook};
use borrow::Families;
use tracker::Tracker;
use wire::Timestamp;

/// Samples that open a baseline: median level, median step, first scale.
pub const WARM_UP: usize = 8;
/// Weight of a new sample in the two levels.
pub(crate) const GAINS: [f64; 2] = [0.5, 0.08];
pub(crate) const CANDIDATES: usize = 6;
/// Samples that one-step errors remember.
pub(crate) const ERROR_MEMORY: f64 = 160.0;
/// Consecutive outliers after which a new level or spread is believed.
pub(crate) const CONFIRM: u16 = 64;
/// Samples before the season of a series begins.
pub(crate) const SEASON_AT: u64 = 32;
/// Samples during which a believed shift is taken over without suspicion.
pub(crate) const RELEARN: u16 = 16;
/// Beyond this many standard deviations a sample is an outlier to the baseline.
pub(crate) const OUTLIER: f64 = 4.0;
pub(crate) const CLIP: f64 = 2.5;
/// Samples that a trend remembers.
pub(crate) const TREND_MEMORY: f64 = 64.0;
/// Mean absolute deviation to standard deviation of a normal.
pub(crate) const TO_SIGMA: f64 = 1.2533;
/// Any finite input is brought into this range, so that differences stay finite.
pub(crate) const VALUE_MAX: f64 = 1e290;
/// Smallest scale, as a part of the level, of a series that never changed.
pub(crate) const CONSTANT_SCALE: f64 = 1e-3;
pub(crate) const TINY: f64 = 1e-290;
pub(crate) const UNTRIED: f64 = -1.0;
/// A season starts with this much more error than the same level without it, and has to earn its place.
pub(crate) const HANDICAP: f64 = 1.2;

/// The baselines of many series. Slots are given by [`Baselines::add`], from 0.
#[derive(Clone, Debug, Default)]
pub struct Baselines {
    states: Vec<State>,
    pub(super) seasons: Vec<Option<Box<Season>>>,
    locals: Vec<Local>,
    opening: Vec<Vec<(i64, f64)>>,
    polarities: Vec<Polarity>,
    /// The zones that series live in, the first one UTC, and which of them each lives in.
    pub(super) clocks: Vec<LocalClock>,
    pub(super) clock_of: Vec<u16>,
    families: Families,
    /// What the last sample met, see [`Baselines::take_before`].
    before: Option<BaselineBefore>,
}

#[derive(Clone, Debug, Default)]
struct State {
    trackers: [Tracker; CANDIDATES],
    /// Long-term level, which is what the best known season leaves, whoever speaks, and mean absolute deviation from it.
    slow: f64,
    slow_error: f64,
    /// Change per step of the chosen level, over about [`TREND_MEMORY`] and a quarter as many samples.
    trend: f64,
    recent_trend: f64,
    /// Mean absolute difference, season removed; and of the differences that are not zero.
    difference: f64,
    quantum: f64,
    last: f64,
    /// What the speaker's season had added at the last sample, and what the best known one had.
    last_season: f64,
    last_profile: f64,
    last_at: i64,
    step_ms: i64,
    seen: u64,
    changes: u32,
    outliers: u16,
    outliers_slow: u16,
    relearn: u16,
    relearn_slow: u16,
    odd_steps: u8,
    chosen: u8,
}

/// What a sample was to a state.
struct Observed {
    residual: Residual,
    /// From the long-term level: what the season learns.
    deviation: f64,
}

impl Baselines {
    /// Adds a series and returns its slot. `step_ms` 0: not known yet.
    pub fn add(&mut self, polarity: Polarity, step_ms: i64) -> usize {
        self.states.push(State {
            step_ms: step_ms.max(0),
            last_at: i64::MIN,
            ..State::default()
        });
        self.seasons.push(None);
        self.locals.push(Local::QUIET);
        self.opening.push(Vec::new());
        self.polarities.push(polarity);
        if self.clocks.is_empty() {
            self.clocks.push(LocalClock::default());
        }
        self.clock_of.push(0);
        self.families.add();
        self.states.len() - 1
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Whether a sample can be taken in: finite, and after the last one.
    pub fn accepts(&self, slot: usize, at: Timestamp, value: f64) -> bool {
        value.is_finite() && at.as_millis() > self.states[slot].last_at
    }

    /// Takes in one sample. `None` while the baseline opens, and for a sample that is not finite or not after the last one:
    /// such a sample changes nothing. O(1).
    pub fn observe(&mut self, slot: usize, at: Timestamp, value: f64) -> Option<Residual> {
        if !self.accepts(slot, at, value) {
            return None;
        }
        let state = &mut self.states[slot];
        let at = at.as_millis();
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        if state.seen < WARM_UP as u64 {
            state.seen += 1;
            state.last_at = at;
            state.last = value;
            let opening = &mut self.opening[slot];
            opening.push((at, value));
            if opening.len() >= WARM_UP {
                state.open(&std::mem::take(opening));
            }
            return None;
        }
        let moment = self.clocks[usize::from(self.clock_of[slot])].moment(at);
        let season = self.seasons[slot].as_mut().map_or(SeasonAt::default(), |season| {
            season.begin_hour(moment, state.slow);
            season.at(moment)
        });
        let polarity = self.polarities[slot];
        self.before = Some(BaselineBefore {
            state: state.clone(),
            season,
            local: self.locals[slot],
            polarity,
        });
        let observed = state.observe(at, value, season, polarity, &mut self.locals[slot]);
        self.learn_season(slot, moment, observed.deviation, season.month);
        Some(observed.residual)
    }

    /// Reads from the cache lines of a slot.
    pub(crate) fn touch(&self, slot: usize) -> f32 {
        let state = &self.states[slot];
        let season = self.seasons[slot].as_ref().map_or(0.0, |season| season.unit);
        let state = state.trackers[0].level + state.trackers[CANDIDATES - 1].error + state.slow + state.last;
        (state + season) as f32 + self.locals[slot].mean
    }

    /// What the slot expects at an instant: mean and scale. `None` while the baseline opens.
    pub fn expected(&self, slot: usize, at: Timestamp) -> Option<(f64, f64)> {
        let state = self.opened(slot)?;
        let season = self.season_at(slot, at.as_millis());
        Some((state.forecast(season), state.scale(usize::from(state.chosen))))
    }

    /// Samples seen.
    pub fn seen(&self, slot: usize) -> u64 {
        self.states[slot].seen
    }

    /// Interval between samples in milliseconds; 0 until it is known.
    pub fn step_ms(&self, slot: usize) -> i64 {
        self.states[slot].step_ms
    }

    /// Time and value of the last sample.
    pub fn last(&self, slot: usize) -> Option<(Timestamp, f64)> {
        let state = &self.states[slot];
        (state.seen > 0).then_some((Timestamp(state.last_at), state.last))
    }

    /// Expected course of the next `steps` samples. `None` while the baseline opens. O(steps).
    pub fn outlook(&self, slot: usize, steps: usize) -> Option<Outlook> {
        let state = self.opened(slot)?;
        let chosen = usize::from(state.chosen);
        let season = |at: i64| offsets(self.season_at(slot, at))[chosen / 2].unwrap_or(0.0);
        let step_ms = state.step_ms.max(1);
        let level = state.trackers[chosen].level;
        let trend = state.trend();
        let mut at = state.last_at;
        let mean = (1..=steps)
            .map(|i| {
                at = at.saturating_add(step_ms);
                (level + trend * i as f64 + season(at)).clamp(-VALUE_MAX, VALUE_MAX)
            })
            .collect();
        Some(Outlook {
            at: Timestamp(state.last_at),
            step_ms,
            mean,
            level,
            trend_per_step: trend,
            scale: state.scale(chosen),
        })
    }

    /// Starts the local statistics of a series anew, as a CUSUM is restarted after its alarm: what they gathered is told.
    pub fn restart_local(&mut self, slot: usize) {
        self.locals[slot] = Local::QUIET;
    }

    fn opened(&self, slot: usize) -> Option<&State> {
        let state = self.states.get(slot)?;
        (state.seen >= WARM_UP as u64).then_some(state)
    }

    fn season_at(&self, slot: usize, at: i64) -> SeasonAt {
        let moment = self.moment_at(slot, at);
        self.seasons[slot]
            .as_ref()
            .map_or(SeasonAt::default(), |season| season.at(moment))
    }

    /// Teaches the season the sample just learnt. `month`: what a special day of the month had added to what was expected.
    fn learn_season(&mut self, slot: usize, moment: Moment, deviation: f64, month: f64) {
        let state = &self.states[slot];
        let clip = 3.0 * TO_SIGMA * state.slow_error.max(state.trackers[usize::from(state.chosen)].error);
        if self.seasons[slot].is_none() && state.step_ms > 0 && state.seen >= SEASON_AT {
            let unit = if clip > 0.0 { clip } else { state.floor() };
            let season = Season::new(moment, state.step_ms, unit, state.slow);
            self.seasons[slot] = season.map(Box::new);
            self.borrow_shape(slot, moment);
        }
        let state = &mut self.states[slot];
        let Some(season) = &mut self.seasons[slot] else { return };
        season.learn_hour(state.last - (state.last_profile - month));
        season.learn(moment, state.step_ms, deviation - month, clip.max(state.floor()));
        state.follow_shift(season, moment);
        if season.borrowed.is_some() {
            state.outgrow(season, moment);
        }
    }
}

impl State {
    fn open(&mut self, samples: &[(i64, f64)]) {
        let mut values: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let mut steps: Vec<i64> = samples.windows(2).map(|w| w[1].0 - w[0].0).collect();
        steps.sort_unstable();
        if self.step_ms == 0 {
            self.step_ms = steps[steps.len() / 2].max(1);
        }
        let difference = mean(values.windows(2).map(|w| (w[1] - w[0]).abs()));
        values.sort_by(f64::total_cmp);
        let level = values[values.len() / 2];
        let spread = mean(values.iter().map(|v| (v - level).abs()));
        self.slow = level;
        self.slow_error = spread;
        self.difference = difference;
        for (i, tracker) in self.trackers.iter_mut().enumerate() {
            let quick = i % 2 == 0;
            tracker.level = if quick { self.last } else { level };
            let error = if quick { difference } else { spread };
            tracker.error = if i < 2 { error } else { UNTRIED };
        }
        self.chosen = u8::from(spread < difference);
    }

    fn forecast(&self, season: SeasonAt) -> f64 {
        let chosen = usize::from(self.chosen);
        self.trackers[chosen].level + offsets(season)[chosen / 2].unwrap_or(0.0)
    }

    /// Robust standard deviation of candidate `k`'s one-step error, never 0.
    fn scale(&self, k: usize) -> f64 {
        (TO_SIGMA * self.trackers[k].error).max(self.floor())
    }

    /// A constant series has no spread to measure by; what counts as a change there is a part of its level, and once it
    /// has changed, a part of the size of its changes.
    fn floor(&self) -> f64 {
        if self.changes >= 3 {
            (0.25 * self.quantum).max(TINY)
        } else {
            (CONSTANT_SCALE * self.last.abs().max(self.slow.abs())).max(TINY)
        }
    }

    /// Scores, then learns.
    fn observe(&mut self, at: i64, y: f64, season: SeasonAt, polarity: Polarity, local: &mut Local) -> Observed {
        let gap = self.track_step(at);
        let offsets = offsets(season);
        let floor = self.floor();
        // After a gap a series may be anywhere that a random walk takes it.
        let patience = gap.min(16.0).sqrt();
        self.ask_others(y, offsets, patience);
        let chosen = usize::from(self.chosen);
        let offset = offsets[chosen / 2].unwrap_or(0.0);

        let mean = self.trackers[chosen].level + offset;
        let scale = self.scale(chosen) * patience;
        let z = (y - mean) / scale;
        let slow_scale = (TO_SIGMA * self.slow_error).max(floor);
        let profile = best_known(offsets);
        let z_slow = (y - profile - self.slow) / slow_scale;
        let change = (y - self.last) - (offset - self.last_season);
        let z_change = change / (TO_SIGMA * self.difference * patience).max(floor * patience);
        let fast = polarity.apply(bounded(z));
        let slow = polarity.apply(bounded(z_slow));
        let features: [f32; FEATURES] = local.observe(fast, polarity.apply(bounded(z_change)), slow);

        self.learn(y, z, z_slow, change, offsets, floor);
        let deviation = y - self.slow;
        self.last = y;
        self.last_at = at;
        self.last_season = offsets[usize::from(self.chosen) / 2].unwrap_or(offset);
        self.last_profile = profile;
        self.seen += 1;
        Observed {
            residual: Residual {
                mean,
                scale,
                fast,
                slow,
                features,
            },
            deviation,
        }
    }

    /// What an outlook extrapolates. A step leaves a trend behind that the recent past no longer shows: then that counts.
    fn trend(&self) -> f64 {
        if self.recent_trend * self.trend <= 0.0 {
            0.0
        } else if self.recent_trend.abs() < 0.5 * self.trend.abs() {
            self.recent_trend
        } else {
            self.trend
        }
    }

    fn learn(&mut self, y: f64, z: f64, z_slow: f64, change: f64, offsets: [Option<f64>; 3], floor: f64) {
        confirm(&mut self.outliers, &mut self.relearn, z, CONFIRM, RELEARN);
        let memory = self.slow_memory();
        let patience = (memory / 2.0).clamp(128.0, 1440.0) as u16;
        confirm(
            &mut self.outliers_slow,
            &mut self.relearn_slow,
            z_slow,
            patience,
            RELEARN,
        );

        let relearning = self.relearn > 0;
        // Of the forecaster that speaks for the series: with its season, a level has none left.
        let speaker = usize::from(self.chosen);
        let before = self.trackers[speaker].level;
        let plain = [self.trackers[0].error, self.trackers[1].error];
        for (i, tracker) in self.trackers.iter_mut().enumerate() {
            let Some(season) = offsets[i / 2] else { continue };
            if tracker.error < 0.0 {
                tracker.level = y - season;
                tracker.error = HANDICAP * plain[i % 2];
                continue;
            }
            let r = y - season - tracker.level;
            tracker.learn(r, GAINS[i % 2], floor, relearning, self.seen);
        }
        let clip = (TO_SIGMA * self.trackers[speaker].error).max(floor);
        let moved = (self.trackers[speaker].level - before).clamp(-clip, clip);
        self.trend += (moved - self.trend) / TREND_MEMORY;
        self.recent_trend += (moved - self.recent_trend) / (TREND_MEMORY / 4.0);

        let slow_scale = (TO_SIGMA * self.slow_error).max(floor);
        let r = y - best_known(offsets) - self.slow;
        let gain = 1.0 / memory.min(self.seen as f64 + 1.0);
        if self.relearn_slow > 0 {
            self.slow += 0.2 * r;
        } else {
            let pull = if z_slow.abs() > OUTLIER { 1.0 } else { CLIP };
            self.slow += gain * r.clamp(-pull * slow_scale, pull * slow_scale);
            let weight = if z_slow.abs() > OUTLIER { 0.2 } else { 1.0 };
            self.slow_error += gain * weight * (r.abs().min(4.0 * slow_scale) - self.slow_error);
        }

        let gain = 1.0 / ERROR_MEMORY.min(self.seen as f64 + 1.0);
        let limit = 4.0 * (TO_SIGMA * self.difference).max(floor);
        self.difference += gain * (change.abs().min(limit) - self.difference);
        let jump = (y - self.last).abs();
        if jump > 0.0 {
            self.changes = self.changes.saturating_add(1);
            let n = f64::from(self.changes).min(64.0);
            let jump = if self.changes > 3 {
                jump.min(8.0 * self.quantum)
            } else {
                jump
            };
            self.quantum += (jump - self.quantum) / n;
        }
        self.choose(offsets);
    }

    /// Follows the sampling interval and returns how many of them passed, at least 1.
    fn track_step(&mut self, at: i64) -> f64 {
        let passed = at.saturating_sub(self.last_at).max(1);
        let step = self.step_ms.max(1);
        let ratio = passed as f64 / step as f64;
        if (0.9..1.1).contains(&ratio) {
            self.odd_steps = self.odd_steps.saturating_sub(1);
        } else {
            self.odd_steps += 1;
            // A source that has changed its interval keeps being odd; one with gaps does not.
            if self.odd_steps >= 24 {
                self.step_ms = passed;
                self.odd_steps = 0;
            }
        }
        ratio.max(1.0)
    }

    /// Samples that the long-term level remembers: a day of them, within reason.
    fn slow_memory(&self) -> f64 {
        (86_400_000.0 / self.step_ms.max(1) as f64).clamp(256.0, 2880.0)
    }
}

/// Seasonal offsets by candidate pair: none, day, day + week, each with what is special about the day. `None`: not learnt yet.
fn offsets(season: SeasonAt) -> [Option<f64>; 3] {
    let special = |profile: f64| profile + season.month;
    [Some(season.month), season.day.map(special), season.week.map(special)]
}

/// What the season that sees most adds.
fn best_known([none, day, week]: [Option<f64>; 3]) -> f64 {
    week.or(day).or(none).unwrap_or(0.0)
}

/// Counts outliers in a row, forgiving every second one; enough of them open a time of learning without suspicion.
fn confirm(outliers: &mut u16, relearn: &mut u16, z: f64, needed: u16, span: u16) {
    *relearn = relearn.saturating_sub(1);
    if z.abs() > OUTLIER {
        *outliers += 1;
        if *outliers >= needed {
            *outliers = 0;
            *relearn = span;
        }
    } else {
        *outliers = outliers.saturating_sub(2);
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.map(|v| v / n).sum()
}
