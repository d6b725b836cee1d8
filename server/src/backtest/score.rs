//! What the loop did, in figures. The only place that reads the labels.

use super::input::Input;
use super::replay::{Options, Outcome};
use engine::correlate::Incident;
use engine::detect::Detection;
use engine::evaluate::{
    EventScore, Span, average_precision, noise_reduction, quantile, score_events, season_buffer, vus_pr,
};
use engine::ingest::csv::Label;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use wire::series::Voter;
use wire::{EntityId, Timestamp};

/// An alert goes on while flagged samples are at most this many steps apart.
const ALERT_GAP_STEPS: i64 = 3;

/// `summary.json`. Figures that need labels are absent without.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub rows: u64,
    pub history_rows: u64,
    pub step_ms: i64,
    pub series: u64,
    pub entities: u64,
    /// Samples scored.
    pub samples: u64,
    /// Runs of anomalous samples of a series: what would have been alerts without correlation.
    pub raw_alerts: u64,
    pub raw_alerts_per_series_per_day: f64,
    pub incidents: u64,
    /// 1 - incidents / raw alerts.
    pub noise_reduction: f64,
    pub predictions: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub labelled: Option<Labelled>,
    /// Measured: told to people, but in no file, since it differs between runs.
    #[serde(skip)]
    pub samples_per_second: f64,
}

/// Figures against labels. Series, entities and the whole system are scored at the level that each label names; scores
/// are averaged over what is labelled, events are counted together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Labelled {
    pub events: u64,
    pub event_precision: Option<f64>,
    pub event_recall: Option<f64>,
    pub event_f1: Option<f64>,
    pub auc_pr: Option<f64>,
    pub vus_pr: Option<f64>,
    /// Alerts of series that no label covers.
    pub false_alerts_per_series_per_day: f64,
    pub delay_median_seconds: Option<f64>,
    pub delay_p95_seconds: Option<f64>,
    pub incident_precision: Option<f64>,
    pub incident_recall: Option<f64>,
    /// Of labels that name a cause: share whose incident has it first, or among the first three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_top1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_top3: Option<f64>,
    /// What each member would have alerted by itself.
    pub members: Vec<MemberFigures>,
}

/// One member's votes as if they were the decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberFigures {
    pub member: Voter,
    /// Runs of its votes.
    pub alerts: u64,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
}

/// What was said of every sample, as far as scoring needs it.
#[derive(Debug)]
pub struct Ledger {
    gap_ms: i64,
    times: Vec<Timestamp>,
    /// Alerts per series.
    alerts: Vec<Vec<Span>>,
    /// Salience and shift per series and row; empty without labels.
    scores: Vec<Vec<[f32; 2]>>,
    /// Runs of votes per member and series; empty without labels.
    votes: [Vec<Vec<Span>>; 4],
}

impl Ledger {
    /// An empty ledger.
    pub fn new(input: &Input) -> Self {
        let kept = if input.labels.is_empty() {
            0
        } else {
            input.frame.series.len()
        };
        Self {
            gap_ms: ALERT_GAP_STEPS * input.frame.step_ms,
            times: Vec::new(),
            alerts: vec![Vec::new(); input.frame.series.len()],
            scores: vec![Vec::new(); kept],
            votes: std::array::from_fn(|_| vec![Vec::new(); kept]),
        }
    }

    /// Takes one scored row.
    pub fn record(&mut self, at: Timestamp, row: &[Option<Detection>]) {
        self.times.push(at);
        let gap_ms = self.gap_ms;
        let extend = |runs: &mut Vec<Span>| match runs.last_mut() {
            Some(last) if at.millis_since(last.end) <= gap_ms => last.end = at,
            _ => runs.push(Span { start: at, end: at }),
        };
        for (alerts, detection) in self.alerts.iter_mut().zip(row) {
            if detection.is_some_and(|d| d.anomaly) {
                extend(alerts);
            }
        }
        for (voter, votes) in Voter::ALL.into_iter().zip(&mut self.votes) {
            for (runs, detection) in votes.iter_mut().zip(row) {
                if detection.is_some_and(|d| d.votes.of(voter).is_some_and(|m| m.vote)) {
                    extend(runs);
                }
            }
        }
        for (scores, detection) in self.scores.iter_mut().zip(row) {
            scores.push(detection.map_or([0.0; 2], |d| [d.salience, d.shift]));
        }
    }
}

