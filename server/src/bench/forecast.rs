//! Forecasts of real series beside the seasonal naive one: how good, how honest, how fast. `peers.py` has others forecast the
//! same series from the same rows.
//!
//! The first half of a series is history. From [`ORIGINS`] rows, evenly spread from there to a day before its end, each of the
//! rows of the next half hour, six hours and day is forecast; what came is in units of the seasonal naive error of the history.

use super::members::secs;
use super::{Data, Figure, Report};
use crate::forecast::score::{Score, Series};
use crate::forecast::{Course, usual_step};
use engine::predict::{ForecastConfig, Forecaster};
use engine::series::{Labels, info_from_labels};
use engine::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::Timestamp;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// How far ahead, and its name.
const HORIZONS: [(i64, &str); 3] = [(30 * MINUTE_MS, "30 min"), (360 * MINUTE_MS, "6 h"), (DAY_MS, "24 h")];
const ORIGINS: usize = 24;
/// Of these the peers, which are slow, forecast from every twelfth.
const PEERS_EVERY: usize = 12;
const LEVEL: f64 = 0.9;
/// What Prophet 1.x reaches from the rows that the peers forecast from, as `peers.py` measured it.
const PROPHET: [f64; 3] = [0.773, 1.144, 1.368];

/// One real series.
struct Real {
    name: String,
    times: Vec<Timestamp>,
    values: Vec<f64>,
}

/// Accuracy on the sets of `data`.
pub(super) fn accuracy(data: &Data) -> Result<Report> {
    let mut all = HORIZONS.map(|_| Score::default());
    let mut peers = HORIZONS.map(|_| Score::default());
    for real in &load(data)? {
        judge(real, &mut all, 1);
        judge(real, &mut peers, PEERS_EVERY);
    }
    let mut report = Report::default();
    for (((_, ahead), score), (few, prophet)) in HORIZONS.iter().zip(&all).zip(peers.iter().zip(PROPHET)) {
        let name = |what: &str| format!("forecast, {ahead} ahead, {} real series: {what}", score.series);
        let mase = Figure::new(name("MASE"), score.mase(), "seasonal naive", false);
        let of_peers = Figure::new(name("MASE, 2 origins"), few.mase(), "seasonal naive", false);
        let coverage = 100.0 * score.coverage();
        let off = (coverage - 100.0 * LEVEL).abs();
        report.figures.extend([
            mase.goal(score.naive_mase()).peer("seasonal naive", score.naive_mase()),
            of_peers.goal(prophet).peer("Prophet", prophet),
            Figure::new(name("coverage less 90 %"), off, "points", false).goal(2.0),
        ]);
        report.notes.push(format!(
            "  forecast {ahead} ahead: {coverage:.1} % of {} values within the 90 % interval; 2 origins: seasonal naive {:.3}",
            score.answered,
            few.naive_mase()
        ));
    }
    Ok(report)
}

/// Speed: a week of minutes, fitted for half an hour ahead and followed.
pub(super) fn speed(runs: usize) -> Vec<Figure> {
    const SERIES: usize = 1_000;
    const STEPS: usize = 30;
    const WEEK: i64 = 7 * 1440;
    let rows: Vec<(Timestamp, f64)> = (0..WEEK)
        .map(|i| {
            let turn = (i as f64 / 1440.0 * std::f64::consts::TAU).sin();
            let noise = (i * 7919 % 1009) as f64 / 504.5 - 1.0;
            (Timestamp(i * MINUTE_MS), 50.0 + 20.0 * turn + 3.0 * noise)
        })
        .collect();
    let config = ForecastConfig::new(MINUTE_MS, STEPS as i64 * MINUTE_MS, LEVEL);
    let fit = secs(runs, || {
        drop(std::hint::black_box(Forecaster::fit(&rows, &config, &[])))
    });
    let fitted = Forecaster::fit(&rows, &config, &[]).expect("there are rows");
    // Many, so that their states do not fit the cache any better than an estate's.
    let mut many = vec![fitted; SERIES];
    let forecast = secs(runs, || {
        for one in &many {
            drop(std::hint::black_box(one.fan(STEPS)));
        }
    });
    let mut at = WEEK;
    let observe = secs(runs, || {
        for one in &mut many {
            one.observe(Timestamp(at * MINUTE_MS), 50.0 + (at % 7) as f64);
        }
        at += 1;
    });
    let per_series = |seconds: f64, unit: f64| seconds * unit / SERIES as f64;
    vec![
        Figure::new("forecast, a week of minutes, refit", fit * 1e3, "ms", false)
            .goal(1.0)
            .peer("Prophet, with 30 steps", 155.0),
        Figure::new(
            "forecast, 30 steps from the state",
            per_series(forecast, 1e6),
            "us/series",
            false,
        )
        .goal(5.0),
        Figure::new(
            "forecast, following a sample",
            per_series(observe, 1e9),
            "ns/sample",
            false,
        ),
    ]
}

