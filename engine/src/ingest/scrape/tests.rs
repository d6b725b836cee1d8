//! The text formats against another implementation (`tests/oracle.py`), and targets scrape by scrape.

use super::discover::Lists;
use super::exposition::{Exposition, Format, Point, parse};
use super::target::{Scrape, Scraped, TargetState};
use super::*;
use crate::ingest::RejectReason;
use crate::ingest::prometheus::Limits;
use crate::ingest::registry::Registry;
use crate::series::{Metadata, MetricType, SeriesInfo};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{SeriesId, Timestamp};

#[derive(Deserialize)]
struct Golden {
    format: String,
    text: String,
    points: Vec<Expected>,
    starts: Vec<Start>,
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
    at: Option<i64>,
    exemplar: Option<ExpectedExemplar>,
}

#[derive(Deserialize)]
struct ExpectedExemplar {
    labels: BTreeMap<String, String>,
    value: f64,
    at: Option<i64>,
}

#[derive(Deserialize)]
struct Start {
    family: String,
    labels: BTreeMap<String, String>,
    start: i64,
}

fn golden() -> Vec<(Format, Golden)> {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("tests/golden.json")).unwrap();
    let format = |name: &str| match name {
        "text" => Format::Text,
        _ => Format::OpenMetrics,
    };
    cases.into_iter().map(|case| (format(&case.format), case)).collect()
}

fn sorted(labels: &[(String, String)]) -> BTreeMap<String, String> {
    labels.iter().cloned().collect()
}

#[test]
fn texts_hold_what_another_implementation_reads() {
    for (format, case) in golden() {
        let found = parse(&case.text, format, 1000).unwrap();
        assert_eq!(found.points.len(), case.points.len());
        for expected in &case.points {
            let point = found
                .points
                .iter()
                .find(|point| point.name == expected.name && sorted(&point.labels) == expected.labels)
                .unwrap_or_else(|| panic!("{} {:?} is missing", expected.name, expected.labels));
            let value: f64 = expected.value.parse().unwrap();
            assert!(point.value.to_bits() == value.to_bits() || (point.value.is_nan() && value.is_nan()));
            assert_eq!(point.at.map(|at| at.0), expected.at, "{}", expected.name);
            assert_eq!(
                point.exemplar.is_some(),
                expected.exemplar.is_some(),
                "{}",
                expected.name
            );
            if let (Some(ours), Some(theirs)) = (&point.exemplar, &expected.exemplar) {
                assert_eq!(sorted(&ours.labels), theirs.labels);
                assert!((ours.value - theirs.value).abs() < 1e-12);
                assert_eq!(ours.at.map(|at| at.0), theirs.at);
            }
        }
        let is_of = |point: &Point, start: &Start| {
            let rest = point.name.strip_prefix(&start.family);
            let own = point
                .labels
                .iter()
                .filter(|(name, _)| name != "le" && name != "quantile");
            rest.is_some_and(|rest| ["_total", "_bucket", "_sum", "_count", ""].contains(&rest))
                && own.cloned().collect::<BTreeMap<_, _>>() == start.labels
        };
        for point in &found.points {
            let expected = case
                .starts
                .iter()
                .find(|start| is_of(point, start))
                .map(|start| start.start);
            assert_eq!(point.start.map(|at| at.0), expected, "{}", point.name);
        }
    }
}

#[test]
fn types_have_the_names_of_series() {
    let [_, (format, openmetrics), ..] = &golden()[..] else {
        panic!("there are four")
    };
    let found = parse(&openmetrics.text, *format, 1000).unwrap();
    let expected = [
        (
            "acme_http_router_request_seconds",
            MetricType::Summary,
            "Latency though all of ACME's HTTP request router.",
            "seconds",
        ),
        ("build_info", MetricType::Info, "", ""),
        ("foo", MetricType::Histogram, "", ""),
        ("go_goroutines", MetricType::Gauge, "", ""),
        ("process_cpu_seconds_total", MetricType::Counter, "", "seconds"),
    ];
    let expected = expected.map(|(name, kind, help, unit)| (name.to_owned(), Metadata::new(kind, help, unit)));
    assert_eq!(found.types, expected.into());
}

