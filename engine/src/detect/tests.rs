//! The ensemble as a whole: what it must find, what it must leave alone, what must never change its mind.

mod stays;
pub(super) mod swap;
mod trouble;

use super::train::{Network, clean_series};
use super::*;
use crate::series::{Labels, info_from_labels};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::{Arc, OnceLock};
use wire::series::{MetricClass, SeriesInfo};

type Rows = Vec<(Timestamp, f64)>;

fn models() -> Arc<Models> {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    Arc::clone(MODELS.get_or_init(|| Arc::new(Models::bundled().unwrap())))
}

fn detector() -> Detector {
    Detector::new(DetectConfig::default(), models())
}

fn info(metric: &str) -> SeriesInfo {
    info_from_labels(&Labels::of("cart", metric, None))
}

/// Noise around a day's wave: `n` samples every `step` seconds.
fn daily(n: i64, step: i64, seed: u64) -> Rows {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..n)
        .map(|i| {
            let secs = 1_700_000_000 + i * step;
            let angle = std::f64::consts::TAU * secs as f64 / 86_400.0;
            let noise: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            (Timestamp::from_secs(secs), 100.0 + 20.0 * angle.sin() + 2.0 * noise)
        })
        .collect()
}

fn run(metric: &str, rows: &[(Timestamp, f64)], effort: Effort) -> Vec<Detection> {
    let mut detector = detector();
    let slot = detector.add_series(&info(metric));
    rows.iter()
        .map(|&(at, value)| detector.observe(slot, at, value, effort))
        .collect()
}

/// Bootstraps on `history` rows, then observes the rest. Lazy effort decides as full effort does, in a tenth of the time.
fn run_after(metric: &str, rows: &[(Timestamp, f64)], history: usize) -> Vec<Detection> {
    let mut detector = detector();
    let slot = detector.add_series(&info(metric));
    detector.bootstrap(slot, &rows[..history]);
    rows[history..]
        .iter()
        .map(|&(at, value)| detector.observe(slot, at, value, Effort::Lazy))
        .collect()
}

/// Runs of anomalies.
fn alerts(detections: &[Detection]) -> usize {
    let mut before = false;
    detections
        .iter()
        .filter(|d| {
            let opens = d.anomaly && !before;
            before = d.anomaly;
            opens
        })
        .count()
}

#[test]
fn thirty_clean_days_stay_quiet() {
    let mut found = 0;
    let series = 12;
    for seed in 0..series {
        let detections = run_after("requests", &daily(30 * 288, 300, seed), 576);
        found += alerts(&detections);
    }
    let rate = found as f64 / series as f64 / 28.0;
    println!("false alerts per series per day: {rate:.4}");
    assert!(rate <= 0.05, "{rate}");
}

#[test]
fn clean_series_of_every_kind_stay_quiet() {
    let (mut found, mut days) = (0, 0.0);
    for i in 0..60 {
        // Another seed than training's.
        let (shape, rows) = clean_series(1_000_003, i);
        let metric = match shape.class() {
            MetricClass::Latency => "latency",
            MetricClass::Traffic => "requests",
            MetricClass::Saturation => "cpu",
            _ => "temperature",
        };
        let history = rows.len() / 4;
        let here = alerts(&run_after(metric, &rows, history));
        if here > 0 {
            println!("{shape:?} {i}: {here}");
        }
        found += here;
        days += rows[rows.len() - 1].0.millis_since(rows[history].0) as f64 / 86_400_000.0;
    }
    println!(
        "false alerts per series per day, every kind: {:.4}",
        f64::from(found as u32) / days
    );
    assert!(found as f64 / days <= 0.15, "{found} in {days} days");
}