/// Puts it all into figures.
pub fn summarize(input: &Input, options: &Options, outcome: &Outcome, ledger: &Ledger) -> Summary {
    let raw_alerts: u64 = ledger.alerts.iter().map(|a| a.len() as u64).sum();
    let series_days = series_days(input, ledger);
    let incidents = outcome.incidents.len() as u64;
    let labels: Vec<&Label> = match ledger.times.first() {
        Some(first) => input.labels.iter().filter(|label| label.end >= *first).collect(),
        None => Vec::new(),
    };
    Summary {
        rows: input.frame.times.len() as u64,
        history_rows: options.train_rows as u64,
        step_ms: input.frame.step_ms,
        series: input.frame.series.len() as u64,
        entities: by_entity(input).len() as u64,
        samples: outcome.samples,
        raw_alerts,
        raw_alerts_per_series_per_day: per(raw_alerts, series_days),
        incidents,
        noise_reduction: noise_reduction(raw_alerts, incidents),
        predictions: outcome.predictions.len() as u64,
        labelled: (!labels.is_empty()).then(|| labelled(input, outcome, ledger, &labels, series_days)),
        samples_per_second: (outcome.samples as f64 / outcome.seconds.max(1e-9)).round(),
    }
}

impl Summary {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} rows of {} series of {} entities, {} of them history; {} samples scored at {:.0} samples/s\n\
             {} alerts ({:.3} a series and day) became {} incidents: noise reduced by {:.1} %; {} predictions\n",
            self.rows,
            self.series,
            self.entities,
            self.history_rows,
            self.samples,
            self.samples_per_second,
            self.raw_alerts,
            self.raw_alerts_per_series_per_day,
            self.incidents,
            100.0 * self.noise_reduction,
            self.predictions,
        );
        if let Some(labelled) = &self.labelled {
            labelled.write_text(&mut text);
        }
        text
    }
}

impl Labelled {
    fn write_text(&self, text: &mut String) {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let lines = [
            format!(
                "{} labelled events: precision {}, recall {}, F1 {}; AUC-PR {}, VUS-PR {}",
                self.events,
                figure(self.event_precision),
                figure(self.event_recall),
                figure(self.event_f1),
                figure(self.auc_pr),
                figure(self.vus_pr)
            ),
            format!(
                "{:.4} false alerts a series and day; delay {} s median, {} s p95",
                self.false_alerts_per_series_per_day,
                figure(self.delay_median_seconds),
                figure(self.delay_p95_seconds)
            ),
            format!(
                "incidents: precision {}, recall {}; cause first in {}, in the first three in {}",
                figure(self.incident_precision),
                figure(self.incident_recall),
                figure(self.cause_top1),
                figure(self.cause_top3)
            ),
        ];
        let members = self.members.iter().filter(|m| m.alerts > 0).map(|m| {
            format!(
                "{:?} alone: {} alerts, precision {}, recall {}",
                m.member,
                m.alerts,
                figure(m.precision),
                figure(m.recall)
            )
        });
        for line in lines.into_iter().chain(members) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        }
    }
}

/// How well scores put labelled rows first; `None` without a labelled row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ranking {
    pub(crate) auc_pr: Option<f64>,
    pub(crate) vus_pr: Option<f64>,
}

/// Ranks any score of the whole system, one a row at `times`, by all labels: as the loop's own is ranked where labels name no
/// entity and no series.
pub(crate) fn rank(input: &Input, times: &[Timestamp], scores: &[f64]) -> Ranking {
    let spans: Vec<Span> = input.labels.iter().map(span_of).collect();
    Scope::whole(input, Vec::new()).rank(input, &spans, times, scores)
}

/// A set of series that a label can be about.
struct Scope<'a> {
    columns: Vec<usize>,
    labels: Vec<&'a Label>,
}

