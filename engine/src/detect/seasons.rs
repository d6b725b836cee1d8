//! What seasons do to decisions: starts from history, new series, special days. Simulated time.

use super::*;
use crate::series::{Labels, info_from_labels};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::sync::Arc;
use wire::series::SeriesInfo;

const STEP: i64 = 300_000;
const PER_DAY: i64 = 288;
/// 2024-01-01T00:00Z, a Monday.
const START: i64 = 1_704_067_200_000;

fn detector() -> Detector {
    Detector::new(DetectConfig::default(), Arc::new(Models::bundled().unwrap()))
}

fn info(entity: &str) -> SeriesInfo {
    info_from_labels(&Labels::of(entity, "requests", None))
}

/// Traffic of a service: a day with a steep morning, a lunch dip, quiet weekends, half an hour of batch work a night, noise.
fn traffic(seed: u64, level: f64, days: std::ops::Range<i64>) -> Vec<(Timestamp, f64)> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let phase = rng.random_range(0.0..1.0);
    let amplitude = rng.random_range(0.3..0.6);
    let sigma = rng.random_range(0.02..0.08);
    let mut correlated = 0.0;
    let all = (0..days.end * PER_DAY).map(|i| {
        let noise: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        correlated = 0.5 * correlated + noise;
        let day = i as f64 / PER_DAY as f64 + phase;
        let shape = -(day * TAU).cos() - 0.4 * (2.0 * day * TAU).cos();
        let weekend = if (i / PER_DAY) % 7 >= 5 { 0.75 } else { 1.0 };
        let batch = if (30..36).contains(&(i % PER_DAY)) { 0.4 } else { 0.0 };
        let value = level * ((1.0 + amplitude * shape) * weekend + batch + sigma * correlated);
        (i, (Timestamp(START + i * STEP), value))
    });
    all.filter(|(i, _)| *i >= days.start * PER_DAY)
        .map(|(_, row)| row)
        .collect()
}

/// What the first day after a start from history was like.
#[derive(Debug, Default)]
struct FirstDay {
    /// Anomalies that began, though nothing was wrong.
    alerts: usize,
    /// Mean absolute error of the next sample's forecast, and of the whole day's from its beginning, as parts of the level.
    step: f64,
    day: f64,
}

/// The first day after `days` of history, over `series` clean series, of which the profiles are estimated at once, or only
/// learnt one sample after the other.
fn first_day(series: u64, days: i64, at_once: bool) -> FirstDay {
    let mut found = FirstDay::default();
    for seed in 0..series {
        let mut detector = detector();
        let slot = detector.add_series(&info("shop"));
        let rows = traffic(seed, 1.0, 0..days + 1);
        let (history, first_day) = rows.split_at((days * PER_DAY) as usize);
        // A series that has learnt something by itself goes on as it began.
        let begun = usize::from(!at_once);
        for &(at, value) in &history[..begun] {
            detector.observe(slot, at, value, Effort::Lazy);
        }
        detector.bootstrap(slot, &history[begun..]);
        let outlook = detector.outlook(slot, PER_DAY as usize).unwrap();
        let scale = 1.0 / (series as f64 * PER_DAY as f64);
        let mut before = false;
        for (i, &(at, value)) in first_day.iter().enumerate() {
            let detection = detector.observe(slot, at, value, Effort::Lazy);
            found.alerts += usize::from(detection.anomaly && !before);
            before = detection.anomaly;
            found.step += (detection.expected.unwrap().mean - value).abs() * scale;
            found.day += (outlook.mean[i] - outlook.trend_per_step * (i + 1) as f64 - value).abs() * scale;
        }
    }
    found
}

#[test]
fn a_start_from_history_forecasts_its_first_day_better_with_profiles_estimated_at_once() {
    let found: Vec<_> = [3, 5, 7, 15]
        .into_iter()
        .map(|days| (days, first_day(60, days, true), first_day(60, days, false)))
        .collect();
    println!("first days: {found:#?}");
    for (days, at_once, online) in &found {
        assert!(at_once.alerts <= online.alerts, "{days} days: {at_once:?} {online:?}");
        assert!(
            at_once.step <= 1.01 * online.step && at_once.day <= 1.01 * online.day,
            "{days} days"
        );
    }
    let gain = |pick: fn(&FirstDay) -> f64| {
        let sums = found.iter().fold((0.0, 0.0), |sums, (_, at_once, online)| {
            (sums.0 + pick(at_once), sums.1 + pick(online))
        });
        sums.0 / sums.1
    };
    assert!(gain(|day| day.step) < 1.0 && gain(|day| day.day) < 1.0);
}

/// A detector with `n` services of ten days, and how many anomalies a new one has on its first day, which begins at its foot.
fn new_service(n: u64) -> (Detector, usize, SeriesInfo, Vec<Detection>) {
    let mut detector = detector();
    let shape = |i: i64| 1.0 - 0.6 * (i as f64 / PER_DAY as f64 * TAU).cos();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut noise = move || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    for service in 0..n {
        let slot = detector.add_series(&info(&format!("pod-{service}")));
        let level = 40.0 * (service + 1) as f64;
        let rows: Vec<_> = (0..10 * PER_DAY)
            .map(|i| (Timestamp(START + i * STEP), level * (shape(i) + 0.02 * noise())))
            .collect();
        detector.bootstrap(slot, &rows);
    }
    let new = info("pod-new");
    let slot = detector.add_series(&new);
    let detections = (10 * PER_DAY..10 * PER_DAY + 144)
        .map(|i| {
            let value = 70.0 * (shape(i) + 0.02 * noise());
            detector.observe(slot, Timestamp(START + i * STEP), value, Effort::Lazy)
        })
        .collect();
    (detector, slot, new, detections)
}

#[test]
fn a_new_series_with_siblings_is_quiet_on_the_climb_of_its_day_and_says_whose_shape_it_has() {
    let (detector, slot, info, detections) = new_service(6);
    assert_eq!(detections.iter().filter(|d| d.anomaly).count(), 0);
    assert_eq!(detector.borrowed_from(slot), Some(6));
    let last = &detections[detections.len() - 1];
    assert!(last.confidence <= 0.5 && detector.state(slot).confidence <= 0.5);
    let text = detector.explain(&info, last, None);
    assert!(
        text.contains("baseline borrowed from 6 series of the same metric"),
        "{text}"
    );
    // What it says is expected at noon is what its siblings do at noon.
    let expected = last.expected.unwrap();
    assert!((expected.mean - 112.0).abs() < 12.0, "{expected:?}");

    let (detector, slot, info, alone) = new_service(0);
    assert_eq!(detector.borrowed_from(slot), None);
    let text = detector.explain(&info, &alone[60], None);
    assert!(text.contains("% learnt") && !text.contains("borrowed"), "{text}");
    let quieter = |detections: &[Detection]| detections[48..].iter().map(|d| f64::from(d.score)).sum::<f64>();
    assert!(quieter(&detections) < quieter(&alone));
}

#[test]
fn a_fault_of_a_new_series_is_found_through_the_borrowed_shape() {
    let (mut detector, slot, ..) = new_service(6);
    let at = |i: i64| Timestamp(START + (10 * PER_DAY + 144 + i) * STEP);
    // At noon traffic falls to what it was at night.
    let found = (0..3).any(|i| detector.observe(slot, at(i), 30.0, Effort::Lazy).anomaly);
    assert!(found);
}
