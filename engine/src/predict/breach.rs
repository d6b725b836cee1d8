//! When a series first crosses a limit.
//!
//! The level is taken as Brownian motion around the expected course. For a straight course the time of the first crossing
//! has the inverse Gaussian distribution; for a seasonal one Durbin's approximation gives its density (J. Durbin, "The
//! first-passage density of the Brownian motion process to a curved boundary", J. Appl. Prob. 29, 1992), which is exact
//! where the course is straight. The trend itself is uncertain: the distribution is averaged over three trends.

use super::Limit;
use crate::features::Outlook;

/// Variance that the level gains per step, relative to the variance of a residual: a level smoothed over about ten samples.
pub const DRIFT: f64 = 0.05;
/// Standard deviation of the trend per step, relative to that of a residual: a line through about fifty samples.
pub const TREND_DEVIATION: f64 = 0.01;
/// Cells per step of the numeric integration.
const CELLS: usize = 8;
/// Trends averaged over, in standard deviations, with their weights (Gauss-Hermite, exact up to the fifth moment).
const TRENDS: [(f64, f64); 3] = [(-1.732_050_8, 1.0 / 6.0), (0.0, 2.0 / 3.0), (1.732_050_8, 1.0 / 6.0)];

/// Distribution of the first crossing.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Probability of having crossed by the end of each cell, ascending, 0..=1. A step has eight cells.
    pub cumulative: Vec<f64>,
}

impl Passage {
    /// Probability of crossing within `steps` (not whole ones only).
    pub fn probability(&self, steps: f64) -> f64 {
        let cells = (steps.max(0.0) * CELLS as f64).round() as usize;
        match cells.min(self.cumulative.len()) {
            0 => 0.0,
            n => self.cumulative[n - 1],
        }
    }

    /// The number of steps by which a share `q` of the crossings that happen at all (within what was computed) has
    /// happened; `None` if none does.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let all = self.cumulative.last().copied().filter(|p| *p > 1e-9)?;
        let cell = self.cumulative.partition_point(|p| *p < q * all);
        let before = if cell == 0 { 0.0 } else { self.cumulative[cell - 1] };
        let here = self.cumulative[cell.min(self.cumulative.len() - 1)];
        let within = if here > before {
            (q * all - before) / (here - before)
        } else {
            1.0
        };
        Some((cell as f64 + within) / CELLS as f64)
    }
}

/// When the course of `outlook` first crosses `limit`, over the next `steps`. `None` if it has crossed already.
///
/// O(steps).
pub fn first_passage(outlook: &Outlook, limit: Limit, steps: usize) -> Option<Passage> {
    let side = if limit.above { 1.0 } else { -1.0 };
    let mut cumulative = vec![0.0; steps * CELLS];
    for (deviations, weight) in TRENDS {
        let tilt = deviations * TREND_DEVIATION * outlook.scale;
        // Distance to the limit now, and after each step.
        let start = side * (limit.value - mean_now(outlook));
        let distances = (0..steps).map(|k| side * (limit.value - mean_at(outlook, k) - tilt * (k as f64 + 1.0)));
        let distances: Vec<f64> = std::iter::once(start).chain(distances).collect();
        let sigma = outlook.scale * DRIFT.sqrt();
        for (sum, p) in cumulative.iter_mut().zip(crossing(&distances, sigma)?) {
            *sum += weight * p;
        }
    }
    Some(Passage { cumulative })
}

/// Probability of having crossed zero by the end of each cell, for Brownian motion of deviation `sigma` per step that
/// starts at 0 under a boundary which is at `distances[k]` after k steps and straight in between.
fn crossing(distances: &[f64], sigma: f64) -> Option<Vec<f64>> {
    let start = *distances.first()?;
    if start <= 0.0 {
        return None;
    }
    let width = 1.0 / CELLS as f64;
    let mut sum: f64 = 0.0;
    let mut cumulative = Vec::with_capacity((distances.len() - 1) * CELLS);
    for (k, pair) in distances.windows(2).enumerate() {
        let slope = pair[1] - pair[0];
        for cell in 0..CELLS {
            let t = k as f64 + (cell as f64 + 0.5) * width;
            let boundary = pair[0] + slope * (t - k as f64);
            let z = boundary / (sigma * t.sqrt());
            let density = (boundary / t - slope) * normal_density(z) / (sigma * t.sqrt());
            // A course that leaves the limit again adds nothing. What is beyond the limit now has crossed: this keeps a
            // crossing that is narrower than a cell.
            sum = (sum + density.max(0.0) * width).max(normal_cumulative(-z)).min(1.0);
            cumulative.push(sum);
        }
    }
    Some(cumulative)
}

/// The expected value after `k + 1` steps; beyond the outlook's own its trend goes on.
pub fn mean_at(outlook: &Outlook, k: usize) -> f64 {
    match (outlook.mean.get(k), outlook.mean.last()) {
        (Some(mean), _) => *mean,
        (None, Some(last)) => last + outlook.trend_per_step * (k + 1 - outlook.mean.len()) as f64,
        (None, None) => outlook.level + outlook.trend_per_step * (k as f64 + 1.0),
    }
}

