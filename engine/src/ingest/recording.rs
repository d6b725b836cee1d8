//! A folder of recorded history, as `halo backtest` reads it and `halo demo` replays it.
//!
//! `metrics.csv` or `metrics.csv.gz` is needed; `edges.csv`, `deploys.csv`, `logs.csv`, `calls.csv`, `expected.csv`, `labels.csv` and
//! `recording.toml` are optional.

use super::csv::{
    ExpectedSpan, Frame, Label, LogLines, edges_of, parse_time, read_calls, read_deploys, read_edges, read_expected,
    read_labels, read_logs, read_metrics,
};
use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;
use wire::Timestamp;
use wire::topology::{Deploy, Edge};

/// Recorded history, read and checked.
#[derive(Clone, Debug)]
pub struct Recording {
    pub name: String,
    /// Where it comes from and under which licence; shown wherever the recording is.
    pub attribution: String,
    /// Rows before this instant are history to learn from, rows after it are replayed live.
    pub live_from: Option<Timestamp>,
    pub frame: Frame,
    pub edges: Vec<Edge>,
    pub deploys: Vec<Deploy>,
    /// In order of time.
    pub logs: LogLines,
    /// What was known beforehand to be unusual.
    pub expected: Vec<ExpectedSpan>,
    /// For scoring only.
    pub labels: Vec<Label>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Meta {
    name: Option<String>,
    attribution: Option<String>,
    live_from: Option<String>,
}

impl Recording {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`Error::Io`] if `metrics.csv[.gz]` cannot be read, [`Error::Input`] with file, line and column for bad content.
    pub fn open(dir: &Path) -> Result<Self> {
        let metrics = open_either(dir, "metrics.csv")?.ok_or_else(|| {
            Error::io(
                "there is neither metrics.csv nor metrics.csv.gz",
                dir,
                std::io::Error::from(ErrorKind::NotFound),
            )
        })?;
        let meta = read_meta(dir)?;
        let fallback = dir
            .file_name()
            .map_or_else(|| "recording".to_owned(), |n| n.to_string_lossy().into_owned());
        let expected = match open_either(dir, "expected.csv")? {
            Some((name, reader)) => read_expected(reader, &name)?,
            None => Vec::new(),
        };
        let logs = match open_either(dir, "logs.csv")? {
            Some((name, reader)) => read_logs(reader, &name)?,
            None => LogLines::default(),
        };
        let calls = match open_either(dir, "calls.csv")? {
            Some((name, reader)) => read_calls(reader, &name)?,
            None => Vec::new(),
        };
        let mut recording = Self::build(
            fallback,
            &meta,
            metrics,
            open_either(dir, "edges.csv")?,
            open_either(dir, "deploys.csv")?,
            open_either(dir, "labels.csv")?,
        )?;
        recording.frame.add_calls(&calls);
        let known: BTreeSet<Edge> = recording.edges.iter().cloned().collect();
        let seen = edges_of(&calls).into_iter().filter(|edge| !known.contains(edge));
        recording.edges.extend(seen);
        Ok(Self {
            expected,
            logs,
            ..recording
        })
    }

    /// The recording that comes with Halo: a part of PetShop (see its ATTRIBUTION.md).
    ///
    /// # Errors
    /// None in practice: the content is compiled in and tested.
    pub fn bundled() -> Result<Self> {
        let meta = parse_meta(
            include_str!("../../../assets/recording/petshop/recording.toml"),
            "recording.toml",
        )?;
        let gz: &[u8] = include_bytes!("../../../assets/recording/petshop/metrics.csv.gz");
        Self::build(
            "petshop".to_owned(),
            &meta,
            ("metrics.csv.gz".to_owned(), Box::new(MultiGzDecoder::new(gz))),
            Some(embedded(
                "edges.csv",
                include_bytes!("../../../assets/recording/petshop/edges.csv"),
            )),
            Some(embedded(
                "deploys.csv",
                include_bytes!("../../../assets/recording/petshop/deploys.csv"),
            )),
            Some(embedded(
                "labels.csv",
                include_bytes!("../../../assets/recording/petshop/labels.csv"),
            )),
        )
    }

    fn build(
        fallback_name: String,
        meta: &Meta,
        metrics: Source,
        edges: Option<Source>,
        deploys: Option<Source>,
        labels: Option<Source>,
    ) -> Result<Self> {
        let live_from = match &meta.live_from {
            Some(text) => Some(parse_time(text).map_err(|message| Error::Input {
                place: "recording.toml: live_from".to_owned(),
                message,
            })?),
            None => None,
        };
        Ok(Self {
            name: meta.name.clone().unwrap_or(fallback_name),
            attribution: meta.attribution.clone().unwrap_or_default(),
            live_from,
            frame: read_metrics(metrics.1, &metrics.0)?,
            logs: LogLines::default(),
            expected: Vec::new(),
            edges: edges.map_or(Ok(Vec::new()), |(name, reader)| read_edges(reader, &name))?,
            deploys: deploys.map_or(Ok(Vec::new()), |(name, reader)| read_deploys(reader, &name))?,
            labels: labels.map_or(Ok(Vec::new()), |(name, reader)| read_labels(reader, &name))?,
        })
    }

    /// First row that is replayed live: by `live_from`, else after the first 15 %.
    pub fn first_live_row(&self) -> usize {
        self.live_from
            .map_or_else(|| self.frame.times.len() * 15 / 100, |at| self.frame.row_at(at))
    }
}

/// File name for messages, and the content.
type Source = (String, Box<dyn Read>);

fn embedded(name: &str, content: &'static [u8]) -> Source {
    (name.to_owned(), Box::new(content))
}

/// Opens `name` or `name.gz`; `None` if neither is there.
fn open_either(dir: &Path, name: &str) -> Result<Option<Source>> {
    for (name, gzip) in [(name.to_owned(), false), (format!("{name}.gz"), true)] {
        let path = dir.join(&name);
        match File::open(&path) {
            Ok(file) => {
                let file = BufReader::with_capacity(1 << 18, file);
                let reader: Box<dyn Read> = if gzip {
                    Box::new(MultiGzDecoder::new(file))
                } else {
                    Box::new(file)
                };
                return Ok(Some((name, reader)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("cannot open", path, error)),
        }
    }
    Ok(None)
}

fn read_meta(dir: &Path) -> Result<Meta> {
    let path = dir.join("recording.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_meta(&text, "recording.toml"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Meta::default()),
        Err(error) => Err(Error::io("cannot read", path, error)),
    }
}

fn parse_meta(text: &str, file: &str) -> Result<Meta> {
    toml::from_str(text).map_err(|e| Error::Input {
        place: file.to_owned(),
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_recording_is_complete() {
        let recording = Recording::bundled().unwrap();
        assert!(recording.attribution.contains("CC-BY-4.0"));
        assert_eq!(recording.frame.step_ms, 300_000);
        assert_eq!(recording.first_live_row(), 480);
        assert_eq!((recording.deploys.len(), recording.labels.len()), (2, 2));
        assert!(recording.edges.len() > 40 && recording.frame.series.len() > 100);
        for label in &recording.labels {
            assert!(recording.frame.row_at(label.start) > recording.first_live_row());
        }
    }

    #[test]
    fn a_folder_without_metrics_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Recording::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("neither metrics.csv nor metrics.csv.gz"), "{error}");
    }
}
