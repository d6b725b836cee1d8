//! Baselines in simulated time: seasons, shifts, zones, loans.

use super::season::DAY_MS;
use super::{Baselines, Polarity, Residual};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use wire::Timestamp;

const STEP: i64 = 300_000;
const PER_DAY: i64 = DAY_MS / STEP;
/// 2024-01-01T00:00Z, a Monday.
const START: i64 = 1_704_067_200_000;

fn at(i: i64) -> Timestamp {
    Timestamp(START + i * STEP)
}

/// Noise of standard deviation 1.
fn noise(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// A day that begins at its lowest, between -1 and 1.
fn day(i: i64) -> f64 {
    -(i as f64 / PER_DAY as f64 * TAU).cos()
}

fn one(polarity: Polarity) -> Baselines {
    let mut baselines = Baselines::default();
    baselines.add(polarity, STEP);
    baselines
}

/// Feeds samples `range` of `signal` with noise of size `sigma`; returns the residuals.
fn feed(
    baselines: &mut Baselines,
    slot: usize,
    range: std::ops::Range<i64>,
    sigma: f64,
    signal: impl Fn(i64) -> f64,
) -> Vec<Residual> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(range.start as u64 + slot as u64);
    range
        .filter_map(|i| baselines.observe(slot, at(i), signal(i) + sigma * noise(&mut rng)))
        .collect()
}

