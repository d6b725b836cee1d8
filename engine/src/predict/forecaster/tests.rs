use super::*;
use proptest::prelude::*;

const STEP: i64 = 5 * 60_000;
const PER_DAY: usize = 288;

/// Noise between -1 and 1 that is the same everywhere, and that nothing foretells: splitmix64.
fn noise(i: usize) -> f64 {
    let mut x = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
}

fn wave(i: usize) -> f64 {
    (i as f64 / PER_DAY as f64 * std::f64::consts::TAU).sin()
}

fn rows(n: usize, value: impl Fn(usize) -> f64) -> Vec<(Timestamp, f64)> {
    (0..n).map(|i| (Timestamp(i as i64 * STEP), value(i))).collect()
}

fn config(level: f64) -> ForecastConfig {
    ForecastConfig::new(STEP, DAY_MS, level)
}

fn fitted(rows: &[(Timestamp, f64)]) -> Forecaster {
    Forecaster::fit(rows, &config(0.9), &[]).unwrap()
}

/// Mean absolute error of the fan after the first `n` values, over as many steps as there are left.
fn error_after(n: usize, values: &[f64]) -> f64 {
    let fan = fitted(&rows(n, |i| values[i])).fan(values.len() - n);
    let errors = fan
        .iter()
        .zip(&values[n..])
        .map(|(point, value)| (point.mean - value).abs());
    errors.sum::<f64>() / fan.len() as f64
}

/// Growth that saturates, and growth that goes on, for two weeks: a day ahead, `statsmodels.tsa.holtwinters.Holt(damped_trend=True)`
/// errs by 0.565 and 1.273 on average, the last value by 1.069 and 2.722.
#[test]
fn trends_go_on_as_well_as_with_a_damped_trend_of_statsmodels() {
    let saturating: Vec<f64> = (0..4320)
        .map(|t| 100.0 * (1.0 - (-(t as f64) / 3000.0).exp()) + 0.5 * noise(t))
        .collect();
    let error = error_after(4032, &saturating);
    assert!(error < 0.565, "{error}");
    let straight: Vec<f64> = (0..4320).map(|t| 10.0 + 0.02 * t as f64 + 0.5 * noise(t)).collect();
    let error = error_after(4032, &straight);
    assert!(error < 1.273, "{error}");
}

#[test]
fn a_day_is_learnt_and_noise_is_not() {
    let season: Vec<f64> = (0..3024).map(|i| 50.0 + 20.0 * wave(i) + noise(i)).collect();
    // Noise between -1 and 1 is 0.5 on average: nobody can do better.
    assert!(error_after(2736, &season) < 0.75, "{}", error_after(2736, &season));
    let flat: Vec<f64> = (0..3024).map(|i| 50.0 + noise(i)).collect();
    assert!(error_after(2736, &flat) < 0.56, "{}", error_after(2736, &flat));
}

#[test]
fn weekends_are_learnt_in_three_weeks() {
    let busy = |i: usize| if (i / PER_DAY) % 7 < 5 { 1.0 } else { 0.4 };
    let values: Vec<f64> = (0..22 * PER_DAY)
        .map(|i| busy(i) * (100.0 + 30.0 * wave(i)) + noise(i))
        .collect();
    // The first day of the fourth week is a working day, and comes after a weekend.
    let error = error_after(21 * PER_DAY, &values);
    assert!(error < 20.0, "{error}");
}

#[test]
fn seasons_multiply_where_the_data_say_so() {
    let grown = |i: usize| (100.0 + i as f64 * 0.2) * (0.8 * wave(i) + 0.05 * noise(i)).exp();
    let forecaster = fitted(&rows(3000, grown));
    assert!(forecaster.multiplies());
    let off = forecaster
        .fan(PER_DAY)
        .iter()
        .enumerate()
        .map(|(k, point)| (point.mean / grown(3000 + k) - 1.0).abs())
        .sum::<f64>();
    assert!(off / PER_DAY as f64 <= 0.1, "{off}");
    assert!(!fitted(&rows(3000, |i| 500.0 + 20.0 * wave(i) + noise(i))).multiplies());
}

