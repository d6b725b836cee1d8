//! The trained files, checked before they are used.

use super::autoencoder::Autoencoder;
use super::calibration::{Calibration, RAWS};
use super::forest::IsolationForest;
use super::tail::Tail;
use super::weights;
use crate::features::FEATURES;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::series::MetricClass;
use wire::status::Model;

/// Version of the layout of the files; a reader knows its own and older ones.
pub(super) const FORMAT: u32 = 1;
pub(super) const FOREST_FILE: &str = "forest.safetensors";
pub(super) const AUTOENCODER_FILE: &str = "autoencoder.safetensors";
pub(super) const CALIBRATION_FILE: &str = "calibration.toml";
pub(super) const MANIFEST_FILE: &str = "manifest.toml";

/// Everything trained: shared by all detectors, never changed.
#[derive(Debug)]
pub struct Models {
    forest: IsolationForest,
    autoencoder: Autoencoder,
    calibration: Calibration,
    described: Vec<Model>,
}

/// `models/manifest.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) version: String,
    /// The command that makes these files again.
    pub(super) command: String,
    pub(super) files: BTreeMap<String, ManifestFile>,
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
        let manifest: Manifest = parse_toml(MANIFEST_FILE, find(MANIFEST_FILE)?)?;
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
        let forest = weights::read_forest(checked(FOREST_FILE)?).map_err(|m| fault(FOREST_FILE, m))?;
        if forest.features() != FEATURES {
            let message = format!("fitted on {} features, this version has {FEATURES}", forest.features());
            return Err(fault(FOREST_FILE, message));
        }
        let autoencoder =
            Autoencoder::from_safetensors(checked(AUTOENCODER_FILE)?).map_err(|m| fault(AUTOENCODER_FILE, m))?;
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
            forest,
            autoencoder,
            calibration,
            described,
        })
    }

    /// What is loaded, for a person: name, version, hash, note; sorted by name.
    pub fn describe(&self) -> Vec<Model> {
        self.described.clone()
    }

    /// The isolation forest.
    pub fn forest(&self) -> &IsolationForest {
        &self.forest
    }

    /// The LSTM autoencoder.
    pub fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }

    pub(super) fn reconstruct(&self, windows: &[f32]) -> Vec<f32> {
        self.autoencoder.score(windows)
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
            .replace("format = 1", "format = 2")
            .into_bytes();
        assert!(load(&newer).unwrap_err().to_string().contains("newer"));
        let mut missing = files();
        missing.remove(2);
        assert!(load(&missing).unwrap_err().to_string().contains("missing"));
    }
}
