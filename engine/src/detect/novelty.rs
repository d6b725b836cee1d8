//! Novelty: how far a value lies from everything that its series has shown before.
//!
//! The distance to the left nearest neighbour (the one-sample case of the left matrix profile, Yeh et al., ICDM 2016; DAMP,
//! KDD 2022), in standard deviations of the series. A value that came before, at whatever hour and however often, is no
//! news; one that never came is, even where the decomposition is used to surprises. It forgets its news as soon as it has
//! seen it a few times, which is why it never decides alone.
//!
//! At most [`KNOWN`] values stand for the past: when there is no room, the two nearest become one, as categories do in
//! adaptive resonance. On NAB 48 score as well as all of them. O([`KNOWN`]) a sample, 272 bytes a series.

use crate::features::Polarity;

/// Values that stand for a series' past.
const KNOWN: usize = 48;
/// Samples before a value counts as known: what has only just begun is still news.
const DELAY: usize = 8;
/// Samples that mean and variance remember.
const MEMORY: f64 = 50_000.0;
/// Samples after which the past is worth the full answer; before, new values are ordinary.
const RIPE: f32 = 200.0;
/// Distance, in standard deviations, that is as rare as the setting allows: where NAB's score is greatest.
const RARE: f32 = 0.35;
/// Smallest standard deviation, as a part of the level.
const FLOOR: f64 = 1e-3;
const TINY: f64 = 1e-290;

/// The past values of many series. Slots from 0, in the order of [`Novelties::add`].
#[derive(Clone, Debug, Default)]
pub(super) struct Novelties {
    series: Vec<Known>,
}

/// What one series has shown.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Ascending; the first `len` count.
    values: [f32; KNOWN],
    len: u8,
    waiting: [f32; DELAY],
    seen: u64,
    mean: f64,
    variance: f64,
    polarity: Polarity,
}

impl Novelties {
    pub(super) fn add(&mut self, polarity: Polarity) {
        self.series.push(Known {
            values: [0.0; KNOWN],
            len: 0,
            waiting: [0.0; DELAY],
            seen: 0,
            mean: 0.0,
            variance: 0.0,
            polarity,
        });
    }

    /// Novelty of a value relative to what the setting allows: 1 is just as rare. Not negative, finite.
    pub(super) fn score(&self, slot: usize, value: f64) -> f32 {
        self.series[slot].score(value)
    }

    /// Reads from each cache line of a series.
    pub(super) fn touch(&self, slot: usize) -> f32 {
        let known = &self.series[slot];
        known.values[0] + known.values[KNOWN / 3] + known.values[2 * KNOWN / 3] + known.waiting[0] + known.mean as f32
    }

    /// Copies what a series has shown.
    pub(super) fn copy_out(&self, slot: usize) -> Known {
        self.series[slot].clone()
    }

    /// Puts a copy back.
    pub(super) fn put_back(&mut self, slot: usize, known: Known) {
        self.series[slot] = known;
    }

    /// Takes in a finite value.
    pub(super) fn learn(&mut self, slot: usize, value: f64) {
        self.series[slot].learn(value);
    }
}

impl Known {
    /// Distance from `value` to the nearest value that came before, in the unit of the series.
    pub(super) fn nearest(&self, value: f64) -> Option<f64> {
        distance(&self.values[..usize::from(self.len)], narrow(value)).map(f64::from)
    }

    pub(super) fn score(&self, value: f64) -> f32 {
        let known = &self.values[..usize::from(self.len)];
        let Some(distance) = distance(known, narrow(value)) else {
            return 0.0;
        };
        let spread = self.variance.sqrt().max(FLOOR * self.mean.abs()).max(TINY);
        let distance = (f64::from(distance) / spread).min(1e6) as f32;
        let side = if value < self.mean { -1.0 } else { 1.0 };
        let hurts = self.polarity.apply(side).abs();
        hurts * distance / RARE * (self.seen as f32 / RIPE).min(1.0)
    }

    fn learn(&mut self, value: f64) {
        let at = (self.seen % DELAY as u64) as usize;
        let ripe = (self.seen >= DELAY as u64).then_some(self.waiting[at]);
        self.waiting[at] = narrow(value);
        self.seen += 1;
        let gain = 1.0 / MEMORY.min(self.seen as f64);
        let apart = value - self.mean;
        self.mean += gain * apart;
        // Far beyond anything real the square overflows; there the spread is as large as it can be.
        let square = (apart * (value - self.mean)).min(f64::MAX / 4.0);
        self.variance += gain * (square - self.variance);
        if let Some(value) = ripe {
            self.know(value);
        }
    }

    /// Makes room if there is none, and puts the value in its place.
    fn know(&mut self, value: f32) {
        let mut len = usize::from(self.len);
        let mut place = self.values[..len].partition_point(|known| *known < value);
        if self.values[..len].get(place).is_some_and(|known| *known <= value) {
            return;
        }
        if len == KNOWN {
            let merged = self.merge();
            // The newcomer may stand nearer to a neighbour than the nearest two to each other: then it is the one to go.
            if distance(&self.values, value).is_some_and(|d| d <= self.values[merged + 1] - self.values[merged]) {
                return;
            }
            self.close(merged);
            len -= 1;
            place = self.values[..len].partition_point(|known| *known < value);
        }
        self.values.copy_within(place..len, place + 1);
        self.values[place] = value;
        self.len = (len + 1) as u8;
    }

