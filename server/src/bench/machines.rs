//! SMD and JumpStarter: many metrics of one machine or service, labelled as a whole. Trained on the unlabelled half.

use super::Data;
use crate::backtest::score::{Labelled, Ledger, summarize};
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
    }
    Ok(row)
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
