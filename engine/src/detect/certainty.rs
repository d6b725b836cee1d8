//! From how rare a sample is, and how many members say so, to the chance that its alert is about real trouble.
//!
//! A logistic regression (Platt, 1999) on alerts of simulated worlds whose faults are known; `halo train` fits it. How often
//! there is real trouble differs from place to place: the reliability diagram over people's verdicts shows how well it does
//! at this one.

use super::calibration::unsquash;
use serde::{Deserialize, Serialize};

/// Steps of Newton's method: it has converged long before.
const STEPS: usize = 50;
/// Keeps the coefficients finite where real and false alerts can be told apart without error.
const RIDGE: f64 = 1e-2;

/// Coefficients of the regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certainty {
    bias: f32,
    /// By which the logarithm of the joint rarity, relative to what is required, moves the logit; not negative.
    rarity: f32,
    /// The same for every member above two.
    votes: f32,
}

/// One alert of known truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alert {
    /// Of the sample that opened it, 0..1.
    pub score: f32,
    pub votes: u8,
    pub real: bool,
}

impl Default for Certainty {
    /// For files written before it was fitted: as likely as not where an alert is just rare enough.
    fn default() -> Self {
        Self {
            bias: 0.0,
            rarity: 2.0,
            votes: 0.5,
        }
    }
}

impl Certainty {
    /// The chance, 0..1, that an alert of this score and so many votes is real. Monotone in both.
    pub fn chance(&self, score: f32, votes: u8) -> f32 {
        let [one, rarity, more] = inputs(score, votes);
        let logit = f64::from(self.bias) * one + f64::from(self.rarity) * rarity + f64::from(self.votes) * more;
        sigmoid(logit) as f32
    }

    /// Fits to alerts of known truth. `None` where there are not both real and false ones. O(alerts).
    pub fn fit(alerts: &[Alert]) -> Option<Self> {
        let real = alerts.iter().filter(|alert| alert.real).count();
        if real == 0 || real == alerts.len() {
            return None;
        }
        // What more evidence lowers, noise has: fit again without.
        let mut used = [true; 3];
        loop {
            let weights = newton(alerts, used);
            let worst = (1..3)
                .filter(|&k| weights[k] < 0.0)
                .min_by(|&a, &b| weights[a].total_cmp(&weights[b]));
            match worst {
                Some(k) => used[k] = false,
                None => {
                    return Some(Self {
                        bias: weights[0] as f32,
                        rarity: weights[1] as f32,
                        votes: weights[2] as f32,
                    });
                }
            }
        }
    }
}

fn inputs(score: f32, votes: u8) -> [f64; 3] {
    let rarity = f64::from(unsquash(score).max(1e-3)).ln();
    [1.0, rarity, f64::from(votes.saturating_sub(2))]
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Maximum likelihood with a little ridge; a coefficient that is not used stays 0.
fn newton(alerts: &[Alert], used: [bool; 3]) -> [f64; 3] {
    let mut weights = [0.0; 3];
    for _ in 0..STEPS {
        let mut gradient = weights.map(|w| -RIDGE * w);
        let mut hessian = [[0.0; 3]; 3];
        for alert in alerts {
            let x = inputs(alert.score, alert.votes);
            let p = sigmoid(x.iter().zip(&weights).map(|(x, w)| x * w).sum());
            for i in 0..3 {
                gradient[i] += x[i] * (f64::from(u8::from(alert.real)) - p);
                for (cell, other) in hessian[i].iter_mut().zip(x) {
                    *cell += x[i] * other * p * (1.0 - p);
                }
            }
        }
        for i in 0..3 {
            hessian[i][i] += RIDGE;
            if !used[i] {
                gradient[i] = 0.0;
                hessian[i] = [0.0; 3];
                hessian.iter_mut().for_each(|row| row[i] = 0.0);
                hessian[i][i] = 1.0;
            }
        }
        let step = solve(hessian, gradient);
        for (weight, step) in weights.iter_mut().zip(step) {
            *weight += step.clamp(-2.0, 2.0);
        }
    }
    weights
}

/// Gauss without pivoting: the matrix is symmetric and positive definite.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> [f64; 3] {
    for i in 0..3 {
        for j in i + 1..3 {
            let factor = a[j][i] / a[i][i];
            let pivot = a[i];
            for (cell, above) in a[j].iter_mut().zip(pivot).skip(i) {
                *cell -= factor * above;
            }
            b[j] -= factor * b[i];
        }
    }
    for i in (0..3).rev() {
        for j in i + 1..3 {
            b[i] -= a[i][j] * b[j];
        }
        b[i] /= a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn alerts(truth: Certainty, n: usize) -> Vec<Alert> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let alert = |_| {
            let (score, votes) = (rng.random_range(0.6..0.95), rng.random_range(2..5));
            let real = rng.random::<f32>() < truth.chance(score, votes);
            Alert { score, votes, real }
        };
        (0..n).map(alert).collect()
    }

    #[test]
    fn the_coefficients_that_made_the_alerts_are_found() {
        let truth = Certainty {
            bias: -1.0,
            rarity: 1.8,
            votes: 0.6,
        };
        let found = Certainty::fit(&alerts(truth, 40_000)).unwrap();
        for (a, b) in [
            (found.bias, truth.bias),
            (found.rarity, truth.rarity),
            (found.votes, truth.votes),
        ] {
            assert!((a - b).abs() < 0.08, "{found:?}");
        }
    }

    #[test]
    fn more_evidence_never_lowers_the_chance() {
        // Real alerts that are less rare than false ones: noise of a small sample.
        let odd: Vec<Alert> = (0..20u8)
            .map(|i| Alert {
                score: if i % 2 == 0 { 0.72 } else { 0.88 },
                votes: 2,
                real: i % 2 == 0 || i > 14,
            })
            .collect();
        let found = Certainty::fit(&odd).unwrap();
        assert!(found.chance(0.88, 2) >= found.chance(0.72, 2), "{found:?}");
        assert!(found.chance(0.7, 4) >= found.chance(0.7, 2));
        assert!((0.0..=1.0).contains(&found.chance(f32::MAX, 255)) && found.chance(0.0, 0) >= 0.0);
    }

    #[test]
    fn without_both_kinds_there_is_nothing_to_fit() {
        let mut all = alerts(Certainty::default(), 50);
        all.iter_mut().for_each(|alert| alert.real = true);
        assert_eq!(Certainty::fit(&all), None);
        assert_eq!(Certainty::fit(&[]), None);
    }
}
