//! What is known of one series' way of reporting.
//!
//! Shares are exponentially weighted over about [`MEMORY`] samples. A step is the running median of the intervals; steps are
//! counted by rounding, so that jitter below half a step never counts as a loss.

use super::QualityKind;
use wire::Timestamp;

/// Samples before anything is judged.
pub(super) const WARM_UP: u32 = 128;
const MEMORY: f32 = 32.0;
/// A single outage is no sparseness, however long: it counts as so many lost steps.
const LOST_AT_ONCE: i32 = 4;
/// Bounds of the shares: on, off. That of lost steps is above what the series usually loses.
const LATE: (f32, f32) = (0.5, 0.2);
const LOST: (f32, f32) = (0.3, 0.15);
const DOUBLED: (f32, f32) = (0.35, 0.15);
/// Weight of a resent sample that says the same as before: two agents that agree are no trouble, a third is.
const SAME_AGAIN: f32 = 0.5;
/// A sample is late beyond so many times the usual lag and so many steps, but never below a few seconds.
const LAG_FACTOR: f32 = 3.0;
const LAG_STEPS: f32 = 3.0;
const LAG_MIN_MS: f32 = 5000.0;
/// A run of one value is a flat line from so many samples on, so many times its longest before, and at least so long.
const FLAT_MIN: u32 = 20;
const FLAT_FACTOR: u32 = 6;
const FLAT_MIN_MS: f32 = 60_000.0;
/// A run this long counts as still when all its siblings stand still too.
const STILL_MIN: u32 = 5;
/// Different values in a row after which a flat line is over, and samples after which a missing series is back.
const CALM: u8 = 3;
/// Steps without a sample after which a series is missing.
const MISSING_STEPS: f32 = 5.5;

const CHANGING: u8 = 1 << 0;
const STILL: u8 = 1 << 1;
const ENDED: u8 = 1 << 2;

/// State of one series.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    last_at: i64,
    bits: u64,
    group: u32,
    seen: u32,
    changes: u32,
    /// Samples before the newest one that had its value, in a row; and the longest such run.
    same: u32,
    longest: u32,
    /// Milliseconds; 0: not known yet. The usual lag is negative until one is known.
    step: f32,
    lag: f32,
    late: f32,
    lost: f32,
    usual_lost: f32,
    doubled: f32,
    /// Findings that hold, and those that were told; bits of [`QualityKind`].
    active: u8,
    told: u8,
    flags: u8,
    calm: u8,
}

const _: () = assert!(
    size_of::<Monitor>() <= 64,
    "a series' data quality costs at most 64 bytes"
);