#[test]
fn help_is_read_without_its_escapes_and_units_only_where_the_format_has_them() {
    let text = "# HELP  a  Two\\nlines, a \\\\ and a \\d.\n# TYPE a gauge\n# UNIT a bytes\na 1\n# HELP b\n# HELP\n";
    let of = |text: &str, format| parse(text, format, 10).unwrap().types["a"].clone();
    let help = "Two\nlines, a \\ and a \\d.";
    assert_eq!(of(text, Format::Text), Metadata::new(MetricType::Gauge, help, ""));
    let text = format!("{text}# EOF\n");
    assert_eq!(
        of(&text, Format::OpenMetrics),
        Metadata::new(MetricType::Gauge, help, "bytes")
    );
}

#[test]
fn what_makes_no_sense_is_named_by_its_line() {
    let text = |text: &str| parse(text, Format::Text, 3).unwrap_err().to_string();
    let cases = [
        ("a 1\nb", "line 2: a value is missing"),
        ("a{b=\"c\" 1", "line 1: labels are not separated by a comma"),
        ("a{b=\"c} 1", "line 1: the value of a label does not end"),
        ("a{b=\"1\",b=\"2\"} 1", "line 1: a label is there twice"),
        (
            "1a 1",
            "line 1: a name is missing, or has a character that no name may have",
        ),
        ("a one", "line 1: a value is no number"),
        ("a 1 2.5", "line 1: a time is no number of milliseconds"),
        (
            "a 1 2 3",
            "line 1: there is something behind the value that does not belong there",
        ),
        (
            "a 1\na 2\na 3\na 4",
            "line 4: there are more samples than max_samples allows",
        ),
    ];
    for (bad, problem) in cases {
        assert_eq!(text(bad), problem, "{bad}");
    }
    let openmetrics = |text: &str| parse(text, Format::OpenMetrics, 9).unwrap_err().problem;
    assert!(openmetrics("a 1\n").contains("a part of it is missing"));
    assert!(openmetrics("a 1\n# EOF\nb 1\n").contains("more after # EOF"));
}

fn config() -> ScrapeConfig {
    ScrapeConfig {
        job: "node".to_owned(),
        targets: vec!["web-1:9100".to_owned()],
        files: Vec::new(),
        interval_ms: 15_000,
        timeout_ms: 10_000,
        scheme: "http".to_owned(),
        metrics_path: "/metrics".to_owned(),
        labels: vec![("env".to_owned(), "prod".to_owned())],
        honor_labels: false,
        max_samples: 1000,
        max_body_bytes: 1 << 20,
        credentials: None,
    }
}

/// A target whose series stay known between scrapes, as in an engine.
struct Bench {
    state: TargetState,
    registry: Registry,
    known: BTreeMap<SeriesId, SeriesInfo>,
    now: i64,
}

impl Bench {
    fn new(honor_labels: bool) -> Self {
        Self {
            state: TargetState::new(
                Target::new(&config(), "web-1:9100", &[]),
                honor_labels,
                Limits::default(),
            ),
            registry: Registry::default(),
            known: BTreeMap::new(),
            now: 0,
        }
    }

    fn learn(&mut self, scraped: &Scraped) {
        for info in &scraped.metrics.batch.new_series {
            self.known.insert(info.id, info.clone());
            self.registry.add([Arc::new(info.clone())]);
        }
    }

    fn named(&self, id: SeriesId) -> String {
        let info = &self.known[&id];
        let labels = info.labels.iter().map(|(n, v)| format!("{n}={v}"));
        format!("{} {}", info.metric, labels.collect::<Vec<_>>().join(","))
    }

    /// Values by name and labels, and the names of what ended.
    fn scrape(&mut self, text: Option<&str>) -> (BTreeMap<String, f64>, Vec<String>) {
        self.now += 15_000;
        let exposition: Option<Exposition> = text.map(|text| parse(text, Format::Text, 100).unwrap());
        let scrape = Scrape {
            exposition: exposition.as_ref(),
            at: Timestamp(self.now),
            took_ms: 250,
        };
        let scraped = self.state.take(scrape, &self.registry);
        self.learn(&scraped);
        let batch = &scraped.metrics.batch;
        let values = batch.samples.iter().map(|s| (self.named(s.series), s.value)).collect();
        let ended = batch.stale.iter().map(|(id, _)| self.named(*id)).collect();
        (values, ended)
    }
}

