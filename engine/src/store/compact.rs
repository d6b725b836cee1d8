//! Small neighbours put together: a chunk costs a few dozen bytes whatever is in it, and patterns show in long runs.
//!
//! Runs are merged once they are worth it, [`WORTH`] chunks or a full one, so that each sample is written again a few times in its
//! life, not each hour. What is put together is what was there: same samples, same order.

use super::history::SealedChunk;
use super::rollup::{RolledChunk, combined};
use crate::error::Result;

/// Samples of a chunk that is left alone, and of one at most.
pub const FULL_SAMPLES: u32 = 4096;
const MOST_SAMPLES: usize = 8192;

/// Buckets of a rollup that is left alone.
pub const FULL_BUCKETS: u32 = 1024;

/// So many small chunks are worth merging, however small.
pub const WORTH: usize = 8;

/// One chunk for several: `from` go, `to` come, all or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge<C> {
    pub from: Vec<C>,
    pub to: C,
}

/// What to put together of the small chunks of one series, oldest first.
///
/// # Errors
/// [`crate::Error::Corrupt`] if one cannot be read: it stays, and its neighbours with it.
pub fn merged_samples(small: Vec<SealedChunk>) -> Result<Vec<Merge<SealedChunk>>> {
    let mut merges = Vec::new();
    for from in runs(small, |chunk| chunk.count as usize, MOST_SAMPLES, FULL_SAMPLES as usize) {
        let mut samples = Vec::new();
        for chunk in &from {
            samples.extend(chunk.samples()?);
        }
        // A replayed log may have left a sample in two of them.
        samples.sort_by_key(|(at, _)| *at);
        samples.dedup_by_key(|(at, _)| *at);
        let to = SealedChunk::dense(from[0].series, &samples);
        merges.push(Merge { from, to });
    }
    Ok(merges)
}

/// The same for rollups of one series and level.
///
/// # Errors
/// As [`merged_samples`].
pub fn merged_rollups(small: Vec<RolledChunk>) -> Result<Vec<Merge<RolledChunk>>> {
    let mut merges = Vec::new();
    let most = 2 * FULL_BUCKETS as usize;
    for from in runs(small, |chunk| chunk.count as usize, most, FULL_BUCKETS as usize) {
        let mut buckets = Vec::new();
        for chunk in &from {
            buckets.extend(chunk.buckets()?);
        }
        let span = (from[0].start, from[from.len() - 1].end);
        let to = RolledChunk::new(from[0].series, from[0].level, span, &combined(buckets));
        merges.push(Merge { from, to });
    }
    Ok(merges)
}

/// Runs that are worth merging, each of at most `most`.
fn runs<C>(small: Vec<C>, count: impl Fn(&C) -> usize, most: usize, full: usize) -> Vec<Vec<C>> {
    let mut runs: Vec<(Vec<C>, usize)> = Vec::new();
    for chunk in small {
        let own = count(&chunk);
        match runs.last_mut() {
            Some((run, total)) if *total + own <= most => {
                run.push(chunk);
                *total += own;
            }
            _ => runs.push((vec![chunk], own)),
        }
    }
    let worth = runs
        .into_iter()
        .filter(|(run, total)| run.len() > 1 && (run.len() >= WORTH || *total >= full));
    worth.map(|(run, _)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rollup::{Level, rolled};
    use wire::{SeriesId, Timestamp};

    const ID: SeriesId = SeriesId(7);

    fn samples(range: std::ops::Range<i64>) -> Vec<(Timestamp, f64)> {
        range.map(|i| (Timestamp(i * 15_000), (i % 50) as f64 / 10.0)).collect()
    }

    fn chunks(sizes: &[i64]) -> Vec<SealedChunk> {
        let mut from = 0;
        let cut = sizes.iter().map(|size| {
            from += size;
            SealedChunk::new(ID, &samples(from - size..from))
        });
        cut.collect()
    }

    #[test]
    fn what_is_worth_it_is_put_together_and_is_the_same() {
        let sizes =
            |merges: &[Merge<SealedChunk>]| merges.iter().map(|m| (m.from.len(), m.to.count)).collect::<Vec<_>>();
        assert_eq!(sizes(&merged_samples(chunks(&[60; 7])).unwrap()), []);
        assert_eq!(sizes(&merged_samples(chunks(&[60; 8])).unwrap()), [(8, 480)]);
        assert_eq!(sizes(&merged_samples(chunks(&[448; 9])).unwrap()), [(9, 4032)]);
        assert_eq!(
            sizes(&merged_samples(chunks(&[2000, 2000, 1000])).unwrap()),
            [(3, 5000)]
        );
        assert_eq!(
            sizes(&merged_samples(chunks(&[448; 40])).unwrap()),
            [(18, 8064), (18, 8064)]
        );
        let merges = merged_samples(chunks(&[448; 10])).unwrap();
        assert_eq!(merges[0].to.samples().unwrap(), samples(0..4480));
        let before: usize = merges[0].from.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!(
            merges[0].to.bytes.len() * 2 < before,
            "{} of {before}",
            merges[0].to.bytes.len()
        );
    }

    #[test]
    fn a_sample_in_two_chunks_is_one() {
        let mut twice = chunks(&[60; 8]);
        twice.insert(3, twice[3].clone());
        let merges = merged_samples(twice).unwrap();
        assert_eq!(merges[0].to.samples().unwrap(), samples(0..480));
    }

    #[test]
    fn hours_that_were_cut_are_whole_again() {
        let small: Vec<_> = chunks(&[60; 8])
            .iter()
            .map(|chunk| {
                let buckets = rolled(Level::Hour, &chunk.samples().unwrap());
                RolledChunk::new(ID, Level::Hour, (chunk.start, chunk.end), &buckets)
            })
            .collect();
        let merges = merged_rollups(small).unwrap();
        assert_eq!(merges[0].to.buckets().unwrap(), rolled(Level::Hour, &samples(0..480)));
        assert_eq!(
            (merges[0].to.start, merges[0].to.end),
            (Timestamp(0), Timestamp(479 * 15_000))
        );
    }
}
