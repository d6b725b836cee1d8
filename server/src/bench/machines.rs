//! SMD and JumpStarter: many metrics of one machine or service, labelled as a whole. Trained on the unlabelled half; next to
//! a random score, a windowed Gaussian and the mean z-score, on the same series, in one table.

use super::baselines::{Random, absolute_z, windowed_gaussian};
use super::{Data, Figure};
use crate::backtest::score::{Labelled, Ledger, Ranking, rank, summarize, together};
use crate::backtest::{Input, Mode, Options, replay};
use engine::detect::{Effort, Models};
use engine::ingest::csv::{self, Label};
use engine::{Error, Result};
use serde::Deserialize;
use std::fmt::Write;
use std::io::Cursor;
use std::sync::Arc;

/// Mean of every figure over the machines of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MachinesRow {
    pub(super) machines: usize,
    pub(super) auc_pr: f64,
    pub(super) vus_pr: f64,
    pub(super) event_precision: f64,
    pub(super) event_recall: f64,
    pub(super) false_alerts_per_series_per_day: f64,
    pub(super) incident_precision: f64,
    pub(super) incident_recall: f64,
    pub(super) noise_reduction: f64,
    pub(super) baselines: Vec<BaselineRow>,
}

/// The same of a score that decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BaselineRow {
    pub(super) name: &'static str,
    pub(super) auc_pr: f64,
    pub(super) vus_pr: f64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "service")]
    name: String,
    step_seconds: i64,
}

/// Scores the loop on every machine of the set in `folder` (`smd` or `jumpstarter`).
pub(super) fn run(data: &Data, folder: &str, models: &Arc<Models>) -> Result<MachinesRow> {
    let entries: Vec<Entry> = data.json(&format!("{folder}/index.json"))?;
    let mut row = MachinesRow::default();
    for entry in &entries {
        let (input, options) = load(data, folder, entry)?;
        let mut ledger = Ledger::new(&input);
        let outcome = replay(&input, &options, Arc::clone(models), &mut |at, detections| {
            ledger.record(at, detections);
            Ok(())
        })?;
        let summary = summarize(&input, &options, &outcome, &ledger);
        row.add(
            summary.noise_reduction,
            &summary.labelled.unwrap_or_default(),
            entries.len() as f64,
        );
        row.add_baselines(&baselines(&input, options.train_rows), entries.len() as f64);
    }
    Ok(row)
}

/// The figures of one data set, under `name`.
pub(super) fn figures(data: &Data, folder: &str, name: &str) -> Result<Vec<Figure>> {
    let row = run(data, folder, &Arc::new(Models::bundled()?))?;
    let of = |who: &str, what: &str, value: f64, unit: &str, higher: bool| {
        Figure::new(format!("{name}, {}, {who}: {what}", row.machines), value, unit, higher)
    };
    let figure = |what: &str, value, unit, higher| of("halo", what, value, unit, higher);
    let mut figures = vec![
        figure("AUC-PR", row.auc_pr, "share", true),
        figure("VUS-PR", row.vus_pr, "share", true).goal(0.5),
        figure("event precision", row.event_precision, "share", true),
        figure("event recall", row.event_recall, "share", true),
        figure("incident precision", row.incident_precision, "share", true),
        figure("incident recall", row.incident_recall, "share", true),
        figure(
            "false alerts",
            row.false_alerts_per_series_per_day,
            "/series/day",
            false,
        )
        .goal(0.01),
        figure("noise reduction", row.noise_reduction, "share", true),
    ];
    for baseline in &row.baselines {
        figures.push(of(baseline.name, "AUC-PR", baseline.auc_pr, "share", true));
        figures.push(of(baseline.name, "VUS-PR", baseline.vus_pr, "share", true));
    }
    Ok(figures)
}