#[test]
fn a_scrape_brings_its_series_and_those_about_itself() {
    let mut bench = Bench::new(false);
    let (values, ended) = bench.scrape(Some("load{cpu=\"0\"} 1.5\nbad NaN\n"));
    let own = "env=prod,instance=web-1:9100,job=node";
    let expected = [
        (format!("load cpu=0,{own}"), 1.5),
        (format!("up {own}"), 1.0),
        (format!("scrape_duration_seconds {own}"), 0.25),
        (format!("scrape_samples_scraped {own}"), 2.0),
        (format!("scrape_samples_post_metric_relabeling {own}"), 2.0),
        (format!("scrape_series_added {own}"), 2.0),
    ];
    assert_eq!(values, expected.into());
    assert!(ended.is_empty());
    let (values, _) = bench.scrape(Some("load{cpu=\"0\"} 1.5\nbad 1\n"));
    assert_eq!(
        values[&format!("scrape_series_added {own}")].to_bits(),
        0.0f64.to_bits()
    );
}

#[test]
fn what_is_no_longer_there_ends() {
    let mut bench = Bench::new(false);
    let own = "env=prod,instance=web-1:9100,job=node";
    // A line with a time of its own says itself when it is over.
    bench.scrape(Some("a 1\nb 1\nc 1 5000\n"));
    assert_eq!(bench.scrape(Some("a 2\n")).1, [format!("b {own}")]);
    let (values, ended) = bench.scrape(None);
    assert_eq!(ended, [format!("a {own}")]);
    assert_eq!(values[&format!("up {own}")].to_bits(), 0.0f64.to_bits());
    bench.scrape(Some("a 3\n"));
    let over = bench.state.end(Timestamp(99_000));
    let ended: Vec<_> = over
        .metrics
        .batch
        .stale
        .iter()
        .map(|(id, _)| bench.named(*id))
        .collect();
    assert_eq!(ended.len(), 6);
    assert!(ended.contains(&format!("a {own}")) && ended.contains(&format!("up {own}")));
}

#[test]
fn labels_that_collide_are_told_apart() {
    let text = "m{job=\"theirs\",exported_job=\"older\",env=\"\",x=\"\"} 1\n";
    let of = |honor: bool| {
        let (values, _) = Bench::new(honor).scrape(Some(text));
        values.into_keys().find(|name| name.starts_with("m ")).unwrap()
    };
    assert_eq!(
        of(false),
        "m env=prod,exported_exported_job=theirs,exported_job=older,instance=web-1:9100,job=node"
    );
    assert_eq!(of(true), "m exported_job=older,instance=web-1:9100,job=theirs");
}

#[test]
fn starts_and_exemplars_come_along() {
    let mut state = TargetState::new(Target::new(&config(), "a:1", &[]), false, Limits::default());
    let text = "# TYPE jobs counter\njobs_total 4 # {trace_id=\"t\"} 1.5\njobs_created 12.5\n# EOF\n";
    let exposition = parse(text, Format::OpenMetrics, 9).unwrap();
    let scrape = Scrape {
        exposition: Some(&exposition),
        at: Timestamp(60_000),
        took_ms: 1,
    };
    let scraped = state.take(scrape, &Registry::default());
    let started = &scraped.metrics.started;
    assert_eq!(
        (started.len(), started[0].start, started[0].sample.at),
        (1, Timestamp(12_500), Timestamp(60_000))
    );
    assert_eq!(
        (scraped.exemplars.len(), scraped.exemplars[0].at),
        (1, Timestamp(60_000))
    );
    assert!(
        scraped
            .metrics
            .batch
            .types
            .contains(&("jobs_total".to_owned(), MetricType::Counter.into()))
    );
}