    /// The position of the first of the two nearest values.
    fn merge(&self) -> usize {
        // Gaps are not negative, so their bits have their order; integers are compared many at a time.
        let gaps: [u32; KNOWN - 1] = std::array::from_fn(|i| (self.values[i + 1] - self.values[i]).to_bits());
        let least = gaps.iter().copied().fold(u32::MAX, u32::min);
        gaps.iter().position(|gap| *gap == least).unwrap_or(0)
    }

    /// Makes one of the values at `at` and `at + 1`. The extremes stay what they are.
    fn close(&mut self, at: usize) {
        let merged = match at {
            0 => self.values[0],
            _ if at + 2 == KNOWN => self.values[KNOWN - 1],
            _ => self.values[at] + 0.5 * (self.values[at + 1] - self.values[at]),
        };
        self.values[at] = merged;
        self.values.copy_within(at + 2.., at + 1);
    }
}

fn narrow(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

/// Distance to the nearest of ascending values; `None` if there are none.
fn distance(known: &[f32], value: f32) -> Option<f32> {
    let at = known.partition_point(|x| *x < value);
    let above = known.get(at).map(|x| x - value);
    let below = at.checked_sub(1).map(|i| value - known[i]);
    match (above, below) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(polarity: Polarity, values: impl IntoIterator<Item = f64>) -> Novelties {
        let mut novelties = Novelties::default();
        novelties.add(polarity);
        for value in values {
            novelties.learn(0, value);
        }
        novelties
    }

    fn wave(n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(|i| 10.0 + (i as f64 * 0.37).sin())
    }

    #[test]
    fn what_came_before_is_no_news() {
        let novelties = fed(Polarity::Both, wave(600));
        assert!(novelties.score(0, 10.3) < 0.5 && novelties.score(0, 12.0) > 2.0);
        // One spike, however far: from then on it is known.
        let novelties = fed(Polarity::Both, wave(600).chain([40.0]).chain(wave(20)));
        assert!(novelties.score(0, 40.0) < 0.01);
    }

    #[test]
    fn harmless_directions_are_damped() {
        let novelties = fed(Polarity::Up, wave(600));
        assert!(novelties.score(0, 8.0) < 0.25 * novelties.score(0, 12.0));
    }

    #[test]
    fn a_gap_within_the_range_counts() {
        let two_levels = (0..600).map(|i| f64::from(i % 2) * 10.0 + 1e-3 * f64::from(i % 7));
        assert!(fed(Polarity::Both, two_levels).score(0, 5.0) > 2.0);
    }

    #[test]
    fn the_nearest_known_value_is_as_near_as_the_nearest_of_all() {
        // The bounded memory against all values: far ones are told apart alike.
        let all: Vec<f64> = (0..5000).map(|i| (f64::from(i) * 0.618_034).fract() * 100.0).collect();
        let novelties = fed(Polarity::Both, all.iter().copied());
        let known = &novelties.series[0];
        assert_eq!(usize::from(known.len), KNOWN);
        for i in 0..200 {
            let gap = distance(&known.values, i as f32 * 0.5).unwrap();
            assert!(gap < 100.0 / KNOWN as f32, "{i}: {gap}");
        }
    }

    proptest! {
        #[test]
        fn finite_ordered_and_free_of_scale_and_shift(
            values in prop::collection::vec(-1e3..1e3_f64, 20..400), probe in -2e3..2e3_f64, scale in 1u32..8, shift in -64i32..64,
        ) {
            let scale = f64::from(scale);
            let shift = f64::from(shift);
            // A floor by level is not free of shift; these spread far more than it.
            let values: Vec<f64> = values.into_iter().chain([-900.0, 900.0]).collect();
            let plain = fed(Polarity::Both, values.iter().copied());
            let moved = fed(Polarity::Both, values.iter().map(|v| v * scale + shift));
            let (a, b) = (plain.score(0, probe), moved.score(0, probe * scale + shift));
            prop_assert!(a.is_finite() && a >= 0.0);
            prop_assert!((a - b).abs() <= 0.02 * a.max(0.1), "{} {}", a, b);
            let known = &plain.series[0];
            prop_assert!(known.values[..usize::from(known.len)].windows(2).all(|w| w[0] < w[1]));
        }

        #[test]
        fn whatever_enters_the_score_is_finite(values in prop::collection::vec(prop::num::f64::NORMAL, 1..100), probe in prop::num::f64::NORMAL) {
            let bounded = |v: f64| v.clamp(-1e290, 1e290);
            let novelties = fed(Polarity::Both, values.into_iter().map(bounded));
            let score = novelties.score(0, bounded(probe));
            prop_assert!(score.is_finite() && score >= 0.0, "{}", score);
        }
    }
}
