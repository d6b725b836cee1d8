//! Other models while samples come: nothing pauses, and nothing that is not theirs is forgotten.

use super::super::train::{TrainConfig, train};
use super::*;

/// Models of another seed, hardly trained: their scores are of another size.
pub(in crate::detect) fn other_models() -> Arc<Models> {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    let fit = || {
        let config = TrainConfig {
            seed: 99,
            series: 50,
            steps: 12,
            batch: 32,
        };
        let trained = train(&config, &mut |_| true).unwrap();
        let files: Vec<(&str, &[u8])> = trained.files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        Arc::new(Models::from_files(&files).unwrap())
    };
    Arc::clone(MODELS.get_or_init(fit))
}

/// Runs `rows` after a history of a quarter of them, with the models that `swap` names before a sample.
fn run_swapped(
    metric: &str,
    rows: &[(Timestamp, f64)],
    mut swap: impl FnMut(usize) -> Option<Arc<Models>>,
) -> Vec<Detection> {
    let mut detector = detector();
    let slot = detector.add_series(&info(metric));
    let history = rows.len() / 4;
    detector.bootstrap(slot, &rows[..history]);
    let mut out = Vec::new();
    for (n, &(at, value)) in rows[history..].iter().enumerate() {
        if let Some(models) = swap(n) {
            detector.set_models(models);
        }
        out.push(detector.observe(slot, at, value, Effort::Full));
    }
    out
}

#[test]
fn the_same_models_again_change_no_decision() {
    let mut rows = daily(700, 300, 21);
    for row in &mut rows[500..520] {
        row.1 += 60.0;
    }
    let again = Arc::new(Models::bundled().unwrap());
    let plain = run_swapped("requests", &rows, |_| None);
    let swapped = run_swapped("requests", &rows, |n| n.is_multiple_of(7).then(|| Arc::clone(&again)));
    assert!(plain.iter().any(|d| d.anomaly));
    assert_eq!(plain, swapped);
}

#[test]
fn other_models_raise_no_alerts_on_clean_series_of_every_kind() {
    let others = other_models();
    assert!(
        MetricClass::ALL
            .iter()
            .all(|&class| others.forest(class) != models().forest(class))
    );
    let (mut plain, mut swapped) = (0, 0);
    for i in 0..60 {
        let (shape, rows) = clean_series(1_000_003, i);
        let metric = match shape.class() {
            MetricClass::Latency => "latency",
            MetricClass::Errors => "errors",
            MetricClass::Traffic => "requests",
            MetricClass::Saturation => "cpu",
            MetricClass::Other => "temperature",
        };
        let middle = rows.len() / 3;
        plain += alerts(&run_swapped(metric, &rows, |_| None));
        let detections = run_swapped(metric, &rows, |n| (n == middle).then(|| Arc::clone(&others)));
        detections.iter().for_each(assert_finite);
        swapped += alerts(&detections);
    }
    println!("alerts of 60 clean series: {plain} with one set of models, {swapped} with a swap");
    // From the class's calibration alone there would be three times as many.
    assert!(swapped <= plain + 3, "{swapped} alerts, {plain} without a swap");
}

#[test]
fn a_fault_that_lasts_is_still_one_anomaly_after_the_swap() {
    let mut rows = daily(700, 300, 22);
    let history = rows.len() / 4;
    for row in &mut rows[600..606] {
        row.1 += 80.0;
    }
    let others = other_models();
    let detections = run_swapped("requests", &rows, |n| (n + history == 603).then(|| Arc::clone(&others)));
    let fault = &detections[600 - history..606 - history];
    assert!(fault[..3].iter().any(|d| d.anomaly) && fault[3].anomaly, "{fault:#?}");
}

#[test]
fn a_masked_series_has_the_new_models_when_its_mask_ends() {
    let rows = daily(500, 300, 23);
    let run = |swap_at: usize| {
        let mut detector = detector();
        let slot = detector.add_series(&info("requests"));
        detector.bootstrap(slot, &rows[..300]);
        detector.mask(slot, true);
        let mut out = Vec::new();
        for (n, &(at, value)) in rows[300..].iter().enumerate() {
            if n == 100 {
                detector.mask(slot, false);
            }
            if n == swap_at {
                detector.set_models(other_models());
            }
            out.push(detector.observe(slot, at, value, Effort::Full));
        }
        out.split_off(100)
    };
    assert_eq!(run(50), run(100));
}
