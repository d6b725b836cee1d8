//! `halo bench`: the figures that are promised, measured on this machine. `cargo xtask bench` calls it.

mod baselines;
mod correlate;
mod device;
mod forecast;
mod history;
mod ingest;
mod load;
mod logs;
mod machines;
mod members;
mod nab;
mod nezha;
mod payload;
mod petshop;
mod process;
mod rules;
mod server;
mod simulated;
mod speed;
mod storms;

pub(crate) use simulated::alerts_of_known_truth;

use engine::detect::Models;
use engine::{Error, Result};
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `halo bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// What to measure; everything but `ingest`, `storms` and `rules` if absent.
    #[arg(value_enum)]
    pub name: Option<Bench>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Directory with the public data sets (petshop/, nab/, ...).
    #[arg(long, env = "HALO_DATA", default_value = "../shared/data")]
    pub data: PathBuf,
    /// Runs per figure; the median counts.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    #[command(flatten)]
    pub ingest: ingest::IngestArgs,
    #[command(flatten)]
    pub storms: storms::StormArgs,
}

/// Something that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bench {
    /// Samples a second by remote write over HTTP, with the log on.
    Http,
    /// The same beside a peer, at a number of series: latency, memory and cores, too; `cargo xtask bench` starts the peer.
    Ingest,
    /// Nanoseconds a sample: decode, admit, detect.
    HotPath,
    /// Nanoseconds a sample of the decomposition, and learning a month at once.
    Decomposition,
    /// Rows a second of the isolation forest.
    Forest,
    /// Windows a second of the autoencoder, and steps a second of its training.
    Autoencoder,
    /// Bytes a sample that history takes on disk, and reading a day of it.
    History,
    /// From the start of the process to a console that can be used.
    Start,
    /// Forecasts of real series, and how fast they are.
    Forecast,
    /// Root causes of the Nezha faults, most of which only logs show.
    Nezha,
    /// Root causes of the PetShop faults.
    Petshop,
    /// The Numenta anomaly benchmark.
    Nab,
    /// The Server Machine Dataset.
    Smd,
    /// JumpStarter's online services.
    Jumpstarter,
    /// Templates of log lines: how many a second, and how well they are grouped.
    Logs,
    /// Simulated worlds, clean and faulty.
    Simulated,
    /// Milliseconds of correlation while 10,000 metrics of 1,000 services stray.
    Correlate,
    /// Simulated estates of 20 to 500 services in which several things fail at once.
    Storms,
    /// A day of a simulated estate that is watched by 3,400 static rules.
    Rules,
    /// Everything about detection: simulated, nab, smd, jumpstarter.
    Detect,
}

const ALL: [Bench; 16] = [
    Bench::Http,
    Bench::HotPath,
    Bench::Decomposition,
    Bench::Forest,
    Bench::Autoencoder,
    Bench::History,
    Bench::Start,
    Bench::Forecast,
    Bench::Correlate,
    Bench::Logs,
    Bench::Nezha,
    Bench::Petshop,
    Bench::Nab,
    Bench::Smd,
    Bench::Jumpstarter,
    Bench::Simulated,
];

/// What `detect` stands for.
const DETECT: [Bench; 4] = [Bench::Simulated, Bench::Nab, Bench::Smd, Bench::Jumpstarter];

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub figure: String,
    pub value: f64,
    pub unit: String,
    pub higher_is_better: bool,
    /// Who else has done it, and how well.
    pub peer: Option<String>,
    pub peer_value: Option<f64>,
    /// `value / peer_value`.
    pub ratio: Option<f64>,
    /// The bar to reach.
    pub goal: Option<f64>,
}

impl Figure {
    fn new(figure: impl Into<String>, value: f64, unit: &str, higher_is_better: bool) -> Self {
        Self {
            figure: figure.into(),
            value,
            unit: unit.to_owned(),
            higher_is_better,
            peer: None,
            peer_value: None,
            ratio: None,
            goal: None,
        }
    }

    fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    fn peer(mut self, peer: &str, value: f64) -> Self {
        self.peer = Some(peer.to_owned());
        self.peer_value = Some(value);
        self.ratio = Some(self.value / value);
        self
    }

    fn table_line(&self) -> String {
        let number = |value: Option<f64>| match value {
            None => "-".to_owned(),
            Some(v) if v.abs() >= 1000.0 => format!("{v:.0}"),
            Some(v) => format!("{v:.3}"),
        };
        let reached = match self.goal {
            Some(goal) if self.higher_is_better && self.value >= goal => "reached",
            Some(goal) if !self.higher_is_better && self.value <= goal => "reached",
            Some(_) => "short",
            None => "",
        };
        format!(
            "{:<58} {:>12} {:<24} {:>10} {:<8} {}",
            self.figure,
            number(Some(self.value)),
            self.unit,
            number(self.goal),
            reached,
            self.peer
                .as_deref()
                .map_or(String::new(), |peer| format!("{peer}: {}", number(self.peer_value)))
        )
    }
}

/// What was measured, and what a person should know about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub figures: Vec<Figure>,
    /// One line each: what was skipped and why, and the single cases behind a figure.
    pub notes: Vec<String>,
}

impl From<Vec<Figure>> for Report {
    fn from(figures: Vec<Figure>) -> Self {
        Self {
            figures,
            notes: Vec::new(),
        }
    }
}

impl Report {
    fn and(mut self, other: Self) -> Self {
        self.figures.extend(other.figures);
        self.notes.extend(other.notes);
        self
    }

    /// The figures, one JSON object a line.
    pub fn json_lines(&self) -> String {
        let lines = self.figures.iter().map(serde_json::to_string);
        lines
            .map(|line| line.expect("plain data has a JSON form") + "\n")
            .collect()
    }

    /// Figures and notes as a table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<58} {:>12} {:<24} {:>10} {:<8} {}\n",
            "figure", "value", "unit", "goal", "", "peer"
        );
        for line in self
            .figures
            .iter()
            .map(Figure::table_line)
            .chain(self.notes.iter().cloned())
        {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Measures what `args` name.
///
/// # Errors
/// If a data set is there but cannot be read, the engine does not start, or options are given that do not belong to `args.name`.
pub fn run(args: &BenchArgs) -> Result<Report> {
    if args.name != Some(Bench::Ingest) {
        args.ingest.must_be_absent()?;
    }
    if args.name != Some(Bench::Storms) {
        args.storms.must_be_absent()?;
    }
    let data = Data {
        root: args.data.clone(),
    };
    let mut report = Report::default();
    let benches = match args.name {
        None => ALL.to_vec(),
        Some(Bench::Detect) => DETECT.to_vec(),
        Some(name) => vec![name],
    };
    for bench in benches {
        let one = measure(bench, &data, args)?;
        report = report.and(one);
    }
    Ok(report)
}

fn measure(bench: Bench, data: &Data, args: &BenchArgs) -> Result<Report> {
    let runs = args.runs.max(1);
    match bench {
        Bench::Http => Ok(speed::http(runs)?.into()),
        Bench::Ingest => ingest::figures(&args.ingest, runs),
        Bench::HotPath => Ok(speed::hot_path(runs)?.into()),
        Bench::Decomposition => Ok(members::decomposition(runs).into()),
        Bench::Forest => Ok(Report::from(members::forest(runs)?).and(device::forest(runs)?)),
        Bench::Autoencoder => Ok(Report::from(members::autoencoder(runs)?).and(device::autoencoder(runs)?)),
        Bench::History => history::figures(data, runs),
        Bench::Start => Ok(speed::start(runs)?.into()),
        Bench::Detect => unreachable!("it has been replaced by what it stands for"),
        Bench::Simulated => simulated::report(&Arc::new(Models::bundled()?)),
        Bench::Correlate => Ok(correlate::figures(runs)),
        Bench::Storms => Ok(storms::report(&Arc::new(Models::bundled()?), args.storms)),
        Bench::Rules => Ok(rules::report(&Arc::new(Models::bundled()?))),
        Bench::Logs if !data.has("loghub2k/index.json") => Ok(data.missing("loghub2k")),
        Bench::Logs => logs::figures(data, runs),
        Bench::Forecast if !data.has("nab/index.json") || !data.has("jumpstarter/index.json") => {
            Ok(Report::from(forecast::speed(runs)).and(data.missing("nab or jumpstarter")))
        }
        Bench::Forecast => Ok(Report::from(forecast::speed(runs)).and(forecast::accuracy(data)?)),
        Bench::Nezha if !data.has("nezha-trainticket/faults.csv") => Ok(data.missing("nezha-trainticket")),
        Bench::Nezha => Ok(nezha_figures(&nezha::run(data, &Arc::new(Models::bundled()?))?)),
        Bench::Petshop if !data.has("petshop/high_traffic/cases.json") => Ok(data.missing("petshop")),
        Bench::Nab if !data.has("nab/index.json") => Ok(data.missing("nab")),
        Bench::Petshop => Ok(petshop_figures(&petshop::run(data, &Arc::new(Models::bundled()?))?)),
        Bench::Smd if !data.has("smd/index.json") => Ok(data.missing("smd")),
        Bench::Jumpstarter if !data.has("jumpstarter/index.json") => Ok(data.missing("jumpstarter")),
        Bench::Smd => Ok(machines::figures(data, "smd", "SMD")?.into()),
        Bench::Jumpstarter => Ok(machines::figures(data, "jumpstarter", "JumpStarter")?.into()),
        Bench::Nab => Ok(nab_figures(&nab::run(data, &Arc::new(Models::bundled()?))?).into()),
    }
}

fn petshop_figures(report: &petshop::Outcome) -> Report {
    const PEER: &str = "MAD traversal (published)";
    let mut figures = Vec::new();
    for (metric, k, peer, goal) in [
        ("latency", 1, 0.571, 0.8),
        ("latency", 3, 0.786, 0.95),
        ("availability", 1, 0.667, 0.8),
        ("availability", 3, 1.0, 0.95),
    ] {
        let (cases, share) = report.top(k, Some(metric));
        let figure = Figure::new(
            format!("PetShop {metric}, top {k} of {cases} cases"),
            share,
            "share",
            true,
        );
        figures.push(figure.goal(goal).peer(PEER, peer));
    }
    for (cause, (cases, share)) in report.top_by_cause(1) {
        figures.push(Figure::new(
            format!("PetShop top 1 of {cases}, {cause}"),
            share,
            "share",
            true,
        ));
    }
    figures.push(Figure::new("PetShop specificity on clean spans", report.specificity, "share", true).goal(1.0));
    let clean = report.clean_alerts_per_series_per_day;
    figures.push(Figure::new("PetShop clean, alerts", clean, "/series/day", false).goal(0.01));
    let cases = report.cases.iter().map(|case| {
        let rank = case.rank.map_or("-".to_owned(), |rank| rank.to_string());
        let named = case.named.as_deref().unwrap_or("no incident");
        format!(
            "  PetShop {} {}: cause {} has rank {rank}, first is {named}; {} incidents",
            case.name, case.target_metric, case.root_cause, case.incidents
        )
    });
    Report {
        notes: cases.collect(),
        figures,
    }
}

fn nezha_figures(cases: &[nezha::Case]) -> Report {
    const PEER: &str = "Nezha, told the windows (published)";
    let hits = |k: usize| {
        cases
            .iter()
            .filter(|case| case.rank.is_some_and(|rank| rank <= k))
            .count()
    };
    let figure = |(k, peer, goal)| {
        let share = hits(k) as f64 / cases.len().max(1) as f64;
        let figure = Figure::new(
            format!("Nezha TrainTicket AC@{k} of {} faults", cases.len()),
            share,
            "share",
            true,
        );
        figure.goal(goal).peer(PEER, peer)
    };
    let notes = cases.iter().map(|case| {
        let rank = case.rank.map_or("-".to_owned(), |rank| rank.to_string());
        let named = case.named.as_deref().unwrap_or("nobody");
        format!(
            "  {} {}: {} has rank {rank}, first is {named}; {} incidents",
            case.name, case.fault, case.service, case.incidents
        )
    });
    Report {
        notes: notes.collect(),
        figures: [(1, 0.867, 0.9), (3, 0.978, 0.98)].map(figure).into(),
    }
}

fn nab_figures(rows: &[nab::NabRow]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for row in rows {
        let name = row.detector;
        let halo = |goal: f64| (name == "halo").then_some(goal);
        // NAB ranks every detector at the one threshold for all files that suits it best; what is published is of all 58.
        for (profile, own, best, goal, htm) in [
            ("standard", row.decided_standard, row.best_standard, 75.0, 70.5),
            ("low FP", row.decided_low_fp, row.best_low_fp, 67.0, 62.6),
        ] {
            let score = |value, how: &str| {
                let figure = Figure::new(
                    format!("NAB half, {name}: score {profile}, {how}"),
                    value,
                    "0..100",
                    true,
                );
                Figure {
                    goal: halo(goal),
                    ..figure
                }
            };
            figures.extend(own.map(|own| score(own, "own decisions")));
            let best = score(best, "best threshold");
            let published = "Numenta HTM (published, all files)";
            figures.push(if name == "halo" {
                best.peer(published, htm)
            } else {
                best
            });
        }
        let mut add = |what: &str, value: Option<f64>, unit: &str, higher: bool, goal: Option<f64>| {
            if let Some(value) = value {
                let figure = Figure::new(format!("NAB half, {name}: {what}"), value, unit, higher);
                figures.push(Figure { goal, ..figure });
            }
        };
        add("VUS-PR mean", Some(row.vus_pr), "share", true, halo(0.5));
        add("AUC-PR mean", Some(row.auc_pr), "share", true, None);
        add("event precision", row.events.precision(), "share", true, None);
        add("event recall", row.events.recall(), "share", true, None);
        add("event F1", row.events.f1(), "share", true, None);
        let false_alerts = row.false_alerts_per_series_per_day;
        add("false alerts", Some(false_alerts), "/series/day", false, halo(0.01));
    }
    figures
}

/// Middle value of `values`; NaN if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The folder of public data sets.
#[derive(Clone, Debug)]
pub struct Data {
    root: PathBuf,
}

impl Data {
    fn has(&self, place: &str) -> bool {
        self.root.join(place).is_file()
    }

    fn missing(&self, name: &str) -> Report {
        let why = format!(
            "skipped {name}: it is not in {}; set HALO_DATA or --data",
            self.root.display()
        );
        Report {
            notes: vec![why],
            ..Report::default()
        }
    }

    fn bytes(&self, place: &str) -> Result<Vec<u8>> {
        let path = self.root.join(place);
        std::fs::read(&path).map_err(|error| Error::io("cannot read", path, error))
    }

    /// A file as text, unpacked if its name ends in `.gz`.
    fn text(&self, place: &str) -> Result<String> {
        let path = self.root.join(place);
        let bytes = self.bytes(place)?;
        let mut text = String::new();
        let done = if place.ends_with(".gz") {
            MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text)
        } else {
            bytes.as_slice().read_to_string(&mut text)
        };
        done.map_err(|error| Error::io("cannot read", path, error))?;
        Ok(text)
    }

    fn json<T: DeserializeOwned>(&self, place: &str) -> Result<T> {
        serde_json::from_str(&self.text(place)?).map_err(|error| Error::Input {
            place: format!("{place}:{}:{}", error.line(), error.column()),
            message: error.to_string(),
        })
    }
}
