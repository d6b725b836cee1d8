//! What the samples of a minute or an hour were together: for ranges that are too long to read sample by sample, and for what is
//! kept longer than samples are.
//!
//! A [`Bucket`] can be added to another of the same step, so a step whose samples lie in two chunks needs no care: each chunk has
//! its part, and [`combined`] adds them. Rollups are made of sealed chunks, which are final, so they never have to be made again.

use super::history::{decimal, packed, unpacked};
use crate::error::{Error, Result};
use pco::ChunkConfig;
use std::sync::Arc;
use wire::{SeriesId, Timestamp};

/// How long a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Minute,
    Hour,
}

impl Level {
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    pub const fn step_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// The samples of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Begin of the step.
    pub at: Timestamp,
    pub count: u32,
    pub min: f64,
    pub max: f64,
    pub sum: f64,
    /// The newest one.
    pub last: f64,
}

impl Bucket {
    /// Mean of the samples.
    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }

    fn add(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum += later.sum;
        self.last = later.last;
    }
}

/// Samples, sorted by time, by the steps of a level.
pub fn rolled(level: Level, samples: &[(Timestamp, f64)]) -> Vec<Bucket> {
    let step_ms = level.step_ms();
    combined(samples.iter().map(|&(at, value)| Bucket {
        at: Timestamp(at.as_millis().div_euclid(step_ms) * step_ms),
        count: 1,
        min: value,
        max: value,
        sum: value,
        last: value,
    }))
}

/// Buckets in order of time, those of one step added.
pub fn combined(buckets: impl IntoIterator<Item = Bucket>) -> Vec<Bucket> {
    let mut found: Vec<Bucket> = Vec::new();
    for bucket in buckets {
        match found.last_mut() {
            Some(last) if last.at == bucket.at => last.add(&bucket),
            _ => found.push(bucket),
        }
    }
    found
}

/// A run of buckets of one series, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledChunk {
    pub series: SeriesId,
    pub level: Level,
    /// Of the first and the last sample.
    pub start: Timestamp,
    pub end: Timestamp,
    /// Buckets.
    pub count: u32,
    pub bytes: Arc<[u8]>,
}

impl RolledChunk {
    /// Compresses buckets of the samples from `start` to `end`.
    pub fn new(series: SeriesId, level: Level, (start, end): (Timestamp, Timestamp), buckets: &[Bucket]) -> Self {
        let config = ChunkConfig::default();
        let steps: Vec<i64> = buckets.iter().map(|b| b.at.as_millis() / level.step_ms()).collect();
        let counts: Vec<u32> = buckets.iter().map(|b| b.count).collect();
        let of = |value: fn(&Bucket) -> f64| buckets.iter().map(value).collect::<Vec<f64>>();
        let last = of(|b| b.last);
        let mut bytes = Vec::new();
        put(&mut bytes, &packed(&steps, &config));
        put(&mut bytes, &packed(&counts, &config));
        put(&mut bytes, &column(&last, None));
        for values in [of(|b| b.min), of(|b| b.max), of(neat_sum)] {
            put(&mut bytes, &column(&values, Some(&last)));
        }
        Self {
            series,
            level,
            start,
            end,
            count: u32::try_from(buckets.len()).expect("a chunk is far below 2^32 buckets"),
            bytes: bytes.into(),
        }
    }

    /// The buckets, oldest first.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not what [`RolledChunk::new`] made.
    pub fn buckets(&self) -> Result<Vec<Bucket>> {
        self.read().map_err(|message| Error::Corrupt {
            place: format!("rollups of series {} from {}", self.series, self.start),
            message,
        })
    }

    fn read(&self) -> Result<Vec<Bucket>, String> {
        let mut rest = &*self.bytes;
        let mut part = || -> Result<&[u8], String> {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("chunk is too short")?;
            let (part, after) = after
                .split_at_checked(u32::from_le_bytes(*length) as usize)
                .ok_or("chunk is too short")?;
            rest = after;
            Ok(part)
        };
        let count = self.count as usize;
        let steps: Vec<i64> = unpacked(part()?, count)?;
        let counts: Vec<u32> = unpacked(part()?, count)?;
        let last = values(part()?, count, None)?;
        let min = values(part()?, count, Some(&last))?;
        let max = values(part()?, count, Some(&last))?;
        let sum = values(part()?, count, Some(&last))?;
        let step_ms = self.level.step_ms();
        Ok((0..count)
            .map(|i| Bucket {
                at: Timestamp(steps[i].saturating_mul(step_ms)),
                count: counts[i],
                min: min[i],
                max: max[i],
                sum: sum[i],
                last: last[i],
            })
            .collect())
    }
}

