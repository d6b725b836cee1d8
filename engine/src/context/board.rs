//! Newest values of the metrics that prove how much is going on, shared by all shards: the errors of an entity may live in
//! another shard than its requests. Writing is one atomic store; only a judgement that needs evidence takes the lock.

use super::settings::Evidence;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wire::series::SeriesInfo;
use wire::{EntityId, SeriesId, Timestamp};

/// A value older than this says nothing about now, nor does one older than [`FRESH_STEPS`].
const FRESH_MS: i64 = 5 * 60_000;
const FRESH_STEPS: i64 = 3;

/// The newest sample of one series.
#[derive(Debug)]
pub(super) struct Cell {
    at: AtomicI64,
    bits: AtomicU64,
    step_ms: AtomicI64,
}

impl Cell {
    pub(super) fn write(&self, at: Timestamp, value: f64) {
        // A reader that meets one half of this sees the sample of one step before: good enough for "is there traffic".
        let before = self.at.swap(at.as_millis(), Ordering::Relaxed);
        if before != i64::MIN {
            self.step_ms.store(at.as_millis() - before, Ordering::Relaxed);
        }
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }
}

type Cells = BTreeMap<SeriesId, (String, Arc<Cell>)>;

/// See the module. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<EntityId, Cells>>>);

impl Board {
    /// The place of a series on the board.
    pub(super) fn cell(&self, info: &SeriesInfo) -> Arc<Cell> {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = board.entry(info.entity.clone()).or_default();
        let (_, cell) = cells.entry(info.id).or_insert_with(|| {
            let cell = Cell {
                at: AtomicI64::new(i64::MIN),
                bits: AtomicU64::new(0),
                step_ms: AtomicI64::new(info.step_ms),
            };
            (info.metric.clone(), Arc::new(cell))
        });
        Arc::clone(cell)
    }

    /// The sum of what `entity` reports at `at` of the metrics that `evidence` names. `None`: nothing fresh is known, so
    /// nothing can be said.
    pub(super) fn level(&self, entity: &EntityId, evidence: &Evidence, at: Timestamp) -> Option<f64> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = None;
        for (metric, cell) in board.get(entity)?.values() {
            let written = cell.at.load(Ordering::Relaxed);
            let patience = FRESH_MS.max(cell.step_ms.load(Ordering::Relaxed).saturating_mul(FRESH_STEPS));
            if written != i64::MIN && at.as_millis() - written <= patience && evidence.metric.matches(metric) {
                *sum.get_or_insert(0.0) += f64::from_bits(cell.bits.load(Ordering::Relaxed));
            }
        }
        sum
    }
}
