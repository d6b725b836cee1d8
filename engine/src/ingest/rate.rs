//! How fast a source may send: a bucket of tokens for each, one token a sample.
//!
//! A full bucket holds ten seconds, so that a sender that caught up after a pause is not told to wait. Pure: `now` is an
//! argument, and a clock that jumps back fills nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use wire::Timestamp;

/// Seconds of samples that may come at once.
const BURST_SECS: i64 = 10;

/// Tokens are counted in thousandths, so that a millisecond brings a whole number of them.
const TOKEN: i64 = 1000;

/// See the module.
#[derive(Debug)]
pub struct Rates {
    per_sec: i64,
    /// Thousandths of tokens left of each source, and when they were counted.
    buckets: BTreeMap<Arc<str>, (i64, Timestamp)>,
}

impl Rates {
    /// At most `per_sec` samples a second of each source; 0: any number.
    pub fn new(per_sec: u64) -> Self {
        Self {
            // Beyond a billion a limit is none.
            per_sec: i64::try_from(per_sec).unwrap_or(i64::MAX).min(1_000_000_000),
            buckets: BTreeMap::new(),
        }
    }

    /// Takes tokens for `samples`, or says after how many milliseconds there are enough. A request of more than a full bucket
    /// passes when the bucket is full, and empties it below zero.
    ///
    /// # Errors
    /// Milliseconds to wait; nothing was taken.
    pub fn take(&mut self, source: &Arc<str>, samples: usize, now: Timestamp) -> Result<(), i64> {
        if self.per_sec == 0 || samples == 0 {
            return Ok(());
        }
        let full = self.per_sec * BURST_SECS * TOKEN;
        let (tokens, since) = self.buckets.entry(Arc::clone(source)).or_insert((full, now));
        let passed_ms = now.millis_since(*since).max(0);
        *tokens = tokens.saturating_add(passed_ms.saturating_mul(self.per_sec)).min(full);
        *since = now;
        let wanted = i64::try_from(samples).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        let missing = wanted.min(full) - *tokens;
        if missing > 0 {
            return Err((missing + self.per_sec - 1) / self.per_sec);
        }
        *tokens = tokens.saturating_sub(wanted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_waits() {
        let (mut rates, source): (Rates, Arc<str>) = (Rates::new(100), "otlp".into());
        assert_eq!(rates.take(&source, 1000, Timestamp(0)), Ok(()));
        assert_eq!(rates.take(&source, 50, Timestamp(0)), Err(500));
        assert_eq!(rates.take(&source, 50, Timestamp(499)), Err(1));
        assert_eq!(rates.take(&source, 50, Timestamp(500)), Ok(()));
        // Another source has its own.
        assert_eq!(rates.take(&"loki".into(), 1000, Timestamp(500)), Ok(()));
        // The clock jumps back: nothing is filled, and nothing breaks.
        assert_eq!(rates.take(&source, 50, Timestamp(-60_000)), Err(500));
        assert_eq!(rates.take(&source, 50, Timestamp(-59_500)), Ok(()));
    }

    #[test]
    fn one_larger_than_the_bucket_passes_once_it_is_full() {
        let (mut rates, source): (Rates, Arc<str>) = (Rates::new(10), "otlp".into());
        assert_eq!(rates.take(&source, 300, Timestamp(0)), Ok(()));
        assert_eq!(rates.take(&source, 1, Timestamp(20_000)), Err(100));
        assert_eq!(rates.take(&source, 1, Timestamp(20_100)), Ok(()));
    }

    #[test]
    fn without_a_limit_all_pass() {
        let mut rates = Rates::new(0);
        assert_eq!(rates.take(&"otlp".into(), usize::MAX, Timestamp(0)), Ok(()));
    }
}