/// First byte of a column: so many decimal places, floats, or what the column of the newest values says.
const FLOATS: u8 = 255;
const SAME: u8 = 254;

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("a chunk is far below 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(part);
}

/// A column in as few bytes as there are for it. Where a step has one sample all columns are one.
fn column(values: &[f64], last: Option<&[f64]>) -> Vec<u8> {
    let same = |last: &[f64]| last.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits());
    if last.is_some_and(same) {
        return vec![SAME];
    }
    let config = ChunkConfig::default();
    let floats = packed(values, &config);
    let whole = decimal(values).map(|(places, whole)| (places, packed(&whole, &config)));
    let (first, rest) = match whole {
        Some((places, whole)) if whole.len() < floats.len() => (places, whole),
        _ => (FLOATS, floats),
    };
    let mut bytes = vec![first];
    bytes.extend(rest);
    bytes
}

fn values(bytes: &[u8], count: usize, last: Option<&[f64]>) -> Result<Vec<f64>, String> {
    let (first, rest) = bytes.split_first().ok_or("chunk is too short")?;
    match (*first, last) {
        (SAME, Some(last)) => Ok(last.to_vec()),
        (FLOATS, _) => unpacked(rest, count),
        (places @ 0..=9, _) => {
            let whole: Vec<i64> = unpacked(rest, count)?;
            let scale = 10f64.powi(i32::from(places));
            Ok(whole.into_iter().map(|whole| whole as f64 / scale).collect())
        }
        _ => Err("a column of an unknown kind".to_owned()),
    }
}

/// The sum with twelve significant digits: what adding decimal fractions leaves behind them is no information, and costs most of
/// the bytes.
fn neat_sum(bucket: &Bucket) -> f64 {
    if bucket.count < 2 {
        return bucket.sum;
    }
    format!("{:.11e}", bucket.sum).parse().unwrap_or(bucket.sum)
}

/// How much there is of a series in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Samples or buckets in the range, about: a chunk that reaches beyond it counts by the part within.
    pub count: u64,
    /// Where the first of them begins.
    pub first: Option<Timestamp>,
}

