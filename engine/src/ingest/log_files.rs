//! Log files, followed as they grow, for what writes to a file and has no agent beside it.
//!
//! A file is not known by its name: while it is followed by what the file system calls it, and after a restart by its beginning, as
//! OpenTelemetry's `filelog` receiver knows it. One that is renamed goes on where it was, what comes under its name is another, and of
//! one that is deleted the rest is read as long as it is open. Who is cut back (`copytruncate`) begins again.
//!
//! What a line says is in [`lines`]: JSON objects as others send them, and plain text with the time and severity that it begins with.

pub mod lines;

use super::matching::matching;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Files of a section followed at most.
const MAX_FILES: usize = 1000;

/// Of a file at most so much is read at once, and of all together less than twice as much: the shortest of lines, with what is said of
/// each, have room in one request. A line that is longer comes in pieces.
const CHUNK: u64 = 256 << 10;

/// Bytes of its beginning that a file is known by.
const HEAD: usize = 1024;

/// Files that are gone whose place is kept: they may come back under another name.
const MAX_GONE: usize = 1000;

/// Ends of names that no text has.
const PACKED: [&str; 5] = ["gz", "bz2", "xz", "zst", "zip"];

/// Files to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilesConfig {
    /// Of the section.
    pub name: String,
    /// Names of files, in whose last part `*` stands for anything.
    pub paths: Vec<PathBuf>,
    /// Whose lines they are, where these do not say; else the name of the file.
    pub service: Option<String>,
    /// Whether what a file holds when Halo first sees it is read, too.
    pub from_beginning: bool,
}

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub path: PathBuf,
    head: Head,
    pub offset: u64,
}

/// How a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    bytes: usize,
    hash: u64,
}

impl Head {
    /// Of the first bytes of a file, at most `most`.
    fn of(file: &mut File, most: usize) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(most);
        file.seek(SeekFrom::Start(0))?;
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(Self {
            bytes: bytes.len(),
            hash: xxh3_64(&bytes),
        })
    }

    /// Whether a file begins like this. Of one that was empty nothing is known.
    fn is_of(self, file: &mut File) -> bool {
        self.bytes > 0 && Self::of(file, self.bytes).is_ok_and(|head| head == self)
    }
}

/// A file that is followed.
#[derive(Debug)]
struct Tail {
    file: File,
    head: Head,
    offset: u64,
    /// Its name is another file's now, or nobody's.
    is_replaced: bool,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let head = Head::of(&mut file, HEAD)?;
        Ok(Self {
            file,
            head,
            offset: 0,
            is_replaced: false,
        })
    }

    /// Looks whether its name is still its own, and whether it was cut back.
    fn look(&mut self, path: &Path) -> io::Result<()> {
        self.is_replaced = match File::open(path) {
            Ok(mut now) => !self.is_same(&mut now)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if self.is_replaced {
            return Ok(());
        }
        if self.file.metadata()?.len() < self.offset || (self.head.bytes > 0 && !self.head.is_of(&mut self.file)) {
            self.offset = 0;
            self.head = Head::default();
        }
        if self.head.bytes < HEAD {
            self.head = Head::of(&mut self.file, HEAD)?;
        }
        Ok(())
    }

    /// Whether another handle leads to this file.
    #[cfg(unix)]
    fn is_same(&mut self, other: &mut File) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let (own, other) = (self.file.metadata()?, other.metadata()?);
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    /// What the file system calls it.
    #[cfg(unix)]
    fn number(&self, path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let own = self.file.metadata();
        own.map_or_else(
            |_| of_name(path),
            |own| xxh3_64(&[own.dev().to_le_bytes(), own.ino().to_le_bytes()].concat()),
        )
    }

    /// There is no number; the name stands for it.
    #[cfg(not(unix))]
    fn number(&self, path: &Path) -> u64 {
        of_name(path)
    }

    /// Whether another handle leads to this file, or to one that begins like it.
    #[cfg(not(unix))]
    fn is_same(&mut self, other: &mut File) -> io::Result<bool> {
        Ok(self.head.bytes == 0 || self.head.is_of(other) || !self.head.is_of(&mut self.file))
    }

    /// What comes next: the text of whole lines, and where it ends. Of a file to which nothing is added the last line is whole.
    fn next(&mut self) -> io::Result<(Vec<u8>, u64)> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.offset))?;
        (&mut self.file).take(CHUNK).read_to_end(&mut bytes)?;
        let is_full = bytes.len() as u64 == CHUNK;
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) if is_full || !self.is_replaced => bytes.truncate(last + 1),
            None if !is_full && !self.is_replaced => bytes.clear(),
            _ => {}
        }
        let end = self.offset + bytes.len() as u64;
        Ok((bytes, end))
    }
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub path: PathBuf,
    /// The same for the same file, whatever its name.
    pub file: u64,
    /// Where it begins in the file.
    pub offset: u64,
    pub text: Vec<u8>,
}

/// What was added to all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    pub pieces: Vec<Piece>,
    /// How far each file is read with them.
    ends: Vec<(PathBuf, u64)>,
    pub problems: Vec<String>,
    pub files: usize,
}

impl Added {
    /// Takes what was added to a file; returns whether there was something.
    fn take(&mut self, path: &Path, tail: &mut Tail) -> bool {
        match tail.next() {
            Ok((text, _)) if text.is_empty() => return false,
            Ok((text, end)) => {
                self.ends.push((path.to_owned(), end));
                self.pieces.push(Piece {
                    path: path.to_owned(),
                    file: tail.number(path),
                    offset: tail.offset,
                    text,
                });
            }
            Err(error) => self.problems.push(format!("{}: {error}", path.display())),
        }
        true
    }

    fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.text.len() as u64).sum()
    }

    /// Whether there may be more already.
    pub fn is_full(&self) -> bool {
        self.bytes() * 2 > CHUNK
    }
}

/// Follows the files of a section.
#[derive(Debug)]
pub struct Tailer {
    config: LogFilesConfig,
    tails: BTreeMap<PathBuf, Tail>,
    /// Files that are not there now, the newest last.
    gone: VecDeque<Position>,
    /// Whether files have been looked for before: what comes later is new.
    has_looked: bool,
    /// The file that was read last, after which the next reading begins: one that grows fast keeps nobody waiting.
    last: PathBuf,
}

impl Tailer {
    /// Goes on from where files were left.
    pub fn new(config: LogFilesConfig, positions: Vec<Position>) -> Self {
        Self {
            config,
            tails: BTreeMap::new(),
            has_looked: !positions.is_empty(),
            gone: positions.into(),
            last: PathBuf::new(),
        }
    }

    /// Reads what was added. The same again, until [`Self::keep`] is told that it is kept. Blocks; O(files + bytes).
    pub fn read(&mut self) -> Added {
        let mut added = Added::default();
        self.look(&mut added.problems);
        let mut over = Vec::new();
        let last = std::mem::take(&mut self.last);
        let (behind, before): (Vec<_>, Vec<_>) = self.tails.iter_mut().partition(|(path, _)| **path > last);
        for (path, tail) in behind.into_iter().chain(before) {
            if added.bytes() >= CHUNK {
                break;
            }
            self.last.clone_from(path);
            if !added.take(path, tail) && tail.is_replaced {
                over.push(path.clone());
            }
        }
        for path in over {
            if let Some(tail) = self.tails.remove(&path) {
                self.leave(path.clone(), &tail);
            }
            // Whoever has its name now.
            if path.is_file() {
                let mut problems = Vec::new();
                self.follow(path, Some(&mut added), &mut problems);
                added.problems.extend(problems);
            }
        }
        added.files = self.tails.len();
        added
    }

    /// What was read is kept: the next reading goes on behind it.
    pub fn keep(&mut self, added: &Added) {
        for (path, end) in &added.ends {
            if let Some(tail) = self.tails.get_mut(path) {
                tail.offset = *end;
            }
        }
    }

    /// How far every file was read, those that are gone first.
    pub fn positions(&self) -> Vec<Position> {
        let own = self.tails.iter().map(|(path, tail)| position(path, tail));
        self.gone.iter().cloned().chain(own).collect()
    }

    /// Finds files that are new, renamed, cut back or gone.
    fn look(&mut self, problems: &mut Vec<String>) {
        let mut present = BTreeSet::new();
        for pattern in &self.config.paths {
            let paths = matching(pattern);
            if paths.is_empty() {
                problems.push(format!("no file is named {}", pattern.display()));
            }
            present.extend(paths.into_iter().filter(|path| !is_packed(path)));
        }
        if present.len() > MAX_FILES {
            problems.push(format!("{} files, of which {MAX_FILES} are followed", present.len()));
        }
        for (path, tail) in &mut self.tails {
            if let Err(error) = tail.look(path) {
                problems.push(format!("{}: {error}", path.display()));
            }
        }
        for path in present.into_iter().take(MAX_FILES) {
            if self.tails.contains_key(&path) {
                continue;
            }
            self.follow(path, None, problems);
        }
        self.has_looked = true;
    }

    /// Follows a file that was not known under this name; and takes what it holds, where the others have been read already.
    fn follow(&mut self, path: PathBuf, added: Option<&mut Added>, problems: &mut Vec<String>) {
        // What was read of a file is kept under the name that it was read by.
        let may_move = added.is_none();
        match self.begin(&path, may_move) {
            Ok(Some(mut tail)) => {
                if let Some(added) = added {
                    added.take(&path, &mut tail);
                }
                self.tails.insert(path, tail);
            }
            Ok(None) => {}
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }

    /// A file under a name that none has. `None`: it is followed under another, and must stay so for now.
    fn begin(&mut self, path: &Path, may_move: bool) -> io::Result<Option<Tail>> {
        let mut tail = Tail::open(path)?;
        // Also one whose name was its own a moment ago.
        let mut others = self.tails.iter_mut();
        let renamed = others.find_map(|(before, other)| other.is_same(&mut tail.file).ok()?.then(|| before.clone()));
        if let Some(before) = renamed {
            let renamed = may_move.then(|| self.tails.remove(&before)).flatten();
            return Ok(renamed.map(|renamed| Tail {
                is_replaced: false,
                ..renamed
            }));
        }
        let length = tail.file.metadata()?.len();
        // Some begin alike: then the one of this name.
        let places = 0..self.gone.len();
        let alike: Vec<usize> = places
            .filter(|place| self.gone[*place].head.is_of(&mut tail.file))
            .collect();
        let of_name = alike.iter().rfind(|place| self.gone[**place].path == path);
        let known = of_name.or(alike.last()).copied();
        if let Some(known) = known.and_then(|place| self.gone.remove(place)) {
            // Cut back meanwhile: it begins again.
            tail.offset = if known.offset <= length { known.offset } else { 0 };
        } else if !self.has_looked && !self.config.from_beginning {
            tail.offset = length;
        }
        Ok(Some(tail))
    }

    fn leave(&mut self, path: PathBuf, tail: &Tail) {
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(position(&path, tail));
    }
}

fn position(path: &Path, tail: &Tail) -> Position {
    Position {
        path: path.to_owned(),
        head: tail.head,
        offset: tail.offset,
    }
}

fn of_name(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_encoded_bytes())
}

fn is_packed(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| PACKED.iter().any(|packed| end.eq_ignore_ascii_case(packed)))
}

#[cfg(test)]
mod tests;
