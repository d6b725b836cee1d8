//! The trained files, checked before they are used.

use super::autoencoder::{Autoencoder, WINDOW};
use super::calibration::{Calibration, RAWS, class_index};
use super::certainty::Certainty;
use super::device::{Accelerator, DeviceBatch};
use super::forest::IsolationForest;
use super::joint::JOINT_FEATURES;
use super::sight::Sight;
use super::tail::Tail;
use super::train::Figure;
use super::weights::{self, Forests};
use crate::features::FEATURES;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::series::MetricClass;
use wire::status::Model;

/// Version of the layout of the files; a reader knows its own and older ones. 1: one isolation forest for all metric classes.
/// 2: one for each. 3: one more over the metrics of an entity. 4: what they see of a sample is another ([`Sight`]).
pub(super) const FORMAT: u32 = 4;
pub(super) const FOREST_FILE: &str = "forest.safetensors";
pub(super) const AUTOENCODER_FILE: &str = "autoencoder.safetensors";
pub(super) const CALIBRATION_FILE: &str = "calibration.toml";
pub(super) const MANIFEST_FILE: &str = "manifest.toml";

/// Windows or rows in one call from which on a device, where there is one, is asked: fewer are done before it has begun.
const DEVICE_FROM: usize = 8192;
/// Samples that are judged at once at most: on the CPU enough to work side by side, few enough to stay in its cache;
const CPU_LOT: usize = 512;
/// on a device as many as a large shard has series.
const DEVICE_LOT: usize = 65_536;

/// Everything trained: shared by all detectors, never changed.
#[derive(Debug)]
pub struct Models {
    forests: Forests,
    /// Over the metrics of an entity; older files have none.
    joint: Option<IsolationForest>,
    autoencoder: Autoencoder,
    /// Its file, which training goes on from.
    autoencoder_bytes: Vec<u8>,
    version: String,
    sight: Sight,
    calibration: Calibration,
    described: Vec<Model>,
    /// The members on a device, once it was asked for.
    batched: OnceLock<Option<DeviceBatch>>,
    device_failed: AtomicBool,
}

/// `models/manifest.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) version: String,
    /// The command that makes these files again.
    pub(super) command: String,
    /// The version that training began from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    /// What they learnt from, if that was history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) training: Option<Training>,
    pub(super) files: BTreeMap<String, ManifestFile>,
}

/// The history behind a version, and how it compared with its parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub from: String,
    /// From here on nothing was learnt from, only judged on.
    pub held_back_from: String,
    pub until: String,
    pub series: usize,
    /// Samples that taught.
    pub samples: usize,
    pub figures: Vec<Figure>,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        parse_toml(MANIFEST_FILE, bytes)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        toml::to_string(self)
            .map(String::into_bytes)
            .map_err(|e| fault(MANIFEST_FILE, e.to_string()))
    }
}