/// Which level answers a question about a range from `from` on, given what there is of samples, minutes and hours: the finest that
/// is not too much to read and goes back as far as a coarser one does. `None`: the samples themselves.
pub fn level_for(from: Timestamp, samples: Extent, minutes: Extent, hours: Extent) -> Option<Level> {
    /// More than this is not read for one chart.
    const MOST: u64 = 50_000;
    let begins = |extent: Extent| extent.first.map(|first| first.max(from));
    let fits = |own: Extent, coarser: &[Extent]| {
        let reaches = |other: &Extent| match (begins(own), begins(*other)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => own <= other,
        };
        own.count <= MOST && coarser.iter().all(reaches)
    };
    if fits(samples, &[minutes, hours]) {
        None
    } else if fits(minutes, &[hours]) {
        Some(Level::Minute)
    } else {
        Some(Level::Hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: SeriesId = SeriesId(7);

    #[test]
    fn a_minute_is_what_its_samples_were() {
        let samples = [(0, 4.0), (15_000, 1.0), (30_000, 7.0), (60_000, 2.0), (-1, 9.0)];
        let mut samples = samples.map(|(at, value)| (Timestamp(at), value));
        samples.sort_by_key(|sample| sample.0);
        let buckets = rolled(Level::Minute, &samples);
        let expected = |at, count, min, max, sum, last| Bucket {
            at: Timestamp(at),
            count,
            min,
            max,
            sum,
            last,
        };
        assert_eq!(
            buckets,
            [
                expected(-60_000, 1, 9.0, 9.0, 9.0, 9.0),
                expected(0, 3, 1.0, 7.0, 12.0, 7.0),
                expected(60_000, 1, 2.0, 2.0, 2.0, 2.0),
            ]
        );
        assert!((buckets[1].mean() - 4.0).abs() < 1e-12);
    }

    #[test]
    fn the_coarser_level_answers_what_is_long_or_old() {
        let extent = |count, first| Extent {
            count,
            first: Some(Timestamp(first)),
        };
        let level = |from, samples, minutes, hours| level_for(Timestamp(from), samples, minutes, hours);
        let nothing = Extent::default();
        assert_eq!(level(0, nothing, nothing, nothing), None);
        assert_eq!(level(0, extent(9000, 50), extent(2000, 50), extent(40, 50)), None);
        assert_eq!(
            level(0, extent(60_000, 50), extent(2000, 50), extent(40, 50)),
            Some(Level::Minute)
        );
        assert_eq!(
            level(0, extent(600_000, 50), extent(60_000, 50), extent(900, 50)),
            Some(Level::Hour)
        );
        // Samples of then are gone, and then minutes too.
        assert_eq!(
            level(0, extent(9000, 500), extent(2000, 50), extent(40, 50)),
            Some(Level::Minute)
        );
        assert_eq!(level(0, nothing, extent(2000, 500), extent(40, 50)), Some(Level::Hour));
        // What begins before the range does not count.
        assert_eq!(level(800, extent(9000, 500), extent(2000, 50), extent(40, 50)), None);
    }

    #[test]
    fn fractions_survive_and_sums_are_neat() {
        let samples: Vec<_> = (0..120)
            .map(|i| (Timestamp(i * 15_000), f64::from((i % 7) as i32) / 10.0))
            .collect();
        let buckets = rolled(Level::Minute, &samples);
        let chunk = RolledChunk::new(ID, Level::Minute, (samples[0].0, samples[119].0), &buckets);
        for (read, made) in chunk.buckets().unwrap().iter().zip(&buckets) {
            assert_eq!((read.at, read.count), (made.at, made.count));
            for (read, made) in [(read.min, made.min), (read.max, made.max), (read.last, made.last)] {
                assert_eq!(read.to_bits(), made.to_bits());
            }
            assert!(
                (read.sum - made.sum).abs() <= 1e-11 * made.sum.abs(),
                "{} of {}",
                read.sum,
                made.sum
            );
        }
        // One sample a step: four columns cost as much as one.
        let hourly: Vec<_> = (0..200).map(|i| (Timestamp(i * 60_000), (i as f64).sin())).collect();
        let one = RolledChunk::new(
            ID,
            Level::Minute,
            (hourly[0].0, hourly[199].0),
            &rolled(Level::Minute, &hourly),
        );
        assert!(one.bytes.len() < 200 * 9, "{} bytes", one.bytes.len());
        assert_eq!(one.buckets().unwrap(), rolled(Level::Minute, &hourly));
    }

    #[test]
    fn a_damaged_chunk_is_an_error() {
        let buckets = rolled(Level::Hour, &[(Timestamp(0), 1.0)]);
        let mut chunk = RolledChunk::new(ID, Level::Hour, (Timestamp(0), Timestamp(0)), &buckets);
        chunk.bytes = Arc::from(&chunk.bytes[..9]);
        assert!(matches!(chunk.buckets(), Err(Error::Corrupt { .. })));
    }

    proptest! {
        /// However samples are cut into chunks, together they are the same.
        #[test]
        fn parts_add_up(gaps in prop::collection::vec(1i64..50_000, 1..400), cuts in prop::collection::vec(0usize..400, 0..5)) {
            let mut at = 1_700_000_000_000;
            let samples: Vec<_> = gaps.iter().map(|gap| { at += gap; (Timestamp(at), (gap % 97) as f64) }).collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % samples.len()).chain([0, samples.len()]).collect();
            cuts.sort_unstable();
            for level in Level::ALL {
                let mut parts = Vec::new();
                for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
                    let run = &samples[cut[0]..cut[1]];
                    let chunk = RolledChunk::new(ID, level, (run[0].0, run[run.len() - 1].0), &rolled(level, run));
                    parts.extend(chunk.buckets().unwrap());
                }
                prop_assert_eq!(combined(parts), rolled(level, &samples));
            }
        }
    }
}
