//! The smallest change that would have kept a detector quiet, by asking it.
//!
//! The way from the expected value to the observed one is walked outward in doubling steps until the answer is "anomaly", and
//! the border is narrowed down by bisection. So whatever lies between the expected value and the one reported was found
//! quiet, which is what "at 1.34 or less" promises. About 20 questions.

/// The first step is this power of one half of the deviation.
const HALVINGS: i32 = 12;
/// Bisections at most; each halves the interval.
const BISECTIONS: usize = 40;
/// The border is known to this part of its distance from the expected value.
const PRECISION: f64 = 1e-3;

/// The border between quiet and anomalous.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quiet {
    /// The last value found quiet.
    pub value: f64,
    /// The first value beyond it found anomalous, within a thousandth of the way from the expected value.
    pub beyond: f64,
}

/// The border on the way from `expected` to `value`, which is an anomaly. `None` if the expected value would have been one
/// too: then what came before counts, not this sample.
pub fn nearest_quiet(value: f64, expected: f64, mut anomaly: impl FnMut(f64) -> bool) -> Option<Quiet> {
    let deviation = value - expected;
    let apart = deviation.is_finite() && deviation.abs() > 0.0;
    if !apart || anomaly(expected) {
        return None;
    }
    let (mut quiet, mut beyond) = (expected, value);
    for halvings in (1..=HALVINGS).rev() {
        let probe = expected + deviation * 0.5_f64.powi(halvings);
        if anomaly(probe) {
            beyond = probe;
            break;
        }
        quiet = probe;
    }
    for _ in 0..BISECTIONS {
        let middle = quiet + 0.5 * (beyond - quiet);
        let narrow = (beyond - quiet).abs() <= PRECISION * (beyond - expected).abs();
        // Neighbours among the numbers there are: nothing lies between.
        let done = [quiet, beyond].iter().any(|end| end.to_bits() == middle.to_bits());
        if narrow || done {
            break;
        }
        if anomaly(middle) {
            beyond = middle;
        } else {
            quiet = middle;
        }
    }
    Some(Quiet { value: quiet, beyond })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_border_is_found_on_either_side_and_none_where_all_is_strange() {
        let up = nearest_quiet(100.0, 1.0, |v| v > 1.34).unwrap();
        assert!(up.value <= 1.34 && up.beyond > 1.34 && up.beyond - up.value < 1e-3);
        let down = nearest_quiet(-50.0, 10.0, |v| v < 9.0).unwrap();
        assert!(down.value >= 9.0 && down.beyond < 9.0);
        assert_eq!(nearest_quiet(5.0, 1.0, |_| true), None);
        assert_eq!(nearest_quiet(5.0, 5.0, |_| false), None);
        assert_eq!(nearest_quiet(f64::MAX, f64::MIN, |v| v > 0.0), None);
    }

    proptest! {
        #[test]
        fn the_border_is_where_it_is(expected in -1e6..1e6_f64, deviation in 1e-6..1e9_f64, part in 0.001..0.999_f64) {
            let border = expected + part * deviation;
            let value = expected + deviation;
            let mut asked = 0;
            let quiet = nearest_quiet(value, expected, |v| { asked += 1; v >= border }).unwrap();
            prop_assert!(quiet.value < border && quiet.beyond >= border);
            prop_assert!(asked <= 2 + HALVINGS as usize + BISECTIONS);
            // No nearer than floating point can tell.
            let precision = PRECISION * (quiet.beyond - expected).abs() + 4.0 * f64::EPSILON * expected.abs();
            prop_assert!((quiet.beyond - quiet.value).abs() <= precision);
        }
    }
}
