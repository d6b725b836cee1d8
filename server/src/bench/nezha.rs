//! Nezha TrainTicket: 28 faults of a real application with a known cause, most of which only logs show. Yu et al., "Nezha:
//! Interpretable Fine-Grained Root Causes Analysis for Microservices on Multi-modal Observability Data", ESEC/FSE 2023.
//!
//! A case is fault-free history and then the window of the fault as it was: from a minute before it to three minutes after. History
//! of metrics is the part of the day under load and without a fault; of logs, which are there for short spans only, the one fault-free
//! minute and what was written before the faults of other services. Both are moved to end where the window begins. Nobody says that
//! there is a fault, or when: without an incident there is no hit.

use super::Data;
use crate::backtest::input::Stamp;
use crate::backtest::{Input, Mode, Options, replay};
use engine::detect::{DetectConfig, Effort, Models};
use engine::ingest::csv::{self, Calls, Frame, LogLines, edges_of};
use engine::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use wire::Timestamp;
use wire::topology::Edge;

const DIR: &str = "nezha-trainticket";
const MINUTE: i64 = 60;
/// The part of the day under load after the first two dozen faults, in epoch seconds.
const LOADED: std::ops::Range<i64> = 1_674_992_400..1_675_008_000;
/// A fault is over, and so is what it left, so many seconds after it began; so many before it nothing has begun.
const AFTER: i64 = 360;
const BEFORE: i64 = 120;
/// The window of a case around the beginning of its fault.
const WINDOW: std::ops::Range<i64> = -60..180;
/// The span before a fault that is fault-free.
const QUIET: std::ops::Range<i64> = -70..-15;

/// Columns of the metrics, and what they are called here.
const METRICS: [(&str, &str); 8] = [
    ("CpuUsageRate(%)", "cpu_percent"),
    ("MemoryUsageRate(%)", "memory_percent"),
    ("NetworkReceiveBytes", "network_receive_bytes"),
    ("NetworkTransmitBytes", "network_transmit_bytes"),
    ("PodClientLatencyP90(s)", "client_latency_seconds|p90"),
    ("PodServerLatencyP90(s)", "server_latency_seconds|p90"),
    ("PodWorkload(Ops)", "workload_ops"),
    ("PodSuccessRate(%)", "success_rate_percent"),
];

/// Outcome of one case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) fault: String,
    pub(super) service: String,
    /// Rank of the faulty service from 1 on among the causes of the incident with most members; `None` if it is not there.
    pub(super) rank: Option<usize>,
    pub(super) named: Option<String>,
    pub(super) incidents: usize,
}

struct Fault {
    name: String,
    at: i64,
    service: String,
    kind: String,
}

struct Line {
    at: f64,
    service: String,
    text: String,
    /// Of the one fault-free minute.
    normal: bool,
}

struct Scenario {
    faults: Vec<Fault>,
    /// Cells by minute and series.
    rows: BTreeMap<i64, BTreeMap<String, String>>,
    series: BTreeSet<String>,
    edges: Vec<Edge>,
    calls: Vec<Calls>,
    lines: Vec<Line>,
}

/// Runs the loop over every case.
pub(super) fn run(data: &Data, models: &Arc<Models>) -> Result<Vec<Case>> {
    let scenario = Scenario::load(data)?;
    scenario
        .faults
        .iter()
        .map(|fault| scenario.play(fault, models))
        .collect()
}

/// Calls `row` with the cells of each row by column name.
fn rows_of(text: &str, place: &str, mut row: impl FnMut(&BTreeMap<&str, &str>) -> Result<()>) -> Result<()> {
    let bad = |error: ::csv::Error| Error::Input {
        place: place.to_owned(),
        message: error.to_string(),
    };
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(bad)?.clone();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        row(&header.iter().zip(record.iter()).collect())?;
    }
    Ok(())
}

fn cell<'a>(cells: &BTreeMap<&str, &'a str>, name: &str, place: &str) -> Result<&'a str> {
    cells.get(name).copied().ok_or_else(|| Error::Input {
        place: place.to_owned(),
        message: format!("has no column {name}"),
    })
}

