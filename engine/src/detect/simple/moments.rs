//! Mean and standard deviation of the last hours or days, in fixed memory.
//!
//! The window is cut into [`PARTS`] parts, each with its count, mean and sum of squares (Welford, 1962); parts are merged as
//! Chan, Golub and LeVeque (1983) do. The window ends with the part of the newest sample and holds [`PARTS`] parts before it,
//! so its length is exact to one part in [`PARTS`]. Not finite: refused. O(1) a sample, O([`PARTS`]) when a part ends.

use std::collections::VecDeque;
use wire::Timestamp;

/// Parts of a window.
const PARTS: i64 = 288;
/// Where squares cannot overflow.
const VALUE_MAX: f64 = 1e150;

/// See the module.
#[derive(Clone, Debug)]
pub struct Moments {
    part_ms: i64,
    /// Oldest first, with the number of the part.
    parts: VecDeque<(i64, Part)>,
    /// All parts but the newest.
    closed: Part,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// An empty window of `window_ms`.
    pub fn new(window_ms: i64) -> Self {
        Self {
            part_ms: (window_ms / PARTS).max(1),
            parts: VecDeque::new(),
            closed: Part::default(),
        }
    }

    /// Takes in a sample. Times must not fall; one that does goes into the newest part.
    pub fn add(&mut self, at: Timestamp, value: f64) {
        if !value.is_finite() {
            return;
        }
        let part = at.as_millis().div_euclid(self.part_ms);
        if self.parts.back().is_none_or(|(newest, _)| part > *newest) {
            while self.parts.front().is_some_and(|(oldest, _)| *oldest < part - PARTS + 1) {
                self.parts.pop_front();
            }
            self.closed = self.parts.iter().fold(Part::default(), |all, (_, p)| all.merge(*p));
            self.parts.push_back((part, Part::default()));
        }
        if let Some((_, newest)) = self.parts.back_mut() {
            let one = Part {
                n: 1,
                mean: value.clamp(-VALUE_MAX, VALUE_MAX),
                squares: 0.0,
            };
            *newest = newest.merge(one);
        }
    }

    /// Samples in the window.
    pub fn len(&self) -> u64 {
        self.all().n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Mean and sample standard deviation. `None` before two samples.
    pub fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        let all = self.all();
        (all.n >= 2).then(|| (all.mean, (all.squares / (all.n - 1) as f64).max(0.0).sqrt()))
    }

    fn all(&self) -> Part {
        self.parts
            .back()
            .map_or(self.closed, |(_, newest)| self.closed.merge(*newest))
    }
}

impl Part {
    fn merge(self, other: Self) -> Self {
        let n = self.n + other.n;
        if n == 0 {
            return self;
        }
        let apart = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        Self {
            n,
            mean: self.mean + share * apart,
            squares: self.squares + other.squares + apart * apart * share * self.n as f64,
        }
    }
}