#[test]
fn a_stray_sample_moves_hardly_anything() {
    let value = |i: usize| 50.0 + 20.0 * wave(i) + noise(i);
    let clean = fitted(&rows(3000, value)).fan(12);
    for stray in [1e6, -1e6] {
        let spoilt = fitted(&rows(3000, |i| if i == 2999 { stray } else { value(i) })).fan(12);
        for (a, b) in clean.iter().zip(&spoilt).skip(3) {
            assert!((a.mean - b.mean).abs() < 6.0, "{a:?} {b:?}");
        }
    }
}

#[test]
fn gaps_leave_the_forecast_of_one_step_in_place() {
    let value = |i: usize| 50.0 + 20.0 * wave(i) + noise(i);
    let all = rows(3000, value);
    // Hours without samples, single ones that are missing, and the time before the last sample.
    let gappy: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(i, _)| !(700..760).contains(i) && i % 11 != 5 && !(2900..2990).contains(i))
        .map(|(_, row)| *row)
        .collect();
    let next = fitted(&gappy).fan(1)[0];
    assert!(
        (next.mean - value(3000)).abs() < 4.0 && next.lower < value(3000) && value(3000) < next.upper,
        "{next:?}"
    );
    assert_eq!(next.at, Timestamp(3000 * STEP));
}

#[test]
fn intervals_hold_what_they_promise() {
    let normal = |i: usize| (0..6).map(|k| noise(i * 6 + k)).sum::<f64>();
    for (level, kind) in [(0.9, 0), (0.9, 1), (0.8, 0)] {
        let mut level_of_walk = 500.0;
        let values: Vec<f64> = (0..6000)
            .map(|i| {
                level_of_walk += 0.98 * (500.0 - level_of_walk) / 50.0 + normal(i);
                if kind == 0 {
                    50.0 + 20.0 * wave(i) + normal(i)
                } else {
                    level_of_walk
                }
            })
            .collect();
        let all = rows(6000, |i| values[i]);
        let (mut within, mut asked) = (0_u32, 0_u32);
        for origin in (2500..5700).step_by(97) {
            let forecaster = Forecaster::fit(&all[..origin], &config(level), &[]).unwrap();
            for (k, point) in forecaster.fan(PER_DAY).iter().enumerate() {
                within += u32::from((point.lower..=point.upper).contains(&values[origin + k]));
                asked += 1;
            }
        }
        let share = f64::from(within) / f64::from(asked);
        assert!((share - level).abs() < 0.06, "{kind}: {level} {share}");
    }
}

#[test]
fn following_is_as_good_as_fitting_and_adapts_the_intervals() {
    let value = |i: usize| 50.0 + 20.0 * wave(i) + if i < 3000 { noise(i) } else { 4.0 * noise(i) };
    let mut followed = fitted(&rows(3000, value));
    let before = followed.fan(1)[0];
    for (at, value) in &rows(3600, value)[3000..] {
        followed.observe(*at, *value);
    }
    let after = followed.fan(1)[0];
    assert!(
        after.upper - after.lower > 2.0 * (before.upper - before.lower),
        "{before:?} {after:?}"
    );
    assert!((after.mean - (50.0 + 20.0 * wave(3600))).abs() < 4.0, "{after:?}");
    let unchanged = followed.fan(9);
    followed.observe(Timestamp(0), 1.0);
    followed.observe(Timestamp(9_999 * STEP), f64::NAN);
    assert_eq!(followed.fan(9), unchanged);
}

#[test]
fn what_is_expected_is_forecast_and_not_learnt() {
    let event = |day: i64| Event {
        from: Timestamp(day * DAY_MS),
        until: Timestamp(day * DAY_MS + 3_600_000),
        kind: 7,
    };
    let during = |i: usize| i % PER_DAY < 12 && [5, 8, 11].contains(&(i / PER_DAY));
    let value = |i: usize| 50.0 + 5.0 * wave(i) + noise(i) + if during(i) { 300.0 } else { 0.0 };
    let all = rows(11 * PER_DAY, value);
    let told = Forecaster::fit(&all, &config(0.9), &[event(5), event(8), event(11)]).unwrap();
    let fan = told.fan(24);
    assert!(
        fan[..10].iter().all(|point| (point.mean - 350.0).abs() < 15.0),
        "{fan:?}"
    );
    assert!(
        fan[12..].iter().all(|point| (point.mean - 50.0).abs() < 15.0),
        "{fan:?}"
    );
    // A kind that never happened adds nothing.
    let new = Event { kind: 8, ..event(11) };
    let fan = Forecaster::fit(&all, &config(0.9), &[event(5), event(8), new])
        .unwrap()
        .fan(5);
    assert!(fan.iter().all(|point| (point.mean - 50.0).abs() < 15.0), "{fan:?}");
}

