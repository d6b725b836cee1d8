//! How fast it is.

use super::load::Target;
use super::payload;
use super::process::usage;
use super::server::{Scratch, Server};
use super::{Figure, median};
use engine::clock::{Clock, SystemClock};
use engine::detect::{DetectConfig, Detector, Effort, Models};
use engine::ingest::admit::too_far_ahead;
use engine::ingest::prometheus::{Limits, decode_v1};
use engine::ingest::registry::Registry;
use engine::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use wire::Timestamp;

/// Series in the HTTP measurement.
const SERIES: usize = 20_000;
/// Instants per run: with [`SERIES`] about a million samples.
const ROUNDS_PER_RUN: usize = 50;
/// Concurrent senders, as a Prometheus server has shards.
const SENDERS: usize = 4;

/// Samples a second through remote write, every one in the log before it is acknowledged. Senders run on the same machine
/// and share its cores.
pub(super) fn http(runs: usize) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("http")?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut server = Server::spawn(&scratch.0)?;
        let client = reqwest::Client::new();
        let ready = format!("{}/-/ready", server.url);
        server
            .wait_until(async || is_ok(client.get(&ready).send().await))
            .await?;

        let target = Target::new(client, format!("{}/api/v1/write", server.url));
        let total = ROUNDS_PER_RUN * (runs + 1);
        let start = SystemClock.now() - total as i64 * 1000;
        let mut at = (0..total as i64).map(|i| start + i * 1000);
        // The first run makes the series known and is not counted.
        let (mut rates, mut per_core, mut cores) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..=runs {
            let requests: Vec<Vec<u8>> = at
                .by_ref()
                .take(ROUNDS_PER_RUN)
                .flat_map(|at| payload::round(SERIES, at))
                .collect();
            let samples = (SERIES * ROUNDS_PER_RUN) as f64;
            let before = usage(server.pid()).ok();
            let begun = Instant::now();
            send(&target, requests).await?;
            let seconds = begun.elapsed().as_secs_f64();
            if run == 0 {
                continue;
            }
            rates.push(samples / seconds);
            // Where the system does not tell, these figures are missing.
            if let (Some(before), Ok(after)) = (before, usage(server.pid())) {
                let cpu_secs = after.cpu_secs - before.cpu_secs;
                per_core.push(samples / cpu_secs.max(1e-3));
                cores.push(cpu_secs / seconds);
            }
        }
        let mut figures =
            vec![Figure::new("remote write over HTTP, log on", median(rates), "samples/s", true).goal(300_000.0)];
        if !cores.is_empty() {
            let figure = Figure::new("  per core of the server", median(per_core), "samples/s/core", true);
            figures.push(
                figure
                    .goal(2_500_000.0)
                    .peer("VictoriaMetrics (DaoCloud sizing)", 33_000.0),
            );
            figures.push(Figure::new("  cores the server used", median(cores), "cores", false));
        }
        Ok(figures)
    })
}

/// Sends all `requests` by [`SENDERS`] tasks, each taking the next one; in order of time but for what overlaps.
async fn send(target: &Target, requests: Vec<Vec<u8>>) -> Result<()> {
    let requests: Arc<Vec<axum::body::Bytes>> = Arc::new(requests.into_iter().map(Into::into).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let senders = (0..SENDERS).map(|_| {
        let (target, requests, next) = (target.clone(), Arc::clone(&requests), Arc::clone(&next));
        tokio::spawn(async move {
            while let Some(body) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                target.deliver(body.clone()).await?;
            }
            Ok::<(), Error>(())
        })
    });
    for sender in futures::future::join_all(senders).await {
        sender.map_err(|error| Error::Unavailable(format!("a sender stopped: {error}")))??;
    }
    Ok(())
}

