//! The same samples to a real Prometheus and to `halo`: both answer the same questions the same; and what the one knows the other
//! takes over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use serde_json::Value;
use tests::halo::{Halo, Label, Sample, TimeSeries, WriteRequest};
use tests::process::{self, Process};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 160;

/// Questions of dashboards. No sample lies on an edge of their ranges, where versions of Prometheus differ.
const QUERIES: [&str; 24] = [
    "temp",
    "temp{instance=~\"a|b\"} > 0",
    "{__name__=~\"temp|requests_total\",instance!=\"a\"}",
    "rate(requests_total[5m])",
    "increase(requests_total[11m] offset 3m)",
    "irate(requests_total[2m])",
    "delta(temp[4m])",
    "sum(rate(requests_total[5m]))",
    "sum by (job) (rate(requests_total[5m]))",
    "avg without (instance) (temp)",
    "max(temp) - min(temp)",
    "count(temp > 1)",
    "topk(1, temp)",
    "quantile(0.5, temp)",
    "avg_over_time(temp[5m])",
    "max_over_time(temp[5m])",
    "quantile_over_time(0.9, temp[5m])",
    "stddev_over_time(temp[5m])",
    "temp / on(instance) requests_total",
    "requests_total * on(job) group_left sum by (job) (temp)",
    "histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[5m])))",
    "clamp_min(temp, 0) + 1",
    "absent(nothing)",
    "label_replace(temp, \"to\", \"$1x\", \"instance\", \"(.*)\")",
];

fn series(start: i64) -> Vec<TimeSeries> {
    let of = |labels: &[(&str, &str)], value: &dyn Fn(i64) -> f64| {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        TimeSeries {
            labels,
            samples: (0..SAMPLES)
                .map(|n| Sample {
                    timestamp: start + n * STEP_MS,
                    value: value(n),
                })
                .collect(),
        }
    };
    let mut all = Vec::new();
    for (place, instance) in ["a", "b", "c"].into_iter().enumerate() {
        let phase = place as f64;
        let labels = |name| [("__name__", name), ("instance", instance), ("job", "check")];
        all.push(of(&labels("temp"), &|n| (n as f64 / 7.0 + phase).sin() * 3.0 + phase));
        // One starts over.
        all.push(of(&labels("requests_total"), &|n| {
            let since = if place == 1 && n >= 90 { n - 90 } else { n };
            (since * (3 + place as i64) + since % 5) as f64
        }));
        for (le, share) in [("0.1", 0.2), ("0.5", 0.7), ("2", 0.95), ("+Inf", 1.0)] {
            let labels = [
                ("__name__", "seconds_bucket"),
                ("instance", instance),
                ("job", "check"),
                ("le", le),
            ];
            all.push(of(&labels, &|n| (n as f64 * 10.0 * share).floor()));
        }
    }
    all
}

struct Both {
    prometheus: String,
    _process: Process,
    now: i64,
    start: i64,
}

/// A Prometheus with the samples of the last forty minutes.
async fn filled(folder: &Path) -> Result<Both> {
    let prometheus = process::free_address()?;
    let config = folder.join("prometheus.yml");
    fs::write(&config, "global: {}\n")?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={prometheus}"))
        .arg("--web.enable-remote-write-receiver");
    let process = Process::start("prometheus", &mut command, folder)?;
    process::wait_for("prometheus is ready", Duration::from_secs(30), || async {
        let ready = reqwest::get(format!("http://{prometheus}/-/ready")).await?;
        Ok(ready.status().is_success().then_some(()))
    })
    .await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    // Whole minutes; samples lie seven seconds beside them.
    let now = now - now % 60_000;
    let start = now - SAMPLES * STEP_MS + 7_000;
    let request = WriteRequest {
        timeseries: series(start),
        metadata: Vec::new(),
    };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let sent = reqwest::Client::new()
        .post(format!("http://{prometheus}/api/v1/write"))
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body);
    let sent = sent.send().await?;
    ensure!(sent.status().is_success(), "{}: {}", sent.status(), sent.text().await?);
    Ok(Both {
        prometheus,
        _process: process,
        now,
        start,
    })
}

