//! Recorded history as CSV: `metrics.csv`, `edges.csv`, `deploys.csv`, `expected.csv`, `labels.csv`, `logs.csv`, `calls.csv`.
//!
//! Every error names file, line and column. Readers are pure over [`std::io::Read`]; opening files is `recording`'s work.

mod calls;
mod logs;

pub use calls::{Calls, edges_of, read_calls};
pub use logs::{LogLines, read_logs};

use crate::error::{Error, Result};
use crate::series::{Labels, SeriesInfo, info_from_labels};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use wire::topology::{Deploy, Edge};
use wire::{EntityId, Timestamp};

/// Metrics on one time axis: a column of values per series, NaN where a sample is missing.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// In order of the file's columns.
    pub series: Vec<SeriesInfo>,
    /// Name of each series exactly as the header spells it.
    pub names: Vec<String>,
    /// Sorted, unique.
    pub times: Vec<Timestamp>,
    /// `columns[series][row]`
    pub columns: Vec<Vec<f64>>,
    /// Median interval between rows, in milliseconds; 0 with fewer than two rows.
    pub step_ms: i64,
}

impl Frame {
    /// First row at or after `at`.
    pub fn row_at(&self, at: Timestamp) -> usize {
        self.times.partition_point(|t| *t < at)
    }

    /// The samples of one series in rows `rows`, missing ones left out.
    pub fn samples(&self, series: usize, rows: std::ops::Range<usize>) -> Vec<(Timestamp, f64)> {
        rows.map(|row| (self.times[row], self.columns[series][row]))
            .filter(|(_, v)| !v.is_nan())
            .collect()
    }
}

/// A span known to be anomalous. Only scoring reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Name of the series as the header of the metrics spells it.
    pub series: Option<String>,
    pub entity: Option<EntityId>,
    pub cause: Option<EntityId>,
}

/// A span in which something unusual is expected: a sale, a batch, a migration.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSpan {
    pub start: Timestamp,
    pub end: Timestamp,
    /// `*` and `?` stand for other characters; `None`: every entity.
    pub entity: Option<String>,
    pub note: String,
}

/// Reads metrics: first column `timestamp`, every other one a series named `entity|metric|statistic`, `entity|metric`, or
/// a plain name (metric of entity `default`). Rows may come in any order; of two rows with one timestamp the later one
/// fills what the first left empty.
///
/// # Errors
/// [`Error::Input`] at the first cell that is neither empty, NaN nor a number, a bad timestamp, a row of
/// another length than the header, a missing, badly named or repeated column.
pub fn read_metrics(reader: impl Read, file: &str) -> Result<Frame> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = csv.headers().map_err(|e| bad(file, 1, 1, e))?.clone();
    if header.get(0) != Some("timestamp") {
        return Err(bad(
            file,
            1,
            1,
            format!(
                "the first column must be named timestamp, found {:?}",
                header.get(0).unwrap_or("")
            ),
        ));
    }
    let names: Vec<String> = header.iter().skip(1).map(str::to_owned).collect();
    let mut series = Vec::with_capacity(names.len());
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let info = info_from_labels(&labels_of(name).map_err(|e| bad(file, 1, index + 2, e))?);
        // By id, not by name: `load` and `default|load` are one series.
        if !seen.insert(info.id) {
            return Err(bad(file, 1, index + 2, format!("the series {name:?} is there twice")));
        }
        series.push(info);
    }
    let mut rows: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
    let mut record = csv::StringRecord::new();
    while csv
        .read_record(&mut record)
        .map_err(|e| bad(file, csv_line(&e), 1, e))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() == 1 && record[0].trim().is_empty() {
            continue;
        }
        // A row that is too short is a file cut off in the middle of a number as often as it is trailing gaps.
        if record.len() != names.len() + 1 {
            return Err(bad(
                file,
                line,
                record.len().min(names.len() + 1) + 1,
                format!("{} cells, but the header names {}", record.len(), names.len() + 1),
            ));
        }
        let at = parse_time(&record[0]).map_err(|e| bad(file, line, 1, e))?;
        let row = rows.entry(at).or_insert_with(|| vec![f64::NAN; names.len()]);
        for (index, cell) in record.iter().skip(1).enumerate() {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            let value: f64 = cell.parse().map_err(|_| {
                bad(
                    file,
                    line,
                    index + 2,
                    format!("{cell:?} is not a number; leave the cell empty for a missing sample"),
                )
            })?;
            if value.is_finite() {
                row[index] = value;
            }
        }
    }
    let times: Vec<Timestamp> = rows.keys().copied().collect();
    let mut columns = vec![Vec::with_capacity(times.len()); names.len()];
    for row in rows.values() {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(*value);
        }
    }
    let step_ms = median_step(&times);
    for info in &mut series {
        info.step_ms = step_ms;
    }
    Ok(Frame {
        series,
        names,
        times,
        columns,
        step_ms,
    })
}