fn labelled(input: &Input, outcome: &Outcome, ledger: &Ledger, labels: &[&Label], series_days: f64) -> Labelled {
    let mut events = EventScore::default();
    let mut of_members: [EventScore; 4] = Default::default();
    let (mut areas, mut volumes) = (Vec::new(), Vec::new());
    for scope in scopes(input, labels) {
        let spans: Vec<Span> = scope.labels.iter().map(|label| span_of(label)).collect();
        events.merge(&score_events(&scope.merged(&ledger.alerts, ledger.gap_ms), &spans));
        for (score, votes) in of_members.iter_mut().zip(&ledger.votes) {
            score.merge(&score_events(&scope.merged(votes, ledger.gap_ms), &spans));
        }
        if spans.is_empty() {
            continue;
        }
        let ranking = scope.rank(input, &spans, &ledger.times, &scope.scores(ledger));
        areas.extend(ranking.auc_pr);
        volumes.extend(ranking.vus_pr);
    }
    let incidents = score_events(
        &outcome
            .incidents
            .iter()
            .map(|i| incident_span(i, ledger))
            .collect::<Vec<_>>(),
        &labels.iter().map(|label| span_of(label)).collect::<Vec<_>>(),
    );
    let seconds = |q| quantile(&events.delays_ms, q).map(|ms| ms as f64 / 1000.0);
    Labelled {
        events: events.events,
        event_precision: events.precision(),
        event_recall: events.recall(),
        event_f1: events.f1(),
        auc_pr: mean(&areas),
        vus_pr: mean(&volumes),
        false_alerts_per_series_per_day: per(false_alerts(input, ledger, labels), series_days),
        delay_median_seconds: seconds(0.5),
        delay_p95_seconds: seconds(0.95),
        incident_precision: incidents.precision(),
        incident_recall: incidents.recall(),
        cause_top1: cause_recall(outcome, ledger, labels, 1),
        cause_top3: cause_recall(outcome, ledger, labels, 3),
        members: Voter::ALL
            .into_iter()
            .zip(&of_members)
            .map(|(member, score)| MemberFigures {
                member,
                alerts: score.alerts,
                precision: score.precision(),
                recall: score.recall(),
            })
            .collect(),
    }
}

fn span_of(label: &Label) -> Span {
    Span {
        start: label.start,
        end: label.end,
    }
}

/// Whether `label` speaks about the series of this name and entity.
fn covers(label: &Label, series: &str, entity: &EntityId) -> bool {
    match (&label.series, &label.entity) {
        (Some(named), _) => named == series,
        (None, Some(named)) => named == entity,
        (None, None) => true,
    }
}

impl<'a> Scope<'a> {
    /// All series.
    fn whole(input: &Input, labels: Vec<&'a Label>) -> Self {
        Self {
            columns: (0..input.frame.series.len()).collect(),
            labels,
        }
    }

    fn rank(&self, input: &Input, spans: &[Span], times: &[Timestamp], scores: &[f64]) -> Ranking {
        let within = |at: &Timestamp| spans.iter().any(|span| span.start <= *at && *at <= span.end);
        let truth: Vec<bool> = times.iter().map(within).collect();
        let first = self.columns.first();
        let buffer = first.map_or(0, |column| season_buffer(&input.frame.columns[*column]));
        Ranking {
            auc_pr: average_precision(scores, &truth),
            vus_pr: vus_pr(scores, &truth, buffer),
        }
    }

    /// Spans in which at least one of its series has a run.
    fn merged(&self, runs: &[Vec<Span>], gap_ms: i64) -> Vec<Span> {
        let mut spans: Vec<Span> = self.columns.iter().flat_map(|c| runs[*c].iter().copied()).collect();
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.start.millis_since(last.end) <= gap_ms => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        merged
    }

    /// Score of its series together, row by row.
    fn scores(&self, ledger: &Ledger) -> Vec<f64> {
        (0..ledger.times.len())
            .map(|row| {
                let scores = self.columns.iter().map(|column| ledger.scores[*column][row]);
                f64::from(together(scores))
            })
            .collect()
    }
}

/// One score, 0..1, for several series of one entity or system, of their salience and shift: the root mean square of what either
/// says of each. A lone series that jumps says less than many that stir, but the quiet ones of a machine do not speak for it: of
/// what was tried this alone ranks better than all baselines on SMD and on JumpStarter (the mean is worse on the one, better on
/// the other). The score of one series is its
/// salience, since a series wanders off for many harmless reasons; where there are others, it is one of many.
pub(crate) fn together(scores: impl Iterator<Item = [f32; 2]>) -> f32 {
    let (mut series, mut squares, mut last) = (0, 0.0, 0.0);
    for [salience, shift] in scores {
        let either = salience + shift - salience * shift;
        squares += either * either;
        series += 1;
        last = salience;
    }
    match series {
        0 => 0.0,
        1 => last,
        _ => (squares / series as f32).sqrt(),
    }
}

