//! Accuracy of the ranking on PetShop, with robust z-scores in place of the detector; skipped where the data is absent.
//!
//! `cargo test -p engine --lib correlate::petshop -- --nocapture` prints the figures, per root cause too.

use super::{CorrelateConfig, Correlator, Observation};
use crate::detect::{Detection, Expected};
use crate::series::{Labels, info_from_labels};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Timestamp;
use wire::series::{SeriesInfo, Votes};
use wire::topology::Edge;

struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

struct Baseline {
    info: Arc<SeriesInfo>,
    median: f64,
    scale: f64,
    /// Deviations seen in history, ascending.
    history: Vec<f64>,
}

fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["../../shared", "../../../shared"]
        .iter()
        .map(|up| root.join(up).join("data/petshop/high_traffic"))
        .find(|dir| dir.is_dir())
}

fn read(dir: &Path, name: &str) -> Table {
    let mut text = String::new();
    let file = std::fs::File::open(dir.join(name)).expect("the data set is complete");
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Table {
        header: reader.headers().unwrap().iter().map(str::to_owned).collect(),
        rows: reader
            .records()
            .map(|r| r.unwrap().iter().map(str::to_owned).collect())
            .collect(),
    }
}

fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|v: &f64| v.is_finite())
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

fn baselines(table: &Table) -> BTreeMap<String, Baseline> {
    let mut found = BTreeMap::new();
    for (column, name) in table.header.iter().enumerate().skip(1) {
        let mut values: Vec<f64> = table.rows.iter().filter_map(|r| number(&r[column])).collect();
        if values.len() < 100 {
            continue;
        }
        values.sort_by(f64::total_cmp);
        let median = quantile(&values, 0.5);
        let mut off: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        off.sort_by(f64::total_cmp);
        let spread = (quantile(&values, 0.99) - quantile(&values, 0.01)) / 4.65;
        let scale = (1.4826 * quantile(&off, 0.5)).max(spread).max(1e-6);
        let mut parts = name.split('|');
        let (entity, metric) = (parts.next().unwrap(), parts.next().unwrap());
        let info = info_from_labels(&Labels::of(entity, metric, parts.next()));
        let info = SeriesInfo {
            step_ms: 300_000,
            ..info
        };
        found.insert(
            name.clone(),
            Baseline {
                info: Arc::new(info),
                median,
                scale,
                history: off.iter().map(|d| d / scale).collect(),
            },
        );
    }
    found
}

/// Empirical tail probability on a logarithmic scale, as a calibrated detector gives it.
fn detect(base: &Baseline, at: Timestamp, value: f64) -> Detection {
    let z = (value - base.median).abs() / base.scale;
    let n = base.history.len() as f64;
    let above = base.history.len() - base.history.partition_point(|h| *h < z);
    let most = base.history.last().copied().unwrap_or(0.0).max(1.0);
    let tail = (above as f64 + 1.0) / (n + 1.0) * (-(z / most - 1.0).max(0.0)).exp();
    let score = (-tail.log10() / 4.0).clamp(0.0, 1.0) as f32;
    Detection {
        series: base.info.id,
        at,
        value,
        expected: Some(Expected {
            mean: base.median,
            lower: base.median - 3.0 * base.scale,
            upper: base.median + 3.0 * base.scale,
            scale: base.scale,
        }),
        score,
        salience: 0.0,
        shift: 0.0,
        votes: Votes::default(),
        anomaly: score >= 0.8,
        signal: None,
        breach: None,
        quiet_at: None,
        confidence: 1.0,
    }
}

struct Outcome {
    target: String,
    root: String,
    rank: usize,
    incidents: usize,
    confidence: f32,
}

