//! Training: from a seed to the files in `models/`.
//!
//! `halo train` calls [`train`] and writes what it returns. The data is synthetic and everything is a function of the seed, so
//! anybody can make the same files again; [`train_on_history`] goes on from them on what the user's own series were like.

mod collect;
mod entities;
mod faults;
mod fit;
mod gradient;
#[cfg(test)]
mod graph;
mod history;
mod judge;
mod synthetic;
mod trainer;
mod tune;

use super::autoencoder::{Autoencoder, WINDOW};
use super::calibration::{Calibration, class_index};
use super::certainty::{Alert, Certainty};
use super::forest::IsolationForest;
use super::joint::JOINT_FEATURES;
use super::models::Models;
use super::models::{AUTOENCODER_FILE, CALIBRATION_FILE, FOREST_FILE, FORMAT, MANIFEST_FILE, Manifest, ManifestFile};
use super::sight::Sight;
use super::weights::{self, Forests};
use crate::features::{FEATURES, Polarity};
use crate::{Error, Result};
use collect::{Collected, SETTLE, fit_forest, median_tails};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::MetricClass;

pub use history::{
    History, HistoryConfig, HistorySeries, LEAST_DAYS, LEAST_ROWS_BACK, LEAST_ROWS_IN, LEAST_SERIES, Outcome,
    train_on_history,
};
pub use judge::{Figure, Report, TOLERANCE};
pub use synthetic::{Shape, clean_series};
pub use trainer::Trainer;

#[cfg(test)]
pub(super) use graph::Network;

/// What new forests see of a sample.
const SIGHT: Sight = Sight::Spectral;

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
    /// `simulate`, `forest`, `autoencoder`, `calibrate`; on history `read`, `residuals`, `forest`, `autoencoder`, `calibrate`, `judge`.
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

impl Trained {
    /// The same files with the chances that alerts are real fitted to `alerts` of known truth.
    ///
    /// # Errors
    /// [`Error::Model`] when the alerts are all real or all false.
    pub fn with_alerts(mut self, alerts: &[Alert]) -> Result<Self> {
        let certainty = Certainty::fit(alerts)
            .ok_or_else(|| fault("certainty", "needs real alerts and false ones to be fitted".to_owned()))?;
        let corrupt = |e: &dyn std::fmt::Display| fault(CALIBRATION_FILE, e.to_string());
        let (mut manifest, mut bytes) = (None, None);
        for (name, file) in &self.files {
            if name == MANIFEST_FILE {
                manifest = Some(Manifest::parse(file)?);
            } else if name == CALIBRATION_FILE {
                let text = std::str::from_utf8(file).map_err(|e| corrupt(&e))?;
                let mut calibration: Calibration = toml::from_str(text).map_err(|e| corrupt(&e))?;
                calibration.certainty = certainty;
                bytes = Some(calibration_bytes(&calibration)?);
            }
        }
        let (Some(mut manifest), Some(bytes)) = (manifest, bytes) else {
            return Err(fault("training", "the files are incomplete".to_owned()));
        };
        if let Some(file) = manifest.files.get_mut(CALIBRATION_FILE) {
            *file = ManifestFile::of(&bytes, file.note.clone());
        }
        let manifest = manifest.to_bytes()?;
        for (name, file) in &mut self.files {
            match name.as_str() {
                CALIBRATION_FILE => file.clone_from(&bytes),
                MANIFEST_FILE => file.clone_from(&manifest),
                _ => {}
            }
        }
        Ok(self)
    }

    /// The models in the files, ready for use.
    ///
    /// # Errors
    /// As [`Models::from_files`].
    pub fn models(&self) -> Result<Models> {
        let files: Vec<(&str, &[u8])> = self.files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        Models::from_files(&files)
    }
}

