//! What may go wrong around the server, again and again: no acknowledged sample is lost, none counts twice.
//!
//! Each fault is a test that prints one row. As one of the ordinary checks it is short; `cargo xtask faults` sets `HALO_FAULTS`
//! to `full`, which repeats it often enough to believe, and shows the rows as a table. Whatever is random comes from a seed.

mod connections;
mod disk;
mod kill;
mod order;
mod power;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use engine::clock::{Clock as _, SystemClock};
use reqwest::StatusCode;
use tests::halo::{Halo, WriteRequest};
use tests::ledger::{Audit, Ledger};

/// `full` in the whole suite, `short` among the ordinary checks.
fn times(short: usize, full: usize) -> usize {
    match std::env::var("HALO_FAULTS").as_deref() {
        Ok("full") => full,
        _ => short,
    }
}

/// Prints the row of a fault, and fails if it cost a sample.
fn row(fault: &str, cases: usize, audit: Audit) {
    let Audit {
        acknowledged,
        lost,
        twice,
    } = audit;
    println!("fault | {fault} | {cases} | {acknowledged} | {lost} | {twice}");
    assert!(
        acknowledged > 0,
        "{fault}: nothing was acknowledged, so nothing was proven"
    );
    assert_eq!((lost, twice), (0, 0), "{fault}: lost, counted twice");
}

/// Says by name what cannot run here.
fn skip(fault: &str, reason: &str) {
    println!("fault | {fault} | skipped: {reason}");
    println!("skipped: faults {fault}: {reason}");
}

/// Ten minutes ago, at a whole second.
fn start_ms() -> i64 {
    SystemClock.now().as_millis() / 1000 * 1000 - 600_000
}

/// Stops a server in order, and compares what it keeps.
async fn stop_and_audit(mut halo: Halo, data: &Path, ledger: &Ledger) -> Result<Audit> {
    halo.process.stop();
    ledger.audit(data).await
}

/// Sends until it is acknowledged, as every sender does: again after 503 and after a connection that broke.
async fn send(halo: &Halo, request: &WriteRequest, ledger: &mut Ledger) -> Result<()> {
    tests::process::wait_for("a request is acknowledged", Duration::from_secs(60), || async move {
        let (status, text) = halo.write(request).await?;
        anyhow::ensure!(
            status == StatusCode::NO_CONTENT || status == StatusCode::SERVICE_UNAVAILABLE,
            "{status}: {text}"
        );
        Ok((status == StatusCode::NO_CONTENT).then_some(()))
    })
    .await?;
    ledger.record(request);
    Ok(())
}

/// Numbers from a seed (splitmix64): the same faults in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
