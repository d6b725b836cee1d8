//! Faults of known place in clean rows, from a seed: what a candidate is judged on beside the rows as they are.

use crate::features::Polarity;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use wire::Timestamp;

/// Samples of a fault that lasts.
const LASTS: usize = 24;
/// Size of a fault in standard deviations of the series' noise: from clear to hard to miss.
const SIZE: std::ops::Range<f64> = 4.0..10.0;
/// Noise at least, as a part of the level: a series that never varies has faults, too.
const FLOOR: f64 = 0.01;

/// Puts a spike, a shift, a ramp and a burst of noise into `rows[from..]`, one into each quarter, to the side that hurts.
/// Returns the rows and, for each of `rows[from..]`, whether it belongs to a fault. O(n log n).
pub(super) fn inject(
    rows: &[(Timestamp, f64)],
    from: usize,
    polarity: Polarity,
    seed: u64,
) -> (Vec<(Timestamp, f64)>, Vec<bool>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut faulty = rows.to_vec();
    let judged = rows.len() - from;
    let mut labels = vec![false; judged];
    let noise = noise(rows);
    let quarter = judged / 4;
    for kind in 0..4 {
        let length = if kind == 0 { 1 } else { LASTS.min(quarter / 2) };
        if length == 0 || length > quarter {
            continue;
        }
        let begin = kind * quarter + rng.random_range(0..=quarter - length);
        let side = match polarity {
            Polarity::Up => 1.0,
            Polarity::Down => -1.0,
            Polarity::Both if rng.random_bool(0.5) => 1.0,
            Polarity::Both => -1.0,
        };
        let size = noise * rng.random_range(SIZE);
        for n in 0..length {
            let part = match kind {
                2 => (n + 1) as f64 / length as f64,
                // To both sides, so that what changes is the spread.
                3 if n % 2 == 1 => -rng.random_range(0.5..1.0),
                3 => rng.random_range(0.5..1.0),
                _ => 1.0,
            };
            faulty[from + begin + n].1 += side * size * part;
            labels[begin + n] = true;
        }
    }
    (faulty, labels)
}

/// A robust standard deviation of what one sample adds to the one before: the median difference, which a season or a level
/// hardly moves.
fn noise(rows: &[(Timestamp, f64)]) -> f64 {
    let mut differences: Vec<f64> = rows.windows(2).map(|pair| (pair[1].1 - pair[0].1).abs()).collect();
    let mut values: Vec<f64> = rows.iter().map(|row| row.1.abs()).collect();
    // A difference of two has twice the variance; 1.4826 makes a median deviation a standard one.
    let spread = 1.4826 / std::f64::consts::SQRT_2 * median(&mut differences);
    spread.max(FLOOR * median(&mut values)).max(1e-9)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: i64) -> Vec<(Timestamp, f64)> {
        let value = |i: i64| 50.0 + ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 2e6;
        (0..n).map(|i| (Timestamp(i * 60_000), value(i))).collect()
    }

    #[test]
    fn what_is_labelled_is_changed_and_nothing_else() {
        let clean = rows(500);
        let (faulty, labels) = inject(&clean, 100, Polarity::Up, 7);
        assert_eq!(labels.len(), 400);
        assert_eq!(labels.iter().filter(|l| **l).count(), 1 + 3 * LASTS);
        for (n, (a, b)) in clean.iter().zip(&faulty).enumerate() {
            assert_eq!(a.1.to_bits() != b.1.to_bits(), n >= 100 && labels[n - 100], "row {n}");
        }
        assert_eq!(inject(&clean, 100, Polarity::Up, 7), (faulty, labels));
    }

    #[test]
    fn too_few_rows_have_no_faults() {
        let clean = rows(103);
        assert_eq!(inject(&clean, 100, Polarity::Both, 7), (clean.clone(), vec![false; 3]));
    }
}
