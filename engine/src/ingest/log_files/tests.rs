//! Files that grow, are renamed, cut back and deleted, as loggers and logrotate do it.

use super::*;
use std::fs;
use std::io::Write as _;

struct Bench {
    folder: tempfile::TempDir,
    tailer: Tailer,
}

impl Bench {
    fn new(pattern: &str, from_beginning: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tailer = Tailer::new(config(&folder.path().join(pattern), from_beginning), Vec::new());
        Self { folder, tailer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// What is read and kept now, with the name of the file.
    fn read(&mut self) -> Vec<(String, String)> {
        let added = self.tailer.read();
        self.tailer.keep(&added);
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let pieces = added.pieces.into_iter();
        pieces
            .map(|piece| (name(&piece.path), String::from_utf8(piece.text).unwrap()))
            .collect()
    }

    /// Another process goes on.
    fn restart(&mut self) {
        let kept = serde_json::to_string(&self.tailer.positions()).unwrap();
        self.tailer = Tailer::new(self.tailer.config.clone(), serde_json::from_str(&kept).unwrap());
    }
}

fn config(pattern: &Path, from_beginning: bool) -> LogFilesConfig {
    LogFilesConfig {
        name: "app".to_owned(),
        paths: vec![pattern.to_owned()],
        service: None,
        from_beginning,
    }
}

fn of(name: &str, text: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), text.to_owned())]
}

#[test]
fn whole_lines_are_read_once_and_the_past_is_left_alone() {
    let mut bench = Bench::new("*.log", false);
    bench.append("a.log", "long ago\n");
    assert_eq!(bench.read(), []);
    bench.append("a.log", "one\ntwo\nhal");
    assert_eq!(bench.read(), of("a.log", "one\ntwo\n"));
    assert_eq!(bench.read(), []);
    bench.append("a.log", "f\n");
    assert_eq!(bench.read(), of("a.log", "half\n"));
    // What comes later is read from its beginning.
    bench.append("b.log", "first\n");
    bench.append("c.log.gz", "packed\n");
    assert_eq!(bench.read(), of("b.log", "first\n"));
    let mut bench = Bench::new("a.log", true);
    bench.append("a.log", "long ago\n");
    assert_eq!(bench.read(), of("a.log", "long ago\n"));
}

#[test]
fn what_was_not_kept_is_read_again() {
    let mut bench = Bench::new("a.log", true);
    bench.append("a.log", "one\n");
    assert_eq!(bench.tailer.read(), bench.tailer.read());
    bench.append("a.log", "two\n");
    assert_eq!(bench.read(), of("a.log", "one\ntwo\n"));
}

#[test]
fn a_file_that_is_renamed_goes_on_and_its_name_begins_anew() {
    // The name that it gets may be followed as well, or not.
    for (pattern, rest) in [("a.log*", "a.log.1"), ("a.log", "a.log")] {
        let mut bench = Bench::new(pattern, true);
        bench.append("a.log", "one\n");
        assert_eq!(bench.read(), of("a.log", "one\n"));
        bench.append("a.log", "two\n");
        fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
        bench.append("a.log", "three\n");
        let mut found = bench.read();
        while found.len() < 2 {
            let more = bench.read();
            assert!(!more.is_empty(), "{pattern}: {found:?}");
            found.extend(more);
        }
        found.sort();
        let mut expected = [of(rest, "two\n"), of("a.log", "three\n")].concat();
        expected.sort();
        assert_eq!(found, expected, "{pattern}");
        assert_eq!(bench.read(), [], "{pattern}");
    }
}

#[test]
fn of_two_that_are_renamed_at_once_the_older_may_be_gone() {
    let mut bench = Bench::new("a.log*", true);
    bench.append("a.log.1", "zero\n");
    bench.append("a.log", "one\n");
    bench.read();
    bench.append("a.log", "two\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", "three\n");
    let mut found: Vec<String> = (0..4).flat_map(|_| bench.read()).map(|(_, text)| text).collect();
    found.sort();
    assert_eq!(found, ["three\n", "two\n"]);
}

