//! How rare a member's raw score is, for this very series.
//!
//! Peaks over threshold, online (SPOT, KDD'17): above the quantile `q` that a share [`SHARE`] of samples exceeds, excesses
//! follow a generalised Pareto distribution, fitted by moments. A new series starts from the bundled calibration and moves
//! to its own as samples come. O(1) a sample, 16 bytes a tail.

use serde::{Deserialize, Serialize};

/// Share of clean samples above the threshold where the Pareto tail begins.
pub(super) const SHARE: f32 = 0.04;
/// `-log10(SHARE)`: the rarity at the threshold.
const RARITY_AT_THRESHOLD: f32 = 1.39794;
/// How many samples of its own a series needs to weigh as much as the bundled calibration.
const PRIOR_WEIGHT: f32 = 400.0;
const MEMORY: f32 = 6000.0;
/// Excesses beyond this many mean excesses teach no more than that.
const EXCESS_CLIP: f32 = 10.0;
const SHAPE_MAX: f32 = 0.35;
/// Rarity is capped here: no history supports more.
const RARITY_MAX: f32 = 300.0;

/// A fitted tail: threshold, mean excess, mean squared excess, samples behind them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    pub(super) threshold: f32,
    pub(super) excess: f32,
    pub(super) excess_square: f32,
    #[serde(skip, default = "prior_weight")]
    samples: f32,
}

fn prior_weight() -> f32 {
    PRIOR_WEIGHT
}

impl Tail {
    /// The tail of `scores`, which must not be negative.
    pub(super) fn fit(mut scores: Vec<f32>) -> Self {
        scores.sort_by(f32::total_cmp);
        let split = ((scores.len() as f32) * (1.0 - SHARE)) as usize;
        let threshold = scores.get(split).copied().unwrap_or(1.0).max(1e-6);
        let above = &scores[split.min(scores.len())..];
        let n = above.len().max(1) as f32;
        let excess = (above.iter().map(|s| s - threshold).sum::<f32>() / n).max(1e-6);
        let excess_square = above
            .iter()
            .map(|s| (s - threshold).min(EXCESS_CLIP * excess).powi(2))
            .sum::<f32>()
            / n;
        Self {
            threshold,
            excess,
            excess_square,
            samples: PRIOR_WEIGHT,
        }
    }

    /// Where novelty starts from without a calibration of its own: wide enough that a new series has to earn its alerts.
    pub(super) fn of_novelty() -> Self {
        Self {
            threshold: 0.3,
            excess: 0.3,
            excess_square: 0.18,
            samples: PRIOR_WEIGHT,
        }
    }