impl ManifestFile {
    pub(super) fn of(bytes: &[u8], note: String) -> Self {
        Self {
            blake3: blake3::hash(bytes).to_hex().to_string(),
            note,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    pub(super) blake3: String,
    pub(super) note: String,
}

impl Models {
    /// The models this binary was built with.
    ///
    /// # Errors
    /// If a file does not have the hash that the manifest names, or cannot be read as what it should be.
    pub fn bundled() -> Result<Self> {
        Self::from_files(&[
            (MANIFEST_FILE, include_bytes!("../../../models/manifest.toml")),
            (FOREST_FILE, include_bytes!("../../../models/forest.safetensors")),
            (
                AUTOENCODER_FILE,
                include_bytes!("../../../models/autoencoder.safetensors"),
            ),
            (CALIBRATION_FILE, include_bytes!("../../../models/calibration.toml")),
        ])
    }

    /// Models from the bytes of their files, by name.
    ///
    /// # Errors
    /// As [`Models::bundled`], and if a file is missing.
    pub fn from_files(files: &[(&str, &[u8])]) -> Result<Self> {
        let find = |name: &str| {
            files
                .iter()
                .find(|file| file.0 == name)
                .map(|file| file.1)
                .ok_or_else(|| fault(name, "file is missing".to_owned()))
        };
        let manifest = Manifest::parse(find(MANIFEST_FILE)?)?;
        if manifest.format > FORMAT {
            let message = format!(
                "format {} is newer than {FORMAT}, the newest known here",
                manifest.format
            );
            return Err(fault(MANIFEST_FILE, message));
        }
        let checked = |name: &str| -> Result<&[u8]> {
            let bytes = find(name)?;
            let entry = manifest
                .files
                .get(name)
                .ok_or_else(|| fault(name, "the manifest does not name this file".to_owned()))?;
            let found = blake3::hash(bytes).to_hex();
            if found.as_str() == entry.blake3 {
                Ok(bytes)
            } else {
                let message = format!(
                    "hash {found} is not {} of the manifest; the file was changed or damaged",
                    entry.blake3
                );
                Err(fault(name, message))
            }
        };
        let forest_bytes = checked(FOREST_FILE)?;
        let forests = weights::read_forests(forest_bytes).map_err(|m| fault(FOREST_FILE, m))?;
        let joint = weights::read_joint(forest_bytes).map_err(|m| fault(FOREST_FILE, m))?;
        let of_series = forests.iter().map(|forest| (forest.features(), FEATURES));
        let of_entities = joint.iter().map(|forest| (forest.features(), JOINT_FEATURES));
        if let Some((found, known)) = of_series.chain(of_entities).find(|(found, known)| found != known) {
            let message = format!("fitted on {found} features, this version has {known}");
            return Err(fault(FOREST_FILE, message));
        }
        let autoencoder_bytes = checked(AUTOENCODER_FILE)?.to_vec();
        let autoencoder = Autoencoder::from_safetensors(&autoencoder_bytes).map_err(|m| fault(AUTOENCODER_FILE, m))?;
        let calibration = parse_toml(CALIBRATION_FILE, checked(CALIBRATION_FILE)?)?;
        let described = manifest
            .files
            .iter()
            .map(|(name, file)| Model {
                name: name.split('.').next().unwrap_or(name).to_owned(),
                version: manifest.version.clone(),
                hash: file.blake3.clone(),
                note: file.note.clone(),
            })
            .collect();
        Ok(Self {
            forests,
            joint,
            autoencoder,
            autoencoder_bytes,
            version: manifest.version,
            sight: Sight::of_format(manifest.format),
            calibration,
            described,
            batched: OnceLock::new(),
            device_failed: AtomicBool::new(false),
        })
    }

    /// The files of a version, the manifest first.
    pub const FILES: [&str; 4] = [MANIFEST_FILE, FOREST_FILE, AUTOENCODER_FILE, CALIBRATION_FILE];
    pub const MANIFEST: &str = MANIFEST_FILE;

    /// What a manifest says of where its version comes from: the version before, and the history learnt from.
    ///
    /// # Errors
    /// If it is no manifest.
    pub fn provenance(manifest: &[u8]) -> Result<(Option<String>, Option<Training>)> {
        let manifest = Manifest::parse(manifest)?;
        Ok((manifest.parent, manifest.training))
    }

    /// Adds what a person should know to the note of every file.
    pub fn add_note(&mut self, text: &str) {
        for model in &mut self.described {
            model.note = format!("{}; {text}", model.note);
        }
    }

    /// What is loaded, for a person: name, version, hash, note; sorted by name.
    pub fn describe(&self) -> Vec<Model> {
        self.described.clone()
    }

    /// The isolation forest of a metric class.
    pub fn forest(&self, class: MetricClass) -> &IsolationForest {
        &self.forests[class_index(class)]
    }

    /// What the forests of metric classes see of a sample.
    pub(super) fn sight(&self) -> Sight {
        self.sight
    }

    /// The isolation forest over the metrics of an entity, where the files have one.
    pub(super) fn joint(&self) -> Option<&IsolationForest> {
        self.joint.as_ref()
    }

    /// All of them, in the order of the classes; those of classes that share one are one.
    pub(super) fn forests(&self) -> &Forests {
        &self.forests
    }

    /// The LSTM autoencoder.
    pub fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }

    /// What the manifest calls them.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file that the autoencoder was read from; training goes on from it.
    pub fn autoencoder_bytes(&self) -> &[u8] {
        &self.autoencoder_bytes
    }

    /// How likely an alert is real.
    pub fn certainty(&self) -> Certainty {
        self.calibration.certainty
    }

    pub(super) fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Scores of `windows` (`[n, WINDOW]` flat): on the CPU, or a large batch in a build for a device on that.
    pub(super) fn reconstruct(&self, windows: &[f32]) -> Vec<f32> {
        self.on_device(windows.len() / WINDOW, |batch| batch.autoencoder().score(windows))
            .unwrap_or_else(|| self.autoencoder.score(windows))
    }

    /// Scores of `rows` (`[n, FEATURES]` flat) in the forest of a class, likewise.
    pub(super) fn isolate(&self, class: MetricClass, rows: &[f32]) -> Vec<f32> {
        self.on_device(rows.len() / FEATURES, |batch| batch.forest(class).score(rows))
            .unwrap_or_else(|| self.forest(class).score_all(rows))
    }

    /// How many samples should be judged at once.
    pub(super) fn lot(&self) -> usize {
        if self.device().is_some() { DEVICE_LOT } else { CPU_LOT }
    }

    /// What a device makes of `n` rows; `None` where they are few, where there is no device, or it has failed once.
    fn on_device<T>(&self, n: usize, score: impl FnOnce(&DeviceBatch) -> candle_core::Result<T>) -> Option<T> {
        let batch = (n >= DEVICE_FROM).then(|| self.device()).flatten()?;
        score(batch).map_err(|error| self.give_up(&error)).ok()
    }

    fn device(&self) -> Option<&DeviceBatch> {
        let failed = self.device_failed.load(Ordering::Relaxed);
        (!failed)
            .then(|| self.batched.get_or_init(|| self.upload()).as_ref())
            .flatten()
    }

    fn upload(&self) -> Option<DeviceBatch> {
        let (accelerator, _) = Accelerator::choose();
        let batch = accelerator.is_device().then(|| DeviceBatch::new(self, &accelerator))?;
        batch.map_err(|error| self.give_up(&error)).ok()
    }

    fn give_up(&self, error: &candle_core::Error) {
        tracing::error!("the device failed, computing on the CPU from now on: {error}");
        self.device_failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn tails(&self, class: MetricClass) -> [Tail; RAWS] {
        self.calibration.tails(class)
    }
}

fn parse_toml<T: for<'de> Deserialize<'de>>(name: &str, bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|e| fault(name, e.to_string()))?;
    toml::from_str(text).map_err(|e| fault(name, e.to_string()))
}

fn fault(name: &str, message: String) -> Error {
    Error::Model {
        name: name.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            (MANIFEST_FILE, include_bytes!("../../../models/manifest.toml").to_vec()),
            (
                FOREST_FILE,
                include_bytes!("../../../models/forest.safetensors").to_vec(),
            ),
            (
                AUTOENCODER_FILE,
                include_bytes!("../../../models/autoencoder.safetensors").to_vec(),
            ),
            (
                CALIBRATION_FILE,
                include_bytes!("../../../models/calibration.toml").to_vec(),
            ),
        ]
    }

