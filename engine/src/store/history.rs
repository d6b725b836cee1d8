//! The past of one series: the newest samples open in memory, older ones sealed into compressed chunks.
//!
//! A sample is identified by its timestamp. What is sealed is final: [`History::sealed_until`] is the time up to which
//! nothing more is taken, so a log replayed over it counts nothing twice. A few sealed samples stay in memory to tell a
//! retry (a duplicate, no error) from a sample that comes too late.
//!
//! Chunks are compressed by `pco`: timestamps as second-order differences, values as floats. Regular timestamps cost
//! almost nothing, real gauges about one to three bytes a sample; what `compact` puts together about one.

use super::samples::Samples;
use crate::error::{Error, Result};
use crate::ingest::RejectReason;
use crate::ingest::admit::Admit;
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec};
use std::sync::Arc;
use wire::{SeriesId, Timestamp};

/// Open samples at which the oldest are sealed: what a series keeps in memory is mostly these, and small chunks are put together
/// later (`compact`).
const FULL: usize = 192;

/// Samples that stay open when a full series is sealed: the room for late ones.
const KEEP_OPEN: usize = 64;

/// In the length of the times: values are whole numbers of a decimal place, which follows in one byte.
const DECIMAL: u32 = 1 << 31;

/// Decimal places looked at.
const PLACES: i32 = 9;

/// More in one chunk are damage.
const MOST: usize = 1 << 24;

/// How hard `pco` tries where it is worth it.
const DENSE_LEVEL: usize = 12;

/// Sealed samples kept in memory to recognize retries.
const KEEP_SEALED: usize = 32;

/// A run of samples of one series, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    pub series: SeriesId,
    pub start: Timestamp,
    pub end: Timestamp,
    pub count: u32,
    pub bytes: Arc<[u8]>,
}

impl SealedChunk {
    /// Compresses samples that are sorted by time.
    ///
    /// # Panics
    /// If `samples` is empty.
    pub fn new(series: SeriesId, samples: &[(Timestamp, f64)]) -> Self {
        let values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
        let values = packed(&values, &ChunkConfig::default());
        Self::of(series, samples, None, values)
    }

    /// The same in fewer bytes and more time: values of few decimal places, as most are, are whole numbers to `pco`.
    ///
    /// # Panics
    /// If `samples` is empty.
    pub fn dense(series: SeriesId, samples: &[(Timestamp, f64)]) -> Self {
        let config = ChunkConfig::default().with_compression_level(DENSE_LEVEL);
        let values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
        let floats = packed(&values, &config);
        match decimal(&values) {
            Some((places, whole)) => {
                let whole = packed(&whole, &config);
                if whole.len() < floats.len() {
                    return Self::of(series, samples, Some(places), whole);
                }
                Self::of(series, samples, None, floats)
            }
            None => Self::of(series, samples, None, floats),
        }
    }