fn run(rows_after: usize) -> Option<Vec<Outcome>> {
    let dir = data()?;
    let base = baselines(&read(&dir, "noissue.csv.gz"));
    let issues = read(&dir, "issues.csv.gz");
    let edges = read(&dir, "edges.csv");
    let cases: serde_json::Value =
        serde_json::from_reader(std::fs::File::open(dir.join("cases.json")).unwrap()).unwrap();
    let mut outcomes = Vec::new();
    for case in cases.as_array().unwrap() {
        let (id, root) = (case["case"].as_str().unwrap(), case["root_cause"].as_str().unwrap());
        let mut correlator = Correlator::new(CorrelateConfig::default());
        for edge in &edges.rows {
            correlator.declare_edge(Edge {
                caller: edge[0].as_str().into(),
                callee: edge[1].as_str().into(),
            });
        }
        for base in base.values() {
            correlator.reports(&base.info.entity);
        }
        let source: Arc<str> = "replay".into();
        for row in issues.rows.iter().filter(|r| r[0] == id).take(rows_after) {
            let at = Timestamp::from_secs(row[1].parse().unwrap());
            for (column, name) in issues.header.iter().enumerate().skip(2) {
                let (Some(base), Some(value)) = (base.get(name), number(&row[column])) else {
                    continue;
                };
                let detection = detect(base, at, value);
                if detection.score >= 0.5 {
                    correlator.observe(&Observation {
                        info: Arc::clone(&base.info),
                        source: Arc::clone(&source),
                        detection,
                        has_samples: true,
                    });
                }
            }
            correlator.advance(at);
        }
        let main = correlator
            .incidents()
            .filter(|i| i.merged_into.is_none())
            .min_by_key(|i| (i.severity, std::cmp::Reverse(i.entities.len())));
        let rank = main
            .and_then(|i| i.causes.iter().position(|c| c.entity.as_str() == root))
            .map_or(99, |at| at + 1);
        if std::env::var_os("HALO_VERBOSE").is_some()
            && let Some(incident) = main
        {
            for i in correlator.incidents() {
                println!(
                    "   .. {:?} {:?} {} alerts {} members {} {:?}",
                    i.severity,
                    i.state,
                    i.title,
                    i.alerts,
                    i.members.len(),
                    i.started
                );
            }
            println!("== {id} {} root {root} rank {rank}", case["target"]["metric"]);
            println!(
                "   {:?} {} [{:.2}]",
                incident.severity, incident.title, incident.confidence
            );
            for cause in incident.causes.iter().take(4) {
                println!(
                    "   {:.2} {} {}: {}",
                    cause.score, cause.entity, cause.metric, cause.reason
                );
            }
            for claim in [
                &incident.story.cause,
                &incident.story.critical_failure,
                &incident.story.impact,
                &incident.story.counterfactual,
            ] {
                println!("   * {}", claim.text);
            }
            println!(
                "   path {:?}",
                incident.story.path.iter().map(|e| e.as_str()).collect::<Vec<_>>()
            );
        }
        outcomes.push(Outcome {
            target: case["target"]["metric"].as_str().unwrap().to_owned(),
            root: root.to_owned(),
            rank,
            incidents: correlator.incidents().filter(|i| i.merged_into.is_none()).count(),
            confidence: main.map_or(0.0, |i| i.confidence),
        });
    }
    Some(outcomes)
}

/// Share of outcomes with the root among the first `k`.
fn top(outcomes: &[&Outcome], k: usize) -> f64 {
    outcomes.iter().filter(|o| o.rank <= k).count() as f64 / outcomes.len() as f64
}

#[test]
fn the_root_is_ranked_first_or_nearly_so() {
    let mut floor = true;
    for rows in [5, 4, 3] {
        let Some(outcomes) = run(rows) else {
            println!("skipped: PetShop data is not here");
            return;
        };
        let of = |f: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|o| f(o)).collect::<Vec<_>>();
        for target in ["latency", "availability"] {
            let some = of(&|o| o.target == target);
            println!(
                "rows {rows} {target}: top-1 {:.3} top-3 {:.3} of {}",
                top(&some, 1),
                top(&some, 3),
                some.len()
            );
            floor &= rows < 5 || (top(&some, 1) >= 0.75 && top(&some, 3) >= 0.9);
        }
        if rows == 5 {
            let mut roots: Vec<&str> = outcomes.iter().map(|o| o.root.as_str()).collect();
            roots.sort_unstable();
            roots.dedup();
            for root in roots {
                let some = of(&|o| o.root == root);
                println!(
                    "  {root}: top-1 {:.3} top-3 {:.3} of {}",
                    top(&some, 1),
                    top(&some, 3),
                    some.len()
                );
            }
            let mean = |some: &[&Outcome]| {
                let sum: f64 = some.iter().map(|o| f64::from(o.confidence)).sum();
                (!some.is_empty()).then(|| sum / some.len() as f64)
            };
            println!(
                "  confidence {:.2?} when right, {:.2?} when wrong; incidents per fault {:.2}",
                mean(&of(&|o| o.rank == 1)),
                mean(&of(&|o| o.rank != 1)),
                outcomes.iter().map(|o| o.incidents).sum::<usize>() as f64 / outcomes.len() as f64
            );
        }
    }
    assert!(floor, "top-1 below 0.75 or top-3 below 0.9");
}
