//! What was acknowledged, and whether it is all there, once: read from the store itself after an orderly stop, since an answer
//! to a question shows each instant once whatever is stored.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use engine::series::{Labels, info_from_labels};
use engine::store::Store as _;
use engine::store::sqlite::SqliteStore;
use wire::{SeriesId, Timestamp};

use crate::halo::{TimeSeries, WriteRequest};

/// Samples that were acknowledged: value by series and time in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Ledger(BTreeMap<SeriesId, BTreeMap<i64, f64>>);

/// How the store compares with a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Samples that were acknowledged.
    pub acknowledged: usize,
    /// Of these, not there or with another value.
    pub lost: usize,
    /// There more than once.
    pub twice: usize,
}

impl Ledger {
    /// Everything in `request` was acknowledged.
    pub fn record(&mut self, request: &WriteRequest) {
        for series in &request.timeseries {
            let pairs = series.labels.iter().map(|l| (l.name.clone(), l.value.clone()));
            let id = Labels::new(pairs.collect()).id();
            for sample in &series.samples {
                self.0.entry(id).or_default().insert(sample.timestamp, sample.value);
            }
        }
    }

    /// One sample was acknowledged.
    pub fn record_one(&mut self, labels: &Labels, at_ms: i64, value: f64) {
        let id = info_from_labels(labels).id;
        self.0.entry(id).or_default().insert(at_ms, value);
    }

    /// Samples that were acknowledged.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what a stopped server keeps in `data_dir`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit(&self, data_dir: &Path) -> Result<Audit> {
        let store = SqliteStore::open_to_read(&data_dir.join("halo.db")).await?;
        let mut audit = Audit {
            acknowledged: self.len(),
            ..Audit::default()
        };
        for (id, expected) in &self.0 {
            let mut found: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for chunk in store.chunks(*id, Timestamp(i64::MIN), Timestamp(i64::MAX)).await? {
                let samples = chunk.samples().with_context(|| format!("a chunk of {id}"))?;
                for (at, value) in samples {
                    found.entry(at.as_millis()).or_default().push(value);
                }
            }
            for (at, value) in expected {
                let there = found
                    .get(at)
                    .is_some_and(|values| values.iter().any(|found| found.to_bits() == value.to_bits()));
                audit.lost += usize::from(!there);
            }
            audit.twice += found.values().filter(|values| values.len() > 1).count();
        }
        Ok(audit)
    }
}

/// One sample for each of `series` gauges of this name, its value derived from time and series so that a mix-up shows.
pub fn batch(name: &str, series: usize, at_ms: i64) -> WriteRequest {
    let value = |index: usize| (at_ms / 1000 % 1000) as f64 + index as f64 / 64.0;
    let series =
        (0..series).map(|index| TimeSeries::gauge(&format!("{name}_{index:03}"), "faults:1", &[(at_ms, value(index))]));
    WriteRequest {
        timeseries: series.collect(),
        metadata: Vec::new(),
    }
}
