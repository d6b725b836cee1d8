//! The batched path against the members' own code. Without a device it runs on the CPU, from the same source.

mod seasons;

use super::*;
use crate::detect::calibration::class_name;
use crate::detect::train::Network;
use crate::detect::window::Windows;
use crate::detect::{HIDDEN, LATENT, WINDOW};
use crate::features::{FEATURES, Polarity, Residual};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;
use wire::Timestamp;
use wire::series::MetricClass;

const TOLERANCE: f64 = 1e-4;
const MINUTE: i64 = 60_000;
const POLARITIES: [Polarity; 3] = [Polarity::Up, Polarity::Down, Polarity::Both];

fn models() -> &'static Models {
    static MODELS: OnceLock<Models> = OnceLock::new();
    MODELS.get_or_init(|| Models::bundled().unwrap())
}

fn batch(accelerator: &Accelerator) -> DeviceBatch {
    DeviceBatch::new(models(), accelerator).unwrap()
}

/// Within the tolerance, relative above 1.
#[track_caller]
fn close(a: f64, b: f64, what: &str) {
    assert!(a.is_finite() && b.is_finite(), "{what}: {a} {b}");
    assert!(
        (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0),
        "{what}: {a} {b}"
    );
}

#[track_caller]
fn close_residuals(ours: &Residual, theirs: &Residual, what: &str) {
    // Values may be of any unit: the mean counts beside the scale.
    let unit = theirs.scale.max(theirs.mean.abs()).max(f64::MIN_POSITIVE);
    close(ours.mean / unit, theirs.mean / unit, &format!("{what}, mean"));
    close(ours.scale / unit, theirs.scale / unit, &format!("{what}, scale"));
    close(ours.fast.into(), theirs.fast.into(), &format!("{what}, fast"));
    close(ours.slow.into(), theirs.slow.into(), &format!("{what}, slow"));
    for (i, (our, their)) in ours.features.iter().zip(theirs.features).enumerate() {
        close((*our).into(), their.into(), &format!("{what}, feature {i}"));
    }
}

/// A value of a series that a seed describes: a day's wave, noise, shifts, gaps, wild samples.
fn value(kind: u64, t: i64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let wave = (t as f64 / 288.0 * std::f64::consts::TAU).sin();
    let noise: f64 = rng.random_range(-1.0..1.0);
    match kind % 7 {
        0 => 50.0 + 10.0 * wave + noise,
        1 => 1e6 + 1e4 * noise,
        2 if t % 97 > 90 => 40.0 + noise,
        2 => noise,
        3 => 7.0,
        4 => (t / 40) as f64 + 0.1 * noise,
        5 if rng.random_bool(0.02) => 1e30 * noise,
        5 => noise,
        _ if rng.random_bool(0.2) => f64::NAN,
        _ => 0.01 * noise + if t > 400 { 5.0 } else { 0.0 },
    }
}

/// Baselines of `n` series after a history of `history` samples every `step_ms`, and the instant of the last one.
fn warm(n: usize, history: i64, step_ms: i64, seed: u64) -> (Baselines, i64, Vec<Xoshiro256PlusPlus>) {
    let mut baselines = Baselines::default();
    let mut rngs = Vec::new();
    for slot in 0..n {
        baselines.add(POLARITIES[slot % 3], step_ms);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed * 1000 + slot as u64);
        for t in 0..history {
            let v = value(slot as u64 + seed, t, &mut rng);
            // The first samples are whole, so that every baseline opens.
            let v = if t < 12 && v.is_nan() { 0.0 } else { v };
            baselines.observe(slot, Timestamp(t * step_ms), v);
        }
        rngs.push(rng);
    }
    (baselines, history, rngs)
}