    fn load(files: &[(&'static str, Vec<u8>)]) -> Result<Models> {
        let borrowed: Vec<(&str, &[u8])> = files.iter().map(|f| (f.0, f.1.as_slice())).collect();
        Models::from_files(&borrowed)
    }

    #[test]
    fn bundled_files_load_and_describe_themselves() {
        let models = Models::bundled().unwrap();
        let names: Vec<String> = models.describe().into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["autoencoder", "calibration", "forest"]);
    }

    #[test]
    fn files_of_the_first_format_load_and_every_class_has_its_one_forest() {
        let old: [(&str, &[u8]); 4] = [
            (MANIFEST_FILE, include_bytes!("fixtures/format-1/manifest.toml")),
            (FOREST_FILE, include_bytes!("fixtures/format-1/forest.safetensors")),
            (
                AUTOENCODER_FILE,
                include_bytes!("fixtures/format-1/autoencoder.safetensors"),
            ),
            (CALIBRATION_FILE, include_bytes!("fixtures/format-1/calibration.toml")),
        ];
        let models = Models::from_files(&old).unwrap();
        for class in MetricClass::ALL {
            // By `oracle.py` beside the files.
            for (x, expected) in [(0.0, 0.348_310), (1.5, 0.631_989), (-4.0, 0.652_588)] {
                let score = models.forest(class).score(&[x; FEATURES]);
                assert!((score - expected).abs() < 1e-5, "{x}: {score}");
            }
        }
        // Written again it is the same file, to the byte: a forest that all share is written once.
        assert_eq!(weights::write_forests(models.forests(), None).unwrap(), old[1].1);
    }

    #[test]
    fn forests_of_each_class_are_read_as_they_were_written() {
        let models = crate::detect::tests::swap::other_models();
        let forests = models.forests();
        assert!((1..5).all(|i| forests[i] != forests[0]));
        let bytes = weights::write_forests(forests, models.joint()).unwrap();
        assert_eq!(&weights::read_forests(&bytes).unwrap(), forests);
        assert!(models.joint().is_some() && weights::read_joint(&bytes).unwrap().as_ref() == models.joint());
    }

    #[test]
    fn large_batches_score_alike_on_a_device_and_on_the_cpu_after_it_failed() {
        let windows: Vec<f32> = (0..(DEVICE_FROM + 3) * WINDOW).map(|i| (i % 37) as f32 * 0.1).collect();
        let models = Models::bundled().unwrap();
        let batch = DeviceBatch::new(&models, &Accelerator::cpu()).unwrap();
        models.batched.set(Some(batch)).unwrap();
        assert_eq!(models.lot(), DEVICE_LOT);
        let rows = &windows[..(DEVICE_FROM + 3) * FEATURES];
        let alike = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        let kernel = models.autoencoder().score(&windows);
        let forest = models.forest(MetricClass::Errors).score_all(rows);
        assert!(alike(&models.reconstruct(&windows), &kernel));
        assert!(alike(&models.isolate(MetricClass::Errors, rows), &forest));
        models.give_up(&candle_core::Error::msg("lost"));
        assert_eq!(models.reconstruct(&windows), kernel);
        assert_eq!(models.isolate(MetricClass::Errors, rows), forest);
        assert_eq!(models.lot(), CPU_LOT);
    }

    #[test]
    fn a_changed_byte_refuses_to_load() {
        for i in 1..4 {
            let mut files = files();
            let last = files[i].1.len() - 2;
            files[i].1[last] ^= 1;
            let error = load(&files).unwrap_err().to_string();
            assert!(error.contains(files[i].0) && error.contains("hash"), "{error}");
        }
    }

    #[test]
    fn a_newer_format_and_a_missing_file_refuse_to_load() {
        let mut newer = files();
        newer[0].1 = String::from_utf8(newer[0].1.clone())
            .unwrap()
            .replace(&format!("format = {FORMAT}"), &format!("format = {}", FORMAT + 1))
            .into_bytes();
        assert!(load(&newer).unwrap_err().to_string().contains("newer"));
        let mut missing = files();
        missing.remove(2);
        assert!(load(&missing).unwrap_err().to_string().contains("missing"));
    }
}
