//! Training: from a seed to the files in `models/`.
//!
//! `halo train` calls [`train`] and writes what it returns. The data is synthetic, so anybody can make the same files again;
//! the forest and the calibration are exact functions of the seed, the autoencoder's last bits depend on the machine's
//! matrix kernels.

mod network;
mod synthetic;

use super::autoencoder::{Autoencoder, WINDOW};
use super::calibration::{AUTOENCODER, Calibration, FAST, FOREST, NOVELTY, RAWS, SLOW, Tails};
use super::forest::IsolationForest;
use super::models::{AUTOENCODER_FILE, CALIBRATION_FILE, FOREST_FILE, FORMAT, MANIFEST_FILE, Manifest, ManifestFile};
use super::novelty::Novelties;
use super::tail::Tail;
use super::weights;
use super::window::Windows;
use crate::features::{Baselines, FEATURES, Polarity};
use crate::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array2;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeMap;
use wire::series::MetricClass;

pub use network::Network;
pub use synthetic::{Shape, clean_series};

/// What to train.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// Seed of the data and of every random choice.
    pub seed: u64,
    /// Synthetic clean series to learn from, at least 50.
    pub series: usize,
    /// Gradient steps of the autoencoder.
    pub steps: usize,
    /// Windows in a gradient step.
    pub batch: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 7,
            series: 200,
            steps: 300,
            batch: 128,
        }
    }
}

/// How far training is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// `simulate`, `forest`, `autoencoder`, `calibrate`.
    pub stage: &'static str,
    pub step: usize,
    pub of: usize,
    /// Loss on training windows and on held-back windows, where there is one.
    pub loss: Option<f32>,
    pub held_back: Option<f32>,
}

/// The files of `models/`, and how good they are.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Name and bytes, the manifest last.
    pub files: Vec<(String, Vec<u8>)>,
    /// Autoencoder's loss on held-back windows.
    pub held_back: f32,
}

/// Samples of a series that only warm its baseline up.
const SETTLE: usize = 300;
/// Every so many windows of a series is kept: neighbours are nearly the same.
const STRIDE: usize = 11;
const FOREST_ROWS: usize = 60_000;

/// Trains all models. `progress` is called now and then; training ends early when it returns `false`.
///
/// # Errors
/// [`Error::Model`] when the configuration is unusable or was stopped, or the numerics fail.
pub fn train(config: &TrainConfig, progress: &mut dyn FnMut(&Progress) -> bool) -> Result<Trained> {
    let mut report = |stage, step, of, loss, held_back| {
        let go_on = progress(&Progress {
            stage,
            step,
            of,
            loss,
            held_back,
        });
        if go_on {
            Ok(())
        } else {
            Err(fault("training", "stopped on request".to_owned()))
        }
    };
    if config.series < 50 || config.batch == 0 {
        return Err(fault(
            "training",
            "needs at least 50 series and a batch of 1".to_owned(),
        ));
    }

    let mut data = Collected::default();
    for i in 0..config.series {
        collect(config.seed, i, &mut data);
        if i % 50 == 0 {
            report("simulate", i, config.series, None, None)?;
        }
    }

    report("forest", 0, 1, None, None)?;
    let forest = fit_forest(config.seed, &data.features)?;

    let tensors = network::fit(config, &data.windows, &mut |step, loss, held_back| {
        report("autoencoder", step, config.steps, Some(loss), Some(held_back))
    })?;
    let autoencoder_bytes = weights::write_floats(&tensors.tensors).map_err(|m| fault("autoencoder", m))?;
    let autoencoder = Autoencoder::from_safetensors(&autoencoder_bytes).map_err(|m| fault("autoencoder", m))?;

    report("calibrate", 0, 1, None, None)?;
    let calibration = calibrate(config, &forest, &autoencoder);
    let calibration_bytes = toml::to_string(&calibration)
        .map_err(|e| fault("calibration", e.to_string()))?
        .into_bytes();
    let forest_bytes = weights::write_forest(&forest).map_err(|m| fault("forest", m))?;

    let mut files = vec![
        (AUTOENCODER_FILE.to_owned(), autoencoder_bytes),
        (CALIBRATION_FILE.to_owned(), calibration_bytes),
        (FOREST_FILE.to_owned(), forest_bytes),
    ];
    files.push((MANIFEST_FILE.to_owned(), manifest(config, &files, tensors.held_back)?));
    Ok(Trained {
        files,
        held_back: tensors.held_back,
    })
}

/// Residual features and windows of clean series.
#[derive(Default)]
struct Collected {
    features: Vec<[f32; FEATURES]>,
    /// `[n, WINDOW]` flat.
    windows: Vec<f32>,
    fast: Vec<f32>,
    slow: Vec<f32>,
    novelty: Vec<f32>,
}

