//! `halo backtest` over a simulated recording on disk: what it writes, twice the same, and what it refuses.

use server::backtest::{BacktestArgs, Mode, run};
use sim::{Fault, FaultKind, World, WorldConfig};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use wire::{EntityId, Timestamp};

const MINUTE: i64 = 60_000;
const HISTORY_ROWS: i64 = 1440;

fn onset(rows_after_history: i64) -> Timestamp {
    WorldConfig::default().start + (HISTORY_ROWS + rows_after_history) * MINUTE
}

/// Writes a recording with one fault of `rows` rows at its very end into `dir`; returns the cause.
fn record(dir: &Path, rows: i64) -> EntityId {
    let calm = World::new(4, WorldConfig::default());
    let cause = calm.edges().last().expect("has edges").callee.clone();
    let fault = Fault {
        kind: FaultKind::Latency { factor: 8.0 },
        cause: cause.clone(),
        onset: onset(30),
        duration_ms: rows * MINUTE,
    };
    let config = WorldConfig {
        faults: vec![fault],
        ..WorldConfig::default()
    };
    let world = World::new(4, config);
    let mut metrics = String::from("timestamp");
    for name in world.series() {
        write!(metrics, ",{}|{}|{}", name.entity, name.metric, name.statistic).unwrap();
    }
    for row in world.rows().take((HISTORY_ROWS + 30 + rows) as usize) {
        write!(metrics, "\n{}", row.at.as_millis() / 1000).unwrap();
        for value in row.values {
            write!(metrics, ",{value}").unwrap();
        }
    }
    std::fs::write(dir.join("metrics.csv"), metrics + "\n").unwrap();
    let mut edges = String::from("caller,callee\n");
    for edge in world.edges() {
        writeln!(edges, "{},{}", edge.caller, edge.callee).unwrap();
    }
    std::fs::write(dir.join("edges.csv"), edges).unwrap();
    let (start, end) = (onset(30).as_millis() / 1000, onset(30 + rows - 1).as_millis() / 1000);
    std::fs::write(
        dir.join("labels.csv"),
        format!("start,end,cause\n{start},{end},{cause}\n"),
    )
    .unwrap();
    cause
}

fn args(dir: &Path, out: &Path, mode: Mode) -> BacktestArgs {
    BacktestArgs {
        dir: dir.to_owned(),
        out: out.to_owned(),
        train_until: Some(onset(0)),
        mode,
        false_alerts: 0.01,
    }
}

/// Every file by name.
fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn three_rows_of_fault_at_the_end_are_an_open_incident_with_the_right_cause() {
    let dir = tempfile::tempdir().unwrap();
    let cause = record(dir.path(), 3);
    let out = dir.path().join("out");
    run(&args(dir.path(), &out, Mode::Online)).unwrap();
    let lines = std::fs::read_to_string(out.join("incidents.jsonl")).unwrap();
    let incident: serde_json::Value = serde_json::from_str(lines.lines().last().expect("an incident")).unwrap();
    assert_eq!(incident["end"], serde_json::Value::Null, "{incident:#}");
    assert_eq!(incident["causes"][0]["entity"], cause.as_str(), "{incident:#}");
    let causes: Vec<&str> = incident["causes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|c| c["entity"].as_str())
        .collect();
    let mut distinct = causes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), causes.len(), "causes are distinct entities");
    assert!(causes.len() <= 10);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), 10);
    for mode in [Mode::Online, Mode::Batch] {
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        run(&args(dir.path(), &one, mode)).unwrap();
        run(&args(dir.path(), &two, mode)).unwrap();
        let names: Vec<String> = files(&one).into_keys().collect();
        assert_eq!(
            names,
            [
                "entities.csv.gz",
                "incidents.jsonl",
                "predictions.jsonl",
                "scores.csv.gz",
                "summary.json"
            ]
        );
        assert_eq!(files(&one), files(&two), "{mode:?}");
    }
}

#[test]
fn the_labels_change_nothing_but_the_summary() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), 10);
    let (with, without) = (dir.path().join("with"), dir.path().join("without"));
    run(&args(dir.path(), &with, Mode::Online)).unwrap();
    std::fs::remove_file(dir.path().join("labels.csv")).unwrap();
    run(&args(dir.path(), &without, Mode::Online)).unwrap();
    let (mut with, mut without) = (files(&with), files(&without));
    let (labelled, plain) = (with.remove("summary.json"), without.remove("summary.json"));
    assert_eq!(with, without);
    assert_ne!(labelled, plain);
}

#[test]
fn what_is_expected_is_no_incident() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), 10);
    let (start, end) = (onset(25).as_millis() / 1000, onset(50).as_millis() / 1000);
    let incidents = |expected: &str| {
        let out = dir.path().join("out");
        std::fs::write(dir.path().join("expected.csv"), expected).unwrap();
        run(&args(dir.path(), &out, Mode::Online)).unwrap();
        files(&out)["incidents.jsonl"]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    };
    assert!(incidents("start,end,entity,note\n") > 0);
    assert!(incidents(&format!("start,end,entity,note\n{start},{end},nobody,x\n")) > 0);
    assert_eq!(
        incidents(&format!("start,end,entity,note\n{start},{end},*,load test\n")),
        0
    );
}

#[test]
fn bad_input_names_file_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let check = |metrics: &str, words: &str| {
        std::fs::write(dir.path().join("metrics.csv"), metrics).unwrap();
        let mut args = args(dir.path(), &out, Mode::Online);
        args.train_until = Some(Timestamp::from_secs(1_000_000));
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    check("timestamp,a\n60,1\n120,x\n", "metrics.csv:3:2");
    check("timestamp,a\n", "metrics.csv:2:1");
    check(
        "timestamp,a\n60,1\n120,2\n",
        "--train-until: 1000000 is after the last row (120)",
    );
}