#[test]
fn what_is_added_while_nobody_looks_is_new() {
    let mut bench = Bench::new("a.log", false);
    bench.append("a.log", "long ago\n");
    assert_eq!(bench.read(), []);
    bench.append("a.log", "one\n");
    bench.restart();
    assert_eq!(bench.read(), of("a.log", "one\n"));
}

#[test]
fn a_file_that_is_deleted_is_read_to_its_end() {
    let mut bench = Bench::new("a.log", true);
    bench.append("a.log", "one\n");
    bench.read();
    bench.append("a.log", "two\nand no end");
    fs::remove_file(bench.path("a.log")).unwrap();
    assert_eq!(bench.read(), of("a.log", "two\nand no end"));
    assert_eq!(bench.read(), []);
}

#[test]
fn a_file_that_is_cut_back_begins_again() {
    let mut bench = Bench::new("a.log", true);
    bench.append("a.log", "one and two and three\n");
    bench.read();
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    File::options()
        .write(true)
        .open(bench.path("a.log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    assert_eq!(bench.read(), []);
    bench.append("a.log", "four\n");
    assert_eq!(bench.read(), of("a.log", "four\n"));
    // Between two looks it has grown beyond what it was.
    File::options()
        .write(true)
        .open(bench.path("a.log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    bench.append("a.log", "five, and more than there was\n");
    assert_eq!(bench.read(), of("a.log", "five, and more than there was\n"));
}

#[test]
fn a_restart_goes_on_where_files_were_left_whatever_their_names_are_now() {
    let mut bench = Bench::new("a.log*", true);
    bench.append("a.log", "one\n");
    bench.read();
    bench.append("a.log", "two\n");
    bench.restart();
    assert_eq!(bench.read(), of("a.log", "two\n"));
    bench.append("a.log", "three\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", "four\n");
    bench.restart();
    assert_eq!(bench.read(), [of("a.log", "four\n"), of("a.log.1", "three\n")].concat());
    bench.restart();
    assert_eq!(bench.read(), []);
}

#[test]
fn no_reading_takes_more_than_a_request_may_hold_and_every_file_has_its_turn() {
    let mut bench = Bench::new("*.log", true);
    let text = format!("{}\n", "x".repeat(99)).repeat(4 * CHUNK as usize / 100);
    for name in ["a.log", "b.log", "c.log"] {
        bench.append(name, &text);
    }
    let mut read: BTreeMap<String, usize> = BTreeMap::new();
    let mut first = Vec::new();
    loop {
        let found = bench.read();
        let bytes: usize = found.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes < 2 * CHUNK as usize, "{bytes}");
        if found.is_empty() {
            break;
        }
        first.push(found[0].0.clone());
        for (name, text) in found {
            *read.entry(name).or_default() += text.len();
        }
    }
    assert!(
        read.values().all(|bytes| *bytes == text.len()) && read.len() == 3,
        "{read:?}"
    );
    let soon: BTreeSet<&String> = first[..3].iter().collect();
    assert_eq!(soon.len(), 3, "{first:?}");
}

#[test]
fn a_line_without_end_comes_in_pieces_and_a_name_without_file_is_told() {
    let mut bench = Bench::new("a.log", true);
    let added = bench.tailer.read();
    assert!(
        added.problems[0].starts_with("no file is named "),
        "{:?}",
        added.problems
    );
    let long = "x".repeat(CHUNK as usize + 10);
    bench.append("a.log", &long);
    assert_eq!(bench.read()[0].1.len(), CHUNK as usize);
    assert_eq!(bench.read(), []);
    bench.append("a.log", "\n");
    assert_eq!(bench.read(), of("a.log", "xxxxxxxxxx\n"));
}
