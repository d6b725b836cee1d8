//! The log under crashes: torn tails, flipped bits, restarts.

use super::*;
use crate::series::{Labels, Sample, info_from_labels};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io;
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

/// A disk that fails as it is told, over a real folder.
struct Faulty {
    folder: Folder,
    /// What the next writes do; then all go well.
    script: Arc<std::sync::Mutex<VecDeque<Fault>>>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// So many bytes find room.
    Full(usize),
    Unsynced,
    /// And what was written cannot be taken back.
    Stuck(usize),
}

impl Medium for Faulty {
    fn begin(&mut self, start: u64) -> io::Result<()> {
        self.folder.begin(start)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let next = self.script.lock().unwrap().front().copied();
        match next {
            Some(Fault::Full(room) | Fault::Stuck(room)) => {
                self.folder.write(&bytes[..room.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => self.folder.write(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.script.lock().unwrap().pop_front() {
            Some(Fault::Unsynced) => Err(io::Error::other("the sync failed")),
            _ => self.folder.sync(),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        match self.script.lock().unwrap().pop_front() {
            Some(Fault::Stuck(_)) => Err(io::Error::other("read-only")),
            _ => self.folder.cut(length),
        }
    }

    fn end(&self) -> Result<Option<u64>> {
        self.folder.end()
    }
}

#[test]
fn a_disk_that_fails_loses_nothing_acknowledged_and_goes_on() {
    use Fault::{Full, None as Well, Stuck, Unsynced};
    let scripts: [&[Fault]; 6] = [
        &[Full(0), Well],
        &[Well, Full(5), Full(5), Full(0), Well],
        &[Well, Unsynced, Well],
        &[Well, Well, Stuck(11), Well],
        &[Stuck(3), Stuck(20), Well, Full(1), Unsynced, Well],
        &[Unsynced, Unsynced],
    ];
    for script in scripts {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(std::sync::Mutex::new(VecDeque::from(script.to_vec())));
        let medium = Faulty {
            folder: Folder::new(dir.path()),
            script: Arc::clone(&shared),
        };
        let log = Log::write_to(medium, dir.path(), Position(0), 0).unwrap();
        let mut acknowledged = Vec::new();
        for number in 0..10 {
            match runtime().block_on(log.append(&record(number))) {
                Ok(_) => acknowledged.push(record(number)),
                Err(Error::Unavailable(problem)) => assert!(problem.contains("cannot be written"), "{problem}"),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(acknowledged.len() >= 5, "{script:?}: it goes on");
        drop(log);
        let (found, recovery) = read(dir.path());
        // What was refused may be there where it could not be taken back; never in place of what was not.
        let kept: Vec<_> = found.iter().filter(|r| acknowledged.contains(r)).cloned().collect();
        assert_eq!(kept, acknowledged, "{script:?}");
        assert_eq!(recovery.damage, Vec::<String>::new(), "{script:?}");
    }
}

/// A disk that syncs when it is let.
struct Slow {
    folder: Folder,
    let_go: std::sync::mpsc::Receiver<()>,
}

impl Medium for Slow {
    fn begin(&mut self, start: u64) -> io::Result<()> {
        self.folder.begin(start)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.folder.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.let_go.recv().map_err(io::Error::other)?;
        self.folder.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.folder.cut(length)
    }

    fn end(&self) -> Result<Option<u64>> {
        self.folder.end()
    }
}

#[test]
fn on_a_slow_disk_nothing_is_acknowledged_before_its_sync_and_groups_grow() {
    let dir = tempfile::tempdir().unwrap();
    let (release, let_go) = std::sync::mpsc::sync_channel(8);
    let medium = Slow {
        folder: Folder::new(dir.path()),
        let_go,
    };
    let log = Log::write_to(medium, dir.path(), Position(0), 0).unwrap();
    runtime().block_on(async {
        let mut first = Box::pin(log.append(&RECORD));
        assert!(futures::poll!(&mut first).is_pending());
        // These come while the first is synced, and share the next one.
        let records: Vec<_> = (1..50).map(record).collect();
        release.send(()).unwrap();
        first.await.unwrap();
        let mut rest: Vec<_> = records.iter().map(|r| Box::pin(log.append(r))).collect();
        for waiting in &mut rest {
            assert!(futures::poll!(waiting).is_pending());
        }
        assert_eq!(log.end().0, frame(&RECORD).len() as u64, "nothing unsynced counts");
        // 49 records need at most 7 syncs: the writer takes all that waits.
        for _ in 0..7 {
            let _ = release.try_send(());
        }
        drop(release);
        let done = futures::future::join_all(rest).await;
        let kept = done.iter().filter(|done| done.is_ok()).count();
        assert_eq!(kept, 49);
    });
}

static RECORD: Record = Record::Batch(Batch {
    source: String::new(),
    new_series: Vec::new(),
    samples: Vec::new(),
});

/// A log of several records in one segment, and where each of them ends.
fn written(dir: &Path, count: u64) -> (PathBuf, Vec<u8>, Vec<usize>) {
    write(dir, 0, count);
    let (_, path) = segments(dir).unwrap().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let mut end = 0;
    let ends = (0..count).map(|number| {
        end += frame(&record(number)).len();
        end
    });
    let ends = ends.collect();
    (path, bytes, ends)
}

#[test]
fn a_log_cut_anywhere_keeps_every_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, ends) = written(dir.path(), 7);
    for cut in 0..=bytes.len() {
        // Nothing behind the cut, and what a file system leaves that grew the file before its bytes came.
        for zeros in [0, 1, 9, 500] {
            let mut left = bytes[..cut].to_vec();
            left.resize(cut + zeros, 0);
            std::fs::write(&path, &left).unwrap();
            let (found, recovery) = read(dir.path());
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert!(found.len() >= whole, "cut at {cut}, {zeros} zeros");
            assert_eq!(found, (0..found.len() as u64).map(record).collect::<Vec<_>>());
            let is_clean = left.is_empty() || (zeros == 0 && ends.contains(&cut));
            let told = recovery.damage.len() + recovery.torn.len();
            assert!(
                is_clean || told == 1 || found.len() > whole,
                "cut at {cut}, {zeros} zeros: {recovery:?}"
            );
            assert!(zeros > 0 || recovery.damage.is_empty(), "cut at {cut}: {recovery:?}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, ends) = written(dir.path(), 4);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(&path, &flipped).unwrap();
            let (found, recovery) = read(dir.path());
            let hit = ends.iter().filter(|end| **end <= at).count() as u64;
            let others: Vec<_> = (0..4).filter(|number| *number != hit).map(record).collect();
            assert_eq!(found, others, "bit {bit} of byte {at}");
            assert_eq!(recovery.damage.len() + recovery.torn.len(), 1, "bit {bit} of byte {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_loses_only_what_it_hits(cut in 0usize..2000, flip in prop::option::of((0usize..2000, 0u8..8)), count in 1u64..20) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 0, count);
        let (_, path) = segments(dir.path()).unwrap().remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.truncate(whole - cut % whole);
        let mut hit = usize::MAX;
        if let Some((at, bit)) = flip && !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            hit = at;
        }
        std::fs::write(&path, &bytes).unwrap();
        let (records, recovery) = read(dir.path());
        // All that is whole, in order, and nothing else.
        let mut offset = 0;
        let mut whole = Vec::new();
        for number in 0..count {
            let from = offset;
            offset += frame(&record(number)).len();
            if offset <= bytes.len() && !(from..offset).contains(&hit) {
                whole.push(record(number));
            }
        }
        prop_assert_eq!(&records, &whole);
        let ends_within = recovery.end.0 as usize != bytes.len();
        prop_assert_eq!(!recovery.damage.is_empty() || !recovery.torn.is_empty(), ends_within || hit != usize::MAX);
        // And the log goes on after a restart.
        write(dir.path(), count, 1);
        let (after, _) = read(dir.path());
        prop_assert_eq!(after.last(), Some(&record(count)));
    }
}
