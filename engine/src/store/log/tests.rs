//! The log under crashes: torn tails, flipped bits, restarts.

use super::*;
use crate::series::{Labels, Sample, info_from_labels};
use proptest::prelude::*;
use wire::{SeriesId, Timestamp};

fn record(number: u64) -> Record {
    Record::Batch(Batch {
        source: "test".to_owned(),
        new_series: if number == 0 {
            vec![info_from_labels(&Labels::of("web", "latency", Some("p99")))]
        } else {
            Vec::new()
        },
        samples: (0..=number % 5)
            .map(|i| Sample {
                series: SeriesId(number),
                at: Timestamp(i as i64),
                value: number as f64 / 3.0,
            })
            .collect(),
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn write(dir: &Path, from: u64, count: u64) {
    let (log, _) = Log::open(dir, Position(0), |_| Ok(())).unwrap();
    runtime().block_on(async {
        for number in from..from + count {
            log.append(&record(number)).await.unwrap();
        }
    });
}

fn read(dir: &Path) -> (Vec<Record>, Recovery) {
    let mut records = Vec::new();
    let recovery = replay(dir, Position(0), |r| {
        records.push(r);
        Ok(())
    })
    .unwrap();
    (records, recovery)
}

#[test]
fn what_is_appended_is_read_back_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0, 10);
    write(dir.path(), 10, 5);
    let (records, recovery) = read(dir.path());
    assert_eq!(records, (0..15).map(record).collect::<Vec<_>>());
    assert_eq!((recovery.records, recovery.damage), (15, Vec::new()));
}

#[test]
fn reading_can_start_at_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), Position(0), |_| Ok(())).unwrap();
    let checkpoint = runtime().block_on(async {
        let mut checkpoint = Position(0);
        for number in 0..6 {
            let after = log.append(&record(number)).await.unwrap();
            if number == 3 {
                checkpoint = after;
            }
        }
        checkpoint
    });
    drop(log);
    let mut records = Vec::new();
    replay(dir.path(), checkpoint, |r| {
        records.push(r);
        Ok(())
    })
    .unwrap();
    assert_eq!(records, [record(4), record(5)]);
}

#[test]
fn many_senders_share_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), Position(0), |_| Ok(())).unwrap();
    let mut positions = runtime().block_on(futures::future::join_all((0..200).map(|n| {
        let log = &log;
        async move { log.append(&record(n)).await.unwrap() }
    })));
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), 200);
    drop(log);
    assert_eq!(read(dir.path()).0.len(), 200);
}

#[test]
fn old_segments_go_and_new_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0, 3);
    write(dir.path(), 3, 3);
    let (log, recovery) = Log::open(dir.path(), Position(0), |_| Ok(())).unwrap();
    runtime().block_on(log.append(&record(6))).unwrap();
    assert_eq!(log.bytes_since_checkpoint(), log.end().0);
    log.remove_before(recovery.end).unwrap();
    assert_eq!(log.bytes_since_checkpoint(), log.end().0 - recovery.end.0);
    drop(log);
    assert_eq!(read(dir.path()).0, [record(6)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_loses_only_what_follows_it(cut in 0usize..2000, flip in prop::option::of((0usize..2000, 0u8..8)), count in 1u64..20) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 0, count);
        let (_, path) = segments(dir.path()).unwrap().remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.truncate(whole - cut % whole);
        let mut harmless = bytes.len();
        if let Some((at, bit)) = flip && !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            harmless = at;
        }
        std::fs::write(&path, &bytes).unwrap();
        let (records, recovery) = read(dir.path());
        // A prefix of what was written, at least up to the damage.
        prop_assert!(records.len() as u64 <= count);
        prop_assert_eq!(&records, &(0..records.len() as u64).map(record).collect::<Vec<_>>());
        let mut intact = 0;
        let mut offset = 0;
        for number in 0..count {
            offset += frame(&record(number)).len();
            intact += usize::from(offset <= harmless);
        }
        prop_assert!(records.len() >= intact);
        prop_assert_eq!(recovery.damage.is_empty(), records.len() as u64 == count || recovery.end.0 as usize == bytes.len());
        // And the log goes on after a restart.
        write(dir.path(), count, 1);
        let (after, _) = read(dir.path());
        prop_assert_eq!(after.last(), Some(&record(count)));
    }
}