/// Trains all models. `progress` is called now and then; training ends early when it returns `false`.
///
/// # Errors
/// [`Error::Model`] when the configuration is unusable or was stopped, or the numerics fail.
pub fn train(config: &TrainConfig, progress: &mut dyn FnMut(&Progress) -> bool) -> Result<Trained> {
    let mut report = reporter(progress);
    if config.series < 50 || config.batch == 0 {
        return Err(fault(
            "training",
            "needs at least 50 series and a batch of 1".to_owned(),
        ));
    }

    let mut features: [Vec<[f32; FEATURES]>; 5] = Default::default();
    let mut windows = Vec::new();
    let mut entities = entities::Entities::default();
    for i in 0..config.series {
        let (class, data) = synthetic_series(SIGHT, config.seed, i);
        entities.add(config.seed, class, &data);
        features[class_index(class)].extend(data.features);
        windows.extend(data.windows);
        if i % 50 == 0 {
            report("simulate", i, config.series, None, None)?;
        }
    }

    let mut forests = Vec::with_capacity(MetricClass::ALL.len());
    for (i, rows) in features.iter().enumerate() {
        report("forest", i, MetricClass::ALL.len(), None, None)?;
        forests.push(Arc::new(fit_forest(config.seed + i as u64, rows)?));
    }
    let forests: Forests = forests.try_into().expect("one forest was pushed for every class");
    let joint = entities.fit(config.seed + MetricClass::ALL.len() as u64)?;

    let (autoencoder_bytes, held_back) = fit::fit(config, &windows, &mut |step, loss, held_back| {
        report("autoencoder", step, config.steps, Some(loss), Some(held_back))
    })?;
    let autoencoder = Autoencoder::from_safetensors(&autoencoder_bytes).map_err(|m| fault("autoencoder", m))?;

    report("calibrate", 0, 1, None, None)?;
    let calibration = calibrate(config, &forests, &joint, &autoencoder);
    let mut files = files_of(autoencoder_bytes, &calibration, &forests, Some(&joint))?;
    files.push((MANIFEST_FILE.to_owned(), manifest(config, &files, held_back)?));
    Ok(Trained { files, held_back })
}

/// The files of some models, but for the manifest.
fn files_of(
    autoencoder: Vec<u8>,
    calibration: &Calibration,
    forests: &Forests,
    joint: Option<&IsolationForest>,
) -> Result<Vec<(String, Vec<u8>)>> {
    Ok(vec![
        (AUTOENCODER_FILE.to_owned(), autoencoder),
        (CALIBRATION_FILE.to_owned(), calibration_bytes(calibration)?),
        (
            FOREST_FILE.to_owned(),
            weights::write_forests(forests, joint).map_err(|m| fault("forest", m))?,
        ),
    ])
}

fn calibration_bytes(calibration: &Calibration) -> Result<Vec<u8>> {
    let text = toml::to_string(calibration).map_err(|e| fault(CALIBRATION_FILE, e.to_string()))?;
    Ok(text.into_bytes())
}

/// Passes on how far training is: stage, step, of how many, loss, held-back loss. An error when it shall stop.
fn reporter(
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> impl FnMut(&'static str, usize, usize, Option<f32>, Option<f32>) -> Result<()> {
    move |stage, step, of, loss, held_back| {
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
            Err(fault("training", "stopped on request; nothing was changed".to_owned()))
        }
    }
}

/// What clean series `i` of the seed teaches who sees it so.
fn synthetic_series(sight: Sight, seed: u64, i: usize) -> (MetricClass, Collected) {
    let (shape, rows) = clean_series(seed, i);
    (shape.class(), Collected::of(sight, shape.polarity(), &rows, SETTLE))
}

/// Tails of every member on series that training has not seen, per class.
fn calibrate(
    config: &TrainConfig,
    forests: &Forests,
    joint: &IsolationForest,
    autoencoder: &Autoencoder,
) -> Calibration {
    let joint = entities::calibrate(config.seed, config.series, joint);
    Calibration::of(|class| {
        let forest = &forests[class_index(class)];
        let unseen = config.series..config.series * 3;
        let series: Vec<_> = unseen
            .filter(|&i| synthetic::shape_of(config.seed, i).0.class() == class)
            .take((config.series / 10).max(1))
            .map(|i| synthetic_series(SIGHT, config.seed, i).1.tails(forest, autoencoder))
            .collect();
        median_tails(&series, joint)
    })
}

fn manifest(config: &TrainConfig, files: &[(String, Vec<u8>)], held_back: f32) -> Result<Vec<u8>> {
    let note = |name: &str| match name {
        FOREST_FILE => {
            format!(
                "an isolation forest per metric class and one over the metrics of an entity, 100 trees of 256 rows, {FEATURES} and \
                 {JOINT_FEATURES} residual features"
            )
        }
        AUTOENCODER_FILE => format!("LSTM autoencoder, windows of {WINDOW}, held-back loss {held_back:.4}"),
        _ => "tails of clean series, per metric class".to_owned(),
    };
    let files: BTreeMap<String, ManifestFile> = files
        .iter()
        .map(|(name, bytes)| (name.clone(), ManifestFile::of(bytes, note(name))))
        .collect();
    let manifest = Manifest {
        format: FORMAT,
        version: format!("{FORMAT}.{}", config.seed),
        command: format!(
            "halo train --seed {} --series {} --steps {} --batch {}",
            config.seed, config.series, config.steps, config.batch
        ),
        parent: None,
        training: None,
        files,
    };
    manifest.to_bytes()
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