fn number<T: std::str::FromStr>(text: &str, place: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Input {
        place: place.to_owned(),
        message: format!("{text:?} is not a number"),
    })
}

/// `ts-food-service` of `ts-food-service-f5756978c-k8vqf`.
fn service_of(pod: &str) -> &str {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod)
}

impl Scenario {
    fn load(data: &Data) -> Result<Self> {
        let mut found = Self {
            faults: Vec::new(),
            rows: BTreeMap::new(),
            series: BTreeSet::new(),
            edges: Vec::new(),
            calls: Vec::new(),
            lines: Vec::new(),
        };
        found.load_faults(data)?;
        found.load_metrics(data)?;
        let place = format!("{DIR}/edges.csv");
        found.edges = csv::read_edges(data.text(&place)?.as_bytes(), &place)?;
        found.edges.push(Edge {
            caller: "frontend".into(),
            callee: "ts-gateway-service".into(),
        });
        let place = format!("{DIR}/edge_minutes.csv.gz");
        found.calls = csv::read_calls(data.text(&place)?.as_bytes(), &place)?;
        found.load_lines(data)?;
        Ok(found)
    }

    fn load_faults(&mut self, data: &Data) -> Result<()> {
        let place = format!("{DIR}/faults.csv");
        rows_of(&data.text(&place)?, &place, |cells| {
            self.faults.push(Fault {
                name: cell(cells, "case", &place)?.to_owned(),
                at: number(cell(cells, "timestamp", &place)?, &place)?,
                service: cell(cells, "service", &place)?.to_owned(),
                kind: cell(cells, "fault", &place)?.to_owned(),
            });
            Ok(())
        })
    }

    fn load_metrics(&mut self, data: &Data) -> Result<()> {
        let place = format!("{DIR}/metrics.csv.gz");
        rows_of(&data.text(&place)?, &place, |cells| {
            let at: i64 = number(cell(cells, "timestamp", &place)?, &place)?;
            let service = cell(cells, "service", &place)?;
            for (column, metric) in METRICS {
                self.keep(at, format!("{service}|{metric}"), cell(cells, column, &place)?);
            }
            Ok(())
        })?;
        let place = format!("{DIR}/front_service.csv.gz");
        rows_of(&data.text(&place)?, &place, |cells| {
            let at: i64 = number(cell(cells, "timestamp", &place)?, &place)?;
            let latency = cell(cells, "LatencyP90(s)", &place)?;
            self.keep(at, "frontend|latency_seconds|p90".to_owned(), latency);
            Ok(())
        })
    }

    fn keep(&mut self, at: i64, series: String, cell: &str) {
        if !cell.is_empty() {
            self.series.insert(series.clone());
            let row = self.rows.entry(at.div_euclid(MINUTE) * MINUTE).or_default();
            row.insert(series, cell.to_owned());
        }
    }

