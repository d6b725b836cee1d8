use super::*;
use proptest::prelude::*;

/// The update written out in Python, fifty errors of 1.5 sin(1.3 i) long.
#[test]
fn tracks_as_the_formula_says() {
    let mut band = Band {
        below: -1.0,
        above: 1.0,
        tail: ALLOWANCE * 0.1 / 2.0,
    };
    for i in 0..50 {
        band.learn(1.5 * (1.3 * f64::from(i)).sin());
    }
    assert!((band.below() - -1.481_861_749_975_764_7).abs() < 1e-12, "{band:?}");
    assert!((band.above() - 1.483_435_874_836_305_2).abs() < 1e-12, "{band:?}");
}

#[test]
fn without_errors_it_grows_from_the_nearer_one() {
    let nearer = Band::of(&[], 0.9, 0.0, None);
    let further = Band::of(&[], 0.9, 0.0, Some((nearer, 4.0)));
    assert!(nearer.above() > 0.0 && further.above() > nearer.above() && further.below() < nearer.below());
}

#[test]
fn few_independent_errors_make_it_wide() {
    let errors: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 400) / 200.0 - 1.0).collect();
    let width = |independent| {
        let band = Band::of(&errors, 0.9, independent, None);
        band.above() - band.below()
    };
    assert!(width(5.0) > width(400.0));
    // Nine tenths of a uniform distribution over -1..1 are 1.8 wide.
    assert!((width(400.0) - 1.8).abs() < 0.12, "{}", width(400.0));
}

proptest! {
    /// Whatever comes, in the long run the misses on either side are the tail.
    #[test]
    fn misses_are_as_many_as_asked_for(jump in 0.1..50.0_f64, period in 200..900_usize) {
        let calm: Vec<f64> = (0..300).map(|i| (i * 7919 % 1009) as f64 / 504.5 - 1.0).collect();
        let mut band = Band::of(&calm, 0.9, 300.0, None);
        let mut missed = 0_u32;
        let n = 20_000_usize;
        for i in 0..n {
            let size = if i / period % 2 == 0 { 1.0 } else { jump };
            let error = size * ((i * 7919 % 1009) as f64 / 504.5 - 1.0);
            missed += u32::from(error < band.below() || error > band.above());
            band.learn(error);
            prop_assert!(band.below() <= band.above());
        }
        let share = f64::from(missed) / n as f64;
        prop_assert!((0.04..0.16).contains(&share), "{}", share);
    }
}
