//! Durable before acknowledged: after kill -9 in the middle of ingestion, every acknowledged sample is there, once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use engine::clock::{Clock as _, SystemClock};
use reqwest::StatusCode;
use tests::halo::{Halo, TimeSeries, WriteRequest};
use tests::process;

const SERIES: usize = 40;

/// Kills after so many acknowledged requests: at the very start, and in the stream.
const KILLS_AFTER: [usize; 3] = [1, 25, 120];

/// What was acknowledged so far: per series, value by time in milliseconds.
type Ledger = BTreeMap<String, BTreeMap<i64, f64>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_sample_survives_kill_9_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut acknowledged = Ledger::new();
    let mut at_ms = SystemClock.now().as_millis() / 1000 * 1000 - 600_000;

    for acknowledgements in KILLS_AFTER {
        let mut halo = Halo::serve(&data, folder.path()).await?;
        check_all_there_once(&halo, &acknowledged).await?;
        for _ in 0..acknowledgements {
            at_ms += 1000;
            let (status, text) = halo.write(&batch(at_ms)).await?;
            assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
            record(&mut acknowledged, at_ms);
        }
        // These are in flight when the process dies: each may be there or not, but what was answered 204 must be.
        at_ms += 1000;
        let batches: Vec<WriteRequest> = (0..8).map(|extra| batch(at_ms + extra * 1000)).collect();
        let in_flight = futures::future::join_all(batches.iter().map(|batch| halo.write(batch)));
        let killer = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
        };
        let answers = tokio::select! {
            answers = in_flight => answers,
            () = killer => Vec::new(),
        };
        halo.process.kill().context("could not kill halo")?;
        for (extra, answer) in answers.iter().enumerate() {
            if matches!(answer, Ok((StatusCode::NO_CONTENT, _))) {
                record(&mut acknowledged, at_ms + extra as i64 * 1000);
            }
        }
        at_ms += 8000;
    }

    let halo = Halo::serve(&data, folder.path()).await?;
    check_all_there_once(&halo, &acknowledged).await?;

    // A sender that got no answer sends again: the same samples are no error and do not count twice.
    let (status, text) = halo.write(&batch(at_ms - 20_000)).await?;
    assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    record(&mut acknowledged, at_ms - 20_000);
    check_all_there_once(&halo, &acknowledged).await
}

async fn check_all_there_once(halo: &Halo, acknowledged: &Ledger) -> Result<()> {
    if acknowledged.is_empty() {
        return Ok(());
    }
    // Readiness may come before the last replayed sample has passed the shards: wait for the newest, then judge.
    let newest = acknowledged
        .values()
        .filter_map(|samples| samples.keys().next_back())
        .max()
        .copied()
        .unwrap_or(0);
    process::wait_for("the log is replayed", Duration::from_secs(30), || async move {
        let list = halo.series_list("durability_gauge").await?;
        let caught_up = list
            .iter()
            .filter(|series| series.last_at.as_millis() >= newest)
            .count()
            >= SERIES;
        Ok(caught_up.then_some(()))
    })
    .await?;
    for series in halo.series_list("durability_gauge").await? {
        let detail = halo.series(series.info.id).await?;
        let mut found: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for point in &detail.points {
            found.entry(point.at.as_millis()).or_default().extend(point.value);
        }
        let name = &series.info.metric;
        let expected = acknowledged
            .get(name)
            .with_context(|| format!("{name} was never acknowledged"))?;
        for (at, value) in expected {
            assert_eq!(
                found.get(at).map(Vec::as_slice),
                Some([*value].as_slice()),
                "{name} at {at}"
            );
        }
        for (at, values) in &found {
            assert!(values.len() <= 1, "{name} at {at} is there {} times", values.len());
        }
    }
    Ok(())
}

/// One sample for each series, its value derived from time and series so that a mix-up shows.
fn batch(at_ms: i64) -> WriteRequest {
    let series =
        (0..SERIES).map(|index| TimeSeries::gauge(&name(index), "durability:1", &[(at_ms, value(index, at_ms))]));
    WriteRequest {
        timeseries: series.collect(),
        metadata: Vec::new(),
    }
}

fn record(acknowledged: &mut Ledger, at_ms: i64) {
    for index in 0..SERIES {
        acknowledged
            .entry(name(index))
            .or_default()
            .insert(at_ms, value(index, at_ms));
    }
}

fn name(index: usize) -> String {
    format!("durability_gauge_{index:02}")
}

fn value(index: usize, at_ms: i64) -> f64 {
    (at_ms / 1000 % 1000) as f64 + index as f64 / 64.0
}