#[track_caller]
fn finds(metric: &str, history: usize, step: i64, fault: impl Fn(f64) -> f64, within: usize) {
    let mut missed = 0;
    for seed in 0..10 {
        let mut rows = daily(history as i64 + 10, step, seed);
        for row in &mut rows[history..] {
            row.1 = fault(row.1);
        }
        let detections = run_after(metric, &rows, history);
        if !detections[..within].iter().any(|d| d.anomaly) {
            missed += 1;
            println!("missed: {:?}", &detections[..within]);
        }
    }
    assert!(missed <= 1, "missed {missed} of 10");
}

#[test]
fn a_shift_is_found_within_two_samples_after_short_history() {
    finds("requests", 576, 300, |v| v + 20.0, 2);
    finds("latency", 180, 60, |v| v + 24.0, 2);
    finds("cpu", 2000, 1, |v| v + 30.0, 4);
}

#[test]
fn a_lone_spike_is_found_at_five_minutes() {
    let mut rows = daily(700, 300, 3);
    rows[650].1 += 60.0;
    let detections = run_after("requests", &rows, 576);
    assert!(detections[650 - 576].anomaly, "{:?}", detections[650 - 576]);
}

#[test]
fn only_the_direction_that_hurts_counts() {
    let mut rows = daily(640, 300, 4);
    for row in &mut rows[600..] {
        row.1 -= 25.0;
    }
    assert_eq!(alerts(&run_after("latency", &rows, 576)), 0, "a faster service");
    assert!(alerts(&run_after("availability", &rows, 576)) > 0, "a failing service");
}

#[test]
fn a_change_of_a_constant_series_is_found_and_a_constant_one_is_quiet() {
    let mut rows: Rows = (0..400).map(|i| (Timestamp::from_secs(i * 60), 100.0)).collect();
    assert_eq!(alerts(&run("availability", &rows, Effort::Full)), 0);
    for row in &mut rows[380..] {
        row.1 = 92.0;
    }
    let detections = run("availability", &rows, Effort::Full);
    assert!(
        detections[380..383].iter().any(|d| d.anomaly),
        "{:?}",
        &detections[380..383]
    );
    assert_eq!(alerts(&detections[..380]), 0);
}

#[test]
fn a_lasting_shift_becomes_the_new_normal() {
    let mut rows = daily(1600, 300, 5);
    for row in &mut rows[700..] {
        row.1 += 40.0;
    }
    let detections = run_after("requests", &rows, 576);
    let after = &detections[700 - 576..];
    assert!(after[..3].iter().any(|d| d.anomaly));
    assert!(
        !after[400..].iter().any(|d| d.anomaly),
        "still alarmed after 400 samples"
    );
    let expected = after[600].expected.unwrap();
    let value = rows[700 + 600].1;
    assert!((expected.mean - value).abs() < 15.0, "{expected:?} {value}");
}

#[test]
fn a_return_to_normal_ends_the_anomaly() {
    for metric in ["latency", "requests", "availability"] {
        let mut rows = daily(700, 300, 12);
        for row in &mut rows[620..626] {
            row.1 += if metric == "availability" { -60.0 } else { 60.0 };
        }
        let detections = run_after(metric, &rows, 576);
        let fault = 620 - 576..626 - 576;
        assert!(detections[fault.clone()].iter().any(|d| d.anomaly), "{metric}");
        let late: Vec<_> = detections[fault.end..].iter().filter(|d| d.anomaly).collect();
        assert!(late.is_empty(), "{metric}: {late:#?}");
    }
}

#[test]
fn an_outlier_does_not_drag_the_baseline() {
    let rows = daily(700, 300, 6);
    let mut spoilt = rows.clone();
    spoilt[640].1 = 1e6;
    let clean = run_after("requests", &rows, 576)[660 - 576].expected.unwrap();
    let after = run_after("requests", &spoilt, 576)[660 - 576].expected.unwrap();
    assert!(
        (clean.mean - after.mean).abs() < 2.0 * clean.scale,
        "{clean:?} {after:?}"
    );
}

