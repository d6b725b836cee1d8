//! The write-ahead log: what is acknowledged is in it and on disk.
//!
//! One thread owns the file. It takes everything that waits, writes it in one go, syncs once, and then wakes every waiter
//! (group commit): a hundred senders cost one sync. A record is `length, CRC-32, payload`, little-endian; segments are named by the
//! position of their first byte, so `position - segment start` is the offset in the file.
//!
//! `writer` survives a disk that fails or is full; `replay` tells what a crash cut off from what was damaged.

mod record;
mod replay;
mod writer;

pub use record::{Batch, Record};
pub use replay::{Recovery, read_segment, replay};

use crate::error::{Error, Result};
use replay::{HEADER_BYTES, segments};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
use writer::{Folder, Medium, Writer};

/// A position in the log: bytes since its first record ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Bytes written before a sync at most; what still waits goes into the next group.
const GROUP_BYTES: usize = 8 << 20;

/// Appends that may wait for the writer thread.
const QUEUE: usize = 1024;

/// The open log.
#[derive(Debug)]
pub struct Log {
    appends: mpsc::Sender<Append>,
    dir: PathBuf,
    end: Arc<AtomicU64>,
    /// The last checkpoint: what a start would have to read begins here.
    checkpoint: AtomicU64,
    writer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Append {
    framed: Vec<u8>,
    done: oneshot::Sender<Result<Position>>,
}

impl Log {
    /// Opens the log in `dir` (created if missing), hands every record from `from` on to `visit`, and starts the writer thread
    /// behind all that is there.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or a segment cannot be read or written; whatever `visit` returns.
    pub fn open(dir: &Path, from: Position, visit: impl FnMut(Record) -> Result<()>) -> Result<(Self, Recovery)> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("cannot create the log's folder", dir, e))?;
        let recovery = replay(dir, from, visit)?;
        let medium = Folder::new(dir);
        let end = recovery.end.0.max(medium.end()?.unwrap_or(0));
        let log = Self::write_to(medium, dir, from, end)?;
        Ok((log, recovery))
    }

    /// Starts the writer thread behind `end`.
    fn write_to(medium: impl Medium + 'static, dir: &Path, from: Position, end: u64) -> Result<Self> {
        let shared_end = Arc::new(AtomicU64::new(end));
        let mut writer = Writer::new(medium, end, Arc::clone(&shared_end));
        let (appends, mut inbox) = mpsc::channel::<Append>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("halo-log".to_owned())
            .spawn(move || {
                let mut group = Vec::new();
                while let Some(first) = inbox.blocking_recv() {
                    let mut bytes = first.framed.len();
                    group.push(first);
                    while bytes < GROUP_BYTES
                        && let Ok(next) = inbox.try_recv()
                    {
                        bytes += next.framed.len();
                        group.push(next);
                    }
                    writer.commit(&mut group);
                }
            })
            .map_err(|e| Error::io("cannot start the log's thread", dir, e))?;
        Ok(Self {
            appends,
            dir: dir.to_owned(),
            end: shared_end,
            checkpoint: AtomicU64::new(from.0),
            writer: Some(thread),
        })
    }

    /// Appends a record; resolves once it is on disk, with the position after it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the disk refused: the record is not in the log, and the next one may succeed.
    pub async fn append(&self, record: &Record) -> Result<Position> {
        let (done, wait) = oneshot::channel();
        let framed = frame(record);
        let gone = || Error::Unavailable("the log is closed: the engine is shutting down".to_owned());
        self.appends.send(Append { framed, done }).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }

    /// Position after the newest record that is on disk.
    pub fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }

    /// Bytes that a start would have to read.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.end().0.saturating_sub(self.checkpoint.load(Ordering::Acquire))
    }

    /// Removes segments that hold nothing at or after `checkpoint`.
    ///
    /// # Errors
    /// [`Error::Io`] if a segment cannot be removed; the others are gone.
    pub fn remove_before(&self, checkpoint: Position) -> Result<()> {
        self.checkpoint.fetch_max(checkpoint.0, Ordering::AcqRel);
        let segments = segments(&self.dir)?;
        for pair in segments.windows(2) {
            if pair[1].0 <= checkpoint.0 {
                std::fs::remove_file(&pair[0].1)
                    .map_err(|e| Error::io("cannot remove a log segment", &pair[0].1, e))?;
            }
        }
        Ok(())
    }
}

impl Drop for Log {
    /// Waits until what was appended is written.
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.appends = closed;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been printed; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

fn frame(record: &Record) -> Vec<u8> {
    let mut framed = vec![0; HEADER_BYTES];
    record.encode(&mut framed);
    let length = u32::try_from(framed.len() - HEADER_BYTES).expect("a request is limited far below 4 GiB");
    let crc = crc32fast::hash(&framed[HEADER_BYTES..]);
    framed[..4].copy_from_slice(&length.to_le_bytes());
    framed[4..8].copy_from_slice(&crc.to_le_bytes());
    framed
}

#[cfg(test)]
mod tests;
