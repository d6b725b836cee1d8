//! The past of one series: the newest samples open in memory, older ones sealed into compressed chunks.
//!
//! A sample is identified by its timestamp. What is sealed is final: [`History::sealed_until`] is the time up to which
//! nothing more is taken, so a log replayed over it counts nothing twice. A few sealed samples stay in memory to tell a
//! retry (a duplicate, no error) from a sample that comes too late.
//!
//! Chunks are compressed by `pco`: timestamps as second-order differences, values as floats. Regular timestamps cost
//! almost nothing, real gauges about one to three bytes a sample.

use crate::error::{Error, Result};
use crate::ingest::RejectReason;
use crate::ingest::admit::Admit;
use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, DeltaSpec};
use wire::{SeriesId, Timestamp};

/// Open samples at which the oldest are sealed.
const FULL: usize = 512;

/// Samples that stay open when a full series is sealed: the room for late ones.
const KEEP_OPEN: usize = 64;

/// Sealed samples kept in memory to recognize retries.
const KEEP_SEALED: usize = 64;

/// A run of samples of one series, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    pub series: SeriesId,
    pub start: Timestamp,
    pub end: Timestamp,
    pub count: u32,
    pub bytes: Vec<u8>,
}

impl SealedChunk {
    /// Compresses samples that are sorted by time.
    ///
    /// # Panics
    /// If `samples` is empty.
    pub fn new(series: SeriesId, samples: &[(Timestamp, f64)]) -> Self {
        let times: Vec<i64> = samples.iter().map(|(t, _)| t.as_millis()).collect();
        let values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
        let config = ChunkConfig::default();
        let times = simple_compress(&times, &config.clone().with_delta_spec(DeltaSpec::TryConsecutive(2)))
            .expect("the configuration is a constant that pco accepts");
        let values = simple_compress(&values, &config).expect("the configuration is a constant that pco accepts");
        let mut bytes = u32::try_from(times.len())
            .expect("a chunk is far below 4 GiB")
            .to_le_bytes()
            .to_vec();
        bytes.extend(times);
        bytes.extend(values);
        Self {
            series,
            start: samples[0].0,
            end: samples[samples.len() - 1].0,
            count: u32::try_from(samples.len()).expect("a chunk is far below 2^32 samples"),
            bytes,
        }
    }

    /// The samples, oldest first.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not what [`SealedChunk::new`] made.
    pub fn samples(&self) -> Result<Vec<(Timestamp, f64)>> {
        let corrupt = |message: &str| Error::Corrupt {
            place: format!("history of series {} from {}", self.series, self.start),
            message: message.to_owned(),
        };
        let (length, rest) = self
            .bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| corrupt("chunk is too short"))?;
        let (times, values) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(|| corrupt("chunk is too short"))?;
        let times: Vec<i64> = simple_decompress(times).map_err(|e| corrupt(&e.to_string()))?;
        let values: Vec<f64> = simple_decompress(values).map_err(|e| corrupt(&e.to_string()))?;
        if times.len() != values.len() || times.len() != self.count as usize {
            return Err(corrupt("times and values differ in number"));
        }
        Ok(times.into_iter().map(Timestamp).zip(values).collect())
    }
}

/// The newest samples of one series.
#[derive(Clone, Debug)]
pub struct History {
    series: SeriesId,
    /// Sorted by time; the first `sealed` of them are in a chunk already.
    samples: Vec<(Timestamp, f64)>,
    sealed: usize,
    sealed_until: Option<Timestamp>,
    /// Sealed, but not yet known to be in the store.
    unsaved: Vec<SealedChunk>,
}

impl History {
    /// A series without a past.
    pub fn new(series: SeriesId) -> Self {
        Self {
            series,
            samples: Vec::new(),
            sealed: 0,
            sealed_until: None,
            unsaved: Vec::new(),
        }
    }

    /// A series whose chunks in the store end at `sealed_until`.
    pub fn resumed(series: SeriesId, sealed_until: Timestamp) -> Self {
        Self {
            sealed_until: Some(sealed_until),
            ..Self::new(series)
        }
    }

    /// Takes a sample if its place is open. O(1) in order, O(open samples) late.
    pub fn insert(&mut self, at: Timestamp, value: f64) -> Admit {
        let in_order = self.samples.last().is_none_or(|(last, _)| at > *last);
        if in_order && self.sealed_until.is_none_or(|until| at > until) {
            self.samples.push((at, value));
            return Admit::InOrder;
        }
        match self.samples.binary_search_by_key(&at, |(t, _)| *t) {
            Ok(same) if self.samples[same].1.to_bits() == value.to_bits() => Admit::Refused(RejectReason::Duplicate),
            Ok(_) => Admit::Refused(RejectReason::Conflicting),
            Err(_) if self.sealed_until.is_some_and(|until| at <= until) => Admit::Refused(RejectReason::TooOld),
            Err(place) => {
                self.samples.insert(place, (at, value));
                Admit::OutOfOrder
            }
        }
    }

    /// Whether enough is open for a chunk.
    pub fn is_full(&self) -> bool {
        self.samples.len() - self.sealed >= FULL
    }

