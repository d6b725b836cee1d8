//! `logs.csv`: `timestamp,entity,line`.

use super::{bad, csv_line, parse_time};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::Read;
use wire::{EntityId, Timestamp};

/// Lines of logs, in order of time. The text of all is one string: a line costs 24 bytes beside its text.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    entities: Vec<EntityId>,
    /// Where entities are in that list.
    numbers: BTreeMap<String, u32>,
    text: String,
    lines: Vec<Line>,
    /// Rows that were left out, and what was wrong with the first.
    left_out: Option<(u64, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    at: Timestamp,
    entity: u32,
    length: u32,
    begins: u64,
}

impl LogLines {
    /// When each was written, by whom, and what it says; oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &EntityId, &str)> {
        self.lines.iter().map(|line| {
            let begins = line.begins as usize;
            let text = &self.text[begins..begins + line.length as usize];
            (line.at, &self.entities[line.entity as usize], text)
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Rows that could not be used, and what was wrong with the first of them.
    pub fn left_out(&self) -> Option<(u64, &str)> {
        self.left_out.as_ref().map(|(rows, first)| (*rows, first.as_str()))
    }
}

/// Reads lines. A row without a time or an entity is left out and counted: among hundreds of thousands some are broken, and the
/// others tell as much without it. What is not UTF-8 is replaced.
///
/// # Errors
/// [`Error::Input`] if a column is missing or the file is no CSV.
pub fn read_logs(reader: impl Read, file: &str) -> Result<LogLines> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = csv.byte_headers().map_err(|e| bad(file, 1, 1, e))?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|cell| cell.trim_ascii() == name.as_bytes());
        found.ok_or_else(|| bad(file, 1, 1, format!("there is no column named {name}")))
    };
    let (time, entity, line) = (column("timestamp")?, column("entity")?, column("line")?);
    let mut found = LogLines::default();
    let mut record = csv::ByteRecord::new();
    while csv
        .read_byte_record(&mut record)
        .map_err(|e| bad(file, csv_line(&e), 1, e))?
    {
        let cell = |at: usize| String::from_utf8_lossy(record.get(at).unwrap_or_default());
        let name = cell(entity);
        let name = name.trim();
        let at = match parse_time(&cell(time)) {
            Ok(at) if !name.is_empty() => at,
            failed => {
                let row = record.position().map_or(0, csv::Position::line);
                let wrong = match failed {
                    Ok(_) => bad(file, row, entity + 1, "a name is empty"),
                    Err(message) => bad(file, row, time + 1, message),
                };
                found.leave_out(&wrong);
                continue;
            }
        };
        found.push(at, name, &cell(line));
    }
    found.sort();
    Ok(found)
}

impl LogLines {
    /// Adds a line; [`Self::sort`] after the last.
    pub fn push(&mut self, at: Timestamp, entity: &str, text: &str) {
        let number = match self.numbers.get(entity) {
            Some(number) => *number,
            None => {
                let number = self.entities.len() as u32;
                self.entities.push(EntityId::from(entity));
                self.numbers.insert(entity.to_owned(), number);
                number
            }
        };
        self.lines.push(Line {
            at,
            entity: number,
            begins: self.text.len() as u64,
            length: u32::try_from(text.len()).unwrap_or(u32::MAX),
        });
        self.text.push_str(text);
    }

    /// Puts lines in order of time; those of one instant stay in the order in which they were added.
    pub fn sort(&mut self) {
        self.lines.sort_by_key(|line| line.at);
    }

    fn leave_out(&mut self, wrong: &Error) {
        match &mut self.left_out {
            Some((rows, _)) => *rows += 1,
            none => *none = Some((1, wrong.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_of_time_and_broken_rows_are_counted() {
        let csv = "entity,timestamp,line\nb,20,\"second, \"\"quoted\"\"\"\na,10,first\na,-6795364578871345152,never\n,30,nobody\n";
        let logs = read_logs(csv.as_bytes(), "logs.csv").unwrap();
        let told: Vec<_> = logs.iter().map(|(at, e, line)| (at.0, e.as_str(), line)).collect();
        assert_eq!(told, [(10_000, "a", "first"), (20_000, "b", "second, \"quoted\"")]);
        let (rows, first) = logs.left_out().unwrap();
        assert_eq!(rows, 2);
        assert!(first.contains("logs.csv:4:2"), "{first}");
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        let logs = read_logs(&b"timestamp,entity,line\n1,a,\xff!\n"[..], "logs.csv").unwrap();
        assert_eq!(logs.iter().next().unwrap().2, "\u{fffd}!");
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = read_logs(&b"timestamp,entity\n"[..], "logs.csv.gz").unwrap_err();
        assert!(error.to_string().contains("no column named line"), "{error}");
    }
}