/// Standard deviation of the value after `k + 1` steps.
pub fn spread_at(outlook: &Outlook, k: usize) -> f64 {
    let ahead = k as f64 + 1.0;
    let trend = TREND_DEVIATION * ahead;
    outlook.scale * (1.0 + DRIFT * ahead + trend * trend).sqrt()
}

/// The expected value at the last sample: season included, unlike the level.
fn mean_now(outlook: &Outlook) -> f64 {
    mean_at(outlook, 0) - outlook.trend_per_step
}

fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Probability that a standard normal variable lies below `z`; Abramowitz and Stegun 7.1.26, error below 1e-7.
fn normal_cumulative(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let tail = 0.5 * series.iter().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp();
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The value below which a standard normal variable lies with probability `p`; `p` in 0..1, exclusive.
///
/// P. J. Acklam's rational approximation, relative error below 1.2e-9.
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    const TAIL: f64 = 0.024_25;
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        poly(&C, q) / (poly(&D, q) * q + 1.0)
    } else if p > 1.0 - TAIL {
        -normal_quantile(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        poly(&A, r) * q / (poly(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;

    /// Inverse Gaussian distribution function, from Python's `math.erfc`.
    #[track_caller]
    fn check(distance: f64, drift: f64, sigma: f64, expected: &[(usize, f64)]) {
        let distances: Vec<f64> = (0..=100).map(|k| distance - drift * f64::from(k)).collect();
        let cumulative = crossing(&distances, sigma).expect("starts below the limit");
        for (steps, p) in expected {
            let got = cumulative[steps * CELLS - 1];
            assert!(
                (got - p).abs() < 2e-3,
                "d {distance} mu {drift}: F({steps}) = {got}, not {p}"
            );
        }
    }

    #[test]
    fn a_straight_course_gives_the_inverse_gaussian() {
        check(10.0, 0.5, 1.0, &[(10, 0.08007), (20, 0.58529), (30, 0.87452)]);
        check(4.0, 0.1, 0.5, &[(10, 0.04809), (40, 0.63998), (80, 0.90388)]);
        check(3.0, 0.0, 1.0, &[(5, 0.17971), (20, 0.50233), (60, 0.69854)]);
        check(5.0, -0.05, 1.0, &[(10, 0.08792), (40, 0.32684)]);
    }

    #[test]
    fn quantiles_of_the_normal_are_right() {
        // Python statistics.NormalDist().inv_cdf
        for (p, z) in [
            (0.5, 0.0),
            (0.975, 1.959_963_985),
            (0.001, -3.090_232_306),
            (0.95, 1.644_853_627),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
        }
    }

    #[test]
    fn the_normal_distribution_is_right() {
        // Python statistics.NormalDist().cdf
        for (z, p) in [(0.0, 0.5), (1.0, 0.841_344_746), (-2.5, 0.006_209_665)] {
            assert!((normal_cumulative(z) - p).abs() < 2e-7, "{z}");
        }
    }

    fn leak(per_step: f64, scale: f64) -> Outlook {
        Outlook {
            at: Timestamp(0),
            step_ms: 60_000,
            mean: (1..=30).map(|k| 70.0 + per_step * f64::from(k)).collect(),
            level: 70.0,
            trend_per_step: per_step,
            scale,
        }
    }

    const FULL: Limit = Limit {
        value: 95.0,
        above: true,
    };

    #[test]
    fn a_leak_crosses_when_the_line_does() {
        let passage = first_passage(&leak(1.0, 0.5), FULL, 60).expect("below");
        let median = passage.quantile(0.5).expect("crosses");
        assert!((median - 25.0).abs() < 0.5, "{median}");
        let (early, late) = (
            passage.quantile(0.05).expect("crosses"),
            passage.quantile(0.95).expect("crosses"),
        );
        assert!(
            early > 22.0 && late < 28.0 && early < median && median < late,
            "{early} {late}"
        );
        assert!(passage.probability(60.0) > 0.999);
        assert!(passage.probability(15.0) < 0.01);
    }

    #[test]
    fn a_crossing_narrower_than_a_cell_is_not_missed() {
        let passage = first_passage(&leak(1.0, 1e-6), FULL, 60).expect("below");
        let median = passage.quantile(0.5).expect("crosses");
        assert!((median - 25.0).abs() < 0.3, "{median}");
    }

    #[test]
    fn the_mirror_image_crosses_at_the_same_time() {
        let up = first_passage(&leak(0.8, 1.0), FULL, 60).expect("below");
        let mut outlook = leak(0.8, 1.0);
        outlook.level = -outlook.level;
        outlook.trend_per_step = -outlook.trend_per_step;
        outlook.mean.iter_mut().for_each(|m| *m = -*m);
        let down = Limit {
            value: -95.0,
            above: false,
        };
        let down = first_passage(&outlook, down, 60).expect("above");
        for steps in [10.0, 20.0, 30.0, 40.0, 60.0] {
            assert!((down.probability(steps) - up.probability(steps)).abs() < 1e-12);
        }
    }

    #[test]
    fn what_stays_flat_does_not_cross_and_what_is_over_has_crossed() {
        let flat = first_passage(&leak(0.0, 0.5), FULL, 60).expect("below");
        assert!(flat.probability(60.0) < 1e-6);
        assert_eq!(first_passage(&leak(1.0, 0.5), Limit { value: 60.0, ..FULL }, 60), None);
    }
}