    /// The tail of the median series among `tails`; series that never vary say nothing and are left out.
    pub(super) fn median(tails: &[Self]) -> Self {
        let varied: Vec<&Self> = tails.iter().filter(|t| t.threshold > 0.1).collect();
        let middle = |of: fn(&Self) -> f32, default: f32| {
            let mut values: Vec<f32> = varied.iter().map(|t| of(t)).collect();
            values.sort_by(f32::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(default)
        };
        let excess = middle(|t| t.excess, 0.5);
        // An exponential's mean square is twice its squared mean.
        let spread = middle(|t| t.excess_square / (t.excess * t.excess), 2.0);
        Self {
            threshold: middle(|t| t.threshold, 2.0),
            excess,
            excess_square: spread * excess * excess,
            samples: PRIOR_WEIGHT,
        }
    }

    /// Where a series' tail begins again under another model: from that model's calibration of the class, but no less deaf
    /// than its own past made it. Scores of one kind of model are of about one size, so a series that is wilder than its
    /// class stays so; from the class alone, two members that begin again together would find it anomalous together.
    pub(super) fn under_another_model(&self, class: &Self) -> Self {
        let spread = |tail: &Self| tail.excess_square / (tail.excess * tail.excess);
        let excess = self.excess.max(class.excess);
        Self {
            threshold: self.threshold.max(class.threshold),
            excess,
            excess_square: spread(self).max(spread(class)) * excess * excess,
            samples: PRIOR_WEIGHT,
        }
    }

    /// `-log10` of the chance that a clean sample scores at least `score`, 0..=300, monotone in `score`.
    #[inline]
    pub(super) fn rarity(&self, score: f32) -> f32 {
        if score <= self.threshold {
            return RARITY_AT_THRESHOLD * (score / self.threshold).max(0.0);
        }
        let relative = (score - self.threshold) / self.excess;
        let shape = self.shape();
        let decades = if shape < 0.01 {
            relative * std::f32::consts::LOG10_E
        } else {
            (shape * relative).ln_1p() * std::f32::consts::LOG10_E / shape
        };
        (RARITY_AT_THRESHOLD + decades).min(RARITY_MAX)
    }

    /// The score whose rarity is `rarity`: the inverse of [`Tail::rarity`].
    pub(super) fn score_at(&self, rarity: f32) -> f32 {
        let decades = (rarity - RARITY_AT_THRESHOLD) / std::f32::consts::LOG10_E;
        if decades <= 0.0 {
            return self.threshold * (rarity / RARITY_AT_THRESHOLD).max(0.0);
        }
        let shape = self.shape();
        let relative = if shape < 0.01 {
            decades
        } else {
            (shape * decades).exp_m1() / shape
        };
        self.threshold + self.excess * relative
    }

    /// Learns one score; `weight` below 1 for a sample under suspicion.
    #[inline]
    pub(super) fn learn(&mut self, score: f32, weight: f32) {
        self.samples = (self.samples + weight).min(MEMORY);
        let excess = score - self.threshold;
        let above = excess > 0.0;
        // Newton's step for the quantile: the density at the threshold of an exponential tail is SHARE / excess.
        let gain = weight * self.excess / (SHARE * self.samples);
        self.threshold = (self.threshold + gain * (f32::from(u8::from(above)) - SHARE)).max(1e-6);
        if above {
            let excess = excess.min(EXCESS_CLIP * self.excess);
            let gain = weight / (SHARE * self.samples);
            self.excess = (self.excess + gain * (excess - self.excess)).max(1e-6);
            self.excess_square += gain * (excess * excess - self.excess_square);
        }
    }

    /// Shape of the Pareto tail by the method of moments: 0 is exponential, larger is heavier.
    #[inline]
    fn shape(&self) -> f32 {
        let square = self.excess * self.excess;
        let variance = (self.excess_square - square).max(1e-12);
        (0.5 * (1.0 - square / variance)).clamp(0.0, SHAPE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn exponential(n: usize, mean: f32) -> Vec<f32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        (0..n).map(|_| -mean * (1.0 - rng.random::<f32>()).ln()).collect()
    }

    #[test]
    fn rarity_of_an_exponential_is_its_survival_function() {
        let tail = Tail::fit(exponential(200_000, 2.0));
        for score in [10.0_f32, 14.0, 20.0] {
            let exact = score / 2.0 * std::f32::consts::LOG10_E;
            assert!(
                (tail.rarity(score) - exact).abs() < 0.35,
                "{score}: {} {exact}",
                tail.rarity(score)
            );
            assert!((tail.score_at(tail.rarity(score)) - score).abs() < 0.01);
        }
    }

    #[test]
    fn online_learning_moves_a_wrong_prior_to_the_series_own_tail() {
        let mut tail = Tail::fit(exponential(10_000, 1.0));
        let scores = exponential(60_000, 3.0);
        for &score in &scores {
            tail.learn(score, 1.0);
        }
        let exact = Tail::fit(scores);
        assert!(
            (tail.threshold / exact.threshold - 1.0).abs() < 0.08,
            "{tail:?} {exact:?}"
        );
        assert!((tail.excess / exact.excess - 1.0).abs() < 0.15, "{tail:?} {exact:?}");
    }
}