/// What a server answers, by labels; of an instant and of a range.
async fn answers(address: &str, query: &str, now: i64) -> Result<[BTreeMap<String, Value>; 2]> {
    let at = |millis: i64| (millis / 1000).to_string();
    let instant = vec![("query", query.to_owned()), ("time", at(now))];
    let range = vec![
        ("query", query.to_owned()),
        ("start", at(now - 2_400_000)),
        ("end", at(now)),
        ("step", "60".to_owned()),
    ];
    let mut found = Vec::new();
    for (path, form) in [("query", instant), ("query_range", range)] {
        let url = format!("http://{address}/api/v1/{path}");
        let answer: Value = reqwest::Client::new()
            .post(url)
            .form(&form)
            .send()
            .await?
            .json()
            .await?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().context("no list of series")?;
        let one = |series: &Value| {
            let values = series.get("values").or_else(|| series.get("value"));
            (series["metric"].to_string(), values.cloned().unwrap_or_default())
        };
        found.push(result.iter().map(one).collect());
    }
    let [instant, range] = <[_; 2]>::try_from(found).map_err(|_| anyhow::anyhow!("two were asked"))?;
    Ok([instant, range])
}

/// The same labels and times, and values that agree in fifteen digits: the older one sums with less care.
fn agree(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<f64>().ok())
            .or_else(|| value.as_f64())
    };
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-3),
            _ => a == b,
        },
    }
}

async fn compare(prometheus: &str, halo: &str, now: i64) -> Result<usize> {
    let mut compared = 0;
    for query in QUERIES {
        let theirs = answers(prometheus, query, now).await?;
        let ours = answers(halo, query, now).await?;
        for (theirs, ours) in theirs.iter().zip(&ours) {
            let same = theirs.len() == ours.len()
                && theirs
                    .iter()
                    .all(|(labels, value)| ours.get(labels).is_some_and(|ours| agree(value, ours)));
            ensure!(same, "{query}:\n{theirs:?}\n{ours:?}");
            compared += theirs
                .values()
                .map(|values| values.as_array().map_or(0, Vec::len))
                .sum::<usize>();
        }
    }
    Ok(compared)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_answer_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let both = filled(folder.path()).await?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let request = WriteRequest {
        timeseries: series(both.start),
        metadata: Vec::new(),
    };
    let (status, text) = halo.write(&request).await?;
    ensure!(status.is_success(), "{status}: {text}");
    let compared = compare(&both.prometheus, &halo.address, both.now).await;
    let compared = compared.with_context(|| halo.process.tail())?;
    ensure!(compared > 2000, "{compared} values");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_taken_over_and_alerts_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let both = filled(folder.path()).await?;
    let data = folder.path().join("data");
    let start = both.start / 1000 - 60;
    let backfill = || -> Result<String> {
        let output = Command::new(process::program("HALO_BIN")?)
            .arg("backfill")
            .arg(format!("--from=http://{}", both.prometheus))
            .args(["--match", "{job=\"check\"}", "--span-hours", "0.2", "--rate", "50"])
            .arg(format!("--start={start}"))
            .arg("--data-dir")
            .arg(&data)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}:\n{told}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let first = backfill()?;
    let count = series(both.start).len() as i64 * SAMPLES;
    ensure!(
        first.starts_with(&format!("{count} samples of history, 0 left out")),
        "{first}"
    );
    // It goes on from where it was, which is nearly the end.
    let again = backfill()?;
    ensure!(again.starts_with("0 samples of history"), "{again}");
    let halo = Halo::serve(&data, folder.path()).await?;
    let compared = compare(&both.prometheus, &halo.address, both.now).await;
    compared.with_context(|| halo.process.tail())?;
    let metrics = reqwest::get(halo.url("/metrics")).await?.text().await?;
    for line in ["halo_alerts_total 0", "halo_incidents_total 0"] {
        ensure!(
            metrics.lines().any(|other| other == line),
            "{line} is not so:\n{metrics}"
        );
    }
    Ok(())
}