#[test]
fn gaps_and_odd_intervals_are_no_anomalies() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    let rows: Rows = daily(3000, 60, 7)
        .into_iter()
        .filter(|row| !(rng.random_bool(0.2) || (90_000_000..97_000_000).contains(&(row.0.as_millis() % 172_800_000))))
        .collect();
    assert!(alerts(&run_after("requests", &rows, 400)) <= 1);
}

#[test]
fn the_warm_up_says_so() {
    let rows = daily(200, 60, 9);
    let detections = run("requests", &rows, Effort::Full);
    assert!(detections[0].expected.is_none() && detections[0].confidence < 0.02);
    assert!(detections[30].expected.is_some() && !detections[30].anomaly);
    assert!(detections[30].confidence > 0.2 && detections[30].confidence < 0.3);
    assert!(detections[150].confidence >= 1.0);
}

#[test]
fn the_explanation_says_expected_observed_and_who_agrees() {
    let mut rows = daily(600, 300, 10);
    let last = rows.len() - 1;
    rows[last].1 += 80.0;
    let mut detector = detector();
    let info = info("requests");
    let slot = detector.add_series(&info);
    detector.bootstrap(slot, &rows[..last]);
    let detection = detector.observe(slot, rows[last].0, rows[last].1, Effort::Full);
    let text = detector.explain(&info, &detection, None);
    for part in [
        "requests of cart was",
        "expected",
        "above",
        "rarer than 1 in 10^",
        "agree",
        "since 2023-",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

/// The last of `rows`, all but the last few learnt before, with the detector that has just seen it.
fn last_of(metric: &str, rows: &[(Timestamp, f64)], effort: Effort) -> (Detector, Detection) {
    let mut detector = detector();
    let slot = detector.add_series(&info(metric));
    let history = rows.len() - 24;
    detector.bootstrap(slot, &rows[..history]);
    let mut last = None;
    for &(at, value) in &rows[history..] {
        last = Some(detector.observe(slot, at, value, effort));
    }
    (detector, last.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// At the value reported the very same sample is no anomaly, and a little beyond it is: by another detector that sees it.
    #[test]
    fn the_value_that_keeps_it_quiet_does(
        seed in 0u64..1000, size in 12.0..400.0_f64, up in any::<bool>(), lasting in 1usize..6, metric in prop::sample::select(vec!["requests", "latency", "availability"]),
    ) {
        let mut rows = daily(480, 300, seed);
        let fault = rows.len() - lasting;
        for row in &mut rows[fault..] {
            row.1 += if up { size } else { -size };
        }
        let (mut detector, detection) = last_of(metric, &rows, Effort::Lazy);
        prop_assume!(detection.anomaly);
        let met = detector.take_before().last().map(|(_, met)| met).expect("anomalies are put aside");
        let same = detector.what_if(&met, detection.value);
        prop_assert_eq!((same.anomaly, same.score, same.votes), (true, detection.score, detection.votes));
        let mean = detection.expected.map_or(0.0, |e| e.mean);
        let Some(quiet) = nearest_quiet(detection.value, mean, |v| detector.what_if(&met, v).anomaly) else {
            prop_assert!(lasting > 1, "a lone fault has a border");
            return Ok(());
        };
        for (value, anomaly) in [(quiet.value, false), (quiet.beyond, true)] {
            rows.last_mut().unwrap().1 = value;
            for effort in [Effort::Lazy, Effort::Full] {
                let (_, other) = last_of(metric, &rows, effort);
                prop_assert_eq!(other.anomaly, anomaly, "{} {:?}", value, quiet);
            }
        }
    }
}

#[test]
fn a_lower_threshold_of_a_class_finds_no_less() {
    let mut rows = daily(700, 300, 11);
    for row in &mut rows[650..] {
        row.1 += 9.0;
    }
    let count = |threshold| {
        let mut detector = detector();
        let slot = detector.add_series(&info("requests"));
        detector.set_threshold(MetricClass::Traffic, threshold);
        detector.bootstrap(slot, &rows[..576]);
        rows[576..]
            .iter()
            .filter(|r| detector.observe(slot, r.0, r.1, Effort::Full).anomaly)
            .count()
    };
    let counts = [count(0.9), count(0.7), count(0.3)];
    assert!(counts.is_sorted(), "{counts:?}");
}

#[test]
fn fused_inference_agrees_with_candle() {
    let bytes = include_bytes!("../../../models/autoencoder.safetensors");
    let vars = VarBuilder::from_slice_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    let network = Network::new(vars).unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(12);
    // 37 windows: more than two full groups of lanes.
    let windows: Vec<f32> = (0..37 * WINDOW).map(|_| rng.random_range(-6.0..6.0)).collect();
    let tensor = Tensor::from_vec(windows.clone(), (37, WINDOW), &Device::Cpu).unwrap();
    let (reconstruction, forecast) = network.forward(&tensor).unwrap();
    let reconstruction: Vec<Vec<f32>> = reconstruction.to_vec2().unwrap();
    let forecast: Vec<Vec<f32>> = forecast.to_vec2().unwrap();
    for (i, ours) in models().autoencoder().reconstruct(&windows).iter().enumerate() {
        assert!((ours.forecast - forecast[i][0]).abs() < 1e-4, "window {i}");
        for (t, (our, candle)) in ours.window.iter().zip(&reconstruction[i]).enumerate() {
            assert!((our - candle).abs() < 1e-4, "window {i} sample {t}");
        }
    }
}

/// What each series is given, sample by sample, in batches of an instant each, in the order that `order` makes of the slots.
fn in_batches(
    series: &[Rows],
    name: impl Fn(usize) -> Labels,
    mut order: impl FnMut(&mut [(usize, Timestamp, f64)]),
) -> Vec<Vec<Detection>> {
    let mut together = detector();
    for n in 0..series.len() {
        together.add_series(&info_from_labels(&name(n)));
    }
    let mut found = vec![Vec::new(); series.len()];
    for t in 0..series[0].len() {
        let samples = series
            .iter()
            .enumerate()
            .map(|(slot, rows)| (slot, rows[t].0, rows[t].1));
        let mut batch: Vec<_> = samples.collect();
        order(&mut batch);
        let mut out = Vec::new();
        together.observe_batch(&batch, Effort::Full, &mut out);
        for (sample, detection) in batch.iter().zip(out) {
            found[sample.0].push(detection);
        }
    }
    found
}

#[test]
fn a_batch_gives_each_series_what_it_gets_alone_in_any_order() {
    let series: Vec<Rows> = (0..21).map(|seed| daily(160, 60, seed)).collect();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(13);
    let together = in_batches(
        &series,
        |n| Labels::of(&format!("service-{n}"), "requests", None),
        |batch| rand::seq::SliceRandom::shuffle(batch, &mut rng),
    );
    for (rows, found) in series.iter().zip(together) {
        let alone = run("requests", rows, Effort::Full);
        let series = found[0].series;
        let alone: Vec<Detection> = alone.into_iter().map(|d| Detection { series, ..d }).collect();
        assert_eq!(found, alone);
    }
}

#[test]
fn the_metrics_of_an_entity_are_judged_jointly_in_any_order() {
    const METRICS: [&str; 6] = [
        "requests",
        "latency_ms",
        "errors",
        "cpu_percent",
        "queue_length",
        "memory_percent",
    ];
    let off = |i: usize| (600..640).contains(&i);
    let mut series: Vec<Rows> = (0..6).map(|seed| daily(700, 60, seed)).collect();
    for (i, row) in series.iter_mut().flat_map(|rows| rows.iter_mut().enumerate()) {
        row.1 += if off(i) { 12.0 } else { 0.0 };
    }
    let one = |n: usize| Labels::of("cart", METRICS[n], None);
    let together = in_batches(&series, one, |_| {});
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(14);
    let shuffled = in_batches(&series, one, |batch| rand::seq::SliceRandom::shuffle(batch, &mut rng));
    assert_eq!(together, shuffled);
    // Six standard deviations in every metric of one service at once say more than in six services.
    let apart = in_batches(&series, |n| Labels::of(&format!("cart-{n}"), METRICS[n], None), |_| {});
    let votes = |found: &[Vec<Detection>]| {
        let of_forest = |d: &Detection| d.votes.forest.is_some_and(|member| member.vote);
        found
            .iter()
            .flat_map(|own| &own[600..640])
            .filter(|d| of_forest(d))
            .count()
    };
    let (together, apart) = (votes(&together), votes(&apart));
    assert!(together > apart, "{together} {apart}");
}

/// Values of every kind that floating point knows, most of them ordinary.
fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -1e3..1e3_f64,
        1 => any::<f64>(),
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(f64::MIN),
            Just(0.0), Just(f64::MIN_POSITIVE)
        ],
    ]
}