fn collect(seed: u64, i: usize, into: &mut Collected) {
    let (shape, rows) = clean_series(seed, i);
    let mut baselines = Baselines::default();
    let slot = baselines.add(shape.polarity(), 0);
    let mut windows = Windows::default();
    windows.add();
    let mut novelties = Novelties::default();
    novelties.add(shape.polarity());
    for (n, &(at, value)) in rows.iter().enumerate() {
        let novelty = novelties.score(0, value);
        novelties.learn(0, value);
        let Some(residual) = baselines.observe(slot, at, value) else {
            continue;
        };
        windows.push(0, residual.slow);
        if n < SETTLE {
            continue;
        }
        into.features.push(residual.features);
        into.fast.push(residual.fast.abs());
        into.slow.push(residual.slow.abs());
        into.novelty.push(novelty);
        if n % STRIDE == 0 && windows.is_full(0) {
            windows.append_to(0, &mut into.windows);
        }
    }
}

fn fit_forest(seed: u64, features: &[[f32; FEATURES]]) -> Result<IsolationForest> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xF0_4E57);
    let n = FOREST_ROWS.min(features.len());
    let chosen = index::sample(&mut rng, features.len(), n);
    let mut rows = Array2::zeros((n, FEATURES));
    for (r, i) in chosen.into_iter().enumerate() {
        for (f, &x) in features[i].iter().enumerate() {
            // A little noise: features of constant series are exactly equal, and a tree cannot tell such rows from rare ones.
            rows[(r, f)] = x + 0.01 * (rng.random::<f32>() - 0.5);
        }
    }
    IsolationForest::params()
        .seed(seed)
        .fit(&DatasetBase::from(rows))
        .map_err(|e| fault("forest", e.to_string()))
}

/// Tails of every member on series that training has not seen, per class: those of the median series, not of the pool. A few
/// wild series would make every new one deaf; each learns its own tail as samples come.
fn calibrate(config: &TrainConfig, forest: &IsolationForest, autoencoder: &Autoencoder) -> Calibration {
    let of = |class: MetricClass| {
        let mut fits: [Vec<Tail>; RAWS] = Default::default();
        for i in config.series..config.series * 3 {
            if synthetic::shape_of(config.seed, i).0.class() != class {
                continue;
            }
            let mut data = Collected::default();
            collect(config.seed, i, &mut data);
            fits[FOREST].push(Tail::fit(data.features.iter().map(|row| forest.score(row)).collect()));
            fits[AUTOENCODER].push(Tail::fit(autoencoder.score(&data.windows)));
            fits[FAST].push(Tail::fit(data.fast));
            fits[SLOW].push(Tail::fit(data.slow));
            fits[NOVELTY].push(Tail::fit(data.novelty));
            if fits[FAST].len() >= config.series / 10 {
                break;
            }
        }
        Tails {
            fast: Tail::median(&fits[FAST]),
            slow: Tail::median(&fits[SLOW]),
            forest: Tail::median(&fits[FOREST]),
            autoencoder: Tail::median(&fits[AUTOENCODER]),
            novelty: Tail::median(&fits[NOVELTY]),
        }
    };
    Calibration {
        latency: of(MetricClass::Latency),
        errors: of(MetricClass::Errors),
        traffic: of(MetricClass::Traffic),
        saturation: of(MetricClass::Saturation),
        other: of(MetricClass::Other),
    }
}

fn manifest(config: &TrainConfig, files: &[(String, Vec<u8>)], held_back: f32) -> Result<Vec<u8>> {
    let note = |name: &str| match name {
        FOREST_FILE => format!("isolation forest, 100 trees of 256 rows, {FEATURES} residual features"),
        AUTOENCODER_FILE => format!("LSTM autoencoder, windows of {WINDOW}, held-back loss {held_back:.4}"),
        _ => "tails of clean series, per metric class".to_owned(),
    };
    let files: BTreeMap<String, ManifestFile> = files
        .iter()
        .map(|(name, bytes)| {
            let file = ManifestFile {
                blake3: blake3::hash(bytes).to_hex().to_string(),
                note: note(name),
            };
            (name.clone(), file)
        })
        .collect();
    let manifest = Manifest {
        format: FORMAT,
        version: format!("1.{}", config.seed),
        command: format!(
            "halo train --seed {} --series {} --steps {} --batch {}",
            config.seed, config.series, config.steps, config.batch
        ),
        files,
    };
    toml::to_string(&manifest)
        .map(String::into_bytes)
        .map_err(|e| fault(MANIFEST_FILE, e.to_string()))
}

fn fault(name: &str, message: String) -> Error {
    Error::Model {
        name: name.to_owned(),
        message,
    }
}

impl Shape {
    fn polarity(self) -> Polarity {
        match self.class() {
            MetricClass::Latency => Polarity::Up,
            MetricClass::Errors if self == Self::Availability => Polarity::Down,
            MetricClass::Errors => Polarity::Up,
            _ => Polarity::Both,
        }
    }
}
