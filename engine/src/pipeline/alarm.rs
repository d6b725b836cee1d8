//! Alerts of other systems as observations: to the correlator an alert that fires is a series that broke a fixed limit, once a minute for
//! as long as it fires. No member voted for it, and its source says whose rule it was.
//!
//! Only who its labels name can be told, and only trouble: see [`tells_of_trouble`]. By itself it takes a minute to open an incident,
//! but for what is urgent, which opens one at once: whoever wrote the rule has waited already.

use crate::alert::{AlertBook, tells_of_trouble};
use crate::correlate::Observation;
use crate::detect::{Detection, Expected};
use crate::series::{Labels, MetricClass, SeriesKind, info_from_labels};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::Timestamp;
use wire::alert::Alert;
use wire::series::{SeriesInfo, Votes};

/// How often an alert that fires is told.
const STEP_MS: i64 = 60_000;

/// An alert that began longer ago is told from this long ago on: the rest is history.
const RECENT_MS: i64 = 5 * 60_000;

/// Says as much as a strange sample of one metric.
const SCORE: f32 = 0.95;

/// What is urgent says as much as one that is far off.
const URGENT_SCORE: f32 = 0.995;

/// What is urgent by its severity is about errors, whatever its name says.
const URGENT: [&str; 8] = ["critical", "page", "error", "fatal", "emergency", "high", "p1", "sev1"];

/// Until when each alert was told, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<String, Timestamp>);

impl Alarms {
    /// What the correlator has not been told.
    pub(super) fn tell(&mut self, book: &AlertBook, now: Timestamp, out: &mut Vec<Observation>) {
        let mut told = BTreeMap::new();
        for alert in book.firing(now).filter(|alert| tells_of_trouble(alert)) {
            let Some(info) = series_of(alert) else { continue };
            let began = alert.starts_at.max(now - RECENT_MS).min(now);
            let mut next = self.0.get(&alert.fingerprint).map_or(began, |last| *last + STEP_MS);
            // After a pause (a silence, a standstill) it goes on from now.
            if now.millis_since(next) > RECENT_MS {
                next = now;
            }
            let info = Arc::new(info);
            let score = if is_urgent(alert) { URGENT_SCORE } else { SCORE };
            let source: Arc<str> = alert.source.as_str().into();
            while next <= now {
                out.push(observation(&info, &source, next, score));
                next = next + STEP_MS;
            }
            told.insert(alert.fingerprint.clone(), next - STEP_MS);
        }
        self.0 = told;
    }
}

/// The series that an alert stands for; `None` if it is about nobody.
fn series_of(alert: &Alert) -> Option<SeriesInfo> {
    alert.entity.as_ref()?;
    let mut labels: Vec<(String, String)> = alert.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    labels.retain(|(name, _)| name != "__name__");
    labels.push(("__name__".to_owned(), alert.name().to_owned()));
    let mut info = info_from_labels(&Labels::new(labels));
    if is_urgent(alert) {
        info.class = MetricClass::Errors;
    }
    info.kind = SeriesKind::Gauge;
    info.step_ms = STEP_MS;
    Some(info)
}

fn is_urgent(alert: &Alert) -> bool {
    let severity = alert.labels.get("severity").map(|s| s.to_ascii_lowercase());
    severity.is_some_and(|severity| URGENT.contains(&severity.as_str()))
}

