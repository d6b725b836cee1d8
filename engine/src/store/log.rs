//! The write-ahead log: what is acknowledged is in it and on disk.
//!
//! One thread owns the file. It takes everything that waits, writes it in one go, syncs once, and then wakes every waiter
//! (group commit): a hundred senders cost one sync. A record is `length, CRC-32, payload`, little-endian; segments are named by the
//! position of their first byte, so `position - segment start` is the offset in the file.
//!
//! A torn tail, as a crash leaves it, ends the log at the last whole record and is reported. Damage in the middle of a
//! segment loses the rest of that segment, is reported, and reading goes on with the next one; nothing is ever invented.

mod record;

pub use record::{Batch, Record};

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// A position in the log: bytes since its first record ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Bytes after which a new segment is begun.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Bytes written before a sync at most; what still waits goes into the next group.
const GROUP_BYTES: usize = 8 << 20;

/// Appends that may wait for the writer thread.
const QUEUE: usize = 1024;

/// Records longer than this are taken for damage.
const MAX_RECORD_BYTES: usize = 256 << 20;

const HEADER_BYTES: usize = 8;

/// What reading the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole records read.
    pub records: u64,
    /// End of the last whole record.
    pub end: Position,
    /// One sentence for each damaged place.
    pub damage: Vec<String>,
}

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
    /// Opens the log in `dir` (created if missing), hands every record from `from` on to `visit`, cuts off a torn tail, and
    /// starts the writer thread.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or a segment cannot be read or written; whatever `visit` returns.
    pub fn open(dir: &Path, from: Position, visit: impl FnMut(Record) -> Result<()>) -> Result<(Self, Recovery)> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("cannot create the log's folder", dir, e))?;
        let recovery = replay(dir, from, visit)?;
        // A new segment for every start: what a crash left behind is never appended to.
        let segments = segments(dir)?;
        let end = segments
            .last()
            .map_or(Ok(0), |(start, path)| file_len(path).map(|len| start + len))?;
        let end = recovery.end.0.max(end);
        let shared_end = Arc::new(AtomicU64::new(end));
        let mut writer = Writer {
            dir: dir.to_owned(),
            file: None,
            start: 0,
            end,
            shared_end: Arc::clone(&shared_end),
            buffer: Vec::new(),
        };
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
        Ok((
            Self {
                appends,
                dir: dir.to_owned(),
                end: shared_end,
                checkpoint: AtomicU64::new(from.0),
                writer: Some(thread),
            },
            recovery,
        ))
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

/// Reads every whole record from `from` on.
///
/// # Errors
/// [`Error::Io`] if a segment cannot be read; whatever `visit` returns.
pub fn replay(dir: &Path, from: Position, mut visit: impl FnMut(Record) -> Result<()>) -> Result<Recovery> {
    let mut recovery = Recovery {
        end: from,
        ..Recovery::default()
    };
    let segments = segments(dir)?;
    for (index, (start, path)) in segments.iter().enumerate() {
        if segments.get(index + 1).is_some_and(|(next, _)| *next <= from.0) {
            continue;
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut f| f.read_to_end(&mut bytes))
            .map_err(|e| Error::io("cannot read the log", path, e))?;
        let mut offset = 0;
        let damage = loop {
            if offset == bytes.len() {
                break None;
            }
            let (payload, next) = match unframe(&bytes, offset) {
                Ok(found) => found,
                Err(reason) => break Some(reason.to_owned()),
            };
            if start + offset as u64 >= from.0 {
                match Record::decode(payload) {
                    Ok(record) => visit(record)?,
                    Err(reason) => break Some(reason),
                }
                recovery.records += 1;
            }
            offset = next;
            recovery.end = recovery.end.max(Position(start + offset as u64));
        };
        if let Some(reason) = damage {
            let lost = bytes.len() - offset;
            let name = path
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            recovery.damage.push(format!(
                "{name}: {reason} at byte {offset}; its last {lost} bytes are not used"
            ));
        }
    }
    Ok(recovery)
}

struct Writer {
    dir: PathBuf,
    file: Option<File>,
    /// Position of the segment's first byte.
    start: u64,
    end: u64,
    /// `end`, for everybody else.
    shared_end: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

impl Writer {
    fn commit(&mut self, group: &mut Vec<Append>) {
        self.buffer.clear();
        for append in group.iter() {
            self.buffer.extend_from_slice(&append.framed);
        }
        let before = self.end;
        match self.write() {
            Ok(()) => {
                self.shared_end.store(self.end, Ordering::Release);
                let mut position = before;
                for append in group.drain(..) {
                    position += append.framed.len() as u64;
                    // The sender may have given up; the record is in the log all the same.
                    let _ = append.done.send(Ok(Position(position)));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log cannot be written, samples are refused until it can");
                self.abandon(before);
                for append in group.drain(..) {
                    let _ = append
                        .done
                        .send(Err(Error::Unavailable(format!("the log cannot be written: {error}"))));
                }
            }
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        if self.end - self.start > SEGMENT_BYTES {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = self.dir.join(segment_name(self.end));
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                // The new name must survive a crash as well as its content.
                File::open(&self.dir)?.sync_all()?;
                self.start = self.end;
                none.insert(file)
            }
        };
        file.write_all(&self.buffer)?;
        file.sync_data()?;
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Takes back what a failed write may have left, so that the next record does not follow garbage.
    fn abandon(&mut self, end: u64) {
        let clean = self
            .file
            .as_ref()
            .is_some_and(|file| file.set_len(end - self.start).is_ok());
        if !clean {
            // A new segment begins behind whatever is left there.
            let left = segments(&self.dir).ok().and_then(|s| s.last().cloned());
            let past = left.and_then(|(start, path)| file_len(&path).ok().map(|len| start + len));
            self.end = past.unwrap_or(end).max(end);
            self.file = None;
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

/// The payload at `offset`, and the offset after it.
fn unframe(bytes: &[u8], offset: usize) -> Result<(&[u8], usize), &'static str> {
    let rest = &bytes[offset..];
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("torn record header")?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or("torn record header")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > MAX_RECORD_BYTES {
        return Err("damaged record length");
    }
    let payload = rest.get(..length).ok_or("torn record")?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return Err("checksum mismatch");
    }
    Ok((payload, offset + HEADER_BYTES + length))
}

fn segment_name(start: u64) -> String {
    format!("{start:016x}.log")
}

/// Segments by position.
fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("cannot list the log", dir, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot list the log", dir, e))?.path();
        if path.extension().is_some_and(|e| e == "log")
            && let Some(start) = path
                .file_stem()
                .and_then(|s| u64::from_str_radix(&s.to_string_lossy(), 16).ok())
        {
            found.push((start, path));
        }
    }
    found.sort();
    Ok(found)
}

fn file_len(path: &Path) -> Result<u64> {
    std::fs::metadata(path)
        .map(|m| m.len())
        .map_err(|e| Error::io("cannot look at the log", path, e))
}

#[cfg(test)]
mod tests;