/// One scope per series, entity and the whole, as far as some label speaks at that level.
fn scopes<'a>(input: &Input, labels: &[&'a Label]) -> Vec<Scope<'a>> {
    let mut scopes = Vec::new();
    if labels.iter().any(|label| label.series.is_some()) {
        scopes.extend(input.frame.names.iter().enumerate().map(|(column, name)| {
            let about = labels.iter().filter(|label| label.series.as_ref() == Some(name));
            Scope {
                columns: vec![column],
                labels: about.copied().collect(),
            }
        }));
    }
    let of_entity = |label: &Label| label.series.is_none() && label.entity.is_some();
    if labels.iter().any(|label| of_entity(label)) {
        scopes.extend(by_entity(input).into_iter().map(|(entity, columns)| {
            let about = labels
                .iter()
                .filter(|label| of_entity(label) && label.entity.as_ref() == Some(entity));
            Scope {
                columns,
                labels: about.copied().collect(),
            }
        }));
    }
    let global: Vec<&Label> = labels
        .iter()
        .filter(|label| label.series.is_none() && label.entity.is_none())
        .copied()
        .collect();
    if !global.is_empty() {
        scopes.push(Scope::whole(input, global));
    }
    scopes
}

pub(super) fn by_entity(input: &Input) -> BTreeMap<&EntityId, Vec<usize>> {
    let mut entities: BTreeMap<&EntityId, Vec<usize>> = BTreeMap::new();
    for (column, info) in input.frame.series.iter().enumerate() {
        entities.entry(&info.entity).or_default().push(column);
    }
    entities
}

/// Alerts of single series that overlap no label about them.
fn false_alerts(input: &Input, ledger: &Ledger, labels: &[&Label]) -> u64 {
    let series = input.frame.series.iter().zip(&input.frame.names);
    let of_series = series.zip(&ledger.alerts).map(|((info, name), alerts)| {
        let about: Vec<Span> = labels
            .iter()
            .filter(|l| covers(l, name, &info.entity))
            .map(|l| span_of(l))
            .collect();
        score_events(alerts, &about).false_alerts()
    });
    of_series.sum()
}

/// Share of the labels with a cause for which an overlapping incident has it among its first `k`.
fn cause_recall(outcome: &Outcome, ledger: &Ledger, labels: &[&Label], k: usize) -> Option<f64> {
    let named: Vec<(&EntityId, Span)> = labels
        .iter()
        .filter_map(|l| Some((l.cause.as_ref()?, span_of(l))))
        .collect();
    let right = named.iter().filter(|(cause, span)| {
        let mut overlapping = outcome
            .incidents
            .iter()
            .filter(|i| incident_span(i, ledger).overlaps(span));
        overlapping.any(|incident| incident.causes.iter().take(k).any(|c| c.entity == **cause))
    });
    (!named.is_empty()).then(|| right.count() as f64 / named.len() as f64)
}

fn incident_span(incident: &Incident, ledger: &Ledger) -> Span {
    let open_end = ledger.times.last().copied().unwrap_or(incident.started);
    Span {
        start: incident.started,
        end: incident.ended.unwrap_or(open_end),
    }
}

/// Series times days scored.
fn series_days(input: &Input, ledger: &Ledger) -> f64 {
    match (ledger.times.first(), ledger.times.last()) {
        (Some(first), Some(last)) => {
            let span_ms = last.millis_since(*first) + input.frame.step_ms;
            input.frame.series.len() as f64 * span_ms as f64 / 86_400_000.0
        }
        _ => 0.0,
    }
}

