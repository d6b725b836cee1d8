//! A counter's rate per second, sample by sample, O(1).
//!
//! As Prometheus' `rate` over each pair of samples: the increase by the time between them; a value below the last one means that
//! counting started over from 0. The first sample gives nothing. Over a gap the rate is the mean of the gap. What is different, and why:
//!
//! - A restart loses what was counted between the last sample and the stop, so what is left is a lower bound: it counts where
//!   it is above the last rate, else that sample says nothing ([`Rated::Nothing`]). No restart looks like a dip of traffic.
//! - A fall to a value that could not have been counted since the last sample is no restart: some counters of kernels step back a
//!   little. It counts as no increase. Where such falls are a quarter of all changes, the series is no counter, whatever its
//!   name says ([`Rated::NotACounter`]).
//! - Two samples much closer than usual (two scrapers, a retried scrape) are one: a single event within a millisecond is not a thousand a
//!   second. What they counted goes to the next sample.
//!
//! Times come in order, values are finite. Rates are finite and never negative.

use wire::Timestamp;

/// Samples closer than this part of the usual step are taken together.
const CLOSE: f64 = 0.25;
/// A restarted counter has at most so many times the increase that its last rate makes likely, or half of what it had.
const PLAUSIBLE: f64 = 8.0;
const MUCH_LESS: f64 = 0.5;
/// Changes before a series can be found to be no counter, and the memory of the share of falls among them.
const CHANGES_MIN: f32 = 16.0;
const CHANGES_MEMORY: f32 = 256.0;
const FALLS_SHARE: f32 = 0.25;
/// How fast the usual step follows.
const STEP_GAIN: f64 = 1.0 / 16.0;

/// What a sample of a counter says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rated {
    /// So many a second since the last sample that said something.
    PerSecond(f64),
    /// Nothing can be said.
    Nothing,
    /// The series is no counter: it falls too often without starting over.
    NotACounter,
}

/// What is known of one counter. 64 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    last: Option<(i64, f64)>,
    /// Counted since the sample at `since` that last gave a rate.
    since: i64,
    counted: f64,
    /// Whether it started over meanwhile, so that `counted` is a lower bound.
    restarted: bool,
    per_second: f64,
    step_ms: f32,
    changes: f32,
    falls: f32,
}

impl Rate {
    /// A counter without a past.
    pub fn new(step_ms: i64) -> Self {
        Self {
            step_ms: step_ms.max(0) as f32,
            ..Self::default()
        }
    }

    /// Reads from its cache lines.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.counted.to_bits()
    }

    /// Takes in a sample.
    pub fn observe(&mut self, at: Timestamp, value: f64) -> Rated {
        let at = at.as_millis();
        let Some((last_at, last)) = self.last else {
            self.last = Some((at, value));
            self.since = at;
            return Rated::Nothing;
        };
        if at <= last_at {
            return Rated::Nothing;
        }
        self.last = Some((at, value));
        let passed_ms = at.saturating_sub(last_at) as f64;
        self.count(last, value, passed_ms);
        if self.changes >= CHANGES_MIN && self.falls >= FALLS_SHARE * self.changes {
            return Rated::NotACounter;
        }
        let span_ms = at.saturating_sub(self.since) as f64;
        let step_ms = f64::from(self.step_ms);
        if span_ms < CLOSE * step_ms {
            return Rated::Nothing;
        }
        self.step_ms = if step_ms > 0.0 {
            // A step is the running median of the intervals, as a gap must not stretch it.
            step_ms + step_ms * STEP_GAIN * (passed_ms - step_ms).signum()
        } else {
            passed_ms
        } as f32;
        let per_second = self.counted / span_ms * 1000.0;
        let is_lower_bound = std::mem::take(&mut self.restarted);
        self.since = at;
        self.counted = 0.0;
        if !per_second.is_finite() || (is_lower_bound && per_second <= self.per_second) {
            return Rated::Nothing;
        }
        self.per_second = per_second;
        Rated::PerSecond(per_second)
    }

    /// Adds the increase from `last` to `value`.
    #[expect(clippy::float_cmp, reason = "a counter that stood still has the same bits")]
    fn count(&mut self, last: f64, value: f64, passed_ms: f64) {
        if value == last {
            return;
        }
        let keep = 1.0 - 1.0 / CHANGES_MEMORY;
        self.changes = self.changes * keep + 1.0;
        self.falls *= keep;
        if value > last {
            self.counted += value - last;
            return;
        }
        self.restarted = true;
        let likely = PLAUSIBLE * self.per_second * passed_ms / 1000.0;
        if value >= 0.0 && (value <= MUCH_LESS * last || value <= likely) {
            self.counted += value;
        } else {
            self.falls += 1.0;
        }
    }
}

/// The rates of a run of samples, oldest first; `None` if they are no counter's.
pub fn rates(samples: &[(Timestamp, f64)], step_ms: i64) -> Option<Vec<(Timestamp, f64)>> {
    let mut rate = Rate::new(step_ms);
    let mut found = Vec::with_capacity(samples.len());
    for &(at, value) in samples {
        match rate.observe(at, value) {
            Rated::PerSecond(per_second) => found.push((at, per_second)),
            Rated::Nothing => {}
            Rated::NotACounter => return None,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
