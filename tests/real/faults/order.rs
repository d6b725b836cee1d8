//! What senders and clocks do: the same again, in another order, and times that jump.

use std::sync::Arc;

use anyhow::Result;
use engine::clock::ManualClock;
use engine::config::Config;
use engine::ingest::IngestBatch;
use engine::pipeline::Engine;
use engine::series::{Labels, Sample, info_from_labels};
use reqwest::StatusCode;
use tests::halo::Halo;
use tests::ledger::{Ledger, batch};
use wire::Timestamp;

use super::{Dice, row, start_ms, stop_and_audit, times};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_and_another_order_count_once() -> Result<()> {
    let rounds = times(4, 60);
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let halo = Halo::serve(&data, folder.path()).await?;
    let mut dice = Dice(3);
    let mut ledger = Ledger::default();
    let mut at_ms = start_ms();
    for _ in 0..rounds {
        // Nine requests, three times each, shuffled, all on their way at once.
        let mut requests: Vec<_> = (0..27).map(|n| batch("order", 10, at_ms + n % 9 * 1000)).collect();
        for index in (1..requests.len()).rev() {
            requests.swap(index, dice.below(index as u64 + 1) as usize);
        }
        let answers = futures::future::join_all(requests.iter().map(|request| halo.write(request))).await;
        for (request, answer) in requests.iter().zip(answers) {
            let (status, text) = answer?;
            assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
            ledger.record(request);
        }
        at_ms += 9000;
    }
    let audit = stop_and_audit(halo, &data, &ledger).await?;
    row("duplicate and reordered batches", rounds * 27, audit);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps_lose_nothing() -> Result<()> {
    const HOUR_MS: i64 = 3_600_000;
    let jumps = times(12, 200);
    let folder = tempfile::tempdir()?;
    let start = 1_700_000_000_000;
    let clock = Arc::new(ManualClock::new(Timestamp(start)));
    let mut config = Config::new(folder.path());
    config.shards = 1;
    let mut engine = Engine::start(config.clone(), clock.clone()).await?;
    let labels = Labels::of("clock", "load", None);
    let info = info_from_labels(&labels);
    let mut dice = Dice(5);
    let mut ledger = Ledger::default();
    for jump in 0..jumps {
        // Both the engine's clock and the sender's, each its own way, by up to a day.
        let jumped = |dice: &mut Dice| dice.below(48 * HOUR_MS as u64) as i64 - 24 * HOUR_MS;
        clock.set(Timestamp(start + jumped(&mut dice)));
        let from = start + jumped(&mut dice);
        for step in 0..20 {
            let sample = Sample {
                series: info.id,
                at: Timestamp(from + step * 1000),
                value: (from + step) as f64,
            };
            let request = IngestBatch {
                new_series: vec![info.clone()],
                samples: vec![sample],
                ..IngestBatch::default()
            };
            // What comes from the future or is too late is refused with a reason, and then not acknowledged.
            if engine.ingest("test", request).await?.accepted == 1 {
                ledger.record_one(&labels, sample.at.as_millis(), sample.value);
            }
        }
        if jump % 10 == 9 {
            engine.shutdown().await;
            engine = Engine::start(config.clone(), clock.clone()).await?;
        }
    }
    engine.shutdown().await;
    let audit = ledger.audit(folder.path()).await?;
    row("clock jumps, engine's and sender's", jumps, audit);
    Ok(())
}