/// Reads `caller,callee` rows.
///
/// # Errors
/// [`Error::Input`] for a missing column or an empty name.
pub fn read_edges(reader: impl Read, file: &str) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    read_rows(reader, file, &["caller", "callee"], &[], |_, cells| {
        edges.push(Edge {
            caller: entity(cells, 0)?,
            callee: entity(cells, 1)?,
        });
        Ok(())
    })?;
    Ok(edges)
}

/// Reads `timestamp,entity,version` rows with an optional `note`.
///
/// # Errors
/// [`Error::Input`] for a missing column, a bad timestamp or an empty name.
pub fn read_deploys(reader: impl Read, file: &str) -> Result<Vec<Deploy>> {
    let mut deploys = Vec::new();
    read_rows(
        reader,
        file,
        &["timestamp", "entity", "version"],
        &["note"],
        |_, cells| {
            let at = parse_time(&cells[0]).map_err(|e| (0, e))?;
            let mut deploy = Deploy::new(at, entity(cells, 1)?, cells[2].clone());
            deploy.note.clone_from(&cells[3]);
            deploys.push(deploy);
            Ok(())
        },
    )?;
    deploys.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.entity.cmp(&b.entity)));
    Ok(deploys)
}

/// Reads `start,end` rows with optional `series`, `entity` and `cause`.
///
/// # Errors
/// [`Error::Input`] for a missing column, a bad timestamp, or an end before its start.
pub fn read_labels(reader: impl Read, file: &str) -> Result<Vec<Label>> {
    let mut labels = Vec::new();
    read_rows(
        reader,
        file,
        &["start", "end"],
        &["series", "entity", "cause"],
        |_, cells| {
            let start = parse_time(&cells[0]).map_err(|e| (0, e))?;
            let end = parse_time(&cells[1]).map_err(|e| (1, e))?;
            if end < start {
                return Err((1, "the end is before the start".to_owned()));
            }
            let name = |cell: &String| (!cell.is_empty()).then(|| EntityId::from(cell.as_str()));
            labels.push(Label {
                start,
                end,
                series: (!cells[2].is_empty()).then(|| cells[2].clone()),
                entity: name(&cells[3]),
                cause: name(&cells[4]),
            });
            Ok(())
        },
    )?;
    Ok(labels)
}

/// Reads `start,end` rows with optional `entity` and `note`.
///
/// # Errors
/// [`Error::Input`] for a missing column, a bad timestamp, or an end before its start.
pub fn read_expected(reader: impl Read, file: &str) -> Result<Vec<ExpectedSpan>> {
    let mut expected = Vec::new();
    read_rows(reader, file, &["start", "end"], &["entity", "note"], |_, cells| {
        let start = parse_time(&cells[0]).map_err(|e| (0, e))?;
        let end = parse_time(&cells[1]).map_err(|e| (1, e))?;
        if end < start {
            return Err((1, "the end is before the start".to_owned()));
        }
        expected.push(ExpectedSpan {
            start,
            end,
            entity: (!cells[2].is_empty()).then(|| cells[2].clone()),
            note: cells[3].clone(),
        });
        Ok(())
    })?;
    Ok(expected)
}

