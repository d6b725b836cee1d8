//! Exemplars: single observations with the trace they belong to. The newest are kept in memory, as Prometheus keeps them.
//!
//! They are an aid for looking closer, not data: nothing is learnt from them, and a restart forgets them.

use std::collections::{BTreeMap, VecDeque};
use wire::{SeriesId, Timestamp};

/// Characters of all labels of an exemplar; OpenMetrics draws the same line.
pub const MAX_LABEL_CHARS: usize = 128;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub series: SeriesId,
    pub at: Timestamp,
    pub value: f64,
    pub labels: Vec<(String, String)>,
}

/// The newest exemplars of all series together. O(log n) each.
#[derive(Clone, Debug)]
pub struct Exemplars {
    ring: VecDeque<Exemplar>,
    newest: BTreeMap<SeriesId, Timestamp>,
    max: usize,
}

impl Exemplars {
    /// Keeps at most `max`.
    pub fn new(max: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            newest: BTreeMap::new(),
            max,
        }
    }

    /// Takes an exemplar that is newer than those of its series, and forgets the oldest where there is no room. Returns whether
    /// it was new: senders repeat the same one with every sample until another takes its place.
    pub fn take(&mut self, exemplar: Exemplar) -> bool {
        let newest = self.newest.get(&exemplar.series);
        if newest.is_some_and(|newest| *newest >= exemplar.at) {
            return false;
        }
        self.newest.insert(exemplar.series, exemplar.at);
        self.ring.push_back(exemplar);
        while self.ring.len() > self.max
            && let Some(oldest) = self.ring.pop_front()
        {
            if self.newest.get(&oldest.series) == Some(&oldest.at) {
                self.newest.remove(&oldest.series);
            }
        }
        true
    }

    /// Those of a series between two times, in the order in which they came.
    pub fn of(&self, series: SeriesId, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Exemplar> {
        let is_meant = move |exemplar: &&Exemplar| exemplar.series == series && (from..=to).contains(&exemplar.at);
        self.ring.iter().filter(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(series: u64, at: i64) -> Exemplar {
        Exemplar {
            series: SeriesId(series),
            at: Timestamp(at),
            value: 0.5,
            labels: vec![("trace_id".to_owned(), format!("{series}-{at}"))],
        }
    }

    #[test]
    fn the_newest_stay_and_each_once() {
        let mut kept = Exemplars::new(3);
        assert!(kept.take(exemplar(1, 10)));
        assert!(!kept.take(exemplar(1, 10)), "sent again");
        assert!(!kept.take(exemplar(1, 5)), "older than the last");
        assert!(kept.take(exemplar(2, 5)));
        assert!(kept.take(exemplar(1, 20)) && kept.take(exemplar(1, 30)));
        let times = |kept: &Exemplars, series| {
            let found = kept.of(SeriesId(series), Timestamp(0), Timestamp(25));
            found.map(|e| e.at.0).collect::<Vec<_>>()
        };
        assert_eq!((times(&kept, 1), times(&kept, 2)), (vec![20], vec![5]));
        kept.take(exemplar(3, 1));
        assert_eq!(times(&kept, 2), [] as [i64; 0]);
        assert!(kept.take(exemplar(2, 5)), "what was forgotten is new");
    }
}
