//! The power goes: what was being written is cut off, garbled, or zeros; and bits flip in what was written long ago.
//!
//! A sync that returned keeps its bytes, so what was acknowledged is there whatever follows it. Where the disk itself breaks
//! that promise, the damage is told, and costs the record that it hits and no other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::clock::ManualClock;
use engine::config::Config;
use engine::ingest::IngestBatch;
use engine::pipeline::Engine;
use engine::series::{Labels, Sample, info_from_labels};
use tests::ledger::{Audit, Ledger};
use wire::Timestamp;

use super::{Dice, row, times};

const BATCHES: i64 = 12;
const SERIES: usize = 5;

fn labels(index: usize) -> Labels {
    Labels::of(&format!("power-{index}"), "load", None)
}

/// Batch `number` of samples, as it is acknowledged.
fn batch(number: i64) -> IngestBatch {
    let infos: Vec<_> = (0..SERIES).map(|index| info_from_labels(&labels(index))).collect();
    let samples = infos.iter().enumerate().map(|(index, info)| Sample {
        series: info.id,
        at: Timestamp(number * 1000),
        value: number as f64 + index as f64 / 8.0,
    });
    IngestBatch {
        samples: samples.collect(),
        new_series: infos,
        ..IngestBatch::default()
    }
}

async fn start(dir: &Path) -> Result<Arc<Engine>> {
    let mut config = Config::new(dir);
    config.shards = 1;
    let clock = Arc::new(ManualClock::new(Timestamp(3_600_000)));
    Ok(Engine::start(config, clock).await?)
}

/// What an engine leaves that was killed after some batches: its folder, the newest segment, and where in it each batch ends.
async fn killed(folder: &Path) -> Result<(PathBuf, PathBuf, Vec<usize>)> {
    let dir = folder.join("killed");
    let engine = start(&dir).await?;
    let mut ends = Vec::new();
    let segment = || -> Result<PathBuf> {
        let mut found: Vec<_> = std::fs::read_dir(dir.join("log"))?
            .flatten()
            .map(|e| e.path())
            .collect();
        found.sort();
        found.pop().context("there is a log")
    };
    for number in 0..BATCHES {
        let report = engine.ingest("test", batch(number)).await?;
        assert_eq!(report.accepted, SERIES as u64);
        ends.push(std::fs::metadata(segment()?)?.len() as usize);
    }
    let segment = segment()?;
    let copy = folder.join("copy");
    copy_folder(&dir, &copy)?;
    let name = segment.file_name().context("a segment has a name")?.to_owned();
    engine.shutdown().await;
    Ok((copy.clone(), copy.join("log").join(name), ends))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            std::fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Starts from what was left, with `log` as the newest segment; returns what is kept of the batches but `spoilt`, and how many
/// places of the log the engine calls damaged or cut off.
async fn recovered(
    folder: &Path,
    left: &Path,
    segment: &Path,
    log: &[u8],
    spoilt: Option<usize>,
) -> Result<(Audit, usize)> {
    // A folder of its own: a database that is still being closed would remove the write-ahead log of one put in its place.
    let again = tempfile::tempdir_in(folder)?;
    let dir = again.path();
    copy_folder(left, dir)?;
    std::fs::write(dir.join("log").join(segment.file_name().context("a name")?), log)?;
    let engine = start(dir).await?;
    let storage = engine.status().protection.storage;
    // The senders of the last ones send again, as they were told nothing or do not know.
    let report = engine.ingest("test", batch(BATCHES - 1)).await?;
    assert!(report.rejections.iter().all(|r| !r.reason.is_error()), "{report:?}");
    engine.shutdown().await;
    let mut ledger = Ledger::default();
    for number in (0..BATCHES).filter(|number| spoilt != Some(*number as usize)) {
        for (index, sample) in batch(number).samples.iter().enumerate() {
            ledger.record_one(&labels(index), sample.at.as_millis(), sample.value);
        }
    }
    let audit = ledger.audit(dir).await?;
    Ok((audit, storage.damage.len() + storage.torn.len()))
}

fn add(total: &mut Audit, one: Audit) {
    total.acknowledged += one.acknowledged;
    total.lost += one.lost;
    total.twice += one.twice;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_costs_nothing_acknowledged() -> Result<()> {
    let cases = times(12, 120);
    let folder = tempfile::tempdir()?;
    let (left, segment, ends) = killed(folder.path()).await?;
    let log = std::fs::read(&segment)?;
    let mut dice = Dice(77);
    let mut total = Audit::default();
    for case in 0..cases {
        // The last record was in flight: of it a part came, as it was, garbled, or as zeros.
        let acknowledged = ends[ends.len() - 2];
        let keep = acknowledged + dice.below((log.len() - acknowledged) as u64) as usize;
        let mut cut = log[..keep].to_vec();
        match case % 3 {
            0 => {}
            1 => cut.resize(log.len() + dice.below(4096) as usize, 0),
            _ => {
                for byte in &mut cut[acknowledged..] {
                    *byte = dice.below(256) as u8;
                }
            }
        }
        let (audit, told) = recovered(folder.path(), &left, &segment, &cut, None).await?;
        assert!(
            told > 0 || keep == acknowledged,
            "case {case}: what was cut off is told"
        );
        add(&mut total, audit);
    }
    row("power cut: torn, garbled, zeros", cases, total);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_told_and_costs_one_record() -> Result<()> {
    let cases = times(8, 80);
    let folder = tempfile::tempdir()?;
    let (left, segment, ends) = killed(folder.path()).await?;
    let log = std::fs::read(&segment)?;
    let mut dice = Dice(78);
    let mut total = Audit::default();
    for case in 0..cases {
        let at = dice.below(log.len() as u64) as usize;
        let mut flipped = log.clone();
        flipped[at] ^= 1 << dice.below(8);
        let hit = ends.iter().filter(|end| **end <= at).count();
        let (audit, told) = recovered(folder.path(), &left, &segment, &flipped, Some(hit)).await?;
        assert_eq!(told, 1, "case {case}: the damage at byte {at} is told");
        add(&mut total, audit);
    }
    row("bits flip in the log: all records but the one hit", cases, total);
    Ok(())
}
