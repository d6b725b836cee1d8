//! PetShop: 26 faults of a real application with a known cause. Hardt et al., "The PetShop dataset", CLeaR 2024.
//!
//! A case is the fault-free recording followed by its five rows. Only five nodes are ever at fault, so hits are reported
//! per node too.

use super::Data;
use crate::backtest::{Input, Mode, Options, replay};
use engine::correlate::Incident;
use engine::detect::{Effort, Models};
use engine::ingest::csv;
use engine::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use wire::topology::Edge;

const STEP_SECS: i64 = 300;

/// Outcome of one case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) name: String,
    /// `latency` or `availability`: what was violated at the entry.
    pub(super) target_metric: String,
    pub(super) root_cause: String,
    /// Rank of the right cause from 1 on; `None` if it is not among the causes, or there is no incident.
    pub(super) rank: Option<usize>,
    /// First cause named, if there was an incident.
    pub(super) named: Option<String>,
    pub(super) incidents: usize,
}

/// All cases and the fault-free recording.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) cases: Vec<Case>,
    /// Share of the five-row spans of the fault-free recording's last 30 % without an incident.
    pub(super) specificity: f64,
    pub(super) clean_alerts_per_series_per_day: f64,
    pub(super) clean_incidents: usize,
}

impl Outcome {
    /// Cases, and share of them with the right cause among the first `k`, for a target metric or all (`None`).
    pub(super) fn top(&self, k: usize, target_metric: Option<&str>) -> (usize, f64) {
        share(
            self.cases
                .iter()
                .filter(|c| target_metric.is_none_or(|m| c.target_metric == m)),
            k,
        )
    }

    /// The same per node at fault, in order of name.
    pub(super) fn top_by_cause(&self, k: usize) -> BTreeMap<&str, (usize, f64)> {
        let causes = self.cases.iter().map(|case| case.root_cause.as_str());
        causes
            .map(|cause| (cause, share(self.cases.iter().filter(|c| c.root_cause == cause), k)))
            .collect()
    }
}

fn share<'a>(cases: impl Iterator<Item = &'a Case>, k: usize) -> (usize, f64) {
    let (mut count, mut right) = (0, 0);
    for case in cases {
        count += 1;
        right += usize::from(case.rank.is_some_and(|rank| rank <= k));
    }
    (count, if count > 0 { right as f64 / count as f64 } else { 0.0 })
}

/// Runs the loop over every case and over the fault-free recording.
pub(super) fn run(data: &Data, models: &Arc<Models>) -> Result<Outcome> {
    let scenario = Scenario::load(data)?;
    let cases = scenario.cases.iter().map(|case| scenario.play(case, models));
    let cases = cases.collect::<Result<_>>()?;
    let (specificity, clean_alerts_per_series_per_day, clean_incidents) = scenario.play_clean(models)?;
    Ok(Outcome {
        cases,
        specificity,
        clean_alerts_per_series_per_day,
        clean_incidents,
    })
}

#[derive(Deserialize)]
struct CaseEntry {
    case: String,
    target: Target,
    root_cause: String,
}

#[derive(Deserialize)]
struct Target {
    node: String,
    metric: String,
}

/// Rows as (cells by column name).
type Cells = BTreeMap<String, String>;

struct Scenario {
    cases: Vec<CaseEntry>,
    edges: Vec<Edge>,
    /// Union of the columns of both files, in order of first appearance.
    columns: Vec<String>,
    clean: Vec<(i64, Cells)>,
    faults: BTreeMap<String, Vec<(i64, Cells)>>,
}

impl Scenario {
    fn load(data: &Data) -> Result<Self> {
        const DIR: &str = "petshop/high_traffic";
        let mut columns = Vec::new();
        let mut faults: BTreeMap<String, Vec<(i64, Cells)>> = BTreeMap::new();
        let mut clean = Vec::new();
        let noissue = format!("{DIR}/noissue.csv.gz");
        for cells in rows(data, &noissue, &mut columns)? {
            clean.push((instant(&cells, &noissue)?, cells));
        }
        let issues = format!("{DIR}/issues.csv.gz");
        for cells in rows(data, &issues, &mut columns)? {
            let case = cells.get("case").cloned().unwrap_or_default();
            faults.entry(case).or_default().push((instant(&cells, &issues)?, cells));
        }
        columns.retain(|name| name != "case" && name != "timestamp");
        let edges = format!("{DIR}/edges.csv");
        Ok(Self {
            cases: data.json(&format!("{DIR}/cases.json"))?,
            edges: csv::read_edges(Cursor::new(data.text(&edges)?), &edges)?,
            columns,
            clean,
            faults,
        })
    }