impl Monitor {
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.bits
    }

    pub(super) fn new(group: u32, step_ms: i64) -> Self {
        Self {
            last_at: i64::MIN,
            bits: 0,
            group,
            seen: 0,
            changes: 0,
            same: 0,
            longest: 0,
            step: step_ms.max(0) as f32,
            lag: -1.0,
            late: 0.0,
            lost: 0.0,
            usual_lost: 0.0,
            doubled: 0.0,
            active: 0,
            told: 0,
            flags: 0,
            calm: 0,
        }
    }

    pub(super) fn group(&self) -> usize {
        self.group as usize
    }

    pub(super) fn has(&self, kind: QualityKind) -> bool {
        self.active & kind.bit() != 0
    }

    pub(super) fn is_still(&self) -> bool {
        self.flags & STILL != 0
    }

    /// Takes in a sample. `arrived`: when it came, if that is known.
    pub(super) fn observe(&mut self, at: Timestamp, value: f64, arrived: Option<Timestamp>) {
        let at = at.as_millis();
        if self.seen > 0 && at <= self.last_at {
            return;
        }
        if self.seen > 0 {
            self.count_steps(at.saturating_sub(self.last_at) as f32);
            self.follow_value(value);
        }
        if let Some(arrived) = arrived {
            self.follow_lag(arrived.as_millis().saturating_sub(at).max(0) as f32);
        }
        self.doubled -= self.doubled / MEMORY;
        self.flags &= !ENDED;
        self.last_at = at;
        self.bits = value.to_bits();
        self.seen = self.seen.saturating_add(1);
        if self.has(QualityKind::Missing) {
            self.calm += 1;
            if self.calm >= CALM {
                self.set(QualityKind::Missing, false);
                self.calm = 0;
            }
        }
        self.judge();
    }

    fn count_steps(&mut self, passed: f32) {
        if self.step <= 0.0 {
            self.step = passed;
        }
        let steps = (passed / self.step).round().clamp(1.0, 1e6);
        let missed = (steps as i32 - 1).min(LOST_AT_ONCE);
        let keep = 1.0 - 1.0 / MEMORY;
        self.lost = (1.0 - (1.0 - self.lost) * keep.powi(missed)) * keep;
        // The running median: up for a longer interval, down for a shorter one, in ever smaller steps.
        let gain = 1.0 / (8.0 + self.seen.min(248) as f32);
        if passed > self.step {
            self.step *= 1.0 + gain;
        } else if passed < self.step {
            self.step *= 1.0 - gain;
        }
        if self.seen <= WARM_UP {
            self.usual_lost = self.lost;
        } else if !self.has(QualityKind::Sparse) {
            self.usual_lost += (self.lost - self.usual_lost) / (32.0 * MEMORY);
        }
    }

    fn follow_value(&mut self, value: f64) {
        if value.to_bits() == self.bits {
            self.same = self.same.saturating_add(1);
            if !self.has(QualityKind::Missing) {
                self.calm = 0;
            }
        } else {
            self.changes = self.changes.saturating_add(1);
            // A flat line teaches its length only bit by bit: a scraper that hangs often must not become the rule at once.
            let learnt = if self.has(QualityKind::FlatLined) {
                self.same.min(2 * self.longest + 1)
            } else {
                self.same
            };
            self.longest = self.longest.max(learnt);
            self.same = 0;
            if self.has(QualityKind::FlatLined) {
                self.calm += 1;
                if self.calm >= CALM {
                    self.set(QualityKind::FlatLined, false);
                    self.calm = 0;
                }
            }
        }
    }

    fn follow_lag(&mut self, lag: f32) {
        if self.lag < 0.0 {
            self.lag = lag;
            return;
        }
        let bound = (LAG_FACTOR * self.lag + LAG_STEPS * self.step).max(LAG_MIN_MS);
        let late = if lag > bound { 1.0 } else { 0.0 };
        self.late += (late - self.late) / MEMORY;
        let pull = self.step.max(1.0);
        self.lag += (lag - self.lag).clamp(-pull, pull) / (2.0 * MEMORY);
    }

    pub(super) fn resent(&mut self, conflicting: bool) {
        let weight = if conflicting { 1.0 } else { SAME_AGAIN };
        self.doubled += (weight - self.doubled) / MEMORY;
        self.judge();
    }

    pub(super) fn out_of_order(&mut self) {
        self.late += (1.0 - self.late) / MEMORY;
        self.judge();
    }

    /// Whether the time from `before` to `at` is so long that nobody of its group reporting then means that all paused.
    pub(super) fn is_pause(&self, before: Timestamp, at: Timestamp) -> bool {
        at.as_millis().saturating_sub(before.as_millis()) as f32 > 2.5 * self.step
    }

    /// Whether the series is missing, given that a sibling reported at `newest`; notes it. After a pause of all of them, until
    /// `resumed`, each has some steps to come back.
    pub(super) fn misses(&mut self, newest: Timestamp, resumed: Timestamp) -> bool {
        let since = self.last_at.max(resumed.as_millis());
        let silent = newest.as_millis().saturating_sub(since) as f32;
        if self.has(QualityKind::Missing)
            || self.flags & ENDED != 0
            || !self.is_regular()
            || silent <= MISSING_STEPS * self.step
        {
            return false;
        }
        self.set(QualityKind::Missing, true);
        self.calm = 0;
        true
    }

    /// One that usually leaves gaps is not missed for one more.
    pub(super) fn is_regular(&self) -> bool {
        self.seen >= WARM_UP && self.usual_lost < 0.1 && self.lost < LOST.0
    }

    pub(super) fn step(&self) -> Option<f32> {
        (self.step > 0.0).then_some(self.step)
    }

    pub(super) fn end(&mut self) {
        self.flags |= ENDED;
        self.set(QualityKind::Missing, false);
    }

    /// Takes every finding back, told or not: what was before a start is over.
    pub(super) fn forgive(&mut self) {
        self.active = 0;
        self.told = 0;
        (self.late, self.doubled) = (0.0, 0.0);
        self.lost = self.lost.min(self.usual_lost);
    }

    fn judge(&mut self) {
        if self.seen < WARM_UP {
            return;
        }
        let usual = self.usual_lost;
        self.limit(QualityKind::Late, self.late, LATE);
        self.limit(QualityKind::Sparse, self.lost, (usual + LOST.0, usual + LOST.1));
        self.limit(QualityKind::Duplicated, self.doubled, DOUBLED);
        let long = FLAT_MIN.max(FLAT_FACTOR.saturating_mul(self.longest + 1));
        if self.changes_normally()
            && self.may_freeze()
            && self.same >= long
            && self.same as f32 * self.step >= FLAT_MIN_MS
        {
            self.set(QualityKind::FlatLined, true);
        }
    }

    fn limit(&mut self, kind: QualityKind, share: f32, (on, off): (f32, f32)) {
        let bound = if self.has(kind) { off } else { on };
        self.set(kind, share >= bound);
    }

    /// At every second sample at least, this run aside.
    fn changes_normally(&self) -> bool {
        self.seen >= WARM_UP && u64::from(self.changes) * 2 >= u64::from(self.seen - self.same.min(self.seen))
    }

    /// Nothing happening and a full resource stand still by themselves.
    fn may_freeze(&self) -> bool {
        let value = f64::from_bits(self.bits);
        ![0.0, 1.0, 100.0].iter().any(|edge: &f64| (value - edge).abs() < 1e-12)
    }

    /// How many more members of its group normally change, and stand still, than before the sample.
    pub(super) fn moved(&mut self) -> (i32, i32) {
        let before = self.flags;
        let changing = self.changes_normally();
        let still = changing && self.may_freeze() && self.same >= STILL_MIN.max(self.longest + 1);
        self.flags = (before & ENDED) | if changing { CHANGING } else { 0 } | if still { STILL } else { 0 };
        let gained = |bit: u8| i32::from(self.flags & bit != 0) - i32::from(before & bit != 0);
        (gained(CHANGING), gained(STILL))
    }

    fn set(&mut self, kind: QualityKind, on: bool) {
        if on {
            self.active |= kind.bit();
        } else {
            self.active &= !kind.bit();
        }
    }

    /// Bits of the findings that came or went since this was last asked.
    pub(super) fn turned(&mut self) -> Option<u8> {
        let changed = self.active ^ self.told;
        self.told = self.active;
        (changed != 0).then_some(changed)
    }

    /// When a finding that was made at `at` began, as far as the state tells.
    pub(super) fn began(&self, kind: QualityKind, at: Timestamp) -> Timestamp {
        match kind {
            QualityKind::FlatLined => Timestamp(self.last_at) - (f64::from(self.same) * f64::from(self.step)) as i64,
            QualityKind::Missing => Timestamp(self.last_at) + self.step as i64,
            _ => at,
        }
    }

    pub(super) fn score(&self) -> f32 {
        let mut score = 1.0;
        for (kind, left) in [
            // Late values are right, if not new.
            (QualityKind::Late, 0.7),
            (QualityKind::Sparse, 1.0 - self.lost),
            (QualityKind::Duplicated, 0.4),
            (QualityKind::FlatLined, 0.2),
            (QualityKind::Missing, 0.3),
        ] {
            if self.has(kind) {
                score *= left;
            }
        }
        score
    }

    pub(super) fn describe(&self, kind: QualityKind) -> String {
        let secs = |ms: f32| (ms / 1000.0 * 10.0).round() / 10.0;
        match kind {
            QualityKind::Late => format!(
                "{:.0} % of the samples come later than {} s after their time",
                self.late * 100.0,
                secs((LAG_FACTOR * self.lag + LAG_STEPS * self.step).max(LAG_MIN_MS))
            ),
            QualityKind::Sparse => format!(
                "{:.0} % of the steps of {} s have no sample, usually {:.0} %",
                self.lost * 100.0,
                secs(self.step),
                self.usual_lost * 100.0
            ),
            QualityKind::Duplicated => "timestamps are sent again, with other values or many times".to_owned(),
            QualityKind::FlatLined => format!(
                "the value has not changed for {} samples, before never for more than {}",
                self.same + 1,
                self.longest + 1
            ),
            QualityKind::Missing => format!("no sample for more than 5 steps of {} s", secs(self.step)),
        }
    }
}
