//! `halo forecast` over a recording on disk: what it writes, twice the same, knowing only the past, and what it refuses.

use flate2::read::GzDecoder;
use server::forecast::{ForecastArgs, run};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use wire::Timestamp;

const STEP: i64 = 300;
const ROWS: i64 = 2_400;
const HEADER: &str = "series,made_at,timestamp,mean,lower,upper";

fn load(i: i64) -> f64 {
    let turn = (i as f64 / 288.0 * std::f64::consts::TAU).sin();
    50.0 + 20.0 * turn + (i * i % 17) as f64 / 8.0 - 1.0
}

/// Writes a busy series, one without a single sample, and what `extra` makes of the first of a row.
fn record(dir: &Path, rows: i64, extra: impl Fn(i64) -> String) {
    let mut text = String::from("timestamp,shop|load,shop|silent\n");
    for i in 0..rows {
        writeln!(text, "{},{},", i * STEP, extra(i)).unwrap();
    }
    std::fs::write(dir.join("metrics.csv"), text).unwrap();
}

fn args(dir: &Path, out: &str) -> ForecastArgs {
    ForecastArgs {
        dir: dir.to_owned(),
        horizon: 1_800_000,
        out: dir.join(out),
        train_until: None,
        every: None,
        level: 0.9,
    }
}

fn bytes(args: &ForecastArgs) -> Vec<u8> {
    std::fs::read(args.out.join("forecast.csv.gz")).unwrap()
}

/// Lines without the header, as cells.
fn lines(args: &ForecastArgs) -> Vec<Vec<String>> {
    let mut text = String::new();
    GzDecoder::new(bytes(args).as_slice())
        .read_to_string(&mut text)
        .unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADER));
    lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn one_forecast_goes_on_from_the_last_row() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), ROWS, |i| load(i).to_string());
    let args = args(dir.path(), "out");
    run(&args).unwrap();
    let lines = lines(&args);
    // Half an hour of five minutes; of a series that never spoke there is nothing to say.
    assert_eq!(lines.len(), 6);
    for (k, line) in (ROWS..).zip(&lines) {
        assert_eq!(
            line[..3],
            [
                "shop|load".to_owned(),
                ((ROWS - 1) * STEP).to_string(),
                (k * STEP).to_string()
            ]
        );
        let [mean, lower, upper] = [3, 4, 5].map(|cell| line[cell].parse::<f64>().unwrap());
        assert!(lower <= mean && mean <= upper && lower >= 0.0, "{line:?}");
        assert!((mean - load(k)).abs() < 5.0, "{line:?} {}", load(k));
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_no_forecast_knows_what_came() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), ROWS, |i| load(i).to_string());
    let until = Some(Timestamp(2_000 * STEP * 1000));
    let rolling = |out| ForecastArgs {
        train_until: until,
        ..args(dir.path(), out)
    };
    let (one, two) = (rolling("one"), rolling("two"));
    let summary = run(&one).unwrap();
    assert!(summary.contains("within the 90 % interval"), "{summary}");
    run(&two).unwrap();
    assert_eq!(bytes(&one), bytes(&two));
    // Every row after the split is forecast once.
    let before = lines(&one);
    let forecast: Vec<i64> = before
        .iter()
        .map(|line| line[2].parse::<i64>().unwrap() / STEP)
        .collect();
    assert!(
        forecast.windows(2).all(|pair| pair[1] == pair[0] + 1) && forecast[0] == 2_000,
        "{forecast:?}"
    );
    // Another future after row 2200: what was forecast before it stays.
    record(dir.path(), ROWS, |i| {
        if i < 2_200 {
            load(i).to_string()
        } else {
            "999".to_owned()
        }
    });
    let other = rolling("other");
    run(&other).unwrap();
    let known = |lines: &[Vec<String>]| -> Vec<Vec<String>> {
        let made_before = lines
            .iter()
            .filter(|line| line[1].parse::<i64>().unwrap() < 2_200 * STEP);
        made_before.cloned().collect()
    };
    let (before, after) = (known(&before), known(&lines(&other)));
    assert!(!before.is_empty());
    assert_eq!(before, after);
}

#[test]
fn gaps_and_expected_spans_are_taken_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let sale = |i: i64| (i % 288 < 6) && [4, 6, 8].contains(&(i / 288));
    record(dir.path(), 8 * 288, |i| match i {
        500..600 => String::new(),
        _ => (load(i) + if sale(i) { 400.0 } else { 0.0 }).to_string(),
    });
    let span = |day: i64| format!("{},{},sh*,sale\n", day * 86_400, day * 86_400 + 6 * STEP);
    let spans = format!("start,end,entity,note\n{}{}{}", span(4), span(6), span(8));
    std::fs::write(dir.path().join("expected.csv"), spans).unwrap();
    let args = args(dir.path(), "out");
    run(&args).unwrap();
    let means: Vec<f64> = lines(&args).iter().map(|line| line[3].parse().unwrap()).collect();
    assert!(means[..5].iter().all(|mean| (400.0..500.0).contains(mean)), "{means:?}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("metrics.csv"), "timestamp,a\n0,1\n60,x\n").unwrap();
    let error = run(&args(dir.path(), "out")).unwrap_err().to_string();
    assert!(error.contains("metrics.csv:3:2"), "{error}");
    record(dir.path(), 100, |i| load(i).to_string());
    for until in [0, 100 * STEP * 1000 + 1] {
        let args = ForecastArgs {
            train_until: Some(Timestamp(until)),
            ..args(dir.path(), "out")
        };
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains("--train-until"), "{error}");
    }
    let far = ForecastArgs {
        horizon: 366 * 86_400_000,
        ..args(dir.path(), "out")
    };
    assert!(run(&far).unwrap_err().to_string().contains("--horizon"));
}
