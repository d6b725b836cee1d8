//! Reading the log back: every record that is whole, and a sentence for every place that is not.
//!
//! A record that is cut off at the end of its segment is what a crash leaves: nobody was told that it is kept. Anything else that does not match its
//! checksum is damage, and may have been acknowledged; reading goes on behind it, at the next place where a header, a checksum
//! and a record agree. Nothing is ever invented.

use super::Position;
use super::record::Record;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Records longer than this are taken for damage.
const MAX_RECORD_BYTES: usize = 256 << 20;

pub(super) const HEADER_BYTES: usize = 8;

/// What reading the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole records read.
    pub records: u64,
    /// End of the last whole record.
    pub end: Position,
    /// One sentence for each damaged place: what was acknowledged may be lost there.
    pub damage: Vec<String>,
    /// One sentence for each segment that ends within a record, as a crash leaves it: nobody was told that it is kept.
    pub torn: Vec<String>,
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
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        segment(&name, &bytes, *start, from, &mut recovery, &mut visit)?;
    }
    Ok(recovery)
}

/// Reads the bytes of one segment alone, for who has them from elsewhere.
pub fn read_segment(bytes: &[u8], mut visit: impl FnMut(Record)) -> Recovery {
    let mut recovery = Recovery::default();
    let mut take = |record| {
        visit(record);
        Ok(())
    };
    // Only `visit` fails, and this one never does.
    let _ = segment("segment", bytes, 0, Position(0), &mut recovery, &mut take);
    recovery
}

fn segment(
    name: &str,
    bytes: &[u8],
    start: u64,
    from: Position,
    recovery: &mut Recovery,
    visit: &mut impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    let mut offset = 0;
    while offset < bytes.len() {
        let found = unframe(bytes, offset).and_then(|(payload, next)| {
            let wanted = start + offset as u64 >= from.0;
            let record = wanted.then(|| Record::decode(payload).map_err(Break::Damaged));
            Ok((record.transpose()?, next))
        });
        match found {
            Ok((record, next)) => {
                if let Some(record) = record {
                    visit(record)?;
                    recovery.records += 1;
                }
                offset = next;
                recovery.end = recovery.end.max(Position(start + offset as u64));
            }
            Err(found) => {
                let next = resync(bytes, offset + 1);
                let lost = next.unwrap_or(bytes.len()) - offset;
                match (found, next) {
                    (Break::Torn(reason), None) => recovery.torn.push(format!(
                        "{name}: {reason} at byte {offset}, as a crash leaves it; its last {lost} bytes are not used"
                    )),
                    (Break::Torn(reason), Some(_)) => recovery.damage.push(damage(name, reason, offset, lost)),
                    (Break::Damaged(reason), _) => recovery.damage.push(damage(name, &reason, offset, lost)),
                }
                offset += lost;
            }
        }
    }
    Ok(())
}

fn damage(name: &str, reason: &str, offset: usize, lost: usize) -> String {
    format!("{name}: {reason} at byte {offset}; {lost} bytes are not used, samples in them are lost")
}

/// Why there is no record at a place.
enum Break {
    /// It ends before it is whole.
    Torn(&'static str),
    Damaged(String),
}

/// The payload at `offset`, and the offset after it.
fn unframe(bytes: &[u8], offset: usize) -> Result<(&[u8], usize), Break> {
    let rest = &bytes[offset..];
    // A file that grew before its bytes came ends with zeros.
    if rest.iter().take(HEADER_BYTES).all(|byte| *byte == 0) && rest.iter().all(|byte| *byte == 0) {
        return Err(Break::Torn("only zeros"));
    }
    let header = || Break::Torn("torn record header");
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(header)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or_else(header)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > MAX_RECORD_BYTES {
        return Err(Break::Damaged("damaged record length".to_owned()));
    }
    let payload = rest.get(..length).ok_or(Break::Torn("torn record"))?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return Err(Break::Damaged("checksum mismatch".to_owned()));
    }
    Ok((payload, offset + HEADER_BYTES + length))
}

/// The next place from `offset` on where a record begins that is whole.
fn resync(bytes: &[u8], offset: usize) -> Option<usize> {
    (offset..bytes.len().saturating_sub(HEADER_BYTES)).find(|at| {
        // What cannot be a record is told apart before a checksum is computed.
        Record::may_begin(&bytes[at + HEADER_BYTES..])
            && unframe(bytes, *at).is_ok_and(|(payload, _)| Record::decode(payload).is_ok())
    })
}

pub(super) fn segment_name(start: u64) -> String {
    format!("{start:016x}.log")
}

/// Segments by position.
pub(super) fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
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

pub(super) fn file_len(path: &Path) -> Result<u64> {
    std::fs::metadata(path)
        .map(|m| m.len())
        .map_err(|e| Error::io("cannot look at the log", path, e))
}
