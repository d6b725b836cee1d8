//! Simple detectors against numpy and pandas, and what they must never do.

use super::*;
use crate::series::{Labels, info_from_labels};
use proptest::prelude::*;

const STEP_MS: i64 = 300_000;
const DAY_MS: i64 = 86_400_000;

/// The series of `oracle.py` beside this file.
fn oracle_series() -> Vec<f64> {
    let mut state: u64 = 12345;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..2000)
        .map(|i| {
            let noise = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            let tail = if uniform() < 0.03 { 40.0 * uniform() } else { 0.0 };
            50.0 + f64::from(i) / 100.0 + 3.0 * noise + tail
        })
        .collect()
}

fn at(i: usize) -> Timestamp {
    Timestamp(i as i64 * STEP_MS)
}

/// Sample, mean and deviation by pandas, quantiles 1 %, 50 %, 99 % by numpy; each of the day before the sample.
const ORACLE: [(usize, f64, f64, [f64; 3]); 3] = [
    (504, 54.500996096, 6.031449165, [46.086802, 53.728626, 84.507447]),
    (1002, 59.669895802, 5.736021218, [51.274131, 58.697477, 89.763721]),
    (1998, 68.931832025, 4.248324329, [59.828905, 68.841578, 80.973111]),
];

#[test]
fn a_rolling_day_is_what_pandas_and_numpy_say() {
    let values = oracle_series();
    for (i, mean, deviation, quantiles) in ORACLE {
        let (mut moments, mut sketch) = (Moments::new(DAY_MS), Quantiles::new(DAY_MS));
        for (n, &value) in values[..i].iter().enumerate() {
            moments.add(at(n), value);
            sketch.add(at(n), value);
        }
        assert_eq!((moments.len(), sketch.len()), (288, 288));
        let (our_mean, our_deviation) = moments.mean_and_deviation().unwrap();
        assert!(
            (our_mean - mean).abs() < 1e-8 && (our_deviation - deviation).abs() < 1e-8,
            "{i}: {our_mean} {our_deviation}"
        );
        for (q, expected) in [0.01, 0.5, 0.99].into_iter().zip(quantiles) {
            let ours = sketch.quantile(q).unwrap();
            assert!((ours / expected - 1.0).abs() <= 0.0051, "{i} {q}: {ours} {expected}");
        }
    }
}

fn simple(choice: &Choice, metric: &str, samples: usize) -> Simple {
    let info = info_from_labels(&Labels::of("cart", metric, None));
    let mut simple = Simple::of(choice, &info).unwrap();
    for (i, &value) in oracle_series()[..samples].iter().enumerate() {
        simple.learn(at(i), value, true);
    }
    simple
}

#[test]
fn k_sigma_speaks_beyond_k_deviations_and_says_so() {
    let choice = Choice::KSigma {
        k: 4.0,
        window_ms: DAY_MS,
        for_ms: 0,
    };
    let own = simple(&choice, "queue_depth", 504);
    let (_, mean, deviation, _) = ORACLE[0];
    let read = |sigmas: f64| own.read(at(504), mean + sigmas * deviation);
    assert!(!read(3.99).anomaly && read(4.01).anomaly && read(-4.01).anomaly);
    assert!((read(4.01).vote.score - 0.7).abs() < 0.01 && read(2.0).vote.score < 0.6);
    let text = own.describe(mean + 4.2 * deviation);
    assert_eq!(
        text,
        "k-sigma (set in halo.toml): 4.2 sigma above the mean of the last day"
    );
    assert_eq!(own.settings(mean + 4.25 * deviation), Some("k = 4.3".to_owned()));
    // Latency that falls hurts nobody; too few samples say nothing.
    assert!(
        !simple(&choice, "latency", 504)
            .read(at(504), mean - 9.0 * deviation)
            .anomaly
    );
    let young = simple(&choice, "queue_depth", 20).read(at(20), 1e6);
    assert!(!young.anomaly && young.expected.is_none() && young.confidence < 0.7);
}