#[test]
fn nothing_leaves_its_bounds() {
    let filling = rows(2000, |i| (0.049 * i as f64).min(98.0) + 0.1 * noise(i).abs());
    let bounded = config(0.9).bounded(&filling, Some(100.0));
    assert!((bounded.least.abs() + (bounded.most - 100.0).abs()) < 1e-12);
    let fan = Forecaster::fit(&filling, &bounded, &[]).unwrap().fan(PER_DAY);
    assert!(fan.iter().all(|point| point.lower >= 0.0 && point.upper <= 100.0));
    // What has been above its capacity has none.
    assert!(
        config(0.9)
            .bounded(&[(Timestamp(0), 101.0)], Some(100.0))
            .most
            .is_infinite()
    );
    assert!(config(0.9).bounded(&[(Timestamp(0), -1.0)], None).least.is_infinite());
}

#[test]
fn very_little_is_enough_to_say_something() {
    assert!(Forecaster::fit(&[], &config(0.9), &[]).is_none());
    assert!(Forecaster::fit(&[(Timestamp(0), f64::NAN)], &config(0.9), &[]).is_none());
    let one = fitted(&[(Timestamp(0), 7.5)]).fan(3);
    assert!(one.iter().all(|point| (point.mean - 7.5).abs() < 1e-9), "{one:?}");
    let still = fitted(&rows(500, |_| 7.0)).fan(300);
    assert!(
        still
            .iter()
            .all(|point| (point.mean - 7.0).abs() < 1e-6 && point.upper - point.lower < 1e-3),
        "{still:?}"
    );
    let short = fitted(&rows(180, |i| 10.0 + noise(i))).fan(30);
    assert!(
        short
            .iter()
            .all(|point| (point.mean - 10.0).abs() < 1.0 && point.lower < 9.8 && point.upper > 10.2),
        "{short:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn forecasts_are_finite_ordered_and_the_same_twice(
        values in prop::collection::vec(prop_oneof![9 => -5.0..100.0_f64, 1 => prop::num::f64::NORMAL, 1 => Just(0.0)], 1..700),
        gaps in prop::collection::vec(1..40_i64, 700),
        step in prop_oneof![Just(1_000_i64), Just(60_000), Just(STEP), Just(3_600_000), Just(DAY_MS)],
    ) {
        let mut at = 0;
        let rows: Vec<_> = values.iter().zip(gaps).map(|(value, gap)| {
            at += step * if gap > 36 { gap } else { 1 };
            (Timestamp(at), *value)
        }).collect();
        let config = ForecastConfig::new(step, 7 * DAY_MS, 0.9).bounded(&rows, Some(100.0));
        let mut forecaster = Forecaster::fit(&rows, &config, &[]).unwrap();
        prop_assert_eq!(forecaster.fan(40), Forecaster::fit(&rows, &config, &[]).unwrap().fan(40));
        forecaster.observe(Timestamp(at + step), 3.0);
        for k in [1, 2, 5, 30, 100, 10_000, 1_000_000] {
            let point = forecaster.at(Timestamp(at + step + k * step));
            prop_assert!(point.lower <= point.mean && point.mean <= point.upper, "{:?}", point);
            prop_assert!(point.mean.is_finite() && point.lower >= config.least && point.upper <= config.most, "{:?}", point);
        }
    }

    #[test]
    fn a_higher_level_is_a_wider_interval_around_the_same_forecast(seed in 0..1000_usize, size in 0.1..10.0_f64) {
        let rows = rows(1500, |i| 30.0 + 5.0 * wave(i) + size * noise(i + 10_000 * seed));
        let fan = |level| Forecaster::fit(&rows, &config(level), &[]).unwrap().fan(PER_DAY);
        for ((half, most), nearly) in fan(0.5).iter().zip(fan(0.9)).zip(fan(0.99)) {
            prop_assert!((half.mean - most.mean).abs() < 1e-9 && (most.mean - nearly.mean).abs() < 1e-9);
            prop_assert!(half.upper - half.lower <= most.upper - most.lower);
            prop_assert!(most.upper - most.lower <= nearly.upper - nearly.lower);
        }
    }
}
