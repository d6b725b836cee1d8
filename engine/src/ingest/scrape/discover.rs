//! Lists of targets in files, as Prometheus' `file_sd_configs` has them: `[{"targets": ["a:1"], "labels": {"x": "y"}}]`, JSON or
//! YAML.

use super::{ScrapeConfig, Target};
use crate::config::{is_address, is_label};
use crate::ingest::matching::matching;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Targets of a job at most.
const MAX_TARGETS: usize = 10_000;

/// A list larger than this is none.
const MAX_FILE_BYTES: u64 = 16 << 20;

#[derive(Debug, Deserialize)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Who is to be asked now, and what is wrong with the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub targets: BTreeSet<Target>,
    pub problems: Vec<String>,
}

/// What the lists of a job last held: one that cannot be read keeps its targets until it can.
#[derive(Clone, Debug, Default)]
pub struct Lists(BTreeMap<PathBuf, BTreeSet<Target>>);

impl Lists {
    /// Reads all lists of a job.
    pub fn read(&mut self, config: &ScrapeConfig) -> Found {
        let mut found = Found::default();
        let fixed = config.targets.iter();
        found.targets = fixed.map(|address| Target::new(config, address, &[])).collect();
        let mut present = BTreeSet::new();
        for pattern in &config.files {
            let paths = matching(pattern);
            if paths.is_empty() {
                found.problems.push(format!("no file is named {}", pattern.display()));
            }
            present.extend(paths);
        }
        self.0.retain(|path, _| present.contains(path));
        for path in present {
            match list(config, &path) {
                Ok(targets) => {
                    self.0.insert(path, targets);
                }
                Err(problem) => found.problems.push(format!("{}: {problem}", path.display())),
            }
        }
        found.targets.extend(self.0.values().flatten().cloned());
        if found.targets.len() > MAX_TARGETS {
            found.problems.push(format!(
                "{} targets, of which {MAX_TARGETS} are asked",
                found.targets.len()
            ));
            found.targets = found.targets.into_iter().take(MAX_TARGETS).collect();
        }
        found
    }
}

fn list(config: &ScrapeConfig, path: &Path) -> Result<BTreeSet<Target>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("{size} bytes are too many for a list of targets"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let groups: Vec<Group> = if path.extension().is_some_and(|end| end == "json") {
        serde_json::from_str(&text).map_err(|error| error.to_string())?
    } else {
        serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?
    };
    let mut targets = BTreeSet::new();
    for group in groups {
        if let Some(name) = group
            .labels
            .keys()
            .find(|name| !name.starts_with("__") && !is_label(name))
        {
            return Err(format!("{name:?} is no name of a label"));
        }
        let labels: Vec<_> = group.labels.into_iter().collect();
        for address in &group.targets {
            if !is_address(address) {
                return Err(format!("a target must be like host:9100, got {address:.100?}"));
            }
            targets.insert(Target::new(config, address, &labels));
        }
    }
    Ok(targets)
}