    /// Seals all open samples but the newest few, or all of them if `everything`.
    pub fn seal(&mut self, everything: bool) {
        let open = self.samples.len() - self.sealed;
        let keep = if everything { 0 } else { KEEP_OPEN };
        if open <= keep {
            return;
        }
        let end = self.samples.len() - keep;
        let run = &self.samples[self.sealed..end];
        self.unsaved.push(SealedChunk::new(self.series, run));
        self.sealed_until = Some(run[run.len() - 1].0);
        self.sealed = end;
        let forget = self.sealed.saturating_sub(KEEP_SEALED);
        self.samples.drain(..forget);
        self.sealed -= forget;
        self.samples.shrink_to(FULL);
    }

    /// Chunks that are not yet in the store, oldest first.
    pub fn unsaved(&self) -> &[SealedChunk] {
        &self.unsaved
    }

    /// The store has every chunk that ends at or before `until`.
    pub fn saved(&mut self, until: Timestamp) {
        self.unsaved.retain(|chunk| chunk.end > until);
    }

    /// Time up to which nothing more is taken.
    pub fn sealed_until(&self) -> Option<Timestamp> {
        self.sealed_until
    }

    /// The newest samples in memory, at most `count`, oldest first.
    pub fn newest(&self, count: usize) -> &[(Timestamp, f64)] {
        &self.samples[self.samples.len().saturating_sub(count)..]
    }

    /// What is in memory between two times, oldest first: open samples and unsaved chunks. The rest is in the store, and
    /// what is in both is told apart by its time.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if an unsaved chunk cannot be read back.
    pub fn range(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(Timestamp, f64)>> {
        let mut found = Vec::new();
        for chunk in self.unsaved.iter().filter(|c| c.start <= to && c.end >= from) {
            found.extend(chunk.samples()?);
        }
        found.extend_from_slice(&self.samples);
        found.retain(|(at, _)| (from..=to).contains(at));
        found.sort_by_key(|(at, _)| *at);
        found.dedup_by_key(|(at, _)| *at);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ID: SeriesId = SeriesId(7);

    #[test]
    fn each_case_has_its_answer() {
        let mut series = History::new(ID);
        let mut insert = |at, value| series.insert(Timestamp(at), value);
        assert_eq!(insert(100, 1.0), Admit::InOrder);
        assert_eq!(insert(200, 2.0), Admit::InOrder);
        assert_eq!(insert(200, 2.0), Admit::Refused(RejectReason::Duplicate));
        assert_eq!(insert(200, 3.0), Admit::Refused(RejectReason::Conflicting));
        assert_eq!(insert(150, 1.5), Admit::OutOfOrder);
        assert_eq!(insert(150, 1.5), Admit::Refused(RejectReason::Duplicate));
        series.seal(true);
        assert_eq!(
            series.insert(Timestamp(150), 1.5),
            Admit::Refused(RejectReason::Duplicate)
        );
        assert_eq!(series.insert(Timestamp(160), 1.5), Admit::Refused(RejectReason::TooOld));
        assert_eq!(series.insert(Timestamp(300), 3.0), Admit::InOrder);
    }

    #[test]
    fn a_resumed_series_takes_nothing_twice() {
        let mut series = History::resumed(ID, Timestamp(500));
        assert_eq!(series.insert(Timestamp(400), 1.0), Admit::Refused(RejectReason::TooOld));
        assert_eq!(series.insert(Timestamp(500), 1.0), Admit::Refused(RejectReason::TooOld));
        assert_eq!(series.insert(Timestamp(501), 1.0), Admit::InOrder);
    }

    #[test]
    fn a_regular_gauge_is_small() {
        let samples: Vec<_> = (0..512)
            .map(|i| (Timestamp(i * 15_000), f64::from((i % 40) as i32) / 4.0))
            .collect();
        let chunk = SealedChunk::new(ID, &samples);
        assert!(chunk.bytes.len() < 2 * samples.len(), "{} bytes", chunk.bytes.len());
        assert_eq!(chunk.samples().unwrap(), samples);
    }

    #[test]
    fn a_damaged_chunk_is_an_error() {
        let mut chunk = SealedChunk::new(ID, &[(Timestamp(1), 1.0), (Timestamp(2), 2.0)]);
        chunk.bytes.truncate(6);
        assert!(matches!(chunk.samples(), Err(Error::Corrupt { .. })));
    }

    proptest! {
        #[test]
        fn every_sample_taken_is_there_once(samples in prop::collection::vec((0i64..2000, -1e3f64..1e3), 0..1500), seals in prop::collection::vec(0usize..1500, 0..4)) {
            let mut series = History::new(ID);
            let mut taken = BTreeMap::new();
            for (index, (at, value)) in samples.iter().enumerate() {
                if matches!(series.insert(Timestamp(*at), *value), Admit::InOrder | Admit::OutOfOrder) {
                    prop_assert!(taken.insert(Timestamp(*at), *value).is_none());
                }
                if series.is_full() || seals.contains(&index) {
                    series.seal(seals.contains(&index));
                }
            }
            let found = series.range(Timestamp(0), Timestamp(5000)).unwrap();
            prop_assert_eq!(found, taken.into_iter().collect::<Vec<_>>());
        }
    }
}
