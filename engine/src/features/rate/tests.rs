//! Counters as they come: restarts, gaps, twins, steps back, and gauges with a counter's name.

use super::*;
use proptest::prelude::*;

const STEP: i64 = 15_000;

fn regular(values: &[f64]) -> Vec<(Timestamp, f64)> {
    values
        .iter()
        .enumerate()
        .map(|(i, v)| (Timestamp(i as i64 * STEP), *v))
        .collect()
}

#[track_caller]
fn check(samples: &[(i64, f64)], expected: &[(i64, f64)]) {
    let samples: Vec<_> = samples.iter().map(|(at, v)| (Timestamp(*at), *v)).collect();
    let found: Vec<_> = rates(&samples, 0)
        .unwrap()
        .into_iter()
        .map(|(at, v)| (at.0, v))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_rate_is_the_increase_by_the_time() {
    check(&[(0, 7.0)], &[]);
    check(
        &[(0, 100.0), (10_000, 130.0), (20_000, 130.0)],
        &[(10_000, 3.0), (20_000, 0.0)],
    );
    // Over a gap it is the mean.
    check(
        &[(0, 0.0), (10_000, 10.0), (110_000, 310.0)],
        &[(10_000, 1.0), (110_000, 3.0)],
    );
}

#[test]
fn a_restart_counts_from_zero_and_is_no_dip() {
    // More than before within what is left of the step is real, less says nothing.
    check(
        &[
            (0, 1000.0),
            (10_000, 1010.0),
            (20_000, 30.0),
            (30_000, 40.0),
            (40_000, 5.0),
            (50_000, 15.0),
        ],
        &[(10_000, 1.0), (20_000, 3.0), (30_000, 1.0), (50_000, 1.0)],
    );
}

#[test]
fn a_step_back_is_no_restart() {
    check(
        &[(0, 5000.0), (10_000, 5010.0), (20_000, 5009.5), (30_000, 5019.5)],
        &[(10_000, 1.0), (30_000, 1.0)],
    );
}

#[test]
fn twins_are_one_sample() {
    check(
        &[(0, 0.0), (10_000, 10.0), (20_000, 20.0), (20_003, 21.0), (30_000, 30.0)],
        &[(10_000, 1.0), (20_000, 1.0), (30_000, 1.0)],
    );
}

#[test]
fn a_gauge_with_a_counters_name_is_found_out() {
    let wave: Vec<f64> = (0..60).map(|i| 1000.0 + 100.0 * (f64::from(i) / 5.0).sin()).collect();
    assert_eq!(rates(&regular(&wave), STEP), None);
    // A kernel's counter that steps back now and then stays one.
    let idle: Vec<f64> = (0..600)
        .map(|i| f64::from(i) * 10.0 - if i % 20 == 0 { 10.5 } else { 0.0 })
        .collect();
    assert!(rates(&regular(&idle[1..]), STEP).is_some());
    // So does one that starts over each tenth step.
    let restarts: Vec<f64> = (0..600).map(|i| f64::from(i % 10) * 7.0 + 3.0).collect();
    assert!(rates(&regular(&restarts), STEP).is_some());
}

proptest! {
    /// What was counted is what the rates add up to, whatever the times, as long as nothing starts over.
    #[test]
    fn nothing_is_lost_or_counted_twice(
        steps in prop::collection::vec((1i64..120_000, 0.0f64..1e6), 2..300),
    ) {
        let (mut at, mut total) = (0, 0.0);
        let mut samples = vec![(Timestamp(0), 0.0)];
        for (gap, increase) in steps {
            at += gap;
            total += increase;
            samples.push((Timestamp(at), total));
        }
        let found = rates(&samples, 0).unwrap();
        let mut since = Timestamp(0);
        let mut counted = 0.0;
        for (at, rate) in &found {
            prop_assert!(rate.is_finite() && *rate >= 0.0);
            counted += rate * at.millis_since(since) as f64 / 1000.0;
            since = *at;
        }
        let until = found.last().map_or(0.0, |(at, _)| samples.iter().find(|(t, _)| t == at).map_or(0.0, |(_, v)| *v));
        prop_assert!((counted - until).abs() <= 1e-9 * until.max(1.0), "{counted} of {until}");
    }

    /// Nothing that enters makes a rate negative, infinite or NaN.
    #[test]
    fn rates_are_finite(values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 1..200), gap in 1i64..1_000_000) {
        let mut rate = Rate::new(0);
        for (i, value) in values.into_iter().enumerate() {
            if let Rated::PerSecond(found) = rate.observe(Timestamp(i as i64 * gap), value) {
                prop_assert!(found.is_finite() && found >= 0.0, "{found}");
            }
        }
    }
}
