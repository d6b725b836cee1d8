//! Quantiles of the last hours or days, within half a percent of the value, in bounded memory.
//!
//! A histogram whose bins grow by a constant factor (DDSketch: Masson, Rim, Lee, PVLDB 12, 2019): whatever lies in a bin is
//! within [`ACCURACY`] of its middle, relative to its size. Counts add up, so a window is [`PARTS`] histograms, and what has
//! grown old is subtracted exactly. Values of a size below [`SMALLEST`] count as 0. Not finite: refused. A sample costs one
//! map entry, a quantile a walk over the bins in use (about 70 for each factor of 2 that the values span).

use std::collections::{BTreeMap, VecDeque};
use wire::Timestamp;

/// Relative error of a quantile at most.
const ACCURACY: f64 = 0.005;
/// Smaller sizes are 0.
const SMALLEST: f64 = 1e-12;
/// Parts of a window.
const PARTS: i64 = 48;

/// See the module.
#[derive(Clone, Debug)]
pub struct Quantiles {
    part_ms: i64,
    /// Oldest first, with the number of the part.
    parts: VecDeque<(i64, Bins)>,
    all: Bins,
    n: u64,
}

/// Count by bin, in the order of the values. See [`bin`].
type Bins = BTreeMap<i32, u32>;

impl Quantiles {
    /// An empty window of `window_ms`.
    pub fn new(window_ms: i64) -> Self {
        Self {
            part_ms: (window_ms / PARTS).max(1),
            parts: VecDeque::new(),
            all: Bins::new(),
            n: 0,
        }
    }

    /// Takes in a sample. Times must not fall; one that does goes into the newest part.
    pub fn add(&mut self, at: Timestamp, value: f64) {
        if !value.is_finite() {
            return;
        }
        let part = at.as_millis().div_euclid(self.part_ms);
        if self.parts.back().is_none_or(|(newest, _)| part > *newest) {
            while let Some((_, old)) = self.parts.pop_front_if(|(oldest, _)| *oldest < part - PARTS + 1) {
                self.subtract(&old);
            }
            self.parts.push_back((part, Bins::new()));
        }
        if let Some((_, newest)) = self.parts.back_mut() {
            let bin = bin(value);
            *newest.entry(bin).or_default() += 1;
            *self.all.entry(bin).or_default() += 1;
            self.n += 1;
        }
    }

    /// Samples in the window.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The value of which a part `q` (0..=1) of the samples are no greater: numpy's method `lower`. `None` without samples.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.n.checked_sub(1)? as f64).floor() as u64;
        let mut below = 0;
        self.all.iter().find_map(|(bin, count)| {
            below += u64::from(*count);
            (below > rank).then(|| middle(*bin))
        })
    }

    fn subtract(&mut self, old: &Bins) {
        for (bin, count) in old {
            self.n -= u64::from(*count);
            if let Some(left) = self.all.get_mut(bin) {
                *left -= count;
                if *left == 0 {
                    self.all.remove(bin);
                }
            }
        }
    }
}

/// Logarithm of the factor between neighbouring bins.
fn width() -> f64 {
    ((1.0 + ACCURACY) / (1.0 - ACCURACY)).ln()
}

/// The bin of a value: 0 for zero, the others by the logarithm of their size, negative ones below.
fn bin(value: f64) -> i32 {
    let size = value.abs();
    if size < SMALLEST {
        return 0;
    }
    let bin = ((size.ln() - SMALLEST.ln()) / width()).floor() as i32 + 1;
    if value < 0.0 { -bin } else { bin }
}

/// The value that stands for a bin: as far from one end of it as from the other, relatively.
fn middle(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let lower = (SMALLEST.ln() + f64::from(bin.abs() - 1) * width()).exp();
    (lower * (1.0 + ACCURACY)).min(f64::MAX).copysign(f64::from(bin))
}