    fn play(&self, case: &CaseEntry, models: &Arc<Models>) -> Result<Case> {
        let fault = self.faults.get(&case.case).map(Vec::as_slice).unwrap_or_default();
        let last = self.clean.last().map_or(0, |row| row.0);
        let retimed = (1..).zip(fault).map(|(i, (_, cells))| (last + i * STEP_SECS, cells));
        let input = self.input(
            self.clean.iter().map(|(at, cells)| (*at, cells)).chain(retimed),
            &case.case,
        )?;
        let options = Options {
            train_rows: self.clean.len(),
            mode: Mode::Online,
            effort: Effort::Full,
            detect: engine::detect::DetectConfig::default(),
        };
        let outcome = replay(&input, &options, Arc::clone(models), &mut |_, _| Ok(()))?;
        // The one about the violated entry; of several, the widest.
        let about_target =
            |incident: &Incident| incident.members.values().any(|m| m.entity.as_str() == case.target.node);
        let incident = outcome
            .incidents
            .iter()
            .max_by_key(|i| (about_target(i), i.members.len()));
        let causes = incident.map(|incident| incident.causes.as_slice()).unwrap_or_default();
        Ok(Case {
            name: case.case.clone(),
            target_metric: case.target.metric.clone(),
            root_cause: case.root_cause.clone(),
            rank: causes
                .iter()
                .position(|c| c.entity.as_str() == case.root_cause)
                .map(|i| i + 1),
            named: causes.first().map(|cause| cause.entity.to_string()),
            incidents: outcome.incidents.len(),
        })
    }

    fn play_clean(&self, models: &Arc<Models>) -> Result<(f64, f64, usize)> {
        let input = self.input(self.clean.iter().map(|(at, cells)| (*at, cells)), "noissue")?;
        let options = Options {
            train_rows: self.clean.len() * 7 / 10,
            mode: Mode::Online,
            effort: Effort::Full,
            detect: engine::detect::DetectConfig::default(),
        };
        let mut ledger = crate::backtest::score::Ledger::new(&input);
        let outcome = replay(&input, &options, Arc::clone(models), &mut |at, row| {
            ledger.record(at, row);
            Ok(())
        })?;
        let scored = &input.frame.times[options.train_rows..];
        let spans: Vec<_> = scored.chunks_exact(5).collect();
        let quiet = spans.iter().filter(|span| {
            let (from, to) = (span[0], span[span.len() - 1]);
            !outcome
                .incidents
                .iter()
                .any(|i| i.started <= to && i.ended.is_none_or(|end| end >= from))
        });
        let specificity = quiet.count() as f64 / spans.len().max(1) as f64;
        let summary = crate::backtest::score::summarize(&input, &options, &outcome, &ledger);
        Ok((
            specificity,
            summary.raw_alerts_per_series_per_day,
            outcome.incidents.len(),
        ))
    }

    /// The rows as `metrics.csv` would hold them.
    fn input<'a>(&'a self, rows: impl Iterator<Item = (i64, &'a Cells)>, name: &str) -> Result<Input> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let bad = |error: ::csv::Error| Error::Input {
            place: name.to_owned(),
            message: error.to_string(),
        };
        let header = std::iter::once("timestamp").chain(self.columns.iter().map(String::as_str));
        writer.write_record(header).map_err(bad)?;
        for (at, cells) in rows {
            let at = at.to_string();
            let values = self
                .columns
                .iter()
                .map(|column| cells.get(column).map_or("", String::as_str));
            writer
                .write_record(std::iter::once(at.as_str()).chain(values))
                .map_err(bad)?;
        }
        let text = writer.into_inner().expect("writing to memory does not fail");
        let frame = csv::read_metrics(Cursor::new(text), name)?;
        Ok(Input {
            frame,
            edges: self.edges.clone(),
            ..Input::default()
        })
    }
}

/// Rows of a CSV file by column name; columns not yet in `columns` are added.
fn rows(data: &Data, place: &str, columns: &mut Vec<String>) -> Result<Vec<Cells>> {
    let text = data.text(place)?;
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let bad = |error: ::csv::Error| Error::Input {
        place: place.to_owned(),
        message: error.to_string(),
    };
    let header = reader.headers().map_err(bad)?.clone();
    for name in &header {
        if !columns.iter().any(|known| known == name) {
            columns.push(name.to_owned());
        }
    }
    let records = reader.records().map(|record| {
        let record = record.map_err(bad)?;
        Ok(header
            .iter()
            .map(str::to_owned)
            .zip(record.iter().map(str::to_owned))
            .collect())
    });
    records.collect()
}

fn instant(cells: &Cells, place: &str) -> Result<i64> {
    let text = cells.get("timestamp").map(String::as_str).unwrap_or_default();
    text.parse().map_err(|_| Error::Input {
        place: place.to_owned(),
        message: format!("timestamp {text:?} is not epoch seconds"),
    })
}