/// Steps both decompositions side by side, each going on alone.
fn check_decomposition(accelerator: &Accelerator, n: usize, history: i64, steps: i64, step_ms: i64, seed: u64) {
    let (mut baselines, start, mut rngs) = warm(n, history, step_ms, seed);
    let slots: Vec<usize> = (0..n).collect();
    let mut device = Decomposition::of(&baselines, &slots, accelerator.device()).unwrap();
    for t in start..start + steps {
        let at = Timestamp(t * step_ms);
        let values: Vec<f64> = rngs
            .iter_mut()
            .enumerate()
            .map(|(slot, rng)| value(slot as u64 + seed, t, rng))
            .collect();
        let ours = device.step(at, &values).unwrap().rows().unwrap();
        for (slot, our) in ours.iter().enumerate() {
            let their = baselines.observe(slot, at, values[slot]);
            let what = format!("seed {seed}, series {slot}, step {t}, value {}", values[slot]);
            match (our, their) {
                (Some(our), Some(their)) => close_residuals(our, &their, &what),
                (None, None) => {}
                (our, their) => panic!("{what}: {our:?} {their:?}"),
            }
        }
    }
}

fn check_forest(accelerator: &Accelerator, rows: &[f32]) {
    let batch = batch(accelerator);
    for class in MetricClass::ALL {
        let scores = batch.forest(class).score(rows).unwrap();
        assert_eq!(scores.len(), rows.len() / FEATURES);
        for (row, score) in rows.chunks_exact(FEATURES).zip(scores) {
            close(
                score.into(),
                models().forest(class).score(row).into(),
                class_name(class),
            );
        }
    }
}

fn check_autoencoder(accelerator: &Accelerator, windows: &[f32]) {
    let scores = batch(accelerator).autoencoder().score(windows).unwrap();
    let ours = models().autoencoder().score(windows);
    assert_eq!(scores.len(), ours.len());
    for (score, our) in scores.iter().zip(ours) {
        close((*score).into(), our.into(), "autoencoder");
    }
}

/// The ensemble against baselines, windows and members one series at a time.
fn check_ensemble(accelerator: &Accelerator, n: usize, seed: u64) {
    let (mut baselines, start, mut rngs) = warm(n, 60, MINUTE, seed);
    let slots: Vec<usize> = (0..n).collect();
    let classes: Vec<MetricClass> = slots.iter().map(|slot| MetricClass::ALL[slot % 5]).collect();
    let mut ensemble = Ensemble::of(&batch(accelerator), &baselines, &slots, &classes).unwrap();
    let mut windows = Windows::default();
    slots.iter().for_each(|_| windows.add());
    for t in start..start + 60 {
        let at = Timestamp(t * MINUTE);
        let values: Vec<f64> = rngs
            .iter_mut()
            .enumerate()
            .map(|(slot, rng)| value(slot as u64 + seed, t, rng))
            .collect();
        let scores = ensemble.step(at, &values).unwrap();
        for (slot, &value) in values.iter().enumerate() {
            let what = format!("seed {seed}, series {slot}, step {t}");
            let Some(residual) = baselines.observe(slot, at, value) else {
                assert!(
                    scores.fast[slot].is_nan() && scores.autoencoder[slot].is_nan(),
                    "{what}"
                );
                continue;
            };
            windows.push(slot, residual.slow);
            let row = models().sight().row(&residual, || windows.of(slot));
            let forest = models().forest(classes[slot]).score(&row);
            close(scores.fast[slot].into(), residual.fast.into(), &what);
            close(scores.slow[slot].into(), residual.slow.into(), &what);
            // A feature at a cut may fall on the other side of it by a rounding; in one tree of a hundred.
            assert!((scores.forest[slot] - forest).abs() < 2e-3, "{what}");
            if windows.is_full(slot) {
                let mut window = Vec::new();
                windows.append_to(slot, &mut window);
                close(
                    scores.autoencoder[slot].into(),
                    models().autoencoder().score(&window)[0].into(),
                    &what,
                );
            } else {
                assert!(scores.autoencoder[slot].is_nan(), "{what}");
            }
        }
    }
}

fn random(n: usize, reach: f32, seed: u64) -> Vec<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-reach..reach)).collect()
}

#[test]
fn the_decomposition_agrees_through_days_and_weeks_of_seasons() {
    // Every half hour: days begin to count after 48 samples, weeks after 384.
    check_decomposition(&Accelerator::cpu(), 21, 100, 700, 30 * MINUTE, 3);
    // Begun before, with profiles of their own.
    check_decomposition(&Accelerator::cpu(), 14, 600, 120, 30 * MINUTE, 4);
}