/// One where zero is the limit.
fn observation(info: &Arc<SeriesInfo>, source: &Arc<str>, at: Timestamp, score: f32) -> Observation {
    Observation {
        detection: Detection {
            series: info.id,
            at,
            value: 1.0,
            expected: Some(Expected {
                mean: 0.0,
                lower: 0.0,
                upper: 0.0,
                scale: 1e-3,
            }),
            score,
            salience: score,
            shift: 0.0,
            votes: Votes::default(),
            anomaly: true,
            confidence: 1.0,
            signal: None,
            breach: Some(0.0),
            quiet_at: None,
        },
        source: Arc::clone(source),
        info: Arc::clone(info),
        has_samples: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::alert::{PostedAlert, Silence, SilenceState};

    fn posted(labels: &[(&str, &str)], starts_min: i64, ends_min: i64) -> PostedAlert {
        PostedAlert {
            labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            starts_at: Some(Timestamp(starts_min * STEP_MS)),
            ends_at: Some(Timestamp(ends_min * STEP_MS)),
            ..PostedAlert::default()
        }
    }

    fn told(alarms: &mut Alarms, book: &AlertBook, minute: i64) -> Vec<(String, i64)> {
        let mut out = Vec::new();
        alarms.tell(book, Timestamp(minute * STEP_MS + 1), &mut out);
        out.iter()
            .map(|o| {
                (
                    format!("{}/{}", o.info.entity, o.info.metric),
                    o.detection.at.0 / STEP_MS,
                )
            })
            .collect()
    }

    #[test]
    fn each_minute_of_an_alert_is_told_once() {
        let (mut book, mut alarms) = (AlertBook::default(), Alarms::default());
        let full = posted(&[("alertname", "DiskFull"), ("instance", "db-1")], 90, 200);
        book.receive("test", vec![full], Timestamp(100 * STEP_MS));
        let expect = |minutes: &[i64]| -> Vec<(String, i64)> {
            minutes.iter().map(|m| ("db-1/DiskFull".to_owned(), *m)).collect()
        };
        assert_eq!(told(&mut alarms, &book, 100), expect(&[95, 96, 97, 98, 99, 100]));
        assert_eq!(told(&mut alarms, &book, 100), expect(&[]));
        assert_eq!(told(&mut alarms, &book, 101), expect(&[101]));
        // It is silent while somebody works on it, and goes on after that.
        let silence = Silence {
            id: String::new(),
            matchers: vec![crate::alert::parse_matcher("instance=db-1").unwrap()],
            starts_at: Timestamp(101 * STEP_MS),
            ends_at: Timestamp(150 * STEP_MS),
            updated_at: Timestamp(0),
            created_by: String::new(),
            comment: String::new(),
            state: SilenceState::Active,
        };
        book.set_silence(silence, Timestamp(101 * STEP_MS)).unwrap();
        assert_eq!(told(&mut alarms, &book, 120), expect(&[]));
        book.advance(Timestamp(150 * STEP_MS));
        assert_eq!(told(&mut alarms, &book, 150).last(), expect(&[150]).last());
        // Over is over.
        assert_eq!(told(&mut alarms, &book, 200), expect(&[]));
    }

    #[test]
    fn what_is_about_nobody_or_no_trouble_is_not_told() {
        let (mut book, mut alarms) = (AlertBook::default(), Alarms::default());
        let alerts = [
            posted(&[("alertname", "A"), ("team", "x")], 99, 200),
            posted(&[("alertname", "Watchdog"), ("job", "x")], 99, 200),
            posted(&[("alertname", "B"), ("job", "x"), ("severity", "info")], 99, 200),
        ];
        book.receive("test", alerts.to_vec(), Timestamp(100 * STEP_MS));
        assert_eq!(told(&mut alarms, &book, 100), []);
    }

    #[test]
    fn an_urgent_alert_is_about_errors_whatever_its_name() {
        let (mut book, mut alarms) = (AlertBook::default(), Alarms::default());
        let labels = [
            ("alertname", "AvailabilityLow"),
            ("service", "cart"),
            ("severity", "Critical"),
        ];
        book.receive("test", vec![posted(&labels, 100, 200)], Timestamp(100 * STEP_MS));
        let mut out = Vec::new();
        alarms.tell(&book, Timestamp(100 * STEP_MS), &mut out);
        assert_eq!(
            (out[0].info.class, out[0].info.entity.as_str()),
            (MetricClass::Errors, "cart")
        );
        assert!(out[0].detection.score > 0.99, "it need not be told twice");
        assert_eq!(
            (out[0].detection.breach, out[0].detection.votes.count()),
            (Some(0.0), 0)
        );
    }
}