/// A timestamp: RFC 3339, or epoch seconds or milliseconds told apart by magnitude (below 10^11 it is seconds, which
/// holds for seconds until the year 5138 and for milliseconds from 1973 on).
///
/// # Errors
/// A sentence that shows the text.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let millis = if number.abs() < 1e11 { number * 1000.0 } else { number };
        if millis.is_finite() && millis.abs() < 9e15 {
            return Ok(Timestamp(millis.round() as i64));
        }
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    // Without an offset it is UTC, as many exports mean it.
    if let Ok(at) = text.parse::<jiff::civil::DateTime>()
        && let Ok(at) = at.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(Timestamp(at.timestamp().as_millisecond()));
    }
    Err(format!(
        "{text:?} is not a time: use RFC 3339, epoch seconds or epoch milliseconds"
    ))
}

/// Labels of a series by its column name.
fn labels_of(name: &str) -> Result<Labels, String> {
    let parts: Vec<&str> = name.split('|').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("a series needs a name without empty parts, found {name:?}"));
    }
    match parts[..] {
        [metric] => Ok(Labels::of("default", metric, None)),
        [entity, metric] => Ok(Labels::of(entity, metric, None)),
        [entity, metric, statistic] => Ok(Labels::of(entity, metric, Some(statistic))),
        _ => Err(format!("{name:?} has too many parts; write entity|metric|statistic")),
    }
}

fn median_step(times: &[Timestamp]) -> i64 {
    let mut steps: Vec<i64> = times.windows(2).map(|w| w[1].millis_since(w[0])).collect();
    if steps.is_empty() {
        return 0;
    }
    let middle = steps.len() / 2;
    *steps.select_nth_unstable(middle).1
}

/// Index of the offending cell among the asked-for columns, and what is wrong with it.
type CellError = (usize, String);

fn entity(cells: &[String], at: usize) -> Result<EntityId, CellError> {
    if cells[at].is_empty() {
        Err((at, "a name is empty".to_owned()))
    } else {
        Ok(EntityId::from(cells[at].as_str()))
    }
}

/// Reads rows by column name; `row` gets the cells in order of `needed`, then `optional` (empty if absent).
fn read_rows(
    reader: impl Read,
    file: &str,
    needed: &[&str],
    optional: &[&str],
    mut row: impl FnMut(u64, &[String]) -> Result<(), CellError>,
) -> Result<()> {
    let mut csv = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(reader);
    let header = csv.headers().map_err(|e| bad(file, 1, 1, e))?.clone();
    let mut columns = Vec::new();
    for name in needed {
        let column = header.iter().position(|h| h == *name);
        columns.push(Some(
            column.ok_or_else(|| bad(file, 1, 1, format!("there is no column named {name}")))?,
        ));
    }
    columns.extend(optional.iter().map(|name| header.iter().position(|h| h == *name)));
    let mut record = csv::StringRecord::new();
    while csv
        .read_record(&mut record)
        .map_err(|e| bad(file, csv_line(&e), 1, e))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        let cells: Vec<String> = columns
            .iter()
            .map(|c| c.and_then(|c| record.get(c)).unwrap_or_default().to_owned())
            .collect();
        row(line, &cells).map_err(|(cell, message)| {
            bad(
                file,
                line,
                columns.get(cell).copied().flatten().map_or(1, |c| c + 1),
                message,
            )
        })?;
    }
    Ok(())
}

fn csv_line(error: &csv::Error) -> u64 {
    error.position().map_or(0, csv::Position::line)
}

