//! The Numenta benchmark: the loop next to a random score and a windowed Gaussian, on the same files, in one table.

use super::Data;
use super::baselines::{Random, windowed_gaussian};
use crate::backtest::{Input, Mode, Options, replay};
use engine::detect::{Effort, Models};
use engine::evaluate::nab::{File, LOW_FALSE_POSITIVE, Profile, STANDARD, best_threshold, probation, score_at};
use engine::evaluate::{EventScore, Span, average_precision, runs, score_events, season_buffer, vus_pr};
use engine::ingest::csv;
use engine::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use wire::Timestamp;

/// Figures of one detector.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NabRow {
    pub(super) detector: &'static str,
    /// NAB score at the detector's own decisions, 0 for one that is silent; `None` for a detector that has none.
    pub(super) decided_standard: Option<f64>,
    pub(super) decided_low_fp: Option<f64>,
    /// NAB score at the best single threshold for the corpus, chosen on the labels as NAB's scoreboard does.
    pub(super) best_standard: f64,
    pub(super) best_low_fp: f64,
    pub(super) auc_pr: f64,
    pub(super) vus_pr: f64,
    /// Of its decisions; for a detector that has none, at its best threshold.
    pub(super) events: EventScore,
    pub(super) false_alerts_per_series_per_day: f64,
}

/// Scores every detector. Files in order of name.
pub(super) fn run(data: &Data, models: &Arc<Models>) -> Result<Vec<NabRow>> {
    let series = load(data)?;
    let mut halo = Vec::new();
    for one in &series {
        halo.push(loop_scores(one, Arc::clone(models))?);
    }
    let gaussian: Vec<Scored> = series
        .iter()
        .map(|s| Scored::undecided(windowed_gaussian(&s.values)))
        .collect();
    let mut chance = Random::new();
    let random: Vec<Scored> = series
        .iter()
        .map(|s| Scored::undecided(chance.scores(&s.values)))
        .collect();
    Ok(vec![
        judge("halo", &series, &halo),
        judge("windowed Gaussian", &series, &gaussian),
        judge("random", &series, &random),
    ])
}

/// One file of the corpus.
struct Series {
    name: String,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
    step_ms: i64,
}

/// One score a row, and the decisions if the detector makes any.
struct Scored {
    scores: Vec<f64>,
    decisions: Option<Vec<bool>>,
}

impl Scored {
    fn undecided(scores: Vec<f64>) -> Self {
        Self {
            scores,
            decisions: None,
        }
    }
}

fn load(data: &Data) -> Result<Vec<Series>> {
    #[derive(Deserialize)]
    struct Entry {
        file: String,
        step_seconds: i64,
    }
    let index: Vec<Entry> = data.json("nab/index.json")?;
    index
        .into_iter()
        .map(|entry| {
            let place = format!("nab/{}", entry.file);
            let mut one = Series {
                name: entry.file.trim_end_matches(".csv.gz").to_owned(),
                times: Vec::new(),
                values: Vec::new(),
                windows: Vec::new(),
                step_ms: entry.step_seconds * 1000,
            };
            for (row, line) in data.text(&place)?.lines().skip(1).enumerate() {
                let bad = || Error::Input {
                    place: format!("{place}:{}", row + 2),
                    message: format!("expected timestamp,value,label,window, got {line:?}"),
                };
                let cells: Vec<&str> = line.split(',').collect();
                let [at, value, _, window] = cells[..] else {
                    return Err(bad());
                };
                one.times.push(csv::parse_time(at).map_err(|_| bad())?);
                one.values.push(value.parse().map_err(|_| bad())?);
                if window == "1" {
                    match one.windows.last_mut() {
                        Some(last) if last.1 + 1 == row => last.1 = row,
                        _ => one.windows.push((row, row)),
                    }
                }
            }
            Ok(one)
        })
        .collect()
}

