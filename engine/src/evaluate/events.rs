//! Decisions against labelled events: what was found, how late, and how often nothing was wrong.

use wire::Timestamp;

/// A stretch of time, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Span {
    /// Whether the two share an instant.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// How a set of alerts fared against the labelled events of the same scope (a series, an entity, a system). Scores of
/// several scopes add up with [`EventScore::merge`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventScore {
    /// Labelled events.
    pub events: u64,
    /// Labelled events that at least one alert overlaps.
    pub found: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Alerts that overlap a labelled event.
    pub true_alerts: u64,
    /// For each found event: milliseconds from its start to the first alert in it, 0 if an alert was already on. Sorted.
    pub delays_ms: Vec<i64>,
}

impl EventScore {
    /// Adds the counts of another scope.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.found += other.found;
        self.alerts += other.alerts;
        self.true_alerts += other.true_alerts;
        self.delays_ms.extend_from_slice(&other.delays_ms);
        self.delays_ms.sort_unstable();
    }

    /// Alerts with nothing labelled under them.
    pub fn false_alerts(&self) -> u64 {
        self.alerts - self.true_alerts
    }

    /// Share of alerts that are true; `None` without alerts.
    pub fn precision(&self) -> Option<f64> {
        (self.alerts > 0).then(|| self.true_alerts as f64 / self.alerts as f64)
    }

    /// Share of events that are found; `None` without events.
    pub fn recall(&self) -> Option<f64> {
        (self.events > 0).then(|| self.found as f64 / self.events as f64)
    }

    /// Harmonic mean of precision and recall; 0 if there are events and no true alert, `None` without events.
    pub fn f1(&self) -> Option<f64> {
        let recall = self.recall()?;
        let precision = self.precision().unwrap_or(0.0);
        Some(if precision + recall > 0.0 {
            2.0 * precision * recall / (precision + recall)
        } else {
            0.0
        })
    }
}

/// Scores `alerts` against `labels`. Neither needs to be sorted; overlapping labels are separate events. O(a * l).
pub fn score_events(alerts: &[Span], labels: &[Span]) -> EventScore {
    let mut delays_ms: Vec<i64> = labels
        .iter()
        .filter_map(|label| {
            let first = alerts.iter().filter(|a| a.overlaps(label)).map(|a| a.start).min()?;
            Some(first.millis_since(label.start).max(0))
        })
        .collect();
    delays_ms.sort_unstable();
    EventScore {
        events: labels.len() as u64,
        found: delays_ms.len() as u64,
        alerts: alerts.len() as u64,
        true_alerts: alerts.iter().filter(|a| labels.iter().any(|l| a.overlaps(l))).count() as u64,
        delays_ms,
    }
}

/// Alerts as a person would count them: runs of flagged rows, a run going on while the gap between two flagged rows is at
/// most `gap_ms`. Rows come in order of time.
pub fn runs(rows: impl IntoIterator<Item = (Timestamp, bool)>, gap_ms: i64) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for (at, _) in rows.into_iter().filter(|row| row.1) {
        match found.last_mut() {
            Some(last) if at.millis_since(last.end) <= gap_ms => last.end = at,
            _ => found.push(Span { start: at, end: at }),
        }
    }
    found
}

/// The value below which a share `q` (0..=1) of sorted `values` lies, by nearest rank; `None` if there are none.
pub fn quantile(values: &[i64], q: f64) -> Option<i64> {
    let rank = (q.clamp(0.0, 1.0) * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// Share of raw alerts that a person never sees because they are part of an incident: 1 - incidents / alerts. 0 without
/// alerts.
pub fn noise_reduction(alerts: u64, incidents: u64) -> f64 {
    if alerts == 0 {
        0.0
    } else {
        (1.0 - incidents as f64 / alerts as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: i64) -> Span {
        Span {
            start: Timestamp(start),
            end: Timestamp(end),
        }
    }

    #[test]
    fn an_event_is_found_by_any_overlapping_alert_and_only_the_first_sets_the_delay() {
        let score = score_events(
            &[span(5, 6), span(14, 14), span(18, 30), span(50, 51)],
            &[span(10, 20), span(25, 40), span(60, 70)],
        );
        assert_eq!((score.events, score.found), (3, 2));
        assert_eq!((score.alerts, score.true_alerts, score.false_alerts()), (4, 2, 2));
        assert_eq!(score.delays_ms, [0, 4]);
        assert_eq!(score.precision(), Some(0.5));
        assert!((score.f1().expect("has events") - 2.0 * 0.5 * (2.0 / 3.0) / (0.5 + 2.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_count_is_no_figure() {
        let none = score_events(&[], &[]);
        assert_eq!((none.precision(), none.recall(), none.f1()), (None, None, None));
        let missed = score_events(&[], &[span(0, 1)]);
        assert_eq!((missed.recall(), missed.f1()), (Some(0.0), Some(0.0)));
        assert!(noise_reduction(0, 0).abs() < 1e-12);
        assert!((noise_reduction(47, 1) - 46.0 / 47.0).abs() < 1e-12);
    }

    #[test]
    fn scopes_add_up() {
        let mut all = score_events(&[span(3, 3)], &[span(0, 9)]);
        all.merge(&score_events(&[span(101, 101), span(300, 300)], &[span(100, 110)]));
        assert_eq!((all.events, all.found, all.alerts, all.true_alerts), (2, 2, 3, 2));
        assert_eq!(all.delays_ms, [1, 3]);
    }

    #[test]
    fn runs_close_gaps() {
        let flags = [(0, true), (10, false), (20, true), (60, true), (70, true)];
        let rows = flags.map(|(at, flag)| (Timestamp(at), flag));
        assert_eq!(runs(rows, 20), [span(0, 20), span(60, 70)]);
        assert_eq!(runs(rows, 5), [span(0, 0), span(20, 20), span(60, 60), span(70, 70)]);
    }

    #[test]
    fn quantiles_are_nearest_rank() {
        let values: Vec<i64> = (1..=100).collect();
        assert_eq!(quantile(&values, 0.5), Some(50));
        assert_eq!(quantile(&values, 0.95), Some(95));
        assert_eq!(quantile(&values, 1.0), Some(100));
        assert_eq!(quantile(&[7], 0.5), Some(7));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