fn bad(file: &str, line: u64, column: usize, message: impl std::fmt::Display) -> Error {
    Error::Input {
        place: format!("{file}:{line}:{column}"),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_doubles_are_merged() {
        let text = "timestamp,web|latency|p95,db|used,load\n120,3,,1\n60,1,2,\n2023-09-05T00:03:00Z,,,\n60,,7,5\n";
        let frame = read_metrics(text.as_bytes(), "m.csv").unwrap();
        assert_eq!(
            frame.times,
            [Timestamp(60_000), Timestamp(120_000), Timestamp(1_693_872_180_000)]
        );
        assert_eq!(frame.columns[0][..2], [1.0, 3.0]);
        assert_eq!(frame.columns[1][0].to_bits(), 7.0f64.to_bits());
        assert!(frame.columns[1][1].is_nan() && frame.columns[2][2].is_nan());
        let who: Vec<_> = frame
            .series
            .iter()
            .map(|s| (s.entity.as_str(), s.metric.as_str(), s.statistic.as_deref()))
            .collect();
        assert_eq!(
            who,
            [
                ("web", "latency", Some("p95")),
                ("db", "used", None),
                ("default", "load", None)
            ]
        );
        assert_eq!(
            frame.samples(0, 0..3),
            [(Timestamp(60_000), 1.0), (Timestamp(120_000), 3.0)]
        );
    }

    #[track_caller]
    fn check(text: &str, place: &str, words: &str) {
        let error = read_metrics(text.as_bytes(), "m.csv").unwrap_err().to_string();
        assert!(error.starts_with(place) && error.contains(words), "{error}");
    }

    #[test]
    fn errors_name_file_line_and_column() {
        check("time,a\n1,2\n", "m.csv:1:1", "named timestamp");
        check("timestamp,a,a\n1,2,3\n", "m.csv:1:3", "twice");
        check("timestamp,a\n60,1\n120,x\n", "m.csv:3:2", "\"x\" is not a number");
        check("timestamp,a\nyesterday,1\n", "m.csv:2:1", "not a time");
        check("timestamp,a\n60,1,2\n", "m.csv:2:3", "3 cells");
        check("timestamp,a,b\n60,1,2\n120,1", "m.csv:3:3", "2 cells");
        check("timestamp,load,default|load\n1,2,3\n", "m.csv:1:3", "twice");
        check("timestamp,a|b|c|d\n1,2\n", "m.csv:1:2", "too many parts");
        check("timestamp,a|\n1,2\n", "m.csv:1:2", "empty parts");
    }

    #[test]
    fn times_come_in_four_spellings() {
        for text in [
            "2023-09-05T00:00:00Z",
            "2023-09-05T02:00:00+02:00",
            "1693872000",
            "1693872000000",
            "2023-09-05 00:00:00",
        ] {
            assert_eq!(parse_time(text), Ok(Timestamp(1_693_872_000_000)), "{text}");
        }
    }

    #[test]
    fn labels_edges_and_deploys_are_read_by_column_name() {
        let labels = read_labels("cause,end,start\ndb,120,60\n".as_bytes(), "l.csv").unwrap();
        assert_eq!(labels[0].cause, Some("db".into()));
        assert_eq!(
            (labels[0].start, labels[0].end, labels[0].series.clone()),
            (Timestamp(60_000), Timestamp(120_000), None)
        );
        let edges = read_edges("callee,caller\nb,a\n".as_bytes(), "e.csv").unwrap();
        assert_eq!(
            edges,
            [Edge {
                caller: "a".into(),
                callee: "b".into()
            }]
        );
        let error = read_deploys("timestamp,entity,version\n1,,v1\n".as_bytes(), "d.csv")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("d.csv:2:2"), "{error}");
        let error = read_edges("caller,callee\na,\n".as_bytes(), "e.csv")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("e.csv:2:2"), "{error}");
        let expected = read_expected(
            "start,end,entity,note\n60,120,shop*,sale\n60,60,,\n".as_bytes(),
            "x.csv",
        )
        .unwrap();
        assert_eq!(
            (
                expected[0].end,
                expected[0].entity.as_deref(),
                expected[0].note.as_str()
            ),
            (Timestamp(120_000), Some("shop*"), "sale")
        );
        assert_eq!(expected[1].entity, None);
        let error = read_expected("start,end\n60,120\n120,60\n".as_bytes(), "x.csv")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("x.csv:3:2") && error.contains("before"), "{error}");
        let error = read_labels("start,end\n120,60\n".as_bytes(), "l.csv")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("l.csv:2:2") && error.contains("before"), "{error}");
    }
}