fn assert_finite(d: &Detection) {
    let members = [d.votes.stl, d.votes.forest, d.votes.autoencoder];
    assert!((0.0..=1.0).contains(&d.score), "{d:?}");
    assert!(
        members.iter().flatten().all(|m| (0.0..=1.0).contains(&m.score)),
        "{d:?}"
    );
    assert!((0.0..=1.0).contains(&d.confidence), "{d:?}");
    if let Some(e) = d.expected {
        assert!(
            e.mean.is_finite() && e.lower.is_finite() && e.upper.is_finite(),
            "{d:?}"
        );
        assert!(
            e.scale.is_finite() && e.scale > 0.0 && e.lower <= e.mean && e.mean <= e.upper,
            "{d:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_but_finite_numbers_leaves(
        values in prop::collection::vec(any_value(), 1..300),
        steps in prop::collection::vec(-1000..200_000_i64, 300),
    ) {
        let mut detector = detector();
        let slot = detector.add_series(&info("requests"));
        let mut at = Timestamp(0);
        for (value, step) in values.iter().zip(&steps) {
            at = at + *step;
            assert_finite(&detector.observe(slot, at, *value, Effort::Full));
        }
        if let Some(outlook) = detector.outlook(slot, 50) {
            prop_assert!(outlook.mean.iter().all(|m| m.is_finite()));
            prop_assert!(outlook.scale.is_finite() && outlook.scale > 0.0 && outlook.trend_per_step.is_finite());
        }
    }

    // The shift is small beside 1000 times the noise: a series that varies by less than 0.1 % of its level counts as constant.
    #[test]
    fn scale_and_shift_of_a_series_do_not_change_its_scores(
        seed in 0..1000_u64, scale in 1e-6..1e6_f64, shift in -200.0..200.0_f64,
    ) {
        let rows = daily(200, 300, seed);
        let moved: Rows = rows.iter().map(|r| (r.0, (r.1 + shift) * scale)).collect();
        for (a, b) in run("requests", &rows, Effort::Full).iter().zip(run("requests", &moved, Effort::Full)) {
            prop_assert!((a.score - b.score).abs() < 0.02, "{a:?} {b:?}");
        }
    }

    #[test]
    fn lazy_effort_decides_as_full_effort(seed in 0..1000_u64, jump in -40.0..40.0_f64, every in 5..60_usize) {
        let mut rows = daily(400, 300, seed);
        for (i, row) in rows.iter_mut().enumerate() {
            if i > 100 && (i / every).is_multiple_of(5) {
                row.1 += jump;
            }
        }
        let full = run("requests", &rows, Effort::Full);
        let lazy = run("requests", &rows, Effort::Lazy);
        for (a, b) in full.iter().zip(&lazy) {
            prop_assert_eq!(a.anomaly, b.anomaly);
            prop_assert_eq!(a.expected, b.expected);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bits(seed in 0..1000_u64) {
        let rows = daily(150, 60, seed);
        prop_assert_eq!(run("requests", &rows, Effort::Full), run("requests", &rows, Effort::Full));
    }
}
