//! The one writer: takes everything that waits, writes it in one go, syncs once, and then wakes every waiter.
//!
//! After a write that failed, in whatever way, the segment is cut back to what was acknowledged and never written again: a sync
//! that failed may have dropped pages, and only what is written anew is known to reach the disk. The next group begins a new
//! segment, so the log goes on as soon as the disk does.

use super::replay::{file_len, segment_name, segments};
use super::{Append, Position};
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes after which a new segment is begun.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Where segments are written: a folder on a disk; in tests one that fails as it is told.
pub(super) trait Medium: Send {
    /// Begins the segment whose first byte has this position; an empty one of that name is taken over.
    fn begin(&mut self, start: u64) -> io::Result<()>;
    /// Appends to the segment; of a write that fails a part may be there.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once all of the segment outlives a power cut.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the segment to its first `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Position after the last byte of the newest segment.
    fn end(&self) -> Result<Option<u64>>;
}

/// A folder on a disk.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    segment: Option<File>,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            segment: None,
        }
    }

    fn segment(&mut self) -> io::Result<&mut File> {
        self.segment
            .as_mut()
            .ok_or_else(|| io::Error::other("no segment was begun"))
    }
}

impl Medium for Folder {
    fn begin(&mut self, start: u64) -> io::Result<()> {
        self.segment = None;
        let path = self.dir.join(segment_name(start));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        // The new name must survive a crash as well as its content.
        File::open(&self.dir)?.sync_all()?;
        self.segment = Some(file);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.segment()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.segment()?.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let file = self.segment()?;
        file.set_len(length)?;
        file.sync_data()
    }

    fn end(&self) -> Result<Option<u64>> {
        match segments(&self.dir)?.last() {
            Some((start, path)) => Ok(Some(start + file_len(path)?)),
            None => Ok(None),
        }
    }
}

/// See the module.
pub(super) struct Writer<M> {
    medium: M,
    /// Position of the first byte of the segment that is written; `None`: the next group begins one.
    segment: Option<u64>,
    end: u64,
    /// `end`, for everybody else.
    shared_end: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

impl<M: Medium> Writer<M> {
    /// Writes behind `end`, in a new segment: what a crash left behind is never appended to.
    pub(super) fn new(medium: M, end: u64, shared_end: Arc<AtomicU64>) -> Self {
        Self {
            medium,
            segment: None,
            end,
            shared_end,
            buffer: Vec::new(),
        }
    }

    /// Writes a group and tells every waiter.
    pub(super) fn commit(&mut self, group: &mut Vec<Append>) {
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
                self.abandon(before);
                for append in group.drain(..) {
                    let problem = format!("the log cannot be written: {error}");
                    let _ = append.done.send(Err(Error::Unavailable(problem)));
                }
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let full = self.segment.is_none_or(|start| self.end - start > SEGMENT_BYTES);
        if full {
            self.segment = None;
            self.medium.begin(self.end)?;
            self.segment = Some(self.end);
        }
        self.medium.write(&self.buffer)?;
        self.medium.sync()?;
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Takes back what a failed write may have left, so that the next record does not follow garbage.
    fn abandon(&mut self, end: u64) {
        let clean = self
            .segment
            .take()
            .is_some_and(|start| self.medium.cut(end - start).is_ok());
        if !clean {
            // A new segment begins behind whatever is left there.
            let left = self.medium.end().ok().flatten();
            self.end = left.unwrap_or(end).max(end);
        }
    }
}
