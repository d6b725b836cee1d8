//! Answers against those of a real Prometheus (`tests/oracle.py`), and what only Halo does.

use super::eval::Value;
use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;

#[derive(Deserialize)]
struct Golden {
    series: Vec<Sent>,
    range: Range,
    answers: Vec<Asked>,
}

#[derive(Deserialize)]
struct Sent {
    labels: BTreeMap<String, String>,
    samples: Vec<(i64, String)>,
}

#[derive(Deserialize)]
struct Range {
    start: i64,
    end: i64,
    step: i64,
}

#[derive(Deserialize)]
struct Asked {
    query: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    at: Option<f64>,
    answer: Reply,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    status: String,
    error_type: Option<String>,
    data: Option<serde_json::Value>,
}

fn golden() -> Golden {
    let mut text = String::new();
    let bytes = include_bytes!("tests/golden.json.gz");
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn stored(golden: &Golden) -> Vec<FetchedSeries> {
    let series = golden.series.iter().map(|sent| FetchedSeries {
        labels: LabelSet::new(sent.labels.clone().into_iter().collect()),
        samples: sent
            .samples
            .iter()
            .map(|(at, value)| (*at, value.parse().unwrap()))
            .collect(),
        ends: Vec::new(),
    });
    let mut series: Vec<_> = series.collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

/// What an engine hands over.
fn fetch(query: &Query, steps: Steps, stored: &[FetchedSeries]) -> Result<Vec<Fetched>, QueryError> {
    let selectors = query.selectors(steps)?;
    let of = |selector: &Selector| {
        let meant = stored
            .iter()
            .filter(|series| selector.matches(|name| series.labels.get(name)));
        let cut = meant.map(|series| {
            let inside = |(at, _): &&(i64, f64)| *at > selector.from.0 && *at <= selector.to.0;
            FetchedSeries {
                samples: series.samples.iter().filter(inside).copied().collect(),
                ..series.clone()
            }
        });
        Fetched(cut.filter(|series| !series.samples.is_empty()).collect())
    };
    Ok(selectors.iter().map(of).collect())
}

fn ask(text: &str, steps: Steps, is_range: bool, stored: &[FetchedSeries]) -> Result<Answer, QueryError> {
    let query = Query::parse(text)?;
    let fetched = fetch(&query, steps, stored)?;
    if is_range {
        query.range(steps, &fetched, &|| false)
    } else {
        query.instant(steps.start, &fetched, &|| false)
    }
}

type Points = Vec<(i64, String)>;

/// An answer of Prometheus: its kind, and the values of each series; of a vector in order, as text.
fn theirs(data: &serde_json::Value) -> (String, Vec<(String, Points)>) {
    let point = |value: &serde_json::Value| {
        let at = (value[0].as_f64().unwrap() * 1000.0).round() as i64;
        (at, value[1].as_str().unwrap().to_owned())
    };
    let kind = data["resultType"].as_str().unwrap().to_owned();
    let result = data["result"].as_array().unwrap();
    let found = match kind.as_str() {
        "vector" | "matrix" => {
            let one = |series: &serde_json::Value| {
                let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone()).unwrap();
                let points = match series.get("values") {
                    Some(values) => values.as_array().unwrap().iter().map(point).collect(),
                    None => vec![point(&series["value"])],
                };
                (format!("{labels:?}"), points)
            };
            result.iter().map(one).collect()
        }
        _ => vec![(String::new(), vec![point(&data["result"])])],
    };
    (kind, found)
}

fn ours(answer: Answer, at: i64) -> (String, Vec<(String, Points)>) {
    let text = |value: f64| match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    };
    let named = |labels: &LabelSet| format!("{:?}", labels.iter().collect::<BTreeMap<_, _>>());
    match answer {
        Answer::Scalar(value) => ("scalar".to_owned(), vec![(String::new(), vec![(at, text(value))])]),
        Answer::Text(value) => ("string".to_owned(), vec![(String::new(), vec![(at, value)])]),
        Answer::Vector(vector) => {
            let of = vector
                .iter()
                .map(|(labels, value)| (named(labels), vec![(at, text(*value))]));
            ("vector".to_owned(), of.collect())
        }
        Answer::Matrix(matrix) => {
            let of = matrix.iter().map(|(labels, points)| {
                let points = points.iter().map(|(at, value)| (*at, text(*value)));
                (named(labels), points.collect())
            });
            ("matrix".to_owned(), of.collect())
        }
    }
}