#[test]
fn a_sample_that_is_late_or_no_number_changes_nothing() {
    let (mut baselines, start, _) = warm(3, 80, MINUTE, 1);
    let mut device = Decomposition::of(&baselines, &[0, 1, 2], &Device::Cpu).unwrap();
    let at = Timestamp(start * MINUTE);
    let none = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    assert!(
        device
            .step(at, &none)
            .unwrap()
            .rows()
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
    let late = Timestamp((start - 1) * MINUTE);
    assert!(
        device
            .step(late, &[1.0; 3])
            .unwrap()
            .rows()
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
    for (slot, row) in device
        .step(at, &[1.0, 2.0, 3.0])
        .unwrap()
        .rows()
        .unwrap()
        .iter()
        .enumerate()
    {
        let their = baselines.observe(slot, at, slot as f64 + 1.0).unwrap();
        close_residuals(&row.unwrap(), &their, &format!("series {slot}"));
    }
    assert!(device.step(at, &[1.0]).unwrap_err().to_string().contains("batch of 3"));
}

#[test]
fn local_statistics_restart_where_they_are_told_to() {
    let (mut baselines, start, _) = warm(2, 80, MINUTE, 2);
    let mut device = Decomposition::of(&baselines, &[0, 1], &Device::Cpu).unwrap();
    let which = Tensor::new(&[1_u8, 0], &Device::Cpu).unwrap();
    device.restart_local(&which).unwrap();
    baselines.restart_local(0);
    let at = Timestamp(start * MINUTE);
    for (slot, row) in device
        .step(at, &[60.0, 1e6])
        .unwrap()
        .rows()
        .unwrap()
        .iter()
        .enumerate()
    {
        let their = baselines.observe(slot, at, [60.0, 1e6][slot]).unwrap();
        close_residuals(&row.unwrap(), &their, &format!("series {slot}"));
    }
}

#[test]
fn a_batch_needs_open_baselines_of_one_interval() {
    let mut baselines = Baselines::default();
    let error = |baselines: &Baselines, slots: &[usize]| {
        Decomposition::of(baselines, slots, &Device::Cpu)
            .unwrap_err()
            .to_string()
    };
    baselines.add(Polarity::Both, MINUTE);
    assert!(error(&baselines, &[0]).contains("no baseline yet"));
    baselines.add(Polarity::Both, 2 * MINUTE);
    for t in 0..20 {
        baselines.observe(0, Timestamp(t * MINUTE), t as f64);
        baselines.observe(1, Timestamp(2 * t * MINUTE), t as f64);
    }
    assert!(error(&baselines, &[0, 1]).contains("equally often"));
    baselines.add(Polarity::Both, MINUTE);
    let tokyo = jiff::tz::TimeZoneDatabase::bundled().get("Asia/Tokyo").unwrap();
    baselines.set_zone(2, &tokyo);
    for t in 0..20 {
        baselines.observe(2, Timestamp(t * MINUTE), t as f64);
    }
    assert!(error(&baselines, &[0, 2]).contains("time zone"));
}

#[test]
fn extreme_inputs_stay_finite() {
    let (mut baselines, start, _) = warm(4, 80, MINUTE, 5);
    let mut device = Decomposition::of(&baselines, &[0, 1, 2, 3], &Device::Cpu).unwrap();
    for t in start..start + 100 {
        let at = Timestamp(t * MINUTE);
        let sign = if t % 2 == 0 { 1.0 } else { -1.0 };
        let values = [1e30 * sign, 0.0, 42.0, f64::MAX * sign];
        for (slot, row) in device.step(at, &values).unwrap().rows().unwrap().iter().enumerate() {
            let their = baselines.observe(slot, at, values[slot]).unwrap();
            close_residuals(&row.unwrap(), &their, &format!("series {slot}, step {t}"));
        }
    }
    for x in [1e30, -1e30, 0.0, 9.0] {
        check_forest(&Accelerator::cpu(), &[x; FEATURES]);
    }
    for x in [1e4, 0.0, -9.3] {
        check_autoencoder(&Accelerator::cpu(), &[x; WINDOW]);
    }
}

#[test]
fn empty_batches_have_no_scores_and_broken_ones_an_error() {
    let batch = batch(&Accelerator::cpu());
    assert!(
        batch.forest(MetricClass::Other).score(&[]).unwrap().is_empty()
            && batch.autoencoder().score(&[]).unwrap().is_empty()
    );
    assert!(batch.forest(MetricClass::Other).score(&[0.0; FEATURES + 1]).is_err());
    assert!(batch.autoencoder().score(&[0.0; WINDOW - 1]).is_err());
}

#[test]
fn many_rows_go_chunk_by_chunk() {
    // Two chunks and a bit, so that the seam is crossed.
    check_forest(&Accelerator::cpu(), &random(FEATURES * (2 * 16_384 + 5), 4.0, 6));
}

#[test]
fn a_candle_graph_can_call_the_fused_kernel() {
    let op = ScoreOp::new(Arc::new(models().autoencoder().clone()), &Device::Cpu).unwrap();
    let tensor = Tensor::zeros((2, WINDOW + 1), DType::F32, &Device::Cpu).unwrap();
    assert!(
        tensor
            .apply_op1_no_bwd(&op)
            .unwrap_err()
            .to_string()
            .contains("expected 32")
    );
    let crossed = Tensor::zeros((WINDOW, 2), DType::F32, &Device::Cpu)
        .unwrap()
        .t()
        .unwrap();
    assert!(
        crossed
            .apply_op1_no_bwd(&op)
            .unwrap_err()
            .to_string()
            .contains("contiguous")
    );
    // Rows of a larger tensor: the operation must start where they do.
    let windows = Tensor::from_vec(random(4 * WINDOW, 3.0, 8), (4, WINDOW), &Device::Cpu).unwrap();
    let last = windows.narrow(0, 2, 2).unwrap().apply_op1_no_bwd(&op).unwrap();
    let all = windows.apply_op1_no_bwd(&op).unwrap();
    assert_eq!(last.to_vec1::<f32>().unwrap(), all.to_vec1::<f32>().unwrap()[2..]);
}

#[test]
fn the_choice_is_made_once_and_says_why() {
    let (chosen, reason) = Accelerator::choose();
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
    assert_eq!(reason.starts_with("CPU"), !chosen.is_device(), "{reason}");
    assert_eq!(Accelerator::choose().1, reason);
}

/// Weights as training starts from, other than the bundled ones.
fn random_autoencoder(seed: u64) -> crate::detect::Autoencoder {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let gates = 4 * HIDDEN;
    let shapes: [(&str, Vec<usize>); 14] = [
        ("encoder.weight_ih_l0", vec![gates, 1]),
        ("encoder.weight_hh_l0", vec![gates, HIDDEN]),
        ("encoder.bias_ih_l0", vec![gates]),
        ("encoder.bias_hh_l0", vec![gates]),
        ("latent.weight", vec![LATENT, HIDDEN]),
        ("latent.bias", vec![LATENT]),
        ("decoder.weight_ih_l0", vec![gates, LATENT]),
        ("decoder.weight_hh_l0", vec![gates, HIDDEN]),
        ("decoder.bias_ih_l0", vec![gates]),
        ("decoder.bias_hh_l0", vec![gates]),
        ("output.weight", vec![1, HIDDEN]),
        ("output.bias", vec![1]),
        ("forecast.weight", vec![1, HIDDEN]),
        ("forecast.bias", vec![1]),
    ];
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.iter().product();
            let numbers = (0..count).map(|_| rng.random_range(-0.4..0.4)).collect();
            (name.to_owned(), shape, numbers)
        })
        .collect();
    let bytes = crate::detect::weights::write_floats(&tensors).unwrap();
    crate::detect::Autoencoder::from_safetensors(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn batched_forest_rows_score_as_single_ones(rows in prop::collection::vec(-9.3_f32..9.3, FEATURES * 24)) {
        check_forest(&Accelerator::cpu(), &rows);
    }

    // The fused kernel as an operation, the batched graph, candle's own layers (from whose outputs the score is made here by
    // hand) and the kernel called directly: four ways to one number.
    #[test]
    fn operation_graph_layers_and_kernel_give_the_same_scores(
        windows in prop::collection::vec(-9.3_f32..9.3, WINDOW * 5),
    ) {
        let kernel = models().autoencoder().score(&windows);
        let tensor = Tensor::from_slice(&windows, (5, WINDOW), &Device::Cpu).unwrap();
        let op = ScoreOp::new(Arc::new(models().autoencoder().clone()), &Device::Cpu).unwrap();
        let operation: Vec<f32> = tensor.apply_op1_no_bwd(&op).unwrap().to_vec1().unwrap();
        let graph = batch(&Accelerator::cpu()).autoencoder().score(&windows).unwrap();

        let bytes = include_bytes!("../../../../models/autoencoder.safetensors");
        let vars = VarBuilder::from_slice_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
        let (written, forecast) = Network::new(vars).unwrap().forward(&tensor).unwrap();
        let written: Vec<Vec<f32>> = written.to_vec2().unwrap();
        let forecast: Vec<Vec<f32>> = forecast.to_vec2().unwrap();
        for (i, window) in windows.chunks_exact(WINDOW).enumerate() {
            let newest = window[WINDOW - 1] - forecast[i][0];
            let recent: f32 = (WINDOW - 8..WINDOW).map(|t| (window[t] - written[i][t]).powi(2)).sum();
            let layers = (newest * newest + recent / 8.0).sqrt();
            close(operation[i].into(), kernel[i].into(), "operation");
            close(graph[i].into(), kernel[i].into(), "graph");
            close(layers.into(), kernel[i].into(), "layers");
        }
    }

    #[test]
    fn batched_autoencoder_agrees_whatever_the_weights(seed in 0..10_000_u64) {
        let model = random_autoencoder(seed);
        let windows = random(WINDOW * 3, 5.0, seed);
        let graph = BatchedAutoencoder::new(&model, &Device::Cpu).unwrap().score(&windows).unwrap();
        for (graph, kernel) in graph.iter().zip(model.score(&windows)) {
            close((*graph).into(), kernel.into(), "autoencoder");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batched_decomposition_goes_on_as_the_baselines_do(seed in 0..10_000_u64, history in 20_i64..200) {
        check_decomposition(&Accelerator::cpu(), 9, history, 150, 5 * MINUTE, seed);
    }

    #[test]
    fn the_ensemble_scores_as_its_members_do(seed in 0..10_000_u64) {
        check_ensemble(&Accelerator::cpu(), 7, seed);
    }
}

#[cfg(feature = "cuda")]
#[test]
#[expect(clippy::print_stdout, reason = "a test that cannot run must say so")]
fn cuda_agrees_with_the_cpu() {
    let (accelerator, reason) = Accelerator::choose();
    if !accelerator.is_device() {
        println!("skipped: no CUDA device: {reason}");
        return;
    }
    println!("agreement measured on {}", accelerator.name());
    check_forest(&accelerator, &random(FEATURES * 40_000, 5.0, 21));
    check_autoencoder(&accelerator, &random(WINDOW * 70_000, 5.0, 22));
    check_decomposition(&accelerator, 210, 100, 700, 30 * MINUTE, 23);
    check_ensemble(&accelerator, 70, 24);
    let op = ScoreOp::new(Arc::new(models().autoencoder().clone()), accelerator.device()).unwrap();
    let windows = random(WINDOW * 1000, 5.0, 25);
    let tensor = Tensor::from_slice(&windows, (1000, WINDOW), accelerator.device()).unwrap();
    let scores: Vec<f32> = tensor.apply_op1_no_bwd(&op).unwrap().to_vec1().unwrap();
    for (score, kernel) in scores.iter().zip(models().autoencoder().score(&windows)) {
        close((*score).into(), kernel.into(), "operation on the device");
    }
}
