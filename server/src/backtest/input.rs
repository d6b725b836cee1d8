//! A directory of recorded history.

use super::bad_input;
use engine::ingest::csv::{ExpectedSpan, Frame, Label, LogLines};
use engine::ingest::recording::Recording;
use engine::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use wire::Timestamp;
use wire::topology::{Deploy, Edge};

/// Share of rows that are history when nobody says otherwise.
const HISTORY_SHARE: f64 = 0.15;

/// Recorded history in memory.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub frame: Frame,
    pub edges: Vec<Edge>,
    /// In order of time.
    pub deploys: Vec<Deploy>,
    /// In order of time.
    pub logs: LogLines,
    /// What was known beforehand to be unusual.
    pub expected: Vec<ExpectedSpan>,
    /// For scoring only.
    pub labels: Vec<Label>,
    /// Where history ends, if the recording says so.
    pub live_from: Option<Timestamp>,
    /// How the input spells instants; the output spells them so too.
    pub stamp: Stamp,
}

/// How instants are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    #[default]
    Rfc3339,
    Seconds,
    Millis,
}

impl Stamp {
    /// `at` as text. Fractions of a second appear only where they are not zero.
    pub fn format(self, at: Timestamp) -> String {
        let millis = at.as_millis();
        match self {
            Self::Seconds if millis % 1000 == 0 => (millis / 1000).to_string(),
            Self::Seconds => format!("{:.3}", at.as_secs_f64()),
            Self::Millis => millis.to_string(),
            Self::Rfc3339 => match jiff::Timestamp::from_millisecond(millis) {
                Ok(instant) => instant.to_string(),
                Err(_) => millis.to_string(),
            },
        }
    }

    /// How `cell` is spelled.
    fn of(cell: &str) -> Self {
        match cell.trim().trim_matches('"').parse::<f64>() {
            Ok(number) if number.abs() >= 1e11 => Self::Millis,
            Ok(_) => Self::Seconds,
            Err(_) => Self::Rfc3339,
        }
    }
}

impl Input {
    /// Reads `dir`.
    ///
    /// # Errors
    /// If a file cannot be read, or holds what it should not: the message names file, line and column.
    pub fn load(dir: &Path) -> Result<Self> {
        let recording = Recording::open(dir)?;
        if recording.frame.times.is_empty() || recording.frame.series.is_empty() {
            return Err(bad_input("metrics.csv:2:1", "needs at least one series and one row"));
        }
        Ok(Self {
            frame: recording.frame,
            edges: recording.edges,
            deploys: recording.deploys,
            logs: recording.logs,
            expected: recording.expected,
            labels: recording.labels,
            live_from: recording.live_from,
            stamp: Stamp::of(&first_cell(dir)?),
        })
    }

    /// Number of rows before `until`, or before where the recording says that history ends, or of the default share.
    ///
    /// # Errors
    /// If that leaves nothing to score.
    pub fn train_rows(&self, until: Option<Timestamp>) -> Result<usize> {
        let times = &self.frame.times;
        let Some(until) = until.or(self.live_from) else {
            return Ok((times.len() as f64 * HISTORY_SHARE) as usize);
        };
        let rows = self.frame.row_at(until);
        match times.last() {
            Some(last) if rows == times.len() => Err(bad_input(
                "--train-until",
                format!(
                    "{} is after the last row ({}): nothing is left to score",
                    self.stamp.format(until),
                    self.stamp.format(*last)
                ),
            )),
            _ => Ok(rows),
        }
    }
}

/// First cell of the first row of the metrics in `dir`.
fn first_cell(dir: &Path) -> Result<String> {
    let plain = dir.join("metrics.csv");
    let (path, packed) = if plain.is_file() {
        (plain, false)
    } else {
        (dir.join("metrics.csv.gz"), true)
    };
    let fail = |error| Error::io("cannot read", path.clone(), error);
    let file = File::open(&path).map_err(fail)?;
    let reader: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut rows = BufReader::new(reader).lines().skip(1);
    let row = rows.find(|row| row.as_ref().is_ok_and(|text| !text.trim().is_empty()));
    let row = row.transpose().map_err(fail)?.unwrap_or_default();
    Ok(row.split(',').next().unwrap_or_default().to_owned())
}