#[test]
fn what_is_over_a_limit_costs_itself_alone_or_is_named() {
    let mut bench = Bench::new(false);
    let labels = |n: usize| (0..n).map(|i| format!("l{i}=\"v\"")).collect::<Vec<_>>().join(",");
    let limits = Limits::default();
    let long = "x".repeat(limits.max_label_value_bytes + 1);
    let text = format!(
        "fine 1\ncrowded{{{}}} 2\nlong{{a=\"{long}\"}} 3\n",
        labels(limits.max_labels + 1)
    );
    let scrape = Scrape {
        exposition: Some(&parse(&text, Format::Text, 100).unwrap()),
        at: Timestamp(15_000),
        took_ms: 250,
    };
    let scraped = bench.state.take(scrape, &bench.registry);
    bench.learn(&scraped);
    let batch = &scraped.metrics.batch;
    let names: Vec<String> = batch.samples.iter().map(|s| bench.named(s.series)).collect();
    assert!(names.iter().any(|name| name.starts_with("fine")), "{names:?}");
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("crowded") || name.starts_with("long"))
    );
    let refused: Vec<_> = batch.rejections.iter().map(|r| (r.reason, r.samples)).collect();
    assert_eq!(refused, [(RejectReason::BadLabels, 2)]);

    let refused = parse("a 1\nb 2\nc 3\n", Format::Text, 2).unwrap_err().to_string();
    assert_eq!(refused, "line 3: there are more samples than max_samples allows");
}

#[test]
fn lists_are_read_in_both_forms_and_a_bad_one_keeps_its_targets() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut config = config();
    config.files = vec![folder.path().join("list-*.json"), folder.path().join("more.yml")];
    let mut lists = Lists::default();
    let found = lists.read(&config);
    assert_eq!(
        (found.targets.len(), found.problems.len()),
        (1, 2),
        "{:?}",
        found.problems
    );
    write(
        "list-1.json",
        r#"[{"targets": ["b:1", "c:1"], "labels": {"zone": "z", "env": ""}}]"#,
    );
    write(
        "more.yml",
        "- targets: [d:1]\n  labels: {__metrics_path__: /stats, __scheme__: https, __meta_x: y}\n",
    );
    write("other.json", r#"[{"targets": ["never:1"]}]"#);
    let found = lists.read(&config);
    let urls = |found: &discover::Found| found.targets.iter().map(|t| t.url.clone()).collect::<Vec<_>>();
    let all = [
        "http://b:1/metrics",
        "http://c:1/metrics",
        "http://web-1:9100/metrics",
        "https://d:1/stats",
    ];
    assert_eq!(
        (urls(&found), found.problems.len()),
        (all.map(str::to_owned).to_vec(), 0)
    );
    let b = found.targets.iter().find(|t| t.url.contains("b:1")).unwrap();
    let labels = [("instance", "b:1"), ("job", "node"), ("zone", "z")];
    assert_eq!(b.labels, labels.map(|(n, v)| (n.to_owned(), v.to_owned())));
    write("list-1.json", "[{\"targets\": [\"b:1\"");
    let found = lists.read(&config);
    assert_eq!(
        (urls(&found), found.problems.len()),
        (all.map(str::to_owned).to_vec(), 1)
    );
    write("list-1.json", r#"[{"targets": ["http://b:1/x"]}]"#);
    assert!(lists.read(&config).problems[0].contains("host:9100"));
    write("list-1.json", "[]");
    assert_eq!(lists.read(&config).targets.len(), 2);
}

#[test]
fn targets_are_spread_over_the_interval() {
    let target = |n: u32| Target::new(&config(), &format!("web-{n}:9100"), &[]);
    let mut quarters = [0; 4];
    for n in 0..400 {
        let offset = target(n).offset_ms(15_000);
        assert_eq!(offset, target(n).offset_ms(15_000));
        quarters[offset as usize * 4 / 15_000] += 1;
    }
    assert!(quarters.iter().all(|&n| n > 60), "{quarters:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        let _ = parse(&text, Format::Text, 100);
        let _ = parse(&text, Format::OpenMetrics, 100);
    }

    /// Bytes that look like lines.
    #[test]
    fn what_is_written_is_read(
        value in any::<f64>(), label in "[a-z\\\\\"\n{}, =#]{0,12}", at in -1_000_000_000_000i64..4_000_000_000_000,
    ) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = format!("m{{l=\"{escaped}\"}} {value} {at}\n");
        let found = parse(&text, Format::Text, 1).unwrap();
        prop_assert_eq!(&found.points[0].labels, &vec![("l".to_owned(), label)]);
        prop_assert_eq!(found.points[0].at, Some(Timestamp(at)));
        prop_assert!(found.points[0].value.to_bits() == value.to_bits() || value.is_nan());
    }
}
