//! kill -9 at random points: during the start, while several senders write, and while history is sealed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::StatusCode;
use tests::halo::Halo;
use tests::ledger::{Ledger, batch};
use tokio::sync::Mutex;

use super::{Dice, row, start_ms, stop_and_audit, times};

const SENDERS: usize = 3;
const SERIES: usize = 8;
/// Between two samples of a series: 200 rounds of requests must not reach the future.
const STEP_MS: i64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing() -> Result<()> {
    let kills = times(6, 200);
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice(9);
    // Each sender has its own series and its own time, a step further with each request.
    let mut clocks = [start_ms(); SENDERS];
    for kill in 0..kills {
        if dice.below(5) == 0 {
            // During the start, when the log is read and series come back.
            let mut halo = Halo::spawn(&["--otlp-grpc", "off"], &data, folder.path())?;
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
            halo.process.kill().context("could not kill halo")?;
            continue;
        }
        let halo = Arc::new(
            Halo::serve(&data, folder.path())
                .await
                .with_context(|| format!("after kill {kill}"))?,
        );
        let mut senders = tokio::task::JoinSet::new();
        for (sender, clock) in clocks.into_iter().enumerate() {
            let (halo, ledger) = (Arc::clone(&halo), Arc::clone(&ledger));
            senders.spawn(async move {
                let mut at_ms = clock;
                loop {
                    at_ms += STEP_MS;
                    let request = batch(&format!("kill_{sender}"), SERIES, at_ms);
                    match halo.write(&request).await {
                        Ok((StatusCode::NO_CONTENT, _)) => ledger.lock().await.record(&request),
                        Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => at_ms -= STEP_MS,
                        Ok((status, text)) => panic!("{status}: {text}"),
                        // Killed: whether that one is kept, nobody was told. It is sent again to the next one.
                        Err(_) => return (sender, at_ms - STEP_MS),
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(dice.below(350))).await;
        halo.process.kill_now().context("could not kill halo")?;
        while let Some(ended) = senders.join_next().await {
            let (sender, at_ms) = ended?;
            clocks[sender] = at_ms;
        }
    }
    let halo = Halo::serve(&data, folder.path()).await?;
    let ledger = ledger.lock().await;
    let audit = stop_and_audit(halo, &data, &ledger).await?;
    row("kill -9 at a random point", kills, audit);
    Ok(())
}