fn per(count: u64, of: f64) -> f64 {
    if of > 0.0 { count as f64 / of } else { 0.0 }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::Mode;
    use engine::ingest::csv::{read_labels, read_metrics};
    use wire::SeriesId;
    use wire::series::Votes;

    /// Ten rows of history and twenty scored ones, a minute apart, of `a|x`, `a|y` and `b|x`.
    fn input(labels: &str) -> Input {
        let mut metrics = String::from("timestamp,a|x,a|y,b|x\n");
        for row in 0..30 {
            writeln!(metrics, "{},1,1,1", row * 60).unwrap();
        }
        Input {
            frame: read_metrics(metrics.as_bytes(), "metrics.csv").unwrap(),
            labels: read_labels(labels.as_bytes(), "labels.csv").unwrap(),
            ..Input::default()
        }
    }

    /// Scores with `flagged` (series, first row, last row) as anomalies.
    fn summary(input: &Input, flagged: &[(usize, usize, usize)]) -> Summary {
        let options = Options {
            train_rows: 10,
            mode: Mode::Online,
            effort: engine::detect::Effort::Full,
            detect: engine::detect::DetectConfig::default(),
        };
        let mut ledger = Ledger::new(input);
        for row in 10..30 {
            let detection = |series: usize| {
                let anomaly = flagged.iter().any(|f| f.0 == series && (f.1..=f.2).contains(&row));
                Some(Detection {
                    series: SeriesId(series as u64),
                    at: input.frame.times[row],
                    value: 1.0,
                    expected: None,
                    score: if anomaly { 0.9 } else { 0.1 },
                    salience: if anomaly { 0.9 } else { 0.1 },
                    shift: 0.0,
                    votes: Votes::default(),
                    anomaly,
                    signal: None,
                    breach: None,
                    quiet_at: None,
                    confidence: 1.0,
                })
            };
            ledger.record(input.frame.times[row], &[detection(0), detection(1), detection(2)]);
        }
        summarize(input, &options, &Outcome::default(), &ledger)
    }

    #[test]
    fn without_labels_there_are_only_counts() {
        let summary = summary(&input("start,end\n"), &[(0, 12, 14), (0, 17, 17), (2, 25, 26)]);
        // Rows 14 and 17 are three steps apart: one alert.
        assert_eq!((summary.raw_alerts, summary.series, summary.entities), (2, 3, 2));
        assert_eq!(summary.labelled, None);
        let per_day = 2.0 / (3.0 * 20.0 / 1440.0);
        assert!((summary.raw_alerts_per_series_per_day - per_day).abs() < 1e-9);
    }

    #[test]
    fn a_label_is_scored_at_the_level_it_names() {
        // (labels, flags, events found of events, true alerts of alerts, false alerts of series)
        let flags = [(0, 12, 13), (2, 20, 21)];
        for (labels, recall, precision, false_alerts) in [
            ("start,end\n720,780\n", 1.0, 0.5, 1),
            ("start,end,entity\n720,780,a\n", 1.0, 0.5, 1),
            ("start,end,entity\n720,780,b\n", 0.0, 0.0, 2),
            ("start,end,series\n720,780,a|x\n1200,1260,b|x\n", 1.0, 1.0, 0),
            ("start,end,series\n720,780,a|y\n", 0.0, 0.0, 2),
        ] {
            let input = input(labels);
            let figures = summary(&input, &flags).labelled.unwrap();
            assert_eq!(
                (figures.event_recall, figures.event_precision),
                (Some(recall), Some(precision)),
                "{labels}"
            );
            let rate = f64::from(false_alerts) / (3.0 * 20.0 / 1440.0);
            assert!(
                (figures.false_alerts_per_series_per_day - rate).abs() < 1e-9,
                "{labels}"
            );
        }
    }

    #[test]
    fn the_more_series_stir_the_more_it_says_and_a_shift_counts_in_company() {
        let together = |scores: &[[f32; 2]]| together(scores.iter().copied());
        let is = |scores: &[[f32; 2]], expected: f32| (together(scores) - expected).abs() < 1e-6;
        assert!(is(&[], 0.0));
        assert!(is(&[[0.3, 0.9]], 0.3), "a lone series");
        assert!(is(&[[0.6, 0.0], [0.8, 0.0]], 0.5_f32.sqrt()), "the root mean square");
        assert!(is(&[[0.0, 0.6], [0.5, 0.6]], 0.5_f32.sqrt()), "either, of each");
        assert!(together(&[[0.9, 0.0], [0.0; 2], [0.0; 2]]) < together(&[[0.6, 0.0]; 3]));
        assert!(is(&[[1.0, 1.0]; 9], 1.0));
    }

    #[test]
    fn labels_of_the_history_are_not_scored() {
        let summary = summary(&input("start,end\n60,120\n"), &[]);
        assert_eq!(summary.labelled, None);
    }

    #[test]
    fn perfect_scores_have_a_perfect_area() {
        let figures = summary(&input("start,end,series\n720,900,a|x\n"), &[(0, 12, 15)])
            .labelled
            .unwrap();
        assert_eq!(figures.auc_pr, Some(1.0));
        assert_eq!(figures.delay_median_seconds, Some(0.0));
        assert!(figures.vus_pr.unwrap() > 0.3);
    }
}
