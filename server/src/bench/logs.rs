//! Log templates: lines a second, and how well they are grouped.
//!
//! Loghub's samples of 2,000 lines (Zhu et al., "Loghub: A Large Collection of System Log Datasets for AI-driven Log Analytics",
//! ISSRE 2023), with the masks that every program gets; what is published of Drain has masks made by hand for each.

use super::{Data, Figure, Report, median};
use engine::features::{TemplateConfig, TemplateId, Templates};
use engine::{Error, Result};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

/// A system, and what is published of Drain on it.
const SYSTEMS: [(&str, f64); 8] = [
    ("Android", 0.911),
    ("Apache", 1.0),
    ("HDFS", 0.9975),
    ("Hadoop", 0.9475),
    ("Linux", 0.69),
    ("OpenSSH", 0.7875),
    ("Proxifier", 0.5265),
    ("Zookeeper", 0.9665),
];

/// Lines that are timed at once.
const LINES: usize = 500_000;

struct System {
    lines: Vec<String>,
    events: Vec<String>,
}

pub(super) fn figures(data: &Data, runs: usize) -> Result<Report> {
    let mut report = Report::default();
    let mut lines = Vec::new();
    let (mut own, mut drain) = (0.0, 0.0);
    for (name, published) in SYSTEMS {
        let system = load(data, &format!("loghub2k/{name}.csv.gz"))?;
        let accuracy = grouping_accuracy(&system);
        report.notes.push(format!(
            "  {name}: grouping accuracy {accuracy:.4}, Drain {published:.4}"
        ));
        own += accuracy / SYSTEMS.len() as f64;
        drain += published / SYSTEMS.len() as f64;
        lines.extend(system.lines);
    }
    let accuracy = Figure::new(
        "log templates, grouping accuracy, mean of 8 systems",
        own,
        "share",
        true,
    );
    report.figures = vec![accuracy.goal(0.9).peer("Drain, masks by hand (published)", drain)];
    report.figures.extend(speed(&lines, runs));
    Ok(report)
}

/// Lines a second on one thread, from nothing learnt and from all.
fn speed(lines: &[String], runs: usize) -> Vec<Figure> {
    let lines = || lines.iter().cycle().take(LINES);
    let (mut learning, mut matching) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut templates = Templates::new(TemplateConfig::default());
        let begun = Instant::now();
        for line in lines() {
            black_box(templates.learn(line));
        }
        learning.push(LINES as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for line in lines() {
            black_box(templates.match_only(line));
        }
        matching.push(LINES as f64 / begun.elapsed().as_secs_f64());
    }
    let figure = |name: &str, rates| Figure::new(name, median(rates), "lines/s/core", true);
    let learning = figure("log templates, learning online", learning);
    let matching = figure("log templates, matching", matching);
    vec![
        learning.goal(2_000_000.0).peer("drain3 crate", 1_060_000.0),
        matching.peer("drain3 crate", 1_930_000.0),
    ]
}

/// Share of lines whose group is exactly the group of their event.
fn grouping_accuracy(system: &System) -> f64 {
    let mut templates = Templates::new(TemplateConfig::default());
    let found: Vec<TemplateId> = system.lines.iter().map(|line| templates.learn(line)).collect();
    let mut of_event: BTreeMap<&str, usize> = BTreeMap::new();
    let mut of_both: BTreeMap<(&str, TemplateId), u64> = BTreeMap::new();
    for (event, id) in system.events.iter().zip(found) {
        *of_event.entry(event).or_default() += 1;
        *of_both.entry((event, templates.resolve(id))).or_default() += 1;
    }
    let is_right = |((event, id), count): &(&(&str, TemplateId), &u64)| {
        of_event.get(event).is_some_and(|all| *all as u64 == **count) && templates.count(*id) == **count
    };
    let right: u64 = of_both.iter().filter(is_right).map(|(_, count)| count).sum();
    right as f64 / system.lines.len().max(1) as f64
}

fn load(data: &Data, place: &str) -> Result<System> {
    let bad = |error: csv::Error| Error::Input {
        place: place.to_owned(),
        message: error.to_string(),
    };
    let text = data.text(place)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(bad)?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|own| own == name);
        found.ok_or_else(|| Error::Input {
            place: place.to_owned(),
            message: format!("has no column {name}"),
        })
    };
    let (content, event) = (column("content")?, column("event_id")?);
    let mut system = System {
        lines: Vec::new(),
        events: Vec::new(),
    };
    for record in reader.records() {
        let record = record.map_err(bad)?;
        system.lines.push(record[content].to_owned());
        system.events.push(record[event].to_owned());
    }
    Ok(system)
}