    fn load_lines(&mut self, data: &Data) -> Result<()> {
        let place = format!("{DIR}/logs.csv.zst");
        let mut text = String::new();
        let packed = data.bytes(&place)?;
        let bad = |message: String| Error::Input {
            place: place.clone(),
            message,
        };
        let mut reader =
            ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).map_err(|error| bad(error.to_string()))?;
        reader
            .read_to_string(&mut text)
            .map_err(|error| bad(error.to_string()))?;
        rows_of(&text, &place, |cells| {
            let nanos: f64 = number(cell(cells, "time_ns", &place)?, &place)?;
            // A few lines have no time.
            if nanos > 0.0 {
                self.lines.push(Line {
                    at: nanos / 1e9,
                    service: service_of(cell(cells, "pod", &place)?).to_owned(),
                    text: cell(cells, "message", &place)?.to_owned(),
                    normal: cell(cells, "phase", &place)? == "normal",
                });
            }
            Ok(())
        })
    }

    fn play(&self, fault: &Fault, models: &Arc<Models>) -> Result<Case> {
        let begins = (fault.at + WINDOW.start).div_euclid(MINUTE) * MINUTE;
        let (frame, train_rows) = self.frame(fault, begins)?;
        let calls: Vec<Calls> = self
            .calls
            .iter()
            .filter(|call| (begins..fault.at + WINDOW.end).contains(&(call.at.as_millis() / 1000)))
            .cloned()
            .collect();
        let mut input = Input {
            frame,
            edges: self.edges.clone(),
            logs: self.logs(fault, begins),
            stamp: Stamp::Seconds,
            ..Input::default()
        };
        input.frame.add_calls(&calls);
        input.edges.extend(edges_of(&calls));
        let options = Options {
            train_rows,
            mode: Mode::Online,
            effort: Effort::Full,
            detect: DetectConfig::default(),
        };
        let outcome = replay(&input, &options, Arc::clone(models), &mut |_, _| Ok(()))?;
        let incident = outcome.incidents.iter().max_by_key(|incident| incident.members.len());
        let causes = incident.map(|incident| incident.causes.as_slice()).unwrap_or_default();
        Ok(Case {
            name: fault.name.clone(),
            fault: fault.kind.clone(),
            service: fault.service.clone(),
            rank: causes
                .iter()
                .position(|cause| cause.entity.as_str() == fault.service)
                .map(|place| place + 1),
            named: causes.first().map(|cause| cause.entity.to_string()),
            incidents: outcome.incidents.len(),
        })
    }

    /// The metrics of a case, and how many rows of them are history.
    fn frame(&self, fault: &Fault, begins: i64) -> Result<(Frame, usize)> {
        let is_clean = |at: i64| {
            let near = |other: &Fault| (other.at - BEFORE..other.at + AFTER).contains(&at);
            LOADED.contains(&at) && !self.faults.iter().any(near)
        };
        let history: Vec<_> = self.rows.iter().filter(|(at, _)| is_clean(**at)).collect();
        let window = self.rows.range(begins..fault.at + WINDOW.end);
        let count = history.len();
        let moved = (0..).zip(&history).map(|(i, (_, cells))| {
            let back = (count as i64 - i) * MINUTE;
            (begins - back, *cells)
        });
        let mut text = format!(
            "timestamp,{}\n",
            self.series.iter().cloned().collect::<Vec<_>>().join(",")
        );
        for (at, cells) in moved.chain(window.map(|(at, cells)| (*at, cells))) {
            let cells = self
                .series
                .iter()
                .map(|name| cells.get(name).map_or("", String::as_str));
            text.push_str(&format!("{at},{}\n", cells.collect::<Vec<_>>().join(",")));
        }
        Ok((csv::read_metrics(text.as_bytes(), &fault.name)?, count))
    }

    fn logs(&self, fault: &Fault, begins: i64) -> LogLines {
        let mut logs = LogLines::default();
        let mut add = |line: &Line, at: f64| {
            logs.push(Timestamp((at * 1000.0).round() as i64), &line.service, &line.text);
        };
        let last = self.lines.iter().filter(|line| line.normal).map(|line| line.at);
        let last = last.fold(f64::NEG_INFINITY, f64::max);
        for line in self.lines.iter().filter(|line| line.normal) {
            add(line, begins as f64 - 1.0 - (last - line.at));
        }
        let others = self.faults.iter().filter(|other| other.service != fault.service);
        for (minutes, other) in (3..).zip(others) {
            let quiet = (other.at + QUIET.start) as f64..(other.at + QUIET.end) as f64;
            for line in self.lines.iter().filter(|line| quiet.contains(&line.at)) {
                add(line, line.at - other.at as f64 + (begins - minutes * MINUTE) as f64);
            }
        }
        let window = begins as f64..(fault.at + WINDOW.end) as f64;
        for line in self.lines.iter().filter(|line| window.contains(&line.at)) {
            add(line, line.at);
        }
        logs.sort();
        logs
    }
}