    fn of(series: SeriesId, samples: &[(Timestamp, f64)], places: Option<u8>, values: Vec<u8>) -> Self {
        let times: Vec<i64> = samples.iter().map(|(t, _)| t.as_millis()).collect();
        let times = packed(
            &times,
            &ChunkConfig::default().with_delta_spec(DeltaSpec::TryConsecutive(2)),
        );
        let length = u32::try_from(times.len()).expect("a chunk is far below 2 GiB");
        let mark = if places.is_some() { DECIMAL } else { 0 };
        let mut bytes = (length | mark).to_le_bytes().to_vec();
        bytes.extend(places);
        bytes.extend(times);
        bytes.extend(values);
        Self {
            series,
            start: samples[0].0,
            end: samples[samples.len() - 1].0,
            count: u32::try_from(samples.len()).expect("a chunk is far below 2^32 samples"),
            bytes: bytes.into(),
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
        let length = u32::from_le_bytes(*length);
        let (places, rest) = if length & DECIMAL == 0 {
            (None, rest)
        } else {
            let (places, rest) = rest.split_first().ok_or_else(|| corrupt("chunk is too short"))?;
            (Some(i32::from(*places).min(PLACES)), rest)
        };
        let (times, values) = rest
            .split_at_checked((length & !DECIMAL) as usize)
            .ok_or_else(|| corrupt("chunk is too short"))?;
        let count = self.count as usize;
        let times: Vec<i64> = unpacked(times, count).map_err(|e| corrupt(&e))?;
        let values: Vec<f64> = match places {
            None => unpacked(values, count).map_err(|e| corrupt(&e))?,
            Some(places) => {
                let whole: Vec<i64> = unpacked(values, count).map_err(|e| corrupt(&e))?;
                whole
                    .into_iter()
                    .map(|whole| whole as f64 / 10f64.powi(places))
                    .collect()
            }
        };
        Ok(times.into_iter().map(Timestamp).zip(values).collect())
    }
}

/// The fewest decimal places that all values have, and the values as whole numbers of them; `None`: they have more.
pub(super) fn decimal(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    /// Above it not every whole number is a float.
    const EXACT: f64 = 9e15;
    (0..=PLACES).find_map(|places| {
        let scale = 10f64.powi(places);
        let whole = values.iter().map(|value| {
            let whole = (value * scale).round();
            let back = whole as i64 as f64 / scale;
            (whole.abs() < EXACT && back.to_bits() == value.to_bits()).then_some(whole as i64)
        });
        let whole: Vec<i64> = whole.collect::<Option<_>>()?;
        Some((u8::try_from(places).ok()?, whole))
    })
}

pub(super) fn packed<T: Number>(numbers: &[T], config: &ChunkConfig) -> Vec<u8> {
    simple_compress(numbers, config).expect("the configuration is a constant that pco accepts")
}

/// Exactly `count` numbers. What damaged bytes claim to hold costs no memory beyond that.
pub(super) fn unpacked<T: Number>(bytes: &[u8], count: usize) -> Result<Vec<T>, String> {
    if count > MOST {
        return Err(format!("{count} numbers in one chunk"));
    }
    let mut numbers = vec![T::default(); count];
    let progress = simple_decompress_into(bytes, &mut numbers).map_err(|e| e.to_string())?;
    if progress.finished && progress.n_processed == count {
        Ok(numbers)
    } else {
        Err("times and values differ in number".to_owned())
    }
}

/// The newest samples of one series.
#[derive(Clone, Debug)]
pub struct History {
    series: SeriesId,
    /// Sorted by time; the first `sealed` of them are in a chunk already.
    samples: Samples,
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
            samples: Samples::new(),
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

    /// Reads from the cache lines that the next sample needs.
    pub(crate) fn touch(&self) -> u64 {
        self.samples.last().map_or(0, |(_, value)| value.to_bits())
    }

    /// Takes a sample if its place is open. O(1) in order, O(open samples) late.
    pub fn insert(&mut self, at: Timestamp, value: f64) -> Admit {
        let in_order = self.samples.last().is_none_or(|(last, _)| at > last);
        if in_order && self.sealed_until.is_none_or(|until| at > until) {
            self.samples.push(at, value);
            return Admit::InOrder;
        }
        match self.samples.search(at) {
            Ok(same) if self.samples.get(same).1.to_bits() == value.to_bits() => {
                Admit::Refused(RejectReason::Duplicate)
            }
            Ok(_) => Admit::Refused(RejectReason::Conflicting),
            Err(_) if self.sealed_until.is_some_and(|until| at <= until) => Admit::Refused(RejectReason::TooOld),
            Err(place) => {
                self.samples.insert(place, at, value);
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
        let run = self.samples.part_of(self.sealed, end);
        self.unsaved.push(SealedChunk::new(self.series, &run));
        self.sealed_until = Some(run[run.len() - 1].0);
        self.sealed = end;
        let forget = self.sealed.saturating_sub(KEEP_SEALED);
        self.samples.forget(forget);
        self.sealed -= forget;
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
    pub fn newest(&self, count: usize) -> Vec<(Timestamp, f64)> {
        let len = self.samples.len();
        self.samples.part_of(len.saturating_sub(count), len)
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
        found.extend(self.samples.part_of(0, self.samples.len()));
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
        chunk.bytes = Arc::from(&chunk.bytes[..6]);
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
