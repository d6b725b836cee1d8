//! Whether a series is forecast as it is, or in logarithms, where seasons multiply.
//!
//! Guerrero's criterion ("Time-series analysis supported by power transformations", 1993): of the powers of a Box-Cox
//! transformation the one is best by which the spread of stretches, divided by that power of their level, varies least. Only the
//! powers 1 and 0 are compared. Quantiles survive the way there and back, so medians and intervals need no correction.

/// Any value is brought into this range, so that sums of squares stay finite.
const VALUE_MAX: f64 = 1e30;
/// Part of the median that is added before the logarithm where values come close to 0.
const SHIFT: f64 = 0.1;
/// Values above this part of the median need no shift.
const CLEAR: f64 = 0.02;
/// Stretches that are compared, at least, and samples in each.
const LEAST_STRETCHES: usize = 4;
const LEAST_SAMPLES: usize = 4;
/// A stretch is a day, or this part of a shorter history.
const PART: usize = 12;

/// The scale of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Plain,
    /// The logarithm of the value and this, ≥ 0.
    Log(f64),
}

impl Scale {
    /// The scale that suits `values`; a day holds `per_day` of them. O(n).
    pub(super) fn of(values: &[f64], per_day: usize) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        if least < 0.0 || values.is_empty() {
            return Self::Plain;
        }
        let mut scratch = values.to_vec();
        let middle = quantile(&mut scratch, 0.5);
        if middle <= 0.0 || !grows_with_level(values, per_day) {
            return Self::Plain;
        }
        Self::Log(if least > CLEAR * middle { 0.0 } else { SHIFT * middle })
    }

    pub(super) fn is_log(self) -> bool {
        matches!(self, Self::Log(_))
    }

    /// A value in this scale.
    pub(super) fn forth(self, value: f64) -> f64 {
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        match self {
            Self::Plain => value,
            // A value below all that were seen, where there may be none.
            Self::Log(shift) => (value.max(0.0) + shift).max(1e-30).ln(),
        }
    }

    /// The value again; finite.
    pub(super) fn back(self, scaled: f64) -> f64 {
        let value = match self {
            Self::Plain => scaled,
            Self::Log(shift) => scaled.exp() - shift,
        };
        value.clamp(-VALUE_MAX, VALUE_MAX)
    }
}

/// Whether the spread divided by the level varies less from stretch to stretch than the spread.
fn grows_with_level(values: &[f64], per_day: usize) -> bool {
    let size = per_day.min(values.len() / PART).max(LEAST_SAMPLES);
    let mut scratch = Vec::with_capacity(size);
    let stretches: Vec<(f64, f64)> = values
        .chunks_exact(size)
        .map(|stretch| {
            scratch.clear();
            scratch.extend_from_slice(stretch);
            let quartiles = [0.25, 0.5, 0.75].map(|q| quantile(&mut scratch, q));
            (quartiles[1], quartiles[2] - quartiles[0])
        })
        .filter(|(level, _)| *level > 0.0)
        .collect();
    let variation = |sizes: &dyn Fn(&(f64, f64)) -> f64| {
        let n = stretches.len() as f64;
        let mean = stretches.iter().map(sizes).sum::<f64>() / n;
        let square = stretches.iter().map(|one| (sizes(one) - mean).powi(2)).sum::<f64>() / n;
        if mean > 0.0 {
            square.sqrt() / mean
        } else {
            f64::INFINITY
        }
    };
    stretches.len() >= LEAST_STRETCHES
        && variation(&|(level, spread)| spread / level) < variation(&|(_, spread)| *spread)
}

/// The value of rank `q · n`; reorders `values`, which may not be empty.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    let rank = ((q * values.len() as f64) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(i: usize) -> f64 {
        (i as f64 / 48.0 * std::f64::consts::TAU).sin() + 0.1 * ((i * 7919 % 1009) as f64 / 504.5 - 1.0)
    }

    #[test]
    fn a_season_that_grows_with_the_level_multiplies() {
        let grown: Vec<f64> = (0..960).map(|i| (100.0 + i as f64) * (0.3 * wave(i)).exp()).collect();
        assert_eq!(Scale::of(&grown, 48), Scale::Log(0.0));
        let added: Vec<f64> = (0..960).map(|i| 100.0 + i as f64 + 20.0 * wave(i)).collect();
        assert_eq!(Scale::of(&added, 48), Scale::Plain);
    }

    #[test]
    fn what_is_negative_or_mostly_zero_is_left_as_it_is() {
        assert_eq!(Scale::of(&[], 48), Scale::Plain);
        assert_eq!(Scale::of(&[0.0; 100], 48), Scale::Plain);
        let signed: Vec<f64> = (0..960).map(|i| i as f64 * wave(i)).collect();
        assert_eq!(Scale::of(&signed, 48), Scale::Plain);
    }

    #[test]
    fn there_and_back_is_the_same() {
        for scale in [Scale::Plain, Scale::Log(0.0), Scale::Log(2.5)] {
            for value in [1e-3, 1.0, 7.25, 1e9] {
                let again = scale.back(scale.forth(value));
                assert!(
                    (again - value).abs() <= 1e-9 * value.max(1.0),
                    "{scale:?} {value} {again}"
                );
            }
            assert!(scale.back(1e9).is_finite() && scale.forth(f64::MAX).is_finite());
        }
    }
}