/// How far what is expected of the day from sample `from` on is from `truth` at worst.
fn worst(baselines: &Baselines, slot: usize, from: i64, truth: impl Fn(i64) -> f64) -> f64 {
    let outlook = baselines.outlook(slot, PER_DAY as usize).unwrap();
    let expected = outlook.mean.iter().enumerate();
    expected
        .map(|(k, mean)| (mean - outlook.trend_per_step * (k + 1) as f64 - truth(from + k as i64)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn after_a_step_the_level_is_new_and_the_season_is_what_it_was() {
    let mut baselines = one(Polarity::Both);
    let before = |i: i64| 100.0 + 20.0 * day(i);
    let shift = 10 * PER_DAY + 60;
    feed(&mut baselines, 0, 0..shift, 1.0, before);
    let kept = worst(&baselines, 0, shift, before);
    // Ten standard deviations up, for good.
    let after = |i: i64| before(i) + 10.0;
    let residuals = feed(&mut baselines, 0, shift..shift + 400, 1.0, after);
    // The one-step band fits after 64 + 16 samples, the long-term level after half a day.
    assert!(residuals[80..].iter().all(|r| r.fast.abs() < 6.0));
    let late: Vec<f32> = residuals[170..].iter().map(|r| r.slow.abs()).collect();
    assert!(late.iter().all(|z| *z < 5.0), "{late:?}");
    let now = worst(&baselines, 0, shift + 400, after);
    assert!(now < kept + 1.5, "season kept: {now}, before: {kept}");
}

#[test]
fn when_traffic_doubles_the_season_doubles_with_it() {
    let mut baselines = one(Polarity::Both);
    let before = |i: i64| 100.0 + 30.0 * day(i);
    let shift = 10 * PER_DAY + 72;
    feed(&mut baselines, 0, 0..shift, 1.0, before);
    let after = |i: i64| 2.0 * before(i);
    feed(&mut baselines, 0, shift..shift + 200, 1.5, after);
    // Less than a day of the new regime has been seen, its other half is known all the same.
    let error = worst(&baselines, 0, shift + 200, after);
    assert!(error < 12.0, "{error} of a season of 120 from top to bottom");
}

#[test]
fn a_short_deviation_leaves_no_suspicion_behind() {
    let mut baselines = one(Polarity::Both);
    let usual = |i: i64| 100.0 + 20.0 * day(i);
    let fault = 8 * PER_DAY;
    feed(&mut baselines, 0, 0..fault, 1.0, usual);
    feed(&mut baselines, 0, fault..fault + 20, 1.0, |i| usual(i) + 40.0);
    assert!(baselines.seasons[0].as_ref().unwrap().suspicion.is_some());
    feed(&mut baselines, 0, fault + 20..fault + 90, 1.0, usual);
    assert!(baselines.seasons[0].as_ref().unwrap().suspicion.is_none());
}

#[test]
fn a_day_follows_the_clocks_of_its_zone() {
    let berlin = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
    // From 20 days before the change of 2024-03-31 to the day after it: work begins at 09:00 in Berlin.
    let change = (1_711_846_800_000 - START) / STEP;
    let worktime = |i: i64| {
        let local = at(i).as_millis() + if i < change { 3_600_000 } else { 7_200_000 };
        let hour = local.rem_euclid(DAY_MS) / 3_600_000;
        if (9..17).contains(&hour) { 200.0 } else { 100.0 }
    };
    let outliers = |zone: Option<&jiff::tz::TimeZone>| {
        let mut baselines = one(Polarity::Both);
        if let Some(zone) = zone {
            baselines.set_zone(0, zone);
        }
        feed(&mut baselines, 0, change - 20 * PER_DAY..change, 2.0, worktime);
        let day_after = feed(&mut baselines, 0, change..change + PER_DAY, 2.0, worktime);
        day_after.iter().filter(|r| r.slow.abs() > 6.0).count()
    };
    assert_eq!(outliers(Some(&berlin)), 0);
    assert!(outliers(None) >= 12, "in UTC the day is an hour off");
}

/// Ten days of `n` siblings, and a new series that begins at midnight, `hours` old.
fn family(
    n: usize,
    hours: i64,
    sibling: impl Fn(usize, i64) -> f64,
    new: impl Fn(i64) -> f64,
) -> (Baselines, usize, Vec<Residual>) {
    let mut baselines = Baselines::default();
    for slot in 0..n {
        baselines.add(Polarity::Both, STEP);
        baselines.set_metric(slot, "requests", None);
        let level = 100.0 * (slot + 1) as f64;
        feed(&mut baselines, slot, 0..10 * PER_DAY, 0.02 * level, |i| {
            level * sibling(slot, i)
        });
    }
    let slot = baselines.add(Polarity::Both, STEP);
    baselines.set_metric(slot, "requests", None);
    let start = 10 * PER_DAY;
    let residuals = feed(&mut baselines, slot, start..start + hours * 12, 1.0, new);
    (baselines, slot, residuals)
}

fn daily(_: usize, i: i64) -> f64 {
    1.0 + 0.5 * day(i)
}

#[test]
fn a_new_series_borrows_the_day_of_its_siblings_and_gives_it_back() {
    let new = |i: i64| 50.0 * daily(0, i);
    let (mut baselines, slot, residuals) = family(5, 12, daily, new);
    assert_eq!(baselines.borrowed_from(slot), Some(5));
    // It began at the foot of its day and is at its top now.
    let worst_of = |residuals: &[Residual]| residuals[40..].iter().map(|r| r.slow.abs()).fold(0.0, f32::max);
    assert!(worst_of(&residuals) < 5.0, "{}", worst_of(&residuals));
    let error = worst(&baselines, slot, 10 * PER_DAY + 144, new);
    assert!(error < 8.0, "{error} of a season of 50");
    let (alone, slot_alone, _) = family(0, 12, daily, new);
    assert!(worst(&alone, slot_alone, 10 * PER_DAY + 144, new) > 4.0 * error);
    feed(&mut baselines, slot, 10 * PER_DAY + 144..11 * PER_DAY + 40, 1.0, new);
    assert_eq!(baselines.borrowed_from(slot), None);
}

#[test]
fn nothing_is_borrowed_from_few_or_from_siblings_that_disagree() {
    let new = |i: i64| 50.0 * daily(0, i);
    let (baselines, slot, _) = family(2, 6, daily, new);
    assert_eq!(baselines.borrowed_from(slot), None);
    let elsewhere = |slot: usize, i: i64| daily(slot, i + slot as i64 * PER_DAY / 6);
    let (baselines, slot, _) = family(6, 6, elsewhere, new);
    assert_eq!(baselines.borrowed_from(slot), None);
    let flat = |_: usize, _: i64| 1.0;
    let (baselines, slot, _) = family(6, 6, flat, new);
    assert_eq!(baselines.borrowed_from(slot), None);
}

#[test]
fn a_borrowed_shape_that_does_not_fit_is_dropped() {
    let (baselines, slot, residuals) = family(5, 20, daily, |_| 50.0);
    assert_eq!(baselines.borrowed_from(slot), None);
    let late: Vec<f32> = residuals[200..].iter().map(|r| r.slow.abs()).collect();
    assert!(late.iter().all(|z| *z < 5.0), "{late:?}");
}

#[test]
fn the_last_day_of_the_month_is_expected_from_the_third_month_on() {
    let mut baselines = one(Polarity::Both);
    let is_last = |i: i64| {
        let date = jiff::Timestamp::from_millisecond(at(i).as_millis())
            .unwrap()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        date.day() == date.days_in_month()
    };
    let signal = |i: i64| {
        let closing = is_last(i) && (2..9).contains(&(i % PER_DAY / 12));
        100.0 + 20.0 * day(i) + if closing { 30.0 } else { 0.0 }
    };
    // 2024: January ends on day 30 of the year, February on 59, March on 90.
    feed(&mut baselines, 0, 0..90 * PER_DAY, 1.0, signal);
    let march = feed(&mut baselines, 0, 90 * PER_DAY..91 * PER_DAY, 1.0, signal);
    let far = march
        .iter()
        .filter(|r| r.fast.abs() > 6.0 || r.slow.abs() > 8.0)
        .count();
    assert_eq!(far, 0);
    // A day early it is an anomaly.
    let mut early = one(Polarity::Both);
    feed(&mut early, 0, 0..89 * PER_DAY, 1.0, signal);
    let wrong = feed(&mut early, 0, 89 * PER_DAY..90 * PER_DAY, 1.0, |i| signal(i + PER_DAY));
    assert!(wrong.iter().filter(|r| r.fast.abs() > 6.0).count() > 3);
}

#[test]
fn a_weekend_is_expected_where_the_day_alone_does_as_well_all_week() {
    let weekend = |i: i64| if (i / PER_DAY) % 7 >= 5 { 0.75 } else { 1.0 };
    let signal = |i: i64| 1000.0 * weekend(i) * (1.0 + 0.3 * day(i));
    let saturday = 19 * PER_DAY;
    let mut surprised = 0;
    for seed in 0..20 {
        let mut baselines = one(Polarity::Both);
        feed(&mut baselines, 0, seed..saturday, 30.0, signal);
        let mut faulty = baselines.clone();
        let first = &feed(&mut baselines, 0, saturday..saturday + 1, 0.0, signal)[0];
        surprised += u32::from(first.fast.abs() > 4.0);
        // What is no weekend is seen as ever.
        let fault = &feed(&mut faulty, 0, saturday..saturday + 1, 0.0, |i| 0.5 * signal(i))[0];
        assert!(fault.fast < -5.0, "seed {seed}: {}", fault.fast);
    }
    assert!(surprised == 0, "{surprised} of 20");
}

#[test]
fn days_and_weeks_alone_make_no_special_days() {
    for seed in 0..4 {
        let mut baselines = one(Polarity::Both);
        let signal = |i: i64| {
            let weekend = if (i / PER_DAY) % 7 >= 5 { 0.7 } else { 1.0 };
            (1.0 + 0.001 * (i % (97 + seed)) as f64) * weekend * (100.0 + 20.0 * day(i))
        };
        for (n, residual) in feed(&mut baselines, 0, 0..130 * PER_DAY, 2.0, signal)
            .iter()
            .enumerate()
        {
            assert!(residual.fast.is_finite() && residual.slow.is_finite(), "{n}");
        }
        let season = baselines.seasons[0].as_ref().unwrap();
        for hour in 0..31 * 24 {
            let special = season.month.at(at(130 * PER_DAY).as_millis() + hour * 3_600_000);
            assert!(special.abs() < 1e-9, "seed {seed}, hour {hour}: {special}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // Counts that are nearly always zero, gauges that never move, with and without a long history.
    #[test]
    fn constant_and_nearly_empty_series_stay_sane(
        level in prop_oneof![Just(0.0), -1e9..1e9_f64], blips in prop::collection::vec(0..2000_i64, 0..6), bootstrap in any::<bool>(),
    ) {
        let mut baselines = one(Polarity::Both);
        let value = |i: i64| if blips.contains(&i) { level + 1.0 } else { level };
        let rows: Vec<_> = (0..1600).map(|i| (at(i), value(i))).collect();
        let mut residuals = Vec::new();
        if bootstrap {
            baselines.bootstrap(0, &[], &rows, |_, _, r| residuals.push(*r));
        } else {
            residuals.extend(rows.iter().filter_map(|&(at, value)| baselines.observe(0, at, value)));
        }
        residuals.extend((1600..2000).filter_map(|i| baselines.observe(0, at(i), value(i))));
        for (n, r) in residuals.iter().enumerate() {
            prop_assert!(r.mean.is_finite() && r.scale > 0.0 && r.scale.is_finite() && r.fast.is_finite() && r.slow.is_finite());
            prop_assert!(r.features.iter().all(|x| x.is_finite()));
            // A sample like all the others, long after the last that was not, is where it should be.
            let i = n as i64 + 8;
            if !blips.iter().any(|blip| (blip - 1..blip + 40).contains(&i)) {
                prop_assert!(r.fast.abs() < 3.0, "sample {}: {:?}", i, r);
            }
        }
        if let Some(outlook) = baselines.outlook(0, 288) {
            prop_assert!(outlook.mean.iter().all(|mean| (mean - level).abs() < 1.0 + 1e-6 * level.abs()));
        }
    }
}