/// From the start of the process to the page and the first snapshot, with a data directory that was used before.
pub(super) fn start(runs: usize) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("start")?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut times = Vec::new();
        for run in 0..=runs {
            let mut server = Server::spawn(&scratch.0)?;
            let (page, query) = (format!("{}/", server.url), format!("{}/api/query", server.url));
            let took = server
                .wait_until(async || {
                    is_ok(client.get(&page).send().await)
                        && is_ok(
                            client
                                .post(&query)
                                .json(&serde_json::json!({"query": "snapshot"}))
                                .send()
                                .await,
                        )
                })
                .await?;
            // The first start makes the store.
            if run > 0 {
                times.push(took.as_secs_f64() * 1000.0);
            }
        }
        Ok(vec![
            Figure::new("start to console, warm", median(times), "ms", false).goal(2000.0),
        ])
    })
}

pub(super) fn is_ok(reply: reqwest::Result<reqwest::Response>) -> bool {
    reply.is_ok_and(|reply| reply.status().is_success())
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.map_err(|error| Error::Unavailable(format!("cannot start the async runtime: {error}")))
}

/// Series and rounds of the hot path: enough that the state does not fit the cache.
const HOT_SERIES: usize = 20_000;
const WARM_ROUNDS: usize = 60;
const HOT_ROUNDS: usize = 20;
/// What a large estate sends in a second.
const SAMPLES_PER_SEC: f64 = 50_000.0;

/// Nanoseconds a sample on one thread, from the bytes of a request to the decision; and what the same takes of a core where every
/// member scores every sample of [`SAMPLES_PER_SEC`]. Series are known and warm.
pub(super) fn hot_path(runs: usize) -> Result<Vec<Figure>> {
    let [decode, detect, both] = per_sample(runs, Effort::Lazy)?;
    let [_, _, full] = per_sample(runs, Effort::Full)?;
    let nanos = |name: &str, value| Figure::new(name, value, "ns/sample", false);
    let cores = full * 1e-9 * SAMPLES_PER_SEC;
    let every = Figure::new("every member on every sample, 50,000 samples/s", cores, "cores", false);
    Ok(vec![
        nanos("hot path: decode, admit, detect", both).goal(400.0),
        nanos("  decode", decode),
        nanos("  admit and detect, all members as needed", detect),
        // 2 to 4 us a sample.
        every.goal(0.5).peer("Netdata ML (its docs)", 0.15),
    ])
}

/// Nanoseconds that a sample takes to decode, to judge, and both.
fn per_sample(runs: usize, effort: Effort) -> Result<[f64; 3]> {
    let registry = Registry::default();
    let mut detector = Detector::new(DetectConfig::default(), Arc::new(Models::bundled()?));
    let mut slots = HashMap::new();
    let mut detections = Vec::new();
    let start = Timestamp::from_secs(1_700_000_000);
    let mut next_round = 0;
    let mut pass = |rounds: usize, nanos: &mut [f64; 2]| -> Result<f64> {
        let mut samples = 0;
        for _ in 0..rounds {
            let at = start + next_round * 60_000;
            next_round += 1;
            for request in payload::round(HOT_SERIES, at) {
                let begun = Instant::now();
                let batch = decode_v1(&request, &Limits::default(), &registry)
                    .map_err(|error| Error::Unavailable(format!("remote write: {error}")))?;
                let decoded = Instant::now();
                let new_series = registry.unknown(batch.new_series);
                for info in &new_series {
                    slots.insert(info.id, detector.add_series(info));
                }
                registry.add(new_series.into_iter().map(Arc::new));
                let admitted = batch.samples.iter().filter(|s| !too_far_ahead(s.at, at));
                let rows: Vec<_> = admitted
                    .filter_map(|s| Some((*slots.get(&s.series)?, s.at, s.value)))
                    .collect();
                detections.clear();
                detector.observe_batch(&rows, effort, &mut detections);
                nanos[0] += decoded.duration_since(begun).as_nanos() as f64;
                nanos[1] += decoded.elapsed().as_nanos() as f64;
                samples += rows.len();
            }
        }
        Ok(samples as f64)
    };
    pass(WARM_ROUNDS, &mut [0.0; 2])?;
    let (mut decode, mut detect, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut nanos = [0.0; 2];
        let samples = pass(HOT_ROUNDS, &mut nanos)?;
        decode.push(nanos[0] / samples);
        detect.push(nanos[1] / samples);
        both.push((nanos[0] + nanos[1]) / samples);
    }
    Ok([decode, detect, both].map(median))
}