#[test]
fn a_percentile_needs_its_time() {
    let choice = Choice::Percentile {
        p: 99.0,
        window_ms: DAY_MS,
        for_ms: 2 * STEP_MS,
    };
    let mut own = simple(&choice, "latency", 504);
    let found: Vec<bool> = (504..509)
        .map(|i| {
            let value = if i == 507 { 50.0 } else { 95.0 };
            let reading = own.read(at(i), value);
            own.learn(at(i), value, false);
            assert_eq!(reading.vote.vote, i != 507);
            reading.anomaly
        })
        .collect();
    assert_eq!(found, [false, false, true, false, false]);
    assert_eq!(
        own.describe(95.0),
        "percentile (set in halo.toml): above the 99 % percentile of the last day"
    );
}

#[test]
fn fixed_limits_need_no_past() {
    let limits = Limits {
        above: Some(0.9),
        below: Some(0.1),
        for_ms: 0,
    };
    let own = simple(&Choice::Static(limits), "usage", 0);
    let broken: Vec<_> = [0.95, 0.9, 0.5, 0.05].map(|v| own.broken(v)).to_vec();
    assert_eq!(broken, [Some(0.9), None, None, Some(0.1)]);
    assert!(own.read(at(0), 0.95).anomaly && !own.read(at(0), 0.9).anomaly);
    assert_eq!(own.describe(0.95), "static limit (set in halo.toml): 0.95 is above 0.9");
    assert_eq!(own.settings(0.95), Some("above = 0.95".to_owned()));
}

#[test]
fn settings_are_rounded_so_that_they_hold() {
    for (x, up) in [(0.391, 0.4), (41.0, 42.0), (0.4, 0.41), (99.7, 100.0), (1234.0, 1300.0)] {
        let ours = rounded_up(x);
        assert!(ours > x && (ours - up).abs() < 1e-9, "{x}: {ours}");
    }
}

proptest! {
    #[test]
    fn whatever_enters_what_leaves_is_finite(values in prop::collection::vec(any::<f64>(), 1..300), probe in any::<f64>(), kind in 0u8..2) {
        let (window_ms, for_ms) = (DAY_MS, 0);
        let choice = if kind == 0 {
            Choice::KSigma { k: 3.0, window_ms, for_ms }
        } else {
            Choice::Percentile { p: 90.0, window_ms, for_ms }
        };
        let info = info_from_labels(&Labels::of("cart", "queue_depth", None));
        let mut own = Simple::of(&choice, &info).unwrap();
        for (i, value) in values.into_iter().chain([probe]).enumerate() {
            if value.is_finite() {
                let reading = own.read(at(i), value);
                prop_assert!((0.0..=1.0).contains(&reading.vote.score));
                if let Some(band) = reading.expected {
                    prop_assert!([band.mean, band.lower, band.upper, band.scale].iter().all(|x| x.is_finite()));
                    prop_assert!(band.scale > 0.0 && band.lower <= band.upper);
                }
                prop_assert!(!reading.anomaly || reading.vote.vote);
            }
            own.learn(at(i), value, true);
        }
    }

    #[test]
    fn the_window_forgets(old in 1.0..1e6_f64, new in 1.0..1e6_f64) {
        let (mut moments, mut sketch) = (Moments::new(DAY_MS), Quantiles::new(DAY_MS));
        for i in 0..900 {
            let value = if i < 500 { old } else { new };
            moments.add(at(i), value);
            sketch.add(at(i), value);
        }
        let (mean, deviation) = moments.mean_and_deviation().unwrap();
        prop_assert!((mean - new).abs() < 1e-9 * new && deviation < 1e-9 * new);
        prop_assert!((sketch.quantile(0.0).unwrap() / new - 1.0).abs() < 0.0051);
    }
}