/// Forecasts from every `every`th origin, and adds what they are worth to the score of each horizon.
fn judge(real: &Real, scores: &mut [Score; 3], every: usize) {
    let Real { name, times, values } = real;
    let step_ms = usual_step(times);
    let split = times.len() / 2;
    let end = times[times.len() - 1] - DAY_MS;
    let last = times.partition_point(|at| *at <= end).saturating_sub(1).max(split);
    let info = info_from_labels(&Labels::of("bench", name, None));
    let mut course = Course::new(
        &info,
        times,
        values,
        ForecastConfig::new(step_ms, DAY_MS, LEVEL),
        Vec::new(),
    );
    let mut judged = HORIZONS.map(|_| Series::new(times, values, split, step_ms));
    for k in (0..ORIGINS).step_by(every) {
        let origin = split + k * (last - split) / ORIGINS;
        let Some(forecaster) = course.at(origin) else { continue };
        for row in origin + 1..times.len() {
            let ahead = times[row].millis_since(times[origin]);
            if ahead > DAY_MS.max(step_ms) + step_ms / 2 {
                break;
            }
            let point = forecaster.at(times[row]);
            for ((horizon, _), judged) in HORIZONS.iter().zip(&mut judged) {
                if ahead <= *horizon.max(&step_ms) + step_ms / 2 {
                    judged.add(origin, &point);
                }
            }
        }
    }
    for (score, judged) in scores.iter_mut().zip(&judged) {
        score.add(judged);
    }
}

/// The real files of NAB, and every metric of JumpStarter, both halves after one another.
fn load(data: &Data) -> Result<Vec<Real>> {
    #[derive(Deserialize)]
    struct File {
        file: String,
    }
    #[derive(Deserialize)]
    struct Service {
        name: String,
        step_seconds: i64,
    }
    let mut found = Vec::new();
    let files: Vec<File> = data.json("nab/index.json")?;
    for File { file } in files.into_iter().filter(|file| file.file.starts_with("real")) {
        let place = format!("nab/{file}");
        let mut rows: BTreeMap<Timestamp, f64> = BTreeMap::new();
        for (line, text) in data.text(&place)?.lines().enumerate().skip(1) {
            let bad = || bad_row(&place, line, text);
            let mut cells = text.split(',');
            let (at, value) = (cells.next().ok_or_else(bad)?, cells.next().ok_or_else(bad)?);
            let at = engine::ingest::csv::parse_time(at).map_err(|_| bad())?;
            rows.entry(at).or_insert(value.parse().map_err(|_| bad())?);
        }
        let (times, values) = rows.into_iter().unzip();
        found.push(Real {
            name: file,
            times,
            values,
        });
    }
    let services: Vec<Service> = data.json("jumpstarter/index.json")?;
    for service in services {
        let mut columns: Vec<Real> = Vec::new();
        let mut at = Timestamp(0);
        for part in ["train", "test"] {
            let place = format!("jumpstarter/{}_{part}.csv.gz", service.name);
            let text = data.text(&place)?;
            let header = text.lines().next().unwrap_or_default();
            let metrics: Vec<usize> = header
                .split(',')
                .enumerate()
                .filter(|(_, name)| name.starts_with('m'))
                .map(|(i, _)| i)
                .collect();
            columns.resize_with(metrics.len(), || Real {
                name: service.name.clone(),
                times: Vec::new(),
                values: Vec::new(),
            });
            for (line, row) in text.lines().enumerate().skip(1) {
                let cells: Vec<&str> = row.split(',').collect();
                for (column, cell) in columns.iter_mut().zip(&metrics) {
                    let cell = cells.get(*cell).ok_or_else(|| bad_row(&place, line, row))?;
                    if let Some(value) = cell.parse().ok().filter(|value: &f64| value.is_finite()) {
                        column.times.push(at);
                        column.values.push(value);
                    }
                }
                at = at + service.step_seconds * 1000;
            }
        }
        found.extend(columns);
    }
    Ok(found)
}

fn bad_row(place: &str, line: usize, text: &str) -> Error {
    Error::Input {
        place: format!("{place}:{}", line + 1),
        message: format!("expected numbers, got {text:?}"),
    }
}