/// The same text, or numbers that differ in nothing but the last digits of a transcendental function.
fn same(a: &[(i64, String)], b: &[(i64, String)], slack: f64) -> bool {
    let close = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        _ if a == b => true,
        (Ok(a), Ok(b)) => (a - b).abs() <= slack * a.abs().max(b.abs()),
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(&a.1, &b.1))
}

#[test]
fn every_answer_is_that_of_prometheus() {
    let golden = golden();
    let stored = stored(&golden);
    let mut failed = Vec::new();
    let mut compared = 0;
    for asked in &golden.answers {
        let query = &asked.query;
        // The library functions of Go and of the platform differ in the last digit.
        let transcendental = ["exp(", "ln(", "log2(", "log10(", "^", "atan2"];
        let slack = if transcendental.iter().any(|name| query.contains(name)) {
            1e-14
        } else {
            0.0
        };
        for case in &asked.cases {
            let (steps, is_range) = match case.at {
                Some(at) => (Steps::at(Timestamp((at * 1000.0) as i64)), false),
                None => {
                    let Range { start, end, step } = golden.range;
                    (
                        Steps::range(Timestamp(start * 1000), Timestamp(end * 1000), step * 1000).unwrap(),
                        true,
                    )
                }
            };
            let answer = ask(query, steps, is_range, &stored);
            compared += 1;
            let Some(data) = case.answer.data.as_ref().filter(|_| case.answer.status == "success") else {
                let kind = answer.as_ref().err().map(|error| match error {
                    QueryError::BadData(_) => "bad_data",
                    QueryError::Execution(_) => "execution",
                    QueryError::Timeout => "timeout",
                });
                if kind != case.answer.error_type.as_deref() {
                    failed.push(format!(
                        "{query} at {:?}: {answer:?}, they: {:?}",
                        case.at, case.answer.error_type
                    ));
                }
                continue;
            };
            let (kind, mut expected) = theirs(data);
            let (our_kind, mut found) = match answer {
                Ok(answer) => ours(answer, steps.start.0),
                Err(error) => {
                    failed.push(format!("{query} at {:?}: {error}", case.at));
                    continue;
                }
            };
            let ordered = ["sort", "topk", "bottomk"].iter().any(|name| query.starts_with(name));
            if !ordered || query.contains(" by ") {
                expected.sort();
                found.sort();
            }
            let is_same = kind == our_kind
                && expected.len() == found.len()
                && expected
                    .iter()
                    .zip(&found)
                    .all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1, slack));
            if !is_same {
                let first = expected.iter().zip(&found).find(|(a, b)| a != b);
                failed.push(format!("{query} at {:?}: {} {first:?}", case.at, found.len()));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {compared}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(compared > 900, "{compared}");
}

fn one(samples: &[(i64, f64)], ends: &[i64]) -> Vec<FetchedSeries> {
    vec![FetchedSeries {
        labels: LabelSet::new(vec![("__name__".to_owned(), "x".to_owned())]),
        samples: samples.to_vec(),
        ends: ends.to_vec(),
    }]
}

fn at(text: &str, at: i64, stored: &[FetchedSeries]) -> Vec<String> {
    match ask(text, Steps::at(Timestamp(at)), false, stored).unwrap() {
        Answer::Vector(vector) => vector.into_iter().map(|(_, value)| value.to_string()).collect(),
        other => panic!("a vector was asked for, not {other:?}"),
    }
}

/// As after a stale marker: it ends a series until the next sample.
#[test]
fn a_series_that_its_source_ended_is_not_looked_back_for() {
    let stored = one(&[(1_000, 1.0), (31_000, 2.0)], &[16_000]);
    assert_eq!(at("x", 15_999, &stored), ["1"]);
    assert_eq!(at("x", 16_000, &stored), [] as [&str; 0]);
    assert_eq!(at("x", 31_000, &stored), ["2"]);
    assert_eq!(at("x", 31_000 + LOOK_BACK_MS - 1, &stored), ["2"]);
    assert_eq!(at("x", 31_000 + LOOK_BACK_MS, &stored), [] as [&str; 0]);
}

#[test]
fn what_is_not_supported_is_named() {
    let refused = |text: &str| ask(text, Steps::at(Timestamp(0)), false, &one(&[(0, 1.0)], &[]));
    for (text, word) in [
        ("max_over_time(rate(x[1m])[5m:1m])", "subqueries"),
        ("limitk(1, x)", "limitk"),
        ("day_of_week(x)", "day_of_week()"),
        ("holt_winters(x[5m], 0.1, 0.1)", "holt_winters"),
    ] {
        match refused(text) {
            Err(QueryError::Execution(message) | QueryError::BadData(message)) => {
                assert!(message.contains(word), "{text}: {message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn there_is_an_end_to_what_may_be_asked() {
    let deep = "(".repeat(5000) + "1" + &")".repeat(5000);
    assert!(matches!(Query::parse(&deep), Err(QueryError::BadData(_))));
    let long = vec!["1"; 3000].join("+");
    assert!(matches!(Query::parse(&long), Err(QueryError::BadData(_))));
    let words = vec!["x"; 3000].join(" or ");
    assert!(matches!(Query::parse(&words), Err(QueryError::BadData(_))));
    assert!(
        Query::parse(&format!("x{{a=~\"{}\"}}", "(b)|".repeat(400))).is_ok(),
        "in quotes it is no nesting"
    );
    assert!(Steps::range(Timestamp(0), Timestamp(11_001_000), 1000).is_err());
    assert!(Steps::range(Timestamp(1), Timestamp(0), 1000).is_err());
    assert!(Steps::range(Timestamp(0), Timestamp(1), 0).is_err());
    let query = Query::parse("x").unwrap();
    let over = query.instant(Timestamp(0), &[], &|| true);
    assert_eq!(over, Err(QueryError::Timeout));
}

#[test]
fn a_selector_says_what_it_needs() {
    let steps = Steps::range(Timestamp(1_000_000), Timestamp(2_000_000), 1000).unwrap();
    let query = Query::parse("rate(x[2m] offset 1m) + y @ 5 + z").unwrap();
    let spans: Vec<_> = query
        .selectors(steps)
        .unwrap()
        .iter()
        .map(|s| (s.from.0, s.to.0))
        .collect();
    let back = LOOK_BACK_MS;
    assert_eq!(
        spans,
        [(820_000, 1_940_000), (5000 - back, 5000), (1_000_000 - back, 2_000_000)]
    );
}

#[test]
fn values_have_their_kind() {
    let nothing = |text: &str| {
        let query = Query::parse(text).unwrap();
        let never = || false;
        Evaluation::new(Steps::at(Timestamp(0)), &[], &never).eval(&query.expr, 0)
    };
    assert_eq!(nothing("\"a\""), Ok(Value::Text("a".to_owned())));
    assert_eq!(nothing("-(1)"), Ok(Value::Scalar(-1.0)));
    assert_eq!(nothing("x"), Ok(Value::Vector(Vec::new())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_answered_or_refused(text in "[a-z(){}\\[\\]0-9+\\-*/ ,=\"~:@m]{0,60}") {
        let _ = ask(&text, Steps::at(Timestamp(1000)), false, &one(&[(0, 1.0), (500, 2.0)], &[]));
    }
}