/// The product's own scores and decisions, as `halo backtest` makes them: each row knows only the past.
fn loop_scores(series: &Series, models: Arc<Models>) -> Result<Scored> {
    let name = series.name.rsplit('/').next().unwrap_or_default();
    let mut text = format!("timestamp,{name}\n");
    for (at, value) in series.times.iter().zip(&series.values) {
        text.push_str(&format!("{},{value}\n", at.as_millis()));
    }
    let frame = csv::read_metrics(Cursor::new(text), name)?;
    let input = Input {
        frame,
        ..Input::default()
    };
    let options = Options {
        train_rows: probation(input.frame.times.len()),
        mode: Mode::Online,
        effort: Effort::Full,
        detect: engine::detect::DetectConfig::default(),
    };
    // The files have repeated and unordered instants; a score belongs to its instant.
    let mut by_time = BTreeMap::new();
    replay(&input, &options, models, &mut |at, row| {
        if let Some(Some(detection)) = row.first() {
            by_time.insert(at, (f64::from(detection.salience), detection.anomaly));
        }
        Ok(())
    })?;
    let of = |at: &Timestamp| by_time.get(at).copied().unwrap_or((0.0, false));
    Ok(Scored {
        scores: series.times.iter().map(|at| of(at).0).collect(),
        decisions: Some(series.times.iter().map(|at| of(at).1).collect()),
    })
}

fn judge(detector: &'static str, series: &[Series], scored: &[Scored]) -> NabRow {
    let files: Vec<File> = series
        .iter()
        .zip(scored)
        .map(|(series, scored)| File {
            scores: scored.scores.clone(),
            windows: series.windows.clone(),
        })
        .collect();
    let best = best_threshold(&files, &STANDARD);
    let decisions: Vec<Vec<bool>> = scored
        .iter()
        .map(|scored| match (&scored.decisions, best) {
            (Some(decisions), _) => decisions.clone(),
            (None, Some((threshold, _))) => scored.scores.iter().map(|score| *score >= threshold).collect(),
            (None, None) => vec![false; scored.scores.len()],
        })
        .collect();
    let mut row = NabRow {
        detector,
        best_standard: best.map_or(0.0, |best| best.1),
        best_low_fp: best_threshold(&files, &LOW_FALSE_POSITIVE).map_or(0.0, |best| best.1),
        ..NabRow::default()
    };
    if scored.iter().all(|scored| scored.decisions.is_some()) {
        row.decided_standard = decided(series, &decisions, &STANDARD);
        row.decided_low_fp = decided(series, &decisions, &LOW_FALSE_POSITIVE);
    }
    let (mut series_days, mut areas, mut volumes) = (0.0, Vec::new(), Vec::new());
    for ((series, scored), decisions) in series.iter().zip(scored).zip(&decisions) {
        let start = probation(series.times.len());
        row.events.merge(&events(series, decisions, start));
        series_days += (series.times.len() - start) as f64 * series.step_ms as f64 / 86_400_000.0;
        let truth: Vec<bool> = (start..series.times.len()).map(|i| series.in_window(i)).collect();
        areas.extend(average_precision(&scored.scores[start..], &truth));
        volumes.extend(vus_pr(&scored.scores[start..], &truth, season_buffer(&series.values)));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    row.auc_pr = mean(&areas);
    row.vus_pr = mean(&volumes);
    row.false_alerts_per_series_per_day = row.events.false_alerts() as f64 / series_days.max(1e-9);
    row
}

impl Series {
    fn in_window(&self, row: usize) -> bool {
        self.windows.iter().any(|(from, to)| (*from..=*to).contains(&row))
    }
}

/// NAB score of the alerts as they are raised: the first row of each run of flagged rows.
fn decided(series: &[Series], decisions: &[Vec<bool>], profile: &Profile) -> Option<f64> {
    let files: Vec<File> = series
        .iter()
        .zip(decisions)
        .map(|(series, decisions)| {
            let mut scores = vec![0.0; decisions.len()];
            for alert in alerts(series, decisions, 0) {
                if let Some(row) = series.times.iter().position(|at| *at == alert.start) {
                    scores[row] = 1.0;
                }
            }
            File {
                scores,
                windows: series.windows.clone(),
            }
        })
        .collect();
    score_at(&files, 1.0, profile)
}

fn alerts(series: &Series, decisions: &[bool], start: usize) -> Vec<Span> {
    let rows = series.times.iter().copied().zip(decisions.iter().copied());
    runs(rows.skip(start), 3 * series.step_ms)
}

fn events(series: &Series, decisions: &[bool], start: usize) -> EventScore {
    let windows: Vec<Span> = series
        .windows
        .iter()
        .map(|(from, to)| Span {
            start: series.times[*from],
            end: series.times[*to],
        })
        .collect();
    score_events(&alerts(series, decisions, start), &windows)
}
