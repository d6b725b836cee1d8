//! A schedule's occurrences around the present, so that asking costs no calendar arithmetic.

use super::schedule::{Schedule, Span};
use std::sync::Arc;
use wire::Timestamp;

/// The union of some schedules. Asked in roughly rising order of time it expands each stretch once: O(log n) a question,
/// with n the occurrences in sight (at most some hundreds for daily rules).
#[derive(Clone, Debug)]
pub struct Timeline {
    schedules: Arc<[Schedule]>,
    /// In order, apart from each other.
    spans: Vec<Span>,
    known: Option<Span>,
    reach_ms: i64,
}

impl Timeline {
    /// The union of `schedules`.
    pub fn new(schedules: impl Into<Arc<[Schedule]>>) -> Self {
        let schedules = schedules.into();
        let reach_ms = schedules.iter().map(Schedule::reach_ms).min().unwrap_or(i64::MAX / 4);
        Self {
            schedules,
            spans: Vec::new(),
            known: None,
            reach_ms,
        }
    }

    /// The span that holds `at`.
    pub fn covering(&mut self, at: Timestamp) -> Option<Span> {
        if !self.known.is_some_and(|known| known.contains(at)) {
            self.look_around(at);
        }
        let after = self.spans.partition_point(|span| span.from <= at);
        let span = self.spans.get(after.checked_sub(1)?)?;
        span.contains(at).then_some(*span)
    }

    fn look_around(&mut self, at: Timestamp) {
        let known = Span {
            from: at - self.reach_ms / 8,
            until: at + self.reach_ms,
        };
        let mut spans: Vec<Span> = self
            .schedules
            .iter()
            .flat_map(|schedule| schedule.spans(known.from, known.until))
            .collect();
        spans.sort_unstable();
        self.spans.clear();
        for span in spans {
            match self.spans.last_mut() {
                Some(open) if span.from <= open.until => open.until = open.until.max(span.until),
                _ => self.spans.push(span),
            }
        }
        self.known = Some(known);
    }
}