/// The ranking of every baseline. Each scores the series one by one; the scores of a machine are put together as the
/// loop's are, but for the mean z-score, which is their mean.
fn baselines(input: &Input, train_rows: usize) -> [(&'static str, Ranking); 3] {
    let columns = &input.frame.columns;
    let ranked = |scores: Vec<Vec<f64>>, of_row: &dyn Fn(&[f64]) -> f64| {
        let rows = input.frame.times.len() - train_rows;
        let row = |i: usize| -> Vec<f64> { scores.iter().map(|scores| scores[scores.len() - rows + i]).collect() };
        let together: Vec<f64> = (0..rows).map(|i| of_row(&row(i))).collect();
        rank(input, &input.frame.times[train_rows..], &together)
    };
    let as_the_loop = |row: &[f64]| f64::from(together(row.iter().map(|score| [*score as f32, 0.0])));
    let mean = |row: &[f64]| row.iter().sum::<f64>() / row.len().max(1) as f64;
    let mut chance = Random::new();
    let random = columns.iter().map(|values| chance.scores(values)).collect();
    let gaussian = columns.iter().map(|values| windowed_gaussian(values)).collect();
    let z = columns
        .iter()
        .map(|values| absolute_z(&values[..train_rows], &values[train_rows..]))
        .collect();
    [
        ("random", ranked(random, &as_the_loop)),
        ("windowed Gaussian", ranked(gaussian, &as_the_loop)),
        ("mean |z|", ranked(z, &mean)),
    ]
}

impl MachinesRow {
    fn add(&mut self, noise_reduction: f64, one: &Labelled, of: f64) {
        self.machines += 1;
        let add = |sum: &mut f64, value: Option<f64>| *sum += value.unwrap_or(0.0) / of;
        add(&mut self.auc_pr, one.auc_pr);
        add(&mut self.vus_pr, one.vus_pr);
        add(&mut self.event_precision, one.event_precision);
        add(&mut self.event_recall, one.event_recall);
        add(
            &mut self.false_alerts_per_series_per_day,
            Some(one.false_alerts_per_series_per_day),
        );
        add(&mut self.incident_precision, one.incident_precision);
        add(&mut self.incident_recall, one.incident_recall);
        add(&mut self.noise_reduction, Some(noise_reduction));
    }

    fn add_baselines(&mut self, baselines: &[(&'static str, Ranking)], of: f64) {
        for (name, ranking) in baselines {
            let known = self.baselines.iter().position(|row| row.name == *name);
            let at = known.unwrap_or_else(|| {
                self.baselines.push(BaselineRow {
                    name,
                    auc_pr: 0.0,
                    vus_pr: 0.0,
                });
                self.baselines.len() - 1
            });
            self.baselines[at].auc_pr += ranking.auc_pr.unwrap_or(0.0) / of;
            self.baselines[at].vus_pr += ranking.vus_pr.unwrap_or(0.0) / of;
        }
    }
}

/// The training half as history, then the test half. The files have no clock: they start at the epoch, a Thursday.
fn load(data: &Data, folder: &str, entry: &Entry) -> Result<(Input, Options)> {
    let mut metrics = String::new();
    let (mut labels, mut at, mut train_rows) = (Vec::<Label>::new(), 0, 0);
    for half in ["train", "test"] {
        let place = format!("{folder}/{}_{half}.csv.gz", entry.name);
        let text = data.text(&place)?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let columns = header.iter().filter(|name| !["t", "label"].contains(name)).count();
        if half == "train" {
            metrics.push_str("timestamp");
            for name in &header[1..=columns] {
                // Writing to a string cannot fail.
                let _ = write!(metrics, ",{}|{name}", entry.name);
            }
            metrics.push('\n');
        }
        for (row, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            let Some(values) = cells.get(1..=columns) else {
                return Err(Error::Input {
                    place: format!("{place}:{}", row + 2),
                    message: format!("expected {columns} values, got {}", cells.len().saturating_sub(1)),
                });
            };
            let _ = writeln!(metrics, "{at},{}", values.join(","));
            if cells.get(columns + 1).is_some_and(|label| *label != "0") {
                let now = wire::Timestamp::from_secs(at);
                match labels.last_mut() {
                    Some(last) if now.millis_since(last.end) <= entry.step_seconds * 1000 => last.end = now,
                    _ => labels.push(Label {
                        start: now,
                        end: now,
                        series: None,
                        entity: None,
                        cause: None,
                    }),
                }
            }
            at += entry.step_seconds;
            train_rows += usize::from(half == "train");
        }
    }
    let input = Input {
        frame: csv::read_metrics(Cursor::new(metrics), &entry.name)?,
        labels,
        ..Input::default()
    };
    let options = Options {
        train_rows,
        mode: Mode::Online,
        effort: Effort::Full,
        detect: engine::detect::DetectConfig::default(),
    };
    Ok((input, options))
}
