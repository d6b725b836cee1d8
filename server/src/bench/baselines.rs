//! The simple scores that every detector must beat, made in the same run on the same series.

use rand::{Rng, SeedableRng};

/// Greatest distance in standard deviations that [`absolute_z`] tells apart. A metric that never moved while it was trained is
/// this far off at its first move.
const Z_MAX: f64 = 1000.0;

/// A source of random scores, 0..1, the same in every run.
pub(super) struct Random(rand::rngs::StdRng);

impl Random {
    pub(super) fn new() -> Self {
        Self(rand::rngs::StdRng::seed_from_u64(7))
    }

    /// One score a value.
    pub(super) fn scores(&mut self, values: &[f64]) -> Vec<f64> {
        values.iter().map(|_| self.0.random()).collect()
    }
}

/// Tail of a normal distribution fitted to the last 1,000 values, as NAB's baseline of that name. The score is the
/// distance in standard deviations, squeezed into 0..1: it ranks like the probability. A missing value scores 0.
pub(super) fn windowed_gaussian(values: &[f64]) -> Vec<f64> {
    const WINDOW: usize = 1000;
    (0..values.len())
        .map(|i| {
            let window = &values[i.saturating_sub(WINDOW)..i];
            let distance =
                moments(window).map_or(0.0, |(mean, deviation)| (values[i] - mean).abs() / deviation.max(1e-6));
            if distance.is_finite() {
                distance / (1.0 + distance)
            } else {
                0.0
            }
        })
        .collect()
}

/// Distance from the mean of the training part in its standard deviations, at most [`Z_MAX`]. A missing value scores 0.
pub(super) fn absolute_z(training: &[f64], values: &[f64]) -> Vec<f64> {
    let Some((mean, deviation)) = moments(training) else {
        return vec![0.0; values.len()];
    };
    let z = |value: &f64| {
        let away = (value - mean).abs() / deviation.max(1e-9);
        if away.is_nan() { 0.0 } else { away.min(Z_MAX) }
    };
    values.iter().map(z).collect()
}

/// Mean and standard deviation (of the whole) of what is there; `None` if nothing is.
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let present = || values.iter().filter(|value| value.is_finite());
    let count = present().count() as f64;
    let mean = present().sum::<f64>() / count;
    let variance = present().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (count > 0.0).then(|| (mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gaussian_sees_a_jump() {
        let mut values: Vec<f64> = (0..300).map(|i| f64::from(i % 7)).collect();
        values[250] = 40.0;
        let scores = windowed_gaussian(&values);
        let highest = (10..300).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        assert_eq!(highest, Some(250));
    }

    #[test]
    fn z_is_in_units_of_the_training_part() {
        // Mean 2, standard deviation 1.
        let training = [1.0, 3.0, f64::NAN, 1.0, 3.0];
        assert_eq!(
            absolute_z(&training, &[2.0, 5.0, -1.0, f64::NAN, 1e9]),
            [0.0, 3.0, 3.0, 0.0, Z_MAX]
        );
        assert_eq!(absolute_z(&[4.0; 9], &[4.0, 4.5]), [0.0, Z_MAX]);
        assert_eq!(absolute_z(&[], &[4.0]), [0.0]);
    }

    #[test]
    fn chance_is_the_same_in_every_run() {
        assert_eq!(Random::new().scores(&[0.0; 5]), Random::new().scores(&[1.0; 5]));
    }
}
